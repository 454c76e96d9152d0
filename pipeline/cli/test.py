"""Test: run the test suite as CI does.

In: words for pytest. Out: its exit code; with --lint ruff and mypy come first. Run by people and CI.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from pipeline.cli.common import ROOT, say

LINTERS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy", "shm", "pipeline", "dashboard"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; unknown words go to pytest."""
    parser.add_argument("--lint", action="store_true", help="ruff and mypy first")


def run(args: argparse.Namespace) -> int:
    """Lint if asked, then test; the first failure decides."""
    if args.lint:
        for command in LINTERS:
            say(f"$ {' '.join(command)}")
            code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode
            if code:
                return code
    words = args.arguments or ["-m", "not stress", "-n", str(min(os.cpu_count() or 1, 4))]
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, check=False).returncode
