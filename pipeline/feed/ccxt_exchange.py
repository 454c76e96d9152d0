"""CCXT exchange: one exchange object of ccxt, from its making to its end. The door to ccxt.

In: a venue's settings, symbols. Out: ccxt's books and market lists, signs of life of its sockets, and one
error for all that goes wrong. Used by ccxt_feed, which throws the object away on any trouble.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pipeline.config import VenueConfig
from pipeline.feed.ccxt_books import made_market, moved
from pipeline.model import BookFault

INSTALL = "install it with `.venv/bin/pip install --require-hashes -r requirements-ccxt.lock`"
CLOSE_SECONDS = 1.0
SEND_SECONDS = 1.0
# The market list of a large exchange is megabytes, and ccxt works seconds on it without a pause.
LOAD_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 300.0


class CcxtError(Exception):
    """This feed cannot be: ccxt is missing, or does not stream this exchange. The text says what to do."""


class LostError(Exception):
    """The exchange object is of no use any more; `counter` names what is counted, if anything.

    `fault` is what its books then show.
    """

    def __init__(self, why: str, counter: str = "", fault: BookFault = BookFault.DISCONNECTED) -> None:
        super().__init__(why)
        self.counter = counter
        self.fault = fault


class RefusedError(Exception):
    """The exchange, or ccxt for it, does not serve this symbol."""


def library(exchange: str) -> Any:
    """ccxt, imported now. Raises CcxtError where it is missing or does not stream `exchange`'s books."""
    try:
        import ccxt.pro
    except ImportError as error:
        raise CcxtError(f"ccxt is missing ({error}): {INSTALL}") from error
    names = ccxt.pro.exchanges
    if exchange not in names:
        near = get_close_matches(exchange, names, 1)
        hint = f"; did you mean ccxt:{near[0]}?" if near else ""
        raise CcxtError(f"ccxt {ccxt.__version__} streams no exchange {exchange!r}{hint}")
    if not getattr(ccxt.pro, exchange)().has.get("watchOrderBook"):
        raise CcxtError(f"ccxt {ccxt.__version__} streams no order books of {exchange}")
    return ccxt


class Exchange:
    """One exchange object. Everything that fails raises LostError; then `close` it and make another."""

    def __init__(self, ccxt: Any, name: str, settings: VenueConfig) -> None:
        """`ccxt` is what `library` gave. Addresses that `settings` leaves out are the exchange's own."""
        self.name = name
        self._ccxt = ccxt
        self._settings = settings
        # An exchange on this machine without REST lists no markets: then we say what they are.
        self.by_hand = not settings.rest_url and is_here(settings.url)
        self._stray = ""
        # By socket: the library's mark of its last frame, and when we saw that mark change.
        self._marks: dict[str, tuple[int, int]] = {}
        self._exchange = self._make()

    def _make(self) -> Any:
        settings = self._settings
        # ccxt waits at the end of `close`, lest a loop that ends at once leaves TLS unfinished: ours goes on.
        options: dict[str, Any] = {"timeout": round(LOAD_SECONDS * 1000), "timeout_on_exit": 0}
        if self.name == "kraken":
            # In ccxt 4.5.90 this checksum, computed from floats, kills the loop that reads the socket.
            options["options"] = {"watchOrderBook": {"checksum": False}}
        exchange = getattr(self._ccxt.pro, self.name)(options)
        api = exchange.urls["api"]
        rest = settings.rest_url or (settings.url.replace("ws", "http", 1) if self.by_hand else "")
        for key in api:
            address = settings.url if key == "ws" else rest
            if address:
                parts = urlsplit(address)
                api[key] = moved(api[key], f"{parts.scheme}://{parts.netloc}")
        return exchange

    @property
    def precision_mode(self) -> int:
        """How the exchange's precisions are to be read (ccxt_books.scale_of)."""
        return int(self._exchange.precisionMode)

    def listed(self, symbol: str) -> Mapping[str, Any] | None:
        """What the exchange lists about a symbol, None where it lists none."""
        found: Mapping[str, Any] | None = (self._exchange.markets or {}).get(symbol)
        return found

    def say(self, symbols: Sequence[str]) -> None:
        """Tell ccxt what markets there are, where the exchange cannot (`by_hand`)."""
        self._exchange.set_markets([made_market(self.name, symbol) for symbol in symbols])

    def inherit(self, before: Exchange) -> None:
        """Take over the list of markets of an earlier object of the same exchange."""
        self._exchange.set_markets_from_exchange(before._exchange)

    async def load(self) -> None:
        """Read the list of markets. Raises LostError; the last list then holds."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await self._exchange.load_markets(reload=True)
        except (self._ccxt.BaseError, OSError) as error:
            raise LostError(f"markets: {text_of(error)}", "rest_failures") from error

    async def watch(self, symbol: str, seconds: float) -> Mapping[str, Any]:
        """The symbol's book when it has next changed. It is ccxt's own: use it before the next wait.

        `seconds` 0 waits for ever. Raises TimeoutError, RefusedError, LostError.
        """
        ccxt = self._ccxt
        try:
            async with asyncio.timeout(seconds or None):
                book: Mapping[str, Any] = await self._exchange.watch_order_book(symbol)
                return book
        except TimeoutError:
            raise
        except (ccxt.BadRequest, ccxt.NotSupported) as error:
            raise RefusedError(text_of(error)) from error
        except ccxt.ChecksumError as error:
            raise LostError(text_of(error), "checksums_bad") from error
        except Exception as error:
            # ccxt raises of its own, of aiohttp's, and plain ones where it was wrong about a message.
            raise LostError(text_of(error)) from error

    # -- signs of life -----------------------------------------------------------------------------

    def prove(self, now_ns: int) -> int:
        """When the least alive of the sockets was last heard, as seen by calls of this; 0 before the first.

        Raises LostError when that is longer ago than the timeout, or the loop that reads a socket has died.
        """
        if self._stray:
            raise LostError(self._stray)
        for url, client in list((self._exchange.clients or {}).items()):
            mark = client.last_message_at
            if mark is not None and self._marks.get(url, (None, 0))[0] != mark:
                self._marks[url] = (mark, now_ns)
        proof_ns = min((seen_ns for _, seen_ns in self._marks.values()), default=0)
        if proof_ns and now_ns - proof_ns > self._settings.timeout * 1e9:
            raise LostError(f"silent for {self._settings.timeout:g} s", "silences")
        return proof_ns

    async def ping(self) -> None:
        """Ping each open socket in the exchange's own way, as ccxt itself does, only more often.

        One that was not heard yet is left alone: some exchanges close on a ping before a subscription.
        """
        for url, client in list((self._exchange.clients or {}).items()):
            if url not in self._marks or client.closed():
                continue
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await (client.send(client.ping(client)) if client.ping else client.connection.ping())
            except OSError as error:
                raise LostError(f"ping: {text_of(error)}") from error

    def strayed(self, why: str) -> None:
        """A callback of ccxt has failed: such a failure ends the loop that reads a socket, silently."""
        self._stray = why

    def told_to_wait_ns(self) -> int:
        """How long the exchange asked us to wait, by Retry-After, when it refused a handshake; 0 for not."""
        urls = getattr(self._exchange, "ws_dial_backoff", None) or {}
        waits = [float(self._exchange.ws_dial_delay(url)) for url in urls]
        return round(min(max(waits, default=0.0), MAX_RETRY_AFTER_SECONDS) * 1e9)

    async def close(self) -> None:
        """Let go of everything, at the latest after twice CLOSE_SECONDS. Raises whatever went wrong."""
        exchange = self._exchange
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await exchange.close()
        except Exception:
            # ccxt waits for the other side to close, too, and one that is dead does not: cut the sockets.
            async with asyncio.timeout(CLOSE_SECONDS):
                if exchange.session is not None:
                    await exchange.session.close()
                await exchange.close_connector()
            raise


def is_here(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def text_of(error: BaseException) -> str:
    """An exception in one line of bounded length."""
    return " ".join(f"{type(error).__name__} {error}".split())[:200]
