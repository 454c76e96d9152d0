"""Planted: seeded arbitrages and near misses of every tradable kind, with their exact net.

In: a seed. Out: `Plant`s: an event, its markets, their books before and after, which orders must come of it,
and the best net over all sizes by brute force. Prices, fees and rounding are computed here once more, in
whole numbers of 10^-18 dollars and one fill a level; the program's own arithmetic is used for one thing only:
how dear the fees of a good plant may become at the worst split. Used by tests and by `bench detect`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import lcm

from pipeline.config import EventConfig, LegConfig, ReviewConfig
from pipeline.fees import fee_high
from pipeline.model import FeeKind, FeeSchedule, Ladder, MarketStatus, Scale
from pipeline.wire import Opportunity

DOLLAR = 10**18
"""One dollar in the whole numbers of this module."""

CLOSE_TEXT, CLOSE_NS = "2031-01-01T00:00:00Z", 1_924_992_000 * 10**9
CALM = 0.03
"""How much worse, in dollars or as a share of a coin's price, the books are before a plant."""

NEAR_BP = -5
"""A near miss loses at most so much, in basis points of the cash."""

Order = tuple[str, str, str, str]
"""Venue, market, action, outcome."""


def _up(value: int, step: int) -> int:
    """Rounded up to a multiple."""
    return -(-value // step) * step


def fill_fee(fee: FeeSchedule, scale: Scale, price: int, size: int, *, sold: bool = False) -> int:
    """The fee of one taker's fill at a price (ticks, of the outcome traded) for a size (units)."""
    rate, one = fee.rate_ppm, 10**scale.price_decimals
    per_size = 10 ** (6 + scale.size_decimals)
    if not rate:
        return 0
    if fee.kind == FeeKind.KALSHI:
        # Rate x C x P(1-P) up to $0.0001, then the balance down to the account's precision.
        notional = price * size * DOLLAR // (one * 10**scale.size_decimals)
        trade = _up(rate * size * price * (one - price) * 10_000, per_size * one * one)
        charged = trade // (per_size * one * one) * (DOLLAR // 10_000)
        balance = notional - charged if sold else -notional - charged
        rounded = balance // (step := fee.precision_micros * DOLLAR // 10**6) * step
        return charged + balance - rounded
    if fee.kind == FeeKind.POLYMARKET:
        # C x rate x (P(1-P))^e, half even to 5 decimals, nothing below 0.00001.
        divisor = per_size * one ** (2 * fee.exponent)
        whole, rest = divmod(size * rate * (price * (one - price)) ** fee.exponent * 10**5, divisor)
        if whole:
            whole += 2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1)
        return int(whole) * (DOLLAR // 10**5)
    raised = _up(rate * price * size * 10**8, per_size * one) // (per_size * one)
    return raised * (DOLLAR // 10**8)


@dataclass(frozen=True)
class PlantLeg:
    """One market and what is done with it. `costs` is the side that is used up, in prices of the outcome
    that is traded, best first; `far_ticks` the best price of the other side in the same terms.
    """

    venue: str
    market: str
    polarity: str
    action: str
    outcome: str
    scale: Scale
    grid_ticks: int
    lot_units: int
    min_units: int
    min_cost_micros: int
    fee: FeeSchedule
    costs: Ladder
    far_ticks: int
    partner: str = ""

    @property
    def sold(self) -> bool:
        return self.action == "sell"

    @property
    def rules(self) -> str:
        """The hash of the market's rules; coins have none."""
        named = f"rules of {self.market}".encode()
        return "" if self.outcome == "base" else hashlib.sha256(named).hexdigest()

    def moved(self, ticks: int) -> PlantLeg:
        """The same book with all its prices so much dearer, where sold: so much cheaper."""
        ticks = -ticks if self.sold else ticks
        costs = tuple((price + ticks, size) for price, size in self.costs)
        return replace(self, costs=costs, far_ticks=self.far_ticks + ticks)

    def fills(self, size: int) -> list[tuple[int, int]]:
        """What `size` units use up."""
        taken = []
        for price, level in self.costs:
            part = min(level, size)
            if part:
                taken.append((price, part))
            size -= part
        assert size == 0, "more than there is"
        return taken

    def paid(self, fills: Sequence[tuple[int, int]], *, fees: bool = True) -> int:
        """What fills cost with their fees; negative where they bring something."""
        unit = DOLLAR // 10 ** (self.scale.price_decimals + self.scale.size_decimals)
        amount = sum(price * size for price, size in fills) * unit
        charged = sum(fill_fee(self.fee, self.scale, *fill, sold=self.sold) for fill in fills) if fees else 0
        return charged - amount if self.sold else charged + amount

    def paid_at_all(self, step: int, last: int) -> list[int | None]:
        """`paid` of the sizes step, 2 step ... last; None where the smallest order is not reached."""
        unit = DOLLAR // 10 ** (self.scale.price_decimals + self.scale.size_decimals)
        sign, found = -1 if self.sold else 1, []
        least = self.min_cost_micros * (DOLLAR // 10**6)
        level, start, before, spent = 0, 0, 0, 0
        for size in range(step, last + 1, step):
            price, shown = self.costs[level]
            while size - start > shown:
                spent += price * shown * unit
                before += fill_fee(self.fee, self.scale, price, shown, sold=self.sold)
                level, start = level + 1, start + shown
                price, shown = self.costs[level]
            amount = spent + price * (size - start) * unit
            small = size < self.min_units or amount < least
            charged = before + fill_fee(self.fee, self.scale, price, size - start, sold=self.sold)
            found.append(None if small else charged + sign * amount)
        return found

    def book(self, *, calm: bool) -> tuple[Ladder, Ladder]:
        """Bids and asks in the book's own prices; `calm` is how it stands before the plant."""
        costs, far = self.costs, self.far_ticks
        one = 10**self.scale.price_decimals
        if calm:
            share = one if self.outcome != "base" else costs[0][0]
            ticks = _up(int(share * CALM), self.grid_ticks)
            if self.outcome != "base" and costs[-1][0] + ticks >= one:
                costs = ((one - self.grid_ticks, costs[0][1]),)
            else:
                costs = tuple((p - ticks if self.sold else p + ticks, size) for p, size in costs)
        other = ((far, costs[0][1]),)
        if self.outcome == "no":
            flipped = [tuple((one - price, size) for price, size in side) for side in (costs, other)]
            return flipped[0], flipped[1]
        return (costs, other) if self.sold else (other, costs)

    def cells(self) -> dict[str, object]:
        """The market's directory row."""
        return {
            "partner": self.partner,
            "price_decimals": self.scale.price_decimals,
            "size_decimals": self.scale.size_decimals,
            "grid_ticks": self.grid_ticks,
            "lot_units": self.lot_units,
            "min_units": self.min_units,
            "min_cost_micros": self.min_cost_micros,
            "fee_kind": self.fee.kind,
            "fee_rate_ppm": self.fee.rate_ppm,
            "fee_exponent": self.fee.exponent,
            "fee_precision_micros": self.fee.precision_micros,
            "close_wall_ns": 0 if self.outcome == "base" else CLOSE_NS,
            "status": MarketStatus.OPEN,
            "rules_hash": self.rules,
        }


@dataclass(frozen=True)
class Plant:
    """What is planted. `legs` stand in the order of the event's, `used` numbers those that are traded, the
    message of `last` makes the edge. `payoff` (of a unit), `net` and `cash` count 10^-18 dollars.
    """

    name: str
    kind: str
    label: str
    legs: tuple[PlantLeg, ...]
    used: tuple[int, ...]
    payoff: int
    exhaustive: bool = False
    transfer_usd: str = "0"
    net: int = 0
    cash: int = 0
    size_units: int = 0
    size_decimals: int = 0
    last: int = 0

    @property
    def event(self) -> EventConfig:
        """The event as a person would configure it."""
        spot = self.kind == "spot"
        hashes = " ".join(leg.rules for leg in self.legs)
        return EventConfig(
            id=self.name,
            title=self.label,
            kind=self.kind,
            close="" if spot else CLOSE_TEXT,
            legs=tuple(
                LegConfig(leg.venue, leg.market, "base" if spot else "yes", leg.polarity) for leg in self.legs
            ),
            exhaustive=self.exhaustive,
            transfer_usd=self.transfer_usd,
            review=ReviewConfig(by="test", void_rule="never", rules_hash=hashes.strip()),
        )

    @property
    def traded(self) -> tuple[PlantLeg, ...]:
        """The legs that orders must come of."""
        return tuple(self.legs[index] for index in self.used)

    @property
    def orders(self) -> set[Order]:
        """The orders that must come of it."""
        return {(leg.venue, leg.market, leg.action, leg.outcome) for leg in self.traded}

    @property
    def bp(self) -> Decimal:
        """The net in basis points of the cash."""
        return Decimal(self.net) * 10_000 / Decimal(self.cash)

    def best(self) -> Plant | None:
        """With the size of the largest net, the smaller of equals; None where no size is allowed."""
        decimals = max(leg.scale.size_decimals for leg in self.traded)
        factors = [10 ** (decimals - leg.scale.size_decimals) for leg in self.traded]
        step = lcm(*(max(1, leg.lot_units) * f for leg, f in zip(self.traded, factors, strict=True)))
        shown = min(sum(s for _, s in leg.costs) * f for leg, f in zip(self.traded, factors, strict=True))
        tables = [
            leg.paid_at_all(step // f, shown // step * step // f)
            for leg, f in zip(self.traded, factors, strict=True)
        ]
        unit = self.payoff // 10**decimals
        best: tuple[int, int] | None = None
        for number, paid in enumerate(zip(*tables, strict=True), 1):
            if None in paid:
                continue
            net = unit * number * step - sum(paid)
            if best is None or net > best[0]:
                best = net, number
        if best is None:
            return None
        size, paid = best[1] * step, [table[best[1] - 1] for table in tables]
        cash = sum(p for p, leg in zip(paid, self.traded, strict=True) if not leg.sold)
        return replace(self, net=best[0], cash=cash, size_units=size, size_decimals=decimals)

    def sure(self) -> bool:
        """Whether something is left of the best size at the worst split of its fills into fees."""
        net = self.net
        for leg in self.traded:
            size = self.size_units // 10 ** (self.size_decimals - leg.scale.size_decimals)
            fills = leg.fills(size)
            fees = leg.paid(fills) - leg.paid(fills, fees=False)
            net += fees - int(fee_high(leg.fee, fills, leg.scale).scaleb(18))
        return net > 0

    def last_moved(self, steps: int) -> Plant:
        """With the last traded leg dearer by so many steps of its grid."""
        legs, last = list(self.legs), self.used[-1]
        legs[last] = legs[last].moved(steps * legs[last].grid_ticks)
        return replace(self, legs=tuple(legs))

    def is_of(self, opportunity: Opportunity) -> bool:
        """Whether an opportunity is this very plant: its orders, its size, its net to the millionth."""
        orders = {(leg.venue, leg.market, leg.action, leg.outcome) for leg in opportunity.legs}
        return (
            opportunity.event_id == self.name
            and opportunity.kind == self.kind
            and orders == self.orders
            and len(opportunity.legs) == len(self.orders)
            and opportunity.size_units * 10**self.size_decimals
            == self.size_units * 10**opportunity.size_decimals
            and opportunity.net_micros == micros(self.net)
        )


def micros(money: int) -> int:
    """Money in millionths of a dollar, half even."""
    return int(Decimal(money).scaleb(-12).to_integral_value())


class Garden:
    """Makes plants from one generator of chance. Names are numbered from `first` on."""

    def __init__(self, seed: int, first: int = 1) -> None:
        self._chance = random.Random(seed)
        self._count = first - 1

    def plants(self, count: int, *, near: bool) -> list[Plant]:
        """So many plants (`near`: near misses), the kinds in turn as often as RECIPES has them."""
        found = []
        while len(found) < count:
            for kind, venues, how in RECIPES:
                if len(found) < count:
                    found.append(self._grow(kind, venues, how, near=near))
        return found

    def _grow(self, kind: str, venues: str, how: str, *, near: bool) -> Plant:
        """One plant by a recipe: drawn again until its net lies where it should."""
        self._count += 1
        while True:
            drawn = self._drawn(kind, venues, how)
            plant = drawn and (self._near(drawn) if near else self._good(drawn))
            if plant:
                return plant

    def _drawn(self, kind: str, venues: str, how: str) -> Plant | None:
        """Legs whose net is about zero at their best prices."""
        name = f"plant-{self._count}"
        if kind == "spot":
            return self._spot(name, venues, how)
        chance, count = self._chance, len(venues)
        outcomes, used, polarities = _roles(kind, how, count)
        payoff = count - 1 if (kind, how) == ("basket", "no") else 1
        prices = self._prices(count, payoff)
        depth = int(10 ** chance.uniform(0, 3.7))
        legs = []
        for index in range(count):
            last = used[-1] == index
            outcome = outcomes[index]
            market = f"{self._count}-{index}"
            leg = self._contract(venues[index], market, outcome, prices[index], depth, fine=last)
            legs.append(replace(leg, polarity=polarities[index]))
        if kind == "complement":
            legs = [replace(leg, partner=other.market) for leg, other in zip(legs, legs[::-1], strict=True)]
        label = f"{kind} {how} {venues}"
        plant = Plant(name, kind, label, tuple(legs), used, payoff * DOLLAR, exhaustive=kind == "basket")
        return self._levelled(plant)

    def _prices(self, count: int, payoff: int) -> list[float]:
        """What each leg costs, together about what they pay; each between 0.03 and 0.97."""
        while True:
            if payoff > 1:
                less = [self._chance.uniform(0.1, 1) for _ in range(count)]
                prices = [1 - part / sum(less) for part in less]
            else:
                parts = [self._chance.uniform(0.03, 1) for _ in range(count)]
                prices = [part / sum(parts) for part in parts]
            if all(0.03 <= price <= 0.97 for price in prices):
                return prices

    def _contract(
        self, venue: str, market: str, outcome: str, price: float, depth: int, *, fine: bool
    ) -> PlantLeg:
        """A contract of Kalshi ("k") or Polymarket ("p") bought at about a price."""
        chance, scale = self._chance, Scale(6, 2 if venue == "k" else 6)
        one = 10**scale.size_decimals
        if venue == "k":
            grid = 1_000 if fine else chance.choice((1_000, 10_000))
            rate = int(70_000 * chance.choice((1, 1, 1, 0.5)))
            precision = chance.choice((100, 10_000))
            fee = FeeSchedule(FeeKind.KALSHI, rate, 0, 1, precision)
            lot, least, cost = one, one, 0
        else:
            grid = chance.choice((100, 1_000)) if fine else chance.choice((1_000, 10_000))
            rate, exponent = chance.choice(((0, 1), (30_000, 1), (40_000, 1), (70_000, 1), (250_000, 2)))
            fee = FeeSchedule(FeeKind.POLYMARKET, rate, 0, exponent)
            lot = one if depth > 50 else chance.choice((one, one // 10))
            least, cost = chance.choice(((5 * one, 0), (0, 1_000_000)))
            depth = max(depth, 6)
        best = round(price * 10**6 / grid) * grid
        costs = self._levels(best, grid, depth, lot)
        far = best - _up(chance.randrange(20_000, 30_000), grid)
        full = "kalshi" if venue == "k" else "polymarket"
        return PlantLeg(
            full, f"{venue}{market}", "same", "buy", outcome, scale, grid, lot, least, cost, fee, costs, far
        )

    def _levels(self, best: int, step: int, depth: int, lot: int, sign: int = 1) -> Ladder:
        """One to four levels from a best price on, which show about `depth` together."""
        chance = self._chance
        count = chance.choice((1, 2, 2, 3, 4))
        levels, price = [], best
        for _ in range(count):
            size = min(max(1, int(depth * chance.uniform(0.5, 1.5) / count)), MOST_SHOWN // count)
            units = size * 10 ** (len(str(lot)) - 1) if lot > 1 else size
            levels.append((price, _up(units, lot)))
            price += sign * step * chance.choice((1, 1, 2, 5))
        return tuple(levels)

    def _spot(self, name: str, venues: str, how: str) -> Plant | None:
        """Coins bought on one exchange and sold on another; `how` says which leg is bought."""
        chance, worth = self._chance, 10 ** self._chance.uniform(-0.3, 2.5)
        depth, legs = int(10 ** chance.uniform(0, 3.7)), []
        for index, venue in enumerate(venues):
            bought = index == int(how)
            decimals = 4 if venue == "x" else 8
            grid = 10 ** (decimals - 4)
            scale = Scale(decimals, 2 if venue == "x" else 8)
            one = 10**scale.size_decimals
            lot = one if depth > 100 else one // 10
            best = int(worth * 10_000) * grid
            fee = FeeSchedule(FeeKind.BPS, chance.choice((0, 100, 250, 400)))
            sign = 1 if bought else -1
            costs = self._levels(best, grid, depth, lot, sign)
            if costs[-1][0] <= 0:
                return None
            far = best - sign * _up(best * 2 // 100, grid)
            full = "kraken" if venue == "x" else "coinbase"
            action = "buy" if bought else "sell"
            market = f"{venue}{self._count}-{index}"
            legs.append(
                PlantLeg(full, market, "same", action, "base", scale, grid, lot, lot, 0, fee, costs, far)
            )
        transfer = chance.choice(("0", "0", "0.0001"))
        payoff = -int(Decimal(transfer) * DOLLAR)
        label = f"spot {venues} buys {how}"
        return self._levelled(Plant(name, "spot", label, tuple(legs), (0, 1), payoff, transfer_usd=transfer))

    def _levelled(self, plant: Plant) -> Plant | None:
        """With its last traded leg moved to where its best prices leave about nothing."""
        left = plant.payoff / DOLLAR
        for leg in plant.traded:
            one, price = 10**leg.scale.price_decimals, leg.costs[0][0]
            share = price / one
            curve = share if leg.outcome == "base" else (share * (1 - share)) ** leg.fee.exponent
            left -= (-share if leg.sold else share) + leg.fee.rate_ppm / 1e6 * curve
        last = plant.traded[-1]
        moved = plant.last_moved(int(left * 10**last.scale.price_decimals / last.grid_ticks) + 1)
        return moved if _possible(moved) else None

    def _edge_of(self, plant: Plant) -> tuple[Plant, Plant] | None:
        """The last step of the last leg's price at which something is left, and the one after it."""
        after = plant.best()
        if after is None or after.net > 0:
            return None
        for _ in range(MOST_STEPS):
            nearer = after.last_moved(-1)
            before = nearer.best() if _possible(nearer) else None
            if before is None:
                return None
            if before.net > 0:
                return before, after
            after = before
        return None

    def _good(self, plant: Plant) -> Plant | None:
        """An arbitrage that survives the worst split; most are as small as their grid allows."""
        found = self._edge_of(plant)
        if found is None:
            return None
        good, steps = found[0], 0 if self._chance.random() < 0.75 else self._chance.randrange(1, 12)
        while steps > 0 or not good.sure():
            nearer = good.last_moved(-1)
            better = nearer.best() if _possible(nearer) else None
            if better is None or better.bp > MOST_BP:
                return None
            good, steps = better, steps - 1
        small = good.bp <= 10 or self._chance.random() < 0.3
        return self._with_last(good) if small else None

    def _near(self, plant: Plant) -> Plant | None:
        """A near miss: at the best of all sizes it loses at most a little."""
        found = self._edge_of(plant)
        if found is None or not NEAR_BP <= found[1].bp <= 0:
            return None
        return self._with_last(found[1])

    def _with_last(self, plant: Plant) -> Plant:
        """With the traded leg chosen whose message comes last."""
        return replace(plant, last=self._chance.choice(plant.used))


MOST_STEPS, MOST_BP, MOST_SHOWN = 12, 200, 5_000


def _possible(plant: Plant) -> bool:
    """Whether every price is one that a market can have."""
    for leg in plant.legs:
        one = 10**leg.scale.price_decimals
        prices = [price for price, _ in leg.costs] + [leg.far_ticks]
        if min(prices) <= 0 or (leg.outcome != "base" and max(prices) >= one):
            return False
        if leg.outcome != "base" and not 3 * one <= 100 * leg.costs[0][0] <= 97 * one:
            return False
    return True


def _roles(kind: str, how: str, count: int) -> tuple[list[str], tuple[int, ...], list[str]]:
    """Outcomes bought, legs used, polarities. `how` of a binary pair: both polarities and the direction."""
    same = ["same"] * count
    if kind == "binary":
        inverse = [letter == "i" for letter in how[:2]]
        yes_leg = int(how[2])
        outcomes = ["yes" if (index == yes_leg) != inverse[index] else "no" for index in range(2)]
        return outcomes, (0, 1), ["inverse" if flag else "same" for flag in inverse]
    if kind == "basket":
        return [how] * count, tuple(range(count)), same
    if kind == "implication":
        # The first implies the second: NO of the first, YES of the second.
        return ["no", "yes"], (0, 1), same
    if kind == "ladder":
        # Above the second strike implies above the first: YES of the first, NO of the second.
        return ["yes", "no"], (0, 1), same
    return ["yes"] * count, (0, 1), same


def _recipes() -> Iterator[tuple[str, str, str]]:
    """Kind, venues of the legs (k, p; x and c are Kraken and Coinbase), and how; 50 of them."""
    for how in ("ss0", "ss1", "si0", "si1", "is0", "is1", "ii0", "ii1"):
        yield from (("binary", venues, how) for venues in ("kp", "kk", "pp"))
        yield "spot" if how[0] == "s" else "complement", "xc" if how[0] == "s" else "pp", how[2]
    yield from (("binary", "pk", how) for how in ("ss0", "is1"))
    for venues in ("ppp", "kkk", "kpp", "pppp"):
        yield from (("basket", venues, how) for how in ("yes", "no"))
    for venues in ("kk", "pp", "kp", "pk"):
        yield from ((kind, venues, "") for kind in ("implication", "ladder"))


RECIPES = tuple(_recipes())
