"""The setting of `bench scan` and `bench pipeline`: so many binary pairs of Kalshi and Polymarket.

In: a folder, a number of pairs. Out: names, metadata and configuration under which every positive net is an
opportunity and books never grow old, so that what is measured is the way and not a limit.
"""

import hashlib
from pathlib import Path

from pipeline.config import (
    Config,
    EventConfig,
    LegConfig,
    ReviewConfig,
    RiskConfig,
    ScannerConfig,
    ShmConfig,
    VenueConfig,
    sealed,
)
from pipeline.model import FeeKind, MarketStatus
from shm.records import MARKET, MarketRow

KALSHI, POLYMARKET = "kalshi", "polymarket"
CENT = 10_000  # ticks
CONTRACT = {KALSHI: 100, POLYMARKET: 1_000_000}  # units
SERIES, CLOSE, RULES = "KXBENCH", "2037-01-01T00:00:00Z", "Pays a dollar if it happens."
CLOSE_NS = 2_114_380_800 * 10**9
HOUR_MS = 3_600_000
# YES at 0.40 on Kalshi and NO at 0.30 on Polymarket: only Kalshi's best level leaves anything.
ASK, OTHER_BID = 40, 70
BASE_SIZE, OTHER_SIZE = 1_000, 10_000_000


def market_name(venue: str, number: int) -> str:
    """The venue's name of a pair's market."""
    return f"{SERIES}-37JAN01-T{number}" if venue == KALSHI else str(7 * 10**75 + number)


def market_cells(venue: str, number: int) -> MarketRow:
    """A market as its feed describes it once it knows everything."""
    shared = MARKET.empty()._replace(
        market=market_name(venue, number),
        price_decimals=6,
        grid_ticks=CENT,
        lot_units=CONTRACT[venue],
        min_units=CONTRACT[venue],
        close_wall_ns=CLOSE_NS,
        status=MarketStatus.OPEN,
        rules_hash=hashlib.sha256(RULES.encode()).hexdigest(),
        fee_exponent=1,
    )
    if venue == KALSHI:
        fee = {"fee_kind": FeeKind.KALSHI, "fee_rate_ppm": 70_000, "fee_precision_micros": 10_000}
        return shared._replace(size_decimals=2, **fee)
    return shared._replace(size_decimals=6, fee_kind=FeeKind.POLYMARKET, fee_rate_ppm=40_000)


def pair(number: int) -> EventConfig:
    """A reviewed event of two markets that can never be called off."""
    legs = tuple(LegConfig(venue, market_name(venue, number)) for venue in (KALSHI, POLYMARKET))
    digest = hashlib.sha256(RULES.encode()).hexdigest()
    review = ReviewConfig(by="bench", void_rule="never", rules_hash=digest)
    return EventConfig(id=f"pair-{number}", close=CLOSE, legs=legs, review=review)


def pipeline_config(
    folder: Path,
    pairs: int,
    url: str = "ws://127.0.0.1:1/",
    rest_url: str = "",
    depth: int = 25,
    spin_us: int = 0,
) -> Config:
    """A run of its own in a folder. Every repeat is sent: with repeats kept back there is less to do."""
    return sealed(
        Config(
            venues={
                KALSHI: VenueConfig(url=url, rest_url=rest_url, witness_interval=0),
                POLYMARKET: VenueConfig(url="ws://127.0.0.1:1/", rest_url=""),
            },
            scanner=ScannerConfig(
                heartbeat_ms=5_000,
                proof_ms=60_000,
                quiet_ms=HOUR_MS,
                repeat_ms=0,
                hurdle_pct="0",
                spin_us=spin_us,
            ),
            risk=RiskConfig(
                min_edge_bp=0,
                min_profit_pct="0",
                min_profit_usd="0",
                max_book_age_ms=HOUR_MS,
                max_leg_skew_ms=HOUR_MS,
            ),
            shm=ShmConfig(max_markets=max(64, pairs), depth=depth, max_events=max(64, pairs)),
            events=tuple(pair(number) for number in range(pairs)),
            data_directory=str(folder / "data"),
            run_directory=str(folder / "run"),
            shm_directory=str(folder / "shm"),
        )
    )


def message_of(event_id: str, contracts: int, pairs: int) -> int:
    """The number of the message after which the best ask of a pair's market is of so many contracts.

    Negative for the first book, before any message.
    """
    return (contracts - BASE_SIZE - 1) * pairs + int(event_id.rpartition("-")[2])
