"""Summary facts: what happened between two moments, from what a run leaves: ledger, decisions, logs, exports.

In: a data directory, and the status object where a run is on. Out: one object of plain values; money is
decimal text. Used by `run.py summary` and, through it, by the observer's daily message. What cannot be read
is named under `problems`; the rest is told all the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.cli.account_history import movements
from pipeline.cli.export_tables import decision_row
from pipeline.cli.journal_export import utc_text
from pipeline.client.exports import ExportError, read_export
from pipeline.decision_log import DECISIONS_FILE, DecisionLogError, each_decision
from pipeline.journal_reader import JournalError, JournalReader, open_readonly
from pipeline.journal_records import FAILED, LEDGER_FILE, ConfirmationRecord, FillRecord
from pipeline.logs import log_directory
from pipeline.logs_files import WorkerLog, workers_in
from pipeline.money import money_text
from pipeline.observer.export import FILES
from pipeline.trader.holding import TradeResult
from pipeline.trader.positions import Positions

NEAR = Decimal("0.2")
LISTED = 3
# Refusals that are no limit which a number could be close to.
NO_LIMIT = {
    "duplicate",
    "replayed",
    "expired",
    "halted",
    "no_supervisor",
    "journal",
    "not_armed",
    "unresolved",
}
HOPS = (
    ("socket_to_book", "socket_ns", "book_ns"),
    ("book_to_scan", "book_ns", "scan_ns"),
    ("scan_to_send", "scan_ns", "send_ns"),
    ("send_to_receive", "send_ns", "receive_ns"),
    ("receive_to_decide", "receive_ns", "decide_ns"),
    ("decide_to_order", "decide_ns", "order_ns"),
    ("order_to_fill", "order_ns", "fill_ns"),
)


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when, wall clock: [since, until)."""

    since_ns: int
    until_ns: int

    def has(self, wall_ns: int) -> bool:
        """Whether a moment is in it."""
        return self.since_ns <= wall_ns < self.until_ns


def last_run(data: Path) -> Period:
    """From the start of the last run in a data directory to its last word, as exports and logs say; both are
    0 where nobody says anything.
    """
    starts, words = [int(last_state(data).get("started_wall_ns") or 0)], [0]
    for at, fields in log_lines(data, "supervisor", Period(0, 2**63 - 1)):
        words.append(round(at * 1e9))
        if fields.get("event") == "started":
            starts.append(words[-1])
    words += [int(_export(data / f"{name}.json").get("written_wall_ns", 0)) for name in FILES]
    start_ns = max(starts)
    # The last word is in the period.
    return Period(start_ns, max(*words, start_ns) + 1 if any(words) else start_ns)


def last_state(data: Path) -> dict[str, Any]:
    """What bot_state.json said last, empty where there is none."""
    return _export(data / "bot_state.json")


def _export(path: Path) -> dict[str, Any]:
    try:
        return read_export(path, 0, 0, "").content
    except ExportError:
        return {}


def facts(data: Path, period: Period, state: Mapping[str, Any] | None, account: str) -> dict[str, Any]:
    """Everything that happened. `state` is the status object of a run that is on, else None."""
    problems: list[str] = []
    found: dict[str, Any] = {
        "since": utc_text(period.since_ns),
        "until": utc_text(period.until_ns),
        "seconds": (period.until_ns - period.since_ns) // 10**9,
        "running": state is not None,
        "account": account,
        **_ledger(data, period, account, problems),
        **_decisions(data, period, problems),
        "not_offered": dict(state["refusals"]) if state else {},
        **_logs(data, period),
    }
    found["pnl"]["unrealised_usd"] = _unrealised(data, state)
    found["unhedged"]["now"] = state["account"].get("unhedged") if state else None
    return {**found, "problems": problems}


def _unrealised(data: Path, state: Mapping[str, Any] | None) -> str | None:
    """What is held would bring beyond its cost, now or as it was last marked; None where nobody knows."""
    if state is not None:
        value = state["account"].get("unrealised_usd")
    else:
        value = (_export(data / "positions.json").get("totals") or {}).get("unrealised_usd")
    return value if isinstance(value, str) else None


# -- the ledger ------------------------------------------------------------------------------------


def _ledger(data: Path, period: Period, account: str, problems: list[str]) -> dict[str, Any]:
    """Results, trades, turns of the switch and the oldest book, from the ledger."""
    found: dict[str, Any] = {
        "pnl": {"realised_usd": None, "fees_usd": None},
        "trades": {
            "opened": 0,
            "closed": 0,
            "won": 0,
            "lost": 0,
            "win_rate": None,
            "best": None,
            "worst": None,
        },
        "halts": [],
        "oldest_book": None,
    }
    path = data / LEDGER_FILE
    if not path.exists():
        return found
    try:
        with closing(open_readonly(path)) as journal, journal.snapshot():
            name = account or next(reversed(journal.accounts()), "")
            results, fees = _results(journal, period, name)
            found["pnl"] = {"realised_usd": _sum(each.result for each in results), "fees_usd": fees}
            opened = [
                each for each in journal.recent_intents(name, period.since_ns) if period.has(each.wall_ns)
            ]
            found["trades"] = {"opened": len(opened), **_won(results)}
            found["halts"] = [
                {"utc": utc_text(turn.wall_ns), "state": turn.state, "who": turn.who, "cause": turn.cause}
                for turn in journal.switches(name)
                if period.has(turn.wall_ns)
            ]
            found["oldest_book"] = _oldest_book(journal, period, name)
    except JournalError as error:
        problems.append(str(error))
    except (ValueError, KeyError, ArithmeticError, AssertionError) as error:
        problems.append(f"{path}: a row makes no sense ({error!r}); see what run.py journal verify says")
    return found


def _results(journal: JournalReader, period: Period, account: str) -> tuple[list[TradeResult], str]:
    """Trades that closed in the period, and the fees that were paid in it."""
    positions = Positions()
    fees: dict[tuple[str, str], Decimal] = {}
    for _, record in movements(journal, account):
        positions.apply([record])
        if isinstance(record, FillRecord) and period.has(record.wall_ns):
            fees[record.venue, record.fill_id] = record.fee
        elif isinstance(record, ConfirmationRecord) and record.status == FAILED:
            fees.pop((record.venue, record.fill_id), None)
    closed = [each for each in positions.results() if period.has(each.closed_wall_ns)]
    return closed, _sum(fees.values())


def _sum(amounts: Any) -> str:
    return money_text(sum(amounts, Decimal(0)))


def _won(results: list[TradeResult]) -> dict[str, Any]:
    """How many closed trades won and lost, the best and the worst."""
    won = sum(each.result > 0 for each in results)
    lost = sum(each.result < 0 for each in results)
    ordered = sorted(results, key=lambda each: each.result)
    return {
        "closed": len(results),
        "won": won,
        "lost": lost,
        "win_rate": round(won / len(results), 4) if results else None,
        "best": _trade(ordered[-1]) if ordered else None,
        "worst": _trade(ordered[0]) if ordered else None,
    }


def _trade(result: TradeResult) -> dict[str, str]:
    return {
        "trade_id": result.trade_id,
        "event_id": result.event_id,
        "result_usd": money_text(result.result),
    }


def _oldest_book(journal: JournalReader, period: Period, account: str) -> dict[str, Any] | None:
    """The oldest book that an order was decided on, by the evidence that was committed with it."""
    worst: dict[str, Any] | None = None
    for row in journal.each("intents", account):
        if not period.has(row["wall_ns"]):
            continue
        socket_ns = json.loads(row["book"]).get("socket_ns", 0)
        age = (row["decided_ns"] - socket_ns) / 1e6 if socket_ns else 0
        # An order that repairs was decided on later than its trade; it has the later stamp itself.
        if age > (worst["age_ms"] if worst else 0):
            worst = {"age_ms": round(age, 1), "trade_id": row["trade_id"], "venue": row["venue"]}
    return worst


# -- decisions -------------------------------------------------------------------------------------


def _decisions(data: Path, period: Period, problems: list[str]) -> dict[str, Any]:
    """Refusals by reason, near misses, lone legs and the slowest hop, from the log of decisions."""
    refused: Counter[str] = Counter()
    near: dict[tuple[str, str], dict[str, Any]] = {}
    misses = lone = decided = 0
    slowest: dict[str, Any] | None = None
    path = data / DECISIONS_FILE
    try:
        for body in each_decision(path, period.since_ns, period.until_ns) if path.exists() else ():
            row = decision_row(body)
            decided += 1
            lone += row["action"] == "unhedged"
            slowest = _slower(row, slowest)
            if row["action"] != "rejected" or row["reason"] is None:
                continue
            refused[row["reason"]] += 1
            if is_near(row):
                misses += 1
                name = row["event_id"], row["reason"]
                if name not in near or _worth(row) > _worth(near[name]):
                    near[name] = row
    except DecisionLogError as error:
        problems.append(str(error))
    best = sorted(near.values(), key=_worth, reverse=True)[:LISTED]
    keys = ("utc", "event_id", "reason", "value", "limit", "edge_bp", "net_usd")
    return {
        "decisions": decided,
        "refused": dict(refused.most_common()),
        "near_misses": {"count": misses, "best": [{key: row[key] for key in keys} for row in best]},
        "unhedged": {"since": lone, "now": None},
        "slowest_hop": slowest,
    }


def is_near(row: Mapping[str, Any]) -> bool:
    """Whether a refusal was close: within a fifth of its limit, or from half of the least edge on."""
    if row["reason"] in NO_LIMIT or row["value"] is None or row["limit"] is None:
        return False
    value, limit = Decimal(row["value"]), Decimal(row["limit"])
    if row["reason"] == "edge_too_small":
        return limit / 2 <= value < limit
    return limit != 0 and abs(value - limit) <= NEAR * abs(limit)


def _worth(row: Mapping[str, Any]) -> Decimal:
    return Decimal(row["net_usd"] or 0)


def _slower(row: Mapping[str, Any], slowest: dict[str, Any] | None) -> dict[str, Any] | None:
    """The slowest hop so far, this decision's among them."""
    for name, since, to in HOPS:
        if row[since] and row[to]:
            ms = round((row[to] - row[since]) / 1e6, 2)
            if slowest is None or ms > slowest["ms"]:
                slowest = {"hop": name, "ms": ms, "event_id": row["event_id"], "utc": row["utc"]}
    return slowest


# -- logs ------------------------------------------------------------------------------------------


def _logs(data: Path, period: Period) -> dict[str, Any]:
    """Restarts, lost connections and alerts, as the logs have them."""
    lost: dict[str, int] = {}
    for worker in workers_in(log_directory(data)):
        if worker.startswith("feed-"):
            lines = log_lines(data, worker, period)
            count = sum(fields.get("event") == "connection lost" for _, fields in lines)
            lost |= {worker.removeprefix("feed-"): count} if count else {}
    restarts, given_up = _restarts(data, period)
    told: Counter[str] = Counter()
    unsent = 0
    for _, fields in log_lines(data, "observer", period):
        if fields.get("event") == "alert" and not fields.get("over") and fields.get("rule") != "daily":
            told[str(fields.get("rule", ""))] += 1
        unsent += fields.get("event") == "an alert was not sent"
    return {
        "restarts": restarts,
        "given_up": given_up,
        "disconnects": lost,
        "alerts": {"told": dict(told.most_common()), "not_sent": unsent},
    }


def _restarts(data: Path, period: Period) -> tuple[dict[str, int], list[str]]:
    """How often each worker was started again, and which were given up; a run's first start is none."""
    again: Counter[str] = Counter()
    given_up: set[str] = set()
    started: set[str] = set()
    for at, fields in log_lines(data, "supervisor", Period(0, period.until_ns)):
        name = str(fields.get("name_", ""))
        if fields.get("event") == "started":
            started.clear()
        elif fields.get("event") == "worker" and fields.get("state") == "STARTING":
            again[name] += name in started and period.has(round(at * 1e9))
            started.add(name)
        elif fields.get("event") == "worker" and fields.get("state") == "FLAPPING":
            given_up |= {name} if period.has(round(at * 1e9)) else set()
    return {name: count for name, count in again.most_common() if count}, sorted(given_up)


def log_lines(data: Path, worker: str, period: Period) -> Iterator[tuple[float, dict[str, Any]]]:
    """A worker's own lines of the period, oldest first, with their times in seconds since 1970."""
    with closing(WorkerLog(log_directory(data), worker)) as log:
        for line in log.lines():
            if line.fields is not None and period.has(round(line.at * 1e9)):
                yield line.at, line.fields
