"""Status: what a run is doing, from shared memory alone: the object of DESIGN 9.

In: the segments of a run. Out: one object of plain values; `account` and `hops` make parts of it. Used by
`run.py status`, `run.py up` and the observer, so that all of them tell the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.client import statistics
from pipeline.client.health import connection_word, feed_health
from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.model import BookFault, BookState, Reason, WorkerState, book_state, to_text
from pipeline.status import account
from pipeline.status.hops import SEED_FIGURES, hops, leads, races, refusals
from shm import records
from shm.books import BookReader, ConnectionRow
from shm.segment import SegmentError, View, attach
from shm.tables import TableReader, read_counters, read_errors

REJECTED = "rejected."


def attach_all(directory: Path) -> dict[str, View]:
    """Every readable segment by its worker's name."""
    views: dict[str, View] = {}
    paths = sorted(directory.iterdir()) if directory.is_dir() else []
    for path in paths:
        if path.suffix in {".lock", ".new"}:
            continue
        try:
            views[path.name] = attach(directory, path.name)
        except SegmentError:
            continue
    return views


def gather(config: Config, views: dict[str, View], clock: Clock) -> dict[str, Any]:
    """The status object."""
    now = clock.monotonic_ns()
    supervisor, scanner, trader = (views.get(name) for name in ("supervisor", "scanner", "trader"))
    counts = read_counters(trader) if trader else {}
    summary = account.summary_of(trader)
    pnl = (summary.realised_micros + summary.unrealised_micros) if summary else 0
    return {
        "profile": config.profile,
        "mode": config.mode,
        "simulated": bool(config.simulated),
        "config_version": config.version,
        "uptime_s": round((now - supervisor.header.started_ns) / 1e9, 1) if supervisor else 0.0,
        **account.switches(Path(config.data_directory), summary),
        "workers": workers(supervisor, views, now),
        "venues": {venue: venue_state(views.get(f"feed-{venue}"), config, now) for venue in config.feeds()},
        "opportunities": counts.get("opportunities", 0),
        "trades": counts.get("trades", 0),
        "rejections": rejections(counts),
        "refusals": refusals(scanner),
        "hops": hops(scanner, trader),
        "seed_figures": SEED_FIGURES,
        "races": races(scanner),
        "leads": leads(scanner),
        "pnl_usd": to_text(pnl, 6),
        "positions": account.positions(trader),
        "events": account.events(trader),
        "orders": account.orders(trader, now),
        "resolving": summary.resolving if summary else 0,
        "account": account.account(summary),
        "kelly": account.kelly(trader),
        "calibration": account.calibration(trader),
    }


def workers(supervisor: View | None, views: dict[str, View], now: int) -> list[dict[str, Any]]:
    """A line of the worker table each, with the age of its heartbeat."""
    if supervisor is None:
        return []
    found = []
    for _, row in TableReader(supervisor, "workers", records.WORKER).rows():
        view = views.get(row.name)
        age = round((now - view.header.heartbeat_ns) / 1e6) if view and view.header.pid == row.pid else None
        found.append(
            {
                "name": row.name,
                "pid": row.pid,
                "state": WorkerState(row.state).name,
                "restarts": row.restarts,
                "heartbeat_age_ms": age,
                "epoch": view.header.epoch if view else 0,
            }
        )
    return found


NO_FEED: dict[str, Any] = {
    "connected": False,
    "messages": 0,
    "gaps": 0,
    "reconnects": 0,
    "socket": "down",
    "connections": [],
    "lag_ms": None,
    "subscriptions": 0,
    "statistics": {},
    "books": {},
}


def venue_state(view: View | None, config: Config, now: int) -> dict[str, Any]:
    """A venue's connections, what it counts and measures, and its books with their present state and age."""
    if view is None:
        return dict(NO_FEED)
    reader = BookReader(view)
    limits = config.scanner.limits()
    health = feed_health(view, reader, limits, now)
    counts, measured = read_counters(view), statistics(health)
    return {
        "connected": health.connected,
        "messages": counts.get("frames", 0),
        "gaps": counts.get("gaps", 0),
        "reconnects": counts.get("reconnects", 0),
        "bad_frames": counts.get("bad_frames", 0),
        "checksums_bad": counts.get("checksums_bad", 0),
        "socket": health.word,
        "connections": [connection(index, row, now) for index, row in health.connections],
        "lag_ms": measured["lag_ms"],
        "subscriptions": health.subscriptions,
        "statistics": measured,
        "books": books(view, reader, config, now),
    }


def connection(index: int, row: ConnectionRow, now: int) -> dict[str, Any]:
    """One link of a feed; `proof_age_ms` is since the venue last proved to be alive on it."""
    return {
        "index": index,
        "state": connection_word(row.state),
        "markets": row.markets,
        "messages": row.frames,
        "reconnects": row.reconnects,
        "proof_age_ms": age_ms(row.proof_ns, now),
    }


def books(view: View, reader: BookReader, config: Config, now: int) -> dict[str, dict[str, Any]]:
    """Each market's book: what it is worth now, why if it lost something, and when REST last agreed."""
    found: dict[str, dict[str, Any]] = {}
    proofs = [row.proof_ns for row in reader.connections()]
    for index, market in reader.directory.rows():
        book = reader.get(index)
        if book is None:
            continue
        state = book_state(
            book.state,
            retired=view.header.retired,
            heartbeat_ns=view.header.heartbeat_ns,
            proof_ns=proofs[book.connection],
            socket_ns=book.socket_ns,
            now_ns=now,
            limits=config.scanner.limits(),
        )
        found[market.market] = {
            "state": BookState(state).name,
            "age_ms": age_ms(book.socket_ns, now),
            "fault": fault_word(book.reason),
            "witnessed_s": round((now - book.witness_ns) / 1e9, 1) if book.witness_ns else None,
        }
    return found


def age_ms(since_ns: int, now_ns: int) -> int | None:
    """Whole milliseconds since a moment; None for one that never was."""
    return round((now_ns - since_ns) / 1e6) if since_ns else None


def fault_word(fault: int) -> str | None:
    """Why a book is not LIVE, or was not until its last snapshot; None for no reason."""
    if fault not in BookFault.__members__.values():
        return f"fault {fault}"
    return BookFault(fault).name.lower().replace("_", " ") if fault else None


def rejections(counts: dict[str, int]) -> dict[str, int]:
    """The trader's refusals by reason, those that happened; the scanner's are `refusals`."""
    return {
        name.removeprefix(REJECTED): count
        for name, count in counts.items()
        if name.startswith(REJECTED) and count
    }


def counters(views: dict[str, View]) -> dict[str, Any]:
    """Every counter and distinct error of every segment; needs no configuration."""
    return {
        name: {
            "epoch": view.header.epoch,
            "counters": read_counters(view),
            "errors": [error(row) for row in read_errors(view)],
        }
        for name, view in views.items()
    }


def error(row: records.ErrorRow) -> dict[str, Any]:
    """One distinct error: its text, how often, and when first and last (wall clock)."""
    first, last = row.first_wall_ns, row.last_wall_ns
    return {"text": row.text, "count": row.seen, "first_wall_ns": first, "last_wall_ns": last}


def reason_counters() -> tuple[str, ...]:
    """Names of the counters of refusals, one a reason."""
    return tuple(REJECTED + reason.name.lower() for reason in Reason if reason is not Reason.NONE)
