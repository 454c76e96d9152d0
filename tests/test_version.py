"""The version stands in two places, which agree."""

from __future__ import annotations

import re
from pathlib import Path

import tomli

from pipeline.version import VERSION


def test_the_version_is_that_of_the_project(project_root: Path) -> None:
    """What the program says of itself is what pyproject.toml says of it."""
    project = tomli.loads((project_root / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_the_change_log_speaks_of_it(project_root: Path) -> None:
    """The change log has a heading that people look for: this version, or what is not released yet."""
    headings = re.findall(r"^## .*$", (project_root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert any(VERSION in line or "unreleased" in line.lower() for line in headings)
