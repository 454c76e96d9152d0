"""Broken configurations: what each is told, word by word and line by line; none of them starts anything.

The table is tests/data/config/broken.txt: `=== name`, then the files and options, then what is told.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.cli.main import main
from pipeline.config_schema import ConfigProblems, resolve
from pipeline.config_schema.operation_checks import WITHOUT_LIMIT
from pipeline.observer.rules import DEFAULTS

TABLE = Path(__file__).parent / "data" / "config" / "broken.txt"
TOKEN = "sk_live_" + "51HqT9vKz0aBcD3eFgH4iJkL"
WALL_NS = 1_797_000_000 * 10**9


@dataclass
class Case:
    """One broken configuration."""

    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    profile: str | None = None
    sets: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    told: str = ""

    def add(self, part: str, text: str) -> None:
        """One `---` part of the table."""
        name, _, mode = part.partition(" ")
        match name:
            case "profile":
                self.profile = text
            case "set":
                self.sets = text.splitlines()
            case "environment":
                self.environ = dict(line.split("=", 1) for line in text.splitlines())
            case "told":
                self.told = text
            case _:
                self.files[name] = (text + "\n", int(mode or "644", 8))

    def write(self, folder: Path) -> None:
        """Lay the files out."""
        (folder / "config.toml").touch()
        for name, (text, mode) in self.files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(mode)


def cases() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for block in TABLE.read_text(encoding="utf-8").replace("<TOKEN>", TOKEN).split("=== ")[1:]:
        name, _, rest = block.partition("\n")
        case = found[name] = Case()
        for part in re.split(r"^--- ", rest, flags=re.MULTILINE)[1:]:
            title, _, text = part.partition("\n")
            case.add(title, text.rstrip("\n"))
    return found


CASES = cases()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds nothing."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(case: Case) -> str:
    """What is wrong, as a person reads it."""
    with pytest.raises(ConfigProblems) as caught:
        resolve(
            path=Path("config.toml"),
            profile=case.profile,
            sets=case.sets,
            environ=case.environ,
            data_directory=Path("data"),
            wall_ns=WALL_NS,
        )
    return str(caught.value)


@pytest.mark.parametrize("name", CASES)
def test_each_mistake_is_told_with_its_line(name: str, folder: Path) -> None:
    """A mistake is told exactly so: where it stands, what is wrong, what may have been meant; no secret."""
    CASES[name].write(folder)
    found = told(CASES[name])
    assert found == CASES[name].told
    assert TOKEN not in found and "MIIE" not in found


def test_the_table_is_long() -> None:
    """There are well over sixty mistakes in the table, and no two of one name."""
    assert len(CASES) == TABLE.read_text(encoding="utf-8").count("=== ") > 120


def binary(content: bytes, name: str = "config.toml") -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / "config.toml").touch()
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return write


def link(target: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.toml").symlink_to(target)


# Name: (how the file is made, what is told).
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "none": (lambda _: None, "config.toml: there is no such file; name one with --config"),
    "a folder": (lambda folder: (folder / "config.toml").mkdir(), "config.toml: is not a file"),
    "a pipe": (lambda folder: os.mkfifo(folder / "config.toml"), "config.toml: is not a file"),
    "bytes": (binary(b"a = '\xff'"), "config.toml: is not UTF-8 text: byte 5 is wrong"),
    "UTF-16": (binary("[risk]".encode("utf-16")), "config.toml: is not UTF-8 text: byte 0 is wrong"),
    "a zero byte": (
        binary(b"[risk]\n\x00x"),
        "config.toml:2:1: not valid TOML: Invalid statement\n     x\n    ^",
    ),
    "an escape": (
        binary(b"[risk]\n\x1b[31m = 1"),
        "config.toml:2:1: not valid TOML: Invalid statement\n     [31m = 1\n    ^",
    ),
    "a giant": (
        binary(b"#" * ((1 << 20) + 1)),
        "config.toml: is over 1 MiB (1048577 bytes): this is no configuration",
    ),
    "a link to nothing": (link("x.toml"), "config.toml: there is no such file; name one with --config"),
    "a link to itself": (
        link("config.toml"),
        "config.toml: cannot be read: Too many levels of symbolic links",
    ),
    "nested": (
        binary(b"a = " + b"[" * 100_000),
        "config.toml: not valid TOML: TOML inline arrays/tables are nested more than the allowed 400 levels",
    ),
    "nested tables": (
        binary(b"a = " + b"{ a = " * 390 + b"1" + b" }" * 390),
        "config.toml: tables and lists stand more than 32 deep in each other: no key is there",
    ),
    "a long number": (
        binary(b"a = " + b"9" * 5000),
        "config.toml: not valid TOML: a number has more digits than there can be",
    ),
    "bytes in events/": (
        binary(b"\xff", "events/a.toml"),
        "events/a.toml: is not UTF-8 text: byte 0 is wrong",
    ),
    "a giant in events/": (
        binary(b"#" * ((1 << 20) + 1), "events/a.toml"),
        "events/a.toml: is over 1 MiB (1048577 bytes): this is no configuration",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_text_file_is_one_problem(name: str, folder: Path) -> None:
    """What cannot be read, is no text, or is too large or too deep is told in one sentence."""
    make, said = FILES[name]
    make(folder)
    assert told(Case()) == said


def test_too_many_files_of_events_are_refused(folder: Path) -> None:
    """A folder events/ that somebody filled by mistake is refused and not read."""
    (folder / "config.toml").touch()
    (folder / "events").mkdir()
    for number in range(257):
        (folder / "events" / f"{number}.toml").touch()
    assert told(Case()) == "events: holds 257 files, 256 is the most"


SAMPLE = (
    "a key that is none",
    "not a number",
    "a key twice",
    "an address of alerts",
    "a syntax error in a file of events",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_up_starts_nothing_with_a_bad_config(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run.py up` with a bad configuration tells all, ends with 3, and makes neither folder nor segment."""
    place = folder / "p"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    CASES[name].write(place)
    before = sorted(place.rglob("*"))
    assert main(["up", "--no-dashboard", "--for", "1", "--config", "config.toml", "--data", "data"]) == 3
    assert capsys.readouterr() == ("", CASES[name].told + "\n")
    assert sorted(place.rglob("*")) == before


def test_the_program_ends_with_three(folder: Path, project_root: Path) -> None:
    """A real `run.py up` with a bad configuration ends with 3 before it has made anything."""
    CASES["a key twice"].write(folder)
    before = sorted(folder.rglob("*"))
    environ = dict(os.environ, PARALLAX_NO_VENV="1", XDG_RUNTIME_DIR=str(folder))
    command = [sys.executable, str(project_root / "run.py"), "up", "--for", "1", "--config", "config.toml"]
    command += ["--data", str(folder / "data")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == CASES["a key twice"].told + "\n"
    assert sorted(folder.rglob("*")) == before


def test_the_rules_without_a_limit_are_the_observer_s() -> None:
    """A rule takes a limit in the file if, and only if, the observer's own has one."""
    assert {rule.name for rule in DEFAULTS if rule.limit is None} == {*WITHOUT_LIMIT}
