"""Numbers in and out exactly, and what a book's state is worth."""

from decimal import Decimal, Inexact

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model import (
    BOOK_REASONS,
    EXACT,
    INT64_MAX,
    BookState,
    Reason,
    Scale,
    StateLimits,
    book_state,
    to_text,
    to_units,
)
from pipeline.model_events import OrderLeg, order_price_ticks
from pipeline.money import money_text, to_decimal, to_micros

UNITS = st.integers(-INT64_MAX, INT64_MAX)
DECIMALS = st.integers(0, 18)


@settings(deadline=None)
@given(UNITS, DECIMALS)
def test_text_and_units_are_inverse(units: int, decimals: int) -> None:
    """Units written as text are read back the same, and mean the same as the exact Decimal."""
    text = to_text(units, decimals)
    assert to_units(text, decimals) == units
    assert Decimal(text) == to_decimal(units, decimals)
    assert "e" not in text.lower() and not (("." in text) and text.endswith(("0", ".")))


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**10), max_value=10**10))
def test_units_are_decimals_units(number: Decimal) -> None:
    """Reading agrees with Decimal, in plain and in exponent form."""
    wanted = int(number.scaleb(8))
    assert to_units(format(number, "f"), 8) == wanted
    assert to_units(f"{number:e}", 8) == wanted


@settings(deadline=None)
@given(st.text("0123456789+-.eE_ \u0661xinfa", max_size=12), st.integers(0, 8))
def test_reading_is_right_or_refuses(text: str, decimals: int) -> None:
    """Any text gives exactly what Decimal makes of it, or ValueError."""
    try:
        units = to_units(text, decimals)
    except ValueError:
        return
    assert to_decimal(units, decimals) == Decimal(text)


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("0", 2, 0), ("-0", 2, 0), (".5", 2, 50), ("-.5", 2, -50), ("1.50", 2, 150), ("1.500000", 2, 150),
        ("007", 0, 7), ("5e-06", 6, 5), ("1E3", 0, 1000), ("+1", 0, 1), ("9223372036854775807", 0, INT64_MAX),
        ("-9223372036854775807", 0, -INT64_MAX), ("92233720368547758.07", 2, INT64_MAX), ("0.0000", 2, 0),
    ],
)  # fmt: skip
def test_spellings_of_numbers(text: str, decimals: int, units: int) -> None:
    """The spellings that venues use are read exactly."""
    assert to_units(text, decimals) == units


@pytest.mark.parametrize(
    "text",
    [
        "", "-", ".", "-.", "1.x", "nan", "NaN", "inf", "-Infinity", "sNaN", "1e999", "1e-999", "0x10",
        "1_000", " 1", "1 ", "1\n", "--1", "1.2.3", "0.001", "1e-3", "\u0661", "\u00b2", "1,5",
        "92233720368547758.08", "-92233720368547758.08", "1e17", "9" * 400, "1" + "0" * 400 + "e-400",
    ],
)  # fmt: skip
def test_what_is_no_number_on_the_scale_is_refused(text: str) -> None:
    """Off the scale, beyond int64, not finite or not a number: refused, never rounded."""
    with pytest.raises(ValueError) as caught:
        to_units(text, 2)
    assert caught.type is ValueError


def test_booked_money_never_rounds() -> None:
    """An inexact result raises."""
    with pytest.raises(Inexact):
        EXACT.divide(Decimal(1), Decimal(3))
    assert to_decimal(INT64_MAX, 18) * 1 == Decimal("9.223372036854775807")


@pytest.mark.parametrize(
    ("amount", "text"),
    [("1.500", "1.5"), ("0.00", "0"), ("-0.00", "0"), ("1E+3", "1000"), ("1E-7", "0.0000001"), ("-2", "-2"),
     ("100", "100")],
)  # fmt: skip
def test_money_text(amount: str, text: str) -> None:
    """Money is written plainly, without trailing zeros or a negative nothing."""
    assert money_text(Decimal(amount)) == text


def test_micros_are_for_display() -> None:
    """Millionths are rounded half to even."""
    assert [to_micros(Decimal(t)) for t in ("1.5", "0.0000005", "0.0000015", "-0.0000015")] == [
        1_500_000,
        0,
        2,
        -2,
    ]


@pytest.mark.parametrize(
    ("outcome", "action", "limit", "wire", "asks"),
    [
        ("yes", "buy", 42, 42, True),
        ("yes", "sell", 42, 42, False),
        ("no", "buy", 42, 58, False),
        ("no", "sell", 42, 58, True),
        ("base", "buy", 42, 42, True),
        ("base", "sell", 42, 42, False),
    ],
)
def test_order_prices(outcome: str, action: str, limit: int, wire: int, asks: bool) -> None:
    """The wire price is the outcome's own: one minus the book's for NO, whose buyer takes YES bids."""
    leg = OrderLeg("kalshi", "M", outcome, action, limit, 1, Scale(2, 0))
    assert order_price_ticks(leg) == wire
    assert leg.takes_asks is asks


LIMITS = StateLimits(heartbeat_ns=250, proof_ns=3000, quiet_ns=30_000)
NOW = 1_000_000


def state(
    stored: int = 1, *, retired: bool = False, heartbeat: int = 0, proof: int = 0, socket: int = 0
) -> BookState:
    """State of a book whose signs of life are so many nanoseconds old."""
    return book_state(
        stored,
        retired=retired,
        heartbeat_ns=NOW - heartbeat,
        proof_ns=NOW - proof,
        socket_ns=NOW - socket,
        now_ns=NOW,
        limits=LIMITS,
    )


def test_a_live_book_is_live_up_to_each_limit() -> None:
    """LIVE holds up to and including each limit, and not a nanosecond longer."""
    assert state() == BookState.LIVE
    assert state(heartbeat=250, proof=3000, socket=30_000) == BookState.LIVE
    assert state(heartbeat=251) == BookState.DEAD
    assert state(proof=3001) == BookState.STALE
    assert state(socket=30_001) == BookState.QUIET
    assert state(retired=True) == BookState.DEAD


def test_the_worst_sign_wins() -> None:
    """A dead feed is DEAD whatever it stored; without proof of life quiet means nothing."""
    old = {"heartbeat": 251, "proof": 3001, "socket": 30_001}
    assert state(**old) == BookState.DEAD
    assert state(proof=3001, socket=30_001) == BookState.STALE
    for stored in (BookState.EMPTY, BookState.GAP, BookState.CROSSED):
        assert state(stored, proof=3001, socket=30_001) == stored
        assert state(stored, heartbeat=251) == BookState.DEAD
        assert state(stored, retired=True) == BookState.DEAD


@settings(deadline=None)
@given(
    st.sampled_from([0, 1, 2, 3]),
    st.booleans(),
    *[st.integers(-1000, 100_000)] * 3,
)
def test_only_a_book_with_every_sign_of_life_is_live(
    stored: int, retired: bool, heartbeat: int, proof: int, socket: int
) -> None:
    """LIVE means stored LIVE and nothing too old; a stamp from the future is not old."""
    live = stored == 1 and not retired and heartbeat <= 250 and proof <= 3000 and socket <= 30_000
    found = state(stored, retired=retired, heartbeat=heartbeat, proof=proof, socket=socket)
    assert (found == BookState.LIVE) == live


def test_every_state_but_live_is_a_reason() -> None:
    """Each state that does not trade has a reason of its own."""
    assert set(BOOK_REASONS) == set(BookState) - {BookState.LIVE}
    assert len(set(BOOK_REASONS.values())) == len(BOOK_REASONS)
    assert Reason.NONE not in BOOK_REASONS.values()
