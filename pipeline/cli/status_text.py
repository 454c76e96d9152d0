"""Status text: the status object as lines for people.

In: the object that `status.gather` makes. Out: lines. Pure; used by `status`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.model import BookState

WORKER_HEADS = (
    f"{'WORKER':<18}{'PID':>8}  {'STATE':<10}{'RESTARTS':>8}{'BEAT':>9}{'CPU':>7}{'MEMORY':>10}{'FILES':>7}"
)


def counter_lines(everything: dict[str, Any]) -> list[str]:
    """The counters for people."""
    out = []
    for name, entry in everything.items():
        out.append(f"{name}  (epoch {entry['epoch']})")
        out += [f"  {label:<32} {value:>12}" for label, value in entry["counters"].items()]
        out += [f"  error x{found['count']}: {found['text']}" for found in entry["errors"]]
    return out


def lines(state: dict[str, Any]) -> list[str]:
    """The status for people."""
    kind = "SIM " if state["simulated"] else ""
    out = [
        (
            f"{kind}{state['mode'].upper()}  profile {state['profile']}  up {state['uptime_s']:.0f} s  "
            f"config v{state['config_version']}{'  HALTED' if state['halted'] else ''}"
        ),
        *halt_lines(state),
        *configuration_lines(state["configuration"]),
        f"opportunities {state['opportunities']}  trades {state['trades']}  P&L ${state['pnl_usd']}",
        "",
        WORKER_HEADS,
        *map(worker_line, state["workers"]),
        *observer_lines(state["observer"]),
        "",
        *venue_lines(state["venues"]),
    ]
    out += hop_lines(state["hops"], state["seed_figures"])
    out += race_lines(state["races"])
    for event, lead in state["leads"].items():
        of = f"{lead['count']} of {lead['total']} moves"
        out.append(f"{event}: {lead['venue']} moves first, by {lead['lag_ms']} ms at the median, in {of}")
    for label, counts in (("not offered", state["refusals"]), ("refused", state["rejections"])):
        if counts:
            out += ["", f"{label}: {most(counts)}"]
    return out + account_lines(state)


def worker_line(worker: dict[str, Any]) -> str:
    """A line of the worker table, with what the process takes of the machine."""
    age, cpu, memory = worker["heartbeat_age_ms"], worker["cpu_pct"], worker["rss_mib"]
    beat = "-" if age is None else f"{age} ms"
    used = "-" if cpu is None else f"{cpu:.0f} %"
    taken = "-" if memory is None else f"{memory:.0f} MiB"
    files = "-" if worker["descriptors"] is None else str(worker["descriptors"])
    # How the last process ended matters to people only while there is no other.
    why = "" if worker["state"] == "RUNNING" or not worker["detail"] else f"  {worker['detail']}"
    return (
        f"{worker['name']:<18}{worker['pid'] or '-':>8}  {worker['state']:<10}{worker['restarts']:>8}"
        f"{beat:>9}{used:>7}{taken:>10}{files:>7}{why}"
    )


def configuration_lines(configuration: dict[str, Any]) -> list[str]:
    """What is wrong with the files as they are now, and what waits for a restart."""
    out = []
    if configuration["problem"]:
        out.append(f"config.toml does not hold, so the last good one acts: {configuration['problem']}")
    if configuration["waits"]:
        out.append(f"waits for a restart: {configuration['waits']}")
    return out


def observer_lines(observer: dict[str, Any]) -> list[str]:
    """Where Prometheus may ask, and the last alert."""
    out = []
    if observer.get("metrics_port"):
        out.append(f"metrics: http://127.0.0.1:{observer['metrics_port']}/metrics")
    if observer.get("alerts"):
        last = observer["alerts"][0]
        out.append(f"last alert {last['at']}: {last['text']} ({last['state']})")
    return out


def halt_lines(state: dict[str, Any]) -> list[str]:
    """Why nothing new is traded: by the switch, or because orders of an earlier run are not accounted for."""
    out = []
    if state["halt"] is not None:
        halt = state["halt"]
        who = f" by {halt['who']}" if halt["who"] else ""
        at = f" at {halt['at']}" if halt["at"] else ""
        out.append(f"HALTED{who}{at}: {halt['cause']}: run.py resume ends it")
        out += [f"  and then: {cause}" for cause in halt["later"]]
    if state["resolving"]:
        out.append(f"no new trade: {state['resolving']} orders of an earlier run are asked for")
    return out


def account_lines(state: dict[str, Any]) -> list[str]:
    """What is held, what is on its way, what Kelly makes of it, how good the predictions were."""
    out = []
    for event, held in state["positions"].items():
        sizes = ", ".join(f"{venue} {size}" for venue, size in held.items())
        out.append(f"holds {event}: {sizes}{event_text(state['events'].get(event))}")
    total = state["account"]
    if total and (state["positions"] or total["open_orders"] or total["unhedged"]):
        unhedged = f", {total['unhedged']} UNHEDGED" if total["unhedged"] else ""
        unknown = f", {total['unknown_orders']} unknown" if total["unknown_orders"] else ""
        out.append(
            f"exposure ${total['exposure_usd']}, not hedged ${total['net_exposure_usd']}, locked profit "
            f"${total['locked_profit_usd']}, orders {total['open_orders']}{unknown}{unhedged}"
        )
    kelly = state["kelly"]
    if kelly:
        prior = " (odds assumed)" if kelly["prior"] else ""
        out.append(
            f"kelly {kelly['mode']}: {kelly['winning_trades']} of {kelly['total_trades']} won, fraction "
            f"{kelly['safe_fraction']}{prior}, confidence {kelly['confidence']}, "
            f"next ${kelly['recommended_usd']} if trades are independent and alike"
        )
    made = state["calibration"]
    if made and made["trades"]:
        out.append(
            f"predictions: edge {made['edge_predicted_bp']} bp, came to {made['edge_realised_bp']} bp; "
            f"race {made['race_predicted']}, filled {made['filled']}, "
            f"Brier {made['brier']} of {made['trades']} trades"
        )
    return ["", *out] if out else []


def event_text(event: dict[str, Any] | None) -> str:
    """What is hedged of an event and what that has locked."""
    if event is None:
        return ""
    lone = f", {event['net']} {event['state'].upper()}" if event["state"] != "hedged" else ""
    return f" (hedged {event['hedged']}{lone}, {event['band']}, locked ${event['locked_usd']})"


def venue_lines(venues: dict[str, dict[str, Any]]) -> list[str]:
    """A line a venue for people, and one for each book that lost something and is not LIVE again."""
    heads = f"{'MESSAGES':>10}{'GAPS':>6}{'RECONNECTS':>12}{'LAG p50/p99':>15}  {'VERIFIED':<10}"
    out = [f"{'VENUE':<14}{'SOCKET':<12}{heads}BOOKS"]
    for name, venue in venues.items():
        states = Counter(book["state"] for book in venue["books"].values())
        summary = ", ".join(f"{count} {word}" for word, count in sorted(states.items())) or "none"
        lag, seen = lag_text(venue["lag_ms"]), verified(venue["books"])
        out.append(
            f"{name:<14}{venue['socket']:<12}{venue['messages']:>10}{venue['gaps']:>6}"
            f"{venue['reconnects']:>12}{lag:>15}  {seen:<10}{summary}"
        )
    for name, venue in venues.items():
        lost = Counter(
            (book["state"], book["fault"])
            for book in venue["books"].values()
            if book["fault"] and book["state"] != BookState.LIVE.name
        )
        out += [f"{name}: {count} {state} since: {fault}" for (state, fault), count in sorted(lost.items())]
    return out


def lag_text(lag: dict[str, float] | None) -> str:
    """The quantiles of a lag in milliseconds; negative where the venue's clock is ahead of ours."""
    return "-" if lag is None else f"{lag['p50']:.0f}/{lag['p99']:.0f} ms"


def verified(found: dict[str, dict[str, Any]]) -> str:
    """How long ago the LIVE book that was verified longest ago was; n/m where only n of m ever were."""
    live = [book["witnessed_s"] for book in found.values() if book["state"] == BookState.LIVE.name]
    known = [seconds for seconds in live if seconds is not None]
    if not known:
        return "-"
    return f"{max(known):.0f} s" if len(known) == len(live) else f"{len(known)}/{len(live)}"


def hop_lines(hops: dict[str, dict[str, Any]], seeds: dict[str, str]) -> list[str]:
    """A line a hop that something passed in the last minutes, beside what the seeds promise."""
    passed = {name: hop for name, hop in hops.items() if hop["count"]}
    if not passed:
        return []
    out = ["", f"{'HOP':<20}{'COUNT':>10}{'p50':>12}{'p99':>12}"]
    for name, hop in passed.items():
        seed = f"  the seeds: {seeds[name]}" if name in seeds else ""
        p50, p99 = span(hop["p50_us"]), span(hop["p99_us"])
        out.append(f"{name:<20}{hop['count']:>10}{p50:>12}{p99:>12}{seed}")
    return out


def span(us: float) -> str:
    """Microseconds in the unit that reads best."""
    if us < 1000:
        return f"{us:.0f} us"
    return f"{us / 1000:.1f} ms" if us < 1_000_000 else f"{us / 1_000_000:.1f} s"


def race_lines(races: dict[str, Any]) -> list[str]:
    """What is known of how long opportunities live, and how good the predictions were."""
    if not races.get("lives"):
        return []
    median = "longer than was seen" if races["median_ms"] is None else f"{races['median_ms']:.0f} ms"
    text = f"races: {races['lives']} lives, {races['censored_pct']:.0f} % censored, median {median}"
    if races["brier"] is not None:
        text += f", Brier {races['brier']} of {races['predictions']} predictions"
    return ["", text]


def most(counts: dict[str, int]) -> str:
    """Counts by name, the biggest first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
