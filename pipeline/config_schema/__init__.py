"""Config schema: from config.toml and its layers to one checked `Config`, or to every problem at once.

`schema` says what each key means and may hold, `layers` puts file, profile, environment and --set over
each other, `text` finds the line a problem is on, `checks` asks what no single key can answer. Run by the
command line and the supervisor; workers read the result from run/config.json.
"""

from pipeline.config_schema.build import merge_lab
from pipeline.config_schema.schema import resolve
from pipeline.config_schema.text import ConfigProblems, Problem

__all__ = ["ConfigProblems", "Problem", "merge_lab", "resolve"]
