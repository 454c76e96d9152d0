"""Planted arbitrages and near misses, through the real scanner process: all of those, none of these."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest

from pipeline.model import FeeKind, FeeSchedule, Reason
from shm.records import EventRow
from tests.support.planted import (
    DOLLAR,
    NEAR_BP,
    RECIPES,
    Garden,
    Plant,
    micros,
)
from tests.support.scanner_run import (
    Detection,
    ScannerRun,
    detect,
    easy_config,
    lay_out,
    stand,
)

SEED, COUNT, BATCH = 4, 200, 100


@pytest.fixture(scope="module")
def plants() -> list[Plant]:
    """The arbitrages."""
    return Garden(SEED).plants(COUNT, near=False)


@pytest.fixture(scope="module")
def misses() -> list[Plant]:
    """The near misses."""
    return Garden(SEED + 1, first=COUNT + 1).plants(COUNT, near=True)


def test_the_plants_are_what_they_should_be(plants: list[Plant], misses: list[Plant]) -> None:
    """Every kind and venue pair, sizes over three decades, prices over the range, nets close to zero."""
    recipes = Counter(recipe[0] for recipe in RECIPES)
    assert Counter(plant.kind for plant in plants) == {
        k: n * COUNT // len(RECIPES) for k, n in recipes.items()
    }
    assert set(recipes) == {"binary", "complement", "basket", "implication", "ladder", "spot"}
    assert all(plant.net > 0 and plant.sure() for plant in plants)
    assert sum(plant.bp <= 10 for plant in plants) > COUNT * 0.7
    assert any(plant.bp > 20 for plant in plants)
    assert all(NEAR_BP <= miss.bp <= 0 for miss in misses)
    sizes = [Fraction(plant.size_units, 10**plant.size_decimals) for plant in plants]
    assert min(sizes) <= 2
    assert 2_000 < max(sizes) <= 5_000
    prices = [Decimal(leg.costs[0][0]).scaleb(-6) for plant in plants for leg in plant.legs if leg.rules]
    assert min(prices) < Decimal("0.05")
    assert max(prices) > Decimal("0.95")


def test_the_same_seed_gives_the_same_plants() -> None:
    """A failure can be repeated."""
    assert Garden(9).plants(20, near=True) == Garden(9).plants(20, near=True)
    assert Garden(9).plants(20, near=False) != Garden(10).plants(20, near=False)


def test_the_brute_force_agrees_with_fractions(plants: list[Plant], misses: list[Plant]) -> None:
    """The net of every size in rational arithmetic: the best is what the plant says, to the last digit."""
    small = [plant for plant in plants + misses if shown(plant) <= 60]
    for plant in random.Random(1).sample(small, 20):
        step = 10**plant.size_decimals // 10
        sizes = range(step, 61 * 10**plant.size_decimals, step)
        nets = {size: net for size in sizes if (net := net_of(plant, size)) is not None}
        assert max(nets.values()) == Fraction(plant.net, DOLLAR)
        assert min(size for size in nets if nets[size] == max(nets.values())) == plant.size_units


def shown(plant: Plant) -> Fraction:
    """Contracts that every leg shows."""
    return min(Fraction(sum(u for _, u in leg.costs), 10**leg.scale.size_decimals) for leg in plant.traded)


def net_of(plant: Plant, size: int) -> Fraction | None:
    """What a size leaves, in dollars; None where some leg cannot have it."""
    total = Fraction(plant.payoff * size, DOLLAR * 10**plant.size_decimals)
    for leg in plant.traded:
        units, rest = divmod(size, 10 ** (plant.size_decimals - leg.scale.size_decimals))
        off = rest or units % max(1, leg.lot_units) or units < leg.min_units
        if off or units > sum(level for _, level in leg.costs):
            return None
        price_one, size_one = 10**leg.scale.price_decimals, 10**leg.scale.size_decimals
        fills = [(Fraction(price, price_one), Fraction(part, size_one)) for price, part in leg.fills(units)]
        amount = sum((price * part for price, part in fills), Fraction(0))
        if amount < Fraction(leg.min_cost_micros, 10**6):
            return None
        total += (amount if leg.sold else -amount) - sum(fee_of(leg.fee, *fill) for fill in fills)
    return total


def fee_of(fee: FeeSchedule, price: Fraction, size: Fraction) -> Fraction:
    """The fee of a fill as the venues' pages write it."""
    rate, curve = Fraction(fee.rate_ppm, 10**6), (price * (1 - price)) ** fee.exponent
    if fee.kind == FeeKind.KALSHI:
        trade, step = (
            Fraction(ceil(rate * size * curve * 10**4), 10**4),
            Fraction(fee.precision_micros, 10**6),
        )
        balance = -price * size - trade
        return -price * size - floor(balance / step) * step
    if fee.kind == FeeKind.POLYMARKET:
        raw = rate * size * curve * 10**5
        return Fraction(round(raw) if raw >= 1 else 0, 10**5)
    return Fraction(ceil(rate * price * size * 10**8), 10**8)


@pytest.fixture(scope="module")
def season(
    tmp_path_factory: pytest.TempPathFactory, plants: list[Plant], misses: list[Plant]
) -> Iterator[tuple[ScannerRun, list[Detection]]]:
    """All of them, mixed, in batches, through one scanner."""
    mixed = [*plants, *misses]
    random.Random(SEED).shuffle(mixed)
    wanted = {plant.name for plant in plants}
    with ScannerRun(tmp_path_factory.mktemp("planted"), easy_config(), markets=1024) as run:
        found = []
        for start in range(0, len(mixed), BATCH):
            batch = mixed[start : start + BATCH]
            lay_out(run, batch)
            before = run.counters()["evaluations"]
            at_ns = 0
            for plant in batch:
                if plant.name in wanted:
                    found.append(detect(run, plant))
                else:
                    at_ns = stand(run, plant)
            rows = run.looked_since(at_ns)
            assert run.counters()["evaluations"] > before
            check_misses(rows, [plant for plant in batch if plant.name not in wanted])
        run.receive(100)
        yield run, found


def check_misses(rows: list[EventRow], misses: list[Plant]) -> None:
    """While they stand, every near miss is refused for its own net; its other directions are refused too."""
    for miss in misses:
        seen = [row for row in rows if row.event_id == miss.name]
        assert all(row.reason for row in seen), (miss, seen)
        best = max((row for row in seen if row.has_numbers), key=lambda row: row.net_micros)
        assert best.reason == Reason.NO_EDGE, (miss, best)
        assert best.net_micros == micros(miss.net), (miss, best)


def test_every_plant_is_found(season: tuple[ScannerRun, list[Detection]]) -> None:
    """Each arbitrage arrives with its orders, its best size and its net; the times are printed."""
    _, found = season
    assert len(found) == COUNT
    for detection in found:
        assert detection.plant.is_of(detection.arrival.opportunity), detection
    # A gap between the two tokens of one market has to last before it is believed.
    took = sorted(each.took_ns / 1e6 for each in found if each.plant.kind != "complement")
    times = ", ".join(f"p{share} {took[len(took) * share // 100]:.2f} ms" for share in (50, 90, 99))
    print(f"second message to opportunity: {times}")


def test_no_near_miss_is_reported(
    season: tuple[ScannerRun, list[Detection]], plants: list[Plant], misses: list[Plant]
) -> None:
    """Nothing that arrived is anything but a plant as planted: no near miss, no half of a plant."""
    run, _ = season
    by_name = {plant.name: plant for plant in plants}
    assert not {arrival.opportunity.event_id for arrival in run.arrivals} & {miss.name for miss in misses}
    for arrival in run.arrivals:
        assert by_name[arrival.opportunity.event_id].is_of(arrival.opportunity), arrival
    assert run.counters()["send_dropped"] == 0
    assert not run.errors()
