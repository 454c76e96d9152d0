"""docs/SIZING.md: its examples run as they stand, and print what the page says."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.trader.kelly_arbitrage import arbitrage_fraction

PAGE = Path(__file__).resolve().parents[1] / "docs" / "SIZING.md"
EXAMPLE = re.compile(r"```python\n(.*?)```\s+(?:(?!```).)*?```text\n(.*?)```", re.DOTALL)


def test_the_examples_print_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Each Python block works after those before it, and prints the text block that follows it."""
    text = PAGE.read_text("utf-8")
    examples = EXAMPLE.findall(text)
    assert len(examples) == text.count("```python") == 3
    names: dict[str, object] = {"__name__": "example"}
    for code, printed in examples:
        exec(compile(code, PAGE.name, "exec"), names)  # our own text
        assert capsys.readouterr().out == printed


def test_the_table_of_mismatches_is_right() -> None:
    """The page's row of fractions is what the formula gives for its row of mismatches."""
    rows = re.search(r"\| δ \|(.*)\|\n\|[-|]+\|\n\| f \|(.*)\|\n", PAGE.read_text("utf-8"))
    assert rows is not None
    doubts = [part.strip().removesuffix(" %") for part in rows[1].split("|")]
    shown = [part.strip() for part in rows[2].split("|")]
    assert len(doubts) == len(shown) == 6
    for doubt, fraction in zip(doubts, shown, strict=True):
        found = arbitrage_fraction(*(_share(percent) for percent in ("2", "3", "3", doubt)))
        assert f"{float(found):.2f}".rstrip("0").rstrip(".") == fraction


def _share(percent: str) -> Fraction:
    return Fraction(percent) / 100
