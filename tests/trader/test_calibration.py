"""Calibration: what a trade came to beside what was predicted, and how good the predictions are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.journal_records import FillRecord, IntentRecord, TradeRecord, canonical
from pipeline.model import EXACT, Action, FeeKind, FeeSchedule, Scale
from pipeline.model_events import OrderLeg
from pipeline.trader.broker import Purpose
from pipeline.trader.calibration import Calibration, Outcome, outcome_of, outcome_row, outcomes_of, shown_of
from pipeline.trader.plan import MAKER_HEDGE, TAKER, PlanLeg, TradePlan
from shm.records import CALIBRATION, OUTCOME

D = Decimal
FEE = FeeSchedule(FeeKind.FLAT)
CENTS = Scale(2, 0)
DECIDED = 1_000_000_000
MS = 1_000_000
# Ten pairs: YES at 40 cents at one venue, NO at 55 (the book's 45) at the other, a cent of fee each pair.
PLAN = TradePlan(
    trade_id="r-1.7",
    event_id="fed",
    kind="binary",
    direction=0,
    mode=TAKER,
    legs=(
        PlanLeg("kalshi", "K", "yes", "buy", "same", CENTS, FEE),
        PlanLeg("polymarket", "P", "no", "buy", "same", CENTS, FEE),
    ),
    payoff=D(1),
    size_units=10,
    size_decimals=0,
    edge_bp=416,
    net=D("0.40"),
    cash=D("9.60"),
    race_ppm=800_000,
    latency_ns=50 * MS,
)


class Books:
    """Orders and fills of one trade, made as the trader and its broker would."""

    def __init__(self, plan: TradePlan = PLAN) -> None:
        self.plan = plan
        self.intents: list[IntentRecord] = []
        self.fills: list[FillRecord] = []

    def order(
        self,
        leg: int,
        purpose: Purpose,
        fills: Sequence[tuple[int, int]],
        *,
        fee: str = "0.05",
        at_ms: int = 40,
        shown: Sequence[tuple[int, int]] = (),
        maker: bool = False,
    ) -> None:
        """One order with its fills (book ticks, units); the fee is that of each."""
        planned = self.plan.legs[leg]
        action = planned.undo if purpose is Purpose.UNWIND else planned.action
        sent = OrderLeg(planned.venue, planned.market, planned.outcome, action, 50, 10, CENTS)
        name = f"{self.plan.trade_id}-{len(self.intents)}"
        side = "asks" if sent.takes_asks else "bids"
        book = {side: [list(level) for level in shown]}
        self.intents.append(IntentRecord(name, sent, FEE, leg, purpose, book=book))
        for number, (ticks, units) in enumerate(fills):
            self.fills.append(
                FillRecord(
                    planned.venue,
                    f"{name}.{number}",
                    name,
                    self.plan.trade_id,
                    self.plan.event_id,
                    planned.market,
                    planned.outcome,
                    action,
                    ticks,
                    units,
                    CENTS,
                    D(fee),
                    DECIDED + (at_ms + number) * MS,
                    maker=maker,
                    wall_ns=77 + at_ms,
                )
            )

    def outcome(self) -> Outcome:
        shown = shown_of(self.intents)
        return outcome_of(self.plan, self.intents, self.fills, decided_ns=DECIDED, wall_ns=99, shown=shown)


def test_what_was_filled_as_planned_comes_to_what_was_predicted() -> None:
    """Both legs filled at the planned prices and fees: the realised edge is the predicted one."""
    books = Books()
    books.order(0, Purpose.OPEN, [(40, 10)])
    books.order(1, Purpose.OPEN, [(45, 6), (45, 4)], fee="0.025", at_ms=60)
    made = books.outcome()
    assert (made.outcome, made.realised, made.predicted) == (Action.EXECUTED, D("0.40"), D("0.40"))
    assert (made.realised_bp, made.predicted_bp, made.filled_ppm) == (416, 416, 1_000_000)
    assert made.latency_ns == 60 * MS
    assert made.slippage == 0
    assert (made.trade_id, made.event_id, made.mode, made.wall_ns) == ("r-1.7", "fed", TAKER, 99)


def test_a_hedge_that_cost_more_is_in_the_realised_edge() -> None:
    """The second leg's rest, bought dearer later, counts; as a race it was lost."""
    books = Books()
    books.order(0, Purpose.OPEN, [(40, 10)])
    books.order(1, Purpose.OPEN, [(45, 4)])
    # NO at 60 cents: the book's bid at 40.
    books.order(1, Purpose.HEDGE, [(40, 6)], at_ms=900)
    made = books.outcome()
    assert made.outcome is Action.EXECUTED
    assert made.realised == 10 - D("4.00") - 4 * D("0.55") - 6 * D("0.60") - D("0.15")
    assert made.filled_ppm == 400_000
    assert made.latency_ns == 40 * MS


def test_what_unwinding_lost_is_in_the_realised_edge() -> None:
    """A leg sold back takes its loss and both fees with it; the pair that stands keeps its own."""
    books = Books()
    books.order(0, Purpose.OPEN, [(40, 10)])
    books.order(1, Purpose.OPEN, [(45, 4)])
    books.order(0, Purpose.UNWIND, [(37, 6)])
    made = books.outcome()
    pair = 4 - 4 * D("0.40") - 4 * D("0.55")
    assert made.realised == pair - 6 * D("0.03") - D("0.15")
    assert (made.outcome, made.filled_ppm) == (Action.EXECUTED, 400_000)


def test_a_trade_taken_back_whole_is_its_loss() -> None:
    """One leg filled and sold back: UNWOUND, with what that cost over the cash it took."""
    books = Books()
    books.order(0, Purpose.OPEN, [(40, 10)])
    books.order(1, Purpose.OPEN, [])
    books.order(0, Purpose.UNWIND, [(38, 10)])
    made = books.outcome()
    assert (made.outcome, made.realised) == (Action.UNWOUND, D("-0.30"))
    # 0.30 of 4.05, rounded down.
    assert (made.realised_bp, made.filled_ppm) == (-741, 0)
    assert made.traded and made.raced


def test_what_stands_alone_is_left_out_at_its_cost() -> None:
    """An excess neither wins nor loses here: its average cost and share of fees are not counted."""
    books = Books()
    books.order(0, Purpose.OPEN, [(40, 10)])
    books.order(1, Purpose.OPEN, [(45, 5)])
    made = books.outcome()
    assert made.outcome is Action.UNHEDGED
    assert made.realised == 5 - D("2.025") - D("2.80")


def test_nothing_filled_is_a_lost_race_or_a_quote_nobody_took() -> None:
    """A taker's empty trade is REJECTED and a lost race; a maker's is WITHDRAWN and no race at all."""
    books = Books()
    books.order(0, Purpose.OPEN, [])
    books.order(1, Purpose.OPEN, [])
    made = books.outcome()
    assert (made.outcome, made.realised, made.realised_bp, made.latency_ns) == (Action.REJECTED, 0, 0, 0)
    assert made.raced and not made.traded
    quoted = Books(replace(PLAN, mode=MAKER_HEDGE, first=0))
    quoted.order(0, Purpose.QUOTE, [])
    made = quoted.outcome()
    assert made.outcome is Action.WITHDRAWN
    assert not made.raced and not made.traded


@pytest.mark.parametrize("mode", [TAKER, MAKER_HEDGE])
def test_where_one_leg_goes_first_its_hedge_is_the_plan(mode: str) -> None:
    """The other leg's hedge fills the trade as planned; of the first leg only its own order does."""
    books = Books(replace(PLAN, mode=mode, first=1))
    books.order(1, Purpose.QUOTE if mode == MAKER_HEDGE else Purpose.OPEN, [(45, 10)])
    books.order(0, Purpose.HEDGE, [(40, 10)])
    assert books.outcome().filled_ppm == 1_000_000
    other = Books(replace(PLAN, mode=mode, first=0))
    other.order(1, Purpose.OPEN, [(45, 10)])
    other.order(0, Purpose.HEDGE, [(40, 10)])
    assert other.outcome().filled_ppm == 0


def test_a_close_and_coins_are_counted_by_their_flows() -> None:
    """Selling both legs of a pair gives up its worth; coins are bought here and sold there."""
    close = replace(
        PLAN,
        kind="close",
        payoff=D(-1),
        cash=D("10.10"),
        legs=(replace(PLAN.legs[0], action="sell"), replace(PLAN.legs[1], action="sell")),
    )
    books = Books(close)
    books.order(0, Purpose.CLOSE, [(60, 10)])
    books.order(1, Purpose.CLOSE, [(56, 10)])
    made = books.outcome()
    assert made.realised == D("6.00") + D("4.40") - D("0.10") - 10
    assert made.realised_bp == 297
    spot = replace(
        PLAN,
        kind="spot",
        payoff=D("-0.01"),
        legs=(
            PlanLeg("kraken", "X", "base", "buy", "same", CENTS, FEE),
            PlanLeg("coinbase", "Y", "base", "sell", "same", CENTS, FEE),
        ),
    )
    books = Books(spot)
    books.order(0, Purpose.OPEN, [(9_700, 10)])
    books.order(1, Purpose.OPEN, [(9_710, 10)])
    made = books.outcome()
    assert made.realised == D("1.00") - D("0.10") - D("0.10")
    assert made.realised_bp == 8


def test_slippage_is_against_what_each_order_was_shown() -> None:
    """Asks that rose and bids that fell cost more; a maker and an order without a book cost nothing."""
    books = Books()
    books.order(0, Purpose.OPEN, [(41, 10)], shown=[(40, 4), (41, 100)])
    assert books.outcome().slippage == D("0.04")
    books.order(1, Purpose.OPEN, [(44, 10)], shown=[(45, 3), (44, 2)])
    assert books.outcome().slippage == D("0.04") + D("0.03")
    books.order(1, Purpose.HEDGE, [(10, 5)])
    books.order(0, Purpose.QUOTE, [(30, 5)], shown=[(40, 4)], maker=True)
    assert books.outcome().slippage == D("0.07")
    better = Books()
    better.order(0, Purpose.OPEN, [(39, 10)], shown=[(40, 20)])
    assert better.outcome().slippage == D("-0.10")
    bare = outcome_of(better.plan, better.intents, better.fills, decided_ns=DECIDED, wall_ns=0)
    assert bare.slippage == 0


def test_the_journal_gives_the_same_outcomes_again() -> None:
    """From trades and fills as the journal keeps them come the outcomes that were shown live."""
    books = Books()
    books.order(0, Purpose.OPEN, [(40, 10)], shown=[(40, 10)])
    books.order(1, Purpose.OPEN, [(44, 10)], shown=[(45, 10)])
    trade = TradeRecord(
        trade_id=PLAN.trade_id,
        run_id="r",
        event_id=PLAN.event_id,
        kind=PLAN.kind,
        direction=0,
        run_epoch=1,
        sequence=7,
        config_version=1,
        config_hash="h",
        program_version="v",
        decided_ns=DECIDED,
        edge={},
        kelly={},
        plan=json.loads(canonical(PLAN.evidence())),
        intents=tuple(books.intents),
    )
    old = replace(trade, trade_id="older", plan={})
    (made,) = outcomes_of([old, trade], books.fills)
    assert made == replace(books.outcome(), wall_ns=77 + 40)


def test_it_computes_under_any_context() -> None:
    """A caller that traps rounding gets the same numbers as one that does not."""
    books = Books()
    books.order(0, Purpose.OPEN, [(40, 7)])
    books.order(1, Purpose.OPEN, [(45, 3)])
    plain = books.outcome()
    with localcontext(EXACT):
        assert books.outcome() == plain
        made = Calibration()
        for _ in range(3):
            made.add(plain)
        assert made.value().trades == 3


def won(race_ppm: int, filled_ppm: int, **more: object) -> Outcome:
    """An outcome of which only the race matters."""
    base = Outcome("t", "e", TAKER, Action.EXECUTED, 0, 0, D(0), D(0), 0, 0, D(0), 0, 0, 0)
    return replace(base, race_ppm=race_ppm, filled_ppm=filled_ppm, **more)  # type: ignore[arg-type]


def test_the_brier_score_is_brier_s() -> None:
    """Sure and right is 0, sure and wrong 1, a coin toss a quarter; half a fill is none."""
    for predictions, brier in (
        ([(1_000_000, 1_000_000), (0, 0)], 0),
        ([(1_000_000, 0)], 1_000_000),
        ([(500_000, 1_000_000), (500_000, 0)], 250_000),
        ([(800_000, 999_999)], 640_000),
        ([(800_000, 1_000_000), (600_000, 0)], 200_000),
    ):
        made = Calibration()
        for race, filled in predictions:
            made.add(won(race, filled))
        assert made.value().brier_ppm == brier
        assert made.value().trades == len(predictions)


def test_nothing_to_judge_is_zero_trades() -> None:
    """Without outcomes, and with quotes alone, there is no score and nothing is divided."""
    made = Calibration()
    made.add(won(10**6, 0, mode=MAKER_HEDGE, outcome=Action.WITHDRAWN))
    assert made.value() == CALIBRATION.empty()
    assert [entry.count for entry in made.bins()] == [0] * 10


def test_means_are_over_what_they_can_be_told_of() -> None:
    """Edges and slippage over filled trades, latency over timed ones, the race over takers."""
    made = Calibration()
    made.add(won(900_000, 10**6, predicted_bp=100, realised_bp=80, slippage=D("0.02")))
    made.add(won(700_000, 0, outcome=Action.REJECTED, predicted_bp=900))
    made.add(
        won(
            0,
            10**6,
            mode=MAKER_HEDGE,
            predicted_bp=51,
            realised_bp=-21,
            latency_predicted_ns=50,
            latency_ns=70,
        )
    )
    value = made.value()
    assert (value.trades, value.race_mean_ppm, value.filled_mean_ppm) == (2, 800_000, 500_000)
    assert (value.edge_predicted_bp, value.edge_realised_bp, value.slippage_micros) == (75, 29, 10_000)
    assert (value.latency_predicted_ns, value.latency_ns) == (50, 70)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), min_size=1, max_size=60))
def test_bins_and_score_add_up(predictions: list[tuple[int, bool]]) -> None:
    """Every prediction is in the bin it falls in, and the score is the mean of the squared errors."""
    made = Calibration()
    for race, filled in predictions:
        made.add(won(race, 10**6 if filled else 0))
    bins = made.bins()
    assert sum(entry.count for entry in bins) == len(predictions)
    for entry in bins:
        if entry.count:
            assert entry.low_ppm <= entry.predicted_ppm <= entry.high_ppm
            inside = [
                f
                for p, f in predictions
                if entry.low_ppm <= p < entry.high_ppm or p == entry.high_ppm == 10**6
            ]
            assert entry.observed_ppm == sum(inside) * 10**6 // entry.count
    error = sum((D(race) / 10**6 - filled) ** 2 for race, filled in predictions) / len(predictions)
    assert abs(made.value().brier_ppm - error * 10**6) <= 1


@given(
    first=st.integers(0, 10),
    second=st.integers(0, 10),
    hedge=st.booleans(),
    prices=st.tuples(*[st.integers(1, 99)] * 3),
)
def test_realised_is_cash_plus_what_pairs_pay(
    first: int, second: int, hedge: bool, prices: tuple[int, int, int]
) -> None:
    """Of any trade that ends without an excess the realised result is every flow and the payoff."""
    books = Books()
    books.order(0, Purpose.OPEN, [(prices[0], first)] if first else [])
    books.order(1, Purpose.OPEN, [(prices[1], second)] if second else [])
    excess = abs(first - second)
    lone = 0 if first > second else 1
    if excess:
        books.order(
            1 - lone if hedge else lone, Purpose.HEDGE if hedge else Purpose.UNWIND, [(prices[2], excess)]
        )
    made = books.outcome()
    cash = D(0)
    for fill in books.fills:
        price = D(fill.price_ticks if fill.outcome == "yes" else 100 - fill.price_ticks) / 100
        cash += (price if fill.action == "sell" else -price) * fill.size_units - fill.fee
    pairs = max(first, second) if hedge else min(first, second)
    assert made.realised == cash + pairs
    assert made.outcome is not Action.UNHEDGED


def test_a_row_holds_the_outcome() -> None:
    """Money becomes millionths, the rest stays; shared memory takes it."""
    books = Books()
    books.order(0, Purpose.OPEN, [(40, 10)], shown=[(39, 10)])
    books.order(1, Purpose.OPEN, [(45, 10)])
    row = outcome_row(books.outcome(), 5)
    assert OUTCOME.unpack(OUTCOME.pack(row)) == row
    assert (row.sequence, row.predicted_micros, row.realised_micros) == (5, 400_000, 400_000)
    assert (row.slippage_micros, row.outcome, row.filled_ppm) == (100_000, Action.EXECUTED, 1_000_000)
