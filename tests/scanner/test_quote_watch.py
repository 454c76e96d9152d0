"""Quote watch: the row that the scanner shows for a quote that joined a best price."""

from __future__ import annotations

from pipeline.queue_position import POWER, QueuePosition, logarithmic, power
from pipeline.scanner.quote_watch import QuoteWatch
from shm.records import QuoteRow


def test_a_watch_follows_the_best_price() -> None:
    """It joins when a price becomes best, counts what is cancelled there, and joins anew elsewhere."""
    watch = QuoteWatch("kalshi", "KX", "bid", 6, 2)
    assert watch.row() is None
    watch.best(410_000, 100, 5)
    assert watch.row() == QuoteRow("kalshi", "KX", "bid", 410_000, 6, 2, 5, 100, 100, 100, 100, 100)
    watch.best(410_000, 200, 6)
    watch.best(410_000, 140, 7)
    logarithm = QueuePosition(logarithmic, 100)
    cubic = QueuePosition(power(POWER), 100)
    for queue in (logarithm, cubic):
        queue.depth(200)
        queue.depth(140)
    row = watch.row()
    assert row is not None
    assert row[6:] == (5, 140, 100, 100, cubic.front_units, logarithm.front_units)
    watch.best(420_000, 9, 8)
    row = watch.row()
    assert row is not None
    assert (row.price_ticks, row.joined_ns, row.front_units) == (420_000, 8, 9)
    watch.best(0, 0, 9)
    assert watch.row() is None
    watch.best(420_000, 9, 10)
    row = watch.row()
    assert row is not None
    assert row.joined_ns == 10
