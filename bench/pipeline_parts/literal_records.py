"""The records that both halves of the literal reading share: a ladder and a top a market, in numpy."""

import mmap

import numpy as np

LADDER = np.dtype([("yes", "f8", (100,)), ("no", "f8", (100,))])
TOP = np.dtype(
    [
        ("seq", "i8"),
        ("bid", "f8"),
        ("bid_units", "f8"),
        ("ask", "f8"),
        ("ask_units", "f8"),
        ("received_ns", "i8"),
        ("published_ns", "i8"),
    ]
)


def ladders_and_tops(memory: mmap.mmap, pairs: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Ladders of the first venue's markets, and the tops of both venues' markets."""
    ladders = np.ndarray((pairs,), LADDER, memory)
    return ladders, np.ndarray((2, pairs), TOP, memory, pairs * LADDER.itemsize)
