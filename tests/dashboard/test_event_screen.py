"""The event's own screen: ladders, waterfalls, curves, the race and its source, history, and its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from dashboard.dialogs.confirm import ConfirmScreen
from dashboard.event_screen import EventScreen, key_of
from dashboard.event_views import EventDetail, ListedEvents
from dashboard.messages import EventWanted
from dashboard.snapshot import LimitsView, Snapshot
from dashboard.widgets.beside import beside, column_width, cut
from dashboard.widgets.direction import race_words
from dashboard.widgets.event_picture import Seen, draw_event
from dashboard.widgets.panel import Line, Panel
from pipeline.model import Reason
from tests.dashboard import canned
from tests.dashboard.canned import CannedSource, CannedSupervisor, app_of, everything

S, USD = canned.S, canned.USD
STALE_NS = 5 * S
LIMITS = LimitsView(exposure_micros=100 * USD, day_loss_micros=50 * USD, losses=5, half_life_ms=500)

Drive = Callable[..., None]


def seen_of(picture: Snapshot, name: str) -> Seen:
    """What is seen of the first row of an event."""
    key = key_of(picture.events, name)
    assert key is not None
    found = canned.detail(picture, key)
    assert found is not None
    assert found.row is not None
    return Seen(found, found.row, picture.now_ns, picture.wall_ns)


def lines_of(picture: Snapshot, name: str, width: int = 114) -> list[Line]:
    return draw_event(seen_of(picture, name), picture, width, STALE_NS)


def page(picture: Snapshot, name: str, width: int = 114) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines_of(picture, name, width))


NAMES = sorted(everything().events.ids)


@pytest.mark.parametrize("width", [66, 114, 180])
@pytest.mark.parametrize("picture", [everything(), canned.stopped()], ids=["runs", "stopped"])
def test_every_event_can_be_drawn_in_every_width(picture: Snapshot, width: int) -> None:
    """Whatever a row is and in whatever state its books are, ladders and directions fit into the page."""
    for name in NAMES:
        lines = lines_of(picture, name, width)
        assert lines
        for line in lines[2:]:
            text = "".join(text for text, _ in line)
            assert cell_len(text) <= width, text


def test_both_ladders_to_full_depth() -> None:
    """Twelve levels a side of both books, with size and sum; the deepest stand at the end of the page."""
    text = page(everything(), "btc-97k")
    for word in ("KALSHI  KXBTC-26JAN06-97K", "POLYMARKET  770110", "61.1", "50.1", "75.4", "16.3k"):
        assert word in text
    assert "4 deeper levels at the end of this page" in text
    assert text.index("levels 9 to 12") > text.index("PAST OPPORTUNITIES")


def test_sums_count_from_the_best_price() -> None:
    """The sum beside a level is everything that stands before it and itself."""
    lines = page(everything(), "btc-97k").splitlines()
    rows = [line.split("│")[0].split()[-3:] for line in lines if line.lstrip().startswith("█")][:3]
    assert [row[:2] for row in rows] == [["680", "680"], ["2040", "1360"], ["4080", "2040"]]


def test_the_three_lights_of_a_book() -> None:
    """Its state, the age of its last message, and when REST last agreed stand apart."""
    picture = everything()
    seen = seen_of(picture, "btc-97k")
    first = replace(seen.detail.ladders[0], witnessed_ns=8 * S)
    detail = replace(seen.detail, ladders=(first, seen.detail.ladders[1]))
    lines = draw_event(replace(seen, detail=detail), picture, 114, STALE_NS)
    text = "\n".join("".join(text for text, _ in line) for line in lines)
    assert "LIVE  last message 0.1s ago  ✓ verified 8.0s ago" in text
    assert "LIVE  last message 0.3s ago  not compared with REST" in text
    assert "QUIET the venue lives, this market rests" in page(everything(), "rain-nyc")
    assert "GAP awaiting snapshot" in page(everything(), "snow-gap")
    assert "DEAD feed gone" in page(everything(), "btc-spot")


def test_the_waterfall_of_each_direction() -> None:
    """From gross over depth and both fees to the net, with leg risk and lock-up beside it, both ways."""
    text = page(everything(), "btc-97k")
    for word in (
        "gross          +$0.40",
        "depth          -$0.02",
        "fee kalshi     -$0.12",
        "net            +$0.17",
    ):
        assert word in text
    assert text.count("leg risk -$0.03 · lock-up $0.00 · mismatch 0.2 %") == 2
    assert "net            -$0.48" in text


def test_why_it_is_refused_with_number_limit_and_key() -> None:
    """A refused direction says the number that failed, what it failed, and the key that sets it."""
    text = page(everything(), "fed-hold")
    assert "refused: edge 42 < 50 bp" in text
    assert "set by risk.min_edge_bp" in text
    assert "▲ the scanner takes it" in page(everything(), "btc-97k")


def test_a_model_is_an_opinion() -> None:
    """A model's edge is never drawn as a profit that is taken."""
    text = page(everything(), "eth-asked")
    assert "an opinion, never traded" in text
    assert "▲ the scanner takes it" not in text


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (124, "82 % to be in time, of 124 lives"),
        (1, "82 % to be in time, of 1 life"),
        (0, "82 % to be in time, a prior, half-life 500 ms"),
    ],
)
def test_the_race_names_its_source(count: int, said: str) -> None:
    """The odds to be in time say whether they are measured, on how many lives, or a prior, and which."""
    found = canned.edge("K>P", 95, race=(820_000, count))
    assert race_words(found, LIMITS) == said


def test_a_loss_has_no_race() -> None:
    """Nobody races for an edge that loses money, and nobody has said what nobody measured."""
    assert race_words(canned.edge("K>P", -95), LIMITS) == "-"
    assert race_words(replace(canned.edge("K>P", 95), race_ppm=0, race_count=0), None) == "nobody has said"


def test_the_curve_marks_the_best_size() -> None:
    """What is left at each size is drawn, its best size marked with ▲ and told; else why it is not priced."""
    text = page(everything(), "btc-97k")
    assert "net by size  best 50: +$0.20" in text
    assert "50: +$0.20 ▲" in text
    assert "not priced: no edge after fees" in text


def test_history_has_its_ends() -> None:
    """The recent edges of both directions are sparklines with the least, the most and the last."""
    text = page(everything(), "btc-97k")
    assert "min +60 max +95 now +71 bp, 40s" in text
    assert "min -200 max -200 now -200 bp, 40s" in text


def test_past_lives_say_how_long_how_large_and_why() -> None:
    """Each ended opportunity of the event says when, how long, how large, and what ended it."""
    text = page(everything(), "btc-97k")
    assert "lived 1.2 s    best +95 bp +$0.17" in text
    assert "lived 90 ms" in text
    assert "gone: no edge after fees" in text
    assert "lost from sight" in text
    assert "none that the scanner remembers" in page(everything(), "gas-thin")


def test_the_traders_last_word_on_it() -> None:
    """What the trader decided about this event lately stands on its page, and nothing of others."""
    text = page(everything(), "nfl-kc-win")
    assert "rejected cash $120.00 > $80.00" in text
    assert "+$0.17 41 ms" not in text


@pytest.mark.parametrize("name", ["btc-97k", "nfl-kc-win"])
def test_nothing_looks_like_a_profit_when_the_bot_is_dead(name: str) -> None:
    """Waterfalls of a run that stopped are dim, and are called what they are: the last that was said."""
    picture = canned.stopped()
    lines = lines_of(picture, name)
    assert "as the scanner last priced it" in page(picture, name)
    falls = [line for line in lines if any(text.startswith(("gross ", "net  ")) for text, _ in line)]
    assert falls
    assert {role for line in falls for _, role in line if role in {"good", "gain"}} == set()


def test_a_narrow_page_has_one_column_and_says_first_what_matters() -> None:
    """In 76 cells the verdicts come first, then one book below the other, with every word that matters."""
    text = page(everything(), "btc-97k", 76)
    assert text.index("▲ the scanner takes it") < text.index("KALSHI") < text.index("POLYMARKET")
    assert not any("KALSHI  KX" in line and "POLYMARKET" in line for line in text.splitlines())


def test_blocks_stand_beside_each_other_where_there_is_room() -> None:
    """Two blocks share lines of exact width, and stand below each other where they would be too narrow."""
    blocks: list[list[Line]] = [[[("one", "plain")], [("two", "plain")]], [[("three", "plain")]]]
    assert column_width(2, 42, 20) == 20
    assert ["".join(text for text, _ in line) for line in beside(blocks, 20, 42)] == [
        f"{'one':<20}  {'three':<20}",
        f"{'two':<20}  {'':<20}",
    ]
    assert column_width(2, 41, 20) == 41
    assert len(beside(blocks, 41, 41)) == 3
    assert "".join(text for text, _ in cut([("abc", "plain"), ("defg", "dim")], 5)) == "abcd…"


# -- the screen -------------------------------------------------------------------------------------------


def opened(app: Any) -> EventScreen:
    assert isinstance(app.screen, EventScreen)
    return app.screen


def shown(app: Any) -> str:
    return opened(app).query_one("#event", Panel).text()


@pytest.mark.parametrize("size", [(120, 36), (70, 15)])
def test_it_opens_scrolls_and_goes_back(drive: Drive, size: tuple[int, int]) -> None:
    """Enter opens it with the keys that scroll, the status lines stay above it, Esc goes back."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("enter")
        panel = opened(app).query_one("#event", Panel)
        assert app.focused is panel
        assert "RUNNING" in opened(app).query_one("#status", Panel).text()
        await pilot.press("down", "down", "pagedown")
        await pilot.pause()
        assert panel.scroll_offset.y > 2
        await pilot.press("escape")
        assert not isinstance(app.screen, EventScreen)
        assert app.focused is app.tab.grid

    drive(app, size, steps)


def test_it_is_drawn_anew_each_tick(drive: Drive) -> None:
    """The next picture's books stand there after the next tick."""
    source = CannedSource(everything())
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("enter")
        assert "DEAD" not in shown(app)
        source.shown = canned.stopped()
        app.tick()
        await pilot.pause()
        assert "DEAD feed gone" in shown(app)
        assert "STOPPED" in opened(app).query_one("#status", Panel).text()

    drive(app, (120, 36), steps)


def test_an_event_that_goes_away_keeps_its_last_picture(drive: Drive) -> None:
    """It says GONE, keeps its ladders, and its ages go on growing; when it comes back so does the page."""
    source = CannedSource(everything())
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("enter")
        seen = everything()
        rest = [seen.events[at] for at in range(len(seen.events)) if seen.events[at].id != "btc-97k"]
        source.shown = replace(seen, events=ListedEvents(rest), now_ns=seen.now_ns + 8 * S)
        app.tick()
        await pilot.pause()
        assert "GONE" in shown(app)
        assert "61.1" in shown(app)
        assert "⚠last message 8.1s ago" in shown(app)
        source.shown = seen
        app.tick()
        await pilot.pause()
        assert "GONE" not in shown(app)

    drive(app, (120, 36), steps)


def test_n_goes_through_the_events_as_the_grid_has_them(drive: Drive) -> None:
    """n and N follow the order and the filter of the grid, and say where it ends."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        assert app.tab.grid is not None
        app.tab.grid.filter("kalshi")
        await pilot.press("home", "enter", "n")
        assert shown(app).startswith("fed-hold")
        await pilot.press("N")
        assert shown(app).startswith("btc-97k")
        await pilot.press("N")
        assert shown(app).startswith("btc-97k")
        assert any("no further event" in note.message for note in app._notifications)

    drive(app, (120, 36), steps)


def test_number_keys_leave_it_for_their_tab(drive: Drive) -> None:
    """1 to 6 close the event and show the tab; filter and pause are not there meanwhile."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("enter", "slash", "p")
        assert isinstance(app.screen, EventScreen)
        await pilot.press("3")
        assert not isinstance(app.screen, EventScreen)
        assert app.tab.NAME == "positions"

    drive(app, (120, 36), steps)


def test_halting_works_from_here(drive: Drive) -> None:
    """The halt is asked for over the event as anywhere else, and Cancel comes back to it."""
    supervisor = CannedSupervisor()
    app = app_of(CannedSource(everything()), send=supervisor)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("enter", "K")
        assert isinstance(app.screen, ConfirmScreen)
        app.tick()
        await pilot.press("escape")
        assert isinstance(app.screen, EventScreen)
        assert supervisor.asked == []

    drive(app, (120, 36), steps)


def test_an_event_is_found_by_its_id(drive: Drive) -> None:
    """Other tabs ask by id: the first row of exactly that event opens; an unknown one is told."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        app.post_message(EventWanted(event_id="btc"))
        await pilot.pause()
        assert not isinstance(app.screen, EventScreen)
        assert any("no event btc" in note.message for note in app._notifications)
        app.post_message(EventWanted(event_id="rain-nyc"))
        await pilot.pause()
        assert shown(app).startswith("rain-nyc")

    drive(app, (120, 36), steps)


def test_texts_of_others_are_only_text(drive: Drive) -> None:
    """Markup and escape sequences in a title are drawn as they are written, or not at all."""
    seen = everything()
    first = replace(seen.events[0], title="[bold red]x[/] \x1b[2J" + "long " * 60)
    picture = replace(seen, events=ListedEvents([first]))
    app = app_of(CannedSource(picture))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("enter")
        assert "[bold red]x[/]" in shown(app)
        assert "\x1b" not in shown(app)

    drive(app, (120, 36), steps)


def test_without_detail_it_says_so() -> None:
    """A source that has nothing of a key leaves a sentence and no crash."""

    class Nothing(CannedSource):
        def detail(self, key: str) -> EventDetail | None:
            return None

    screen = EventScreen("x", STALE_NS, lambda *_: None)
    screen.show(everything(), Nothing(everything()).detail("x"), compact=False)
    assert screen._draw(everything(), 80, False) == [[("the scanner does not have this event", "dim")]]


def test_every_reason_can_be_told() -> None:
    """Whatever the scanner refuses for, the page says it."""
    for reason in Reason:
        if reason is Reason.NONE:
            continue
        seen = everything()
        event = seen.events[0]
        edge = canned.edge("K>P", 20, reason, value=42, limit=50)
        picture = replace(seen, events=ListedEvents([replace(event, edges=(edge, None))]))
        text = page(picture, event.id)
        assert "the scanner does not look this way" in text
        assert "▲" not in text.split("gross")[0]
