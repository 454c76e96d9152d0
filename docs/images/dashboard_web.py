"""Picture of the dashboard in a browser: headless Chromium looks at what `run.py dashboard --web` serves.

In: the address that --web printed, the file to write. Out: a PNG of 1200x740, made when the screen has drawn
for ten seconds. Complains, and fails, where the page asked any other machine for anything. Run by people who
remake the pictures of the documents, in an environment that has requirements.lock:

    run.py up --no-dashboard &  run.py dashboard --web &
    .venv/bin/python docs/images/dashboard_web.py http://127.0.0.1:8765/ docs/images/dashboard-web.png
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless=new --no-sandbox --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars --use-angle=swiftshader"
    " --enable-unsafe-swiftshader --remote-debugging-port=0"
)
WIDTH, HEIGHT = 1200, 740
OPEN_SECONDS, DRAW_SECONDS = 120, 10


class Page:
    """A page of Chromium, spoken to over its debugging protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.asked: set[str] = set()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Do something, and note on the way which hosts the page asked."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            told = json.loads(self._socket.recv(60))
            happened = told.get("params", {})
            for url in (happened.get("request", {}).get("url"), happened.get("url")):
                if told.get("method", "").startswith("Network.") and url:
                    self.asked.add(urlsplit(url).netloc)
            if told.get("id") == self._number:
                return told.get("result", told)

    def classes(self) -> str:
        """The classes of the page's body: textual.js tells there what happened."""
        return str(self.call("Runtime.evaluate", expression="document.body.className"))


def picture(page: Page, url: str) -> bytes:
    """Open a page, wait until its terminal has drawn, and take a picture. Raises TimeoutError."""
    page.call("Network.enable")
    page.call(
        "Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False
    )
    page.call("Page.navigate", url=url)
    for _ in range(OPEN_SECONDS):
        time.sleep(1)
        if "-first-byte" in page.classes():
            break
    else:
        raise TimeoutError(f"{url} drew nothing within {OPEN_SECONDS} s")
    time.sleep(DRAW_SECONDS)
    return base64.b64decode(page.call("Page.captureScreenshot", format="png")["data"])


def main(url: str, path: Path) -> int:
    """Write the picture; 1 where the page was not content with its own server."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as browser:
            try:
                assert browser.stderr is not None
                line = next(line for line in browser.stderr if "DevTools listening on" in line)
                control = urlsplit(line.split()[-1]).netloc
                pages = json.load(urllib.request.urlopen(f"http://{control}/json"))
                target = next(page for page in pages if page["type"] == "page")
                with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
                    page = Page(socket)
                    path.write_bytes(picture(page, url))
            finally:
                browser.terminate()
    strangers = page.asked - {urlsplit(url).netloc, ""}
    if strangers:
        sys.stderr.write(f"the page asked {', '.join(sorted(strangers))}\n")
    return 1 if strangers else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
