"""Picture: the screen as an SVG file that needs nothing from elsewhere.

In: an app, a tab and a size. Out: text or a file. Run by `run.py dashboard --screenshot` and by the
screenshot key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.pilot import Pilot

from pipeline.clock import SystemClock

if TYPE_CHECKING:
    from dashboard.app import ParallaxApp

# An SVG as Rich writes it names a font on somebody's server; the reader's own will do.
_FONT_ADDRESS = re.compile(r',?\s*url\("https?://[^"]*"\)(\s*format\("[^"]*"\))?')


def self_contained(svg: str) -> str:
    """The SVG without addresses, and with its blanks: some readers drop those that columns are made of."""
    return _FONT_ADDRESS.sub("", svg.replace("<svg ", '<svg xml:space="preserve" ', 1))


def save(app: App[Any], directory: Path) -> Path:
    """Save what `app` shows now under a name with the time, and say where. Raises OSError."""
    name = f"parallax-{SystemClock().wall_ns() // 1_000_000_000}.svg"
    path = directory / name
    path.write_text(self_contained(app.export_screenshot(title="Parallax")), encoding="utf-8")
    return path


def screenshot(
    app: ParallaxApp, path: Path, size: tuple[int, int] = (120, 36), *, keys: Sequence[str] = ()
) -> None:
    """Write the screen as it is now, after `keys` were pressed, to `path`.

    Takes two pictures a beat apart, because a rate needs two. Raises OSError when `path` cannot be written.
    """
    drawn: list[str] = []

    async def shoot(pilot: Pilot[object]) -> None:
        await pilot.press(*keys)
        await pilot.pause(1.2 * app.refresh_ms / 1000)
        app.tick()
        await pilot.pause()
        drawn.append(app.export_screenshot(title="Parallax"))
        app.exit("leave")

    app.run(headless=True, size=size, auto_pilot=shoot)
    assert drawn, "the app closed before its picture was taken"
    path.write_text(self_contained(drawn[0]), encoding="utf-8")
