"""The line of keys: whole words, and those that matter most where room is short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from dashboard.widgets.key_line import KeyLine
from tests.dashboard.canned import CannedSource, CannedSupervisor, app_of, everything


@pytest.mark.parametrize("width", [70, 80, 120])
def test_no_key_is_cut(drive: Callable[..., None], width: int) -> None:
    """On every tab the whole line is in sight, help and quit are in it, and with room all keys are."""
    app = app_of(CannedSource(everything()), send=CannedSupervisor())

    async def steps(pilot: Pilot[Any]) -> None:
        for tab in "123456":
            await pilot.press(tab)
            for _ in range(3):
                await pilot.pause()
            keys = list(app.query_one(KeyLine).children)
            words = [getattr(key, "description", "") for key in keys]
            assert max(key.region.right for key in keys) <= width, words
            assert words[-2:] == ["help", "quit"]
            assert "halt" in words
            if tab == "5":
                assert {"restart", "kill", "start", "stop"} <= set(words)
                assert ("errors" in words) is (width == 120)

    drive(app, (width, 36), steps)
