"""Trouble: the faults of one connection, between its honest session and its socket.

In: the session's frames and the client's commands. Out: what is really sent, and answers that the
session never gave. Pure. Who runs it: `server.LabServer`, one `Stream` a connection.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from pipeline.lab import tampering
from pipeline.lab.exchange import Close, Frame, compact, parse_object, text_list
from pipeline.lab.faults import (
    COMMAND_KINDS,
    FRAME_KINDS,
    ONCE_KINDS,
    Armed,
    Bytes,
    Cut,
    Deaf,
    Drip,
    Fault,
    Faults,
    Hush,
    Sent,
)

OLD_FRAMES = 64
MIB = 1 << 20
BREAKING = frozenset({"reset", "fin", "half", "drip", "huge", "endless"})
"""After these a connection sends nothing more."""


class Stream:
    """One connection: honest frames in, what is really sent out."""

    def __init__(self, faults: Faults, venue: str) -> None:
        """Nothing was sent yet."""
        self._faults, self._venue, self._random = faults, venue, faults.random(venue)
        self._books = 0
        self._passed: Counter[int] = Counter()
        self._done: set[int] = set()
        self._stuck = False
        self._offsets: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        self._old: deque[str] = deque(maxlen=OLD_FRAMES)
        self._late: list[tuple[int, str]] = []
        self._assets: set[str] = set()
        self._sids: dict[str, str] = {}
        self._instruments = ""

    def sent(self, frames: Sequence[Frame], now_ms: int, wall_ms: int) -> list[Sent]:
        """What goes out in place of `frames`; call it every step, also without frames."""
        if self._stuck:
            return []
        armed = self._faults.armed(self._venue, now_ms)
        out: list[Sent] = []
        for frame in frames:
            if isinstance(frame, str):
                self._text(frame, armed, out)
            else:
                out.append(frame)
        for each in armed:
            fault = each.fault
            if fault.kind not in ONCE_KINDS or each.ident in self._done or self._books < fault.first:
                continue
            if self._faults.acts(each, self._random):
                self._done.add(each.ident)
                out += self._once(fault, wall_ms)
                if fault.kind in BREAKING:
                    self._stuck = True
                    break
        return out

    def heard(self, text: str, now_ms: int) -> list[Frame] | None:
        """Answers to a command that is not to reach the session; None when it is."""
        command = parse_object(text)
        if command is not None and self._venue == "polymarket":
            assets = text_list(command.get("assets_ids"))
            gone = command.get("operation") == "unsubscribe"
            self._assets = self._assets - set(assets) if gone else self._assets | set(assets)
        for each in self._faults.armed(self._venue, now_ms):
            kind = each.fault.kind
            if kind not in COMMAND_KINDS or (kind == "refuse" and not _asks_for_books(text)):
                continue
            self._passed[each.ident] += 1
            if self._passed[each.ident] > each.fault.first and self._faults.acts(each, self._random):
                return [] if kind == "mute" else self._refusal(each.fault, command or {})
        return None

    def _refusal(self, fault: Fault, command: dict[str, object]) -> list[Frame]:
        """The venue's own way to refuse a subscription; Polymarket never says a word."""
        if self._venue == "kalshi":
            words = {26: "Subscription market limit exceeded", 27: "Too many requests"}
            return [
                tampering.kalshi_error(fault.number, words.get(fault.number, "no"), "", command.get("id"))
            ]
        if self._venue == "kraken":
            return [compact({"Error": "Exceeded msg rate"})]
        if self._venue == "coinbase":
            words_of_it = "too many L2 streams requested in a single session"
            return [compact({"type": "error", "message": words_of_it})]
        return []

    # -- frames --------------------------------------------------------------------------------------

    def _text(self, text: str, armed: list[Armed], out: list[Sent]) -> None:
        """One text frame, spoilt by at most one fault."""
        self._learn(text)
        is_book = tampering.is_kind(self._venue, text, "book") if armed else True
        hit = next((each for each in armed if self._hits(each, text)), None)
        self._books += is_book
        if hit is not None and hit.fault.kind in ("freeze", "jump"):
            numbered = tampering.numbering(self._venue, text)
            if numbered is not None:
                step = -1 if hit.fault.kind == "freeze" else hit.fault.number
                self._offsets[numbered[0]] += step
        text = self._renumbered(text)
        out += [text] if hit is None else self._spoilt(hit.fault, text)
        self._old.append(text)
        late, self._late = self._late, []
        for wait, old in late:
            if wait > 1:
                self._late.append((wait - 1, old))
            else:
                out.append(old)
        if hit is not None and hit.fault.kind == "delay":
            self._late.append((hit.fault.number, text))

    def _hits(self, each: Armed, text: str) -> bool:
        """Whether a fault acts on this frame."""
        fault = each.fault
        if fault.kind not in FRAME_KINDS or fault.market not in text:
            return False
        what = "snapshot" if fault.kind == "no_book" else fault.what
        if not tampering.is_kind(self._venue, text, what):
            return False
        if fault.kind == "no_book" and len(self._assets) <= fault.number:
            return False
        self._passed[each.ident] += 1
        return self._passed[each.ident] > fault.first and self._faults.acts(each, self._random)

    def _spoilt(self, fault: Fault, text: str) -> list[Sent]:
        """What is sent in place of a frame that was hit."""
        kind, random = fault.kind, self._random
        if kind in ("drop", "freeze", "no_book", "delay"):
            return []
        if kind == "duplicate":
            return [text, text]
        if kind == "repeat":
            old = self._old[-fault.number] if len(self._old) >= fault.number else text
            return [text, old]
        if kind == "cut":
            return [text[: random.randrange(1, max(2, len(text) - 1))]]
        if kind == "spoil":
            return [Bytes(tampering.text_frame(tampering.spoil(text, random)))]
        if kind == "digit":
            return [tampering.flip_digit(self._venue, text, random, fault.text)]
        if kind == "value":
            where, _, value = fault.text.partition(" ")
            return [tampering.put_value(self._venue, text, value, where)]
        if kind == "checksum":
            return [tampering.wrong_checksum(text)]
        if kind == "skew":
            return [tampering.move_times(text, fault.seconds)]
        if kind == "flood":
            return [Bytes(tampering.text_frame(text.encode()) * fault.number)]
        return [text]  # a jump has changed its number already

    def _learn(self, text: str) -> None:
        """Keep what later faults must know of this connection."""
        if '"type":"subscribed"' in text:
            answer = parse_object(text) or {}
            body = answer.get("msg", {})
            self._sids[str(body.get("channel"))] = str(body.get("sid"))
        elif '"channel":"instrument","type":"snapshot"' in text:
            self._instruments = text

    def _renumbered(self, text: str) -> str:
        """The frame with the number that this connection has come to."""
        numbered = tampering.numbering(self._venue, text)
        if numbered is None:
            return text
        key, number = numbered
        offset = self._offsets[key]
        self._numbers[key] = number + offset
        return tampering.renumber(self._venue, text, offset) if offset else text

    # -- once a connection ---------------------------------------------------------------------------

    def _once(self, fault: Fault, wall_ms: int) -> list[Sent]:
        """What one of ONCE_KINDS sends."""
        kind = fault.kind
        if kind == "close":
            return [Close(fault.number if fault.number > 999 else 1001, fault.text)]
        if kind in ("reset", "fin"):
            return [Cut(kind == "reset")]
        if kind == "deaf":
            return [Deaf()]
        if kind == "pings":
            return [Bytes(b"\x89\x00" * fault.number)]
        if kind in ("half", "drip", "huge", "endless"):
            return _broken(fault)
        if kind == "error":
            return self._ended(fault.number)
        text = self._announcement(fault, wall_ms)
        return [] if text is None else [self._injected(text)]

    def _ended(self, code: int) -> list[Sent]:
        """Kalshi ends the subscription of books, and forgets it."""
        sid = self._sids.get("orderbook_delta", "")
        command = compact({"id": 0, "cmd": "unsubscribe", "params": {"sids": [int(sid or 0)]}})
        words = {10: "Channel error", 25: "Subscription buffer overflow"}.get(code, "error")
        return [Hush(command), tampering.kalshi_error(code, words, sid)]

    def _injected(self, text: str) -> str:
        """A frame of ours with the next number; all that follow move up by one."""
        numbered = tampering.numbering(self._venue, text)
        if numbered is None:
            return text
        key = numbered[0]
        number = self._numbers.get(key, -1 if self._venue == "coinbase" else 0) + 1
        self._offsets[key] += 1
        self._numbers[key] = number
        return tampering.renumber(self._venue, text, number - numbered[1])

    def _announcement(self, fault: Fault, wall_ms: int) -> str | None:
        """What the venue says of itself or of a market; None where it has no word for it."""
        kind, market, on = fault.kind, fault.market, fault.kind == "resume"
        if kind == "status":
            return tampering.kraken_status(fault.text)
        if self._venue == "kalshi":
            bodies: dict[str, dict[str, object]] = {
                "pause": {"event_type": "deactivated", "is_deactivated": True},
                "resume": {"event_type": "activated", "is_deactivated": False},
                "result": {"event_type": "determined", "result": "yes", "settlement_value": "1.0000"},
                "tick": {
                    "event_type": "price_level_structure_updated",
                    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": fault.text}],
                },
            }
            return tampering.kalshi_lifecycle(self._sids.get("market_lifecycle_v2", ""), market, bodies[kind])
        if self._venue == "polymarket" and kind == "result":
            return tampering.polymarket_resolved(market, wall_ms)
        if self._venue == "polymarket" and kind == "tick":
            return tampering.polymarket_tick(market, "0.01", fault.text, wall_ms)
        if self._venue == "kraken" and kind in ("pause", "resume"):
            return tampering.kraken_pair_status(self._instruments, market, "online" if on else "cancel_only")
        if self._venue == "coinbase" and kind in ("pause", "resume"):
            return tampering.coinbase_status(market, on, wall_ms)
        return None


def _broken(fault: Fault) -> list[Sent]:
    """The beginning of something that will never be whole."""
    if fault.kind == "half":
        return [Bytes(tampering.text_frame(b"x" * 300)[: fault.number])]
    if fault.kind == "drip":
        return [Deaf(), Drip(tampering.text_frame(b"x" * 300), fault.seconds)]
    if fault.kind == "huge":
        return [Bytes(b"\x81\x7f" + (1 << 40).to_bytes(8, "big") + bytes(MIB))]
    block = b"\x00\x7f" + (MIB).to_bytes(8, "big") + bytes(MIB)
    return [Bytes(b"\x01\x00" + block * fault.number)]


def _asks_for_books(text: str) -> bool:
    """Whether a command subscribes to books, at any venue."""
    command = parse_object(text) or {}
    words = {str(command.get(key)) for key in ("cmd", "method", "type", "operation")}
    if not words & {"subscribe", "update_subscription", "market"} or "get_snapshot" in text:
        return False
    return any(
        mark in text for mark in ("orderbook_delta", "add_markets", '"book"', '"level2"', "assets_ids")
    )
