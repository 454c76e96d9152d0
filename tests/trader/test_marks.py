"""Marks: what selling now would bring, in dollars counted by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.look import Look
from pipeline.model import BookState, FeeKind
from pipeline.trader.marks import take, value_now
from shm.books import BookRow
from shm.records import MARKET

D = Decimal
# YES: bids 10 at 0.40 and 5 at 0.38, asks 10 at 0.45 and 5 at 0.50; two decimals of price, none of size.
BIDS, ASKS = ((40, 10), (38, 5)), ((45, 10), (50, 5))


def look(
    bids: tuple[tuple[int, int], ...] = BIDS,
    asks: tuple[tuple[int, int], ...] = ASKS,
    *,
    state: BookState = BookState.LIVE,
    kind: FeeKind = FeeKind.BPS,
    rate_ppm: int = 0,
) -> Look:
    book = BookRow(1, 1, 1, 0, state, 0, 0, 0, 1, 1, bids, asks)
    market = MARKET.empty()._replace(
        market="M", price_decimals=2, size_decimals=0, fee_kind=kind, fee_rate_ppm=rate_ppm,
        fee_precision_micros=1,
    )  # fmt: skip
    return Look(0, book, market, state)


@pytest.mark.parametrize(
    ("outcome", "quantity", "dollars"),
    [
        ("yes", "4", "1.6"),
        ("yes", "12", "4.76"),  # 10 at 0.40, 2 at 0.38
        ("yes", "100", "5.9"),  # what finds nobody is worth nothing
        ("no", "4", "2.2"),  # into the YES asks at 0.45: 0.55 each
        ("no", "12", "6.5"),
        ("yes", "-12", "-5.5"),  # bought back at the asks
        ("no", "-4", "-2.4"),  # bought back at the YES bids: 0.60 each
        ("base", "4", "1.6"),
        ("base", "-15", "-7"),
        ("base", "-16", None),  # one of them nobody sells
    ],
)
def test_a_position_is_worth_what_the_book_pays_for_it(
    outcome: str, quantity: str, dollars: str | None
) -> None:
    """Level by level, on the side that closing it hits."""
    value = value_now(outcome, D(quantity), look())
    assert value == (None if dollars is None else D(dollars))


def test_the_fee_of_selling_is_paid() -> None:
    """1 % of $4 when selling, and of $4.5 on top when buying back; roundings count against us."""
    fee = look(kind=FeeKind.BPS, rate_ppm=10_000)
    for quantity, dollars in ((D(10), D("3.96")), (D(-10), D("-4.545"))):
        value = value_now("base", quantity, fee)
        assert value is not None
        assert 0 <= dollars - value <= D("0.000001")


@pytest.mark.parametrize(
    "no_book",
    [
        None,
        look(state=BookState.STALE),
        look(state=BookState.EMPTY),
        look(bids=()),
        look(kind=FeeKind.UNKNOWN),
    ],
)
def test_no_book_no_value(no_book: Look | None) -> None:
    """Only a live book with that side and a known fee says what something is worth."""
    assert value_now("yes", D(1), no_book) is None


def test_no_level_is_taken_twice_or_beyond_its_size() -> None:
    """What is taken are the best levels, the last of them in part."""
    assert take(ASKS, 12) == [(45, 10), (50, 2)]
    assert take(ASKS, 0) == []
