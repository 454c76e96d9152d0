"""Memos: every spelling of a number gives its one integer or a refusal, remembered or not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import INT64_MAX, to_text, to_units
from pipeline.venues.memo import MEMO_MAX, NUMBER_MAX, Amounts, moment_ns, read_amount


@given(units=st.integers(0, INT64_MAX), decimals=st.integers(0, 18), zeros=st.integers(0, 6))
def test_plain_text_is_read_exactly(units: int, decimals: int, zeros: int) -> None:
    """What the model writes is read back, also with zeros put behind, from text and from bytes."""
    text = to_text(units, decimals)
    if "." in text:
        text += "0" * zeros
    texts, raws = Amounts(decimals, 0, "."), Amounts(decimals, 0, b".")
    assert texts[text] == texts[text] == raws[text.encode()] == raws[text.encode()] == units


@given(text=st.text("0123456789.-+eE_ \u0665", max_size=12), decimals=st.integers(0, 8))
def test_every_spelling_is_read_as_the_model_reads_it(text: str, decimals: int) -> None:
    """The quick way accepts nothing that the careful one refuses, and the other way round."""
    try:
        expected: int | None = to_units(text, decimals)
    except ValueError:
        expected = None
    if expected is not None and expected < 0:
        expected = None
    try:
        found: int | None = read_amount(text, decimals, least=0)
    except ValueError:
        found = None
    assert found == expected


@pytest.mark.parametrize(("text", "units"), [("5e-06", 500), ("1E2", 10_000_000_000), (".5", 50_000_000)])
def test_rare_spellings_are_exact(text: str, units: int) -> None:
    """Exponents and a missing zero mean what they say."""
    assert (
        Amounts(8, 1, ".")[text]
        == Amounts(8, 1, b".")[text.encode()]
        == units
        == int(Decimal(text).scaleb(8))
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-1",
        "0.000000001",
        "NaN",
        "Infinity",
        "1_0",
        " 5",
        "\u0665",
        "\u00b2",
        "9" * 5_000,
        "0." + "0" * 99,
        "1.2.3",
    ],
)
def test_what_is_no_amount_is_refused_each_time(text: str) -> None:
    """Off the scale, below the least, no number, or too long: never remembered as something else."""
    texts, raws = Amounts(8, 0, "."), Amounts(8, 0, b".")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"."):
            texts[text]
        with pytest.raises(ValueError, match=r"."):
            raws[text.encode()]
    assert not texts
    assert not raws


def test_a_price_is_more_than_nothing() -> None:
    """The least amount is the maker's choice."""
    assert Amounts(2, 0, ".")["0.00"] == 0
    with pytest.raises(ValueError, match=r"0\.00"):
        Amounts(2, 1, ".")["0.00"]


def test_a_memo_is_bounded() -> None:
    """However many texts come, no more than so many are remembered, and none of them is long."""
    amounts = Amounts(0, 0, ".")
    for number in range(2 * MEMO_MAX + 1):
        assert amounts[str(number)] == number
    assert len(amounts) <= MEMO_MAX
    assert max(map(len, amounts)) <= NUMBER_MAX


@given(moment=st.datetimes(datetime(1970, 1, 2), datetime(2262, 1, 1)), hours=st.integers(-12, 12))  # noqa: DTZ001
def test_moments_are_exact_in_every_zone(moment: datetime, hours: int) -> None:
    """Nanoseconds since 1970 to the microsecond, whatever the zone."""
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    assert moment_ns(aware) == since // timedelta(microseconds=1) * 1_000


@pytest.mark.parametrize("year", [1, 1969, 2263, 9999])
def test_moments_out_of_range_are_none(year: int) -> None:
    """Before 1970 and beyond int64 there is no time, and without one neither."""
    assert moment_ns(datetime(year, 6, 1, tzinfo=UTC)) == moment_ns(None) == 0
