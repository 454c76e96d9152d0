"""Pictures: what stands on the screen of an app, as a small SVG that is compared with the one in the tree.

In: a running app. Out: text that depends on cells and colours alone, not on fonts, ids or versions; or a
complaint that says where the new picture lies. Used by the tests of the dashboard. The plugin that does this
pins an older pytest than ours. To take new pictures over: UPDATE_PICTURES=1.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator
from html import escape, unescape
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.color import ColorType
from rich.segment import Segment
from rich.style import Style
from textual.app import App

# A cell, in units of the picture.
WIDE, HIGH, BASELINE = 8, 17, 13
UPDATE = "UPDATE_PICTURES"
Run = tuple[int, str, str, str]
_TEXT = re.compile(r'<text y="\d+">(.*?)</text>')
_SPAN = re.compile(r'<tspan class="\w+" x="(\d+)"[^>]*>(.*?)</tspan>')


def svg_of(app: App[Any]) -> str:
    """The whole screen, dialogs over it included: a rectangle a ground, a tspan a run of one style."""
    drawn = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    lines = [list(_runs([segment for strip in line for segment in strip])) for line in drawn.strips]
    width, height = app.size
    classes: dict[str, str] = {}
    common = Counter(ground for line in lines for *_, ground in line).most_common(1)[0][0]
    whole = f'<rect width="{width * WIDE}" height="{height * HIGH}" fill="{common or "none"}"/>'
    grounds = [whole, *_grounds(lines, common)]
    texts = []
    for y, line in enumerate(lines):
        spans = []
        for x, text, ink, _ in line:
            if text.strip() or "underline" in ink:
                name = classes.setdefault(ink, f"c{len(classes)}")
                left = len(text) - len(text.lstrip())
                letters = text.strip()
                # Signs that come from another font may be of another width.
                wide = "" if letters.isascii() else f' textLength="{cell_len(letters) * WIDE}"'
                spans.append(f'<tspan class="{name}" x="{(x + left) * WIDE}"{wide}>{escape(letters)}</tspan>')
        texts.append(f'<text y="{y * HIGH + BASELINE}">{"".join(spans)}</text>')
    styles = "\n".join(f".{name}{{{ink}}}" for ink, name in classes.items())
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" '
        f'viewBox="0 0 {width * WIDE} {height * HIGH}" font-family="monospace" font-size="13">'
    )
    return "\n".join(
        [head, f"<style>\ntext{{white-space:pre}}\n{styles}\n</style>", *grounds, *texts, "</svg>", ""]
    )


def _grounds(lines: list[list[Run]], common: str) -> Iterator[str]:
    """What is not on the common ground."""
    for y, line in enumerate(lines):
        for ground, runs in groupby(line, key=lambda run: run[3]):
            parts = list(runs)
            cells = sum(cell_len(text) for _, text, _, _ in parts)
            if ground and ground != common:
                place = f'x="{parts[0][0] * WIDE}" y="{y * HIGH}" width="{cells * WIDE}" height="{HIGH}"'
                yield f'<rect {place} fill="{ground}"/>'


def _runs(segments: list[Segment]) -> Iterator[Run]:
    """Runs of one look: the cell where it begins, its letters, their style, the ground under them."""
    x = 0
    for (ink, ground), run in groupby(segments, key=lambda segment: _css(segment.style or Style.null())):
        text = "".join(segment.text for segment in run)
        yield x, text, ink, ground
        x += cell_len(text)


def _css(style: Style) -> tuple[str, str]:
    """The letters of a style, and the ground under them ("" for none)."""
    ink, ground = _hex(style.color), _hex(style.bgcolor)
    if style.reverse:
        ink, ground = ground, ink
    parts = [f"fill:{ink or '#888'}"]
    parts += ["font-weight:bold"] if style.bold else []
    parts += ["font-style:italic"] if style.italic else []
    parts += ["opacity:.6"] if style.dim else []
    parts += ["text-decoration:underline"] if style.underline else []
    return ";".join(parts), ground


def _hex(color: Any) -> str:
    return "" if color is None or color.type is ColorType.DEFAULT else color.get_truecolor().hex


def words_of(svg: str) -> str:
    """The letters of a picture, line by line, each in its place."""
    lines = []
    for text in _TEXT.findall(svg):
        line = ""
        for x, letters in _SPAN.findall(text):
            line += " " * (int(x) // WIDE - cell_len(line)) + unescape(letters)
        lines.append(line.rstrip())
    return "\n".join(lines)


def same_picture(svg: str, known: Path, scratch: Path) -> None:
    """Complain where a picture is not the one in `known`; the new one is then in `scratch`."""
    if os.environ.get(UPDATE):
        known.parent.mkdir(exist_ok=True)
        known.write_text(svg, encoding="utf-8")
        return
    before = known.read_text(encoding="utf-8") if known.exists() else ""
    if svg == before:
        return
    new = scratch / known.name
    new.write_text(svg, encoding="utf-8")
    changes = list(
        difflib.unified_diff(words_of(before).splitlines(), words_of(svg).splitlines(), lineterm="", n=0)
    )
    told = "\n".join(changes[:40]) or "only colours differ"
    raise AssertionError(
        f"{known.name} is another picture now: look at {new}; {UPDATE}=1 takes it over\n{told}"
    )
