"""The journal's proof: what a seeded run traded, checked from what it journalled and from nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from typing import NamedTuple

import pytest

from pipeline.cli.common import SCRIPT
from pipeline.config import RiskConfig, ScannerConfig
from pipeline.decision_log import read_decisions
from pipeline.edge import EdgeLeg, evaluate
from pipeline.journal_reader import open_readonly
from pipeline.journal_records import IntentRecord, TradeRecord
from pipeline.model import Action, Reason
from pipeline.money import to_decimal
from tests.support.planted import DOLLAR, PlantLeg

pytestmark = pytest.mark.e2e
SECONDS, SEED = 14, 7
PATIENCE_SECONDS = 120.0
MILLISECOND_NS = 1_000_000


class Told(NamedTuple):
    """What a run left behind."""

    trades: list[TradeRecord]
    decisions: list[dict[str, object]]
    problems: list[str]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One run on simulated venues, over by now."""
    data = tmp_path_factory.mktemp("data")
    words = [
        "up",
        "--no-dashboard",
        "--for",
        str(SECONDS),
        "--seed",
        str(SEED),
        "--json",
        "--data",
        str(data),
    ]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["trades"] > 0
    journal = open_readonly(data / "ledger.sqlite")
    try:
        return Told(
            journal.trades(),
            read_decisions(data / "decisions.sqlite", last=1_000_000),
            journal.verify(),
        )
    finally:
        journal.close()


def test_the_run_traded(told: Told) -> None:
    """There is something to check, several events of it, and the journal is whole."""
    assert told.problems == []
    assert len(told.trades) >= 3
    assert len({trade.event_id for trade in told.trades}) >= 2


def test_every_book_was_live(told: Told) -> None:
    """No trade was ever decided on a book that was not LIVE."""
    assert {intent.book["state"] for trade in told.trades for intent in opening(trade)} == {"LIVE"}


def test_no_book_was_too_old(told: Told) -> None:
    """At the decision each book's last message was no older than the limit, to the nanosecond."""
    limit_ns = RiskConfig().max_book_age_ms * MILLISECOND_NS
    for trade in told.trades:
        for intent in opening(trade):
            assert 0 <= trade.decided_ns - intent.book["socket_ns"] <= limit_ns, (trade.trade_id, intent)


def test_no_opportunity_came_of_an_older_book(told: Told) -> None:
    """Of all opportunities that were decided on, refused ones too, none was found on an older book."""
    limit_ns = RiskConfig().max_book_age_ms * MILLISECOND_NS
    assert told.decisions
    for row in told.decisions:
        # The scanner takes the time at the begin of its turn, so a book may even be younger than that.
        assert row["scan_ns"] - row["socket_ns"] <= limit_ns, row
        assert row["socket_ns"] < row["send_ns"], row


def test_the_books_were_of_one_moment(told: Told) -> None:
    """The books of a trade were heard within the allowed skew of each other."""
    limit_ns = RiskConfig().max_leg_skew_ms * MILLISECOND_NS
    for trade in told.trades:
        heard = [intent.book["socket_ns"] for intent in opening(trade)]
        assert max(heard) - min(heard) <= limit_ns, trade.trade_id


def test_the_program_finds_the_same_net_again(told: Told) -> None:
    """From the journalled ladders and fee schedules alone the edge of that size is the one journalled."""
    for trade in told.trades:
        legs = [edge_leg(intent) for intent in opening(trade)]
        edge = evaluate(legs, Decimal(trade.edge["payoff"]), max_size_units=trade.edge["size_units"])
        assert edge is not None
        assert (edge.size_units, edge.size_decimals) == (
            trade.edge["size_units"],
            trade.edge["size_decimals"],
        )
        for name in ("net", "net_low", "gross", "depth", "cash"):
            assert getattr(edge, name) == Decimal(trade.edge[name]), (trade.trade_id, name)
        assert edge.net_low > 0
        assert [leg.limit_ticks for leg in edge.legs] == [i.order.limit_ticks for i in opening(trade)]


def opening(trade: TradeRecord) -> list[IntentRecord]:
    """The orders that opened a trade; those that mended it later have no edge."""
    return [intent for intent in trade.intents if intent.purpose in {"open", "close"}]


def edge_leg(intent: IntentRecord) -> EdgeLeg:
    """A journalled leg, in which the only size allowed is that of its order."""
    leg = intent.order
    return EdgeLeg(
        ladder_of(intent),
        leg.scale,
        intent.fee,
        leg.action,
        leg.outcome,
        lot_units=leg.size_units,
        min_units=leg.size_units,
    )


def ladder_of(intent: IntentRecord) -> tuple[tuple[int, int], ...]:
    """The side of the book that was hit."""
    return tuple(
        (ticks, units) for ticks, units in intent.book["asks" if intent.order.takes_asks else "bids"]
    )


def test_other_arithmetic_finds_the_same_net(told: Told) -> None:
    """The tests' own whole-number arithmetic comes to the journalled net too, to the last digit."""
    for trade in told.trades:
        size = to_decimal(trade.edge["size_units"], trade.edge["size_decimals"])
        left = int((Decimal(trade.edge["payoff"]) * size).scaleb(18))
        for intent in opening(trade):
            leg = plant_leg(intent)
            left -= leg.paid(leg.fills(intent.order.size_units))
        assert Decimal(left) / DOLLAR == Decimal(trade.edge["net"]), trade.trade_id


def plant_leg(intent: IntentRecord) -> PlantLeg:
    """A journalled leg for the tests' arithmetic, in prices of the outcome that is traded."""
    leg, one = intent.order, 10**intent.order.scale.price_decimals
    costs = tuple((one - t if leg.outcome == "no" else t, units) for t, units in ladder_of(intent))
    names = leg.venue, leg.market, intent.polarity, leg.action, leg.outcome
    return PlantLeg(*names, leg.scale, 0, 0, 0, 0, intent.fee, costs, 0)


def test_both_legs_have_the_same_size(told: Told) -> None:
    """All orders of a trade are for the same quantity, that of its edge."""
    for trade in told.trades:
        size = to_decimal(trade.edge["size_units"], trade.edge["size_decimals"])
        for intent in opening(trade):
            assert to_decimal(intent.order.size_units, intent.order.scale.size_decimals) == size


def test_nothing_expired_was_traded(told: Told) -> None:
    """Each trade was decided within the life of its opportunity; what came late made no trade."""
    life_ns = ScannerConfig().opportunity_ttl_ms * MILLISECOND_NS
    of = {(row["event_id"], row["decide_ns"]): row for row in told.decisions}
    late = {key for key, row in of.items() if row["reason"] == Reason.EXPIRED}
    for trade in told.trades:
        key = trade.event_id, trade.decided_ns
        assert key not in late
        row = of[key]
        assert row["action"] in {Action.EXECUTED, Action.UNHEDGED, Action.REJECTED}
        assert row["send_ns"] < row["receive_ns"] <= row["decide_ns"] <= row["send_ns"] + life_ns
