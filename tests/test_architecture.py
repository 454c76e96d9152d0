"""The house rules of DESIGN 3 and docs/STYLE.md, each a check over a tree of files.

The data at the top are the rules; edit them there, with a reason. Each check takes a `Tree` and
gives its complaints, one line each: file:line, the rule, what to do. The second half feeds the
checks broken trees, so that a check which no longer sees anything is seen.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("shm", "pipeline", "dashboard")
STAGES = ("feed", "scanner", "trader", "paper", "observer", "supervisor")

# Imports point downward only: the bottom layer first; names in one layer do not know each other. A
# name stands for its package and for what it was split into (journal_records belongs to journal).
LAYERS: tuple[tuple[str, ...], ...] = (
    ("shm",),
    (
        "pipeline.model",
        "pipeline.clock",
        "pipeline.places",
        "pipeline.version",
        "pipeline.crash",
        "pipeline.halt",
        "pipeline.guards",
        "pipeline.flatten",
    ),
    (
        "pipeline.look",
        "pipeline.money",
        "pipeline.queue_position",
        "pipeline.survival",
        "pipeline.payoff",
        "pipeline.conversion",
        "pipeline.digital",
    ),
    (
        "pipeline.wire",
        "pipeline.fees",
        "pipeline.secrets",
        "pipeline.journal",
        "pipeline.decision_log",
        "pipeline.tape",
        "pipeline.config",
    ),
    ("pipeline.logs", "pipeline.bus", "pipeline.books", "pipeline.edge", "pipeline.pairs", "pipeline.venues"),
    ("pipeline.lifecycle", "pipeline.pricing", "pipeline.client"),
    ("pipeline.status",),
    tuple(f"pipeline.{stage}" for stage in STAGES),
    ("dashboard", "pipeline.lab"),
    ("pipeline.cli",),
    ("run",),
)
NEIGHBOURS = {  # importer, imported in the same layer: why that is right
    ("pipeline.secrets", "pipeline.config"): "names where they are",
    ("pipeline.config", "pipeline.secrets"): "the schema asks whether they are there",
    ("pipeline.fees", "pipeline.config"): "[fees.NAME] is a struct of the config",
    ("pipeline.config", "pipeline.fees"): "the schema asks whether [fees.NAME] gives a fee",
    ("pipeline.pairs", "pipeline.edge"): "a direction becomes the legs that are priced",
}
DASHBOARD_MAY_IMPORT = (
    "shm",
    *(f"pipeline.{name}" for name in "model model_orders money config wire bus edge fees clock".split()),
    # Numbers on a screen come from the trading path's own functions.
    *(f"pipeline.{name}" for name in "books pairs pairs_checks pricing edge_curve model_events".split()),
    # Its tab of log lines: how they lie on the disk, and how they are read.
    *(f"pipeline.{name}" for name in "logs logs_files logs_text".split()),
)

# Who keeps the door to an outside thing; a name may be a pattern.
CLI_STARTS = "starts the supervisor detached, pip, and the tools of `test`"
DOORS: dict[str, dict[str, str]] = {
    "websocket": {"pipeline.feed.connection": "the venues' sockets"},
    "zmq": {
        "pipeline.bus": "messages between processes",
        "pipeline.bus_remote": "commands from other machines",
    },
    "sqlite3": {
        "pipeline.journal": "what must survive",
        "pipeline.journal_reader": "the same file, read-only",
        "pipeline.decision_log": "decisions, off the order path",
        "pipeline.journal_migration": "ledgers of older versions",
        "pipeline.paper.store": "what the paper exchange did",
    },
    "mmap": {"shm.segment": "shared memory"},
    "fcntl": {
        "shm.lock": "the owner's lock",
        "pipeline.bus": "role locks before a bind",
        "pipeline.cli.bootstrap": "one installation at a time",
    },
    "time": {"pipeline.clock": "the only clock"},
    "subprocess": {"pipeline.supervisor.processes": "workers", "pipeline.cli.*": CLI_STARTS},
    "signal": {
        "pipeline.supervisor.processes": "sends and receives them",
        "pipeline.supervisor.*": "names their numbers",
        "pipeline.lifecycle": "an orderly end",
        "pipeline.crash": "names SIGKILL",
        "pipeline.trader.switch": "SIGUSR1 halts",
        "pipeline.cli.*": "Ctrl-C, and names for --signal",
    },
    "psutil": {"pipeline.supervisor.processes": "pids with start times"},
    "setproctitle": {"pipeline.cli.work": "the noun in `ps`"},
    "pydantic": {
        "pipeline.config_schema.schema": "checks config.toml",
        "pipeline.config_schema.models": "its keys",
    },
    "tomli": {"pipeline.config_schema.schema": "the text of config.toml"},
    "tomlkit": {"pipeline.config_schema.edit": "writes one key and keeps the comments"},
    "prometheus_client": {"pipeline.observer.metrics": "metrics for Prometheus"},
    "apprise": {"pipeline.observer.deliver": "alerts to people"},
    "keyring": {"pipeline.secrets": "secrets that are kept there"},
    "httpx": {"pipeline.feed.http": "public REST", "pipeline.trader.live.*": "orders"},
    "ccxt": {"pipeline.feed.ccxt_exchange": "any exchange that it streams"},
    "cryptography": {
        "pipeline.venues.signing": "request signatures",
        "pipeline.lab.kalshi": "the simulated venue verifies them",
    },
    "textual": {"dashboard": "the terminal", "dashboard.*": "the terminal"},
    "rich": {"dashboard": "the terminal", "dashboard.*": "the terminal"},
    "textual_serve": {"pipeline.cli.dashboard_web": "the terminal in a browser"},
    "aiohttp": {"pipeline.cli.dashboard_web": "serves that page, on loopback"},
    "gzip": {"pipeline.tape": "compressed tapes"},
    "zstandard": {"pipeline.tape": "compressed tapes"},
    "logging": {"pipeline.logs": "one format, one file a worker"},
    "websockets": {"pipeline.lab.server": "the simulated venues' sockets"},
}
# Modules that do I/O without keeping a door: they use files, or a door of ours.
IMPURE = {
    "pipeline.cli.*": "the top layer",
    "pipeline.lab.*": "plays at being the world",
    "pipeline.config_schema": "hands on what its schema offers",
    "pipeline.config_schema.keys": "looks who may read the key file",
    "pipeline.books": "reads the feeds' segments",
    "pipeline.scanner.following": "reads the screens of the feeds",
    "pipeline.scanner.trader_view": "reads the trader's segment",
    "pipeline.trader.ledger": "commits to the journal",
    "pipeline.trader.recovery": "reads the journal, asks the broker",
    "pipeline.trader.executor": "commits, sends and books",
    "pipeline.trader.show": "publishes, and reads past trades from the journal",
    "pipeline.trader.desk": "looks at the books, opens trades",
    "pipeline.trader.switch": "reads and writes the HALT file",
    "pipeline.trader.maker": "the same, for quotes",
    "pipeline.trader.order_line": "the broker that talks to the paper exchange over the bus",
    "pipeline.halt": "the HALT file",
    "pipeline.flatten": "the file of orders to close an event",
    "pipeline.trader.flatten": "looks at the books, sends what is sold",
    "pipeline.logs_files": "reads data/logs",
    "pipeline.trader.oversight": "watches halts, the supervisor and the exchange for the worker",
    "pipeline.trader.probe": "sends tokens to ourselves over the bus",
    "pipeline.bus_bell": "the doorbell's FIFO",
    "pipeline.crash": "kills this process at a named point, for tests",
    "pipeline.config_schema.files": "reads config.toml, names the run's directories",
    "pipeline.places": "asks for the real path of a directory",
    "pipeline.observer.export": "writes data/*.json",
    "pipeline.secrets": "reads secrets from the environment and from files",
    "pipeline.config_schema.edit": "writes config.toml",
    "pipeline.config_schema.live": "looks whether the files changed",
    "pipeline.status": "reads every segment of a run",
    "pipeline.status.account": "the trader's segment, and the HALT file",
    "pipeline.status.hops": "the segments of scanner and trader",
    "pipeline.client": "reads the feeds' segments for other programs",
    "pipeline.client.exports": "reads data/*.json for other programs",
    "pipeline.observer.alerts": "asks the disk, hands messages to deliver",
    "pipeline.observer.positions_file": "reads the account through pipeline.status",
    "pipeline.client.reader": "reads the feeds' segments for other programs",
    "pipeline.client.subscription": "a thread of its own",
    "pipeline.feed.answers": "a queue between threads",
    "pipeline.feed.rest": "a thread of its own",
    "pipeline.feed.rest_books": "a thread of its own",
    "pipeline.feed.metadata": "asks by REST",
    "pipeline.feed.second_source": "asks by REST",
    "pipeline.feed.link": "opens connections",
    "pipeline.feed.display": "publishes, and rings the bell",
    "pipeline.feed.ingest": "the same, for messages of a connection",
    "pipeline.feed.gauges": "writes its worker's counters and log",
    "pipeline.feed.doorbell": "rings the bus's bell",
    "pipeline.feed.credentials": "reads keys from the environment and from files",
    "pipeline.feed.replay": "the worker of a feed that plays a tape; a socket to the lab",
    "pipeline.feed.ccxt_feed": "the worker of a ccxt exchange, in its own event loop",
    "pipeline.supervisor.control": "answers commands over the bus",
}
PURE_IMPORTS = frozenset(
    "__future__ abc array base64 binascii bisect collections contextlib copy dataclasses datetime"
    " decimal difflib enum fractions functools hashlib heapq hmac itertools json math operator random re"
    " statistics string struct textwrap types typing urllib.parse uuid zlib msgspec numpy".split()
)
PURE_MAY_IMPORT = {"pipeline.clock": "for the type of an argument"}

MODULE_LINES, FUNCTION_LINES, RUN_LINES = 400, 60, 149
BANNED_IMPORTS = {
    "pickle": "use msgspec with a struct",
    "marshal": "use msgspec with a struct",
    "shelve": "use the journal",
    "multiprocessing.shared_memory": "use shm.segment: on 3.11 this deletes live segments",
    "tomllib": "use pipeline.config_schema, whose tomli names line and column",
}
# Pattern of a called name: where it is allowed all the same, and what to use in its place.
BANNED_CALLS: dict[str, tuple[tuple[str, ...], str]] = {
    "print": (("pipeline.cli", "pipeline.cli.*"), "return the text; only cli prints"),
    "time.*": (("pipeline.clock",), "take a pipeline.clock.Clock as an argument"),
    "datetime.datetime.now": ((), "take a Clock and use wall_ns"),
    "datetime.datetime.utcnow": ((), "take a Clock and use wall_ns"),
    "datetime.datetime.today": ((), "take a Clock and use wall_ns"),
    "datetime.date.today": ((), "take a Clock and use wall_ns"),
    "random.[!R]*": ((), "take a random.Random as an argument"),
    "numpy.random.*": ((), "take a random.Random as an argument"),
    "eval": ((), "parse the text"),
    "exec": ((), "write the function"),
    "yaml.load": ((), "settings are TOML, read by pipeline.config_schema"),
    "os.system": ((), "use pipeline.supervisor.processes"),
    "os.popen": ((), "use pipeline.supervisor.processes"),
    "websocket.WebSocketApp": ((), "use our own deadline loop in pipeline.feed.connection"),
    "*.recv_pyobj": ((), "use pipeline.wire: this unpickles what a stranger sent"),
    "*.send_pyobj": ((), "use pipeline.wire"),
}
ENTRY_POINTS = {  # modules that nobody need import
    "pipeline.trader.validator": "for other people's Python, as docs/SIZING.md shows",
    "run": "the program",
    "pipeline.cli.*": "commands are found by main",
    "pipeline.*.worker": "workers are started by name",
}
TEST_FOLDERS = {  # folders under tests/ that mirror no package
    "data": "payloads that we made",
    "__snapshots__": "pictures as screens must look",
    "e2e": "real processes",
    "support": "helpers that tests share",
}
TEXT_SUFFIXES = {".py", ".toml", ".lock", ".md", ".tcss", ".json", ".jsonl", ".txt", ".cfg", ""}
SKIPPED_FOLDERS = {".git", ".venv", "data", "__pycache__", "build", "dist", ".hypothesis"}
MACHINE_PATH = re.compile(r"(?<![\w.~])/(home|root|Users)/[\w.]|/tmp/[w]/")
LEFT_OVER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


@dataclass(frozen=True)
class Import:
    """One imported name: `target` is a module of ours, or the outside module's dotted name."""

    target: str
    line: int


@dataclass(frozen=True)
class Module:
    """One parsed file: its dotted name, its path from the root, its text and its syntax tree."""

    name: str
    path: str
    text: str
    syntax: ast.Module
    nodes: tuple[ast.AST, ...]

    def matches(self, *patterns: str) -> bool:
        """Whether the module's name fits one of the patterns."""
        return any(fnmatchcase(self.name, pattern) for pattern in patterns)

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method."""
        return [n for n in self.nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


class Tree:
    """The files under a root, each read and parsed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules = {m.name: m for m in self._load()}
        self.imports = {name: list(self._imports(m)) for name, m in self.modules.items()}

    def _load(self) -> Iterator[Module]:
        files = [self.root / "run.py"] if (self.root / "run.py").exists() else []
        for package in (*PACKAGES, "bench"):
            files += sorted((self.root / package).rglob("*.py"))
        for file in files:
            relative = file.relative_to(self.root)
            parts = relative.with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            text = file.read_text(encoding="utf-8")
            syntax = ast.parse(text, filename=str(relative))
            yield Module(name, str(relative), text, syntax, tuple(ast.walk(syntax)))

    def _imports(self, module: Module) -> Iterator[Import]:
        for node in module.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(module, node)
                for alias in node.names:
                    full = f"{base}.{alias.name}"
                    is_module = full in {*self.modules, *BANNED_IMPORTS} or base in PACKAGES
                    yield Import(full if is_module else base, node.lineno)

    @staticmethod
    def _base(module: Module, node: ast.ImportFrom) -> str:
        """Dotted name that a `from` imports from, relative ones resolved."""
        if not node.level:
            return node.module or ""
        is_package = module.path.endswith("__init__.py")
        parts = module.name.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        return ".".join([*parts, node.module] if node.module else parts)

    def ours(self, *, bench: bool = False) -> Iterator[Module]:
        """Our product's modules, run.py among them; bench scripts only where asked for."""
        for module in self.modules.values():
            if bench or not module.matches("bench", "bench.*"):
                yield module

    def texts(self) -> Iterator[tuple[str, str]]:
        """Path and text of every file that a person wrote or a tool locked."""
        for file in sorted(_files(self.root)):
            if file.suffix in TEXT_SUFFIXES:
                yield str(file.relative_to(self.root)), file.read_text("utf-8", errors="replace")


def _files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name not in SKIPPED_FOLDERS and not entry.name.endswith("_cache"):
                yield from _files(entry)
        elif entry.is_file():
            yield entry


def layer_of(name: str) -> tuple[int, str]:
    """Height of a module's layer and the entry of LAYERS that it belongs to; -1 for none."""
    for height, entries in enumerate(LAYERS):
        for entry in entries:
            if name == entry or name.startswith((entry + ".", entry + "_")):
                return height, entry
    return -1, ""


def is_impure(module: Module) -> bool:
    """Whether a module may do I/O: a stage's worker, a door-keeper, or one on the list."""
    doors = [pattern for keepers in DOORS.values() for pattern in keepers]
    workers = [f"pipeline.{stage}.worker" for stage in STAGES]
    return module.matches(*workers, *doors, *IMPURE, "pipeline.cli", "pipeline.lab")


def is_our_name(name: str) -> bool:
    """Whether a dotted name lies in our packages."""
    return name.partition(".")[0] in (*PACKAGES, "run")


def dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    """Full name of what an expression names, through the module's imports; "?" where unknown."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, aliases)}.{node.attr}"
    if isinstance(node, ast.Name):
        return aliases.get(node.id, "?" + node.id)
    return "?"


def aliases_of(module: Module) -> dict[str, str]:
    """What each imported name stands for."""
    found: dict[str, str] = {}
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.partition(".")[0]
                found[alias.asname or head] = alias.name if alias.asname else head
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def check_layers(tree: Tree) -> Iterator[str]:
    """Imports point downward; names of one layer, so all stages, do not know each other."""
    for module in tree.ours():
        height, entry = layer_of(module.name)
        if height < 0 and module.name not in PACKAGES:
            yield f"{module.path}:1: {module.name} has no layer; place it in LAYERS"
        for item in tree.imports[module.name]:
            to_height, to_entry = layer_of(item.target)
            if height < 0 or to_height < 0 or to_entry == entry:
                continue
            if to_height >= height and (entry, to_entry) not in NEIGHBOURS:
                yield (
                    f"{module.path}:{item.line}: {entry} may not import {item.target}: imports "
                    "point downward; meet in shared memory, a message, the journal or the tape, "
                    "or move what both need down"
                )


def check_dashboard(tree: Tree) -> Iterator[str]:
    """The dashboard sees formats, never machinery."""
    for module in tree.ours():
        if not module.matches("dashboard", "dashboard.*"):
            continue
        for item in tree.imports[module.name]:
            allowed = ("dashboard", *DASHBOARD_MAY_IMPORT)
            inside = any(item.target == a or item.target.startswith(a + ".") for a in allowed)
            if is_our_name(item.target) and not inside:
                yield (
                    f"{module.path}:{item.line}: the dashboard may not import {item.target}; "
                    f"read it from shared memory, or ask the supervisor"
                )


def check_lab(tree: Tree) -> Iterator[str]:
    """The lab uses the stages' pure parts only."""
    for module in tree.ours():
        if not module.matches("pipeline.lab", "pipeline.lab.*"):
            continue
        for item in tree.imports[module.name]:
            target = tree.modules.get(item.target)
            stage = target is not None and target.name.split(".")[1:2] in [[s] for s in STAGES]
            if target is not None and stage and is_impure(target):
                yield (
                    f"{module.path}:{item.line}: the lab may not import {target.name}, which does "
                    "I/O; move the pure part into a module of its own"
                )


def check_purity(tree: Tree) -> Iterator[str]:
    """A module in pipeline/ does no I/O, and knows none that does, unless it is listed."""
    for module in tree.ours():
        if not module.matches("pipeline", "pipeline.*") or is_impure(module):
            continue
        for item in tree.imports[module.name]:
            name = item.target
            target = tree.modules.get(name)
            impure = target is not None and name.startswith("pipeline.") and is_impure(target)
            outside = not is_our_name(name) and not (
                name in PURE_IMPORTS or name.partition(".")[0] in PURE_IMPORTS
            )
            if outside or (impure and name not in PURE_MAY_IMPORT):
                yield (
                    f"{module.path}:{item.line}: {module.name} is pure and may not import {name}; "
                    "take what it gives as an argument, or do it in worker.py"
                )
        for node in module.nodes:
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in ("open", "input"):
                yield (
                    f"{module.path}:{called.lineno}: {module.name} is pure and may not call "
                    f"{called.id}(); take the text as an argument"
                )


def check_doors(tree: Tree) -> Iterator[str]:
    """Each outside library comes in by its door, and none comes in without one."""
    for module in tree.ours():
        for item in tree.imports[module.name]:
            library = item.target.partition(".")[0]
            keepers = DOORS.get(library)
            if keepers is not None and not module.matches(*keepers):
                yield (
                    f"{module.path}:{item.line}: {library} may be imported only by "
                    f"{', '.join(keepers)}; use that module"
                )
            known = library in sys.stdlib_module_names or library in PURE_IMPORTS
            if keepers is None and not known and not is_our_name(library):
                yield (
                    f"{module.path}:{item.line}: {library} has no door; use what DOORS lists, or "
                    "name the one module that keeps it"
                )


def check_sizes(tree: Tree) -> Iterator[str]:
    """A module fits in a head, a function on a screen."""
    for module in tree.ours(bench=True):
        lines = len(module.text.splitlines())
        limit = RUN_LINES if module.name == "run" else MODULE_LINES
        if lines > limit:
            yield f"{module.path}:{limit}: {lines} lines, limit {limit}; split it by what it knows"
        for function in module.functions:
            size = (function.end_lineno or function.lineno) - function.lineno + 1
            if size > FUNCTION_LINES:
                yield (
                    f"{module.path}:{function.lineno}: {function.name} has {size} lines, limit "
                    f"{FUNCTION_LINES}; keep the branching here and move the leaves out"
                )


def check_docstrings(tree: Tree) -> Iterator[str]:
    """Every module says what it is; every public name says what it promises."""
    for module in tree.ours(bench=True):
        first = (ast.get_docstring(module.syntax) or "").strip().partition("\n")[0]
        if len(first.split()) < 3:
            yield f"{module.path}:1: no sentence that says what the module is; write its docstring"
        if module.matches("bench", "bench.*"):
            continue
        for node in _public(module.syntax.body):
            if not ast.get_docstring(node):
                yield f"{module.path}:{node.lineno}: {node.name} is public; say what it promises"


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(body: list[ast.stmt]) -> Iterator[Definition]:
    """Public classes, their public methods, and public functions; not setters and overloads."""
    for node in body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
        if marks & {"overload", "override", "setter"}:
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body)


def check_banned(tree: Tree) -> Iterator[str]:
    """Calls and imports that have a better replacement here."""
    for module in tree.ours():
        for item in tree.imports[module.name]:
            for name, instead in BANNED_IMPORTS.items():
                if item.target == name or item.target.startswith(name + "."):
                    yield f"{module.path}:{item.line}: {name} is banned; {instead}"
        aliases = aliases_of(module)
        for node in module.nodes:
            if isinstance(node, ast.Call):
                yield from _banned_call(module, node, aliases)


def _banned_call(module: Module, node: ast.Call, aliases: dict[str, str]) -> Iterator[str]:
    name = dotted(node.func, aliases)
    builtin = name[1:] if name.startswith("?") and "." not in name else name
    for pattern, (allowed, instead) in BANNED_CALLS.items():
        if fnmatchcase(builtin, pattern) and not module.matches(*allowed):
            yield f"{module.path}:{node.lineno}: {builtin}() is banned; {instead}"
    shell = [k for k in node.keywords if k.arg == "shell" and ast.unparse(k.value) == "True"]
    if shell:
        yield f"{module.path}:{node.lineno}: shell=True is banned; pass a list of arguments"
    if builtin in ("str", "repr") and ast.unparse(node).startswith(("str(float(", "repr(float(")):
        yield f"{module.path}:{node.lineno}: str(float) is banned; use model.money_text or Decimal"


def check_exceptions(tree: Tree) -> Iterator[str]:
    """Nothing is caught in silence, and an impossible place raises by name."""
    for module in tree.ours(bench=True):
        for node in module.nodes:
            where = f"{module.path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ExceptHandler):
                if node.type is None:
                    yield f"{where}: bare except is banned; name what is expected"
                elif all(_says_nothing(step) for step in node.body):
                    yield f"{where}: an empty except is banned; count it, or make it a value"
            if isinstance(node, ast.Assert) and ast.unparse(node.test) == "False":
                yield f"{where}: assert False is banned; raise AssertionError with a sentence"


def _says_nothing(step: ast.stmt) -> bool:
    is_dots = isinstance(step, ast.Expr) and ast.unparse(step.value) == "..."
    return isinstance(step, ast.Pass) or is_dots


def check_dead_modules(tree: Tree) -> Iterator[str]:
    """Every module is reached from the program; a name in a string counts, tests do not.

    There is nothing to be reached from before the command line's main exists.
    """
    if "pipeline.cli.main" not in tree.modules:
        return
    entries = [m.name for m in tree.ours(bench=True) if m.matches(*ENTRY_POINTS, "bench.*")]
    reached, todo = set[str](), entries
    while todo:
        name = todo.pop()
        if name in reached or name not in tree.modules:
            continue
        reached.add(name)
        todo += [item.target for item in tree.imports[name]]
        todo += [
            node.value
            for node in tree.modules[name].nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    for module in tree.ours():
        if module.name not in reached and not module.path.endswith("__init__.py"):
            yield f"{module.path}:1: nothing uses {module.name}; delete it, or import it"


def check_texts(tree: Tree) -> Iterator[str]:
    """No path of somebody's machine, no registry's address, nothing left for later."""
    parent = f"{tree.root.parent}/"
    shared = ("/", "//", *(f"/{name}/" for name in "usr opt tmp home srv var mnt root etc".split()))
    for path, text in tree.texts():
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line) or (parent not in shared and parent in line):
                yield f"{path}:{number}: names a path of one machine; use one relative to the root"
            if path.endswith(".lock") and ("://" in line or "index-url" in line):
                yield f"{path}:{number}: names a registry; remake it as docs/STYLE.md says"
            if path.endswith((".py", ".toml")) and LEFT_OVER.search(line):
                yield f"{path}:{number}: left for later; do it now, or file an issue"


def check_test_folders(tree: Tree) -> Iterator[str]:
    """Folders under tests/ mirror the tree."""
    tests = tree.root / "tests"
    for folder in sorted(tests.rglob("*")) if tests.is_dir() else []:
        relative = folder.relative_to(tests)
        listed = set(relative.parts) & {*TEST_FOLDERS, *SKIPPED_FOLDERS}
        if not folder.is_dir() or listed:
            continue
        if not any((tree.root / top / relative).is_dir() for top in ("", "pipeline")):
            yield f"tests/{relative}:1: mirrors no package; rename it, or list it in TEST_FOLDERS"


Check = Callable[[Tree], Iterator[str]]
CHECKS: dict[str, Check] = {
    name.removeprefix("check_"): function
    for name, function in dict(globals()).items()
    if name.startswith("check_")
}


@pytest.fixture(scope="module")
def tree() -> Tree:
    """The project as it stands."""
    return Tree(ROOT)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_project_keeps_the_rule(tree: Tree, check: Check) -> None:
    """The project as it stands gives this check nothing to complain of."""
    complaints = list(check(tree))
    assert not complaints, "\n" + "\n".join(complaints)


# The second half: each check must see what it is for.

GOOD_TREE = {
    "run.py": '"""The program, started by people."""\nfrom pipeline.cli.main import main\n',
    "shm/segment.py": '"""Segments: bytes that processes share."""\nimport mmap\nimport os\n',
    "pipeline/__init__.py": '"""The flow from socket to order."""\n',
    "pipeline/model.py": '"""The nouns that everybody shares."""\nfrom enum import IntEnum\n',
    "pipeline/clock.py": '"""The only door to time."""\nimport time\n\n\nNOW = time.time_ns\n',
    "pipeline/tape.py": (
        '"""Tapes: what a venue really sent."""\nimport gzip\n\nfrom pipeline.model import IntEnum\n'
    ),
    "pipeline/scanner/worker.py": (
        '"""The scanner\'s loop, one screen."""\nimport os\n\nfrom pipeline.scanner.pairs import pair\n'
    ),
    "pipeline/scanner/pairs.py": (
        '"""Pairs: which books are one event."""\nimport bisect\nfrom random import Random\n'
        "from pipeline.clock import NOW\nfrom pipeline.model import IntEnum\n\n\n"
        'def pair(random: Random) -> int:\n    """Draw a number."""\n'
        "    return int(random.random())\n"
    ),
    "pipeline/lab/market.py": ('"""The simulated market, seeded."""\nfrom pipeline.scanner import pairs\n'),
    "pipeline/cli/main.py": (
        '"""The command line, found by run.py."""\n'
        "import dashboard.app\nfrom pipeline import tape\nfrom pipeline.lab import market\n\n\n"
        'def main() -> None:\n    """Say so."""\n    print(tape, market)\n'
    ),
    "dashboard/app.py": (
        '"""The dashboard: what is shown twice a second."""\n'
        "import textual\n\nfrom pipeline.model import IntEnum\nfrom shm import segment\n"
    ),
    "bench/read.py": '"""Bench: how long one read takes."""\nimport time\n\nprint(time.time())\n',
    "tests/scanner/test_pairs.py": "",
    "tests/e2e/test_all.py": "",
    "requirements.lock": "numpy==2.4.6 --hash=sha256:00\n",
}
DOC = '"""A module in a broken tree."""\n'

# Which check, the file that breaks the tree, its text, and what the complaint must say.
BROKEN = [
    ("layers", "pipeline/model.py", "import pipeline.tape", "model.py:2: pipeline.model may not"),
    ("layers", "pipeline/scanner/pairs.py", "from pipeline.trader import risk", "pipeline.scanner"),
    ("layers", "pipeline/tape.py", "from . import wire", "pipeline.tape may not import"),
    ("layers", "pipeline/tape.py", "import pipeline.journal", "may not import pipeline.journal"),
    ("layers", "shm/segment.py", "from pipeline.model import x", "shm may not import"),
    ("layers", "pipeline/feed/worker.py", "import pipeline.lab.market", "pipeline.feed may not"),
    ("layers", "pipeline/lab/market.py", "import dashboard.app", "pipeline.lab may not import"),
    ("layers", "dashboard/app.py", "import pipeline.cli.main", "dashboard may not import"),
    ("layers", "pipeline/helpers.py", "", "pipeline.helpers has no layer"),
    ("dashboard", "dashboard/app.py", "from pipeline.trader import risk", "pipeline.trader"),
    ("dashboard", "dashboard/app.py", "from pipeline import journal", "import pipeline.journal"),
    ("lab", "pipeline/lab/market.py", "from pipeline.scanner import worker", "scanner.worker"),
    ("purity", "pipeline/scanner/pairs.py", "import os", "is pure and may not import os"),
    ("purity", "pipeline/fees.py", "import urllib.request", "may not import urllib.request"),
    ("purity", "pipeline/scanner/pairs.py", "import pipeline.tape", "may not import pipeline.tape"),
    ("purity", "pipeline/fees.py", "TABLE = open('fees')", "may not call open()"),
    ("doors", "dashboard/app.py", "import zmq", "zmq may be imported only by pipeline.bus"),
    ("doors", "pipeline/scanner/worker.py", "from time import time_ns", "only by pipeline.clock"),
    ("doors", "pipeline/cli/main.py", "def f():\n    import sqlite3", "main.py:3: sqlite3 may be"),
    ("doors", "pipeline/lab/market.py", "import requests", "requests has no door"),
    ("sizes", "pipeline/fees.py", "X = 1\n" * 399, "401 lines, limit 400"),
    ("sizes", "run.py", "X = 1\n" * 148, "150 lines, limit 149"),
    ("sizes", "pipeline/fees.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines, limit 60"),
    ("docstrings", "pipeline/fees.py", None, "fees.py:1: no sentence"),
    ("docstrings", "pipeline/fees.py", "class Fee:\n    'A fee.'\n    def of(self): ...", "of is"),
    ("docstrings", "shm/segment.py", "def create(): ...", "segment.py:2: create is public"),
    ("banned", "pipeline/scanner/worker.py", "print(1)", "print() is banned; return the text"),
    ("banned", "dashboard/app.py", "import time as t\nt.monotonic_ns()", "time.monotonic_ns() is"),
    ("banned", "pipeline/fees.py", "from datetime import datetime as d\nd.now()", "datetime.now()"),
    ("banned", "pipeline/lab/market.py", "import random\nrandom.random()", "take a random.Random"),
    ("banned", "pipeline/cli/main.py", "eval('1')", "eval() is banned"),
    ("banned", "pipeline/cli/main.py", "import pickle", "pickle is banned; use msgspec"),
    ("banned", "shm/segment.py", "from multiprocessing import shared_memory", "use shm.segment"),
    ("banned", "pipeline/bus.py", "def f(s):\n    s.recv_pyobj()", "recv_pyobj() is banned"),
    ("banned", "pipeline/cli/main.py", "import os\nos.popen(1, shell=True)", "shell=True is"),
    ("banned", "pipeline/fees.py", "x = str(float(3))", "fees.py:2: str(float) is banned"),
    ("exceptions", "pipeline/fees.py", "try:\n    1\nexcept:\n    raise", "bare except"),
    ("exceptions", "shm/segment.py", "try:\n    1\nexcept OSError:\n    pass", "an empty except"),
    ("exceptions", "pipeline/fees.py", "assert False, 'no'", "raise AssertionError"),
    ("dead_modules", "pipeline/fees.py", "", "nothing uses pipeline.fees"),
    ("dead_modules", "pipeline/scanner/race.py", "import pipeline.scanner.race", "scanner.race"),
    ("texts", "requirements.lock", "--index-url https://registry.invalid", "names a registry"),
    ("texts", "docs/A.md", "see /home/" + "me/x", "docs/A.md:2: names a path of one machine"),
    ("texts", "pipeline/fees.py", "# TO" + "DO: later", "fees.py:2: left for later"),
    ("test_folders", "tests/scaner/test_pairs.py", "", "tests/scaner:1: mirrors no package"),
]


def plant(root: Path, files: dict[str, str]) -> Tree:
    """Write a tree of files and read it as the checks do."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Tree(root)


def test_a_good_tree_passes_every_check(tmp_path: Path) -> None:
    """The tree that the broken ones grow from has no fault; each fault below is a planted one."""
    tree = plant(tmp_path, GOOD_TREE)
    assert [line for check in CHECKS.values() for line in check(tree)] == []


@pytest.mark.parametrize(
    ("check", "path", "text", "complaint"),
    BROKEN,
    ids=[f"{check}-{number}" for number, (check, *_) in enumerate(BROKEN)],
)
def test_a_broken_tree_is_caught(
    tmp_path: Path, check: str, path: str, text: str | None, complaint: str
) -> None:
    """One fault in a good tree is named with its file, its line and what to do."""
    fault = "X = 1\n" if text is None else DOC + text + "\n"
    complaints = list(CHECKS[check](plant(tmp_path, {**GOOD_TREE, path: fault})))
    found = [line for line in complaints if complaint in line]
    assert found, complaints
    assert re.match(rf"{re.escape(path)}:\d+: |tests/\w+:1: ", found[0])


def test_every_check_has_a_broken_tree() -> None:
    """No check goes unproven."""
    assert {check for check, *_ in BROKEN} == set(CHECKS)
