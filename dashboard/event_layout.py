"""Event layout: which rows of the scanner's table are one row on the screen, and what they are.

In: the cells of the table that say what a direction is. Out: pairs of directions and single ones in the
scanner's order, their keys, headings, and ranks of texts. Made by `event_table` when those cells change,
which is seldom: numbers are not looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy import int64
from numpy.typing import NDArray

from dashboard.feed_picture import Directory
from shm.layout import WORD
from shm.records import EVENT

# Kinds whose two directions buy the same and sell the same, one the other way round.
PAIR_KINDS = ("binary", "spot")


def _places() -> dict[str, tuple[int, int]]:
    """Of each cell of an `EventRow` the first word, and how many of text; 0 for a number."""
    at, found = 0, {}
    for name, words in EVENT.fields:
        found[name] = at, words
        at += words or 1
    return found


CELLS = _places()
# A row begins with what the direction is; its numbers follow.
STATIC_WORDS = CELLS["has_numbers"][0]
NONE = -1


class Named(NamedTuple):
    """What a direction is: the cells of an `EventRow` before its numbers, by the same names."""

    event_id: str
    title: str
    kind: str
    direction: int
    legs: int
    buy_venue: str
    buy_market: str
    buy_inverse: int
    buy_action: str
    buy_outcome: str
    sell_venue: str
    sell_market: str
    sell_inverse: int
    sell_action: str
    sell_outcome: str
    close_wall_ns: int

    @property
    def identity(self) -> tuple[str, str, int, str, str, str, str]:
        """Which direction of which markets it is: another one has another past."""
        legs = self.buy_venue, self.buy_market, self.sell_venue, self.sell_market
        return self.event_id, self.kind, self.direction, *legs


_COLUMNS = [CELLS[name] for name in Named._fields]


def named(words: NDArray[int64]) -> list[Named]:
    """What the rows are, column by column."""
    columns = []
    for at, size in _COLUMNS:
        if size:
            cells = np.ascontiguousarray(words[:, at : at + size]).view(f"S{size * WORD}")
            columns.append([_text(raw) for raw in cells[:, 0].tolist()])
        else:
            columns.append(words[:, at].tolist())
    return [Named(*cells) for cells in zip(*columns, strict=True)]


def _text(raw: bytes) -> str:
    """Text up to the first zero; foreign bytes show as replacement characters."""
    return raw.partition(b"\0")[0].decode("utf-8", "replace")


class Layout:
    """The rows on the screen, called places: first every pair, then every other direction.

    `rows` are the table's rows in use, by index. Of a pair even numbers buy its first leg, odd ones its
    second; place i has the table's rows `even[i]` and `odd[i]`, NONE where there is none, and a single
    direction's row is `even[i]`.
    """

    def __init__(self, rows: Mapping[int, Named]) -> None:
        self.rows = list(rows.values())
        pairs: dict[tuple[str, frozenset[tuple[str, str]]], list[int]] = {}
        singles = []
        for index, row in rows.items():
            if row.kind in PAIR_KINDS:
                legs = frozenset(((row.buy_venue, row.buy_market), (row.sell_venue, row.sell_market)))
                pairs.setdefault((row.event_id, legs), [NONE, NONE])[row.direction % 2] = index
            else:
                singles.append(index)
        found = list(pairs.values())
        self.pairs = len(found)
        self.even = np.array([pair[0] for pair in found] + singles, dtype=np.intp)
        self.odd = np.array([pair[1] for pair in found] + [NONE] * len(singles), dtype=np.intp)
        self.heads = [rows[pair[0] if pair[0] != NONE else pair[1]] for pair in found]
        self.heads += [rows[index] for index in singles]
        self.legs = [
            _legs(head, turned=at < self.pairs and found[at][0] == NONE) for at, head in enumerate(self.heads)
        ]
        # Where the legs lie in each venue's memory, for as long as its directory is this one.
        self._lying: dict[str, tuple[Directory, list[tuple[NDArray[np.intp], NDArray[np.intp]]]]] = {}

    def __len__(self) -> int:
        return len(self.heads)

    @cached_property
    def ids(self) -> set[str]:
        """The ids of the events."""
        return {head.event_id for head in self.heads}

    @cached_property
    def groups(self) -> list[tuple[str, str] | None]:
        """The venues of each pair of markets, None for another direction."""
        pairs = [(legs[0][0], legs[1][0]) for legs in self.legs[: self.pairs]]
        return [*pairs, *[None] * (len(self) - self.pairs)]

    @cached_property
    def keys(self) -> list[str]:
        """What names each place from one picture to the next, as `ListedEvents.key` does."""
        found = []
        for place, (head, legs) in enumerate(zip(self.heads, self.legs, strict=True)):
            deals = (("", ""), ("", ""))
            if place >= self.pairs:
                deals = (head.buy_action, head.buy_outcome), (head.sell_action, head.sell_outcome)
            named_legs = (
                f"{venue}/{market}/{action}/{outcome}"
                for (venue, market), (action, outcome) in zip(legs, deals, strict=False)
            )
            found.append(" ".join([head.event_id, head.kind, *named_legs]))
        return found

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each key is; of two of one name the first."""
        found: dict[str, int] = {}
        for place, key in enumerate(self.keys):
            found.setdefault(key, place)
        return found

    @cached_property
    def words(self) -> list[str]:
        """What a filter looks at."""
        return [
            " ".join(
                [head.event_id, head.title, head.kind, *(word for leg in legs for word in leg)]
            ).casefold()
            for head, legs in zip(self.heads, self.legs, strict=True)
        ]

    @cached_property
    def id_ranks(self) -> NDArray[int64]:
        """The order of the places by the event's id."""
        return _ranks([head.event_id for head in self.heads])

    @cached_property
    def kind_ranks(self) -> NDArray[int64]:
        """The order of the places by kind."""
        return _ranks([head.kind for head in self.heads])

    @cached_property
    def closes(self) -> NDArray[int64]:
        """When each closes (wall clock), 0 for never."""
        return np.array([head.close_wall_ns for head in self.heads], dtype=int64)

    def lying(self, venue: str, directory: Directory) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Of the first and of the second leg: the places whose leg is of this venue, and its rows there."""
        known = self._lying.get(venue)
        if known is None or known[0] is not directory:
            sides = []
            for side in (0, 1):
                here = [
                    (place, legs[side][1])
                    for place, legs in enumerate(self.legs)
                    if side < len(legs) and legs[side][0] == venue
                ]
                places = np.array([place for place, _ in here], dtype=np.intp)
                sides.append((places, directory.rows_of([market for _, market in here])))
            known = self._lying[venue] = directory, sides
        return known[1]

    @cached_property
    def named_legs(self) -> set[tuple[str, str]]:
        """Every (venue, market) that a direction names."""
        return {leg for legs in self.legs for leg in legs}

    def matching(self, needle: str) -> NDArray[np.intp]:
        """The places that contain a needle, in their order."""
        if not needle:
            return np.arange(len(self), dtype=np.intp)
        known = self._found
        if needle not in known:
            known.clear()
            found = [place for place, words in enumerate(self.words) if needle in words]
            known[needle] = np.array(found, dtype=np.intp)
        return known[needle]

    @cached_property
    def _found(self) -> dict[str, NDArray[np.intp]]:
        """What the last needle was found in."""
        return {}


def _legs(head: Named, *, turned: bool) -> tuple[tuple[str, str], ...]:
    """The named legs; of a pair of which only the odd direction is there, the other way round."""
    legs = ((head.buy_venue, head.buy_market), (head.sell_venue, head.sell_market))
    if head.kind not in PAIR_KINDS:
        return legs[: 2 if head.legs > 1 else 1]
    return legs[::-1] if turned else legs


def _ranks(texts: Sequence[str]) -> NDArray[int64]:
    """The place of each text among all; equal texts have equal ranks."""
    order = {text: rank for rank, text in enumerate(sorted(set(texts)))}
    return np.array([order[text] for text in texts], dtype=int64)
