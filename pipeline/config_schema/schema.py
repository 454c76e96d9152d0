"""Schema: what each key of config.toml means and may be. The door to pydantic and tomli.

In: a TOML file, a profile, environment variables, --set. Out: a resolved `Config`, or everything that is
wrong with it at once, with lines and suggestions. Run by the supervisor and by commands, never by
workers. The models mirror pipeline.config key for key; a test compares them and config.toml.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tomli
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline import config as plain
from pipeline.config_schema import values
from pipeline.config_schema.build import build, lay_changes, lay_defaults, problem, profile_problems
from pipeline.config_schema.checks import check
from pipeline.config_schema.event_checks import check_events
from pipeline.config_schema.files import directories, read
from pipeline.config_schema.keys import check_keys
from pipeline.config_schema.layers import SECRETS_BELONG, Layers, Origin, take_secrets
from pipeline.config_schema.text import ConfigProblems, KeyPath, Problem, caret, explain, key_lines, line_of

LIVE, WORKER, ALL = "live", "restart-worker", "restart-all"
"""When a changed key takes effect: at once, when its worker restarts, when everything does."""

Dollars = Annotated[str, BeforeValidator(values.amount("0", "1000000000"))]
Percent = Annotated[str, BeforeValidator(values.amount("0", "100"))]
Share = Annotated[str, BeforeValidator(values.amount("0", "1"))]
Rate = Annotated[str, BeforeValidator(values.amount("0", "0.999999"))]
BasisPoints = Annotated[str, BeforeValidator(values.amount("0", "9999", 2))]
Multiplier = Annotated[str, BeforeValidator(values.amount("0", "1000"))]
Precision = Annotated[str, BeforeValidator(values.amount("0.000001", "1"))]
Coins = Annotated[str, BeforeValidator(values.amount("0", "1000000000", 10))]
Word = Annotated[str, BeforeValidator(values.text(0, 200))]
Words = Annotated[str, BeforeValidator(values.text(0, 2000))]
Id = Annotated[str, BeforeValidator(values.text(1, 64))]
Title = Annotated[str, BeforeValidator(values.text(0, 96))]
Name = Annotated[str, BeforeValidator(values.text(1, 96))]
Variable = Annotated[str, BeforeValidator(values.variable_name)]


def _key(default: Any, reload: str, meaning: str, **limits: Any) -> Any:
    """One key: its default, when a change takes effect, its meaning with unit, its range."""
    return Field(default, description=meaning, json_schema_extra={"reload": reload}, **limits)


def _seconds(default: float, reload: str, meaning: str, low: float, high: float) -> Any:
    return _key(default, reload, f"seconds: {meaning}", ge=low, le=high)


class Model(BaseModel):
    """A table of the file: unknown keys are refused, nothing is converted behind one's back."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Venue(Model):
    """[venues.NAME]"""

    url: Word = _key("sim", WORKER, 'address of the WebSocket (wss://), or "sim"')
    rest_url: Word = _key("sim", WORKER, 'address of the public REST (https://), or "sim"')
    enabled: bool = _key(True, ALL, "whether the venue has a feed")
    book_url: Word = _key("", WORKER, 'REST address of order books, where it is another; "" is rest_url')
    enable_websocket: bool = _key(True, WORKER, "false: books are read by REST every poll_interval")
    poll_interval: float = _seconds(1.0, LIVE, "time between two reads of books by REST", 0.1, 3600)
    markets: tuple[Name, ...] = _key((), LIVE, "markets to watch beside those of [[events]]")
    reconnect_delay: float = _seconds(1.0, LIVE, "longest wait before the first reconnect", 0.01, 3600)
    max_reconnect_delay: float = _seconds(30.0, LIVE, "longest wait before any reconnect", 0.01, 3600)
    heartbeat_interval: float = _seconds(1.0, LIVE, "time between our pings", 0.05, 60)
    timeout: float = _seconds(5.0, LIVE, "silence after which a connection is given up", 0.1, 300)
    max_retries: int = _key(0, LIVE, "failed connects before the feed exits; 0 never", ge=0, le=10**6)
    first_book_timeout: float = _seconds(10.0, LIVE, "wait for a first book before asking again", 0.1, 600)
    data_timeout: float = _seconds(
        60.0, LIVE, "no book at all on a connection, and no witness: reconnect; 0 never", 0, 86_400
    )
    canary: Word = _key("", LIVE, "a market that never rests: its silence means that the feed is frozen")
    canary_timeout: float = _seconds(30.0, LIVE, "silence of the canary before a reconnect", 0.1, 86_400)
    witness_interval: float = _seconds(
        10.0, LIVE, "time between two comparisons of each book with REST; 0 never", 0, 3600
    )
    trusted: bool = _key(False, WORKER, "ccxt venues: whether their unverified books may be traded on")
    key_id_env: Variable = _key("", WORKER, "environment variable that holds the key's id")
    key_env: Variable = _key("", WORKER, "environment variable that holds the private key itself (PEM)")
    key_file: Word = _key("", WORKER, "file of the private key (PEM, mode 0600)")


class Tier(Model):
    """One of [fees.NAME].tiers"""

    from_usd: Dollars = _key(..., LIVE, "dollars of 30-day volume from which it holds")
    maker_bps: BasisPoints = _key(..., LIVE, "basis points for makers")
    taker_bps: BasisPoints = _key(..., LIVE, "basis points for takers")


class Fee(Model):
    """[fees.NAME]"""

    multiplier: Multiplier | None = _key(None, LIVE, "kalshi: factor on the coefficient")
    taker_coefficient: Rate | None = _key(None, LIVE, "kalshi: coefficient of p(1-p) for takers")
    maker_coefficient: Rate | None = _key(None, LIVE, "kalshi: coefficient of p(1-p) for makers")
    account_precision: Precision | None = _key(None, LIVE, "kalshi: dollars, the account's rounding step")
    rate: Rate | None = _key(
        None, LIVE, "polymarket: coefficient of (p(1-p))^exponent; custom: share of price * size"
    )
    exponent: int | None = _key(None, LIVE, "polymarket: exponent", ge=0, le=4)
    taker_bps: BasisPoints | None = _key(None, LIVE, "kraken, coinbase: basis points for takers")
    maker_bps: BasisPoints | None = _key(None, LIVE, "kraken, coinbase: basis points for makers")
    kind: Literal["kalshi", "polymarket", "bps", "flat", "custom"] | None = _key(
        None, LIVE, "the formula, where it is not the venue's own"
    )
    per_unit: Dollars | None = _key(None, LIVE, "flat, custom: dollars a contract or coin")
    rounding: Precision | None = _key(
        None, LIVE, "flat, custom: dollars, the step a fill's fee is rounded up to"
    )
    volume_usd: Dollars | None = _key(None, LIVE, "dollars traded in 30 days, which choose the tier")
    tiers: tuple[Tier, ...] = _key((), LIVE, "basis points by 30-day volume, lowest first, from 0 on")
    source: Word = _key("", LIVE, "who states these fees, for people")
    as_of: Word = _key("", LIVE, "when they were read there, ISO-8601")


class Shm(Model):
    """[shm]"""

    directory: Word = _key("", ALL, 'folder for the memory files, absolute; "" is /dev/shm')
    max_markets: int = _key(64, ALL, "books a feed can hold", ge=1, le=4096)
    depth: int = _key(25, ALL, "price levels a side in memory", ge=1, le=1000)
    max_events: int = _key(64, ALL, "events the scanner can hold", ge=1, le=4096)
    max_positions: int = _key(128, ALL, "positions the trader can show", ge=1, le=4096)
    history: int = _key(1000, ALL, "price events kept of each market", ge=0, le=100_000)


class Scanner(Model):
    """[scanner]"""

    heartbeat_ms: int = _key(250, LIVE, "ms: a feed silent longer is DEAD; 5 beats of 50", ge=250, le=60_000)
    proof_ms: int = _key(2000, LIVE, "ms: no sign of life from the venue longer is STALE", ge=100, le=600_000)
    quiet_ms: int = _key(30000, LIVE, "ms: no message for a market longer is QUIET", ge=100, le=86_400_000)
    opportunity_ttl_ms: int = _key(250, LIVE, "ms: an opportunity may be acted on so long", ge=10, le=60_000)
    repeat_ms: int = _key(500, LIVE, "ms: the same opportunity is sent again after", ge=0, le=60_000)
    spin_us: int = _key(0, LIVE, "us the scanner looks on without a rest before it sleeps", ge=0, le=10**6)
    persist_ms: int = _key(500, LIVE, "ms: a gap within one venue must last so long", ge=0, le=60_000)
    half_life_ms: int = _key(
        500, LIVE, "ms: half of all opportunities last so long (prior)", ge=1, le=3_600_000
    )
    race_min: int = _key(20, LIVE, "deaths seen of a class until they replace the prior", ge=1, le=10**6)
    hurdle_pct: Percent = _key("4", LIVE, "percent a year that money earns without any risk")
    max_close_gap_s: int = _key(
        3600, LIVE, "seconds between the close times of two legs", ge=0, le=31_536_000
    )


class Risk(Model):
    """[risk]"""

    min_edge_bp: int = _key(50, LIVE, "basis points of the cash used, after all fees", ge=0, le=10_000)
    min_profit_pct: Percent = _key("0.2", LIVE, "percent of the cash used, after all fees")
    min_profit_usd: Dollars = _key("0.02", LIVE, "dollars a trade must earn, after all fees")
    max_order_usd: Dollars = _key("10", LIVE, "dollars a trade may use")
    max_event_usd: Dollars = _key("50", LIVE, "dollars at stake in one event")
    max_exposure_usd: Dollars = _key("400", LIVE, "dollars at stake in all")
    daily_loss_usd: Dollars = _key("50", LIVE, "dollars lost since midnight UTC that stop trading")
    max_consecutive_losses: int = _key(5, LIVE, "losses in a row that stop trading", ge=1, le=10**6)
    max_trades_per_hour: int = _key(2000, LIVE, "trades in 60 minutes", ge=0, le=10**6)
    max_book_age_ms: int = _key(2000, LIVE, "ms: an older book is not traded on", ge=1, le=600_000)
    max_leg_skew_ms: int = _key(1000, LIVE, "ms between the two books' last messages", ge=0, le=600_000)
    cooldown_ms: int = _key(500, LIVE, "ms before the same event is traded again", ge=0, le=3_600_000)
    probe_usd: Dollars = _key("5", LIVE, "dollars a trade while Kelly has no results")


class Kelly(Model):
    """[kelly]"""

    mode: Literal["full", "half", "quarter"] = _key("half", LIVE, "share of the Kelly fraction that is used")
    capital_usd: Dollars = _key("1000", LIVE, "dollars that the fraction is taken of")
    cap: Share = _key("0.10", LIVE, "largest share of the capital in one trade")


class Trader(Model):
    """[trader]"""

    mode: Literal["taker"] = _key("taker", WORKER, "both legs take what the books show")
    paper_latency_ms: int = _key(50, LIVE, "ms a paper order takes to its venue", ge=0, le=60_000)
    cash: dict[str, Dollars] = _key({}, WORKER, "dollars at each venue at the start of the paper account")
    inventory: dict[str, dict[str, Coins]] = _key({}, WORKER, "coins by venue and market at the start")


class Supervisor(Model):
    """[supervisor]"""

    restart_delay: float = _seconds(0.25, LIVE, "wait before the first restart of a worker", 0, 3600)
    max_restart_delay: float = _seconds(30.0, LIVE, "longest wait before a restart", 0, 3600)
    healthy_after: float = _seconds(60.0, LIVE, "life after which restarts are forgiven", 0.1, 86_400)
    hung_after: float = _seconds(2.0, LIVE, "silence after which a worker is killed", 0.5, 600)
    stop_after: float = _seconds(2.0, LIVE, "time to end in before a worker is killed", 0.1, 600)


class Lab(Model):
    """[lab]"""

    seed: int = _key(7, ALL, "seed of the simulated world; same seed, same path", ge=0, le=2**63 - 1)
    divergence: float = _key(1.0, ALL, "how far simulated venues drift apart; 0 is never", ge=0, le=100)


class Dashboard(Model):
    """[dashboard]"""

    refresh_ms: int = _key(500, WORKER, "ms between two pictures", ge=50, le=60_000)
    stale_seconds: float = _seconds(5.0, WORKER, "data older than this is marked", 0.1, 3600)


class Leg(Model):
    """One of [[events]].legs"""

    venue: Name = _key(..., LIVE, "name of the venue")
    market: Name = _key(..., LIVE, "the venue's own name of the market")
    outcome: Literal["yes", "no", "base"] = _key("yes", LIVE, "what is bought or sold; base for spot")
    polarity: Literal["same", "inverse"] = _key("same", LIVE, "inverse: the venue's YES is our NO")
    void: Literal["", "zero", "half", "refund", "never"] = _key(
        "", LIVE, 'what it pays when it is called off; "" is the venue\'s own rule'
    )
    convert_venue: Word = _key("", LIVE, "spot: venue of the book that turns its quote currency into dollars")
    convert_market: Word = _key("", LIVE, "spot: market of that book, quoted in dollars")


class Review(Model):
    """[events.review]"""

    source: Word = _key("", LIVE, "what decides the event")
    window: Word = _key("", LIVE, "when it is decided")
    void_rule: Word = _key("", LIVE, "what happens when it is called off")
    rules_hash: Words = _key("", LIVE, "SHA-256 of the rules that were read, one for all legs or one each")
    by: Word = _key("", LIVE, "who compared the rules; without it the event is never traded")
    at: Word = _key("", LIVE, "when they were compared")
    mismatch: Share = _key("0", LIVE, "probability that the venues decide differently")


class DigitalOption(Model):
    """[events.digital]"""

    strike: Coins = _key(..., LIVE, "dollars of spot at the close that decide")
    above: bool = _key(True, LIVE, "whether YES is above the strike")
    basis_bp: BasisPoints = _key("0", LIVE, "basis points the index may be away from the spot leg")


class Event(Model):
    """[[events]]"""

    id: Id = _key(..., LIVE, "a short name of your own")
    title: Title = _key("", LIVE, "a sentence for people")
    kind: Literal["binary", "spot", "complement", "basket", "implication", "ladder", "model"] = _key(
        "binary", LIVE, "what the legs are to each other"
    )
    close: Word = _key("", LIVE, 'when it is decided, ISO-8601; "" is never')
    legs: tuple[Leg, ...] = _key((), LIVE, "the markets that pay on it")
    exhaustive: bool = _key(False, LIVE, "basket: whether one of the legs must pay")
    transfer_usd: Dollars = _key("0", LIVE, "spot: dollars a coin costs to be brought back")
    digital: DigitalOption | None = _key(None, LIVE, "model: what is asked about the spot price")
    review: Review | None = _key(None, LIVE, "who compared the venues' rules, and what was found")


class File(Model):
    """config.toml without its [profile] tables."""

    venues: dict[str, Venue] = {}
    fees: dict[str, Fee] = {}
    shm: Shm = Shm()
    scanner: Scanner = Scanner()
    risk: Risk = Risk()
    kelly: Kelly = Kelly()
    trader: Trader = Trader()
    supervisor: Supervisor = Supervisor()
    lab: Lab = Lab()
    dashboard: Dashboard = Dashboard()
    events: tuple[Event, ...] = ()


def resolve(
    *,
    path: Path,
    profile: str | None,
    sets: Sequence[str],
    environ: Mapping[str, str],
    data_directory: Path,
    uid: int | None = None,
) -> plain.Config:
    """The configuration of a run: --set over environment over [profile.NAME] over file over defaults.

    `sets` are texts like "risk.min_edge_bp=20"; of `environ`, PARALLAX__RISK__MIN_EDGE_BP counts.
    Raises ConfigProblems with everything that is wrong. `account` and `started_wall_ns` are the caller's.
    """
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    file = os.path.relpath(path) if inside else str(path)
    text = read(path, file)
    tree = _parse(text, file)
    lines = key_lines(text)

    def at(*key: str | int) -> Origin:
        return Origin(file, line_of(lines, key))

    problems = [problem(at(*key), key, SECRETS_BELONG) for key in take_secrets(tree)]
    name = profile if profile is not None else "demo"
    overlays = tree.pop("profile", {})
    problems += profile_problems(name, overlays, lambda key: at(*key))
    base = Layers(Origin(file))
    base.merge(tree, lambda key: at(*key))
    problems += _validate(base.copy())[1]
    layers = base
    for other, overlay in overlays.items() if isinstance(overlays, dict) else ():
        if isinstance(overlay, dict):
            laid = base.copy()
            laid.merge(overlay, lambda key, other=other: at("profile", other, *key))  # type: ignore[misc]
            problems += _validate(laid.copy())[1]
            layers = laid if other == name else layers
    problems += lay_changes(layers, sets, environ, _value)
    lay_defaults(layers)
    valid, found, bad = _validate(layers)
    problems += found
    if valid is not None:
        config = build(
            valid.model_dump(), name, directories(valid.shm.directory, data_directory, environ, uid)
        )
        for finding in (*check(config), *check_events(config), *check_keys(config, environ)):
            if not any(finding.path[: len(key)] == key for key in bad):
                origin = layers.origin(finding.path)
                problems.append(problem(origin, finding.path, finding.message, finding.suggestion))
        if not problems:
            return plain.sealed(config)
    unique = {(p.file, p.line, p.key, p.message): p for p in problems}
    raise ConfigProblems(sorted(unique.values(), key=lambda p: (p.file != file, p.line or 0)))


def _parse(text: str, file: str) -> dict[str, Any]:
    """The TOML tree; a syntax error is the one problem that hides all others."""
    try:
        return tomli.loads(text, parse_float=values.written)
    except tomli.TOMLDecodeError as error:
        picture = caret(text, error.lineno, error.colno)
        problem = Problem(file, error.lineno, error.colno, "", f"not valid TOML: {error.msg}", "", picture)
        raise ConfigProblems([problem]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigProblems([Problem(file, None, None, "", f"not valid TOML: {error}")]) from error


def _value(text: str) -> object:
    """The value of a change as TOML reads it; what TOML does not read is text."""
    try:
        tree = tomli.loads(f"x = {text}", parse_float=values.written)
    except (ValueError, RecursionError):
        return text
    return tree["x"] if len(tree) == 1 else text


def _validate(layers: Layers) -> tuple[File | None, list[Problem], set[KeyPath]]:
    """The tree as models, the problems of single keys, and those keys.

    A key with a problem is set back to its default, so that the keys around it can be looked at too;
    None in place of the models where that is not possible.
    """
    problems: list[Problem] = []
    bad: set[KeyPath] = set()
    for _ in range(4):
        try:
            return File.model_validate(values.as_tuples(layers.values)), problems, bad
        except ValidationError as error:
            going = True
            for item in error.errors(include_url=False):
                key = tuple(part for part in item["loc"] if part != "[key]")
                origin = layers.origin(key)
                kind, limits = item["type"], item.get("ctx", {})
                known = _known(key[:-1] if kind == "extra_forbidden" else key)
                problems.append(problem(origin, key, *explain(kind, item["input"], key[-1], limits, known)))
                bad.add(key)
                if kind == "missing":
                    layers.put(key, "1", origin)  # good as a name and as an amount
                else:
                    going = layers.drop(key) and going
            if not going:
                break
    return None, problems, bad


def _known(path: KeyPath) -> list[str]:
    """What may stand at a path: the keys of a table, or the words that a key may be."""
    shape: Any = File
    for part in path:
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            shape = shape.model_fields[str(part)].annotation
        else:
            shape = get_args(shape)[0 if isinstance(part, int) else -1]
        if type(None) in get_args(shape):
            shape = get_args(shape)[0]
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return list(shape.model_fields)
    return [word for word in get_args(shape) if isinstance(word, str)]
