"""Grid and Table: the cursor stays on its row, headings sort, filters hide, only what is in sight is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from dashboard.widgets.grid import Grid, Heading, Sort
from dashboard.widgets.panel import Line, Swatch
from dashboard.widgets.table import ALL, Column, Table
from tests.dashboard.conftest import hasten

Item = tuple[str, int, int | None]
ROWS = 40


class Shop(App[None]):
    """A grid and nothing else, styled as the dashboard is."""

    CSS_PATH = "../../dashboard/dashboard.tcss"

    def __init__(self) -> None:
        super().__init__()
        self.chosen: list[str] = []
        self.made = 0

    def compose(self) -> ComposeResult:
        """The grid."""
        yield Swatch()
        yield Grid("grid")

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        """Note what was chosen."""
        self.chosen.append(event.key)

    def table(self, items: list[Item]) -> Table[Item]:
        """Name, weight, price; unknown prices are None."""

        def name(item: Item) -> tuple[str, str]:
            self.made += 1
            return item[0], "plain"

        return Table(
            items,
            [
                Column("NAME", 12, name, lambda item: item[0], grows=ALL),
                Column("WEIGHT", 8, lambda item: (str(item[1]), "dim"), lambda item: item[1], right=True),
                Column(
                    "PRICE", 8, lambda item: (str(item[2] or "--"), "good"), lambda item: item[2], right=True
                ),
                Column("NOTE", 6, lambda _: ("wide", "dim"), spare=1),
            ],
            lambda item: item[0],
            "no things",
        )


ITEMS: list[Item] = [(f"thing-{n:02}", n * 7 % ROWS, None if n % 10 == 3 else n * 3) for n in range(ROWS)]
Act = Callable[[Shop, Pilot[None], Grid], Awaitable[None]]


def run(act: Act, size: tuple[int, int] = (80, 14)) -> Shop:
    """Drive one grid of ITEMS."""

    async def drive() -> Shop:
        app = Shop()
        async with app.run_test(size=size) as pilot:
            grid = app.query_one(Grid)
            grid.show(app.table(ITEMS))
            grid.focus()
            await pilot.pause()
            await act(app, pilot, grid)
        return app

    with pytest.MonkeyPatch.context() as patch:
        hasten(patch)
        return asyncio.run(drive())


def names(grid: Grid) -> list[str]:
    """The first words of all rows."""
    return [line[1:].split()[0] for line in grid.text().splitlines()[1:]]


def test_the_cursor_stays_on_its_row_while_rows_move() -> None:
    """A row under the cursor is still under it after the rows came in another order."""

    async def act(app: Shop, pilot: Pilot[None], grid: Grid) -> None:
        await pilot.press("down", "down", "down")
        assert grid.key == "thing-03"
        grid.show(app.table(list(reversed(ITEMS))))
        assert grid.key == "thing-03"
        assert grid.row == ROWS - 4

    run(act)


def test_the_cursor_stays_on_its_line_when_its_row_is_gone() -> None:
    """A vanished row leaves the cursor where it was, on another row."""

    async def act(app: Shop, pilot: Pilot[None], grid: Grid) -> None:
        await pilot.press("down", "down")
        grid.show(app.table([item for item in ITEMS if item[0] != "thing-02"]))
        assert grid.key == "thing-03"
        grid.show(app.table([]))
        assert grid.key is None
        assert grid.text() == "no things"

    run(act)


def test_sorting_by_key_goes_round_and_puts_the_unknown_last() -> None:
    """s takes one column after the other, S turns the order, and rows without a value come last both ways."""

    async def act(_: Shop, pilot: Pilot[None], grid: Grid) -> None:
        await pilot.press("s")
        assert grid.sort == Sort("name", descending=True)
        assert names(grid)[0] == f"thing-{ROWS - 1:02}"
        await pilot.press("s", "s")
        assert grid.sort.key == "price"
        unknown = {item[0] for item in ITEMS if item[2] is None}
        assert set(names(grid)[-len(unknown) :]) == unknown
        await pilot.press("S")
        assert names(grid)[0] == "thing-00"
        assert set(names(grid)[-len(unknown) :]) == unknown
        await pilot.press("s")
        assert grid.sort.key == ""

    run(act)


def test_a_click_on_a_heading_sorts_and_a_second_one_turns() -> None:
    """The heading under the pointer is the column sorted by, and its sign says which way."""

    async def act(_: Shop, pilot: Pilot[None], grid: Grid) -> None:
        heading = grid.text().splitlines()[0]
        at = heading.index("WEIGHT") + 2
        await pilot.click(grid, offset=(at, 1))
        assert grid.sort == Sort("weight", descending=True)
        assert "WEIGHT▼" in grid.text().splitlines()[0]
        await pilot.click(grid, offset=(at, 1))
        assert grid.sort == Sort("weight", descending=False)
        assert "WEIGHT▲" in grid.text().splitlines()[0]

    run(act)


def test_a_filter_hides_what_lacks_it_whatever_the_case() -> None:
    """Only rows that contain the words are left, and Esc shows all again."""

    async def act(_: Shop, pilot: Pilot[None], grid: Grid) -> None:
        grid.filter("THING-1")
        assert names(grid) == [f"thing-1{n}" for n in range(10)]
        assert grid.count == 10
        await pilot.press("escape")
        assert grid.count == ROWS

    run(act)


def test_a_chosen_row_is_named_by_enter_and_by_double_click() -> None:
    """Enter opens the cursor's row; a single click only takes the cursor there."""

    async def act(_: Shop, pilot: Pilot[None], grid: Grid) -> None:
        await pilot.press("down", "enter")
        await pilot.click(grid, offset=(5, 5))
        assert grid.key == "thing-03"
        await pilot.click(grid, offset=(5, 5), times=2)

    assert run(act).chosen == ["thing-01", "thing-03"]


def test_only_lines_in_sight_are_made() -> None:
    """A picture of many rows costs what is seen of it."""

    async def act(app: Shop, pilot: Pilot[None], grid: Grid) -> None:
        app.made = 0
        grid.show(app.table(ITEMS))
        await pilot.pause()
        assert 0 < app.made <= 14

    run(act)


def test_the_heading_stays_above_a_scrolled_view() -> None:
    """Scrolled down, the first line is still the heading, and the cursor is never behind it."""

    async def act(_: Shop, pilot: Pilot[None], grid: Grid) -> None:
        await pilot.press("end")
        top = "".join(segment.text for segment in grid.render_line(0))
        assert "NAME" in top
        for _step in range(ROWS):
            await pilot.press("up")
            seen = [
                "".join(segment.text for segment in grid.render_line(y))
                for y in range(grid.scrollable_content_region.height)
            ]
            assert any(line.startswith(">") for line in seen), seen
        assert grid.key == "thing-00"
        assert grid.scroll_offset.y == 0

    run(act)


@pytest.mark.parametrize(("width", "note"), [(40, False), (50, True)])
def test_narrow_tables_leave_columns_out(width: int, note: bool) -> None:
    """Columns that may be spared go where the others would not fit, and every line has one width."""

    async def act(_: Shop, pilot: Pilot[None], grid: Grid) -> None:
        await pilot.pause()
        lines = grid.text().splitlines()
        assert ("NOTE" in lines[0]) is note
        assert len({len(line) for line in lines}) == 1

    run(act, (width, 14))


def test_columns_go_by_their_rank_and_one_grows_no_further_than_it_may() -> None:
    """The highest rank goes first, those without never; what nobody takes stays empty at the right."""
    columns: list[Column[str]] = [
        Column("A", 4, lambda one: (one, "plain"), grows=8),
        Column("B", 4, lambda one: (one, "plain"), spare=1),
        Column("C", 4, lambda one: (one, "plain"), spare=2),
    ]
    table = Table(["x"], columns, str, "")
    heads = {width: "".join(cell.text for cell in table.heading(0, width)) for width in (5, 15, 16, 21, 60)}
    assert {width: head.split() for width, head in heads.items()} == {
        5: ["A"], 15: ["A"], 16: ["A", "B"], 21: ["A", "B", "C"], 60: ["A", "B", "C"],
    }  # fmt: skip
    assert heads[60].index("B") == 13
    assert all(len(head) == width for width, head in heads.items())
    assert len("".join(text for text, _ in table.line(0, 60))) == 60


def test_a_copied_row_is_the_text_of_its_cells() -> None:
    """c puts the cursor's row on the clipboard, blanks run together."""

    async def act(app: Shop, pilot: Pilot[None], _: Grid) -> None:
        await pilot.press("down", "c")
        assert app.clipboard == "thing-01 7 3 wide"

    run(act)


class Grouped:
    """Two headings with rows below each."""

    sorts = ("name",)

    def arrange(self, sort: Sort, needle: str) -> list[int]:
        """Both groups."""
        return [~0, 0, 1, ~1, 2]

    def heading(self, number: int, width: int) -> list[Heading]:
        """Its number."""
        return [Heading(f"GROUP {number}".ljust(width), "name")]

    def line(self, row: int, width: int) -> Line:
        """Its number."""
        return [(f"row {row}".ljust(width), "plain")]

    def key(self, row: int) -> str:
        """Its number."""
        return str(row)

    def find(self, key: str) -> int | None:
        """Its number."""
        return int(key) if key.isdigit() else None

    def nothing(self) -> str:
        """Never so."""
        return ""


def test_the_cursor_passes_over_headings() -> None:
    """Up and down go from row to row, whatever stands between them."""

    async def act(_: Shop, pilot: Pilot[None], grid: Grid) -> None:
        grid.show(Grouped())
        seen = [grid.key]
        for _step in range(3):
            await pilot.press("down")
            seen.append(grid.key)
        await pilot.press("up")
        assert [*seen, grid.key] == ["0", "1", "2", "2", "1"]

    run(act)
