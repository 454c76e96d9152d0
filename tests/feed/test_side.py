"""One side of a book: always what a sorted dictionary is, and its row of memory what its top is."""

from __future__ import annotations

import zlib
from array import array
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.feed.side import CHECKSUM_LEVELS, NEAR_LEVELS, Side
from pipeline.model import INT64_MAX, Level

HEAD = 3  # words of the page that are not the side's


class Pair:
    """A side and the dictionary that it must equal."""

    def __init__(self, sign: int, shown: int) -> None:
        self.page = array("q", [-1]) * HEAD + array("q", [0]) * (2 * shown) + array("q", [-1]) * HEAD
        self.side = Side(sign, self.page, HEAD, shown)
        self.sign, self.shown = sign, shown
        self.model: dict[int, int] = {}

    def replace(self, levels: list[Level]) -> None:
        self.side.replace(levels)
        self.model = {price: size for price, size in dict(levels).items() if size}

    def change(self, levels: list[Level], *, relative: bool = False) -> None:
        for price, size in levels:
            self.model[price] = size + (self.model.get(price, 0) if relative else 0)
            if self.model[price] < 0:
                assert not self.side.step(levels)
                self.replace([])
                return
            if not self.model[price]:
                del self.model[price]
        if relative:
            assert self.side.step(levels)
        else:
            self.side.change(levels)

    def cut(self, depth: int) -> None:
        if len(self.model) > depth:
            self.side.cut(depth)
            self.model = dict(self.sorted()[:depth])

    def sorted(self) -> list[Level]:
        return sorted(self.model.items(), reverse=self.sign > 0)

    def check(self) -> None:
        """Levels, best price, page and checksum are those of the dictionary; nothing else was touched."""
        best_first = self.sorted()
        assert self.side.top(0) == best_first
        assert self.side.top(7) == best_first[:7]
        assert self.side.best == (best_first[0][0] if best_first else 0)
        flat = [word for level in best_first[: self.shown] for word in level]
        assert list(self.page[HEAD:-HEAD]) == flat + [0] * (2 * self.shown - len(flat))
        assert list(self.page[:HEAD]) == list(self.page[-HEAD:]) == [-1] * HEAD
        text = "".join(f"{price}{size}" for price, size in best_first[:CHECKSUM_LEVELS])
        for start in (0, 12345):
            assert self.side.checksum(start) == zlib.crc32(text.encode(), start)


LEVELS = st.lists(st.tuples(st.integers(1, 14), st.integers(0, 3)), max_size=8)
STEPS = st.lists(st.tuples(st.integers(1, 14), st.integers(-2, 3)), max_size=4)
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("replace"), LEVELS),
        st.tuples(st.just("change"), LEVELS),
        st.tuples(st.just("steps"), STEPS),
        st.tuples(st.just("cut"), st.integers(1, 12)),
    ),
    max_size=25,
)


def do(pair: Pair, deed: str, argument: object) -> None:
    if deed == "steps":
        pair.change(argument, relative=True)  # type: ignore[arg-type]
    else:
        getattr(pair, deed)(argument)


@settings(max_examples=200, deadline=None)
@given(deeds=DEEDS, sign=st.sampled_from([1, -1]), shown=st.sampled_from([0, 1, 3, 5, 25]))
def test_a_side_is_what_a_sorted_dictionary_is(
    deeds: list[tuple[str, object]], sign: int, shown: int
) -> None:
    """After anything that is done to it: levels, best, checksum, and the row of memory with them."""
    pair = Pair(sign, shown)
    for deed, argument in deeds:
        do(pair, deed, argument)
        pair.check()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("count", [NEAR_LEVELS - 1, NEAR_LEVELS, NEAR_LEVELS + 1, 3000])
def test_deep_sides_are_exact_everywhere(sign: int, count: int) -> None:
    """Changes at the best, far behind it, and at the end of what is searched first."""
    random, pair = Random(count), Pair(sign, 25)
    pair.replace([(10 * price, 5) for price in random.sample(range(1, count + 1), count)])
    pair.check()
    for turn in range(300):
        ranks = (random.randrange(count), random.randrange(40), NEAR_LEVELS + random.randrange(-3, 3))
        best_first = pair.sorted()
        near = best_first[min(random.choice(ranks), len(best_first) - 1)][0]
        price = near + random.choice([0, 0, -5, 5, 1])
        pair.change([(price, random.choice([0, 1, 9]))])
        if turn % 20 == 0:
            pair.check()
    pair.check()


def test_a_step_beyond_what_can_be_is_refused() -> None:
    """Less than nothing, or more than int64 holds; up to there every size is kept."""
    for step, possible in ((-5, True), (-6, False), (INT64_MAX - 5, True), (INT64_MAX, False)):
        pair = Pair(1, 2)
        pair.replace([(40, 5)])
        assert pair.side.step([(40, step)]) is possible
        assert pair.side.top(0) == (
            [(40, 5 + step)] if possible and step > -5 else [] if possible else [(40, 5)]
        )
    assert not Pair(1, 2).side.step([(40, -1)])
    assert Pair(1, 2).side.step([(40, 0)])
