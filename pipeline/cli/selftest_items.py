"""Selftest items: eight faults, one after the other, each done to a running demo and then judged.

In: a run. Out: what each came to. Each item leaves the run as it found it: what it ordered is taken back,
and the next waits until everything is LIVE again. What must be seen is in `selftest_judges`. Each names the
guard (pipeline/guards.py) without which it must fail.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from pipeline.cli import selftest_judges as judges
from pipeline.cli.selftest_judges import Judged, Outage, Replaced, Voided
from pipeline.cli.selftest_run import DemoRun, MissedError
from pipeline.config import EventConfig
from pipeline.journal_records import TradeParts
from pipeline.lab.scenario import DIVERGE, PAPER, Step
from pipeline.model import BookFault, BookState, WorkerState
from pipeline.trader.triggers import JOURNAL_NS

MS_NS = 1_000_000
SECOND_NS = 1_000_000_000
CENTS = 8
"""A gap that leaves about four cents after the dearest fees."""
KRAKEN_MARKET = "BTC/USD"
REPAIR_SECONDS = 8.0
"""A request a second, three of them, then another connection."""
WITNESS_SECONDS = 20.0
LONE_SECONDS = 12.0
GAP_SECONDS = 18.0
"""A gap that stands until another order ends it, longer than any item waits for it to be taken."""
TAKEN_SECONDS = 6.0
HALT_SECONDS = 12.0
BEAT_NS = 50 * MS_NS
"""How old a beat may be when a worker is stopped."""


class Item(NamedTuple):
    """One fault: its name, the guard that meets it, what must happen in a few words, what does and judges."""

    name: str
    guard: str
    title: str
    play: Callable[[DemoRun], Judged]


def _gap(event: EventConfig, seconds: float, at_s: float = 0.0) -> Step:
    """Polymarket bids more for the event than Kalshi asks, for so long."""
    return Step(at_s, "polymarket", DIVERGE, CENTS, for_s=seconds, market=event.id)


def _market(event: EventConfig, venue: str) -> str:
    return next(leg.market for leg in event.legs if leg.venue == venue)


def _taken(run: DemoRun, event: EventConfig, since_wall_ns: int) -> TradeParts | None:
    return next((parts for parts in run.trades(since_wall_ns, event.id) if judges.is_taken(parts)), None)


def _take(run: DemoRun, event: EventConfig, since_wall_ns: int) -> TradeParts | None:
    """Wait until the gap of an event is taken, then end it and its orders; None if it never was."""
    found = run.never(lambda: _taken(run, event, since_wall_ns), TAKEN_SECONDS)
    run.order()
    run.never(lambda: not run.open_orders(), TAKEN_SECONDS)
    return found


def arbitrage(run: DemoRun) -> Judged:
    """Two venues disagree on an event, until that is taken."""
    event, since = run.event(), run.clock.wall_ns()
    run.order(_gap(event, GAP_SECONDS))
    found = _take(run, event, since)
    tried = run.trades(since, event.id)
    differing: list[str] = []

    def agree() -> bool:
        differing[:] = judges.disagreements(run.fills(), run.exchange())
        return not differing

    run.never(agree, TAKEN_SECONDS)
    max_age_ns = run.config.risk.max_book_age_ms * MS_NS
    return judges.judge_taken(found or (tried[0] if tried else None), max_age_ns, differing)


class _Watched(NamedTuple):
    """The fault that a book showed when it was first seen not LIVE, when it was first and last, 0 for never,
    and whether it was LIVE again.
    """

    fault: BookFault
    first_ns: int
    last_ns: int
    live_again: bool


def _watch(run: DemoRun, venue: str, market: str, seconds: float) -> _Watched:
    """Wait until a book is not LIVE, and until it is LIVE again."""

    def down() -> int:
        return 0 if run.state(venue, market) is BookState.LIVE else run.clock.monotonic_ns()

    first_ns = last_ns = run.never(down, seconds) or 0
    # Later ones come from its repair: an unsubscription voids too.
    fault = _fault(run, venue, market)
    while first_ns and (now := down()):
        last_ns = now
        if now - first_ns > REPAIR_SECONDS * SECOND_NS:
            return _Watched(fault, first_ns, last_ns, live_again=False)
        run.clock.sleep(0.002)
    return _Watched(fault, first_ns, last_ns, live_again=bool(first_ns))


def _fault(run: DemoRun, venue: str, market: str) -> BookFault:
    """The fault that a book shows: why it is not LIVE, or was not until its last snapshot."""
    look = run.look(venue, market)
    return BookFault(look.book.reason) if look is not None else BookFault.NONE


def _void(run: DemoRun, venue: str, market: str, counter: str, *steps: Step) -> Voided:
    """Do this to a venue's line, and see what becomes of the book until it was sent again, which the venue
    delays.
    """
    counted = run.count(f"feed-{venue}", counter)
    run.order(Step(0, venue, "mute", for_s=0.8), *steps)
    seen = _watch(run, venue, market, 4.0)
    return Voided(venue, market, run.count(f"feed-{venue}", counter) - counted, *seen)


def gap(run: DemoRun) -> Judged:
    """Kalshi loses a message; while its books are unknown the event diverges."""
    event, since, since_ns = run.event(), run.clock.wall_ns(), run.clock.monotonic_ns()
    lost = Step(0, "kalshi", "drop", times=1)
    diverges = _gap(event, GAP_SECONDS, at_s=0.3)
    found = _void(run, "kalshi", _market(event, "kalshi"), "gaps", lost, diverges)
    found = replace(found, taken_again=_take(run, event, since) is not None)
    return judges.judge_voided(found, BookFault.SEQUENCE, run.commits(since_ns))


def checksum(run: DemoRun) -> Judged:
    """Kraken sends a checksum that is not the book's."""
    since_ns = run.clock.monotonic_ns()
    wrong = Step(0, "kraken", "checksum", times=1, market=KRAKEN_MARKET)
    found = _void(run, "kraken", KRAKEN_MARKET, "checksums_bad", wrong)
    return judges.judge_voided(found, BookFault.CHECKSUM, run.commits(since_ns))


def frozen(run: DemoRun) -> Judged:
    """Kalshi sends nothing more of one market, whose book by REST moves on; then the other venue moves."""
    event, max_age_ns = run.event(), run.config.risk.max_book_age_ms * MS_NS
    market, later_s = _market(event, "kalshi"), max_age_ns / SECOND_NS + 0.5
    run.order(Step(0, "kalshi", "freeze", market=market), _gap(event, GAP_SECONDS, at_s=later_s))
    frozen_ns = run.clock.monotonic_ns()

    def found() -> int:
        # A book that is only old is not traded; it is found when REST has shown that it is wrong.
        is_void = run.state("kalshi", market) is not BookState.LIVE
        return run.clock.monotonic_ns() if is_void else 0

    first_ns = run.never(found, WITNESS_SECONDS) or 0
    fault, last_ns = _fault(run, "kalshi", market), first_ns and run.clock.monotonic_ns()
    since = run.clock.wall_ns()
    run.order(_gap(event, GAP_SECONDS))
    again = bool(run.never(lambda: run.state("kalshi", market) is BookState.LIVE, 10.0))
    taken = _take(run, event, since) is not None
    seen = Voided("kalshi", market, 1, fault, first_ns, last_ns, again, taken)
    return judges.judge_frozen(seen, run.commits(frozen_ns), frozen_ns, max_age_ns)


def one_leg(run: DemoRun) -> Judged:
    """Half of all orders find nothing, until of a trade one leg alone was filled."""
    event, since = run.event(), run.clock.wall_ns()
    fails = Step(0, PAPER, "leg_failure", 50)
    run.order(fails)
    run.wait("the paper exchange to fail orders", lambda: _paper_has(run, "50"))
    run.order(fails, _gap(event, LONE_SECONDS))

    def lone() -> TradeParts | None:
        return next((parts for parts in run.trades(since) if judges.was_lone(parts)), None)

    found = run.never(lone, LONE_SECONDS)
    run.order()
    uneven: list[str] = []
    differing = ["open orders"]

    def settled() -> bool:
        trades = run.trades(since)
        dust = float(run.config.risk.max_dust_usd)
        uneven[:] = [
            parts.trade.trade_id
            for parts in trades
            if abs(judges.held(parts)[0] - judges.held(parts)[1]) > dust or not judges.is_over(parts)
        ]
        differing[:] = judges.disagreements(run.fills(), run.exchange())
        return not uneven and not differing

    run.never(settled, LONE_SECONDS)
    if found is not None:
        name = found.trade.trade_id
        found = next(parts for parts in run.trades(since) if parts.trade.trade_id == name)
    run.wait("the paper exchange to fill orders again", lambda: _paper_has(run, "0"))
    return judges.judge_mended(found, uneven, differing, round(run.config.trader.hedge_seconds * SECOND_NS))


def _paper_has(run: DemoRun, percent: str) -> bool:
    """Whether the exchange acts on this share of failing orders."""
    view, config = run.view("paper"), run.config
    acts_on = view.header.config_version if view is not None else 0
    return config.trader.paper_leg_failure_pct == percent and acts_on == config.version


def _replaced(run: DemoRun, signal_name: str, seconds: float, *, hang: bool) -> Judged:
    """Send Kalshi's feed a signal, have an event of it diverge, and see what comes in its place. A process
    that ended or was stopped writes nothing more: what it left is believed until its beat is too old.
    """
    event, since, since_ns = run.event(), run.clock.wall_ns(), run.clock.monotonic_ns()
    limit_ns = run.config.scanner.heartbeat_ms * MS_NS
    venue, name = "kalshi", "feed-kalshi"
    before, view = run.workers()[name], run.view(name)
    epoch = view.header.epoch if view is not None else 0
    kills = run.count("supervisor", "kills")
    run.order(_gap(event, GAP_SECONDS, at_s=(limit_ns + BEAT_NS) / SECOND_NS))
    run.command("kill", worker=name, signal=signal_name)
    fault_ns = run.clock.monotonic_ns()
    hung = False

    def back() -> bool:
        nonlocal hung
        row, now = run.workers()[name], run.view(name)
        hung = hung or row.state == WorkerState.HUNG or run.count("supervisor", "kills") > kills
        is_new = now is not None and row.pid == now.header.pid != before.pid
        return is_new and row.state == WorkerState.RUNNING and not run.not_live(venue)

    live = run.never(back, seconds)
    live_ns = run.clock.monotonic_ns() if live else 0
    after, last = run.workers()[name], run.view(name)
    found = Replaced(
        venue,
        fault_ns,
        fault_ns + limit_ns,
        live_ns,
        (before.pid, after.pid),
        (epoch, last.header.epoch if last is not None else 0),
        _take(run, event, since) is not None,
        hung,
    )
    return judges.judge_replaced(found, run.commits(since_ns), hang=hang)


def killed(run: DemoRun) -> Judged:
    """A feed is killed."""
    return _replaced(run, "KILL", 8.0, hang=False)


def stopped(run: DemoRun) -> Judged:
    """A feed is stopped."""
    return _replaced(run, "STOP", 10.0, hang=True)


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """Let no write of a process to any file succeed, as on a full disk. Any user may do that to their own."""
    _, most = limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def disk(run: DemoRun) -> Judged:
    """The trader's disk is full while an event diverges; then there is room, and a person resumes."""
    event = run.event()
    refused = run.count("trader", "rejected.journal")
    failures = run.count("trader", "journal_failures")
    with full_disk(run.workers()["trader"].pid):
        run.order(_gap(event, HALT_SECONDS))
        failed = run.never(lambda: run.count("trader", "journal_failures") > failures, 4.0)
        failed_ns = run.clock.monotonic_ns()
        committed = run.committed()
        cause = (run.never(lambda: _halt_cause(run), HALT_SECONDS) or "") if failed else ""
        halted_ns = run.clock.monotonic_ns()
        placed = frozenset(run.exchange().bookings)
        refused = run.count("trader", "rejected.journal") - refused
    again = bool(cause) and _trades_again(run)
    # What could not be written while the disk was full may not have been sent either: so look once more.
    placed |= frozenset(run.exchange().bookings) - run.committed()
    found = Outage(committed, placed, refused, cause, halted_ns - failed_ns, again)
    return judges.judge_outage(found, JOURNAL_NS - SECOND_NS)


def _halt_cause(run: DemoRun) -> str:
    row = run.summary()
    return row.halt_cause if row is not None and row.halted else ""


def _trades_again(run: DemoRun) -> bool:
    """Whether it can be resumed, and then takes another gap."""
    try:
        run.wait("the HALT file", run.halt)
        run.command("resume")
        run.ready()
        event, since = run.event(), run.clock.wall_ns()
        run.order(_gap(event, GAP_SECONDS))
        return _take(run, event, since) is not None
    except MissedError:
        return False


ITEMS = (
    Item("arbitrage", "offer", "a planted arbitrage is taken", arbitrage),
    Item("gap", "sequence", "a sequence gap voids the book", gap),
    Item("checksum", "checksum", "a wrong checksum voids the book", checksum),
    Item("frozen", "freshness", "a frozen market is found", frozen),
    Item("one-leg", "repair", "a leg filled alone is mended", one_leg),
    Item("killed", "death", "a killed worker is back", killed),
    Item("stopped", "hang", "a stopped worker is replaced", stopped),
    Item("disk", "journal", "a full disk stops orders", disk),
)
"""In the order in which they are played."""
