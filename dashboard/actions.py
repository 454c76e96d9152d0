"""Actions: what a person can ask of a run, each with what will come of it in words.

In: a snapshot and a target, both as they are when a dialog opens. Out: an `Action` that says exactly what
will be sent, whatever moves on the screen meanwhile, or a `Refused` that says why there is nothing to send.
Pure; used by the app, whose dialogs ask about it. What happens to workers is in `worker_actions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboard.formatting import clean, usd_text
from dashboard.snapshot import PositionView, Snapshot
from pipeline.model import to_text

LIVE_MODE = "live"
MAX_LINES = 12
MOST_SIGNS = 24
"""So many lines of what is held are named; more are counted."""
REPLAY_ACTIONS = ("pause", "resume", "seek", "speed", "step")
LEVELS: tuple[tuple[str, str], ...] = (
    ("debug", "everything; many lines a second"),
    ("info", "what it does, and all below"),
    ("warning", "what may be wrong, and errors"),
    ("error", "errors alone"),
    ("default", "what config.toml says (logs.level, logs.levels)"),
)


@dataclass(frozen=True, slots=True)
class Action:
    """One command to the supervisor, as it will be sent. `same_as` is how run.py does the same.

    `yes` is what the button says. With `needs_text` that word must be typed first. `danger` marks what
    ends or changes trading.
    """

    title: str
    consequences: tuple[str, ...]
    command: str
    args: Mapping[str, str] = field(default_factory=dict)
    same_as: str = ""
    yes: str = "Yes"
    danger: bool = False
    needs_text: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """There is nothing to send, and why: a sentence for the person who asked."""

    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several actions on one target: its name, what it means in a line, and the action."""

    name: str
    meaning: str
    action: Action


NOBODY = Refused("no supervisor is there to ask: start the run with run.py up")


def live_words(snapshot: Snapshot) -> tuple[str, ...]:
    """What stands over every question in a run that trades for real."""
    return ("LIVE: this run trades with real money.",) if snapshot.run.mode == LIVE_MODE else ()


def halt(snapshot: Snapshot, why: str = "halted on the dashboard") -> Action | Refused:
    """Halt everything; in a halted run the cause is added to those that there are."""
    if not snapshot.run.alive:
        return Refused("no supervisor is there to ask: the file HALT in the data directory halts without it")
    total = snapshot.summary
    words = [*live_words(snapshot), "Nothing new is traded until somebody resumes."]
    if total is not None and total.halted:
        words.append(f"It is halted already: {clean(total.halt_cause) or '?'}. This cause is added.")
    words.append("Hedges, sell-backs and cancels go on; positions stay.")
    words += at_work(snapshot)
    if not snapshot.trader_alive:
        words.append("No trader runs now; one that starts is halted too.")
    why = clean(why)
    return Action("Halt all trading?", tuple(words), "halt", {"why": why}, "run.py halt", "Halt", danger=True)


def resume(snapshot: Snapshot) -> Action | Refused:
    """End the halt. Where real money is traded the word must be typed."""
    if not snapshot.run.alive:
        return Refused("no supervisor is there to ask: run.py resume removes the file HALT without it")
    total = snapshot.summary
    if total is not None and snapshot.trader_alive and not total.halted:
        return Refused("it is not halted")
    words = [*live_words(snapshot)]
    if total is not None and total.halted:
        words.append(f"It was halted: {clean(total.halt_cause) or '?'}.")
    if not snapshot.trader_alive:
        words.append("No trader runs that could say whether it is halted.")
    words.append("It trades again at once. The limits of [risk] go on holding.")
    typed = "resume" if snapshot.run.mode == LIVE_MODE else ""
    return Action(
        "Resume trading?",
        tuple(words),
        "resume",
        {},
        "run.py resume",
        "Resume",
        danger=True,
        needs_text=typed,
    )


def at_work(snapshot: Snapshot) -> list[str]:
    """Orders that rest and legs that stand alone, as far as the trader told."""
    words = []
    orders = snapshot.summary.open_orders if snapshot.summary is not None else 0
    if orders:
        words.append(
            f"{_counted(orders, 'order')} on {'its' if orders == 1 else 'their'} way or resting now."
        )
    moving = sum(one.total is not None and one.total.state == 1 for one in snapshot.positions)
    alone = sum(one.total is not None and one.total.state == 2 for one in snapshot.positions)
    if moving:
        words.append(f"{_counted(moving, 'event')} with legs on their way.")
    if alone:
        words.append(f"{_counted(alone, 'event')} with a leg that stands alone.")
    return words


def reload(snapshot: Snapshot) -> Action | Refused:
    """Read config.toml and events/ again."""
    run = snapshot.run
    if not run.alive:
        return NOBODY
    words = [
        "config.toml and events/ are read again and taken over as a whole, or refused as a whole.",
        f"In force is version {run.config_version}.",
    ]
    if run.config_problem:
        words.append(f"Refused at the last reading: {clean(run.config_problem)}")
    if run.config_waits:
        words.append(f"Waits for a restart: {clean(run.config_waits)}")
    return Action("Read the configuration again?", tuple(words), "reload", {}, "run.py reload", "Reload")


def set_key(snapshot: Snapshot, key: str, value: str, *, now: str = "", acts: str = "") -> Action | Refused:
    """Write one key of config.toml. `now` is its value in force, `acts` when a change of it does."""
    if not snapshot.run.alive:
        return Refused("no supervisor is there to ask: run.py set changes the file without it")
    key, value = key.strip(), value.strip()
    if not key or "=" in key or "\n" in key + value or not value:
        return Refused("a key and a value are needed, each in one line")
    words = [*live_words(snapshot)]
    if now:
        words.append(f"It is {clean(now)} now.")
    if acts:
        words.append(f"The change acts {acts}.")
    words.append("It is written into config.toml, comments kept, if the whole file then holds.")
    one = f"{key}={value}"
    same = f"run.py set '{one}'"
    danger = key.partition(".")[0] in {"risk", "kelly", "trader"}
    return Action(
        f"Set {key} to {value}?", tuple(words), "set", {"assignments": one}, same, "Set", danger=danger
    )


def log_level(snapshot: Snapshot, worker: str, level: str) -> Action | Refused:
    """How much a worker logs, until the run ends."""
    if not snapshot.run.alive:
        return NOBODY
    meaning = dict(LEVELS).get(level)
    if meaning is None:
        return Refused(f"no level {level!r}")
    words = (meaning, "It holds until the run ends; config.toml stays as it is.")
    return Action(
        f"Log level of {clean(worker)}: {level}?",
        words,
        "log-level",
        {"worker": worker, "level": level},
        f"run.py log-level {worker} {level}",
        "Set",
    )


def flatten(snapshot: Snapshot, event_id: str) -> Action | Refused:
    """Sell all that is held of one event, at the prices of the books."""
    if not snapshot.run.alive:
        return NOBODY
    held = next((one for one in snapshot.positions if one.event_id == event_id), None)
    if held is None:
        return Refused(f"nothing is held of {clean(event_id)}")
    if not snapshot.trader_alive:
        return Refused("the trader does not run: nobody could sell; start it first")
    words = [*live_words(snapshot), *_holdings(held)]
    words.append("Limit orders at the books' prices, as deep as needed; they may not fill, or in part.")
    if snapshot.summary is not None and snapshot.summary.halted:
        words.append("It is halted: selling what is held is still allowed.")
    return Action(
        f"Sell all that is held of {clean(event_id)}?",
        tuple(words),
        "flatten",
        {"event": event_id},
        f"run.py flatten {event_id}",
        "Sell all",
        danger=True,
    )


def _holdings(held: PositionView) -> list[str]:
    """What is held at each venue, and what it would fetch now by the trader's own marks."""
    words = []
    for row in held.outcomes[:MAX_LINES]:
        size = to_text(row.units, row.size_decimals)
        worth = f"would fetch {usd_text(row.mark_micros)}" if row.marked else "no live book has a price"
        words.append(
            f"{clean(row.venue)} {_short(clean(row.market))} {clean(row.outcome)}: {size},"
            f" cost {usd_text(row.cost_micros)}, {worth}"
        )
    if len(held.outcomes) > MAX_LINES:
        words.append(f"and {len(held.outcomes) - MAX_LINES} more.")
    if held.unrealised_micros is None:
        words.append(f"Cost {usd_text(held.cost_micros)}; what it would fetch is not known.")
    else:
        words.append(
            f"Cost {usd_text(held.cost_micros)}; sold now after fees:"
            f" {usd_text(held.unrealised_micros, sign=True)} against that."
        )
    if held.total is not None and held.total.locked_micros:
        kept = usd_text(held.total.locked_micros, sign=True)
        words.append(f"Kept until settlement the hedged part surely earns {kept}.")
    return words


def _short(market: str) -> str:
    """A market's id; Polymarket's have 77 digits, and their ends tell them apart too."""
    return market if len(market) <= MOST_SIGNS else f"{market[:12]}…{market[-6:]}"


def replay(snapshot: Snapshot, action: str, value: str = "") -> Action | Refused:
    """One order to a tape that is played (one of REPLAY_ACTIONS). It is sent without a question."""
    if snapshot.replay is None:
        return Refused("no tape is played")
    if not snapshot.run.alive:
        return NOBODY
    if action not in REPLAY_ACTIONS:
        return Refused(f"no such order to a tape: {action!r}; there are: {', '.join(REPLAY_ACTIONS)}")
    if action in {"seek", "speed"} and not value.strip():
        return Refused(f"{action} to what?")
    title = f"Tape: {action} {value}".strip()
    return Action(title, (), "replay", {"action": action, "value": value.strip()}, yes=action.capitalize())


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
