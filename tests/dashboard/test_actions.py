"""Actions: what is asked of the supervisor, from one picture and one target, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dashboard.actions import Action, Refused, flatten, halt, log_level, reload, replay, resume, set_key
from dashboard.snapshot import (
    PositionLeg,
    PositionView,
    RunView,
    Snapshot,
    VenueView,
    WorkerView,
)
from dashboard.worker_actions import (
    kill_choices,
    kill_worker,
    restart_worker,
    signals_of,
    start_worker,
    stop_worker,
)
from pipeline.model import ConnectionState
from pipeline.supervisor.processes import signal_number
from shm import records as rec

SUMMARY = rec.SUMMARY.empty()
HALTED = SUMMARY._replace(halted=1, halt_cause="rule daily_loss 2026-11-21")
EVENT = rec.EVENT_POSITION.empty()
HELD = rec.POSITION.empty()._replace(event_id="btc", venue="kalshi", market="KXBTC", outcome="yes")


def worker(name: str, state: str = "running", pid: int = 0, text: str = "") -> WorkerView:
    return WorkerView(name, pid, state, bool(pid), 10**9, 0, 0, exit_text=text)


def venue(name: str, books: int) -> VenueView:
    return VenueView(name, True, ConnectionState.UP, 1, 0, 0, False, 1.0, 1, books, books, 0, 0, 0, True)


def position(
    event: str, venue_name: str, *, state: int = 0, unrealised: int | None = -40_000
) -> PositionView:
    return PositionView(
        event,
        event,
        (PositionLeg(venue_name, 2000), PositionLeg("polymarket", -2000)),
        0,
        2,
        12_200_000,
        unrealised,
        EVENT._replace(event_id=event, state=state, locked_micros=350_000),
        (
            HELD._replace(
                units=2000, size_decimals=2, cost_micros=12_200_000, mark_micros=12_000_000, marked=1
            ),
            HELD._replace(venue="polymarket", units=2000, size_decimals=2, cost_micros=7_000_000),
        ),
    )


RUN = Snapshot(
    now_ns=10**9,
    wall_ns=10**18,
    run=RunView(seen=True, alive=True, mode="paper", pid=4200, config_version=3),
    trader_alive=True,
    scanner_alive=True,
    summary=SUMMARY._replace(open_orders=2),
    venues=(venue("kalshi", 48), venue("kraken", 0)),
    positions=(
        position("btc", "kalshi"),
        position("eth", "kraken", state=1),
        position("fed", "kalshi", state=2),
    ),
    workers=(
        worker("supervisor", pid=4200),
        worker("lab", pid=4201),
        worker("feed-kalshi", pid=4211),
        worker("feed-kraken", "backoff", text="killed by SIGKILL"),
        worker("scanner", pid=4215),
        worker("trader", pid=4216),
        worker("paper", pid=4217),
        worker("observer", "stopped"),
    ),
)
LIVE = replace(RUN, run=replace(RUN.run, mode="live"))
GONE = replace(RUN, run=replace(RUN.run, alive=False))


def sure(made: Action | Refused) -> Action:
    assert isinstance(made, Action), made
    return made


def why(made: object) -> str:
    assert isinstance(made, Refused), made
    return made.why


def words(made: Action | Refused) -> str:
    return "\n".join(sure(made).consequences)


def test_a_restart_names_the_process_and_what_the_run_misses() -> None:
    """Title and args carry the pid; books and held legs of that venue are counted."""
    made = sure(restart_worker(RUN, "feed-kalshi"))
    assert "feed-kalshi (pid 4211)" in made.title
    assert (made.command, made.args) == ("restart", {"worker": "feed-kalshi", "pid": "4211"})
    assert made.same_as == "run.py restart feed-kalshi"
    assert made.danger
    assert "48 books" in words(made)
    assert "2 held events have a leg there" in words(made)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("lab", "simulated venues of this run are gone"),
        ("scanner", "no opportunity is found"),
        ("trader", "2 orders"),
        ("paper", "no paper order fills"),
        ("observer", "data/*.json"),
    ],
)
def test_every_kind_of_worker_has_words_of_its_own(name: str, word: str) -> None:
    """What is missing while it is away is said of each kind."""
    one = next(each for each in RUN.workers if each.name == name)
    shown = replace(RUN, workers=(replace(one, pid=7, state="running"),))
    assert word in words(stop_worker(shown, name))
    assert "stays down until you start it" in words(stop_worker(shown, name))
    assert words(restart_worker(shown, name)) != words(stop_worker(shown, name))


def test_a_trader_that_goes_leaves_orders_and_legs_named() -> None:
    """Orders that rest, legs on their way and legs alone are counted."""
    told = words(restart_worker(RUN, "trader"))
    assert "2 orders on their way or resting now." in told
    assert "1 event with legs on their way." in told
    assert "1 event with a leg that stands alone." in told
    assert "rest at the exchange meanwhile" in told
    quiet = replace(RUN, summary=SUMMARY, positions=())
    assert "orders on their way" not in words(restart_worker(quiet, "trader"))
    assert "rest at the exchange" not in words(restart_worker(quiet, "trader"))


def test_a_lab_that_plays_a_tape_says_that_it_stops() -> None:
    """In a replay the lab is no world but a tape."""
    shown = replace(RUN, replay=rec.REPLAY.empty())
    assert "tape stops" in words(restart_worker(shown, "lab"))


def test_every_signal_that_is_offered_is_one_that_the_supervisor_knows() -> None:
    """No choice can be refused as unknown; TERM stands first; USR1 is the trader's alone."""
    for name in ("trader", "feed-kalshi"):
        choices = kill_choices(RUN, name)
        assert not isinstance(choices, Refused)
        assert choices[0].name == "TERM"
        for choice in choices:
            assert signal_number(choice.name) is not None
            assert choice.action.args == {
                "worker": name,
                "pid": choice.action.args["pid"],
                "signal": choice.name,
            }
            assert choice.meaning in choice.action.consequences
            assert len(choice.meaning) <= 58, "it has one line in the narrowest dialog"
    assert "USR1" in dict(signals_of("trader"))
    assert "USR1" not in dict(signals_of("feed-kalshi"))


def test_what_ends_nothing_says_nothing_of_what_is_missed() -> None:
    """CONT is no danger and loses no books; KILL is and does."""
    assert "books" not in words(kill_worker(RUN, "feed-kalshi", "CONT"))
    assert not sure(kill_worker(RUN, "feed-kalshi", "CONT")).danger
    assert "books" in words(kill_worker(RUN, "feed-kalshi", "KILL"))
    assert sure(kill_worker(RUN, "feed-kalshi", "KILL")).danger


def test_a_start_tells_how_the_last_process_ended() -> None:
    """A worker in BACKOFF or stopped can be started; its "pid" is that there is none."""
    made = sure(start_worker(RUN, "feed-kraken"))
    assert made.args == {"worker": "feed-kraken", "pid": "0"}
    assert "killed by SIGKILL" in words(made)
    assert "starts at once" in words(restart_worker(RUN, "observer"))


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (restart_worker(RUN, "supervisor"), "run.py down"),
        (kill_choices(RUN, "supervisor"), "run.py down"),
        (restart_worker(RUN, "feed-none"), "no worker feed-none"),
        (restart_worker(GONE, "scanner"), "run.py up"),
        (start_worker(RUN, "scanner"), "runs"),
        (stop_worker(RUN, "observer"), "stopped already"),
        (kill_worker(RUN, "observer"), "no process"),
        (kill_choices(RUN, "observer"), "no process"),
        (kill_worker(RUN, "scanner", "USR1"), "no signal"),
        (halt(GONE), "file HALT"),
        (resume(RUN), "not halted"),
        (resume(GONE), "file HALT"),
        (reload(GONE), "run.py up"),
        (flatten(RUN, "sol"), "nothing is held of sol"),
        (flatten(replace(RUN, trader_alive=False), "btc"), "trader does not run"),
        (flatten(GONE, "btc"), "run.py up"),
        (set_key(RUN, "a=b", "1"), "one line"),
        (set_key(RUN, "risk.min_edge_bp", ""), "one line"),
        (set_key(RUN, "risk.min_edge_bp", "1\nrisk.x=2"), "one line"),
        (set_key(GONE, "risk.min_edge_bp", "1"), "run.py set"),
        (log_level(RUN, "scanner", "loud"), "no level"),
        (log_level(GONE, "scanner", "info"), "run.py up"),
        (replay(RUN, "pause"), "no tape"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(made: object, word: str) -> None:
    """Each refusal names the cause or what to do; nothing is sent that the supervisor could not obey."""
    assert word in why(made)


def test_halt_and_resume_say_what_goes_on() -> None:
    """A halt names open work; one more cause is added to the first; a resume repeats the cause."""
    made = sure(halt(RUN))
    assert (made.command, made.args) == ("halt", {"why": "halted on the dashboard"})
    assert "Hedges, sell-backs and cancels go on" in words(made)
    assert "2 orders" in words(made)
    stopped = replace(RUN, summary=HALTED)
    assert "daily_loss" in words(halt(stopped))
    assert "daily_loss" in words(resume(stopped))
    assert sure(resume(stopped)).args == {}
    without = replace(RUN, trader_alive=False)
    assert "No trader runs" in words(halt(without))
    assert "No trader runs" in words(resume(without))


def test_only_a_live_run_wants_the_word_typed() -> None:
    """LIVE: resume needs its word, and every question says whose money it is; halt needs no word anywhere."""
    assert sure(resume(replace(LIVE, summary=HALTED))).needs_text == "resume"
    assert sure(resume(replace(RUN, summary=HALTED))).needs_text == ""
    assert sure(halt(LIVE)).needs_text == ""
    for made in (halt(LIVE), restart_worker(LIVE, "trader"), flatten(LIVE, "btc"), set_key(LIVE, "a.b", "1")):
        assert "real money" in words(made)
    assert "real money" not in words(halt(RUN))


def test_reload_says_what_waits_and_what_was_refused() -> None:
    """The last reading's problems and what waits for a restart stand in the question."""
    run = replace(RUN.run, config_problem="risk.x: unknown key", config_waits="shm.depth: all")
    told = words(reload(replace(RUN, run=run)))
    assert "version 3" in told
    assert "unknown key" in told
    assert "shm.depth" in told


def test_a_setting_is_sent_as_one_line() -> None:
    """One assignment, as `run.py set` takes it; keys of risk, kelly and trader are marked."""
    made = sure(set_key(RUN, " risk.min_edge_bp", "60 ", now="50", acts="at once"))
    assert made.args == {"assignments": "risk.min_edge_bp=60"}
    assert made.same_as == "run.py set 'risk.min_edge_bp=60'"
    assert made.danger
    assert "50 now" in words(made)
    assert "at once" in words(made)
    assert not sure(set_key(RUN, "dashboard.refresh_ms", "250")).danger


def test_flatten_names_what_is_held_and_what_it_costs() -> None:
    """Venue, size, cost, and the trader's mark of each outcome; a missing mark is said, not guessed."""
    made = sure(flatten(RUN, "btc"))
    assert (made.command, made.args) == ("flatten", {"event": "btc"})
    told = words(made)
    for word in ("kalshi KXBTC yes: 20", "$12.20", "would fetch $12.00", "no live book", "-$0.04", "+$0.35"):
        assert word in told
    assert "may not fill" in told
    unmarked = replace(RUN, positions=(position("btc", "kalshi", unrealised=None),), summary=HALTED)
    assert "not known" in words(flatten(unmarked, "btc"))
    assert "halted" in words(flatten(unmarked, "btc"))


def test_a_position_of_many_legs_stays_short() -> None:
    """More outcomes than fit are counted."""
    one = position("btc", "kalshi")
    many = replace(one, outcomes=one.outcomes * 20)
    assert "and 28 more." in words(flatten(replace(RUN, positions=(many,)), "btc"))


def test_orders_to_a_tape() -> None:
    """A tape is told its action and value; what it cannot do is refused here."""
    shown = replace(RUN, replay=rec.REPLAY.empty())
    assert sure(replay(shown, "seek", " +10s ")).args == {"action": "seek", "value": "+10s"}
    assert sure(replay(shown, "step")).args == {"action": "step", "value": ""}
    assert "no such order" in why(replay(shown, "eject"))
    assert "to what" in why(replay(shown, "speed"))
    assert "run.py up" in why(replay(replace(GONE, replay=shown.replay), "pause"))


@pytest.mark.parametrize("make", [restart_worker, stop_worker])
def test_what_others_wrote_is_only_read(make: Any) -> None:
    """Escapes in a worker's name or an error's text do not reach the dialog; the target stays what it is."""
    name = "feed-\x1b[31mx"
    shown = replace(RUN, workers=(worker(name, pid=9, text="\x1b]0;owned\x07"),))
    made = sure(make(shown, name))
    assert "\x1b" not in made.title + words(made)
    assert made.args["worker"] == name
