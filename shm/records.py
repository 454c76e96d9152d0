"""Records: the cells of every row that is not a book. One NamedTuple each; its annotations are the layout.

Integers are 64-bit cells, `Annotated[str, n]` is n bytes of UTF-8. `_ns` is CLOCK_MONOTONIC, `_wall_ns`
the wall clock, `_micros` millionths of a dollar for display (booked money is in the journal). Enums are
those of pipeline.model, stored as their numbers. Written by the one process named; read by anyone.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from shm.layout import Record
from shm.records_trader import (
    CALIBRATION,
    CASH,
    DECISION,
    EQUITY,
    EVENT_POSITION,
    FLATTEN,
    KELLY,
    ORDER,
    OUTCOME,
    POSITION,
    SUMMARY,
    CalibrationRow,
    CashRow,
    DecisionRow,
    EquityRow,
    EventPositionRow,
    FlattenRow,
    KellyRow,
    OrderRow,
    OutcomeRow,
    PositionRow,
    SummaryRow,
)

__all__ = [
    "ALERT",
    "CALIBRATION",
    "CASH",
    "DECISION",
    "EQUITY",
    "ERROR",
    "EVENT",
    "EVENT_POSITION",
    "FLATTEN",
    "KELLY",
    "LIFE",
    "MARKET",
    "OBSERVER",
    "ORDER",
    "OUTCOME",
    "POSITION",
    "QUOTE",
    "REPLAY",
    "RUN",
    "SUMMARY",
    "USAGE",
    "WORKER",
    "AlertRow",
    "CalibrationRow",
    "CashRow",
    "DecisionRow",
    "EquityRow",
    "ErrorRow",
    "EventId",
    "EventPositionRow",
    "EventRow",
    "FlattenRow",
    "KellyRow",
    "LifeRow",
    "MarketId",
    "MarketRow",
    "ObserverRow",
    "OrderRow",
    "OutcomeRow",
    "PositionRow",
    "QuoteRow",
    "ReplayRow",
    "RunRow",
    "Short",
    "SummaryRow",
    "Title",
    "UsageRow",
    "Venue",
    "WorkerRow",
]

EventId = Annotated[str, 64]
Title = Annotated[str, 96]
Venue = Annotated[str, 32]
MarketId = Annotated[str, 96]
Short = Annotated[str, 16]


class ErrorRow(NamedTuple):
    """Every process: one distinct error, how often, and when first and last."""

    text: Annotated[str, 200]
    seen: int
    first_wall_ns: int
    last_wall_ns: int


class MarketRow(NamedTuple):
    """Feed: one market of its directory; row i describes book i. An empty `market` is a free row.

    `incarnation` grows when the row is given to another market; the book row carries it too.
    Decimals are -1 while the scale is unknown. Sizes and prices are on the market's own scale.
    `value_micros` is what YES pays where the result is SCALAR, else -1. `updated_ns` is when the venue's
    REST last described it, 0 for never. `rules` is the beginning of the venue's rules and `rules_hash` the
    SHA-256 of them all, in hexadecimal.
    """

    market: MarketId
    partner: MarketId
    title: Title
    incarnation: int
    price_decimals: int
    size_decimals: int
    grid_ticks: int
    lot_units: int
    min_units: int
    min_cost_micros: int
    fee_kind: int
    fee_rate_ppm: int
    fee_maker_rate_ppm: int
    fee_exponent: int
    fee_precision_micros: int
    fee_per_unit_micros: int
    fee_waived_until_ns: int
    fee_source: Annotated[str, 48]
    fee_as_of_ns: int
    close_wall_ns: int
    status: int
    result: int
    updated_ns: int
    hides_outcome: int
    value_micros: int
    rules_hash: Annotated[str, 64]
    rules: Annotated[str, 512]


class EventRow(NamedTuple):
    """Scanner: one event in one direction (`pairs.directions` numbers them) and what it leaves.

    gross - depth - fees = net, in micros, and `edge_bp` is net over the cash used. `net_low` is net with
    every fee at its high end: decisions use it. `leg_risk` and `lock_up` are what one leg alone and the
    wait may cost on average; net less both is what remains. `fee_buy` is the first leg's, `fee_sell` that of
    all others. `worst` is the least that a unit of all legs pays. `has_numbers` is 0 where no size could be
    priced. `reason` with `value` and `limit` (micros) says why it is refused, NONE if it is not. The rows and
    epochs of the books used prove it. `kind` is that of the direction: a held pair's is "close". Only two of
    the `legs` are named here; `race_count` is 0 where `race_ppm` is the prior; `lead_leg` is -1 for neither.
    """

    event_id: EventId
    title: Title
    kind: Short
    direction: int
    legs: int
    buy_venue: Venue
    buy_market: MarketId
    buy_inverse: int
    buy_action: Short
    buy_outcome: Short
    sell_venue: Venue
    sell_market: MarketId
    sell_inverse: int
    sell_action: Short
    sell_outcome: Short
    close_wall_ns: int
    has_numbers: int
    gross_micros: int
    depth_micros: int
    fee_buy_micros: int
    fee_sell_micros: int
    net_micros: int
    net_low_micros: int
    leg_risk_micros: int
    lock_up_micros: int
    worst_micros: int
    mismatch_ppm: int
    annual_bp: int
    cash_micros: int
    size_units: int
    size_decimals: int
    gross_bp: int
    edge_bp: int
    confidence: int
    race_ppm: int
    race_count: int
    born_ns: int
    lead_leg: int
    lead_ns: int
    lead_count: int
    lead_total: int
    model_low_ppm: int
    model_ppm: int
    model_high_ppm: int
    sigma_ppm: int
    reason: int
    value_micros: int
    limit_micros: int
    buy_row: int
    sell_row: int
    buy_epoch: int
    sell_epoch: int
    buy_socket_ns: int
    sell_socket_ns: int
    computed_ns: int


class LifeRow(NamedTuple):
    """Scanner: the life of one opportunity that ended, `ended_ns` after `born_ns`.

    `censored` is 1 where it was lost from sight (a dead feed, a closed market, our own end) and not seen to
    die. `reason` is why it ended; `best_edge_bp` and `best_net_micros` are the largest seen.
    """

    sequence: int
    event_id: EventId
    kind: Short
    direction: int
    buy_venue: Venue
    sell_venue: Venue
    born_ns: int
    ended_ns: int
    censored: int
    reason: int
    best_edge_bp: int
    best_net_micros: int
    size_units: int
    size_decimals: int


class QuoteRow(NamedTuple):
    """Scanner: the queue that a maker's quote would stand in, one side of one book at its best price.

    The quote is taken to have joined at `joined_ns`, behind `front` units; the three others are what is
    left before it now by each model (`pipeline.scanner.queue_position`). Units on the market's own scale.
    """

    venue: Venue
    market: MarketId
    side: Short
    price_ticks: int
    price_decimals: int
    size_decimals: int
    joined_ns: int
    level_units: int
    front_units: int
    risk_averse_units: int
    power_units: int
    log_units: int


class WorkerRow(NamedTuple):
    """Supervisor: one worker process. `exit_status` is its last exit code, or minus the signal."""

    name: Annotated[str, 48]
    pid: int
    pid_start: int
    state: int
    restarts: int
    since_ns: int
    exit_status: int
    exits: int
    detail: Annotated[str, 96]


class UsageRow(NamedTuple):
    """Supervisor: what a worker process takes of the machine, measured once a second; row i is worker i's.

    `cpu_permille` is of one core, over the last second; the switches are counts since its start.
    """

    name: Annotated[str, 48]
    pid: int
    cpu_permille: int
    rss_bytes: int
    descriptors: int
    threads: int
    voluntary_switches: int
    involuntary_switches: int
    measured_ns: int


class RunRow(NamedTuple):
    """Supervisor: the run as a whole, and what became of the last change of its configuration.

    `config_problem` is why the files as they are now do not hold ("" if they do): the run goes on with the
    last good ones. `config_waits` says which changed keys wait for which restart ("" for none).
    """

    instance: Short
    profile: Short
    mode: Short
    data_directory: Annotated[str, 200]
    config_source: Annotated[str, 200]
    config_hash: Annotated[str, 64]
    config_problem: Annotated[str, 400]
    config_waits: Annotated[str, 400]
    config_read_wall_ns: int
    program_version: Short
    simulated: int


class AlertRow(NamedTuple):
    """Observer: one of its last alerts, a ring. `state`: 0 waits, 1 sent, 2 failed, 3 kept back by the limit
    of alerts an hour, 4 nobody to send it to. `cleared` is 1 where the alert says that something is over.
    """

    sequence: int
    wall_ns: int
    rule: Annotated[str, 32]
    subject: Annotated[str, 64]
    text: Annotated[str, 200]
    cleared: int
    state: int


class ObserverRow(NamedTuple):
    """Observer: where its metrics are (port 0: nowhere) and when it last wrote each export."""

    metrics_port: int
    orderbooks_wall_ns: int
    bot_state_wall_ns: int
    opportunities_wall_ns: int
    positions_wall_ns: int


class ReplayRow(NamedTuple):
    """Lab: where a tape that it plays stands. Wall times are those of the tape's own lines.

    `speed_ppm` is 1,000,000 at the pace of the recording, 0 as fast as it can. `state`: 0 plays, 1 paused,
    2 on its way to a place that was sought, 3 at the end, 4 the tape could not be read further. `order` is
    the number of the last order obeyed.
    """

    tape: Annotated[str, 200]
    first_wall_ns: int
    last_wall_ns: int
    at_wall_ns: int
    frames: int
    total_frames: int
    bad_lines: int
    speed_ppm: int
    state: int
    order: int
    problem: Annotated[str, 200]


ERROR = Record(ErrorRow)
MARKET = Record(MarketRow)
EVENT = Record(EventRow)
LIFE = Record(LifeRow)
QUOTE = Record(QuoteRow)
WORKER = Record(WorkerRow)
USAGE = Record(UsageRow)
RUN = Record(RunRow)
ALERT = Record(AlertRow)
OBSERVER = Record(ObserverRow)
REPLAY = Record(ReplayRow)
