"""Events and fees of config.toml: what each kind needs, and what each mistake is told."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.config_schema import ConfigProblems, resolve
from pipeline.config_schema.event_checks import LEGS
from pipeline.model_events import EVENT_KINDS, MAX_LEGS
from pipeline.pairs import directions

VENUES = "[venues.kalshi]\n[venues.polymarket]\n[venues.kraken]\n[venues.coinbase]\n[venues.'ccxt:okx']\n"
CLOSE = 'close = "2026-12-16T19:00:00Z"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds nothing."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str) -> Config:
    Path("config.toml").write_text(text, encoding="utf-8")
    return resolve(
        path=Path("config.toml"), profile=None, sets=(), environ={}, data_directory=Path("data"), uid=1
    )


def told(text: str) -> list[str]:
    """What is wrong with a file, without line numbers."""
    with pytest.raises(ConfigProblems) as caught:
        load(text)
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


def leg(venue: str = "kalshi", market: str = "A", **more: str) -> str:
    words = "".join(f', {key} = "{value}"' for key, value in more.items())
    return f'{{ venue = "{venue}", market = "{market}"{words} }}'


def event(kind: str, *legs: str, more: str = "") -> str:
    return f'{VENUES}[[events]]\nid = "e"\nkind = "{kind}"\nlegs = [{", ".join(legs)}]\n{more}'


def polymarket(count: int) -> list[str]:
    return [leg("polymarket", str(number)) for number in range(count)]


def tiers(*volumes: int) -> str:
    rows = (f"{{ from_usd = {volume}, maker_bps = 25.5, taker_bps = 40 }}" for volume in volumes)
    return f"tiers = [{', '.join(rows)}]\n"


SPOT_LEG = leg("coinbase", "BTC-USD")
DIGITAL = 'digital = { strike = "90000" }\n'
GOOD = {
    "binary": event("binary", leg(), leg("polymarket", "1", polarity="inverse", void="half")),
    "binary of four": event("binary", leg(), *polymarket(3)),
    "spot": event("spot", leg("kraken", "BTC/USD"), SPOT_LEG, more='transfer_usd = "2"\n'),
    "spot converted": event(
        "spot",
        leg("ccxt:okx", "BTC/USDT", convert_venue="kraken", convert_market="USDT/USD"),
        SPOT_LEG,
    ),
    "complement": event("complement", *polymarket(2)),
    "basket": event("basket", *polymarket(MAX_LEGS), more="exhaustive = true\n"),
    "implication": event("implication", *polymarket(5)),
    "ladder": event("ladder", leg(), leg(market="B")),
    "model": event("model", leg(), SPOT_LEG, more=CLOSE + DIGITAL),
    "model of ccxt": event("model", leg("ccxt:okx", "BTC/USDT"), leg(), more=CLOSE + DIGITAL),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_each_kind_of_event_is_taken_and_traded(text: str, folder: Path) -> None:
    """An event that has what its kind needs is taken, and there are directions in which to trade it."""
    (only,) = load(text).all_events()
    assert directions([only])


def test_spot_legs_trade_the_base_without_saying_so(folder: Path) -> None:
    """Legs of spot events, and the spot leg of a model event, need no outcome; a digital's is yes."""
    assert [found.outcome for found in load(GOOD["spot"]).events[0].legs] == ["base", "base"]
    assert [found.outcome for found in load(GOOD["model"]).events[0].legs] == ["yes", "base"]
    assert [found.outcome for found in load(GOOD["model of ccxt"]).events[0].legs] == ["base", "yes"]
    assert "events.0.legs" not in "".join(told("[[events]]\nid = 'a'\nkind = 'spot'\nlegs = 3\n"))


def test_what_a_config_says_of_an_event_reaches_the_model(folder: Path) -> None:
    """Void rules, conversion, review and digital are what scanner and trader see."""
    hashes = "A" * 64 + ", " + "b" * 64
    review = f'review = {{ by = "me", rules_hash = "{hashes}", mismatch = "0.01", void_rule = "both" }}\n'
    (found,) = load(GOOD["binary"] + review).all_events()
    assert found.review is not None
    assert found.review.hashes == {"a" * 64, "b" * 64}
    assert str(found.review.mismatch) == "0.01" and found.legs[1].void == "half"
    (spot,) = load(GOOD["spot converted"]).all_events()
    assert spot.legs[0].convert == ("kraken", "USDT/USD") and spot.legs[1].convert == ("", "")
    (model,) = load(GOOD["model"]).all_events()
    assert model.digital is not None and str(model.digital.strike) == "90000"
    assert str(load(GOOD["spot"]).all_events()[0].transfer_usd) == "2"


# Name: (the file, the path of the key and what is said of it).
WRONG = {
    "one leg": (event("basket", leg()), "events[0].legs: an event needs at least two legs, got 1"),
    "five binary": (
        event("binary", *polymarket(5)),
        "events[0].legs: an event of kind 'binary' has 2 to 4 legs (each two of them are a pair), got 5",
    ),
    "five spot": (event("spot", *(leg("kraken", str(n)) for n in range(5))), "'spot' has 2 to 4 legs"),
    "three complement": (event("complement", *polymarket(3)), "has 2 legs (the two tokens of one market)"),
    "thirteen basket": (event("basket", *polymarket(13)), "'basket' has 2 to 12 legs"),
    "six implication": (event("implication", *polymarket(6)), "'implication' has 2 to 5 legs"),
    "six ladder": (event("ladder", *polymarket(6)), "'ladder' has 2 to 5 legs"),
    "three model": (
        event("model", leg(), leg(market="B"), SPOT_LEG, more=CLOSE + DIGITAL),
        "events[0].legs: an event of kind 'model' has 2 legs",
    ),
    "kalshi complement": (
        event("complement", leg(), leg(market="B")),
        "events[0].legs: Kalshi keeps YES and NO in one book, which cannot disagree with itself",
    ),
    "complement of two": (
        event("complement", leg("polymarket"), leg("ccxt:okx", "B")),
        "events[0].legs: both legs of a complement event are of one venue; for two venues use kind 'binary'",
    ),
    "model without spot": (
        event("model", leg(), leg(market="B"), more=CLOSE + DIGITAL),
        "events[0].legs: a model event has one leg with outcome 'yes' (the digital) and one with 'base'",
    ),
    "model of two coins": (
        event("model", leg("kraken", "B"), SPOT_LEG, more=CLOSE + DIGITAL),
        "events[0].legs: a model event has one leg with outcome 'yes'",
    ),
    "model of a no": (
        event("model", leg(outcome="no"), SPOT_LEG, more=CLOSE + DIGITAL),
        "events[0].legs: a model event has one leg with outcome 'yes'",
    ),
    "no digital": (event("model", leg(), SPOT_LEG, more=CLOSE), "events[0].digital: a model event must say"),
    "strike of nothing": (
        event("model", leg(), SPOT_LEG, more=CLOSE + DIGITAL.replace("90000", "0.0")),
        "events[0].digital.strike: must be more than 0 dollars",
    ),
    "no strike": (event("model", leg(), SPOT_LEG, more=CLOSE + "digital = {}"), "digital.strike: is missing"),
    "no close": (event("model", leg(), SPOT_LEG, more=DIGITAL), "events[0].close: a model event must say"),
    "digital elsewhere": (
        event("ladder", *polymarket(2), more=DIGITAL),
        "events[0].digital: belongs to events of kind 'model' alone: take it out",
    ),
    "exhaustive elsewhere": (
        event("ladder", *polymarket(2), more="exhaustive = true\n"),
        "events[0].exhaustive: belongs to events of kind 'basket' alone: take it out",
    ),
    "transfer elsewhere": (
        event("binary", *polymarket(2), more='transfer_usd = "0.01"\n'),
        "events[0].transfer_usd: belongs to events of kind 'spot' alone: take it out",
    ),
    "base in a basket": (
        event("basket", leg(), leg("polymarket", outcome="base")),
        "events[0].legs[1].outcome: a leg of a basket event pays on 'yes' or 'no', got 'base'",
    ),
    "yes in spot": (
        event("spot", leg("kraken", outcome="yes"), SPOT_LEG),
        "events[0].legs[0].outcome: a leg of a spot event trades 'base', got 'yes'",
    ),
    "inverse spot": (
        event("model", leg(), leg("kraken", polarity="inverse"), more=CLOSE + DIGITAL),
        "events[0].legs[1].polarity: a leg that trades the base cannot be inverse",
    ),
    "void spot": (
        event("spot", leg("kraken", void="zero"), SPOT_LEG),
        "events[0].legs[0].void: a leg that trades the base is never called off: take it out",
    ),
    "void of another word": (
        event("binary", leg(void="zeros"), leg(market="B")),
        "events[0].legs[0].void: must be '', 'zero', 'half', 'refund' or 'never', got 'zeros'",
    ),
    "same market twice": (
        event("basket", *polymarket(2), leg("polymarket", "1")),
        "events[0].legs[2].market: polymarket '1' stands twice in this event",
    ),
    "half a conversion": (
        event("spot", leg("kraken", convert_venue="kraken"), SPOT_LEG),
        "events[0].legs[0].convert_market: name the market too that convert_venue is asked for",
    ),
    "the other half": (
        event("spot", leg("kraken", convert_market="USDT/USD"), SPOT_LEG),
        "events[0].legs[0].convert_venue: name the venue of convert_market too",
    ),
    "conversion by itself": (
        event("spot", leg("kraken", "A", convert_venue="kraken", convert_market="A"), SPOT_LEG),
        "events[0].legs[0].convert_market: is the leg's own market: name one in dollars",
    ),
    "conversion at no venue": (
        event("spot", leg("kraken", convert_venue="krakn", convert_market="B"), SPOT_LEG),
        "events[0].legs[0].convert_venue: no venue 'krakn' is known",
    ),
    "conversion at no table": (
        event("spot", leg("kraken", convert_venue="ccxt:bybit", convert_market="B"), SPOT_LEG),
        "events[0].legs[0].convert_venue: there is no [venues.ccxt:bybit]",
    ),
    "conversion of a contract": (
        event("binary", leg(convert_venue="kraken", convert_market="USDT/USD"), leg(market="B")),
        "events[0].legs[0].convert_venue: only the legs of spot events are converted: take it out",
    ),
    "half a hash": (
        event("binary", *polymarket(2), more='review = { rules_hash = "' + "a" * 64 + ' abc" }\n'),
        "events[0].review.rules_hash: must be SHA-256 sums of 64 hex digits, apart by spaces, got 'abc'",
    ),
    "a sure mismatch": (
        event("binary", *polymarket(2), more='review = { mismatch = "1.01" }\n'),
        "events[0].review.mismatch: must be from 0 to 1, got 1.01",
    ),
    "close of another form": (
        event("ladder", *polymarket(2), more='close = "tonight"\n'),
        "events[0].close: must be a time such as 2026-11-03T22:00:00Z, got 'tonight'",
    ),
    "flat of nothing": (
        '[fees.kraken]\nkind = "flat"\n',
        "fees.kraken.per_unit: kind 'flat' needs the dollars that a contract or coin costs",
    ),
    "custom of nothing": (
        '[fees.kraken]\nkind = "custom"\n',
        "fees.kraken.rate: kind 'custom' needs a rate, per_unit, or both",
    ),
    "per unit of bps": (
        "[fees.kraken]\nper_unit = 1\n",
        "fees.kraken: [fees.kraken] sets per_unit, which BPS fees do not know",
    ),
    "rounding of kalshi": ("[fees.kalshi]\nrounding = 0.01\n", "sets rounding, which KALSHI fees do not"),
    "more than the price": (
        "[fees.kalshi]\nmultiplier = 1000\ntaker_coefficient = 0.07\n",
        "fees.kalshi: ",
    ),
    "as of no day": ('[fees.kraken]\nas_of = "May"\n', "fees.kraken.as_of: must be a time such as"),
    "kind of another name": ('[fees.kraken]\nkind = "bp"\n', "fees.kraken.kind: must be 'kalshi',"),
    "hole at the bottom": ("[fees.coinbase]\n" + tiers(1), "fees.coinbase.tiers: "),
    "two tiers at once": ("[fees.coinbase]\n" + tiers(0, 0), "fees.coinbase.tiers: "),
    "falling tiers": ("[fees.coinbase]\n" + tiers(0, 20, 10), "fees.coinbase.tiers: "),
    "half a tier": (
        "[fees.coinbase]\ntiers = [{ from_usd = 0, maker_bps = 2 }]\n",
        "fees.coinbase.tiers[0].taker_bps: is missing",
    ),
    "tiers of a curve": (
        "[fees.kalshi]\n" + tiers(0),
        "fees.kalshi: [fees.kalshi] sets tiers, which KALSHI fees do not know",
    ),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_each_mistake_is_told_once_by_its_key(text: str, said: str, folder: Path) -> None:
    """One mistake is one finding, which names the key and says what to do."""
    (found,) = told(text)
    assert said in found


def test_fees_of_every_kind_are_taken(folder: Path) -> None:
    """Own formulas, tiers by volume, and who said so."""
    text = (
        '[fees.kraken]\nkind = "flat"\nper_unit = 0.02\nrounding = 0.01\nsource = "me"\nas_of = 2026-11-20\n'
        "[fees.coinbase]\nvolume_usd = 15_000\n"
        + tiers(0, 10_000)
        + '[fees.polymarket]\nkind = "custom"\nrate = 0.01\n'
    )
    fees = load(text).fees
    assert (fees["kraken"].per_unit, fees["kraken"].as_of) == ("0.02", "2026-11-20")
    assert [tier.maker_bps for tier in fees["coinbase"].tiers] == ["25.5", "25.5"]
    assert fees["coinbase"].volume_usd == "15000"


LEG = st.fixed_dictionaries(
    {
        "venue": st.sampled_from(["kalshi", "polymarket", "kraken", "coinbase", "ccxt:okx", "mars"]),
        "market": st.sampled_from("ABCDEFGHIJKLMN"),
    },
    optional={
        "outcome": st.sampled_from(["yes", "no", "base"]),
        "polarity": st.sampled_from(["same", "inverse"]),
        "void": st.sampled_from(["", "zero", "half", "refund", "never"]),
        "convert_venue": st.sampled_from(["kraken", ""]),
        "convert_market": st.sampled_from(["Z", "A"]),
    },
)
EVENT = st.fixed_dictionaries(
    {"kind": st.sampled_from(EVENT_KINDS), "legs": st.lists(LEG, max_size=MAX_LEGS + 1)},
    optional={
        "close": st.sampled_from(["2026-12-16T19:00:00Z", "never", ""]),
        "exhaustive": st.booleans(),
        "transfer_usd": st.sampled_from(["0", "0.0", "1"]),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=EVENT, digital=st.booleans())
def test_an_event_is_taken_whole_or_explained(event: dict[str, Any], digital: bool, folder: Path) -> None:
    """Any event is told what is wrong with it, or has directions, as many legs as its kind may, no twins."""
    legs = "[" + ", ".join(leg(**one) for one in event["legs"]) + "]"
    text = VENUES + f'[[events]]\nid = "e"\nlegs = {legs}\n'
    for key in event.keys() - {"legs"}:
        text += f"{key} = {str(event[key]).lower() if key == 'exhaustive' else repr(event[key])}\n"
    text += DIGITAL if digital else ""
    try:
        (found,) = load(text).all_events()
    except ConfigProblems as problems:
        assert all(problem.message and problem.key.startswith("events[0]") for problem in problems.problems)
        return
    least, most, _ = LEGS[found.kind]
    assert least <= len(found.legs) <= most
    assert len({(one.venue, one.market) for one in found.legs}) == len(found.legs)
    assert directions([found])
    assert (found.digital is not None) == (found.kind == "model")
