"""The lab's further kinds of events: baskets, ladders, token pairs and models, in the venues' protocols."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from pipeline.config import EventConfig
from pipeline.feed.publisher import market_row
from pipeline.lab import rest
from pipeline.lab.contract import Contract
from pipeline.lab.exchange import Frame, Item, Session
from pipeline.lab.group import Basket, Group, Strikes
from pipeline.lab.kalshi import KalshiSession
from pipeline.lab.listing import Notice
from pipeline.lab.market import MarketModel
from pipeline.lab.polymarket import PolymarketSession
from pipeline.lab.server import REST_PATHS
from pipeline.model import Market, MarketResult
from pipeline.pairs import directions
from pipeline.venues.kalshi.markets import fee_paths, parse_fees
from pipeline.venues.rest_registry import market_source

START_WALL_MS = 1_795_000_000_000
ONE = 10_000
PREDICTION = ("kalshi", "polymarket")


def world(seed: int = 7, divergence: float = 1.0) -> MarketModel:
    return MarketModel(seed, divergence, START_WALL_MS, coinbase_levels=40)


def group(model: MarketModel, kind: type[Group]) -> Any:
    """The first live group of a class."""
    return next(each for each in model.groups.live if isinstance(each, kind))


def nets(group: Group) -> list[float]:
    """Dollars that a unit of all legs would leave at the best prices, unrounded fees included."""
    quoted = [contract.side.quotes.quoted() for contract in group.contracts]
    bids, asks = [bid / ONE for bid, _ in quoted], [ask / ONE for _, ask in quoted]

    def fee(rate: float, prices: list[float]) -> float:
        return sum(rate * price * (1 - price) for price in prices)

    if isinstance(group, Basket):
        return [1 - sum(asks) - fee(0.03, asks), sum(bids) - 1 - fee(0.03, bids)]
    return [bids[1] - asks[0] - fee(0.07, [bids[1], asks[0]])]


def ask(model: MarketModel, venue: str, path: str) -> bytes:
    """The body that the lab's REST answers with on a path under the venue's REST address."""
    target = REST_PATHS[venue] + path
    status, value = rest.answer(venue, target, model, model.time.wall_ms)
    assert status == 200, (path, urlsplit(target))
    return rest.json_text(value).encode()


def described(model: MarketModel, venue: str, names: list[str]) -> dict[str, Market]:
    """Markets as a feed's metadata thread learns of them."""
    paths, parse = market_source(venue)
    found = [each for path in paths(names) for each in parse(ask(model, venue, path), names, None, 0)]
    for path in fee_paths(found) if venue == "kalshi" else ():
        found = parse_fees(ask(model, venue, path), found)
    return {each.market: each for each in found}


def offered(model: MarketModel) -> list[EventConfig]:
    """The lab's events as the supervisor reads them."""
    return msgspec.convert(model.events(), list[EventConfig])


def test_each_further_kind_is_offered_once_and_makes_sense() -> None:
    """There is one token pair, one basket, one ladder and one model, all reviewed, all with directions."""
    events = {event.kind: event for event in offered(world())[8:]}
    assert list(events) == ["complement", "basket", "ladder", "model"]
    for event in events.values():
        made = event.event()
        assert made.reviewed and made.review is not None and made.review.void_rule == "never void"
        assert directions([made])
    assert events["basket"].exhaustive and len(events["basket"].legs) == 3
    digital = events["model"].digital
    assert digital is not None
    assert events["model"].legs[0] == events["ladder"].legs[0]
    low, high = (int(leg.market.rpartition("-T")[2]) for leg in events["ladder"].legs)
    assert low < high and digital.strike == str(low)
    yes, no = events["complement"].legs
    assert (yes.polarity, no.polarity) == ("same", "inverse")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_review_pins_the_rules_that_each_venue_shows(seed: int) -> None:
    """From the lab's REST through our own codecs, a row's rules hash is one of those in the review."""
    model = world(seed)
    for _ in range(300):
        model.step(lambda item: None)
    checked = 0
    for event in offered(model):
        review = event.event().review
        assert review is not None
        for venue in {leg.venue for leg in event.legs}.intersection(PREDICTION):
            names = [leg.market for leg in event.legs if leg.venue == venue]
            markets = described(model, venue, names)
            assert set(markets) == set(names)
            for market in markets.values():
                row = market_row(market, 0)
                assert row.rules_hash in review.hashes
                assert row.rules_hash == hashlib.sha256(market.rules.encode()).hexdigest()
                checked += 1
    assert checked == 6 * 2 + 2 + 3 + 2 + 1


def test_the_venues_say_that_a_basket_is_whole() -> None:
    """A basket's legs hide no outcome; tokens of a binary event neither; Kalshi's strikes exclude nothing."""
    model = world()
    basket, strikes = group(model, Basket), group(model, Strikes)
    tokens = [contract.yes_token for contract in basket.contracts] + [model.live[0].no_token]
    found = described(model, "polymarket", tokens)
    assert [found[token].hides_outcome for token in tokens] == [False] * 4
    assert all(found[token].fee.rate_ppm for token in tokens)
    tickers = [contract.ticker for contract in strikes.contracts]
    markets = described(model, "kalshi", tickers)
    assert [markets[ticker].hides_outcome for ticker in tickers] == [True] * 2
    assert len({markets[ticker].close_ns for ticker in tickers}) == 1


@pytest.mark.parametrize("minutes", [1, pytest.param(4, marks=pytest.mark.stress)])
def test_without_divergence_no_group_ever_pays(minutes: int) -> None:
    """Over some simulated minutes no basket and no ladder leaves anything, not even between two messages."""
    model = world(1, 0.0)
    worst = -1.0

    def emit(item: Item) -> None:
        nonlocal worst
        for each in model.groups.live if not isinstance(item, Notice) else ():
            books = [contract.side.quotes.book for contract in each.contracts]
            if all(book.bids and book.asks for book in books):
                worst = max(worst, *nets(each))

    for _ in range(minutes * 6_000):
        model.step(emit)
    assert -0.1 < worst < 0


def test_now_and_then_a_group_pays_either_way() -> None:
    """With divergence 1 there are baskets too cheap and too dear and ladders that contradict themselves."""
    model = world(3)
    opened: Counter[str] = Counter()
    paying: set[tuple[str, int]] = set()
    looks, share = 7_500, 0
    for _ in range(looks):
        # A gap stands for half a second at least: a look each 40 ms misses none.
        for _ in range(4):
            model.step(lambda item: None)
        for each in model.groups.live:
            left = nets(each) if each.state == "active" else []
            for index, net in enumerate(left):
                key = (each.id, index)
                opened[f"{each.kind}{index}"] += net > 0 and key not in paying
                (paying.add if net > 0 else paying.discard)(key)
                share += net > 0
    assert all(2 <= opened[name] <= 25 for name in ("basket0", "basket1", "ladder0")), opened
    assert 0.01 < share / looks < 0.3


def test_prices_keep_the_logic() -> None:
    """Unless it is mispriced, a basket's bids are within a dollar and a lower strike is worth no less."""
    model = world(5)
    looked = 0
    for _ in range(12_000):
        model.step(lambda item: None)
        for each in model.groups.live:
            if each.state != "active" or each.mispriced_until_ms is not None:
                continue
            quoted = [contract.side.quotes.quoted() for contract in each.contracts]
            looked += 1
            if isinstance(each, Basket):
                assert sum(bid for bid, _ in quoted) <= ONE <= sum(ask for _, ask in quoted)
            else:
                assert quoted[0][0] >= quoted[1][0] and quoted[0][1] >= quoted[1][1]
    assert looked > 10_000


def test_settlement_keeps_the_logic() -> None:
    """One outcome of a basket wins; a strike pays if Coinbase's middle was above it at the close."""
    model = world(11)
    finished: dict[str, Group] = {}
    prices: dict[str, float] = {}
    results: Counter[tuple[str, ...]] = Counter()
    opened: set[str] = set()

    def emit(item: Item) -> None:
        if isinstance(item, Notice) and isinstance(item.event, Contract):
            name = item.event.id.rpartition("-")[0]
            opened.add(name)
            if item.kind == "closed":
                book = model.spot("coinbase", "BTC-USD")
                assert book is not None
                bid, ask = book.book.best_bid(), book.book.best_ask()
                assert bid is not None and ask is not None
                prices.setdefault(name, (bid + ask) / 200)

    for _ in range(12_000):
        model.step(emit)
        model.skip(190)
        finished |= {each.id: each for each in model.groups.live if each.state == "settled"}
    assert len(finished) >= 12 and opened >= finished.keys()
    for each in finished.values():
        won = tuple(contract.result for contract in each.contracts)
        results[won] += 1
        if isinstance(each, Strikes):
            assert won == tuple("yes" if prices[each.id] > strike else "no" for strike in each.strikes)
        else:
            assert sorted(won) == ["no", "no", "yes"]
    assert len([won for won in results if len(won) == 3]) >= 2
    assert len([won for won in results if len(won) == 2]) >= 2
    assert len(model.groups.contracts()) <= 20 * 3


def test_one_of_each_is_open_and_a_settled_one_stays_listed_for_a_while() -> None:
    """Groups roll as binary events do, names are never used again, and old results can be asked for."""
    model = world(13)
    names: dict[str, Contract] = {}
    shown: Counter[str] = Counter()
    for _ in range(6_000):
        model.step(lambda item: None)
        model.skip(190)
        assert Counter(g.kind for g in model.groups.live if g.state == "active") == Counter(
            basket=1, ladder=1
        )
        for contract in model.groups.contracts():
            for name in contract.names():
                assert names.setdefault(name, contract) is contract
        shown.update(g.id for g in model.groups.live if g.state == "settled")
    assert max(len(model.kalshi()), len(model.polymarket())) <= 64 + 12 + 60
    assert min(shown.values()) >= 14_800 // 200
    old = next(g for g in model.groups._finished if isinstance(g, Basket))
    found = described(model, "polymarket", [contract.yes_token for contract in old.contracts])
    paid = Counter(market.result for market in found.values())
    assert paid == {MarketResult.YES: 1, MarketResult.NO: 2}


def test_a_group_is_the_seeds_alone() -> None:
    """The same seed gives the same groups, another seed others; what they emit changes no one else's path."""

    def path(seed: int, divergence: float = 1.0) -> list[Any]:
        out: list[Any] = []
        model = world(seed, divergence)

        def emit(item: Item) -> None:
            if isinstance(item, Notice):
                out.append((item.kind, item.event.id))
            elif model.groups.find(item.market) is not None:
                out.append(tuple(item))

        for _ in range(2_000):
            model.step(emit)
        return out

    assert path(3) == path(3) != path(4)
    assert path(3) != path(3, 0.0)


def test_they_speak_the_venues_protocols(
    model: MarketModel,
    drive: Callable[[MarketModel, Session, int], list[Frame]],
    say: Callable[[MarketModel, Session, Any], list[Any]],
) -> None:
    """Strikes are subscribed on Kalshi, outcomes on Polymarket; each hears of its own markets only."""
    kalshi, polymarket = KalshiSession(model), PolymarketSession(model)
    basket, strikes = group(model, Basket), group(model, Strikes)
    tickers = [contract.ticker for contract in strikes.contracts]
    params = {"channels": ["orderbook_delta", "market_lifecycle_v2"], "market_tickers": tickers}
    answers = say(model, kalshi, {"id": 1, "cmd": "subscribe", "params": params})
    assert [answer["type"] for answer in answers[:3]] == [
        "subscribed",
        "orderbook_snapshot",
        "orderbook_snapshot",
    ]
    tokens = [contract.yes_token for contract in basket.contracts]
    (books,) = say(
        model, polymarket, {"type": "market", "assets_ids": tokens, "custom_feature_enabled": True}
    )
    assert [book["asset_id"] for book in books] == tokens
    assert all(book["neg_risk"] for book in books)
    model.skip(max(basket.close_ms, strikes.close_ms) - model.time.wall_ms - 500)
    frames = drive(model, kalshi, 300)
    seen = [json.loads(frame) for frame in frames if isinstance(frame, str)]
    told = {(each["msg"].get("event_type"), each["msg"]["market_ticker"]) for each in seen}
    assert {("determined", ticker) for ticker in tickers} <= told
    assert all(each["msg"]["market_ticker"] for each in seen)


def test_a_resolved_basket_is_told_on_polymarket(
    model: MarketModel, drive: Callable[[MarketModel, Session, int], list[Frame]]
) -> None:
    """Each of the three markets is resolved by a message of its own, one of them Yes."""
    session, basket = PolymarketSession(model), group(model, Basket)
    tokens = [contract.yes_token for contract in basket.contracts]
    session.received(json.dumps({"type": "market", "assets_ids": tokens, "custom_feature_enabled": True}), 0)
    model.skip(basket.close_ms - model.time.wall_ms - 500)
    seen = [json.loads(frame) for frame in drive(model, session, 300) if isinstance(frame, str)]
    resolved = [each for each in seen if each["event_type"] == "market_resolved"]
    own = [each for each in resolved if each["assets_ids"][0] in tokens]
    assert Counter(each["winning_outcome"] for each in own) == {"Yes": 1, "No": 2}
    assert all(each["market"].startswith("0x") for each in resolved)


def test_a_market_is_on_one_venue_only() -> None:
    """To ask for a contract's book where it is not listed is a mistake of ours."""
    model = world()
    with pytest.raises(AssertionError, match="not listed on Kalshi"):
        _ = group(model, Basket).contracts[0].kalshi
    with pytest.raises(AssertionError, match="not listed on Polymarket"):
        _ = group(model, Strikes).contracts[0].polymarket
