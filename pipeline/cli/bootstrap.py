"""Bootstrap: sees to it that the packages of the lock files are in reach, in ROOT/.venv.

In: the checkout's root and the command's words. Out: nothing, or what to tell the user; outside
.venv a new program in this process. Run by run.py at every start, before anything is installed: it
imports the standard library only, and on a usual start next to nothing of that. Its progress goes
to stderr.
"""

import os
import sys
from collections.abc import Callable

BASE_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"
RUN_MODULES = (
    "websocket numpy zmq psutil textual tomli msgspec pydantic httpx cryptography websockets "
    "zstandard setproctitle prometheus_client tomlkit"
).split()
TEST_MODULES = ["pytest", "xdist", "hypothesis", "apprise", "keyring"]
LINT_MODULES = ["ruff", "mypy"]
UNFINISHED = "unfinished"
ELSE = "Or use an environment that has the packages: PARALLAX_NO_VENV=1 python3 run.py"

Step = Callable[[str, list[str], int], None]


class Trouble(Exception):
    """The start cannot go on; the text says why and what to do."""


def enter(root: str, argv: list[str]) -> str:
    """Return when the packages are in reach; outside .venv, start this command again inside.

    PARALLAX_NO_VENV=1 takes the current interpreter as it is and installs nothing. Returns what is
    wrong, for people, or nothing.
    """
    test = argv[:1] == ["test"]
    lint = test and "--lint" in argv
    if os.environ.get("PARALLAX_NO_VENV", "0") not in ("", "0"):
        return missing(RUN_MODULES + TEST_MODULES * test + LINT_MODULES * lint)
    try:
        _enter_venv(Venv(root), [BASE_LOCK, DEV_LOCK] if lint else [BASE_LOCK])
    except (Trouble, OSError) as why:
        return f"{why}. {ELSE}" if isinstance(why, OSError) else str(why)
    except KeyboardInterrupt:
        return "Interrupted; the next run starts the installation afresh."
    return ""


def missing(modules: list[str]) -> str:
    """What to tell the user about modules that the current interpreter lacks, or nothing."""
    from importlib.util import find_spec

    absent = [name for name in modules if find_spec(name) is None]
    if not absent:
        return ""
    locks = f"-r {BASE_LOCK}" + f" -r {DEV_LOCK}" * bool(set(absent) & set(LINT_MODULES))
    return (
        f"PARALLAX_NO_VENV is set, and {sys.executable} lacks {', '.join(absent)}. "
        f"Install {locks} there, or unset PARALLAX_NO_VENV."
    )


def _enter_venv(venv: "Venv", locks: list[str]) -> None:
    """Return inside a ready .venv, else make it ready and start this command again inside it."""
    inside = os.path.realpath(sys.prefix) == os.path.realpath(venv.path)
    again = os.environ.pop("PARALLAX_REEXEC", "")
    changed = venv.ensure(locks, sys.implementation.cache_tag if inside else "")
    if inside and not changed:
        return
    if again and not inside:
        raise Trouble(f"{venv.python} does not run inside .venv. Remove .venv and try again.")
    os.environ["PARALLAX_REEXEC"] = "1"
    os.execv(venv.python, [venv.python, *sys.orig_argv[1:]])  # noqa: S606  this is its purpose


def run_step(failure: str, command: list[str], lock_fd: int) -> None:
    """Run one step of the installation; Trouble with `failure` and its last lines if it fails.

    The step inherits the install lock: an orphan of a killed run keeps others out until it ends.
    """
    from subprocess import DEVNULL, PIPE, STDOUT, run

    env = {**os.environ, "PIP_USER": "0"}
    done = run(
        command,
        check=False,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        env=env,
        pass_fds=(lock_fd,),
    )
    if done.returncode:
        lines = done.stdout.decode(errors="replace").strip().splitlines()[-4:]
        raise Trouble("\n    ".join([failure, *lines]))


class Venv:
    """ROOT/.venv, and its stamp: the file that is written last and says what was installed.

    The stamp's words are the tag of the Python that .venv was made for, and the sha256 of each lock
    file installed. It is the single word "unfinished" from the first step to the last.
    """

    def __init__(self, root: str, step: Step = run_step) -> None:
        self.root = root
        self.step = step
        self.path = os.path.join(root, ".venv")
        self.python = os.path.join(self.path, "bin", "python")

    def ensure(self, locks: list[str], tag: str) -> bool:
        """Install what is missing, one process at a time; True if it was not ready at once.

        `tag` names the Python it must be for; empty accepts any. Raises Trouble or OSError.
        """
        if self.is_ready(locks, tag):
            return False
        import fcntl

        lock_fd = os.open(self.path + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say("Another run is installing into .venv; waiting for it ...")
                fcntl.flock(lock_fd, fcntl.LOCK_EX)
            if not self.is_ready(locks, tag):
                self._install(locks, tag, lock_fd)
        finally:
            os.close(lock_fd)
        return True

    def is_ready(self, locks: list[str], tag: str) -> bool:
        """Whether it holds these very locks for the Python named `tag` (for any, when empty)."""
        words = self.stamp()
        if tag not in ("", *words[:1]) or not os.path.exists(self.python):
            return False
        return all(self._digest(lock) in words for lock in locks)

    def stamp(self) -> list[str]:
        """Words of the stamp; none when there is no stamp."""
        try:
            with open(os.path.join(self.path, "stamp"), encoding="ascii") as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def _install(self, locks: list[str], tag: str, lock_fd: int) -> None:
        """Install the locks; into a new .venv where this one is unfinished or of another Python."""
        before = self.stamp()
        if before[1:] and tag in ("", before[0]) and os.path.exists(self.python):
            _say(f"Installing {' and '.join(locks)} into .venv ...")
        else:
            _say("First run: installing into .venv (about 20 s) ...")
            self._make(lock_fd)
            before = [sys.implementation.cache_tag]
        self._write_stamp(UNFINISHED)
        command = [self.python, "-m", "pip", "install", "--require-hashes", "--no-compile"]
        command += ["--disable-pip-version-check", "--no-input", "--retries=2"]
        for lock in locks:
            command += ["-r", os.path.join(self.root, lock)]
        failure = f"pip could not install {' and '.join(locks)}; no network? {ELSE}"
        try:
            self.step(failure, command, lock_fd)
        except Trouble:
            if before[1:]:  # pip gives up before it changes anything
                self._write_stamp(*before)
            raise
        shas = {lock: self._digest(lock) for lock in (BASE_LOCK, DEV_LOCK)}
        held = [sha for lock, sha in shas.items() if lock in locks or sha in before]
        self._write_stamp(before[0], *held)

    def _make(self, lock_fd: int) -> None:
        """Make an empty environment with pip, in place of what we left there ourselves."""
        import shutil
        from importlib.util import find_spec

        if os.path.isdir(self.path) and not self.stamp() and os.listdir(self.path):
            raise Trouble(f"run.py did not make this .venv: move it away first. {ELSE}")
        hint = f"On Debian and Ubuntu: sudo apt install python3-venv. {ELSE}"
        if not (find_spec("venv") and find_spec("ensurepip")):
            raise Trouble(f"This Python has no venv module. {hint}")
        old, new = self.path + ".old", self.path + ".new"
        for leftover in (old, new):
            shutil.rmtree(leftover, ignore_errors=True)
        os.mkdir(new)
        with open(os.path.join(new, "stamp"), "w", encoding="ascii") as file:
            file.write(UNFINISHED)
        if os.path.isdir(self.path):
            os.rename(self.path, old)
        os.rename(new, self.path)  # it is never there without a stamp
        shutil.rmtree(old, ignore_errors=True)
        base = getattr(sys, "_base_executable", sys.executable)
        self.step(f"Could not make .venv. {hint}", [base, "-m", "venv", self.path], lock_fd)

    def _write_stamp(self, *words: str) -> None:
        """Replace the stamp atomically."""
        path = os.path.join(self.path, "stamp")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(" ".join(words) + "\n")
        os.replace(path + ".new", path)

    def _digest(self, lock: str) -> str:
        """Sha256 of a lock file, in hex."""
        from hashlib import sha256

        with open(os.path.join(self.root, lock), "rb") as file:
            return sha256(file.read()).hexdigest()


def _say(text: str) -> None:
    """Tell the user something, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
