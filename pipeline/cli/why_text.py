"""Why text: the facts of `why` as lines for people.

In: the plain values that `why --json` prints. Out: lines. Pure.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from dashboard.event_layout import PAIR_KINDS
from dashboard.formatting import arrow, fit, letter
from pipeline.cli.status_text import most

CENT = Decimal("0.01")
FINE = Decimal("0.0001")


def list_lines(found: list[dict[str, Any]]) -> list[str]:
    """A line for each direction of all events."""
    if not found:
        return ["no events: name some in config.toml under [[events]]"]
    cells = min(40, max(len(one["event"]) for one in found))
    out = [f"{'EVENT':<{cells}}  {'KIND':<12}{'DIRECTION':<34}{'NET bp':>8}  WHY NOT"]
    for one in found:
        edge = one.get("edge_bp")
        net = "--" if edge is None else f"{edge:+d}"
        how = fit(deal_text(one), 34)
        out.append(f"{fit(one['event'], cells)}  {one['kind']:<12}{how}{net:>8}  {why_text(one['verdict'])}")
    return [*out, "", "more of one: run.py why EVENT"]


def event_lines(facts: dict[str, Any]) -> list[str]:
    """Everything about one event."""
    sim = "SIM " if facts["simulated"] else ""
    title = "" if facts["title"] == facts["event"] else f"  {facts['title']}"
    out = [f"{sim}{facts['mode'].upper()}  {facts['event']}{title}  ({facts['kind']})", ""]
    out += [line for number, leg in enumerate(facts["legs"], 1) for line in leg_lines(number, leg)]
    out += ["", review_text(facts["review"])]
    for one in facts["directions"]:
        out += ["", *direction_lines(one)]
    if not facts["directions"]:
        out += ["", "no direction: the legs of this event make no trade of its kind"]
    out += [quote_text(quote) for quote in facts["quotes"]]
    return [*out, "", *trader_lines(facts)]


def leg_lines(number: int, leg: dict[str, Any]) -> list[str]:
    """A leg's book and fee."""
    age = "never heard" if leg["age_ms"] is None else f"{leg['age_ms']} ms old"
    bid, ask = level_text(leg["bid"]), level_text(leg["ask"])
    marks = [leg["status"] or "not listed", *leg["flags"]]
    marks += [leg["polarity"]] if leg["polarity"] == "inverse" else []
    marks += [f"lost: {leg['fault']}"] if leg["fault"] else []
    return [
        f"{number}  {leg['venue']} {leg['market']}",
        f"   {leg['state']}, {age}; bid {bid}, ask {ask}; {', '.join(marks)}; rules {leg['rules']}",
        f"   fee {fee_text(leg['fee'])}",
    ]


def level_text(level: dict[str, str] | None) -> str:
    """Price × size, "--" for an empty side."""
    return "--" if level is None else f"{level['price']} × {level['size']}"


def fee_text(fee: dict[str, Any] | None) -> str:
    """A schedule with its source and date."""
    if fee is None or fee["kind"] == "unknown":
        return "unknown: the market is watched and never traded"
    parts = [fee["kind"], f"rate {fee['rate']}"]
    parts += [f"exponent {fee['exponent']}"] if fee["kind"] == "polymarket" else []
    parts += [f"{fee['per_unit']} a unit"] if fee["per_unit"] != "0" else []
    parts += [f"to ${fee['precision']}"] if fee["precision"] != "0" else []
    parts += [f"waived until {fee['waived_until']}"] if fee["waived_until"] else []
    source = fee["source"] or "the venue"
    return ", ".join(parts) + f"; from {source}" + (f", {fee['as_of']}" if fee["as_of"] else "")


def review_text(review: dict[str, Any] | None) -> str:
    """Who compared the rules, and whether they are still the same."""
    if review is None or not review["by"]:
        return "review: none, so it is watched and never traded (events.review.by)"
    changed = [one for one in review["hashes_now"] if one not in review["reviewed_hashes"]]
    rules = f"rules CHANGED, now {', '.join(one[:12] for one in changed)}" if changed else "rules as reviewed"
    when = f" on {review['at']}" if review["at"] else ""
    void = f", void rule {review['void_rule']!r}" if review["void_rule"] else ""
    return f"review: by {review['by']}{when}, mismatch {review['mismatch']}{void}; {rules}"


def deal_text(one: dict[str, Any]) -> str:
    """What is done, in few words: "yes K + no P"; pairs begin with their arrow."""
    legs, words = one["legs"], []
    for leg in legs[:3]:
        verb = "sell " if leg["action"] == "sell" else ""
        words.append(f"{verb}{leg['outcome']} {letter(leg['venue'])}")
    more = [f"{len(legs) - 3} more"] if len(legs) > 3 else []
    text = " + ".join([*words, *more])
    return f"{arrow(legs[0]['venue'], legs[1]['venue'])}  {text}" if one["kind"] in PAIR_KINDS else text


def why_text(verdict: dict[str, Any]) -> str:
    """The verdict as a sentence with its number, its limit and the key that sets it."""
    if verdict["reason"] is None:
        return "nothing: the scanner offers it, see the trader's last word"
    text = verdict["text"]
    if verdict["sentence"] != text:
        text += f": {verdict['sentence']}"
    keys = [f"{key} = {value}" if value else key for key, value in verdict["keys"].items()]
    return f"{text} ({' or '.join(keys)})" if keys else text


def direction_lines(one: dict[str, Any]) -> list[str]:
    """One direction: the verdict, the waterfall, and what belongs to it."""
    label = "MODEL, no arbitrage" if one["kind"] == "model" else one["kind"]
    out = [f"{deal_text(one)}  ({label})", f"   why not: {why_text(one['verdict'])}"]
    if one["waterfall"] is not None:
        out += waterfall_lines(one["waterfall"])
    if one.get("net_low") is not None:
        out += figure_lines(one)
    if one["model"] is not None:
        model = one["model"]
        out.append(
            f"   model: YES {model['low']} to {model['high']}, at best {model['middle']}; "
            f"volatility {model['sigma']} a year"
        )
    out += belief_lines(one)
    return out


def waterfall_lines(fall: dict[str, Any]) -> list[str]:
    """Gross, and what is taken from it step by step."""
    steps = [("gross", fall["gross"], False), ("depth", fall["depth"], True)]
    steps += [(f"fee {fee['venue']}", fee["fee"], True) for fee in fall["fees"]]
    steps += [("net", fall["net"], False), ("leg risk", fall["leg_risk"], True)]
    steps += [("lock-up", fall["lock_up"], True), ("remains", fall["remains"], False)]
    return [
        f"   {name:<18}{usd(-Decimal(amount) if taken else Decimal(amount), FINE):>14}"
        for name, amount, taken in steps
    ]


def figure_lines(one: dict[str, Any]) -> list[str]:
    """The size, the returns, and the worst that can come."""
    # What loses has no sensible return a year.
    annual = f", {one['annual_bp']:+,d} bp a year" if one["annual_bp"] and one["edge_bp"] > 0 else ""
    even = "no size pays"
    if one["break_even"] is not None:
        even = f"pays from {one['break_even']} to {one['pays_to']}"
    cash, low = usd(Decimal(one["cash"])), usd(Decimal(one["net_low"]))
    bp = f"{one['edge_bp']:+d} bp net, {one['gross_bp']:+d} bp gross"
    return [
        f"   size {one['size']} for {cash}: {bp}{annual}; {low} at the worst split of fills",
        f"   pays at worst {usd(Decimal(one['worst_payoff']))} a unit ({one['worst_case']}); {even}",
    ]


def belief_lines(one: dict[str, Any]) -> list[str]:
    """How far the numbers may be believed, and how long."""
    confidence, race, lead = one["confidence"], one["race"], one["lead"]
    if confidence is None:
        return ["   the scanner has not looked at it"]
    stands = race is not None
    parts = [f"confidence {confidence['grade']}" if stands else "no edge stands: no confidence, no race"]
    if "age_ms" in confidence:
        parts.append(f"oldest book {confidence['age_ms']} ms")
        parts.append(f"{confidence['shown_per_size']} × the size is shown")
        parts.append(f"flags {' '.join(confidence['flags']) or 'none'}")
    if stands:
        share = Decimal(race["probability"]) * 100
        parts.append(f"race {share:.0f} % ({race['source']}) after {race['age_ms']} ms")
    out = [f"   {'; '.join(parts)}; scanned {one['scanned_ms']} ms ago"]
    if lead is not None:
        moves = f"{lead['first']} of {lead['moves']} moves"
        if lead["venue"] is None:
            out.append(f"   neither leg moves first (n = {lead['moves']})")
        else:
            out.append(f"   {lead['venue']} moves first: {moves}, by {lead['lead_ms']:.0f} ms")
    return out


def quote_text(quote: dict[str, Any]) -> str:
    """The queue before a maker's quote."""
    return (
        f"queue {quote['venue']} {quote['market'][:16]} {quote['side']} {quote['price']}: joined "
        f"{quote['joined_s']} s ago behind {quote['front']} of {quote['level']}; left before it "
        f"{quote['risk_averse']} (risk-averse), {quote['power']} (power), {quote['log']} (log)"
    )


def trader_lines(facts: dict[str, Any]) -> list[str]:
    """What the trader says: its state, its last decisions, and what is refused most."""
    out = [trader_text(facts["trader"])]
    limits, deals = facts["limits"], {one["direction"]: deal_text(one) for one in facts["directions"]}
    shown = (
        "min_edge_bp",
        "min_profit_usd",
        "min_profit_pct",
        "max_order_usd",
        "max_event_usd",
        "cooldown_ms",
    )
    out.append("limits: " + ", ".join(f"{key} {limits[f'risk.{key}']}" for key in shown))
    for one in facts["decisions"]:
        how = deals.get(one["direction"], f"direction {one['direction']}")
        said = one["sentence"] or f"net {usd(Decimal(one['net']))}"
        keys = f" ({' or '.join(one['keys'])})" if one["keys"] else ""
        out.append(f"   {one['at']}  {how}  {one['edge_bp']:+d} bp  {one['action']}  {said}{keys}")
    if not facts["decisions"]:
        out.append("   it has decided nothing on this event")
    if facts["log_problem"]:
        out.append(f"   {facts['log_problem']}")
    for label, counts in (("scanner", facts["scanner_refusals"]), ("trader", facts["trader_refusals"])):
        if counts:
            out.append(f"{label} refused, all events: {most(counts)}")
    return out


def trader_text(trader: dict[str, Any] | None) -> str:
    """What holds for every event."""
    if trader is None:
        return "trader: it shows no account: not running, or just starting"
    halted = f"HALTED ({trader['halt_cause']}), " if trader["halted"] else ""
    if trader["resolving"]:
        halted += f"asks for {trader['resolving']} orders of an earlier run, "
    unhedged = f"{trader['unhedged']} unhedged, " if trader["unhedged"] else ""
    exposure, day, kelly = (usd(Decimal(trader[key])) for key in ("exposure", "day_pnl", "kelly_usd"))
    return f"trader: {halted}{unhedged}exposure {exposure}, day P&L {day}, Kelly {kelly}"


def usd(amount: Decimal, step: Decimal | None = None) -> str:
    """Dollars with a sign before them: in `step`s, else cents, or four decimals where they are few."""
    few = Decimal(0) < abs(amount) < 10
    cut = amount.quantize(step or (FINE if few else CENT))
    return f"-${-cut:,}" if cut < 0 else f"${abs(cut):,}"
