"""The simulated world: seeds, books, divergences, settlement."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from pipeline.lab.binary import BinaryEvent
from pipeline.lab.book import Book, BookBatch, Trade, fixed, plain
from pipeline.lab.listing import Notice
from pipeline.lab.market import MarketModel

START_WALL_MS = 1_795_000_000_000
ONE = 10_000


def world(seed: int = 7, divergence: float = 1.0) -> MarketModel:
    return MarketModel(seed, divergence, START_WALL_MS, coinbase_levels=40)


def path(seed: int, steps: int = 1_500) -> list[Any]:
    """Everything that a world emits, as plain values."""
    out: list[Any] = []
    model = world(seed)

    def emit(item: BookBatch | Trade | Notice) -> None:
        out.append((item.kind, item.event.id) if isinstance(item, Notice) else tuple(item))

    for _ in range(steps):
        model.step(emit)
    return out


def gaps(event: BinaryEvent) -> tuple[int, int]:
    """Kalshi's bid over Polymarket's ask, and the other way round, in 1e-4 dollars."""
    kalshi_bid, kalshi_ask = event.kalshi.quotes.quoted()
    poly_bid, poly_ask = event.polymarket.quotes.quoted()
    return kalshi_bid - poly_ask, poly_bid - kalshi_ask


def net(event: BinaryEvent) -> int:
    """Best profit of a pair of one contract after both taker fees, in 1e-10 dollars.

    Kalshi charges 0.07 p (1-p), Polymarket rate p (1-p); rounding only makes fees larger.
    """
    best = -(10**12)
    rate = round(float(event.fee_rate) * 100)
    kalshi, poly = event.kalshi.quotes.quoted(), event.polymarket.quotes.quoted()
    for sell, buy in ((kalshi[0], poly[1]), (poly[0], kalshi[1])):
        kalshi_price, poly_price = (sell, buy) if sell == kalshi[0] else (buy, sell)
        fees = 7 * kalshi_price * (ONE - kalshi_price) + rate * poly_price * (ONE - poly_price)
        best = max(best, (sell - buy) * 10**6 - fees)
    return best


def test_same_seed_gives_the_same_path_and_another_seed_another() -> None:
    """What a world emits is a function of its seed alone."""
    assert path(3) == path(3)
    assert path(3) != path(4)


def test_prices_do_not_depend_on_wall_time_or_divergence() -> None:
    """Fair prices and spot mids follow the seed, whatever the start time and the divergence."""
    one, other = world(5), MarketModel(5, 0.0, START_WALL_MS + 86_400_000, coinbase_levels=40)
    for _ in range(1_000):
        one.step(lambda item: None)
        other.step(lambda item: None)
    assert [e.fair for e in one.live] == [e.fair for e in other.live]
    assert [p.mid for p in one.pairs] == [p.mid for p in other.pairs]


@pytest.mark.parametrize("minutes", [2, pytest.param(10, marks=pytest.mark.stress)])
def test_without_divergence_no_pair_ever_pays(minutes: int) -> None:
    """Over some simulated minutes with divergence 0 no venue ever bids over the other's ask,
    so no pair has a positive net after both fees; spot neither, after 40 and 120 bp.
    """
    model = world(11, 0.0)
    worst_net, worst_gap, spot_ratio = -(10**12), -ONE, 0.0

    def emit(item: BookBatch | Trade | Notice) -> None:
        nonlocal worst_net, worst_gap
        if isinstance(item, BookBatch) and item.venue in ("kalshi", "polymarket"):
            key = item.market
            event = model.by_ticker(key) or model.by_token(key)
            assert event is not None
            if isinstance(event, BinaryEvent) and event.state == "active":
                worst_gap = max(worst_gap, *gaps(event))
                worst_net = max(worst_net, net(event))

    for step in range(minutes * 6_000):
        model.step(emit)
        if step % 20 == 0:
            for pair in model.pairs:
                kraken, coinbase = pair.books
                scale = 10 ** (coinbase.venue.price_decimals - kraken.venue.price_decimals)
                kraken_bid, kraken_ask = kraken.book.best_bid(), kraken.book.best_ask()
                bid, ask = coinbase.book.best_bid(), coinbase.book.best_ask()
                assert kraken_bid and kraken_ask and bid and ask
                spot_ratio = max(spot_ratio, kraken_bid * scale / ask, bid / (kraken_ask * scale))
    assert worst_gap <= 0
    assert worst_net < 0
    assert spot_ratio < 1.0040


def test_divergences_come_at_the_promised_pace_size_and_in_both_directions() -> None:
    """With divergence 1 a gap of 3 to 8 cents opens every 2 to 4 s, lasts 0.3 to 3 s, on one
    event at a time, never on the one that never pays, at 50 contracts or more on both sides.
    """
    model = world(2)
    seen: list[tuple[int, str, bool, int]] = []
    running: set[str] = set()
    for step in range(12_000):
        model.step(lambda item: None)
        for event in model.live:
            diverged = event.state == "active" and event.diverged_until_ms is not None
            if diverged and event.id not in running:
                kalshi_rich, poly_rich = gaps(event)
                size = max(kalshi_rich, poly_rich)
                seen.append((step, event.id, kalshi_rich > poly_rich, size))
                running.add(event.id)
                assert event.diverged_until_ms is not None
                assert 300 <= event.diverged_until_ms - model.time.elapsed_ms <= 3_000
                for side in (event.kalshi, event.polymarket):
                    for name in ("bid", "ask"):
                        best = side.quotes.book.best(name)
                        assert best is not None
                        assert side.quotes.book.sizes(name)[best] >= 5_000
                assert not event.topic.never_pays
            elif not diverged:
                running.discard(event.id)
    starts = [step for step, *_ in seen]
    between = [b - a for a, b in itertools.pairwise(starts)]
    assert min(between) >= 200
    assert max(between) <= 410
    assert all(300 <= size <= 890 for *_, size in seen)
    assert any(size >= 700 for *_, size in seen)
    directions = Counter(kalshi_rich for _, _, kalshi_rich, _ in seen)
    assert abs(directions[True] - directions[False]) <= 1
    assert len({name for _, name, _, _ in seen[:6]}) >= 2
    assert {rich for _, _, rich, size in seen[:4] if size >= 600} == {True, False}


def test_the_divergence_factor_scales_the_gap() -> None:
    """Half the factor gives half the gap, rounded to cents."""
    model = world(2, 0.5)
    found = []
    for _ in range(3_000):
        before = {e.id for e in model.live if e.diverged_until_ms is not None}
        model.step(lambda item: None)
        found += [max(gaps(e)) for e in model.live if e.diverged_until_ms is not None and e.id not in before]
    assert found
    assert all(100 <= gap <= 490 for gap in found)


def test_books_are_never_crossed_not_even_between_two_changes_of_a_batch() -> None:
    """Applying a batch change by change never leaves a crossed or locked book."""
    model = world(9)
    mirror: dict[tuple[str, str], Book] = {}
    for key, book in everything(model).items():
        mirror[key] = copy = Book(book.price_decimals, book.size_decimals)
        for side in ("bid", "ask"):
            for price, size in book.sizes(side).items():
                copy.set(side, price, size)
    removed = changed = 0

    def emit(item: BookBatch | Trade | Notice) -> None:
        nonlocal removed, changed
        if not isinstance(item, BookBatch) or (item.venue, item.market) not in mirror:
            return
        book = mirror[item.venue, item.market]
        for change in item.changes:
            assert book.set(change.side, change.price, change.new) == change
            bid, ask = book.best_bid(), book.best_ask()
            assert bid is None or ask is None or bid < ask
            removed += change.new == 0
            changed += 1

    for _ in range(4_000):
        model.step(emit)
    for key, book in everything(model).items():
        if key in mirror:
            assert (book.bids, book.asks) == (mirror[key].bids, mirror[key].asks)
    assert 0.18 < removed / changed < 0.36


def everything(model: MarketModel) -> dict[tuple[str, str], Book]:
    """All books of a world by venue and key."""
    books = {key: spot.book for key, spot in model.spot_books()}
    for event in model.live:
        books |= {(s.venue, s.key): s.quotes.book for s in (event.kalshi, event.polymarket)}
    sides = [contract.side for contract in model.groups.contracts()]
    return books | {(side.venue, side.key): side.quotes.book for side in sides}


def test_events_roll_over_and_settle_for_half_an_hour() -> None:
    """Six binary events are always open, each lives 1 to 5 minutes and settles yes or no; the
    config list keeps a settled one for 15 s. Ids, tickers and tokens are never used twice.
    """
    model = world(13)
    results: Counter[str] = Counter()
    names: list[str] = []
    first_close_ms = min(e.close_ms for e in model.live)
    assert first_close_ms >= START_WALL_MS + 60_000
    opened: dict[str, BinaryEvent] = {e.id: e for e in model.live}

    def emit(item: BookBatch | Trade | Notice) -> None:
        if not isinstance(item, Notice) or not isinstance(item.event, BinaryEvent):
            return
        if item.kind == "opened":
            opened[item.event.id] = item.event
        if item.kind == "settled":
            results[item.event.result] += 1

    version, listed = -1, [""]
    for _ in range(18_000):
        model.step(emit)
        model.skip(90)
        assert sum(e.state == "active" for e in model.live) >= 6
        fresh = model.events() if model.events_version != version else []
        shown = [e["id"] for e in fresh if e["kind"] in {"binary", "spot"}] or listed
        version, listed = model.events_version, shown
        assert len(shown) <= 14
    for event in opened.values():
        assert 60_000 <= event.close_ms - event.open_ms <= 301_000
        names += [event.ticker, event.yes_token, event.no_token, event.condition]
    assert len(opened) > 50 and results["yes"] > 5 and results["no"] > 5
    assert len(names) == len(set(names))
    assert any(e.inverse for e in opened.values()) and any(not e.inverse for e in opened.values())
    assert len(model.binaries()) <= 64 + 12


def test_a_settled_event_is_listed_for_15_seconds_and_its_result_kept_longer() -> None:
    """Close, determination, settlement, removal follow one another; the result stays readable."""
    model = world(1)
    event = min(model.live, key=lambda e: e.close_ms)
    model.skip(event.close_ms - model.time.wall_ms - 100)
    times: dict[str, int] = {}
    for _ in range(2_000):
        model.step(lambda item: None)
        times.setdefault(event.state, model.time.wall_ms - event.close_ms)
        if event.id not in [e["id"] for e in model.events()]:
            times.setdefault("gone", model.time.wall_ms - event.close_ms)
    assert times["closed"] == 0 and times["determined"] == 500 and times["settled"] == 1_500
    assert times["gone"] == 16_500
    assert event.kalshi.quotes.book.best_bid() is None
    assert model.by_ticker(event.ticker) is event and event.result in ("yes", "no")
    assert (event.polymarket_result == event.result) != event.inverse


def test_events_have_the_form_of_the_configuration() -> None:
    """Each event names legs on both venues and a filled review; everything shown says SIM."""
    model = world(3)
    events = model.events()
    further = ["complement", "basket", "ladder", "model"]
    assert [e["kind"] for e in events] == ["binary"] * 6 + ["spot"] * 2 + further
    more = {"basket": {"exhaustive"}, "model": {"digital"}}
    for event in events:
        assert event["title"].startswith("SIM ")
        own = more.get(event["kind"], set())
        assert set(event) == {"id", "title", "kind", "close", "legs", "review"} | own
        assert set(event["review"]) == {
            "source",
            "window",
            "void_rule",
            "rules_hash",
            "by",
            "at",
            "mismatch",
        }
        assert event["review"]["by"] == "lab" and event["review"]["mismatch"] == "0"
    binary, spot = events[0], events[7]
    assert binary["close"].endswith("Z") and spot["close"] == ""
    assert [leg["venue"] for leg in binary["legs"]] == ["kalshi", "polymarket"]
    assert [leg["market"] for leg in spot["legs"]] == ["ETH/USD", "ETH-USD"]
    assert binary["legs"][0]["market"].startswith("KXSIM")
    assert 74 <= len(binary["legs"][1]["market"]) <= 78


def test_decimal_texts() -> None:
    """Texts of integers are exact, with and without trailing zeros."""
    assert fixed(5600, 4) == "0.5600" and plain(5600, 4) == "0.56"
    assert fixed(-5400, 2) == "-54.00" and plain(0, 8) == "0" and plain(100, 2) == "1"
    assert fixed(7, 0) == "7" and plain(70, 0) == "70" and plain(6506250, 2) == "65062.5"
