"""The screen: what stands on it, its keys, its sizes, and its indifference to hostile text."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.app import ParallaxApp, screenshot
from dashboard.source import MemorySource
from dashboard.widgets.dialogs import HaltScreen, HelpScreen, QuitScreen
from dashboard.widgets.panel import Panel
from pipeline.clock import ManualClock
from pipeline.model import Action, BookFlag, BookState, MarketStatus, Reason
from shm import records as rec
from shm.tables import TableWriter

S = 10**9
WIDE, NARROW = (120, 36), (80, 24)


def line_with(text: str, word: str) -> str:
    """The first line below the notice that contains `word`."""
    found = [line for line in text.splitlines()[3:] if word in line]
    assert found, f"{word!r} is nowhere on\n{text}"
    return found[0]


@pytest.mark.parametrize("no_color", [False, True])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_one_look_tells_it_all(source: MemorySource, run, drive, screen, size, no_color, monkeypatch) -> None:
    """Badges, state, account, venues, prices, ages, edges, decisions, positions and workers are there."""
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = screen(app)
        status = text.splitlines()[0]
        for word in ("SIM", "PAPER", "● RUNNING", "up 00:00:00", "+$12.48", "$38.20 MED", "148", "31"):
            assert word in status
        assert text.splitlines()[1].count("●") == 4
        row = line_with(text, "btc-97k")
        for word in ("60.0", "60.5", "62.0", "66.0", "0.0s", "+95▲", "-265"):
            assert word in row
        for word in ("K→P", "Kr→C", "97123.4", "executed", "+$0.42 41 ms", "edge 42 < 50 bp"):
            assert word in text
        assert "K+20 P-20" in text
        assert ("8/8 running" if size == NARROW else "feed-coinbase") in text
        assert len(text.splitlines()) == size[1]

    drive(app, size, steps)


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_nothing_to_show_is_said(source: MemorySource, drive, screen, size) -> None:
    """Without a bot the screen says that it waits and how to start one."""
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = screen(app)
        assert "○ STOPPED" in text
        assert "RUNNING" not in text
        assert "python3 run.py up" in text

    drive(app, size, steps)


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_killed_bot_is_stopped_on_the_next_picture(
    source: MemorySource, run, clock: ManualClock, drive, screen, size
) -> None:
    """After a crash no RUNNING, no price and no edge stay on the screen, and ages grow."""
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        clock.advance(12 * S)
        app.tick()
        await pilot.pause()
        text = screen(app)
        assert "○ STOPPED 12s ago" in text
        assert "RUNNING" not in text
        row = line_with(text, "btc-97k")
        assert "DEAD" in row
        assert "⚠12s" in row
        assert "dead" in row
        assert "▲" not in row
        assert "60.0" not in row

    drive(app, size, steps)


STATES = [
    (BookState.GAP, MarketStatus.OPEN, "GAP", "gap"),
    (BookState.EMPTY, MarketStatus.OPEN, "EMPTY", "empty"),
    (BookState.CROSSED, MarketStatus.OPEN, "CROSSED", "crossed"),
    (BookState.EMPTY, MarketStatus.SETTLED, "SETTLED", "closed"),
]


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_word_stands_where_no_price_may_be_believed(source: MemorySource, run, drive, screen, size) -> None:
    """A book that is not LIVE shows its state instead of a price, and the edges say the same."""
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        for state, status, word, edge in STATES:
            book = [("0.6", "1")], [("0.61", "1")]
            run.feeds["kalshi"].book("KX-btc-97k", *book, state, status)
            app.tick()
            await pilot.pause()
            row = line_with(screen(app), "btc-97k")
            assert word in row
            assert row.count(edge) == 2
            assert "60.0" not in row

    drive(app, size, steps)


def test_old_data_is_marked_and_never_green(
    source: MemorySource, run, clock: ManualClock, drive, screen
) -> None:
    """Beyond stale_seconds ages and edges carry ⚠, and no ▲ stands beside them."""
    app = ParallaxApp(source, stale_seconds=5)

    async def steps(pilot) -> None:
        clock.advance(7_300_000_000)
        run.step()
        app.tick()
        await pilot.pause()
        row = line_with(screen(app), "btc-97k")
        assert "⚠7.3s" in row
        assert "+95⚠" in row
        assert "▲" not in row

    drive(app, WIDE, steps)


def test_a_dead_scanner_leaves_no_edges(source: MemorySource, run, clock: ManualClock, drive, screen) -> None:
    """Edges of a scanner that no longer looks are replaced; prices of living feeds stay."""
    run.dead.add("scanner")
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        clock.advance(2 * S)
        run.step()
        app.tick()
        await pilot.pause()
        text = screen(app)
        assert "no scanner" in text
        row = line_with(text, "btc-97k")
        assert row.count("no scan") == 2
        assert "60.0" in row

    drive(app, WIDE, steps)


def test_halted_unhedged_live_and_replay_are_unmistakable(source: MemorySource, run, drive, screen) -> None:
    """What changes the meaning of everything is a word in the first lines."""
    run.summary(halted=1, unhedged=2, exposure_micros=51_000_000, day_pnl_micros=-3_000_000)
    flags = BookFlag.REPLAY | BookFlag.UNVERIFIED
    run.feeds["kalshi"].book("KX-btc-97k", [("0.6", "1")], [("0.61", "1")], flags=flags)
    run.decide(Action.UNHEDGED, Reason.UNHEDGED_LEG, value="5")
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = "\n".join(screen(app).splitlines()[:3])
        for word in ("HALTED", "REPLAY", "2 unhedged", "$51.00 HIGH", "-$3.00", "unverified"):
            assert word in text
        assert "UNHEDGED unhedged 5 > 0" in screen(app)

    drive(app, WIDE, steps)


@pytest.mark.parametrize(
    ("size", "answer", "by_key"),
    [(WIDE, "leave", True), (WIDE, "stop", False), (NARROW, "leave", False), (NARROW, "stop", True)],
)
def test_q_asks_and_returns_the_answer(
    source: MemorySource, run, drive, screen, size, answer, by_key
) -> None:
    """The preselected answer is Enter, either has its letter, and the app returns it."""
    app = ParallaxApp(source, ask_on_quit=answer)

    async def steps(pilot) -> None:
        await pilot.press("q")
        assert isinstance(app.screen, QuitScreen)
        assert app.focused is not None
        assert app.focused.id == answer
        text = screen(app)
        for word in ("Leave running", "Stop all", "Cancel", "run.py down"):
            assert word in text
        await pilot.press(answer[0] if by_key else "enter")

    drive(app, size, steps)
    assert app.return_value == answer


def test_the_question_can_be_taken_back(source: MemorySource, run, drive) -> None:
    """Cancel, Esc and a second q go back to the screen, which is drawn on."""
    app = ParallaxApp(source, ask_on_quit="stop")

    async def steps(pilot) -> None:
        for key in ("escape", "n", "q"):
            await pilot.press("q", key)
            assert not isinstance(app.screen, QuitScreen)
        await pilot.press("ctrl+c")
        assert isinstance(app.screen, QuitScreen)
        app.tick()
        await pilot.press("right", "enter")
        assert not isinstance(app.screen, QuitScreen)
        assert app.return_value is None

    drive(app, WIDE, steps)


@pytest.mark.parametrize("options", [{}, {"read_only": True, "ask_on_quit": "stop"}])
def test_q_leaves_at_once_where_nothing_may_be_asked(source: MemorySource, run, drive, options) -> None:
    """Read-only, or attached by hand, `q` closes and the bot goes on."""
    app = ParallaxApp(source, **options)

    async def steps(pilot) -> None:
        await pilot.press("q")

    drive(app, WIDE, steps)
    assert app.return_value == "leave"


class Supervisor:
    """Remembers what it was asked, and answers as it is told to."""

    def __init__(self, *, done: bool = True, text: str = "halted: halted on the dashboard") -> None:
        self.asked: list[str] = []
        self._answer = done, text

    def __call__(self, turn: str) -> tuple[bool, str]:
        self.asked.append(turn)
        return self._answer


def told(app: ParallaxApp) -> list[str]:
    """What the app has told its user in passing; drawn only where notifications are on."""
    return [note.message for note in app._notifications]


@pytest.mark.parametrize(
    ("size", "halted", "keys", "asked"),
    [
        (WIDE, 0, ("enter",), "halt"),
        (NARROW, 0, ("h",), "halt"),
        (NARROW, 1, ("r",), "resume"),
        (WIDE, 1, ("left", "enter"), "resume"),
    ],
)
def test_h_halts_and_resumes_after_a_question(
    source: MemorySource, run, drive, screen, size, halted, keys, asked
) -> None:
    """h asks and shows why it is halted; either answer has its letter, and what came of it is told."""
    run.summary(halted=halted, halt_cause="lost $20")
    supervisor = Supervisor()
    app = ParallaxApp(source, switch=supervisor)

    async def steps(pilot) -> None:
        await pilot.press("h")
        assert isinstance(app.screen, HaltScreen)
        text = screen(app)
        for word in ("Halt (h)", "Resume (r)", "Cancel (n)", "run.py resume"):
            assert word in text
        assert ("lost $20" in text) == bool(halted)
        await pilot.press(*keys)
        await app.workers.wait_for_complete()
        assert not isinstance(app.screen, HaltScreen)
        assert told(app) == ["halted: halted on the dashboard"]

    drive(app, size, steps)
    assert supervisor.asked == [asked]


def test_the_question_of_h_can_be_taken_back(source: MemorySource, run, drive) -> None:
    """Esc, n, q and the Cancel button ask nobody; where it is halted Enter changes nothing either."""
    supervisor = Supervisor()
    app = ParallaxApp(source, switch=supervisor)

    async def steps(pilot) -> None:
        for keys in (("escape",), ("n",), ("q",), ("right", "right", "enter")):
            await pilot.press("h", *keys)
            assert not isinstance(app.screen, HaltScreen)
        run.summary(halted=1)
        app.tick()
        await pilot.press("h", "enter")
        assert not isinstance(app.screen, HaltScreen)
        await app.workers.wait_for_complete()

    drive(app, WIDE, steps)
    assert supervisor.asked == []


@pytest.mark.parametrize("options", [{}, {"read_only": True, "switch": Supervisor()}])
def test_without_a_switch_there_is_no_key_to_halt(source: MemorySource, run, drive, screen, options) -> None:
    """Read-only, or with nobody to ask, h does nothing and is not offered."""
    app = ParallaxApp(source, **options)

    async def steps(pilot) -> None:
        await pilot.press("h")
        assert not isinstance(app.screen, HaltScreen)
        assert "h halt" not in screen(app).splitlines()[-1]

    drive(app, WIDE, steps)


def test_a_supervisor_that_does_not_answer_is_said(source: MemorySource, run, drive, screen) -> None:
    """What went wrong stands on the screen as plain text, and the screen goes on."""
    app = ParallaxApp(source, switch=Supervisor(done=False, text="[bold]no run\x1b[2J here"))

    async def steps(pilot) -> None:
        await pilot.press("h", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert told(app) == ["[bold]no run[2J here"]
        assert not any(note.markup for note in app._notifications)
        assert "RUNNING" in screen(app)

    drive(app, WIDE, steps)


def test_why_it_is_halted_stands_in_the_first_lines(source: MemorySource, run, drive, screen) -> None:
    """The cause of a halt, orders of an earlier run, and a day nobody knows are said, the halt in red."""
    run.summary(halted=1, halt_cause="UNHEDGED: one leg\x1b", resolving=2, unknown_orders=1, day_known=0)
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        head = screen(app).splitlines()[:3]
        assert " HALTED " in head[0] and "+$12.48?" in head[0]
        assert "HALTED: UNHEDGED: one leg" in head[2]
        assert "2 orders of an earlier run are asked for" in head[2]
        assert app.query_one("#notice", Panel)._lines[0][0][1] == "bad"

    drive(app, WIDE, steps)


def test_what_was_taken_back_or_never_taken_is_told(source: MemorySource, run, drive, screen) -> None:
    """An unwound trade shows what it lost, a quote nobody took that it was not taken."""
    run.decide(Action.UNWOUND, Reason.NONE, cash="12.40", net="-0.31", fill_ms=1_200)
    run.decide(Action.WITHDRAWN, Reason.QUOTE_MOVED, cash="9.00")
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = screen(app)
        assert "-$0.31 1200 ms" in line_with(text, "unwound")
        assert line_with(text, "untaken")

    drive(app, WIDE, steps)


def test_help_names_keys_and_signs(source: MemorySource, run, drive, screen) -> None:
    """? opens one page that explains the signs; Esc closes it."""
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = screen(app)
        for word in ("DEAD", "STALE", "▲", "⚠", "pause", "quit"):
            assert word in text
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)

    drive(app, NARROW, steps)


def test_pause_holds_the_view_but_not_the_truth(
    source: MemorySource, run, clock: ManualClock, drive, screen
) -> None:
    """While paused the grid stands still and says so; the status line still tells of a crash."""
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        await pilot.press("p")
        clock.advance(5 * S)
        app.tick()
        await pilot.pause()
        text = screen(app)
        assert "PAUSED" in text
        assert "○ STOPPED" in text
        assert "60.0" in line_with(text, "btc-97k")
        await pilot.press("p")
        await pilot.pause()
        text = screen(app)
        assert "PAUSED" not in text
        assert "DEAD" in line_with(text, "btc-97k")

    drive(app, WIDE, steps)


def test_the_events_scroll_under_their_heading(source: MemorySource, run, drive, screen) -> None:
    """Keys scroll the events; the heading of their venues stays on top."""
    for at in range(10):
        run.event(f"more-{at}", "", "binary", ("kalshi", f"KX-{at}"), ("polymarket", f"{at}"))
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        assert "more-9" not in screen(app)
        await pilot.press("end")
        await pilot.pause()
        text = screen(app)
        assert "KRAKEN" in text or "Kr bid/ask" in text
        await pilot.press("home", "down", "down", "down")
        await pilot.pause()
        text = screen(app)
        assert "K bid/ask" in text
        assert "eth-3400" not in text
        await pilot.press("pagedown", "pageup", "up")

    drive(app, NARROW, steps)


@pytest.mark.parametrize("size", [(60, 12), (69, 40), (120, 14)])
def test_too_small_is_one_clear_line(source: MemorySource, run, drive, screen, size) -> None:
    """Below 70x15 one line says what is needed; a bigger window brings everything back."""
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = screen(app)
        assert f"terminal too small ({size[0]}x{size[1]}), needs 70x15" in text
        assert "RUNNING" not in text
        await pilot.resize_terminal(*WIDE)
        await pilot.pause()
        await pilot.pause()
        assert "RUNNING" in screen(app)
        assert "+95▲" in screen(app)

    drive(app, size, steps)


@pytest.mark.parametrize("size", [(70, 15), (80, 24), (100, 40), (119, 30), (140, 20), (200, 60)])
def test_every_size_keeps_its_numbers_whole(source: MemorySource, run, drive, screen, size) -> None:
    """At any size no status figure is cut into a smaller one and the edges are in sight."""
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = screen(app)
        assert all(len(line) <= size[0] for line in text.splitlines())
        status = text.splitlines()[0]
        if " opp" in status:
            assert " 148" in status
        assert "$38.20 MED" in status
        assert "+95▲" in line_with(text, "btc-97k")

    drive(app, size, steps)


def test_hostile_texts_are_only_text(source: MemorySource, run, drive, screen) -> None:
    """Markup, escape sequences, emoji and endless names neither break the grid nor reach the terminal."""
    names = ["[bold]x[/bold]", "\x1b[2J\x1b]0;a\x07", "a\nb\tc\r", "\u202egnp", "🤖" * 20, "[/]" * 20]
    for at, name in enumerate(names):
        run.event(name, name * 3, "binary", ("kalshi", name), ("polymarket", f"{name}p"))
        run.feeds["kalshi"].book(name, [("0.5", "1")], [("0.51", "1")], title=name * 5)
        run.position(at + 4, name, "kalshi", name, "yes", "3")
        run.decide(Action.REJECTED, Reason.NO_EDGE, event=name)
    run.worker(9, "\x1b[31m[red]", 3, 1, exits=1, detail="[blink]\x07" * 9)
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        for size in (WIDE, (160, 50), NARROW):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            await pilot.pause()
            text = screen(app)
            assert "[bold]x[/bold]" in text
            for line in text.splitlines():
                assert line.isprintable()
            row = line_with(text, "[bold]x")
            assert "+95" in row or "empty" in row
        for panel in app.screen_stack[0].query(Panel):
            assert "\x1b" not in panel.text()

    drive(app, WIDE, steps)


def test_the_screenshot_is_a_picture_that_needs_nothing_else(
    source: MemorySource, run, tmp_path: Path
) -> None:
    """`screenshot` writes an SVG of the real screen that loads nothing from any server."""
    path = tmp_path / "screen.svg"
    screenshot(source, path, WIDE)
    svg = path.read_text()
    assert svg.startswith("<svg")
    assert "RUNNING" in svg
    assert "btc&#45;97k" in svg or "btc-97k" in svg
    assert "url(&quot;http" not in svg
    assert 'url("http' not in svg


YES, NO = ("buy", "yes"), ("buy", "no")
K, P = ("kalshi", "KX-btc-97k"), ("polymarket", "770")


def roles_of(app: ParallaxApp, word: str) -> set[str]:
    """The roles on the first line of the grid that contains `word`."""
    for line in app.query_one("#events", Panel)._lines:
        if word in "".join(text for text, _ in line):
            return {role for _, role in line}
    raise AssertionError(word)


@pytest.mark.parametrize("size", [WIDE, NARROW, (170, 40)])
def test_every_kind_has_its_line(source: MemorySource, run, drive, screen, size) -> None:
    """Below the pairs stands each other direction: its kind, what is done at which price, and its edge."""
    race = {"race_ppm": 820_000, "race_count": 37}
    run.direction("tokens", "complement", [(*P, *YES), ("polymarket", "771", *YES)], edge=70, **race)
    run.direction("winner", "basket", [(*P, *YES), ("polymarket", "771", *YES), ("polymarket", "772", *YES)])
    run.direction("strikes", "ladder", [(*K, *YES), (*P, *NO)], reason=Reason.NO_EDGE, edge=-80)
    run.direction("implied", "implication", [(*K, *YES), (*P, *NO)], reason=Reason.RULES_CHANGED)
    run.direction("held", "close", [(*K, "sell", "yes"), (*P, "sell", "no")], number=1000, edge=33)
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = app.query_one("#events", Panel).text()
        wide = size != NARROW
        assert ("COMPLEMENT" if wide else "COMPL ") in text
        assert ("IMPLICATION" if wide else "IMPL ") in text
        for word in ("BASKET", "LADDER", "CLOSE", "yes P 66.0 + yes P 66.0 + 1 more", "+33▲M", "-80"):
            assert word in text
        assert "sell yes K 60.0 + no P 34.0" in text
        assert "yes K 60.5 + no P 38.0" in line_with(text + "\n\n\n" + text, "strikes")
        assert ("82% n=37" in text) == wide
        assert all(len(line) <= size[0] for line in screen(app).splitlines())
        assert "good" in roles_of(app, "tokens") and "good" not in roles_of(app, "implied")
        run.feeds["polymarket"].book("771", [], [], state=BookState.GAP)
        app.tick()
        await pilot.pause()
        text = app.query_one("#events", Panel).text()
        row = next(line for line in text.splitlines() if "tokens" in line)
        assert "yes P GAP" in row and "gap" in row and "▲" not in row

    drive(app, size, steps)


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("reason", [Reason.NONE, Reason.WATCH_ONLY])
def test_a_model_is_an_opinion(source: MemorySource, run, drive, size, reason) -> None:
    """A MODEL line is labelled, shows its bounds, and is neither green nor ▲, whatever the scanner says."""
    odds = {"model_low_ppm": 550_000, "model_ppm": 612_000, "model_high_ppm": 660_000}
    run.direction("asked", "model", [(*K, *YES)], edge=900, reason=reason, **odds)
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = app.query_one("#events", Panel).text()
        row = next(line for line in text.splitlines() if "asked" in line)
        for word in ("MODEL", "yes K 60.5", "model 55–61–66", "+900"):
            assert word in row
        assert "▲" not in row
        assert not {"good", "gain"} & roles_of(app, "asked")
        assert "asked" not in app.query_one("#notice", Panel).text()

    drive(app, size, steps)


def test_an_edge_has_its_confidence_and_the_best_its_odds(source: MemorySource, run, drive, screen) -> None:
    """A letter stands beside a gain and none beside a loss; the best edge is told in full above the grid."""
    race = {"race_ppm": 820_000, "race_count": 37, "annual_bp": 4892}
    run.direction("tokens", "complement", [(*P, *YES), ("polymarket", "771", *YES)], edge=70, **race)
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        row = line_with(screen(app), "btc-97k")
        assert "+95▲H" in row and "-265 " in row
        notice = app.query_one("#notice", Panel).text()
        for word in ("5 events", "▲ tokens complement", "+70 bp", "+$0.70 on $10.00", "race 82% n=37"):
            assert word in notice
        assert "confidence medium" in notice
        run.direction("tokens", "complement", [(*P, *YES), ("polymarket", "771", *YES)], edge=70)
        app.tick()
        await pilot.pause()
        assert "race" not in app.query_one("#notice", Panel).text()

    drive(app, WIDE, steps)


def test_a_decision_on_no_pair_says_its_kind(source: MemorySource, run, drive, screen) -> None:
    """In the list of opportunities an arrow stands for a pair, and a kind for everything else."""
    run.direction("btc-97k", "close", [(*K, "sell", "yes"), (*P, "sell", "no")], number=1000)
    run.decide(Action.REJECTED, Reason.COOLDOWN, value="1", limit="2", direction=1000)
    run.decide(Action.REJECTED, Reason.TOO_MANY_LEGS, value="3", limit="2")
    run.position(5, "strikes", "kalshi", "KX-btc-97k", "yes", "20")
    run.position(6, "strikes", "kalshi", "KX-eth-3400", "no", "20")
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = app.query_one("#opportunities", Panel).text().splitlines()
        assert "K→P" in text[0] and "legs 3 > 2" in text[0]
        assert "close" in text[1] and "→" not in text[1]
        (held,) = [line for line in screen(app).splitlines() if "strikes" in line]
        assert "K 2×20" in held and " 0 " in held

    drive(app, WIDE, steps)


def test_a_refused_configuration_and_what_waits_are_said(source: MemorySource, run, drive) -> None:
    """Files that do not hold and keys that wait for a restart stand in the line of what needs attention."""
    row = rec.RUN.empty()._replace(profile="demo", mode="paper", simulated=1)
    table = TableWriter(run.supervisor.segment, "run", rec.RUN)
    table.put(0, row._replace(config_problem="config.toml:4: risk.x: unknown key", config_waits="a: all"))
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = app.query_one("#notice", Panel).text()
        assert text.startswith("⚠ config refused: config.toml:4: risk.x: unknown key · config: a: all")
        table.put(0, row)
        app.tick()
        await pilot.pause()
        assert "config" not in app.query_one("#notice", Panel).text()

    drive(app, WIDE, steps)


def test_trouble_comes_before_the_best_edge(source: MemorySource, run, drive) -> None:
    """What needs attention stands first in its line; the best edge follows where it fits."""
    run.summary(unhedged=2)
    app = ParallaxApp(source)

    async def steps(pilot) -> None:
        text = app.query_one("#notice", Panel).text()
        assert text.startswith("⚠ 2 unhedged  ▲ ")
        await pilot.resize_terminal(*NARROW)
        await pilot.pause()
        assert len(app.query_one("#notice", Panel).text()) <= 80

    drive(app, WIDE, steps)
