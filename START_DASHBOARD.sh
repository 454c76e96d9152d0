#!/bin/sh
# The dashboard, beside a run that goes on: from any folder, in a terminal of its own. Options go to `run.py dashboard`.
exec python3 "$(dirname -- "$(readlink -f -- "$0")")/run.py" dashboard "$@"
