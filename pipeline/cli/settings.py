"""Settings: config.toml and events/ resolved for a command, or their problems told.

In: the options that change the configuration. Out: a resolved `Config` or all that is known of it, or None
after all problems were printed. Used by `up`, the commands about the configuration, and workers started by
hand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.config_schema import ConfigProblems
from pipeline.config_schema.schema import Resolved, Wanted, survey


def surveyed(path: Path, profile: str | None, sets: Sequence[str], data: Path) -> Resolved:
    """The configuration as it is now, with where each value came from. Raises ConfigProblems."""
    wanted = Wanted(path, profile, sets, os.environ, data)
    return survey(wanted, wall_ns=SystemClock().wall_ns())


def resolve_or_complain(path: Path, profile: str | None, sets: Sequence[str], data: Path) -> Config | None:
    """The configuration, or None when it does not hold: every problem is on stderr, nothing was started."""
    try:
        resolved = surveyed(path, profile, sets, data)
    except ConfigProblems as problems:
        sys.stderr.write(f"{problems}\n")
        return None
    for note in resolved.notes:
        sys.stderr.write(f"{note}\n")
    return resolved.config
