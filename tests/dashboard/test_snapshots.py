"""Pictures of every screen, cell by cell and colour by colour, as they are in __snapshots__.

Each is made of a canned picture without a clock, so that it is the same on every machine. A change of any
screen shows here first: look at it, then take it over with UPDATE_PICTURES=1.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.snapshot import Snapshot
from tests.dashboard import canned
from tests.dashboard.canned import CannedSource, CannedSupervisor, app_of
from tests.dashboard.conftest import hasten
from tests.support.pictures import same_picture, svg_of, words_of

HERE = Path(__file__).parent / "__snapshots__"
WIDE, NARROW, LEAST = (120, 36), (80, 24), (70, 15)
TABS = ("live", "opportunities", "positions", "kelly", "workers", "logs")
LOOKS = ("colour", "plain")


@pytest.fixture(scope="module", autouse=True)
def _same_everywhere() -> Iterator[None]:
    """One time zone, one terminal, no waiting: nothing of this machine gets into a picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        patch.setenv("TERM", "xterm-256color")
        patch.setenv("COLORTERM", "truecolor")
        patch.delenv("NO_COLOR", raising=False)
        hasten(patch)
        time.tzset()
        yield
    time.tzset()


def taken(picture: Snapshot, size: tuple[int, int], keys: Sequence[str] = (), **options: Any) -> str:
    """The picture of an app after some keys."""
    found: list[str] = []

    async def whole() -> None:
        app = app_of(CannedSource(picture), **options)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            if keys:
                await pilot.press(*keys)
            found.append(await drawn(app, pilot))

    asyncio.run(whole())
    return found[0]


async def drawn(app: ParallaxApp, pilot: Pilot[Any]) -> str:
    """The picture once nothing moves any more: a scroll bar takes a cell of what was drawn before it."""
    last, same = "", 0
    for _ in range(20):
        app.tick()
        await pilot.pause()
        svg = svg_of(app)
        same = same + 1 if svg == last else 0
        last = svg
        if same == 2:
            return svg
    raise AssertionError("the screen never comes to rest")


@pytest.fixture(scope="module", params=LOOKS)
def tabs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every tab at both sizes, in colour and under NO_COLOR; one app for each of the four."""
    found: dict[str, str] = {}

    async def whole() -> None:
        for name, size in (("120x36", WIDE), ("80x24", NARROW)):
            logs = canned.logs_in(tmp_path_factory.mktemp("data"))
            app = app_of(CannedSource(canned.everything()), send=CannedSupervisor(), logs=logs)
            async with app.run_test(size=size) as pilot:
                await pilot.pause()
                for number, tab in enumerate(TABS):
                    await pilot.press(str(number + 1))
                    found[f"{tab}_{name}_{request.param}"] = await drawn(app, pilot)
            logs.close()

    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            patch.setenv("NO_COLOR", "1")
        asyncio.run(whole())
    return found


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("size", ["120x36", "80x24"])
def test_every_tab_looks_as_it_did(tabs: dict[str, str], tmp_path: Path, tab: str, size: str) -> None:
    """Each tab, wide and narrow, with colours and without, is the picture that somebody looked at."""
    name = next(one for one in tabs if one.startswith(f"{tab}_{size}_"))
    same_picture(tabs[name], HERE / f"{name}.svg", tmp_path)


def test_without_colours_the_same_words_are_there(tabs: dict[str, str]) -> None:
    """NO_COLOR leaves greys only, and takes no word away: what colours say is said by signs too."""
    if not any(name.endswith("plain") for name in tabs):
        assert "▲" in words_of(tabs["live_120x36_colour"])
        return
    for name, svg in tabs.items():
        for line in svg.splitlines():
            if "fill:#" in line:
                red, green, blue = (line.partition("fill:#")[2][at : at + 2] for at in (0, 2, 4))
                assert red == green == blue, (name, line)
        known = (HERE / f"{name.removesuffix('plain')}colour.svg").read_text(encoding="utf-8")
        assert words_of(svg) == words_of(known), name


@dataclass(frozen=True)
class Scene:
    """A picture of one moment: which, how large, after which keys."""

    name: str
    picture: Callable[[], Snapshot]
    size: tuple[int, int] = WIDE
    keys: Sequence[str] = ()
    options: dict[str, Any] = field(default_factory=dict)


STEER = {"send": CannedSupervisor()}
SCENES = (
    Scene("detail_120x36", canned.everything, keys=("enter",)),
    Scene("detail_80x24", canned.everything, NARROW, ("enter",)),
    Scene("help_120x36", canned.everything, keys=("question_mark",), options=STEER),
    Scene("halt_80x24", canned.everything, NARROW, ("h",), STEER),
    Scene("resume_live_70x15", canned.live_halted, LEAST, ("h",), STEER),
    Scene("kill_80x24", canned.everything, NARROW, ("5", "down", "down", "k"), STEER),
    Scene("quit_80x24", canned.everything, NARROW, ("q",), {**STEER, "ask_on_quit": "leave"}),
    Scene("too_small_60x12", canned.everything, (60, 12)),
    Scene("ascii_120x36", canned.everything, options={"ascii_only": True}),
    Scene("ascii_kelly_120x36", canned.everything, keys=("4",), options={"ascii_only": True}),
    Scene("colour_blind_120x36", canned.everything, options={"theme": "colour-blind"}),
    Scene("paused_80x24", canned.everything, NARROW, ("p",)),
    Scene("stopped_120x36", canned.stopped),
    Scene("stopped_workers_80x24", canned.stopped, NARROW, ("5",)),
    Scene("waiting_80x24", canned.waiting, NARROW),
    Scene("replaying_120x36", canned.replaying, options=STEER),
    Scene("live_money_80x24", canned.live, NARROW),
    Scene("halted_120x36", canned.halted),
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_every_moment_looks_as_it_did(scene: Scene, tmp_path: Path) -> None:
    """Dialogs, states of the run, and other looks are the pictures that somebody looked at."""
    svg = taken(scene.picture(), scene.size, scene.keys, **scene.options)
    same_picture(svg, HERE / f"{scene.name}.svg", tmp_path)


@pytest.mark.parametrize(
    ("dollars", "word", "role"),
    [(19.99, "LOW", "good"), (20, "MED", "fair"), (50, "MED", "fair"), (51, "HIGH", "bad")],
)
def test_exposure_has_the_seeds_words_and_colours(dollars: float, word: str, role: str) -> None:
    """Below $20 LOW and green, to $50 MED and yellow, above HIGH and red, always with the word."""
    svg = taken(canned.exposed(dollars), NARROW)
    line = svg[svg.index("<text ") : svg.index("</text>")]
    color = {"good": "#5fd787", "fair": "#ffd75f", "bad": "#ff7b72"}[role]
    found = next(span for span in line.split("<tspan ") if f"${dollars:.2f} {word}" in span)
    name = found.partition('class="')[2].partition('"')[0]
    style = next(one for one in svg.splitlines() if one.startswith(f".{name}{{"))
    assert color in style


def test_no_picture_is_left_over_or_large() -> None:
    """Every file in __snapshots__ belongs to a test, has no address of a server, and is small."""
    names = {scene.name for scene in SCENES}
    names |= {f"{tab}_{size}_{look}" for tab in TABS for size in ("120x36", "80x24") for look in LOOKS}
    files = list(HERE.glob("*"))
    assert {file.stem for file in files} == names
    for file in files:
        svg = file.read_text(encoding="utf-8")
        assert svg.count("http") == 1
        assert len(svg) < 60_000, file.name
