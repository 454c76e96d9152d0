"""Deliver: alerts reach a receiver on loopback, nobody waits for it, and no address is ever shown."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import secrets
from pipeline.observer import deliver
from pipeline.observer.deliver import (
    QUEUE,
    AlertState,
    Delivery,
    Message,
    Places,
    Result,
    addresses,
    shown,
    tokens,
)
from pipeline.secrets import SecretError, redact
from tests.support.receiver import Receiver, receiver

pytest.importorskip("apprise")
# One of its many plugins imports a module that Python 3.13 has no more.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
TOKEN = "canary-70ce-token-1234567890"
SECONDS = 60.0


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins as a new process does: no secret has been loaded, and memory may be read."""
    monkeypatch.setattr(secrets, "_known", secrets._Known())
    monkeypatch.setattr(deliver, "hide_memory", lambda: True)


@pytest.fixture(name="there")
def receiver_there() -> Iterator[Receiver]:
    """A receiver on loopback."""
    with receiver() as server:
        yield server


def delivery_to(*urls: str) -> Delivery:
    """A delivery with these addresses, whose retries do not wait long."""
    return Delivery(Places(env="URLS"), {"URLS": "\n".join(urls)}, (0.01, 0.01))


def results(delivery: Delivery, count: int) -> list[Result]:
    """So many results, and an end of the thread."""
    found: list[Result] = []
    deadline = time.monotonic() + SECONDS
    while len(found) < count and time.monotonic() < deadline:
        found += delivery.results()
        time.sleep(0.005)
    delivery.close(SECONDS)
    return found + delivery.results()


def test_a_message_reaches_every_address(there: Receiver) -> None:
    """Each address gets title and text once, as they were, and the message counts as sent."""
    delivery = delivery_to(there.url("a"), "# a comment", "", there.url("b"))
    delivery.put(Message(7, "a title", "5 < 6 & [bold]\nnext line"))
    assert results(delivery, 1) == [Result(7, AlertState.SENT)]
    assert [path for path, _ in there.got] == ["/a", "/b"]
    assert {(body["title"], body["message"]) for _, body in there.got} == {
        ("a title", "5 < 6 & [bold]\nnext line")
    }


def test_a_failure_is_tried_thrice_and_told_without_the_address(there: Receiver) -> None:
    """One bad address of two is tried three times, the good one once; the reason holds no token."""
    delivery = delivery_to(there.url(f"bad-{TOKEN}"), there.url("good"))
    delivery.put(Message(1, "t", "b"))
    (result,) = results(delivery, 1)
    assert result.state == AlertState.FAILED
    assert result.why.startswith("json://127.0.0.1:") and TOKEN not in result.why
    assert [path for path, _ in there.got].count("/good") == 1 and len(there.got) == 4


def test_a_retry_may_succeed(there: Receiver) -> None:
    """A receiver that refuses twice and then takes it has been told, once."""
    there.bad_answers = 2
    delivery = delivery_to(there.url("bad"))
    delivery.put(Message(1, "t", "b"))
    assert results(delivery, 1) == [Result(1, AlertState.SENT)]
    assert len(there.got) == 3


def test_a_receiver_that_hangs_holds_up_nobody(there: Receiver) -> None:
    """With a receiver that does not answer, messages queue up to a bound; the rest have failed at once."""
    delivery = delivery_to(there.url("late"))
    for number in range(1, QUEUE + 20):
        delivery.put(Message(number, "t", "b"))
    refused = delivery.results()
    assert len(refused) >= 15
    assert {(each.state, each.why) for each in refused} == {
        (AlertState.FAILED, "too many alerts wait already")
    }
    delivery.close(0.01)
    there.release.set()


def test_nobody_is_told_when_there_is_nobody() -> None:
    """Without an address a message is nobody's, which is no failure."""
    delivery = Delivery(Places(), {})
    delivery.put(Message(1, "t", "b"))
    assert results(delivery, 1) == [Result(1, AlertState.NOBODY)]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            f"nosuch://{TOKEN}",
            "nosuch://***: apprise does not know this kind of address, or a part of it is missing",
        ),
        (TOKEN, "***: apprise does not know this kind of address, or a part of it is missing"),
        ("json://127.0.0.1:1/x", "json://127.0.0.1:1: it was refused, or nobody answered"),
    ],
)
def test_an_address_that_will_not_do_is_no_crash(url: str, why: str) -> None:
    """An unknown kind, plain nonsense and a closed port each are a sentence without the address."""
    delivery = delivery_to(url)
    delivery.put(Message(1, "t", "b"))
    assert results(delivery, 1) == [Result(1, AlertState.FAILED, why)]


def test_without_apprise_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library is one clear sentence in the result."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    delivery = delivery_to("json://127.0.0.1:1/x")
    delivery.put(Message(1, "t", "b"))
    (result,) = results(delivery, 1)
    assert result.why == "json://127.0.0.1:1: apprise is not installed: pip install 'parallax[alerts]'"


def test_addresses_that_cannot_be_had_fail_every_message(tmp_path: Path) -> None:
    """A file that is open to others is named once, and its messages have failed for that reason."""
    path = tmp_path / "urls"
    path.write_text(f"json://127.0.0.1:1/{TOKEN}")
    path.chmod(0o644)
    delivery = Delivery(Places(file=str(path)), {})
    delivery.put(Message(1, "t", "b"))
    why = f"the addresses of alerts: {path} is open to others: chmod 600 {path}"
    assert results(delivery, 2) == [Result(0, AlertState.FAILED, why), Result(1, AlertState.FAILED, why)]


def test_new_addresses_take_over(tmp_path: Path, there: Receiver) -> None:
    """A file that was exchanged is read when it is adopted again; a variable, once read, stays known."""
    path = tmp_path / "urls"
    path.write_text(there.url("old"))
    path.chmod(0o600)
    delivery = Delivery(Places(file=str(path)), {"URLS": there.url("env")})
    delivery.put(Message(1, "t", "b"))
    deadline = time.monotonic() + SECONDS
    while not there.got and time.monotonic() < deadline:
        time.sleep(0.005)
    path.write_text(there.url("new"))
    for number, places in enumerate([Places(file=str(path)), Places(env="URLS"), Places(env="URLS")], 2):
        delivery.adopt(places)
        delivery.put(Message(number, "t", "b"))
    assert [each.state for each in results(delivery, 4)] == [AlertState.SENT] * 4
    assert [path for path, _ in there.got] == ["/old", "/new", "/env", "/env"]


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        (f"json://{TOKEN}@127.0.0.1:8080/x", "json://127.0.0.1:8080"),
        (f"mailto://ann:{TOKEN}@mail.example", "mailto://mail.example"),
        (f"discord://1234567890/{TOKEN}", "discord://***"),
        (f"tgram://{TOKEN}/77", "tgram://***"),
        (f"slack://T1/A1/{TOKEN}", "slack://***"),
        (f"json://[{TOKEN}", "json://***"),
        (f"{TOKEN}://x", "***"),
        ("", "***"),
    ],
)
def test_what_is_shown_of_an_address(url: str, seen: str) -> None:
    """The kind of an address is shown, its host only where it is one, and never a name, password or token."""
    assert shown(url) == seen


@pytest.mark.parametrize(
    "url",
    [
        f"json://ann:{TOKEN}@127.0.0.1/x",
        f"https://discord.example/api/webhooks/99/{TOKEN}",
        f"tgram://{TOKEN}/77",
        f"slack://bot@A/{TOKEN}/?footer={TOKEN}",
        f"json://127.0.0.1/?to={TOKEN}",
    ],
)
def test_every_token_of_an_address_is_redacted(url: str) -> None:
    """Whatever part of an address holds the token, no text shows it once the address is loaded."""
    assert TOKEN in tokens(url)
    addresses(Places(env="URLS"), {"URLS": url})
    assert TOKEN not in redact(f"POST to {url} failed: {TOKEN!r}")


def test_no_addresses_and_too_many_are_refused() -> None:
    """A place with nothing but comments, and one with a list that cannot be meant, are named."""
    with pytest.raises(SecretError, match="there is none; write one a line"):
        addresses(Places(env="URLS"), {"URLS": "# nobody\n"})
    with pytest.raises(SecretError, match="33 of them, and 32 are the most"):
        addresses(Places(env="URLS"), {"URLS": "json://h\n" * 33})


def test_the_library_logs_nothing(there: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """What apprise and its HTTP client log of an address, however verbose, comes nowhere."""
    caplog.set_level(logging.DEBUG)
    delivery = delivery_to(there.url(f"bad/{TOKEN}"), f"json://127.0.0.1:1/{TOKEN}")
    delivery.put(Message(1, "t", "b"))
    assert results(delivery, 1)[0].state == AlertState.FAILED
    assert TOKEN not in caplog.text
