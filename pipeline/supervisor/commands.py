"""Commands: what people ask of a run, done and answered in a sentence.

In: admitted requests, from the run directory's socket or from an allowed key elsewhere. Out: what was asked,
or a refusal in words. Each is logged with who asked, what, and what came of it. Run by the supervisor's loop.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

from pipeline.clock import Clock
from pipeline.flatten import FLATTEN_FILE, FlattenFile
from pipeline.halt import HALT_FILE, HaltFile
from pipeline.lifecycle import Worker
from pipeline.model import WorkerState
from pipeline.supervisor.configuration import Configuration
from pipeline.supervisor.processes import signal_number
from pipeline.supervisor.staff import Managed, Staff
from pipeline.tape_orders import KEPT_ORDERS, ORDERS_FILE, TapeOrder, TapeOrderError, as_text, checked
from pipeline.wire import MAX_FRAME_BYTES, Request

# What is left of a frame beside its seal and the request's id, with room for a remote one's envelope.
MAX_TEXT_BYTES = MAX_FRAME_BYTES - 1000
OF_ONE_WORKER = ("start", "stop", "restart", "kill")
Answer = tuple[bool, str]


class Commands:
    """Obeys requests. `down` asks the loop to end the run."""

    def __init__(
        self,
        worker: Worker,
        staff: Staff,
        configuration: Configuration,
        clock: Clock,
        down: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._staff = staff
        self._configuration = configuration
        self._clock = clock
        self._down = down
        self._halt = HaltFile(Path(worker.config.data_directory) / HALT_FILE)
        self._flattens = FlattenFile(Path(worker.config.run_directory) / FLATTEN_FILE)
        self._obeyed: dict[str, Callable[[Request], Answer]] = {
            "down": self._stop_run,
            "status": self._status,
            "halt": self._set_halt,
            "resume": self._resume,
            "reload": lambda _request: configuration.reload(),
            "set": self._set,
            "log-level": self._log_level,
            "flatten": self._flatten,
            "replay": self._replay,
        }
        self._tape_orders: list[TapeOrder] = []

    def obey(self, request: Request) -> Answer:
        """Do what is asked, count and log it; the text says what was done, or why not."""
        ok, text = self._do(request)
        self._worker.counters.add("commands" if ok else "commands_refused")
        self._worker.log.info(
            "command",
            who=request.who,
            command=request.command,
            args_=_loggable(request),
            ok=ok,
            outcome=text if request.command != "status" else "",
        )
        return ok, fitting(text)

    def _do(self, request: Request) -> Answer:
        if request.command in OF_ONE_WORKER:
            name = request.args.get("worker", "")
            managed = self._staff.managed.get(name)
            if managed is None:
                return False, self._no_worker(name)
            return self._one(request, managed)
        obeyed = self._obeyed.get(request.command)
        if obeyed is None:
            return False, f"unknown command {request.command!r}"
        return obeyed(request)

    def _no_worker(self, name: str) -> str:
        return f"no worker {name!r}; there are: {', '.join(self._staff.managed)}"

    # -- one worker ------------------------------------------------------------------------------

    def _one(self, request: Request, managed: Managed) -> Answer:
        """start, stop, restart, kill: none of them counts as a failure of the worker.

        Who names the process that is meant (`pid`, "0" for none) is refused where it is another one by now.
        """
        name, pid = managed.name, managed.child.pid if managed.child else 0
        if request.args.get("pid", str(pid)) != str(pid):
            now = f"it is another process now (pid {pid})" if pid else "it has no process now"
            return False, f"{name}: {now}; nothing was done"
        if request.command == "start":
            self._staff.start(managed)
            return True, f"{name} starts" if managed.child is None else f"{name} runs, or is on its way"
        if request.command == "restart":
            self._staff.stop(managed, again=True)
            return True, f"{name} restarts"
        if request.command == "stop":
            self._staff.stop(managed, again=False)
            return True, f"{name} stops, until somebody starts it"
        return self._kill(managed, request.args.get("signal", "TERM"))

    def _kill(self, managed: Managed, signal_name: str) -> Answer:
        number = signal_number(signal_name)
        if number is None:
            return False, f"unknown signal {signal_name!r}"
        pid = self._staff.signal(managed, number)
        if not pid:
            return False, f"{managed.name} is not running"
        return True, f"sent {signal.Signals(number).name} to {managed.name} (pid {pid})"

    # -- the run ---------------------------------------------------------------------------------

    def _stop_run(self, _request: Request) -> Answer:
        self._down()
        return True, "stopping"

    def _status(self, _request: Request) -> Answer:
        """The run in short, as JSON; workers that a frame has no room for are only counted."""
        config, now = self._worker.config, self._clock.monotonic_ns()
        workers = [
            {
                "name": managed.name,
                "pid": managed.child.pid if managed.child else 0,
                "state": WorkerState(managed.standing.state).name,
                "restarts": managed.standing.restarts,
            }
            for managed in self._staff.managed.values()
        ]
        started_ns = self._worker.segment.header.started_ns
        told: dict[str, object] = {
            "profile": config.profile,
            "mode": config.mode,
            "uptime_s": round((now - started_ns) / 1e9, 1),
            "config_version": config.version,
            "config_hash": config.hash,
            "halted": self._halt.read() is not None,
            "workers": workers,
            "more_workers": 0,
        }
        while len(json.dumps(told).encode()) > MAX_TEXT_BYTES and workers:
            workers.pop()
            told["more_workers"] = len(self._staff.managed) - len(workers)
        return True, json.dumps(told)

    def _set_halt(self, request: Request) -> Answer:
        """Write the HALT file; the trader looks at it before each order."""
        cause = request.args.get("why", "") or "halted by a person"
        try:
            self._halt.set(cause, request.who, self._clock.wall_ns())
        except OSError as error:
            return False, f"{self._halt.path}: {error.strerror}"
        return True, f"halted: {cause}"

    def _resume(self, _request: Request) -> Answer:
        """Remove the HALT file."""
        try:
            halt = self._halt.clear()
        except OSError as error:
            return False, f"{self._halt.path}: {error.strerror}"
        return True, f"resumed; it was halted: {halt.cause}" if halt else "it was not halted"

    def _replay(self, request: Request) -> Answer:
        """Tell the lab that plays a tape: it obeys within a beat, and counts that in its row `replay`."""
        config = self._worker.config
        if not config.tape:
            return False, "no tape is played here: start one with run.py replay or run.py dashboard --replay"
        action, value = request.args.get("action", ""), request.args.get("value", "")
        number = self._tape_orders[-1].number + 1 if self._tape_orders else 1
        try:
            order = checked(number, action, value)
        except TapeOrderError as error:
            return False, str(error)
        self._tape_orders = [*self._tape_orders[1 - KEPT_ORDERS :], order]
        path = Path(config.run_directory) / ORDERS_FILE
        try:
            temporary = path.with_suffix(".new")
            temporary.write_bytes(as_text(self._tape_orders))
            temporary.replace(path)
        except OSError as error:
            return False, f"{path}: {error.strerror}"
        return True, f"order {number}: {action} {order.value}".rstrip()

    def _flatten(self, request: Request) -> Answer:
        """Give the trader an order to close an event; what becomes of it is in the trader's segment."""
        event_id = request.args.get("event", "")
        trader = self._staff.managed.get("trader")
        if trader is None or trader.standing.state != WorkerState.RUNNING:
            return False, "no trader runs: nobody could close anything; run.py start trader"
        if event_id not in {event.id for event in self._worker.config.all_events()}:
            why = "it is not in the configuration, so nobody watches its books"
            return False, f"unknown event {event_id!r}: {why}; run.py status lists what is held"
        try:
            order = self._flattens.give(event_id, request.who, self._clock.wall_ns())
        except OSError as error:
            return False, f"{FLATTEN_FILE} cannot be written: {error.strerror}"
        return True, f"order {order.number}: the trader closes all that is held of {event_id}"

    # -- configuration ---------------------------------------------------------------------------

    def _set(self, request: Request) -> Answer:
        assignments = [line for line in request.args.get("assignments", "").splitlines() if line.strip()]
        if not assignments:
            return False, "nothing to set: give section.key=value"
        return self._configuration.write(assignments)

    def _log_level(self, request: Request) -> Answer:
        name = request.args.get("worker", "")
        if name not in self._staff.managed and name != self._worker.name:
            return False, f"{self._no_worker(name)}, {self._worker.name}"
        return self._configuration.set_level(name, request.args.get("level", ""))


def _loggable(request: Request) -> dict[str, str]:
    """What was asked, without values: somebody may have typed a secret into the wrong key."""
    if request.command != "set":
        return request.args
    lines = request.args.get("assignments", "").splitlines()
    return {"keys": ", ".join(line.partition("=")[0].strip() for line in lines)}


def fitting(text: str) -> str:
    """The text, or as many whole lines of it as a frame has room for and how many are left out."""
    if len(text.encode()) <= MAX_TEXT_BYTES:
        return text
    kept: list[str] = []
    left = MAX_TEXT_BYTES - 40
    lines = text.splitlines()
    for line in lines:
        left -= len(line.encode()) + 1
        if left < 0:
            break
        kept.append(line)
    if not kept:
        return text.encode()[: MAX_TEXT_BYTES - 40].decode("utf-8", "ignore") + " ..."
    return "\n".join([*kept, f"... and {len(lines) - len(kept)} lines more"])
