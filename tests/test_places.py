"""Places: two data directories never share a socket or a segment, and one is always found again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

from pipeline import places


def test_an_instance_is_the_real_paths_digest(tmp_path: Path) -> None:
    """The first ten hex digits of the SHA-256 of the real path, however the path is spelt."""
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    expected = hashlib.sha256(os.fsencode(os.path.realpath(data))).hexdigest()[:10]
    assert places.instance_of(data) == expected
    assert places.instance_of(tmp_path / "link") == expected
    assert places.instance_of(tmp_path / "link" / ".." / "data") == expected
    assert places.instance_of(tmp_path / "other") != expected


def test_a_relative_path_names_the_same_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not matter from where a data directory is named, nor whether it exists yet."""
    monkeypatch.chdir(tmp_path)
    assert places.instance_of(Path("new")) == places.instance_of(tmp_path / "new")


def test_sockets_lie_under_the_runtime_directory(tmp_path: Path) -> None:
    """With XDG_RUNTIME_DIR, which is this user's own, the name needs no user id."""
    found = places.run_directory("0123456789", {"XDG_RUNTIME_DIR": str(tmp_path)}, 1000)
    assert found == tmp_path / "parallax-0123456789"


@pytest.mark.parametrize("runtime", ["", "/does/not/exist"])
def test_without_a_runtime_directory_the_user_is_in_the_name(runtime: str) -> None:
    """In a directory that users share, the user id keeps them apart; nothing is made."""
    found = places.run_directory("0123456789", {"XDG_RUNTIME_DIR": runtime}, 4242)
    assert found == Path(tempfile.gettempdir()) / "parallax-4242-0123456789"
    assert not found.exists()


def test_segments_lie_in_memory_or_where_configured(tmp_path: Path) -> None:
    """The configured directory wins; user and instance are in the name either way."""
    assert places.shm_directory("0123456789", str(tmp_path), 7) == tmp_path / "parallax-7-0123456789"
    default = places.shm_directory("0123456789", "", 7)
    assert default.name == "parallax-7-0123456789"
    if Path("/dev/shm").is_dir():
        assert default.parent == Path("/dev/shm")
