"""The parser's errors: what was meant, where, and exit code 2."""

import pytest

from pipeline.cli.parser import Parser, did_you_mean


def make_parser() -> Parser:
    """A small command line in the shape of ours."""
    parser = Parser(prog="run.py")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    status = commands.add_parser("status")
    status.add_argument("--json", action="store_true")
    status.add_argument("--counters", action="store_true")
    fee = commands.add_parser("fee")
    fee.add_argument("venue", choices=["kalshi", "polymarket", "kraken"])
    fee.add_argument("--size", type=int)
    test = commands.add_parser("test", passes_on="pytest_args")
    test.add_argument("--lint", action="store_true")
    return parser


def error_of(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Lines on stderr of a command line that must be refused with exit code 2 and no stdout."""
    with pytest.raises(SystemExit) as refused:
        make_parser().parse_args(words)
    assert refused.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


@pytest.mark.parametrize(
    ("words", "usage", "error"),
    [
        (["statsu"], "usage: run.py ", "unknown command 'statsu' - did you mean 'status'?"),
        (["xyzzy"], "usage: run.py ", "unknown command 'xyzzy'; --help lists them"),
        (
            ["fee", "kalsi"],
            "usage: run.py fee ",
            "'kalsi' is not one of kalshi, polymarket, kraken - did you mean 'kalshi'?",
        ),
        (
            ["status", "--jsno"],
            "usage: run.py status ",
            "unknown option '--jsno' - did you mean '--json'?",
        ),
        (
            ["fee", "kraken", "--sise=3"],
            "usage: run.py fee ",
            "unknown option '--sise' - did you mean '--size'?",
        ),
        (["status", "--frobnicate"], "usage: run.py status ", "unknown option '--frobnicate'"),
        (["status", "now"], "usage: run.py status ", "unexpected argument 'now'"),
        (["--verbsoe", "status"], "usage: run.py ", "unknown option '--verbsoe'"),
        (["fee", "kraken", "--size", "x"], "usage: run.py fee ", "invalid int value: 'x'"),
        ([], "usage: run.py ", "required: COMMAND"),
    ],
)
def test_an_error_names_the_slip_and_shows_only_that_command(capsys, words, usage, error):
    """Each kind of slip gives one usage, of the failing command, and one line that says what."""
    lines = error_of(capsys, *words)
    assert lines[0].startswith(usage)
    assert sum(line.startswith("usage:") for line in lines) == 1
    assert lines[-1].endswith(error)


def test_options_are_not_abbreviated(capsys):
    """--js is a slip, not --json: a later option may not change what an old script means."""
    assert error_of(capsys, "status", "--js")[-1].endswith("did you mean '--json'?")


def test_good_words_are_parsed():
    """What argparse accepts is accepted unchanged."""
    got = make_parser().parse_args(["fee", "kraken", "--size", "3"])
    assert (got.command, got.venue, got.size) == ("fee", "kraken", 3)


@pytest.mark.parametrize(
    ("words", "lint", "passed_on"),
    [
        (["test"], False, []),
        (["test", "--lint", "-k", "name"], True, ["-k", "name"]),
        (["test", "tests/shm", "-x", "--lint"], True, ["tests/shm", "-x"]),
    ],
)
def test_a_command_may_pass_unknown_words_on(words, lint, passed_on):
    """`test` keeps its own options and hands every other word to pytest, in order."""
    got = make_parser().parse_args(words)
    assert (got.lint, got.pytest_args) == (lint, passed_on)


def test_no_suggestion_is_better_than_a_wrong_one():
    """A word that resembles nothing gets no suggestion."""
    assert did_you_mean("zzz", ["status", "down"]) == ""
    assert did_you_mean("dwon", ["status", "down"]) == " - did you mean 'down'?"
