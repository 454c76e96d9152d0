"""Wire: the messages that cross ZeroMQ, and how they are sealed.

In: frozen structs. Out: frames of at most 4 KiB: magic and version, a truncated HMAC-SHA256 under the
run's key, msgpack. Whatever is malformed, oversized or forged is refused here; what is replayed or late
is refused by `Receiver` and by the trader. Pure; used by scanner, trader, supervisor, dashboard, cli.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TypeVar

import msgspec

MAGIC = b"PX\x01"
SEAL_BYTES = 16
KEY_BYTES = 32
MAX_FRAME_BYTES = 4096
PLACES_A_QUESTION = 16
"""Places that are asked for at once: with the longest names they fit into a frame."""


class WireError(ValueError):
    """A frame is not one of ours; the text says in what way."""


class LegRef(msgspec.Struct, frozen=True, array_like=True):
    """One leg as the scanner saw it. `limit_ticks` is the worst book price walked, in book terms.

    `row`, `epoch`, `number` name the very book row used; the two stamps are of that row.
    """

    venue: str
    market: str
    outcome: str
    action: str
    limit_ticks: int
    row: int
    epoch: int
    number: int
    socket_ns: int
    publish_ns: int


class Opportunity(msgspec.Struct, frozen=True, array_like=True, tag="opp"):
    """Scanner to trader: an edge worth a look. Numbers are the scanner's; the trader prices it again.

    `kind` and `direction` name what is done with the event; `legs` stand in the order of `pairs.directions`.
    `fresh` says that a message made it just now; else it is offered again, and its stamps are no latencies.
    `run_epoch` is the scanner's epoch and `sequence` counts from 1 in it: together they only grow.
    """

    boot_id: str
    run_epoch: int
    sequence: int
    config_version: int
    event_id: str
    kind: str
    direction: int
    size_units: int
    size_decimals: int
    edge_bp: int
    gross_micros: int
    net_micros: int
    cash_micros: int
    confidence: int
    legs: tuple[LegRef, ...]
    race_ppm: int
    fresh: bool
    scan_ns: int
    decided_ns: int
    expires_ns: int
    send_ns: int


class Token(msgspec.Struct, frozen=True, array_like=True, tag="tok"):
    """Trader to itself, along the way of opportunities: whoever sends to `opp` reaches this very process."""

    run_epoch: int
    number: int
    sent_ns: int


class Decision(msgspec.Struct, frozen=True, array_like=True, tag="dec"):
    """Trader to whoever listens: what became of an opportunity, with every hop's stamp (0: not reached)."""

    boot_id: str
    run_epoch: int
    sequence: int
    opportunity: int
    event_id: str
    direction: int
    action: int
    reason: int
    value_micros: int
    limit_micros: int
    size_units: int
    size_decimals: int
    edge_bp: int
    net_micros: int
    cash_micros: int
    socket_ns: int
    book_ns: int
    scan_ns: int
    send_ns: int
    receive_ns: int
    decide_ns: int
    intent_ns: int
    order_ns: int
    fill_ns: int


class PlaceOrder(msgspec.Struct, frozen=True, array_like=True, tag="put"):
    """Trader to the paper exchange: an order. `fee` is (kind, rate_ppm, maker_rate_ppm, exponent,
    precision_micros, per_unit_micros): what a fill of this order costs. Times are CLOCK_MONOTONIC.
    """

    account: str
    order_id: str
    venue: str
    market: str
    outcome: str
    action: str
    limit_ticks: int
    size_units: int
    price_decimals: int
    size_decimals: int
    style: str
    fee: tuple[int, int, int, int, int, int]
    deadline_ns: int
    expires_ns: int
    sent_ns: int


class CancelOrders(msgspec.Struct, frozen=True, array_like=True, tag="can"):
    """To the paper exchange: end one order of an account, or with an empty `order_id` all that rest."""

    account: str
    order_id: str
    sent_ns: int


class AskOrders(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """To the paper exchange: what became of these orders; with none named, of all that rest.

    It is answered by an `OrderReport` each, and by one with an empty `order_id` at the end.
    """

    account: str
    order_ids: tuple[str, ...]
    sent_ns: int


class AskHoldings(msgspec.Struct, frozen=True, array_like=True, tag="how"):
    """To the paper exchange: what it has of an account at these places: (venue, market, outcome).

    `look` comes back with the answer. At most PLACES_A_QUESTION places fit.
    """

    account: str
    look: int
    places: tuple[tuple[str, str, str], ...]
    sent_ns: int


class HoldingsReport(msgspec.Struct, frozen=True, array_like=True, tag="has"):
    """From the paper exchange: (venue, market, outcome, amount) of the places that were asked for, and how
    many fills it has of the account in all; failed ones never happened.

    An amount is decimal text, bought less sold. Nothing before `born_wall_ns` (wall clock) is on its record.
    """

    account: str
    look: int
    born_wall_ns: int
    fills: int
    held: tuple[tuple[str, str, str, str], ...]


class FillReport(msgspec.Struct, frozen=True, array_like=True):
    """One execution at the paper exchange; `fee` is decimal text in dollars."""

    fill_id: str
    price_ticks: int
    size_units: int
    fee: str
    maker: bool
    provisional: bool


class OrderReport(msgspec.Struct, frozen=True, array_like=True, tag="did"):
    """From the paper exchange: an order's status (a `trader.broker.OrderStatus`), and fills.

    `evidence` is canonical JSON of the book that the fills were made from. `matched_units` is the sum of all
    fills of the order so far, told here or before: a report that was lost is missed by it; -1 where the
    report goes on in another.
    """

    account: str
    order_id: str
    status: int
    at_ns: int
    fills: tuple[FillReport, ...] = ()
    confirmed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    why: str = ""
    evidence: str = ""
    matched_units: int = -1


class Request(msgspec.Struct, frozen=True, array_like=True, tag="req"):
    """A command to the supervisor. `id` is random; `issued_ns` is CLOCK_MONOTONIC of the sender."""

    id: str
    command: str
    args: dict[str, str]
    who: str
    issued_ns: int


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="rep"):
    """The supervisor's answer: `ok`, and a sentence for people."""

    id: str
    ok: bool
    text: str
    data: dict[str, str] = {}


OrderMessage = PlaceOrder | CancelOrders | AskOrders | AskHoldings
"""What a trader may ask of the paper exchange."""
Answer = OrderReport | HoldingsReport
"""What the paper exchange says to a trader."""
Offer = Opportunity | Token
"""What may come on `opp`."""

Message = Offer | Decision | OrderMessage | Answer | Request | Reply
MessageT = TypeVar("MessageT")
_ORDERS = msgspec.msgpack.Decoder(OrderMessage)
_ANSWERS = msgspec.msgpack.Decoder(Answer)
_OFFERS = msgspec.msgpack.Decoder(Offer)


class Sealer:
    """Seals and opens frames under one key. Raises ValueError for a key of the wrong length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the run's key must have {KEY_BYTES} bytes, got {len(key)}")
        self._key = key

    def seal(self, message: Message) -> bytes:
        """A frame holding `message`. Raises WireError when it would be over MAX_FRAME_BYTES."""
        body = msgspec.msgpack.encode(message)
        frame = MAGIC + self._mac(body) + body
        if len(frame) > MAX_FRAME_BYTES:
            raise WireError(f"a message of {len(frame)} bytes is over {MAX_FRAME_BYTES}")
        return frame

    def open(self, frame: bytes, kind: type[MessageT]) -> MessageT:
        """The message of a frame. Raises WireError, naming the defect, for anything not sealed by us."""
        try:
            return msgspec.msgpack.decode(self._body(frame), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise WireError("malformed") from error

    def open_order(self, frame: bytes) -> OrderMessage:
        """The same for what a trader may ask of the paper exchange."""
        message: OrderMessage = self._open(frame, _ORDERS)
        return message

    def open_answer(self, frame: bytes) -> Answer:
        """The same for what the paper exchange says."""
        message: Answer = self._open(frame, _ANSWERS)
        return message

    def open_offer(self, frame: bytes) -> Offer:
        """The same for what comes to a trader on `opp`."""
        message: Offer = self._open(frame, _OFFERS)
        return message

    def _open(self, frame: bytes, decoder: msgspec.msgpack.Decoder[MessageT]) -> MessageT:
        try:
            return decoder.decode(self._body(frame))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise WireError("malformed") from error

    def _body(self, frame: bytes) -> bytes:
        """What was sealed."""
        if len(frame) > MAX_FRAME_BYTES:
            raise WireError("oversized")
        head = len(MAGIC) + SEAL_BYTES
        if len(frame) <= head or frame[: len(MAGIC)] != MAGIC:
            raise WireError("malformed")
        body = frame[head:]
        if not hmac.compare_digest(frame[len(MAGIC) : head], self._mac(body)):
            raise WireError("forged")
        return body

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:SEAL_BYTES]


class Receiver:
    """Order of one sender's messages: refuses replays, counts gaps."""

    def __init__(self) -> None:
        self._epoch = 0
        self._sequence = 0
        self.gaps = 0

    def accept(self, epoch: int, sequence: int) -> bool:
        """Whether (epoch, sequence) is newer than everything accepted before; gaps are added up."""
        if (epoch, sequence) <= (self._epoch, self._sequence):
            return False
        if epoch == self._epoch:
            self.gaps += sequence - self._sequence - 1
        self._epoch, self._sequence = epoch, sequence
        return True
