"""Worker actions: start, stop, restart and kill, with what the run will miss while the worker is away.

In: a snapshot and a worker's name, as they are when a dialog opens; the pid is fixed there and then, and the
supervisor refuses it for another process. Out: an `Action`, or a `Refused`. Pure; used by the app.
"""

from __future__ import annotations

from dataclasses import replace

from dashboard.actions import NOBODY, Action, Choice, Refused, at_work, live_words
from dashboard.formatting import clean
from dashboard.snapshot import Snapshot, WorkerView

SUPERVISOR = "supervisor"
SIGNALS: tuple[tuple[str, str], ...] = (
    ("TERM", "It ends in order, and is started again at once."),
    ("KILL", "It ends this instant, and is started again at once."),
    ("STOP", "It stands still, until CONT or until it is replaced."),
    ("CONT", "It goes on after STOP. Nothing ends."),
    ("INT", "It ends in order, and is started again at once."),
    ("HUP", "It ends unprepared, and is started again at once."),
)
"""Names as the supervisor knows them, TERM first, and what each does to a worker."""
HALTING = ("USR1", "It writes the file HALT, opens nothing more, and goes on.")
MORE: dict[str, str] = {
    "KILL": "It cannot put anything in order; what it has written stays whole.",
    "STOP": "After supervisor.hung_after without a beat it is killed and started again.",
    "HUP": "No worker listens to HUP, so it is nearly as KILL.",
}
ENDS_NOTHING = ("CONT", "USR1")


def signals_of(worker: str) -> tuple[tuple[str, str], ...]:
    """The signals that make sense for a worker, with what each does."""
    return (*SIGNALS, HALTING) if worker == "trader" else SIGNALS


def start_worker(snapshot: Snapshot, worker: str) -> Action | Refused:
    """Start one that is stopped or given up, or end its wait."""
    found = _found(snapshot, worker)
    if isinstance(found, Refused):
        return found
    if found.pid:
        return Refused(
            f"{clean(worker)} runs, or is on its way (pid {found.pid}): restart or kill it instead"
        )
    words = [f"It is {found.state} now."]
    if found.exit_text:
        words.append(f"Its last process: {clean(found.exit_text)}")
    words.append("It starts at once; its failures so far are forgotten.")
    return _asked(snapshot, "start", found, words)


def stop_worker(snapshot: Snapshot, worker: str) -> Action | Refused:
    """End one, and leave it down."""
    found = _found(snapshot, worker)
    if isinstance(found, Refused):
        return found
    if found.state == "stopped":
        return Refused(f"{clean(worker)} is stopped already")
    words = ["It stays down until you start it.", *_missed(snapshot, worker)]
    return _asked(snapshot, "stop", found, words, danger=True)


def restart_worker(snapshot: Snapshot, worker: str) -> Action | Refused:
    """End one in order and start it again."""
    found = _found(snapshot, worker)
    if isinstance(found, Refused):
        return found
    if not found.pid:
        return _asked(
            snapshot, "restart", found, [f"It is {found.state} and has no process.", "It starts at once."]
        )
    words = [
        "It ends in order, or is killed after supervisor.stop_after; then it starts again at once.",
        "It counts for no failure.",
        *_missed(snapshot, worker),
    ]
    return _asked(snapshot, "restart", found, words, danger=True)


def kill_worker(snapshot: Snapshot, worker: str, signal: str = "TERM") -> Action | Refused:
    """Send a signal to the process that is there now."""
    found = _found(snapshot, worker)
    if isinstance(found, Refused):
        return found
    if not found.pid:
        return Refused(f"{clean(worker)} is {found.state}: there is no process to send a signal to")
    meaning = dict(signals_of(worker)).get(signal)
    if meaning is None:
        return Refused(f"{signal!r} is no signal for {clean(worker)}")
    words = [meaning, *([MORE[signal]] if signal in MORE else [])]
    if signal not in ENDS_NOTHING:
        words += ["What you end counts for no failure.", *_missed(snapshot, worker)]
    action = _asked(snapshot, "kill", found, words, danger=signal != "CONT")
    return replace(
        action,
        title=f"Send {signal} to {clean(worker)} (pid {found.pid})?",
        args={**action.args, "signal": signal},
        same_as=f"run.py kill {worker} --signal {signal}",
        yes=f"Send {signal}",
    )


def kill_choices(snapshot: Snapshot, worker: str) -> tuple[Choice, ...] | Refused:
    """Every signal for the process that is there now, TERM first."""
    choices = []
    for name, meaning in signals_of(worker):
        action = kill_worker(snapshot, worker, name)
        if isinstance(action, Refused):
            return action
        choices.append(Choice(name, meaning, action))
    return tuple(choices)


def _found(snapshot: Snapshot, worker: str) -> WorkerView | Refused:
    """The worker as it is now, if it can be asked about."""
    if worker == SUPERVISOR:
        return Refused("the supervisor is the run itself: run.py down ends it, with all workers")
    if not snapshot.run.alive:
        return NOBODY
    found = next((one for one in snapshot.workers if one.name == worker), None)
    return found or Refused(f"there is no worker {clean(worker)} any more")


def _asked(
    snapshot: Snapshot, command: str, found: WorkerView, words: list[str], *, danger: bool = False
) -> Action:
    pid = f" (pid {found.pid})" if found.pid else ""
    return Action(
        f"{command.capitalize()} {clean(found.name)}{pid}?",
        (*live_words(snapshot), *words),
        command,
        {"worker": found.name, "pid": str(found.pid)},
        f"run.py {command} {found.name}",
        command.capitalize(),
        danger=danger,
    )


def _missed(snapshot: Snapshot, worker: str) -> list[str]:
    """What the run does without while this worker is away."""
    kind, _, venue = worker.partition("-")
    if kind == "feed":
        return _without_feed(snapshot, venue)
    if kind == "trader":
        words = ["Meanwhile nothing is traded and no leg is hedged.", *at_work(snapshot)]
        orders = snapshot.summary is not None and snapshot.summary.open_orders
        words += ["Open orders rest at the exchange meanwhile, each until its own end."] if orders else []
        return [*words, "When it is back it asks what became of its orders; none is sent twice."]
    return {
        "scanner": ["Meanwhile no opportunity is found, so nothing new is traded; hedging goes on."],
        "paper": [
            "Meanwhile no paper order fills or is answered: orders become UNKNOWN until it is back.",
            "What rests is in its record and rests again.",
        ],
        "observer": ["Meanwhile data/*.json, metrics and alerts stand still. Trading goes on."],
        "lab": _without_lab(snapshot),
    }.get(kind, [])


def _without_feed(snapshot: Snapshot, venue: str) -> list[str]:
    """A feed's books, and what is held there."""
    seen = next((one for one in snapshot.venues if one.name == venue), None)
    books = f"Its {seen.books} books go" if seen is not None and seen.books else "Its books go"
    words = [f"{books} DEAD until they have come anew; opportunities on them are refused."]
    held = sum(any(leg.venue == venue and leg.units for leg in one.legs) for one in snapshot.positions)
    if held:
        have = "event has" if held == 1 else "events have"
        words.append(f"{held} held {have} a leg there that cannot be priced, hedged or sold meanwhile.")
    return words


def _without_lab(snapshot: Snapshot) -> list[str]:
    if snapshot.replay is not None:
        return ["The tape stops meanwhile: no message comes."]
    return [
        "The simulated venues of this run are gone meanwhile: feeds reconnect, all books go STALE.",
        "Back again, it plays the same world up to now and goes on there.",
    ]
