"""Status: what a run is doing, from shared memory alone: the object of DESIGN 9.

In: the segments of a run. Out: one object of plain values; `account` and `hops` make parts of it. Used by
`run.py status`, `run.py up` and the observer, so that all of them tell the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.client import statistics
from pipeline.client.health import connection_word, feed_health
from pipeline.clock import Clock, moment_text
from pipeline.config import Config
from pipeline.model import REJECTED, BookFault, BookState, MarketStatus, WorkerState, book_state, to_text
from pipeline.status import account
from pipeline.status.hops import SEED_FIGURES, hops, leads, races, refusals
from shm import records
from shm.books import BookReader, ConnectionRow
from shm.segment import SegmentError, View, attach
from shm.tables import TableReader, read_counters, read_errors, read_ring

# In which no trade is possible.
CLOSED = (MarketStatus.PAUSED, MarketStatus.CLOSED, MarketStatus.SETTLED)


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


class Views:
    """Every segment of a run as a process that stays attached sees it; `refresh` now and then.

    `now` is replaced whole, so another thread may go through it. Whoever is gone keeps the last view: its
    heartbeat says that it is dead.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.now: dict[str, View] = {}

    def refresh(self) -> None:
        """Attach what came, what was replaced and what was started anew."""
        try:
            names = sorted(os.listdir(self._directory))
        except OSError:
            return
        fresh = dict(self.now)
        for name in names:
            known = fresh.get(name)
            if name.endswith((".lock", ".new")) or (known is not None and not known.outdated()):
                continue
            try:
                fresh[name] = attach(self._directory, name)
            except SegmentError:
                # Still being set up, or of another program: looked at again the next time.
                continue
        self.now = fresh


def gather(
    config: Config, views: Mapping[str, View], clock: Clock, *, measured: bool = True
) -> dict[str, Any]:
    """The status object. Raises SegmentError beside memory of another version of this program.

    Not `measured`: hops, races and leads are empty, which saves whoever asks each second a third of the work.
    """
    now = clock.monotonic_ns()
    supervisor, scanner, trader = (views.get(name) for name in ("supervisor", "scanner", "trader"))
    counts = read_counters(trader) if trader else {}
    summary = account.summary_of(trader)
    pnl = summary.pnl_micros if summary else 0
    return {
        "profile": config.profile,
        "mode": config.mode,
        "simulated": bool(config.simulated),
        "config_version": config.version,
        "uptime_s": round((now - supervisor.header.started_ns) / 1e9, 1) if supervisor else 0.0,
        **account.switches(Path(config.data_directory), summary),
        "configuration": configuration(config, supervisor),
        "supervisor": process(supervisor, now),
        "workers": workers(supervisor, views, now),
        "observer": observer(views.get("observer"), now),
        "venues": {venue: venue_state(views.get(f"feed-{venue}"), config, now) for venue in config.feeds()},
        "opportunities": counts.get("opportunities", 0),
        "approved": counts.get("approved", 0),
        "trades": counts.get("trades", 0),
        "rejections": rejections(counts),
        "refusals": refusals(scanner),
        "hops": hops(scanner, trader) if measured else {},
        "seed_figures": SEED_FIGURES,
        "races": races(scanner) if measured else {},
        "leads": leads(scanner) if measured else {},
        "pnl_usd": to_text(pnl, 6),
        "positions": account.positions(trader),
        "events": account.events(trader),
        "orders": account.orders(trader, now),
        "resolving": summary.resolving if summary else 0,
        "account": account.account(summary),
        "kelly": account.kelly(trader),
        "calibration": account.calibration(trader),
    }


def process(view: View | None, now: int) -> dict[str, Any]:
    """A process by its own segment: `heartbeat_age_ms` is None where there is none."""
    if view is None or view.header.retired:
        return {"pid": 0, "heartbeat_age_ms": None, "busy": False}
    header = view.header
    busy = header.busy_until_ns > now
    return {"pid": header.pid, "heartbeat_age_ms": age_ms(header.heartbeat_ns, now), "busy": busy}


def workers(supervisor: View | None, views: Mapping[str, View], now: int) -> list[dict[str, Any]]:
    """A line of the worker table each, with the age of its heartbeat and what it takes of the machine."""
    if supervisor is None:
        return []
    used = usage(supervisor)
    found = []
    for _, row in TableReader(supervisor, "workers", records.WORKER).rows():
        view = views.get(row.name)
        mine = view is not None and view.header.pid == row.pid
        seen = process(view if mine else None, now)
        found.append(
            {
                "name": row.name,
                "pid": row.pid,
                "state": WorkerState(row.state).name,
                "restarts": row.restarts,
                "heartbeat_age_ms": seen["heartbeat_age_ms"],
                "epoch": view.header.epoch if view else 0,
                "busy": seen["busy"],
                "exits": row.exits,
                "detail": row.detail,
                **used.get((row.name, row.pid), NO_USAGE),
            }
        )
    return found


NO_USAGE: dict[str, Any] = {"cpu_pct": None, "rss_mib": None, "descriptors": None}


def usage(supervisor: View) -> dict[tuple[str, int], dict[str, Any]]:
    """What each worker took of the machine when it was last measured, by name and pid."""
    if "usage" not in supervisor.sections():
        return {}
    return {
        (row.name, row.pid): {
            "cpu_pct": row.cpu_permille / 10,
            "rss_mib": round(row.rss_bytes / 2**20, 1),
            "descriptors": row.descriptors,
        }
        for _, row in TableReader(supervisor, "usage", records.USAGE).rows()
    }


def configuration(config: Config, supervisor: View | None) -> dict[str, Any]:
    """Which configuration acts; `problem` is why the files as they are now do not, `waits` what needs a
    restart of whom.
    """
    row = TableReader(supervisor, "run", records.RUN).get(0) if supervisor else None
    return {
        "version": config.version,
        "hash": config.hash,
        "source": config.source,
        "problem": row.config_problem if row else "",
        "waits": row.config_waits if row else "",
        "read_at": moment_text(row.config_read_wall_ns) if row else None,
    }


def observer(view: View | None, now: int) -> dict[str, Any]:
    """Where Prometheus may ask (port 0: nowhere), when each file was written, and the last alerts."""
    row = TableReader(view, "observer", records.OBSERVER).get(0) if view else None
    if view is None or row is None or view.header.retired:
        return {}
    return {
        **process(view, now),
        "metrics_port": row.metrics_port,
        "written": {
            "orderbooks": moment_text(row.orderbooks_wall_ns),
            "bot_state": moment_text(row.bot_state_wall_ns),
            "recent_opportunities": moment_text(row.opportunities_wall_ns),
            "positions": moment_text(row.positions_wall_ns),
        },
        "alerts": [
            {
                "at": moment_text(alert.wall_ns),
                "rule": alert.rule,
                "subject": alert.subject,
                "text": alert.text,
                "over": bool(alert.cleared),
                "state": account.word(ALERT_STATES, alert.state),
            }
            for alert in read_ring(view, "alerts", records.ALERT)
        ],
    }


ALERT_STATES = ("waits", "sent", "failed", "kept back", "nobody to tell")


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
    """Each market's book: what it is worth now, why if it lost something, when REST last agreed, and whether
    no trade is possible in it, so that it need not be good.
    """
    found: dict[str, dict[str, Any]] = {}
    for index, market in reader.directory.rows():
        book = reader.get(index)
        if book is None:
            continue
        state = book_state(
            book.state,
            retired=view.header.retired,
            heartbeat_ns=view.header.heartbeat_ns,
            proof_ns=reader.proof_ns(book.connection),
            socket_ns=book.socket_ns,
            now_ns=now,
            limits=config.scanner.limits(),
        )
        found[market.market] = {
            "state": BookState(state).name,
            "age_ms": age_ms(book.socket_ns, now),
            "fault": fault_word(book.reason),
            "witnessed_s": round((now - book.witness_ns) / 1e9, 1) if book.witness_ns else None,
            "closed": market.status in CLOSED,
        }
    return found


def age_ms(since_ns: int, now_ns: int) -> int | None:
    """Whole milliseconds since a moment; None for one that never was. Whoever writes may be a little later
    than `now_ns`, which was read before: that is no age below 0.
    """
    return round(max(0, now_ns - since_ns) / 1e6) if since_ns else None


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
