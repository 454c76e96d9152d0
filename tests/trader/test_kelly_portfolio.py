"""Portfolio: several opportunities never share out more than there is, and close to the best of it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.trader.kelly_portfolio import DAY_NS, Candidate, allocate, net_per_dollar_day, rank, room

D, F = Decimal, Fraction
DOLLARS = st.integers(0, 200_000).map(lambda cents: D(cents) / 100)
PERCENT = st.integers(0, 100).map(lambda n: F(n, 100))
CASH = st.fixed_dictionaries({"kalshi": DOLLARS, "polymarket": DOLLARS})


TENTH, HALF, ONE_PERCENT = F(1, 10), F(1, 2), F(1, 100)


def candidate(key="a", fraction=TENTH, kalshi=HALF, net=ONE_PERCENT, most=1000) -> Candidate:
    return Candidate(key, fraction, {"kalshi": kalshi, "polymarket": 1 - kalshi}, net, D(most))


@st.composite
def candidates(draw, most: int = 6) -> list[Candidate]:
    count = draw(st.integers(1, most))
    return [
        candidate(
            str(number), draw(PERCENT), draw(PERCENT), F(draw(st.integers(-20, 200)), 1000), draw(DOLLARS)
        )
        for number in range(count)
    ]


def earned(found, given_usd) -> Fraction:
    return sum((F(c.net_per_day) * F(given_usd[c.key]) for c in found), F(0))


def constraints(found, bankroll, cash, taken) -> list[tuple[list[Fraction], Fraction]]:
    """Every rule of the split as (coefficients, limit): bankroll, venues, own limits, none below 0."""
    alone = [[F(int(i == j)) for j in range(len(found))] for i in range(len(found))]
    rules = [([F(1)] * len(found), max(F(bankroll) - F(taken), F(0)))]
    rules += [([F(c.cash_by_venue[venue]) for c in found], F(amount)) for venue, amount in cash.items()]
    own = [min(F(c.fraction) * F(bankroll), F(c.max_usd)) for c in found]
    rules += list(zip(alone, own, strict=True))
    return rules + [([-number for number in row], F(0)) for row in alone]


def solved(rows: list[list[Fraction]]) -> list[Fraction] | None:
    """The one solution of n equations in n unknowns, each row its coefficients and its result."""
    count, rows = len(rows), [row[:] for row in rows]
    for column in range(count):
        pivot = next((i for i in range(column, count) if rows[i][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [number / rows[column][column] for number in rows[column]]
        for i in range(count):
            if i != column and (factor := rows[i][column]):
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    return [row[-1] for row in rows]


def best_of_all(found, bankroll, cash, taken) -> Fraction:
    """The most that any split earns: the best corner of what the rules allow, by trying every one."""
    rules, best = constraints(found, bankroll, cash, taken), F(0)
    for chosen in combinations(rules, len(found)):
        point = solved([[*row, limit] for row, limit in chosen])
        if point is None:
            continue
        inside = all(sum(a * x for a, x in zip(row, point, strict=True)) <= limit for row, limit in rules)
        if inside:
            best = max(best, sum((F(c.net_per_day) * x for c, x in zip(found, point, strict=True)), F(0)))
    return best


def test_one_trade_gets_its_kelly_fraction() -> None:
    """Alone and with cash enough: 10 % of 1000 dollars."""
    cash = {"kalshi": D(500), "polymarket": D(500)}
    assert allocate([candidate()], D(1000), cash, D(0)) == {"a": 100}


def test_each_limit_binds_alone() -> None:
    """Its own most, what is left of the bankroll, and the cash of the venue that has least."""
    cash = {"kalshi": D(500), "polymarket": D(500)}
    assert allocate([candidate(most=30)], D(1000), cash, D(0)) == {"a": 30}
    assert allocate([candidate()], D(1000), cash, D(940)) == {"a": 60}
    assert allocate([candidate(kalshi=F(1, 4))], D(1000), cash | {"kalshi": D(10)}, D(0)) == {"a": 40}
    assert allocate([candidate()], D(1000), {"kalshi": D(500)}, D(0)) == {"a": 0}


def test_more_open_than_there_is_leaves_nothing() -> None:
    """Open trades beyond the bankroll: no dollars for anyone, and none below 0."""
    assert allocate([candidate()], D(100), {"kalshi": D(9), "polymarket": D(9)}, D(200)) == {"a": 0}


def test_the_dollar_of_the_scarcer_venue_decides() -> None:
    """Where Kalshi's cash is short, the trade that takes little of it goes first, though it earns less."""
    thrifty, greedy = (
        candidate("thrifty", kalshi=F(1, 5), net=F(2, 100)),
        candidate("greedy", kalshi=F(4, 5), net=F(3, 100)),
    )
    short = {"kalshi": D(20), "polymarket": D(1000)}
    assert [c.key for c in rank([greedy, thrifty], short, D(1000))] == ["thrifty", "greedy"]
    assert allocate([greedy, thrifty], D(1000), short, D(0)) == {"thrifty": 100, "greedy": 0}
    plenty = {"kalshi": D(1000), "polymarket": D(1000)}
    assert [c.key for c in rank([thrifty, greedy], plenty, D(100))] == ["greedy", "thrifty"]


def test_without_cash_the_venues_count_alike() -> None:
    """Only the trades themselves are compared: net a day for the venue that each takes most from."""
    even, uneven = candidate("even", kalshi=F(1, 2)), candidate("uneven", kalshi=F(9, 10))
    assert [c.key for c in rank([uneven, even])] == ["even", "uneven"]


def test_equals_come_in_the_order_of_their_keys() -> None:
    """The order is the same on every run; what earns nothing comes last."""
    found = [candidate("c"), candidate("z", net=-1), candidate("b"), candidate("y", net=0), candidate("a")]
    assert [c.key for c in rank(found)] == ["a", "b", "c", "y", "z"]


def test_what_earns_nothing_gets_nothing() -> None:
    """No dollars at a net of 0 or below, whatever is there."""
    cash = {"kalshi": D(500), "polymarket": D(500)}
    found = [candidate("a", net=0), candidate("b", net=F(-1, 2))]
    assert allocate(found, D(1000), cash, D(0)) == {"a": 0, "b": 0}


def test_a_leg_that_sells_coins_takes_no_cash() -> None:
    """A spot pair pays at one venue only; the other's cash neither limits nor is used."""
    spot = Candidate("btc", F(1, 10), {"kraken": F(1)}, F(1), D(1000))
    assert allocate([spot], D(1000), {"kraken": D(80)}, D(0)) == {"btc": 80}


def test_two_trades_of_one_key_are_refused() -> None:
    """Their dollars could not be told apart."""
    with pytest.raises(ValueError, match="same key"):
        allocate([candidate(), candidate()], D(1), {}, D(0))


@pytest.mark.parametrize("wrong", [{"fraction": -1}, {"kalshi": F(-1, 9)}, {"most": -1}])
def test_what_is_below_nothing_is_refused(wrong) -> None:
    """A negative fraction, share or limit is a mistake of the caller."""
    with pytest.raises(ValueError, match="below 0"):
        candidate(**wrong)


def test_room_is_kellys_and_what_open_trades_leave() -> None:
    """10 % of 1000 dollars, 40 where 960 are open, 0 where more is; cut to the cent."""
    assert room(D(1000), F(1, 10), D(0)) == room(D(1000), F(1, 10), D(900)) == 100
    assert room(D(1000), F(1, 10), D(960)) == 40
    assert room(D(1000), F(1, 10), D(2000)) == 0
    assert room(D(100), F(1, 3), D(0)) == D("33.33")


def test_a_dollars_day_is_what_a_trade_earns_while_it_is_bound() -> None:
    """2 % in 4 days is 0.5 % a day; at least an hour counts, and an unknown end is a year away."""
    assert net_per_dollar_day(D("0.2"), D(10), 4 * DAY_NS) == F(5, 1000)
    assert (
        net_per_dollar_day(D("0.2"), D(10), 0)
        == net_per_dollar_day(D("0.2"), D(10), DAY_NS // 24)
        == F(48, 100)
    )
    assert net_per_dollar_day(D("0.2"), D(10), None) == F(2, 100) / 365
    assert net_per_dollar_day(D(1), D(0), DAY_NS) == 0


@given(candidates(), DOLLARS, CASH, DOLLARS)
def test_never_more_than_there_is(found, bankroll, cash, taken) -> None:
    """Bankroll, venues and each candidate's limits hold to the cent, whatever is asked."""
    dollars = allocate(found, bankroll, cash, taken)
    point = [F(dollars[c.key]) for c in found]
    for row, limit in constraints(found, bankroll, cash, taken):
        assert sum(a * x for a, x in zip(row, point, strict=True)) <= limit
    assert all(amount == round(amount, 2) for amount in dollars.values())
    assert sorted(dollars) == sorted(c.key for c in found)


@settings(max_examples=60)
@given(candidates(3), DOLLARS, CASH, DOLLARS)
def test_at_least_a_third_of_the_best_split(found, bankroll, cash, taken) -> None:
    """With two venues and the bankroll, the greedy order earns at least 1/3 of the optimum, but for cents."""
    cents = sum(abs(F(c.net_per_day)) for c in found) / 100
    best = best_of_all(found, bankroll, cash, taken)
    assert best / 3 - cents <= earned(found, allocate(found, bankroll, cash, taken)) <= best


@given(candidates(4), DOLLARS, st.integers(1, 1000))
def test_one_constraint_alone_is_shared_out_at_its_best(found, bankroll, percent: int) -> None:
    """With cash enough at every venue the best net a dollar comes first, which no order beats."""
    cash = {"kalshi": D(10**7), "polymarket": D(10**7)}
    taken = bankroll - bankroll * percent / 1000
    left, best = F(bankroll) - F(taken), F(0)
    for c in sorted(found, key=lambda c: -F(c.net_per_day)):
        dollars = min(F(c.fraction) * F(bankroll), F(c.max_usd), left)
        left -= dollars
        best += max(F(c.net_per_day), F(0)) * dollars
    cents = sum(abs(F(c.net_per_day)) for c in found) / 100
    assert best - cents <= earned(found, allocate(found, bankroll, cash, taken)) <= best


@given(candidates(), DOLLARS, CASH, st.randoms(use_true_random=False))
def test_the_order_of_the_question_does_not_matter(found, bankroll, cash, random) -> None:
    """Shuffled candidates get the same dollars and the same rank."""
    shuffled = found[:]
    random.shuffle(shuffled)
    assert allocate(shuffled, bankroll, cash, D(0)) == allocate(found, bankroll, cash, D(0))
    assert rank(shuffled, cash) == rank(found, cash)


@given(candidates(), DOLLARS, CASH)
def test_the_first_of_the_rank_gets_all_that_it_may(found, bankroll, cash) -> None:
    """Who comes first is limited by nobody else: its dollars are those that it would get alone."""
    first = rank(found, cash, bankroll)[0]
    alone = allocate([first], bankroll, cash, D(0))
    assert allocate(found, bankroll, cash, D(0))[first.key] == alone[first.key]
