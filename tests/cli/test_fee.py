"""`run.py fee`: the fee of one fill as DESIGN 9 and the issue name it, and what is refused."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import fee
from pipeline.cli.parser import Parser

PLAIN = '[venues.kalshi]\nurl = "sim"\nrest_url = "sim"\n'


CUSTOM = "polymarket --price 0.5 --size 3 --set fees.polymarket.kind=custom --set fees.polymarket.rate=0.003"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that says nothing about fees."""
    path = tmp_path / "config.toml"
    path.write_text(PLAIN, encoding="utf-8")
    return path


def call(config: Path, words: str) -> int:
    """The exit code of `run.py fee` with these words."""
    parser: argparse.ArgumentParser = Parser(prog="run.py fee")
    fee.add_arguments(parser)
    argv = [*words.split(), "--config", str(config), "--data", str(config.parent)]
    try:
        return fee.run(parser.parse_args(argv))
    except SystemExit as end:
        return int(end.code or 0)


def report(config: Path, capsys: pytest.CaptureFixture[str], words: str) -> dict[str, Any]:
    """What `run.py fee ... --json` prints."""
    assert call(config, f"{words} --json") == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


# Words, and the fee as text: those of the issue, the venue pages (K5, P5, 2.10), and each key there is.
FEES = [
    ("kalshi --price 0.37 --size 7", "0.12"),
    ("kalshi --price 0.37 --size 7 --set fees.kalshi.account_precision=0.0001", "0.1143"),
    ("kalshi --price 0.50 --size 1", "0.02"),
    ("kalshi --price 0.68 --size 100", "1.53"),
    ("kalshi --price 0.3301 --size 0.03", "0.010097"),
    ("kalshi --price 0.50 --size 100 --role maker", "0"),
    ("kalshi --price 0.50 --size 100 --role maker --set fees.kalshi.maker_coefficient=0.0175", "0.44"),
    ("kalshi --price 0.50 --size 100 --role maker --set fees.kalshi.maker_coefficient=0.035", "0.88"),
    ("kalshi --price 0.50 --size 100 --set fees.kalshi.multiplier=0.5", "0.88"),
    ("kalshi --price 0.50 --size 100 --set fees.kalshi.taker_coefficient=0.035", "0.88"),
    ("kalshi --price 0.50 --size 100 --set fees.kalshi.taker_coefficient=0", "0"),
    ("kalshi --price 0.50 --size 10 --set fees.kalshi.kind=flat --set fees.kalshi.per_unit=0.0105", "0.11"),
    ("polymarket --price 0.87 --size 12.34 --set fees.polymarket.rate=0.05", "0.06978"),
    ("polymarket --price 0.5 --size 100 --set fees.polymarket.rate=0.25 --set fees.polymarket.exponent=2",
     "1.5625"),
    ("polymarket --price 0.01 --size 0.01 --set fees.polymarket.rate=0.03", "0"),
    ("polymarket --price 0.5 --size 100 --set fees.polymarket.rate=0", "0"),
    ("polymarket --price 0.5 --size 100 --role maker --set fees.polymarket.rate=0.07", "0"),
    (f"{CUSTOM} --set fees.polymarket.rounding=0.001", "0.005"),
    ("kraken --price 60000 --size 0.5", "120"),
    ("kraken --price 60000 --size 0.5 --role maker", "75"),
    ("kraken --price 60000 --size 0.5 --set fees.kraken.taker_bps=10", "30"),
    ("kraken --price 60000 --size 0.5 --role maker --set fees.kraken.maker_bps=0", "0"),
    ("kraken --price 60000 --size 0.5 --set fees.kraken.volume_usd=250000", "60"),
    ("coinbase --price 60000 --size 0.5", "360"),
    ("coinbase --price 60000 --size 0.5 --role maker", "180"),
    ("coinbase --price 60000 --size 0.5 --set fees.coinbase.taker_bps=5", "15"),
    ("ccxt:bybit --price 60000 --size 0.5 --set fees.'ccxt:bybit'.taker_bps=10", "30"),
    ("coinbase --price 0.00000001 --size 0.00000001", "0.00000001"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), FEES)
def test_a_fill_costs_what_the_venues_page_says(
    config: Path, capsys: pytest.CaptureFixture[str], words: str, expected: str
) -> None:
    """`fee` is exact decimal text without trailing zeros, whatever is set."""
    answer = report(config, capsys, words)
    assert answer["fee"] == answer["fee_low"] == expected
    assert float(answer["fee_high"]) >= float(expected)


def test_the_answer_names_the_numbers_and_who_stated_them(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kind, role, rates, source and date stand beside the fee."""
    assert report(config, capsys, "kalshi --price .370 --size 7.00") == {
        "venue": "kalshi",
        "price": "0.37",
        "size": "7",
        "role": "taker",
        "fee": "0.12",
        "fee_low": "0.12",
        "fee_high": "0.12",
        "kind": "kalshi",
        "coefficient": "0.07",
        "account_precision": "0.01",
        "source": "kalshi schedule 2026-07-07, base model",
        "as_of": "2026-07-07T00:00:00Z",
    }
    answer = report(config, capsys, "kraken --price 1 --size 1 --role maker --set fees.kraken.taker_bps=9")
    assert (answer["bps"], answer["source"], answer["as_of"]) == ("25", "config [fees.kraken]", None)
    assert report(config, capsys, "coinbase --price 1 --size 1")["source"] == "table 2026, Coinbase Intro 1"


def test_an_order_is_priced_fill_by_fill(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--fills runs through Kalshi's accumulator: the third of three fills is paid by the first two."""
    words = "kalshi --price 0.5 --size 0.9 --fills 0.30@0.50,0.30@0.50,0.30@0.50"
    answer = report(config, capsys, words)
    assert answer["order_fee"] == "0.02"
    assert [each["fee"] for each in answer["fills"]] == ["0.01", "0.01", "0"]
    assert call(config, words) == 0
    assert "0.3 at 0.5: 0.01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("polymarket --price 0.5 --size 1", "fees.polymarket.rate"),
        ("polymarket --price 0.5 --size 1 --role maker", "fees.polymarket.rate"),
        ("ccxt:bybit --price 5 --size 1", 'fees."ccxt:bybit".taker_bps'),
        ("coinbase --price 5 --size 1 --set fees.coinbase.volume_usd=5000", "fees.coinbase.taker_bps"),
    ],
)
def test_an_unknown_fee_is_no_zero(
    config: Path, capsys: pytest.CaptureFixture[str], words: str, key: str
) -> None:
    """Exit 1, nothing on stdout, and the key to set on stderr."""
    assert call(config, f"{words} --json") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert key in said.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("kalshii --price 0.5 --size 1", "did you mean 'kalshi'"),
        ("kalshi --price 1 --size 1", "--price 1: a contract"),
        ("kalshi --price 0 --size 1", "--price 0: a contract"),
        ("polymarket --price 1.5 --size 1", "less than 1 dollar"),
        ("polymarket --price -0.5 --size 1", "more than 0"),
        ("polymarket --price=-0.5 --size 1", "more than 0"),
        ("kraken --price 0 --size 1", "above 0"),
        ("kalshi --price x --size 1", "--price: 'x' is not a number"),
        ("kalshi --price NaN --size 1", "--price"),
        ("kalshi --price 0.5 --size 0", "--size 0: a size is above 0"),
        ("kalshi --price 0.5 --size=-1", "above 0"),
        ("kalshi --price 0.5 --size 0.0000001", "more than 6 decimals"),
        ("kalshi --price 0.5 --size 1e30", "--size"),
        ("kalshi --price 0.5 --size 1 --role giver", "taker, maker"),
        ("kalshi --price 0.5", "--size"),
        ("kalshi --price 0.5 --size 1 --fills 1", "SIZE@PRICE"),
        ("kalshi --price 0.5 --size 1 --fills 1@0.5,1@2", "--fills 2: a contract"),
    ],
)
def test_what_cannot_be_a_fill_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str], words: str, text: str
) -> None:
    """Exit 2; stderr says what, where, and what to give."""
    assert call(config, words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert text in said.err


@pytest.mark.parametrize(
    "setting",
    [
        "fees.kalshi.multiplier=-1",
        "fees.kalshi.taker_coefficient=1",
        "fees.kalshi.taker_bps=40",
        "fees.x.rate=0",
    ],
)
def test_settings_that_cannot_be_end_with_three(
    config: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    """What a key may not hold, and a key that would count for nothing, are problems of the configuration."""
    assert call(config, f"kalshi --price 0.5 --size 1 --set {setting}") == 3
    assert "fees." in capsys.readouterr().err
