"""The public REST of the simulated Kraken and Coinbase, in the venues' own shapes; pure.

In: the path and query of a GET request, the model, the wall time. Out: a status and a JSON value. Used by
`rest.answer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.lab.book import fixed, plain
from pipeline.lab.coinbase import ALIASES
from pipeline.lab.exchange import utc_seconds
from pipeline.lab.kraken import order_minimum
from pipeline.lab.market import MarketModel
from pipeline.lab.spot import SpotBook

Answer = tuple[int, Any]
"""HTTP status and JSON value."""
Query = dict[str, list[str]]

KRAKEN_FEES = (
    (0, "0.40", "0.25"),
    (10_000, "0.35", "0.20"),
    (50_000, "0.24", "0.14"),
    (100_000, "0.22", "0.12"),
    (250_000, "0.20", "0.10"),
    (500_000, "0.18", "0.08"),
    (1_000_000, "0.16", "0.06"),
    (2_500_000, "0.14", "0.04"),
    (5_000_000, "0.12", "0.02"),
    (10_000_000, "0.10", "0.00"),
)
"""30-day volume in USD, taker and maker fee in percent."""


DEPTH_PRICE_DECIMALS, DEPTH_SIZE_DECIMALS = 5, 3
"""Kraken's Depth writes prices with five decimals and volumes with three, whatever the pair has."""


@dataclass(frozen=True)
class Number:
    """A JSON number whose decimals must stay as written: the text goes out bare."""

    text: str


def kraken(path: str, query: Query, model: MarketModel, now_ms: int) -> Answer:
    """Answer as Kraken's public API: always 200, with an error list."""
    name = path.removeprefix("/0/public/")
    if not path.startswith("/0/public/"):
        return 404, {"error": ["EGeneral:Unknown method"]}
    if name == "Time":
        return 200, _kraken_result({"unixtime": now_ms // 1_000, "rfc1123": utc_seconds(now_ms)})
    if name == "SystemStatus":
        return 200, _kraken_result({"status": "online", "timestamp": utc_seconds(now_ms)})
    if name not in ("AssetPairs", "Depth"):
        return 404, {"error": ["EGeneral:Unknown method"]}
    books = [book for (venue, _), book in model.spot_books() if venue == "kraken"]
    asked = [p for text in query.get("pair", []) for p in text.split(",") if p]
    if asked:
        books = [b for b in books if {*kraken_names(b)} & {*asked}]
    if not books or (name == "Depth" and not asked):
        return 200, {"error": ["EQuery:Unknown asset pair"]}
    if name == "AssetPairs":
        return 200, _kraken_result({kraken_names(b)[2]: _asset_pair(b) for b in books})
    count = query.get("count", ["100"])[0]
    depth = int(count) if count.isascii() and count.isdigit() else 100
    return 200, _kraken_result({kraken_names(b)[2]: _depth(b, depth, now_ms) for b in books})


def _kraken_result(result: dict[str, Any]) -> dict[str, Any]:
    return {"error": [], "result": result}


def kraken_names(spot: SpotBook) -> tuple[str, str, str, str]:
    """The names a pair answers to: v2 symbol, altname, REST key, wsname (REST says XBT)."""
    base = spot.venue.market.split("/", maxsplit=1)[0]
    old = {"BTC": "XBT"}.get(base, base)
    return spot.venue.market, f"{old}USD", f"X{old}ZUSD", f"{old}/USD"


def _asset_pair(spot: SpotBook) -> dict[str, Any]:
    symbol, altname, _, wsname = kraken_names(spot)
    base, decimals = symbol.split("/", maxsplit=1)[0], spot.venue.price_decimals
    return {
        "altname": altname,
        "wsname": wsname,
        "aclass_base": "currency",
        "base": f"X{altname[:3]}",
        "aclass_quote": "currency",
        "quote": "ZUSD",
        "pair_decimals": decimals,
        "cost_decimals": 5,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[volume, Number(taker)] for volume, taker, _ in KRAKEN_FEES],
        "fees_maker": [[volume, Number(maker)] for volume, _, maker in KRAKEN_FEES],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": order_minimum(base),
        "costmin": "0.5",
        "tick_size": fixed(1, decimals),
        "status": "online",
    }


def _depth(spot: SpotBook, depth: int, now_ms: int) -> dict[str, Any]:
    book, seconds = spot.book, now_ms // 1_000

    def side(levels: list[tuple[int, int]]) -> list[list[Any]]:
        return [[_price(p), _volume(q), seconds] for p, q in levels]

    def _price(ticks: int) -> str:
        return fixed(ticks * 10 ** (DEPTH_PRICE_DECIMALS - book.price_decimals), DEPTH_PRICE_DECIMALS)

    def _volume(units: int) -> str:
        step = 10 ** (book.size_decimals - DEPTH_SIZE_DECIMALS)
        return fixed((units + step // 2) // step, DEPTH_SIZE_DECIMALS)

    return {"asks": side(book.top("ask", depth)), "bids": side(book.top("bid", depth))}


def coinbase(path: str, query: Query, model: MarketModel, now_ms: int) -> Answer:
    """Answer as Coinbase Advanced's public endpoints."""
    name = path.removeprefix("/api/v3/brokerage")
    if not path.startswith("/api/v3/brokerage"):
        return _coinbase_missing("resource")
    if name == "/time":
        return 200, {
            "iso": utc_seconds(now_ms),
            "epochSeconds": str(now_ms // 1_000),
            "epochMillis": str(now_ms),
        }
    if name == "/market/products":
        books = [book for (venue, _), book in model.spot_books() if venue == "coinbase"]
        return 200, {"products": [_product(b) for b in books], "num_products": len(books)}
    if name.startswith("/market/products/"):
        spot = _coinbase_spot(name.removeprefix("/market/products/"), model)
        return (200, _product(spot)) if spot else _coinbase_missing("product")
    if name == "/market/product_book":
        spot = _coinbase_spot(query.get("product_id", [""])[0], model)
        return (200, _product_book(spot, query, now_ms)) if spot else _coinbase_missing("product")
    return _coinbase_missing("resource")


def _coinbase_spot(product: str, model: MarketModel) -> SpotBook | None:
    return model.spot("coinbase", ALIASES.get(product, product))


def _coinbase_missing(what: str) -> Answer:
    return 404, {"error": "NOT_FOUND", "error_details": f"{what} not found", "message": f"{what} not found"}


def _product(spot: SpotBook) -> dict[str, Any]:
    product = spot.venue.market
    base = product.split("-", maxsplit=1)[0]
    return {
        "product_id": product,
        "price": plain(spot.last_price, 2),
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "price_increment": "0.01",
        "base_min_size": "0.00000001",
        "base_max_size": "3400",
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_name": f"SIM {base}",
        "quote_name": "US Dollar",
        "base_currency_id": base,
        "quote_currency_id": "USD",
        "status": "online",
        "product_type": "SPOT",
        "watched": False,
        "is_disabled": False,
        "new": False,
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "view_only": False,
        "alias": "",
        "alias_to": [f"{base}-USDC"],
        "product_venue": "CBE",
    }


def _product_book(spot: SpotBook, query: Query, now_ms: int) -> dict[str, Any]:
    limit = query.get("limit", ["0"])[0]
    depth = int(limit) if limit.isascii() and limit.isdigit() else 0

    def side(levels: list[tuple[int, int]]) -> list[dict[str, str]]:
        return [{"price": plain(p, 2), "size": plain(q, 8)} for p, q in levels]

    return {
        "pricebook": {
            "product_id": spot.venue.market,
            "bids": side(spot.book.top("bid", depth)),
            "asks": side(spot.book.top("ask", depth)),
            "time": utc_seconds(now_ms),
        }
    }
