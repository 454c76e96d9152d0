"""Polymarket's public REST metadata (Gamma): which paths to ask for, and their answers as `Market`s.

In: token ids, response bodies. Out: paths under the Gamma host, and one market a token. Pure; the
feed's MarketDirectory (feed/rest.py) does the asking. Lists of texts are JSON inside strings there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from urllib.parse import quote

import msgspec

from pipeline.model import (
    DEFAULT_SCALES,
    UNKNOWN_FEE,
    FeeKind,
    FeeSchedule,
    Market,
    MarketResult,
    MarketStatus,
)
from pipeline.venues.parsing import UNREADABLE, iso_ns, published_units, text_of

# A request names at most so many tokens, because each is 77 digits of the address.
TOKENS_PER_REQUEST = 20
# Orders are in hundredths of a share; one that takes must be worth a dollar.
_LOT_UNITS = 10_000
_MIN_COST_MICROS = 1_000_000
_PPM = 1_000_000
_EXPONENT_MAX = 4
# Where a schedule says it comes from.
FEE_SOURCE, FREE_SOURCE = "gamma feeSchedule", "gamma feesEnabled = false"


class _Schedule(msgspec.Struct, gc=False):
    rate: Decimal
    exponent: Decimal


class _Event(msgspec.Struct, gc=False, rename="camel"):
    neg_risk_augmented: bool | None = None


class _Market(msgspec.Struct, gc=False, rename="camel"):
    clob_token_ids: str | None = None
    outcome_prices: str | None = None
    question: str | None = None
    description: str | None = None
    end_date: str | None = None
    closed: bool | None = None
    accepting_orders: bool | None = None
    order_price_min_tick_size: Decimal | None = None
    order_min_size: Decimal | None = None
    fees_enabled: bool | None = None
    fee_schedule: _Schedule | None = None
    group_item_title: str | None = None
    neg_risk: bool | None = None
    neg_risk_other: bool | None = None
    events: list[_Event] | None = None


_decode = msgspec.json.Decoder(list[_Market]).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode


def paths(markets: Sequence[str]) -> list[str]:
    """Paths that answer for tokens; closed markets are asked for too, because results are in them."""
    asked = []
    for start in range(0, len(markets), TOKENS_PER_REQUEST):
        tokens = markets[start : start + TOKENS_PER_REQUEST]
        words = "&".join(f"clob_token_ids={quote(token, safe='')}" for token in tokens)
        asked.append(f"/markets?limit=100&{words}")
        asked.append(f"/markets?limit=100&closed=true&{words}")
    return asked


def parse(body: bytes, wanted: Sequence[str], fee: FeeSchedule | None, as_of_ns: int = 0) -> list[Market]:
    """The wanted tokens in an answer to `paths`; ValueError in one sentence for nonsense.

    `as_of_ns` is when the answer came (wall clock).
    """
    names = frozenset(wanted)
    try:
        return [found for sent in _decode(body) for found in _tokens(sent, names, fee, as_of_ns)]
    except UNREADABLE as error:
        raise ValueError(f"Polymarket's list of markets cannot be read: {text_of(error)}") from error


def _tokens(sent: _Market, names: frozenset[str], fee: FeeSchedule | None, as_of_ns: int) -> Iterator[Market]:
    """A market for each of its two tokens that is wanted."""
    tokens = _decode_texts(sent.clob_token_ids or "[]")
    prices = _decode_texts(sent.outcome_prices or "[]")
    if len(tokens) != 2:
        return
    scale = DEFAULT_SCALES["polymarket"]
    for index, token in enumerate(tokens):
        if token not in names:
            continue
        result = _result(sent, prices[index] if len(prices) == 2 else "")
        yield Market(
            "polymarket",
            token,
            scale,
            grid_ticks=published_units(sent.order_price_min_tick_size, scale.price_decimals),
            lot_units=_LOT_UNITS,
            min_units=published_units(sent.order_min_size, scale.size_decimals),
            min_cost_micros=_MIN_COST_MICROS,
            fee=fee or _fee(sent, as_of_ns),
            close_ns=iso_ns(sent.end_date),
            status=_status(sent, result),
            result=result,
            partner=tokens[1 - index],
            title=text_of(sent.question or ""),
            rules=sent.description or "",
            hides_outcome=_hides_outcome(sent),
        )


def _hides_outcome(sent: _Market) -> bool:
    """Whether the question may have an outcome that is no market, or not a named one.

    A market with a name of its own in its event is one of several: they are complete where the venue calls
    them `negRisk` (exactly one wins), the event takes no further outcomes (`negRiskAugmented` is false) and
    this one is no placeholder for others. What is not said counts against it.
    """
    if not sent.group_item_title and not sent.neg_risk:
        return False
    fixed = bool(sent.events) and all(each.neg_risk_augmented is False for each in sent.events or ())
    return not sent.neg_risk or bool(sent.neg_risk_other) or not fixed


def _result(sent: _Market, price: str) -> MarketResult:
    """How a closed market paid this token: 1, 0 or one half."""
    if not sent.closed:
        return MarketResult.NONE
    paid = {"1": MarketResult.YES, "0": MarketResult.NO, "0.5": MarketResult.VOID}
    return paid.get(price, MarketResult.NONE)


def _status(sent: _Market, result: MarketResult) -> MarketStatus:
    if sent.closed:
        return MarketStatus.SETTLED if result else MarketStatus.CLOSED
    if sent.accepting_orders is None:
        return MarketStatus.UNKNOWN
    return MarketStatus.OPEN if sent.accepting_orders else MarketStatus.PAUSED


def _fee(sent: _Market, as_of_ns: int) -> FeeSchedule:
    """The published schedule; markets without fees have a known zero, no word at all is unknown."""
    if sent.fees_enabled is False:
        return FeeSchedule(FeeKind.POLYMARKET, source=FREE_SOURCE, as_of_ns=as_of_ns)
    schedule = sent.fee_schedule
    if not sent.fees_enabled or schedule is None:
        return UNKNOWN_FEE
    rate, exponent = schedule.rate, schedule.exponent
    finite = rate.is_finite() and exponent.is_finite()
    if not finite or not 0 <= rate < 1 or not 0 <= exponent <= _EXPONENT_MAX:
        raise ValueError(f"a fee rate {rate} with exponent {exponent} makes no sense")
    rate_ppm = rate * _PPM
    if rate_ppm != rate_ppm.to_integral_value() or exponent != exponent.to_integral_value():
        raise ValueError(f"a fee rate {rate} with exponent {exponent} is not one we can compute")
    return FeeSchedule(
        FeeKind.POLYMARKET,
        rate_ppm=int(rate_ppm),
        exponent=int(exponent),
        source=FEE_SOURCE,
        as_of_ns=as_of_ns,
    )
