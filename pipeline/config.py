"""Config: the resolved settings that every worker acts on, and how they travel.

In: run/config.json, written whole by the supervisor. Out: one frozen `Config`. Workers import this and
neither pydantic nor tomli; `config_schema` turns config.toml into the same object, says what each key
means and which values it may have. Durations carry their unit in the name; money is decimal text.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from pipeline.config_operations import (
    AlertRuleConfig,
    AlertsConfig,
    ControlConfig,
    DashboardConfig,
    LabConfig,
    LogsConfig,
    ObserverConfig,
    SupervisorConfig,
)
from pipeline.model import StateLimits
from pipeline.model_events import Digital, Event, EventLeg, Review

__all__ = [
    "SIMULATED",
    "TAPE",
    "AlertRuleConfig",
    "AlertsConfig",
    "Config",
    "ControlConfig",
    "DashboardConfig",
    "DigitalConfig",
    "EventConfig",
    "FeeConfig",
    "KellyConfig",
    "LabConfig",
    "LegConfig",
    "LogsConfig",
    "ObserverConfig",
    "ReviewConfig",
    "RiskConfig",
    "ScannerConfig",
    "ShmConfig",
    "SupervisorConfig",
    "TierConfig",
    "TraderConfig",
    "VenueConfig",
    "decode",
    "encode",
    "parse_time_ns",
    "sealed",
]

SIMULATED = "sim"
TAPE = "tape"
"""The address of a venue in a replay: its frames come from the lab that plays the tape."""


class VenueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[venues.NAME]: one venue's addresses and connection habits. Seconds throughout."""

    url: str = SIMULATED
    rest_url: str = SIMULATED
    enabled: bool = True
    markets: tuple[str, ...] = ()
    reconnect_delay: float = 1.0
    max_reconnect_delay: float = 30.0
    heartbeat_interval: float = 1.0
    timeout: float = 5.0
    max_retries: int = 0
    enable_websocket: bool = True
    book_url: str = ""
    poll_interval: float = 1.0
    witness_interval: float = 10.0
    first_book_timeout: float = 10.0
    data_timeout: float = 60.0
    canary: str = ""
    canary_timeout: float = 30.0
    trusted: bool = False
    key_id_env: str = ""
    key_env: str = ""
    key_file: str = ""
    key_keyring: str = ""


class TierConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of [fees.NAME].tiers: the fees from so many dollars of 30-day volume on."""

    from_usd: str
    maker_bps: str
    taker_bps: str


class FeeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[fees.NAME]: overrides of what the venue publishes, as decimal text. None leaves the venue's own.

    `tiers` with `volume_usd` give the basis points where taker_bps and maker_bps are not set.
    """

    kind: str | None = None
    multiplier: str | None = None
    taker_coefficient: str | None = None
    maker_coefficient: str | None = None
    account_precision: str | None = None
    rate: str | None = None
    exponent: int | None = None
    taker_bps: str | None = None
    maker_bps: str | None = None
    per_unit: str | None = None
    rounding: str | None = None
    volume_usd: str | None = None
    tiers: tuple[TierConfig, ...] = ()
    source: str = ""
    as_of: str = ""


class ShmConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[shm]: sizes of the segments; a change needs a restart of all."""

    directory: str = ""
    max_markets: int = 64
    depth: int = 25
    max_events: int = 64
    max_positions: int = 128
    history: int = 1000


class ScannerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[scanner]: when a book is believed and how long an opportunity is worth sending. Milliseconds."""

    heartbeat_ms: int = 250
    proof_ms: int = 2000
    quiet_ms: int = 30000
    opportunity_ttl_ms: int = 250
    repeat_ms: int = 500
    spin_us: int = 0
    persist_ms: int = 500
    half_life_ms: int = 500
    race_min: int = 20
    hurdle_pct: str = "4"
    max_close_gap_s: int = 3600

    def limits(self) -> StateLimits:
        """The limits of `model.book_state`."""
        return StateLimits(
            self.heartbeat_ms * 1_000_000, self.proof_ms * 1_000_000, self.quiet_ms * 1_000_000
        )


class RiskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[risk]: every limit of the trader. Money is decimal text in dollars."""

    min_edge_bp: int = 50
    min_profit_pct: str = "0.2"
    min_profit_usd: str = "0.02"
    max_order_usd: str = "10"
    max_event_usd: str = "50"
    max_exposure_usd: str = "400"
    daily_loss_usd: str = "50"
    max_consecutive_losses: int = 5
    max_trades_per_hour: int = 2000
    max_book_age_ms: int = 2000
    max_leg_skew_ms: int = 1000
    cooldown_ms: int = 500
    probe_usd: str = "5"
    max_market_usd: str = "50"
    max_venue_usd: str = "250"
    max_net_usd: str = "10"
    max_dust_usd: str = "1"
    price_collar_pct: str = "5"
    max_orders_per_second: int = 20
    max_orders_per_minute: int = 300
    max_open_orders: int = 20
    min_race: str = "0.3"
    max_mismatch: str = "0.02"


class KellyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[kelly]: sizing. `cap` is the largest share of the capital in one trade."""

    mode: str = "half"
    capital_usd: str = "1000"
    cap: str = "0.10"


class TraderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[trader]: how orders are sent, and the paper account: cash by venue, coins by venue and market.

    `paper_*` say how the paper exchange behaves: a latency (median and 95th percentile), how often it
    refuses an order or fails one of two legs, how long Polymarket fills stay provisional and how often
    they fail then, which share of what leaves a level is taken to be trades.
    """

    mode: str = "taker"
    legs: str = "together"
    hedge_seconds: float = 3.0
    order_seconds: float = 2.0
    maker_ttl_s: float = 10.0
    maker_quotes: int = 4
    paper_latency_ms: int = 50
    paper_latency_p95_ms: int = 0
    paper_booking_ms: int = 0
    paper_reject_pct: str = "0"
    paper_leg_failure_pct: str = "0"
    paper_provisional_ms: int = 2000
    paper_provisional_failure_pct: str = "0"
    paper_trade_share_pct: str = "50"
    cash: dict[str, str] = {}
    inventory: dict[str, dict[str, str]] = {}


class LegConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One leg of an event."""

    venue: str
    market: str
    outcome: str = "yes"
    polarity: str = "same"
    void: str = ""
    convert_venue: str = ""
    convert_market: str = ""


class ReviewConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who compared the venues' rules of an event, when, and what was found."""

    source: str = ""
    window: str = ""
    void_rule: str = ""
    rules_hash: str = ""
    by: str = ""
    at: str = ""
    mismatch: str = "0"

    def hashes(self) -> list[str]:
        """The hashes of the rules that were read; in the file spaces or commas stand between them."""
        return self.rules_hash.lower().replace(",", " ").split()

    def review(self) -> Review:
        """The review as scanner and trader know it."""
        return Review(self.by, frozenset(self.hashes()), Decimal(self.mismatch), self.void_rule)


class DigitalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[events.digital]: what the prediction market of a model event asks about the spot price."""

    strike: str
    above: bool = True
    basis_bp: str = "0"


class EventConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[[events]]: markets that pay on the same thing."""

    id: str
    title: str = ""
    kind: str = "binary"
    close: str = ""
    legs: tuple[LegConfig, ...] = ()
    exhaustive: bool = False
    transfer_usd: str = "0"
    digital: DigitalConfig | None = None
    review: ReviewConfig | None = None

    def event(self) -> Event:
        """The event as the scanner and the trader know it."""
        asked = self.digital
        return Event(
            self.id,
            self.title or self.id,
            self.kind,
            tuple(_leg(leg) for leg in self.legs),
            parse_time_ns(self.close),
            self.review.review() if self.review else None,
            self.exhaustive,
            Decimal(self.transfer_usd),
            Digital(Decimal(asked.strike), asked.above, Decimal(asked.basis_bp)) if asked else None,
        )


def _leg(leg: LegConfig) -> EventLeg:
    convert = leg.convert_venue, leg.convert_market
    return EventLeg(leg.venue, leg.market, leg.outcome, leg.polarity, leg.void, convert)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a worker may ask. `version` grows with every change; `hash` names the content.

    `source` is the path of config.toml.
    `simulated` names the venues that are the lab's (url = "sim"). Directories are absolute. `account`
    is whose money it is: "paper", or one of its own for every simulated world, which ends with its run.
    `tape` is the file that a replay plays in the place of all venues (url = "tape"), at `tape_speed` times
    its own pace ("max": without waiting); no file sets them, `run.py replay` does.
    """

    version: int = 1
    hash: str = ""
    profile: str = "demo"
    mode: str = "paper"
    simulated: tuple[str, ...] = ()
    tape: str = ""
    tape_speed: str = "1"
    account: str = "paper"
    started_wall_ns: int = 0
    instance: str = ""
    source: str = ""
    data_directory: str = ""
    run_directory: str = ""
    shm_directory: str = ""
    venues: dict[str, VenueConfig] = {}
    fees: dict[str, FeeConfig] = {}
    shm: ShmConfig = ShmConfig()
    scanner: ScannerConfig = ScannerConfig()
    risk: RiskConfig = RiskConfig()
    kelly: KellyConfig = KellyConfig()
    trader: TraderConfig = TraderConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
    control: ControlConfig = ControlConfig()
    logs: LogsConfig = LogsConfig()
    observer: ObserverConfig = ObserverConfig()
    alerts: AlertsConfig = AlertsConfig()
    lab: LabConfig = LabConfig()
    dashboard: DashboardConfig = DashboardConfig()
    events: tuple[EventConfig, ...] = ()

    @property
    def has_lab(self) -> bool:
        """Whether a lab process plays the venues: simulated ones, or a tape's."""
        return bool(self.simulated or self.tape)

    def feeds(self) -> list[str]:
        """Venues that have a feed process, in config order."""
        return [name for name, venue in self.venues.items() if venue.enabled]

    def markets_of(self, venue: str) -> list[str]:
        """Markets a venue's feed subscribes: its own list, and the legs of all events."""
        legs = [leg for event in self.events for leg in event.legs]
        named = [leg.market for leg in legs if leg.venue == venue]
        named += [leg.convert_market for leg in legs if leg.convert_venue == venue]
        return list(dict.fromkeys([*self.venues[venue].markets, *named]))

    def all_events(self) -> tuple[Event, ...]:
        """The events as model values."""
        return tuple(event.event() for event in self.events)


def parse_time_ns(text: str) -> int:
    """Wall-clock nanoseconds of an ISO-8601 time ("" is 0). Raises ValueError for anything else."""
    if not text:
        return 0
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = Decimal(moment.microsecond).scaleb(-6) + int(moment.replace(microsecond=0).timestamp())
    return int(seconds * 10**9)


def sealed(config: Config) -> Config:
    """The config with `hash` set to the SHA-256 of its content; version and hash themselves left out."""
    plain = msgspec.structs.replace(config, version=0, hash="", source="")
    digest = hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()
    return msgspec.structs.replace(config, hash=digest)


def encode(config: Config) -> bytes:
    """The content of run/config.json."""
    return msgspec.json.format(msgspec.json.encode(config), indent=1)


def decode(text: bytes) -> Config:
    """Read run/config.json. Raises msgspec.ValidationError when it is not ours."""
    return msgspec.json.decode(text, type=Config)
