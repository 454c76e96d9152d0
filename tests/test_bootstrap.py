"""The first start: run.py and pipeline/cli/bootstrap.py, without a network.

The steps that need one (making the environment, pip) are the argument `step` of Venv; here they
make a directory with a link to the interpreter, and write down that they ran.
"""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.cli import bootstrap
from pipeline.cli.bootstrap import BASE_LOCK, DEV_LOCK, Trouble, Venv

TAG = sys.implementation.cache_tag
STAND_IN_CLI = '''"""Stand-in for the command line: says where it runs and what was imported."""
import os
import sys


def main(argv):
    print(sys.prefix)
    print(argv)
    print(" ".join(sys.modules))
    print(os.environ.get("PARALLAX_REEXEC"))
    return 7
'''


@pytest.fixture
def checkout(tmp_path: Path, project_root: Path) -> Path:
    """A checkout with our run.py and bootstrap, short lock files, and a stand-in for the CLI."""
    root = tmp_path / "check out"
    (root / "pipeline" / "cli").mkdir(parents=True)
    for name in ("run.py", "pipeline/__init__.py", "pipeline/cli/bootstrap.py"):
        shutil.copy(project_root / name, root / name)
    (root / "pipeline" / "cli" / "main.py").write_text(STAND_IN_CLI)
    (root / BASE_LOCK).write_text("base\n")
    (root / DEV_LOCK).write_text("dev\n")
    return root


class Steps:
    """In place of python -m venv and pip: links this interpreter, and remembers each command."""

    def __init__(self, *, fail_at: str = "") -> None:
        self.ran: list[str] = []
        self.fail_at = fail_at

    def __call__(self, failure: str, command: list[str], lock_fd: int) -> None:
        """Do as the real step would, as far as a test can see."""
        os.fstat(lock_fd)
        name = command[2]
        self.ran.append(name)
        if name == self.fail_at:
            raise Trouble(failure)
        if name == "venv":
            link_interpreter(Path(command[-1]))


def link_interpreter(venv: Path) -> None:
    """What python -m venv leaves, without pip."""
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    home = Path(sys.executable).resolve().parent
    (venv / "pyvenv.cfg").write_text(f"home = {home}\n")


def ready_venv(root: Path, locks: tuple[str, ...] = (BASE_LOCK,)) -> Venv:
    """A finished .venv in `root`."""
    venv = Venv(str(root), Steps())
    venv.ensure(list(locks), "")
    return venv


def start(root: Path, *words: str, cwd: Path | None = None, **env: str) -> tuple[int, list[str], str]:
    """Run a checkout's run.py; its exit code, the lines it printed, and its stderr."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
    done = subprocess.run(
        [sys.executable, str(root / "run.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**clean, **env},
        timeout=60,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_an_old_python_is_refused_in_one_line(project_root: Path) -> None:
    """Python before 3.11 gets one line that names both versions, and exit code 1."""
    script = (
        "import runpy, sys; sys.version_info = (3, 9, 2); "
        f"runpy.run_path({str(project_root / 'run.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "needs Python 3.11" in done.stderr
    assert "3.9.2" in done.stderr


def test_an_old_python_can_read_run_py(project_root: Path) -> None:
    """run.py has no syntax newer than Python 3.8, else the line above would never be said."""
    ast.parse((project_root / "run.py").read_text(), feature_version=(3, 8))


def test_a_start_runs_the_command_inside_the_venv(checkout: Path, tmp_path: Path) -> None:
    """From any folder, and through a link, the command runs in .venv with its words and code."""
    ready_venv(checkout)
    link = tmp_path / "link"
    link.symlink_to(checkout)
    code, lines, err = start(link, "status", "--json", cwd=tmp_path)
    assert (code, err) == (7, "")
    assert lines[0] == str(checkout / ".venv")
    assert lines[1] == "['status', '--json']"
    assert lines[3] == "None", "the mark of a re-execution must not reach the workers"


def test_a_usual_start_imports_little(checkout: Path) -> None:
    """No installer, no subprocess and no package is imported on the way to the command."""
    venv = ready_venv(checkout)
    _, lines, _ = start(checkout)
    bare = [venv.python, "-c", "import sys; print(*sys.modules)"]
    before = subprocess.run(bare, capture_output=True, text=True, check=True, timeout=60).stdout
    imported = set(lines[2].split()) - set(before.split())
    heavy = "subprocess fcntl shutil venv pip importlib.util argparse typing re json socket logging"
    assert not imported & {*heavy.split(), *bootstrap.RUN_MODULES, *bootstrap.TEST_MODULES}


def test_no_venv_uses_the_current_interpreter(checkout: Path) -> None:
    """PARALLAX_NO_VENV=1 makes nothing and stays where it is."""
    code, lines, err = start(checkout, PARALLAX_NO_VENV="1")
    assert (code, err) == (7, "")
    assert lines[0] == sys.prefix
    assert not (checkout / ".venv").exists()
    assert not (checkout / ".venv.lock").exists()


def test_no_venv_names_what_is_missing() -> None:
    """Where packages are missing, one line names them, the interpreter, and what to do."""
    text = bootstrap.missing(["sys", "no_such_module", "no_other_module"])
    assert "lacks no_such_module, no_other_module. " in text
    assert sys.executable in text
    assert f"-r {BASE_LOCK}" in text
    assert "\n" not in text
    assert bootstrap.missing(["sys"]) == ""


def test_the_names_asked_for_are_the_locked_ones(project_root: Path) -> None:
    """Each dependency in pyproject.toml has its module in the list that PARALLAX_NO_VENV checks."""
    modules = {"websocket-client": "websocket", "pyzmq": "zmq", "pytest-xdist": "xdist"}
    modules["prometheus-client"] = "prometheus_client"
    project = tomllib.loads((project_root / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    *tools, own = extras["test"]
    assert own == "parallax[alerts,keyring,web]"
    wanted = {
        "run": project["project"]["dependencies"],
        "test": [*tools, *extras["alerts"], *extras["keyring"]],
    }
    names = {part: [line.partition(">=")[0] for line in lines] for part, lines in wanted.items()}
    locked = (project_root / BASE_LOCK).read_text()
    assert [modules.get(name, name) for name in names["run"]] == bootstrap.RUN_MODULES
    assert {modules.get(name, name) for name in names["test"]} == set(bootstrap.TEST_MODULES)
    assert all(f"\n{name}==" in f"\n{locked}" for name in names["run"] + names["test"])


def test_the_two_locks_agree(project_root: Path) -> None:
    """A package in both locks has one version, so that both can be installed together."""
    pins = [
        dict(
            line.split(" ")[0].split("==")
            for line in (project_root / lock).read_text().splitlines()
            if "==" in line and not line.startswith(" ")
        )
        for lock in (BASE_LOCK, DEV_LOCK)
    ]
    shared = set(pins[0]) & set(pins[1])
    assert {name: pins[0][name] for name in shared} == {name: pins[1][name] for name in shared}


def test_a_second_start_installs_nothing(checkout: Path) -> None:
    """The first start makes and fills .venv; the second finds the stamp and does nothing."""
    steps = Steps()
    venv = Venv(str(checkout), steps)
    assert venv.ensure([BASE_LOCK], "")
    assert steps.ran == ["venv", "pip"]
    assert not venv.ensure([BASE_LOCK], "")
    assert not venv.ensure([BASE_LOCK], TAG)
    assert steps.ran == ["venv", "pip"]


def test_a_changed_lock_updates_in_place(checkout: Path) -> None:
    """A new lock file is installed into the same .venv; going back to the old one is seen too."""
    venv = ready_venv(checkout)
    for text in ("newer\n", "base\n"):
        (checkout / BASE_LOCK).write_text(text)
        assert not venv.is_ready([BASE_LOCK], "")
        steps = Steps()
        Venv(str(checkout), steps).ensure([BASE_LOCK], "")
        assert steps.ran == ["pip"]
        assert venv.is_ready([BASE_LOCK], "")


def test_linting_adds_its_own_lock(checkout: Path) -> None:
    """`test --lint` needs both locks, and installs them beside what is there."""
    venv = ready_venv(checkout)
    assert not venv.is_ready([BASE_LOCK, DEV_LOCK], "")
    steps = Steps()
    Venv(str(checkout), steps).ensure([BASE_LOCK, DEV_LOCK], "")
    assert steps.ran == ["pip"]
    (checkout / BASE_LOCK).write_text("newer\n")
    Venv(str(checkout), steps).ensure([BASE_LOCK], "")
    assert venv.is_ready([BASE_LOCK, DEV_LOCK], ""), "an update must not forget the linters"


@pytest.mark.parametrize("step", ["venv", "pip"])
def test_a_failed_first_run_is_not_taken_for_a_finished_one(checkout: Path, step: str) -> None:
    """A step that fails says what to do, leaves no valid stamp, and the next run starts afresh."""
    venv = Venv(str(checkout), Steps(fail_at=step))
    with pytest.raises(Trouble, match="PARALLAX_NO_VENV=1"):
        venv.ensure([BASE_LOCK], "")
    assert not venv.is_ready([BASE_LOCK], "")
    (checkout / ".venv" / "rubble").touch()
    steps = Steps()
    assert Venv(str(checkout), steps).ensure([BASE_LOCK], "")
    assert steps.ran == ["venv", "pip"]
    assert not (checkout / ".venv" / "rubble").exists()


def test_a_failed_update_keeps_what_was_there(checkout: Path) -> None:
    """Without a network `test --lint` fails, but the next ordinary start needs no installation."""
    ready_venv(checkout)
    with pytest.raises(Trouble, match=DEV_LOCK):
        Venv(str(checkout), Steps(fail_at="pip")).ensure([BASE_LOCK, DEV_LOCK], "")
    assert Venv(str(checkout)).is_ready([BASE_LOCK], "")


def test_a_killed_update_is_made_anew(checkout: Path) -> None:
    """What was killed half-way is not trusted: its stamp makes the next run start over."""
    venv = ready_venv(checkout)
    (Path(venv.path) / "stamp").write_text(bootstrap.UNFINISHED)
    steps = Steps()
    Venv(str(checkout), steps).ensure([BASE_LOCK], "")
    assert steps.ran == ["venv", "pip"]


def test_a_stamp_of_another_python_is_refused_inside(checkout: Path) -> None:
    """When .venv's Python has changed under it, it is made anew; seen from outside any will do."""
    venv = ready_venv(checkout)
    assert venv.is_ready([BASE_LOCK], "")
    assert not venv.is_ready([BASE_LOCK], "cpython-399")
    steps = Steps()
    Venv(str(checkout), steps).ensure([BASE_LOCK], "cpython-399")
    assert steps.ran == ["venv", "pip"]


def test_a_venv_whose_interpreter_is_gone_is_made_anew(checkout: Path) -> None:
    """A dangling interpreter is not taken for one."""
    venv = ready_venv(checkout)
    Path(venv.python).unlink()
    Path(venv.python).symlink_to(checkout / "gone")
    steps = Steps()
    Venv(str(checkout), steps).ensure([BASE_LOCK], "")
    assert steps.ran == ["venv", "pip"]


def test_a_moved_checkout_starts(checkout: Path, tmp_path: Path) -> None:
    """A checkout that was moved with its .venv starts at its new place without an installation."""
    ready_venv(checkout)
    moved = tmp_path / "moved"
    checkout.rename(moved)
    code, lines, err = start(moved)
    assert (code, err) == (7, "")
    assert lines[0] == str(moved / ".venv")


def test_somebody_elses_venv_is_left_alone(checkout: Path) -> None:
    """A .venv that run.py did not make is neither filled nor removed."""
    link_interpreter(checkout / ".venv")
    with pytest.raises(Trouble, match="did not make this"):
        Venv(str(checkout), Steps()).ensure([BASE_LOCK], "")
    assert (checkout / ".venv" / "bin" / "python").exists()


def test_a_folder_that_cannot_be_written_is_one_line(checkout: Path) -> None:
    """Where no .venv can be made, the reason and the way out are said, and the exit code is 1."""
    (checkout / ".venv.lock").mkdir()
    code, lines, err = start(checkout)
    assert (code, lines) == (1, [])
    assert err.count("\n") == 1
    assert "PARALLAX_NO_VENV=1" in err


def test_no_venv_module_names_the_package(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Debian without python3-venv the line names that package."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find_spec(name)
    )
    with pytest.raises(Trouble, match="apt install python3-venv"):
        Venv(str(checkout), Steps()).ensure([BASE_LOCK], "")
    assert not (checkout / ".venv").exists()


def test_a_failing_step_shows_its_last_lines(tmp_path: Path) -> None:
    """What pip said last stands under our line, and no more than four lines of it."""
    script = "import sys; print(*range(9), sep='\\n'); sys.exit(1)"
    with (tmp_path / "lock").open("w") as lock, pytest.raises(Trouble) as why:
        bootstrap.run_step("It failed.", [sys.executable, "-c", script], lock.fileno())
    assert str(why.value).splitlines() == ["It failed.", "    5", "    6", "    7", "    8"]


CONTENDER = """
import os, sys
sys.path.insert(0, {project!r})
from pipeline.cli.bootstrap import BASE_LOCK, Venv

def step(failure, command, lock_fd):
    print("ran", command[2], flush=True)
    if command[2] == "venv":
        os.makedirs(command[-1] + "/bin")
        os.symlink(sys.executable, command[-1] + "/bin/python")
        sys.stdin.readline()

print("changed", Venv({root!r}, step).ensure([BASE_LOCK], ""), flush=True)
"""


def contender(root: Path, project: Path) -> subprocess.Popen[str]:
    """A process that ensures `root`'s .venv and waits for a line of input if it has to make it."""
    script = CONTENDER.format(project=str(project), root=str(root))
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_first_runs_install_once(checkout: Path, project_root: Path) -> None:
    """The second of two first runs says that it waits, and then finds the work done."""
    with contender(checkout, project_root) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "ran venv\n"
        with contender(checkout, project_root) as second:
            assert second.stderr is not None
            assert "waiting" in second.stderr.readline()
            first_out, _ = first.communicate("go on\n", timeout=60)
            second_out, _ = second.communicate(timeout=60)
    assert first_out == "ran pip\nchanged True\n"
    assert second_out == "changed True\n"
    assert Venv(str(checkout)).is_ready([BASE_LOCK], "")


def test_a_killed_first_run_does_not_block_the_next(checkout: Path, project_root: Path) -> None:
    """The lock goes with its holder; what it left unfinished is made anew."""
    with contender(checkout, project_root) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "ran venv\n"
        first.kill()
        first.communicate(timeout=60)
    steps = Steps()
    assert Venv(str(checkout), steps).ensure([BASE_LOCK], "")
    assert steps.ran == ["venv", "pip"]
