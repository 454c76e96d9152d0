"""Portfolio: opportunities that wait at once and share one bankroll and each venue's cash.

In: what each opportunity may take and earns, the bankroll, what is open, the venues' cash. Out: an order to
take them in, and dollars for each. Pure; run by the trader.

    maximise  sum n_i x_i     0 <= x_i <= min(f_i W, most_i),  sum x_i <= W - open,  sum s_iv x_i <= cash_v

Money cannot move between venues, so what counts is the net a day of a dollar where dollars are scarce. The
greedy rule: each opportunity is measured by n / max(1 / (W - open), s_v / cash_v), its net a day for all of
the scarcest thing that it takes, and in that order each gets all that is left for it. Were there one
constraint only, this is the best; with m (the bankroll and m - 1 venues) it is at least 1/m of the best:
until the first of them runs out no other order earns more from the scarcest things, and all m hold m times
that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from pipeline.money import to_decimal
from pipeline.trader.kelly_arbitrage import Exact

DAY_NS = 86_400 * 10**9
LEAST_LOCK_NS = 3600 * 10**9
"""Money that comes back at once is counted as bound for an hour: nobody finds a trade every moment."""
UNKNOWN_LOCK_NS = 365 * DAY_NS
"""Money that comes back nobody knows when."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An opportunity. `fraction` of the bankroll is what Kelly gives it alone, mode and cap applied.

    `cash_by_venue` is the cash that a dollar of the trade takes at each venue, in dollars (0.47 and 0.53);
    `net_per_day` the dollars that it earns a day (`net_per_dollar_day`); `max_usd` what depth and all
    other limits leave. Raises ValueError for a share, fraction or amount below 0.
    """

    key: str
    fraction: Exact
    cash_by_venue: Mapping[str, Exact]
    net_per_day: Exact
    max_usd: Decimal

    def __post_init__(self) -> None:
        if min(self.fraction, self.max_usd, *self.cash_by_venue.values(), 0) < 0:
            raise ValueError(f"{self.key}: a fraction, share or amount is below 0")


def net_per_dollar_day(net: Exact, cash: Exact, locked_ns: int | None) -> Fraction:
    """What a dollar of a trade earns a day: `net` dollars on `cash` dollars, bound for `locked_ns`.

    None is an unknown end (UNKNOWN_LOCK_NS). 0 where the trade takes no cash: nothing is scarce then.
    """
    if cash <= 0:
        return Fraction(0)
    locked = UNKNOWN_LOCK_NS if locked_ns is None else max(locked_ns, LEAST_LOCK_NS)
    return Fraction(net) / Fraction(cash) * DAY_NS / locked


class KellyRoom(NamedTuple):
    """Dollars that Kelly allows, and the share of the bankroll that this very edge is worth: 0 where it
    takes no cash.
    """

    dollars: Decimal
    fraction: Fraction

    @property
    def ppm(self) -> int:
        """The share in millionths."""
        return int(self.fraction * 1_000_000)


def room(bankroll: Decimal, fraction: Exact, taken: Decimal) -> Decimal:
    """Dollars that one trade may take: its fraction of the bankroll, at most what open trades leave.

    `taken` is the cash of all open trades. Cut to the cent, never below 0.
    """
    return _cents(min(Fraction(fraction) * Fraction(bankroll), Fraction(bankroll) - Fraction(taken)))


def rank(
    candidates: Sequence[Candidate],
    venue_cash: Mapping[str, Decimal] | None = None,
    left_usd: Exact | None = None,
) -> list[Candidate]:
    """The candidates in the order to take them: best net a day for the scarcest of what they take first.

    `venue_cash` is each venue's cash in dollars (a venue that is not named has none), `left_usd` what is
    left of the bankroll. Without cash every venue counts alike. What earns nothing or can have nothing comes
    last; equals are ordered by key.
    """
    scores = {id(candidate): _score(candidate, venue_cash, left_usd) for candidate in candidates}
    return sorted(candidates, key=lambda candidate: (-scores[id(candidate)], candidate.key))


def allocate(
    candidates: Sequence[Candidate], bankroll: Decimal, venue_cash: Mapping[str, Decimal], taken: Decimal
) -> dict[str, Decimal]:
    """Dollars for each candidate by key, cut to the cent, in the order of `rank`.

    Together they are at most the bankroll less what is `taken`, at each venue at most its cash, and each at
    most its fraction of the bankroll and its `max_usd`. What earns nothing gets 0. At least 1/m of the best
    possible net a day, m being the number of venues plus 1, but for the cents. Raises ValueError for two
    candidates of one key.
    """
    given = {candidate.key: Decimal(0) for candidate in candidates}
    if len(given) != len(candidates):
        raise ValueError("two candidates have the same key")
    left = max(Fraction(bankroll) - Fraction(taken), Fraction(0))
    cash = {venue: Fraction(amount) for venue, amount in venue_cash.items()}
    for candidate in rank(candidates, venue_cash, left):
        if candidate.net_per_day <= 0:
            continue
        shares = {venue: Fraction(share) for venue, share in candidate.cash_by_venue.items() if share}
        within = [cash.get(venue, Fraction(0)) / share for venue, share in shares.items()]
        wanted = min(Fraction(candidate.fraction) * Fraction(bankroll), Fraction(candidate.max_usd))
        dollars = _cents(min(wanted, left, *within))
        given[candidate.key] = dollars
        left -= Fraction(dollars)
        for venue, share in shares.items():
            cash[venue] = cash.get(venue, Fraction(0)) - share * Fraction(dollars)
    return given


def _score(
    candidate: Candidate, venue_cash: Mapping[str, Decimal] | None, left_usd: Exact | None
) -> Fraction:
    """Net a day for all of the scarcest thing that is taken; 0 where that is gone or nothing is earned."""
    net = Fraction(candidate.net_per_day)
    taken = {venue: Fraction(share) for venue, share in candidate.cash_by_venue.items() if share}
    there = {venue: Fraction(1 if venue_cash is None else venue_cash.get(venue, 0)) for venue in taken}
    lasts = [there[venue] / share for venue, share in taken.items()]
    if left_usd is not None:
        lasts.append(Fraction(left_usd))
    if net <= 0 or not lasts:
        return max(net, Fraction(0))
    return net * max(min(lasts), Fraction(0))


def _cents(dollars: Fraction) -> Decimal:
    """Dollars cut to the cent, at least 0."""
    return to_decimal(max(int(dollars * 100), 0), 2)
