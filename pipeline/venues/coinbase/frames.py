"""Shapes of Coinbase Advanced Trade's WebSocket frames, and what a product's status means.

In: JSON text. Out: typed frames, or ValueError. Pure. Used by the Coinbase codec. Source: Coinbase's
AsyncAPI of 2026, whose field shapes its authors compared with the production feed.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pipeline.venues.memo import Moment
from pipeline.venues.parsing import Counter, MarketName

VENUE = "coinbase"
BOOKS = "l2_data"
ONLINE = "online"

_NOTHING = msgspec.Raw(b"[]")


class Update(msgspec.Struct, gc=False):
    """One level. `event_time` is not read: in snapshots it means nothing."""

    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: str


class BookEvent(msgspec.Struct, gc=False):
    """One event of a frame; those of other channels fit into it too, and have no `updates`."""

    type: str = ""
    product_id: Annotated[str, msgspec.Meta(max_length=128)] = ""
    updates: list[Update] | None = None


class Frame(msgspec.Struct, gc=False):
    """A data frame. `sequence_num` is -1 where it is missing, as in error frames."""

    channel: str = ""
    sequence_num: Counter | Literal[-1] = -1
    timestamp: Moment | None = None
    events: list[BookEvent] = []
    type: str = ""


class Envelope(msgspec.Struct, gc=False):
    """What must be known of a frame that does not fit."""

    channel: str = ""
    sequence_num: Counter | Literal[-1] = -1
    events: msgspec.Raw = _NOTHING
    type: str = ""


class Complaint(msgspec.Struct, gc=False):
    """An error frame: it has neither channel nor number."""

    message: str = "error"
    reason: str = ""


class Named(msgspec.Struct, gc=False):
    """The name in an event whose other fields cannot be read."""

    product_id: MarketName


class Subscriptions(msgspec.Struct, gc=False):
    """All that the connection is subscribed to now: products by channel."""

    subscriptions: dict[str, list[str]] = {}


class _Acknowledgement(msgspec.Struct, gc=False):
    events: list[Subscriptions] = []


class _StatusEvent(msgspec.Struct, gc=False):
    products: list[msgspec.Raw] = []


class _StatusFrame(msgspec.Struct, gc=False):
    events: list[_StatusEvent] = []


class ProductStatus(msgspec.Struct, gc=False):
    """What the status channel, or REST, says about trading in a product. Any of it may be missing."""

    id: str = ""
    status: str | None = None
    trading_disabled: bool | None = None
    is_disabled: bool | None = None
    cancel_only: bool | None = None
    view_only: bool | None = None
    limit_only: bool | None = None
    post_only: bool | None = None
    auction_mode: bool | None = None


# Each of these closes a way of trading that we need: we take, so a market that only rests orders is closed.
FLAGS = tuple(name for name in ProductStatus.__struct_fields__ if name not in {"id", "status"})

decode_frame = msgspec.json.Decoder(Frame).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_complaint = msgspec.json.Decoder(Complaint).decode
decode_events = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_event = msgspec.json.Decoder(BookEvent).decode
decode_named = msgspec.json.Decoder(Named).decode
_decode_acknowledgement = msgspec.json.Decoder(_Acknowledgement).decode
_decode_status = msgspec.json.Decoder(_StatusFrame).decode
_decode_product = msgspec.json.Decoder(ProductStatus).decode


def read_subscriptions(frame: bytes) -> dict[str, list[str]]:
    """Products by channel of an acknowledgement. ValueError if it is none."""
    found: dict[str, list[str]] = {}
    for event in _decode_acknowledgement(frame).events:
        for channel, products in event.subscriptions.items():
            found.setdefault(channel, []).extend(products)
    return found


def read_statuses(frame: bytes) -> list[ProductStatus]:
    """The products of a status frame; one that cannot be read is left out. ValueError if it is none."""
    found = []
    for event in _decode_status(frame).events:
        for product in event.products:
            try:
                found.append(_decode_product(product))
            except ValueError:
                continue
    return found


def trading_word(product: ProductStatus) -> str:
    """Why a product cannot be traded, "online" if the venue says so, "" where it does not say."""
    status = (product.status or "").lower()
    if status and status != ONLINE:
        return status
    return next((flag for flag in FLAGS if getattr(product, flag)), status)
