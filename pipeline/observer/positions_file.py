"""Positions file: the content of data/positions.json: what is held, by event and venue, and what it is worth.

In: the trader's segment. Out: JSON; money and sizes as decimal text. Pure; used by `export`. What is held is
marked by the trader at the books as they are, so `account_wall_ns` says how old the marks are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config import Config
from pipeline.model import to_text
from pipeline.observer.facts import Moment, age_ms, clean, usd
from pipeline.status import account
from shm import records
from shm.segment import View
from shm.tables import TableReader


class PositionsFile:
    """Makes the content."""

    def content(self, config: Config, views: Mapping[str, View], at: Moment) -> tuple[object, dict[str, Any]]:
        """(key, content): equal keys mean that only ages are new."""
        trader = views.get("trader")
        # A trader that starts anew empties its rows: what it held is unknown until it says so again.
        summary = account.summary_of(trader)
        positions = _by_event(trader)
        events = {
            event_id: {**found, "positions": positions.get(event_id, [])}
            for event_id, found in _events(trader).items()
        }
        body = {
            "account": config.account,
            "known": summary is not None,
            "events": events,
            "cash": _cash(trader),
            "totals": totals(summary),
        }
        stamps = {
            "account_wall_ns": at.wall_of(summary.updated_ns) if summary else None,
            "account_age_ms_at_write": age_ms(summary.updated_ns, at.now_ns) if summary else None,
        }
        return repr(body), {**stamps, **body}


def totals(summary: records.SummaryRow | None) -> dict[str, Any]:
    """The whole account; empty while no trader has said anything."""
    if summary is None:
        return {}
    return {
        "gross_exposure_usd": usd(summary.exposure_micros),
        "band": account.band(summary.exposure_micros),
        "net_exposure_usd": usd(summary.net_exposure_micros),
        "unrealised_usd": usd(summary.unrealised_micros),
        "realised_usd": usd(summary.realised_micros),
        "fees_usd": usd(summary.fees_micros),
        "locked_profit_usd": usd(summary.locked_profit_micros),
        "unhedged": summary.unhedged,
        "open_orders": summary.open_orders,
        "unknown_orders": summary.unknown_orders,
    }


def _events(trader: View | None) -> dict[str, dict[str, Any]]:
    """What `status` says of each event, with its title and the sizes by venue beside it."""
    sizes = account.positions(trader)
    titles: dict[str, str] = {}
    if trader is not None:
        rows = TableReader(trader, "events", records.EVENT_POSITION).rows()
        titles = {row.event_id: clean(row.title) for _, row in rows}
    return {
        clean(event_id): {"title": titles.get(event_id, ""), "sizes": sizes.get(event_id, {}), **found}
        for event_id, found in account.events(trader).items()
    }


def _by_event(trader: View | None) -> dict[str, list[dict[str, Any]]]:
    """Every outcome that is held, by event."""
    found: dict[str, list[dict[str, Any]]] = {}
    if trader is None:
        return found
    for _, row in TableReader(trader, "positions", records.POSITION).rows():
        found.setdefault(clean(row.event_id), []).append(
            {
                "venue": row.venue,
                "market": clean(row.market),
                "outcome": row.outcome,
                "size": to_text(row.units, row.size_decimals),
                "cost_usd": usd(row.cost_micros),
                "fees_usd": usd(row.fees_micros),
                "average_usd": usd(row.average_micros),
                "mark_usd": usd(row.mark_micros) if row.marked else None,
                "unrealised_usd": usd(row.unrealised_micros) if row.marked else None,
                "opened_wall_ns": row.opened_wall_ns,
            }
        )
    return found


def _cash(trader: View | None) -> dict[str, dict[str, str]]:
    """Cash by venue, what of it is in positions, and what open orders may still take."""
    if trader is None:
        return {}
    return {
        row.venue: {
            "start_usd": usd(row.start_micros),
            "cash_usd": usd(row.cash_micros),
            "locked_usd": usd(row.locked_micros),
            "reserved_usd": usd(row.reserved_micros),
        }
        for _, row in TableReader(trader, "cash", records.CASH).rows()
    }
