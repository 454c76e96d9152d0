"""Config operations: the sections of `Config` that say how a run is kept up, shown and told about.

In: nothing. Out: frozen structs, each a table of config.toml. Pure; `pipeline.config` holds the whole.
"""

from __future__ import annotations

import msgspec


class SupervisorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[supervisor]: restarts. Seconds."""

    restart_delay: float = 0.25
    max_restart_delay: float = 30.0
    healthy_after: float = 60.0
    hung_after: float = 2.0
    stop_after: float = 2.0
    restart_limit: int = 5
    restart_window: float = 60.0
    memory_mb: int = 1024
    archive_days: float = 7.0


class ControlConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[control]: commands from other machines. `allowed_keys` are CURVE public keys (Z85), `key_file` holds
    our own secret one. Without `tcp` there is the socket in the run directory alone.
    """

    tcp: str = ""
    key_file: str = ""
    allowed_keys: tuple[str, ...] = ()


class LogsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[logs]: `levels` names workers whose level differs from `level`."""

    level: str = "info"
    levels: dict[str, str] = {}
    max_mb: int = 5
    files: int = 3

    def of(self, worker: str) -> str:
        """The level of one worker: "debug", "info", "warning" or "error"."""
        return self.levels.get(worker, self.level)


class ObserverConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[observer]: exports and metrics. `metrics_port` 0 is any free one."""

    enabled: bool = True
    export_ms: int = 1000
    state_seconds: float = 60.0
    metrics: bool = True
    metrics_port: int = 0


class AlertRuleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[alerts.rules.NAME]: None leaves what `pipeline.observer.rules` says.

    `limit` is in the rule's own unit; what holds for `for_s` seconds is told, and again after `repeat_s`.
    """

    enabled: bool | None = None
    limit: str | None = None
    for_s: float | None = None
    repeat_s: float | None = None


class AlertsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[alerts]: whom to tell what. The addresses are secrets: an environment variable, a file or a keyring
    entry holds them, one in each line. `daily_at` is a time of day, UTC, "" for no daily message.
    """

    urls_env: str = ""
    urls_file: str = ""
    urls_keyring: str = ""
    max_per_hour: int = 20
    daily_at: str = ""
    rules: dict[str, AlertRuleConfig] = {}


class LabConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[lab]: the simulated venues. `divergence` scales how far venues drift apart; 0 is never.

    `scenario` names a script of what goes wrong and when (docs/SCENARIOS.md), "" for none.
    """

    seed: int = 7
    divergence: float = 1.0
    scenario: str = ""


class DashboardConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[dashboard]: the screen. Data older than `stale_seconds` is marked.

    `ascii` leaves nothing but ASCII on it; without, a terminal that speaks UTF-8 is given better signs.
    `theme` is one of `dashboard.themes.THEMES`.
    """

    refresh_ms: int = 500
    stale_seconds: float = 5.0
    ascii: bool = False
    theme: str = "parallax"
