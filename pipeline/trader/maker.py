"""Maker: keeps quotes at the venues where a pair would leave its net edge once they are filled and hedged.

In: the directions, the books as they are now, the quotes that rest. Out: quotes that are opened (through the
same gate as everything) and pulled. What a quote is worth and when it has to go is `quoting`'s; its fills are
hedged by the executor. Run by the trader's worker, once a turn.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from pipeline.clock import Clock
from pipeline.edge import Edge
from pipeline.model import Confidence, Reason
from pipeline.money import to_micros
from pipeline.pairs import Direction
from pipeline.pricing import Priced
from pipeline.trader import risk
from pipeline.trader.broker import Refused
from pipeline.trader.desk import Desk
from pipeline.trader.evidence import kelly_room, look_of, plan_for
from pipeline.trader.plan import MAKER_HEDGE
from pipeline.trader.quoting import Pull, Quote, pick, propose, quotable, review
from pipeline.trader.record import Record
from pipeline.trader.trade import Trade
from pipeline.wire import LegRef, Opportunity

LOOKS_A_TURN = 4
"""Directions that are looked at in one turn: a hundred of them take half a second."""
TURN_NS = 20_000_000
SECOND_NS = 1_000_000_000
PPM = 1_000_000
PAUSE_NS = 500_000_000
"""A pulled or refused quote of an event is not made again before."""


class Maker:
    """The quotes of one trader."""

    def __init__(self, desk: Desk, clock: Clock, run_epoch: int, boot_id: str) -> None:
        self._desk = desk
        self._clock = clock
        self._run_epoch = run_epoch
        self._boot_id = boot_id
        self._sequence = 0
        self._quotes: dict[str, Quote] = {}
        self._waits_ns: dict[str, int] = {}
        self._round: deque[tuple[str, int]] = deque()
        self._next_ns = 0

    @property
    def quotes(self) -> int:
        """Quotes that rest, or are on their way."""
        return len(self._quotes)

    def turn(self, sequence: int) -> list[Record]:
        """Pull what has to go, open what is worth it; the records of quotes that were opened or refused.

        `sequence` is the number of the last record.
        """
        now = self._clock.monotonic_ns()
        if now < self._next_ns:
            return []
        self._next_ns = now + TURN_NS
        resting = {trade.plan.trade_id: trade for trade in self._desk.executor.resting()}
        self._quotes = {name: quote for name, quote in self._quotes.items() if name in resting}
        for name, quote in self._quotes.items():
            self._look_after(resting[name], quote, now)
        if MAKER_HEDGE not in self._desk.limits.modes:
            for trade in resting.values():
                # Once: until it has ended the executor asks for it again.
                if any(order.ending_ns is None for order in trade.working()):
                    self._desk.executor.cancel(trade)
            return []
        return self._open_more(now, sequence)

    def _look_after(self, trade: Trade, quote: Quote, now: int) -> None:
        """Pull a quote that has to go."""
        order = next(iter(trade.orders.values()))
        if order.ending_ns is not None or not order.open_units:
            return
        direction = self._desk.directions.get(quote.key)
        pulled: Pull | None = Pull(Reason.BOOK_MISSING, Decimal(0), Decimal(1))
        stopped = self._desk.stops(now)
        if stopped:
            # What is filled now could not be booked, or nobody would look after it.
            pulled = Pull(stopped, Decimal(1), Decimal(0))
        elif direction is not None:
            found = review(
                quote, self._desk.price(direction, now), self._desk.pair_limits,
                now_ns=now, wall_ns=self._clock.wall_ns(), filled_units=order.filled_units,
            )  # fmt: skip
            pulled = found if isinstance(found, Pull) else None
        if pulled is not None:
            self._desk.executor.cancel(trade)
            self._waits_ns[trade.plan.event_id] = now + PAUSE_NS

    def _open_more(self, now: int, sequence: int) -> list[Record]:
        """Look at a few directions, and open the best quotes that they offer."""
        most = self._desk.config.trader.maker_quotes
        if len(self._quotes) >= most:
            return []
        self._waits_ns = {event: at_ns for event, at_ns in self._waits_ns.items() if at_ns > now}
        candidates: list[tuple[Quote, Priced]] = []
        for _ in range(LOOKS_A_TURN):
            direction = self._next()
            if direction is None or direction.event.id in self._waits_ns:
                continue
            priced = self._desk.price(direction, now)
            for leg in (0, 1):
                found = self._propose(priced, leg, now, None)
                if isinstance(found, Quote):
                    candidates.append((found, priced))
        priced_of = {(quote.key, quote.leg): priced for quote, priced in candidates}
        chosen = pick([quote for quote, _ in candidates], list(self._quotes.values()), most)
        records: list[Record] = []
        for quote in chosen:
            record = self._record(quote, now, sequence + len(records) + 1)
            self._open(record, quote, priced_of[quote.key, quote.leg], now)
            records.append(record)
        return records

    def _next(self) -> Direction | None:
        """The next direction of the round that may be quoted."""
        if not self._round:
            self._round.extend(key for key, each in self._desk.directions.items() if quotable(each))
        return self._desk.directions.get(self._round.popleft()) if self._round else None

    def _propose(self, priced: Priced, leg: int, now: int, rooms: risk.Rooms | None) -> Quote | None:
        """The quote of a leg within rooms; None where there is none that leaves enough."""
        trader = self._desk.config.trader
        units = None
        if rooms is not None and priced.legs is not None:
            units = rooms.units(max(each.scale.size_decimals for each in priced.legs))
        found = propose(
            priced, leg, self._desk.pair_limits,
            now_ns=now, wall_ns=self._clock.wall_ns(), ttl_ns=round(trader.maker_ttl_s * SECOND_NS),
            max_cash=self._desk.limits.max_order_usd if rooms is None else rooms.total,
            cash=None if rooms is None else rooms.per_leg,
            max_size_units=units,
        )  # fmt: skip
        return found if isinstance(found, Quote) else None

    def _open(self, record: Record, quote: Quote, priced: Priced, now: int) -> None:
        """Ask the gate, and open the quote at the size that passed."""
        desk, made = self._desk, quote
        self._waits_ns[record.opportunity.event_id] = now + PAUSE_NS
        cooling = desk.cooling(record.opportunity.event_id, now)
        if cooling is not None:
            record.refuse(cooling.reason, cooling.value, cooling.limit)
            return

        def again(rooms: risk.Rooms) -> Edge | None:
            nonlocal made
            found = self._propose(priced, quote.leg, now, rooms)
            if found is None:
                return None
            made = found
            return found.edge

        standing = desk.standing(now)
        # A quote races nobody: it waits to be found. What may be lost is the hedge, once.
        look = look_of(
            priced, quote.edge,
            expires_ns=now + SECOND_NS // 4, now_ns=now, wall_ns=self._clock.wall_ns(),
            race_ppm=PPM, quoted=quote.leg,
        )  # fmt: skip
        kelly = kelly_room(priced, quote.edge, desk.ledger.sizer, PPM, standing.exposure)
        record.bets(kelly)
        outcome = risk.gate(look, standing, desk.limits, kelly.dollars, again)
        desk.note_cash(look, standing, kelly.dollars, outcome)
        if isinstance(outcome, Refused):
            record.priced(priced, quote.edge, desk.limits.hurdle_pct)
            record.refuse(outcome.reason, outcome.value, outcome.limit)
            return
        plan = plan_for(
            record.trade_id, priced, made.edge,
            race_ppm=PPM, latency_ns=desk.executor.latency_ns(made.order.venue), first=made.leg,
            mode=MAKER_HEDGE,
        )  # fmt: skip
        if desk.send(record, plan, outcome, made.orders, priced, made):
            self._quotes[plan.trade_id] = made

    def _record(self, quote: Quote, now: int, sequence: int) -> Record:
        """A quote as a decision: nobody sent it, so it stands for itself."""
        self._sequence += 1
        edge, event = quote.edge, quote.direction.event
        seen = Opportunity(
            boot_id=self._boot_id,
            run_epoch=self._run_epoch,
            sequence=self._sequence,
            config_version=self._desk.config.version,
            event_id=event.id,
            kind=quote.direction.kind,
            direction=quote.direction.index,
            size_units=edge.size_units,
            size_decimals=edge.size_decimals,
            edge_bp=edge.edge_bp,
            gross_micros=to_micros(edge.gross),
            net_micros=to_micros(edge.net),
            cash_micros=to_micros(edge.cash),
            confidence=Confidence.MEDIUM,
            legs=tuple(
                LegRef(
                    plan.leg.venue, plan.leg.market, plan.outcome, plan.action,
                    quote.orders[at].limit_ticks, 0, 0, 0, now, now,
                )
                for at, plan in enumerate(quote.direction.legs)
            ),
            race_ppm=PPM,
            fresh=False,
            scan_ns=now,
            decided_ns=now,
            expires_ns=quote.expires_ns,
            send_ns=now,
        )  # fmt: skip
        record = Record(sequence, seen, self._clock.wall_ns(), now, MAKER_HEDGE)
        record.trade_id = f"{self._desk.prefix}-q{self._sequence}"
        record.decide_ns = now
        return record
