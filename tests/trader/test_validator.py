"""RiskValidator: the gate and Kelly for anyone's Python, as the second seed promises them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import FeeConfig
from pipeline.model import Reason
from pipeline.trader.kelly import KellySizeMode
from pipeline.trader.validator import RiskValidator

D = Decimal
FEES = {"polymarket": FeeConfig(rate="0.05")}


def validator(**changes) -> RiskValidator:
    """As the seed makes one: a maximum of $1,000, a capital of $10,000, half Kelly."""
    return RiskValidator(**{"max_position_size": 1000, "capital": 10000.0, "fees": FEES} | changes)


def spot(of: RiskValidator, sell_price=43700, position_size=None):
    return of.validate_trade(
        market="BTC", buy_venue="kraken", buy_price=42500, sell_venue="coinbase", sell_price=sell_price,
        position_size=position_size,
    )  # fmt: skip


def test_the_seeds_own_example_is_no_trade():
    """The seed sells a coin of $42,700 at Polymarket, which has contracts below a dollar and no coins."""
    report = validator().validate_trade("BTC", "kraken", 42500, "polymarket", 42700, position_size=None)
    assert not report.approved
    assert {one.reason for one in report.refused} == {Reason.NOT_TRADABLE}
    assert report.reasons == ("not tradable: 42500, limit 1", "not tradable: 42700, limit 1")
    assert (report.position_size, report.estimated_profit_after_fees) == (0, 0)


def test_the_seeds_prices_lose_by_their_fees():
    """Half a per cent between Kraken (0.40 %) and Coinbase (1.20 %) is a loss of so much."""
    report = spot(validator(), 42700, position_size=1000)
    assert not report.approved
    assert report.refused[0].reason is Reason.NO_EDGE
    coins = D(1000) / (D(42500) * D("1.004"))
    expected = coins * (200 - D(42500) * D("0.004") - D(42700) * D("0.012"))
    assert abs(report.estimated_profit_after_fees - expected) < D("0.0001")


def test_over_the_maximum_is_cut_and_not_rejected():
    """$5,000 are cut to $1,000, fees included, and the profit is that of $1,000."""
    report = spot(validator(), position_size=5000)
    assert report.approved
    assert report.cut
    assert D("999.99") < report.position_size <= 1000
    assert report.estimated_profit_after_fees == report.estimated_profit_before_fees - report.estimated_fees
    coins = D(1000) / (D(42500) * D("1.004"))
    expected = coins * (1200 - D(42500) * D("0.004") - D(43700) * D("0.012"))
    assert abs(report.estimated_profit_after_fees - expected) < D("0.001")
    assert report.reasons == ()


def test_what_fits_is_not_cut():
    """A size within the maximum passes as it is asked for."""
    report = spot(validator(), position_size=500.0)
    assert report.approved
    assert not report.cut
    assert D("499.99") < report.position_size <= 500


def test_without_a_size_kelly_gives_it():
    """Before any result the probe of $5; after twenty good ones the cap of 10 %, $1,000."""
    kelly = validator()
    assert D("4.99") < spot(kelly).position_size <= 5
    for _ in range(19):
        kelly.record_trade_result(is_profitable=True, profit_loss=100.0)
    kelly.record_trade_result(is_profitable=False, profit_loss=-20)
    assert kelly.get_kelly_recommendation().estimated_position_size == 1000
    assert D("999.99") < spot(kelly).position_size <= 1000
    assert not spot(kelly).cut


def test_without_kelly_the_maximum_is_the_size():
    """Kelly switched off, the maximum is asked for."""
    report = spot(validator(enable_kelly_sizing=False))
    assert D("999.99") < report.position_size <= 1000


def test_a_record_of_losses_allows_nothing():
    """Twenty losses leave Kelly at nothing, which is the reason that is given."""
    kelly = validator()
    for _ in range(20):
        kelly.record_trade_result(False, -10)
    report = spot(kelly)
    assert not report.approved
    assert report.refused[0].reason is Reason.KELLY_SIZE


def test_contracts_are_a_pair_that_pays_a_dollar():
    """YES at 0.45 and NO at 1 - 0.52 cost 93 cents and fees: whole pairs within $1,000."""
    report = validator().validate_trade("FED", "kalshi", 0.45, "polymarket", "0.52", 5000)
    assert report.approved
    assert report.quantity == report.quantity.to_integral_value()
    assert report.estimated_profit_before_fees == report.quantity * D("0.07")
    assert D(999) < report.position_size <= 1000


def test_a_fee_that_nobody_stated_refuses():
    """Polymarket's fee depends on the market; without models no fee is known but those given."""
    unknown = validator(fees=None).validate_trade("FED", "kalshi", "0.45", "polymarket", "0.52")
    assert [one.reason for one in unknown.refused] == [Reason.FEE_UNKNOWN]
    plain = validator(use_dynamic_estimation=False)
    assert [one.reason for one in spot(plain).refused] == [Reason.FEE_UNKNOWN] * 2
    fees = {venue: FeeConfig(taker_bps="10") for venue in ("kraken", "coinbase")}
    assert spot(validator(use_dynamic_estimation=False, fees=fees)).approved


def test_the_margin_is_per_cent_of_the_cash():
    """1.185 % pass a margin of 1.18 and not one of 1.19."""
    assert spot(validator(min_profit_margin=1.18), position_size=1000).approved
    report = spot(validator(min_profit_margin=1.19), position_size=1000)
    assert [one.reason for one in report.refused] == [Reason.PROFIT_TOO_SMALL]
    assert report.refused[0].limit == D("1.19")
    assert report.estimated_profit_after_fees > 11


def test_too_little_for_one_contract_is_below_the_minimum():
    """Half a dollar buys no pair of contracts."""
    report = validator().validate_trade("FED", "kalshi", "0.45", "polymarket", "0.52", "0.50")
    assert [one.reason for one in report.refused] == [Reason.BELOW_MINIMUM]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "much", "1e400"])
def test_what_is_no_amount_is_an_error(wrong):
    """Nonsense is no refusal: it is said at once."""
    with pytest.raises(ValueError, match=r"amount|digits"):
        spot(validator(), sell_price=wrong)
    with pytest.raises(ValueError, match=r"amount|digits"):
        RiskValidator(max_position_size=wrong)


def test_one_venue_is_no_pair():
    """Buying and selling at one venue is refused as a mistake."""
    with pytest.raises(ValueError, match="two venues"):
        validator().validate_trade("BTC", "kraken", 1, "kraken", 2)


def test_results_and_statistics_are_kellys():
    """Results are counted as they came; one that contradicts its sign is an error."""
    kelly = validator(kelly_mode=KellySizeMode.QUARTER_KELLY)
    kelly.record_trade_result(is_profitable=True, profit_loss="12.5")
    kelly.record_trade_result(is_profitable=False, profit_loss=-2)
    statistics = kelly.get_kelly_statistics()
    assert (statistics.total_trades, statistics.winning_trades, statistics.losing_trades) == (2, 1, 1)
    with pytest.raises(ValueError, match="is_winning"):
        kelly.record_trade_result(is_profitable=True, profit_loss=-1)
    written: list[str] = []
    assert kelly.print_kelly_analysis(written.append) == written[0]


@given(
    st.integers(1, 99), st.integers(1, 99), st.integers(1, 500_000), st.sampled_from(["kalshi", "polymarket"])
)
def test_an_approved_size_is_never_over_the_maximum(buy, sell, cents, venue):
    """Whatever the prices and the size asked for, what passes is within both and earns its margin."""
    other = "polymarket" if venue == "kalshi" else "kalshi"
    asked = D(cents).scaleb(-2)
    report = validator().validate_trade("E", venue, D(buy) / 100, other, D(sell) / 100, asked)
    assert report.approved == (not report.reasons)
    if report.approved:
        assert 0 < report.position_size <= min(asked, 1000)
        assert report.estimated_profit_after_fees * 1000 >= report.position_size * 2
    else:
        assert report.position_size == 0
