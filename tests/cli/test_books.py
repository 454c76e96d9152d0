"""`run.py books`: the output that DESIGN 9 fixes, from tapes that we made."""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import books

NAMES = ["book_messages", "bad_frames", "gaps", "checksums_ok", "checksums_bad"]


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    books.add_arguments(parser)
    return books.run(parser.parse_args(words))


def report(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert call(*words, "--json") == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def kraken(kind: str, bids: str, asks: str, checksum: int) -> str:
    def side(levels: str) -> str:
        pairs = [level.split("@") for level in levels.split()]
        return ",".join(f'{{"price":{price},"qty":{size}}}' for size, price in pairs)

    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"SOL/USD",'
        f'"bids":[{side(bids)}],"asks":[{side(asks)}],"checksum":{checksum}}}]}}'
    )


def coinbase(number: int, kind: str = "update", size: str = "1") -> str:
    one = {"side": "bid", "price_level": "100.10", "new_quantity": size}
    event = {"type": kind, "product_id": "ETH-USD", "updates": [one]}
    return json.dumps({"channel": "l2_data", "sequence_num": number, "events": [event]})


def tape(path: Path, *frames: tuple[str, object, str], more: str = "") -> str:
    """Write a tape of (venue, conn, data)."""
    lines = [
        json.dumps({"t": number, "venue": venue, "conn": conn, "data": data})
        for number, (venue, conn, data) in enumerate(frames, 1)
    ]
    path.write_text("\n".join(lines) + "\n" + more, encoding="utf-8")
    return str(path)


KRAKEN_TAPE = [
    ("kraken", 0, kraken("snapshot", "2.50@99.9 1.00@99.8", "1.25@100.1", 0)),
    ("kraken", 0, kraken("update", "", "0.00@100.1 3.00@100.2", 0)),
]


def verified(frames: list[tuple[str, object, str]]) -> list[tuple[str, object, str]]:
    sums = [zlib.crc32(b"10011259992509981" + b"00"), zlib.crc32(b"10023009992509981" + b"00")]
    return [
        (venue, conn, data.replace('"checksum":0', f'"checksum":{checksum}'))
        for (venue, conn, data), checksum in zip(frames, sums, strict=True)
    ]


def test_the_json_has_exactly_the_keys_of_the_design(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plain decimal text without trailing zeros, best level first."""
    path = tape(tmp_path / "t.jsonl", *verified(list(KRAKEN_TAPE)))
    assert report(capsys, path) == {
        "books": {
            "kraken": {
                "SOL/USD": {
                    "state": "LIVE",
                    "bids": [["99.9", "2.5"], ["99.8", "1"]],
                    "asks": [["100.2", "3"]],
                }
            }
        },
        "venues": {
            "kraken": {
                "frames": 2,
                "book_messages": 2,
                "bad_frames": 0,
                "gaps": 0,
                "checksums_ok": 2,
                "checksums_bad": 0,
            }
        },
        "bad_lines": 0,
    }


def test_a_wrong_checksum_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The book is GAP and has no levels."""
    result = report(capsys, tape(tmp_path / "t.jsonl", *KRAKEN_TAPE))
    assert result["books"]["kraken"]["SOL/USD"] == {"state": "GAP", "bids": [], "asks": []}
    assert result["venues"]["kraken"]["checksums_bad"] == 1


def test_depth_cuts_the_output_and_0_is_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --depth 25 levels a side are shown."""
    updates = [{"side": "offer", "price_level": str(100 + step), "new_quantity": "1"} for step in range(40)]
    event = {"type": "snapshot", "product_id": "A-B", "updates": updates}
    data = json.dumps({"channel": "l2_data", "sequence_num": 0, "events": [event]})
    path = tape(tmp_path / "t.jsonl", ("coinbase", 0, data))
    for words, count in ([], 25), (["--depth", "0"], 40), (["--depth", "3"], 3):
        book = report(capsys, path, *words)["books"]["coinbase"]["A-B"]
        assert len(book["asks"]) == count
        assert book["asks"][0] == ["100", "1"]


def test_sequences_are_counted_per_connection_and_books_per_venue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two connections with their own numbers are no gap; a jump on one is."""
    frames = [
        ("coinbase", "a", coinbase(0, "snapshot")),
        ("coinbase", "b", coinbase(50)),
        ("coinbase", "a", coinbase(1, size="2.50")),
        ("coinbase", "b", coinbase(51, size="4")),
    ]
    result = report(capsys, tape(tmp_path / "t.jsonl", *frames))
    assert result["venues"]["coinbase"]["gaps"] == 0
    assert result["books"]["coinbase"]["ETH-USD"]["bids"] == [["100.1", "4"]]
    frames.append(("coinbase", "a", coinbase(3)))
    result = report(capsys, tape(tmp_path / "t.jsonl", *frames))
    assert result["venues"]["coinbase"]["gaps"] == 1
    assert result["books"]["coinbase"]["ETH-USD"]["state"] == "GAP"


def test_a_batch_is_judged_at_the_tapes_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A book whose best price is not the one that its venue stated last is not shown as LIVE."""
    book = {"event_type": "book", "asset_id": "7", "market": "0x1", "timestamp": "1700000000000", "hash": "a"}
    sides = {"bids": [{"price": ".40", "size": "5"}], "asks": [{"price": ".42", "size": "5"}]}
    entry = {"asset_id": "7", "price": "0.39", "size": "2", "side": "BUY", "hash": "b", "best_ask": "0.42"}
    for best, state in (("0.4", "LIVE"), ("0.41", "GAP")):
        change = {"event_type": "price_change", "market": "0x1", "timestamp": "1700000000009"}
        change["price_changes"] = [{**entry, "best_bid": best}]  # type: ignore[assignment]
        frames = [("polymarket", 0, json.dumps(frame)) for frame in ({**book, **sides}, change)]
        result = report(capsys, tape(tmp_path / "t.jsonl", *frames))
        assert result["books"]["polymarket"]["7"]["state"] == state


def test_broken_lines_are_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each stands on stderr with its number, and the exit code stays 0."""
    path = tape(tmp_path / "t.jsonl", *verified(list(KRAKEN_TAPE)), more='{"t":\nx\n')
    assert call(path, "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["bad_lines"] == 2
    assert json.loads(printed.out)["venues"]["kraken"]["frames"] == 2
    assert [("line 3" in one, "line 4" in one) for one in printed.err.splitlines()] == [
        (True, False),
        (False, True),
    ]


def test_bad_frames_are_no_bad_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sound line may hold a frame that makes no sense."""
    result = report(capsys, tape(tmp_path / "t.jsonl", ("kraken", 0, "boo"), ("kraken", 0, "{")))
    counts = result["venues"]["kraken"]
    assert (result["bad_lines"], counts["frames"], counts["bad_frames"]) == (0, 2, 2)


def test_what_we_sent_changes_no_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line is the venue's, but it is no message of the venue."""
    sent = {"t": 1, "venue": "kraken", "conn": 0, "dir": "out", "data": KRAKEN_TAPE[0][2]}
    path = tape(tmp_path / "t.jsonl", more=json.dumps(sent))
    result = report(capsys, path)
    assert result["books"] == {"kraken": {}}
    assert result["venues"]["kraken"] == {"frames": 1, **dict.fromkeys(NAMES, 0)}


def test_a_venue_we_do_not_know_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its frames are counted and it has no books."""
    path = tape(tmp_path / "t.jsonl", ("moon", 0, "a"), ("moon", 0, "b"))
    assert call(path, "--json") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["books"] == {"moon": {}}
    assert result["venues"]["moon"] == {"frames": 2, **dict.fromkeys(NAMES, 0)}
    assert printed.err.count("moon") == 1


@pytest.mark.parametrize("name", ["absent.jsonl", "tape.jsonl.bz2", "fake.jsonl.gz"])
def test_a_tape_that_cannot_be_read_is_one_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Nothing is printed on stdout."""
    if not name.startswith("absent"):
        (tmp_path / name).write_text("no tape", encoding="utf-8")
    assert call(str(tmp_path / name), "--json") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert name in printed.err


@pytest.mark.parametrize("depth", ["-1", "x", "1.5", ""])
def test_a_depth_that_is_no_count_is_a_usage_error(depth: str) -> None:
    """argparse ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        call("t.jsonl", f"--depth={depth}")
    assert stop.value.code == 2


def test_the_table_names_every_venue_and_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People see states, best levels and counts."""
    frames = [*verified(list(KRAKEN_TAPE)), ("coinbase", 0, coinbase(0))]
    assert call(tape(tmp_path / "t.jsonl", *frames)) == 0
    text = capsys.readouterr().out
    for word in ("kraken SOL/USD", "LIVE", "99.9", "100.2", "coinbase ETH-USD", "EMPTY"):
        assert word in text


def test_a_tape_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of venues and markets come from anywhere: what a terminal would obey is told, not sent."""
    evil = coinbase(0).replace("ETH-USD", "A\\u001b[31m\\u009bB\\nforged")
    path = tape(tmp_path / "t.jsonl", ("coinbase", 0, evil), ("x\x1b[2J", 0, "{}"))
    for words in ([], ["--json"]):
        assert call(path, *words) == 0
        printed = capsys.readouterr()
        assert all(sign.isprintable() or sign == "\n" for sign in printed.out + printed.err)
        assert "forged" in printed.out
        assert not any(line.startswith("forged") for line in printed.out.splitlines())


def test_every_recording_is_healthy(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All books of the recordings are LIVE, without gap, bad frame, bad line or bad checksum."""
    for path in sorted(tapes.glob("*.jsonl.gz")):
        result = report(capsys, str(path), "--depth", "1")
        assert result["bad_lines"] == 0
        for counts in result["venues"].values():
            assert (counts["gaps"], counts["bad_frames"], counts["checksums_bad"]) == (0, 0, 0)
        states = [book["state"] for group in result["books"].values() for book in group.values()]
        assert set(states) == {"LIVE"}
