"""The public REST of the four simulated venues, in the venues' own shapes; pure.

In: the target of a request, a posted body, the model, the wall time. Out: a status and a JSON value.
Who runs it: `server.LabServer`, on the same port as the venue's WebSocket. An unknown path or
market is 404 in the venue's own form of error (Kraken: 200 with an error list).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pipeline.lab import rest_spot
from pipeline.lab.book import fixed, plain
from pipeline.lab.exchange import compact, utc_seconds
from pipeline.lab.kalshi import legs, top_fields
from pipeline.lab.listing import Listing
from pipeline.lab.market import MarketModel
from pipeline.lab.polymarket import MIN_ORDER_SIZE, book_body
from pipeline.lab.quotes import ONE
from pipeline.lab.rest_spot import Answer, Number, Query

MOST_TICKERS = 100
MOST_TOKENS = 500


def answer(venue: str, target: str, model: MarketModel, now_ms: int, posted: bytes | None = None) -> Answer:
    """Answer GET `target` as `venue` would, or a POST with the body `posted`."""
    parts = urlsplit(target)
    if posted is not None:
        return _posted(venue, parts.path.rstrip("/"), posted, model, now_ms)
    return ROUTERS[venue](parts.path.rstrip("/"), parse_qs(parts.query), model, now_ms)


def _posted(venue: str, path: str, posted: bytes, model: MarketModel, now_ms: int) -> Answer:
    """Only Polymarket's public REST has a POST: the books of many tokens, unknown ones left out."""
    if venue != "polymarket" or path != "/books":
        return 404, {"error": "not found"}
    try:
        tokens = [str(each["token_id"]) for each in json.loads(posted)]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 400, {"error": "Invalid payload"}
    if len(tokens) > MOST_TOKENS:
        return 400, {"error": "Payload exceeds the limit"}
    events = {token: model.by_token(token) for token in tokens}
    return 200, [
        book_body(event, token, now_ms)
        for token, event in events.items()
        if event is not None and event.state != "settled"
    ]


def json_text(value: Any) -> str:
    """JSON text; a `Number` stands as its own digits."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{compact(k)}:{json_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(json_text(v) for v in value) + "]"
    return compact(value)


def kalshi_error(status: int, code: str, message: str) -> Answer:
    """An error as Kalshi's REST words it."""
    return status, {"error": {"code": code, "message": message, "service": "lab"}}


def _kalshi(path: str, query: Query, model: MarketModel, _now_ms: int) -> Answer:
    words = path.removeprefix("/trade-api/v2/").split("/")
    if not path.startswith("/trade-api/v2/"):
        return kalshi_error(404, "not_found", "not found")
    if words == ["exchange", "status"]:
        return 200, {"exchange_active": True, "trading_active": True}
    if words == ["markets"]:
        return 200, {"markets": _kalshi_markets(query, model), "cursor": ""}
    if words[0] == "series" and len(words) == 2:
        return _kalshi_series(words[1], model)
    if words[0] == "events" and len(words) == 2:
        return _kalshi_event(words[1], model)
    if words == ["markets", "orderbooks"]:
        return _kalshi_books(query, model)
    event = model.by_ticker(words[1]) if words[0] == "markets" and len(words) > 1 else None
    if event is not None and len(words) == 2:
        return 200, {"market": kalshi_market(event)}
    if event is not None and words[2:] == ["orderbook"]:
        depth = query.get("depth", ["0"])[0]
        cut = int(depth) if depth.isascii() and depth.isdigit() else 0
        return 200, {"orderbook_fp": _kalshi_book(event, cut)}
    return kalshi_error(404, "not_found", "not found")


def _kalshi_book(event: Listing, depth: int) -> dict[str, list[list[str]]]:
    """Both legs' bids, best last; 0 is the whole depth."""
    yes, no = legs(event.kalshi.quotes.book, use_yes_price=False)
    return {"yes_dollars": yes[-depth:], "no_dollars": no[-depth:]}


def _kalshi_books(query: Query, model: MarketModel) -> Answer:
    """The books of up to a hundred tickers, each given as a parameter of its own."""
    tickers = query.get("tickers", [])
    if not 1 <= len(tickers) <= MOST_TICKERS:
        return kalshi_error(400, "bad_request", "tickers: 1 to 100")
    events = [event for event in map(model.by_ticker, tickers) if event is not None]
    return 200, {
        "orderbooks": [{"ticker": event.ticker, "orderbook_fp": _kalshi_book(event, 0)} for event in events]
    }


def _kalshi_markets(query: Query, model: MarketModel) -> list[dict[str, Any]]:
    asked = [t for text in query.get("tickers", []) for t in text.split(",") if t]
    chosen = [e for e in model.kalshi() if not asked or e.ticker in asked]
    series, parents = query.get("series_ticker"), query.get("event_ticker")
    chosen = [e for e in chosen if not series or e.series in series]
    chosen = [e for e in chosen if not parents or _event_ticker(e) in parents]
    if query.get("status") == ["open"]:
        chosen = [e for e in chosen if e.state == "active"]
    return [kalshi_market(e) for e in chosen]


def _event_ticker(event: Listing) -> str:
    return event.ticker.rsplit("-", 1)[0]


def kalshi_market(event: Listing) -> dict[str, Any]:
    """A Kalshi market object."""
    status = {"settled": "finalized"}.get(event.state, event.state)
    top = top_fields(event)
    close, bid, ask = utc_seconds(event.close_ms), top["yes_bid_dollars"], top["yes_ask_dollars"]
    market: dict[str, Any] = {
        "ticker": event.ticker,
        "event_ticker": _event_ticker(event),
        "market_type": "binary",
        "title": event.title,
        "yes_sub_title": "Yes",
        "no_sub_title": "No",
        "created_time": utc_seconds(event.open_ms),
        "open_time": utc_seconds(event.open_ms),
        "close_time": close,
        "expected_expiration_time": close,
        "latest_expiration_time": close,
        "settlement_timer_seconds": 1,
        "status": status,
        "result": event.result,
        "can_close_early": False,
        "response_price_units": "usd_cent",
        "notional_value_dollars": "1.0000",
        "yes_bid_dollars": bid,
        "yes_ask_dollars": ask,
        "yes_bid_size_fp": top["yes_bid_size_fp"],
        "yes_ask_size_fp": top["yes_ask_size_fp"],
        "no_bid_dollars": _complement(ask),
        "no_ask_dollars": _complement(bid),
        "last_price_dollars": top["price_dollars"],
        "volume_fp": top["volume_fp"],
        "volume_24h_fp": top["volume_fp"],
        "open_interest_fp": top["open_interest_fp"],
        "expiration_value": event.result,
        "rules_primary": event.rules,
        "rules_secondary": "",
        "strike_type": "custom" if event.strike is None else "greater",
        "floor_strike": event.strike,
        "price_level_structure": "linear_cent",
        "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
        "fee_waiver_expiration_time": None,
        "exchange_index": 0,
    }
    if event.result:
        value = "1.0000" if event.result == "yes" else "0.0000"
        market |= {
            "settlement_value": value,
            "settlement_value_dollars": value,
            "settlement_ts": utc_seconds(event.settled_ms),
        }
    return market


def _complement(price: str) -> str:
    return fixed(ONE - int(price.replace(".", "")), 4)


def _kalshi_series(series: str, model: MarketModel) -> Answer:
    event = next((e for e in model.kalshi() if e.series == series), None)
    if event is None:
        return kalshi_error(404, "not_found", "not found")
    return 200, {
        "series": {
            "ticker": series,
            "frequency": "custom",
            "title": f"SIM {event.subject}",
            "category": "Simulated",
            "tags": ["sim"],
            "fee_type": "quadratic",
            "fee_multiplier": 1,
            "settlement_sources": [{"name": "lab", "url": ""}],
            "contract_url": "",
        }
    }


def _kalshi_event(ticker: str, model: MarketModel) -> Answer:
    inside = [e for e in model.kalshi() if _event_ticker(e) == ticker]
    if not inside:
        return kalshi_error(404, "not_found", "not found")
    first = inside[0]
    return 200, {
        "event": {
            "event_ticker": ticker,
            "series_ticker": first.series,
            "title": first.title,
            "sub_title": "",
            "category": "Simulated",
            "mutually_exclusive": False,
            "collateral_return_type": "",
            "strike_period": "",
            "fee_type_override": None,
            "fee_multiplier_override": None,
        },
        "markets": [kalshi_market(e) for e in inside],
    }


def _polymarket(path: str, query: Query, model: MarketModel, now_ms: int) -> Answer:
    if path == "/time":
        return 200, now_ms // 1_000
    if path == "/markets":
        return 200, _gamma_markets(query, model)
    if path == "/book":
        token = query.get("token_id", [""])[0]
        event = model.by_token(token)
        if event is None or event.state == "settled":
            return 404, {"error": "No orderbook exists for the requested token id"}
        return 200, book_body(event, token, now_ms)
    event = model.by_condition(path.removeprefix("/clob-markets/"))
    if path.startswith("/clob-markets/") and event is not None:
        return 200, _clob_market(event)
    return 404, {"error": "not found"}


def _gamma_markets(query: Query, model: MarketModel) -> list[dict[str, Any]]:
    events = model.polymarket()
    tokens, conditions = query.get("clob_token_ids"), query.get("condition_ids")
    if tokens:
        events = [e for e in events if e.yes_token in tokens or e.no_token in tokens]
    if conditions:
        events = [e for e in events if e.condition in conditions]
    if "closed" in query:
        events = [e for e in events if (e.state == "settled") == (query["closed"] == ["true"])]
    return [gamma_market(e) for e in events]


def gamma_market(event: Listing) -> dict[str, Any]:
    """A Gamma market object; lists of texts are JSON inside strings there."""
    book = event.polymarket.quotes.book
    bid, ask = book.best_bid(), book.best_ask()
    middle = None if bid is None or ask is None else (bid + ask) // 2
    prices = [plain(middle, 4), plain(ONE - middle, 4)] if middle is not None else ["0.5", "0.5"]
    settled = event.state == "settled"
    if settled:
        prices = ["1", "0"] if event.polymarket_result == "yes" else ["0", "1"]
    uma = "resolved" if settled else {"active": ""}.get(event.state, "proposed")
    close = utc_seconds(event.close_ms)
    market: dict[str, Any] = {
        "id": str(event.number),
        "question": event.question,
        "conditionId": event.condition,
        "slug": event.id,
        "resolutionSource": "lab",
        "endDate": close,
        "endDateIso": close[:10],
        "startDate": utc_seconds(event.open_ms),
        "description": event.rules,
        "outcomes": compact(["Yes", "No"]),
        "outcomePrices": compact(prices),
        "clobTokenIds": compact([event.yes_token, event.no_token]),
        "active": True,
        "closed": settled,
        "archived": False,
        "restricted": False,
        "enableOrderBook": True,
        "acceptingOrders": event.state == "active",
        "negRisk": event.neg_risk,
        "negRiskOther": False,
        "groupItemTitle": event.group_title,
        "events": [_gamma_event(event)],
        "orderPriceMinTickSize": Number(plain(event.polymarket_grid, 4)),
        "orderMinSize": Number(MIN_ORDER_SIZE),
        "feesEnabled": True,
        "feeType": "sim",
        "feeSchedule": {
            "rate": Number(event.fee_rate),
            "exponent": 1,
            "takerOnly": True,
            "rebateRate": Number("0.25"),
        },
        "makerBaseFee": 1000,
        "takerBaseFee": 1000,
        "umaResolutionStatus": uma,
        "umaResolutionStatuses": compact([uma] if uma else []),
    }
    if settled:
        market["closedTime"] = utc_seconds(event.settled_ms)
    if bid is not None and ask is not None:
        market |= {
            "bestBid": Number(plain(bid, 4)),
            "bestAsk": Number(plain(ask, 4)),
            "spread": Number(plain(ask - bid, 4)),
        }
    return market


def _gamma_event(event: Listing) -> dict[str, Any]:
    """The event that a market belongs to; nobody may add outcomes to one of the lab's."""
    name = event.id.rsplit("-", 1)[0] if event.group_title else event.id
    return {
        "slug": name,
        "ticker": name,
        "negRisk": event.neg_risk,
        "enableNegRisk": event.neg_risk,
        "negRiskAugmented": False,
    }


def _clob_market(event: Listing) -> dict[str, Any]:
    return {
        "gst": None,
        "r": {},
        "c": event.condition,
        "t": [{"t": event.yes_token, "o": "Yes"}, {"t": event.no_token, "o": "No"}],
        "mos": Number(MIN_ORDER_SIZE),
        "mts": Number(plain(event.polymarket_grid, 4)),
        "mbf": 1000,
        "tbf": 1000,
        "nr": event.neg_risk,
        "fd": {"r": Number(event.fee_rate), "e": 1, "to": True},
    }


ROUTERS: dict[str, Callable[[str, Query, MarketModel, int], Answer]] = {
    "kalshi": _kalshi,
    "polymarket": _polymarket,
    "kraken": rest_spot.kraken,
    "coinbase": rest_spot.coinbase,
}
