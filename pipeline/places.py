"""Places: where a data directory's run keeps its sockets and its memory.

In: a data directory, the environment, a user id. Out: paths that two data directories never share.
Used by the configuration and by every command; it makes nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path


def instance_of(data_directory: Path) -> str:
    """First 10 hex digits of the SHA-256 of the directory's real path."""
    return hashlib.sha256(os.fsencode(os.path.realpath(data_directory))).hexdigest()[:10]


def run_directory(instance: str, environ: Mapping[str, str], uid: int) -> Path:
    """Where sockets lie: under XDG_RUNTIME_DIR, else in the temporary directory with the uid in the name."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / f"parallax-{instance}"
    return _temporary() / f"parallax-{uid}-{instance}"


def shm_directory(instance: str, configured: str, uid: int) -> Path:
    """Where segments lie: the configured directory, else /dev/shm, else the temporary directory."""
    root = Path(configured) if configured else Path("/dev/shm")  # noqa: S108 - memory, not a scratch file
    if not configured and not root.is_dir():
        root = _temporary()
    return root / f"parallax-{uid}-{instance}"


def _temporary() -> Path:
    """The machine's directory for temporary files."""
    import tempfile  # loads much, for a place that is seldom needed

    return Path(tempfile.gettempdir())
