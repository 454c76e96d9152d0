"""The paper exchange's worker: frames, the record before the report, restarts, kills, full disks."""

import json
import signal
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from pipeline.clock import ManualClock, SystemClock
from pipeline.lifecycle import CONFIG_FILE
from pipeline.paper import worker as workers
from pipeline.paper.matching import recompute
from pipeline.paper.orders import Status
from pipeline.paper.store import PAPER_FILE
from pipeline.trader.broker import OrderStatus, Style
from pipeline.wire import KEY_BYTES, AskOrders, CancelOrders, Sealer
from tests.support.paper_world import ACCOUNT, COIN, FEES, FINAL, NO, YES, PaperWorld, approved, place_of

CHILDREN = Path(__file__).with_name("children.py")
BID = replace(YES, limit_ticks=480_000)


@pytest.fixture
def world(tmp_path):
    """An exchange in this process, on a clock that the test moves, with deep books."""
    world = PaperWorld(tmp_path, ManualClock())
    deep(world)
    world.start()
    yield world
    world.close()


@pytest.fixture
def real(tmp_path):
    """A world on the real clock, whose exchange the test starts as a process."""
    world = PaperWorld(tmp_path, SystemClock())
    deep(world)
    yield world
    world.close()


def deep(world):
    world.shows("kalshi", ((470_000, 1000),), ((490_000, 5000),))
    world.shows("polymarket", ((560_000, 50_000_000),), ((580_000, 50_000_000),))
    world.shows("kraken", ((1_000_000, 10**9),), ((1_000_100, 10**9),))


def sent(world, line, *legs, trade="t", **how):
    """Send orders; their ids."""
    orders = approved(*legs, trade=trade, **how)
    line.submit(orders, world.clock.monotonic_ns())
    return [intent.order_id for intent in orders.intents]


def answer(world, line, order_id):
    """What the exchange says of an order when asked: its last status, and its fills."""
    own = [event for event in world.answers(line, [order_id]) if event.order_id == order_id]
    fills = {fill.fill_id: fill for event in own for fill in event.fills}
    return own[-1].status, list(fills.values())


def test_fills_on_record_are_those_reported(world):
    """What was told and what the venue has on record is one thing, fees recomputed from the evidence too."""
    line = world.line()
    world.connect(line)
    ids = sent(world, line, YES, NO)
    events = world.final(line, *ids)
    told = {fill.fill_id: event.order_id for event in events for fill in event.fills}
    record = world.record()
    assert record.fills == told
    assert record.bookings == dict.fromkeys(ids, 1)
    assert record.positions == {("kalshi", "K", "yes"): 1000, ("polymarket", "P", "no"): 10_000_000}
    for event in (event for event in events if event.fills):
        leg = YES if event.order_id == ids[0] else NO
        executions = recompute(leg, FEES[leg.venue], json.loads(json.dumps(event.evidence)))
        assert executions == tuple((f.price_ticks, f.size_units, f.fee) for f in event.fills)


def test_a_report_waits_for_its_commit(world):
    """While the record cannot be written nothing is said of what happened; then all of it is."""
    line = world.line()
    world.connect(line)
    ids = sent(world, line, BID, style=Style.MAKER)
    world.events(line, lambda found: any(event.order_id in ids for event in found))
    other = hold(world)
    world.shows("kalshi", (), ((475_000, 400),))
    world.until(lambda: world.counters()["store_failures"])
    for _ in range(5):
        world.turn()
    assert not any(event.fills for event in line.poll(world.clock.monotonic_ns()))
    release(other)
    events = world.events(line, lambda found: any(event.fills for event in found))
    assert sum(fill.size_units for event in events for fill in event.fills) == 400


def hold(world):
    """Another process keeps the record locked."""
    world.venue._store._db.execute("PRAGMA busy_timeout=1")
    other = sqlite3.connect(world.folder / "data" / PAPER_FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def release(other):
    other.execute("ROLLBACK")
    other.close()


def test_without_a_record_orders_are_refused_and_quotes_go_on(world):
    """New orders are refused in words, at once; a quote of before is filled and told once it is booked."""
    line = world.line()
    world.connect(line)
    (quote,) = sent(world, line, BID, trade="q", style=Style.MAKER)
    world.events(line, lambda found: any(event.order_id == quote for event in found))
    other = hold(world)
    (refused,) = sent(world, line, NO, trade="n")
    events = world.final(line, refused)
    assert [e.status for e in events if e.order_id == refused] == [OrderStatus.REJECTED]
    assert "cannot book" in events[-1].why
    world.shows("kalshi", (), ((475_000, 5000),))
    world.turn()
    release(other)
    assert world.final(line, quote)[-1].status is OrderStatus.FILLED
    (later,) = sent(world, line, NO, trade="l")
    assert world.final(line, later)[-1].status is OrderStatus.FILLED
    assert refused not in world.record().bookings


def test_what_is_not_ours_is_counted_and_dropped(world):
    """Garbage, another key, another message and nonsense change nothing; real orders go on."""
    raw = world.raw()
    forged = Sealer(Random(2).randbytes(KEY_BYTES)).seal(place_of(YES))
    nonsense = world.sealer.seal(place_of(replace(YES, outcome="maybe")))
    report = world.sealer.seal(CancelOrders(ACCOUNT, "", 0))[:-1]
    bad = [b"", b"x" * 2000, forged, nonsense, report]
    for frame in bad:
        world.until(lambda frame=frame: raw.send(frame))
    world.until(lambda: world.counters()["frames_refused"] == len(bad))
    world.send(raw, place_of(YES, sent_ns=world.clock.monotonic_ns()))
    assert world.frames(raw, 1)[0].status == Status.FILLED
    assert world.counters()["orders"] == 1


def test_a_line_counts_what_is_not_for_it(world):
    """A report of another account, or one that nobody of ours sealed, is no event."""
    line = world.line()
    world.connect(line)
    client = next(iter(world.venue._clients[ACCOUNT]))
    other = AskOrders("other", (), 0)
    foreign = world.sealer.seal(workers.messages(workers.Report("other", "t-0", None, Status.FILLED, 1))[0])
    for frame in (b"garbage", foreign, world.sealer.seal(other)):
        world.venue._server.reply(client, frame)
    world.until(lambda: line.poll(world.clock.monotonic_ns()) or line.refused == 3)
    assert line.refused == 3


def test_everybody_of_an_account_hears_what_happens(world):
    """A person's cancel-all does not take the trader's reports away."""
    line = world.line()
    world.connect(line)
    ids = sent(world, line, BID, style=Style.MAKER)
    world.events(line, lambda found: any(event.order_id in ids for event in found))
    person = world.raw()
    world.send(person, CancelOrders(ACCOUNT, "", world.clock.monotonic_ns()))
    assert world.final(line, *ids)[-1].status is OrderStatus.CANCELLED
    assert {report.order_id for report in world.frames(person, 1)} == set(ids)


def test_the_newest_clients_are_kept(world):
    """Traders come and go; who is told is bounded."""
    for number in range(workers.MAX_CLIENTS + 3):
        world.venue._heard(ACCOUNT, bytes([number]))
    for number in range(workers.MAX_ACCOUNTS + 3):
        world.venue._heard(f"a{number}", b"c")
    assert len(world.venue._clients) == workers.MAX_ACCOUNTS
    assert len(world.venue._clients[f"a{workers.MAX_ACCOUNTS + 2}"]) == 1


def test_settings_act_at_once(world):
    """A changed paper_* key counts for the next order, without a restart."""
    line = world.line()
    world.connect(line)
    assert world.final(line, *sent(world, line, YES, trade="a"))[-1].status is OrderStatus.FILLED
    world.set(paper_reject_pct="100")
    world.venue.worker.go_on()
    world.clock.advance(500_000_000)
    world.venue.worker.go_on()
    assert world.final(line, *sent(world, line, NO, trade="b"))[-1].status is OrderStatus.REJECTED


def test_a_line_knows_when_nobody_answers(world):
    """A second after an unanswered question the exchange is out of reach; heard again it is back."""
    line = world.line()
    assert not line.reachable(world.clock.monotonic_ns())
    world.connect(line)
    world.stop()
    for _ in range(2000):
        world.clock.advance(1_000_000)
        line.poll(world.clock.monotonic_ns())
    assert not line.reachable(world.clock.monotonic_ns())
    world.start()
    world.connect(line)
    assert world.final(line, *sent(world, line, NO, trade="b"))[-1].status is OrderStatus.FILLED


def test_quotes_and_orders_on_their_way_outlive_a_restart(world):
    """After a restart quotes rest on, what had not arrived arrives, what is too late does not."""
    world.set(paper_latency_ms=200, paper_latency_p95_ms=200)
    world.venue._on_config(world.config, world.config)
    line = world.line()
    world.connect(line)
    (quote,) = sent(world, line, BID, trade="q", style=Style.MAKER)
    world.events(line, lambda found: any(event.order_id == quote for event in found))
    now = world.clock.monotonic_ns()
    way = sent(world, line, NO, trade="w", deadline_ns=now + 2_000_000_000)
    late = sent(world, line, COIN, trade="l", deadline_ns=now + 300_000_000)
    end = sent(world, line, replace(BID, limit_ticks=475_000), trade="e", style=Style.MAKER,
               expires_ns=now + 250_000_000)  # fmt: skip
    world.until(lambda: world.counters()["orders"] == 4)
    world.stop()
    world.clock.advance(500_000_000)
    deep(world)
    world.start()
    # Nobody has spoken for the account since: what happens meanwhile waits until somebody does.
    events = world.final(line, *way, *late, *end)
    status = {event.order_id: event.status for event in events if event.status in FINAL}
    assert [status[each] for each in (*way, *late, *end)] == [
        OrderStatus.FILLED, OrderStatus.REJECTED, OrderStatus.REJECTED]  # fmt: skip
    assert answer(world, line, quote) == (OrderStatus.ACCEPTED, [])
    world.shows("kalshi", (), ((475_000, 5000),))
    assert world.final(line, quote)[-1].status is OrderStatus.FILLED


def test_a_restart_of_the_machine_ends_what_was_open(world):
    """Monotonic times of another boot mean nothing: what was open is ended, provisional fills decided."""
    world.set(paper_provisional_ms=60_000)
    world.venue._on_config(world.config, world.config)
    line = world.line()
    world.connect(line)
    (quote,) = sent(world, line, BID, trade="q", style=Style.MAKER)
    (match,) = sent(world, line, NO, trade="m")
    (fill,) = [fill for event in world.final(line, match) for fill in event.fills]
    assert fill.provisional
    world.stop()
    with sqlite3.connect(world.folder / "data" / PAPER_FILE) as db:
        db.execute("UPDATE orders SET boot='another'")
    db.close()
    world.start()
    events = world.events(line, lambda found: any(event.confirmed for event in found))
    assert [e.status for e in events if e.order_id == quote] == [OrderStatus.CANCELLED]
    assert [e.confirmed for e in events if e.order_id == match] == [(fill.fill_id,)]
    assert answer(world, line, match)[1] == [fill]


def test_a_kill_between_commit_and_report_loses_nothing(real):
    """The report was never sent; after the restart a question gives the fills, booked once."""
    real.start_process((sys.executable, str(CHILDREN), str(real.folder / "run" / CONFIG_FILE), "1"))
    line = real.line()
    real.connect(line)
    (order_id,) = sent(real, line, COIN)
    assert real.process.wait(60) == -signal.SIGKILL
    assert not any(event.fills for event in line.poll(real.clock.monotonic_ns()))
    on_record = real.record()
    assert on_record.bookings == {order_id: 1}
    real.start_process()
    real.connect(line)
    status, fills = answer(real, line, order_id)
    assert status is OrderStatus.FILLED
    assert {fill.fill_id: order_id for fill in fills} == on_record.fills
    assert real.record() == on_record


def test_kills_at_random_moments_lose_nothing(real):
    """However often the exchange is killed, what it told and what it has on record is one thing."""
    random, told = Random(11), {}
    line = real.line()
    orders = []
    for number in range(4):
        real.start_process()
        told |= fills_of(real.connect(line))
        for leg in range(6):
            orders += sent(real, line, replace(COIN, size_units=10_000), trade=f"k{number}x{leg}")
            until = real.clock.monotonic_ns() + random.randrange(8_000_000)
            while real.clock.monotonic_ns() < until:
                told |= fills_of(line.poll(real.clock.monotonic_ns()))
        assert real.kill_process() == -signal.SIGKILL
    real.start_process()
    told |= fills_of(real.connect(line))
    answered = {}
    for order_id in orders:
        _, fills = answer(real, line, order_id)
        answered |= {fill.fill_id: order_id for fill in fills}
    record = real.record()
    assert len(record.fills) > len(orders) // 4
    assert record.fills == answered
    assert told.keys() <= record.fills.keys()
    assert set(record.bookings.values()) == {1}
    assert set(record.bookings) <= set(orders)


def fills_of(events):
    return {fill.fill_id: event.order_id for event in events for fill in event.fills}


def test_it_ends_in_order(real):
    """Told to stop it stops, with nothing to complain of."""
    real.start_process()
    real.connect(real.line())
    assert real.kill_process(signal.SIGTERM) == 0
    assert real.errors() == []
