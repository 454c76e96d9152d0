"""Main: the table of commands, and the one call that run.py makes.

In: the words after run.py. Out: an exit code: 0 ok, 1 failed, 2 usage, 3 configuration, 4 not running,
5 already running in this data directory, 6 doctor found a fault. Only the module of the command that is
asked for is imported, so that a worker starts with what it needs and no more.
"""

from __future__ import annotations

import sys
from importlib import import_module

from pipeline.cli.parser import Parser

# Name, module under pipeline.cli, help. The order is that of --help.
COMMANDS = (
    ("up", "up", "start everything, and on a terminal the dashboard"),
    ("down", "ask", "stop everything that runs in this data directory"),
    ("status", "status", "what runs and how it is, from memory"),
    ("start", "ask", "start a worker that is down, one that is FLAPPING too"),
    ("stop", "ask", "stop a worker until somebody starts it"),
    ("restart", "ask", "stop a worker and start it again"),
    ("kill", "ask", "send a signal to a worker; the supervisor restarts it"),
    ("halt", "switch", "no new trade until resume; hedges and cancels go on"),
    ("resume", "switch", "trade again, and say what stopped it"),
    ("flatten", "flatten", "close all that is held of an event, now"),
    ("cancel-all", "switch", "end every order that rests, with or without a trader"),
    ("set", "tune", "change a key of config.toml now, comments kept"),
    ("reload", "tune", "read config.toml again now (saving it does that by itself)"),
    ("log-level", "ask", "how much a worker logs, until the run ends"),
    ("dashboard", "dashboard", "the screen, in a terminal or a browser, of a run or of a tape"),
    ("logs", "logs", "the logs of all workers, merged by time"),
    ("summary", "summary", "what happened: results, refusals, restarts, worst ages"),
    ("why", "why", "why there is no trade on an event now"),
    ("books", "books", "the books that our codecs build from a tape"),
    ("replay", "replay", "a recording through the same workers, in a run of its own"),
    ("fee", "fee", "what a venue charges for a fill"),
    ("edge", "edge", "what is left on the books of a file, after fees"),
    ("journal", "journal", "the ledger: verify, trades, orders, fills, cash, switches, export"),
    ("export", "export", "the history as CSV or JSON lines"),
    ("alert", "alert", "alert test: send a test message to every address"),
    ("check-config", "check_config", "say what is wrong with the configuration"),
    ("show-config", "show_config", "the configuration as it is resolved, and where each value came from"),
    ("doctor", "doctor", "look whether this machine and this folder are fit to run"),
    ("selftest", "selftest", "break a simulated run in eight ways and see that each is noticed"),
    ("remote", "remote", "commands to a run on another machine, and the keys for that"),
    ("completion", "completion", "completion of these commands for bash or zsh"),
    ("test", "test", "run the test suite"),
    ("bench", "bench", "measure; without a name, list the benches"),
    ("feed", "work", "one venue's feed process (the supervisor starts it)"),
    ("scanner", "work", "the scanner process (the supervisor starts it)"),
    ("trader", "work", "the trader process (the supervisor starts it)"),
    ("paper", "work", "the paper exchange (the supervisor starts it)"),
    ("observer", "work", "exports, metrics, alerts (the supervisor starts it)"),
    ("lab", "work", "the simulated venues (the supervisor starts it)"),
)
DEFAULT = "up"


def main(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    words = argv if argv and argv[0] in {"-h", "--help"} else with_command(argv)
    about = "Parallax: the same event on several venues, and the difference."
    parser = Parser(prog="run.py", description=about)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    module = None
    for name, module_name, text in COMMANDS:
        passes_on = "arguments" if name == "test" else ""
        command = commands.add_parser(name, help=text, description=text, passes_on=passes_on)
        if words[0] == name:
            module = import_module(f"pipeline.cli.{module_name}")
            module.add_arguments(command)
    args = parser.parse_args(words)
    assert module is not None, "argparse refuses a command that is not in the table"
    try:
        return int(module.run(args))
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does: nothing more to say to it.
        sys.stderr.close()
        return 1


def with_command(argv: list[str]) -> list[str]:
    """The words with the default command put first where none is named."""
    if not argv or argv[0].startswith("-"):
        return [DEFAULT, *argv]
    return argv
