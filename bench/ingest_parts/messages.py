"""Seeded frames of each venue for the ingest bench: an opening, then changes of live books.

In: a venue, a count, a seed. Out: frames as bytes. Shapes follow the venues' documents; Kraken's carry
right checksums, made here by a model of ten levels a side that shares nothing with ours. Sizes repeat about
as often as on recordings, where more than half of all number texts had been seen a moment before.
"""

import json
import zlib
from collections.abc import Callable
from random import Random

KALSHI_MARKETS, POLYMARKET_PAIRS, KRAKEN_PAIRS, COINBASE_PRODUCTS = 50, 25, 10, 4
COINBASE_LEVELS = 20_000  # a side: the venue sends whole books, BTC-USD has 46,000 levels
BATCH_MS = 1_760_000_000_000
COMMON_SIZES, COMMON_SHARE = 300, 0.6


def _sizes(random: Random, most: int) -> Callable[[], int]:
    """Sizes in units: of a few hundred common ones mostly, else any up to `most`."""
    common = [random.randrange(10**5, most) for _ in range(COMMON_SIZES)]
    return lambda: random.choice(common) if random.random() < COMMON_SHARE else random.randrange(10**5, most)


def names(venue: str) -> list[str]:
    """The markets in a venue's frames."""
    if venue == "kalshi":
        return [f"KXBENCH-26DEC{number:02}-T{number}" for number in range(KALSHI_MARKETS)]
    if venue == "polymarket":
        return [str(7 * 10**75 + number) for number in range(2 * POLYMARKET_PAIRS)]
    if venue == "kraken":
        return [f"B{number}C/USD" for number in range(KRAKEN_PAIRS)]
    return [f"B{number}C-USD" for number in range(COINBASE_PRODUCTS)]


def frames(venue: str, count: int, seed: int) -> tuple[list[bytes], list[bytes]]:
    """The opening (answers and first books) and `count` changes."""
    made = {"kalshi": _kalshi, "polymarket": _polymarket, "kraken": _kraken, "coinbase": _coinbase}
    opening, changes = made[venue](count, Random(seed))
    return [_bytes(each) for each in opening], [_bytes(each) for each in changes]


def _bytes(frame: object) -> bytes:
    return frame.encode() if isinstance(frame, str) else json.dumps(frame, separators=(",", ":")).encode()


def _cents(value: int) -> str:
    return f"0.{value:02}00"


def _kalshi(count: int, random: Random) -> tuple[list[object], list[object]]:
    """One subscription over all markets; every change is a signed step of one level."""
    tickers = names("kalshi")
    books = [[{p: random.randrange(1, 5_000) for p in range(20, 48)} for _ in range(2)] for _ in tickers]
    opening: list[object] = [{"id": 1, "type": "subscribed", "msg": {"channel": "orderbook_delta", "sid": 1}}]
    for number, ticker in enumerate(tickers):
        yes, no = ([[_cents(p), f"{s}.00"] for p, s in side.items()] for side in books[number])
        body = {"market_ticker": ticker, "market_id": _id(number), "yes_dollars_fp": yes, "no_dollars_fp": no}
        opening.append({"type": "orderbook_snapshot", "sid": 1, "seq": number + 1, "msg": body})
    changes: list[object] = []
    for step in range(count):
        number, side = random.randrange(len(tickers)), random.randrange(2)
        book = books[number][side]
        price = min(47, max(20, round(random.gauss(44, 4))))
        now = book.get(price, 0)
        then = 0 if now and random.random() < 0.25 else random.choice((100, 250, 1_842, 15_000))
        book[price] = then
        if not then:
            del book[price]
        body = {
            "market_ticker": tickers[number],
            "market_id": _id(number),
            "price_dollars": _cents(price),
            "delta_fp": f"{then - now}.00",
            "side": ("yes", "no")[side],
            "ts": "2026-11-21T12:00:00Z",
            "ts_ms": BATCH_MS + step,
        }
        changes.append({"type": "orderbook_delta", "sid": 1, "seq": len(tickers) + step + 1, "msg": body})
    return opening, changes


def _id(number: int) -> str:
    return f"9b0f6b43-5b68-4f9f-9f02-9a2d1b8a{number:04}"


def _polymarket(count: int, random: Random) -> tuple[list[object], list[object]]:
    """Pairs of tokens; every change comes mirrored, with the best prices that follow from it."""
    tokens = names("polymarket")
    pairs = [tokens[at : at + 2] for at in range(0, len(tokens), 2)]
    books = [
        [{p: random.randrange(10, 5_000) for p in range(20, 48)}, dict.fromkeys(range(50, 80), 900)]
        for _ in pairs
    ]
    opening: list[object] = []
    for pair, (bids, asks) in zip(pairs, books, strict=True):
        mirrored = ({100 - p: s for p, s in asks.items()}, {100 - p: s for p, s in bids.items()})
        for token, sides in zip(pair, ((bids, asks), mirrored), strict=True):
            told = [[{"price": f"0.{p:02}", "size": str(s)} for p, s in side.items()] for side in sides]
            opening.append(_book(token, told, pair[0]))
    changes: list[object] = []
    for step in range(count):
        number, side = random.randrange(len(pairs)), random.randrange(2)
        book = books[number][side]
        price = min(47, round(random.gauss(45, 3))) if side == 0 else max(50, round(random.gauss(52, 3)))
        size = (
            0 if price in book and len(book) > 5 and random.random() < 0.25 else random.randrange(10, 9_000)
        )
        book[price] = size
        if not size:
            del book[price]
        bid, ask = max(books[number][0]), min(books[number][1])
        one = _level(pairs[number][0], price, size, ("BUY", "SELL")[side], bid, ask)
        two = _level(pairs[number][1], 100 - price, size, ("SELL", "BUY")[side], 100 - ask, 100 - bid)
        changes.append(
            {
                "market": f"0x{number:064x}",
                "price_changes": [one, two],
                "timestamp": str(BATCH_MS + step),
                "event_type": "price_change",
            }
        )
    return opening, changes


def _book(token: str, told: list[list[dict[str, str]]], market: str) -> dict[str, object]:
    head = {"event_type": "book", "market": f"0x{int(market) % 2**256:064x}", "asset_id": token}
    return {**head, "bids": told[0], "asks": told[1], "timestamp": str(BATCH_MS), "hash": "0" * 40}


def _level(token: str, price: int, size: int, side: str, bid: int, ask: int) -> dict[str, str]:
    best = {"best_bid": f"0.{bid:02}", "best_ask": f"0.{ask:02}"}
    return {
        "asset_id": token,
        "price": f"0.{price:02}",
        "size": str(size),
        "side": side,
        "hash": f"{price:040x}",
        **best,
    }


def _kraken(count: int, random: Random) -> tuple[list[object], list[object]]:
    """Depth 10, prices to 0.1 and sizes to 8 decimals, a checksum on every frame."""
    symbols = names("kraken")
    pairs = [
        {
            "symbol": symbol,
            "base": symbol.split("/")[0],
            "quote": "USD",
            "status": "online",
            "price_precision": 1,
            "qty_precision": 8,
            "price_increment": 0.1,
            "qty_increment": 0.00000001,
            "qty_min": 0.00005,
        }
        for symbol in symbols
    ]
    instruments = {"channel": "instrument", "type": "snapshot", "data": {"assets": [], "pairs": pairs}}
    opening: list[object] = [instruments]
    middle = 620_000
    size_of = _sizes(random, 10**9)
    books = []
    for symbol in symbols:
        bids = {middle - 1 - k * 3: random.randrange(10**5, 10**9) for k in range(10)}
        asks = {middle + 1 + k * 3: random.randrange(10**5, 10**9) for k in range(10)}
        books.append((bids, asks))
        opening.append(_kraken_ack(symbol))
        opening.append(
            _kraken_frame(
                "snapshot", symbol, sorted(bids.items(), reverse=True), sorted(asks.items()), bids, asks
            )
        )
    changes: list[object] = []
    for _ in range(count):
        number, side = random.randrange(len(symbols)), random.randrange(2)
        book = books[number][side]
        ranked = sorted(book, reverse=side == 0)
        if random.random() < 0.35:
            edge = ranked[random.randrange(min(8, len(ranked)))]
            away = (-1, 1)[side] * random.randrange(1, 3)
            told = [(edge + away, size_of())]
        elif len(ranked) > 6 and random.random() < 0.3:
            told = [(ranked[random.randrange(3)], 0)]
        else:
            told = [(ranked[random.randrange(len(ranked))], size_of())]
        for price, size in told:
            book[price] = size
            if not size:
                del book[price]
        for price in sorted(book, reverse=side == 0)[10:]:
            del book[price]
        if len(book) < 6:
            worst = min(book) if side == 0 else max(book)
            extra = (worst + (-4, 4)[side], size_of())
            book[extra[0]] = extra[1]
            told.append(extra)
        changes.append(
            _kraken_frame("update", symbols[number], *((told, []), ([], told))[side], *books[number])
        )
    return opening, changes


def _kraken_ack(symbol: str) -> dict[str, object]:
    result = {"channel": "book", "depth": 10, "snapshot": True, "symbol": symbol}
    return {"method": "subscribe", "result": result, "success": True}


def _kraken_frame(kind: str, symbol: str, bids: list, asks: list, book_bids: dict, book_asks: dict) -> str:  # type: ignore[type-arg]
    digits = "".join(f"{p}{s}" for p, s in sorted(book_asks.items())[:10])
    digits += "".join(f"{p}{s}" for p, s in sorted(book_bids.items(), reverse=True)[:10])
    sides = ",".join(
        f'"{name}":[' + ",".join(f'{{"price":{_point(p, 1)},"qty":{_point(s, 8)}}}' for p, s in levels) + "]"
        for name, levels in (("bids", bids), ("asks", asks))
    )
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}",{sides},'
        f'"checksum":{zlib.crc32(digits.encode())},"timestamp":"2026-11-21T12:00:00.123456Z"}}]}}'
    )


def _point(value: int, decimals: int) -> str:
    text = str(value).rjust(decimals + 1, "0")
    return f"{text[:-decimals]}.{text[-decimals:]}"


def _coinbase(count: int, random: Random) -> tuple[list[object], list[object]]:
    """Four updates a frame near the best prices, one sequence over the connection."""
    products = names("coinbase")
    opening: list[object] = []
    sequence = 0
    size_of = _sizes(random, 3 * 10**8)
    middles = [6_890_000 + 1_000 * number for number in range(len(products))]
    for product, middle in zip(products, middles, strict=True):
        levels = [("bid", middle - 1 - k * 7) for k in range(COINBASE_LEVELS)]
        levels += [("offer", middle + 1 + k * 7) for k in range(COINBASE_LEVELS)]
        updates = [_update(side, price, size_of()) for side, price in levels]
        opening.append(_l2(sequence, "snapshot", product, updates))
        sequence += 1
    changes: list[object] = []
    for _ in range(count):
        number = random.randrange(len(products))
        updates = []
        for _ in range(4):
            bid = random.random() < 0.5
            away = 1 + 7 * int(random.expovariate(0.08)) % (7 * COINBASE_LEVELS) + random.choice((0, 0, 0, 2))
            price = middles[number] - away if bid else middles[number] + away
            updates.append(
                _update("bid" if bid else "offer", price, 0 if random.random() < 0.25 else size_of())
            )
        changes.append(_l2(sequence, "update", products[number], updates))
        sequence += 1
    return opening, changes


def _update(side: str, price: int, size: int) -> dict[str, str]:
    told = {"side": side, "event_time": "2026-11-21T12:00:00.123456Z"}
    return {**told, "price_level": _point(price, 2), "new_quantity": _point(size, 8)}


def _l2(sequence: int, kind: str, product: str, updates: list[dict[str, str]]) -> dict[str, object]:
    head = {"channel": "l2_data", "timestamp": "2026-11-21T12:00:00.123456Z", "sequence_num": sequence}
    return {**head, "events": [{"type": kind, "product_id": product, "updates": updates}]}
