"""Tab 3: what is held of each event, orders on their way, and where the money is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.dialogs.confirm import ConfirmScreen
from dashboard.event_screen import EventScreen
from dashboard.snapshot import LimitsView, PositionLeg, Snapshot
from dashboard.widgets.grid import Grid, Sort
from dashboard.widgets.holdings import draw_holding, draw_orders, draw_totals, held_text, holding_rows
from dashboard.widgets.money import draw_money, free_micros, money_title
from dashboard.widgets.panel import ROLES, Line
from pipeline.flatten import FlattenState
from pipeline.model_orders import OrderState
from shm.records import FLATTEN, CashRow
from tests.dashboard.canned import (
    DAY_S,
    USD,
    WALL_NS,
    CannedSource,
    CannedSupervisor,
    S,
    app_of,
    everything,
    position,
    quiet,
    waiting,
)

Drive = Callable[..., None]
Screen = Callable[[ParallaxApp], str]
WIDE, NARROW = (120, 36), (80, 24)


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def rows_of(snapshot: Snapshot, sort: Sort | None = None, width: int = 119) -> list[str]:
    """The rows of the grid as text."""
    rows = holding_rows(snapshot, width)
    lines = rows.arrange(sort or Sort(), "")
    return ["".join(text for text, _ in rows.line(at, width)) for at in lines if at >= 0]


def roles_of(snapshot: Snapshot, row: int) -> dict[str, str]:
    return {text.strip(): role for text, role in holding_rows(snapshot, 119).line(row, 119)}


# -- the grid -----------------------------------------------------------------------------------------------


def test_a_row_says_what_is_held_where_and_what_it_is_worth() -> None:
    """Sizes in YES terms, net, exposure with its word, prices paid and to be had, P&L, locked in, state."""
    lines = rows_of(everything())
    told = "btc-97k K+20 P-20 0 $18.00 LOW K61.5 P61.5 K62.1 P62.1 +$0.12 +$0.41 10m ✓ hedged"
    assert lines[0].split() == told.split()
    assert lines[1].split()[-2:] == ["→", "moving"]
    assert lines[2].split()[3:] == "0 $61.50 HIGH K61.5 P61.5 K-- P-- -- +$0.41 10m ✓ hedged".split()
    assert lines[3].split()[1:4] == ["P+5", "+5", "$3.05"]
    assert lines[3].rstrip().endswith("✗ UNHEDGED")


@pytest.mark.parametrize(
    ("dollars", "word", "role"),
    [(19.99, "LOW", "good"), (20, "MED", "fair"), (50, "MED", "fair"), (50.01, "HIGH", "bad")],
)
def test_exposure_has_a_word_and_a_colour(dollars: float, word: str, role: str) -> None:
    """Below $20 low, to $50 medium, above high."""
    held = position("e", {"K": 1_00, "P": -1_00}, gross=dollars, unrealised=0.0, band=0)
    seen = replace(everything(), positions=(held,))
    assert roles_of(seen, 0)[f"${dollars:.2f} {word}"] == role


def test_what_stands_alone_is_red_and_says_so() -> None:
    """Also before the trader has written its own line of the event: by the sizes."""
    assert roles_of(everything(), 3)["✗ UNHEDGED"] == "bad"
    untold = tuple(replace(one, total=None) for one in everything().positions)
    states = [line.split("m ")[-1].strip() for line in rows_of(replace(everything(), positions=untold))]
    assert states == ["✓ hedged", "✓ hedged", "✓ hedged", "✗ UNHEDGED"]


def test_it_sorts_by_what_people_look_for() -> None:
    """Largest first; what has no number comes last."""
    seen = everything()
    assert rows_of(seen, Sort("exposure"))[0].startswith("nfl-kc-win")
    assert rows_of(seen, Sort("p&l"))[-1].startswith("nfl-kc-win")
    assert rows_of(seen, Sort("state"))[0].startswith("rain-nyc")
    for key in holding_rows(seen, 119).sorts:
        assert len(rows_of(seen, Sort(key, descending=False))) == 4


@pytest.mark.parametrize("width", [69, 79, 119, 200])
def test_rows_are_as_wide_as_the_grid(width: int) -> None:
    """In a narrow one event, sizes, net, exposure, P&L and state are left."""
    heading = "".join(cell.text for cell in holding_rows(everything(), width).heading(0, width))
    assert cell_len(heading) == width
    for name in ("EVENT", "HELD", "NET", "EXPOSURE", "P&L", "STATE"):
        assert name in heading
    assert all(cell_len(line) == width for line in rows_of(everything(), width=width))


def test_titles_stand_where_there_is_room() -> None:
    """Beside the id, which commands take."""
    titled = replace(everything().positions[0], title="Bitcoin above 97,000")
    seen = replace(everything(), positions=(titled,))
    assert rows_of(seen, width=200)[0].startswith("btc-97k  Bitcoin above 97,000")
    assert "Bitcoin" not in rows_of(seen)[0]


def test_several_markets_at_one_venue_have_no_sign() -> None:
    """The number of markets, and the most that is held of one."""
    assert held_text(PositionLeg("kalshi", 20_00, 3), 2) == "K 3×20"
    assert held_text(PositionLeg("kraken", -5, 1), 1) == "Kr-0.5"


def test_nothing_held_and_nothing_known_are_not_the_same() -> None:
    """A trader that holds nothing has said so."""
    assert holding_rows(quiet(), 80).nothing() == "Nothing is held."
    assert "no trader" in holding_rows(waiting(), 80).nothing()


# -- all together -------------------------------------------------------------------------------------------


def test_the_totals_stand_against_their_limits() -> None:
    """At stake, without a hedge, P&L of both kinds, fees, locked in; how many stand alone."""
    limits = LimitsView(100 * USD, 50 * USD, 5, 500, 50, 40 * USD)
    text = text_of(draw_totals(replace(everything(), limits=limits), 200, _compact=False))
    for told in (
        "gross $38.20 MED of $100.00",
        "without a hedge $3.05",
        "unrealised +$0.02",
        "realised +$12.46",
        "fees so far $3.12",
        "locked in +$1.23",
        "an event at most $40.00",
        "✗ 1 UNHEDGED",
    ):
        assert told in text
    assert "no account yet" in text_of(draw_totals(waiting(), 80, _compact=False))


def test_one_event_is_told_in_full() -> None:
    """Each outcome with what it cost and would fetch; a book that is gone has no price."""
    text = text_of(draw_holding(everything().positions[0], everything(), 100))
    assert "kalshi m-btc-97k yes 20  at 61.5  now 62.1  cost $12.30  fetches $12.42" in text
    assert "fees so far $0.18" in text
    assert "closes in 2h" in text
    assert "fetches no live book" in text_of(draw_holding(everything().positions[2], everything(), 100))


def test_orders_on_their_way_the_unknown_first() -> None:
    """Venue, what, price, filled of size, age, state in a word."""
    lines = text_of(draw_orders(everything(), 60, _compact=False)).splitlines()
    assert lines[1].split() == "fed-hold K buy yes 72.6 0/16 40s ⚠ UNKNOWN".split()
    assert lines[3].split() == "fed-hold P buy no 26.5 4/16 0.3s part filled".split()
    assert "no order" in text_of(draw_orders(quiet(), 60, _compact=False))


@pytest.mark.parametrize("state", list(OrderState))
def test_every_state_of_an_order_has_a_word(state: OrderState) -> None:
    """None is a question mark, and only a number that nobody knows is one."""
    one = everything().orders[0]
    known = replace(everything(), orders=(one._replace(state=int(state)),))
    assert "?" not in text_of(draw_orders(known, 80, _compact=False))
    unknown = replace(everything(), orders=(one._replace(state=99),))
    assert "?" in text_of(draw_orders(unknown, 80, _compact=False))


@pytest.mark.parametrize("state", [state for state in FlattenState if state])
def test_what_became_of_a_flatten_is_told(state: FlattenState) -> None:
    """Who wanted it, how far it came, and in the trader's own words why not further."""
    row = FLATTEN.empty()._replace(
        number=1, event_id="rain-nyc", who="you", state=int(state), orders=2,
        asked_wall_ns=WALL_NS, text="left 3 contracts",
    )  # fmt: skip
    text = text_of(draw_orders(replace(everything(), flattens=(row,)), 100, _compact=False))
    assert "flatten rain-nyc" in text
    assert "by you  2 orders  left 3 contracts" in text
    assert "?" not in text


# -- money --------------------------------------------------------------------------------------------------


def test_the_money_map_says_it_in_words() -> None:
    """Free of how much, locked until when, kept for orders, and what was not traded for want of it."""
    text = text_of(draw_money(everything(), 200, compact=True))
    assert "kalshi: $424.25 free of $500.00  $55.30 locked until 15 Jan" in text
    assert "$9.00 kept for orders" in text
    assert "⚠ too little cash 14 times  up to $120.00 wanted" in text
    assert money_title(everything()) == "Money: $1,985.25 free, $494.30 locked"
    assert "no account yet" in text_of(draw_money(waiting(), 80, compact=False))


def test_free_money_is_what_no_open_order_may_take() -> None:
    """Cash less what is reserved."""
    assert free_micros(CashRow("kalshi", 10, 7, 3, 2)) == 5


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (0, 0, "$40.00 locked  until nobody knows when"),
        (-5, -5, "until it is settled: it has closed"),
        (9 * DAY_S, 9 * DAY_S, "$40.00 locked until 15 Jan"),
        (3 * DAY_S, 9 * DAY_S, "$40.00 locked until 15 Jan  some until 9 Jan"),
        (900 * DAY_S, 900 * DAY_S, "$40.00 locked for 900 days"),
    ],
)
def test_when_money_comes_back_is_told(first: int, last: int, told: str) -> None:
    """As far as anybody knows, as precise as it is near."""
    stamps = (WALL_NS + first * S if last else 0, WALL_NS + last * S if last else 0)
    row = CashRow("kalshi", 500 * USD, 460 * USD, 40 * USD, 0, 0, 0, *stamps)
    assert told in text_of(draw_money(replace(everything(), cash=(row,)), 100, compact=True))


@pytest.mark.parametrize(
    "cash", [(0, 0, 0), (500, 0, 0), (0, 500, 0), (100, 0, 100), (1, 10**6, 1), (-5, 9, 2)]
)
def test_a_bar_has_all_its_cells(cash: tuple[int, int, int]) -> None:
    """Whatever is free, locked and kept, even less than nothing."""
    free, locked, kept = (dollars * USD for dollars in cash)
    row = CashRow("kalshi", 500 * USD, free, locked, kept)
    (first, *_) = draw_money(replace(everything(), cash=(row,)), 60, compact=False)
    bar = "".join(text for text, _ in first)[7:27]
    assert set(bar) <= set("█▒░")
    assert len(bar) == 20


@pytest.mark.parametrize("width", [20, 54, 78, 160])
def test_no_line_is_wider_than_its_panel(width: int) -> None:
    """Money, orders and one event in full, in roles that there are."""
    seen = everything()
    lines = [
        *draw_money(seen, width, compact=width == 78),
        *draw_orders(seen, max(width, 54), _compact=False),
        *draw_holding(seen.positions[0], seen, width),
    ]
    for line in lines:
        assert cell_len("".join(text for text, _ in line)) <= max(width, 54)
        assert {role for _, role in line} <= set(ROLES)


# -- the tab ------------------------------------------------------------------------------------------------


async def until(pilot: Pilot[Any], true: Callable[[], bool]) -> None:
    """Wait for what must come, however slow the machine is."""
    for _ in range(200):
        if true():
            return
        await pilot.pause()
    assert true()


def test_x_asks_and_sells_the_event_that_stood_under_the_cursor(drive: Drive, screen: Screen) -> None:
    """The event is fixed when the dialog opens: rows that move meanwhile change nothing."""
    asked = CannedSupervisor()
    source = CannedSource(everything())
    app = app_of(source, send=asked)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("3", "down", "x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await until(pilot, lambda: "Sell all that is held of fed-hold?" in screen(app))
        source.shown = replace(source.shown, positions=source.shown.positions[::-1])
        app.tick()
        await pilot.press("y")
        await pilot.app.workers.wait_for_complete()
        assert asked.asked == [("flatten", {"event": "fed-hold"})]

    drive(app, WIDE, steps)


def test_x_where_nothing_is_held_only_says_so(drive: Drive) -> None:
    """No dialog opens, nothing is sent; not either where it was held when the view was paused."""
    asked = CannedSupervisor()
    source = CannedSource(quiet())
    app = app_of(source, send=asked)

    def told() -> list[str]:
        return [note.message for note in app._notifications]

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("3", "x")
        await until(pilot, lambda: "nothing is held" in told())
        source.shown = everything()
        app.tick()
        await pilot.press("p")
        source.shown = quiet()
        app.tick()
        await pilot.press("x")
        await until(pilot, lambda: "nothing is held of btc-97k" in told())
        assert len(app.screen_stack) == 1
        assert not asked.asked

    drive(app, WIDE, steps)


def test_the_held_event_follows_the_cursor_and_enter_shows_it(drive: Drive, screen: Screen) -> None:
    """The box below is that of the row; who only reads has no x, neither in the footer nor as a key."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("3", "end", "x")
        await until(pilot, lambda: "Held: rain-nyc" in screen(app))
        assert len(app.screen_stack) == 1
        assert "flatten" not in screen(app)
        await pilot.press("home", "enter")
        await until(pilot, lambda: isinstance(app.screen, EventScreen))

    drive(app, WIDE, steps)


def test_it_is_laid_out_at_every_size(drive: Drive, screen: Screen) -> None:
    """The grid has room everywhere; at 80x24 orders and money stand below it."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("3")
        for size in (WIDE, NARROW):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "Orders on their way: 3" in screen(app))
            await until(pilot, lambda: "$1,985.25 free" in screen(app))
            assert app.query_one("#holdings", Grid).scrollable_content_region.height >= 5
        await pilot.resize_terminal(70, 15)
        await until(pilot, lambda: "Orders" not in screen(app))
        for told in ("✗ UNHEDGED", "gross $38.20 MED"):
            assert told in screen(app)

    drive(app, WIDE, steps)
