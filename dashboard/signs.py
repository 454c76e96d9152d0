"""Signs: what stands for the better signs where a terminal shows ASCII only.

In: texts of any screen. Out: ASCII of exactly as many cells. Pure. `ascii_text` is for texts, `AsciiFilter`
for lines of cells, so also for what Textual itself draws: borders, tabs, the palette.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len, set_cell_size, split_graphemes
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

# Lowest first, in eighths of a cell, as sparklines and histograms use them.
LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.-:=+*#"

_STAND_INS: dict[str, str] = {
    # What a thing is: there or not, right or wrong, worth it, suspicious.
    **dict(zip("●○◉◯◆◇■□", "*o*o*o#o", strict=True)),
    **dict(zip("✓✔✗✘×", "YYNNx", strict=True)),
    **dict(zip("▲△▼▽▶▸◀◂⚠", "^^vv>><<!", strict=True)),
    # Where it goes.
    **dict(zip("→←↑↓↵⏎⇥", "><^v<<>", strict=True)),
    # Between words and numbers.
    **dict(zip("…·•–—−≥≤≠±≈∞", "~|*---><!~~8", strict=True)),
    **dict(zip("‘’“”«»‖", "''\"\"<>|", strict=True)),
    # How much. The lowest four also are Textual's thin borders.
    **dict(zip(LEVELS, ASCII_LEVELS, strict=True)),
    **dict(zip("░▒▓▀▔", '.%#"-', strict=True)),
    **dict.fromkeys("▏▎▍▌▋▊▉▐▕", "|"),
    # Lines; other signs of that block are corners and crossings.
    **{chr(sign): "+" for sign in range(0x2500, 0x2580)},
    **dict.fromkeys("─━┄┅┈┉╌╍═╴╶╸╺╼╾", "-"),
    **dict.fromkeys("│┃┆┇┊┋╎╏║╵╷╹╻╽╿", "|"),
    **dict(zip("╱╲╳", "/\\x", strict=True)),
}
# The dots of a braille sign by height: 1 and 4 stand on top, 7 and 8 at the bottom.
_TOP_DOTS, _MIDDLE_DOTS, _LOW_DOTS = 0b0000_1001, 0b0011_0110, 0b1100_0000
_BRAILLE = 0x2800


def needs_ascii(encoding: str | None, locale: str = "") -> bool:
    """Whether a terminal of that encoding cannot show more than ASCII; None is a stream without one.

    `locale` is LC_ALL. Python takes C and POSIX for UTF-8 (PEP 540), but who sets them asks for ASCII.
    """
    return locale in {"C", "POSIX"} or "utf" not in (encoding or "").lower()


@lru_cache(maxsize=4096)
def ascii_text(text: str) -> str:
    """`text` in printable ASCII of as many cells as rich.cells.cell_len gives `text`, whatever it is.

    Letters lose their accents; what has no stand-in is a "?" a cell; what takes no cell is gone.
    """
    if text.isascii() and text.isprintable():
        return text
    spans, _ = split_graphemes(text)
    plain = "".join(_stand_in(text[start:end], cells) for start, end, cells in spans)
    # A joiner that joins nothing is counted otherwise by cell_len than by split_graphemes.
    return set_cell_size(plain, cell_len(text))


@lru_cache(maxsize=4096)
def _stand_in(grapheme: str, cells: int) -> str:
    """One sign, with the marks that belong to it, as ASCII of that many cells."""
    if not cells:
        return ""
    sign = grapheme[0]
    if sign.isascii() and sign.isprintable():
        return sign.ljust(cells)
    if 0 <= (dots := ord(sign) - _BRAILLE) < 256:
        return _dots(dots)
    if sign in _STAND_INS:
        return _STAND_INS[sign].ljust(cells)
    letters = unicodedata.normalize("NFKD", sign)
    base = "".join(letter for letter in letters if letter.isascii() and letter.isprintable())
    return base if len(base) == cells else "?" * cells


def _dots(dots: int) -> str:
    """Where in its cell a braille sign has dots: above, below, between, or all over."""
    if not dots:
        return " "
    high, low = dots & _TOP_DOTS, dots & _LOW_DOTS
    if high and low:
        return "|" if dots & _MIDDLE_DOTS else ":"
    return "'" if high else "." if low else "-"


class AsciiFilter(LineFilter):
    """Puts ASCII into every line that an app draws; `App.get_line_filters` gives it to Textual."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The same cells in the same styles."""
        return [
            Segment(text if control else ascii_text(text), style, control)
            for text, style, control in segments
        ]
