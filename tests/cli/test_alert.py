"""Alert: `alert test` reaches every address, says how it went, and shows none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import secrets
from pipeline.cli.common import BAD_CONFIG, FAILED, OK, USAGE
from pipeline.cli.main import main
from pipeline.observer import deliver
from tests.support.receiver import Receiver, receiver

pytest.importorskip("apprise")
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
TOKEN = "canary-c114-token-42"


@pytest.fixture(name="there")
def receiver_there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver on loopback, and a process that has loaded no secret and whose memory may be read."""
    monkeypatch.setattr(secrets, "_known", secrets._Known())
    monkeypatch.setattr(deliver, "hide_memory", lambda: True)
    with receiver() as server:
        yield server


def alert_test(data: Path, *words: str) -> int:
    """The exit code of `alert test` on a private file of addresses, if there is one."""
    path = data / "urls"
    named = ["--set", f"alerts.urls_file={path}"] if path.exists() else []
    return main(["alert", "test", "--data", str(data), *named, *words])


def addresses(data: Path, *urls: str) -> None:
    """The file of addresses, mode 0600."""
    path = data / "urls"
    path.write_text("\n".join(urls))
    path.chmod(0o600)


def test_every_address_gets_a_message(
    tmp_path: Path, there: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, one line an address, and no token on the screen."""
    addresses(tmp_path, there.url(f"one/{TOKEN}"), there.url("two"))
    assert alert_test(tmp_path) == OK
    shown = f"json://127.0.0.1:{there.server_address[1]}"
    assert capsys.readouterr().out.splitlines() == [f"1  {shown}  ok", f"2  {shown}  ok"]
    assert [path for path, _ in there.got] == [f"/one/{TOKEN}", "/two"]
    assert there.got[0][1]["title"] == "Parallax: test"


def test_one_failure_is_exit_1(tmp_path: Path, there: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """The address that failed says so, the others were told, and scripts get an object."""
    addresses(tmp_path, there.url(f"bad/{TOKEN}"), there.url("good"))
    assert alert_test(tmp_path, "--json") == FAILED
    said = capsys.readouterr()
    answers = json.loads(said.out)["addresses"]
    assert [answer["ok"] for answer in answers] == [False, True]
    assert answers[0]["why"] == "it was refused, or nobody answered"
    assert TOKEN not in said.out + said.err


def test_no_address_is_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a place, the message says how to name one."""
    assert alert_test(tmp_path) == BAD_CONFIG
    assert "alerts.urls_file" in capsys.readouterr().err


@pytest.mark.parametrize(("mode", "text"), [(0o644, f"json://127.0.0.1:1/{TOKEN}"), (0o600, "# nobody")])
def test_a_file_that_will_not_do_is_exit_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, text: str
) -> None:
    """A file that others may read, and one without an address, are named; nothing was sent."""
    addresses(tmp_path, text)
    (tmp_path / "urls").chmod(mode)
    assert alert_test(tmp_path) == BAD_CONFIG
    said = capsys.readouterr()
    assert "urls" in said.err or "there is none" in said.err
    assert TOKEN not in said.out + said.err


def test_another_word_is_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only `test` is known."""
    with pytest.raises(SystemExit) as ended:
        main(["alert", "everybody", "--data", str(tmp_path)])
    assert ended.value.code == USAGE
    assert "test" in capsys.readouterr().err
