"""The summary: what happened while nobody looked, from what a run leaves behind."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import summary as command
from pipeline.cli.common import OK, USAGE
from pipeline.cli.summary_facts import is_near
from pipeline.cli.summary_text import counts, span
from pipeline.clock import ManualClock
from pipeline.config import Config
from pipeline.decision_log import DECISIONS_FILE, DecisionLog
from pipeline.journal_records import SettlementRecord, SwitchRecord
from pipeline.model import Action, MarketResult, Reason
from pipeline.observer.daily import DAY_NS, MINUTE_NS, Daily, next_ns
from shm import records
from tests.support.ledgers import RUN, a_fill, a_trade, filled, opened

START_NS = ManualClock().wall_ns()
SECOND = 10**9


def log(data: Path, worker: str, lines: Iterable[tuple[float, dict[str, Any]]]) -> None:
    """Write a worker's log: seconds after the start, and the fields of each line."""
    folder = data / "logs"
    folder.mkdir(exist_ok=True)
    texts = [
        json.dumps(
            {
                "time": datetime.fromtimestamp(START_NS / SECOND + at, UTC).isoformat(),
                "worker": worker,
                **fields,
            }
        )
        for at, fields in lines
    ]
    (folder / f"{worker}.jsonl").write_text("".join(f"{text}\n" for text in texts))


def started(name: str) -> dict[str, Any]:
    return {"event": "worker", "name_": name, "state": "STARTING"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What a run of an hour left: a trade that won and one that is open, refusals, restarts, an alert."""
    clock = ManualClock()
    journal = opened(tmp_path / "ledger.sqlite", clock)
    run_id = journal.begin_run(RUN)
    journal.open_account({"kalshi": Decimal(500)}, {})
    clock.advance(10 * SECOND)
    done = a_trade(run_id, 1)
    journal.commit_intents(done)
    pair = [a_fill(done, 0), a_fill(done, 1, action="buy", price_ticks=550_000)]
    journal.record_orders([(filled(done, leg), [pair[leg]], []) for leg in (0, 1)])
    for leg, payoff, units, decimals in ((0, Decimal(10), 1000, 2), (1, Decimal(0), 10_000_000, 6)):
        fill = pair[leg]
        names = fill.event_id, fill.venue, fill.market, fill.outcome
        settled = SettlementRecord(*names, MarketResult.YES, units, decimals, payoff, Decimal(1))
        journal.record_settlement(settled)
    journal.record_switch(SwitchRecord("HALT", "a test", "anna"))
    journal.record_switch(SwitchRecord("RESUME", "", "anna"))
    journal.commit_intents(a_trade(run_id, 2))
    journal.close()
    decide(tmp_path, clock)
    log(
        tmp_path,
        "supervisor",
        [
            (-50, {"event": "started"}), (-49, started("trader")), (-40, started("trader")),
            (0, {"event": "started"}), (1, started("scanner")), (1, started("trader")),
            (9, started("scanner")), (20, started("scanner")),
            (21, {"event": "worker", "name_": "scanner", "state": "FLAPPING"}),
        ],
    )  # fmt: skip
    log(tmp_path, "feed-kraken", [(3, {"event": "connection lost"}), (4, {"event": "connected"})])
    alert = {"event": "alert", "rule": "disconnect", "over": False}
    log(tmp_path, "observer", [(3, alert), (4, {**alert, "over": True}), (5, {**alert, "rule": "daily"})])
    head = {
        "schema_version": 1, "boot_id": "b", "written_wall_ns": 1, "written_monotonic_ns": 1,
        "valid_for_s": 3,
    }  # fmt: skip
    state = {"account": "paper", "sim": True, "paper": True, "started_wall_ns": START_NS - SECOND}
    (tmp_path / "bot_state.json").write_text(json.dumps({**head, **state}))
    (tmp_path / "positions.json").write_text(json.dumps({**head, "totals": {"unrealised_usd": "-1.5"}}))
    return tmp_path


def decide(data: Path, clock: ManualClock) -> None:
    """Five decisions: two refusals far from their limit, one near, one near the edge, one lone leg."""
    decisions = DecisionLog(data / DECISIONS_FILE, wall_ns=clock.wall_ns)
    empty = records.DECISION.empty()._replace(action=Action.REJECTED, event_id="e-1")
    rows = [
        empty._replace(reason=Reason.KELLY_SIZE, value_micros=600_000_000, limit_micros=5_000_000),
        empty._replace(reason=Reason.KELLY_SIZE, value_micros=600_000_000, limit_micros=5_000_000),
        empty._replace(
            reason=Reason.VENUE_CASH, value_micros=11_000_000, limit_micros=10_000_000, net_micros=7
        ),
        empty._replace(reason=Reason.EDGE_TOO_SMALL, value_micros=30_000_000, limit_micros=50_000_000),
        empty._replace(action=Action.UNHEDGED, receive_ns=1_000_000, decide_ns=43_000_000),
    ]
    for row in rows:
        decisions.put(Action(row.action).name.lower(), row._asdict())
    assert decisions.close()


def run(data: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command, an hour after the start."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    clock = ManualClock()
    clock.advance(3600 * SECOND)
    code = command.run(parser.parse_args([*words, "--data", str(data)]), clock)
    said = capsys.readouterr()
    return code, said.out, said.err


def told(data: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code, out, err = run(data, capsys, *words, "--json")
    assert (code, err) == (OK, "")
    return dict(json.loads(out))


def test_money_and_trades_are_those_of_the_ledger(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Realised after fees, fees, and what is open as it was last marked; won, lost, best and worst."""
    found = told(data, capsys)
    assert found["pnl"] == {"realised_usd": "0.34", "fees_usd": "0.36", "unrealised_usd": "-1.5"}
    trades = found["trades"]
    assert (trades["opened"], trades["closed"], trades["won"], trades["lost"]) == (2, 1, 1, 0)
    assert (trades["best"], trades["win_rate"]) == (trades["worst"], 1)
    assert trades["best"]["result_usd"] == "0.34"


def test_refusals_near_misses_and_lone_legs_are_those_of_the_decisions(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts by reason; near are those within a fifth of the limit or half of the least edge."""
    found = told(data, capsys)
    assert found["refused"] == {"kelly_size": 2, "venue_cash": 1, "edge_too_small": 1}
    assert found["near_misses"]["count"] == 2
    best = [(row["reason"], row["value"]) for row in found["near_misses"]["best"]]
    assert best == [("venue_cash", "11"), ("edge_too_small", "30")]
    assert found["unhedged"] == {"since": 1, "now": None}
    assert (found["slowest_hop"]["hop"], found["slowest_hop"]["ms"]) == ("receive_to_decide", 42)


def test_restarts_links_and_alerts_are_those_of_the_logs(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first start of a worker in a run is none; an alert that is over, or the daily one, is none."""
    found = told(data, capsys)
    assert (found["restarts"], found["given_up"]) == ({"scanner": 2}, ["scanner"])
    assert found["disconnects"] == {"kraken": 1}
    assert found["alerts"] == {"told": {"disconnect": 1}, "not_sent": 0}
    assert [turn["state"] for turn in found["halts"]] == ["HALT", "RESUME"]
    assert told(data, capsys, "--since", "2d")["restarts"] == {"scanner": 2, "trader": 1}


def test_the_default_is_the_last_run(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --since it goes from the last start that exports or logs know to the last word."""
    found = told(data, capsys)
    assert found["since"] == "2023-11-14T22:13:20.000000Z"
    assert (found["until"], found["seconds"]) == ("2023-11-14T22:13:41.000000Z", 21)
    (data / "logs" / "supervisor.jsonl").unlink()
    assert told(data, capsys)["since"] == "2023-11-14T22:13:19.000000Z"
    later = told(data, capsys, "--since", "30m")
    assert (later["trades"]["opened"], later["refused"], later["disconnects"]) == (0, {}, {})


def test_it_is_one_screen_of_plain_words(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At most 24 lines, none too wide; the money, the reasons and the restarts are there."""
    code, out, _ = run(data, capsys)
    lines = out.splitlines()
    assert code == OK
    assert len(lines) <= 24
    assert all(len(line) <= 160 for line in lines)
    assert lines[0].startswith("SIM, not running now: 2023-11-14T22:13:20 to ")
    for text in (
        "realised $0.34 after fees",
        "unrealised -$1.5",
        "kelly_size 2",
        "scanner 2; given up: scanner",
        "kraken 1",
    ):
        assert text in out
    assert "1: the last at 22:13:30 by anna: a test, resumed" in out


def test_an_empty_folder_has_a_summary_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing ran here: that is what is said, without an error."""
    code, out, err = run(tmp_path, capsys)
    assert (code, err) == (OK, "")
    assert "no ledger" in out


def test_a_damaged_file_is_named_and_the_rest_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read is under problems; restarts and refusals are told all the same."""
    (data / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    for path in data.glob("ledger.sqlite-*"):
        path.unlink()
    found = told(data, capsys)
    assert len(found["problems"]) == 1
    assert "ledger.sqlite" in found["problems"][0]
    assert found["pnl"]["realised_usd"] is None
    assert found["refused"]["kelly_size"] == 2


def test_a_time_that_is_none_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong --since says what is understood."""
    code, _, err = run(data, capsys, "--since", "soon")
    assert code == USAGE
    assert "is no time" in err


def test_the_daily_message_is_the_same_text(data: Path) -> None:
    """What the observer sends is the summary of the period that it is asked for."""
    config = Config(
        account="paper", simulated=("kalshi",), data_directory=str(data), shm_directory=str(data / "none")
    )
    text = command.daily_text(config, START_NS, START_NS + 3600 * SECOND)
    assert text.startswith("SIM: 2023-11-14T22:13:20 to 2023-11-14T23:13:20 UTC, 1 h 0 min")
    assert "kelly_size 2" in text


@pytest.mark.parametrize(
    ("reason", "value", "limit", "near"),
    [
        ("venue_cash", "12", "10", True),
        ("venue_cash", "12.01", "10", False),
        ("race_lost", "0.25", "0.3", True),
        ("edge_too_small", "25", "50", True),
        ("edge_too_small", "24", "50", False),
        ("edge_too_small", "50", "50", False),
        ("duplicate", "1", "1", False),
        ("no_edge", "0", "0", False),
        ("venue_cash", None, None, False),
    ],
)
def test_near_is_a_fifth_or_half_of_the_edge(
    reason: str, value: str | None, limit: str | None, near: bool
) -> None:
    """Both bounds belong to it; refusals that have no limit are never near."""
    assert is_near({"reason": reason, "value": value, "limit": limit}) is near


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_061, "1 d 1 h")],
)
def test_spans_are_in_two_units(seconds: int, text: str) -> None:
    """A length of time has the two units that say most."""
    assert span(seconds) == text


def test_counts_name_the_biggest() -> None:
    """Of many only the biggest are named, and how many more there are."""
    assert counts({}) == "none"
    assert counts({f"r{n}": n for n in range(1, 9)}) == "r8 8, r7 7, r6 6, r5 5, r4 4, r3 3 and 2 more"


def test_the_daily_summary_is_due_once_a_day() -> None:
    """At the time of day, once; after a clock was set back it waits again, and "" is never."""
    midnight = START_NS - START_NS % DAY_NS
    daily = Daily()
    assert daily.due("07:30", midnight) is None
    at = midnight + 450 * MINUTE_NS
    assert daily.due("07:30", at - 1) is None
    assert daily.due("07:30", at + 5) == (at + 5 - DAY_NS, at + 5)
    assert daily.due("07:30", at + 6) is None
    assert daily.due("07:30", at - DAY_NS) is None
    assert daily.due("07:30", at + DAY_NS) is not None
    assert daily.due("", at + 3 * DAY_NS) is None
    assert next_ns("00:00", midnight) == midnight + DAY_NS
