"""Kalshi's commands: what is sent to subscribe, extend, repair and leave."""

from __future__ import annotations

import json
from typing import Any

from pipeline.venues.kalshi.books import KalshiCodec, make
from pipeline.venues.kalshi.commands import TICKERS_MAX, Asked, Commands

A, B, C = "KX-A", "KX-B", "KX-C"


def sent(frames: list[str]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in frames]


def answer(codec: KalshiCodec, command: dict[str, Any], sid: int = 3) -> None:
    body = {"channel": command["params"]["channels"][0], "sid": sid}
    codec.decode(json.dumps({"id": command["id"], "type": "subscribed", "msg": body}).encode())


def test_a_subscription_says_in_whose_prices() -> None:
    """`use_yes_price` is sent as false, because its default is announced to change; ids are unique."""
    books, lifecycle = sent(make({}).subscribe([A, B]))
    assert books == {
        "id": 1,
        "cmd": "subscribe",
        "params": {"channels": ["orderbook_delta"], "market_tickers": [A, B], "use_yes_price": False},
    }
    assert lifecycle == {"id": 2, "cmd": "subscribe", "params": {"channels": ["market_lifecycle_v2"]}}


def test_many_markets_are_asked_for_in_pieces() -> None:
    """No command names more than a hundred; every market is named once."""
    names = [f"KX-{number}" for number in range(250)]
    *pieces, _lifecycle = sent(make({}).subscribe([*names, names[0]]))
    assert [len(each["params"]["market_tickers"]) for each in pieces] == [TICKERS_MAX, TICKERS_MAX, 50]
    assert [name for each in pieces for name in each["params"]["market_tickers"]] == names


def test_until_the_answer_more_markets_are_subscribed_and_then_added() -> None:
    """Kalshi merges a second `subscribe`; once it has named the subscription `add_markets` extends that."""
    codec = make({})
    first, _ = sent(codec.subscribe([A]))
    (second,) = sent(codec.subscribe([B]))
    assert second["cmd"] == "subscribe"
    answer(codec, first)
    (third,) = sent(codec.subscribe([C]))
    assert third["cmd"] == "update_subscription"
    assert third["params"] == {"sids": [3], "market_tickers": [C], "action": "add_markets"}


def test_what_is_subscribed_or_asked_for_is_not_asked_for_again() -> None:
    """A repeated `subscribe` brings no new snapshot, so it would only cost."""
    codec = make({})
    first, _ = sent(codec.subscribe([A]))
    assert codec.subscribe([A]) == []
    answer(codec, first)
    assert codec.subscribe([A]) == []
    assert codec.subscribe([]) == []


def test_leaving_names_the_subscription_and_coming_back_adds() -> None:
    """`delete_markets` and `add_markets` go to the number that the venue gave."""
    codec = make({})
    answer(codec, sent(codec.subscribe([A, B]))[0])
    (leave,) = sent(codec.unsubscribe([A, C]))
    assert leave["params"] == {"sids": [3], "market_tickers": [A], "action": "delete_markets"}
    assert codec.unsubscribe([A]) == []
    (back,) = sent(codec.subscribe([A]))
    assert back["params"] == {"sids": [3], "market_tickers": [A], "action": "add_markets"}


def test_a_market_taken_back_before_the_answer_is_followed_again() -> None:
    """Its messages are used, although nothing new was sent for it."""
    codec = make({})
    first, _ = sent(codec.subscribe([A]))
    codec.unsubscribe([A])
    codec.subscribe([A])
    answer(codec, first)
    body = {"market_ticker": A, "yes_dollars_fp": [["0.4", "1"]]}
    text = json.dumps({"type": "orderbook_snapshot", "sid": 3, "seq": 1, "msg": body})
    assert type(codec.decode(text.encode())[0]).__name__ == "Snapshot"


def test_a_resync_asks_each_subscription_for_its_own() -> None:
    """One `get_snapshot` a subscription and hundred markets; what nobody follows is not asked for."""
    codec = make({})
    names = [f"KX-{number}" for number in range(150)]
    first, second, _ = sent(codec.subscribe(names))
    answer(codec, first, sid=3)
    answer(codec, second, sid=4)
    repairs = sent(codec.resync([*names[:2], names[120], "KX-unknown"]))
    assert [each["params"] for each in repairs] == [
        {"sids": [3], "market_tickers": names[:2], "action": "get_snapshot"},
        {"sids": [4], "market_tickers": [names[120]], "action": "get_snapshot"},
    ]
    assert codec.resync([]) == []


def test_kalshi_has_no_pings_of_its_own() -> None:
    """WebSocket pings do it: nothing is sent and nothing is owed."""
    codec = make({})
    assert codec.ping() is None
    assert codec.unanswered == 0


def test_commands_that_are_never_answered_are_forgotten() -> None:
    """What is remembered of them is bounded, the oldest goes first."""
    commands = Commands(use_yes_price=False)
    for number in range(300):
        commands.update("get_snapshot", 1, [f"KX-{number}"])
    assert commands.answered(1) == Asked()
    assert commands.answered(300) == Asked("get_snapshot", ("KX-299",), 1)
    assert commands.answered(300) == Asked()
