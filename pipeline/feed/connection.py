"""Connection: one WebSocket to a venue. The door to websocket-client.

In: bytes from a venue. Out: whole text frames, and the time of the last sign of life. Run by a feed in
its own loop with short timeouts; never WebSocketApp, whose deadlines are checked only between frames.
UTF-8 is not checked here: in pure Python that costs more than all else together, and the JSON decoder
refuses bad text anyway.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping

import websocket

from pipeline.clock import Clock

CONNECT_SECONDS = 2.0


class ConnectionLostError(Exception):
    """The venue is gone or was never there; the text says how."""


class Connection:
    """An open WebSocket. Any frame from the venue is a proof of life."""

    def __init__(self, url: str, headers: Mapping[str, str], clock: Clock) -> None:
        """Connect and shake hands within CONNECT_SECONDS. Raises ConnectionLostError."""
        self._clock = clock
        try:
            self._socket = websocket.create_connection(
                url,
                timeout=CONNECT_SECONDS,
                header=dict(headers),
                redirect_limit=0,
                skip_utf8_validation=True,
                enable_multithread=False,
                sockopt=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            )
        except (OSError, websocket.WebSocketException, ssl.SSLError, ValueError) as error:
            raise ConnectionLostError(f"cannot connect: {_words(error)}") from error
        self.proof_ns = clock.monotonic_ns()
        self._timeout = CONNECT_SECONDS

    def receive(self, timeout: float) -> bytes | None:
        """The next text frame, or None after `timeout` seconds or a control frame.

        Half a frame that arrived before a timeout is kept for the next call. Raises ConnectionLostError.
        """
        try:
            if timeout != self._timeout:
                self._socket.settimeout(timeout)
                self._timeout = timeout
            opcode, data = self._socket.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            return None
        except (OSError, websocket.WebSocketException, ssl.SSLError, ValueError) as error:
            raise ConnectionLostError(_words(error)) from error
        self.proof_ns = self._clock.monotonic_ns()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise ConnectionLostError(f"closed by the venue {close_reason(data)}".rstrip())
        return bytes(data) if opcode in {websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY} else None

    def send(self, text: str) -> None:
        """Send a text frame. Raises ConnectionLostError."""
        try:
            self._socket.send(text)
        except (OSError, websocket.WebSocketException, ssl.SSLError) as error:
            raise ConnectionLostError(_words(error)) from error

    def ping(self) -> None:
        """Send a WebSocket ping; its pong will be a proof of life. Raises ConnectionLostError."""
        try:
            self._socket.ping()
        except (OSError, websocket.WebSocketException, ssl.SSLError) as error:
            raise ConnectionLostError(_words(error)) from error

    def close(self) -> None:
        """Drop the connection without waiting for the venue's goodbye."""
        self._socket.shutdown()  # type: ignore[no-untyped-call]


def close_reason(data: bytes) -> str:
    """The code and text of a close frame's body, for people."""
    if len(data) < 2:
        return ""
    return f"{int.from_bytes(data[:2], 'big')} {data[2:].decode('utf-8', 'replace')}"


def _words(error: BaseException) -> str:
    """An error in one line, with its kind where the text alone says little."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
