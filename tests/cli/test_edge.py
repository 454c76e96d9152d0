"""`run.py edge`: the answers that DESIGN 10 and docs/EDGE_FILES.md fix."""

from __future__ import annotations

import argparse
import copy
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import edge

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```json\n(.*?)```", (ROOT / "docs/EDGE_FILES.md").read_text("utf-8"), re.DOTALL)
EXAMPLES = list(zip(BLOCKS[::2], BLOCKS[1::2], strict=True))
BINARY = json.loads(EXAMPLES[0][0])


def call(tmp_path: Path, text: str, *words: str) -> int:
    """Run the command on a file with this text, with the configuration's own defaults."""
    path, config = tmp_path / "file.json", tmp_path / "config.toml"
    path.write_text(text, "utf-8")
    config.write_text("", "utf-8")
    parser = argparse.ArgumentParser()
    edge.add_arguments(parser)
    options = ["--config", str(config), "--data", str(tmp_path / "data"), *words]
    return edge.run(parser.parse_args([str(path), *options]))


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The answer to a file as JSON."""

    def asked(file: Any, *words: str) -> dict[str, Any]:
        assert call(tmp_path, file if isinstance(file, str) else json.dumps(file), "--json", *words) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return asked


def changed(*legs: dict[str, Any], **top: Any) -> dict[str, Any]:
    """The binary example with other keys in its legs, and at the top."""
    file = copy.deepcopy(BINARY) | top
    for leg, change in zip(file["legs"], legs, strict=False):
        leg.update(change)
    return file


def rejection(answer: dict[str, Any], direction: int = 0) -> tuple[str, str, str] | None:
    found = answer["directions"][direction]["rejection"]
    return found and (found["reason"], found["value"], found["limit"])


@pytest.mark.parametrize(("file", "wanted"), EXAMPLES)
def test_the_examples_of_the_page_are_true(ask: Any, file: str, wanted: str) -> None:
    """What docs/EDGE_FILES.md shows for a file is what the command prints for it."""
    answer, shown = ask(file), json.loads(wanted)
    assert answer["best"] == shown["best"]
    assert len(answer["directions"]) == len(shown["directions"])
    for direction, part in zip(answer["directions"], shown["directions"], strict=True):
        assert {key: direction[key] for key in part} == part


def test_every_direction_has_the_same_keys(ask: Any) -> None:
    """A direction without a size has every key of one with a size; its numbers are null."""
    first, second = ask(BINARY)["directions"]
    assert first.keys() == second.keys()
    empty = "size cash gross depth fees net net_low edge_bp gross_bp annual_pct break_even largest".split()
    assert [second[key] for key in empty] == [None] * len(empty)
    assert [point[0] for point in first["curve"]] == ["5", "100", "120"]
    assert ["120", first["net"]] in first["curve"]


def test_an_inverse_leg_is_the_same_market_seen_from_its_no(ask: Any) -> None:
    """The second book turned over and called inverse gives the same sizes and money."""
    same = ask(BINARY)["directions"]
    turned = {"polarity": "inverse", "bids": [["0.38", "100"]], "asks": [["0.40", "100"], ["0.41", "50"]]}
    inverse = ask(changed({}, turned))["directions"]
    for key in ("buy", "sell", "size", "cash", "gross", "fees", "net", "edge_bp", "rejection"):
        assert [direction[key] for direction in inverse] == [direction[key] for direction in same]
    assert inverse[0]["legs"][1]["outcome"] == "yes"
    assert inverse[0]["limits"] == ["0.55", "0.41"]


@pytest.mark.parametrize(
    ("legs", "top", "wanted"),
    [
        (({"bids": [], "asks": []},), {}, ("book_empty", "0", "1")),
        (({"asks": []},), {}, ("one_sided", "0", "1")),
        (({"bids": [["0.55", "1"]]},), {}, ("book_crossed", "0.55", "0.55")),
        (({"bids": [["0.57", "1"]]},), {}, ("book_crossed", "0.57", "0.55")),
        (({}, {"bids": [["1", "5"]], "asks": []}), {}, ("not_tradable", "1", "1")),
        (({"bids": [], "asks": [["0", "5"]]},), {}, ("not_tradable", "0", "1")),
        (({"fee": None},), {}, ("fee_unknown", "0", "1")),
        (({"age_ms": 2001}, {"age_ms": 2001}), {}, ("book_too_old", "2001", "2000")),
        (({"age_ms": 0}, {"age_ms": "1000.5"}), {}, ("leg_skew", "1000.5", "1000")),
        (({}, {"min_size": "500"}), {}, ("below_minimum", "0", "1")),
        (({}, {"lot": "500"}), {}, ("below_minimum", "0", "1")),
        ((), {"cash": {"kalshi": "2.83"}}, ("venue_cash", "2.84", "2.83")),
        ((), {"mismatch": "0.02"}, ("mismatch", "0.02", "0.019261496")),
        ((), {"days": 200}, ("below_hurdle", "3.51", "4")),
    ],
)
def test_each_refusal_has_its_name_its_number_and_its_limit(
    ask: Any, legs: Any, top: Any, wanted: tuple[str, str, str]
) -> None:
    """The check, what failed it, and the limit of the configuration."""
    answer = ask(changed(*legs, **top))
    assert rejection(answer) == wanted
    assert answer["best"] is None


def test_limits_come_from_the_configuration(ask: Any) -> None:
    """[risk] and [scanner] as --set changes them."""
    assert rejection(ask(BINARY, "--set", "risk.min_edge_bp=193")) == ("edge_too_small", "192", "193")
    profit = rejection(ask(BINARY, "--set", "risk.min_profit_usd=2.27"))
    assert profit == ("profit_too_small", "2.2675", "2.27")
    assert rejection(ask(BINARY, "--set", "scanner.hurdle_pct=24")) == ("below_hurdle", "23.43", "24")
    assert rejection(ask(BINARY, "--set", "risk.max_book_age_ms=50")) == ("book_too_old", "55", "50")


def test_refused_directions_keep_their_numbers(ask: Any) -> None:
    """A book that is too old is priced all the same."""
    answer = ask(changed({"age_ms": 99_999}))
    assert answer["directions"][0]["net"] == "2.2781"


def test_the_size_is_the_best_that_the_cash_of_each_venue_allows(ask: Any) -> None:
    """60 dollars on Kalshi pay for 105 contracts with fees; a venue with both legs shares its cash."""
    first = ask(changed(cash={"kalshi": "60"}))["directions"][0]
    assert (first["size"], first["curve"][-1][0]) == ("105", "120")
    shared = ask(changed({}, {"venue": "kalshi"}, cash={"kalshi": "60"}))["directions"][0]
    assert Decimal(shared["cash"]) <= 60
    assert shared["size"] == "61"
    assert list(shared["fees"]) == ["kalshi"]


def test_an_order_that_the_cash_does_not_cover_is_shown_at_its_smallest(ask: Any) -> None:
    """The numbers of the smallest order stand beside the refusal."""
    first = ask(changed(cash={"kalshi": "1"}))["directions"][0]
    assert (first["size"], first["net"], first["rejection"]["reason"]) == ("5", "0.1", "venue_cash")


def test_a_basket_is_tried_both_ways_unless_a_side_is_named(ask: Any) -> None:
    """Without "side" every YES and every NO are two directions."""
    basket = next(json.loads(file) for file, _answer in EXAMPLES if '"basket"' in file)
    del basket["side"]
    both = ask(basket)
    assert [d["payoff"] for d in both["directions"]] == ["1", "2"]
    assert both["best"] == 1


def test_people_get_a_waterfall_for_each_direction(tmp_path: Path, capsys: Any) -> None:
    """Gross, depth, a fee for each venue, net, cash, size, and the refusal in words."""
    assert call(tmp_path, json.dumps(changed({"age_ms": 3000}))) == 0
    text = capsys.readouterr().out
    for part in (
        "gross ",
        "depth ",
        "2.08  kalshi",
        "1.4419  polymarket",
        "193 bp",
        "117.7219",
        "above 0 from 5",
    ):
        assert part in text
    assert "rejected: a book is too old (book 3000 > 2000 ms)" in text
    assert "no size has a gross above 0" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "line 1, column 2"), ('{"legs": [1, 2]}', "legs[0]: 1 is no object"), ("\udcff", "byte 0")],
)
def test_a_bad_file_is_exit_2_with_the_place(tmp_path: Path, capsys: Any, text: str, told: str) -> None:
    """One line on stderr: the file, the key or the line, and what to do; nothing on stdout."""
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    parser = argparse.ArgumentParser()
    edge.add_arguments(parser)
    assert edge.run(parser.parse_args([str(path), "--data", str(tmp_path / "data"), "--json"])) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert str(path) in captured.err
    assert captured.out == ""


def test_a_missing_file_and_a_bad_configuration_have_their_exit_codes(tmp_path: Path, capsys: Any) -> None:
    """1 for a file that cannot be opened, 3 for a configuration that does not hold."""
    parser = argparse.ArgumentParser()
    edge.add_arguments(parser)
    nowhere = str(tmp_path / "nowhere.json")
    assert edge.run(parser.parse_args([nowhere, "--data", str(tmp_path / "data")])) == 1
    assert call(tmp_path, json.dumps(BINARY), "--set", "risk.min_edge_bp=many") == 3
    assert "min_edge_bp" in capsys.readouterr().err


def test_an_ignored_key_is_named(tmp_path: Path, capsys: Any) -> None:
    """A slip in a key is told on stderr, and the rest is answered."""
    assert call(tmp_path, json.dumps(changed({"grd": "0.01"})), "--json") == 0
    captured = capsys.readouterr()
    assert "legs[0].grd: is ignored" in captured.err
    assert json.loads(captured.out)["best"] == 0
