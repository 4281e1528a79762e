#!/bin/sh
# test_tidy.sh TIDY - the tree bad/ breaks every rule; tidy says so, in these words and with status 1.
set -u
out=$("$1" bad) && { echo "tidy accepted tests/tidy/bad"; exit 1; }
[ "$out" = "$(cat bad.txt)" ] && exit 0
printf '%s\n' "$out" | diff bad.txt -
exit 1
