"""The dashboard bench: it runs, and what it compares costs for the reason that is claimed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import dashboard
from bench.dashboard_parts.literal import LiteralApp, cells_of
from bench.dashboard_parts.world import World, config_of
from dashboard.app import ParallaxApp
from dashboard.event_table import TableEvents
from dashboard.snapshot import Snapshot
from dashboard.source import MemorySource
from pipeline.clock import SystemClock
from pipeline.config import Config

EVENTS, LINES, DIRECTIONS = 200, 36, 2


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Config, World]]:
    config = config_of(tmp_path, EVENTS)
    world = World(config, EVENTS)
    world.change()
    world.beat()
    yield config, world
    world.close()


def source_of(config: Config) -> MemorySource:
    return MemorySource(Path(config.shm_directory), config.scanner.limits(), SystemClock())


def unpacked(picture: Snapshot) -> int:
    assert isinstance(picture.events, TableEvents)
    return picture.events.unpacked


def test_the_screen_unpacks_what_is_in_sight_and_a_table_everything(made: tuple[Config, World]) -> None:
    """All rows changed: the dashboard unpacks at most a screenful of them, a DataTable needs each."""
    config, world = made
    app = ParallaxApp(source_of(config), refresh_ms=10**6)
    seen: list[int] = []

    async def look() -> None:
        async with app.run_test(size=(120, LINES)) as pilot:
            for _ in range(3):
                await pilot.pause()
                world.change()
                world.beat()
                app.tick()
                await pilot.pause(0.1)
                assert app.latest is not None
                seen.append(unpacked(app.latest))

    asyncio.run(look())
    assert min(seen) > 0
    assert max(seen) <= DIRECTIONS * LINES
    picture = source_of(config).snapshot()
    assert len(cells_of(picture)) == EVENTS
    assert unpacked(picture) == DIRECTIONS * EVENTS


def test_the_data_table_shows_the_same_rows(made: tuple[Config, World]) -> None:
    """What the other way draws is the current picture, cell by cell, after changed cells were updated."""
    config, world = made
    source = source_of(config)
    app = LiteralApp(source)

    async def look() -> None:
        async with app.run_test(size=(120, LINES)) as pilot:
            await pilot.pause()
            world.change()
            world.beat()
            picture = source.snapshot()
            app.update(picture)
            table = app.query_one("DataTable")
            shown = [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]
            assert shown == cells_of(picture)

    asyncio.run(look())


def test_each_beat_changes_every_row(made: tuple[Config, World]) -> None:
    """No row of the table and no book is what it was before."""
    config, world = made
    source = source_of(config)
    before = list(source.snapshot().events)
    world.change()
    world.beat()
    after = list(source.snapshot().events)
    assert len(before) == len(after) == EVENTS
    for old, new in zip(before, after, strict=True):
        assert old.edges[0].edge_bp != new.edges[0].edge_bp
        assert [leg.bid for leg in old.legs] != [leg.bid for leg in new.legs]


@pytest.mark.stress
def test_the_whole_bench_answers() -> None:
    """A short run of it: every figure is there, every key was answered."""
    figures = dashboard.one_run(50, 2.0, keys=12, tabs=6)
    assert {*dashboard.GOALS} <= figures.keys()
    assert all(value > 0 for value in figures.values())
