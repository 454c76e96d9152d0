"""The stream between the lab that plays a tape and the feeds: items in, the same items out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tape_link import ITEM_MAX, Item, Kind, LinkError, Unpacker, packed

ITEMS = st.builds(
    Item,
    st.sampled_from(Kind).map(int),
    st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=9)),
    st.text(max_size=50),
    st.integers(0, 2**40),
)


@given(st.lists(ITEMS, max_size=20), st.integers(1, 40))
def test_items_arrive_whole_however_the_stream_is_cut(items: list[Item], piece: int) -> None:
    """Cut anywhere, a stream gives the items that went in, in order."""
    stream = b"".join(packed(item) for item in items)
    unpacker = Unpacker()
    found = [each for at in range(0, len(stream), piece) for each in unpacker.feed(stream[at : at + piece])]
    assert found == items


def test_what_is_no_item_is_refused() -> None:
    """A length beyond the longest line, or a body of another kind, is said and not held."""
    with pytest.raises(LinkError, match="bytes"):
        Unpacker().feed((ITEM_MAX + 1).to_bytes(4, "big"))
    with pytest.raises(LinkError):
        Unpacker().feed((3).to_bytes(4, "big") + b"\xc1\xc1\xc1")
