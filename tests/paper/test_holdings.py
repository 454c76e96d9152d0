"""Holdings: the exchange says of an account what all of its fills come to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.clock import ManualClock
from pipeline.paper.orders import Fill, FillState, PaperOrder, Status, order_of
from pipeline.paper.store import PaperStore, StoreError
from pipeline.wire import PLACES_A_QUESTION, AskHoldings, HoldingsReport
from tests.support.paper_world import ACCOUNT, NO, YES, PaperWorld, place_of

BOOT = "ab"
PLACES = [("kalshi", "K", "yes"), ("polymarket", "P", "no")]
HOUR_NS = 3_600 * 10**9


class Wall:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.ns = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "paper.sqlite"


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def store(path, wall) -> Iterator[PaperStore]:
    made = PaperStore.open(path, BOOT, wall_ns=wall)
    yield made
    made.close()


def filled(serial: int, leg=YES, units: int = 0, state: FillState = FillState.FINAL) -> PaperOrder:
    """An order with one fill."""
    order = order_of(place_of(leg, f"t-{serial}"), serial, 5, BOOT)
    order.status, order.booking = Status.FILLED, 1
    size = units or leg.size_units
    order.fills.append(Fill(order.next_fill_id(), leg.limit_ticks, size, Decimal(0), 7, False, "", state, 9))
    order.unsaved.add(0)
    return order


def test_holdings_follow_every_fill(store, wall) -> None:
    """They are bought less sold of fills that did not fail, however often one is saved, by account."""
    born, fills, amounts = store.holdings(ACCOUNT, PLACES)
    assert (born, fills, amounts) == (wall.ns, 0, {})
    provisional = filled(2, NO, state=FillState.PROVISIONAL)
    store.save([filled(1), provisional])
    assert store.holdings(ACCOUNT, PLACES)[1:] == (2, {PLACES[0]: Decimal(10), PLACES[1]: Decimal(10)})
    provisional.unsaved.add(0)
    store.save([provisional])
    assert store.holdings(ACCOUNT, PLACES).fills == 2
    provisional.fills[0].state = FillState.FAILED
    provisional.unsaved.add(0)
    store.save([provisional])
    assert store.holdings(ACCOUNT, PLACES)[1:] == (1, {PLACES[0]: Decimal(10), PLACES[1]: Decimal(0)})
    failed_at_once = filled(3, NO, state=FillState.FAILED)
    store.save([failed_at_once])
    assert store.holdings(ACCOUNT, PLACES).fills == 1
    assert store.holdings("another", PLACES)[1:] == (0, {})


def test_what_is_pruned_still_counts(store, wall, monkeypatch) -> None:
    """Orders that are old go; what they brought stays."""
    monkeypatch.setattr("pipeline.paper.store.KEPT_ORDERS", 1)
    store.save([filled(serial) for serial in range(1, 5)])
    wall.ns += 8 * 24 * HOUR_NS
    assert store.prune() == 3
    assert store.holdings(ACCOUNT, PLACES)[1:] == (4, {PLACES[0]: Decimal(40)})


def test_a_record_of_version_1_is_added_up_once(path, wall) -> None:
    """An older record gets the sums of what it holds, and says that it began before its first order."""
    with closing(PaperStore.open(path, BOOT, wall_ns=wall)) as store:
        store.save([filled(1), filled(2, NO, state=FillState.FAILED), filled(3, YES, 500)])
    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE about; DROP TABLE holdings; PRAGMA user_version=1;")
    for _ in range(2):
        with closing(PaperStore.open(path, BOOT, wall_ns=wall)) as store:
            assert store.holdings(ACCOUNT, PLACES) == (
                wall.ns - HOUR_NS,
                2,
                {PLACES[0]: Decimal(15)},
            )
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=9")
    with pytest.raises(StoreError, match="another program or version"):
        PaperStore.open(path, BOOT, wall_ns=wall)


def test_the_exchange_answers_for_what_it_has_on_record(tmp_path) -> None:
    """A trader's line gets amounts and the number of fills; a question for too many places is refused."""
    world = PaperWorld(tmp_path, ManualClock())
    try:
        world.start()
        line = world.line()
        world.connect(line)
        world.shows("kalshi", (), ((480_000, 5000),))
        raw = world.raw()
        world.send(raw, place_of(YES, "h-0"))
        world.until(lambda: world.record().positions)
        asked = line.ask_holdings(7, [*PLACES, *((f"v{n}", "m", "yes") for n in range(PLACES_A_QUESTION))], 0)
        found = []

        def heard() -> bool:
            line.poll(world.clock.monotonic_ns())
            found.extend(line.holdings())
            return len(found) == asked

        world.until(heard)
        assert asked == 2 and {(each.look, each.fills) for each in found} == {(7, 1)}
        assert [each.amounts for each in found if each.amounts] == [{PLACES[0]: Decimal(10)}]
        refused = world.counters()["frames_refused"]
        world.send(raw, AskHoldings(ACCOUNT, 1, tuple(PLACES * 9), 0))
        world.until(lambda: world.counters()["frames_refused"] > refused)
    finally:
        world.close()


def test_the_largest_answer_fits_into_a_frame(tmp_path) -> None:
    """So many places with the longest names that there are can be answered at once."""
    world = PaperWorld(tmp_path, ManualClock())
    try:
        held = tuple(("v" * 32, f"{n:096}", "outcome" * 2, "-" + "9" * 40) for n in range(PLACES_A_QUESTION))
        frame = world.sealer.seal(HoldingsReport("a" * 64, 2**62, 2**62, 2**62, held))
        answer = world.sealer.open_answer(frame)
        assert isinstance(answer, HoldingsReport) and answer.held == held
    finally:
        world.close()
