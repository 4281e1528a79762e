#!/bin/sh
# The cache that `borescope pull` fills in the hands of the hub's own client.  $1: borescope, $2: hub_program.  The interpreter:
# $BORESCOPE_PYTHON, else python3.
python=${BORESCOPE_PYTHON:-python3}
command -v "$python" >/dev/null || { echo "SKIP: no $python"; exit 77; }
exec "$python" tests/tui/test_pull.py "$1" "$2"
