"""Desk: decides on an opportunity: last look, gate, plan, orders.

In: what the scanner sent, the books as they are at that moment, the account. Out: orders that were sent, or
the check that refused them with its number. Run by the trader's worker; `maker` asks the same gate for its
quotes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache

from pipeline import pairs
from pipeline.books import FeedBooks
from pipeline.config import Config
from pipeline.lifecycle import Worker
from pipeline.look import Look
from pipeline.model import Action, Reason, Scale
from pipeline.model_events import CLOSE, MODEL, SPOT, OrderLeg
from pipeline.money import to_decimal
from pipeline.pairs import Direction
from pipeline.pairs_checks import limits_of
from pipeline.pricing import Priced, price
from pipeline.trader import risk
from pipeline.trader.arming import Arming, effective
from pipeline.trader.broker import Broker, Refused
from pipeline.trader.evidence import edge_evidence, kelly_room, look_of, plan_for, reprice
from pipeline.trader.executor import Executor
from pipeline.trader.holding import Key, Mark, Unhedged
from pipeline.trader.kelly_portfolio import Candidate, allocate, net_per_dollar_day, rank
from pipeline.trader.ledger import Ledger
from pipeline.trader.marks import value_now
from pipeline.trader.orders import trade_id_of
from pipeline.trader.plan import TAKER, TradePlan
from pipeline.trader.quoting import Quote
from pipeline.trader.record import Record
from pipeline.trader.switch import Switch

LIVE = "live"


class Desk:
    """Everything that is asked before a trade is opened.

    `day_pnl` is kept up to date by the worker; ids of trades begin with `prefix`.
    """

    def __init__(
        self,
        worker: Worker,
        ledger: Ledger,
        executor: Executor,
        broker: Broker,
        books: FeedBooks,
        switch: Switch,
        prefix: str,
        supervised: Callable[[int], bool],
    ) -> None:
        self._clock = worker.clock
        self.ledger = ledger
        self.executor = executor
        self._broker = broker
        self.books = books
        self._switch = switch
        self.prefix = prefix
        self._supervised = supervised
        self.day_pnl: Decimal | None = None
        self.cash_wants: dict[str, tuple[int, Decimal]] = {}
        """By venue: how often its cash was what sufficed least, and the most dollars that were wanted."""
        self.closed: dict[str, tuple[int, int]] = {}
        """Events that a person has closed: from when until when (CLOCK_MONOTONIC) nothing is opened there."""
        self.deaf = False
        """Whether what is sent to us may reach somebody else (`probe`): then nothing new is sent."""
        self.arming = Arming(live=worker.config.mode == LIVE)
        self.config = worker.config
        self.adopt(worker.config)

    def adopt(self, config: Config) -> None:
        """Take over limits, events and sizing; where real money is armed, only what may act at once."""
        live = self.config.mode == LIVE
        armed = self.arming.armed(self.config, self._clock.monotonic_ns(), halted=False)
        change = effective(self.config, config, live=live, armed=armed)
        self.arming.adopt(change)
        self.config = config = change.config
        events = config.all_events()
        self.events = {event.id: event for event in events}
        found = pairs.directions(events)
        found += [close for direction in found if (close := pairs.closing(direction))]
        self.directions = {direction.key: direction for direction in found}
        self.ledger.follow(self.directions)
        self.pair_limits = limits_of(config)
        self.limits = risk.Limits.of(config)
        self._dust_usd = Decimal(config.risk.max_dust_usd)
        self.ledger.adopt(config.kelly, Decimal(config.risk.probe_usd))

    def take(self, records: Sequence[Record]) -> None:
        """Decide on opportunities that wait at the same time, the best use of scarce cash first.

        What becomes of each stands in its record.
        """
        if len(records) == 1:
            self._decide(records[0], None)
            return
        found = {str(record.sequence): self._candidate(record) for record in records}
        named = {key: one for key, one in found.items() if one is not None}
        standing = self.standing(self._clock.monotonic_ns())
        capital = self.ledger.sizer.capital
        given = allocate(list(named.values()), capital, standing.cash, standing.exposure)
        order = {one.key: at for at, one in enumerate(rank(list(named.values()), standing.cash))}
        for record in sorted(records, key=lambda each: order.get(str(each.sequence), len(order))):
            self._decide(record, given.get(str(record.sequence)))

    def standing(self, now: int) -> risk.Account:
        """The account as the gate must know it."""
        halted = self._switch.read() is not None
        unresolved = len(self.executor.unresolved) + (not self._broker.reachable(now)) + self.deaf
        return self.ledger.risk_account(
            now,
            self.day_pnl,
            self.dust,
            supervised=self._supervised(now),
            halted=halted,
            unresolved=unresolved,
            armed=self.arming.armed(self.config, now, halted=halted),
        )

    def price(self, direction: Direction, now: int) -> Priced:
        """The direction as its books are now."""
        held = self.ledger.held_pair(direction) if direction.kind == CLOSE else None
        return price(direction, self.books, self.pair_limits, now, self._clock.wall_ns(), held)

    def mark(self, key: Key, quantity: Decimal) -> Decimal | None:
        """What closing a position would bring now."""
        look = self.books.read(key.venue, key.market, self._clock.monotonic_ns())
        return value_now(key.outcome, quantity, look)

    def marks(self) -> Mark:
        """`mark`, for one picture of the account: every position is marked once."""
        return cache(self.mark)

    def stops(self, now: int) -> Reason:
        """Why nothing may rest at a venue now; NONE where it may. Cheap: it is asked for each quote."""
        if self._switch.read() is not None:
            return Reason.HALTED
        if not self.ledger.journal.ok:
            return Reason.JOURNAL
        if self.deaf:
            return Reason.UNRESOLVED
        return Reason.NONE if self._supervised(now) else Reason.NO_SUPERVISOR

    def reachable(self, now: int) -> bool:
        """Whether the venues' side answers."""
        return self._broker.reachable(now)

    def dust(self, rest: Unhedged) -> bool:
        """Whether what an event holds without a hedge is too little to trade."""
        return abs(rest.dollars) <= self._dust_usd

    def note_cash(
        self, look: risk.Look, standing: risk.Account, kelly_usd: Decimal, outcome: risk.Passed | Refused
    ) -> None:
        """Remember of a look that was refused or cut what it lacked at which venue."""
        if isinstance(outcome, Refused):
            if outcome.reason in risk.FIXED_REASONS:
                return
        elif outcome.edge is look.edge:
            return
        for venue, wanted in risk.short_of_cash(look, standing, self.limits, kelly_usd).items():
            count, most = self.cash_wants.get(venue, (0, wanted))
            self.cash_wants[venue] = count + 1, max(most, wanted)

    def cooling(self, event_id: str, now: int) -> Refused | None:
        """Why nothing is opened in an event that a person has just closed, in ms; None where it may be."""
        since_ns, until_ns = self.closed.get(event_id, (0, 0))
        if now >= until_ns:
            return None
        return Refused(Reason.COOLDOWN, to_decimal(now - since_ns, 6), to_decimal(until_ns - since_ns, 6))

    def _candidate(self, record: Record) -> Candidate | None:
        """An opportunity as the share-out of cash wants it; None where it is refused anyway."""
        seen = record.opportunity
        direction = self.directions.get((seen.event_id, seen.direction))
        if direction is None:
            return None
        priced = self.price(direction, self._clock.monotonic_ns())
        edge = priced.edge
        if edge is None or priced.verdict.reason or edge.cash <= 0 or direction.kind == CLOSE:
            return None
        shares: dict[str, Decimal] = {}
        for plan, leg in zip(direction.legs, edge.legs, strict=True):
            shares[plan.leg.venue] = shares.get(plan.leg.venue, Decimal(0)) + leg.cash / edge.cash
        # Spot never settles: what is bought here is sold there at once.
        left_ns = 0 if direction.kind == SPOT else priced.left_ns or None
        daily = net_per_dollar_day(edge.net_low, edge.cash, left_ns)
        most = min(edge.cash, self.limits.max_order_usd)
        return Candidate(str(record.sequence), self.ledger.sizer.cap, shares, daily, most)

    def _decide(self, record: Record, most_usd: Decimal | None) -> None:
        """Last look, gate, plan, send. What is refused says why."""
        seen = record.opportunity
        direction = self.directions.get((seen.event_id, seen.direction))
        now = record.decide_ns = self._clock.monotonic_ns()
        if now > seen.expires_ns:
            record.refuse(Reason.EXPIRED, to_decimal(now - seen.expires_ns, 6), Decimal(0))
            return
        if direction is None:
            record.refuse(Reason.BOOK_MISSING, Decimal(0), Decimal(1))
            return
        if direction.kind == MODEL:
            record.refuse(Reason.WATCH_ONLY, Decimal(0), Decimal(1))
            return
        cooling = self.cooling(seen.event_id, now)
        if cooling is not None:
            record.refuse(cooling.reason, cooling.value, cooling.limit)
            return
        priced = self.price(direction, now)
        if priced.edge is not None:
            record.priced(priced, priced.edge, self.limits.hurdle_pct)
        if priced.verdict.reason or priced.edge is None:
            record.refuse(*priced.verdict)
            return
        look = look_of(
            priced, priced.edge,
            expires_ns=seen.expires_ns, now_ns=now, wall_ns=self._clock.wall_ns(), race_ppm=seen.race_ppm,
        )  # fmt: skip
        standing = self.standing(now)
        kelly = kelly_room(priced, priced.edge, self.ledger.sizer, seen.race_ppm, standing.exposure)
        record.bets(kelly)
        kelly_usd = kelly.dollars if most_usd is None else min(kelly.dollars, most_usd)
        outcome = risk.gate(look, standing, self.limits, kelly_usd, lambda rooms: reprice(priced, rooms))
        if isinstance(outcome, Refused):
            record.refuse(outcome.reason, outcome.value, outcome.limit)
        else:
            self._open(record, priced, outcome)
        # Not on the way of the orders.
        self.note_cash(look, standing, kelly_usd, outcome)

    def _open(self, record: Record, priced: Priced, passed: risk.Passed) -> None:
        seen, edge = record.opportunity, passed.edge
        venues = [plan.leg.venue for plan in priced.direction.legs]
        together = self.config.trader.legs == "together"
        plan = plan_for(
            trade_id_of(self.prefix, seen.run_epoch, seen.sequence), priced, edge,
            race_ppm=seen.race_ppm,
            latency_ns=max(self.executor.latency_ns(venue) for venue in venues),
            first=-1 if together else self.executor.harder_leg(venues),
            mode=TAKER,
        )  # fmt: skip
        orders = pairs.order_legs(priced.direction, edge, scales_of(priced.looks))
        self.send(record, plan, passed, orders, priced)

    def send(
        self,
        record: Record,
        plan: TradePlan,
        passed: risk.Passed,
        orders: Sequence[OrderLeg],
        priced: Priced,
        quote: Quote | None = None,
    ) -> bool:
        """Have what passed committed and sent, and say in the record what became of it; whether it was."""
        record.priced(priced, passed.edge, self.limits.hurdle_pct)
        record.edge_evidence = edge_evidence(passed.edge)
        record.trade_id = plan.trade_id
        reason = self.executor.open(plan, passed, orders, priced.looks, record, quote)
        if reason:
            # As the checks of the gate say it: a journal is there or not, of all else there may be none.
            there = Decimal(reason is not Reason.JOURNAL)
            record.refuse(reason, there, 1 - there)
            return False
        record.action = Action.APPROVED
        return True


def scales_of(looks: Sequence[Look | None]) -> list[Scale]:
    """The scales of books that were all seen."""
    return [look.scale for look in looks if look is not None]
