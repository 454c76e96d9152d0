"""Models: the keys of config.toml, what each means, its unit, range and default. With `schema` the door to
pydantic.

In: nothing. Out: one class a table; `File` is the whole. Used by `schema` alone. They mirror pipeline.config
key for key; a test compares them and config.toml.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.config_schema import values
from pipeline.config_schema.reference import ALL, LIVE, WORKER

Dollars = Annotated[str, BeforeValidator(values.Amount("0", "1000000000"))]
Percent = Annotated[str, BeforeValidator(values.Amount("0", "100"))]
Share = Annotated[str, BeforeValidator(values.Amount("0", "1"))]
Rate = Annotated[str, BeforeValidator(values.Amount("0", "0.999999"))]
BasisPoints = Annotated[str, BeforeValidator(values.Amount("0", "9999", 2))]
Multiplier = Annotated[str, BeforeValidator(values.Amount("0", "1000"))]
Precision = Annotated[str, BeforeValidator(values.Amount("0.000001", "1"))]
Coins = Annotated[str, BeforeValidator(values.Amount("0", "1000000000", 10))]
Word = Annotated[str, BeforeValidator(values.Text(0, 200))]
Words = Annotated[str, BeforeValidator(values.Text(0, 2000))]
Id = Annotated[str, BeforeValidator(values.Text(1, 64))]
Title = Annotated[str, BeforeValidator(values.Text(0, 96))]
Name = Annotated[str, BeforeValidator(values.Text(1, 96))]
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

    url: Word = _key("sim", LIVE, 'address of the WebSocket (wss://), or "sim"')
    rest_url: Word = _key("sim", LIVE, 'address of the public REST (https://), or "sim"')
    enabled: bool = _key(True, ALL, "whether the venue has a feed")
    book_url: Word = _key("", LIVE, 'REST address of order books, where it is another; "" is rest_url')
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
    key_id_env: Variable = _key("", LIVE, "environment variable that holds the key's id")
    key_env: Variable = _key("", LIVE, "environment variable that holds the private key itself (PEM)")
    key_file: Word = _key("", LIVE, "file of the private key (PEM, mode 0600)")
    key_keyring: Word = _key("", LIVE, "keyring entry of the private key (PEM), as SERVICE/NAME")


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
    cooldown_ms: int = _key(500, LIVE, "ms before the same direction is traded again", ge=0, le=3_600_000)
    probe_usd: Dollars = _key("5", LIVE, "dollars a trade while Kelly has no results")
    max_market_usd: Dollars = _key("50", LIVE, "dollars at stake in one market")
    max_venue_usd: Dollars = _key("250", LIVE, "dollars at stake at one venue")
    max_net_usd: Dollars = _key("10", LIVE, "dollars at stake without a hedge, in all")
    max_dust_usd: Dollars = _key("1", LIVE, "dollars of a rest without a hedge that no order can be made of")
    price_collar_pct: Percent = _key("5", LIVE, "percent that an order's price may be off the best one")
    max_orders_per_second: int = _key(20, LIVE, "orders in one second", ge=1, le=10_000)
    max_orders_per_minute: int = _key(300, LIVE, "orders in one minute", ge=1, le=600_000)
    max_open_orders: int = _key(20, LIVE, "orders that are on their way or rest", ge=1, le=1000)
    min_race: Share = _key("0.3", LIVE, "probability that both legs are still there when we arrive")
    max_mismatch: Share = _key("0.02", LIVE, "probability that the venues decide differently")


class Kelly(Model):
    """[kelly]"""

    mode: Literal["full", "half", "quarter"] = _key("half", LIVE, "share of the Kelly fraction that is used")
    capital_usd: Dollars = _key("1000", LIVE, "dollars that the fraction is taken of")
    cap: Share = _key("0.10", LIVE, "largest share of the capital in one trade")


class Trader(Model):
    """[trader]"""

    mode: Literal["taker", "maker_hedge", "both"] = _key("taker", LIVE, "who sets the price of the first leg")
    legs: Literal["together", "harder_first"] = _key("together", LIVE, "which leg of a taker is sent first")
    hedge_seconds: float = _seconds(3.0, LIVE, "time to hedge or unwind a lone leg before HALT", 0.1, 600)
    order_seconds: float = _seconds(2.0, LIVE, "time after which a venue takes an order no longer", 0.1, 60)
    maker_ttl_s: float = _seconds(10.0, LIVE, "longest life of a quote at its venue", 0.5, 3600)
    maker_quotes: int = _key(4, LIVE, "quotes at a time", ge=1, le=100)
    paper_latency_ms: int = _key(50, LIVE, "ms a paper order takes to its venue, median", ge=0, le=60_000)
    paper_latency_p95_ms: int = _key(0, LIVE, "ms, 95th percentile; 0 is twice the median", ge=0, le=60_000)
    paper_booking_ms: int = _key(0, LIVE, "ms until a paper order can be asked for", ge=0, le=60_000)
    paper_reject_pct: Percent = _key("0", LIVE, "percent of paper orders that are refused")
    paper_leg_failure_pct: Percent = _key("0", LIVE, "percent of paper orders that find nothing, unfilled")
    paper_provisional_ms: int = _key(
        2000, LIVE, "ms that paper fills at Polymarket are provisional", ge=0, le=600_000
    )
    paper_provisional_failure_pct: Percent = _key("0", LIVE, "percent of those fills that fail after all")
    paper_trade_share_pct: Percent = _key(
        "50", LIVE, "percent of what leaves a level that is taken as trades"
    )
    cash: dict[str, Dollars] = _key({}, ALL, "dollars at each venue at the start of the paper account")
    inventory: dict[str, dict[str, Coins]] = _key({}, ALL, "coins by venue and market at the start")


class Supervisor(Model):
    """[supervisor]"""

    restart_delay: float = _seconds(0.25, LIVE, "wait before the first restart of a worker", 0, 3600)
    max_restart_delay: float = _seconds(30.0, LIVE, "longest wait before a restart", 0, 3600)
    healthy_after: float = _seconds(60.0, LIVE, "life after which restarts are forgiven", 0.1, 86_400)
    hung_after: float = _seconds(2.0, LIVE, "silence after which a worker is killed", 0.5, 600)
    stop_after: float = _seconds(2.0, LIVE, "time to end in before a worker is killed", 0.1, 600)
    restart_limit: int = _key(5, LIVE, "restarts within restart_window before FLAPPING", ge=1, le=10_000)
    restart_window: float = _seconds(60.0, LIVE, "time in which restarts are counted", 1, 86_400)
    memory_mb: int = _key(1024, LIVE, "MiB a worker may take; 0 no limit", ge=0, le=10**6)
    archive_days: float = _key(
        7.0, LIVE, "days after its last event's close a file of events/ is archived", ge=0, le=3650
    )


class Control(Model):
    """[control]"""

    tcp: Word = _key("", ALL, 'tcp://ADDRESS:PORT for commands from other machines; "" is none')
    key_file: Word = _key("", ALL, "file of our own CURVE secret key, mode 0600")
    allowed_keys: tuple[Word, ...] = _key((), ALL, "CURVE public keys of those who may command")


Level = Literal["debug", "info", "warning", "error"]


class Logs(Model):
    """[logs]"""

    level: Level = _key("info", LIVE, "least severe line that is written")
    levels: dict[Name, Level] = _key({}, LIVE, "the same for single workers")
    max_mb: int = _key(5, ALL, "MiB of a file before the next is begun", ge=1, le=1000)
    files: int = _key(3, ALL, "older files kept of each worker", ge=1, le=100)


class Observer(Model):
    """[observer]"""

    enabled: bool = _key(True, ALL, "whether files, metrics and alerts are made")
    export_ms: int = _key(1000, LIVE, "ms between two writings of books, opportunities", ge=100, le=3_600_000)
    state_seconds: float = _seconds(60.0, LIVE, "longest time between two writings of the state", 0.1, 86_400)
    metrics: bool = _key(True, WORKER, "whether Prometheus may ask, on this machine")
    metrics_port: int = _key(0, WORKER, "TCP port for that; 0 is any free one", ge=0, le=65_535)


class AlertRule(Model):
    """One of [alerts.rules]"""

    enabled: bool | None = _key(None, LIVE, "whether it is told")
    limit: Dollars | None = _key(None, LIVE, "in the rule's own unit, from where it is told")
    for_s: float | None = _key(None, LIVE, "seconds it must hold before it is told", ge=0, le=86_400)
    repeat_s: float | None = _key(None, LIVE, "seconds before the same is told again", ge=1, le=604_800)


RULES = Literal[
    "large_opportunity", "disconnect", "stale_book", "flapping", "unhedged", "loss_limit", "halt", "disk",
    "clock_skew",
]  # fmt: skip


class Alerts(Model):
    """[alerts]"""

    urls_env: Variable = _key("", LIVE, "environment variable that holds the addresses, one a line")
    urls_file: Word = _key("", LIVE, "file that holds them, mode 0600")
    urls_keyring: Word = _key("", LIVE, "keyring entry that holds them, as SERVICE/NAME")
    max_per_hour: int = _key(20, LIVE, "messages in an hour", ge=1, le=3600)
    daily_at: Word = _key("", LIVE, 'time of day of a daily summary, UTC, such as "07:00"; "" is none')
    rules: dict[RULES, AlertRule] = _key({}, LIVE, "what is told, where it differs from the rule's own")


class Lab(Model):
    """[lab]"""

    seed: int = _key(7, ALL, "seed of the simulated world; same seed, same path", ge=0, le=2**63 - 1)
    divergence: float = _key(1.0, ALL, "how far simulated venues drift apart; 0 is never", ge=0, le=100)
    scenario: Word = _key("", ALL, 'a script of what goes wrong and when, by name or file; "" is none')


class Dashboard(Model):
    """[dashboard]"""

    refresh_ms: int = _key(500, WORKER, "ms between two pictures", ge=50, le=60_000)
    stale_seconds: float = _seconds(5.0, WORKER, "data older than this is marked", 0.1, 3600)
    ascii: bool = _key(
        False, WORKER, "true: plain ASCII signs; false: so only where the terminal speaks no UTF-8"
    )
    theme: Literal["parallax", "colour-blind", "light", "high-contrast", "mono"] = _key(
        "parallax", WORKER, "colours at the start; a key takes the next"
    )


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


class SeriesLeg(Model):
    """One of [[series]].legs"""

    venue: Name = _key(..., LIVE, "name of the venue")
    market: Word = _key("", LIVE, "the venue's own name of the market, with {close:%y%b%d} for the close")
    markets: dict[Name, Name] = _key({}, LIVE, "or its name by close, where no template gives it")
    outcome: Literal["yes", "no"] = _key("yes", LIVE, "what is bought or sold")
    polarity: Literal["same", "inverse"] = _key("same", LIVE, "inverse: the venue's YES is our NO")
    void: Literal["", "zero", "half", "refund", "never"] = _key(
        "", LIVE, 'what it pays when it is called off; "" is the venue\'s own rule'
    )


class Series(Model):
    """[[series]]"""

    id: Id = _key(..., LIVE, "a short name of your own; instances are ID-20261216T1900Z")
    title: Title = _key("", LIVE, "a sentence for people; {close:%d %B} may stand in it")
    kind: Literal["binary", "complement", "basket", "implication", "ladder"] = _key(
        "binary", LIVE, "what the legs are to each other"
    )
    first: Word = _key(..., LIVE, "when one instance is decided, ISO-8601")
    every: Word = _key(..., LIVE, "from one close to the next: 5min, 1h, 1d, 1w, 1mo")
    ahead: int = _key(1, LIVE, "instances that are watched before their close", ge=1, le=10)
    legs: tuple[SeriesLeg, ...] = _key((), LIVE, "the markets that pay on an instance")
    exhaustive: bool = _key(False, LIVE, "basket: whether one of the legs must pay")
    review: Review | None = _key(None, LIVE, "who compared the rules of one instance; rules_hash is needed")


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
    control: Control = Control()
    logs: Logs = Logs()
    observer: Observer = Observer()
    alerts: Alerts = Alerts()
    lab: Lab = Lab()
    dashboard: Dashboard = Dashboard()
    events: tuple[Event, ...] = ()
    series: tuple[Series, ...] = ()
