"""Reference: every key of config.toml as a list, and as the page docs/CONFIG.md.

In: keys as the schema describes them. Out: text in Markdown. Pure; `run.py show-config --markdown` prints it,
and a test compares it with the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LIVE, WORKER, ALL = "live", "restart-worker", "restart-all"
"""When a changed key takes effect: at once, when its worker restarts, when everything does."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `table` is as a header writes it, `form` what may stand there, `default` as TOML writes it."""

    table: str
    name: str
    form: str
    default: str
    meaning: str
    reload: str


NEEDED = "needed"
"""In place of a default, where there is none."""

HEAD = """# Configuration

Made from the schema by `run.py show-config --markdown`; a test compares the two. config.toml holds the same
keys, and examples. `run.py check-config` says all that is wrong at once, `run.py show-config --origin`
where each value came from.

**What wins.** `--set a.b=c`, then the environment (`PARALLAX__A__B=c`), then `[profile.NAME]`, then the
rest of the files, then the default. A list is replaced whole.

**Changing it while it runs.** A saved file is noticed within a second, checked as a whole and taken over or
refused as a whole; then the run goes on as it was, and `run.py status` says why. `run.py set
risk.min_edge_bp=60` writes the key into the file, comments kept, and the reply says what acts now. A key
that stands in the `[profile.NAME]` of the run is changed there; one that `--set` or the environment gives
is refused. The last column says when a change acts:

- `live`: at once, within a second, in every worker;
- `restart-worker`: when the worker that reads it is restarted (`run.py restart W`);
- `restart-all`: after `run.py down` and `run.py up`; until then the old value holds everywhere. So do a
  venue that comes or goes, an event on such a venue, and a `url` that turns from `"sim"` into an address or
  back.

Intents carry the version and the hash of the configuration that decided them.

**Secrets** are never written here. A key names where they are: an environment variable (`*_env`), a file
that only its owner can read, mode 0600 (`*_file`), or an entry of the keyring as `SERVICE/NAME`
(`*_keyring`). What looks like a secret is refused and not repeated.

**events/.** Beside config.toml may lie a folder `events`. Every `*.toml` in it holds `[[events]]` and
`[[series]]` and nothing else. A file whose last event closed `supervisor.archive_days` ago, and of which
nothing is held, is moved to `events/archive/`.

**[[series]].** A recurring market, reviewed once. Its next `ahead` instances are events with the id
`ID-20261216T1900Z`; so are those that closed within a day, three at most, and any that is still held.
`first` is the close of one instance, `every` the distance to the next: `5min`, `1h`, `1d`, `1w`, `1mo`. A
leg's `market` is a template: `{close:%y%b%d}` becomes `26Dec16`, `{CLOSE:%y%b%d}` becomes `26DEC16`, in
UTC; %Y %y %m %d %b %B %H %I %M %p %j are known, and `%-d` leaves out a leading zero. Where a venue's ids
cannot be derived, `markets = { "2026-12-16T19:00:00Z" = "ID" }` names them; an instance without one is left
out, and `check-config` says so. The review's `rules_hash` is that of the rules that were read: an instance
whose rules are others is watched and not traded.
"""


def markdown(keys: Iterable[Key]) -> str:
    """The page."""
    return HEAD + "\n".join(_tables(keys)) + "\n"


def _tables(keys: Iterable[Key]) -> Iterator[str]:
    table = ""
    for key in keys:
        if key.table != table:
            table = key.table
            yield f"\n## {table}\n"
            yield "| key | what it may be | default | meaning | acts |"
            yield "|---|---|---|---|---|"
        default = key.default if key.default in ("", NEEDED) else f"`{key.default}`"
        cells = (f"`{key.name}`", key.form, default, key.meaning, key.reload)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
