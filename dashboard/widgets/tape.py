"""Tape: the line that says where a replayed tape stands, and the keys that move it.

In: a snapshot of a run that plays a tape. Out: one line. Pure.
"""

from __future__ import annotations

from rich.cells import cell_len
from textual.binding import Binding

from dashboard.formatting import clean, clock_text, count_text
from dashboard.snapshot import Snapshot
from dashboard.widgets.panel import Line
from shm.records import ReplayRow

_STATES = ("▶ plays", "‖ PAUSED", "» seeks", "■ at its end", "⚠ cannot be read further")
KEYS, FEW_KEYS = "space pause  . step  [ ] 10 s  { } 1 min  < > speed", "keys: space . [ ] < >"
# From the fullest: cells of the bar, whether the tape's ends and its frames are named, its keys.
WORDINGS = (
    (24, True, True, KEYS),
    (16, True, True, FEW_KEYS),
    (10, True, True, ""),
    (10, False, True, FEW_KEYS),
    (10, False, True, ""),
    (8, False, False, ""),
)
# ReplayRow.state of a tape that stands still.
PAUSED = 1
# The steps of its speed; the last is as fast as the feeds take it.
SPEEDS = ("0.1", "0.25", "0.5", "1", "2", "5", "10", "50", "200", "1000", "max")

# The app's bindings of the same.
TAPE_KEYS = (
    Binding("space", "tape('pause')", "pause the tape", show=False),
    Binding("full_stop", "tape('step')", "one frame of the tape", key_display=".", show=False),
    Binding("left_square_bracket", "seek(-10)", "tape 10 s back", key_display="[", show=False),
    Binding("right_square_bracket", "seek(10)", "tape 10 s on", key_display="]", show=False),
    Binding("left_curly_bracket", "seek(-60)", "tape a minute back", key_display="{", show=False),
    Binding("right_curly_bracket", "seek(60)", "tape a minute on", key_display="}", show=False),
    Binding("less_than_sign", "speed(-1)", "tape slower", key_display="<", show=False),
    Binding("greater_than_sign", "speed(1)", "tape faster", key_display=">", show=False),
)


def next_speed(speed_ppm: int, by: int) -> str:
    """The step of SPEEDS that many steps from the nearest to `speed_ppm` (0 or less: "max")."""
    at = len(SPEEDS) - 1
    if speed_ppm > 0:
        at = min(range(at), key=lambda step: abs(float(SPEEDS[step]) * 1e6 - speed_ppm))
    return SPEEDS[max(0, min(at + by, len(SPEEDS) - 1))]


def draw_tape(snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
    """State, time, how far it is, speed, frames and the keys of the tape: the fullest wording that fits."""
    if snapshot.replay is None:
        return []
    line: Line = []
    for wording in WORDINGS:
        line = _worded(snapshot.replay, *wording)
        if sum(cell_len(text) for text, _ in line) <= width:
            break
    return [line]


def _worded(row: ReplayRow, bar: int, span: bool, frames: bool, keys: str) -> Line:
    """The line with a bar of so many cells."""
    state = _STATES[row.state] if 0 <= row.state < len(_STATES) else "?"
    whole = max(1, row.last_wall_ns - row.first_wall_ns)
    share = min(1.0, max(0.0, (row.at_wall_ns - row.first_wall_ns) / whole))
    done = round(share * bar)
    role = "bad" if row.state == 4 else "fair" if row.state in (1, 2) else "strong"
    times = f" of {clock_text(row.first_wall_ns)}–{clock_text(row.last_wall_ns)}" if span else ""
    speed = "as fast as it goes" if row.speed_ppm <= 0 else f"×{row.speed_ppm / 1e6:g}"
    line: Line = [
        (f"{state}  ", role),
        (f"{clock_text(row.at_wall_ns)}{times}  ", "plain"),
        ("█" * done + "░" * (bar - done), "info"),
        (f" {share:4.0%}  {speed}", "plain"),
    ]
    if frames:
        line.append((f"  {count_text(row.frames)}/{count_text(row.total_frames)} frames", "plain"))
    if row.problem:
        line.append((f"  {clean(row.problem)}", "bad"))
    return [*line, (f"  {keys}", "dim")] if keys else line
