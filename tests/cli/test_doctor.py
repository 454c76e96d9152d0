"""Doctor: each fault of a machine, a folder or a configuration is seen, and one sentence says what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.bus_remote import make_keys
from pipeline.cli import doctor_config, doctor_folder, doctor_machine, doctor_venues
from pipeline.cli.common import ROOT, run_directory_of
from pipeline.cli.doctor import FOUND_A_FAULT
from pipeline.cli.doctor_finding import FAULT, OK, WARN, Finding
from pipeline.cli.main import main
from pipeline.clock import ManualClock, SystemClock
from pipeline.config import (
    Config,
    ControlConfig,
    EventConfig,
    ObserverConfig,
    ReviewConfig,
    ShmConfig,
    VenueConfig,
    encode,
)
from pipeline.journal import Journal
from pipeline.journal_records import LEDGER_FILE
from pipeline.logs import open_log
from pipeline.places import instance_of, shm_directory
from shm import layout as lo
from shm import segment as segments
from shm.tables import counter_section

NOW_NS = 1_800_000_000 * 10**9  # 2027-01-15T08:00:00Z


def grades(findings: Iterator[Finding] | list[Finding] | Finding) -> list[str]:
    """The grades of findings; each that is not ok must say what to do."""
    found = [findings] if isinstance(findings, Finding) else list(findings)
    assert all(bool(finding.todo) == (finding.grade != OK) for finding in found), found
    return [finding.grade for finding in found]


# -- the machine -----------------------------------------------------------------------------------------

LOCKED = """
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:00
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:01
msgspec==0.22.0 \\
    --hash=sha256:02
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:03
"""


@pytest.mark.parametrize(
    ("installed", "grade", "words"),
    [
        ({"numpy": "2.4.6", "msgspec": "0.22.0"}, OK, "3 packages are as locked"),
        ({"numpy": "2.5.5", "msgspec": "0.22.0", "colorama": "0.4.6"}, OK, "as locked"),
        ({"numpy": "2.4.6"}, FAULT, "msgspec is missing"),
        ({"numpy": "1.0", "msgspec": "0.22.0"}, FAULT, "numpy is 1.0, not 2.4.6"),
        ({"numpy": "2.4.6", "msgspec": "0.22.0", "colorama": "1"}, FAULT, "colorama is 1"),
    ],
)
def test_packages_are_compared_with_the_lock(installed: dict[str, str], grade: str, words: str) -> None:
    """What is missing or of another version is named; packages for other systems may be missing."""
    found = doctor_machine.lock(LOCKED, installed.get, own_choice=False)
    assert grades(found) == [grade]
    assert words in found.text
    chosen = doctor_machine.lock(LOCKED, installed.get, own_choice=True)
    assert grades(chosen) == [WARN if grade == FAULT else OK]


def test_an_empty_lock_is_a_fault() -> None:
    """A lock without packages proves nothing."""
    assert grades(doctor_machine.lock("", lambda _: None, own_choice=False)) == [FAULT]


def test_python_machine_and_user() -> None:
    """An old Python and a foreign processor are faults; root is warned."""
    assert grades(doctor_machine.python((3, 10, 9))) == [FAULT]
    assert grades(doctor_machine.python((3, 11, 0))) == [OK]
    assert grades(doctor_machine.machine("aarch64")) == [FAULT]
    assert grades(doctor_machine.machine("AMD64")) == [OK]
    assert grades(doctor_machine.user(0)) == [WARN]
    assert grades(doctor_machine.user(1000)) == [OK]


def test_the_memory_that_a_run_needs_is_known_before(tmp_path: Path) -> None:
    """C3: a /dev/shm that is too small for the configured sections is found before the start."""
    small = Config(venues={"kraken": VenueConfig()}, shm=ShmConfig(max_markets=8, depth=10, history=100))
    large = Config(venues={"kraken": VenueConfig(), "kalshi": VenueConfig()})
    need = doctor_machine.needed_bytes(small)
    assert need < doctor_machine.needed_bytes(large) < 2**30
    assert grades(doctor_machine.memory_files(tmp_path / "a" / "b", need, 0)) == [OK]
    found = doctor_machine.memory_files(tmp_path, 2**60, 0)
    assert grades(found) == [FAULT]
    assert "a run needs" in found.text
    assert grades(doctor_machine.memory_files(tmp_path, 2**60, 2**60)) == [OK]
    assert grades(doctor_machine.memory_files(Path("/proc/none"), need, 0)) == [FAULT]


@pytest.mark.parametrize(("mib", "grade"), [(199, FAULT), (200, WARN), (1023, WARN), (1024, OK)])
def test_a_disk_that_fills_is_warned_of(tmp_path: Path, mib: int, grade: str) -> None:
    """C7: below 200 MiB is a fault, below 1 GiB a warning."""
    assert grades(doctor_machine.disk(tmp_path / "data", mib * 2**20)) == [grade]


def test_a_data_directory_that_cannot_be_is_a_fault(tmp_path: Path) -> None:
    """C9: where the data directory would lie on a file, or in what cannot be written, it is said."""
    (tmp_path / "data").touch()
    found = doctor_machine.disk(tmp_path / "data" / "x")
    assert grades(found) == [FAULT]
    assert found.text.endswith("data is no folder")
    assert grades(doctor_machine.disk(Path("/proc/none"))) == [FAULT]
    assert grades(doctor_machine.disk(tmp_path)) in ([OK], [WARN])


GENEROUS = {"files": 1024, "memory": -1, "file size": -1, "processes": -1}


@pytest.mark.parametrize(
    ("limit", "left", "grade"),
    [
        ({}, None, []),
        ({"files": -1}, 1000, []),
        ({"files": 100}, None, [FAULT]),
        ({"files": 256}, None, [WARN]),
        ({"memory": 2**29}, None, [FAULT]),
        ({"file size": 2**20}, None, [WARN]),
        ({"processes": 10}, None, [WARN]),
        ({}, 10, [WARN]),
        ({"files": 10, "memory": 1, "file size": 1}, 1, [FAULT, FAULT, WARN, WARN]),
    ],
)
def test_tight_limits_are_found(limit: dict[str, int], left: int | None, grade: list[str]) -> None:
    """Each limit that a run would meet is named, with the command that lifts it."""
    assert grades(doctor_machine.limits({**GENEROUS, **limit}, left)) == grade


def test_the_control_group_says_how_many_processes_are_left(tmp_path: Path) -> None:
    """pids.max less pids.current; "max" and no such files are no limit."""
    assert doctor_machine.pids_left(tmp_path) is None
    (tmp_path / "pids.current").write_text("30\n")
    (tmp_path / "pids.max").write_text("100\n")
    assert doctor_machine.pids_left(tmp_path) == 70
    (tmp_path / "pids.max").write_text("max\n")
    assert doctor_machine.pids_left(tmp_path) is None


@pytest.mark.parametrize(
    ("wall_ns", "grade"), [(0, FAULT), (NOW_NS, OK), (5_000_000_000 * 10**9, FAULT), (10**18, FAULT)]
)
def test_a_clock_that_was_never_set_is_a_fault(wall_ns: int, grade: str) -> None:
    """1970, 2001 and 2128 are no time to trade at."""
    assert grades(doctor_machine.clock(ManualClock(wall_ns=wall_ns))) == [grade]


def test_the_terminal_is_looked_at() -> None:
    """Too small, no UTF-8, no colours: each is told; no terminal is none the worse."""

    def seen(
        *, tty: bool = True, columns: int = 80, encoding: str = "utf-8", term: str = "xterm"
    ) -> list[str]:
        return grades(
            doctor_machine.terminal(tty=tty, columns=columns, lines=24, encoding=encoding, term=term)
        )

    assert seen() == seen(tty=False, columns=0) == [OK]
    assert seen(columns=60) == seen(encoding="ANSI_X3.4-1968") == seen(term="dumb") == seen(term="") == [WARN]


# -- the folder ------------------------------------------------------------------------------------------


def test_rights_of_the_data_directory_and_its_files(tmp_path: Path) -> None:
    """D5: what others could read is named; what is another user's is a fault."""
    data = tmp_path / "data"
    assert grades(doctor_folder.rights(data, os.geteuid())) == []
    data.mkdir(mode=0o700)
    open_log("w", data).info("x")
    assert grades(doctor_folder.rights(data, os.geteuid())) == [OK]
    data.chmod(0o755)
    assert grades(doctor_folder.rights(data, os.geteuid())) == [WARN]
    ledger = data / LEDGER_FILE
    ledger.touch(mode=0o600)
    ledger.chmod(0o640)
    found = list(doctor_folder.rights(data, os.geteuid()))
    assert grades(found) == [WARN, WARN]
    assert LEDGER_FILE in found[1].text
    assert FAULT in grades(doctor_folder.rights(data, os.geteuid() + 1))


def test_the_journal_is_read_whole(tmp_path: Path) -> None:
    """C8, C9: no journal is no fault; a whole one is good; a changed row, a foreign file and a link to
    nowhere are faults.
    """
    assert grades(doctor_folder.journal(tmp_path)) == [OK]
    path = tmp_path / LEDGER_FILE
    clock = SystemClock()
    Journal.open(path, wall_ns=clock.wall_ns, monotonic_ns=clock.monotonic_ns).close()
    assert grades(doctor_folder.journal(tmp_path)) == [OK]
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(byte ^ 255 for byte in content[100:200]) + content[200:])
    assert grades(doctor_folder.journal(tmp_path)) == [FAULT]
    path.write_bytes(b"no database at all" * 1000)
    assert grades(doctor_folder.journal(tmp_path)) == [FAULT]
    assert path.read_bytes() == b"no database at all" * 1000


def test_the_run_directory(tmp_path: Path) -> None:
    """D5: a path too long for a socket, and a directory that others may enter, are faults."""
    uid = os.geteuid()
    assert grades(doctor_folder.run_directory(tmp_path / "run", uid)) == [OK]
    assert grades(doctor_folder.run_directory(tmp_path / ("x" * 120), uid)) == [FAULT]
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o755)  # whatever the umask
    assert grades(doctor_folder.run_directory(tmp_path / "run", uid)) == [FAULT]
    (tmp_path / "run").chmod(0o700)
    assert grades(doctor_folder.run_directory(tmp_path / "run", uid)) == [OK]
    assert grades(doctor_folder.run_directory(tmp_path / "run", uid + 1)) == [FAULT]


def test_leftovers_are_told_from_what_lives(tmp_path: Path) -> None:
    """C1: files of a dead run are a warning, so are workers without a supervisor; a live run is well."""
    ours, theirs = tmp_path / "parallax-1-aaaa", tmp_path / "parallax-1-bbbb"
    run = tmp_path / "run"
    assert grades(doctor_folder.supervisor(run, ours, running=False)) == [OK]
    assert grades(doctor_folder.others(ours)) == []
    made = []
    for directory in (ours, theirs):
        segments.make_directory(directory)
        made.append(
            segments.create(
                directory,
                "scanner",
                [counter_section(("x",))],
                segments.this_owner(),
                monotonic_ns=1,
                wall_ns=1,
                sleep=lambda _: None,
            )
        )
    assert grades(doctor_folder.others(ours)) == []
    assert grades(doctor_folder.orphans(ours, running=True)) == []
    (orphan,) = doctor_folder.orphans(ours, running=False)
    assert orphan.grade == WARN
    assert f"pid {os.getpid()}" in orphan.text
    for segment in made:
        segment.close()
    assert grades(doctor_folder.orphans(ours, running=False)) == []
    assert grades(doctor_folder.supervisor(run, ours, running=False)) == [WARN]
    assert grades(doctor_folder.supervisor(run, ours, running=True)) == [OK]
    (other,) = doctor_folder.others(ours)
    assert other.grade == WARN
    assert "bbbb" in other.text
    assert doctor_folder.present_bytes(ours) == (ours / "scanner").stat().st_size > lo.HEADER_WORDS


def test_taken_ports_are_faults() -> None:
    """A port that another program listens on is found before the start; one's own run is no other."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        metrics = Config(observer=ObserverConfig(metrics_port=port))
        remote = Config(control=ControlConfig(tcp=f"tcp://127.0.0.1:{port}"))
        for config in (metrics, remote):
            (found,) = doctor_folder.ports(config, running=False)
            assert found.grade == FAULT
            assert "already in use" in found.text
            assert grades(doctor_folder.ports(config, running=True)) == [OK]
        quiet = Config(observer=ObserverConfig(metrics=False, metrics_port=port))
        assert grades(doctor_folder.ports(quiet, running=False)) == []
    assert grades(doctor_folder.ports(metrics, running=False)) == [OK]
    assert grades(doctor_folder.ports(Config(), running=False)) == []


# -- the configuration -----------------------------------------------------------------------------------


def test_secrets_are_looked_for_and_never_shown(tmp_path: Path) -> None:
    """D7: a missing variable, an open file, a key that is none are faults; no secret is in their text, and
    the environment stays as it was.
    """
    _, secret = make_keys()
    key = tmp_path / "key"
    key.write_text(secret.reveal())
    key.chmod(0o600)
    open_key = tmp_path / "open"
    open_key.write_text("canary-of-doctor")
    open_key.chmod(0o644)

    def look(config: Config, environ: dict[str, str]) -> list[str]:
        before = dict(environ)
        found = list(doctor_config.secrets(config, environ))
        assert environ == before
        assert not [
            finding for finding in found if "canary" in finding.text or secret.reveal() in finding.text
        ]
        return grades(found)

    signed = Config(venues={"kalshi": VenueConfig(key_id_env="ID", key_file=str(key))})
    assert look(Config(), {}) == [OK]
    assert look(signed, {"ID": "canary-of-doctor"}) == [OK]
    assert look(signed, {}) == [FAULT, OK]
    opened = Config(venues={"kalshi": VenueConfig(key_file=str(open_key))})
    assert look(opened, {}) == [FAULT, OK]
    remote = ControlConfig(tcp="tcp://127.0.0.1:1", key_file=str(key))
    assert look(Config(control=remote), {}) == [OK]
    key.write_text("canary-of-doctor")
    assert look(Config(control=remote), {}) == [FAULT, OK]


def test_events_that_will_not_trade_are_named() -> None:
    """What is over, and what nobody reviewed, is a warning each."""
    read = ReviewConfig(by="me")
    good = EventConfig(id="good", close="2027-02-01T00:00:00Z", review=read)
    over = EventConfig(id="over", close="2027-01-01T00:00:00Z", review=read)
    unread = [EventConfig(id=f"unread-{n}", review=ReviewConfig() if n else None) for n in range(7)]
    assert grades(doctor_config.events(Config(events=(good,)), NOW_NS)) == [OK]
    late, unseen = doctor_config.events(Config(events=(good, over, *unread)), NOW_NS)
    assert (late.grade, late.text) == (WARN, "over: over")
    assert (unseen.grade, unseen.text.count("unread-")) == (WARN, 5)
    assert "and 2 more" in unseen.text


# -- the venues ------------------------------------------------------------------------------------------


class Venue:
    """A loopback venue with a clock of its own; `skew_s` None tells no time."""

    def __init__(self, skew_s: float | None) -> None:
        clock = SystemClock()

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response_only(404)
                if skew_s is not None:
                    self.send_header("Date", formatdate(int(clock.wall_ns() / 1e9 + skew_s), usegmt=True))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/trade-api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.parametrize(
    ("skew_s", "grade", "words"),
    [
        (0.0, OK, "same time"),
        (3600.0, WARN, "s ahead of this machine"),
        (-60.0, WARN, "60 s behind this machine"),
        (None, OK, "answers"),
    ],
)
def test_the_clock_is_compared_with_the_venues(skew_s: float | None, grade: str, words: str) -> None:
    """A venue whose Date is far from our clock is told, with the side it is on; any status is an answer."""
    venue = Venue(skew_s)
    config = Config(venues={"kraken": VenueConfig(url="sim", rest_url=venue.url)})
    try:
        (found,) = doctor_venues.venues(config, SystemClock())
    finally:
        venue.close()
    assert grades(found) == [grade]
    assert words in found.text


def test_venues_that_do_not_answer_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listening, silence, nonsense: each is a warning with its address; none holds up the others."""
    monkeypatch.setattr(doctor_venues, "ASK_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
        closed.close()
        quiet = silent.getsockname()[1]
        config = Config(
            venues={
                "a": VenueConfig(url=f"ws://127.0.0.1:{port}", rest_url=f"http://127.0.0.1:{port}"),
                "b": VenueConfig(
                    url=f"wss://127.0.0.1:{quiet}", rest_url=f"http://user:pass@127.0.0.1:{quiet}"
                ),
                "c": VenueConfig(url="http://[::bad", rest_url="sim"),
                "d": VenueConfig(url=f"ws://127.0.0.1:{quiet}", rest_url="sim"),
                "off": VenueConfig(enabled=False, url="wss://example.invalid"),
            }
        )
        found = list(doctor_venues.venues(config, SystemClock()))
    assert grades(found) == [WARN, WARN, WARN, WARN, WARN, OK]
    assert "refused" in found[0].text
    assert "pass" not in "".join(finding.text for finding in found)


def test_simulated_venues_are_not_asked() -> None:
    """With every venue simulated nothing goes out, and that is said."""
    (found,) = doctor_venues.venues(Config(venues={"kraken": VenueConfig()}), SystemClock())
    assert found.grade == OK
    assert "nothing was asked" in found.text


# -- the command -----------------------------------------------------------------------------------------


def command(data: Path, *words: str, **environ: str) -> tuple[int, str]:
    """Exit code and stdout of `run.py doctor` in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "doctor", "--data", str(data), *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PARALLAX_NO_VENV": "1", **environ},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_good_machine_passes_and_nothing_is_changed(tmp_path: Path) -> None:
    """Exit code 0, each check a line, and no file, folder or memory made."""
    data = tmp_path / "data"
    code, text = command(data, XDG_RUNTIME_DIR=str(tmp_path))
    assert code == 0, text
    assert list(tmp_path.iterdir()) == []
    assert not shm_directory(instance_of(data), "", os.geteuid()).exists()
    checks = {line.split()[1] for line in text.splitlines() if line.startswith(("ok", "warn"))}
    assert {"python", "packages", "machine", "memory", "disk", "journal", "limits", "clock"} <= checks
    assert {"terminal", "run", "ports", "secrets", "events", "venues", "config"} <= checks
    assert " 0 faults" in text.splitlines()[-1]


def test_a_fault_is_exit_code_6_with_all_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken configuration and a broken ledger are both told, with the line; --json says the same."""
    (tmp_path / LEDGER_FILE).write_bytes(b"x" * 100)
    config = tmp_path / "config.toml"
    config.write_text("[risk]\nmin_egde_bp = 5\nmax_order_usd = -1\n")
    words = ["doctor", "--data", str(tmp_path), "--config", str(config)]
    assert main(words) == FOUND_A_FAULT
    told = capsys.readouterr().out
    assert main([*words, "--json"]) == FOUND_A_FAULT
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    faults = [check for check in found["checks"] if check["grade"] == FAULT]
    assert [check["check"] for check in faults] == ["journal", "config", "config"]
    assert ":2: risk.min_egde_bp: unknown key" in faults[1]["text"]
    assert all(check["todo"] for check in faults)
    assert told.count("FAULT ") == 3
    assert " 3 faults" in told.splitlines()[-1]


def test_a_dead_run_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C1: what a killed supervisor left is told, with what becomes of it, and is no fault."""
    directory = run_directory_of(tmp_path)
    directory.mkdir(mode=0o700)
    try:
        (directory / "config.json").write_bytes(encode(Config(shm_directory=str(tmp_path / "shm"))))
        assert main(["doctor", "--data", str(tmp_path), "--json"]) == 0
        checks = {check["check"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
        assert checks["run"]["grade"] == WARN
        assert "run.py up removes" in checks["run"]["todo"]
    finally:
        (directory / "config.json").unlink()
        directory.rmdir()
