"""Main: which command runs, and what becomes of words that are none."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module, util
from pathlib import Path

import pytest

from pipeline.cli import main as cli
from pipeline.cli.common import NOT_RUNNING, OK, USAGE


def words_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    try:
        code = cli.main(argv)
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("argv", "full"),
    [
        ([], ["up"]),
        (["--seed", "3"], ["up", "--seed", "3"]),
        (["status"], ["status"]),
        (["down", "--data", "x"], ["down", "--data", "x"]),
    ],
)
def test_without_a_command_everything_starts(argv: list[str], full: list[str]) -> None:
    """No command, or options alone, mean `up`."""
    assert cli.with_command(argv) == full


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["stat"], "did you mean 'start'"),
        (["statu"], "did you mean 'status'"),
        (["dwon"], "did you mean 'down'"),
        (["xyzzy"], "--help lists them"),
        (["status", "--jsn"], "did you mean '--json'"),
        (["kill", "scanner", "--sginal", "KILL"], "did you mean '--signal'"),
    ],
)
def test_a_slip_is_exit_2_with_a_hint(capsys: pytest.CaptureFixture[str], argv: list[str], hint: str) -> None:
    """A wrong word ends with code 2 and one line that says what was meant."""
    code, out, err = words_of(argv, capsys)
    assert (code, out) == (USAGE, "")
    assert hint in err.splitlines()[-1]


@pytest.mark.parametrize("argv", [["restart"], ["start"], ["kill"], ["down", "scanner"], ["status", "x"]])
def test_missing_and_surplus_words_are_exit_2(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    """A command without its worker, or with a word too many, is refused with its own usage."""
    code, _, err = words_of(argv, capsys)
    assert code == USAGE
    assert err.startswith(f"usage: run.py {argv[0]}")


def test_help_lists_every_command_that_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    """--help is exit 0 and shows the whole table."""
    code, out, _ = words_of(["--help"], capsys)
    assert code == OK
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("    ") and line[4] != " "]
    assert listed[-len(cli.COMMANDS) :] == [name for name, _, _ in cli.COMMANDS]


def test_a_command_is_in_the_table_only_if_it_is_built() -> None:
    """Every command of --help has its module, and that has what main calls."""
    for name, module_name, text in cli.COMMANDS:
        assert util.find_spec(f"pipeline.cli.{module_name}") is not None, name
        assert text
    for module_name in ("ask", "status"):
        module = import_module(f"pipeline.cli.{module_name}")
        assert callable(module.run)
        assert callable(module.add_arguments)


@pytest.mark.parametrize(
    "argv", [["status"], ["status", "--json"], ["status", "--counters"], ["down"], ["restart", "scanner"]]
)
def test_nothing_running_is_exit_4(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, argv: list[str]
) -> None:
    """Asking about a run that is not there says how to start one, and makes nothing."""
    data = tmp_path / "nowhere"
    code, out, err = words_of([*argv, "--data", str(data)], capsys)
    assert (code, out) == (NOT_RUNNING, "")
    assert "run.py up" in err
    assert not data.exists()


def test_a_process_exits_with_the_commands_code(tmp_path: Path, project_root: Path) -> None:
    """run.py itself hands the codes on, and imports for `status` neither the schema nor the dashboard."""
    source = (
        "import sys; from pipeline.cli.main import main; code = main(sys.argv[1:]);"
        "print(sorted({'pydantic', 'tomli', 'textual', 'httpx', 'websocket', 'numpy'} & set(sys.modules)));"
        "raise SystemExit(code)"
    )
    command = [sys.executable, "-c", source, "status", "--data", str(tmp_path)]
    ended = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (NOT_RUNNING, "[]\n")
    command = [sys.executable, "run.py", "statos", "--data", str(tmp_path)]
    ended = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False)
    assert ended.returncode == USAGE


def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path, project_root: Path) -> None:
    """`| head` closes the pipe: the command ends quietly."""
    source = "import sys; sys.stdin.read(); from pipeline.cli.main import main; sys.exit(main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=project_root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()


def test_output_that_cannot_be_written_is_one_sentence(project_root: Path) -> None:
    """On a full disk a command ends with what is wrong and no traceback."""
    words = [sys.executable, str(project_root / "run.py"), "fee", "kalshi", "--price", "0.37", "--size", "7"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1, "run.py: the output cannot be written: No space left on device\n"
    )  # fmt: skip
