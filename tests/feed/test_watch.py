"""Watch: quiet is not frozen, and frozen is found."""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.feed.watch import REFUSED_NS, TRIES, Patience, Watch

SECOND = 1_000_000_000
PATIENCE = Patience(10 * SECOND, 60 * SECOND, "canary", 30 * SECOND)
NEVER = 10**15


def open_watch(*markets: str, patience: Patience = PATIENCE) -> Watch:
    watch = Watch(patience)
    watch.opened(0)
    watch.asked(markets, 0)
    return watch


def test_a_first_book_that_is_late_is_asked_for_again_and_then_blamed_once() -> None:
    """Three more requests, then the connection is given up; a second time the market alone is to blame."""
    watch = open_watch("a", "b")
    watch.heard({"b": None}, SECOND)
    assert watch.overdue(10 * SECOND - 1) == []
    now, asked = 0, 0
    while not watch.frozen(now):
        now += SECOND
        late = watch.overdue(now)
        assert set(late) <= {"a"}
        asked += len(late)
        assert now < 100 * SECOND
    assert asked == TRIES + 1
    watch.opened(now)
    watch.asked(["a", "b"], now)
    watch.heard({"b": None}, now)
    for _ in range(10):
        now += 10 * SECOND
        assert watch.overdue(now) == ["a"]
        assert watch.frozen(now) == ""
    watch.heard({"a": None}, now)
    assert watch.waiting() == 0


def test_what_the_venue_refuses_is_asked_for_ever_more_rarely_and_blames_nobody() -> None:
    """A limit of rate passes within seconds; a market that does not exist costs one request a minute."""
    watch = open_watch("none")
    now, asked = 0, []
    watch.refused(["none"], now)
    while now < 600 * SECOND:
        now += SECOND
        if watch.overdue(now):
            asked.append(now // SECOND)
            watch.refused(["none"], now)
        assert watch.frozen(now) == ""
    assert asked[:6] == [1, 3, 7, 15, 31, 63]
    assert asked[6:] == list(range(123, 600, 60))
    watch.heard({"none": None}, now)
    watch.asked(["none"], now)
    watch.refused(["none"], now)
    assert watch.overdue(now + REFUSED_NS) == ["none"]


def test_a_silent_canary_means_frozen() -> None:
    """The canary may be silent so long; before its first book it proves nothing."""
    watch = open_watch("canary", "x")
    assert watch.frozen(9 * SECOND) == ""
    watch.heard({"canary": None}, 10 * SECOND)
    watch.heard({"x": None}, 40 * SECOND)
    assert watch.frozen(40 * SECOND) == ""
    assert "canary" in watch.frozen(40 * SECOND + 1)


def test_a_long_silence_is_probed_and_an_answer_ends_it() -> None:
    """Nothing at all for a minute: one book is asked for again; if it comes, all was quiet."""
    watch = open_watch("a", "b")
    watch.heard({"a": None}, 0)
    watch.heard({"b": None}, 0)
    assert watch.probe(60 * SECOND - 1, lambda: 0) is None
    assert watch.probe(60 * SECOND, lambda: 0) == "a"
    assert watch.probe(61 * SECOND, lambda: 0) is None
    watch.heard({"a": None}, 62 * SECOND)
    assert watch.frozen(80 * SECOND) == ""
    assert watch.probe(122 * SECOND, lambda: 0) == "a"
    assert watch.frozen(132 * SECOND) == ""
    assert "asked for again" in watch.frozen(132 * SECOND + 1)


def test_a_witness_makes_a_probe_needless() -> None:
    """A market whose book REST confirms may be silent for days."""
    watch = open_watch("a")
    watch.heard({"a": None}, 0)
    for minute in range(1, 2000):
        now = minute * 60 * SECOND
        assert watch.probe(now, lambda now=now: now - SECOND) is None  # type: ignore[misc]
    assert watch.probe(NEVER, lambda: 0) == "a"


def test_patience_may_be_endless_and_changed() -> None:
    """data_timeout 0 never probes; new settings count at once."""
    watch = open_watch("a", patience=replace(PATIENCE, data_ns=0))
    watch.heard({"a": None}, 0)
    assert watch.probe(NEVER, lambda: 0) is None
    watch.adopt(PATIENCE)
    assert watch.probe(NEVER, lambda: 0) == "a"


def test_what_is_forgotten_is_not_waited_for() -> None:
    """A market that left is neither late nor probed nor missed."""
    watch = open_watch("a", "b")
    watch.heard({"a": None}, 0)
    assert watch.probe(NEVER, lambda: 0) == "a"
    watch.forget(["a", "b"])
    assert watch.overdue(NEVER) == []
    assert watch.frozen(NEVER * 2) == ""
    assert watch.probe(NEVER, lambda: 0) is None
