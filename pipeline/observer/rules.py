"""Rules: what people are told about, when, and when no more.

In: what is true of the run at a moment (`Seen`), the rules in force. Out: alerts, each raised once, repeated
no sooner than its rule says, cleared once, and never more of them than the hour allows. Pure; run by the
observer once a second.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from pipeline.clock import moment_text
from pipeline.config import AlertsConfig
from pipeline.model import BookState, WorkerState

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
# Things watched at once; each is a rule and its subject. More of them are not looked at.
MOST_WATCHED = 256
# The rule that is about no trouble: what it tells must not use up the messages of an hour.
NEWS = "large_opportunity"
NAMED = 3  # books named in one text
# Books that are silent but sound: a market in which nobody trades is no fault until it is very old.
SILENT = (BookState.LIVE.name, BookState.QUIET.name)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `limit` is in `unit`, None for a rule that has none; times are seconds.

    What holds for `for_s` is told, and what has gone for as long is over; the same is not told again within
    `repeat_s`. `advice` is what to do about it, with {subject} where that belongs.
    """

    name: str
    limit: Decimal | None
    unit: str
    for_s: float
    repeat_s: float
    advice: str
    enabled: bool = True


DEFAULTS = tuple(
    Rule(name, None if limit is None else Decimal(limit), unit, for_s, repeat_s, advice)
    for name, limit, unit, for_s, repeat_s, advice in (
        (
            "large_opportunity",
            "500",
            "bp of net edge",
            0,
            900,
            "run.py why {subject} tells whether it is believed",
        ),
        ("disconnect", None, "", 15, 3600, "it connects again by itself; run.py logs feed-{subject}"),
        ("stale_book", "1800", "seconds", 30, 3600, "these books are not traded; run.py status"),
        ("flapping", None, "", 0, 3600, "run.py logs {subject}, then run.py start {subject}"),
        ("unhedged", None, "", 3, 600, "hedge or sell it by hand if it stays; run.py status"),
        ("loss_limit", "80", "% of risk.daily_loss_usd", 0, 21_600, "run.py summary; run.py halt stops it"),
        ("halt", None, "", 0, 21_600, "nothing new is traded until run.py resume"),
        ("disk", "500", "MiB free", 0, 3600, "make room: without it no order can be journalled"),
        ("clock_skew", "1000", "ms", 60, 21_600, "look at this machine's clock (NTP)"),
    )
)
NAMES = tuple(rule.name for rule in DEFAULTS)


def rules_of(config: AlertsConfig) -> dict[str, Rule]:
    """The rules in force by name: the defaults, where [alerts.rules] says nothing else."""
    found: dict[str, Rule] = {}
    for rule in DEFAULTS:
        asked = config.rules.get(rule.name)
        if asked is not None:
            limit = rule.limit if asked.limit is None or rule.limit is None else Decimal(asked.limit)
            rule = replace(  # noqa: PLW2901 - the same rule, as it was asked for
                rule,
                limit=limit,
                enabled=rule.enabled if asked.enabled is None else asked.enabled,
                for_s=rule.for_s if asked.for_s is None else asked.for_s,
                repeat_s=rule.repeat_s if asked.repeat_s is None else asked.repeat_s,
            )
        found[rule.name] = rule
    return found


@dataclass(frozen=True, slots=True)
class Opportunity:
    """What the scanner would offer now: an event's best direction, net of all fees."""

    event_id: str
    edge_bp: int
    net_usd: str
    buy_venue: str
    sell_venue: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The run at a moment. `state` is the status object of DESIGN 9; `free_mib` is None if nobody knows."""

    state: Mapping[str, Any]
    opportunities: Sequence[Opportunity] = ()
    free_mib: int | None = None
    daily_loss_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a rule is about and that is true now. `subject` names the one thing of its kind."""

    rule: str
    subject: str
    text: str


def facts(seen: Seen, rules: Mapping[str, Rule]) -> list[Fact]:
    """Everything that the enabled rules are about, as it is now."""
    return [
        fact
        for name, rule in rules.items()
        if rule.enabled
        for fact in _FINDERS[name](seen, rule.limit or Decimal(0))
    ]


def _large_opportunity(seen: Seen, limit: Decimal) -> Iterator[Fact]:
    for found in seen.opportunities:
        if found.edge_bp >= limit:
            way = f"buy {found.buy_venue}, sell {found.sell_venue}"
            text = f"{found.event_id}: {found.edge_bp} bp net, ${found.net_usd}, {way}"
            yield Fact("large_opportunity", found.event_id, text)


def _disconnect(seen: Seen, _limit: Decimal) -> Iterator[Fact]:
    for venue, found in seen.state.get("venues", {}).items():
        if not found["connected"]:
            yield Fact("disconnect", venue, f"{venue} is not connected ({found['socket']})")


def _stale_book(seen: Seen, limit: Decimal) -> Iterator[Fact]:
    """One fact a venue. A venue that is not connected has no other books, and a rule of its own."""
    for venue, found in seen.state.get("venues", {}).items():
        if not found["connected"]:
            continue
        books = ((market, book) for market, book in found["books"].items() if not book["closed"])
        bad = [f"{market} ({why})" for market, book in books if (why := _bad_book(book, limit))]
        if bad:
            more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            yield Fact("stale_book", venue, f"{venue}: no good book of {', '.join(bad[:NAMED])}{more}")


def _bad_book(book: Mapping[str, Any], limit: Decimal) -> str:
    """Why a book is not good: its state, or that it is sound and older than `limit` seconds; "" if it is."""
    if book["state"] not in SILENT:
        return str(book["state"])
    age_ms = book["age_ms"] or 0
    return f"{_span(age_ms // 1000)} old" if age_ms > limit * 1000 else ""


def _flapping(seen: Seen, _limit: Decimal) -> Iterator[Fact]:
    for worker in seen.state.get("workers", ()):
        if worker["state"] == WorkerState.FLAPPING.name:
            text = f"{worker['name']} failed too often and is not started again"
            yield Fact("flapping", worker["name"], text)


def _unhedged(seen: Seen, _limit: Decimal) -> Iterator[Fact]:
    for event_id, held in seen.state.get("events", {}).items():
        if held["state"] == "unhedged":
            text = f"{event_id}: a leg stands alone, ${held['net_exposure_usd']} at risk"
            yield Fact("unhedged", event_id, text)


def _loss_limit(seen: Seen, limit: Decimal) -> Iterator[Fact]:
    day = Decimal(seen.state.get("account", {}).get("day_pnl_usd", "0"))
    allowed = seen.daily_loss_usd * limit / 100
    if allowed > 0 and day <= -allowed:
        lost = f"${-day:f} lost since 00:00 UTC of the ${seen.daily_loss_usd:f} that a day may lose"
        yield Fact("loss_limit", "day", lost)


def _halt(seen: Seen, _limit: Decimal) -> Iterator[Fact]:
    if seen.state.get("halted"):
        halt = seen.state.get("halt") or {}
        who = f" ({halt['who']})" if halt.get("who") else ""
        yield Fact("halt", "run", f"halted: {halt.get('cause') or 'no cause is given'}{who}")


def _disk(seen: Seen, limit: Decimal) -> Iterator[Fact]:
    if seen.free_mib is not None and seen.free_mib < limit:
        yield Fact("disk", "data", f"{seen.free_mib} MiB are free in the data directory")


def _clock_skew(seen: Seen, limit: Decimal) -> Iterator[Fact]:
    for venue, found in seen.state.get("venues", {}).items():
        lag = found["lag_ms"]
        if lag is not None and abs(lag["p50"]) > limit:
            side = "behind" if lag["p50"] > 0 else "ahead of"
            text = f"{venue}'s times are {abs(lag['p50']):.0f} ms {side} this machine's clock"
            yield Fact("clock_skew", venue, text)


_FINDERS = {
    "large_opportunity": _large_opportunity,
    "disconnect": _disconnect,
    "stale_book": _stale_book,
    "flapping": _flapping,
    "unhedged": _unhedged,
    "loss_limit": _loss_limit,
    "halt": _halt,
    "disk": _disk,
    "clock_skew": _clock_skew,
}


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to be told. `cleared` says that it is over; `kept_back` that it is shown, and sent to nobody,
    because the hour has had its number.
    """

    rule: str
    subject: str
    text: str
    cleared: bool
    kept_back: bool


@dataclass(slots=True)
class _Matter:
    """One rule and subject. Stamps are CLOCK_MONOTONIC; None for what has not happened."""

    text: str
    since_ns: int
    since_wall_ns: int
    gone_ns: int | None = None
    told_ns: int | None = None
    raised: bool = False
    sent: bool = False


class Watch:
    """Turns facts into alerts. It remembers what was told and when; nothing else does."""

    def __init__(self) -> None:
        self._matters: dict[tuple[str, str], _Matter] = {}
        self._sent_ns: deque[int] = deque()

    def resume(self, raised: Iterable[tuple[str, str, str, int, int, bool]], sent_ns: Iterable[int]) -> None:
        """Go on where an earlier process stopped: what it raised and never cleared is not told anew.

        Each is rule, subject, text, when it was told (CLOCK_MONOTONIC), the same by the wall clock, and
        whether it was sent and not kept back; `sent_ns` is when messages went out.
        """
        for rule, subject, text, told_ns, wall_ns, sent in raised:
            self._matters[rule, subject] = _Matter(
                text, told_ns, wall_ns, told_ns=told_ns, raised=True, sent=sent
            )
        self._sent_ns.extend(sorted(sent_ns))

    def active(self) -> dict[str, int]:
        """By rule how many matters were told and are not over."""
        return dict(Counter(rule for (rule, _), matter in self._matters.items() if matter.raised))

    def step(
        self, found: Sequence[Fact], rules: Mapping[str, Rule], max_per_hour: int, now_ns: int, wall_ns: int
    ) -> list[Alert]:
        """What is to be told now, given what is true now. Call it with every moment looked at."""
        alerts: list[Alert] = []
        true = {(fact.rule, fact.subject): fact for fact in found}
        for key, fact in true.items():
            matter = self._matter(key, fact, now_ns, wall_ns)
            # What was kept back and still holds is told as soon as there is room.
            unsent = matter is not None and matter.raised and not matter.sent
            late = unsent and self._free(fact.rule, max_per_hour, now_ns)
            if matter is not None and (late or _due(matter, rules[fact.rule], now_ns)):
                kept_back = not self._room(fact.rule, max_per_hour, now_ns)
                matter.raised, matter.told_ns = True, now_ns
                matter.sent = matter.sent or not kept_back
                text = _raise_text(matter, fact.subject, rules[fact.rule])
                alerts.append(Alert(*key, text, False, kept_back))
        for key in [key for key in self._matters if key not in true]:
            alerts += self._gone(key, rules[key[0]], max_per_hour, now_ns)
        return alerts

    def _matter(self, key: tuple[str, str], fact: Fact, now_ns: int, wall_ns: int) -> _Matter | None:
        """The matter of a fact, its clock running; None when too many are watched already."""
        matter = self._matters.get(key)
        if matter is None:
            if len(self._matters) >= MOST_WATCHED:
                return None
            matter = self._matters[key] = _Matter(fact.text, now_ns, wall_ns)
        elif matter.gone_ns is not None and not matter.raised:
            # It is back after it had gone, or been cleared: its time begins anew.
            matter.since_ns, matter.since_wall_ns, matter.sent = now_ns, wall_ns, False
        matter.text, matter.gone_ns = fact.text, None
        return matter

    def _gone(self, key: tuple[str, str], rule: Rule, max_per_hour: int, now_ns: int) -> Iterator[Alert]:
        """A matter that is not true now: cleared when it has been gone for long enough, forgotten when its
        next raise would not have to wait for this one.
        """
        matter = self._matters[key]
        if matter.gone_ns is None:
            matter.gone_ns = now_ns
        if matter.raised and now_ns - matter.gone_ns >= round(rule.for_s * SECOND_NS):
            matter.raised = False
            kept_back = not (matter.sent and self._room(rule.name, max_per_hour, now_ns))
            took = _span((matter.gone_ns - matter.since_ns) // SECOND_NS)
            yield Alert(*key, f"over after {took}: {matter.text}", True, kept_back)
        rested = matter.told_ns is None or now_ns - matter.told_ns >= round(rule.repeat_s * SECOND_NS)
        if not matter.raised and rested:
            del self._matters[key]

    def _room(self, rule: str, max_per_hour: int, now_ns: int) -> bool:
        """Whether one more message may go out now; it is counted if so."""
        if self._free(rule, max_per_hour, now_ns):
            self._sent_ns.append(now_ns)
            return True
        return False

    def _free(self, rule: str, max_per_hour: int, now_ns: int) -> bool:
        """Whether the hour has room for one more message of a rule; news leaves half of it for trouble."""
        while self._sent_ns and now_ns - self._sent_ns[0] >= HOUR_NS:
            self._sent_ns.popleft()
        return len(self._sent_ns) < (max_per_hour // 2 if rule == NEWS else max_per_hour)


def _due(matter: _Matter, rule: Rule, now_ns: int) -> bool:
    """Whether a matter that is true has to be told, for the first time or again."""
    if now_ns - matter.since_ns < round(rule.for_s * SECOND_NS):
        return False
    return matter.told_ns is None or now_ns - matter.told_ns >= round(rule.repeat_s * SECOND_NS)


def _raise_text(matter: _Matter, subject: str, rule: Rule) -> str:
    """What, since when, what to do."""
    advice = rule.advice.format(subject=subject)
    return f"{matter.text}; since {moment_text(matter.since_wall_ns)}: {advice}"


def _span(seconds: int) -> str:
    """A length of time for people."""
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
