"""Selftest: what its judges make of recorded facts, and what it says."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import selftest
from pipeline.cli import selftest_judges as judges
from pipeline.cli.selftest_items import ITEMS
from pipeline.cli.selftest_judges import Outage, Replaced, Voided
from pipeline.guards import GUARDS
from pipeline.journal_records import (
    ConfirmationRecord,
    FillRecord,
    IntentRecord,
    OrderRecord,
    TradeParts,
    TradeRecord,
    canonical,
)
from pipeline.model import BookFault
from pipeline.paper.store import VenueRecord
from pipeline.trader.broker import OrderIntent, Purpose
from tests.support.trades import intent_of, plan_for

MS = 1_000_000
SECOND = 1_000 * MS
DECIDED = 100 * SECOND
PRICES = {0: 480_000, 1: 500_000}
"""Of Kalshi's YES, and of the book in which NO costs the rest: 0.48 and 0.50, so a pair costs 0.98."""


def journalled(intent: OrderIntent, age_ns: int = 5 * MS, epoch: int = 3) -> IntentRecord:
    """An order as the ledger has it, decided on a book of this age and epoch."""
    seen = {"socket_ns": DECIDED - age_ns, "epoch": epoch}
    return IntentRecord(
        intent.order_id,
        intent.order,
        intent.fee,
        intent.leg,
        str(intent.purpose),
        str(intent.style),
        book=seen,
    )


def trade(*orders: OrderIntent, filled: dict[int, str], **seen: Any) -> TradeParts:
    """A trade whose orders have ended; what was filled of each, by its place, a second after the last one."""
    plan = plan_for()
    intents = tuple(journalled(order, **seen) for order in orders)
    record = TradeRecord(
        plan.trade_id, "r1", plan.event_id, plan.kind, 0, 1, 1, 7, "f" * 64, "1", DECIDED,
        {}, {}, json.loads(canonical(plan.evidence())), intents,
    )  # fmt: skip
    fills = []
    for place, size in filled.items():
        order = orders[place].order
        units = int(Decimal(size).scaleb(order.scale.size_decimals))
        fills.append(
            FillRecord(
                order.venue, f"f{place}", orders[place].order_id, plan.trade_id, plan.event_id, order.market,
                order.outcome, order.action, PRICES[orders[place].leg], units, order.scale, Decimal("0.01"),
                DECIDED + place * SECOND,
            )
        )  # fmt: skip
    ended = tuple(OrderRecord(order.order_id, "FILLED", DECIDED) for order in orders)
    return TradeParts(record, ended, tuple(fills), ())


def pair(first: str = "10", second: str = "10", **seen: Any) -> TradeParts:
    """Both legs ordered at once, and so much of each filled."""
    plan = plan_for()
    filled = {place: size for place, size in enumerate((first, second)) if size != "0"}
    return trade(intent_of(plan, 0, 0), intent_of(plan, 1, 1), filled=filled, **seen)


def mended(purpose: Purpose = Purpose.HEDGE) -> TradeParts:
    """One leg filled alone, and then completed, or taken back."""
    plan, leg = plan_for(), 1 if purpose is Purpose.HEDGE else 0
    orders = intent_of(plan, 0, 0), intent_of(plan, 1, 1), intent_of(plan, 2, leg, purpose=purpose)
    return trade(*orders, filled={0: "10", 2: "10"})


# -- a trade ----------------------------------------------------------------------------------------------


def test_a_pair_that_was_taken_passes_with_its_profit() -> None:
    """Ten pairs at 0.98 with two cents of fees leave 18 cents of the ten dollars that they pay."""
    found = judges.judge_taken(pair(), 2_000 * MS, [])
    assert found == (True, "e: 10 and 10 filled, net $0.18, oldest book 5 ms, cash adds up")


@pytest.mark.parametrize(
    "parts",
    [
        None,
        pair("10", "0"),
        pair("10", "9.99"),
        pair("0", "0"),
        pair(age_ns=2_001 * MS),
        replace(pair(), orders=()),
    ],
)
def test_what_is_no_whole_trade_on_young_books_fails(parts: TradeParts | None) -> None:
    """No trade, one leg, uneven legs, nothing filled, an old book, orders whose end nobody knows."""
    assert not judges.judge_taken(parts, 2_000 * MS, []).passed


def test_a_trade_at_a_loss_fails() -> None:
    """Whole, and dearer than what it pays."""
    dear = pair()
    fills = tuple(replace(fill, fee=Decimal(1)) for fill in dear.fills)
    found = judges.judge_taken(replace(dear, fills=fills), 2_000 * MS, [])
    assert not found.passed
    assert "net $-1.8" in found.seen


def test_a_trade_that_the_exchange_does_not_know_fails() -> None:
    """The ledger alone proves nothing: the exchange's own record must say the same."""
    found = judges.judge_taken(pair(), 2_000 * MS, ["fills"])
    assert not found.passed
    assert "differ in fills" in found.seen


def test_a_fill_that_failed_after_all_was_none() -> None:
    """A provisional fill that the venue took back leaves the other leg alone."""
    failed = ConfirmationRecord("polymarket", "f1", "FAILED", DECIDED)
    assert not judges.is_taken(replace(pair(), confirmations=(failed,)))


# -- a book that may not be believed ------------------------------------------------------------------------


VOID = Voided("kalshi", "K", 1, BookFault.SEQUENCE, DECIDED - SECOND, DECIDED - 1, True, taken_again=True)


def test_a_book_that_was_void_and_untraded_passes() -> None:
    """An order of the moment after is none on it."""
    found = judges.judge_voided(VOID, BookFault.SEQUENCE, [pair().trade])
    assert found.passed, found
    assert "void for 999 ms, 0 orders on it, LIVE again, the gap taken then" in found.seen
    without = judges.judge_voided(replace(VOID, taken_again=None), BookFault.SEQUENCE, [])
    assert without.passed, without


@pytest.mark.parametrize(
    "changes",
    [
        {"counted": 0},
        {"fault": BookFault.NONE},
        {"fault": BookFault.CHECKSUM},
        {"first_ns": 0, "last_ns": 0},
        {"live_again": False},
        {"taken_again": False},
        {"last_ns": DECIDED},
    ],
)
def test_a_void_book_fails_by_each_of_its_facts(changes: dict[str, Any]) -> None:
    """Not counted, no fault, another fault, never seen void, not LIVE again, a gap that nobody took even
    then, or traded on meanwhile.
    """
    assert not judges.judge_voided(replace(VOID, **changes), BookFault.SEQUENCE, [pair().trade]).passed


def test_a_frozen_market_must_be_found_and_not_traded_once_it_is_old() -> None:
    """Orders count from when the book is older than allowed until it was found; before that it was young."""
    seen = Voided("kalshi", "K", 1, BookFault.WITNESS, DECIDED + SECOND, DECIDED + SECOND, live_again=True)
    old, young = DECIDED - 3 * SECOND, DECIDED - SECOND
    commits = [pair().trade]
    assert judges.judge_frozen(seen, [], old, 2 * SECOND).passed
    assert not judges.judge_frozen(seen, commits, old, 2 * SECOND).passed
    assert judges.judge_frozen(seen, commits, young, 2 * SECOND).passed
    for changes in (
        {"first_ns": 0, "last_ns": 0, "fault": BookFault.NONE},
        {"live_again": False},
        {"taken_again": False},
        {"fault": BookFault.DISCONNECTED},
        # It is old, and nobody looked.
        {"fault": BookFault.NONE},
    ):
        assert not judges.judge_frozen(replace(seen, **changes), [], old, 2 * SECOND).passed


# -- a leg alone --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("purpose", "legs"), [(Purpose.HEDGE, "10 and 10"), (Purpose.UNWIND, "0 and 0")])
def test_a_leg_that_was_completed_or_taken_back_passes(purpose: Purpose, legs: str) -> None:
    """In time, with nothing left over, and ledger and exchange of one mind."""
    found = judges.judge_mended(mended(purpose), [], [], 3 * SECOND)
    assert found.passed, found
    assert f"{purpose} after 2000 ms, legs {legs}, nothing left unhedged, cash adds up" in found.seen


def test_a_leg_that_was_not_mended_fails() -> None:
    """None alone, alone still, too late, something left, or a difference."""
    lone = pair("10", "0")
    assert judges.was_lone(lone)
    assert not judges.was_lone(pair())
    assert not judges.judge_mended(None, [], [], 3 * SECOND).passed
    assert not judges.judge_mended(lone, [], [], 3 * SECOND).passed
    assert not judges.judge_mended(mended(), [], [], SECOND).passed
    assert not judges.judge_mended(mended(), ["t"], [], 3 * SECOND).passed
    assert not judges.judge_mended(mended(), [], ["cash"], 3 * SECOND).passed


def test_ledger_and_exchange_are_compared_to_the_last_unit() -> None:
    """Fills, positions, cash: each difference is named."""
    fills = pair().fills
    venue = VenueRecord(
        {("kalshi", "K", "yes"): 1000, ("polymarket", "P", "no"): 10_000_000},
        {"kalshi": Decimal("-4.81"), "polymarket": Decimal("-5.01")},
        {},
        {"f0": "t-0", "f1": "t-1"},
    )
    assert judges.disagreements(fills, venue) == []
    assert judges.disagreements(fills[:1], venue) == ["fills", "positions", "cash"]
    dear = venue._replace(cash={**venue.cash, "kalshi": Decimal("-4.8100001")})
    assert judges.disagreements(fills, dear) == ["cash"]


# -- a worker -----------------------------------------------------------------------------------------------


BACK = Replaced(
    "kalshi", DECIDED - SECOND, DECIDED - SECOND // 2, DECIDED + SECOND, (11, 12), (3, 4), True, hung=True
)


def test_a_worker_that_is_another_one_passes() -> None:
    """New pid, next epoch, LIVE; an order on the new one's books is none on the old one's."""
    found = judges.judge_replaced(BACK, [pair(epoch=4).trade], hang=True)
    assert found.passed, found
    assert (
        "pid 11 -> 12, epoch 3 -> 4, books LIVE after 2000 ms, 0 orders on old books, the gap taken"
        in found.seen
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"pids": (11, 11)},
        {"pids": (11, 0)},
        {"epochs": (3, 3)},
        {"live_ns": 0},
        {"taken_again": False},
        {"hung": False},
    ],
)
def test_a_worker_that_is_not_replaced_fails(changes: dict[str, Any]) -> None:
    """The same process, none, the same epoch, books that stay dead, a gap that is not taken, one that
    nobody called HUNG.
    """
    assert not judges.judge_replaced(replace(BACK, **changes), [], hang=True).passed


def test_who_was_killed_need_not_be_called_hung() -> None:
    """Only a stopped worker must be."""
    assert judges.judge_replaced(replace(BACK, hung=False), [], hang=False).passed


def test_an_order_on_a_dead_workers_books_fails() -> None:
    """Decided after its beat was too old, on a book of its epoch."""
    assert not judges.judge_replaced(BACK, [pair(epoch=3).trade], hang=False).passed
    later = replace(BACK, down_ns=DECIDED + 1)
    assert judges.judge_replaced(later, [pair(epoch=3).trade], hang=False).passed


# -- the disk -----------------------------------------------------------------------------------------------


OUTAGE = Outage(
    frozenset({"a", "b"}), frozenset({"a"}), 7, "the journal cannot be written for 5.0 s", 5 * SECOND, True
)


def test_an_outage_that_sent_nothing_passes() -> None:
    """All refused, halted after its time, traded again."""
    assert judges.judge_outage(OUTAGE, 4 * SECOND).passed


@pytest.mark.parametrize(
    "changes",
    [
        {"placed": frozenset({"a", "c"})},
        {"refused": 0},
        {"halt_cause": ""},
        {"halt_cause": "lost $60 since 00:00 UTC"},
        {"halted_after_ns": SECOND},
        {"traded_again": False},
    ],
)
def test_an_outage_fails_by_each_of_its_facts(changes: dict[str, Any]) -> None:
    """An order nobody committed, nothing refused, no halt, another one, one too soon, no trade after it."""
    assert not judges.judge_outage(replace(OUTAGE, **changes), 4 * SECOND).passed


# -- what it says -------------------------------------------------------------------------------------------


def test_each_item_has_a_guard_of_its_own() -> None:
    """So that a run without it shows that the item would notice."""
    assert tuple(item.guard for item in ITEMS) == GUARDS
    assert len({item.name for item in ITEMS}) == len(ITEMS)
    assert len({item.play for item in ITEMS}) == len(ITEMS)


def test_only_items_that_there_are() -> None:
    """An item that is not there is a usage error that names those that are."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    selftest.add_arguments(parser)
    assert parser.parse_args(["--only", "gap", "--only", "disk"]).only == ["gap", "disk"]
    with pytest.raises(argparse.ArgumentError, match="frozen"):
        parser.parse_args(["--only", "weather"])


def test_results_are_told_to_people_and_to_programs() -> None:
    """A line each with pass or fail, seconds and what was seen; and one object with the same."""
    good = selftest.Result(ITEMS[0], True, 1.234, "seen this")
    bad = selftest.Result(ITEMS[1], False, 8.0, "seen that")
    assert selftest.line(good).split() == "pass a planted arbitrage is taken 1.23 s seen this".split()
    assert selftest.line(bad).startswith("FAIL")
    long = selftest.Result(ITEMS[0], True, 1.0, "seen " * 40)
    rows = selftest.line(long, 80).splitlines()
    assert len(rows) > 2
    assert max(map(len, rows)) < 80
    assert "\n" not in selftest.line(long)
    told = selftest.report([good, bad], 9.87, passed=False, root=Path("folder"))
    assert told == {
        "passed": False,
        "seconds": 9.9,
        "items": [
            {"name": "arbitrage", "passed": True, "seconds": 1.23, "seen": "seen this"},
            {"name": "gap", "passed": False, "seconds": 8.0, "seen": "seen that"},
        ],
        "kept": "folder",
    }
