"""A POST in front of a server that knows GET alone."""

from __future__ import annotations

import pytest

from pipeline.lab.posting import MOST_BODY_BYTES, MOST_HEAD_BYTES, PostReader

POST = b"POST /books HTTP/1.1\r\nHost: a\r\ncontent-length:  5\r\nAccept: */*\r\n\r\n12345"
AS_GET = b"GET /books HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 60, 1000])
def test_a_post_becomes_a_get_however_it_is_cut(size: int) -> None:
    """The body is kept, and what follows it passes through."""
    reader = PostReader()
    parts = [POST[at : at + size] for at in range(0, len(POST), size)]
    assert b"".join(reader.feed(part) for part in parts) == AS_GET
    assert reader.body == b"12345"
    assert reader.feed(b"POST more") == b"POST more"


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_get_passes_through(size: int) -> None:
    """Byte by byte, too."""
    text = b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nPOST 12345"
    reader = PostReader()
    assert b"".join(reader.feed(text[at : at + size]) for at in range(0, len(text), size)) == text
    assert reader.body is None


@pytest.mark.parametrize(
    "text",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n12345",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n12345",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n12345",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n12345" % (MOST_BODY_BYTES + 1),
        b"POST / HTTP/1.1\r\nX: " + b"y" * MOST_HEAD_BYTES,
    ],
)
def test_what_cannot_be_read_reaches_the_server_as_it_is(text: bytes) -> None:
    """It will refuse it; nothing is held without bound."""
    reader = PostReader()
    assert reader.feed(text) == text
    assert reader.body is None
