"""Kalshi's lifecycle channel: what an announcement about a market or an event means for us.

In: the body of a message of `market_lifecycle_v2`, `event_lifecycle` or `event_fee_update`. Out: events
(pipeline/venues/codec.py). Pure; used by books.py beside it. Source: Kalshi's AsyncAPI 2.0.0, autumn 2026.

Not everything is announced: a market opens and closes by its times alone, without a message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from pipeline.model import Market
from pipeline.venues.codec import Event, Ignored, Listed, Settled, Status
from pipeline.venues.kalshi.commands import LIFECYCLE
from pipeline.venues.kalshi.frames import LifecycleBody, decode_lifecycle
from pipeline.venues.kalshi.markets import smallest_step
from pipeline.venues.parsing import Readers, seconds_ns, text_of

# Types of the channel's messages: about one market, or about an event.
KINDS = frozenset({LIFECYCLE, "event_lifecycle", "event_fee_update"})
# The result is known or paid: nobody trades any more.
_OVER = frozenset({"determined", "settled"})


def announced(
    kind: str, sent: msgspec.Raw, wanted: Mapping[str, None] | None, known: Collection[str], readers: Readers
) -> list[Event]:
    """Events of one announcement; ValueError where it cannot be read.

    `wanted` are the markets subscribed to; None, as on a tape, takes every market. `known` are those
    that an event's announcement may be about. What is not told in full, or in words that are new, makes
    its markets' metadata be read again (`Settled`).
    """
    body = decode_lifecycle(sent)
    market = body.market_ticker
    if market is not None:
        if wanted is not None and market not in wanted:
            return [Ignored(kind)]
        return _about_market(market, body, readers)
    event = body.event_ticker
    if event is None:
        raise ValueError("it names neither a market nor an event")
    inside = [each for each in known if each == event or each.startswith(event + "-")]
    return [Settled(each) for each in inside] or [Ignored(text_of(body.event_type or kind))]


def _about_market(market: str, body: LifecycleBody, readers: Readers) -> list[Event]:
    word = body.event_type
    if word == "created":
        return [Ignored(f"{LIFECYCLE} {word}")]
    if word in _OVER:
        return [Status(market, tradable=False, word=word), Settled(market)]
    if word == "deactivated" or body.is_deactivated is True:
        return [Status(market, tradable=False, word=word)]
    if word == "activated":
        # Metadata that was read during the pause says that it is one.
        return [Status(market, tradable=True, word=word), Settled(market)]
    scale = readers.scale_of(market)
    if word == "close_date_updated":
        # A close that moves into the future opens a closed market again: its status is read too.
        close_ns = seconds_ns(body.close_ts)
        moved = Listed(Market("kalshi", market, scale, close_ns=close_ns))
        return [moved, Settled(market)] if close_ns else [Settled(market)]
    if word == "price_level_structure_updated" and body.price_ranges:
        grid = smallest_step(body.price_ranges, scale)
        return [Listed(Market("kalshi", market, scale, grid_ticks=grid))]
    return [Settled(market)]
