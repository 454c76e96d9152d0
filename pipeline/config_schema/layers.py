"""Layers: defaults, file, profile, environment and --set laid over each other, origins kept.

In: trees of values. Out: one tree, and for each key where its value came from. Pure; used by
config_schema. A later layer wins key by key; a list is replaced whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from pipeline.config_schema.text import KeyPath
from pipeline.config_schema.values import is_secret_address

ENVIRONMENT_PREFIX = "PARALLAX__"
SECRETS_BELONG = (
    "secrets do not belong in the configuration: put the private key in a file that only you can read"
    " (chmod 600) and name it with key_file; put the key's id in an environment variable and name it with"
    " key_id_env"
)
ADDRESS_HOLDS = "must begin with wss:// (or https:// for REST), and must not hold a user or a password"
ALERTS_BELONG = (
    "addresses of alerts are secrets and do not belong in the configuration: put them, one a line, in a file"
    " that only you can read (chmod 600) and name it with urls_file, or name an environment variable with"
    " urls_env"
)
_SECRET_WORDS = {"secret", "password", "passwd", "passphrase", "token", "pem", "credential"}
_SECRET_PARTS = ("private_key", "privatekey", "api_key", "apikey", "private-key", "api-key")
_SEGMENT = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^."'\s][^."']*?))\s*(?:\.|$)""")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: a file and a line, "--set", an environment variable, or the defaults.

    `profile` is whose table it stands in. `first` is the number, in the list of all files, of the first
    item of this one's.
    """

    file: str
    line: int | None = None
    profile: str = ""
    first: int = 0


class Layers:
    """A tree of values and the origin of each."""

    def __init__(self, default: Origin) -> None:
        self.values: dict[str, Any] = {}
        self._origins: dict[KeyPath, Origin] = {(): default}

    def copy(self) -> Layers:
        """The same tree, to be changed apart."""
        twin = Layers(self._origins[()])
        twin.values = deepcopy(self.values)
        twin._origins = dict(self._origins)
        return twin

    def merge(self, tree: Mapping[str, Any], origin: Callable[[KeyPath], Origin], base: KeyPath = ()) -> None:
        """Lay a tree over this one; `origin` says where the value of a path in `tree` stands."""
        for key, value in tree.items():
            path = (*base, key)
            if isinstance(value, dict):
                self.put(path, {}, origin(path))
                self.merge(value, origin, path)
            else:
                self.put(path, value, origin(path))
                for inner, _ in _nodes(value, path):
                    self._origins[inner] = origin(inner)

    def extend(self, key: str, items: Sequence[Any], origin: Callable[[KeyPath], Origin]) -> None:
        """Add items to the list of a key; `origin` says where they stand in the list that they come from."""
        there = self.values.setdefault(key, [])
        if not isinstance(there, list):
            return
        first = len(there)
        for number, item in enumerate(items):
            there.append(deepcopy(item))
            for path in ((), *(inner for inner, _ in _nodes(item, ()))):
                place = origin((key, number, *path))
                self._origins[(key, first + number, *path)] = replace(place, first=first)

    def set_in(self, path: KeyPath) -> Origin | None:
        """Where exactly this key was set; None where its value is the default."""
        return self._origins.get(path)

    def put(self, path: KeyPath, value: object, origin: Origin) -> None:
        """Set one value, making the tables on the way; what stood there before is forgotten."""
        parent: Any = self.values
        for depth in range(1, len(path)):
            child = _child(parent, path[depth - 1])
            if not _can_hold(child, path[depth]):
                child = {}
                self._set(parent, path[depth - 1], child, path[:depth], origin)
            if isinstance(child, list):
                path = (*path[:depth], int(path[depth]), *path[depth + 1 :])
            parent = child
        if value == {} and isinstance(_child(parent, path[-1]), dict):
            return
        self._set(parent, path[-1], deepcopy(value), path, origin)

    def _set(self, parent: Any, part: str | int, value: object, path: KeyPath, origin: Origin) -> None:
        if isinstance(parent, list):
            parent[int(part)] = value
        else:
            parent[part] = value
        if path in self._origins:
            for known in [known for known in self._origins if known[: len(path)] == path]:
                del self._origins[known]
        self._origins[path] = origin

    def origin(self, path: KeyPath) -> Origin:
        """Where the value of a path, or of the innermost table around it, came from."""
        length = len(path)
        while path[:length] not in self._origins:
            length -= 1
        return self._origins[path[:length]]

    def drop(self, path: KeyPath) -> bool:
        """Take a key out; False when it does not stand in a table."""
        parent: Any = self.values
        for part in path[:-1]:
            parent = _child(parent, part)
        if not isinstance(parent, dict):
            return False
        parent.pop(path[-1], None)
        return True


def _child(parent: Any, part: str | int) -> Any:
    """What a table or a list holds under a name or a number; None when nothing."""
    if isinstance(parent, dict):
        return parent.get(part)
    if isinstance(parent, list) and str(part).isdecimal() and int(part) < len(parent):
        return parent[int(part)]
    return None


def _can_hold(value: Any, part: str | int) -> bool:
    """Whether a value may be set under a name or number of `value`."""
    if isinstance(value, list):
        return _child(value, part) is not None
    return isinstance(value, dict)


def _nodes(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Everything inside a value, lists and tables walked through."""
    pairs: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        pairs.extend(value.items())
    elif isinstance(value, list):
        pairs.extend(enumerate(value))
    for key, child in pairs:
        yield (*path, key), child
        yield from _nodes(child, (*path, key))


def take_secrets(tree: dict[str, Any]) -> list[KeyPath]:
    """Take what looks like a secret out of a tree, by the key's name or by the value; return where it was.

    Names of markets are no keys of ours, so [trader.cash] and [trader.inventory] are left alone. An address
    is a secret where it holds a password, or is one that a messenger takes messages at.
    """
    found = [
        path
        for path, value in _nodes(tree, ())
        if (names_secret(str(path[-1])) and not _is_account(path))
        or (isinstance(value, str) and is_secret_address(value))
    ]
    taken: list[KeyPath] = []
    for path in found:
        parent: Any = tree
        for part in path[:-1]:
            parent = _child(parent, part)
        if isinstance(parent, dict) and parent.pop(path[-1], None) is not None:
            taken.append(path)
        elif isinstance(parent, list):
            parent[int(path[-1])] = ""
            taken.append(path)
    return taken


def belongs(path: KeyPath) -> str:
    """Where the secret that stood at a path should be, for people."""
    tables = {part for part in path[:3] if isinstance(part, str)}
    if "alerts" in tables:
        return ALERTS_BELONG
    return ADDRESS_HOLDS if "venues" in tables and str(path[-1]).endswith("url") else SECRETS_BELONG


def _is_account(path: KeyPath) -> bool:
    return "trader" in path[:3] and bool({"cash", "inventory"} & set(path[:-1]))


def names_secret(key: str) -> bool:
    """Whether a key of this name would hold a secret."""
    words = set(re.split(r"[^a-z0-9]+", key.lower()))
    return bool(words & _SECRET_WORDS) or any(part in key.lower() for part in _SECRET_PARTS)


def split_set(text: str) -> tuple[KeyPath, str] | None:
    """`a.b=c` as path and text of the value; a part may be quoted. None when it has no such form."""
    key, equals, value = text.partition("=")
    parts: list[str] = []
    at = 0
    while at < len(key):
        match = _SEGMENT.match(key, at)
        if match is None:
            return None
        parts.append(next(part for part in match.groups() if part is not None))
        at = match.end()
    return (tuple(parts), value.strip()) if equals and parts and not key.rstrip().endswith(".") else None


def environment_sets(environ: Mapping[str, str]) -> Iterator[tuple[str, KeyPath, str]]:
    """Variable, path and text of each PARALLAX__SECTION__KEY, in the order of their names."""
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            path = tuple(name[len(ENVIRONMENT_PREFIX) :].lower().split("__"))
            yield name, path, environ[name]
