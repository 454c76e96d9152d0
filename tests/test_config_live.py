"""The files of a run that goes on: noticed, read as a whole, written key by key, cleared away."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from pipeline.clock import ManualClock, SystemClock
from pipeline.config import Config, parse_time_ns, sealed
from pipeline.config_changes import ALL, NOW, Change, Settings, SettingsError, Tuned
from pipeline.config_schema import resolve
from pipeline.config_schema.live import SETTLED_NS, FileSettings

NOBODY: frozenset[str] = frozenset()
LEGS = 'legs = [{ venue = "kalshi", market = "A" }, { venue = "polymarket", market = "B" }]\n'
TEXT = """# My own words.
[venues.kalshi]
[venues.polymarket]
[venues.kraken]

[risk]          # limits
min_edge_bp = 50     # basis points
max_order_usd = "10" # dollars

# How large.
[kelly]
mode = "half"

[profile.demo.risk]
cooldown_ms = 100 # quick
"""


class Files:
    """A folder with config.toml, and what a supervisor has of it."""

    def __init__(self, folder: Path, text: str = TEXT, sets: tuple[str, ...] = (), **environ: str) -> None:
        self.path = folder / "config.toml"
        self.events = folder / "events"
        self.clock = ManualClock(wall_ns=parse_time_ns("2026-12-10T00:00:00Z"))
        self.path.write_text(text)
        self.age(self.path)
        self.settings = FileSettings(self.path, None, sets, environ, folder / "data", self.clock)
        config = resolve(
            path=self.path, profile=None, sets=sets, environ=environ, data_directory=folder / "data"
        )
        self.running = sealed(
            msgspec.structs.replace(config, version=7, account="sim-1", started_wall_ns=5, profile="demo")
        )
        assert self.settings.changed(), "the first look reads, for nobody knows what was before"
        assert self.settings.read(self.running, NOBODY) == Tuned(self.running, ())

    def age(self, path: Path) -> None:
        """Let a file have rested."""
        long_ago = self.clock.wall_ns() - 10 * SETTLED_NS
        os.utime(path, ns=(long_ago, long_ago))

    def save(self, text: str, name: str = "config.toml") -> None:
        """Save a file as editors do: another one is put into its place."""
        path = self.path.parent / name
        path.parent.mkdir(exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text)
        self.age(new)
        new.replace(path)

    def change(self, old: str, new: str) -> None:
        """Save config.toml with something replaced."""
        text = self.path.read_text()
        assert text.count(old) == 1, (old, text)
        self.save(text.replace(old, new))

    def read(self, held: frozenset[str] = NOBODY) -> Tuned:
        """What the files mean now."""
        return self.settings.read(self.running, held)

    def write(self, *assignments: str) -> Tuned:
        """Write keys."""
        return self.settings.write(self.running, assignments, NOBODY)

    def refused(self, *assignments: str) -> list[str]:
        """What is said against keys; the file stays as it is."""
        before = self.path.read_bytes()
        with pytest.raises(SettingsError) as caught:
            self.write(*assignments)
        assert self.path.read_bytes() == before
        assert sorted(each.name for each in self.path.parent.glob(".*")) == []
        return str(caught.value).splitlines()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Files that a run was started with."""
    return Files(tmp_path)


# -- noticing -------------------------------------------------------------------------------------


def test_it_is_the_supervisor_s_settings(files: Files) -> None:
    """The class is what the supervisor asks for."""
    settings: Settings = files.settings
    assert not settings.changed()


def test_a_change_is_noticed_once(files: Files) -> None:
    """A saved file is a change until it is read, good or bad, and then no longer."""
    files.change("min_edge_bp = 50", "min_edge_bp = 60")
    assert files.settings.changed() and files.settings.changed()
    files.read()
    assert not files.settings.changed()
    files.change("min_edge_bp = 60", "min_edge_bp = -1")
    assert files.settings.changed()
    with pytest.raises(SettingsError):
        files.read()
    assert not files.settings.changed(), "what is wrong is told once"


def test_events_files_that_come_change_and_go_are_noticed(files: Files) -> None:
    """A file of events/ counts when it appears, when it changes and when it goes; others do not."""
    events = f'[[events]]\nid = "a"\n{LEGS}'
    for step in (
        lambda: files.save(events, "events/a.toml"),
        lambda: files.save(events + 'title = "A"\n', "events/a.toml"),
        lambda: (files.events / "a.toml").rename(files.events / "b.toml"),
        (files.events / "b.toml").unlink,
    ):
        step()
        assert files.settings.changed()
        files.read()
        assert not files.settings.changed()
    files.save("x", "events/notes.txt")
    files.save("x", "events/.a.toml")
    files.save("x", "notes.toml")
    assert not files.settings.changed()


def test_a_file_that_is_being_written_is_left_alone(files: Files) -> None:
    """A file that was changed a moment ago may be half of itself: it is read when it has rested."""
    files.path.write_text("")
    now = files.clock.wall_ns()
    os.utime(files.path, ns=(now, now))
    assert not files.settings.changed()
    files.clock.advance(SETTLED_NS - 1)
    assert not files.settings.changed()
    files.clock.advance(1)
    assert files.settings.changed()


def test_a_file_from_the_future_is_read(files: Files) -> None:
    """A clock that was set back does not keep a change from being seen."""
    files.path.write_text(TEXT.replace("50", "55"))
    later = files.clock.wall_ns() + 3600 * 10**9
    os.utime(files.path, ns=(later, later))
    assert files.settings.changed()


def test_a_file_that_is_gone_for_a_moment_is_no_change(files: Files) -> None:
    """An editor that removes the file and writes it again is not told about a missing file."""
    text = files.path.read_text()
    files.path.unlink()
    assert not files.settings.changed()
    files.save(text)
    files.settings.changed()
    files.path.unlink()
    assert not files.settings.changed() and files.settings.changed()
    with pytest.raises(SettingsError, match="there is no such file"):
        files.read()


# -- reading --------------------------------------------------------------------------------------


def test_an_empty_file_changes_nothing(files: Files) -> None:
    """What a full disk leaves of a save is refused; it does not turn the run to defaults."""
    files.save("\n")
    with pytest.raises(SettingsError, match=r"config\.toml: is empty, as after a save that failed"):
        files.read()
    files.save(TEXT)
    assert files.settings.changed()
    assert files.read().changes == ()


def test_what_changed_acts_now(files: Files) -> None:
    """A live key is in the new configuration, with old and new value; the run's own facts stay."""
    files.change("min_edge_bp = 50", "min_edge_bp = 60")
    tuned = files.read()
    assert tuned.changes == (Change("risk.min_edge_bp", "50", "60", NOW),)
    assert [str(change) for change in tuned.changes] == ["risk.min_edge_bp 50 -> 60: now"]
    risk = msgspec.structs.replace(files.running.risk, min_edge_bp=60)
    assert tuned.config == sealed(msgspec.structs.replace(files.running, risk=risk))
    assert tuned.config.hash != files.running.hash


def test_a_bad_file_is_refused_as_a_whole(files: Files) -> None:
    """One bad key refuses the good ones too, and every problem is told with its line."""
    files.save(TEXT.replace("50", "60").replace('"half"', '"haf"').replace("cooldown_ms", "coldown_ms"))
    with pytest.raises(SettingsError) as caught:
        files.read()
    assert str(caught.value).splitlines() == [
        f"{files.path}:12: kelly.mode: must be 'full', 'half' or 'quarter', got 'haf' - did you mean 'half'?",
        f"{files.path}:15: risk.coldown_ms: unknown key 'coldown_ms' - did you mean 'cooldown_ms'?",
    ]


def test_what_waits_for_a_restart_of_all_keeps_its_old_value(files: Files) -> None:
    """Such a key is told and left as it is, again and again, until it is taken back."""
    files.save(TEXT.replace("50", "60") + "[shm]\ndepth = 10\n[trader.cash]\nkraken = 7\n")
    for _ in range(2):
        tuned = files.read()
        assert [(change.key, change.when) for change in tuned.changes] == [
            ("risk.min_edge_bp", NOW),
            ("shm.depth", ALL),
            ("trader.cash.kalshi", ALL),
            ("trader.cash.kraken", ALL),
            ("trader.cash.polymarket", ALL),
        ]
        assert "shm.depth 25 -> 10: when everything restarts (run.py down, run.py up)" in map(
            str, tuned.changes
        )
        assert (tuned.config.shm.depth, tuned.config.risk.min_edge_bp) == (25, 60)
        assert tuned.config.trader == files.running.trader
    files.save(TEXT)
    assert files.read() == Tuned(files.running, ())


@pytest.mark.parametrize(
    ("text", "key", "when"),
    [
        ("[venues.kraken]\nenable_websocket = false", "venues.kraken.enable_websocket", "feed-kraken"),
        ("[dashboard]\nrefresh_ms = 100", "dashboard.refresh_ms", "dashboard"),
        ("[observer]\nmetrics = false", "observer.metrics", "observer"),
        ("[observer]\nenabled = false", "observer.enabled", ALL),
        ("[observer]\nexport_ms = 100", "observer.export_ms", NOW),
        ("[logs]\nmax_mb = 1", "logs.max_mb", ALL),
        ("[logs.levels]\ntrader = 'debug'", "logs.levels.trader", NOW),
        ("[alerts.rules.disk]\nlimit = 5", "alerts.rules.disk", NOW),
        ("[fees.kraken]\ntaker_bps = 5", "fees.kraken", NOW),
        ("[lab]\nseed = 8", "lab.seed", ALL),
        ("[supervisor]\nhung_after = 3", "supervisor.hung_after", NOW),
        ("[venues.coinbase]", "venues.coinbase", ALL),
    ],
)
def test_each_key_says_when_it_acts(text: str, key: str, when: str, tmp_path: Path) -> None:
    """A key of one worker waits for that worker, one of all for all, the others for nothing."""
    files = Files(tmp_path, TEXT.replace("[venues.kraken]\n", "") if "[venues.kraken]" in text else TEXT)
    if "[venues.kraken]" in text:
        files = Files(tmp_path)
        files.change("[venues.kraken]", text)
    else:
        files.save(f"{TEXT}{text}\n")
    tuned = files.read()
    assert (key, when) in [(change.key, change.when) for change in tuned.changes]
    assert {change.when for change in tuned.changes} == {when}
    assert (tuned.config == files.running) == (when == ALL)


def test_a_venue_that_turns_real_waits(tmp_path: Path) -> None:
    """An address for "sim" waits for a restart of all; another address is taken at once."""
    real = '[venues.kraken]\nurl = "wss://a.example.com"\nrest_url = "https://a.example.com"'
    files = Files(tmp_path)
    files.change("[venues.kraken]", real)
    tuned = files.read()
    assert {change.when for change in tuned.changes} == {ALL} and tuned.config == files.running
    files = Files(tmp_path, TEXT.replace("[venues.kraken]", real))
    files.change('url = "wss://a', 'url = "wss://b')
    (change,) = files.read().changes
    assert str(change) == 'venues.kraken.url "wss://a.example.com" -> "wss://b.example.com": now'


def test_events_are_compared_by_id(tmp_path: Path) -> None:
    """Events that come, go or differ are told by their id, wherever they stand."""

    def event(name: str, more: str = "") -> str:
        return f'[[events]]\nid = "{name}"\n{LEGS}{more}'

    files = Files(tmp_path, TEXT + event("a") + event("b") + event("c"))
    files.save(TEXT + event("c", 'title = "C"\nclose = "2026-12-16"\n') + event("a"))
    files.save(event("d"), "events/d.toml")
    tuned = files.read()
    assert list(map(str, tuned.changes)) == [
        "events.b there -> removed: now",
        "events.c there -> changed: title, close: now",
        "events.d - -> added: now",
    ]
    assert [each.id for each in tuned.config.events] == ["c", "a", "d"]


def test_an_event_that_is_held_stays(tmp_path: Path) -> None:
    """An event that the files have no longer stays while it is held; it goes when it is not, by itself."""
    event = f'[[events]]\nid = "a"\n{LEGS}'
    files = Files(tmp_path, TEXT + event)
    files.save(TEXT)
    tuned = files.read(frozenset({"a"}))
    assert tuned == Tuned(files.running, ())
    assert files.settings.notes == ("events.a is in no file any more and stays while it is held",)
    files.settings.archive(frozenset({"a"}), files.clock.wall_ns())
    assert not files.settings.changed()
    files.settings.archive(NOBODY, files.clock.wall_ns())
    assert files.settings.changed()
    assert list(map(str, files.read().changes)) == ["events.a there -> removed: now"]
    assert not files.settings.changed() and files.settings.notes == ()


def test_an_event_on_a_venue_that_waits_waits_too(files: Files) -> None:
    """A new venue needs a restart; its events are told to wait with it, and nothing is half there."""
    legs = LEGS.replace("kalshi", "coinbase")
    files.save(TEXT + f'[venues.coinbase]\n[[events]]\nid = "a"\n{legs}')
    tuned = files.read()
    assert {change.key: change.when for change in tuned.changes}["events.a"] == ALL
    assert tuned.config == files.running


def test_what_holds_only_after_a_restart_is_refused(files: Files) -> None:
    """A save that would need the keys that wait is refused: the run is never in a state nobody wrote."""
    events = "".join(f'[[events]]\nid = "{number}"\n{LEGS}' for number in range(65))
    files.save(TEXT + "[shm]\nmax_events = 100\n" + events)
    with pytest.raises(SettingsError, match=r"65 events, but shm.max_events is 64, while other keys wait"):
        files.read()


def test_a_series_goes_on_by_the_clock(tmp_path: Path) -> None:
    """When an instance closes a look is due, and the reading brings the next one."""
    series = (
        '[[series]]\nid = "s"\nfirst = "2026-12-16T19:00:00Z"\nevery = "1d"\nlegs = [\n'
        '  { venue = "kalshi", market = "A-{close:%d}" },\n'
        '  { venue = "polymarket", market = "B-{close:%d}" },\n'
        f']\nreview = {{ by = "me", rules_hash = "{"a" * 64}" }}\n'
    )
    files = Files(tmp_path)
    files.save(TEXT + series)
    tuned = files.read()
    assert list(map(str, tuned.changes)) == ["events.s-20261216T1900Z - -> added: now"]
    assert not files.settings.changed()
    files.clock.jump_wall(parse_time_ns("2026-12-16T19:00:00Z") - files.clock.wall_ns())
    assert files.settings.changed()
    files.running = tuned.config
    assert list(map(str, files.read().changes)) == ["events.s-20261217T1900Z - -> added: now"]
    assert not files.settings.changed()


# -- writing --------------------------------------------------------------------------------------


def test_a_key_is_written_and_comments_stay(files: Files) -> None:
    """The value changes, and nothing else: comments keep their column, numbers in quotes their quotes."""
    os.chmod(files.path, 0o640)
    tuned = files.write("risk.min_edge_bp=5", "risk.max_order_usd=7.50", "kelly.mode=quarter")
    assert list(map(str, tuned.changes)) == [
        'kelly.mode "half" -> "quarter": now',
        'risk.max_order_usd "10" -> "7.50": now',
        "risk.min_edge_bp 50 -> 5: now",
    ]
    expected = TEXT.replace("= 50     #", "= 5      #").replace('"10" #', '"7.50" #')
    assert files.path.read_text() == expected.replace('"half"', '"quarter"')
    assert stat.S_IMODE(files.path.stat().st_mode) == 0o640
    assert not files.settings.changed(), "what was written is known already"
    assert tuned.config.risk.min_edge_bp == 5


def test_a_key_of_the_profile_is_written_there(files: Files) -> None:
    """What the run's profile sets is changed in the profile: elsewhere it would not count."""
    files.write("risk.cooldown_ms=200")
    assert "cooldown_ms = 200 # quick" in files.path.read_text()
    assert files.read().config.risk.cooldown_ms == 200


def test_a_new_key_stands_under_its_header(files: Files) -> None:
    """A key that the file leaves out comes into its table; a table that is not there comes to the end."""
    files.write("risk.probe_usd=3", 'fees.kraken.source="me"', "logs.levels.feed-kraken=debug")
    text = files.path.read_text()
    assert "[risk]          # limits\nprobe_usd = 3\nmin_edge_bp" in text
    assert text.endswith('\n\n[fees.kraken]\nsource = "me"\n\n[logs.levels]\nfeed-kraken = "debug"\n')
    assert files.read().config.logs.of("feed-kraken") == "debug"


def test_inline_tables_and_quoted_names_are_written_in_place(tmp_path: Path) -> None:
    """Keys inside inline tables and under quoted names are found where they stand."""
    text = (
        TEXT + "[alerts]\nrules = { disk = { limit = 5 } } # few\n[trader.inventory.kraken]\n'BTC/USD' = 1\n"
    )
    files = Files(tmp_path, text)
    files.write("alerts.rules.disk.limit=6", "alerts.rules.halt.enabled=false")
    files.write('trader.inventory.kraken."BTC/USD"=2', 'trader.inventory.kraken."ETH/USD"=3')
    config = files.read().config
    assert config.alerts.rules["disk"].limit == "6" and config.alerts.rules["halt"].enabled is False
    assert "'BTC/USD' = 2\n" in files.path.read_text() and '"ETH/USD" = 3\n' in files.path.read_text()


def test_the_project_file_takes_every_key(project_root: Path, tmp_path: Path) -> None:
    """Each key of config.toml can be set to the value it has; nothing changes but spaces in the line."""
    text = (project_root / "config.toml").read_text()
    files = Files(tmp_path, text)
    config = files.running
    assignments = [
        f"{section}.{name}={value}"
        for section in ("risk", "scanner", "supervisor", "kelly")
        for name, value in msgspec.to_builtins(getattr(config, section)).items()
    ]
    assert files.write(*assignments).changes == ()
    assert files.path.read_text() == text


def test_all_or_none(files: Files) -> None:
    """One key that is refused refuses all, and every reason is told, without a secret."""
    token = "sk_live_51HqT9vKz0" + "aBcD3eFgH4iJkL"
    told = files.refused(
        "risk.min_edge_bp=60",
        "risk.min_edge=60",
        "kelly.mode=haf",
        "risk.cooldown_ms=-1",
        "kelly",
        "events.0.id=x",
        "profile.demo.risk.cooldown_ms=1",
        "risk.min_edge_bp.x=1",
        f"venues.kalshi.api_secret={token}",
        f"alerts.urls_file=tgram://{token}/1",
        "risk.cooldown_ms=2",
    )
    assert token not in "\n".join(told)
    assert [line.partition(": ")[0] for line in told] == [
        "kelly",
        "events.0.id",
        "profile.demo.risk.cooldown_ms",
        "venues.kalshi.api_secret",
        "alerts.urls_file",
        "risk.cooldown_ms",
        "risk.min_edge_bp.x",
        "risk.min_edge",
        "kelly.mode",
        "risk.cooldown_ms",
    ]
    assert "risk.min_edge: unknown key 'min_edge' - did you mean 'min_edge_bp'?" in told
    assert (
        "risk.cooldown_ms: is set twice here" in told
        and "risk.cooldown_ms: must be at least 0, got -1" in told
    )


def test_what_wins_over_the_file_is_named(tmp_path: Path) -> None:
    """A key that --set or the environment gives cannot be changed in the file, and it says so."""
    files = Files(tmp_path, sets=("risk.min_edge_bp=1",), PARALLAX__KELLY__MODE="full")
    wins = "and that wins over the file: start without it to change it here"
    assert files.refused("risk.min_edge_bp=2", "kelly.mode=half") == [
        f"risk.min_edge_bp: is set by the --set of this run, {wins}",
        f"kelly.mode: is set by PARALLAX__KELLY__MODE in the environment, {wins}",
    ]


def test_values_cannot_smuggle_tables_in(files: Files) -> None:
    """A value is one value: whatever else stands behind it is part of a text."""
    for value in ("1\n[risk]\nmin_edge_bp = 1", "half # [x]", '"half"\nx = 1', "{ a = 1 }"):
        assert files.refused(f"kelly.mode={value}") or value == "half # [x]"


def test_a_bad_file_is_not_written_to(files: Files) -> None:
    """While the file does not hold nothing is written into it: its problems are told."""
    files.change('"half"', '"haf"')
    assert "kelly.mode" in files.refused("risk.min_edge_bp=3")[0]


def test_a_link_stays_a_link(files: Files) -> None:
    """A file that is a link is written where it lies."""
    real = files.path.with_name("mine.toml")
    files.path.rename(real)
    files.path.symlink_to(real)
    files.write("risk.min_edge_bp=3")
    assert files.path.is_symlink() and "min_edge_bp = 3" in real.read_text()


def test_a_folder_that_cannot_be_written_is_told(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new file cannot be put in place the old one stays, and no rest of it lies about."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert files.refused("risk.min_edge_bp=3") == [
        f"{files.path}: cannot be written: No space left on device"
    ]


def test_a_file_that_somebody_saves_meanwhile_wins(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person saves while a key is being written is not overwritten."""
    write = os.fsync

    def meanwhile(descriptor: int) -> None:
        files.save(TEXT.replace("half", "full"))
        write(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(SettingsError, match="somebody else has just changed it"):
        files.write("risk.min_edge_bp=3")
    assert files.path.read_text() == TEXT.replace("half", "full") and files.settings.changed()


def test_a_real_clock_sees_a_real_save(tmp_path: Path) -> None:
    """With the machine's own clock and file system a save is seen once it has rested."""
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    clock = SystemClock()
    settings = FileSettings(path, None, (), {}, tmp_path / "data", clock)
    running: Config = settings.read(
        resolve(path=path, profile=None, sets=(), environ={}, data_directory=tmp_path / "data"), NOBODY
    ).config
    path.write_text(TEXT.replace("= 50", "= 60"))
    deadline = clock.monotonic_ns() + 10 * 10**9
    while not settings.changed():
        assert clock.monotonic_ns() < deadline
        clock.sleep(0.02)
    assert settings.read(running, NOBODY).config.risk.min_edge_bp == 60


# -- archive --------------------------------------------------------------------------------------


def over(name: str, close: str) -> str:
    return f'[[events]]\nid = "{name}"\nclose = "{close}"\n{LEGS}'


def test_files_of_events_that_are_over_are_archived(files: Files) -> None:
    """A file goes once all its events closed archive_days ago and none is held; nothing else ever goes."""
    now = files.clock.wall_ns()
    old, young = "2026-12-02T00:00:00Z", "2026-12-04T00:00:00Z"
    files.save(over("a", old) + over("b", old), "events/over.toml")
    files.save(over("c", old), "events/held.toml")
    files.save(over("d", old) + over("e", young), "events/half.toml")
    files.save(f'[[events]]\nid = "f"\n{LEGS}', "events/never.toml")
    files.save("", "events/empty.toml")
    files.save("[[events]]\nid =", "events/bad.toml")
    held = frozenset({"c"})
    assert files.settings.archive(held, now) == [
        f"{files.events}/over.toml -> {files.events}/archive/over.toml"
    ]
    left = sorted(path.name for path in files.events.glob("*.toml"))
    assert left == ["bad.toml", "empty.toml", "half.toml", "held.toml", "never.toml"]
    assert files.settings.archive(held, now) == []
    files.save(over("g", old), "events/over.toml")
    assert files.settings.archive(NOBODY, now) == [
        f"{files.events}/held.toml -> {files.events}/archive/held.toml",
        f"{files.events}/over.toml -> {files.events}/archive/over-2.toml",
    ]
    assert 'id = "a"' in (files.events / "archive" / "over.toml").read_text()
    assert 'id = "g"' in (files.events / "archive" / "over-2.toml").read_text()


def test_a_file_with_a_series_is_never_over(files: Files) -> None:
    """A series goes on: its file stays, whatever else in it is over."""
    files.save(over("a", "2020-01-01") + '[[series]]\nid = "s"\n', "events/a.toml")
    assert files.settings.archive(NOBODY, files.clock.wall_ns()) == []


def test_what_was_archived_leaves_the_configuration(files: Files) -> None:
    """After the move the events are gone from the files, which is a change like any other."""
    files.save(over("a", "2026-12-02T00:00:00Z"), "events/a.toml")
    files.running = files.read().config
    files.settings.archive(NOBODY, files.clock.wall_ns())
    assert files.settings.changed()
    assert list(map(str, files.read().changes)) == ["events.a there -> removed: now"]
