"""REST metadata of the four venues: each field as sent, fees known, zero or unknown, and nonsense refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fees import TieredMarket, TierTable
from pipeline.model import (
    UNKNOWN_FEE,
    FeeKind,
    FeeSchedule,
    Market,
    MarketResult,
    MarketStatus,
    Scale,
)
from pipeline.venues.coinbase import markets as coinbase
from pipeline.venues.kalshi import markets as kalshi
from pipeline.venues.kalshi.markets import EventMarket, PriceRange
from pipeline.venues.kraken import markets as kraken
from pipeline.venues.parsing import VenueTroubleError
from pipeline.venues.polymarket import markets as polymarket
from pipeline.venues.rest_registry import market_source

DATA = Path(__file__).resolve().parent / "data"
A, B = "KXRAIN-26NOV30-T2", "KXRAIN-26NOV30-T5"
YES, NO = "1" * 38 + "2" * 38, "3" * 38 + "4" * 38
LOST, WON = "5" * 38 + "6" * 38, "7" * 38 + "8" * 38
BTC, DOGE = "BTC/USD", "DOGE/USD"
OWN_FEE = FeeSchedule(FeeKind.BPS, 1_000)

FILES = {
    "coinbase": ("rest_product", ["BTC-USD", "BTC-USDC"]),
    "kalshi": ("rest_markets", [A, B]),
    "kraken": ("rest_asset_pairs", [BTC, DOGE]),
    "polymarket": ("rest_markets", [YES, NO, LOST, WON]),
}
VENUES = sorted(FILES)


def body(venue: str, name: str) -> bytes:
    return (DATA / venue / f"{name}.json").read_bytes()


def changed(venue: str, name: str, change: Callable[[Any], None]) -> bytes:
    """A payload after `change` was done to it."""
    value = json.loads(body(venue, name))
    change(value)
    return json.dumps(value).encode()


def by_name(markets: Sequence[Market]) -> dict[str, Market]:
    return {market.market: market for market in markets}


def refused(call: Callable[[], object]) -> str:
    """The words of a ValueError: one sentence of a bounded length."""
    with pytest.raises(ValueError, match=r".") as caught:
        call()
    words = str(caught.value)
    assert 10 < len(words) < 260
    assert "\n" not in words
    return words


# -- all venues


@pytest.mark.parametrize("venue", VENUES)
def test_only_wanted_markets_are_told(venue: str) -> None:
    """What else is in an answer is nobody's."""
    name, wanted = FILES[venue]
    _, parse = market_source(venue)
    assert [market.market for market in parse(body(venue, name), wanted, None)] == wanted
    assert parse(body(venue, name), wanted[:1], None)[0].market == wanted[0]
    assert parse(body(venue, name), ["other"], None) == []


@pytest.mark.parametrize("venue", VENUES)
def test_a_fee_that_is_given_replaces_the_published_one(venue: str) -> None:
    """The account's own fee is better known than the public table."""
    name, wanted = FILES[venue]
    assert {market.fee for market in market_source(venue)[1](body(venue, name), wanted, OWN_FEE)} == {OWN_FEE}


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    "nonsense", [b"", b"null", b"5", b'"x"', b"[5]", b"[" * 100_000, b"<html>", b"\xff", b'{"markets":5}']
)
def test_nonsense_is_refused_in_one_sentence_that_names_the_venue(venue: str, nonsense: bytes) -> None:
    """Whoever reads the log knows whom to ask."""
    _, parse = market_source(venue)
    assert venue in refused(lambda: parse(nonsense, ["x"], None)).lower()


@pytest.mark.parametrize("venue", VENUES)
def test_nothing_wanted_is_nothing_asked(venue: str) -> None:
    """No request without a market."""
    assert market_source(venue)[0]([]) == []


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("name", ["a b", "a/../b", "a&b=c", "a?b#c", "ä", "a%2Fb"])
def test_a_name_stays_a_name_in_a_path(venue: str, name: str) -> None:
    """No market's name can become another path or parameter."""
    for path in market_source(venue)[0]([name]):
        assert path.isascii()
        assert not set(path.split("=")[-1] if "=" in path else path.rpartition("/")[2]) & set(" /&?#")
        assert path.count("?") <= 1


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from nodes(each, (*path, key))


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        "",
        "x",
        "-1",
        "NaN",
        "sNaN",
        "Infinity",
        "1e999999",
        "-1e999999",
        "1e-999999",
        "0",
        "1",
        "9" * 5_000,
        0,
        -1,
        10**30,
        1.5,
        True,
        [],
        {},
        ["x"],
        [[]],
        [None],
        '["a"',
        "[1,2]",
        "2026-13-45",
        {"rate": "sNaN"},
    ]
).map(deepcopy)  # a second change may go into what the first put in


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_payload_changed_anywhere_is_understood_or_refused(venue: str, data: st.DataObject) -> None:
    """Any value replaced by any other gives markets or a ValueError, and never a number that cannot be."""
    name, wanted = FILES[venue]
    value = json.loads(body(venue, name))
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(list(nodes(value))[1:]))
        inside = value
        for step in way:
            inside = inside[step]
        inside[last] = data.draw(ODD)
        if not isinstance(value, dict | list):
            break
    check(venue, json.dumps(value).encode(), wanted)


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=60))
def test_any_bytes_are_understood_or_refused(venue: str, noise: bytes) -> None:
    """Not even text is required; nor in the middle of a sound answer."""
    name, wanted = FILES[venue]
    sound = body(venue, name)
    check(venue, noise, wanted)
    check(venue, sound[: len(sound) // 2] + noise + sound[len(sound) // 2 :], wanted)


def check(venue: str, answer: bytes, wanted: list[str]) -> None:
    """Parsing `answer` raises ValueError alone, and what it gives fits into shared memory."""
    try:
        markets = market_source(venue)[1](answer, wanted, None)
        if venue == "kalshi":
            for name in ("rest_series", "rest_event"):
                markets = kalshi.parse_fees(body("kalshi", name), markets)
    except ValueError as error:
        assert len(str(error)) < 260
        return
    for market in markets:
        assert (market.venue, market.market in wanted) == (venue, True)
        fee = market.fee
        for number in (
            *(market.grid_ticks, market.lot_units, market.min_units, market.min_cost_micros, market.close_ns),
            *(fee.rate_ppm, fee.maker_rate_ppm, fee.exponent, fee.precision_micros),
        ):
            assert type(number) is int
            assert 0 <= number < 2**63


@settings(max_examples=150, deadline=None)
@given(fee_type=ODD | st.just("quadratic"), multiplier=ODD)
def test_any_series_is_understood_or_refused(fee_type: Any, multiplier: Any) -> None:
    """The second step of Kalshi's metadata is as careful as the first."""
    answer: dict[str, Any] = {
        "series": {"ticker": "KXRAIN", "fee_type": fee_type, "fee_multiplier": multiplier}
    }
    override = {"fee_type_override": fee_type, "fee_multiplier_override": multiplier}
    calls: list[Callable[[], FeeSchedule]] = [
        lambda: kalshi.parse_fees(json.dumps(answer).encode(), [Market("kalshi", A)])[0].fee,
        lambda: fee_after(SERIES, override),
    ]
    fees = []
    for call in calls:
        try:
            fees.append(call())
        except ValueError:
            continue
    assert all(0 <= fee.maker_rate_ppm <= fee.rate_ppm <= 7_000_000 for fee in fees)


# -- Kalshi


def test_kalshi_paths_name_a_hundred_markets_each() -> None:
    """The limit is higher than the answer can be long."""
    names = [f"KX-{number}" for number in range(250)]
    paths = kalshi.paths(names)
    assert [path.count(",") + 1 for path in paths] == [100, 100, 50]
    assert all(path.startswith("/markets?limit=1000&tickers=KX-") for path in paths)


def test_kalshi_tells_grid_lot_close_and_status() -> None:
    """The finest step is the grid; parts of a contract trade; the fee is a matter of the series."""
    assert by_name(kalshi.parse(body("kalshi", "rest_markets"), [A], None)) == {
        A: EventMarket(
            "kalshi",
            A,
            Scale(6, 2),
            grid_ticks=1_000,
            lot_units=1,
            min_units=1,
            close_ns=1_796_101_140_000_000_000,
            status=MarketStatus.OPEN,
            title="Rain on 30 November: T2",
            rules="Made up for a test.",
            hides_outcome=True,
            event="KXRAIN-26NOV30",
        )
    }


@pytest.mark.parametrize(
    ("primary", "secondary", "rules"),
    [("One.", "Two.", "One.\n\nTwo."), ("One.", "", "One."), ("", "Two.", "Two."), (None, None, "")],
)
def test_kalshi_rules_are_both_texts_in_full(primary: Any, secondary: Any, rules: str) -> None:
    """A person compares them, and a change of one letter must be seen: nothing is cut."""
    long = "x" * 5_000

    def change(value: Any) -> None:
        value["markets"][0] |= {"rules_primary": primary, "rules_secondary": secondary}
        value["markets"][1] |= {"rules_primary": long}

    first, second = kalshi.parse(changed("kalshi", "rest_markets", change), [A, B], None)
    assert (first.rules, second.rules) == (rules, long)


@pytest.mark.parametrize(
    ("status", "result", "expected"),
    [
        ("active", "", (MarketStatus.OPEN, MarketResult.NONE)),
        ("initialized", "", (MarketStatus.PAUSED, MarketResult.NONE)),
        ("inactive", "", (MarketStatus.PAUSED, MarketResult.NONE)),
        ("closed", "", (MarketStatus.CLOSED, MarketResult.NONE)),
        ("determined", "yes", (MarketStatus.CLOSED, MarketResult.NONE)),
        ("disputed", "yes", (MarketStatus.CLOSED, MarketResult.NONE)),
        ("amended", "no", (MarketStatus.CLOSED, MarketResult.NONE)),
        ("finalized", "yes", (MarketStatus.SETTLED, MarketResult.YES)),
        ("finalized", "no", (MarketStatus.SETTLED, MarketResult.NO)),
        ("finalized", "scalar", (MarketStatus.CLOSED, MarketResult.NONE)),
        ("settled", "yes", (MarketStatus.SETTLED, MarketResult.YES)),
        ("finalized", "", (MarketStatus.CLOSED, MarketResult.NONE)),
        ("finalized", None, (MarketStatus.CLOSED, MarketResult.NONE)),
        ("active", "yes", (MarketStatus.OPEN, MarketResult.NONE)),
        ("new word", "", (MarketStatus.UNKNOWN, MarketResult.NONE)),
        ("", None, (MarketStatus.UNKNOWN, MarketResult.NONE)),
    ],
)
def test_kalshi_pays_only_on_a_final_result(
    status: str, result: str | None, expected: tuple[Any, Any]
) -> None:
    """A determined result may still be disputed and amended, so it is none yet."""

    def change(value: Any) -> None:
        value["markets"][0] |= {"status": status, "result": result}

    (market,) = kalshi.parse(changed("kalshi", "rest_markets", change), [A], None)
    assert (market.status, market.result) == expected


@pytest.mark.parametrize(
    ("fields", "micros"),
    [
        ({"settlement_value_dollars": "0.3500"}, 350_000),
        ({"settlement_value_dollars": "0.0000"}, 0),
        ({"settlement_value_dollars": "0.4150", "settlement_value": 41}, 415_000),
        ({"settlement_value_dollars": None, "settlement_value": 62}, 620_000),
        ({"settlement_value_dollars": "", "settlement_value": "0.62"}, 620_000),
        ({"settlement_value": 0}, 0),
        ({"settlement_value": 61.5}, -1),
        ({}, -1),
    ],
)
def test_a_scalar_kalshi_market_is_settled_at_the_value_that_it_states(
    fields: dict[str, Any], micros: int
) -> None:
    """Value and result come together: before the value is known, and before it is final, there is neither."""

    def change(value: Any) -> None:
        for number, status in enumerate(("finalized", "determined")):
            value["markets"][number] |= {"status": status, "result": "scalar", **fields}

    paid, waits = kalshi.parse(changed("kalshi", "rest_markets", change), [A, B], None)
    known = micros >= 0
    assert paid.value_micros == micros
    assert paid.result == (MarketResult.SCALAR if known else MarketResult.NONE)
    assert paid.status == (MarketStatus.SETTLED if known else MarketStatus.CLOSED)
    assert (waits.value_micros, waits.result, waits.status) == (-1, MarketResult.NONE, MarketStatus.CLOSED)


@pytest.mark.parametrize("value", ["1.0001", "-0.1", "x", "0.12345678"])
def test_a_settlement_value_that_cannot_be_is_refused(value: str) -> None:
    """A market pays YES between nothing and a dollar."""

    def change(answer: Any) -> None:
        fields = {"status": "finalized", "result": "scalar", "settlement_value_dollars": value}
        answer["markets"][0] |= fields

    assert (
        "kalshi"
        in refused(lambda: kalshi.parse(changed("kalshi", "rest_markets", change), [A], None)).lower()
    )


def test_kalshi_of_before_had_whole_contracts() -> None:
    """While the flag was sent it said whether parts trade; without a grid none is known."""

    def change(value: Any) -> None:
        value["markets"][0] |= {"fractional_trading_enabled": False, "price_ranges": None, "close_time": None}

    (market,) = kalshi.parse(changed("kalshi", "rest_markets", change), [A], None)
    assert (market.lot_units, market.min_units, market.grid_ticks, market.close_ns) == (100, 100, 0, 0)


@pytest.mark.parametrize(
    ("kind", "multiplier", "taker", "maker"),
    [
        ("quadratic", 1, 70_000, 0),
        ("quadratic", "0.5", 35_000, 0),
        ("quadratic_with_maker_fees", 1, 70_000, 17_500),
        ("quadratic_with_combo_maker_fees", 1.0, 70_000, 35_000),
        ("quadratic_with_maker_fees", 0.00003, 3, 1),
        ("quadratic", 0, 0, 0),
    ],
)
def test_kalshi_fees_come_from_the_series(kind: str, multiplier: Any, taker: int, maker: int) -> None:
    """0.07 times the multiplier, for makers a quarter or half of it or nothing; rounded up; zero is known."""
    series = {"series": {"ticker": "KXRAIN", "fee_type": kind, "fee_multiplier": multiplier}}
    others = [Market("kalshi", "KXSNOW-1"), Market("kalshi", B, fee=OWN_FEE)]
    priced = kalshi.parse_fees(json.dumps(series).encode(), [Market("kalshi", A), *others])
    assert priced[0].fee == FeeSchedule(FeeKind.KALSHI, taker, maker, 1, 10_000)
    assert priced[1:] == others


SERIES = {"fee_type": "quadratic_with_maker_fees", "fee_multiplier": "0.5"}
NONE = FeeSchedule()


def fee_after(
    series: dict[str, Any] | None, event: dict[str, Any] | None, name: str = "KXRAIN-26NOV30"
) -> FeeSchedule:
    """The fee of A when its series and its event have answered; None does not answer."""
    markets = kalshi.parse(body("kalshi", "rest_markets"), [A], None)
    if series is not None:
        answer: dict[str, Any] = {"series": {"ticker": "KXRAIN"} | series}
        markets = kalshi.parse_fees(json.dumps(answer).encode(), markets)
    if event is not None:
        answer = {"event": {"event_ticker": name} | event, "markets": []}
        markets = kalshi.parse_fees(json.dumps(answer).encode(), markets)
    return markets[0].fee


@pytest.mark.parametrize(
    ("override", "taker", "maker"),
    [
        ({"fee_type_override": None, "fee_multiplier_override": None}, 35_000, 8_750),
        ({}, 35_000, 8_750),
        ({"fee_type_override": "quadratic", "fee_multiplier_override": 1}, 70_000, 0),
        ({"fee_type_override": "quadratic", "fee_multiplier_override": None}, 35_000, 0),
        ({"fee_type_override": "quadratic_with_combo_maker_fees"}, 35_000, 17_500),
        ({"fee_type_override": None, "fee_multiplier_override": "2"}, 140_000, 35_000),
        ({"fee_multiplier_override": 0}, 0, 0),
    ],
    ids=str,
)
def test_a_kalshi_event_overrides_formula_multiplier_or_both(
    override: dict[str, Any], taker: int, maker: int
) -> None:
    """What it leaves null stays the series'; zero is a known fee."""
    assert fee_after(SERIES, override) == FeeSchedule(FeeKind.KALSHI, taker, maker, 1, 10_000)


def test_a_kalshi_fee_is_unknown_until_both_have_answered() -> None:
    """An event that does not answer may override: the market is watched, not traded."""
    assert fee_after(SERIES, None).kind == FeeKind.UNKNOWN
    assert fee_after(SERIES, {}, "KXRAIN-26NOV31").kind == FeeKind.UNKNOWN
    for override in ({}, {"fee_multiplier_override": 1}, {"fee_type_override": "quadratic"}):
        assert fee_after(None, override) == NONE
        assert fee_after({"fee_type": "flat", "fee_multiplier": 1}, override) == NONE
    both = {"fee_type_override": "quadratic", "fee_multiplier_override": 1}
    for series in (None, {"fee_type": "flat", "fee_multiplier": 1}):
        assert fee_after(series, both) == FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
    assert fee_after(SERIES, {"fee_type_override": "flat"}) == NONE


def test_a_multiplier_over_a_free_series_takes_the_highest_maker_share() -> None:
    """Nothing times a share does not show the share: a fee may be overstated, never understated."""
    free = {"fee_type": "quadratic", "fee_multiplier": 0}
    assert fee_after(free, {}) == FeeSchedule(FeeKind.KALSHI, 0, 0, 1, 10_000)
    fee = fee_after(free, {"fee_multiplier_override": 1})
    assert (fee.rate_ppm, fee.maker_rate_ppm) == (70_000, 35_000)


def test_a_waived_kalshi_fee_says_until_when() -> None:
    """Waivers end without a message, so the schedule holds the rates and the time."""
    waived = changed(
        "kalshi",
        "rest_markets",
        lambda value: value["markets"][0].update(fee_waiver_expiration_time="2026-12-01T00:00:00Z"),
    )
    (market,) = kalshi.parse_fees(body("kalshi", "rest_series"), kalshi.parse(waived, [A], None))
    (market,) = kalshi.parse_fees(body("kalshi", "rest_event"), [market])
    until_ns = 1_796_083_200_000_000_000
    assert market.fee == FeeSchedule(FeeKind.KALSHI, 35_000, 8_750, 1, 10_000, waived_until_ns=until_ns)


def test_a_kalshi_fee_says_who_stated_it_and_when() -> None:
    """The series, or the event where it overrides anything; the time is that of the last answer."""
    for override, source in ((None, "kalshi /series"), (1, "kalshi /events")):
        series = {"series": {"ticker": "KXRAIN", "fee_type": "quadratic", "fee_multiplier": 1}}
        event = {"event": {"event_ticker": "KXRAIN-26NOV30", "fee_multiplier_override": override}}
        markets = kalshi.parse(body("kalshi", "rest_markets"), [A], None)
        for at_ns, answer in ((1, series), (2, event)):
            markets = kalshi.parse_fees(json.dumps(answer).encode(), markets, at_ns)
        assert (markets[0].fee.source, markets[0].fee.as_of_ns) == (source, 2)


@pytest.mark.parametrize("multiplier", [-1, 101, "NaN", "sNaN", "Infinity"])
def test_an_override_that_makes_no_sense_is_refused(multiplier: Any) -> None:
    """As with a series."""
    for kind in (None, "quadratic"):
        override = {"fee_type_override": kind, "fee_multiplier_override": multiplier}
        assert "Kalshi" in refused(lambda override=override: fee_after(SERIES, override))  # type: ignore[misc]


@pytest.mark.parametrize("answer", ["{}", '{"markets":[]}', '{"series":null,"event":null}', "[]", "x"])
def test_an_answer_about_neither_series_nor_event_is_refused(answer: str) -> None:
    """Whoever reads the log knows whom to ask."""
    assert "Kalshi" in refused(lambda: kalshi.parse_fees(answer.encode(), [Market("kalshi", A)]))


@pytest.mark.parametrize("series", [{"fee_type": "flat", "fee_multiplier": 1}, {"fee_type": "quadratic"}, {}])
def test_a_kalshi_fee_without_a_formula_stays_unknown(series: dict[str, Any]) -> None:
    """Unknown is not zero: the market is watched and not traded."""
    answer = json.dumps({"series": {"ticker": "KXRAIN"} | series}).encode()
    assert kalshi.parse_fees(answer, [Market("kalshi", A)])[0].fee == UNKNOWN_FEE


@pytest.mark.parametrize("multiplier", [-1, 101, "NaN", "sNaN", "Infinity"])
def test_a_kalshi_fee_that_makes_no_sense_is_refused(multiplier: Any) -> None:
    """A multiplier is a small number that is not below 0."""
    series = {"series": {"ticker": "KXRAIN", "fee_type": "quadratic", "fee_multiplier": multiplier}}
    words = refused(lambda: kalshi.parse_fees(json.dumps(series).encode(), [Market("kalshi", A)]))
    assert "multiplier" in words
    assert "Kalshi" in words


def test_kalshi_is_asked_for_each_series_once() -> None:
    """A series is what stands before the first hyphen; known fees are not asked for."""
    markets = [Market("kalshi", name) for name in (A, B, "KXSNOW-1", "PLAIN")]
    markets.append(Market("kalshi", "KXKNOWN-1", fee=OWN_FEE))
    assert kalshi.fee_paths(markets) == ["/series/KXRAIN", "/series/KXSNOW", "/series/PLAIN"]


def test_kalshi_is_asked_for_each_event_that_it_names_once() -> None:
    """After the series; an event's name is the venue's, it cannot be seen from the ticker."""
    markets = [EventMarket("kalshi", name, event="KXRAIN-26NOV30") for name in (A, B)]
    markets += [EventMarket("kalshi", "KXGOV-26", event="KXGOV-26"), EventMarket("kalshi", "KXGOV-27")]
    assert kalshi.fee_paths(markets) == [
        "/series/KXRAIN",
        "/series/KXGOV",
        "/events/KXRAIN-26NOV30",
        "/events/KXGOV-26",
    ]
    odd = EventMarket("kalshi", "A", event="../x?y")
    assert kalshi.fee_paths([odd])[-1] == "/events/..%2Fx%3Fy"


@pytest.mark.parametrize("step", ["0", "-0.01", "0.0000001", "x", ""])
def test_a_kalshi_grid_that_cannot_be_is_refused(step: str) -> None:
    """Every step must be above 0 and on the scale."""
    refused(lambda: kalshi.smallest_step([PriceRange("0.01"), PriceRange(step)], Scale(6, 2)))


# -- Polymarket


def test_polymarket_paths_ask_for_open_and_closed_markets() -> None:
    """Twenty tokens a request, each named once in either."""
    tokens = [str(number) for number in range(10**75, 10**75 + 45)]
    paths = polymarket.paths(tokens)
    assert len(paths) == 6
    assert sum("closed=true" in path for path in paths) == 3
    assert all(path.startswith("/markets?limit=100&") for path in paths)
    assert max(len(path) for path in paths) < 2_000
    assert all(sum(token in path for path in paths) == 2 for token in tokens)


def test_polymarket_tells_a_market_for_each_token() -> None:
    """Grid, minimum, fee, close and partner are those of the pair."""
    fee = FeeSchedule(FeeKind.POLYMARKET, rate_ppm=50_000, exponent=1)
    expected = [
        Market(
            "polymarket",
            token,
            Scale(6, 6),
            grid_ticks=1_000,
            lot_units=10_000,
            min_units=5_000_000,
            min_cost_micros=1_000_000,
            fee=fee,
            close_ns=1_796_083_200_000_000_000,
            status=MarketStatus.OPEN,
            partner=partner,
            title="Will it rain on 30 November?",
            rules="Made up for a test.",
        )
        for token, partner in ((YES, NO), (NO, YES))
    ]
    assert polymarket.parse(body("polymarket", "rest_markets"), [YES, NO], None) == expected


@pytest.mark.parametrize(
    ("closed", "accepting", "prices", "status", "results"),
    [
        (True, False, ["0", "1"], MarketStatus.SETTLED, (MarketResult.NO, MarketResult.YES)),
        (True, False, ["1", "0"], MarketStatus.SETTLED, (MarketResult.YES, MarketResult.NO)),
        (True, False, ["0.5", "0.5"], MarketStatus.SETTLED, (MarketResult.VOID, MarketResult.VOID)),
        (True, True, ["0.9995", "0.0005"], MarketStatus.CLOSED, (MarketResult.NONE, MarketResult.NONE)),
        (True, False, ["1"], MarketStatus.CLOSED, (MarketResult.NONE, MarketResult.NONE)),
        (False, True, ["1", "0"], MarketStatus.OPEN, (MarketResult.NONE, MarketResult.NONE)),
        (False, False, ["0.5", "0.5"], MarketStatus.PAUSED, (MarketResult.NONE, MarketResult.NONE)),
        (None, None, [], MarketStatus.UNKNOWN, (MarketResult.NONE, MarketResult.NONE)),
    ],
)
def test_polymarket_pays_what_a_closed_market_is_worth(
    closed: bool | None,
    accepting: bool | None,
    prices: list[str],
    status: MarketStatus,
    results: tuple[MarketResult, MarketResult],
) -> None:
    """1, 0 or one half for each token, and nothing while the market is open, whatever its price."""

    def change(value: Any) -> None:
        value[1] |= {"closed": closed, "acceptingOrders": accepting, "outcomePrices": json.dumps(prices)}

    markets = polymarket.parse(changed("polymarket", "rest_markets", change), [LOST, WON], None)
    assert [market.status for market in markets] == [status, status]
    assert tuple(market.result for market in markets) == results


@pytest.mark.parametrize(
    ("enabled", "schedule", "fee"),
    [
        (True, {"rate": 0.07, "exponent": 1}, FeeSchedule(FeeKind.POLYMARKET, 70_000)),
        (True, {"rate": "0.25", "exponent": 2}, FeeSchedule(FeeKind.POLYMARKET, 250_000, exponent=2)),
        (True, {"rate": 0, "exponent": 1}, FeeSchedule(FeeKind.POLYMARKET)),
        (False, None, FeeSchedule(FeeKind.POLYMARKET)),
        (True, None, UNKNOWN_FEE),
        (None, None, UNKNOWN_FEE),
        (None, {"rate": 0.07, "exponent": 1}, UNKNOWN_FEE),
    ],
)
def test_polymarket_fees_are_known_zero_or_unknown(
    enabled: bool | None, schedule: Any, fee: FeeSchedule
) -> None:
    """`feesEnabled` false is a known zero; no word about fees is no zero."""

    def change(value: Any) -> None:
        value[0] |= {"feesEnabled": enabled, "feeSchedule": schedule}

    (market,) = polymarket.parse(changed("polymarket", "rest_markets", change), [YES], None)
    assert market.fee == fee


@pytest.mark.parametrize(
    ("rate", "exponent"),
    [
        (1, 1),
        (-0.01, 1),
        (0.0000001, 1),
        (0.05, 1.5),
        (0.05, -1),
        (0.05, 5),
        ("sNaN", 1),
        ("NaN", 1),
        (0.05, "NaN"),
        ("1e999999", 1),
        ("Infinity", 1),
        (0.05, "1e999999"),
        ("x", 1),
    ],
)
def test_a_polymarket_fee_that_makes_no_sense_is_refused(rate: Any, exponent: Any) -> None:
    """A rate is a fraction in millionths at most, an exponent a small whole number."""

    def change(value: Any) -> None:
        value[0]["feeSchedule"] = {"rate": rate, "exponent": exponent}

    answer = changed("polymarket", "rest_markets", change)
    refused(lambda: polymarket.parse(answer, [YES], None))


@pytest.mark.parametrize("tokens", [None, "[]", '["1"]', json.dumps([YES, NO, LOST])])
def test_a_polymarket_market_without_two_tokens_is_passed_over(tokens: str | None) -> None:
    """New markets have empty ids for some minutes; they are asked for again."""

    def change(value: Any) -> None:
        value[0]["clobTokenIds"] = tokens

    assert polymarket.parse(changed("polymarket", "rest_markets", change), [YES, NO], None) == []


# -- Kraken


def test_kraken_is_asked_by_its_old_names() -> None:
    """XBT and XDG in REST, BTC and DOGE everywhere else; one request for all."""
    assert kraken.paths([BTC, DOGE, "ETH/BTC"]) == ["/0/public/AssetPairs?pair=XBTUSD,XDGUSD,ETHXBT"]
    assert kraken.rest_name("ETH/BTC") == "ETH/XBT"


def test_kraken_tells_scale_minimum_and_base_tier() -> None:
    """Decimals are the scale; fees in per cent of the first tier; a maker fee not sent is the taker's;
    tiers are kept where their volume is in dollars.
    """
    taker = ((Decimal(0), 4_000), (Decimal(10_000), 3_500), (Decimal(50_000), 2_400))
    maker = ((Decimal(0), 2_500), (Decimal(10_000), 2_000), (Decimal(50_000), 1_400))
    assert by_name(kraken.parse(body("kraken", "rest_asset_pairs"), [BTC, DOGE], None, 7)) == {
        BTC: TieredMarket(
            "kraken",
            BTC,
            Scale(1, 8),
            grid_ticks=1,
            lot_units=1,
            min_units=5_000,
            min_cost_micros=500_000,
            fee=FeeSchedule(FeeKind.BPS, rate_ppm=4_000, maker_rate_ppm=2_500),
            status=MarketStatus.OPEN,
            title=BTC,
            tiers=TierTable(taker, maker, "kraken AssetPairs", 7),
        ),
        DOGE: TieredMarket(
            "kraken",
            DOGE,
            Scale(7, 8),
            grid_ticks=1,
            lot_units=1,
            min_units=3_000_000_000,
            min_cost_micros=500_000,
            fee=FeeSchedule(FeeKind.BPS, rate_ppm=4_000, maker_rate_ppm=4_000),
            status=MarketStatus.PAUSED,
            title=DOGE,
        ),
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [("online", MarketStatus.OPEN), ("delisted", MarketStatus.CLOSED), (None, MarketStatus.UNKNOWN)]
    + [(word, MarketStatus.PAUSED) for word in ("limit_only", "post_only", "reduce_only", "maintenance")]
    + [("something new", MarketStatus.UNKNOWN)],
)
def test_kraken_statuses(status: str | None, expected: MarketStatus) -> None:
    """We take, so every state in which takers are not served is a pause."""

    def change(value: Any) -> None:
        value["result"]["XXBTZUSD"]["status"] = status

    (market,) = kraken.parse(changed("kraken", "rest_asset_pairs", change), [BTC], None)
    assert market.status == expected


@pytest.mark.parametrize(
    ("fields", "fee"),
    [
        ({"fees": []}, UNKNOWN_FEE),
        ({"fees": [[0, 0]], "fees_maker": []}, FeeSchedule(FeeKind.BPS)),
        ({"fees": [[0, "0.4"], [5, 9]], "fees_maker": [[0, 0]]}, FeeSchedule(FeeKind.BPS, 4_000, 0)),
        ({"fees": [[1, "0.4"]]}, UNKNOWN_FEE),
        ({"fees": [[0, "0.4"], [5, "0.3"], [5, "0.2"]]}, UNKNOWN_FEE),
        ({"fees": [[0, "0.4"]], "fees_maker": [[0, 0.2], [9, 0.1], [8, 0]]}, UNKNOWN_FEE),
    ],
)
def test_kraken_fees_are_known_zero_or_unknown(fields: dict[str, Any], fee: FeeSchedule) -> None:
    """A table without a row says nothing, nor does one with a hole; a row of zeros says zero."""

    def change(value: Any) -> None:
        value["result"]["XXBTZUSD"] |= fields

    (market,) = kraken.parse(changed("kraken", "rest_asset_pairs", change), [BTC], None)
    assert market.fee == fee


@pytest.mark.parametrize(
    "fields",
    [
        {"fees": [[0, -0.1]]},
        {"fees": [[0, 100]]},
        {"fees": [[0, 0.00001]]},
        {"fees": [[0, "sNaN"]]},
        {"fees": [[0, "1e999999"]]},
        {"fees": [["NaN", "0.4"]]},
        {"fees": [["1e999999", "0.4"]]},
        {"fees": [["sNaN", "0.4"]]},
        {"pair_decimals": -1},
        {"lot_decimals": 19},
        {"tick_size": "0.01"},
        {"tick_size": "-0.1"},
        {"ordermin": "x"},
        {"costmin": "0.0000001"},
    ],
    ids=str,
)
def test_a_kraken_pair_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    """Off its own scale, below 0 or no number."""

    def change(value: Any) -> None:
        value["result"]["XXBTZUSD"] |= fields

    answer = changed("kraken", "rest_asset_pairs", change)
    refused(lambda: kraken.parse(answer, [BTC], None))


def test_kraken_errors_are_about_the_question_or_about_kraken() -> None:
    """`EQuery:` names a pair that there is not; everything else is trouble of the venue's own."""
    question = refused(lambda: kraken.parse(body("kraken", "rest_error"), [BTC], None))
    assert "EQuery:Unknown asset pair" in question
    with pytest.raises(VenueTroubleError, match="EService:Unavailable"):
        kraken.parse(body("kraken", "rest_busy"), [BTC], None)


# -- Coinbase


def test_coinbase_is_asked_for_each_product() -> None:
    """There is no list of several."""
    assert coinbase.paths(["BTC-USD", "A/B"]) == ["/market/products/BTC-USD", "/market/products/A%2FB"]


def test_coinbase_tells_increments_and_minimum() -> None:
    """Fees are not public, so they are unknown here."""
    assert coinbase.parse(body("coinbase", "rest_product"), ["BTC-USD"], None) == [
        Market(
            "coinbase",
            "BTC-USD",
            Scale(8, 8),
            grid_ticks=1_000_000,
            lot_units=1,
            min_units=2,
            min_cost_micros=1_000_000,
            fee=UNKNOWN_FEE,
            status=MarketStatus.OPEN,
            title="BTC-USD",
        )
    ]


def test_coinbase_answers_for_an_alias_too() -> None:
    """The USDC product is the USD book under another name."""
    markets = coinbase.parse(body("coinbase", "rest_product"), ["BTC-USDC"], None)
    assert [market.market for market in markets] == ["BTC-USDC"]


FLAGS = "trading_disabled is_disabled cancel_only limit_only post_only auction_mode view_only".split()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({flag: True}, MarketStatus.PAUSED) for flag in FLAGS]
    + [
        ({"status": "offline"}, MarketStatus.PAUSED),
        ({"status": "delisted"}, MarketStatus.CLOSED),
        ({"status": None}, MarketStatus.UNKNOWN),
        ({}, MarketStatus.OPEN),
    ],
    ids=str,
)
def test_coinbase_is_open_only_where_takers_are_served(
    fields: dict[str, Any], expected: MarketStatus
) -> None:
    """Any one flag pauses the market."""
    answer = changed("coinbase", "rest_product", lambda value: value.update(fields))
    (market,) = coinbase.parse(answer, ["BTC-USD"], None)
    assert market.status == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"price_increment": "-1"},
        {"base_increment": "0.000000001"},
        {"base_min_size": "x"},
        {"quote_min_size": "NaN"},
    ],
    ids=str,
)
def test_a_coinbase_product_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    """Off the scale, below 0 or no number."""
    answer = changed("coinbase", "rest_product", lambda value: value.update(fields))
    refused(lambda: coinbase.parse(answer, ["BTC-USD"], None))
