"""Why: the reason for every no, from memory alone, with its number, its limit and the key that sets it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.cli import why
from pipeline.cli.common import NOT_RUNNING, OK, USAGE, run_directory_of
from pipeline.cli.why_decisions import decision_facts
from pipeline.cli.why_facts import Memory, event_facts
from pipeline.cli.why_text import event_lines, list_lines
from pipeline.clock import Clock, ManualClock, SystemClock
from pipeline.config import Config, EventConfig, LegConfig, ReviewConfig, VenueConfig, encode
from pipeline.decision_log import DecisionLog
from pipeline.model import Action, BookState, Confidence, FeeKind, MarketStatus, Reason
from pipeline.pairs import CLOSE_BASE, directions
from pipeline.pairs_checks import Verdict
from pipeline.scanner import segment as scanner_parts
from pipeline.scanner.lead_lag import LeadSummary
from pipeline.scanner.rows import Belief, event_row, named_row
from pipeline.status import attach_all
from shm import records
from shm import segment as segments
from shm.tables import Counters, RingWriter, TableWriter, counter_section, error_section
from tests.support.feed_memory import FeedMemory

MS = 1_000_000
DAY_NS = 86_400 * 10**9
HASH = "ab" * 32
K, P = ("kalshi", "KX-FED"), ("polymarket", "77001")
TRADER_COUNTERS = ("trades", "opportunities", "rejected.venue_cash")
REVIEW = ReviewConfig(void_rule="never", rules_hash=HASH, by="Ada", at="2026-11-01", mismatch="0.001")
LEGS = (LegConfig(*K), LegConfig(*P))
EVENTS = (
    EventConfig("fed-hold", "Fed holds", legs=LEGS, review=REVIEW),
    EventConfig("fed-unread", legs=LEGS),
    EventConfig("fed-model", kind="model", legs=(LegConfig(*K), LegConfig("kraken", "BTC/USD", "base"))),
)


class FakeRun:
    """Two feeds, a scanner and a trader, written by the test through the real writers."""

    def __init__(self, data: Path, shm: Path, clock: Clock) -> None:
        self.clock = clock
        venues = {name: VenueConfig() for name in ("kalshi", "polymarket")}
        self.config = Config(
            simulated=("kalshi", "polymarket"),
            data_directory=str(data),
            run_directory=str(run_directory_of(data)),
            shm_directory=str(shm),
            venues=venues,
            events=EVENTS,
        )
        run = Path(self.config.run_directory)
        run.mkdir(parents=True, mode=0o700)
        (run / "config.json").write_bytes(encode(self.config))
        self.parts = [
            self.make("supervisor", [counter_section(["starts"])]),
            self.make("scanner", [counter_section(scanner_parts.COUNTERS), *scanner_parts.sections(8)]),
            self.make(
                "trader",
                [
                    counter_section(TRADER_COUNTERS),
                    records.SUMMARY.section("summary", 1),
                    records.KELLY.section("kelly", 1),
                    records.POSITION.section("positions", 8),
                    records.DECISION.section("decisions", 64),
                ],
            ),
        ]
        _, self.scanner, self.trader = self.parts
        self.feeds = {venue: FeedMemory(shm, venue, clock) for venue in venues}
        fees = {
            "kalshi": {"fee_kind": FeeKind.KALSHI, "fee_rate_ppm": 70_000, "fee_precision_micros": 10_000},
            "polymarket": {"fee_kind": FeeKind.POLYMARKET, "fee_rate_ppm": 20_000},
        }
        for (venue, market), size in ((K, 2), (P, 6)):
            self.feeds[venue].describe(
                market,
                price_decimals=6,
                size_decimals=size,
                status=MarketStatus.OPEN,
                close_wall_ns=clock.wall_ns() + 30 * DAY_NS,
                fee_exponent=1,
                fee_source=f"{venue} itself",
                fee_as_of_ns=clock.wall_ns(),
                rules_hash=HASH,
                **fees[venue],
            )
        self.books("0.60", "0.66")

    def make(self, name: str, sections: list[Any]) -> segments.Segment:
        return segments.create(
            Path(self.config.shm_directory),
            name,
            [*sections, error_section()],
            segments.this_owner(1),
            monotonic_ns=self.clock.monotonic_ns(),
            wall_ns=self.clock.wall_ns(),
            sleep=self.clock.sleep,
        )

    def books(self, kalshi_ask: str, polymarket_bid: str) -> None:
        """YES asked at Kalshi and bid at Polymarket; the other sides are two cents away."""
        two = Decimal("0.02")
        ask, bid = Decimal(kalshi_ask), Decimal(polymarket_bid)
        self.feeds["kalshi"].book(K[1], [(str(ask - two), "400")], [(kalshi_ask, "200"), ("0.9", "500")])
        self.feeds["polymarket"].book(P[1], [(polymarket_bid, "300")], [(str(bid + two), "300")])

    def account(self, **cells: int | str) -> None:
        """Show the trader's totals."""
        row = records.SUMMARY.empty()._replace(mode="taker", exposure_micros=38_200_000, **cells)
        TableWriter(self.trader, "summary", records.SUMMARY).put(0, row)

    def memory(self) -> Memory:
        return Memory.of(self.config, attach_all(Path(self.config.shm_directory)), self.clock)

    def scan(self, belief: Belief, lead: LeadSummary, verdict: Verdict | None = None) -> None:
        """Write the rows of every pair, as the scanner does."""
        memory = self.memory()
        table: TableWriter[records.EventRow] = TableWriter(self.scanner, "events", records.EVENT)
        for at, direction in enumerate(directions(self.config.all_events())):
            priced = memory.price(direction)
            if priced is not None:
                now = self.clock.monotonic_ns()
                named, said = named_row(priced.direction), verdict or priced.verdict
                row = event_row(named, priced, said, belief, lead, Decimal(4), now)
                table.put(at, row)

    def decide(self, reason: Reason, value: int = 0, limit: int = 0) -> dict[str, Any]:
        """A decision of the trader on fed-hold, in its ring; its cells."""
        row = records.DECISION.empty()._replace(
            sequence=1,
            wall_ns=1_700_000_000 * 10**9,
            event_id="fed-hold",
            action=Action.REJECTED,
            reason=reason,
            value_micros=value,
            limit_micros=limit,
        )
        RingWriter(self.trader, "decisions", records.DECISION).append(row)
        return row._asdict()

    def hold(self, units: int) -> None:
        """Show a pair of fed-hold as held."""
        table: TableWriter[records.PositionRow] = TableWriter(self.trader, "positions", records.POSITION)
        for at, ((venue, market), outcome) in enumerate(((K, "yes"), (P, "no"))):
            row = records.POSITION.empty()._replace(
                event_id="fed-hold", venue=venue, market=market, outcome=outcome
            )
            table.put(at, row._replace(units=units, size_decimals=2))

    def facts(self, event_id: str = "fed-hold") -> dict[str, Any]:
        memory = self.memory()
        event = next(one for one in self.config.all_events() if one.id == event_id)
        found = event_facts(memory, event) | decision_facts(memory, event_id)
        assert json.loads(json.dumps(found)) == found
        return found

    def close(self) -> None:
        for feed in self.feeds.values():
            feed.close(unlink=True)
        for part in self.parts:
            part.close(unlink=True)


@pytest.fixture
def clock() -> ManualClock:
    """Time that moves when told to."""
    return ManualClock()


@pytest.fixture
def run(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRun]:
    """A run with an edge from Kalshi to Polymarket."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = FakeRun(tmp_path / "data", tmp_path / "shm", clock)
    yield made
    made.close()


def text_of(facts: dict[str, Any]) -> str:
    return "\n".join(event_lines(facts))


def test_the_waterfall_adds_up_and_names_each_venue_s_fee(run: FakeRun) -> None:
    """Gross less depth and each leg's fee is net; net less leg risk and lock-up is what remains, exactly."""
    run.scan(Belief(Confidence.HIGH, 820_000, 37, 1), LeadSummary(0, 12 * MS, 34, 40))
    first = run.facts()["directions"][0]
    fall = {key: Decimal(value) for key, value in first["waterfall"].items() if key != "fees"}
    fees = [Decimal(fee["fee"]) for fee in first["waterfall"]["fees"]]
    assert [fee["venue"] for fee in first["waterfall"]["fees"]] == ["kalshi", "polymarket"]
    assert fall["net"] == fall["gross"] - fall["depth"] - sum(fees)
    assert fall["remains"] == fall["net"] - fall["leg_risk"] - fall["lock_up"]
    assert all(fee > 0 for fee in fees)
    assert fall["leg_risk"] > 0 and fall["lock_up"] > 0
    assert Decimal(first["net_low"]) <= fall["net"]
    assert (first["size"], first["worst_payoff"], first["break_even"] is None) == ("200", "1", False)
    text = text_of(run.facts())
    for words in ("gross", "depth", "fee kalshi", "fee polymarket", "leg risk", "lock-up", "remains"):
        assert words in text
    assert "kalshi moves first: 34 of 40 moves, by 12 ms" in text
    assert "confidence high" in text and "race 82 % (n = 37)" in text


def test_a_no_has_its_number_its_limit_and_the_key_that_sets_it(run: FakeRun, clock: ManualClock) -> None:
    """The sentence says what failed what, and which setting would change it."""
    passed = run.facts()["directions"][0]["verdict"]
    assert passed["reason"] is None
    loses = run.facts()["directions"][1]["verdict"]
    assert (loses["reason"], loses["keys"]) == ("no_edge", {})
    clock.advance(2_600 * MS)
    for feed in run.feeds.values():
        feed.beat()
    old = run.facts()["directions"][0]["verdict"]
    assert (old["reason"], old["value"], old["limit"]) == ("book_too_old", "2600", "2000")
    assert old["keys"] == {"risk.max_book_age_ms": "2000"}
    assert "book 2600 > 2000 ms (risk.max_book_age_ms = 2000)" in text_of(run.facts())


def test_of_two_limits_the_one_that_failed_is_named(run: FakeRun) -> None:
    """Too little profit in dollars is not blamed on the limit in per cent."""
    risk = replace(run.config.risk, min_profit_usd="900")
    run.config = replace(run.config, risk=risk)
    verdict = run.facts()["directions"][0]["verdict"]
    assert verdict["reason"] == "profit_too_small"
    assert verdict["keys"] == {"risk.min_profit_usd": "900"}


def test_the_legs_show_book_fee_source_and_rules(run: FakeRun) -> None:
    """Each leg has its state, age and best prices, its fee with who stated it and when, and its rules."""
    facts = run.facts()
    kalshi = facts["legs"][0]
    assert (kalshi["state"], kalshi["age_ms"]) == ("LIVE", 0)
    assert kalshi["ask"] == {"price": "0.6", "size": "200"}
    assert (kalshi["fee"]["kind"], kalshi["fee"]["rate"]) == ("kalshi", "0.07")
    assert kalshi["fee"]["source"] == "kalshi itself" and kalshi["fee"]["as_of"]
    assert kalshi["rules"] == "as reviewed"
    run.feeds["polymarket"].describe(P[1], rules_hash="cd" * 32)
    changed = run.facts()
    assert changed["legs"][1]["rules"] == "changed"
    assert {one["verdict"]["reason"] for one in changed["directions"]} == {"rules_changed"}
    text = text_of(changed)
    assert "by Ada on 2026-11-01, mismatch 0.001" in text
    assert "rules CHANGED, now cdcdcdcdcdcd" in text
    assert "events.review.rules_hash" in text


def test_an_unreviewed_event_is_said_to_be_watched_only(run: FakeRun) -> None:
    """Without a review the numbers are there and the verdict names the missing review."""
    facts = run.facts("fed-unread")
    assert facts["review"] is None
    assert facts["directions"][0]["verdict"]["reason"] == "not_reviewed"
    assert facts["directions"][0]["waterfall"] is not None
    assert "never traded (events.review.by)" in text_of(facts)


@pytest.mark.parametrize(
    ("state", "reason"), [(BookState.GAP, "book_gap"), (BookState.CROSSED, "book_crossed")]
)
def test_a_book_that_is_not_believed_gives_no_numbers(run: FakeRun, state: BookState, reason: str) -> None:
    """No waterfall is made from a book that is not LIVE."""
    run.feeds["kalshi"].book(K[1], [("0.5", "1")], [("0.6", "1")], state=state)
    facts = run.facts()
    assert facts["legs"][0]["state"] == state.name
    for one in facts["directions"]:
        assert (one["verdict"]["reason"], one["waterfall"]) == (reason, None)


def test_a_dead_feed_and_a_missing_one_are_told_apart(run: FakeRun, clock: ManualClock) -> None:
    """A feed without a heartbeat is DEAD; a market that no feed has is MISSING."""
    clock.advance(400 * MS)
    run.feeds["kalshi"].beat()
    facts = run.facts()
    assert [leg["state"] for leg in facts["legs"]] == ["LIVE", "DEAD"]
    assert facts["directions"][0]["verdict"]["keys"] == {"scanner.heartbeat_ms": "250"}
    model = run.facts("fed-model")
    assert model["legs"][1]["state"] == "MISSING"
    assert {one["verdict"]["text"] for one in model["directions"]} == {"the scanner has not looked at it"}


def test_what_only_the_scanner_knows_is_its_word(run: FakeRun) -> None:
    """That an edge must last, and what a model says, come from the scanner's row."""
    wait = Verdict(Reason.UNCONFIRMED, Decimal(120), Decimal(500))
    run.scan(Belief(Confidence.MEDIUM, 500_000, 0, 1), LeadSummary(-1, 0, 5, 9), wait)
    facts = run.facts()
    verdict = facts["directions"][0]["verdict"]
    assert (verdict["reason"], verdict["keys"]) == ("unconfirmed", {"scanner.persist_ms": "500"})
    text = text_of(facts)
    assert "race 50 % (prior)" in text
    assert "neither leg moves first (n = 9)" in text
    row = records.EVENT.empty()._replace(
        event_id="fed-model", kind="model", reason=Reason.WATCH_ONLY, model_low_ppm=540_000, model_ppm=600_000
    )
    table: TableWriter[records.EventRow] = TableWriter(run.scanner, "events", records.EVENT)
    table.put(9, row._replace(model_high_ppm=660_000, sigma_ppm=450_000))
    model = text_of(run.facts("fed-model"))
    assert "(MODEL, no arbitrage)" in model
    assert "model: YES 0.54 to 0.66, at best 0.6; volatility 0.45 a year" in model


def test_a_held_pair_is_priced_to_close(run: FakeRun) -> None:
    """What is held has a direction of its own, for at most what is held."""
    assert len(run.facts()["directions"]) == 2
    run.hold(1_500)
    close = run.facts()["directions"][2]
    assert (close["kind"], close["direction"]) == ("close", CLOSE_BASE)
    assert {leg["action"] for leg in close["legs"]} == {"sell"}
    assert close["verdict"]["reason"] is not None
    assert Decimal(close["size"]) <= 15


def test_the_trader_s_last_word_stands_there(run: FakeRun) -> None:
    """Its last refusals come with their limit and key, from the ring, else from the log of decisions."""
    assert "trader: it shows no account" in text_of(run.facts())
    run.account(halted=1, halt_cause="lost $20", unhedged=2, resolving=3)
    kelly = records.KELLY.empty()._replace(recommended_micros=25_000_000)
    TableWriter(run.trader, "kelly", records.KELLY).put(0, kelly)
    said = text_of(run.facts())
    assert "trader: HALTED (lost $20), asks for 3 orders of an earlier run, 2 unhedged" in said
    assert "exposure $38.20, day P&L $0.00, Kelly $25.00" in said
    assert "it has decided nothing" in text_of(run.facts())
    cells = run.decide(Reason.VENUE_CASH, 12_500_000, 10_000_000)
    Counters(run.trader, TRADER_COUNTERS).add("rejected.venue_cash", 4)
    facts = run.facts()
    assert facts["trader_refusals"] == {"venue_cash": 4}
    assert "2023-11-14T22:13:20Z" in text_of(facts)
    assert "rejected  cash $12.50 > $10.00 (trader.cash)" in text_of(facts)
    RingWriter(run.trader, "decisions", records.DECISION).append(
        records.DECISION.empty()._replace(sequence=65, event_id="other")
    )
    assert run.facts()["decisions"] == []
    log = DecisionLog(Path(run.config.data_directory) / "decisions.sqlite", wall_ns=run.clock.wall_ns)
    assert log.put("rejected", cells)
    assert log.close(20)
    assert [one["sentence"] for one in run.facts()["decisions"]] == ["cash $12.50 > $10.00"]


def test_a_damaged_log_is_named_and_stops_nothing(run: FakeRun) -> None:
    """The log of decisions is not memory: if it cannot be read, the rest is told all the same."""
    path = Path(run.config.data_directory) / "decisions.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 100)
    facts = run.facts()
    assert str(path) in facts["log_problem"]
    assert facts["directions"][0]["waterfall"] is not None
    assert str(path) in text_of(facts)


def test_queues_of_the_event_s_books_are_shown(run: FakeRun) -> None:
    """A maker's place in the queue stands there by all three models; other books' are left out."""
    table: TableWriter[records.QuoteRow] = TableWriter(run.scanner, "quotes", records.QUOTE)
    row = records.QuoteRow(*K, "bid", 580_000, 6, 2, 0, 40_000, 30_000, 20_000, 15_000, 10_000)
    table.put(0, row)
    table.put(1, row._replace(market="ELSE"))
    (quote,) = run.facts()["quotes"]
    assert (quote["price"], quote["risk_averse"], quote["power"], quote["log"]) == (
        "0.58",
        "200",
        "150",
        "100",
    )
    assert "queue kalshi KX-FED bid 0.58" in text_of(run.facts())


def test_without_an_event_every_direction_has_a_line(run: FakeRun) -> None:
    """All events are listed, a line a direction with its edge and why it is not traded."""
    run.scan(Belief(), LeadSummary(-1, 0, 0, 0))
    found = why.list_facts(run.memory(), run.config.all_events())
    assert [one["event"] for one in found] == ["fed-hold"] * 2 + ["fed-unread"] * 2 + ["fed-model"] * 2
    text = list_lines(found)
    assert len(text) == 9
    assert "K→P  yes K + no P" in text[1] and "the scanner offers it" in text[1]
    assert "no edge after fees" in text[2]
    assert "rules not reviewed" in text[3]
    assert list_lines([]) == ["no events: name some in config.toml under [[events]]"]


def arguments(data: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    why.add_arguments(parser)
    return parser.parse_args([*words, "--data", str(data)])


def test_the_command_has_its_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 with one object or lines, 2 with near names for an unknown event, 4 where nothing runs."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    data = tmp_path / "data"
    assert why.run(arguments(data, "fed-hold")) == NOT_RUNNING
    made = FakeRun(data, tmp_path / "shm", SystemClock())
    try:
        assert why.run(arguments(data, "fed-hold", "--json")) == OK
        (line,) = capsys.readouterr().out.splitlines()
        assert json.loads(line)["event"] == "fed-hold"
        assert why.run(arguments(data, "--json")) == OK
        assert len(json.loads(capsys.readouterr().out)["events"]) == 6
        for words in ([], ["fed-hold"]):
            assert why.run(arguments(data, *words)) == OK
            assert "fed-hold" in capsys.readouterr().out
        assert why.run(arguments(data, "fed-hodl")) == USAGE
        problem = capsys.readouterr().err
        assert "did you mean fed-hold" in problem and "run.py why lists all 3" in problem
        assert why.run(arguments(data, "zzz")) == USAGE
        assert "did you mean" not in capsys.readouterr().err
    finally:
        made.close()
