"""The exchange's record: what is saved comes back, what is old goes, what is foreign is refused."""

import sqlite3
from decimal import Decimal

import pytest

from pipeline.paper import store as stores
from pipeline.paper.orders import Fill, FillState, Status, order_of
from pipeline.paper.store import PaperStore, StoreError, venue_record
from tests.support.paper_world import ACCOUNT, COIN, NO, YES, place_of

BOOT = "ab"
DAY_NS = 86_400 * 10**9


class Wall:
    """A wall clock that a test sets."""

    def __init__(self):
        self.ns = 1_700_000_000 * 10**9

    def __call__(self):
        return self.ns


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def store(tmp_path, wall):
    store = PaperStore.open(tmp_path / "data" / "paper.sqlite", BOOT, wall_ns=wall)
    yield store
    store.close()


def an_order(serial, leg=YES, order_id="t-0", status=Status.FILLED, state=FillState.FINAL, booking=1):
    order = order_of(place_of(leg, order_id), serial, 5, BOOT)
    order.status, order.arrived_ns, order.at_ns, order.booking = status, 6, 7, booking
    if status is Status.FILLED:
        fill = Fill(order.next_fill_id(), leg.limit_ticks, leg.size_units, Decimal("0.10"), 7, False, "{}",
                    state, 99)  # fmt: skip
        order.fills.append(fill)
        order.unsaved.add(0)
    return order


def told(order):
    """Everything of an order that a record must give back."""
    names = set(order.__slots__) - {"unsaved", "stored"}
    return {name: getattr(order, name) for name in names}


def test_what_is_saved_comes_back(store):
    """An order with its fills is read as it was written, and nothing is left to save."""
    order = an_order(1, NO, state=FillState.PROVISIONAL)
    store.save([order])
    assert (order.stored, order.unsaved) == (True, set())
    (back,) = store.find(ACCOUNT, "t-0")
    assert told(back) == told(order)
    assert store.find(ACCOUNT, "t-1") == store.find("other", "t-0") == []
    assert store.next_serial() == 2


def test_a_later_save_replaces(store):
    """An order is one row: as it is now."""
    order = an_order(1, NO, state=FillState.PROVISIONAL)
    store.save([order])
    order.fills[0].state = FillState.CONFIRMED
    order.unsaved.add(0)
    order.why = "changed"
    store.save([order])
    assert [told(back) for back in store.find(ACCOUNT, "t-0")] == [told(order)]


def test_open_orders_come_with_all_of_their_id(store):
    """What has not ended, and what may still fail, with the closed orders of the same ids."""
    store.save([
        an_order(1, COIN),
        an_order(2, COIN, status=Status.ACCEPTED, booking=2),
        an_order(3, order_id="done-0"),
        an_order(4, NO, order_id="p-0", state=FillState.PROVISIONAL),
        an_order(5, order_id="way-0", status=Status.COMING),
        an_order(6, order_id="no-0", status=Status.DROPPED),
    ])  # fmt: skip
    assert [order.serial for order in store.open_orders()] == [1, 2, 4, 5]


def test_times_of_another_boot_mean_nothing(store, tmp_path, wall):
    """After a restart of the machine it is known that an order arrived, not when."""
    store.save([an_order(1, NO, state=FillState.PROVISIONAL)])
    other = PaperStore.open(tmp_path / "data" / "paper.sqlite", "cd", wall_ns=wall)
    (back,) = other.find(ACCOUNT, "t-0")
    other.close()
    assert (back.arrived_ns, back.fills[0].due_ns, back.boot) == (1, 0, BOOT)


def test_the_record_is_readable_by_its_owner_only(store):
    """Mode 0600, the side files too."""
    store.save([an_order(1)])
    files = list(store.path.parent.iterdir())
    assert len(files) == 3
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_pruning_keeps_what_is_young_open_or_among_the_newest(store, wall, monkeypatch):
    """Only what ended more than seven days ago goes, and never the newest."""
    monkeypatch.setattr(stores, "KEPT_ORDERS", 2)
    store.save([
        an_order(1, order_id="a-0"),
        an_order(2, order_id="b-0", status=Status.ACCEPTED),
        an_order(3, NO, order_id="c-0", state=FillState.PROVISIONAL),
    ])  # fmt: skip
    wall.ns += 8 * DAY_NS
    store.save([an_order(4, order_id="d-0")])
    assert store.prune() == 1
    store.save([an_order(number, order_id=f"e{number}-0") for number in (5, 6)])
    assert store.prune() == 0
    assert [bool(store.find(ACCOUNT, f"{name}-0")) for name in "abcd"] == [False, True, True, True]


def test_the_venues_own_record(store):
    """Sums of fills without the failed ones, dollars that they brought, how often each id was booked."""
    store.save([
        an_order(1, YES, "t-0"),
        an_order(2, NO, "t-1", state=FillState.FAILED),
        an_order(3, NO, "u-1", state=FillState.PROVISIONAL),
        an_order(4, COIN, "v-0"),
        an_order(5, COIN, "v-0", booking=2),
        an_order(6, YES, "w-0", status=Status.REJECTED),
        an_order(7, YES, "t-0", status=Status.DROPPED),
    ])  # fmt: skip
    record = venue_record(store.path, ACCOUNT)
    assert record.positions == {
        ("kalshi", "K", "yes"): 1000,
        ("polymarket", "P", "no"): 10_000_000,
        ("kraken", "BTC/USD", "base"): -1_000_000,
    }
    assert record.cash == {
        "kalshi": Decimal(-5),
        "polymarket": Decimal("-4.6"),
        "kraken": Decimal("999.8"),
    }
    assert record.bookings == {"t-0": 1, "t-1": 1, "u-1": 1, "v-0": 2}
    assert record.fills == {"t-0-0": "t-0", "u-1-0": "u-1", "v-0-0": "v-0", "v-0.2-0": "v-0"}


def test_a_save_is_all_or_nothing(store):
    """When one order cannot be written none is, and what was unsaved still is."""
    good, bad = an_order(1), an_order(2, order_id="bad-0")
    bad.fills[0].price_ticks = None
    with pytest.raises(StoreError, match=r"paper\.sqlite"):
        store.save([good, bad])
    assert store.find(ACCOUNT, "t-0") == []
    assert (good.stored, good.unsaved) == (False, {0})


@pytest.mark.parametrize("content", [b"not a database at all" * 40, None])
def test_what_is_not_ours_is_refused(tmp_path, wall, content):
    """Damage, or a database of something else: a sentence that says what to do."""
    path = tmp_path / "paper.sqlite"
    if content is None:
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE other (x)")
        db.commit()
        db.close()
    else:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"paper\.sqlite"):
        PaperStore.open(path, BOOT, wall_ns=wall)


def test_a_probe_sees_a_record_that_cannot_be_written(store):
    """It succeeds while a commit would, and fails while another holds the file."""
    store.probe()
    store._db.execute("PRAGMA busy_timeout=1")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.probe()
    other.execute("ROLLBACK")
    other.close()
    store.probe()
