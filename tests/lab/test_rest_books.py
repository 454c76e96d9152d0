"""The lab's order books by REST: what our own askers read there is what its sockets stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random
from typing import Any

import httpx
import pytest
import websocket

from pipeline.clock import SystemClock
from pipeline.feed import witness
from pipeline.feed.book import BookKeeper
from pipeline.feed.rest import Failure
from pipeline.feed.rest_books import RestBooks
from pipeline.feed.witness import Witness
from pipeline.lab.market import MarketModel
from pipeline.lab.server import LabServer
from pipeline.model import DEFAULT_SCALES, Scale
from pipeline.venues.asking import Sample
from pipeline.venues.registry import CODECS
from tests.lab.conftest import START_WALL_MS

MS = 1_000_000
PATIENCE_SECONDS = 30.0


def serve(scenario: Callable[[LabServer, MarketModel], Any]) -> None:
    """Run a scenario against a started server, and stop it whatever happens."""

    async def main() -> None:
        model = MarketModel(7, 1.0, START_WALL_MS, coinbase_levels=150)
        server = LabServer(model)
        await server.start()
        try:
            await asyncio.wait_for(scenario(server, model), 2 * PATIENCE_SECONDS)
        finally:
            await server.stop()

    asyncio.run(main())


def markets_of(model: MarketModel) -> dict[str, list[str]]:
    return {
        "kalshi": [event.ticker for event in model.live],
        "polymarket": [token for event in model.live for token in (event.yes_token, event.no_token)],
        "kraken": ["BTC/USD", "ETH/USD"],
        "coinbase": ["BTC-USD", "ETH-USD"],
    }


def scales_of(venue: str, markets: list[str]) -> dict[str, Scale]:
    if venue == "kraken":
        return {"BTC/USD": Scale(1, 8), "ETH/USD": Scale(2, 8)}
    return dict.fromkeys(markets, DEFAULT_SCALES[venue])


def read_all(url: str, venue: str, markets: list[str]) -> dict[str, Sample]:
    """All books of a venue through our asking thread."""
    asker = RestBooks(venue, url, SystemClock(), Random(1))
    asker.ask(markets, scales_of(venue, markets))
    found: dict[str, Sample] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found) < len(markets) and time.monotonic() < deadline:
        for each in asker.poll():
            assert not isinstance(each, Failure), each
            found[each.market] = each
        time.sleep(0.005)
    asker.close()
    return found


def test_our_own_asker_reads_the_models_books() -> None:
    """Every level of every venue, on the venue's scale, as deep as the venue answers."""

    async def scenario(server: LabServer, model: MarketModel) -> None:
        server.advance(300)
        for venue, markets in markets_of(model).items():
            url = server.addresses()[venue]["rest"]
            found = await asyncio.to_thread(read_all, url, venue, markets)
            assert set(found) == set(markets)
            for event in model.live if venue == "kalshi" else ():
                book = event.kalshi.quotes.book
                seen = found[event.ticker].snapshot
                assert dict(seen.bids) == {p * 100: q for p, q in book.bids.items()}
                assert dict(seen.asks) == {p * 100: q for p, q in book.asks.items()}
            for event in model.live if venue == "polymarket" else ():
                book = event.polymarket.quotes.book
                seen, other = found[event.yes_token].snapshot, found[event.no_token].snapshot
                assert dict(seen.bids) == {p * 100: q * 10_000 for p, q in book.bids.items()}
                assert dict(other.asks) == {1_000_000 - p: q for p, q in seen.bids}
            if venue in {"kraken", "coinbase"}:
                step = 1 if venue == "coinbase" else 100_000
                for market, sample in found.items():
                    spot = model.spot(venue, market)
                    assert spot is not None
                    shift = 10 ** (6 if venue == "coinbase" else 0)
                    best = spot.book.top("bid", 100)
                    told = dict(sample.snapshot.bids)
                    assert sample.book.size_step_units == step
                    assert sample.book.bids_from_ticks == best[-1][0] * shift
                    assert all(abs(told.get(p * shift, 0) - q) < step for p, q in best)

    serve(scenario)


def test_polymarkets_post_leaves_out_what_it_does_not_know() -> None:
    """Unknown tokens are no error; a body that is no list of tokens is, and so is a POST elsewhere."""

    async def scenario(server: LabServer, model: MarketModel) -> None:
        at = {venue: both["rest"] for venue, both in server.addresses().items()}
        token = model.live[0].yes_token
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(
                at["polymarket"] + "/books", json=[{"token_id": token}, {"token_id": "5"}]
            )
            assert [book["asset_id"] for book in answer.json()] == [token]
            for body in (b"{", b"[5]", b'[{"x":1}]', b"5"):
                assert (await http.post(at["polymarket"] + "/books", content=body)).status_code == 400
            assert (await http.post(at["polymarket"] + "/orders", content=b"[]")).status_code == 404
            assert (await http.post(at["kraken"] + "/books", content=b"[]")).status_code == 404
            assert (await http.get(at["polymarket"] + "/books")).status_code == 404
            kalshi = at["kalshi"] + "/markets/orderbooks"
            assert (await http.get(kalshi)).status_code == 400
            unknown = await http.get(kalshi, params={"tickers": ["NO-SUCH", model.live[0].ticker]})
            assert [each["ticker"] for each in unknown.json()["orderbooks"]] == [model.live[0].ticker]

    serve(scenario)


def follow(addresses: dict[str, str], venue: str, markets: list[str]) -> Witness:
    """Stream a venue, witness it, and come back when every market was found right."""
    clock = SystemClock()
    scales = scales_of(venue, markets)
    codec, keeper = CODECS[venue](scales), BookKeeper(venue, scales)
    judge = Witness(500 * MS, at_once=100)
    asker = RestBooks(venue, addresses["rest"], clock, Random(1))
    socket = websocket.create_connection(addresses["ws"], timeout=5, skip_utf8_validation=True)
    for text in codec.subscribe(markets):
        socket.send(text)
    socket.settimeout(0.02)
    judge.follow(markets, clock.monotonic_ns())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while set(judge.agreed_ns) < set(markets):
        assert time.monotonic() < deadline, (venue, vars(judge))
        try:
            events = codec.decode(socket.recv().encode())
            keeper.apply_frame(events)
            for event in events:
                judge.note(event)
        except websocket.WebSocketTimeoutException:
            events = []
        asker.ask(judge.asks(keeper.books, clock.monotonic_ns()), scales)
        for each in asker.poll():
            assert isinstance(each, Sample), each
            judge.answered(each)
        judge.verdicts(clock.monotonic_ns())
    socket.shutdown()
    asker.close()
    return judge


def test_the_witness_agrees_with_an_honest_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four live streams against the same model's REST, while it runs: every book is found right."""
    monkeypatch.setattr(witness, "LEAD_NS", 300 * MS)
    monkeypatch.setattr(witness, "CONFIRM_NS", 1_000 * MS)

    async def scenario(server: LabServer, model: MarketModel) -> None:
        runner = asyncio.create_task(server.run(time.monotonic_ns, lambda _: None, lambda: None))
        judges = await asyncio.gather(
            *(
                asyncio.to_thread(follow, server.addresses()[venue], venue, markets[:4])
                for venue, markets in markets_of(model).items()
            )
        )
        assert [judge.mismatches for judge in judges] == [0, 0, 0, 0]
        await server.stop()
        await asyncio.wait_for(runner, PATIENCE_SECONDS)

    serve(scenario)
