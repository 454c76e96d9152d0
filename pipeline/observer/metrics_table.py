"""Metrics table: the name, kind, unit, labels and meaning of everything that Prometheus can ask for.

In: nothing. Out: FAMILIES. Pure; `metrics` fills them, docs/METRICS.md and docs/grafana.json are checked
against them. Names follow Prometheus's own advice: base units, the unit at the end, `_total` for counters.
Labels are bounded by the configuration: workers, venues, markets, events, and lists of this program.
"""

from __future__ import annotations

from typing import NamedTuple

GAUGE, COUNTER = "gauge", "counter"


class Family(NamedTuple):
    """One metric. A counter only ever grows, over restarts of its worker too; `unit` "" is a plain number."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str


def _rows(*rows: tuple[str, str, str, str, str]) -> tuple[Family, ...]:
    return tuple(
        Family(name, kind, unit, tuple(labels.split()), what) for name, kind, unit, labels, what in rows
    )


RUN = _rows(
    ("parallax_up", GAUGE, "", "", "1 while the supervisor's heart beats; what else is said is then of now"),
    (
        "parallax_run_info",
        GAUGE,
        "",
        "profile mode simulated program config_hash",
        "always 1; the run's labels",
    ),
    ("parallax_uptime_seconds", GAUGE, "seconds", "", "since the supervisor began"),
    ("parallax_halted", GAUGE, "", "", "1 while nothing new may be traded"),
    ("parallax_config_version", GAUGE, "", "", "of the configuration in force; grows with every change"),
    ("parallax_config_refused", GAUGE, "", "", "1 while the files as they are do not hold and old ones act"),
    ("parallax_scrape_seconds", GAUGE, "seconds", "", "what it took to collect this answer"),
    ("parallax_scrape_failures_total", COUNTER, "", "", "requests that could not be answered"),
)
WORKERS = _rows(
    ("parallax_worker_up", GAUGE, "", "worker", "1 while the supervisor calls it RUNNING"),
    ("parallax_worker_state", GAUGE, "", "worker state", "1 for the state that it is in, 0 for the others"),
    ("parallax_worker_restarts_total", COUNTER, "", "worker", "times it was started again in this run"),
    ("parallax_worker_heartbeat_age_seconds", GAUGE, "seconds", "worker", "since its loop last beat"),
    ("parallax_worker_config_version", GAUGE, "", "worker", "of the configuration that it acts on"),
    ("parallax_worker_cpu_ratio", GAUGE, "cores", "worker", "share of one core in the last second"),
    ("parallax_worker_memory_bytes", GAUGE, "bytes", "worker", "resident memory"),
    ("parallax_worker_open_files", GAUGE, "", "worker", "open file descriptors"),
    ("parallax_worker_threads", GAUGE, "", "worker", "threads"),
    ("parallax_worker_switches_total", COUNTER, "", "worker kind", "context switches, voluntary or not"),
)
VENUES = _rows(
    ("parallax_venue_connected", GAUGE, "", "venue", "1 while every link that its feed wants is up"),
    ("parallax_venue_messages_total", COUNTER, "", "venue", "frames received"),
    ("parallax_venue_gaps_total", COUNTER, "", "venue", "times that a sequence jumped"),
    ("parallax_venue_reconnects_total", COUNTER, "", "venue", "connections made again"),
    ("parallax_venue_bad_frames_total", COUNTER, "", "venue", "frames that could not be read"),
    (
        "parallax_venue_bad_checksums_total",
        COUNTER,
        "",
        "venue",
        "books that the venue's checksum contradicted",
    ),
    ("parallax_venue_subscriptions", GAUGE, "", "venue", "markets that the venue confirmed"),
    (
        "parallax_venue_lag_seconds",
        GAUGE,
        "seconds",
        "venue quantile",
        "our time less the venue's, at receipt",
    ),
    ("parallax_books", GAUGE, "", "venue state", "books in each state"),
    ("parallax_book_live", GAUGE, "", "venue market", "1 while the book is LIVE and so may be traded"),
    ("parallax_book_age_seconds", GAUGE, "seconds", "venue market", "since the venue last changed it"),
)
TRADING = _rows(
    ("parallax_edge_ratio", GAUGE, "ratio", "event", "net edge of the event's best direction, over its cash"),
    ("parallax_edge_dollars", GAUGE, "dollars", "event", "the same in dollars at the best size"),
    ("parallax_opportunities_total", COUNTER, "", "", "opportunities that reached the trader"),
    ("parallax_trades_total", COUNTER, "", "", "trades opened"),
    ("parallax_rejections_total", COUNTER, "", "reason", "opportunities that the trader refused"),
    (
        "parallax_refusals_total",
        COUNTER,
        "",
        "reason",
        "what the scanner did not offer; a standing one is one",
    ),
    (
        "parallax_hop_seconds",
        GAUGE,
        "seconds",
        "hop quantile",
        "how long a hop took, last one to two minutes",
    ),
)
ACCOUNT = _rows(
    ("parallax_pnl_realised_dollars", GAUGE, "dollars", "", "result of what is closed, fees taken off"),
    ("parallax_pnl_unrealised_dollars", GAUGE, "dollars", "", "of what is held, at what it would fetch now"),
    ("parallax_pnl_day_dollars", GAUGE, "dollars", "", "result since 00:00 UTC, both together"),
    ("parallax_fees_dollars", GAUGE, "dollars", "", "fees paid"),
    ("parallax_cash_dollars", GAUGE, "dollars", "venue", "cash at the venue"),
    ("parallax_cash_reserved_dollars", GAUGE, "dollars", "venue", "of it, what open orders may still take"),
    ("parallax_exposure_dollars", GAUGE, "dollars", "", "cost of all that is held"),
    ("parallax_net_exposure_dollars", GAUGE, "dollars", "", "cost of what is held without a counterpart"),
    (
        "parallax_equity_dollars",
        GAUGE,
        "dollars",
        "",
        "cash and what is held, at the last point of its curve",
    ),
    ("parallax_drawdown_dollars", GAUGE, "dollars", "", "how far that is below the highest point still kept"),
    ("parallax_open_orders", GAUGE, "", "", "orders on their way or resting"),
    ("parallax_unknown_orders", GAUGE, "", "", "orders of which nobody knows what became"),
    ("parallax_unhedged_legs", GAUGE, "", "", "legs that stand alone"),
    ("parallax_consecutive_losses", GAUGE, "", "", "closed trades lost in a row"),
)
OTHERS = _rows(
    ("parallax_alerts_active", GAUGE, "", "rule", "matters of the rule that were told and are not over"),
    ("parallax_alerts_total", COUNTER, "", "rule", "alerts raised"),
    ("parallax_counter_total", COUNTER, "", "worker name", "every counter that has no name of its own above"),
)
FAMILIES = {each.name: each for each in (*RUN, *WORKERS, *VENUES, *TRADING, *ACCOUNT, *OTHERS)}
