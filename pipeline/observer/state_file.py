"""State file: the content of data/bot_state.json: whether the bot runs, how it is, and what it has done.

In: the status object, the configuration. Out: JSON. Pure; used by `export`. It says what worker table and
heartbeats say at this moment; what it is worth later, the reader decides by its own clock.
"""

from __future__ import annotations

from typing import Any

from pipeline.config import Config
from pipeline.observer.facts import clean

# Without one of these no trade is made.
NEEDED = ("scanner", "trader")
VENUE_KEYS = (
    "connected",
    "socket",
    "subscriptions",
    "messages",
    "gaps",
    "reconnects",
    "bad_frames",
    "checksums_bad",
    "lag_ms",
)


def content(
    config: Config, state: dict[str, Any], *, supervised: bool = True
) -> tuple[object, dict[str, Any]]:
    """(key, content): equal keys mean that nothing is new that somebody would want to know at once.

    Not `supervised`: the supervisor's process is known to be gone, whatever its last heartbeat says.
    """
    down = missing(config, state)
    if not supervised and "supervisor" not in down:
        down.insert(0, "supervisor")
    running = not any(name in ("supervisor", *NEEDED) for name in down)
    account = state["account"]
    refused = sum(state["rejections"].values())
    decided = state["opportunities"]
    venues = {venue: _venue(found) for venue, found in state["venues"].items()}
    body = {
        "running": running,
        "state": "RUNNING" if running else "STOPPED",
        "down": down,
        "mode": account.get("order_mode") or config.trader.mode,
        "account": config.account,
        "halted": state["halted"],
        "halt": _halt(state["halt"]),
        "started_wall_ns": config.started_wall_ns or None,
        "uptime_s": state["uptime_s"],
        "opportunities": decided,
        "trades": state["trades"],
        "total_pnl_usd": state["pnl_usd"],
        "realised_usd": account.get("realised_usd"),
        "unrealised_usd": account.get("unrealised_usd"),
        "fees_usd": account.get("fees_usd"),
        "websockets": venues,
        "active_subscriptions": sum(found["subscriptions"] for found in venues.values()),
        "risk": _risk(config, state),
        "workers": {worker["name"]: _worker(worker) for worker in state["workers"]},
        "supervisor": state["supervisor"],
        "metrics_port": state["observer"].get("metrics_port", 0),
    }
    key = (
        running, tuple(down), state["halted"], decided, state["trades"], state["approved"], refused,
        tuple((venue, found["socket"]) for venue, found in venues.items()),
        account.get("unhedged"), account.get("realised_usd"), config.version,
    )  # fmt: skip
    return key, body


def _risk(config: Config, state: dict[str, Any]) -> dict[str, Any]:
    """What the risk manager let through and refused, and how far its limits are."""
    account, decided = state["account"], state["opportunities"]
    return {
        "approval_rate": round(state["approved"] / decided, 4) if decided else None,
        "approved": state["approved"],
        "rejected": sum(state["rejections"].values()),
        "rejections": state["rejections"],
        "daily_pnl_usd": account.get("day_pnl_usd"),
        "daily_pnl_known": account.get("day_known"),
        "daily_loss_limit_usd": config.risk.daily_loss_usd,
        "consecutive_losses": account.get("consecutive_losses"),
        "max_consecutive_losses": config.risk.max_consecutive_losses,
        "gross_exposure_usd": account.get("exposure_usd"),
        "net_exposure_usd": account.get("net_exposure_usd"),
        "exposure_limit_usd": config.risk.max_exposure_usd,
        "band": account.get("band"),
        "unhedged": account.get("unhedged"),
        "open_orders": account.get("open_orders"),
        "unknown_orders": account.get("unknown_orders"),
    }


def missing(config: Config, state: dict[str, Any]) -> list[str]:
    """Processes that do not run: by the worker table, and by heartbeats that are too old."""
    limit_ms = config.supervisor.hung_after * 1000
    down = [
        worker["name"]
        for worker in state["workers"]
        if worker["state"] != "RUNNING" or _silent(worker, limit_ms)
    ]
    named = {worker["name"] for worker in state["workers"]}
    down += [name for name in NEEDED if name not in named]
    return ["supervisor", *down] if _silent(state["supervisor"], limit_ms) else down


def _silent(process: dict[str, Any], limit_ms: float) -> bool:
    age = process["heartbeat_age_ms"]
    return age is None or (age > limit_ms and not process["busy"])


def _halt(halt: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if halt is None else {name: clean(str(halt[name] or "")) for name in ("cause", "who", "at")}


def _venue(found: dict[str, Any]) -> dict[str, Any]:
    """A venue's connections in the words of S1: connected is every link up and a beating feed."""
    return {name: found.get(name) for name in VENUE_KEYS}


def _worker(worker: dict[str, Any]) -> dict[str, Any]:
    return {
        "state": worker["state"],
        "pid": worker["pid"],
        "restarts": worker["restarts"],
        "heartbeat_age_ms_at_write": worker["heartbeat_age_ms"],
    }
