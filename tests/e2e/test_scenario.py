"""A seeded scenario with the shipped limits: what it shows, proved from the journal and the decisions alone.

The venues' behaviour is all that is scripted. A short run has to keep every promise; a long one has to show
every kind of trouble as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.common import SCRIPT, running_config
from pipeline.config import Config, RiskConfig
from pipeline.decision_log import read_decisions
from pipeline.fees import fee_high, fee_price_ticks
from pipeline.journal_reader import open_readonly
from pipeline.journal_records import (
    CashRecord,
    ConfirmationRecord,
    FillRecord,
    SettlementRecord,
    TradeRecord,
)
from pipeline.model import Action, Reason
from pipeline.model_events import takes_asks
from pipeline.money import to_decimal
from pipeline.trader.plan import MAKER_HEDGE, TAKER, PlanLeg, plan_of
from pipeline.trader.positions import Positions
from shm import records
from shm.segment import attach
from shm.tables import TableReader

pytestmark = pytest.mark.e2e
SHORT_SECONDS, LONG_SECONDS = 24, 45
PATIENCE_SECONDS = 120.0
CHECKS = 5
"""Of the trader's own, how many refuse something."""
CENT_MICRO = Decimal("0.000001")
ZERO = Decimal(0)
SMALLEST = 5
"""Contracts of the smallest order at Polymarket."""
LONG = pytest.param(LONG_SECONDS, marks=pytest.mark.stress)

MORE_THAN = {
    "HALTED", "UNRESOLVED", "EXPIRED", "UNHEDGED_LEG", "NET_EXPOSURE", "TOO_MANY_LEGS", "DUPLICATE",
    "ORDERS_PER_SECOND", "ORDERS_PER_MINUTE", "OPEN_ORDERS", "BOOK_TOO_OLD", "LEG_SKEW", "ORDER_SIZE",
    "EVENT_EXPOSURE", "MARKET_EXPOSURE", "VENUE_EXPOSURE", "TOTAL_EXPOSURE", "VENUE_CASH", "INVENTORY",
    "KELLY_SIZE", "PRICE_COLLAR", "OFF_GRID", "QUOTE_MOVED",
}  # fmt: skip
"""Refused where the value is above the limit."""
LESS_THAN = {
    "NO_SUPERVISOR", "JOURNAL", "NOT_ARMED", "OTHER_MODE", "COOLDOWN", "EDGE_TOO_SMALL", "PROFIT_TOO_SMALL",
    "RACE_LOST", "BELOW_MINIMUM", "BELOW_HURDLE", "BOOK_MISSING", "ONE_SIDED", "NOT_REVIEWED", "NOT_FILLED",
}  # fmt: skip
"""Refused where it is below."""
REACHED = {"DAILY_LOSS", "CONSECUTIVE_LOSSES", "TRADES_PER_HOUR"}
"""Refused where it is as much, or more."""


@dataclass
class Told:
    """What a run showed when it had come to rest, and what its files say."""

    seconds: int
    config: Config
    status: dict[str, Any]
    cash_rows: dict[str, records.CashRow]
    trades: list[TradeRecord]
    commits: list[TradeRecord]
    history: list[FillRecord | ConfirmationRecord | SettlementRecord | CashRecord]
    decisions: list[dict[str, Any]]
    problems: list[str]

    def kept(self) -> list[FillRecord]:
        """The fills that did not fail after all."""
        failed = {
            (each.venue, each.fill_id)
            for each in self.history
            if isinstance(each, ConfirmationRecord) and each.status == "FAILED"
        }
        fills = [each for each in self.history if isinstance(each, FillRecord)]
        return [fill for fill in fills if (fill.venue, fill.fill_id) not in failed]


def parallax(*words: str, data: Path) -> subprocess.CompletedProcess[str]:
    """One command of the program."""
    command = [sys.executable, str(SCRIPT), *words, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@pytest.fixture(scope="module", params=[SHORT_SECONDS, LONG])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A run of the scenario: played for a while, and on a slow machine until it has shown what it is to show;
    then halted, read when it has come to rest, and stopped.
    """
    data = tmp_path_factory.mktemp("data")
    words = "up --scenario trouble --seed 7 --set trader.mode=both --no-dashboard --json --for 400".split()
    with (data / "out").open("w") as out:
        up = subprocess.Popen(
            [sys.executable, str(SCRIPT), *words, "--data", str(data)], stdout=out, stderr=subprocess.STDOUT
        )
        try:
            time.sleep(request.param)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not shows_enough(data, request.param) and time.monotonic() < deadline:
                assert up.poll() is None, (data / "out").read_text()
                time.sleep(1.0)
            halted = parallax("halt", data=data)
            assert halted.returncode == 0, halted.stderr
            yield at_rest(data, request.param)
        finally:
            parallax("down", data=data)
            up.wait(PATIENCE_SECONDS)


def shows_enough(data: Path, seconds: int) -> bool:
    """Whether all of what the tests below want to see has happened."""
    config = running_config(data)
    if config is None or not (data / "ledger.sqlite").exists():
        return False
    journal = open_readonly(data / "ledger.sqlite")
    try:
        # Trades last: so whatever the others name is among them.
        commits, history = journal.commits(config.account), journal.history(config.account)
        decisions = read_decisions(data / "decisions.sqlite", last=1_000_000)
        trades = journal.trades(config.account)
    finally:
        journal.close()
    told = Told(seconds, config, {}, {}, trades, commits, history, decisions, [])
    shown = modes(told) == {TAKER, MAKER_HEDGE} and any(fill.maker for fill in told.kept())
    return shown and bool(in_part(told)) and bool(repairs(told)) and len(refusals(told)) >= CHECKS


def at_rest(data: Path, seconds: int) -> Told:
    """Everything of one moment at which no order is open and the journal does not move."""
    config = running_config(data)
    assert config is not None
    journal = open_readonly(data / "ledger.sqlite")
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            before = len(journal.history(config.account))
            time.sleep(0.5)
            state = json.loads(parallax("status", "--json", data=data).stdout)
            view = attach(Path(config.shm_directory), "trader")
            rows = [row for _, row in TableReader(view, "cash", records.CASH).rows()]
            time.sleep(0.5)
            history = journal.history(config.account)
            working = state["orders"] or state["account"]["quotes"] or journal.open_intents(config.account)
            if not working and not unconfirmed(history) and len(history) == before:
                return Told(
                    seconds, config, state, {row.venue: row for row in rows},
                    journal.trades(config.account), journal.commits(config.account), history,
                    read_decisions(data / "decisions.sqlite", last=1_000_000), journal.verify(),
                )  # fmt: skip
    finally:
        journal.close()
    raise AssertionError(f"the run did not come to rest: {state['orders']} {state['account']}")


def unconfirmed(history: list[Any]) -> set[tuple[str, str]]:
    """Fills of which nobody knows yet whether they hold."""
    fills = {(f.venue, f.fill_id) for f in history if isinstance(f, FillRecord) and f.provisional}
    return fills - {(c.venue, c.fill_id) for c in history if isinstance(c, ConfirmationRecord)}


# -- what every run keeps ----------------------------------------------------------------------------


def test_it_traded_and_the_journal_is_whole(told: Told) -> None:
    """There is something to check, and no defect in the chain."""
    assert told.problems == []
    assert told.trades
    assert told.kept()


def test_the_limits_are_those_that_are_shipped(told: Told) -> None:
    """Nothing of [risk] was changed for the show."""
    shipped = running_risk()
    assert {name: getattr(told.config.risk, name) for name in shipped} == shipped


def running_risk() -> dict[str, Any]:
    """[risk] of config.toml beside run.py, and the defaults for what it does not set."""
    import tomli

    given = tomli.loads((SCRIPT.parent / "config.toml").read_text(encoding="utf-8"))["risk"]
    default = RiskConfig()
    return {name: given.get(name, getattr(default, name)) for name in RiskConfig.__struct_fields__}


def test_no_order_was_filled_beyond_its_size_or_its_limit(told: Told) -> None:
    """Fills belong to committed intents, add up to their sizes at most, and keep their limits."""
    intents = {intent.order_id: intent for trade in told.trades for intent in trade.intents}
    filled: Counter[str] = Counter()
    for fill in (each for each in told.history if isinstance(each, FillRecord)):
        order = intents[fill.order_id].order
        filled[fill.order_id] += fill.size_units
        resting = intents[fill.order_id].style == "maker"
        assert fill.maker == resting
        better = fill.price_ticks <= order.limit_ticks
        assert fill.price_ticks == order.limit_ticks or better == order.takes_asks
    assert all(units <= intents[order_id].order.size_units for order_id, units in filled.items())


def test_cash_is_conserved_exactly(told: Told) -> None:
    """Start, flows of fills that held, their fees and settlements make the cash that is shown, by venue."""
    cash: dict[str, Decimal] = {}
    for each in told.history:
        if isinstance(each, CashRecord) and not each.market:
            cash[each.venue] = cash.get(each.venue, ZERO) + each.amount
        elif isinstance(each, SettlementRecord):
            cash[each.venue] = cash.get(each.venue, ZERO) + each.payoff
    for fill in told.kept():
        price = to_decimal(fill.price_ticks, fill.scale.price_decimals)
        price = 1 - price if fill.outcome == "no" else price
        flow = price * to_decimal(fill.size_units, fill.scale.size_decimals)
        cash[fill.venue] += (flow if fill.action == "sell" else -flow) - fill.fee
    assert set(cash) == set(told.cash_rows)
    for venue, amount in cash.items():
        assert abs(amount - to_decimal(told.cash_rows[venue].cash_micros, 6)) < CENT_MICRO, venue


def test_settlements_pay_what_was_held(told: Told) -> None:
    """Each pays the units that its fills left, at the value of the outcome."""
    held: dict[tuple[str, str, str, str], Decimal] = {}
    for fill in told.kept():
        key = fill.event_id, fill.venue, fill.market, fill.outcome
        size = to_decimal(fill.size_units, fill.scale.size_decimals)
        held[key] = held.get(key, ZERO) + (size if fill.action == "buy" else -size)
    for each in told.history:
        if isinstance(each, SettlementRecord):
            units = to_decimal(each.units, each.size_decimals)
            value = each.value if each.outcome == "yes" else 1 - each.value
            assert units == held[each.event_id, each.venue, each.market, each.outcome]
            assert each.payoff == units * value


def test_status_and_journal_agree(told: Told) -> None:
    """Positions by event and venue, the realised result and the fees are those that the journal makes."""
    positions = Positions()
    positions.apply(told.history)
    assert abs(positions.realised() - Decimal(told.status["account"]["realised_usd"])) < CENT_MICRO
    assert abs(positions.fees() - Decimal(told.status["account"]["fees_usd"])) < CENT_MICRO
    # The account's P&L is what cash and holdings came to: the fees of what is open are paid already.
    cash = sum(
        (to_decimal(row.cash_micros - row.start_micros, 6) for row in told.cash_rows.values()), Decimal(0)
    )
    costs = sum((held.cost for held in positions.holdings()), Decimal(0))
    total = cash + costs + Decimal(told.status["account"]["unrealised_usd"])
    assert abs(Decimal(told.status["pnl_usd"]) - total) < 10 * CENT_MICRO
    settled = {
        (each.event_id, each.venue, each.market, each.outcome)
        for each in told.history
        if isinstance(each, SettlementRecord)
    }
    held: dict[str, dict[str, Decimal]] = {}
    for fill in told.kept():
        if fill.outcome == "base" or (fill.event_id, fill.venue, fill.market, fill.outcome) in settled:
            continue
        size = to_decimal(fill.size_units, fill.scale.size_decimals)
        signed = size if (fill.action == "buy") == (fill.outcome == "yes") else -size
        of_event = held.setdefault(fill.event_id, {})
        of_event[fill.venue] = of_event.get(fill.venue, ZERO) + signed
    shown = {event: dict(venues) for event, venues in told.status["positions"].items()}
    for event, venues in held.items():
        for venue, quantity in venues.items():
            text = shown.get(event, {}).get(venue, "0")
            # Where both outcomes are held at one venue they are named: "5 yes, 5 no".
            if " " not in text:
                assert Decimal(text) == quantity, (event, venue)


def test_every_refusal_is_right_by_its_own_numbers(told: Told) -> None:
    """The journalled value is beyond the journalled limit, in the direction of its check."""
    for row in told.decisions:
        if row["action"] != Action.REJECTED:
            continue
        name, value, limit = Reason(row["reason"]).name, row["value_micros"], row["limit_micros"]
        if name in MORE_THAN:
            assert value > limit, row
        elif name in LESS_THAN:
            assert value < limit, row
        elif name in REACHED:
            assert value >= limit, row
        elif name == "NO_EDGE":
            assert value <= limit == 0, row
        else:
            assert value != limit or name == "VOID_PAYOFF", row


def test_limits_of_refusals_are_those_of_the_config(told: Told) -> None:
    """Where a limit is a key of [risk], the refusal names just that."""
    risk = told.config.risk
    limits = {
        "COOLDOWN": Decimal(risk.cooldown_ms),
        "BOOK_TOO_OLD": Decimal(risk.max_book_age_ms),
        "LEG_SKEW": Decimal(risk.max_leg_skew_ms),
        "EDGE_TOO_SMALL": Decimal(risk.min_edge_bp),
        "EVENT_EXPOSURE": Decimal(risk.max_event_usd),
        "MARKET_EXPOSURE": Decimal(risk.max_market_usd),
        "VENUE_EXPOSURE": Decimal(risk.max_venue_usd),
        "TOTAL_EXPOSURE": Decimal(risk.max_exposure_usd),
        "NET_EXPOSURE": Decimal(risk.max_net_usd),
        "ORDER_SIZE": Decimal(risk.max_order_usd),
        "RACE_LOST": Decimal(risk.min_race),
        "PRICE_COLLAR": Decimal(risk.price_collar_pct),
        "OPEN_ORDERS": Decimal(risk.max_open_orders),
        "ORDERS_PER_SECOND": Decimal(risk.max_orders_per_second),
        "ORDERS_PER_MINUTE": Decimal(risk.max_orders_per_minute),
        "TRADES_PER_HOUR": Decimal(risk.max_trades_per_hour),
        "CONSECUTIVE_LOSSES": Decimal(risk.max_consecutive_losses),
        "DAILY_LOSS": Decimal(risk.daily_loss_usd),
        "TOO_MANY_LEGS": Decimal(2),
    }
    for row in told.decisions:
        name = Reason(row["reason"]).name
        if row["action"] == Action.REJECTED and name in limits:
            assert to_decimal(row["limit_micros"], 6) == limits[name], row


def repairs(told: Told) -> list[tuple[TradeRecord, TradeRecord]]:
    """Each commit of a hedge or an unwinding, with the trade that it mends."""
    first = {trade.trade_id: trade for trade in told.trades}
    mends = [c for c in told.commits if c.intents[0].purpose in {"hedge", "unwind"}]
    return [(commit, first[commit.trade_id]) for commit in mends]


def test_every_repair_was_the_cheaper_one(told: Told) -> None:
    """From the journalled books both ways are priced again: the one that was taken costs no more."""
    for commit, trade in repairs(told):
        (intent,) = commit.intents
        plan = plan_of(trade.trade_id, trade.event_id, trade.kind, trade.direction, trade.plan)
        quantity = Decimal(str(commit.edge["compared"]))
        hedged = intent.leg if intent.purpose == "hedge" else 1 - intent.leg
        books = commit.edge["books"]
        ways = {
            "hedge": (hedged, plan.legs[hedged].action, plan.payoff),
            "unwind": (1 - hedged, plan.legs[1 - hedged].undo, ZERO),
        }
        costs = {
            way: cost(plan.legs[number], action, books[number], quantity) - payoff * quantity
            for way, (number, action, payoff) in ways.items()
            if way == intent.purpose or commit.edge["other_cost"] is not None
        }
        assert costs.pop(intent.purpose) == Decimal(str(commit.edge["cost"])), commit.trade_id
        for other in costs.values():
            assert other == Decimal(str(commit.edge["other_cost"])), commit.trade_id
            assert other >= Decimal(str(commit.edge["cost"]))


def cost(leg: PlanLeg, action: str, book: Any, quantity: Decimal) -> Decimal:
    """Dollars that an order costs on a journalled book, fees of the worst split included; negative where it
    brings more than they take.
    """
    ladder = book["asks" if takes_asks(action, leg.outcome) else "bids"]
    left, spent, fills = int(quantity.scaleb(leg.scale.size_decimals)), ZERO, []
    for ticks, units in ladder:
        part = min(units, left)
        if not part:
            break
        price = to_decimal(ticks, leg.scale.price_decimals)
        price = 1 - price if leg.outcome == "no" else price
        spent += price * to_decimal(part, leg.scale.size_decimals)
        fills.append((fee_price_ticks(leg.fee, action, leg.outcome, ticks, leg.scale), part))
        left -= part
    assert left == 0, "the book does not show as much"
    return (spent if action == "buy" else -spent) + fee_high(leg.fee, fills, leg.scale)


# -- what the long run shows -------------------------------------------------------------------------


def test_both_modes_trade(told: Told) -> None:
    """At least one trade of each mode has fills on both legs, and a quote's are those of a maker."""
    assert modes(told) == {TAKER, MAKER_HEDGE}
    assert any(fill.maker for fill in told.kept())


def modes(told: Told) -> set[str]:
    """The modes of trades with fills on both legs."""
    orders: dict[str, set[str]] = {}
    for fill in told.kept():
        orders.setdefault(fill.trade_id, set()).add(fill.venue)
    return {trade.plan["mode"] for trade in told.trades if len(orders.get(trade.trade_id, ())) == 2}


def test_orders_are_filled_in_part(told: Told) -> None:
    """At least one order ended with less than its size, but with something."""
    assert in_part(told)


def in_part(told: Told) -> list[str]:
    """Orders that were filled with something, but not with all."""
    sizes = {intent.order_id: intent.order.size_units for trade in told.trades for intent in trade.intents}
    filled: Counter[str] = Counter()
    for fill in told.kept():
        filled[fill.order_id] += fill.size_units
    return [order_id for order_id, units in filled.items() if 0 < units < sizes[order_id]]


def test_a_lone_leg_is_completed_or_taken_back(told: Told) -> None:
    """At least one repair was sent, and what is left over is less than any order could be made of."""
    assert repairs(told)
    excess: dict[str, Decimal] = {}
    intents = {intent.order_id: intent for trade in told.trades for intent in trade.intents}
    for fill in told.kept():
        intent = intents[fill.order_id]
        size = to_decimal(fill.size_units, fill.scale.size_decimals)
        sign = (1 if intent.leg == 0 else -1) * (-1 if intent.purpose == "unwind" else 1)
        excess[fill.trade_id] = excess.get(fill.trade_id, ZERO) + sign * size
    assert all(abs(quantity) < SMALLEST for quantity in excess.values()), excess


def test_five_different_checks_refuse(told: Told) -> None:
    """The trader's own refusals have at least five reasons."""
    assert len(refusals(told)) >= CHECKS, refusals(told)


def refusals(told: Told) -> set[str]:
    """The trader's own reasons."""
    reasons = {Reason(row["reason"]).name for row in told.decisions if row["action"] == Action.REJECTED}
    return reasons & (MORE_THAN | LESS_THAN | REACHED | {"NO_EDGE"})
