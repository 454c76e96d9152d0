"""Reports: what the exchange says of an order, cut into messages that fit into frames.

In: an order and which of its fills are told. Out: `wire.OrderReport`s, each well under a frame; all but the
last say PARTIAL, so that nobody takes an order for ended before all of its fills are told. Pure; used by
the paper exchange's worker.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pipeline.money import money_text
from pipeline.paper.matching import canonical
from pipeline.paper.orders import Fill, FillState, PaperOrder, Status
from pipeline.wire import MAX_FRAME_BYTES, FillReport, OrderReport

ROOM_BYTES = MAX_FRAME_BYTES - 64
"""What a message may have: the rest is the seal."""
EVIDENCE_BYTES = 2800
WHY_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Report:
    """One thing to say. `order` is None where it speaks of no order that is on record.

    `confirmed` and `failed` are ids of fills that were provisional.
    """

    account: str
    order_id: str
    order: PaperOrder | None
    status: Status
    at_ns: int
    fills: tuple[FillReport, ...] = ()
    evidence: tuple[str, ...] = ()
    confirmed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    why: str = ""


def told(order: PaperOrder, fills: Sequence[Fill], at_ns: int) -> Report:
    """An order as it stands, with these of its fills and what became of the provisional among them."""
    return Report(
        order.account,
        order.order_id,
        order,
        order.status,
        at_ns,
        tuple(_fill_report(fill) for fill in fills),
        tuple(fill.evidence for fill in fills),
        tuple(fill.fill_id for fill in fills if fill.state is FillState.CONFIRMED),
        tuple(fill.fill_id for fill in fills if fill.state is FillState.FAILED),
        order.why,
    )


def unknown(account: str, order_id: str, at_ns: int) -> Report:
    """The venue knows no such order; with an empty id: that was all."""
    return Report(account, order_id, None, Status.NOT_FOUND, at_ns)


def messages(report: Report) -> list[OrderReport]:
    """The messages of a report, in order. Evidence stands with the first fill that was made of it."""
    pieces = [_Piece(report)]
    for fill, evidence in zip(report.fills, report.evidence, strict=True):
        if evidence and pieces[-1].fills:
            pieces.append(_Piece(report))
        if evidence:
            pieces[-1].evidence = _cut(evidence, report.fills)
        pieces = _with(pieces, report, fill, "fills")
    for fill_id in report.confirmed:
        pieces = _with(pieces, report, fill_id, "confirmed")
    for fill_id in report.failed:
        pieces = _with(pieces, report, fill_id, "failed")
    return [piece.message(last=piece is pieces[-1]) for piece in pieces]


class _Piece:
    """A message in the making."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.evidence = ""
        self.fills: list[FillReport] = []
        self.confirmed: list[str] = []
        self.failed: list[str] = []

    def message(self, *, last: bool) -> OrderReport:
        """The message; of a report that goes on, PARTIAL."""
        return OrderReport(
            self._report.account,
            self._report.order_id,
            int(self._report.status if last else Status.PARTIAL),
            self._report.at_ns,
            tuple(self.fills),
            tuple(self.confirmed),
            tuple(self.failed),
            self._report.why[:WHY_CHARACTERS],
            self.evidence,
            self._matched_units() if last else -1,
        )

    def _matched_units(self) -> int:
        """All that was ever filled of the order; -1 where the report speaks of none."""
        order = self._report.order
        return -1 if order is None else sum(fill.size_units for fill in order.fills)

    def is_full(self) -> bool:
        """Whether it has no room for another part."""
        return len(msgspec.msgpack.encode(self.message(last=True))) > ROOM_BYTES


def _with(pieces: list[_Piece], report: Report, part: FillReport | str, name: str) -> list[_Piece]:
    """The pieces with another part in the last of them, or in one more."""
    getattr(pieces[-1], name).append(part)
    if pieces[-1].is_full():
        getattr(pieces[-1], name).pop()
        pieces.append(_Piece(report))
        getattr(pieces[-1], name).append(part)
    return pieces


def _fill_report(fill: Fill) -> FillReport:
    provisional = fill.state is not FillState.FINAL
    return FillReport(
        fill.fill_id, fill.price_ticks, fill.size_units, money_text(fill.fee), fill.maker, provisional
    )


def _cut(evidence: str, fills: Sequence[FillReport]) -> str:
    """Evidence that fits: without the levels that nothing was taken of, or without any."""
    if len(evidence) <= EVIDENCE_BYTES:
        return evidence
    known = json.loads(evidence)
    prices = {fill.price_ticks for fill in fills}
    for name in ("ladder", "taken"):
        known[name] = [level for level in known.get(name, []) if level[0] in prices]
    shorter = canonical(known)
    if len(shorter) <= EVIDENCE_BYTES:
        return shorter
    return canonical({name: value for name, value in known.items() if name not in {"ladder", "taken"}})
