"""The checklist of docs/DASHBOARD_CHECKLIST.md: complete, and true to the tree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from dashboard.tabs.kelly import KellyTab
from dashboard.tabs.live import LiveTab
from dashboard.tabs.logs import LogsTab
from dashboard.tabs.opportunities import OpportunitiesTab
from dashboard.tabs.positions import PositionsTab
from dashboard.tabs.workers import WorkersTab

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "DASHBOARD_CHECKLIST.md"
# The rows of the seeds that are about what people see.
WANTED = [
    *(f"1.{number:02}" for number in (*range(1, 23), *range(36, 44))),
    *(f"2.{number}" for number in (10, 19, 20, 21)),
]
TABS = [tab.TITLE for tab in (LiveTab, OpportunitiesTab, PositionsTab, KellyTab, WorkersTab, LogsTab)]
PLACES = (*TABS, "first line", "second line", "third line", "every tab")


def rows() -> list[list[str]]:
    """The cells of each row of the page."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d\.\d\d", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_row_of_the_seeds_is_there_once() -> None:
    """No row of the list is missing, and none is there twice."""
    assert [row[0] for row in rows()] == WANTED


def test_every_row_names_a_screen() -> None:
    """Where to look is a tab as the program calls it, or one of the lines above all tabs."""
    for name, _, screen, _ in rows():
        assert screen.startswith(PLACES), name


def test_every_row_names_tests_that_exist() -> None:
    """Each named test is a function of that name in that file."""
    for name, *_, cell in rows():
        tests = re.findall(r"`([^`]+)::([^`]+)`", cell)
        assert tests, name
        for file, test in tests:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
                name,
                test,
            )
