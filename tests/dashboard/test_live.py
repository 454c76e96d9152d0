"""The first tab: the grid with all its words, what became of opportunities, what is held, and its keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.event_screen import EventScreen
from dashboard.event_views import ListedEvents
from dashboard.snapshot import LimitsView, Snapshot
from dashboard.widgets.decisions import draw_tally
from dashboard.widgets.events import EventRows
from dashboard.widgets.grid import Sort
from dashboard.widgets.opportunities import draw_opportunities
from dashboard.widgets.panel import Line, Panel
from dashboard.widgets.performance import draw_performance
from dashboard.widgets.positions import draw_positions
from pipeline.model import BookState
from tests.dashboard import canned
from tests.dashboard.canned import CannedSource, app_of, everything

S, USD = canned.S, canned.USD
STALE_NS = 5 * S
WIDTHS = (69, 79, 119, 199)
LIMITS = LimitsView(exposure_micros=100 * USD, day_loss_micros=50 * USD, losses=5, half_life_ms=500)

Drive = Callable[..., None]


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


def drawn(picture: Snapshot, width: int, needle: str = "", sort: str = "") -> list[str]:
    """Every line of the grid."""
    rows = EventRows(picture, STALE_NS)
    lines = []
    for number in rows.arrange(Sort(sort), needle):
        if number < 0:
            lines.append("".join(cell.text for cell in rows.heading(~number, width)))
        else:
            lines.append(text_of(rows.line(number, width)))
    return lines


def row_of(picture: Snapshot, name: str, width: int = 119) -> str:
    return next(line for line in drawn(picture, width) if line.startswith(name))


# -- the grid ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_every_line_is_as_wide_as_its_place(width: int) -> None:
    """Headings and rows of every kind fill the width exactly: columns stand below each other."""
    for picture in (everything(), canned.stopped(), canned.quiet()):
        assert {cell_len(line) for line in drawn(picture, width)} == {width}


def test_a_pair_shows_both_books_and_both_edges() -> None:
    """Bid and ask with sizes and age at each venue, and the edge of both directions in bp."""
    row = row_of(everything(), "btc-97k")
    for word in ("61.1×680", "62.1×687", "0.1s", "63.4×566", "64.4×441", "0.3s", "+95▲H", "-265"):
        assert word in row


@pytest.mark.parametrize("width", [69, 79])
def test_a_narrow_pair_keeps_what_decides(width: int) -> None:
    """In few columns name, both best prices and both edges stay; below 80 sizes give way to the name."""
    row = row_of(everything(), "nfl-kc-win", width)
    for word in ("34.0/35.0", "33.1/33.6", "-225", "+312▲L"):
        assert word in row


def test_dead_frozen_and_quiet_look_different() -> None:
    """A dead feed, a silent venue, a lost message and a market at rest have words of their own."""
    picture = everything()
    words = {
        "btc-spot": ("DEAD", "feed gone", "dead"),
        "eth-spot": ("STALE", "venue silent", "stale"),
        "snow-gap": ("GAP", "awaiting snapshot", "gap"),
        "fog-empty": ("EMPTY", "no book yet", "empty"),
        "wind-crossed": ("CROSSED", "bid over ask", "crossed"),
        "oscar-over": ("SETTLED", "YES", "closed"),
        "rain-nyc": ("⚠41s", "quiet", "quiet"),
    }
    for name, expected in words.items():
        row = row_of(picture, name)
        assert all(word in row for word in expected), row
        others = {word for other, found in words.items() if other != name for word in found[:1]}
        assert not any(word in row for word in others), row


def test_a_price_that_must_not_be_believed_is_not_shown() -> None:
    """After the bot is killed no price, no edge and no ▲ is left in the grid, and every age has grown."""
    lines = drawn(canned.stopped(), 119)
    assert not any("▲" in line for line in lines)
    assert "61.1" not in row_of(canned.stopped(), "btc-97k")
    assert "⚠12s" in row_of(canned.stopped(), "btc-97k")


def test_an_old_book_is_marked_and_its_edge_with_it() -> None:
    """Beyond the limit ⚠ stands beside the age and instead of ▲."""
    row = row_of(everything(), "cpi-0.3")
    assert "⚠7.3s" in row
    assert "+75⚠M" in row


# -- books of no event ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_books_of_no_event_come_last(width: int) -> None:
    """Below a heading of their own: venue, market, both prices, age, and what the book is worth."""
    lines = drawn(everything(), width)
    at = next(at for at, line in enumerate(lines) if line.startswith("OTHER BOOKS"))
    assert len(lines) == at + 4
    assert "KXSINGLE-1" in lines[at + 1]
    assert "LIVE" in lines[at + 1]
    assert "⚠6.2s" in lines[at + 2]
    assert "DEAD" in lines[at + 3]


def test_books_of_no_event_are_filtered_and_sorted() -> None:
    """A filter looks at venue and market; sorting by age puts the oldest first."""
    found = drawn(everything(), 119, needle="kxsingle")
    assert len(found) == 2
    aged = [line for line in drawn(everything(), 119, sort="age") if line[:8] in {"coinbase", "polymark"}]
    assert [line.split()[1] for line in aged] == ["SOL-USD", "770999"]


def test_keys_never_collide() -> None:
    """Every row is found by its own key, also where a market is named like an event."""
    leg = canned.leg("K", "btc-97k", "0.2 x 10", "0.22 x 15")
    picture = replace(everything(), singles=(leg, *everything().singles))
    rows = EventRows(picture, STALE_NS)
    numbers = [row for row in rows.arrange(Sort(), "") if row >= 0]
    assert len({rows.key(row) for row in numbers}) == len(numbers) == len(picture.events) + 4
    assert all(rows.find(rows.key(row)) == row for row in numbers)
    assert rows.find(" book kraken/gone") is None


def test_a_grid_of_nothing_but_books_shows_them() -> None:
    """A tape without configured events still shows what it holds."""
    picture = replace(everything(), events=ListedEvents([]))
    assert len(drawn(picture, 119)) == 4
    assert EventRows(picture, STALE_NS).nothing().startswith("No event has that")


# -- what became of it, what is held ----------------------------------------------------------------------


def test_the_last_ten_say_what_became_of_them() -> None:
    """Ten lines: time, event, direction, edge, confidence, action, money, and the result or the reason."""
    lines = [text_of(line) for line in draw_opportunities(everything(), 76, False)]
    assert len(lines) == 10
    for word in ("btc-97k", "K→P", "+95", "high", "executed", "$18.00", "+$0.17", "41 ms"):
        assert word in lines[0]
    assert "rejected book 7300 > 5000 ms" in lines[2]
    assert "detected" in lines[3]
    assert {cell_len(line) for line in lines} == {76}


def test_the_account_stands_beside_its_limits() -> None:
    """Gross exposure with its word, the day's P&L, approval and the run of losses, each beside its limit."""
    picture = replace(everything(), limits=LIMITS)
    lines = [text_of(line) for line in draw_positions(picture, 44, False, 10)]
    account = "\n".join(lines[:4])
    for word in ("$38.20 MED /$100", "day P&L +$12.48  limit -$50", "approval 41 %", "loss streak 1/5", "█"):
        assert word in account
    assert "K+20 P-20" in lines[5]
    assert "+$0.12" in lines[5]


def test_a_run_of_losses_at_its_limit_says_so() -> None:
    """Five losses of five stop trading: a word and not only a colour says it."""
    picture = replace(everything(), limits=LIMITS, summary=canned.summary(consecutive_losses=5))
    line = draw_positions(picture, 44, False, 10)[2]
    assert ("5/5 STOPS", "bad") in line


def test_positions_without_room_are_counted() -> None:
    """What does not fit is never left out in silence."""
    for height in (6, 7, 8, 9, 10):
        lines = [text_of(line) for line in draw_positions(everything(), 44, False, height)]
        shown = sum(
            name in line for line in lines for name in ("btc-97k", "fed-hold", "nfl-kc-win", "rain-nyc")
        )
        told = re.search(r"(\d) (more|events held): key 3", "\n".join(lines))
        assert shown + (int(told[1]) if told else 0) == 4
        assert len(lines) <= height


def test_the_approval_rate_is_that_of_the_exports() -> None:
    """Live, Opportunities and Kelly say the share that bot_state.json says: of all opportunities."""
    seen = canned.everything()
    assert seen.summary is not None
    rate = f"{seen.summary.approved * 100 / seen.summary.opportunities:.0f} %"
    for lines in (
        draw_positions(seen, 44, False, 10),
        draw_tally(seen, 120, compact=False),
        draw_performance(seen, 120, compact=False),
    ):
        assert rate in "\n".join(text_of(line) for line in lines)


def test_an_account_without_trades_says_so() -> None:
    """Before the first decision there is no approval rate, and nothing is held."""
    text = "\n".join(text_of(line) for line in draw_positions(canned.quiet(), 44, False, 10))
    assert "approval -" in text
    assert "no open positions" in text
    assert "no points yet" in text


# -- the tab ----------------------------------------------------------------------------------------------


def test_each_size_has_its_layout(drive: Drive, screen: Callable[[ParallaxApp], str]) -> None:
    """The grid is there at every size; what is held has its room, and none on the smallest screen. The P&L's
    sparkline is drawn from the trader's own points, the newest on the right.
    """
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        line = next(line for line in screen(app).splitlines() if "P&L ▁" in line)
        assert line.rstrip(" │").endswith("█")
        for size, held in (((120, 36), 10), ((80, 24), 3), ((80, 40), 7), ((70, 15), 0)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            panel = app.query_one("#held", Panel)
            assert panel.scrollable_content_region.height == held
            assert app.tab.grid is not None
            assert app.tab.grid.size.height >= 4

    drive(app, (120, 36), steps)


def test_enter_opens_the_event_under_the_cursor(drive: Drive) -> None:
    """Enter shows the row's event by itself; a book of no event says that there is no more of it."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "enter")
        assert isinstance(app.screen, EventScreen)
        assert app.screen.key.startswith("fed-hold ")
        await pilot.press("escape", "end", "enter")
        assert not isinstance(app.screen, EventScreen)
        assert any("no event" in note.message for note in app._notifications)

    drive(app, (120, 36), steps)


def test_a_leg_in_any_state_has_a_word_or_a_price() -> None:
    """No state of a book leaves the place of its prices empty."""
    for state in BookState:
        leg = canned.leg("K", "M", "0.2 x 10", "0.22 x 15", state=state)
        row = drawn(replace(everything(), singles=(leg,)), 119)[-1]
        assert "20.0×10" in row or state.name in row
