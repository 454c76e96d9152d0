"""Deliver: sends alerts to people. The door to `apprise`.

In: messages, and where the addresses are kept (an environment variable, a file, a keyring entry; one address
a line, # begins a comment). Out: a result for each message. Run by the observer, in a thread of its own, so
that a slow receiver holds up nobody; `run.py alert test` sends one message the same way. An address is a
secret: what is shown of it is its kind, and its host where that is a host's name.
"""

from __future__ import annotations

import threading
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib import import_module
from queue import Empty, Full, Queue
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.config import AlertsConfig
from pipeline.secrets import Secret, SecretError, hide_memory, load_secret, redact, remember

QUEUE, MOST_ADDRESSES = 64, 32
# Seconds before the second and the third try.
PAUSES_S = (2.0, 10.0)
# Kinds of address in which what stands where a host would is one; in others it is a token or a topic.
HOSTED = frozenset(
    "json jsons xml xmls form forms http https gotify gotifys mailto mailtos matrix matrixs mqtt mqtts"
    " smtp smtps".split()
)
# The words of an address's path that are no secret are shorter, or have no digit.
TOKEN_LETTERS = 16


class AlertState(IntEnum):
    """What became of an alert: the `state` cell of its row."""

    WAITS = 0
    SENT = 1
    FAILED = 2
    KEPT_BACK = 3
    NOBODY = 4


class Message(NamedTuple):
    """Something to be sent; `number` comes back in its result."""

    number: int
    title: str
    body: str


class Result(NamedTuple):
    """What became of a message; `why` says what failed, without a word of any address."""

    number: int
    state: AlertState
    why: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the addresses are kept; at most one of them is named."""

    env: str = ""
    file: str = ""
    keyring: str = ""

    @classmethod
    def of(cls, config: AlertsConfig) -> Places:
        """The places that [alerts] names."""
        return cls(config.urls_env, config.urls_file, config.urls_keyring)

    def __bool__(self) -> bool:
        """Whether any is named."""
        return bool(self.env or self.file or self.keyring)


class Address:
    """One address. `shown` is what people may see of it."""

    def __init__(self, url: Secret) -> None:
        self._url = url
        self.shown = shown(url.reveal())

    def send(self, title: str, body: str) -> str:
        """Send once; "" if that worked, else why not, without a word of the address."""
        try:
            apprise = _apprise()
        except ImportError:
            return "apprise is not installed: pip install 'parallax[alerts]'"
        try:
            asset = apprise.AppriseAsset(app_id="Parallax", app_desc="Parallax", async_mode=False)
            target = apprise.Apprise.instantiate(self._url.reveal(), asset=asset, suppress_exceptions=True)
            if target is None:
                return "apprise does not know this kind of address, or a part of it is missing"
            sent = target.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
        except Exception as error:
            # A plugin's error may hold the address: its kind alone is told.
            return f"{type(error).__name__} in apprise"
        return "" if sent else "it was refused, or nobody answered"


def addresses(places: Places, environ: MutableMapping[str, str]) -> list[Address]:
    """The addresses that are kept there, each remembered for `secrets.redact`. Raises SecretError."""
    what = "the addresses of alerts"
    # Before they are in memory, so that no moment is left in which another process could look.
    hide_memory()
    whole = load_secret(what, env=places.env, file=places.file, keyring=places.keyring, environ=environ)
    lines = [line.strip() for line in whole.reveal().splitlines()]
    urls = [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise SecretError(f"{what}: there is none; write one a line, such as mailto://USER:PASSWORD@HOST")
    if len(urls) > MOST_ADDRESSES:
        raise SecretError(f"{what}: {len(urls)} of them, and {MOST_ADDRESSES} are the most")
    for url in urls:
        remember(Secret(url), *tokens(url))
    return [Address(Secret(url)) for url in urls]


def shown(url: str) -> str:
    """What people may see of an address: `discord://***`, `json://127.0.0.1:8080`."""
    scheme, mark, _ = url.partition("://")
    if not mark or not scheme.isalnum() or len(scheme) > 16:
        return "***"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return f"{scheme}://***"
    if scheme.lower() not in HOSTED or not host:
        return f"{scheme}://***"
    return f"{scheme}://{host}:{port}" if port else f"{scheme}://{host}"


def tokens(url: str) -> list[str]:
    """Parts of an address that must not be seen by themselves: names, passwords, tokens."""
    try:
        parts = urlsplit(url)
        words = [parts.username or "", parts.password or "", parts.fragment]
        if parts.scheme.lower() not in HOSTED:
            # urlsplit makes a host's name small, and a token is as it is.
            words += parts.netloc.rpartition("@")[2].split(":")
        loose = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    except ValueError:
        return []
    words += [each for each in loose if len(each) >= TOKEN_LETTERS or any(map(str.isdigit, each))]
    return [spelling for word in words for spelling in dict.fromkeys((word, unquote(word))) if spelling]


class Delivery:
    """A thread that sends, and a bounded queue before it. Nothing here waits but the thread."""

    def __init__(
        self, places: Places, environ: MutableMapping[str, str], pauses_s: Sequence[float] | None = None
    ) -> None:
        self._environ = environ
        self._pauses_s = PAUSES_S if pauses_s is None else pauses_s
        self._todo: Queue[Message | Places] = Queue(QUEUE)
        self._done: Queue[Result] = Queue()
        self._stop = threading.Event()
        self._addresses: list[Address] = []
        self._problem = ""
        self._places = Places()
        self._todo.put_nowait(places)
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._thread.start()

    def adopt(self, places: Places) -> None:
        """Read the addresses again, there; with a full queue the old ones stay until the next time."""
        try:
            self._todo.put_nowait(places)
        except Full:
            self._done.put(Result(0, AlertState.FAILED, "addresses are not read again: the queue is full"))

    def put(self, message: Message) -> None:
        """Queue a message; where the queue is full it has failed."""
        try:
            self._todo.put_nowait(message)
        except Full:
            self._done.put(Result(message.number, AlertState.FAILED, "too many alerts wait already"))

    def results(self) -> list[Result]:
        """What became of messages since the last call. Number 0 is a trouble of no one message."""
        found: list[Result] = []
        while len(found) < 2 * QUEUE:
            try:
                found.append(self._done.get_nowait())
            except Empty:
                break
        return found

    def close(self, patience_s: float = 1.0) -> None:
        """Stop; what is under way has `patience_s` seconds to get out."""
        self._stop.set()
        self._thread.join(patience_s)

    def _run(self) -> None:
        """The thread: one message after the other, until told to stop."""
        while not self._stop.is_set():
            try:
                asked = self._todo.get(timeout=0.1)
            except Empty:
                continue
            if isinstance(asked, Places):
                self._load(asked)
            else:
                self._done.put(self._send(asked))

    def _load(self, places: Places) -> None:
        """Read the addresses. Where that fails while the place is the same, those from before stay."""
        kept = self._addresses if places == self._places else []
        self._places, self._problem = places, ""
        try:
            self._addresses = addresses(places, self._environ) if places else []
        except SecretError as error:
            self._addresses = kept
            # A variable is taken out of the environment by the first reading: what it held is still so.
            if not (kept and places.env):
                self._problem = str(error)
                self._done.put(Result(0, AlertState.FAILED, self._problem))

    def _send(self, message: Message) -> Result:
        """Send to every address, thrice where need be."""
        if self._problem and not self._addresses:
            return Result(message.number, AlertState.FAILED, self._problem)
        if not self._addresses:
            return Result(message.number, AlertState.NOBODY)
        waiting = self._addresses
        whys: list[str] = []
        for pause_s in (*self._pauses_s, None):
            failed = [(each, each.send(message.title, message.body)) for each in waiting]
            waiting = [each for each, why in failed if why]
            whys = [f"{each.shown}: {why}" for each, why in failed if why]
            if not waiting or pause_s is None or self._stop.wait(pause_s):
                break
        if not waiting:
            return Result(message.number, AlertState.SENT)
        return Result(message.number, AlertState.FAILED, redact("; ".join(whys)))


def _apprise() -> Any:
    """The library, loaded when the first alert goes out, and silent: what it logs shows addresses."""
    apprise, logs = import_module("apprise"), import_module("apprise.logger")
    logs.logger.disabled = True
    # Its HTTP client may log whole addresses too; "apprise.logger" has the door to `logging` open.
    logs.logging.getLogger("urllib3").disabled = True
    logs.logging.getLogger("urllib3.connectionpool").disabled = True
    return apprise
