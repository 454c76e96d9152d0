#!/usr/bin/env python3
"""run.py: puts the packages in reach, on the first run by making .venv, and calls the command line.

In: sys.argv. Out: the command's exit code. Run by people, and by the supervisor for each worker.
Its syntax is Python 3.8's, so that an old interpreter can say what is wrong.
"""

from __future__ import annotations

import os
import sys

ROOT = os.path.dirname(os.path.realpath(__file__))


def main(argv: list[str]) -> int:
    """Run one command; one clear line on stderr and exit code 1 where that is not possible."""
    if sys.version_info < (3, 11):
        found = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(f"Parallax needs Python 3.11 or newer; {sys.executable} is {found}.\n")
        return 1
    if sys.path[:1] != [ROOT]:
        sys.path.insert(0, ROOT)
    # A worker is started by a supervisor whose interpreter has the packages already.
    if "PARALLAX_SUPERVISOR_PID" in os.environ:
        from pipeline.cli.work import run_managed

        status = run_managed(argv)
        if status is not None:
            return status
    else:
        from pipeline.cli import bootstrap

        trouble = bootstrap.enter(ROOT, argv)
        if trouble:
            sys.stderr.write(trouble + "\n")
            return 1
    from pipeline.cli.main import main as command_line

    return command_line(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
