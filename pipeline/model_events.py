"""Events: markets that pay on the same thing, what can be done with them, and the orders that follow.

In: plain values. Out: frozen values and pure functions on them. Every process imports this module;
numbers are integers as in `pipeline.model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pipeline.model import Scale

BINARY, SPOT, COMPLEMENT, BASKET = "binary", "spot", "complement", "basket"
IMPLICATION, LADDER, MODEL, CLOSE = "implication", "ladder", "model", "close"
EVENT_KINDS = (BINARY, SPOT, COMPLEMENT, BASKET, IMPLICATION, LADDER, MODEL)
"""Kinds of [[events]]. CLOSE is no kind of event: it is what can be done with a pair that is held."""

MAX_LEGS = 12
"""Most legs of an event: an opportunity with all of them must fit into one frame."""

VOID_RULES = ("zero", "half", "refund", "never")
"""What a leg pays when its market is called off: nothing at worst (Kalshi settles at any value from 0
to 1), half (Polymarket's 50/50), the price paid, or it cannot be called off."""


def takes_asks(action: str, outcome: str) -> bool:
    """Whether an order hits the book's asks: buying YES or base, or selling NO. Buying NO takes YES bids."""
    return (action == "buy") == (outcome != "no")


@dataclass(frozen=True, slots=True)
class EventLeg:
    """One venue's market for an event. `polarity` is "same", or "inverse" when its YES is our NO.

    `void` is one of VOID_RULES, "" for the venue's own. `convert` is the (venue, market) of the book
    whose price turns this spot leg's quote currency into dollars, ("", "") where it is quoted in them.
    """

    venue: str
    market: str
    outcome: str = "yes"
    polarity: str = "same"
    void: str = ""
    convert: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Review:
    """Who compared the venues' rules, and what they found. `mismatch` is the probability that the venues
    decide differently. `hashes` are the SHA-256 of the rules read, one for all legs or several.

    `void_rule` begins with "never", "both" (all legs are called off together or none is), or anything
    else: then each leg may be called off alone.
    """

    by: str
    hashes: frozenset[str] = frozenset()
    mismatch: Decimal = Decimal(0)
    void_rule: str = ""


@dataclass(frozen=True, slots=True)
class Digital:
    """What a model event prices: whether the spot leg is above `strike` dollars at the close (else: not
    above). `basis_bp` bounds how far the index that decides may be from that spot price.
    """

    strike: Decimal
    above: bool = True
    basis_bp: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Event:
    """Markets that pay on the same thing. `close_ns` is wall clock, 0 when it never closes.

    Without a review it is watched and never traded. `exhaustive` says that a person has made sure that one
    of a basket's legs must pay. `transfer_usd` is what a coin costs to be brought back, for spot.
    """

    id: str
    title: str
    kind: str
    legs: tuple[EventLeg, ...]
    close_ns: int = 0
    review: Review | None = None
    exhaustive: bool = False
    transfer_usd: Decimal = Decimal(0)
    digital: Digital | None = None

    @property
    def reviewed(self) -> bool:
        """Whether a person has compared the venues' rules."""
        return self.review is not None and bool(self.review.by)


@dataclass(frozen=True, slots=True)
class LegPlan:
    """What is done with one leg: `action` "buy" or "sell" of `outcome` "yes", "no" or "base".

    The outcome is the market's own: polarity is in it already.
    """

    leg: EventLeg
    action: str
    outcome: str

    @property
    def takes_asks(self) -> bool:
        """Whether this hits the book's asks."""
        return takes_asks(self.action, self.outcome)


@dataclass(frozen=True, slots=True)
class OrderLeg:
    """One side of a trade: what to do on which market, at which book price at worst.

    `market` names the book (YES terms on prediction markets), `outcome` is "yes", "no" or "base";
    `action` is "buy" or "sell"; `limit_ticks` is the worst price *of the book's side that is hit*,
    in the book's own terms. The price on the wire is derived by `order_price_ticks` alone.
    """

    venue: str
    market: str
    outcome: str
    action: str
    limit_ticks: int
    size_units: int
    scale: Scale

    @property
    def takes_asks(self) -> bool:
        """Whether this leg takes the book's asks."""
        return takes_asks(self.action, self.outcome)


def order_price_ticks(leg: OrderLeg) -> int:
    """Price of the order on the wire in the outcome's own terms: 1 - book price for NO (DESIGN 4)."""
    if leg.outcome == "no":
        return int(10**leg.scale.price_decimals) - leg.limit_ticks
    return leg.limit_ticks
