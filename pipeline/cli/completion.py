"""Completion: the words of run.py for bash and zsh, from the very parsers that read them.

In: the table of commands. Out: a script on stdout; with `words`, names that change from run to run. Use:
`source <(./run.py completion bash)`, and the same with zsh. Run by people, and by their shell at each tab.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from pipeline.cli.common import OK, SCRIPT, add_data, last_config, say
from pipeline.cli.parser import Parser

SHELLS = ("bash", "zsh")
# What a metavar stands for, where it is no word that we know beforehand.
FILES = {"PATH", "FILE", "DIR", "TAPE", "S"}
WORDS = {"WORKER": "workers", "a.b=c": "keys"}
WORKERS = ("supervisor", "scanner", "paper", "trader", "observer", "lab")
PROFILES = "demo paper"
SIGNALS = "TERM KILL STOP CONT INT HUP"

HEAD = """\
# Completion of run.py, made by: run.py completion {shell}
{prelude}_parallax_words() {{
    local data=() index
    for ((index = 1; index < COMP_CWORD; index++)); do
        [[ ${{COMP_WORDS[index]}} == --data ]] && data=(--data "${{COMP_WORDS[index + 1]}}")
    done
    {python} {script} completion words "$1" "${{data[@]}}" 2>/dev/null
}}
_parallax() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD - 1]}}" command="" index
    # Who begins with an option means the default command.
    [[ "${{COMP_WORDS[1]}}" == -* ]] && command={default}
    for ((index = 1; index < COMP_CWORD; index++)); do
        [[ -n "$command" ]] && break
        case "${{COMP_WORDS[index]}}" in
            {either}) command="${{COMP_WORDS[index]}}"; break ;;
        esac
    done
    COMPREPLY=()
    case "$command $before" in
"""
TAIL = """\
    esac
}}
complete -F _parallax run.py ./run.py parallax
"""
BASH_ONLY = "[[ -n ${BASH_VERSION:-} ]] && compopt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("what", choices=(*SHELLS, "words"), help="a script for this shell")
    parser.add_argument("of", nargs="?", choices=("workers", "keys"), help="words: which ones")


def run(args: argparse.Namespace) -> int:
    """Print a script, or words."""
    if args.what in SHELLS:
        say(script(args.what))
        return OK
    words = keys() if args.of == "keys" else workers(args)
    for word in words:
        say(word)
    return OK


def workers(args: argparse.Namespace) -> list[str]:
    """The workers of the run in the data directory, or of a usual one."""
    config = last_config(args.data)
    feeds = config.feeds() if config else ["kalshi", "polymarket", "kraken", "coinbase"]
    return sorted([*WORKERS, *(f"feed-{name}" for name in feeds)])


def keys() -> list[str]:
    """The keys of config.toml that stand in a table of one name, as `set` wants them."""
    # Late: the shell waits for `words workers` without a schema.
    from pipeline.config_schema.schema import keys as declared

    found = ((key.table.strip("[]"), key.name) for key in declared())
    return [f"{table}.{name}=" for table, name in found if table.isalpha()]


@dataclass(slots=True)
class Command:
    """What may follow a command: plain words, kinds of words that change, and the value of each option."""

    words: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    files: bool = False
    values: list[tuple[Sequence[str], str]] = field(default_factory=list)


def commands() -> Iterator[tuple[str, Command]]:
    """Each command of the table with what its parser declares."""
    from pipeline.cli.main import COMMANDS

    for name, module, _ in COMMANDS:
        parser = Parser(prog=f"run.py {name}")
        import_module(f"pipeline.cli.{module}").add_arguments(parser)
        found = Command()
        _collect(parser, found)
        yield name, found


def _collect(parser: argparse.ArgumentParser, found: Command) -> None:
    """Add what a parser declares; sub-commands count with all of theirs."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the only name it has
            found.words += list(action.choices)
            for inner in dict.fromkeys(action.choices.values()):
                _collect(inner, found)
            continue
        found.words += action.option_strings
        choices = [str(choice) for choice in action.choices or ()]
        metavar = str(action.metavar or "")
        if not action.option_strings:
            found.words += choices
            found.kinds += [WORDS[metavar]] if metavar in WORDS else []
            found.files = found.files or metavar in FILES
        elif action.nargs != 0:
            found.values.append((action.option_strings, _reply(metavar, choices, action.option_strings)))


def _reply(metavar: str, choices: list[str], options: Sequence[str]) -> str:
    """The shell's line that completes an option's value; `:` where nobody can guess it."""
    if "--profile" in options:
        return _plain(PROFILES)
    if "--signal" in options:
        return _plain(SIGNALS)
    if choices:
        return _plain(" ".join(choices))
    if metavar in FILES:
        return f'COMPREPLY=($(compgen -f -- "$current")); {BASH_ONLY} -o filenames'
    return _changing(WORDS[metavar]) if metavar in WORDS else ":"


def _plain(words: str) -> str:
    return f'COMPREPLY=($(compgen -W {shlex.quote(words)} -- "$current"))'


def _changing(kind: str) -> str:
    # After a key the value follows at once.
    ending = f"; {BASH_ONLY} -o nospace" if kind == "keys" else ""
    return f'COMPREPLY+=($(compgen -W "$(_parallax_words {kind})" -- "$current")){ending}'


def script(shell: str) -> str:
    """The whole script for a shell; zsh reads bash's through its own bashcompinit."""
    from pipeline.cli.main import DEFAULT

    known = list(commands())
    names = [name for name, _ in known]
    prelude = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    text = HEAD.format(
        shell=shell,
        prelude=prelude,
        python=shlex.quote(sys.executable),
        script=shlex.quote(str(SCRIPT)),
        either="|".join(names),
        default=DEFAULT,
    )
    for name, command in known:
        for options, reply in command.values:
            cases = "|".join(shlex.quote(f"{name} {option}") for option in options)
            text += f"        {cases}) {reply}; return ;;\n"
    text += '    esac\n    case "$command" in\n'
    for name, command in known:
        replies = [_plain(" ".join(command.words))] if command.words else []
        replies += [_changing(kind) for kind in dict.fromkeys(command.kinds)]
        if command.files:
            replies.append(f'COMPREPLY+=($(compgen -f -- "$current")); {BASH_ONLY} -o filenames')
        text += f"        {name}) {'; '.join(replies) or ':'} ;;\n"
    return text + f'        "") {_plain(" ".join(names))} ;;\n' + TAIL.format()
