"""The lab's server over real loopback sockets: REST shapes, four live feeds, limits, shutdown."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time

import httpx
import websocket
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pipeline.lab.market import MarketModel
from pipeline.lab.server import LabServer

START_WALL_MS = 1_795_000_000_000


def serve(scenario, **more) -> None:
    """Run a scenario against a started server, and stop it whatever happens."""

    async def main() -> None:
        model = MarketModel(7, 1.0, START_WALL_MS, coinbase_levels=50)
        server = LabServer(model, **more)
        await server.start()
        try:
            await asyncio.wait_for(scenario(server, model), 20)
        finally:
            await server.stop()

    asyncio.run(main())


def connect(url, **more):
    return websocket.create_connection(url, timeout=5, skip_utf8_validation=True, **more)


async def talk(url, requests, count):
    """Connect, send, and read `count` text frames, off the event loop."""

    def work():
        ws = connect(url)
        for request in requests:
            ws.send(json.dumps(request))
        frames = [ws.recv() for _ in range(count)]
        ws.close()
        return frames

    return await asyncio.to_thread(work)


def test_rest_answers_in_the_venues_shapes() -> None:
    """Markets, books, fees, status and time can be read by plain GET on each venue's port."""

    async def scenario(server, model):
        at = {venue: both["rest"] for venue, both in server.addresses().items()}
        event, other = model.live[0], model.live[1]
        async with httpx.AsyncClient(trust_env=False) as http:

            async def get(venue, path, status=200):
                answer = await http.get(at[venue] + path)
                assert answer.status_code == status, (path, answer.text)
                assert answer.headers["content-type"] == "application/json"
                return answer.json()

            both = f"/markets?tickers={event.ticker},{other.ticker}"
            rows = (await get("kalshi", both))["markets"]
            assert [m["ticker"] for m in rows] == [event.ticker, other.ticker]
            market = (await get("kalshi", f"/markets/{event.ticker}"))["market"]
            assert market["status"] == "active" and market["result"] == ""
            whole = {"start": "0.0000", "end": "1.0000", "step": "0.0100"}
            assert market["price_ranges"] == [whole]
            assert market["title"].startswith("SIM ") and market["close_time"].endswith("Z")
            answer = await get("kalshi", f"/markets/{event.ticker}/orderbook?depth=3")
            book = answer["orderbook_fp"]
            assert len(book["yes_dollars"]) == 3 and len(book["no_dollars"]) == 3
            assert book["yes_dollars"][0][0] < book["yes_dollars"][-1][0]
            series = (await get("kalshi", f"/series/{event.series}"))["series"]
            assert (series["fee_type"], series["fee_multiplier"]) == ("quadratic", 1)
            parent = await get("kalshi", f"/events/{market['event_ticker']}")
            assert parent["event"]["series_ticker"] == event.series
            assert (await get("kalshi", "/exchange/status"))["trading_active"] is True
            assert "error" in await get("kalshi", "/markets/NO-SUCH", 404)
            assert "error" in await get("kalshi", "/nonsense", 404)

            query = f"/markets?clob_token_ids={event.yes_token}&clob_token_ids={other.no_token}"
            gamma = await get("polymarket", query)
            assert [json.loads(g["clobTokenIds"])[0] for g in gamma] == [
                event.yes_token,
                other.yes_token,
            ]
            assert json.loads(gamma[0]["outcomes"]) == ["Yes", "No"]
            assert len(json.loads(gamma[0]["outcomePrices"])) == 2
            assert gamma[0]["conditionId"] == event.condition and gamma[0]["closed"] is False
            assert gamma[0]["acceptingOrders"] is True and gamma[0]["feesEnabled"] is True
            assert str(gamma[0]["feeSchedule"]["rate"]) == event.fee_rate
            assert gamma[0]["orderPriceMinTickSize"] in (0.01, 0.001)
            assert gamma[0]["orderMinSize"] == 5
            clob = await get("polymarket", f"/clob-markets/{event.condition}")
            assert clob["t"][0]["t"] == event.yes_token and clob["fd"]["e"] == 1
            token_book = await get("polymarket", f"/book?token_id={event.no_token}")
            assert token_book["asset_id"] == event.no_token and token_book["bids"]
            assert await get("polymarket", "/time") == model.time.wall_ms // 1_000
            assert "error" in await get("polymarket", "/book?token_id=5", 404)
            assert "error" in await get("polymarket", "/nonsense", 404)

            pairs = (await get("kraken", "/0/public/AssetPairs?pair=XBTUSD,ETHUSD"))["result"]
            assert pairs["XXBTZUSD"]["wsname"] == "XBT/USD"
            assert pairs["XXBTZUSD"]["pair_decimals"] == 1
            assert pairs["XETHZUSD"]["pair_decimals"] == 2
            assert pairs["XXBTZUSD"]["fees"][0] == [0, 0.4]
            assert pairs["XXBTZUSD"]["ordermin"] == "0.00005"
            same = (await get("kraken", "/0/public/AssetPairs?pair=BTC/USD"))["result"]
            assert list(same) == ["XXBTZUSD"]
            depth = (await get("kraken", "/0/public/Depth?pair=XBTUSD&count=5"))["result"]
            assert len(depth["XXBTZUSD"]["asks"]) == 5
            status = await get("kraken", "/0/public/SystemStatus")
            assert status["error"] == [] and status["result"]["status"] == "online"
            assert (await get("kraken", "/0/public/Time"))["result"]["unixtime"] > 0
            unknown = await get("kraken", "/0/public/AssetPairs?pair=NOPE")
            assert unknown["error"] == ["EQuery:Unknown asset pair"]
            assert (await get("kraken", "/0/public/Nonsense", 404))["error"]

            product = await get("coinbase", "/market/products/BTC-USD")
            assert product["product_id"] == "BTC-USD" and product["price_increment"] == "0.01"
            alias = await get("coinbase", "/market/products/ETH-USDC")
            assert alias["product_id"] == "ETH-USD"
            pricebook = await get("coinbase", "/market/product_book?product_id=BTC-USD&limit=4")
            assert len(pricebook["pricebook"]["bids"]) == 4
            assert "epochMillis" in await get("coinbase", "/time")
            assert "error" in await get("coinbase", "/market/products/NO-SUCH", 404)
            assert "error" in await get("coinbase", "/nonsense", 404)

    serve(scenario)


def test_a_result_can_be_read_by_rest_after_settlement() -> None:
    """Both venues report the same outcome, each in its own terms."""

    async def scenario(server, model):
        event = min(model.live, key=lambda e: e.close_ms)
        model.skip(event.close_ms - model.time.wall_ms)
        server.advance(200)
        at = {venue: both["rest"] for venue, both in server.addresses().items()}
        async with httpx.AsyncClient(trust_env=False) as http:
            market = (await http.get(f"{at['kalshi']}/markets/{event.ticker}")).json()["market"]
            query = f"/markets?clob_token_ids={event.yes_token}"
            gamma = (await http.get(at["polymarket"] + query)).json()[0]
        assert market["status"] == "finalized" and market["result"] in ("yes", "no")
        assert market["settlement_value"] == ("1.0000" if market["result"] == "yes" else "0.0000")
        assert gamma["closed"] is True and gamma["umaResolutionStatus"] == "resolved"
        same = json.loads(gamma["outcomePrices"]) == ["1", "0"]
        assert (same == (market["result"] == "yes")) != event.inverse

    serve(scenario)


def test_four_feeds_run_over_real_sockets() -> None:
    """websocket-client gets snapshots and changes from all four venues, uncompressed."""

    async def scenario(server, model):
        at = {venue: both["ws"] for venue, both in server.addresses().items()}
        event = model.live[0]
        changed: list[int] = []
        runner = asyncio.create_task(
            server.run(time.monotonic_ns, lambda events: changed.append(len(events)), lambda: None)
        )
        book = {"channel": "book", "symbol": ["BTC/USD"], "depth": 10}
        kalshi, poly, kraken, coinbase = await asyncio.gather(
            talk(
                at["kalshi"],
                [
                    {
                        "id": 1,
                        "cmd": "subscribe",
                        "params": {"channels": ["orderbook_delta"], "market_tickers": [event.ticker]},
                    }
                ],
                3,
            ),
            talk(at["polymarket"], [{"type": "market", "assets_ids": [event.yes_token]}], 2),
            talk(at["kraken"], [{"method": "subscribe", "params": book}], 4),
            talk(at["coinbase"], [{"type": "subscribe", "channel": "level2", "product_ids": ["BTC-USD"]}], 3),
        )
        assert [json.loads(f)["type"] for f in kalshi] == [
            "subscribed",
            "orderbook_snapshot",
            "orderbook_delta",
        ]
        assert json.loads(poly[0])[0]["event_type"] == "book"
        assert json.loads(kraken[0])["channel"] == "status"
        assert [json.loads(f)["channel"] for f in coinbase] == [
            "l2_data",
            "subscriptions",
            "l2_data",
        ]
        assert changed == [12]
        assert all(count > 0 for count in server.messages.values())
        assert server.counters()["kraken_connections"] == 1
        await server.stop()
        await asyncio.wait_for(runner, 5)

    serve(scenario)


def test_kalshi_pings_with_heartbeat_and_asks_for_signed_headers() -> None:
    """The ping frame's body is `heartbeat`; with a key configured an unsigned upgrade gets 401."""

    async def pings(server, model):
        ws = await asyncio.to_thread(connect, server.addresses()["kalshi"]["ws"])
        server.advance(3)
        opcode, frame = await asyncio.to_thread(ws.recv_data_frame, True)
        assert (opcode, frame.data) == (websocket.ABNF.OPCODE_PING, b"heartbeat")
        ws.shutdown()

    serve(pings, kalshi_ping_ms=20)

    async def signed(server, model):
        url = server.addresses()["kalshi"]["ws"]
        try:
            await asyncio.to_thread(connect, url)
        except websocket.WebSocketBadStatusException as refused:
            assert refused.status_code == 401
        else:
            raise AssertionError("an unsigned connection was let in")

    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = rsa.generate_private_key(65_537, 2_048).public_key()
    serve(signed, kalshi_public_key_pem=key.public_bytes(*form))


def test_a_wrong_socket_path_is_not_found() -> None:
    """An upgrade on a path the venue does not have is answered with 404."""

    async def scenario(server, model):
        url = server.addresses()["kraken"]["ws"].replace("/v2", "/v1")
        try:
            await asyncio.to_thread(connect, url)
        except websocket.WebSocketBadStatusException as refused:
            assert refused.status_code == 404
        else:
            raise AssertionError("a wrong path was let in")

    serve(scenario)


def test_a_client_that_does_not_read_is_cut_off() -> None:
    """Memory stays bounded: past the send limit the connection is dropped and counted."""

    async def scenario(server, model):
        def attach():
            options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)]
            ws = connect(server.addresses()["polymarket"]["ws"], sockopt=options)
            tokens = [t for e in model.live for t in (e.yes_token, e.no_token)]
            ws.send(json.dumps({"type": "market", "assets_ids": tokens}))
            return ws

        ws = await asyncio.to_thread(attach)
        for _ in range(400):
            server.advance(50)
            await asyncio.sleep(0)
            if server.slow_clients["polymarket"]:
                break
        assert server.slow_clients["polymarket"] == 1
        ws.shutdown()

    serve(scenario, send_buffer_bytes=100_000)


def test_a_stall_is_made_good_for_one_second_and_the_rest_skipped() -> None:
    """After a stall of a minute the model runs 100 steps at once and its wall clock jumps."""

    async def scenario(server, model):
        now = [0]
        beats = [0]

        def beat():
            beats[0] += 1
            if beats[0] == 3:
                now[0] += 60_000_000_000
            if beats[0] > 150:
                server._stopped.set()

        await server.run(lambda: now[0], lambda events: None, beat)
        assert model.time.elapsed_ms == 1_000
        assert model.time.wall_ms == START_WALL_MS + 60_000

    serve(scenario)


def test_a_signed_kalshi_handshake_is_let_in_whatever_the_case_of_its_headers() -> None:
    """Right headers open the connection; header names are not case-sensitive."""
    key = rsa.generate_private_key(65_537, 2_048)
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)

    async def scenario(server, model):
        stamp = str(model.time.wall_ms)
        signature = key.sign(f"{stamp}GET/trade-api/ws/v2".encode(), scheme, hashes.SHA256())
        header = {
            "kalshi-access-key": "an-id",
            "Kalshi-Access-Timestamp": stamp,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }
        url = server.addresses()["kalshi"]["ws"]
        ws = await asyncio.to_thread(connect, url, header=header)
        ws.shutdown()

    serve(scenario, kalshi_public_key_pem=key.public_key().public_bytes(*form))
