"""config.toml into a `Config`, or into everything that is wrong with it."""

import re
import socket
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline import config as plain
from pipeline.config_schema import ConfigProblems, Problem, merge_lab, models, resolve
from pipeline.config_schema.layers import split_set
from pipeline.config_schema.text import key_lines
from pipeline.config_schema.values import Amount, written
from pipeline.model_events import EVENT_KINDS

PAIRS: list[tuple[type[BaseModel], type[msgspec.Struct]]] = [
    (models.Venue, plain.VenueConfig),
    (models.Fee, plain.FeeConfig),
    (models.Tier, plain.TierConfig),
    (models.Shm, plain.ShmConfig),
    (models.Scanner, plain.ScannerConfig),
    (models.Risk, plain.RiskConfig),
    (models.Kelly, plain.KellyConfig),
    (models.Trader, plain.TraderConfig),
    (models.Supervisor, plain.SupervisorConfig),
    (models.Control, plain.ControlConfig),
    (models.Logs, plain.LogsConfig),
    (models.Observer, plain.ObserverConfig),
    (models.AlertRule, plain.AlertRuleConfig),
    (models.Alerts, plain.AlertsConfig),
    (models.Lab, plain.LabConfig),
    (models.Dashboard, plain.DashboardConfig),
    (models.Leg, plain.LegConfig),
    (models.Review, plain.ReviewConfig),
    (models.DigitalOption, plain.DigitalConfig),
    (models.Event, plain.EventConfig),
]
RESOLVED = set(
    "version hash profile mode simulated tape tape_speed account started_wall_ns instance source"
    " data_directory run_directory shm_directory".split()
)
SETTINGS = "shm scanner risk kelly trader supervisor control logs observer alerts lab dashboard".split()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds nothing."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(
    text: str, profile: str | None = None, sets: tuple[str, ...] = (), environ: dict[str, str] | None = None
) -> plain.Config:
    Path("config.toml").write_text(text, encoding="utf-8")
    return resolve(
        path=Path("config.toml"),
        profile=profile,
        sets=sets,
        environ=environ or {},
        data_directory=Path("data"),
        uid=1000,
    )


def problems(text: str, *args: Any, **named: Any) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        load(text, *args, **named)
    assert str(caught.value) == "\n".join(str(problem) for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


def project_config(root: Path, **named: Any) -> plain.Config:
    given: dict[str, Any] = {"profile": None, "sets": (), "environ": {}, "data_directory": Path("data")}
    return resolve(path=root / "config.toml", **(given | named))


# -- the schema, the structs and the file say the same ------------------------------------------


@pytest.mark.parametrize(("model", "struct"), PAIRS, ids=lambda pair: pair.__name__)
def test_models_mirror_structs(model: type[BaseModel], struct: type[msgspec.Struct]) -> None:
    """Each model has the keys and defaults of the struct that workers read."""
    fields = {
        name: None if field.is_required() else field.default for name, field in model.model_fields.items()
    }
    defaults = {
        field.name: field.default_factory()
        if field.default_factory is not msgspec.NODEFAULT
        else None if field.required else field.default
        for field in msgspec.structs.fields(struct)
    }  # fmt: skip
    assert fields == defaults


def test_the_file_model_has_the_sections_of_config() -> None:
    """What the file can say is what `Config` holds, but for what is resolved."""
    sections = {field.name for field in msgspec.structs.fields(plain.Config)}
    assert set(models.File.model_fields) - {"series"} == sections - RESOLVED


def leaf_keys(model: type[BaseModel], base: str) -> list[tuple[str, FieldInfo]]:
    return [(f"{base}.{name}", field) for name, field in model.model_fields.items()]


def test_every_key_is_explained() -> None:
    """Each key has a meaning and says when a change takes effect."""
    for model, _ in PAIRS:
        for name, field in leaf_keys(model, model.__name__):
            assert field.description, name
            extra = field.json_schema_extra
            assert isinstance(extra, dict) and extra["reload"] in {models.LIVE, models.WORKER, models.ALL}, (
                name
            )


def test_config_toml_shows_every_key_with_its_reload_class(project_root: Path) -> None:
    """config.toml holds each key, commented with its range and the schema's reload class."""
    text = (project_root / "config.toml").read_text(encoding="utf-8")
    lines = text.splitlines()
    where = key_lines(text)
    tables: dict[str, type[BaseModel]] = {"venues.kalshi": models.Venue}
    tables |= {name: models.File.model_fields[name].annotation for name in SETTINGS}  # type: ignore[misc]
    for table, model in tables.items():
        for name, field in leaf_keys(model, table):
            line = where[(*table.split("."), name.rpartition(".")[2])]
            said = lines[line - 1] + (lines[line] if lines[line].startswith(" ") else "")
            extra = field.json_schema_extra
            assert isinstance(extra, dict)
            assert said.endswith(f"| {extra['reload']}") or field.default == {}, (name, said)
            for limit in field.metadata:
                for bound in ("ge", "le"):
                    if hasattr(limit, bound):
                        assert f"{getattr(limit, bound)}" in said, (name, said)
    commented = (
        models.Fee,
        models.Tier,
        models.Event,
        models.Review,
        models.Leg,
        models.DigitalOption,
        models.Series,
        models.SeriesLeg,
    )
    for model in commented:
        for name in model.model_fields:
            assert re.search(rf"\b{name}\b", text), name


def test_config_toml_is_the_defaults(project_root: Path) -> None:
    """config.toml as it stands is what an empty file gives, but for capital and the known fees."""
    config = project_config(project_root)
    default = plain.Config()
    for name in SETTINGS:
        found, wanted = getattr(config, name), getattr(default, name)
        if name == "kelly":
            found = msgspec.structs.replace(found, capital_usd=wanted.capital_usd)
        if name == "trader":
            # Profile demo, whose venues are on this machine, has a latency of its own.
            assert found.paper_latency_ms == 10
            wanted = msgspec.structs.replace(
                wanted, cash=found.cash, inventory=found.inventory, paper_latency_ms=10
            )
        assert found == wanted
    assert config.kelly.capital_usd == "2000"
    assert config.venues == dict.fromkeys(["kalshi", "polymarket", "kraken", "coinbase"], plain.VenueConfig())
    assert config.fees == {
        "kalshi": plain.FeeConfig(account_precision="0.01"),
        "coinbase": plain.FeeConfig(taker_bps="120", maker_bps="60"),
    }
    assert config.simulated == ("kalshi", "polymarket", "kraken", "coinbase")
    assert config.events == ()


def test_an_empty_file_plays(folder: Path, project_root: Path) -> None:
    """A file may leave everything out: venues and paper account are config.toml's."""
    empty, full = load(""), project_config(project_root)
    assert empty.venues == full.venues
    assert msgspec.structs.replace(empty.trader, paper_latency_ms=10) == full.trader


def test_config_toml_in_profile_paper(project_root: Path, folder: Path) -> None:
    """Profile paper names the real venues, and wants a key of Kalshi alone."""
    with pytest.raises(ConfigProblems, match="wants a key") as caught:
        project_config(project_root, profile="paper")
    assert [p.key for p in caught.value.problems] == ["venues.kalshi.key_id_env"]
    config = project_config(project_root, profile="paper", sets=["venues.kalshi.enabled=false"])
    assert config.simulated == ()
    assert (config.profile, config.mode) == ("paper", "paper")
    assert all(
        v.url.startswith("wss://") and v.rest_url.startswith("https://") for v in config.venues.values()
    )
    key = folder / "k.pem"
    key.touch(mode=0o600)
    sets = ["venues.kalshi.key_id_env=KALSHI_KEY_ID", f"venues.kalshi.key_file={key}"]
    environ = {"KALSHI_KEY_ID": "x"}
    assert project_config(project_root, profile="paper", sets=sets, environ=environ).feeds()[0] == "kalshi"
    key.chmod(0o644)
    with pytest.raises(ConfigProblems, match="chmod 600"):
        project_config(project_root, profile="paper", sets=sets, environ=environ)
    with pytest.raises(ConfigProblems, match="KALSHI_KEY_ID is not set"):
        project_config(project_root, profile="paper", sets=sets)


def test_the_example_events_of_config_toml_hold(project_root: Path, folder: Path) -> None:
    """The commented events in config.toml, one of each kind, work when the marks are taken off."""
    text = (project_root / "config.toml").read_text(encoding="utf-8")
    example = "\n".join(line[2:] for line in text[text.index("# [[events]]") :].splitlines())
    config = load(text + "\n" + example)
    assert [event.kind for event in config.events] == list(EVENT_KINDS)
    reviewed = [event.kind for event in config.all_events() if event.reviewed]
    assert reviewed == [kind for kind in EVENT_KINDS if kind != "model"]
    binary, spot, *_, model = config.events
    assert binary.legs[1].void == "half"
    assert {leg.outcome for leg in spot.legs} == {"base"}
    assert [leg.outcome for leg in model.legs] == ["yes", "base"]
    assert config.markets_of("kraken") == ["BTC/USDT", "USDT/USD"]


# -- precedence and profiles --------------------------------------------------------------------


def test_precedence(folder: Path) -> None:
    """--set beats the environment, that beats the profile, that the file, that the default."""
    text = "[risk]\nmin_edge_bp = 1\ncooldown_ms = 1\nmax_leg_skew_ms = 1\nmax_book_age_ms = 1\n"
    text += "[profile.paper.risk]\nmin_edge_bp = 2\ncooldown_ms = 2\nmax_leg_skew_ms = 2\n"
    environ = {"PARALLAX__RISK__MIN_EDGE_BP": "3", "PARALLAX__RISK__COOLDOWN_MS": "3", "PARALLAX_SEED": "9"}
    risk = load(text, "paper", ("risk.min_edge_bp=4",), environ).risk
    assert (risk.min_edge_bp, risk.cooldown_ms, risk.max_leg_skew_ms, risk.max_book_age_ms) == (4, 3, 2, 1)
    assert risk.probe_usd == "5"
    assert load(text).risk.min_edge_bp == 1


def test_set_reads_values_as_toml_and_else_as_text(folder: Path) -> None:
    """A value of --set needs no quotes where it can only be text."""
    sets = (
        "kelly.mode=full",
        "risk.max_order_usd=7.10",
        'venues.kalshi.markets=["A.1", "B"]',
        "shm.directory=/dev/shm/x y",
        'trader.inventory.kraken."SOL/USD"=2',
        "trader.inventory.kraken.BTC/USD=3",
        "lab.divergence=0",
    )
    config = load("", None, sets)
    assert config.kelly.mode == "full"
    assert config.risk.max_order_usd == "7.10"
    assert config.venues["kalshi"].markets == ("A.1", "B")
    assert config.shm_directory == f"/dev/shm/x y/parallax-1000-{config.instance}"
    assert config.trader.inventory == {"kraken": {"BTC/USD": "3", "SOL/USD": "2"}}
    assert config.lab.divergence == 0.0


def test_set_reaches_into_events(folder: Path) -> None:
    """A number in a path of --set names the item of a list."""
    text = (
        '[venues.kraken]\n[venues.coinbase]\n[[events]]\nid = "a"\nkind = "spot"\n'
        'legs = [{venue = "kraken", market = "A"}, {venue = "coinbase", market = "B"}]\n'
    )
    assert load(text, None, ("events.0.legs.1.market=C",)).events[0].legs[1].market == "C"
    assert problems(text, None, ("events.0.legs.1.market=A", "events.0.legs.1.venue=kraken"))[0] == (
        "--set: events[0].legs[1].market: kraken 'A' stands twice in this event"
    )
    assert "events: must be a list" in problems(text, None, ("events.7.id=x",))[0]


@pytest.mark.parametrize("text", ["", "=1", "a", "a.=1", ".a=1", "a..b=1", 'a."b=1', "a b.c"])
def test_set_of_another_form_is_refused(text: str, folder: Path) -> None:
    """What is not section.key=value is said to be none."""
    assert split_set(text) is None
    assert "section.key=value" in problems("", None, (text,))[0]


def test_live_does_not_exist_yet(folder: Path) -> None:
    """--profile live is refused in one clear line, whatever the file says of it."""
    assert problems("", "live") == ["--profile: live orders do not exist yet: use demo or paper"]
    assert problems("[profile.live]\n", "live") == [
        "--profile: live orders do not exist yet: use demo or paper"
    ]
    assert problems("", "papr") == ["--profile: there is no profile 'papr' - did you mean 'paper'?"]
    assert load("[profile.mine.lab]\nseed = 3\n", "mine").lab.seed == 3


def test_a_profile_that_is_not_chosen_is_checked_too(folder: Path) -> None:
    """A typo in another profile shows now, not on the day it is needed."""
    assert problems("[profile.paper.risk]\nmin_edge = 3\n") == [
        "config.toml:2: risk.min_edge: unknown key 'min_edge' - did you mean 'min_edge_bp'?"
    ]


# -- problems -----------------------------------------------------------------------------------

MANY = """
[risk]
max_exposre_usd = 80
min_edge_bp = -5
daily_loss_usd = nan

[kelly]
mode = "haf"

[venues.polymarket]
max_retries = "3"
url = "ws://example.com/x"

[[events]]
id = "a"
legs = [
  { venue = "polymarkt", market = "A" },
  { venue = "polymarket", market = "B", outcome = "base" },
]
"""


def test_all_problems_at_once_each_with_its_line(folder: Path) -> None:
    """A file with many faults is told about all of them in one go, in the file's order."""
    found = problems(MANY)
    exposure = "config.toml:3: risk.max_exposre_usd: unknown key 'max_exposre_usd'"
    assert found[:5] == [
        f"{exposure} - did you mean 'max_exposure_usd'?",
        "config.toml:4: risk.min_edge_bp: must be at least 0, got -5",
        "config.toml:5: risk.daily_loss_usd: must be an amount such as 12.50, got nan",
        "config.toml:8: kelly.mode: must be 'full', 'half' or 'quarter', got 'haf' - did you mean 'half'?",
        "config.toml:11: venues.polymarket.max_retries: must be a whole number, got '3'",
    ]
    assert [line.split(":")[1] for line in found[5:]] == ["12", "17", "18"]
    assert "did you mean 'polymarket'?" in found[6]


def test_a_syntax_error_has_line_column_and_picture(folder: Path) -> None:
    """A syntax error shows its place."""
    assert problems("[risk]\nmin_edge_bp = \n") == [
        "config.toml:2:15: not valid TOML: Invalid value\n    min_edge_bp = \n                  ^"
    ]


# Text of the file, and what the one problem says.
WRONG = [
    ("[risc]\n", "config.toml:1: risc: unknown key 'risc' - did you mean 'risk'?"),
    ("profile = 3", "config.toml:1: profile: must be a table"),
    ("[profile]\ndemo = 3", "config.toml:2: profile.demo: must be a table"),
    ("risk = 2", "config.toml:1: risk: must be a table, got 2"),
    ("events = [1]", "events[0]: must be a table, got 1"),
    ("[risk]\nmin_edge_bp = 1.0", "must be a whole number, got 1.0"),
    ("[risk]\nmin_edge_bp = true", "must be a whole number, got true"),
    ("[risk]\nmin_edge_bp = 9223372036854775808", "must be at most 10000"),
    ("[risk]\nprobe_usd = true", "must be an amount such as 12.50, got true"),
    ("[risk]\nprobe_usd = inf", "must be an amount"),
    ("[risk]\nprobe_usd = '1_0'", "must be an amount"),
    ("[risk]\nprobe_usd = ' 1'", "must be an amount"),
    ("[risk]\nprobe_usd = -0.01", "must be from 0 to 1000000000, got -0.01"),
    ("[risk]\nprobe_usd = 1e30", "must be from 0 to 1000000000, got 1e30"),
    ("[risk]\nprobe_usd = '1e999999999'", "must be an amount"),
    ("[risk]\nprobe_usd = 0.0000001", "at most 6 decimals"),
    ("[kelly]\ncap = 1.1", "must be from 0 to 1, got 1.1"),
    ("[lab]\ndivergence = inf", "must be a finite number, got inf"),
    ("[lab]\ndivergence = nan", "must be a finite number, got nan"),
    ("[lab]\nseed = -1", "must be at least 0, got -1"),
    ("[scanner]\nheartbeat_ms = 249", "must be at least 250, got 249"),
    ("[scanner]\nproof_ms = 1999", "must be at least 2000, twice venues.kalshi.heartbeat_interval"),
    ("[shm]\ndirectory = 'x'", "must be an absolute path"),
    ("[supervisor]\nrestart_delay = 40", "max_restart_delay: must not be below restart_delay (40)"),
    ("[venues.kraken]\nreconnect_delay = 60", "max_reconnect_delay: must not be below reconnect_delay"),
    ("[venues.kraken]\nmarkets = ['']", "venues.kraken.markets[0]: must not be empty"),
    ("[venues.kraken]\nmarkets = 'A'", "venues.kraken.markets: must be a list, got 'A'"),
    ("[venues.kraken]\nmarkets = ['" + "é" * 49 + "']", "must have at most 96 bytes, got 98"),
    ('[venues.kraken]\nmarkets = ["a\\u0000b"]', "must not hold control characters"),
    ("[venues.kraken]\nurl = 'wss://a b'", 'must be "sim" or an address that begins with wss://'),
    ("[venues.kraken]\nurl = 'ftp://x'\nrest_url=''", 'must be "sim" or an address'),
    ("[venues.kraken]\nurl = 'wss://[x'\nrest_url=''", 'must be "sim" or an address'),
    ("[venues.kraken]\nurl = 'wss://x:99999'\nrest_url=''", 'must be "sim" or an address'),
    ("[venues.kraken]\nurl = 'ws://127.0.0.1.evil.com/'\nrest_url=''", "must begin with wss://"),
    ("[venues.kraken]\nurl = 'wss://u:pw1234@x'\nrest_url=''", "must not hold a user or a password"),
    ("[venues.kraken]\nurl = 'wss://x'", "rest_url: url and rest_url must both be"),
    ("[venues.kraken]\nrest_url = 'https://x'", "url: url and rest_url must both be"),
    ("[venues.binance]", "config.toml:1: venues.binance: no venue 'binance' is known"),
    ("[fees.krakn]", "did you mean 'kraken'?"),
    ("[fees.kraken]\ntaker_bps = 1.234", "at most 2 decimals"),
    ("[fees.polymarket]\nexponent = 5", "must be at most 4, got 5"),
    ("[trader.cash]\nkalshy = 5", "trader.cash.kalshy: no venue 'kalshy' is known"),
    ("[trader]\nmode = 'maker'", "trader.mode: must be 'taker', 'maker_hedge' or 'both', got 'maker'"),
    ("[[events]]\nid = 'a'", "events[0].legs: an event needs at least two legs, got 0"),
    ("[[events]]\nlegs = []", "config.toml:1: events[0].id: is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[text.replace("\n", " ")[:40] for text, _ in WRONG])
def test_what_is_wrong_is_said(text: str, said: str, folder: Path) -> None:
    """Each kind of fault is refused with a plain sentence."""
    assert said in "\n".join(problems(text))


LEGS = '{venue="kalshi", market="A"}, {venue="polymarket", market="B"'
WRONG_EVENTS = [
    ('close = "tomorrow"', "events[1].close: must be a time such as"),
    ('kind = "ternary"', "events[1].kind: must be 'binary', 'spot', 'complement', 'basket', 'implication',"),
    ('kind = "spot"', "legs[0].outcome: a leg of a spot event trades 'base', got 'yes'"),
    ('review = {mismatch = "2"}', "events[1].review.mismatch: must be from 0 to 1, got 2"),
    ('review = {at = "x"}', "events[1].review.at: must be a time"),
    ('titel = "x"', "events[1].titel: unknown key 'titel' - did you mean 'title'?"),
]


@pytest.mark.parametrize(("line", "said"), WRONG_EVENTS, ids=[line for line, _ in WRONG_EVENTS])
def test_events_that_make_no_sense(line: str, said: str, folder: Path) -> None:
    """An event is checked as a whole, and the message names which one."""
    good = f'[[events]]\nid = "a"\nlegs = [{LEGS}}}]\n'
    legs = LEGS.replace('"A"', '"A", outcome="yes"') if "spot" in line else LEGS
    found = problems(f'{good}[[events]]\nid = "b"\n{line}\nlegs = [{legs}}}]\n')
    assert said in "\n".join(found)
    assert all("events[0]" not in text for text in found)


def test_legs_that_make_no_sense(folder: Path) -> None:
    """Legs name known venues and markets once; ids of events differ."""

    def one(legs: str, extra: str = "") -> str:
        return "\n".join(problems(f'[[events]]\nid = "a"\n{extra}\nlegs = [{legs}]\n'))

    assert "no venue 'kalshy' is known" in one(LEGS.replace("kalshi", "kalshy") + "}")
    assert "'A' stands twice" in one('{venue="kalshi", market="A"}, {venue="kalshi", market="A"}')
    assert "legs[1].outcome: must be" in one(LEGS + ', outcome="maybe"}')
    assert "legs[1].polarity: must be 'same' or 'inverse', got 'invers' - did you mean 'inverse'?" in one(
        LEGS + ', polarity="invers"}'
    )
    assert "legs[1].market: is missing" in one('{venue="kalshi", market="A"}, {venue="polymarket"}')
    assert "cannot be inverse" in one(
        '{venue="kraken", market="A"}, {venue="coinbase", market="B", polarity="inverse"}', 'kind="spot"'
    )
    same = f'[[events]]\nid = "a"\nlegs = [{LEGS}}}]\n'
    assert "another event has the id 'a' already" in problems(same + same)[0]
    assert "there is no [venues.polymarket]" in problems("[venues.kalshi]\n" + same)[0]
    assert "shm.max_events is 1" in problems("shm.max_events = 1\n" + same + same.replace('"a"', '"b"'))[0]


SECRET = "hunter2-hunter2"
SECRETS = [
    f'api_secret = "{SECRET}"',
    f'[venues.kalshi]\nprivate_key = "{SECRET}"',
    f'[venues.kalshi]\npassword = "{SECRET}"',
    f'[venues.kalshi.auth]\ntoken = "{SECRET}"',
    f'[profile.live.venues.kalshi]\napi-key = "{SECRET}"',
    f'[venues.kalshi]\nkey_file = "-----BEGIN PRIVATE KEY-----{SECRET}"',
    f'[venues.kalshi]\nmarkets = ["-----BEGIN RSA PRIVATE KEY-----{SECRET}"]',
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_sent_where_they_belong(text: str, folder: Path) -> None:
    """A secret in the file is refused with a word on where it belongs, and never repeated."""
    told = "\n".join(problems(text))
    assert "secrets do not belong" in told and "key_file" in told
    assert SECRET not in told


def test_secrets_in_changes_are_not_repeated(folder: Path) -> None:
    """Neither --set nor the environment takes a secret, or shows it."""
    environ = {"PARALLAX__VENUES__KALSHI__API_SECRET": SECRET}
    told = problems("", None, (f"venues.kalshi.password={SECRET}",), environ)
    assert len(told) == 2 and SECRET not in "".join(told)
    assert SECRET not in "".join(problems("", None, (f"venues.kalshi.key_id_env={SECRET}",)))


def test_a_market_may_be_called_token(folder: Path) -> None:
    """Names of markets are not mistaken for secrets."""
    assert load('[trader.inventory.kraken]\n"TOKEN/USD" = 1\n').trader.inventory["kraken"] == {
        "TOKEN/USD": "1"
    }


def test_files_that_are_none(folder: Path) -> None:
    """A missing file, a folder, a socket, bytes and a giant are each one clear problem without a line."""

    def told(path: str) -> Problem:
        with pytest.raises(ConfigProblems) as caught:
            resolve(path=Path(path), profile=None, sets=(), environ={}, data_directory=folder)
        (problem,) = caught.value.problems
        assert problem.line is None
        return problem

    assert str(told("none.toml")) == "none.toml: there is no such file; name one with --config"
    assert "is not a file" in str(told("."))
    server = socket.socket(socket.AF_UNIX)
    server.bind("s.toml")
    server.close()
    assert "is not a file" in str(told("s.toml"))
    Path("b.toml").write_bytes(b"a = '\xff'")
    assert "is not UTF-8 text: byte 5" in str(told("b.toml"))
    Path("g.toml").write_bytes(b"#" * ((1 << 20) + 1))
    assert "is over 1 MiB" in str(told("g.toml"))
    Path("d.toml").write_text("a = " + "[" * 100_000)
    assert "not valid TOML" in str(told("d.toml"))
    Path("i.toml").write_text("a = " + "9" * 5000)
    assert "not valid TOML" in str(told("i.toml"))


@given(st.binary(max_size=80) | st.text("[]{}=\"'#.,\n risk1lab", max_size=60).map(str.encode))
def test_no_file_is_a_crash(raw: bytes) -> None:
    """Whatever the bytes are, there is a configuration or there are problems."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(raw)
        try:
            resolve(path=path, profile=None, sets=(), environ={}, data_directory=Path(folder))
        except ConfigProblems as problems:
            assert problems.problems


# -- values -------------------------------------------------------------------------------------


def test_money_keeps_its_digits(folder: Path) -> None:
    """Money written as text, whole number or float is the same exact decimal text."""
    text = "[risk]\nprobe_usd = {}\n"
    for given_text, kept in [
        ("'7.10'", "7.10"),
        ("7.10", "7.10"),
        ("7", "7"),
        ("0.1", "0.1"),
        ("1_000.5", "1000.5"),
        ("1e3", "1000"),
        ("5e-1", "0.5"),
        ("'.5'", "0.5"),
        ("+5", "5"),
        ("123456789.123456", "123456789.123456"),
    ]:
        assert load(text.format(given_text)).risk.probe_usd == kept


@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_amounts_are_exact(number: Any) -> None:
    """A decimal written as a TOML float is read back digit by digit."""
    text = format(number, "f")
    assert Amount("0", "1000000000")(written(text)) == text


def test_toml_dates_are_times(folder: Path) -> None:
    """A close may be written as a TOML date or time."""
    text = "[[events]]\nid = 'a'\nclose = CLOSE\nlegs = [" + LEGS + "}]\n"
    for close in ("2026-12-16T19:00:00Z", "'2026-12-16T19:00:00Z'", "2026-12-16 20:00:00+01:00"):
        assert load(text.replace("CLOSE", close)).all_events()[0].close_ns == 1_797_447_600 * 10**9


def test_addresses_on_this_machine(folder: Path) -> None:
    """A venue on loopback needs neither encryption nor a REST address nor a key."""
    for host in ("127.0.0.1:9000", "localhost:9", "[::1]:9"):
        config = load(f"[venues.kalshi]\nurl = 'ws://{host}/x'\n")
        assert config.venues["kalshi"].rest_url == ""
        assert config.simulated == ()
        assert list(config.venues) == ["kalshi"]


def test_enable_websocket_keeps_the_feed(folder: Path) -> None:
    """enable_websocket = false leaves the venue its feed, which polls; a disabled venue has none."""
    config = load(
        "[venues.kalshi]\nenable_websocket = false\n[venues.kraken]\nenabled = false\n[venues.coinbase]\n"
    )
    assert (config.feeds(), config.simulated) == (["kalshi", "coinbase"], ("kalshi", "coinbase"))
    assert not config.venues["kalshi"].enable_websocket
    told = problems("[venues.kalshi]\nenable_websocket = false\nurl = 'ws://127.0.0.1:9'\n")
    assert "books come by REST" in told[0]


def test_ccxt_venues_have_their_own_addresses(folder: Path) -> None:
    """A venue ccxt:NAME needs no address, may have one, and is never simulated."""
    config = load("[venues.'ccxt:bybit']\nmarkets = ['BTC/USDT']\n[venues.kraken]\n")
    assert config.venues["ccxt:bybit"].url == config.venues["ccxt:bybit"].rest_url == ""
    assert config.simulated == ("kraken",)
    assert load("[venues.'ccxt:okx']\nurl = 'ws://127.0.0.1:9'\n").feeds() == ["ccxt:okx"]
    assert "only native venues" in problems("[venues.'ccxt:okx']\nurl = 'sim'\nrest_url = 'sim'\n")[0]
    assert "no venue 'ccxt:'" in problems("[venues.'ccxt:']\n")[0]


def test_a_canary_is_one_of_the_markets(folder: Path) -> None:
    """A canary that nobody subscribes to could never be heard."""
    assert "none of the venue" in problems("[venues.kraken]\ncanary = 'BTC/USD'\n")[0]
    load("[venues.kraken]\ncanary = 'BTC/USD'\nmarkets = ['BTC/USD']\n")


def test_resolved_fields(folder: Path) -> None:
    """Instance and directories follow from the data directory, the user and XDG_RUNTIME_DIR."""
    config = load("", environ={"XDG_RUNTIME_DIR": str(folder)})
    assert re.fullmatch("[0-9a-f]{10}", config.instance)
    assert config.data_directory == str(folder / "data")
    assert config.run_directory == str(folder / f"parallax-{config.instance}")
    assert load("", environ={"XDG_RUNTIME_DIR": "/none"}).run_directory.endswith(
        f"/parallax-1000-{config.instance}"
    )
    assert config.hash == plain.sealed(config).hash
    deep = folder / ("x" * 90)
    deep.mkdir()
    assert "too long for sockets" in problems("", environ={"XDG_RUNTIME_DIR": str(deep)})[0]


# -- where keys stand ---------------------------------------------------------------------------

LINES = '''# comment with [brackets] and key = 1
top = 1
[a.b]   # note
"quoted key" = """
[not.a.table]
x = 2
"""
'c.d' = [1, "]", # [
  { e = 1, f.g = 2 },
]
date = 1979-05-27 07:32:00Z
[[list]]
k = {}
[list.sub]
k = 'x'
[[list]]
 k . j = 1
[[list.deep]]
z = -0.5
'''


def test_key_lines_follow_the_text() -> None:
    """Lines are right after multi-line strings, nested values, dotted keys and arrays of tables."""
    lines = key_lines(LINES)
    expected: dict[tuple[str | int, ...], int] = {
        ("top",): 2, ("a",): 3, ("a", "b"): 3, ("a", "b", "quoted key"): 4, ("a", "b", "c.d"): 8,
        ("a", "b", "c.d", 0): 8, ("a", "b", "c.d", 2): 9, ("a", "b", "c.d", 2, "e"): 9,
        ("a", "b", "c.d", 2, "f", "g"): 9, ("a", "b", "date"): 11, ("list", 0): 12,
        ("list", 0, "k"): 13, ("list", 0, "sub"): 14, ("list", 0, "sub", "k"): 15, ("list", 1): 16,
        ("list", 1, "k", "j"): 17, ("list", 1, "deep", 0): 18, ("list", 1, "deep", 0, "z"): 19,
    }  # fmt: skip
    assert {path: lines[path] for path in expected} == expected
    assert not any("not" in path or "x" in path for path in lines)


def test_key_lines_of_the_project_file(project_root: Path) -> None:
    """Each key of config.toml is found on a line that begins with its name."""
    text = (project_root / "config.toml").read_text(encoding="utf-8")
    rows = text.splitlines()

    def visit(tree: dict[str, Any], base: tuple[str | int, ...]) -> None:
        for key, value in tree.items():
            row = rows[lines[(*base, key)] - 1]
            if isinstance(value, dict):
                visit(value, (*base, key))
            else:
                assert row.startswith((f"{key} =", f'"{key}" =')), (base, key, row)

    lines = key_lines(text)
    visit(tomli.loads(text), ())


@given(st.text(alphabet="[]{}=\"'#.,\n\\ ab1-", max_size=60))
def test_key_lines_end(text: str) -> None:
    """The scan ends on any text, and names only lines that are there."""
    assert all(1 <= line <= text.count("\n") + 1 for line in key_lines(text).values())


# -- the lab ------------------------------------------------------------------------------------


def lab_event(name: str, *venues: str) -> dict[str, Any]:
    legs = [{"venue": v, "market": "M", "outcome": "yes", "polarity": "same"} for v in venues]
    return {"id": name, "title": "", "kind": "binary", "close": "", "legs": legs}


def test_merge_lab(folder: Path) -> None:
    """The lab's addresses go to simulated venues only, its events where all venues are simulated."""
    text = "[venues.kalshi]\n[venues.polymarket]\n[venues.kraken]\nurl = 'ws://127.0.0.1:1/'\n"
    config = load(text)
    names = ("kalshi", "polymarket", "kraken", "coinbase")
    lab = {
        "version": 3,
        "venues": {
            name: {"ws": f"ws://127.0.0.1:7/{name}", "rest": f"http://127.0.0.1:7/{name}"} for name in names
        },
        "events": [lab_event("a", "kalshi", "polymarket"), lab_event("b", "kraken", "coinbase")],
    }
    merged = merge_lab(config, lab)
    assert merged.venues["kalshi"].url == "ws://127.0.0.1:7/kalshi"
    assert merged.venues["polymarket"].rest_url == "http://127.0.0.1:7/polymarket"
    assert merged.venues["kraken"] == config.venues["kraken"]
    assert set(merged.venues) == set(config.venues)
    assert [event.id for event in merged.events] == ["a"]
    assert merged.simulated == config.simulated
    assert merge_lab(merged, lab) == merged
    assert merged.hash == plain.sealed(merged).hash != config.hash
    with pytest.raises(msgspec.ValidationError):
        merge_lab(config, {"venues": 3})


def test_every_problem_renders() -> None:
    """A problem without line or key leaves them out rather than making them up."""
    assert str(Problem("f", None, None, "", "m")) == "f: m"
    assert str(Problem("f", 1, None, "k", "m", "s")) == "f:1: k: m - s"


def test_a_time_of_day_needs_no_quotes_on_the_command_line(project_root: Path) -> None:
    """A shell eats quotes, so a time after --set is taken as the text that it is, as other texts are."""
    for text in ("07:00", '"07:00"'):
        config = project_config(project_root, sets=[f"alerts.daily_at={text}"])
        assert config.alerts.daily_at == "07:00"
