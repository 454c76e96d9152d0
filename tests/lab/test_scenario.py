"""Scenarios: files that script what venues do, and worlds that play them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import TraderConfig
from pipeline.lab.book import BookBatch, Trade
from pipeline.lab.listing import Notice
from pipeline.lab.market import MarketModel
from pipeline.lab.scenario import (
    BUILT_IN,
    NOTHING,
    PAPER_KINDS,
    Scenario,
    ScenarioError,
    load,
    parse,
    reference,
)

START_WALL_MS = 1_795_000_000_000
WIDE = """
title = "wide"
seed = 3
divergence = 0.5
[[steps]]
at_s = 1
for_s = 2
venue = "kalshi"
what = "wide"
value = 10
[[steps]]
at_s = 1
for_s = 2
venue = "kalshi"
what = "trades"
value = 50
"""


def step(**cells: Any) -> str:
    """A scenario of one step."""
    given = {"at_s": 1, "venue": "kalshi", "what": "freeze"} | cells
    lines = (
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in given.items()
    )
    return "\n".join(['title = "one"', "[[steps]]", *lines])


def world(scenario: Scenario = NOTHING, seed: int = 7) -> MarketModel:
    return MarketModel(seed, 0.0, START_WALL_MS, coinbase_levels=40, scenario=scenario)


def played(model: MarketModel, steps: int) -> list[Any]:
    """What a world emits, as plain values."""
    out: list[Any] = []

    def emit(item: BookBatch | Trade | Notice) -> None:
        out.append((item.kind, item.event.id) if isinstance(item, Notice) else tuple(item))

    for _ in range(steps):
        model.step(emit)
    return out


def widths(model: MarketModel) -> tuple[list[int], list[int]]:
    """By venue the cents between the best prices of the markets that may pay."""
    found = []
    for venue in ("kalshi", "polymarket"):
        quotes = [getattr(e, venue).quotes.quoted() for e in model.live if not e.topic.never_pays]
        found.append([(ask - bid) // 100 for bid, ask in quotes])
    return found[0], found[1]


def test_every_built_in_scenario_can_be_played() -> None:
    """Each file there is one, has steps, and is found by its name."""
    names = [path.stem for path in BUILT_IN.glob("*.toml")]
    assert "trouble" in names
    for name in names:
        assert load(name).steps
        assert load(str(BUILT_IN / f"{name}.toml")) == load(name)


def test_trouble_scripts_lines_markets_and_the_paper_exchange_within_a_minute() -> None:
    """All three parts of the world play, and every step begins in the first minute."""
    trouble = load("trouble")
    assert trouble.faults()
    assert {step.what for step in trouble.steps} >= {"wide", "trades", "leg_failure", "reject"}
    assert max(step.at_s for step in trouble.steps) < 60
    assert trouble.settings() == ["lab.seed=7"]


def test_a_scenario_scripts_venues_and_nothing_else() -> None:
    """What the paper exchange can be told are keys of [trader] that say how it behaves, each of them once."""
    fields = TraderConfig.__struct_fields__
    assert all(key in fields and key.startswith("paper_") for key in PAPER_KINDS.values())
    assert set(PAPER_KINDS.values()) == {field for field in fields if field.startswith("paper_")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", "no scenario"),
        ('name = "x"', "unknown field"),
        (step(at_s="soon"), "Expected"),
        (step(venue="moon"), "no venue 'moon'"),
        (step(what="dance"), "what is one of"),
        (step(venue="paper", what="freeze"), "what is one of latency"),
        (step(venue="paper", what="reject", value=101), "0 to 100"),
        (step(venue="paper", what="reject", value="many"), "0 to 100"),
        (step(what="wide", value=0), "1 to 100"),
        (step(what="wide", venue="kraken", value=5), "kalshi, polymarket"),
        (step(what="pause"), "needs a market"),
        (step(what="skew", value="late"), "could not convert"),
        (step(at_s=-1), "0 to 86400"),
        (step(chance_pct=0), "chance_pct"),
    ],
)
def test_a_bad_scenario_says_what_is_wrong(text, words) -> None:
    """Nothing is guessed: the step and its fault are named."""
    with pytest.raises(ScenarioError) as error:
        parse(text)
    assert words in str(error.value)


def test_a_scenario_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    """A wrong name lists the built-in ones; a file that is no text, or far too long, is refused."""
    with pytest.raises(ScenarioError, match="trouble"):
        load("trubble")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "long").write_text("#" * 70_000)
    for name in ("bytes", "long", ""):
        with pytest.raises(ScenarioError):
            load(str(tmp_path / name))
    assert load("") is NOTHING
    assert (reference("trouble"), reference("")) == ("trouble", "")
    assert Path(reference("mine.toml")).is_absolute()


def test_steps_become_faults_of_their_time() -> None:
    """Seconds become milliseconds, per cent a chance, and a value the number, time or text of its kind."""
    (cut,) = parse(step(at_s=1.5, for_s=2, chance_pct=25, times=3)).faults()
    assert (cut.kind, cut.from_ms, cut.until_ms, cut.chance, cut.times) == ("freeze", 1_500, 3_500, 0.25, 3)
    (jump,) = parse(step(what="jump", value=5)).faults()
    (skew,) = parse(step(what="skew", value=5)).faults()
    (digit,) = parse(step(what="digit", value="price")).faults()
    assert (jump.number, skew.seconds, digit.text, jump.until_ms) == (5, 5.0, "price", 0)


def test_the_paper_exchange_is_told_what_holds_now() -> None:
    """By time, in the config's own types; of two steps on one key the later one counts."""
    text = step(at_s=0, venue="paper", what="latency", value=40) + "".join(
        f'\n[[steps]]\nat_s = {at}\nfor_s = 2\nvenue = "paper"\nwhat = "reject"\nvalue = {value}'
        for at, value in ((1, 10), (2, 30))
    )
    told = parse(text)
    assert told.paper_at(0) == {"paper_latency_ms": 40}
    found = [told.paper_at(ms).get("paper_reject_pct") for ms in (999, 1_000, 2_000, 3_000, 3_999, 4_000)]
    assert found == [None, "10", "30", "30", "30", None]


def test_a_world_without_a_script_is_the_same_as_ever() -> None:
    """A scenario of faults and paper steps alone changes nothing of what the markets do."""
    lines = parse(step() + '\n[[steps]]\nat_s = 0\nvenue = "paper"\nwhat = "reject"\nvalue = 5')
    assert played(world(lines), 300) == played(world(), 300)


def test_a_scripted_world_is_a_function_of_seed_and_script() -> None:
    """The same twice, and another one with another script."""
    assert played(world(parse(WIDE)), 400) == played(world(parse(WIDE)), 400)
    assert played(world(parse(WIDE)), 400) != played(world(), 400)


def test_markets_grow_wide_and_narrow_again_and_trade_more() -> None:
    """Kalshi is ten cents wide for two seconds, Polymarket is not; books stay whole all the time."""
    model, quiet = world(parse(WIDE)), world()
    for each in (model, quiet):
        played(each, 99)
    assert max(widths(model)[0]) <= 3
    during = trades_at_kalshi(played(model, 150))
    kalshi, polymarket = widths(model)
    assert all(10 <= width <= 12 for width in kalshi)
    assert max(polymarket) <= 3
    for event in model.live:
        bid, ask = event.kalshi.quotes.quoted()
        assert bid < ask
    assert during > 10 * max(1, trades_at_kalshi(played(quiet, 150)))
    played(model, 100)
    assert max(widths(model)[0]) <= 3


def trades_at_kalshi(items: list[Any]) -> int:
    """How many of the things that a world emitted are trades there."""
    return sum(item[0] == "kalshi" and len(item) == len(Trade._fields) for item in items)
