"""Settings: config.toml resolved for a command, or its problems told.

In: the options that change the configuration. Out: a resolved `Config`, or None after all problems
were printed. Used by `up`, `check-config` and workers started by hand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.config import Config
from pipeline.config_schema import ConfigProblems, resolve


def resolve_or_complain(path: Path, profile: str | None, sets: Sequence[str], data: Path) -> Config | None:
    """The configuration, or None when it does not hold: every problem is on stderr, nothing was started."""
    try:
        return resolve(path=path, profile=profile, sets=sets, environ=os.environ, data_directory=data)
    except ConfigProblems as problems:
        sys.stderr.write(f"{problems}\n")
        return None
