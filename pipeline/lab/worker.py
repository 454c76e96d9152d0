"""Lab worker: the process that plays the four venues on loopback.

In: seed, divergence and scenario from the config, and when the run began. Out: venues on ports of
127.0.0.1, named with their events in run/lab.json, and a segment with counters; in run/lab.json too what
the scenario makes of the paper exchange, as keys of [trader]. Started by the supervisor as `run.py lab`
when a venue's url is "sim". A lab that is restarted plays the same world up to the present and goes on
there. While it plays it takes orders from run/faults.json (`orders`), which the selftest writes.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.lab.listing import STEP_MS
from pipeline.lab.market import MarketModel
from pipeline.lab.orders import ORDERS_FILE, OrderBook
from pipeline.lab.scenario import NOTHING, ScenarioError, load, parse_order
from pipeline.lab.server import LabServer
from pipeline.lifecycle import Worker

VENUES = ("kalshi", "polymarket", "kraken", "coinbase")
COUNTERS = (
    *(
        f"{venue}_{what}"
        for venue in VENUES
        for what in ("messages", "received", "requests", "connections", "slow_clients")
    ),
    "orders",
    "orders_refused",
)
LAB_FILE = "lab.json"


class Lab:
    """The life of one lab process."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        self.worker = Worker("lab", config, clock, [], COUNTERS, _ignore_config)
        self._path = Path(config.run_directory) / LAB_FILE
        self._version = 0
        self._scenario = load(config.lab.scenario)
        self._orders = OrderBook(Path(config.run_directory) / ORDERS_FILE)
        self._ordered = NOTHING
        self._events: list[dict[str, Any]] = []
        self._paper: dict[str, int | str] = {}
        self._model = self._world(config)
        self._server = LabServer(self._model, fault_seed=config.lab.seed)
        self._server.set_faults(self._scenario.faults())
        self._counted: dict[str, int] = {}
        self._stopping: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Play until told to stop."""
        with self.worker:
            asyncio.run(self._play())

    def _world(self, config: Config) -> MarketModel:
        """The world of this run's seed, played from the run's start to now."""
        start_ms = config.started_wall_ns // 1_000_000 or self._clock.wall_ns() // 1_000_000
        model = MarketModel(config.lab.seed, config.lab.divergence, start_ms, scenario=self._scenario)
        steps = (self._clock.wall_ns() // 1_000_000 - start_ms) // STEP_MS
        for step in range(steps):
            model.step(_unseen)
            if step % 100 == 0:
                self.worker.go_on()
        return model

    async def _play(self) -> None:
        await self._server.start()
        await self._server.run(self._clock.monotonic_ns, self._publish, self._beat)
        if self._stopping is not None:
            await self._stopping

    def _beat(self) -> None:
        """Called each step: beat, carry the counters, follow scenario and orders, and end when told to."""
        for name, total in self._server.counters().items():
            if total != self._counted.get(name, 0):
                self.worker.counters.add(name, total - self._counted.get(name, 0))
                self._counted[name] = total
        self._obey()
        if self._paper_now() != self._paper:
            self._publish(self._events)
        if not self.worker.go_on() and self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._server.stop())

    def _obey(self) -> None:
        """Take a new order; one that cannot be played changes nothing, and is said."""
        text = self._orders.new()
        if text is None:
            return
        try:
            ordered = parse_order(text).later(self._model.time.elapsed_ms)
        except ScenarioError as error:
            self.worker.counters.add("orders_refused")
            self.worker.report(f"run/{ORDERS_FILE}: {error}")
            return
        self._server.faults.order(ordered.faults())
        self._model.order(ordered)
        self._ordered = ordered
        # Counted when it is in force: who ordered waits for this.
        self.worker.counters.add("orders")

    def _paper_now(self) -> dict[str, int | str]:
        """What the paper exchange is to do now; an order counts before the script."""
        elapsed_ms = self._model.time.elapsed_ms
        return self._scenario.paper_at(elapsed_ms) | self._ordered.paper_at(elapsed_ms)

    def _publish(self, events: list[dict[str, Any]]) -> None:
        """Say in run/lab.json where the venues are, what they trade, and how paper orders fare."""
        self._version += 1
        self._events, self._paper = events, self._paper_now()
        content = {
            "version": self._version,
            "venues": self._server.addresses(),
            "events": events,
            "paper": self._paper,
        }
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(content, indent=1))
        temporary.replace(self._path)


def _unseen(_item: object) -> None:
    """Nobody watches a past that is played again."""


def _ignore_config(_old: Config, _new: Config) -> None:
    """The world does not change while it is played; a new seed takes effect with a restart."""
