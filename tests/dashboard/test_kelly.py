"""Tab 4: the record, the size and the rule that cuts it; what was made, what was said and what came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.widgets.flow import fact, flow
from dashboard.widgets.grid import Sort
from dashboard.widgets.kelly import draw_kelly
from dashboard.widgets.panel import ROLES, Line
from dashboard.widgets.performance import draw_performance, draw_pnl, draw_spread, outcome_rows, pnl_title
from pipeline.trader.kelly import FULL_CONFIDENCE_TRADES, KellyPositionSizer
from pipeline.trader.kelly_trend import RECENT_TRADES
from pipeline.trader.window_rows import kelly_row
from tests.dashboard.canned import USD, CannedSource, app_of, everything, quiet, waiting

Drive = Callable[..., None]
Screen = Callable[[ParallaxApp], str]


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def kelly(**more: int | str) -> str:
    """The full column, the record being the canned one but for `more`."""
    seen = everything()
    assert seen.kelly is not None
    return text_of(draw_kelly(replace(seen, kelly=seen.kelly._replace(**more)), 48, compact=False))


def row_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


def test_all_eleven_statistics_are_there() -> None:
    """Each with its name, as the trader wrote it; losses with a minus, the win rate as a bar too."""
    text = kelly()
    assert row_of(text, "closed trades").split()[1:] == ["trades", "31", "won", "22", "lost", "9"]
    assert "71.0 %  ██████████████░░░░░░" in row_of(text, "win rate")
    assert "1.92  odds b 0.79" in row_of(text, "profit factor")
    assert "+$1.18  lost -$1.50" in row_of(text, "average win")
    assert "+$3.40  lost -$2.90" in row_of(text, "largest win")
    assert row_of(text, "losses now").split() == "losses now 1 in a row, 3 at most".split()


def test_the_way_to_the_size_is_told_step_by_step() -> None:
    """f*, the mode by its key, the cap and whether it is reached, confidence, size, what cuts it, IID."""
    text = kelly()
    for name, told in (
        ("recent 10", "60.0 %  ↓ falling; not in size"),
        ("full Kelly f*", "34.1 %  = p - q/b, at "),
        ("half", "17.0 %  by kelly.mode"),
        ("safe", "10.0 %  kelly.cap 10 % reached"),
        ("confidence", "100 %  from 20 trades on"),
        ("RECOMMENDED", "$1,000.00  of $10,000.00"),
        (" →", "risk.max_order_usd cuts it to $50.00"),
        ("if trades are independent", "(IID)"),
    ):
        assert told in row_of(text, name), name


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"order_micros": 2_000 * USD}, "kelly.cap cuts it"),
        ({"order_micros": 2_000 * USD, "mode_ppm": 90_000}, "no fixed limit cuts it"),
        ({"recommended_micros": 5 * USD, "confidence_ppm": 150_000}, "few trades: scaled down"),
        ({"recommended_micros": 0, "kelly_ppm": 0}, "Kelly says no"),
    ],
)
def test_the_rule_that_cuts_is_named(more: dict[str, int], told: str) -> None:
    """Every rule that may decide about the size, one at a time."""
    assert told in row_of(kelly(**more), " →")


def test_what_is_not_known_is_not_shown_as_a_number() -> None:
    """Without a loss there is no profit factor and the odds are the prior's; a trend takes ten trades."""
    text = kelly(total_trades=4, losing_trades=0, profit_factor_ppm=-1, odds_ppm=0, prior=1, trend=0)
    assert "no loss  odds b 1.00 (prior)" in row_of(text, "profit factor")
    assert "4 of 10 for a trend" in row_of(text, "recent 4")
    assert text_of(draw_kelly(waiting(), 48, compact=False)) == "no trader yet: it keeps the record"
    assert text_of(draw_performance(waiting(), 60, compact=False)) == "no trader yet"
    assert "nothing to compare" in text_of(draw_performance(quiet(), 60, compact=False))
    assert "fill rate n/a" in text_of(draw_performance(quiet(), 60, compact=False))


def test_the_numbers_are_the_sizers() -> None:
    """A record of the trader's own sizer, through its row, to the screen: 3 of 4 won, f* = 65 %."""
    sizer = KellyPositionSizer(1000)
    for result in (5, 5, -2, 5):
        sizer.add_trade(result)
    text = text_of(draw_kelly(replace(everything(), kelly=kelly_row(sizer)), 48, compact=False))
    assert "7.50  odds b 2.50" in row_of(text, "profit factor")
    assert "65.0 %" in row_of(text, "full Kelly f*")
    assert "32.5 %" in row_of(text, "half")
    assert f"4 of {FULL_CONFIDENCE_TRADES} trades" in row_of(text, "confidence")
    assert f"4 of {RECENT_TRADES} for a trend" in row_of(text, "recent 4")


def test_performance_sets_what_was_said_beside_what_came() -> None:
    """Money, drawdown, opportunities, edges, race, times; and no Sharpe ratio of a few hours."""
    text = text_of(draw_performance(everything(), 66, compact=False))
    for told in (
        "realised +$12.46  unrealised +$0.02  fees so far $3.12",
        "max drawdown $4.10 ($0.60 now)  peak $2,513.08",
        "opps 148  approved 61 (41 %)  fill rate 94 %  unhedged 1",
        "edge said +71 bp  came +63 bp (89 % captured)",
        "race said 79 %  filled 83 %  Brier 0.091 (coin 0.250)",
        "leg gap p50 41 p99 212 ms  latency said 40 ms came 44 ms",
        "Sharpe n/a (needs 30 days)",
    ):
        assert told in text


def test_the_curve_is_of_what_was_made_since_its_first_point() -> None:
    """119 minutes of 11 cents each are $13.09; the chart begins at zero, and says nothing without points.
    Fees of what is open are in it: it is the worth of the account.
    """
    seen = everything()
    assert pnl_title(seen).endswith(": +$13.09")
    last = seen.equity[-1]
    paid = replace(seen, equity=(*seen.equity, last._replace(equity_micros=last.equity_micros - 2 * USD)))
    assert pnl_title(paid).endswith(": +$11.09")
    assert "$0 ┼" in text_of(draw_pnl(seen, 60, 8))
    assert len(draw_pnl(seen, 60, 8)) == 8
    assert pnl_title(quiet()) == "P&L"
    assert "no history yet" in text_of(draw_pnl(quiet(), 60, 8))


def test_the_spread_is_of_trades_that_were_filled() -> None:
    """An order that found nothing has no edge that came."""
    seen = everything()
    drawn = draw_spread(seen, 40, 8)
    assert "▲0" in text_of(drawn)
    assert {role for line in drawn for _, role in line} <= set(ROLES)
    unfilled = tuple(row._replace(outcome=3) for row in seen.outcomes)
    assert "no bp yet" in text_of(draw_spread(replace(seen, outcomes=unfilled), 40, 8))


def test_trades_are_rows_that_sort() -> None:
    """The worst result comes first when sorted so; a row says what was said and what came."""
    rows = outcome_rows(everything())
    first = rows.arrange(Sort("came bp", descending=False), "")[1]
    told = "".join(text for text, _ in rows.line(first, 79))
    assert told.split()[1:8] == ["fed-hold", "unwound", "+92", "-140", "-$0.25", "82", "%"]
    assert len(rows.arrange(Sort(), "tokens")) == 1 + 4


@pytest.mark.parametrize("width", [68, 80, 120])
def test_no_fact_is_parted(width: int) -> None:
    """In a compact layout facts go to the next line as a whole, and no line is wider than the screen."""
    for draw in (draw_kelly, draw_performance):
        lines = draw(everything(), width, True)
        assert all(cell_len("".join(text for text, _ in line)) <= width for line in lines)
    assert "RECOMMENDED $1,000.00 → risk.max_order_usd" in text_of(draw_kelly(everything(), width, True))
    groups = [fact("a", "1"), fact("b", "2" * 30), fact("c", "3")]
    assert [text_of([line]) for line in flow(groups, 10)] == ["a 1", "b " + "2" * 30, "c 3"]


def test_the_tab_has_size_results_and_trades_at_every_size(drive: Drive, screen: Screen) -> None:
    """The size of the next trade and the grid are always in sight, results where there is room; and before
    a run all of it is said in words.
    """
    source = CannedSource(everything())
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("4", "s")
        await pilot.pause()
        assert app.tab.grid is not None
        assert app.tab.grid.sort.key == "time"
        for width, height in ((120, 36), (80, 24), (70, 15)):
            await pilot.resize_terminal(width, height)
            app.tick()
            await pilot.pause()
            shown = screen(app)
            assert "RECOMMENDED" in shown
            assert ">14:02:51 btc" in shown
            assert "mode HALF" in shown
            assert ("max drawdown $4.10" in shown) is (height > 20)
            assert ("P&L since" in shown) is (height > 20)
        await pilot.resize_terminal(120, 36)
        source.shown = waiting()
        app.tick()
        await pilot.pause()
        assert "No trade has ended yet." in screen(app)
        assert "no trader yet" in screen(app)

    drive(app, (120, 36), steps)
