"""docs/FAULTS.md: every fault of the catalogue has its tests, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "FAULTS.md"
FAULTS = {"A": 15, "B": 20, "C": 11, "D": 9}
PLACES = {"E": "tests/e2e", "S": "tests/supervisor"}
FILES = {
    "T": "tests/feed/test_faults_transport.py",
    "D": "tests/feed/test_faults_data.py",
    "C": "tests/feed/test_connection.py",
}
NAMED = re.compile(r"(?:\b([A-Z]) )?`((?:tests/)?[\w/]*test_[\w.]+(?:::test_\w+)?\*?)`")
PRIVILEGED = 3
"""Faults that may name a privilege instead of a test that runs everywhere."""


def rows(text: str) -> dict[str, str]:
    """The last cell of each row of the tables, by the number of its fault."""
    cells = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return {row[0].strip(): row[-1] for row in cells if re.fullmatch(r" [A-D]\d+ ", row[0])}


def names_in(path: Path) -> set[str]:
    """Names of the tests in a file."""
    return set(re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE))


def is_there(short: str, name: str) -> bool:
    """Whether a test, a file of tests, or with a star any test whose name begins so, exists."""
    if name.startswith("test_") and short in FILES:
        path, test = FILES[short], name
    else:
        path, _, test = name.partition("::")
        path = f"{PLACES[short]}/{path}" if short else path
    file = ROOT / path
    if not file.is_file() or not test:
        return file.is_file()
    found = names_in(file)
    return any(each.startswith(test[:-1]) for each in found) if test.endswith("*") else test in found


def test_every_fault_has_a_test() -> None:
    """Each number of the catalogue stands in a table, once, and its row names at least one test."""
    found = rows(PAGE.read_text("utf-8"))
    assert set(found) == {f"{part}{number}" for part, last in FAULTS.items() for number in range(1, last + 1)}
    assert [number for number, cell in found.items() if not NAMED.search(cell)] == []


@pytest.mark.parametrize("number", sorted(rows(PAGE.read_text("utf-8"))))
def test_every_test_that_is_named_is_there(number: str) -> None:
    """Nothing that a row names was renamed or removed."""
    missing = [each for each in NAMED.findall(rows(PAGE.read_text("utf-8"))[number]) if not is_there(*each)]
    assert missing == []


def test_few_need_a_privilege_and_say_how_to_run_them() -> None:
    """At most three tests need more than every user has, and the page has the command for each."""
    text = PAGE.read_text("utf-8")
    needy = text.count("(needs root, see below)")
    assert needy == len(re.findall(r"^sudo -E python -m pytest tests/\S+\.py -k \w+", text, re.MULTILINE))
    assert needy <= PRIVILEGED
