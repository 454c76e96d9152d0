"""Canned: pictures of a run made by hand, with every sign and warning; no memory, no clock.

In: nothing. Out: `Snapshot`s that are the same each time, and a source that hands them out. Used by the tests
of the app and of its pictures. The numbers are those of the design's drawings where it has them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboard.app import ParallaxApp
from dashboard.event_views import (
    CurveView,
    EdgeView,
    EventDetail,
    EventView,
    LadderView,
    LegView,
    LineView,
    ListedEvents,
)
from dashboard.log_tail import LogTail
from dashboard.snapshot import (
    PositionLeg,
    PositionView,
    RunView,
    Snapshot,
    VenueView,
    WorkerView,
)
from pipeline.clock import ManualClock
from pipeline.logs import log_directory
from pipeline.model import (
    Action,
    BookFlag,
    BookState,
    Confidence,
    ConnectionState,
    Level,
    MarketResult,
    MarketStatus,
    Reason,
    to_units,
)
from pipeline.model_orders import OrderState
from shm import records as rec

MS, S = 10**6, 10**9
USD = 10**6
NOW_NS = 10**13
# 2026-01-06 14:02:51.204 UTC.
WALL_NS = 1_767_708_171_204 * MS
HOUR_S, DAY_S = 3600, 86400
SCALES = {"kalshi": (6, 2), "polymarket": (6, 6), "kraken": (2, 8), "coinbase": (8, 8), "bitstamp": (2, 8)}
NAMES = {"K": "kalshi", "P": "polymarket", "Kr": "kraken", "C": "coinbase", "B": "bitstamp"}
ENDS = {"15m": 15 * 60, "2h": 2 * HOUR_S, "9d": 9 * DAY_S, "": 0}


# -- markets and edges ------------------------------------------------------------------------------------


def leg(
    venue: str,
    market: str,
    bid: str = "",
    ask: str = "",
    age_s: float | None = 0.1,
    state: BookState = BookState.LIVE,
    status: MarketStatus = MarketStatus.OPEN,
    result: MarketResult = MarketResult.NONE,
) -> LegView:
    """One market; `bid` and `ask` are "price x size", "" for an empty side."""
    venue = NAMES[venue]
    prices, sizes = SCALES[venue]
    return LegView(
        venue,
        market,
        state,
        _level(bid, prices, sizes),
        _level(ask, prices, sizes),
        prices,
        sizes,
        None if age_s is None else round(age_s * S),
        status,
        result,
        BookFlag.SIM,
    )


def _level(text: str, prices: int, sizes: int) -> Level | None:
    if not text:
        return None
    price, size = text.split(" x ")
    return to_units(price, prices), to_units(size, sizes)


def edge(
    way: str,
    edge_bp: int,
    reason: Reason = Reason.NONE,
    *,
    confidence: Confidence = Confidence.HIGH,
    has_numbers: bool = True,
    value: float = 0,
    limit: float = 0,
    race: tuple[int, int] = (820_000, 37),
) -> EdgeView:
    """One direction; every part of the waterfall follows from the edge: gross - depth - fees = net."""
    buy, sell = way.split(">")
    if not edge_bp and not has_numbers:
        race = (0, 0)
    cash = 18 * USD
    net = edge_bp * cash // 10_000
    depth, fee_buy, fee_sell = 20_000, 120_000, 94_000
    gross = net + depth + fee_buy + fee_sell
    return EdgeView(
        buy_venue=NAMES[buy],
        sell_venue=NAMES[sell],
        has_numbers=has_numbers,
        edge_bp=edge_bp,
        gross_bp=gross * 10_000 // cash,
        reason=int(reason),
        value_micros=round(value * USD),
        limit_micros=round(limit * USD),
        confidence=int(confidence),
        size_units=29_00,
        size_decimals=2,
        age_ns=40 * MS,
        net_micros=net,
        cash_micros=cash,
        annual_bp=4892 if edge_bp > 0 else 0,
        race_ppm=race[0],
        race_count=race[1],
        gross_micros=gross,
        depth_micros=depth,
        fee_buy_micros=fee_buy,
        fee_sell_micros=fee_sell,
        leg_risk_micros=31_000,
        lock_up_micros=4_000,
        mismatch_ppm=1_500,
        life_ns=1_250 * MS if edge_bp > 0 else None,
    )


def pair(
    name: str,
    title: str,
    first: LegView,
    second: LegView,
    to: EdgeView | None,
    fro: EdgeView | None,
    *,
    closes: str = "15m",
    kind: str = "binary",
) -> EventView:
    """One event on two venues."""
    close = WALL_NS + ENDS[closes] * S if ENDS[closes] else 0
    return EventView(name, title, kind, close, (first, second), (to, fro))


def _no(way: str, reason: Reason) -> EdgeView:
    return edge(way, 0, reason, has_numbers=False)


def _priced() -> list[EventView]:
    """Pairs whose prices may be believed."""
    small, gone = Reason.EDGE_TOO_SMALL, Reason.NO_EDGE
    medium, low = Confidence.MEDIUM, Confidence.LOW
    return [
        pair(
            "btc-97k",
            "Bitcoin above 97,000 at 14:15",
            leg("K", "KXBTC-26JAN06-97K", "0.611 x 680", "0.621 x 687", 0.1),
            leg("P", "770110", "0.634 x 566", "0.644 x 441", 0.3),
            edge("K>P", 95),
            edge("P>K", -265, gone, confidence=low),
        ),
        pair(
            "fed-hold",
            "Fed holds in January",
            leg("K", "KXFED-26JAN-HOLD", "0.716 x 382", "0.726 x 395", 0.4),
            leg("P", "770111", "0.735 x 60", "0.745 x 695", 0.1),
            edge("K>P", 42, small, confidence=medium, value=42, limit=50),
            edge("P>K", -325, gone, confidence=low),
            closes="9d",
        ),
        pair(
            "nfl-kc-win",
            "Kansas City wins",
            leg("K", "KXNFL-KC-WIN", "0.34 x 402", "0.35 x 113", 0.2),
            leg("P", "770112", "0.331 x 756", "0.336 x 599", 0.2),
            edge("K>P", -225, gone, confidence=low),
            edge("P>K", 312, confidence=low, race=(500_000, 0)),
            closes="2h",
        ),
        pair(
            "cpi-0.3",
            "CPI at 0.3 % or more",
            leg("K", "KXCPI-26JAN-0.3", "0.291 x 20", "0.301 x 763", 0.0),
            leg("P", "770113", "0.312 x 451", "0.322 x 712", 7.3),
            edge("K>P", 75, Reason.NONE, confidence=medium),
            edge("P>K", -110, gone, confidence=low),
            closes="9d",
        ),
        pair(
            "rain-nyc",
            "Rain in New York today",
            leg("K", "KXRAIN-NYC-JAN", "0.469 x 416", "0.479 x 812", 0.1),
            leg("P", "770114", "0.474 x 71", "0.484 x 392", 41.0, BookState.QUIET),
            edge("K>P", -85, Reason.BOOK_QUIET, confidence=low),
            edge("P>K", -185, Reason.BOOK_QUIET, confidence=low),
            closes="2h",
        ),
        pair(
            "new-fees",
            "A market whose fee nobody knows",
            leg("K", "KXNEW-1", "0.41 x 100", "0.42 x 100", 0.1),
            leg("P", "770115", "0.45 x 100", "0.46 x 100", 0.1),
            _no("K>P", Reason.FEE_UNKNOWN),
            _no("P>K", Reason.FEE_UNKNOWN),
        ),
        pair(
            "gas-thin",
            "Gas above $3",
            leg("K", "KXGAS-26JAN", "0.445 x 554", "0.455 x 501", 0.5),
            leg("P", "770116", "", "0.46 x 12", 0.4),
            _no("K>P", Reason.ONE_SIDED),
            edge("P>K", -150, gone, confidence=low),
        ),
    ]


def _doubtful() -> list[EventView]:
    """Pairs with a book that must not be believed, or a market that is over."""
    gap, crossed, empty = BookState.GAP, BookState.CROSSED, BookState.EMPTY
    return [
        pair(
            "snow-gap",
            "A message was lost",
            leg("K", "KXSNOW-1", "0.3 x 50", "0.31 x 50", 1.2, gap),
            leg("P", "770117", "0.32 x 50", "0.33 x 50", 0.2),
            _no("K>P", Reason.BOOK_GAP),
            _no("P>K", Reason.BOOK_GAP),
        ),
        pair(
            "wind-crossed",
            "Bid over ask",
            leg("K", "KXWIND-1", "0.5 x 50", "0.51 x 50", 0.2),
            leg("P", "770118", "0.55 x 9", "0.54 x 9", 0.2, crossed),
            _no("K>P", Reason.BOOK_CROSSED),
            _no("P>K", Reason.BOOK_CROSSED),
        ),
        pair(
            "fog-empty",
            "No book yet",
            leg("K", "KXFOG-1", age_s=None, state=empty),
            leg("P", "770119", "0.2 x 5", "0.21 x 5", 0.2),
            _no("K>P", Reason.BOOK_EMPTY),
            _no("P>K", Reason.BOOK_EMPTY),
        ),
        pair(
            "oscar-over",
            "Best picture, settled",
            leg(
                "K",
                "KXOSCAR-BP",
                "0.99 x 5",
                "1 x 5",
                900,
                status=MarketStatus.SETTLED,
                result=MarketResult.YES,
            ),
            leg("P", "770120", "0.985 x 5", "0.999 x 5", 30, status=MarketStatus.CLOSED),
            _no("K>P", Reason.MARKET_CLOSED),
            _no("P>K", Reason.MARKET_CLOSED),
        ),
        pair(
            "btc-spot",
            "Bitcoin in dollars",
            leg("Kr", "BTC/USD", "97123.4 x 0.51234567", "97124.1 x 1.25", 0.2),
            leg("C", "BTC-USD", "97125.01 x 0.2", "97125.99 x 12345.678", 12.4, BookState.DEAD),
            _no("Kr>C", Reason.BOOK_DEAD),
            _no("C>Kr", Reason.BOOK_DEAD),
            closes="",
            kind="spot",
        ),
        pair(
            "eth-spot",
            "Ether in dollars",
            leg("Kr", "ETH/USD", "3391.2 x 41", "3391.9 x 3", 0.2),
            leg("B", "ETH/USD", "3391 x 4", "3392 x 1", 9.1, BookState.STALE),
            _no("Kr>B", Reason.BOOK_STALE),
            _no("B>Kr", Reason.BOOK_STALE),
            closes="",
            kind="spot",
        ),
    ]


def line(
    name: str,
    kind: str,
    legs: tuple[LegView, ...],
    deals: tuple[tuple[str, str], ...],
    found: EdgeView,
    *,
    count: int = 2,
    odds: tuple[int, int, int] | None = None,
) -> LineView:
    """One direction that is no pair of venues to and fro."""
    return LineView(
        name, f"{name} as {kind}", kind, WALL_NS + 2 * HOUR_S * S, count, legs, deals, found, odds
    )


def _lines() -> list[LineView]:
    """A direction of every other kind."""
    yes, no = ("buy", "yes"), ("buy", "no")
    first = leg("P", "770121", "0.44 x 900", "0.45 x 900", 0.2)
    second = leg("P", "770122", "0.53 x 900", "0.54 x 900", 0.2)
    there = leg("K", "KXETH-3400", "0.81 x 875", "0.82 x 754", 0.2)
    medium = Confidence.MEDIUM
    return [
        line("tokens", "complement", (first, second), (yes, yes), edge("P>P", 70, confidence=medium)),
        line("winner", "basket", (first, second), (yes, yes), edge("P>P", 33, Reason.TOO_MANY_LEGS), count=4),
        line("implied", "implication", (there, second), (yes, no), edge("K>P", 51, Reason.RULES_CHANGED)),
        line("strikes", "ladder", (there, first), (yes, no), edge("K>P", -80, Reason.NO_EDGE)),
        line(
            "eth-asked",
            "model",
            (there,),
            (yes,),
            edge("K>K", 900, Reason.WATCH_ONLY),
            count=1,
            odds=(550_000, 612_000, 660_000),
        ),
        line("btc-97k", "close", (there, first), (("sell", "yes"), ("sell", "no")), edge("K>P", 33)),
    ]


# -- venues and workers -----------------------------------------------------------------------------------


def venue(name: str, rate: float, books: int, **more: object) -> VenueView:
    """A venue that is well, but for `more`."""
    well = VenueView(
        name=name,
        alive=True,
        connection=ConnectionState.UP,
        connections=2,
        beat_age_ns=60 * MS,
        proof_age_ns=80 * MS,
        silent=False,
        rate=rate,
        frames=round(rate * 8000),
        books=books,
        live_books=books,
        gaps=0,
        bad_frames=0,
        reconnects=0,
        simulated=True,
        witnessed_ns=8 * S,
        flags=BookFlag.SIM,
        subscriptions=books,
        lag_ns=(18 * MS, 64 * MS),
        ping_ns=11 * MS,
        rates=tuple(rate * (0.4 + 0.1 * (second * 7 % 11)) for second in range(60)),
    )
    return replace(well, **more)


def _venues() -> tuple[VenueView, ...]:
    up = ConnectionState.UP
    return (
        venue("kalshi", 842.0, 48),
        venue(
            "polymarket",
            1204.0,
            48,
            live_books=45,
            gaps=3,
            bad_frames=2,
            reconnects=1,
            lag_ns=(-5 * MS, 120 * MS),
        ),
        venue("kraken", 395.0, 2, ping_ns=None, witnessed_ns=None, flags=BookFlag.SIM | BookFlag.UNVERIFIED),
        venue(
            "coinbase",
            0.0,
            2,
            alive=False,
            connection=up,
            live_books=0,
            beat_age_ns=12 * S,
            proof_age_ns=12 * S,
            lag_ns=None,
            ping_ns=None,
            rates=(21.0, 20.0, 19.0, 0.0, 0.0),
        ),
        venue(
            "bitstamp",
            0.0,
            1,
            connection=ConnectionState.BACKOFF,
            connections=1,
            live_books=0,
            silent=True,
            proof_age_ns=9 * S,
            reconnects=4,
            subscriptions=0,
            lag_ns=None,
            ping_ns=None,
            rates=(),
        ),
    )


def worker(name: str, pid: int, state: str = "running", **more: object) -> WorkerView:
    """A worker that is well, but for `more`."""
    well = WorkerView(
        name,
        pid,
        state,
        fresh=state == "running",
        up_ns=(2 * HOUR_S + 14 * 60 + 8) * S,
        restarts=0,
        beat_age_ns=60 * MS,
        cpu_permille=112,
        rss_bytes=61 << 20,
        descriptors=23,
        rate=842.0,
        rate_word="msg",
    )
    return replace(well, **more)


def _unmeasured(beat_age_s: float | None) -> dict[str, object]:
    age_ns = None if beat_age_s is None else round(beat_age_s * S)
    return {"beat_age_ns": age_ns, "cpu_permille": None, "rss_bytes": None, "descriptors": None, "rate": None}


def _workers() -> tuple[WorkerView, ...]:
    errors = (
        rec.ErrorRow(
            "polymarket sent a best price that is not on its book: 770113",
            3,
            WALL_NS - 60 * S,
            WALL_NS - 8 * S,
        ),
        rec.ErrorRow("connection reset by peer", 1, WALL_NS - 600 * S, WALL_NS - 600 * S),
    )
    down = {"up_ns": 0}
    return (
        worker("supervisor", 4200, cpu_permille=4, rate=None, rate_word="", rss_bytes=38 << 20),
        worker("lab", 4210, cpu_permille=310, rate=2441.0, rate_word="msg"),
        worker("feed-kalshi", 4211),
        worker(
            "feed-polymarket",
            4298,
            up_ns=692 * S,
            restarts=1,
            exits=1,
            exit_text="killed by SIGKILL",
            rate=1204.0,
            cpu_permille=138,
            errors=errors,
        ),
        worker("feed-kraken", 4213, rate=395.0, cpu_permille=60),
        worker(
            "feed-coinbase",
            0,
            "backoff",
            restarts=4,
            exits=4,
            exit_text="exit 1",
            **{**_unmeasured(12.0), **down},
        ),
        worker("feed-bitstamp", 4215, "no beat", **_unmeasured(1.4)),
        worker("scanner", 4216, rate=1980.0, rate_word="look", cpu_permille=215),
        worker("trader", 4217, rate=0.3, rate_word="decision", cpu_permille=21),
        worker("paper", 4218, "hung", **_unmeasured(3.2)),
        worker(
            "observer",
            0,
            "flapping",
            restarts=5,
            exits=6,
            exit_text="killed by SIGSEGV",
            **{**_unmeasured(None), **down},
        ),
    )


# -- the account ------------------------------------------------------------------------------------------


def decision(
    sequence: int,
    event_id: str,
    action: Action,
    reason: Reason = Reason.NONE,
    *,
    edge_bp: int = 95,
    cash: float = 0.0,
    net: float = 0.0,
    value: float = 0.0,
    limit: float = 0.0,
    way: str = "K>P",
    fill_ms: int = 0,
    confidence: Confidence = Confidence.HIGH,
    kind: str = "binary",
    mode: str = "taker",
) -> rec.DecisionRow:
    """One decision, three seconds after the one before it."""
    buy, sell = way.split(">")
    socket_ns = NOW_NS - (80 - sequence) * 3 * S
    cash_micros, net_micros = round(cash * USD), round(net * USD)
    fee_buy, fee_sell, depth = cash_micros // 80, cash_micros // 100, cash_micros // 400
    priced = bool(cash_micros)
    return rec.DECISION.empty()._replace(
        sequence=sequence,
        wall_ns=WALL_NS - (80 - sequence) * 3 * S,
        event_id=event_id,
        kind=kind,
        mode=mode,
        buy_venue=NAMES[buy],
        sell_venue=NAMES[sell],
        action=int(action),
        reason=int(reason),
        value_micros=round(value * USD),
        limit_micros=round(limit * USD),
        size_units=29_00 if priced else 0,
        size_decimals=2,
        edge_bp=edge_bp,
        last_look_bp=edge_bp - 4,
        net_micros=net_micros,
        cash_micros=cash_micros,
        confidence=int(confidence),
        race_ppm=820_000,
        socket_ns=socket_ns,
        book_ns=socket_ns + 60_000,
        scan_ns=socket_ns + 400_000,
        send_ns=socket_ns + 460_000,
        receive_ns=socket_ns + 700_000,
        decide_ns=socket_ns + 1_100_000,
        intent_ns=socket_ns + 1_900_000 if fill_ms else 0,
        order_ns=socket_ns + 2_300_000 if fill_ms else 0,
        fill_ns=socket_ns + fill_ms * MS if fill_ms else 0,
        gross_micros=net_micros + fee_buy + fee_sell + depth if priced else 0,
        depth_micros=depth,
        fee_buy_micros=fee_buy,
        fee_sell_micros=fee_sell,
        leg_risk_micros=31_000 if priced else 0,
        lock_up_micros=4_000 if priced else 0,
        kelly_ppm=9_000 if priced else 0,
        wanted_micros=90 * USD if priced else 0,
        trade_id=f"t-{sequence}" if fill_ms else "",
    )


def _decisions() -> tuple[rec.DecisionRow, ...]:
    """One of every action, newest first, with reasons of every unit."""
    medium, low = Confidence.MEDIUM, Confidence.LOW
    return (
        decision(80, "btc-97k", Action.EXECUTED, cash=18.0, net=0.17, fill_ms=41),
        decision(79, "fed-hold", Action.APPROVED, edge_bp=55, cash=9.0, net=0.05, confidence=medium),
        decision(
            78,
            "cpi-0.3",
            Action.REJECTED,
            Reason.BOOK_TOO_OLD,
            edge_bp=75,
            value=7300,
            limit=5000,
            confidence=low,
        ),
        decision(77, "nfl-kc-win", Action.DETECTED, edge_bp=45, way="P>K"),
        decision(
            76,
            "rain-nyc",
            Action.UNHEDGED,
            Reason.UNHEDGED_LEG,
            cash=7.5,
            value=5,
            fill_ms=38,
            confidence=medium,
        ),
        decision(75, "gas-thin", Action.UNWOUND, edge_bp=61, cash=6.0, net=-0.31, fill_ms=1200),
        decision(
            74,
            "snow-gap",
            Action.WITHDRAWN,
            Reason.QUOTE_MOVED,
            edge_bp=48,
            cash=9.0,
            way="P>K",
            mode="maker_hedge",
        ),
        decision(73, "btc-97k", Action.REJECTED, Reason.EVENT_EXPOSURE, edge_bp=51, value=52, limit=50),
        decision(
            72,
            "fed-hold",
            Action.REJECTED,
            Reason.EDGE_TOO_SMALL,
            edge_bp=42,
            value=42,
            limit=50,
            confidence=medium,
        ),
        decision(
            71,
            "tokens",
            Action.EXECUTED,
            edge_bp=70,
            cash=12.0,
            net=0.08,
            way="P>P",
            fill_ms=55,
            kind="complement",
        ),
        decision(
            70, "nfl-kc-win", Action.REJECTED, Reason.VENUE_CASH, edge_bp=63, value=120, limit=80, way="P>K"
        ),
        decision(
            69, "winner", Action.REJECTED, Reason.TOO_MANY_LEGS, value=4, limit=2, way="P>P", kind="basket"
        ),
    )


def _outcome_row(
    event: str, venue_name: str, market: str, outcome: str, units: int, marked: int
) -> rec.PositionRow:
    return rec.POSITION.empty()._replace(
        event_id=event,
        title=event,
        venue=NAMES[venue_name],
        market=market,
        outcome=outcome,
        units=units,
        size_decimals=2,
        cost_micros=units * 6_150,
        fees_micros=units * 90,
        average_micros=615_000,
        mark_micros=units * 6_210,
        unrealised_micros=units * 60,
        marked=marked,
        opened_wall_ns=WALL_NS - 600 * S,
    )


def position(
    event: str,
    held: dict[str, int],
    *,
    net: int = 0,
    gross: float,
    unrealised: float | None,
    band: int,
    state: int = 0,
    closes: str = "2h",
) -> PositionView:
    """What is held of one event, in hundredths of a contract by venue; `state` as in EventPositionRow."""
    marked = unrealised is not None
    rows = tuple(
        _outcome_row(event, venue_name, f"m-{event}", "yes" if units > 0 else "no", abs(units), int(marked))
        for venue_name, units in held.items()
    )
    total = rec.EVENT_POSITION.empty()._replace(
        event_id=event,
        title=event,
        kind="binary",
        hedged_units=min(map(abs, held.values())) if len(held) > 1 else 0,
        net_units=net,
        size_decimals=2,
        gross_micros=round(gross * USD),
        net_exposure_micros=abs(net) * 6_150,
        locked_micros=410_000 if not net else 0,
        unrealised_micros=round((unrealised or 0) * USD),
        marked=int(marked),
        fees_micros=90_000,
        band=band,
        state=state,
        close_wall_ns=WALL_NS + ENDS[closes] * S,
        opened_wall_ns=WALL_NS - 600 * S,
    )
    return PositionView(
        event_id=event,
        title=event,
        legs=tuple(PositionLeg(NAMES[venue_name], units) for venue_name, units in held.items()),
        net_units=net,
        size_decimals=2,
        cost_micros=round(gross * USD),
        unrealised_micros=None if unrealised is None else round(unrealised * USD),
        total=total,
        outcomes=rows,
    )


def _positions() -> tuple[PositionView, ...]:
    return (
        position("btc-97k", {"K": 20_00, "P": -20_00}, gross=18.0, unrealised=0.12, band=0),
        position(
            "fed-hold", {"K": 32_00, "P": -32_00}, gross=28.4, unrealised=0.05, band=1, state=1, closes="9d"
        ),
        position("nfl-kc-win", {"K": -90_00, "P": 90_00}, gross=61.5, unrealised=None, band=2),
        position("rain-nyc", {"P": 5_00}, net=5_00, gross=3.05, unrealised=-0.15, band=0, state=2),
    )


def _cash() -> tuple[rec.CashRow, ...]:
    free, last = WALL_NS + 2 * HOUR_S * S, WALL_NS + 9 * DAY_S * S
    return (
        rec.CashRow("kalshi", 500 * USD, 433_250_000, 55_300_000, 9 * USD, 0, 0, free, last),
        rec.CashRow("polymarket", 500 * USD, 61_000_000, 439 * USD, 0, 14, 120 * USD, free, last),
        rec.CashRow("kraken", 500 * USD, 500 * USD, 0, 0),
        rec.CashRow("coinbase", 500 * USD, 500 * USD, 0, 0),
        rec.CashRow("bitstamp", 500 * USD, 500 * USD, 0, 0),
    )


def summary(**more: int | str) -> rec.SummaryRow:
    """The trader's totals, but for `more`."""
    row = rec.SUMMARY.empty()._replace(
        mode="taker",
        trades=31,
        closed_trades=31,
        opportunities=148,
        rejected=87,
        unhedged=1,
        realised_micros=12_460_000,
        unrealised_micros=20_000,
        fees_micros=3_120_000,
        day_pnl_micros=12_480_000,
        day_known=1,
        exposure_micros=38_200_000,
        net_exposure_micros=3_050_000,
        locked_profit_micros=1_230_000,
        consecutive_losses=1,
        armed=0,
        open_orders=2,
        unknown_orders=1,
        quotes=1,
        updated_ns=NOW_NS - 90 * MS,
        approved=61,
        executed=29,
        max_drawdown_micros=4_100_000,
        drawdown_micros=600_000,
        peak_micros=2_513_080_000,
        leg_gap_p50_ns=41 * MS,
        leg_gap_p99_ns=212 * MS,
        fill_rate_ppm=940_000,
    )
    return row._replace(**more)


def _kelly() -> rec.KellyRow:
    """31 trades, 22 won: f* = p - q/b = 34.1 %, half of it capped at 10 %."""
    return rec.KELLY.empty()._replace(
        total_trades=31,
        winning_trades=22,
        losing_trades=9,
        win_rate_ppm=709_677,
        avg_win_micros=1_180_000,
        avg_loss_micros=1_500_000,
        profit_factor_ppm=1_922_963,
        largest_win_micros=3_400_000,
        largest_loss_micros=2_900_000,
        consecutive_losses=1,
        max_consecutive_losses=3,
        recent_win_rate_ppm=600_000,
        trend=-1,
        kelly_ppm=340_620,
        safe_ppm=100_000,
        confidence_ppm=1_000_000,
        prior=0,
        recommended_micros=1_000 * USD,
        capital_micros=10_000 * USD,
        mode="half",
        computed_wall_ns=WALL_NS - 30 * S,
        odds_ppm=786_666,
        mode_ppm=170_310,
        cap_ppm=100_000,
        order_micros=50 * USD,
    )


def _outcomes() -> tuple[rec.OutcomeRow, ...]:
    rows = []
    for number in range(12):
        won = number % 3 != 1
        rows.append(
            rec.OUTCOME.empty()._replace(
                sequence=31 - number,
                trade_id=f"t-{31 - number}",
                event_id=("btc-97k", "fed-hold", "tokens")[number % 3],
                mode="taker",
                outcome=int(Action.EXECUTED if won else Action.UNWOUND),
                predicted_bp=95 - 3 * number,
                realised_bp=88 - 3 * number if won else -140,
                predicted_micros=170_000,
                realised_micros=158_000 if won else -252_000,
                race_ppm=820_000,
                filled_ppm=1_000_000 if won else 500_000,
                slippage_micros=2_000 if won else 41_000,
                latency_predicted_ns=40 * MS,
                latency_ns=(41 + number) * MS,
                wall_ns=WALL_NS - number * 240 * S,
            )
        )
    return tuple(rows)


def _equity() -> tuple[rec.EquityRow, ...]:
    """Two hours, a point a minute, with a way down in the middle."""
    rows = []
    for minute in range(120):
        worth = 2_500 * USD + minute * 110_000 - (4_100_000 if 60 <= minute < 70 else 0)
        wall_ns = WALL_NS - (120 - minute) * 60 * S
        realised = worth - 2_500 * USD
        rows.append(rec.EquityRow(minute + 1, wall_ns, worth, realised, 20_000, 38_200_000))
    return tuple(rows)


def _orders() -> tuple[rec.OrderRow, ...]:
    base = rec.ORDER.empty()._replace(
        event_id="fed-hold",
        market="KXFED-26JAN-HOLD",
        outcome="yes",
        action="buy",
        price_decimals=6,
        price_ticks=726_000,
        size_units=16_00,
        size_decimals=2,
        sent_ns=NOW_NS - 300 * MS,
        purpose="entry",
    )
    return (
        base._replace(order_id="o-61", venue="kalshi", style="taker", state=int(OrderState.ACCEPTED)),
        base._replace(
            order_id="o-62",
            venue="polymarket",
            market="770111",
            outcome="no",
            style="maker",
            purpose="quote",
            price_ticks=265_000,
            filled_units=4_00,
            state=int(OrderState.PARTIAL),
            expires_ns=NOW_NS + 2 * S,
        ),
        base._replace(
            order_id="o-60",
            venue="kalshi",
            style="taker",
            state=int(OrderState.UNKNOWN),
            sent_ns=NOW_NS - 40 * S,
        ),
    )


def _alerts() -> tuple[rec.AlertRow, ...]:
    return (
        rec.AlertRow(5, WALL_NS - 12 * S, "feed_dead", "coinbase", "feed-coinbase does not beat", 0, 1),
        rec.AlertRow(4, WALL_NS - 20 * S, "unhedged", "rain-nyc", "one leg of rain-nyc is open", 0, 2),
        rec.AlertRow(3, WALL_NS - 60 * S, "large_edge", "nfl-kc-win", "an edge of 312 bp", 0, 3),
        rec.AlertRow(2, WALL_NS - 90 * S, "venue_silent", "bitstamp", "bitstamp speaks again", 1, 4),
        rec.AlertRow(1, WALL_NS - 99 * S, "venue_silent", "bitstamp", "nothing from bitstamp for 30 s", 0, 0),
    )


def _lives() -> tuple[rec.LifeRow, ...]:
    def life(
        sequence: int, event: str, ago_s: int, lived_ms: int, best_bp: int, censored: int = 0
    ) -> rec.LifeRow:
        ended = NOW_NS - ago_s * S
        return rec.LIFE.empty()._replace(
            sequence=sequence,
            event_id=event,
            kind="binary",
            buy_venue="kalshi",
            sell_venue="polymarket",
            born_ns=ended - lived_ms * MS,
            ended_ns=ended,
            censored=censored,
            reason=int(Reason.NO_EDGE),
            best_edge_bp=best_bp,
            best_net_micros=best_bp * 1800,
            size_units=29_00,
            size_decimals=2,
        )

    return (
        life(9, "btc-97k", 4, 1250, 95),
        life(8, "btc-97k", 31, 400, 61),
        life(7, "fed-hold", 44, 12_000, 58),
        life(6, "btc-97k", 61, 90, 55, censored=1),
    )


# -- whole pictures ---------------------------------------------------------------------------------------

_UP_NS = (2 * HOUR_S + 14 * 60 + 9) * S
_RUN = RunView(
    seen=True,
    alive=True,
    profile="demo",
    mode="paper",
    simulated=True,
    uptime_ns=_UP_NS,
    beat_age_ns=50 * MS,
    pid=4200,
    config_version=3,
    config_hash="c0ffee" * 10,
)


def quiet() -> Snapshot:
    """A run in which little happens: two venues, one event, nothing held, nothing wrong."""
    events = [
        pair(
            "rain-nyc",
            "Rain in New York today",
            leg("K", "KXRAIN-NYC-JAN", "0.469 x 416", "0.479 x 812", 0.1),
            leg("P", "770114", "0.474 x 71", "0.484 x 392", 0.4),
            edge("K>P", -85, Reason.NO_EDGE, confidence=Confidence.LOW),
            edge("P>K", -185, Reason.NO_EDGE, confidence=Confidence.LOW),
        )
    ]
    names = ("supervisor", "lab", "feed-kalshi", "feed-polymarket", "scanner", "trader", "paper", "observer")
    return Snapshot(
        now_ns=NOW_NS,
        wall_ns=WALL_NS,
        run=_RUN,
        venues=(venue("kalshi", 3.0, 1), venue("polymarket", 1.5, 1)),
        events=ListedEvents(events),
        kinds={("rain-nyc", 0): "binary", ("rain-nyc", 1): "binary"},
        scanner_alive=True,
        trader_alive=True,
        cash=(
            rec.CashRow("kalshi", 500 * USD, 500 * USD, 0, 0),
            rec.CashRow("polymarket", 500 * USD, 500 * USD, 0, 0),
        ),
        summary=rec.SUMMARY.empty()._replace(
            mode="taker", day_known=1, updated_ns=NOW_NS - 90 * MS, fill_rate_ppm=-1
        ),
        kelly=rec.KELLY.empty()._replace(
            profit_factor_ppm=-1, prior=1, mode="half", capital_micros=10_000 * USD
        ),
        workers=tuple(worker(name, 4200 + at, rate=None, rate_word="") for at, name in enumerate(names)),
        memory_bytes=2_200_000,
    )


def everything() -> Snapshot:
    """A run like the demo, with every colour, sign and warning of S1 at once."""
    events = [*_priced(), *_doubtful(), *_lines()]
    return Snapshot(
        now_ns=NOW_NS,
        wall_ns=WALL_NS,
        run=_RUN,
        venues=_venues(),
        events=ListedEvents(events),
        kinds={(row.id, side): row.kind for row in reversed(events) for side in (0, 1)},
        singles=(
            leg("K", "KXSINGLE-1", "0.2 x 10", "0.22 x 15", 0.4),
            leg("P", "770999", "0.9 x 10", "0.91 x 15", 6.2),
            leg("C", "SOL-USD", "141.2 x 100", "141.3 x 70", 12.4, BookState.DEAD),
        ),
        scanner_alive=True,
        trader_alive=True,
        decisions=_decisions(),
        positions=_positions(),
        cash=_cash(),
        orders=_orders(),
        outcomes=_outcomes(),
        calibration=rec.CalibrationRow(31, 91_000, 790_000, 830_000, 71, 63, 210_000, 40 * MS, 44 * MS),
        equity=_equity(),
        summary=summary(),
        kelly=_kelly(),
        refusals={
            int(Reason.BOOK_TOO_OLD): 34,
            int(Reason.EDGE_TOO_SMALL): 27,
            int(Reason.EVENT_EXPOSURE): 15,
            int(Reason.VENUE_CASH): 11,
        },
        counters={
            "scanner": {"looks": 9_613_440, "offers": 148, "dropped": 0},
            "trader": {"opportunities": 148, "trades": 31},
            "supervisor": {"restarts": 10},
        },
        alerts=_alerts(),
        lives=_lives(),
        workers=_workers(),
        memory_bytes=2_200_000,
        read_again=12,
    )


def exposed(dollars: float) -> Snapshot:
    """The same with another gross exposure: below $20 it is LOW, to $50 MED, above HIGH."""
    return replace(everything(), summary=summary(exposure_micros=round(dollars * USD)))


def halted() -> Snapshot:
    """Trading is halted, the configuration was refused, and a change of it waits."""
    cause = "UNHEDGED: one leg of rain-nyc is open"
    run = replace(
        _RUN,
        config_problem="config.toml:4: risk.max_evnt_usd: unknown key, did you mean max_event_usd?",
        config_waits="scanner.persist_ms: scanner",
    )
    told = summary(
        halted=1, halt_cause=cause, resolving=2, day_known=0, day_pnl_micros=-3 * USD, halted_wall_ns=WALL_NS
    )
    return replace(everything(), run=run, summary=told)


def stopped() -> Snapshot:
    """The same run, killed twelve seconds ago: nothing may look alive, and every age has grown."""
    seen = everything()
    age_ns = 12 * S
    run = replace(seen.run, alive=False, uptime_ns=0, beat_age_ns=age_ns)
    events = [_dead(seen.events[index]) for index in range(len(seen.events))]
    return replace(
        seen,
        now_ns=NOW_NS + age_ns,
        wall_ns=WALL_NS + age_ns,
        run=run,
        venues=tuple(
            replace(
                one,
                alive=False,
                live_books=0,
                rate=0.0,
                beat_age_ns=age_ns,
                proof_age_ns=age_ns,
                witnessed_ns=None if one.witnessed_ns is None else one.witnessed_ns + age_ns,
                silent=True,
            )
            for one in seen.venues
        ),
        events=ListedEvents(events),
        singles=tuple(_dead_leg(one) for one in seen.singles),
        scanner_alive=False,
        trader_alive=False,
        workers=tuple(
            replace(
                one,
                state="gone",
                fresh=False,
                beat_age_ns=age_ns,
                cpu_permille=None,
                rss_bytes=None,
                rate=None,
            )
            for one in seen.workers
        ),
    )


def _dead_leg(one: LegView) -> LegView:
    return replace(one, state=BookState.DEAD, age_ns=None if one.age_ns is None else one.age_ns + 12 * S)


def _dead(row: EventView | LineView) -> EventView | LineView:
    if isinstance(row, LineView):
        return replace(row, legs=tuple(_dead_leg(one) for one in row.legs))
    return replace(row, legs=(_dead_leg(row.legs[0]), _dead_leg(row.legs[1])))


def waiting() -> Snapshot:
    """There was no run yet in this data directory."""
    return Snapshot(now_ns=NOW_NS, wall_ns=WALL_NS)


def live() -> Snapshot:
    """Real money: the same screens, and no word of it may be missed."""
    seen = quiet()
    venues = tuple(replace(one, simulated=False, flags=BookFlag(0)) for one in seen.venues)
    run = replace(seen.run, simulated=False, mode="live", profile="live")
    return replace(seen, run=run, venues=venues, summary=summary(armed=1, unhedged=0, unknown_orders=0))


def replaying() -> Snapshot:
    """A tape is played, three quarters of the way, at ten times its pace, and paused."""
    seen = quiet()
    flags = BookFlag.REPLAY
    run = replace(seen.run, simulated=False, replay=True, profile="replay")
    tape = rec.ReplayRow(
        tape="tapes/2026-01-05.jsonl.zst",
        first_wall_ns=WALL_NS - DAY_S * S,
        last_wall_ns=WALL_NS - DAY_S * S + 400 * S,
        at_wall_ns=WALL_NS - DAY_S * S + 300 * S,
        frames=30_120,
        total_frames=40_160,
        bad_lines=3,
        speed_ppm=10_000_000,
        state=1,
        order=4,
        problem="",
    )
    venues = tuple(replace(one, simulated=False, flags=flags) for one in seen.venues)
    return replace(seen, run=run, venues=venues, replay=tape)


def detail(picture: Snapshot, key: str) -> EventDetail | None:
    """A row of a picture to full depth: twelve levels a side around its best prices."""
    at = picture.events.find(key)
    if at is None:
        return None
    row = picture.events[at]
    ladders = tuple(LadderView(one, _side(one.bid, -1, one), _side(one.ask, 1, one)) for one in row.legs)
    edges = [row.edge] if isinstance(row, LineView) else [one for one in row.edges if one is not None]
    points = tuple((step * 5_00, 40_000 * step - 2_000 * step * step) for step in range(1, 13))
    curves = [CurveView(one.buy_venue, one.sell_venue, 2, points) for one in edges[:1]]
    curves += [CurveView(one.buy_venue, one.sell_venue, problem="no edge after fees") for one in edges[1:]]
    return EventDetail(
        key,
        row,
        ladders,
        tuple(curves),
        tuple(
            (ago * S, (60 + 35 * (ago % 4) // 3, None if ago % 5 == 0 else -200)) for ago in range(40, 0, -1)
        ),
        tuple(one for one in picture.lives if one.event_id == row.id),
    )


def _side(best: Level | None, way: int, one: LegView) -> tuple[Level, ...]:
    if best is None:
        return ()
    step = 10 ** max(0, one.price_decimals - 2)
    levels = ((best[0] + way * step * depth, best[1] * (depth % 3 + 1)) for depth in range(12))
    return tuple(level for level in levels if level[0] > 0)


class CannedSource:
    """Hands out a picture, another one after `shown` was set; `taken` counts how often it was asked."""

    def __init__(self, shown: Snapshot) -> None:
        self.shown = shown
        self.taken = 0

    def snapshot(self) -> Snapshot:
        """The picture that was put in."""
        self.taken += 1
        return self.shown

    def detail(self, key: str) -> EventDetail | None:
        """A row of it to full depth."""
        return detail(self.shown, key)


def _line(seconds_ago: float, worker: str, level: str, event: str, **fields: object) -> str:
    moment = datetime.fromtimestamp(WALL_NS // MS / 1000 - seconds_ago, UTC)
    head = {
        "time": moment.isoformat(timespec="milliseconds"),
        "level": level,
        "worker": worker,
        "event": event,
    }
    return json.dumps({**head, **fields})


def log_lines() -> dict[str, list[str]]:
    """Lines of every level, of three workers, one of them broken, by worker."""
    trace = "Traceback (most recent call last):\n  File \"books.py\", line 7, in take\nKeyError: 'asks'"
    return {
        "supervisor": [
            _line(8049, "supervisor", "info", "started", version="0.1", profile="demo"),
            _line(
                692,
                "supervisor",
                "warning",
                "worker ended",
                worker_name="feed-polymarket",
                exit="killed by SIGKILL",
            ),
            _line(
                12,
                "supervisor",
                "error",
                "worker ended",
                worker_name="feed-coinbase",
                exit="exit 1",
                failures=4,
            ),
        ],
        "scanner": [
            _line(60 - at, "scanner", "debug" if at % 3 else "info", "looked", at=at) for at in range(40)
        ],
        "feed-polymarket": [
            _line(
                61, "feed-polymarket", "error", "a frame could not be read", market="770113", traceback=trace
            ),
            _line(9, "feed-polymarket", "warning", "gap", market="770117", expected=41, came=43),
            "half a line {",
        ],
    }


def logs_in(data: Path, lines: dict[str, list[str]] | None = None) -> LogTail:
    """The end of logs that are written into a data directory."""
    directory = log_directory(data)
    directory.mkdir(parents=True, exist_ok=True)
    for worker_name, told in (log_lines() if lines is None else lines).items():
        (directory / f"{worker_name}.jsonl").write_text(
            "".join(f"{text}\n" for text in told), encoding="utf-8"
        )
    return LogTail(directory, ManualClock(wall_ns=WALL_NS))


class CannedSupervisor:
    """Notes what it is asked, in `asked`, and answers always the same."""

    def __init__(self, *, done: bool = True, text: str = "done") -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._answer = done, text

    def __call__(self, command: str, args: dict[str, str]) -> tuple[bool, str]:
        self.asked.append((command, args))
        return self._answer


# Pictures come from the tests' own ticks, never from the app's clock.
NEVER_MS = 10**9


def app_of(source: CannedSource, **options: Any) -> ParallaxApp:
    """The app over a picture; it draws anew only when told to."""
    return ParallaxApp(source, **{"refresh_ms": NEVER_MS, **options})


def live_halted() -> Snapshot:
    """Real money, and a halt."""
    seen = live()
    assert seen.summary is not None
    return replace(seen, summary=seen.summary._replace(halted=1, halt_cause="day loss $50.20 > $50.00"))
