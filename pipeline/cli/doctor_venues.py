"""Doctor venues: are the configured venues there, and does their time agree with ours?

In: the addresses of the configuration. Out: findings. Each address is asked once, all at the same time, and
none is waited for longer than ASK_SECONDS. Where every venue is simulated nothing is asked. The time is that
of the Date header (RFC 9110, 6.6.1), to the second. Used by `run.py doctor`.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from pipeline.cli.doctor_finding import Finding, good, warn
from pipeline.clock import Clock
from pipeline.config import SIMULATED, Config

ASK_SECONDS = 2.0
# Name look-ups know no deadline of their own.
WAIT_SECONDS = 4.0
# Signed requests are refused by venues at a few seconds; a Date header is cut to the second.
MOST_SKEW_SECONDS = 2.0
_TLS = {"https", "wss"}


@dataclass(slots=True)
class Answer:
    """What came of asking one address: `skew_s` is their clock less ours, None where they sent no time."""

    name: str
    url: str
    trouble: str = "no answer"
    skew_s: float | None = None


def addresses(config: Config) -> list[tuple[str, str]]:
    """Venue and address of everything that is real and watched."""
    found = []
    for name in config.feeds():
        venue = config.venues[name]
        stream = [venue.url] if venue.enable_websocket else []
        urls = [url for url in (*stream, venue.rest_url, venue.book_url) if url and url != SIMULATED]
        found += [(name, url) for url in dict.fromkeys(urls) if "://" in url]
    return found


def venues(config: Config, clock: Clock) -> Iterator[Finding]:
    """Reachability of each real address, and the clocks of those that tell theirs."""
    wanted = addresses(config)
    if not wanted:
        yield good("venues", "simulated: nothing was asked; --profile paper asks the real ones")
        return
    answers = [Answer(name, url) for name, url in wanted]
    threads = [threading.Thread(target=_ask, args=(answer, clock), daemon=True) for answer in answers]
    for thread in threads:
        thread.start()
    deadline_ns = clock.monotonic_ns() + round(WAIT_SECONDS * 1e9)
    for thread in threads:
        thread.join(max(0.0, (deadline_ns - clock.monotonic_ns()) / 1e9))
    for answer in answers:
        # Of a user's name and password in an address nothing is shown.
        host = answer.url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        if answer.trouble:
            todo = "look at the network, a proxy, the address in config.toml"
            yield warn("venues", f"{answer.name}: {host}: {answer.trouble}", todo)
        elif answer.skew_s is not None and abs(answer.skew_s) > MOST_SKEW_SECONDS:
            side = "ahead of" if answer.skew_s > 0 else "behind"
            text = f"{answer.name}: {host} is {abs(answer.skew_s):.0f} s {side} this machine"
            yield warn("venues", text, "set this machine's clock: timedatectl set-ntp true")
        else:
            yield good(
                "venues", f"{answer.name}: {host} answers" + (", same time" * (answer.skew_s is not None))
            )


def _ask(answer: Answer, clock: Clock) -> None:
    """Ask one address; in a thread of its own."""
    try:
        parts = urlsplit(answer.url)
        if parts.scheme in {"ws", "wss"}:
            _connect(parts).close()
        else:
            answer.skew_s = _skew(parts, clock)
        answer.trouble = ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        answer.trouble = f"{type(error).__name__}: {error}"[:120]


def _connect(parts: SplitResult) -> socket.socket:
    """A connection, over TLS with the certificate checked where the address says so."""
    port = parts.port or (443 if parts.scheme in _TLS else 80)
    plain = socket.create_connection((parts.hostname or "", port), ASK_SECONDS)
    if parts.scheme not in _TLS:
        return plain
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)
    except (OSError, ValueError):
        plain.close()
        raise


def _skew(parts: SplitResult, clock: Clock) -> float | None:
    """Their clock less ours in seconds, by the middle of the question; any status is an answer."""
    port = parts.port or (443 if parts.scheme in _TLS else 80)
    connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=ASK_SECONDS)
    connection.sock = _connect(parts)
    try:
        before = clock.wall_ns()
        connection.request("HEAD", parts.path or "/", headers={"Cache-Control": "no-cache"})
        sent = connection.getresponse().getheader("Date")
        middle = (before + clock.wall_ns()) / 2e9
    finally:
        connection.close()
    if sent is None:
        return None
    moment: datetime = parsedate_to_datetime(sent)
    # The header is cut to the second: on average the venue is half a second further.
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() + 0.5 - middle
