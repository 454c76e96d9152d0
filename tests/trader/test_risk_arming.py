"""Arming: real money needs two steps, and only a tighter limit counts without them."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import (
    Config,
    EventConfig,
    FeeConfig,
    KellyConfig,
    RiskConfig,
    ScannerConfig,
    VenueConfig,
    sealed,
)
from pipeline.trader.arming import TIGHTER, VALID_NS, Arming, Tighter, caps, effective, phrase

PAPER = sealed(Config())
LIVE = sealed(Config(mode="live", account="main", venues={"kalshi": VenueConfig()}))
NOW = 10**15


def changed(config: Config = LIVE, **changes) -> Config:
    return sealed(msgspec.structs.replace(config, **changes))


def limits(**changes) -> Config:
    return changed(risk=msgspec.structs.replace(LIVE.risk, **changes))


def armed(config: Config = LIVE) -> Arming:
    arming = Arming(live=True)
    assert arming.arm(phrase(config), config, NOW, halted=False, keys=True) == ""
    return arming


def stepped(key: str, way: Tighter, steps: int) -> dict[str, object]:
    """The limit of the defaults, so many steps tighter (or, below 0, looser)."""
    value = getattr(RiskConfig(), key)
    step = (1 if way is Tighter.HIGHER else -1) * steps
    if isinstance(value, int):
        return {key: value + step}
    return {key: str(Decimal(value) + Decimal(step) / 1000)}


def test_every_limit_says_which_way_is_tighter():
    """No key of [risk] is forgotten, and none is named that is not there."""
    assert set(TIGHTER) == set(RiskConfig.__struct_fields__)


def test_paper_and_demo_need_no_arming():
    """There is nothing to arm: orders may be sent, and every change counts at once."""
    arming = Arming(live=False)
    assert arming.armed(PAPER, NOW, halted=False)
    assert "not live" in arming.arm(phrase(PAPER), PAPER, NOW, halted=False, keys=True)
    other = changed(PAPER, risk=RiskConfig(max_order_usd="99"), fees={"kraken": FeeConfig(taker_bps="1")})
    found = effective(PAPER, other, live=False, armed=True)
    assert (found.config, found.still_armed, found.waits) == (other, True, ())
    arming.adopt(found)
    assert arming.armed(other, NOW, halted=False)


def test_live_starts_disarmed_and_takes_both_steps():
    """The mode alone arms nothing, nor does the phrase without the mode, the keys, or while halted."""
    arming = Arming(live=True)
    assert not arming.armed(LIVE, NOW, halted=False)
    assert "not armed" in arming.why
    for typed in ("", "yes", phrase(LIVE).upper(), phrase(LIVE) + "0"):
        assert phrase(LIVE) in arming.arm(typed, LIVE, NOW, halted=False, keys=True)
    assert arming.arm(phrase(LIVE), LIVE, NOW, halted=True, keys=True)
    assert arming.arm(phrase(LIVE), LIVE, NOW, halted=False, keys=False)
    assert arming.arm(phrase(PAPER), PAPER, NOW, halted=False, keys=True)
    assert not arming.armed(LIVE, NOW, halted=False)
    assert arming.arm(f"  {phrase(LIVE)} \n", LIVE, NOW, halted=False, keys=True) == ""
    assert arming.armed(LIVE, NOW, halted=False)


def test_the_phrase_and_the_caps_name_what_is_at_stake():
    """Whoever arms sees every cap, and types the account and the largest sum."""
    assert phrase(LIVE) == "trade main with $400"
    for number in ("$10 ", "$50 ", "$250 ", "$400 ", "$50 ", "5 losses"):
        assert number in caps(LIVE)


def test_eight_hours_disarm():
    """The last nanosecond of eight hours is armed; the next is not, and stays so."""
    arming = armed()
    assert arming.armed(LIVE, NOW + VALID_NS - 1, halted=False)
    assert not arming.armed(LIVE, NOW + VALID_NS, halted=False)
    assert not arming.armed(LIVE, NOW, halted=False)
    assert "eight hours" in arming.why


def test_a_halt_disarms_for_good():
    """After HALT is over it must be armed again."""
    arming = armed()
    assert not arming.armed(LIVE, NOW, halted=True)
    assert not arming.armed(LIVE, NOW, halted=False)
    assert arming.why == "halted"


def test_it_is_bound_to_the_config():
    """Under a config that nobody armed nothing is sent."""
    assert not armed().armed(limits(max_order_usd="9"), NOW, halted=False)


@pytest.mark.parametrize(("key", "way"), TIGHTER.items())
def test_a_tighter_limit_counts_at_once_and_a_looser_one_waits(key, way):
    """Each key of [risk], one step both ways: tighter keeps the arming, looser waits and ends it."""
    tighter = limits(**stepped(key, way, 1))
    found = effective(LIVE, tighter, live=True, armed=True)
    assert (found.config, found.still_armed, found.waits) == (tighter, True, ())
    arming = armed()
    arming.adopt(found)
    assert arming.armed(found.config, NOW, halted=False)

    looser = limits(**stepped(key, way, -1))
    found = effective(LIVE, looser, live=True, armed=True)
    assert (found.config, found.still_armed, found.waits) == (LIVE, False, (f"risk.{key}",))
    arming = armed()
    arming.adopt(found)
    assert not arming.armed(found.config, NOW, halted=False)
    assert key in arming.why
    assert arming.arm(phrase(looser), looser, NOW, halted=False, keys=True) == ""
    assert arming.armed(looser, NOW, halted=False)


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({"fees": {"kraken": FeeConfig(taker_bps="40")}}, ("fees.kraken",)),
        ({"venues": {}}, ("venues.kalshi",)),
        ({"venues": {"kalshi": VenueConfig(url="wss://elsewhere")}}, ("venues.kalshi",)),
        ({"events": (EventConfig("e"),)}, ("events.e",)),
    ],
)
def test_fees_venues_and_events_wait(changes, waits):
    """Whatever is changed there is not acted on until it is armed again."""
    found = effective(LIVE, changed(**changes), live=True, armed=True)
    assert (found.config, found.still_armed, found.waits) == (LIVE, False, waits)


def test_what_is_no_limit_counts_at_once():
    """Kelly and the scanner may be changed while armed."""
    other = changed(kelly=KellyConfig(mode="quarter"), scanner=ScannerConfig(repeat_ms=900))
    found = effective(LIVE, other, live=True, armed=True)
    assert (found.config, found.still_armed) == (other, True)


def test_a_change_of_both_kinds_is_taken_as_far_as_it_is_tighter():
    """The tighter limit counts though the looser one waits, and what is made of both has its own hash."""
    other = changed(risk=RiskConfig(max_order_usd="5", max_event_usd="60"), kelly=KellyConfig(mode="quarter"))
    found = effective(LIVE, other, live=True, armed=True)
    assert (found.config.risk.max_order_usd, found.config.risk.max_event_usd) == ("5", "50")
    assert found.config.kelly.mode == "quarter"
    assert found.waits == ("risk.max_event_usd",)
    assert found.config.hash not in {LIVE.hash, other.hash}
    assert found.config.hash == sealed(found.config).hash


def test_disarmed_stays_disarmed():
    """A change never arms."""
    found = effective(LIVE, limits(max_order_usd="1"), live=True, armed=False)
    arming = Arming(live=True)
    arming.adopt(found)
    assert not found.still_armed
    assert not arming.armed(found.config, NOW, halted=False)


@given(st.dictionaries(st.sampled_from(list(TIGHTER)), st.integers(-2, 2)))
def test_no_change_ever_loosens_what_is_acted_on(steps):
    """Of any change of limits, what is acted on is nowhere looser than before."""
    taken: dict[str, object] = {}
    for key, number in steps.items():
        taken |= stepped(key, TIGHTER[key], number)
    found = effective(LIVE, limits(**taken), live=True, armed=True)
    for key, way in TIGHTER.items():
        rise = Decimal(getattr(found.config.risk, key)) - Decimal(getattr(LIVE.risk, key))
        assert rise == 0 or (rise > 0) == (way is Tighter.HIGHER)
    assert set(found.waits) == {f"risk.{key}" for key, number in steps.items() if number < 0}
    assert found.still_armed == (not found.waits)
