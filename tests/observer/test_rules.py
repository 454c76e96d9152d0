"""Rules: each finds what it is about, and nobody is told anything twice."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import AlertRuleConfig, AlertsConfig
from pipeline.config_schema.models import RULES
from pipeline.observer.rules import (
    DEFAULTS,
    HOUR_NS,
    MOST_WATCHED,
    NAMES,
    SECOND_NS,
    Alert,
    Fact,
    Opportunity,
    Rule,
    Seen,
    Watch,
    facts,
    rules_of,
)

WALL_NS = 1_763_740_800 * SECOND_NS


def book(state: str = "LIVE", age_ms: int | None = 100) -> dict[str, Any]:
    """A book as the status object shows it."""
    return {"state": state, "age_ms": age_ms, "closed": False}


def venue(**changes: Any) -> dict[str, Any]:
    """A sound venue, with what is said otherwise."""
    return {
        "connected": True,
        "socket": "up",
        "lag_ms": {"p50": 12.0, "p99": 30.0},
        "books": {"A": book()},
        **changes,
    }


def state(**changes: Any) -> dict[str, Any]:
    """The status object of a run in which nothing is wrong, with what is said otherwise."""
    return {
        "venues": {"kalshi": venue(), "kraken": venue()},
        "workers": [{"name": "scanner", "state": "RUNNING"}],
        "events": {"e1": {"state": "hedged", "net_exposure_usd": "0"}},
        "account": {"day_pnl_usd": "1.5"},
        "halted": False,
        "halt": None,
        **changes,
    }


GOOD = Seen(state(), (Opportunity("e1", 100, "0.5", "kalshi", "kraken"),), 10_000, Decimal(50))
RULES_IN_FORCE = rules_of(AlertsConfig())


def test_a_sound_run_has_nothing_to_tell() -> None:
    """No rule finds anything in a run in which nothing is wrong, nor in one that has just begun."""
    assert facts(GOOD, RULES_IN_FORCE) == []
    assert facts(Seen({}), RULES_IN_FORCE) == []


def test_the_schema_knows_exactly_these_rules() -> None:
    """[alerts.rules] takes every rule that there is, and no other."""
    assert set(RULES.__args__) == set(NAMES)


@pytest.mark.parametrize(
    ("seen", "rule", "subject", "text"),
    [
        (
            replace(GOOD, opportunities=(Opportunity("e1", 500, "1.2", "kalshi", "kraken"),)),
            "large_opportunity",
            "e1",
            "e1: 500 bp net, $1.2, buy kalshi, sell kraken",
        ),
        (
            replace(GOOD, state=state(venues={"kalshi": venue(connected=False, socket="backoff")})),
            "disconnect",
            "kalshi",
            "kalshi is not connected (backoff)",
        ),
        (
            replace(
                GOOD, state=state(venues={"kraken": venue(books={"A": book("GAP"), "B": book("STALE")})})
            ),
            "stale_book",
            "kraken",
            "kraken: no good book of A (GAP), B (STALE)",
        ),
        (
            replace(GOOD, state=state(venues={"kraken": venue(books={"A": book("QUIET", 1_800_001)})})),
            "stale_book",
            "kraken",
            "kraken: no good book of A (30 min old)",
        ),
        (
            replace(GOOD, state=state(workers=[{"name": "feed-kraken", "state": "FLAPPING"}])),
            "flapping",
            "feed-kraken",
            "feed-kraken failed too often and is not started again",
        ),
        (
            replace(GOOD, state=state(events={"e1": {"state": "unhedged", "net_exposure_usd": "4.2"}})),
            "unhedged",
            "e1",
            "e1: a leg stands alone, $4.2 at risk",
        ),
        (
            replace(GOOD, state=state(account={"day_pnl_usd": "-40"})),
            "loss_limit",
            "day",
            "$40 lost since 00:00 UTC of the $50 that a day may lose",
        ),
        (
            replace(GOOD, state=state(halted=True, halt={"cause": "venue rules changed", "who": "ann"})),
            "halt",
            "run",
            "halted: venue rules changed (ann)",
        ),
        (replace(GOOD, free_mib=499), "disk", "data", "499 MiB are free in the data directory"),
        (
            replace(GOOD, state=state(venues={"kalshi": venue(lag_ms={"p50": -1500.0, "p99": 2.0})})),
            "clock_skew",
            "kalshi",
            "kalshi's times are 1500 ms ahead of this machine's clock",
        ),
    ],
)
def test_each_rule_finds_its_fault(seen: Seen, rule: str, subject: str, text: str) -> None:
    """A fault is found by its own rule alone, with a subject and a sentence for people."""
    assert facts(seen, RULES_IN_FORCE) == [Fact(rule, subject, text)]


@pytest.mark.parametrize(
    "seen",
    [
        replace(GOOD, state=state(venues={"kalshi": venue(books={"A": book("QUIET", 900_000)})})),
        replace(GOOD, state=state(venues={"kalshi": venue(books={"A": {**book("GAP"), "closed": True}})})),
        replace(GOOD, state=state(account={"day_pnl_usd": "-39.99"})),
        replace(GOOD, state=state(account={"day_pnl_usd": "-39.99"}), daily_loss_usd=Decimal(0)),
        replace(GOOD, state=state(venues={"kalshi": venue(lag_ms=None)}), free_mib=None),
        replace(GOOD, state=state(workers=[{"name": "trader", "state": "BACKOFF"}])),
    ],
)
def test_what_is_normal_is_no_fault(seen: Seen) -> None:
    """A quiet market, a closed one, a loss within its limit, an unknown lag: nobody is told."""
    assert facts(seen, RULES_IN_FORCE) == []


def test_a_venue_that_is_away_has_one_alert() -> None:
    """The books of a venue that is not connected have no alert beside the disconnect."""
    away = venue(connected=False, socket="down", books={"A": book("DEAD"), "B": book("DEAD")})
    found = facts(replace(GOOD, state=state(venues={"kalshi": away})), RULES_IN_FORCE)
    assert [fact.rule for fact in found] == ["disconnect"]


def test_the_configuration_overrides_key_by_key() -> None:
    """A rule takes limit, times and whether it is told from [alerts.rules], and the rest from itself."""
    asked = {"disk": AlertRuleConfig(limit="20000", for_s=5), "halt": AlertRuleConfig(enabled=False)}
    rules = rules_of(AlertsConfig(rules=asked))
    found = facts(replace(GOOD, state=state(halted=True)), rules)
    assert [fact.rule for fact in found] == ["disk"]
    default = {rule.name: rule for rule in DEFAULTS}["disk"]
    assert rules["disk"] == replace(default, limit=Decimal(20000), for_s=5)
    assert rules["unhedged"] == RULES_IN_FORCE["unhedged"]


# -- when it is told -----------------------------------------------------------------------------------

RULE = Rule("disk", Decimal(1), "MiB", for_s=3, repeat_s=10, advice="make room")
TABLE = {"disk": RULE}
TRUE = [Fact("disk", "data", "the disk is full")]


def told(holds: str, max_per_hour: int = 100) -> list[str]:
    """What a watch says second by second; "#" is a second in which the fact holds."""
    watch = Watch()
    said = []
    for second, letter in enumerate(holds):
        now = second * SECOND_NS
        found = watch.step(TRUE if letter == "#" else [], TABLE, max_per_hour, now, WALL_NS + now)
        said.append(
            "".join(("c" if each.cleared else "R") + ("-" if each.kept_back else "") for each in found) or "."
        )
    return said


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        ("######", "...R.."),  # after for_s
        ("##.###", "......"),  # too short, twice
        ("##################", "...R.........R...."),  # again after repeat_s
        ("####......", "...R...c.."),  # over, once, after it was gone for as long
        ("####.####.####....", "...R.........R...c"),  # a flicker is no end
        ("####....####......####", "...R...c.............R"),  # back, and told no sooner than repeat_s
    ],
)
def test_when_it_is_told(holds: str, said: str) -> None:
    """Raised after it held for its time, repeated and cleared once, and never again within repeat_s."""
    assert "".join(told(holds)) == said


def test_beyond_the_hour_it_is_shown_and_not_sent() -> None:
    """With one message an hour the first goes out; what follows is kept back, its end too."""
    assert (
        "".join(told("####......" + "." * 20 + "#####.....", max_per_hour=1))
        == "...R...c-" + "." * 25 + "R-....c-."
    )


def test_what_was_kept_back_is_told_when_there_is_room() -> None:
    """A matter for which the hour had no room, and which still holds, goes out when the hour is over."""
    watch, at_once = Watch(), {"disk": replace(RULE, for_s=0, repeat_s=99_999)}
    first, second = Fact("disk", "a", "full"), Fact("disk", "b", "full")
    said = [
        (seconds, alert.subject, alert.kept_back)
        for seconds, found in [(0, [first]), (1, [first, second]), *((s, [first, second]) for s in (2, 3600))]
        for alert in watch.step(found, at_once, 1, seconds * SECOND_NS, WALL_NS)
    ]
    assert said == [(0, "a", False), (1, "b", True), (3600, "b", False)]


def test_opportunities_leave_room_for_trouble() -> None:
    """However many opportunities there are, half of the hour's messages stay for what went wrong."""
    watch, rules = Watch(), {rule.name: rule for rule in DEFAULTS}
    flood = [Fact("large_opportunity", f"e{number}", "700 bp") for number in range(30)]
    said = watch.step(flood, rules, 20, 0, WALL_NS)
    assert sum(not alert.kept_back for alert in said) == 10
    (halt,) = watch.step([*flood, Fact("halt", "run", "halted")], rules, 20, SECOND_NS, WALL_NS)
    assert (halt.rule, halt.kept_back) == ("halt", False)
    assert watch.active() == {"large_opportunity": 30, "halt": 1}


@pytest.mark.parametrize("rule", DEFAULTS, ids=lambda rule: rule.name)
def test_advice_names_what_it_is_about(rule: Rule) -> None:
    """Where an advice has the name of an event or a worker in it, it is the subject's own."""
    fact, at_once = Fact(rule.name, "subj-1", "x"), {rule.name: replace(rule, for_s=0)}
    (alert,) = Watch().step([fact], at_once, 9, 0, WALL_NS)
    assert "{" not in alert.text and ("subj-1" in alert.text) == ("{subject}" in rule.advice)


def test_an_alert_says_what_since_when_and_what_to_do() -> None:
    """The text of a raise has the fact, its time and the advice; its end says how long it took."""
    watch = Watch()
    said: list[Alert] = []
    for second in range(10):
        now = second * SECOND_NS
        said += watch.step(TRUE if second < 5 else [], TABLE, 9, now, WALL_NS + now)
    assert [alert.text for alert in said] == [
        "the disk is full; since 2025-11-21T16:00:00Z: make room",
        "over after 5 s: the disk is full",
    ]


def test_a_watch_that_goes_on_tells_nothing_anew() -> None:
    """An observer that was started again does not repeat what its ring says was told, and does clear it."""
    watch = Watch()
    watch.resume([("disk", "data", "the disk is full", 0, WALL_NS, True)], [0])
    assert watch.step(TRUE, TABLE, 9, 5 * SECOND_NS, WALL_NS) == []
    assert watch.step([], TABLE, 9, 6 * SECOND_NS, WALL_NS) == []
    (over,) = watch.step([], TABLE, 9, 9 * SECOND_NS, WALL_NS)
    assert over.cleared and not over.kept_back


def test_what_is_watched_is_bounded() -> None:
    """A flood of subjects makes a bounded number of alerts, and is forgotten when it is over."""
    watch = Watch()
    at_once = {"disk": replace(RULE, for_s=0, repeat_s=1)}
    flood = [Fact("disk", f"subject {number}", "full") for number in range(3 * MOST_WATCHED)]
    assert len(watch.step(flood, at_once, 5, 0, WALL_NS)) == MOST_WATCHED
    assert sum(alert.cleared for alert in watch.step([], at_once, 5, SECOND_NS, WALL_NS)) == MOST_WATCHED
    assert len(watch.step(flood, at_once, 5, 5 * SECOND_NS, WALL_NS)) == MOST_WATCHED


@given(
    st.lists(st.tuples(st.integers(0, 900), st.sets(st.sampled_from(["a", "b", "c"]))), max_size=60),
    st.integers(0, 60),
    st.integers(1, 3000),
    st.integers(1, 6),
)
def test_no_history_spams(
    history: list[tuple[int, set[str]]], for_s: int, repeat_s: int, max_per_hour: int
) -> None:
    """Whatever happens when: never more than the hour's number is sent, none is sent or shown again within
    repeat_s, every raise is followed by at most one clear and by exactly one once it holds no more.
    """
    rule = replace(RULE, for_s=for_s, repeat_s=repeat_s)
    watch, now = Watch(), 0
    sent: list[int] = []
    raised: dict[tuple[str, bool], int] = {}
    open_since: dict[str, bool] = {}
    silence = [(for_s + repeat_s, set[str]()), (for_s + 1, set[str]())]
    for seconds, subjects in [*history, *silence]:
        now += seconds * SECOND_NS
        found = [Fact("disk", subject, "full") for subject in sorted(subjects)]
        for alert in watch.step(found, {"disk": rule}, max_per_hour, now, WALL_NS + now):
            if not alert.kept_back:
                sent.append(now)
            if alert.cleared:
                assert open_since.pop(alert.subject) and alert.subject not in subjects
                continue
            assert alert.subject in subjects
            # What is sent may follow at once on what was kept back.
            last = raised.get((alert.subject, alert.kept_back))
            assert last is None or now - last >= repeat_s * SECOND_NS
            raised[alert.subject, alert.kept_back] = now
            open_since[alert.subject] = True
    assert open_since == {}
    assert all(sum(at <= other < at + HOUR_NS for other in sent) <= max_per_hour for at in sent)


def test_the_page_on_alerts_lists_each_rule(project_root: Path) -> None:
    """docs/ALERTS.md has a row for every rule, with the limit and the times that it really has."""
    rows = [
        line
        for line in (project_root / "docs" / "ALERTS.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    said = {row.split("`")[1]: [cell.strip() for cell in row.split("|")[3:6]] for row in rows}
    assert said == {
        rule.name: [
            "-" if rule.limit is None else f"{rule.limit} {rule.unit}",
            f"{rule.for_s:g}",
            f"{rule.repeat_s:g}",
        ]
        for rule in DEFAULTS
    }
