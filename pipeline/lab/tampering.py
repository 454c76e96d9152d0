"""Tampering: the four venues' texts, read a little and made wrong on purpose.

In: an honest text frame. Out: the same frame with a digit flipped, a number shifted, a checksum or a
time changed, and frames that announce trouble. Pure; used by `faults`. Chance is an argument.
"""

from __future__ import annotations

import datetime as dt
import re
from random import Random
from typing import Any, Literal

from pipeline.lab.exchange import compact, parse_object, utc

What = Literal["book", "snapshot", "change", "data", "any"]
"""Which text frames are meant: first books, changes, both, all but signs of life, or simply all."""

_SNAPSHOT = {
    "kalshi": '"type":"orderbook_snapshot"',
    "polymarket": '"event_type":"book"',
    "kraken": '"channel":"book","type":"snapshot"',
    "coinbase": '[{"type":"snapshot","product_id"',
}
_CHANGE = {
    "kalshi": '"type":"orderbook_delta"',
    "polymarket": '"event_type":"price_change"',
    "kraken": '"channel":"book","type":"update"',
    "coinbase": '[{"type":"update","product_id"',
}
_ALIVE = ("PONG", '"method":"pong"', '"channel":"heartbeat', '"heartbeat_counter"')
_SEQUENCE = {"kalshi": re.compile(r'"seq":(-?\d+)'), "coinbase": re.compile(r'"sequence_num":(-?\d+)')}
_SID = re.compile(r'"sid":(\d+)')
# A level's price or size: the text between the quotation marks, or a bare number.
_PRICES = {
    "kalshi": r'"price_dollars":"([^"]+)"|\["([^"]+)","[^"]+"\]',
    "polymarket": r'"price":"([^"]+)"',
    "kraken": r'"price":([^,}]+)',
    "coinbase": r'"price_level":"([^"]+)"',
}
_SIZES = {
    "kalshi": r'"delta_fp":"([^"]+)"|\["[^"]+","([^"]+)"\]',
    "polymarket": r'"size":"([^"]+)"',
    "kraken": r'"qty":([^,}]+)',
    "coinbase": r'"new_quantity":"([^"]+)"',
}
_CHECKSUM = re.compile(r'"checksum":(\d+)')
_STAMP = re.compile(r'"(ts|ts_ms|timestamp|event_time)":("?)([^",}]+)("?)')


def is_kind(venue: str, text: str, what: What) -> bool:
    """Whether a frame of a venue is one of the kind meant."""
    if what == "any":
        return True
    if what == "data":
        return not any(mark in text for mark in _ALIVE)
    snapshot, change = _has(text, _SNAPSHOT[venue]), _has(text, _CHANGE[venue])
    return {"snapshot": snapshot, "change": change, "book": snapshot or change}[what]


def _has(text: str, mark: str) -> bool:
    """Polymarket writes a space after each comma, the others none."""
    return mark in text.replace(", ", ",")


def numbering(venue: str, text: str) -> tuple[str, int] | None:
    """What a frame is numbered by (Kalshi: its subscription, Coinbase: the connection), and its number.

    None for a frame without a number, and for venues that have none.
    """
    found = _SEQUENCE[venue].search(text) if venue in _SEQUENCE else None
    if found is None:
        return None
    sid = _SID.search(text) if venue == "kalshi" else None
    return (sid[1] if sid else ""), int(found[1])


def renumber(venue: str, text: str, by: int) -> str:
    """The frame with its sequence number moved by `by`."""
    return _SEQUENCE[venue].sub(lambda found: f"{found[0].partition(':')[0]}:{int(found[1]) + by}", text, 1)


def flip_digit(venue: str, text: str, random: Random, where: str = "") -> str:
    """One digit of one level changed into another. `where` is "price", "size" or "" for either."""
    spans = _spans(venue, text, where)
    if not spans:
        return text
    start, end = random.choice(spans)
    at = random.choice([i for i in range(start, end) if text[i].isdigit()])
    other = random.choice([digit for digit in "0123456789" if digit != text[at]])
    return text[:at] + other + text[at + 1 :]


def put_value(venue: str, text: str, value: str, where: str = "") -> str:
    """The first price ("price"), size ("size") or either of a frame replaced by any text."""
    spans = _spans(venue, text, where)
    if not spans:
        return text
    start, end = min(spans)
    return text[:start] + value + text[end:]


def _spans(venue: str, text: str, where: str) -> list[tuple[int, int]]:
    """Where the numbers of the levels stand."""
    tables = {"price": (_PRICES,), "size": (_SIZES,), "": (_PRICES, _SIZES)}[where]
    found = [match for table in tables for match in re.finditer(table[venue], text)]
    return [match.span(match.lastindex or 0) for match in found]


def wrong_checksum(text: str) -> str:
    """The frame with another checksum, if it has one."""
    return _CHECKSUM.sub(lambda found: f'"checksum":{int(found[1]) ^ 1}', text)


def move_times(text: str, seconds: float) -> str:
    """The frame with all of the venue's own times moved by `seconds`."""

    def moved(found: re.Match[str]) -> str:
        name, opening, value, closing = found.groups()
        if value.isdigit():
            scale = 1_000 if len(value) > 10 else 1
            return f'"{name}":{opening}{int(value) + round(seconds * scale)}{closing}'
        moment = dt.datetime.fromisoformat(value) + dt.timedelta(seconds=seconds)
        return f'"{name}":{opening}{utc(round(moment.timestamp() * 1_000_000))}{closing}'

    return _STAMP.sub(moved, text)


def spoil(text: str, random: Random) -> bytes:
    """The frame with a few bytes replaced by any others: seldom JSON, often not even UTF-8."""
    data = bytearray(text.encode())
    for _ in range(min(4, len(data))):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def text_frame(payload: bytes) -> bytes:
    """A whole unmasked WebSocket text frame, as a server sends it (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes([0x81, size]) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


# -- what a venue announces ----------------------------------------------------------------------------


def kraken_status(word: str) -> str:
    """The status frame that says how the whole exchange is: online, maintenance, cancel_only ..."""
    data = {"version": "2.0.10", "system": word, "api_version": "v2", "connection_id": 1}
    return compact({"channel": "status", "type": "update", "data": [data]})


def kraken_pair_status(instruments: str, market: str, word: str) -> str | None:
    """An update of one pair's status, made from the instrument snapshot seen before."""
    snapshot = parse_object(instruments)
    pairs = snapshot["data"]["pairs"] if snapshot else []
    mine = [pair for pair in re.findall(r'\{"symbol".*?\}', instruments) if f'"{market}"' in pair]
    if not pairs or not mine:
        return None
    pair = re.sub(r'"status":"[^"]*"', f'"status":"{word}"', mine[0])
    return f'{{"channel":"instrument","type":"update","data":{{"assets":[],"pairs":[{pair}]}}}}'


def coinbase_status(market: str, online: bool, now_ms: int) -> str:
    """A frame of the status channel about one product; its number is 0, to be set by the sender."""
    product: dict[str, Any] = {
        "id": market,
        "product_type": "SPOT",
        "status": "online" if online else "offline",
        "status_message": "" if online else "trading is paused",
        "trading_disabled": not online,
    }
    events = [{"type": "update", "products": [product]}]
    head = {"channel": "status", "timestamp": utc(now_ms * 1_000), "sequence_num": 0}
    return compact({**head, "events": events})


def kalshi_lifecycle(sid: str, market: str, body: dict[str, Any]) -> str:
    """A lifecycle frame about one market; its number is 0, to be set by the sender."""
    head = {"type": "market_lifecycle_v2", "sid": int(sid or 0), "seq": 0}
    return compact({**head, "msg": {"market_ticker": market, **body}})


def kalshi_error(code: int, words: str, sid: str = "", ident: object = None) -> str:
    """An error frame; with `sid` it ends that subscription."""
    head: dict[str, Any] = {"type": "error"}
    if isinstance(ident, int):
        head["id"] = ident
    if sid:
        head["sid"] = int(sid)
    return compact({**head, "msg": {"code": code, "msg": words}})


def polymarket_resolved(market: str, now_ms: int) -> str:
    """The announcement that a market was decided for this token."""
    return compact(
        {
            "id": "1",
            "market": "0x00",
            "assets_ids": [market],
            "winning_asset_id": market,
            "winning_outcome": "Yes",
            "timestamp": str(now_ms),
            "event_type": "market_resolved",
        }
    )


def polymarket_tick(market: str, old: str, new: str, now_ms: int) -> str:
    """The announcement of another price grid, after which books must be sent anew."""
    return compact(
        {
            "market": "0x00",
            "asset_id": market,
            "old_tick_size": old,
            "new_tick_size": new,
            "timestamp": str(now_ms),
            "event_type": "tick_size_change",
        }
    )
