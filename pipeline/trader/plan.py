"""Plan: what a trade of two legs is to be, in one value that the journal keeps and gives back.

In: what the last look found. Out: a frozen `TradePlan`, its evidence for the journal, and the same plan
made of that evidence again after a restart. Pure; used by the trader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.model import FeeKind, FeeSchedule, Scale

TAKER, MAKER_HEDGE, FLATTEN = "taker", "maker_hedge", "flatten"
"""How a trade is opened: both legs take, or one rests as a quote and the other takes what it fills; or a
person has what is held sold, both legs or (with `first`) the one that has no counterpart.
"""


@dataclass(frozen=True, slots=True)
class PlanLeg:
    """One leg: what is done with a venue's own market. `fee` is what a taker pays there."""

    venue: str
    market: str
    outcome: str
    action: str
    polarity: str
    scale: Scale
    fee: FeeSchedule

    @property
    def undo(self) -> str:
        """The action that takes a fill of this leg back."""
        return "sell" if self.action == "buy" else "buy"


@dataclass(frozen=True, slots=True)
class TradePlan:
    """A trade before anything of it is sent.

    `payoff` is what a unit of both legs pays for sure, in dollars (spot: minus what bringing a coin back
    costs; a close: minus what the pair is worth). `size_units` on `size_decimals` is the size of each leg.
    `race_ppm` is the probability that both legs are there when we arrive, `latency_ns` what the
    orders are expected to take, `first` the leg that is sent first or quoted (-1: both at once).
    """

    trade_id: str
    event_id: str
    kind: str
    direction: int
    mode: str
    legs: tuple[PlanLeg, PlanLeg]
    payoff: Decimal
    size_units: int
    size_decimals: int
    edge_bp: int
    net: Decimal
    cash: Decimal
    race_ppm: int
    latency_ns: int
    first: int = -1

    @property
    def alone(self) -> bool:
        """Whether it is to sell one leg that has no counterpart: then nothing of it can be uneven."""
        return self.mode == FLATTEN and self.first >= 0

    def evidence(self) -> dict[str, object]:
        """Everything of the plan that the journal does not keep in columns of its own."""
        return {
            "mode": self.mode,
            "legs": [_leg_evidence(leg) for leg in self.legs],
            "payoff": self.payoff,
            "size_units": self.size_units,
            "size_decimals": self.size_decimals,
            "edge_bp": self.edge_bp,
            "net": self.net,
            "cash": self.cash,
            "race_ppm": self.race_ppm,
            "latency_ns": self.latency_ns,
            "first": self.first,
        }


def _leg_evidence(leg: PlanLeg) -> dict[str, object]:
    plain = {name: getattr(leg, name) for name in ("venue", "market", "outcome", "action", "polarity")}
    decimals = {"price_decimals": leg.scale.price_decimals, "size_decimals": leg.scale.size_decimals}
    fee = {name: getattr(leg.fee, name) for name in FeeSchedule.__slots__}
    return plain | decimals | {"fee": fee}


def plan_of(
    trade_id: str, event_id: str, kind: str, direction: int, evidence: Mapping[str, Any]
) -> TradePlan:
    """The plan that a trade's journal columns and evidence describe.

    Raises KeyError, TypeError or ValueError for evidence that `TradePlan.evidence` did not make.
    """
    first, second = (_leg_of(leg) for leg in evidence["legs"])
    return TradePlan(
        trade_id=trade_id,
        event_id=event_id,
        kind=kind,
        direction=direction,
        mode=str(evidence["mode"]),
        legs=(first, second),
        payoff=Decimal(evidence["payoff"]),
        size_units=int(evidence["size_units"]),
        size_decimals=int(evidence["size_decimals"]),
        edge_bp=int(evidence["edge_bp"]),
        net=Decimal(evidence["net"]),
        cash=Decimal(evidence["cash"]),
        race_ppm=int(evidence["race_ppm"]),
        latency_ns=int(evidence["latency_ns"]),
        first=int(evidence["first"]),
    )


def _leg_of(evidence: Mapping[str, Any]) -> PlanLeg:
    fee = dict(evidence["fee"])
    return PlanLeg(
        evidence["venue"],
        evidence["market"],
        evidence["outcome"],
        evidence["action"],
        evidence["polarity"],
        Scale(evidence["price_decimals"], evidence["size_decimals"]),
        FeeSchedule(FeeKind[fee.pop("kind")], **fee),
    )
