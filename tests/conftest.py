"""What every test shares: a clean environment, the checkout, and recordings where there are any.

A command that a test starts runs in the interpreter that runs the tests, and installs nothing.
"""

import atexit
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.canaries import traces

# A slow machine is no failure, and CI draws the same examples each time.
settings.register_profile("parallax", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("parallax")

for name in [name for name in os.environ if name.startswith("PARALLAX_")]:
    del os.environ[name]
os.environ["PARALLAX_NO_VENV"] = "1"

if sys.dont_write_bytecode and not sys.pycache_prefix:
    # Without bytecode each of the hundreds of processes that the tests start compiles all that it loads,
    # which is half of its start. Nothing is to be written beside the sources, so there is a folder for it;
    # the processes of pytest-xdist learn of it from the environment.
    sys.pycache_prefix = tempfile.mkdtemp(prefix="parallax-tests-")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    atexit.register(shutil.rmtree, sys.pycache_prefix, ignore_errors=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


@pytest.fixture(scope="session", autouse=True)
def no_canary_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """When all tests are over, no made-up secret of theirs is found where it should not be (fault D7)."""
    began_ns = time.time_ns()
    yield
    found = traces(tmp_path_factory.getbasetemp(), began_ns)
    assert not found, f"secrets of tests (canary-XXXX-) were written into {', '.join(found)}"


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout that is being tested."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tapes(project_root: Path) -> Path:
    """Folder of real recordings beside the checkout; a clone without it skips what needs it."""
    folder = project_root.parent / "shared" / "tapes"
    if not folder.is_dir():
        pytest.skip("no recordings beside this checkout")
    return folder
