"""Summary text: what happened, as one screen of plain words.

In: the object that `summary_facts.facts` makes. Out: lines. Pure; used by `summary`, and for the daily
message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.cli.journal_export import clean

NAME_LETTERS, MOST_NAMED = 13, 6


def lines(found: Mapping[str, Any], label: str) -> list[str]:
    """The summary for people; `label` says whose money it is."""
    head = f"{label}: {found['since'][:19]} to {found['until'][:19]} UTC, {span(found['seconds'])}"
    rows = [
        ("money", money(found["pnl"])),
        ("trades", trades(found["trades"])),
        ("near misses", near(found["near_misses"])),
        ("refused", counts(found["refused"])),
        ("not offered", counts(found["not_offered"])),
        ("restarts", counts(found["restarts"]) + given_up(found["given_up"])),
        ("HALT", halts(found["halts"])),
        ("lone legs", lone(found["unhedged"])),
        ("oldest book", oldest(found["oldest_book"])),
        ("slowest hop", slowest(found["slowest_hop"])),
        ("lost links", counts(found["disconnects"])),
        ("alerts", alerts(found["alerts"])),
    ]
    out = [head, *(f"{name:<{NAME_LETTERS}}{clean(text)}" for name, text in rows)]
    return out + [f"not known: {clean(problem)}" for problem in found["problems"]]


def span(seconds: int) -> str:
    """A length of time in the two units that say most."""
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for name, length in units:
        count, seconds = divmod(seconds, length)
        if count or (parts and name != "s"):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def money(pnl: Mapping[str, Any]) -> str:
    """Realised, fees, unrealised."""
    if pnl["realised_usd"] is None:
        return "no ledger"
    unrealised = pnl["unrealised_usd"]
    open_text = "not known" if unrealised is None else dollars(unrealised)
    realised, fees = dollars(pnl["realised_usd"]), dollars(pnl["fees_usd"])
    return f"realised {realised} after fees, fees {fees}, unrealised {open_text}"


def dollars(text: str) -> str:
    """An amount of money, the sign before it."""
    return f"-${text[1:]}" if text.startswith("-") else f"${text}"


def trades(found: Mapping[str, Any]) -> str:
    """How many, how many won, the best and the worst."""
    text = f"{found['opened']} opened, {found['closed']} closed"
    if not found["closed"]:
        return text
    best, worst = found["best"], found["worst"]
    return (
        f"{text}: {found['won']} won, {found['lost']} lost ({found['win_rate']:.0%}); best "
        f"{dollars(best['result_usd'])} {best['event_id']}, "
        f"worst {dollars(worst['result_usd'])} {worst['event_id']}"
    )


def near(found: Mapping[str, Any]) -> str:
    """How many refusals were close, and the ones worth most."""
    best = [f"{row['event_id']} {row['reason']} {row['value']} of {row['limit']}" for row in found["best"]]
    return f"{found['count']}: {'; '.join(best)}" if found["count"] else "none"


def counts(found: Mapping[str, int]) -> str:
    """The biggest counts by name."""
    ordered = sorted(found.items(), key=lambda item: -item[1])
    more = len(ordered) - MOST_NAMED
    text = ", ".join(f"{name} {count}" for name, count in ordered[:MOST_NAMED])
    return f"{text} and {more} more" if more > 0 else text or "none"


def given_up(names: list[str]) -> str:
    """Workers that nobody starts any more."""
    return f"; given up: {', '.join(names)}" if names else ""


def halts(found: list[Mapping[str, str]]) -> str:
    """How often trading was stopped, and why the last time."""
    stops = [turn for turn in found if turn["state"] == "HALT"]
    if not stops:
        return "none"
    last = stops[-1]
    over = "" if found[-1]["state"] == "HALT" else ", resumed"
    return f"{len(stops)}: the last at {last['utc'][11:19]} by {last['who']}: {last['cause']}{over}"


def lone(found: Mapping[str, Any]) -> str:
    """Legs that stood alone."""
    now = "" if found["now"] is None else f", {found['now']} now"
    return f"{found['since']} trades{now}" if found["since"] or found["now"] else "none"


def oldest(found: Mapping[str, Any] | None) -> str:
    """The oldest book at a trade."""
    return f"{found['age_ms']} ms at a trade ({found['venue']}, {found['trade_id']})" if found else "no trade"


def slowest(found: Mapping[str, Any] | None) -> str:
    """The slowest hop of any decision."""
    return (
        f"{found['hop']} {found['ms']} ms ({found['event_id']}, {found['utc'][11:19]})" if found else "none"
    )


def alerts(found: Mapping[str, Any]) -> str:
    """What was told, and whether it went out."""
    unsent = f"; {found['not_sent']} could not be sent" if found["not_sent"] else ""
    return counts(found["told"]) + unsent
