"""Silence: for how long a worker has had the chance to beat and did not.

In: its heartbeat as each turn of the supervisor sees it, what it waited for the machine, the time. Out: a
`Silence`, which counts only what the supervisor was awake for, and leaves out for how long the worker waited
for a processor or a disk. Pure. Run by `policy`: a slow machine must not end the workers that it slows down.
"""

from __future__ import annotations

from dataclasses import dataclass

# More than this between two looks is the supervisor's own absence: nobody saw whether the worker beat.
LONGEST_LOOK_NS = 250_000_000
# After so many times its limit a worker is silent for good, whatever kept it waiting.
STRETCH = 5


@dataclass(frozen=True, slots=True)
class Waits:
    """What a process had to wait for. `queued_ns` is for a processor, since its start, 0 where unknown;
    `blocked` says that it is in the kernel, mostly for a disk, where no signal reaches it.
    """

    queued_ns: int = 0
    blocked: bool = False


NO_WAITS = Waits()


@dataclass(frozen=True, slots=True)
class Silence:
    """What there was since the last beat: looks that lasted `whole_ns`, in which it was blocked for
    `blocked_ns` and waited for a processor for `queued_ns`, a count that began at `queued_from_ns`.
    """

    seen_ns: int = 0
    heartbeat_ns: int = 0
    whole_ns: int = 0
    blocked_ns: int = 0
    queued_from_ns: int = 0
    queued_ns: int = 0

    def is_longer_than(self, limit_ns: float) -> bool:
        """Whether it could have beaten for longer than that, or was silent for STRETCH times as long."""
        own_ns = self.whole_ns - self.blocked_ns - self.queued_ns
        return own_ns > limit_ns or self.whole_ns > STRETCH * limit_ns


def listen(before: Silence, heartbeat_ns: int, busy_until_ns: int, waits: Waits, now_ns: int) -> Silence:
    """The silence at this look: a new one where the worker has beaten since, or has announced a wait."""
    if heartbeat_ns > before.heartbeat_ns or busy_until_ns >= now_ns:
        return Silence(now_ns, max(heartbeat_ns, before.heartbeat_ns))
    looked_ns = min(now_ns - before.seen_ns, LONGEST_LOOK_NS)
    queued_from_ns = before.queued_from_ns or waits.queued_ns
    return Silence(
        now_ns,
        before.heartbeat_ns,
        before.whole_ns + looked_ns,
        before.blocked_ns + looked_ns * waits.blocked,
        queued_from_ns,
        max(waits.queued_ns - queued_from_ns, before.queued_ns),
    )
