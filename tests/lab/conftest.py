"""Shared fixtures of the lab's tests: a small model and ways to run it without real time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.lab.exchange import Frame, Item, Session
from pipeline.lab.market import MarketModel

START_WALL_MS = 1_795_000_000_000


@pytest.fixture
def model() -> MarketModel:
    """A world with divergences and shallow Coinbase books."""
    return MarketModel(7, 1.0, START_WALL_MS, coinbase_levels=60)


@pytest.fixture
def drive() -> Callable[[MarketModel, Session, int], list[Frame]]:
    """Step a model with one session attached and collect what the session sends."""

    def run(model: MarketModel, session: Session, steps: int) -> list[Frame]:
        frames: list[Frame] = []

        def emit(item: Item) -> None:
            frames.extend(session.emitted(item, model.time.wall_ms))

        for _ in range(steps):
            model.step(emit)
            frames.extend(session.ticked(model.time.wall_ms))
        return frames

    return run


@pytest.fixture
def say() -> Callable[[MarketModel, Session, Any], list[Any]]:
    """Send one JSON command to a session and decode its answers."""

    def send(model: MarketModel, session: Session, command: Any) -> list[Any]:
        text = command if isinstance(command, str) else json.dumps(command)
        frames = session.received(text, model.time.wall_ms)
        return [json.loads(f) if isinstance(f, str) else f for f in frames]

    return send
