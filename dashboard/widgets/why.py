"""Why: one decision in full: what the edge was made of, which check ended it, what Kelly wanted, its times.

In: a `DecisionRow`, the rest of the picture. Out: lines. Pure. Every number is a cell that the trader wrote
at that moment; nothing is computed anew.
"""

from __future__ import annotations

from dashboard.charts import term_role, to_cents, waterfall
from dashboard.formatting import (
    arrow,
    bp_text,
    clean,
    fit,
    letter,
    millis_text,
    percent_text,
    race_text,
    size_text,
    stamp_text,
    usd_text,
)
from dashboard.reasons import limit_keys, reason_plain, reason_sentence
from dashboard.snapshot import Snapshot
from dashboard.widgets.beside import cut
from dashboard.widgets.checks import Asked, Came, Check, checks_of
from dashboard.widgets.decision_words import action_word, confidence_word, deal_word, result_text
from dashboard.widgets.flow import fact, flow
from dashboard.widgets.panel import Line
from pipeline.model import Action
from shm.records import DecisionRow

# Below so many cells the waterfall and the facts stand below each other.
TWO_COLUMNS, FALL = 100, 48
RULE = " │ "
_ROLES = {Came.PASSED: "gain", Came.FAILED: "bad", Came.UNREACHED: "dim"}
_BY_PERSON: Line = [("asked for by a person: no limit stops what makes the stake smaller", "dim")]
# The hops of one price, each with when it was left behind.
_HOPS = ("book", "scan", "send", "receive", "decide", "intent", "order", "fill")


def why_title(row: DecisionRow | None, snapshot: Snapshot) -> str:
    """Which decision it is."""
    if row is None:
        return "Why"
    at = stamp_text(row.wall_ns)
    return f"Why: {clean(row.event_id)}  {deal_word(row, snapshot)}  {at}  no. {row.sequence}"


def draw_why(
    row: DecisionRow | None, snapshot: Snapshot, width: int, compact: bool, *, every: bool = False
) -> list[Line]:
    """Everything about one decision. `every` names each check, else stages that passed are counted."""
    if row is None:
        return [[("no decision under the cursor", "dim")]]
    short = compact or width < TWO_COLUMNS
    asked = checks_of(row)
    checks = _every(asked) if every else _stages(asked, short=short)
    if short:
        facts = [_verdict(row), _terms(row), checks, _beliefs(row), _kelly(row, snapshot), _hops(row)]
        return [cut(line, width) for groups in facts for line in flow(groups, width)]
    facts = [_verdict(row), _beliefs(row), _kelly(row, snapshot)]
    beside = [line for groups in facts for line in flow(groups, width - FALL - len(RULE))]
    lines = [*_beside(_fall(row), beside), *flow(checks, width), *flow(_hops(row), width)]
    return [cut(line, width) for line in lines]


def _beside(left: list[Line], right: list[Line]) -> list[Line]:
    """Two columns, the left one FALL cells wide."""
    lines = []
    for at in range(max(len(left), len(right))):
        first: Line = left[at] if at < len(left) else [(" " * FALL, "plain")]
        lines.append([*first, (RULE, "dim"), *(right[at] if at < len(right) else [])])
    return lines


# -- what the edge was made of ------------------------------------------------------------------------------


def _steps(row: DecisionRow, *, short: bool = False) -> list[tuple[str, int, bool]]:
    """The waterfall's terms; [] where the trader could not price it."""
    if not (row.gross_micros or row.net_micros or row.depth_micros):
        return []
    name = letter if short else clean
    first, second = name(row.buy_venue), name(row.sell_venue)
    if first == second:
        first, second = f"{first} 1", f"{second} 2"
    return [
        ("gross", row.gross_micros, True),
        ("depth", -row.depth_micros, False),
        (f"fee {first}", -row.fee_buy_micros, False),
        (f"fee {second}", -row.fee_sell_micros, False),
        ("net", row.net_micros, True),
    ]


def _fall(row: DecisionRow) -> list[Line]:
    """The waterfall, and what may still be lost, beside it."""
    steps = _steps(row)
    if not steps:
        return [[(fit("not priced: no books to price it on", FALL), "dim")]]
    beside = f"beside: leg risk {usd_text(-row.leg_risk_micros)}, lock-up {usd_text(-row.lock_up_micros)}"
    return [*waterfall(steps, FALL), [(fit(beside, FALL), "dim")]]


def _terms(row: DecisionRow) -> list[Line]:
    """The waterfall as facts in a row."""
    steps = _steps(row, short=True)
    if not steps:
        return [[("not priced: no books to price it on", "dim")]]
    return [
        fact(name, usd_text(micros, sign=True), term_role(micros, last=at == len(steps) - 1))
        for at, (name, micros, _) in enumerate(to_cents(steps))
    ]


# -- the verdict -----------------------------------------------------------------------------------------


def _verdict(row: DecisionRow) -> list[Line]:
    """What became of it: for a refusal the number, the limit, and the keys that set it."""
    word, role = action_word(row)
    if row.action != Action.REJECTED:
        said = result_text(row)
        return [[(word, role), (f"  {said}" if said else "", "plain")]]
    text = reason_plain(row.reason) or "no reason given"
    sentence = reason_sentence(row.reason, row.value_micros, row.limit_micros)
    groups: list[Line] = [[(f"✗ {text}", role)]]
    groups += [[(sentence, role)]] if sentence not in ("", text) else []
    return groups + [[(key, "dim")] for key in limit_keys(row.reason)]


def _beliefs(row: DecisionRow) -> list[Line]:
    """What the scanner saw against what the trader saw, and how far it was believed."""
    grade, role = confidence_word(row)
    groups = [fact("scan", f"{bp_text(row.edge_bp)} bp")]
    if _steps(row):
        change = row.last_look_bp - row.edge_bp
        worse = "fair" if change < 0 else "plain"
        groups.append(fact("last look", f"{bp_text(row.last_look_bp)} bp", worse, f"({bp_text(change)})"))
    groups.append(fact("confidence", grade, role))
    race = race_text(row.race_ppm, 1).partition(" ")[0]
    groups += [fact("race", race)] if race else []
    if row.size_units:
        size = size_text(row.size_units, row.size_decimals)
        groups.append(fact("size", f"{size} for {usd_text(row.cash_micros)}"))
    groups.append(fact("deal", f"{arrow(row.buy_venue, row.sell_venue)} {clean(row.kind)} {clean(row.mode)}"))
    return groups


def _kelly(row: DecisionRow, snapshot: Snapshot) -> list[Line]:
    """What Kelly would have bet before any limit, and why it was less."""
    if not row.kelly_ppm and not row.wanted_micros:
        return [[("Kelly ", "dim"), ("was not asked", "dim")]]
    share = f"(this edge alone: {percent_text(row.kelly_ppm)} of the bankroll)"
    groups = [fact("Kelly", f"wants {usd_text(row.wanted_micros)}", "plain", share)]
    if row.action == Action.REJECTED:
        return [*groups, [("bet nothing: refused", "dim")]]
    groups.append(fact("bet", usd_text(row.cash_micros)))
    less = row.cash_micros < row.wanted_micros
    return [*groups, [(_less(row, snapshot), "dim")]] if less else groups


def _less(row: DecisionRow, snapshot: Snapshot) -> str:
    """Why less was bet than Kelly wanted, as far as it can be told."""
    most = snapshot.kelly.order_micros if snapshot.kelly is not None else 0
    # Whole contracts: a limit is seldom met to the cent.
    if most and most * 95 // 100 <= row.cash_micros <= most:
        return f"an order is at most {usd_text(most)} (risk.max_order_usd)"
    return "the depth of the books, a limit, or a venue's cash leaves no more"


# -- checks and times --------------------------------------------------------------------------------------


def _every(asked: Asked) -> list[Line]:
    """Each check in its order: ✓ passed, ✗ failed, – not reached."""
    return [group for stage, checks in asked for group in _named(stage.name, checks)] or [_BY_PERSON]


def _named(stage: str, checks: list[tuple[Check, Came]]) -> list[Line]:
    groups: list[Line] = [[(f"{came.value} {check.word}", _ROLES[came])] for check, came in checks]
    groups[0].insert(0, (f"{stage}: ", "strong"))
    return groups


def _stages(asked: Asked, *, short: bool) -> list[Line]:
    """Each stage in its order with the number of its checks; that which failed with their names."""
    groups: list[Line] = []
    for stage, checks in asked:
        cames = [came for _, came in checks]
        if Came.FAILED not in cames:
            came = Came.PASSED if Came.PASSED in cames else Came.UNREACHED
            groups.append([(f"{came.value} {stage.name}", _ROLES[came]), (f" {len(checks)}", "dim")])
        elif short:
            word = checks[cames.index(Came.FAILED)][0].word
            groups.append([(f"✗ {stage.name}: {word}", "bad")])
        else:
            groups += _named(stage.name, checks)
    return [[("checks", "dim")], *groups] if groups else [_BY_PERSON]


def _hops(row: DecisionRow) -> list[Line]:
    """How long each hop of the price took, in ms, and all of them."""
    start_ns = last_ns = row.socket_ns
    if not start_ns:
        return [[("no price is behind it", "dim")]]
    groups: list[Line] = [[("ms ", "dim"), ("socket", "plain")]]
    for name in _HOPS:
        at_ns: int = getattr(row, f"{name}_ns")
        if at_ns:
            groups.append(fact(f"→ {name}", millis_text(at_ns - last_ns)))
            last_ns = at_ns
    return [*groups, fact("in all", millis_text(last_ns - start_ns), "strong")]
