"""Faults B11 to B20: what a hostile venue does to the data, against the real feed (docs/FAULTS.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psutil
import pytest

from pipeline.clock import SystemClock
from pipeline.config import ScannerConfig
from pipeline.lab.faults import Fault
from pipeline.model import BookFault, BookState, ConnectionState
from tests.support.hostile import SECOND_NS, VENUES, World, worlds

MIB = 1 << 20
HOUR = 3600.0
Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes worlds of one lab."""
    with worlds(tmp_path) as maker:
        yield maker


def hit_once(world: World, fault: Fault) -> None:
    """Play until a fault has acted once, while the venue hears no request to repair what it did."""
    world.lab.faults(fault, Fault(world.venue, "mute"))
    for _ in range(400):
        if world.lab.acted(fault.kind):
            break
        world.play(2)
    assert world.lab.acted(fault.kind)
    world.drain()


# -- B11, B12: what cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("kind", ["cut", "spoil"])
def test_b11_a_frame_that_cannot_be_read_costs_the_book(make: Make, venue: str, kind: str) -> None:
    """B11: text cut off or with other bytes in it: counted, its books unknown until they are sent anew."""
    world = make(venue)
    hit_once(world, Fault(venue, kind, what="change", times=1))
    assert world.counter("bad_frames") + world.counter("gaps") + world.counter("checksums_bad") >= 1
    assert not world.wrong()
    assert not world.all_live()
    world.heal()
    assert not world.wrong()
    assert not world.counter("reconnects")


@pytest.mark.parametrize("venue", VENUES)
def test_b11_rubbish_for_a_while_never_makes_a_wrong_book(make: Make, venue: str) -> None:
    """B11: a third of all books unreadable: no book is LIVE and wrong, and all are right afterwards."""
    world = make(venue)
    world.lab.faults(Fault(venue, "cut", chance=0.3))
    for _ in range(15):
        world.play(6)
        assert not world.wrong()
    assert world.counter("bad_frames") >= 1
    world.heal()
    assert not world.wrong()


IMPOSSIBLE = [
    ("kalshi", "size NaN"),
    ("kalshi", "size -99999999.00"),
    ("kalshi", "price 1.5000"),
    ("polymarket", "price NaN"),
    ("polymarket", "price 2"),
    ("polymarket", "size -5"),
    ("kraken", "price NaN"),
    ("kraken", "price 1e999"),
    ("kraken", "size -1"),
    ("coinbase", "price Infinity"),
    ("coinbase", "price 0"),
    ("coinbase", "size 1e30"),
]


@pytest.mark.parametrize(("venue", "word"), IMPOSSIBLE)
def test_b12_a_number_that_cannot_be_costs_the_book(make: Make, venue: str, word: str) -> None:
    """B12: not finite, negative, above 1, off the scale: refused, the book unknown, never in a row."""
    world = make(venue)
    hit_once(world, Fault(venue, "value", what="change", times=1, text=word))
    assert not world.all_live()
    assert world.faults_of_books() <= {BookFault.BAD_FRAME, BookFault.IMPOSSIBLE, BookFault.SEQUENCE}
    assert world.counter("bad_frames") + world.counter("desyncs") == 1
    assert not world.wrong()
    world.heal()
    assert not world.wrong()


# -- B13: impossible books --------------------------------------------------------------------------

CROSSING = [("kalshi", "price 0.9900"), ("polymarket", "price 0.99"), ("coinbase", "price 9999999.00")]


@pytest.mark.parametrize(("venue", "word"), CROSSING)
def test_b13_a_crossed_book_is_never_live(make: Make, venue: str, word: str) -> None:
    """B13: a first book whose bid is above its ask is not LIVE, and is asked for again until it is right."""
    world = make(venue, live=False)
    world.lab.faults(Fault(venue, "value", what="snapshot", times=1, text=word))
    world.lab.step(1)
    world.until(lambda: world.counter("book_messages"), "first books")
    world.drain()
    crossed = [market for market, state in world.states().items() if state is not BookState.LIVE]
    assert crossed
    assert not world.wrong()
    world.until(lambda: world.play(20) or world.all_live(), "LIVE again", also=lambda: assert_right(world))
    world.heal()
    assert not world.wrong()


def assert_right(world: World) -> None:
    """No book is LIVE and wrong."""
    wrong = world.wrong()
    assert not wrong, f"{wrong}; {world.report()}"


def test_b13_an_empty_side_is_shown_as_empty(make: Make) -> None:
    """B13: a market whose orders are all gone has an empty book; nothing of the old one remains."""
    world = make("kalshi")
    event = min(world.lab.model.live, key=lambda e: e.close_ms)
    world.lab.call(lambda: world.lab.model.skip(event.close_ms - world.lab.model.time.wall_ms))
    world.play(2)
    look = world.look(event.ticker)
    assert look is not None
    assert (look.book.bids, look.book.asks) == ((), ())
    assert not world.wrong()


# -- B14: order -------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["kalshi", "coinbase"])
@pytest.mark.parametrize(("kind", "number"), [("drop", 1), ("jump", 3), ("jump", -2), ("delay", 2)])
def test_b14_numbers_out_of_order_cost_every_book_of_theirs(
    make: Make, venue: str, kind: str, number: int
) -> None:
    """B14: a gap, a jump either way, an exchange: no book of that count is LIVE until it is sent anew."""
    world = make(venue)
    hit_once(world, Fault(venue, kind, what="change", times=1, number=number))
    world.play(60)
    assert world.counter("gaps") >= 1
    assert world.none_live()
    assert BookFault.SEQUENCE in world.faults_of_books()
    world.heal()
    assert not world.wrong()
    assert not world.counter("reconnects")


@pytest.mark.parametrize("venue", VENUES)
def test_b14_a_duplicate_costs_nothing(make: Make, venue: str) -> None:
    """B14: every frame twice: all books stay LIVE and right, after every step."""
    world = make(venue)
    world.lab.faults(Fault(venue, "duplicate", what="any"))
    for _ in range(25):
        world.play(4)
        assert world.all_live(), world.report()
        assert not world.wrong()
    assert world.lab.acted("duplicate") > 5
    assert not world.counter("gaps") + world.counter("checksums_bad") + world.counter("resyncs")


@pytest.mark.parametrize("venue", ["kraken", "polymarket"])
@pytest.mark.parametrize("kind", ["drop", "delay", "repeat"])
def test_b14_without_numbers_a_loss_shows_in_the_book(make: Make, venue: str, kind: str) -> None:
    """B14: Kraken's checksums and times and Polymarket's best prices find what is lost or out of order."""
    world = make(venue)
    world.lab.faults(Fault(venue, kind, what="change", chance=0.3, number=3))
    world.play(200)
    assert world.lab.acted(kind) > 5
    world.heal()
    assert not world.wrong()
    found = ("checksums_bad", "void_venue") if venue == "kraken" else ("best_mismatches",)
    assert sum(map(world.counter, found)) >= 1
    assert not world.counter("reconnects")


@pytest.mark.parametrize("venue", VENUES)
def test_b14_changes_before_the_first_book_make_no_book(make: Make, venue: str) -> None:
    """B14: a first book that comes after the changes that follow it never makes a wrong book LIVE."""
    world = make(venue, live=False)
    world.lab.faults(Fault(venue, "delay", what="snapshot", number=6, times=2))
    for _ in range(30):
        world.lab.step(3)
        world.turn(2)
    world.heal()
    assert not world.wrong()


@pytest.mark.parametrize("venue", VENUES)
def test_b14_an_old_book_does_not_replace_a_newer_one(make: Make, venue: str) -> None:
    """B14: the first book sent again later is a duplicate or a reason to ask, never the truth."""
    world = make(venue)
    world.lab.faults(Fault(venue, "repeat", what="change", chance=0.2, number=12))
    world.play(100)
    world.heal()
    assert not world.wrong()


def test_b14_a_frozen_book_is_found_by_the_witness(make: Make) -> None:
    """B14: a venue that forgets changes without a gap in its numbers: REST shows it within 30 s."""
    world = make("kalshi", witness_interval=5.0)
    frozen = world.markets[0]
    world.until(lambda: world.counter("witness_checks") >= 3, "witnessed", skip=0.1)
    assert not world.counter("witness_mismatches")
    world.lab.faults(Fault("kalshi", "freeze", market=frozen))
    world.play(200)
    assert not world.is_right(frozen)
    began = world.clock.monotonic_ns()
    wait = SystemClock().sleep  # the witness asks by HTTP, in real time
    world.until(lambda: world.counter("witness_mismatches"), "found", skip=0.02, also=lambda: wait(0.001))
    assert (world.clock.monotonic_ns() - began) / SECOND_NS < 30
    world.heal()
    assert not world.wrong()


# -- B15: checksums ---------------------------------------------------------------------------------


def test_b15_a_wrong_checksum_costs_the_book(make: Make) -> None:
    """B15: one wrong CRC32: that book is unknown, the other LIVE; asked for anew within a second."""
    world = make("kraken")
    hit_once(world, Fault("kraken", "checksum", what="change", times=1))
    assert world.faults_of_books() == {BookFault.CHECKSUM}
    assert sorted(world.states().values()) == [BookState.LIVE, BookState.GAP]
    assert world.counter("checksums_bad") == 1
    assert world.counter("resyncs") >= 1
    world.heal()
    assert not world.wrong()
    assert not world.counter("reconnects")


def test_b15_every_wrong_digit_in_the_checked_levels_is_found(make: Make) -> None:
    """B15: digits of levels change on the way: no book is LIVE with ten best levels that are not true."""
    world = make("kraken")
    world.lab.faults(Fault("kraken", "digit", chance=0.3))
    for _ in range(60):
        world.play(3)
        assert_right(world)
    assert world.counter("checksums_bad") >= 5
    world.heal()
    assert not world.wrong()


def test_b15_checksums_that_stay_wrong_end_the_line(make: Make) -> None:
    """B15: when fresh books are wrong too, they are not asked for in a storm, and the line is given up."""
    world = make("kraken")
    world.lab.faults(Fault("kraken", "checksum"))
    world.lab.step(100)
    world.until(lambda: world.counter("reconnects"), "given up", skip=0.1, also=lambda: assert_right(world))
    assert world.counter("checksums_bad") >= 3
    assert world.counter("resyncs") <= 30
    assert world.none_live()
    world.heal()
    assert not world.wrong()


# -- B16: too much ----------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["kalshi", "kraken"])
def test_b16_a_flood_is_taken_in_turns_and_costs_no_memory(make: Make, venue: str) -> None:
    """B16: 15,000 frames at once: the heart beats between turns, memory stands, the newest book is shown."""
    world = make(venue)
    before_rss, before = psutil.Process().memory_info().rss, world.counter("frames")
    world.lab.faults(Fault(venue, "flood", what="change", number=15_000, times=1))
    while not world.lab.acted("flood"):
        world.lab.step(1)
    longest_ns, clock = 0, SystemClock()
    while world.counter("frames") < before + 15_000:
        began_ns = clock.monotonic_ns()
        world.turn()
        longest_ns = max(longest_ns, clock.monotonic_ns() - began_ns)
    assert longest_ns < 2.5 * SECOND_NS  # ten times what makes a feed DEAD
    assert psutil.Process().memory_info().rss - before_rss < 50 * MIB
    world.drain()
    assert world.all_live()
    assert not world.wrong()
    assert not world.counter("reconnects")


# -- B17, B18, B19: time ----------------------------------------------------------------------------


@pytest.mark.parametrize("venue", VENUES)
def test_b17_a_venues_clock_is_for_show(make: Make, venue: str) -> None:
    """B17: stamps an hour off, either way: every book LIVE, right and as tradable as before.

    Only Kraken's times can say that updates were exchanged: a clock set back costs each book one request.
    """
    world = make(venue)
    world.until(lambda: all(map(world.tradable, world.markets)), "tradable")
    for seconds in (HOUR, -HOUR):
        world.lab.faults(Fault(venue, "skew", seconds=seconds))
        if venue == "kraken" and seconds < 0:
            world.play(100)
            world.until(world.all_live, "asked for once")
        for _ in range(5):
            world.play(10)
            assert world.all_live(), world.report()
            assert not world.wrong()
    assert all(map(world.tradable, world.markets))
    assert world.counter("resyncs") <= (2 if venue == "kraken" else 0)
    assert not world.counter("reconnects")


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_b18_a_jump_of_the_wall_clock_changes_no_age(make: Make, seconds: float) -> None:
    """B18: our clock set an hour forth or back: nothing turns stale, and what is stale is still seen."""
    world = make(
        "polymarket", heartbeat_interval=1.0, timeout=5.0, scanner=ScannerConfig(heartbeat_ms=20_000)
    )
    world.clock.jump_wall(seconds)
    for _ in range(10):
        world.play(5)
        world.turn(skip=0.1)
        assert world.all_live(), world.report()
        assert not world.wrong()
    assert not world.counter("reconnects") + world.counter("silences")
    world.lab.faults(Fault("polymarket", "deaf"), Fault("polymarket", "drop", what="any"))
    world.lab.step(1)
    world.clock.jump_wall(-seconds)
    world.wait(2.5, 0.125)
    assert world.none_live()


@pytest.mark.parametrize("venue", VENUES)
def test_b19_after_a_sleep_nothing_is_known(make: Make, venue: str) -> None:
    """B19: the machine slept: every book is void in the next turn, and LIVE only from a new connection."""
    world = make(venue)
    world.clock.fall_asleep(60)
    world.clock.skip(0.01)
    world.turn()
    assert world.none_live()
    assert world.faults_of_books() == {BookFault.SUSPENDED}
    world.until(world.all_live, "LIVE again", skip=0.02)
    assert len(world.lab.attempts(venue)) == 2
    assert world.counter("suspends") == 1
    assert not world.wrong()


def test_b19_a_nap_is_no_sleep(make: Make) -> None:
    """B19: a second of sleep, which a busy machine may show, voids nothing."""
    world = make("kraken")
    world.clock.fall_asleep(1)
    world.turn(5, skip=0.01)
    assert world.all_live()
    assert not world.counter("suspends")


# -- B20: markets that end or stop --------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["kalshi", "polymarket"])
def test_b20_a_decided_market_is_not_tradable_from_the_event_on(make: Make, venue: str) -> None:
    """B20: the result comes while the book stands: not tradable when the event is read, and ever after."""
    world = make(venue)
    market, *others = world.markets
    world.until(lambda: all(map(world.tradable, world.markets)), "tradable")
    world.lab.faults(Fault(venue, "result", market=market, times=1))
    world.lab.step(1)
    world.drain()
    assert not world.tradable(market)
    for _ in range(10):
        world.play(5)
        world.turn(skip=0.3)
        assert not world.tradable(market)
    assert all(map(world.tradable, others))


@pytest.mark.parametrize("venue", ["kalshi", "kraken", "coinbase"])
def test_b20_a_paused_market_is_not_tradable_until_it_goes_on(make: Make, venue: str) -> None:
    """B20: a pause of one market stops its trading at once, and its end allows it again."""
    world = make(venue)
    market, other = world.markets[0], world.markets[1]
    world.until(lambda: all(map(world.tradable, world.markets)), "tradable")
    world.lab.faults(Fault(venue, "pause", market=market, times=1))
    world.lab.step(1)
    world.drain()
    assert not world.tradable(market)
    world.play(5)
    assert not world.tradable(market)
    assert world.tradable(other)
    world.lab.faults(Fault(venue, "resume", market=market, times=1))
    world.lab.step(1)
    world.until(lambda: world.tradable(market), "tradable again")


def test_b20_an_exchange_in_maintenance_trades_nothing(make: Make) -> None:
    """B20: Kraken's status says maintenance: no market is tradable until it says online."""
    world = make("kraken")
    world.until(lambda: all(map(world.tradable, world.markets)), "tradable")
    world.lab.faults(Fault("kraken", "status", text="maintenance", times=1))
    world.lab.step(1)
    world.drain()
    assert not any(map(world.tradable, world.markets))
    world.lab.faults(Fault("kraken", "status", text="online", times=1))
    world.lab.step(1)
    world.until(lambda: all(map(world.tradable, world.markets)), "tradable again")


# -- what else the venues' pages know -------------------------------------------------------------------


@pytest.mark.parametrize("code", [10, 25])
def test_kalshi_ends_a_subscription_and_it_is_made_anew(make: Make, code: int) -> None:
    """Errors 10 and 25: every book of it void at once, subscribed to again on the same line."""
    world = make("kalshi")
    world.lab.faults(Fault("kalshi", "error", number=code, times=1), Fault("kalshi", "mute"))
    world.lab.step(1)
    world.drain()
    assert world.none_live()
    assert world.faults_of_books() == {BookFault.VENUE}
    world.heal()
    assert not world.wrong()
    assert not world.counter("reconnects")


def test_kalshi_takes_no_more_on_a_subscription(make: Make) -> None:
    """Error 26: what was refused goes to another connection, and its books are LIVE there."""
    world = make("kalshi", live=False)
    world.lab.faults(Fault("kalshi", "refuse", number=26, times=1))
    world.until(world.all_live, "LIVE", skip=0.05)
    assert world.lab.acted("refuse") == 1
    assert world.connections().count(ConnectionState.UP) >= 1
    assert len(world.lab.attempts("kalshi")) == 2
    world.heal()
    assert not world.wrong()


def test_kalshi_heard_too_many_requests(make: Make) -> None:
    """Error 27: refused for now; asked again later, on the same line, without a storm."""
    world = make("kalshi", live=False)
    world.lab.faults(Fault("kalshi", "refuse", number=27, times=1))
    world.until(world.all_live, "LIVE", skip=1.0)
    assert len(world.lab.attempts("kalshi")) == 1
    assert world.counter("refused_subscriptions") == 1


def test_coinbase_takes_no_more_products_on_a_line(make: Make) -> None:
    """More than 16 level2 products are refused: what was refused goes to another connection."""
    world = make("coinbase", live=False)
    world.lab.faults(Fault("coinbase", "refuse", times=1))
    world.until(world.all_live, "LIVE", skip=0.05)
    assert len(world.lab.attempts("coinbase")) == 2
    world.heal()
    assert not world.wrong()


def test_kraken_heard_too_many_requests(make: Make) -> None:
    """An Error without a symbol refuses what is unanswered: asked again, LIVE, on the same line."""
    world = make("kraken", live=False)
    world.lab.faults(Fault("kraken", "refuse", times=1))
    world.until(world.all_live, "LIVE", skip=1.0)
    assert len(world.lab.attempts("kraken")) == 1


def test_polymarket_sends_no_first_books(make: Make) -> None:
    """Above a number of assets no first book comes: nothing is LIVE from changes alone."""
    world = make("polymarket", live=False)
    world.lab.faults(Fault("polymarket", "no_book", number=3))
    for _ in range(20):
        world.play(5)
        world.turn(skip=0.2)
        assert world.none_live()
    assert world.counter("redrives") >= 1
    world.heal()
    assert not world.wrong()


@pytest.mark.parametrize(("venue", "step"), [("polymarket", "0.001"), ("kalshi", "0.0010")])
def test_a_new_price_grid_is_taken_over(make: Make, venue: str, step: str) -> None:
    """A grid that changes is shown with the market; Polymarket's book is void until it is sent anew."""
    world = make(venue)
    market = world.markets[0]
    world.until(lambda: world.tradable(market), "tradable")
    world.lab.faults(Fault(venue, "tick", market=market, text=step, times=1), Fault(venue, "mute"))
    world.lab.step(1)
    world.drain()
    look = world.look(market)
    assert look is not None
    assert look.market.grid_ticks == 1_000
    assert (look.state is BookState.LIVE) == (venue == "kalshi")
    world.heal()
    assert not world.wrong()


# -- everything at once -------------------------------------------------------------------------------

MIXED = ("drop", "duplicate", "delay", "repeat", "cut", "spoil", "jump", "skew")
BREAKS = ("close", "reset", "fin", "half", "deaf", "drip", "pings")


def random_faults(venue: str, random: Random) -> list[Fault]:
    """A few faults that a venue's numbers, checksums or best prices can find."""
    kinds = [*MIXED, *BREAKS, "mute"]
    kinds += ["checksum", "digit"] if venue == "kraken" else []
    kinds += ["error", "refuse"] if venue == "kalshi" else []
    found = []
    for kind in random.sample(kinds, 3):
        chance = 0.02 if kind in BREAKS or kind == "error" else random.choice([0.02, 0.1, 0.4])
        number = {"close": 1013, "error": 25, "refuse": 27, "pings": 3_000, "half": 7}.get(kind, 2)
        found.append(Fault(venue, kind, chance=chance, number=number, seconds=0.01))
    return found


def torment(world: World, seed: int, seconds: float) -> int:
    """Rounds of random faults, each healed and compared; how many rounds."""
    random, clock = Random(seed), SystemClock()
    began, rounds = clock.monotonic_ns(), 0
    while not rounds or clock.monotonic_ns() - began < seconds * SECOND_NS:
        rounds += 1
        faults = random_faults(world.venue, random)
        world.lab.faults(*faults)
        for _ in range(random.randrange(5, 15)):
            world.lab.step(random.randrange(1, 10))
            world.turn(random.randrange(1, 4), skip=random.choice([0.0, 0.02, 0.1]))
        took = world.heal()
        assert not world.wrong(), f"seed {seed}, round {rounds}, {faults}: {world.report()}"
        assert took < 50, f"seed {seed}, round {rounds}, {faults}: {took:.1f} s until all were LIVE"
    return rounds


@pytest.mark.parametrize("venue", VENUES)
def test_random_faults_never_leave_a_wrong_book(make: Make, venue: str) -> None:
    """B11-B16 mixed: after every round of trouble all books are LIVE again soon, and right."""
    assert torment(make(venue), 20, 0.3)


@pytest.mark.stress
@pytest.mark.parametrize("venue", VENUES)
def test_random_faults_for_longer(make: Make, venue: str) -> None:
    """As above for 15 s a venue, a minute in all."""
    assert torment(make(venue), 21, 15.0) > 5
