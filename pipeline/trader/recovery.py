"""Recovery: what a trader does before it trades: its journal checked, its trades made again from it.

In: the journal of earlier runs. Out: trades whose orders are UNKNOWN until the broker answers, and their ids.
Run by the trader at its start. Nothing is sent again: what nobody knows is asked for (`trade.Trade.step`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.journal import Journal
from pipeline.journal_records import IntentRecord, TradeParts
from pipeline.trader.broker import OrderIntent, Purpose, Style
from pipeline.trader.plan import plan_of
from pipeline.trader.trade import Trade

if TYPE_CHECKING:
    from pipeline.trader.ledger import Ledger

SIMULATED = "sim-"
"""What the accounts of simulated venues are called (`cli.up`): each is of one run."""


def recover(journal: Journal, ledger: Ledger, account: str, boot_id: str, now_ns: int) -> set[str]:
    """Take up every trade of the account that may not have ended; the ids of orders to be resolved.

    Their quotes are to be cancelled until they have ended: nobody watches them any longer. Orders of ledgers
    that kept no plan, and of simulated accounts, whose world has ended, are booked as not sent or cancelled;
    those of another account wait for it to come back. Raises JournalError where that cannot be written.
    """
    boots = {row["run_id"]: row["boot_id"] for row in journal.rows("runs")}
    waiting: set[str] = set()
    for parts in journal.trade_parts(account):
        if parts.trade.plan:
            same_boot = boots.get(parts.trade.run_id) == boot_id
            trade = rebuilt(parts, same_boot=same_boot, now_ns=now_ns)
            ledger.adopt_trade(trade)
            quotes = [order for order in trade.working() if order.intent.style is Style.MAKER]
            trade.cancelled([order.order_id for order in quotes], now_ns)
            waiting |= {order.order_id for order in trade.working()}
    gone = [name for name in journal.accounts() if name == account or name.startswith(SIMULATED)]
    for order_id in [order_id for name in gone for order_id in journal.open_intents(name)]:
        if order_id not in waiting:
            journal.resolve_open(order_id, "its account or its plan is gone: nobody can be asked")
    return waiting


def rebuilt(parts: TradeParts, *, same_boot: bool, now_ns: int) -> Trade:
    """The trade that the journal describes. Deadlines of an earlier boot are over: its clock is gone."""
    record = parts.trade
    plan = plan_of(record.trade_id, record.event_id, record.kind, record.direction, record.plan)
    intents = [_intent(intent, same_boot=same_boot, now_ns=now_ns) for intent in record.intents]
    return Trade.rebuilt(plan, intents, parts.orders, parts.fills, parts.confirmations)


def _intent(record: IntentRecord, *, same_boot: bool, now_ns: int) -> OrderIntent:
    """The intent again."""
    intent = OrderIntent(
        record.order_id,
        record.order,
        record.fee,
        record.leg,
        Purpose(record.purpose),
        Style(record.style),
        record.deadline_ns,
        record.expires_ns,
    )
    if same_boot:
        return intent
    return replace(intent, deadline_ns=now_ns, expires_ns=min(record.expires_ns, now_ns))
