"""The dashboard in a browser: loopback only, its own page only, and no process is left behind."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from pipeline.cli import dashboard_web
from pipeline.cli.common import FAILED, OK, ROOT, USAGE
from pipeline.cli.main import main
from tests.support.rest_venue import until

INSTALLED = find_spec("textual_serve") is not None and find_spec("aiohttp") is not None
needs_web = pytest.mark.skipif(not INSTALLED, reason="an extra: requirements.lock")
SECONDS = 60.0


def test_only_loopback_is_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A host that others reach is refused with the tunnel to use, before anything is loaded."""
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org", "", "127.0.0.1.evil.example"):
        assert main(["dashboard", "--web", "--host", host, "--data", str(tmp_path)]) == USAGE
        assert "ssh -L 8765:127.0.0.1:8765" in capsys.readouterr().err
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert dashboard_web.is_loopback(host)


def test_a_missing_extra_says_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without textual-serve the command fails with the line that installs it."""
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    assert main(["dashboard", "--web", "--data", str(tmp_path)]) == FAILED
    assert "pip install --require-hashes -r requirements.lock" in capsys.readouterr().err


def test_slips_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--control without --web, or with --read-only, and a port that is none, are refused."""
    data = ["--data", str(tmp_path)]
    assert main(["dashboard", "--control", *data]) == USAGE
    assert main(["dashboard", "--web", "--control", "--read-only", *data]) == USAGE
    for port in ("65536", "-1", "0655350", "x"):
        with pytest.raises(SystemExit):
            main(["dashboard", "--web", f"--port={port}", *data])
    assert "is no port" in capsys.readouterr().err


def test_a_screen_is_read_only_unless_control_is_asked_for(tmp_path: Path) -> None:
    """The command of a browser's screen carries --read-only, and no name of a folder breaks out of it."""
    odd = tmp_path / "a b; touch x"
    watching = dashboard_web.command_of(odd, control=False)
    assert watching.endswith("--served --read-only")
    assert f"'{odd}'" in watching
    assert "--read-only" not in dashboard_web.command_of(odd, control=True)


def test_who_may_not_ask_is_refused() -> None:
    """Foreign host names, foreign pages and wrong tokens; any port of loopback passes, for tunnels."""
    site = dashboard_web.Site(None, None, None, "", "secret")
    free = dashboard_web.Site(None, None, None, "", "")
    own = "http://localhost:9000"
    assert site.refusal("/", "localhost:9000", "", "secret") == ""
    assert site.refusal("/ws/secret", "localhost:9000", own, "secret") == ""
    assert site.refusal("/page.js", "127.0.0.1:8765", "", "") == ""
    assert free.refusal("/", "[::1]:8765", "", "") == ""
    assert free.refusal("/ws/-", "127.0.0.1:1", "http://127.0.0.1:1", "-") == ""
    for host in (
        "evil.example",
        "127.0.0.1.evil.example:8765",
        "",
        "localhost@evil.example",
        "[::1",
        "10.0.0.1",
    ):
        assert "this machine only" in free.refusal("/", host, "", "")
    for origin in ("", "null", "http://evil.example", "http://localhost:3000", "https://localhost:9000"):
        assert "own page" in free.refusal("/ws/-", "localhost:9000", origin, "-")
    for token in ("", "-", "Secret", "secret ", "gehe\N{LATIN SMALL LETTER I WITH GRAVE}m"):
        assert "token" in site.refusal("/", "localhost:9000", "", token)
        assert "token" in site.refusal("/ws/x", "localhost:9000", own, token)


def test_a_size_is_held_within_bounds() -> None:
    """Whatever a browser says its size is, a screen gets a whole number that costs no memory."""
    for said, expected in (
        ({"width": "100", "height": 30}, (100, 30)),
        ({"width": "9" * 5000, "height": "-4"}, (120, 20)),
        ({"width": 10**9, "height": float("inf")}, (500, 36)),
        ({"width": None, "height": [1]}, (120, 36)),
        ({}, (120, 36)),
    ):
        assert dashboard_web.cells_of(said) == expected


def test_our_page_names_no_other_machine() -> None:
    """Page, script and style fetch nothing from elsewhere, and no script stands in the page itself."""
    for name in dashboard_web.PAGES.values():
        text = (ROOT / "dashboard" / "web" / name).read_text("utf-8")
        code = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
        assert not re.search(r"https?://|//[a-z]|@import", code), name
        assert not re.search(r"<script(?! src=)|\son\w+=", text)


@needs_web
def test_the_librarys_files_name_no_other_machine() -> None:
    """The terminal's script and style of textual-serve fetch nothing from elsewhere either."""
    import textual_serve

    static = Path(textual_serve.__file__).parent / "static"
    found = list(static.rglob("*.js")) + list(static.rglob("*.css"))
    assert {path.name for path in found} == {"textual.js", "xterm.css"}
    for path in found:
        text = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert not re.findall(r"https?://[a-z0-9.]+\.[a-z]+/?", text), path.name


class Server:
    """`run.py dashboard --web` as a process."""

    def __init__(self, data: Path, *words: str) -> None:
        command = [
            sys.executable,
            str(ROOT / "run.py"),
            "dashboard",
            "--web",
            "--port",
            "0",
            "--data",
            str(data),
        ]
        environ = {**os.environ, "PARALLAX_NO_VENV": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*command, *words], stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        address = re.search(r"http://\S+", said)
        assert address is not None, said
        self.address = urlsplit(address[0])
        self.said = said

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of one page."""
        connection = http.client.HTTPConnection(
            str(self.address.hostname), self.address.port or 0, timeout=SECONDS
        )
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        connection.close()
        return answer.status, {key.casefold(): value for key, value in answer.getheaders()}, text

    def open(self, token: str, *, origin: str = "", size: str = "width=100&height=30") -> ClientConnection:
        """A screen, as a page opens it."""
        own: Any = origin or f"http://{self.address.netloc}"
        url = f"ws://{self.address.netloc}/ws/{token}?{size}"
        return connect(url, origin=own, max_size=None, open_timeout=SECONDS, compression=None)

    @property
    def screens(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def shown(screen: ClientConnection, words: bytes) -> bytes:
    """What a screen sends until `words` stand in it."""
    found = b""
    while words not in found:
        part = screen.recv(SECONDS)
        found += part if isinstance(part, bytes) else part.encode()
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, "--control")
    yield made
    if made.process.poll() is None:
        made.stop()


@needs_web
@pytest.mark.e2e
def test_a_browser_gets_a_screen_that_ends_with_it(server: Server) -> None:
    """Page, token, headers; a screen that draws at the browser's size; it is gone when the browser is, and
    the server ends in order with what is open.
    """
    token = server.address.query.removeprefix("token=")
    assert len(token) >= 32
    assert server.get("/")[0] == 403
    assert server.get(f"/?token={token}", Host="evil.example")[0] == 403
    status, headers, text = server.get(f"/?token={token}")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    for path in [
        *re.findall(r'(?:href|src)="(/[^"]+)"', text),
        "/static/fonts/RobotoMono-VariableFont_wght.ttf",
    ]:
        assert server.get(path)[0] == 200, path
    assert server.get("/static/")[0] == 403
    status, headers, _ = server.get("/download/unknown")
    assert (status, headers["x-frame-options"]) == (404, "DENY")
    for refused in ({"token": "-"}, {"token": token, "origin": "http://localhost:3000"}):
        with pytest.raises(InvalidStatus) as refusal:
            server.open(**refused)
        assert refusal.value.response.status_code == 403
    assert server.screens == []
    with server.open(token) as screen:
        shown(screen, b"\x1b[?1049h")
        (process,) = server.screens
        screen.send(json.dumps(["ping", "12"]))
        shown(screen, b'["pong", "12"]')
        screen.send(json.dumps(["resize", {"width": "x", "height": 10**40}]))
        shown(screen, b"\x1b[")
    until(lambda: not process.is_running())
    with server.open(token) as screen:
        shown(screen, b"\x1b[?1049h")
        assert server.stop() == OK
        assert psutil.pid_exists(server.process.pid) is False


@needs_web
@pytest.mark.e2e
def test_foreign_messages_and_a_killed_server_leave_no_screen(server: Server) -> None:
    """A browser that speaks otherwise is let go of; screens of a server that was killed end by themselves."""
    token = server.address.query.removeprefix("token=")
    for message in ("no json", '["stdin", 5]', b"bytes"):
        with server.open(token) as screen:
            screen.send(message)
            with pytest.raises(ConnectionClosedError):
                shown(screen, b"never sent")
            assert screen.protocol.close_code == 1003
    until(lambda: not server.screens)
    with server.open(token) as screen:
        shown(screen, b"\x1b[?1049h")
        (process,) = server.screens
        server.process.kill()
        server.process.wait()
        until(lambda: not process.is_running())
    assert server.process.stdout is not None
    server.process.stdout.close()
