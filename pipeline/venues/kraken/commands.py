"""What we ask of Kraken over the socket, and which symbols it has not answered for yet.

In: symbols, answers. Out: request texts, the symbols of a request that was refused whole. Pure. Used by
the Kraken codec. Source: Kraken's v2 documentation, subscribe and ping.

A request may name many symbols; each is answered for itself. A malformed request, or one too many, is
answered once and names no symbol, so we must know which ones it was about.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

# Symbols of one request: 250 pairs are asked for with five messages, well below the rate limit.
CHUNK = 50


class Commands:
    """Requests of one connection, each with a number of its own."""

    def __init__(self, depth: int) -> None:
        """`depth` is that of every book subscription."""
        self._depth = depth
        self._number = 0
        self._instruments = 0
        self._open: dict[str, int] = {}

    def instruments(self) -> str:
        """Subscribe to the instrument channel: all pairs at once, then what changes."""
        text = self._request("subscribe", {"channel": "instrument", "snapshot": True})
        self._instruments = self._number
        return text

    def subscribe(self, symbols: list[str]) -> list[str]:
        """Subscribe to books; their symbols are unanswered from now on."""
        return self._books("subscribe", symbols, {"snapshot": True})

    def unsubscribe(self, symbols: list[str]) -> list[str]:
        """Unsubscribe from books; Kraken wants the depth repeated. Nobody waits for the answer."""
        return self._books("unsubscribe", symbols, {})

    def ping(self) -> str:
        """An application ping."""
        self._number += 1
        return _text({"method": "ping", "req_id": self._number})

    def answered(self, symbol: str, request: object = None) -> None:
        """Kraken has answered for this symbol, or nobody waits any more (no `request`).

        The answer to an older request than the last one settles nothing.
        """
        if type(request) is not int or request == self._open.get(symbol):
            self._open.pop(symbol, None)

    def awaits(self, symbol: str) -> bool:
        """Whether an answer for this symbol is still to come."""
        return symbol in self._open

    def asked_instruments(self, request: object) -> bool:
        """Whether this number is that of our request for instruments."""
        return self._instruments > 0 and request == self._instruments

    def unanswered(self, request: object) -> tuple[str, ...]:
        """The symbols of a request that have no answer yet; of all requests if the number is none of ours."""
        ours = type(request) is int and 0 < request <= self._number
        return tuple(symbol for symbol, number in self._open.items() if not ours or number == request)

    def _books(self, method: str, symbols: list[str], more: dict[str, object]) -> list[str]:
        texts = []
        for start in range(0, len(symbols), CHUNK):
            chunk = symbols[start : start + CHUNK]
            texts.append(
                self._request(method, {"channel": "book", "symbol": chunk, "depth": self._depth, **more})
            )
            if method == "subscribe":
                self._open.update(dict.fromkeys(chunk, self._number))
        return texts

    def _request(self, method: str, params: dict[str, object]) -> str:
        self._number += 1
        return _text({"method": method, "params": params, "req_id": self._number})


def unique(symbols: Iterable[str]) -> list[str]:
    """Each symbol once, in order."""
    return list(dict.fromkeys(symbols))


def _text(request: dict[str, object]) -> str:
    return msgspec.json.encode(request).decode()
