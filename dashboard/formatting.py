"""Formatting: numbers and foreign text as they stand on the screen.

In: integers with their scale, nanoseconds, texts that others wrote. Out: short plain text of known
width. Pure; used by every panel of the dashboard. A price is never rounded in the reader's favour:
bids are cut down, asks are cut up.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, tzinfo
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from functools import lru_cache

from rich.cells import cell_len, get_character_cell_size, set_cell_size

from pipeline.model import to_text
from pipeline.money import to_decimal

SECOND_NS = 1_000_000_000
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400

# Letters and signs that take no cell, or that the terminal would obey: controls, marks, surrogates.
# Terminals do not agree on how wide a spacing mark (Mc) is.
_DROPPED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me", "Mc")
# Some terminals turn a run of such letters round, and the numbers beside it with them.
_RIGHT_TO_LEFT = ("R", "AL", "AN")
# Two of these are a flag, as wide as the terminal likes; the letters that they stand for are one cell each.
_FLAG_LETTERS = {0x1F1E6 + at: chr(ord("A") + at) for at in range(26)}
# Letters without a shape: blank, and in some terminals wide.
_BLANK_LETTERS = dict.fromkeys((0x115F, 0x1160, 0x3164, 0xFFA0))
_MEDIUM_USD, _HIGH_USD = 20, 50
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_LETTERS = {"kalshi": "K", "polymarket": "P", "kraken": "Kr", "coinbase": "C"}


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """`text` as signs of one or two cells each that can only be read: nothing is obeyed, joined, or hidden.

    Controls, formats, marks and what takes no cell go; flags become their letters, any space a space. A
    letter that is written from right to left becomes "?": Unicode's rules would let it move its neighbours.
    """
    if text.isascii() and text.isprintable():
        return text
    signs = unicodedata.normalize("NFC", text).translate(_FLAG_LETTERS | _BLANK_LETTERS)
    return "".join(map(_clean_sign, signs))


@lru_cache(maxsize=4096)
def _clean_sign(sign: str) -> str:
    """One sign of `clean`'s result: itself, a space, "?" or nothing."""
    if sign.isascii() and sign.isprintable():
        return sign
    category = unicodedata.category(sign)
    if category in _DROPPED or not get_character_cell_size(sign):
        return ""
    if category == "Zs":
        return " "
    return "?" if unicodedata.bidirectional(sign) in _RIGHT_TO_LEFT else sign


def fit(text: str, cells: int, align: str = "left") -> str:
    """`text` cleaned and made exactly `cells` wide; what is cut ends in "…"; `align` as in CSS."""
    if cells <= 0:
        return ""
    text = clean(text)
    wide = cell_len(text)
    if wide > cells:
        return set_cell_size(text, cells - 1) + "…"
    pad = " " * (cells - wide)
    return pad + text if align == "right" else text + pad


def join_fitting(parts: list[str], cells: int, gap: str = "  ") -> str:
    """As many whole `parts` as fit into `cells`, in order."""
    kept: list[str] = []
    for part in parts:
        if cell_len(gap.join([*kept, part])) > cells:
            break
        kept.append(part)
    return gap.join(kept)


def letter(venue: str) -> str:
    """The short name of a venue in arrows and narrow columns: kalshi is K, kraken Kr."""
    return _LETTERS.get(venue) or clean(venue)[:2].capitalize() or "?"


def arrow(buy_venue: str, sell_venue: str) -> str:
    """The direction of a trade, buy first: "K→P"."""
    return f"{letter(buy_venue)}→{letter(sell_venue)}"


def price_text(ticks: int, decimals: int, kind: str, *, ask: bool, cells: int = 8) -> str:
    """A price: dollars in `cells` for a spot event, else cents with one or two decimals."""
    rounding = ROUND_CEILING if ask else ROUND_FLOOR
    value = to_decimal(ticks, decimals)
    if kind != "spot":
        cents = (value * 100).quantize(Decimal("0.01"), rounding)
        return str(cents).removesuffix("0")
    places = min(max(0, cells - 1 - len(str(int(abs(value))))), max(2, decimals))
    text = format(value.quantize(Decimal(1).scaleb(-places), rounding), "f")
    whole, point, fraction = text.partition(".")
    return whole + point + fraction.rstrip("0").ljust(min(2, places), "0")


def size_text(units: int, decimals: int) -> str:
    """A size in at most 5 cells, cut down: 680, 0.512, 12.3k, 123M; beyond 999G only that it is."""
    value = to_decimal(units, decimals)
    if value >= 10**12:
        return ">999G"
    for floor, divisor, sign in ((10**9, 10**9, "G"), (10**6, 10**6, "M"), (10**4, 10**3, "k")):
        if value >= floor:
            places = "0.1" if value < 100 * divisor else "1"
            return f"{(value / divisor).quantize(Decimal(places), ROUND_DOWN)}{sign}"
    text = to_text(units, decimals)
    if len(text) <= 5:
        return text
    cut = text[:5].rstrip(".")
    return cut if Decimal(cut) else "<.001"


def age_text(age_ns: int) -> str:
    """An age in at most 5 cells: 0.3s, 42s, 5m, 3h, 12d."""
    seconds = max(0, age_ns) / SECOND_NS
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 100:
        return f"{seconds:.0f}s"
    if seconds < 100 * MINUTE_S:
        return f"{int(seconds) // MINUTE_S}m"
    if seconds < 100 * HOUR_S:
        return f"{int(seconds) // HOUR_S}h"
    return f"{int(seconds) // DAY_S}d"


def span_text(span_ns: int) -> str:
    """A time span in at most 6 cells: 8s, 11m32s, 2h14m, 3d04h."""
    seconds = max(0, span_ns) // SECOND_NS
    if seconds < MINUTE_S:
        return f"{seconds}s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S}m{seconds % MINUTE_S:02}s"
    if seconds < DAY_S:
        return f"{seconds // HOUR_S}h{seconds % HOUR_S // MINUTE_S:02}m"
    days = seconds // DAY_S
    return f"{days}d{seconds % DAY_S // HOUR_S:02}h" if days < 100 else f"{days}d"


def up_text(span_ns: int) -> str:
    """Uptime as a clock shows it: 02:14:09, with the days before it."""
    seconds = max(0, span_ns) // SECOND_NS
    days, rest = divmod(seconds, DAY_S)
    text = f"{rest // HOUR_S:02}:{rest % HOUR_S // MINUTE_S:02}:{rest % MINUTE_S:02}"
    return f"{days}d {text}" if days else text


def duration_text(span_ns: int) -> str:
    """The same in a column of 8 cells: 2:14:09, from 100 hours on 4d04h, from 100 days on 365d."""
    seconds = max(0, span_ns) // SECOND_NS
    if seconds >= 100 * HOUR_S:
        return span_text(span_ns)
    return f"{seconds // HOUR_S}:{seconds % HOUR_S // MINUTE_S:02}:{seconds % MINUTE_S:02}"


def millis_text(span_ns: int | None) -> str:
    """A latency in ms, without the unit, in at most 8 cells: 0.04, 1.3, 18, -5.0, 12,345; "-" for none.

    Negative ones are shown: a venue's clock may be ahead of ours.
    """
    if span_ns is None:
        return "-"
    millis = to_decimal(span_ns, 6)
    if abs(millis) >= 10**6:
        return ">16 min" if millis > 0 else "<-16min"
    places = 2 if abs(millis) < Decimal("0.995") else 1 if abs(millis) < Decimal("9.95") else 0
    text = f"{millis:,.{places}f}" if millis else "0"
    return "0" if not text.strip("-0.") else text


def clock_text(wall_ns: int, zone: tzinfo | None = None) -> str:
    """Time of day of a wall-clock stamp, in the machine's own zone unless one is given."""
    return f"{_moment(wall_ns, zone):%H:%M:%S}"


def stamp_text(wall_ns: int, zone: tzinfo | None = None) -> str:
    """The same to the millisecond: 14:02:51.204."""
    return f"{clock_text(wall_ns, zone)}.{wall_ns % SECOND_NS // 1_000_000:03}"


def tick_text(wall_ns: int, span_ns: int, zone: tzinfo | None = None) -> str:
    """A time at an axis of `span_ns`: 14:02:51 where that is minutes, 14:02 for hours, 21 Nov for days.

    Days are those of the zone; months are always in English.
    """
    moment = _moment(wall_ns, zone)
    if span_ns < 5 * MINUTE_S * SECOND_NS:
        return f"{moment:%H:%M:%S}"
    return (
        f"{moment:%H:%M}" if span_ns < 2 * DAY_S * SECOND_NS else f"{moment.day} {_MONTHS[moment.month - 1]}"
    )


def _moment(wall_ns: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(wall_ns // SECOND_NS, UTC).astimezone(zone)


def signed_size(units: int, decimals: int) -> str:
    """A size with its sign; 0 without."""
    sign = "+" if units > 0 else "-" if units < 0 else ""
    return sign + size_text(abs(units), decimals)


def usd_text(micros: int, *, sign: bool = False) -> str:
    """Dollars and cents of a display amount in micros, halves to even: $38.20, +$12.48, -$0.15."""
    cents = to_decimal(abs(micros), 6).quantize(Decimal("0.01"))
    lead = "-" if micros < 0 and cents else "+" if sign and cents else ""
    return f"{lead}${cents:,}"


def axis_usd_text(micros: int) -> str:
    """Dollars at an axis in at most 9 cells, cut: +$14, -$0.50, $0, +$1.2k, +$3.4M; cents only below $10."""
    lead = "-" if micros < 0 else "+" if micros else ""
    value = to_decimal(abs(micros), 6)
    if value >= 10**15:
        return f"{lead}>$999T"
    for floor, sign in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**4, "k")):
        if value >= floor:
            divisor = 1000 if sign == "k" else floor
            text = f"{(value / divisor).quantize(Decimal('0.1'), ROUND_DOWN)}".removesuffix(".0")
            return f"{lead}${text}{sign}"
    if value == value.to_integral_value() or value >= 10:
        return f"{lead}${value.quantize(Decimal(1), ROUND_DOWN)}"
    places = "0.01" if value >= Decimal("0.01") else "0.000001"
    text = format(value.quantize(Decimal(places), ROUND_DOWN), "f")
    return f"{lead}${text if places == '0.01' else text[1:].rstrip('0')}"


def count_text(count: int | None) -> str:
    """A count with its thousands: 6,742,113; "-" where nobody counts."""
    return "-" if count is None else f"{count:,}"


def bytes_text(count: int | None) -> str:
    """Memory in at most 5 cells, in powers of 1024, rounded up: 512B, 61M, 2.1M, 1.4G; "-" for none."""
    if count is None:
        return "-"
    if count < 1000:
        return f"{max(0, count)}B"
    shift = next((shift for shift in (10, 20, 30, 40) if count <= 999 << shift), 50)
    tenths = -(-count * 10 >> shift)
    sign = "KMGTP"[shift // 10 - 1]
    if tenths >= 9990:
        return f">999{sign}"
    return f"{tenths // 10}.{tenths % 10}{sign}" if tenths < 100 else f"{-(-tenths // 10)}{sign}"


def cpu_text(permille: int | None) -> str:
    """A share of one core in per cent with one decimal: 11.2; "-" where it was not measured."""
    return "-" if permille is None else f"{permille // 10}.{permille % 10}"


def percent_text(ppm: int | None, places: int = 1) -> str:
    """Parts per million as per cent, halves to even: 71.0 %, with `places` 0: 71 %; "-" for none."""
    return "-" if ppm is None else f"{to_decimal(ppm, 4):.{places}f} %"


def number_text(micros: int) -> str:
    """Millionths of anything as plain text with at most three decimals, cut."""
    value = to_decimal(micros, 6).quantize(Decimal("0.001"), ROUND_DOWN)
    text = format(value, "f").rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text


def bp_text(basis_points: int) -> str:
    """An edge with its sign; beyond 5 digits only that it is."""
    if abs(basis_points) > 99_999:
        return ">+99k" if basis_points > 0 else "<-99k"
    return f"{basis_points:+d}" if basis_points else "0"


def race_text(ppm: int, count: int) -> str:
    """How likely an edge is to be still there when orders arrive, and on how many lives that is measured:
    "82% n=37", or "50% prior", "" where nobody has said; at most 11 cells.
    """
    if not ppm and not count:
        return ""
    share = f"{ppm / 10_000:.0f}%"
    return f"{share} prior" if count <= 0 else f"{share} n={min(count, 9999)}"


def rate_text(rate: float | None) -> str:
    """Messages a second; "--/s" while two counts are not yet known."""
    if rate is None:
        return "--/s"
    return f"{rate:.0f}/s" if rate >= 9.95 or rate == 0 else f"{rate:.1f}/s"


def exposure_word(micros: int) -> tuple[str, str]:
    """LOW under $20, MED to $50, HIGH above (the seed's figures), and the role of its colour."""
    if micros < _MEDIUM_USD * 10**6:
        return "LOW", "good"
    if micros <= _HIGH_USD * 10**6:
        return "MED", "fair"
    return "HIGH", "bad"
