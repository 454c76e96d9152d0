"""Small seeded markets that speak as the venues do, and the tapes in tests/venues/data made of them.

In: a venue and a random generator. Out: frames in the venue's shape, as many as asked for, from books
that move. Nothing in them comes from a recording. Used by the tests of permuted tapes and fuzzed frames.
`python -m tests.support.worlds` writes the tapes again; a test holds them to this module.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from tests.support.model_book import Ladders, Level, kraken_checksum

DATA = Path(__file__).resolve().parents[1] / "venues" / "data"
SEED, FRAMES = 20261121, 320
START_MS = 1_793_607_330_000
LIFE = "market_lifecycle_v2"


@lru_cache(maxsize=200_000)
def decimal(units: int, decimals: int) -> Decimal:
    """A whole number of 10^-decimals, with all its decimals."""
    return Decimal(units).scaleb(-decimals)


def iso(ms: int, decimals: int = 6) -> str:
    """RFC 3339 of a time within ten hours after START_MS."""
    seconds, rest = divmod(ms - START_MS + 30_000, 1000)
    clock = f"{8 + seconds // 3600:02d}:{15 + seconds % 3600 // 60:02d}:{seconds % 60:02d}"
    return f"2026-11-02T{clock}.{rest:03d}{'0' * (decimals - 3)}Z"


class Ladder:
    """One book in whole numbers that moves by single levels; its bids stay below its asks."""

    def __init__(
        self, chance: random.Random, middle: int, step: int, count: int, lot: int, most: int
    ) -> None:
        self._chance, self._step, self._lot, self._most = chance, step, lot, most
        self._least, self._middle = min(4, count), middle
        self.bids = {middle - step * (1 + index): self.size() for index in range(count)}
        self.asks = {middle + step * (1 + index): self.size() for index in range(count)}
        self._keep = count

    def size(self) -> int:
        """A size, small ones most often."""
        return self._lot * self._chance.choice((1, 3, 100, self._chance.randrange(1, 20_000)))

    def move(self) -> tuple[bool, int, int]:
        """Change one level near the best: whether it is a bid, its price, its size before."""
        chance, bid = self._chance, self._chance.random() < 0.5
        mine, other = (self.bids, self.asks) if bid else (self.asks, self.bids)
        sign = 1 if bid else -1
        best_first = sorted(mine, key=lambda price: -price * sign)
        crowded = len(mine) > self._keep + 3
        if len(mine) > self._least and (crowded or chance.random() < 0.28):
            price = best_first[-1] if crowded else chance.choice(best_first[:4])
            return bid, price, mine.pop(price)
        best = best_first[0] if mine else self._middle - sign * self._step
        price = best + sign * self._step * chance.randrange(-6, 4)
        edge = (min(other) if bid else max(other)) if other else price + sign
        if not (0 < price < self._most and (edge - price) * sign > 0):
            price = best if mine or not other else edge - sign * self._step
        before = mine.get(price, 0)
        mine[price] = self.size()
        if mine[price] == before:
            mine[price] += self._lot
        return bid, price, before

    def after(self, bid: bool, price: int) -> int:
        """The size at a price now."""
        return (self.bids if bid else self.asks).get(price, 0)


class World:
    """One venue's connection. `opening` comes first; then `step` gives the next frame for ever."""

    venue = ""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.ms = START_MS
        self.ladders: dict[str, Ladder] = {}
        self.decimals: dict[str, tuple[int, int]] = {}
        self.waiting: list[str] = []

    def opening(self) -> list[str]:
        """What comes after the subscription."""
        raise NotImplementedError

    def speak(self) -> str:
        """One frame; more of the same moment may be put into `waiting`."""
        raise NotImplementedError

    def step(self) -> str:
        """The next frame."""
        if self.waiting:
            return self.waiting.pop(0)
        self.ms += self.chance.choice((0, 0, 1, 3, 40, 700))
        return self.speak()

    def truth(self, market: str, depth: int = 0) -> Ladders:
        """What the venue's own book holds now."""
        prices, sizes = self.decimals[market]
        ladder = self.ladders[market]
        bids = sorted(ladder.bids.items(), reverse=True)[: depth or None]
        asks = sorted(ladder.asks.items())[: depth or None]
        return (
            tuple([(decimal(price, prices), decimal(size, sizes)) for price, size in bids]),
            tuple([(decimal(price, prices), decimal(size, sizes)) for price, size in asks]),
        )

    def snapshot(self, market: str) -> str:
        """A fresh whole book of one market, as after a repair."""
        raise NotImplementedError


def market_of(chance: random.Random, names: Iterable[str]) -> str:
    """One of the names, the first ones most often."""
    listed = list(names)
    return listed[min(int(chance.expovariate(1 / 2)), len(listed) - 1)]


class KalshiWorld(World):
    """Six markets in two subscriptions; trades, life-cycle and prices come in between."""

    venue = "kalshi"

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.sids = dict.fromkeys(("KXRAIN-26NOV30-T1", "KXRAIN-26NOV30-T2", "KXRAIN-26NOV30-T3"), 1)
        self.sids |= {"KXSNOW-26DEC24": 1, "KXWIND-26DEC01-B40": 3, "KXWIND-26DEC01-B50": 3}
        self.numbers = dict.fromkeys((1, 2, 3, 4), 0)
        for index, market in enumerate(self.sids):
            step, count = (10, 9) if index == 2 else (100, (14, 8, 10, 0, 6, 3)[index])
            self.ladders[market] = Ladder(chance, 3000 + 700 * index, step, count, 1, 10_000)
            self.decimals[market] = (4, 2)

    def opening(self) -> list[str]:
        """Two subscriptions, each with its books."""
        told = [
            f'{{"type":"subscribed","id":{number},"msg":{{"channel":"{channel}","sid":{sid}}}}}'
            for number, channel, sid in ((1, "orderbook_delta", 1), (1, "orderbook_delta", 3), (2, LIFE, 2))
        ]
        return told + [self.snapshot(market) for market in self.sids]

    def _number(self, sid: int) -> str:
        self.numbers[sid] += 1
        return f'"sid":{sid},"seq":{self.numbers[sid]}'

    def snapshot(self, market: str) -> str:
        """All bids of YES and NO, numbered."""
        sid = self.sids[market]
        self.numbers[sid] += 1
        return snapshot_text("kalshi", market, self.truth(market), self.numbers[sid], sid)

    def speak(self) -> str:
        """Mostly a change of one level."""
        chance, luck = self.chance, self.chance.random()
        market = market_of(chance, self.sids)
        sid = self.sids[market]
        if luck < 0.02:
            return self.snapshot(market)
        if luck < 0.05:
            return (
                f'{{"type":"trade",{self._number(4)},"msg":{{"trade_id":"{chance.randrange(10**9)}",'
                f'"market_ticker":"{market}","yes_price_dollars":"0.4100","count_fp":"2.50","ts_ms":{self.ms}}}}}'
            )
        if luck < 0.07:
            body = f'"market_ticker":"{market}","price_dollars":"0.4000"'
            return f'{{"type":"ticker","sid":5,"msg":{{{body}}}}}'
        if luck < 0.08:
            return (
                f'{{"type":"market_lifecycle_v2",{self._number(2)},"msg":{{"market_ticker":"KXOTHER-1",'
                '"event_type":"created"}}'
            )
        if luck < 0.09:
            listed = json.dumps([name for name, held in self.sids.items() if held == sid])
            return f'{{"id":7,{self._number(sid)},"type":"ok","msg":{{"market_tickers":{listed}}}}}'
        ladder = self.ladders[market]
        bid, price, before = ladder.move()
        step = decimal(ladder.after(bid, price) - before, 2)
        shown, side = (price, "yes") if bid else (10_000 - price, "no")
        return (
            f'{{"type":"orderbook_delta",{self._number(sid)},"msg":{{"market_ticker":"{market}",'
            f'"market_id":"5b0f7c1e-0000-4a4a-8b8b-{sid:012d}","price_dollars":"0.{shown:04d}","delta_fp":"{step}",'
            f'"side":"{side}","ts":"{iso(self.ms)}","ts_ms":{self.ms}}}}}'
        )


class CoinbaseWorld(World):
    """Two products and all else that shares the connection's numbers."""

    venue = "coinbase"

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.number = -1
        for market, middle in (("BTC-USD", 6_410_002), ("ETH-USD", 190_010)):
            self.ladders[market] = Ladder(chance, middle, 1, 30, 12_345, 10**12)
            self.decimals[market] = (2, 8)

    def opening(self) -> list[str]:
        """Heartbeats and both books, and the list of what is subscribed to in between."""
        listed = '{"subscriptions":{"level2":["BTC-USD","ETH-USD"],"heartbeats":["heartbeats"]}}'
        first = self.snapshot("BTC-USD")
        return [first, self._frame("subscriptions", listed), self.snapshot("ETH-USD")]

    def _frame(self, channel: str, events: str) -> str:
        self.number += 1
        return (
            f'{{"channel":"{channel}","client_id":"","timestamp":"{iso(self.ms, 9)}",'
            f'"sequence_num":{self.number},"events":[{events}]}}'
        )

    def snapshot(self, market: str) -> str:
        """The whole book, numbered."""
        self.number += 1
        return snapshot_text("coinbase", market, self.truth(market), self.number)

    def speak(self) -> str:
        """Mostly one to four changed levels of a product, now and then of both."""
        chance, luck = self.chance, self.chance.random()
        if luck < 0.03:
            beat = f'{{"current_time":"2026-11-02 08:15:31 +0000 UTC","heartbeat_counter":"{self.number}"}}'
            return self._frame("heartbeats", beat)
        if luck < 0.1:
            price = '{"type":"ticker","product_id":"BTC-USD","price":"64100.02"}'
            return self._frame("ticker", f'{{"type":"update","tickers":[{price}]}}')
        both = list(self.ladders) if luck > 0.9 else [market_of(chance, self.ladders)]
        return self._frame("l2_data", ",".join(self._event(market) for market in both))

    def _event(self, market: str) -> str:
        updates = []
        for _ in range(self.chance.choice((1, 1, 2, 4))):
            ladder = self.ladders[market]
            bid, price, _ = ladder.move()
            size = decimal(ladder.after(bid, price), 8)
            text = "0" if not size else format(size.normalize() if self.chance.random() < 0.5 else size, "f")
            updates.append(
                f'{{"side":"{"bid" if bid else "offer"}","event_time":"{iso(self.ms)}",'
                f'"price_level":"{decimal(price, 2)}","new_quantity":"{text}"}}'
            )
        return f'{{"type":"update","product_id":"{market}","updates":[{",".join(updates)}]}}'


class KrakenWorld(World):
    """Three pairs, two of them ten levels deep and one 25; each book message has its checksum."""

    venue = "kraken"

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self._microseconds = 0
        self.depths = {"BTC/USD": 10, "ETH/USD": 25, "DOGE/USD": 10}
        for market, middle, decimals in (
            ("BTC/USD", 645_251, (1, 8)),
            ("ETH/USD", 191_944, (2, 8)),
            ("DOGE/USD", 1_623_450, (7, 8)),
        ):
            self.ladders[market] = Ladder(chance, middle, 1, 40, 50_500, 10**12)
            self.decimals[market] = decimals

    def opening(self) -> list[str]:
        """Status, scales, an answer for each pair, the books."""
        system = '{"api_version":"v2","connection_id":7,"system":"online","version":"2.0.10"}'
        told = [f'{{"channel":"status","type":"update","data":[{system}]}}']
        pairs = [
            f'{{"symbol":"{market}","status":"online","qty_precision":{sizes},"price_precision":{prices}}}'
            for market, (prices, sizes) in self.decimals.items()
        ]
        told.append(
            f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[],"pairs":[{",".join(pairs)}]}}}}'
        )
        for market, depth in self.depths.items():
            told.append(
                f'{{"method":"subscribe","req_id":2,"result":{{"channel":"book","depth":{depth},'
                f'"snapshot":true,"symbol":"{market}"}},"success":true,"time_in":"{iso(self.ms)}"}}'
            )
            told.append(self.snapshot(market))
        return told

    def snapshot(self, market: str) -> str:
        """The book to its depth."""
        depth = self.depths[market]
        return snapshot_text("kraken", market, self.truth(market, depth), moment=self._moment())

    def _moment(self) -> str:
        """The time to the microsecond; no two messages have the same."""
        self._microseconds = max(self._microseconds + 1, self.ms * 1000)
        ms, rest = divmod(self._microseconds, 1000)
        return iso(ms).replace("000Z", f"{rest:03d}Z")

    def speak(self) -> str:
        """Mostly one to three changes of a pair."""
        chance, luck = self.chance, self.chance.random()
        if luck < 0.04:
            return '{"channel":"heartbeat"}'
        if luck < 0.05:
            return f'{{"method":"pong","req_id":9,"time_in":"{iso(self.ms)}"}}'
        names = list(self.ladders)[:2] if luck > 0.97 else [market_of(chance, self.ladders)]
        elements = [self._update(market) for market in names]
        return f'{{"channel":"book","type":"update","data":[{",".join(elements)}]}}'

    def _update(self, market: str) -> str:
        """Only what is seen within the depth is told; what leaves it is not."""
        depth, ladder = self.depths[market], self.ladders[market]
        before = [dict(side) for side in self.truth(market, depth)]
        told: list[str] = []
        while not told:
            for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
                ladder.move()
            after = self.truth(market, depth)
            sides = zip(before, after, (ladder.bids, ladder.asks), strict=True)
            told = [self._levels(old, new, alive, market) for old, new, alive in sides]
            told = told if any(told) else []
        return (
            f'{{"symbol":"{market}","bids":[{told[0]}],"asks":[{told[1]}],'
            f'"checksum":{kraken_checksum(*after)},"timestamp":"{self._moment()}"}}'
        )

    def _levels(
        self, old: dict[Decimal, Decimal], new: tuple[Level, ...], alive: dict[int, int], market: str
    ) -> str:
        fresh, scale = dict(new), 10 ** self.decimals[market][0]
        zero = decimal(0, self.decimals[market][1])
        gone = [(price, zero) for price in old if int(price * scale) not in alive]
        changed = gone + [(price, size) for price, size in fresh.items() if old.get(price) != size]
        return _kraken_levels(changed)


class PolymarketWorld(World):
    """Two markets of two tokens each. A batch is one to three frames of the same moment."""

    venue = "polymarket"

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.pairs = [("71" * 38 + "1", "52" * 38 + "2"), ("83" * 38 + "3", "29" * 38 + "4")]
        self.hash = 0
        for index, (yes, no) in enumerate(self.pairs):
            step, count = ((10, 12), (1, 5))[index]
            self.ladders[yes] = Ladder(chance, 480 + 137 * index, step, count, 250_000, 1000)
            self.decimals[yes] = self.decimals[no] = (3, 6)
            self.ladders[no] = Ladder(chance, 500, step, 0, 1, 1000)
            self._mirror(yes, no)

    def _mirror(self, yes: str, no: str) -> None:
        self.ladders[no].bids = {1000 - price: size for price, size in self.ladders[yes].asks.items()}
        self.ladders[no].asks = {1000 - price: size for price, size in self.ladders[yes].bids.items()}

    def opening(self) -> list[str]:
        """One array with every book."""
        return ["[" + ",".join(self.snapshot(token) for pair in self.pairs for token in pair) + "]"]

    def snapshot(self, market: str) -> str:
        """The whole book of a token."""
        return snapshot_text("polymarket", market, self.truth(market), ms=self.ms)

    def speak(self) -> str:
        """Mostly the first frame of a batch; the others follow at once."""
        luck = self.chance.random()
        pair = self.pairs[0 if self.chance.random() < 0.7 else 1]
        if luck < 0.06:
            self.waiting = [self.snapshot(pair[0]), f"[{self.snapshot(pair[1])}]"]
            return (
                f'{{"market":"0xaa", "asset_id":"{pair[0]}", "price":"0.48", "size":"2.5", "side":"BUY", '
                f'"fee_rate_bps":"0", "timestamp":"{self.ms}", "event_type":"last_trade_price"}}'
            )
        if luck < 0.07:
            self.waiting = [self.snapshot(token) for token in pair]
            return (
                f'{{"event_type":"tick_size_change","market":"0xaa","asset_id":"{pair[0]}",'
                f'"old_tick_size":"0.01","new_tick_size":"0.001","timestamp":"{self.ms}"}}'
            )
        frames = self._batch(*pair)
        self.waiting = frames[1:]
        return frames[0]

    def _batch(self, yes: str, no: str) -> list[str]:
        """Changes of both tokens; every frame states the best prices that hold after the last one."""
        ladder = self.ladders[yes]
        moves = []
        if self.chance.random() < 0.15 and len(ladder.asks) > 4:
            # A bid at the best ask's price, before that ask is gone: locked for a moment.
            price = min(ladder.asks)
            ladder.bids[price] = size = ladder.size()
            del ladder.asks[price]
            moves = [(True, price, size), (False, price, 0)]
        else:
            for _ in range(self.chance.choice((1, 1, 2, 3))):
                bid, price, _ = ladder.move()
                moves.append((bid, price, ladder.after(bid, price)))
        self._mirror(yes, no)
        self.hash += 1
        ms = self.ms - self.chance.choice((0,) * 9 + (5,))
        frames = [self._change(yes, no, move, ms) for move in moves]
        if self.chance.random() < 0.1:
            frames.append(self._change(no, yes, (not moves[-1][0], 1000 - moves[-1][1], moves[-1][2]), ms))
        return frames

    def _change(self, first: str, second: str, move: tuple[bool, int, int], ms: int) -> str:
        bid, price, size = move
        entries = [self._entry(first, bid, price, size), self._entry(second, not bid, 1000 - price, size)]
        return (
            f'{{"market":"0xaa", "price_changes":[{", ".join(entries)}], "timestamp":"{ms}", '
            '"event_type":"price_change"}'
        )

    def _entry(self, token: str, bid: bool, price: int, size: int) -> str:
        (bids, asks), short = self.truth(token), self.hash % 5 == 0
        best_bid = bids[0][0].normalize() if bids else "0"
        best_ask = asks[0][0].normalize() if asks else "1"
        text = str(decimal(price, 3).normalize())
        best = "" if self.hash % 11 == 0 else f', "best_bid":"{best_bid}", "best_ask":"{best_ask}"'
        return (
            f'{{"asset_id":"{token}", "price":"{text[1:] if short else text}", '
            f'"size":"{format(decimal(size, 6).normalize(), "f")}", "side":"{"BUY" if bid else "SELL"}", '
            f'"hash":"{self.hash:038x}{token[-2:]}"{best}}}'
        )


def snapshot_text(
    venue: str,
    market: str,
    book: Ladders,
    number: int = 0,
    sid: int = 0,
    ms: int = START_MS,
    moment: str = "",
) -> str:
    """A venue's frame for a whole book. `number` and `sid` are used where the venue has them.

    `moment` is Kraken's time, where it is not that of `ms`.
    """
    bids, asks = book
    if venue == "kalshi":
        # Examples are worst first; a side that is empty is left out.
        yes = ",".join(f'["{price:.4f}","{size:.2f}"]' for price, size in reversed(bids))
        no = ",".join(f'["{1 - price:.4f}","{size:.2f}"]' for price, size in reversed(asks))
        sides = (f',"yes_dollars_fp":[{yes}]' if yes else "") + (f',"no_dollars_fp":[{no}]' if no else "")
        return (
            f'{{"type":"orderbook_snapshot","sid":{sid},"seq":{number},"msg":{{"market_ticker":"{market}",'
            f'"market_id":"5b0f7c1e-0000-4a4a-8b8b-{sid:012d}"{sides}}}}}'
        )
    if venue == "coinbase":
        updates = [
            f'{{"side":"{side}","event_time":"1970-01-01T00:00:00Z","price_level":"{price}",'
            f'"new_quantity":"{format(size, "f")}"}}'
            for side, levels in (("bid", bids), ("offer", asks))
            for price, size in levels
        ]
        return (
            f'{{"channel":"l2_data","client_id":"","timestamp":"{iso(ms, 9)}","sequence_num":{number},'
            f'"events":[{{"type":"snapshot","product_id":"{market}","updates":[{",".join(updates)}]}}]}}'
        )
    if venue == "kraken":
        sides_text = f'"bids":[{_kraken_levels(bids)}],"asks":[{_kraken_levels(asks)}]'
        told = f'"checksum":{kraken_checksum(bids, asks)},"timestamp":"{moment or iso(ms)}"'
        element = f'{{"symbol":"{market}",{sides_text},{told}}}'
        return f'{{"channel":"book","type":"snapshot","data":[{element}]}}'
    levels = [
        [f'{{"price":"{price.normalize()}","size":"{size.normalize():f}"}}' for price, size in reversed(side)]
        for side in book
    ]
    return (
        f'{{"event_type":"book","market":"0xaa","asset_id":"{market}","bids":[{",".join(levels[0])}],'
        f'"asks":[{",".join(levels[1])}],"timestamp":"{ms}","hash":"{ms:040x}"}}'
    )


def _kraken_levels(levels: Iterable[Level]) -> str:
    return ",".join(f'{{"price":{price:f},"qty":{size:f}}}' for price, size in levels)


WORLDS: dict[str, Callable[[random.Random], World]] = {
    "coinbase": CoinbaseWorld,
    "kalshi": KalshiWorld,
    "kraken": KrakenWorld,
    "polymarket": PolymarketWorld,
}


def tape(venue: str, seed: int = SEED, count: int = FRAMES) -> str:
    """A tape (DESIGN 8) of a world's first frames, and a few more to the end of a batch."""
    world = WORLDS[venue](random.Random(seed))
    opening = world.opening()
    lines: list[str] = []
    while len(lines) < count or world.waiting:
        data = opening[len(lines)] if len(lines) < len(opening) else world.step()
        line = {"t": world.ms * 1_000_000, "venue": venue, "conn": 0, "data": data}
        lines.append(json.dumps(line, separators=(",", ":")))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name in WORLDS:
        (DATA / f"{name}.jsonl").write_text(tape(name), encoding="utf-8")
