"""Checks: what one key alone cannot show: keys that do not fit each other (for events: `event_checks`).

In: a `Config` whose single values are in range. Out: findings, each with the path of the key to change.
Pure; used by config_schema, which adds where the key stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pipeline.config import SIMULATED, Config, FeeConfig, VenueConfig, parse_time_ns
from pipeline.config_schema.text import KeyPath, did_you_mean
from pipeline.config_schema.values import masked, shown
from pipeline.fees import schedule_from_config, tier_problem
from pipeline.model import UNKNOWN_FEE

KNOWN_VENUES = ("kalshi", "polymarket", "kraken", "coinbase")
SOCKET_PATH_BYTES = 107  # of sun_path, without its ending zero
CCXT = re.compile(r"ccxt:[a-z0-9]{2,24}")  # any exchange that ccxt streams
SCHEMES = {"url": ("wss", "ws"), "rest_url": ("https", "http"), "book_url": ("https", "http")}
_LOOPBACK = re.compile(r"localhost|::1|127(\.\d{1,3}){3}")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and with which key; `other` is the key that it cannot stand beside."""

    path: KeyPath
    message: str
    suggestion: str = ""
    other: KeyPath = ()


def check(config: Config) -> Iterator[Finding]:
    """Everything that is wrong between keys."""
    yield from _venues(config)
    yield from _money(config)
    yield from _directories(config)
    yield from _delays(config)
    yield from _fees(config)


def is_loopback(url: str) -> bool:
    """Whether an address never leaves this machine."""
    parts = _split(url)
    return parts is not None and bool(_LOOPBACK.fullmatch(parts.hostname or ""))


def is_known(name: str) -> bool:
    """Whether there is a feed for a venue of this name."""
    return name in KNOWN_VENUES or CCXT.fullmatch(name) is not None


def is_real(venue: VenueConfig) -> bool:
    """Whether a venue's address is out in the world: neither simulated nor on this machine."""
    return venue.url != SIMULATED and not is_loopback(venue.url)


def _split(url: str) -> SplitResult | None:
    """The parts of an address, or None when it is none."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return parts if usable and not re.search(r"\s", url) else None


def _venues(config: Config) -> Iterator[Finding]:
    for name, venue in config.venues.items():
        base: KeyPath = ("venues", name)
        if not is_known(name):
            yield unknown_venue(base)
        wrong = [finding for key in SCHEMES for finding in _address((*base, key), getattr(venue, key))]
        yield from wrong
        mixed = venue.rest_url and (venue.url == SIMULATED) != (venue.rest_url == SIMULATED)
        if mixed and not wrong:
            other = "rest_url" if venue.rest_url == SIMULATED else "url"
            yield Finding((*base, other), 'url and rest_url must both be "sim", or both be addresses')
        if not venue.enable_websocket and not (venue.book_url or venue.rest_url):
            yield Finding((*base, "enable_websocket"), "without it books come by REST: name a rest_url")
        if not venue.enable_websocket and CCXT.fullmatch(name):
            yield Finding((*base, "enable_websocket"), "ccxt venues have no other way than their WebSocket")
        if venue.canary and venue.canary not in config.markets_of(name):
            yield Finding((*base, "canary"), f"{venue.canary[:64]!r} is none of the venue's markets")
        if venue.max_reconnect_delay < venue.reconnect_delay:
            yield _order((*base, "max_reconnect_delay"), "reconnect_delay", venue.reconnect_delay)
    yield from _proof(config)


def _proof(config: Config) -> Iterator[Finding]:
    """No book may be called stale between two signs of life; the rarest ones decide."""
    streams = [name for name, venue in config.venues.items() if venue.enabled and venue.enable_websocket]
    name = max(streams, key=lambda each: config.venues[each].heartbeat_interval, default="")
    proof, beat = config.scanner.proof_ms, config.venues[name].heartbeat_interval if name else 0
    if proof < 2000 * beat:
        yield Finding(
            ("scanner", "proof_ms"),
            f"must be at least {2000 * beat:g}, twice venues.{name}.heartbeat_interval, got {proof}:"
            " its books would be called stale between two signs of life",
        )


def unknown_venue(path: KeyPath, name: str = "") -> Finding:
    """A venue that no codec speaks to; its name is the last part of the path where it is a table's."""
    name = name or str(path[-1])
    message = f"no venue {shown(name)} is known; there are {', '.join(KNOWN_VENUES)} and ccxt:EXCHANGE"
    return Finding(path, message, did_you_mean(name, KNOWN_VENUES))


def _fees(config: Config) -> Iterator[Finding]:
    for name, fee in config.fees.items():
        base: KeyPath = ("fees", name)
        if not is_known(name):
            yield unknown_venue(base)
        times = list(time_problem(fee.as_of, (*base, "as_of")))
        yield from times or _fee(name, fee, base)


def _fee(name: str, fee: FeeConfig, base: KeyPath) -> Iterator[Finding]:
    """Whether a schedule can be made of it, as the feeds will; holes and gaps by the key that has them."""
    hole = tier_problem(fee.tiers)
    if hole is not None:
        yield Finding((*base, "tiers"), hole)
    elif fee.kind == "flat" and fee.per_unit is None:
        yield Finding((*base, "per_unit"), "kind 'flat' needs the dollars that a contract or coin costs")
    elif fee.kind == "custom" and fee.per_unit is None and fee.rate is None:
        yield Finding((*base, "rate"), "kind 'custom' needs a rate, per_unit, or both")
    else:
        try:
            schedule_from_config(name, fee, UNKNOWN_FEE)
        except ValueError as error:
            yield Finding(base, str(error))


def _address(path: KeyPath, url: str) -> Iterator[Finding]:
    """An address is encrypted unless it stays on this machine, and carries no secret."""
    secure, plain = SCHEMES[str(path[-1])]
    ccxt = CCXT.fullmatch(str(path[-2])) is not None
    if url == SIMULATED and ccxt:
        yield Finding(path, 'only native venues are simulated: leave it "", or name an address')
    if url == SIMULATED or (not url and (ccxt or path[-1] != "url")):
        return
    parts = _split(url)
    told = masked(url.partition("?")[0])[:60]
    if "@" in told:
        yield Finding(path, "an address must not hold a user or a password")
    elif parts is None or parts.scheme not in {secure, plain}:
        yield Finding(path, f'must be "sim" or an address that begins with {secure}://, got {told!r}')
    elif parts.scheme == plain and not is_loopback(url):
        yield Finding(path, f"must begin with {secure}:// unless it is on this machine, got {told!r}")


def _money(config: Config) -> Iterator[Finding]:
    for key, names in (("cash", list(config.trader.cash)), ("inventory", list(config.trader.inventory))):
        for name in names:
            if not is_known(name):
                yield unknown_venue(("trader", key, name))


def _directories(config: Config) -> Iterator[Finding]:
    if config.shm.directory and not config.shm.directory.startswith("/"):
        yield Finding(("shm", "directory"), "must be an absolute path")
    longest = f"{config.run_directory}/bell".encode("utf-8", "surrogateescape")
    if len(longest) > SOCKET_PATH_BYTES:
        yield Finding((), f"{config.run_directory} is too long for sockets: set a shorter XDG_RUNTIME_DIR")


def _delays(config: Config) -> Iterator[Finding]:
    limits = config.supervisor
    if limits.max_restart_delay < limits.restart_delay:
        yield _order(("supervisor", "max_restart_delay"), "restart_delay", limits.restart_delay)


def _order(path: KeyPath, lower: str, value: float) -> Finding:
    return Finding(path, f"must not be below {lower} ({value:g})")


def time_problem(text: str, path: KeyPath) -> Iterator[Finding]:
    """A finding when a text is neither empty nor a time."""
    try:
        parse_time_ns(text)
    except (ValueError, OverflowError):
        yield Finding(path, f"must be a time such as 2026-11-03T22:00:00Z, got {shown(text)}")
