"""Scenarios: what goes wrong in a simulated run, and when, written in a TOML file.

In: the name of a built-in scenario or the path of a file; steps that are ordered while it plays. Out: a
`Scenario`, and of it the faults of the venues' lines, what the paper exchange does at a moment, and the
settings of its world. What the venues' markets do is `scenario_conduct`. Read by the command line, which
refuses a bad file, and by the lab. docs/SCENARIOS.md lists what a step can be.

A scenario scripts the behaviour of venues alone. It knows no limit and no rule of the trader.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from pipeline.lab.faults import FRAME_KINDS, KINDS, VENUES, Fault, Faults

BUILT_IN = Path(__file__).resolve().parent / "scenarios"
MAX_FILE_BYTES, MAX_STEPS = 65_536, 256
MAX_SECONDS = 86_400.0
PAPER = "paper"
PAPER_KINDS = {
    "latency": "paper_latency_ms",
    "latency_p95": "paper_latency_p95_ms",
    "booking": "paper_booking_ms",
    "reject": "paper_reject_pct",
    "leg_failure": "paper_leg_failure_pct",
    "provisional": "paper_provisional_ms",
    "provisional_failure": "paper_provisional_failure_pct",
    "trade_share": "paper_trade_share_pct",
}
"""What the paper exchange can be told, and the key of [trader] that says it."""

DIVERGE = "diverge"
CONDUCT_KINDS = {
    "wide": "cents between the best prices, at least",
    "trades": "more trades a second",
    DIVERGE: "cents that the venue bids above the other's ask, in the event `market`",
}
"""What a venue's binary markets can do; `value` is a whole number from 1 to 100."""
CONDUCT_VENUES = ("kalshi", "polymarket")
IN_SECONDS = frozenset({"skew", "drip"})
"""Faults whose `value` is a time."""


class ScenarioError(ValueError):
    """A scenario that cannot be read; the text says what to change."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a venue or the paper exchange does, from `at_s` on for `for_s` seconds (0: to the end).

    `chance_pct`, `times` and `market` are those of a `faults.Fault`.
    """

    at_s: float
    venue: str
    what: str
    value: int | str = 0
    for_s: float = 0.0
    chance_pct: int = 100
    times: int = 0
    market: str = ""

    @property
    def from_ms(self) -> int:
        """When it begins, in milliseconds of the world."""
        return round(self.at_s * 1_000)

    @property
    def until_ms(self) -> int:
        """When it is over; 0 for never."""
        return round((self.at_s + self.for_s) * 1_000) if self.for_s else 0

    def later(self, by_ms: int) -> Step:
        """The same so much later."""
        return msgspec.structs.replace(self, at_s=self.at_s + by_ms / 1_000)

    def is_on(self, elapsed_ms: int) -> bool:
        """Whether it happens at this moment of the world."""
        return self.from_ms <= elapsed_ms and (not self.until_ms or elapsed_ms < self.until_ms)


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A world with a script: `seed` and `divergence` are those of [lab] where they are given."""

    title: str
    steps: tuple[Step, ...] = ()
    seed: int | None = None
    divergence: float | None = None

    def settings(self) -> list[str]:
        """The settings of its world as --set takes them; what a person sets comes after them."""
        given = (("lab.seed", self.seed), ("lab.divergence", self.divergence))
        return [f"{key}={value}" for key, value in given if value is not None]

    def faults(self) -> list[Fault]:
        """What goes wrong on the venues' lines."""
        return [_fault(step) for step in self.steps if step.what in KINDS]

    def paper_at(self, elapsed_ms: int) -> dict[str, int | str]:
        """Keys of [trader] that hold at this moment; of two steps on one key the later one counts."""
        found: dict[str, int | str] = {}
        for step in sorted(self.steps, key=lambda step: step.from_ms):
            if step.venue == PAPER and step.is_on(elapsed_ms):
                key = PAPER_KINDS[step.what]
                found[key] = str(step.value) if key.endswith("_pct") else int(step.value)
        return found

    def later(self, by_ms: int) -> Scenario:
        """The same script, begun so much later."""
        return msgspec.structs.replace(self, steps=tuple(step.later(by_ms) for step in self.steps))


NOTHING = Scenario("nothing is scripted")


def load(name: str) -> Scenario:
    """A built-in scenario by its name, or one from a file; "" is a world without a script.

    Raises ScenarioError when there is no such scenario or it is not one.
    """
    if not name:
        return NOTHING
    built_in = sorted(path.stem for path in BUILT_IN.glob("*.toml"))
    path = BUILT_IN / f"{name}.toml" if name in built_in else Path(name)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ScenarioError(f"{path}: a scenario is at most {MAX_FILE_BYTES} bytes long")
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = ", ".join(built_in)
        raise ScenarioError(f"there is no scenario {name!r}: name a file, or one of {names}") from None
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: not UTF-8 text") from error


def reference(name: str) -> str:
    """The name as a process in another directory finds it: files by their whole path."""
    return name if not name or (BUILT_IN / f"{name}.toml").is_file() else str(Path(name).resolve())


def parse(text: str) -> Scenario:
    """The scenario that a text describes. Raises ScenarioError."""
    try:
        return _checked(msgspec.toml.decode(text, type=Scenario))
    except ScenarioError:
        raise
    except ValueError as error:
        # msgspec's errors and those of the TOML reader are ValueErrors.
        raise ScenarioError(f"no scenario: {error}") from error


def parse_order(text: bytes) -> Scenario:
    """The script that a running lab is ordered to play, as JSON. Raises ScenarioError."""
    if len(text) > MAX_FILE_BYTES:
        raise ScenarioError(f"an order is at most {MAX_FILE_BYTES} bytes long")
    try:
        return _checked(msgspec.json.decode(text, type=Scenario))
    except msgspec.MsgspecError as error:
        raise ScenarioError(f"no order: {error}") from error


def order_text(steps: Sequence[Step]) -> bytes:
    """What `parse_order` reads: these steps, `at_s` counted from when the lab sees them."""
    return msgspec.json.encode(Scenario("ordered", tuple(steps)))


def _checked(scenario: Scenario) -> Scenario:
    """The scenario, if every step of it can be played. Raises ScenarioError."""
    if len(scenario.steps) > MAX_STEPS:
        raise ScenarioError(f"{len(scenario.steps)} steps, but {MAX_STEPS} are the most")
    for number, step in enumerate(scenario.steps, 1):
        problem = _problem(step)
        if problem:
            raise ScenarioError(f"step {number} ({step.venue} {step.what}): {problem}")
    return scenario


def _problem(step: Step) -> str:
    """What is wrong with a step; "" for nothing."""
    if not (0 <= step.at_s <= MAX_SECONDS and 0 <= step.for_s <= MAX_SECONDS):
        return f"at_s and for_s are 0 to {MAX_SECONDS:g}"
    if not (0 < step.chance_pct <= 100 and step.times >= 0):
        return "chance_pct is 1 to 100, times 0 or more"
    if step.venue == PAPER:
        return _paper_problem(step)
    if step.what in CONDUCT_KINDS:
        if step.venue not in CONDUCT_VENUES:
            return f"venue is one of {', '.join(CONDUCT_VENUES)}"
        if step.what == DIVERGE and not step.market:
            return "market names the event"
        in_range = isinstance(step.value, int) and 1 <= step.value <= 100
        return "" if in_range else "value is a whole number from 1 to 100"
    if step.what not in KINDS:
        return f"what is one of {', '.join((*CONDUCT_KINDS, *KINDS))}"
    try:
        Faults().set([_fault(step)])
    except ValueError as error:
        return str(error)
    return ""


def _paper_problem(step: Step) -> str:
    if step.what not in PAPER_KINDS:
        return f"what is one of {', '.join(PAPER_KINDS)}; venue may be {', '.join(VENUES)} too"
    most = 100 if PAPER_KINDS[step.what].endswith("_pct") else 60_000
    in_range = isinstance(step.value, int) and 0 <= step.value <= most
    return "" if in_range else f"value is a whole number from 0 to {most}"


def _fault(step: Step) -> Fault:
    """The fault of a step. Raises ValueError where its value is no time though it should be."""
    number, seconds, text = 1, 0.0, ""
    if step.what in IN_SECONDS:
        seconds = float(step.value)
    elif isinstance(step.value, str):
        text = step.value
    elif step.value:
        number = step.value
    return Fault(
        step.venue, step.what, market=step.market, chance=step.chance_pct / 100, times=step.times,
        number=number, seconds=seconds, text=text, from_ms=step.from_ms, until_ms=step.until_ms,
        what="any" if step.what in FRAME_KINDS and step.what == "skew" else "book",
    )  # fmt: skip
