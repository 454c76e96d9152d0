"""Dashboard web: the dashboard in a browser of this machine, through textual-serve.

In: HTTP on loopback. Out: a page, and over its WebSocket one terminal a browser: a `run.py dashboard` process
of its own, which ends with the browser and with this server. Run by `run.py dashboard --web`.

There is no password. What keeps others out: only loopback is bound; a name in the Host header that is not
loopback is refused, so no foreign name can be pointed here (DNS rebinding); a WebSocket is opened only by the
page itself (Origin); and with --control only for who knows the token in the address that is printed.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.cli.common import FAILED, OK, ROOT, SCRIPT, USAGE, complain, say

INSTALL = (
    "the dashboard in a browser needs textual-serve: "
    "install it with `.venv/bin/pip install --require-hashes -r requirements.lock`"
)
HOST, PORT = "127.0.0.1", 8765
PAGES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
# Each browser costs a process of some 75 MiB.
MOST_BROWSERS = 8
MOST_MESSAGE_BYTES = 1 << 16
SIZE_CELLS = (20, 500)
DEFAULT_CELLS = {"width": 120, "height": 36}
END_SECONDS = 3.0
# How a WebSocket is closed: RFC 6455, 7.4.1.
GOING_AWAY, UNSUPPORTED_DATA = 1001, 1003
# What the page may load and do: nothing that does not come from here. xterm.js writes styles into the page.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Handler = Callable[[Any], Awaitable[Any]]


def serve(data: Path, host: str, port: int, *, control: bool) -> int:
    """Serve the dashboard of `data` until Ctrl-C. Exit code 0, 1 where it cannot, 2 for a host that is not
    loopback.
    """
    if not is_loopback(host):
        complain(
            f"--host {host} is not loopback, and this page has no password. Leave --host away and, where "
            f"the browser is, open a tunnel: ssh -L {port or PORT}:{HOST}:{port or PORT} THIS_MACHINE"
        )
        return USAGE
    try:
        from aiohttp import web
        from textual_serve import app_service, download_manager
    except ImportError as error:
        complain(f"{INSTALL} ({error})")
        return FAILED
    token = secrets.token_urlsafe(24) if control else ""
    site = Site(
        web, app_service, download_manager.DownloadManager(), command_of(data, control=control), token
    )
    try:
        asyncio.run(site.run(host, port))
    except OSError as error:
        complain(f"{host}:{port} cannot be bound: {error.strerror}; choose another with --port")
        return FAILED
    return OK


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def command_of(data: Path, *, control: bool) -> str:
    """The shell command of one screen. `exec`: no shell stays between this server and the screen."""
    words = [sys.executable, str(SCRIPT), "dashboard", "--data", str(data.resolve()), "--served"]
    return "exec " + shlex.join(words if control else [*words, "--read-only"])


def names_loopback(host_header: str) -> bool:
    """Whether a Host header names this machine by a name or number that is always loopback; any port."""
    try:
        name = urlsplit(f"//{host_header}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)


def is_own_origin(origin: str, host_header: str) -> bool:
    """Whether a page that sent this Origin came from the very host and port that it asks now."""
    return bool(host_header) and origin.casefold() == f"http://{host_header}".casefold()


def cells_of(values: dict[str, Any]) -> tuple[int, int]:
    """Width and height in cells from what a browser says: whole numbers within SIZE_CELLS."""
    least, most = SIZE_CELLS
    found = []
    for name, default in DEFAULT_CELLS.items():
        try:
            value = int(values.get(name, default))
        except (TypeError, ValueError, OverflowError):
            value = default
        found.append(max(least, min(value, most)))
    return found[0], found[1]


class Site:
    """The server: pages, and a screen for each WebSocket. `web` and `app_service` are the two libraries."""

    def __init__(self, web: Any, app_service: Any, downloads: Any, command: str, token: str) -> None:
        self._web = web
        self._app_service = app_service
        self._downloads = downloads
        self._command = command
        self._token = token
        self._open: set[Any] = set()

    async def run(self, host: str, port: int) -> None:
        """Serve until SIGINT or SIGTERM, then end every screen. Raises OSError where it cannot bind."""
        runner = self._web.AppRunner(self.application(), access_log=None, shutdown_timeout=END_SECONDS)
        await runner.setup()
        try:
            await self._web.TCPSite(runner, host, port).start()
            end = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, end.set)
            self._announce(host, runner.addresses[0][1])
            await end.wait()
            await self._end_all()
        finally:
            await runner.cleanup()

    def _announce(self, host: str, port: int) -> None:
        name = f"[{host}]" if ":" in host else host
        asks = f"/?token={self._token}" if self._token else "/"
        rights = "with all keys: keep the address to yourself" if self._token else "to look at only"
        say(f"the dashboard is at http://{name}:{port}{asks} ({rights}). No password; Ctrl-C ends it.")
        say(f"From another machine: ssh -L {port}:{name}:{port} THIS_MACHINE, then the same address there.")

    def application(self) -> Any:
        """The routes, each behind `guard`."""
        web = self._web

        @web.middleware  # type: ignore[untyped-decorator]
        async def guarded(request: Any, handler: Handler) -> Any:
            return await self.guard(request, handler)

        app = web.Application(middlewares=[guarded])
        own = ROOT / "dashboard" / "web"
        for path, name in PAGES.items():
            app.router.add_get(path, self._page((own / name).read_bytes(), TYPES[Path(name).suffix]))
        app.router.add_get("/ws/{token}", self._screen)
        app.router.add_get("/download/{key}", self._download)
        app.router.add_static("/static", Path(self._app_service.__file__).parent / "static")
        return app

    def _page(self, body: bytes, kind: str) -> Handler:
        async def page(request: Any) -> Any:  # noqa: ARG001 - aiohttp's signature
            return self._web.Response(body=body, content_type=kind, charset="utf-8")

        return page

    async def guard(self, request: Any, handler: Handler) -> Any:
        """Refuse who may not ask; add what every answer says."""
        why = self.refusal(
            request.path,
            request.headers.get("Host", ""),
            request.headers.get("Origin", ""),
            request.match_info.get("token") or request.query.get("token", ""),
        )
        if why:
            return self._web.Response(status=403, text=f"{why}\n", headers=HEADERS)
        try:
            response = await handler(request)
        except self._web.HTTPException as error:
            error.headers.update(HEADERS)
            raise
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def refusal(self, path: str, host: str, origin: str, token: str) -> str:
        """Why a request is refused, "" where it is not."""
        if not names_loopback(host):
            return "This page is served to this machine only; come through a tunnel: ssh -L"
        screen = path.startswith("/ws/")
        if screen and not is_own_origin(origin, host):
            return "Only the dashboard's own page may open its screen"
        wanted = screen or path == "/"
        if self._token and wanted and not hmac.compare_digest(token.encode(), self._token.encode()):
            return "Open the address with the token that run.py dashboard --web --control has printed"
        return ""

    async def _screen(self, request: Any) -> Any:
        """One browser's screen, from its first byte to its end."""
        web = self._web
        if len(self._open) >= MOST_BROWSERS:
            return web.Response(status=503, text=f"{MOST_BROWSERS} browsers are open: close one\n")
        socket = web.WebSocketResponse(heartbeat=15, max_msg_size=MOST_MESSAGE_BYTES)
        self._open.add(socket)
        screen = self._app_service.AppService(
            self._command,
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=socket.close,
            download_manager=self._downloads,
        )
        watch = None
        try:
            await socket.prepare(request)
            await screen.start(*cells_of(request.query))
            watch = asyncio.create_task(_close_after(_process_of(screen), socket))
            async for message in socket:
                if message.type != web.WSMsgType.TEXT or not await _obey(screen, socket, message.data):
                    await socket.close(code=UNSUPPORTED_DATA)
        finally:
            self._open.discard(socket)
            await _end(screen)
            if watch is not None:
                await watch
        return socket

    async def _download(self, request: Any) -> Any:
        """A file that a screen hands out, such as a picture of it; its key is known to that browser alone."""
        key = request.match_info["key"]
        try:
            known = await self._downloads.get_download_metadata(key)
        except KeyError as error:
            raise self._web.HTTPNotFound(text="there is no such file, or no longer\n") from error
        response = self._web.StreamResponse(headers=HEADERS)
        response.content_type = "application/octet-stream"
        name = "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in known.file_name)
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        await response.prepare(request)
        async for chunk in self._downloads.download(key):
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _end_all(self) -> None:
        """Close every WebSocket: its screen ends with it."""
        closing = [socket.close(code=GOING_AWAY) for socket in self._open]
        await asyncio.gather(*closing, return_exceptions=True)


async def _obey(screen: Any, socket: Any, text: str) -> bool:
    """Do what a browser's message says; False where it is none of textual.js."""
    try:
        kind, *rest = json.loads(text)
        if kind == "stdin":
            await screen.send_bytes(rest[0].encode("utf-8", "replace"))
        elif kind == "resize":
            await screen.set_terminal_size(*cells_of(dict(rest[0])))
        elif kind == "ping":
            await socket.send_json(["pong", str(rest[0])])
        elif kind in ("focus", "blur"):
            await (screen.focus() if kind == "focus" else screen.blur())
        else:
            return False
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, RecursionError):
        return False
    return True


def _process_of(screen: Any) -> Any:
    """The process behind a screen, None before it began: textual-serve has no other word for it."""
    return screen._process  # noqa: SLF001


async def _close_after(process: Any, socket: Any) -> None:
    """Tell the browser when its screen's process has ended, however it did."""
    await process.wait()
    await socket.close()


async def _end(screen: Any) -> None:
    """Let a screen's process end, and make it end where it does not."""
    try:
        await asyncio.wait_for(screen.stop(), END_SECONDS)
    except (TimeoutError, ConnectionError):
        complain("a screen did not end when its browser left, and is killed")
    # textual-serve has written there what the process complained of.
    sys.stdout.flush()
    process = _process_of(screen)
    if process is not None and process.returncode is None:
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
