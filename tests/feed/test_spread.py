"""Spread: every market on one connection, none on too many, none moved without need."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.feed.spread import Spread

NAMES = st.integers(0, 60).map(lambda number: f"m{number}")
STEP = st.tuples(
    st.sampled_from(["place", "remove", "full"]), st.lists(NAMES, max_size=20), st.integers(0, 3)
)


def test_930_markets_of_kalshi_take_ten_connections() -> None:
    """Each connection but the last is filled before another is begun."""
    spread = Spread(13, 100)
    placed = spread.place(f"K{number}" for number in range(930))
    assert [len(markets) for markets in placed.values()] == [100] * 9 + [30]
    assert spread.find("K899") == 8
    assert spread.find("K900") == 9
    assert spread.find("K930") is None


def test_what_a_venue_refuses_moves_on() -> None:
    """A connection that is full keeps what it has; what was refused goes to the next with room."""
    spread = Spread(4, 16)
    spread.place(f"P{number}" for number in range(16))
    moved = spread.full(0, ["P14", "P15", "not here"])
    assert moved == {1: ["P14", "P15"]}
    assert len(spread.markets(0)) == 14
    assert spread.place(["P16"]) == {1: ["P16"]}


@given(st.lists(STEP, max_size=30))
def test_no_market_is_twice_or_lost(steps: list[tuple[str, list[str], int]]) -> None:
    """After any sequence each market has one place, no connection holds too many, and the rest stay."""
    spread = Spread(4, 8)
    wanted: dict[str, int] = {}
    for what, markets, connection in steps:
        if what == "place":
            told = spread.place(markets)
        elif what == "remove":
            told = {}
            for at, gone in spread.remove(markets).items():
                for market in gone:
                    assert wanted.pop(market) == at
        else:
            mine = [market for market in dict.fromkeys(markets) if wanted.get(market) == connection]
            told = spread.full(connection, markets)
            for market in mine:
                del wanted[market]
        for at, came in told.items():
            for market in came:
                assert market not in wanted
                wanted[market] = at
        held = {market: at for at in range(4) for market in spread.markets(at)}
        assert held == wanted
        assert all(len(spread.markets(at)) <= 8 for at in range(4))
