"""Risk sizes: what a trade takes of everything that is limited, and the room that the limits leave.

In: the last look, the account, the limits, Kelly's dollars. Out: claims, the one that fits least, and
`Rooms` for a trade that is cut. Pure; used by the risk gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import NamedTuple

from pipeline.model import EXACT, Reason
from pipeline.model_events import CLOSE
from pipeline.trader.risk_limits import ZERO, Account, Limits, Look


class Claim(NamedTuple):
    """What a trade needs of something limited, beside what is used of it already: dollars, or a quantity."""

    need: Decimal
    used: Decimal
    limit: Decimal

    @property
    def value(self) -> Decimal:
        """What would be used."""
        return EXACT.add(self.used, self.need)

    @property
    def room(self) -> Decimal:
        """What is left of it; below 0 where more is used than may be."""
        return EXACT.subtract(self.limit, self.used)

    @property
    def fits(self) -> bool:
        """Whether there is enough. What needs nothing fits, however much is used."""
        return self.need <= 0 or self.need <= self.room

    def tighter(self, other: Claim) -> bool:
        """Whether a smaller part of this need has room. Both needs are above 0."""
        return EXACT.multiply(self.room, other.need) < EXACT.multiply(other.room, self.need)


Claims = Callable[[Look, Account, Limits, Decimal], Iterator[Claim]]


def worst(claims: Iterable[Claim]) -> Claim | None:
    """The claim that has the least room for its need, of those that do not fit; None where all do."""
    found: Claim | None = None
    for claim in claims:
        if not claim.fits and (found is None or claim.tighter(found)):
            found = claim
    return found


def _order(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Iterator[Claim]:
    yield Claim(look.cash, ZERO, limits.max_order_usd)


def _event(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Iterator[Claim]:
    yield Claim(look.cash, account.event_exposure.get(look.event_id, ZERO), limits.max_event_usd)


def _total(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Iterator[Claim]:
    yield Claim(look.cash, account.exposure, limits.max_exposure_usd)


def _by_kelly(look: Look, _account: Account, _limits: Limits, kelly: Decimal) -> Iterator[Claim]:
    yield Claim(look.cash, ZERO, kelly)


def _markets(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Iterator[Claim]:
    for market, taken in look.market_cash().items():
        yield Claim(taken, account.market_exposure.get(market, ZERO), limits.max_market_usd)


def _venues(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Iterator[Claim]:
    for venue, taken in look.venue_cash().items():
        yield Claim(taken, account.venue_exposure.get(venue, ZERO), limits.max_venue_usd)


def _cash(look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Iterator[Claim]:
    """Money cannot move between venues."""
    for venue, taken in look.venue_cash().items():
        yield Claim(taken, ZERO, account.cash.get(venue, ZERO))


def _inventory(look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Iterator[Claim]:
    """Of what is sold: coins, or contracts of a pair that is closed."""
    for leg in look.legs:
        if leg.action == "sell":
            yield Claim(look.size, ZERO, account.stock(look.event_id, leg))


_WHOLE: Mapping[Reason, Claims] = {
    Reason.ORDER_SIZE: _order,
    Reason.EVENT_EXPOSURE: _event,
    Reason.TOTAL_EXPOSURE: _total,
    Reason.KELLY_SIZE: _by_kelly,
}
SIZES: Mapping[Reason, Claims] = {
    Reason.ORDER_SIZE: _order,
    Reason.MARKET_EXPOSURE: _markets,
    Reason.EVENT_EXPOSURE: _event,
    Reason.VENUE_EXPOSURE: _venues,
    Reason.TOTAL_EXPOSURE: _total,
    Reason.VENUE_CASH: _cash,
    Reason.INVENTORY: _inventory,
    Reason.KELLY_SIZE: _by_kelly,
}
"""The limits of size, each with what a trade claims of it."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the limits leave for one trade, as `Priced.within` takes it.

    `total` is dollars for all legs with fees. `per_leg` is dollars of each leg, None for one that sells:
    what its market, its venue and the cash there leave; legs at one venue share the least of theirs. Both
    are None for a close, which ties up nothing. `quantity` is what there is to be sold, None where nothing
    is.
    """

    total: Decimal | None
    per_leg: tuple[Decimal | None, ...] | None
    quantity: Decimal | None

    @property
    def any(self) -> bool:
        """Whether there is any room at all."""
        rooms = (self.total, self.quantity, *(self.per_leg or ()))
        return all(room is None or room > 0 for room in rooms)

    def units(self, size_decimals: int) -> int | None:
        """`quantity` in units of 10^-size_decimals, rounded down; None for no bound."""
        return None if self.quantity is None else int(self.quantity.scaleb(size_decimals))


def rooms(look: Look, account: Account, limits: Limits, kelly_usd: Decimal) -> Rooms:
    """The room that every limit of size leaves for the trade of a look."""
    sold = [claim.room for claim in _inventory(look, account, limits, kelly_usd)]
    quantity = max(ZERO, min(sold)) if sold else None
    if look.kind == CLOSE:
        return Rooms(None, None, quantity)
    claims = [claim for asked in _WHOLE.values() for claim in asked(look, account, limits, kelly_usd)]
    total = max(ZERO, min(claim.room for claim in claims))
    return Rooms(total, tuple(_leg_rooms(look, account, limits)), quantity)


def _leg_rooms(look: Look, account: Account, limits: Limits) -> Iterator[Decimal | None]:
    with localcontext(EXACT):
        for leg in look.legs:
            if leg.action == "sell":
                yield None
                continue
            cash = account.cash.get(leg.venue, ZERO)
            venue = limits.max_venue_usd - account.venue_exposure.get(leg.venue, ZERO)
            market = limits.max_market_usd - account.market_exposure.get((leg.venue, leg.market), ZERO)
            yield max(ZERO, min(cash, venue, market))
