#!/bin/sh
# test_count.sh - tests/count.awk on a JUnit file that holds every way in which a test can end.
set -u
out=$(awk -f ../count.awk count_junit.xml)
wanted='skip cases: left_out
skip cases: one has no data
skip cases: two has no data
skip early: said on stderr
skip plain: no data
count 5 6 6'
[ "$out" = "$wanted" ] && exit 0
printf 'got\n%s\nwanted\n%s\n' "$out" "$wanted"
exit 1
