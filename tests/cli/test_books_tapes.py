"""`run.py books` on every tape there is: counts and final books against the plain model in Decimals."""

from __future__ import annotations

import argparse
import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import books
from tests.support.model_book import Ladders, Model, kraken_checksum
from tests.support.tapes import DATA, read_frames

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "tapes"
NAMES = (
    *("coinbase.jsonl kalshi.jsonl kraken.jsonl polymarket.jsonl").split(),
    *("coinbase_20260809_btc_eth.jsonl.gz kalshi_20260418_kxbtc.jsonl.gz").split(),
    *("kraken_20260719_btcusd_d10.jsonl.gz polymarket_20251030_btc15m.jsonl.gz").split(),
    "polymarket_20260709_worldcup.jsonl.gz",
)


def path_of(name: str) -> Path:
    """A tape of ours or a recording; a clone without recordings skips what needs one."""
    path = (DATA if name.endswith(".jsonl") else RECORDINGS) / name
    if not path.exists():
        pytest.skip("no recordings beside this checkout")
    return path


@cache
def expected(path: Path) -> tuple[str, dict[str, int], dict[str, Ladders]]:
    """Venue, counts and final books of a tape as the model reads it."""
    frames = read_frames(path)
    venue = frames[0][0]
    model, counts = Model(venue), {"frames": len(frames), "book_messages": 0, "checksums_ok": 0}
    for _, data in frames:
        messages = [message for message in model.messages(data) if message.kind != "void"]
        counts["book_messages"] += bool(messages)
        model.take(data)
        if venue == "kraken":
            for message in messages:
                bids, asks = model.ladders(message.market)
                assert message.checksum == kraken_checksum(bids, asks), "the model itself is wrong"
                counts["checksums_ok"] += 1
    return venue, counts, {market: model.ladders(market) for market in model.books}


def report(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What the command prints as JSON."""
    parser = argparse.ArgumentParser()
    books.add_arguments(parser)
    assert books.run(parser.parse_args([*words, "--json"])) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def ladders(book: dict[str, Any]) -> Ladders:
    """A printed book in Decimals; its text must be the plainest there is."""
    sides = []
    for name in ("bids", "asks"):
        for level in book[name]:
            for text in level:
                assert text == format(Decimal(text).normalize(), "f"), f"{text} is not the plainest text"
        sides.append(tuple((Decimal(price), Decimal(size)) for price, size in book[name]))
    return sides[0], sides[1]


@pytest.mark.parametrize("name", NAMES)
def test_books_are_exact_and_counts_are_true(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every level of every book, and each count of DESIGN 9, whole and without trouble."""
    path = path_of(name)
    venue, counts, truth = expected(path)
    printed = report(capsys, str(path), "--depth", "0")
    assert printed["bad_lines"] == 0
    assert printed["venues"] == {venue: {"bad_frames": 0, "gaps": 0, "checksums_bad": 0, **counts}}
    assert printed["books"][venue].keys() == truth.keys()
    for market, book in printed["books"][venue].items():
        assert book["state"] == "LIVE"
        assert ladders(book) == truth[market]


@pytest.mark.parametrize("name", NAMES)
def test_without_a_depth_the_best_25_are_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The cut is the beginning of the whole."""
    path = path_of(name)
    venue, _, truth = expected(path)
    for market, book in report(capsys, str(path))["books"][venue].items():
        assert ladders(book) == (truth[market][0][:25], truth[market][1][:25])


@pytest.mark.parametrize(
    ("name", "damage", "count"),
    [
        ("kalshi.jsonl", "drop", "gaps"),
        ("coinbase.jsonl", "drop", "gaps"),
        ("kraken.jsonl", "drop", "checksums_bad"),
        *[
            (f"{venue}.jsonl", "cut", "bad_frames")
            for venue in ("kalshi", "coinbase", "kraken", "polymarket")
        ],
    ],
)
def test_one_damaged_frame_is_counted_and_no_book_is_wrong(
    name: str, damage: str, count: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A change that is missing or cut counts where the design says; what is still LIVE is exact."""
    path = path_of(name)
    venue, _, truth = expected(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    words = {"kalshi": "delta_fp", "polymarket": "price_change"}
    at = next(i for i in range(60, len(lines)) if words.get(venue, "update") in lines[i])
    if damage == "cut":
        line = json.loads(lines[at])
        lines[at] = json.dumps({**line, "data": line["data"][:-20]})
    else:
        del lines[at]
    spoilt = tmp_path / "spoilt.jsonl"
    spoilt.write_text("\n".join(lines) + "\n", encoding="utf-8")
    printed = report(capsys, str(spoilt), "--depth", "0")
    assert printed["venues"][venue][count] == 1
    assert printed["bad_lines"] == 0
    for market, book in printed["books"][venue].items():
        if book["state"] == "LIVE":
            assert ladders(book) == truth[market]
        else:
            assert (book["state"], book["bids"], book["asks"]) == ("GAP", [], [])
