"""Worker processes started by hand, and what they load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("worker", ["feed", "scanner", "trader", "paper", "lab"])
def test_a_worker_loads_only_what_it_needs(worker: str) -> None:
    """A worker imports neither the schema's library, nor the bootstrap, nor the dashboard's."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"import pipeline.cli.main, pipeline.cli.work, pipeline.{worker}.worker\n"
        "heavy = {'pydantic', 'tomli', 'textual', 'rich', 'pipeline.cli.bootstrap'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_simulated_feed_needs_a_run(tmp_path: Path) -> None:
    """A feed by hand on a simulated venue says that its address is known only in a run; exit 3."""
    command = [sys.executable, str(ROOT / "run.py"), "feed", "kraken", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "run.py up" in done.stderr


def test_an_unknown_venue_is_named(tmp_path: Path) -> None:
    """A feed for a venue that is not configured lists those that are; exit 3."""
    command = [sys.executable, str(ROOT / "run.py"), "feed", "krakn", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "kraken" in done.stderr
