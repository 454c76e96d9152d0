"""ASCII in place of better signs: as many cells, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from dashboard.signs import ASCII_LEVELS, LEVELS, AsciiFilter, ascii_text, needs_ascii

ANY_TEXT = st.text(st.one_of(st.characters(), st.sampled_from("●⚠\ufe0f\u200d⠿👩é漢a\u0301")), max_size=80)


@given(ANY_TEXT)
@example("\u200dab")
@example("⚠\ufe0f 👩\u200d👩\u200d👧\ufe0f")
@example("漢字" * 300)
@example("\x1b[31m\x00\x7f\xad")
def test_any_text_becomes_ascii_of_its_width(text: str) -> None:
    """Whatever a text holds, its stand-in is printable ASCII of the same cells, and stands for itself."""
    plain = ascii_text(text)
    assert plain.isascii()
    assert plain.isprintable() or not plain
    assert cell_len(plain) == cell_len(text)
    assert ascii_text(plain) == plain


def test_signs_that_differ_still_differ() -> None:
    """Up and down, good and bad, full and empty, and all eight heights are told apart in ASCII."""
    for signs in ("●○", "▲▼⚠", "✓✗", "→←↑↓", "≥≤", "█▒░", LEVELS):
        assert len({ascii_text(sign) for sign in signs}) == len(signs)
        assert "?" not in ascii_text(signs)
    assert ascii_text(LEVELS) == ASCII_LEVELS
    assert ascii_text("K→P +95▲ ⚠7.3s … ✓") == "K>P +95^ !7.3s ~ Y"


def test_dots_keep_their_height() -> None:
    """A braille sign is a point above, below or between, and a blank where it has no dot."""
    assert ascii_text("⠀⠉⠒⣀⡇⢸⣿") == " '-.|||"


def test_letters_lose_their_accents_and_strangers_become_question_marks() -> None:
    """An accented letter stays readable; a wide sign is as many question marks as it has cells."""
    assert ascii_text("Café Łódź ½") == "Cafe ?odz ?"
    assert ascii_text("漢字 🚀") == "???? ??"
    assert ascii_text("⚠\ufe0fx") == "! x"


def test_every_sign_of_the_dashboard_has_its_stand_in(project_root: Path) -> None:
    """No sign that a module or a style sheet of the dashboard names becomes a question mark."""
    files = [*(project_root / "dashboard").rglob("*.py"), *(project_root / "dashboard").rglob("*.tcss")]
    used = {sign for file in files for sign in file.read_text(encoding="utf-8") if not sign.isascii()}
    assert used
    assert {sign for sign in used if ascii_text(sign) in ("?", "")} == set()


@pytest.mark.parametrize(
    ("encoding", "needed"),
    [("utf-8", False), ("UTF8", False), ("ANSI_X3.4-1968", True), ("latin-1", True), (None, True)],
)
def test_a_terminal_without_unicode_is_given_ascii(encoding: str | None, needed: bool) -> None:
    """ASCII is needed exactly where the stream's encoding is none of Unicode's."""
    assert needs_ascii(encoding) is needed


def test_the_filter_keeps_styles() -> None:
    """Lines of cells keep their styles and their widths, and what controls the terminal passes."""
    style = Style(bold=True)
    beep = Segment("", None, [])
    found = AsciiFilter().apply([Segment("● 漢", style), Segment("ok", None), beep], Color(0, 0, 0))
    assert found == [Segment("* ??", style), Segment("ok", None), beep]
