# count.awk - ctest's JUnit file -> "skip TEST: WHY" lines, then "count PASSED FAILED SKIPPED".
#
# A cmocka program counts with its cases; any other test, and one that died outside a case, counts as one.
# A test says that it skips something with a line "SKIP why"; a case that says so does not count as passed
# (on stderr the line comes before all cases of the program: then some case of it).
# Tested by tests/tidy/test_count.sh.
{ sub(/^[ \t]*<system-out>/, "") }
/^[ \t]*<testcase / {
    name = $0; sub(/.*<testcase name="/, "", name); sub(/".*/, "", name)
    status = $0; sub(/.* status="/, "", status); sub(/".*/, "", status)
    cases = ok = skipped = said = early = listing = 0
}
/^[ \t]*<skipped message="SKIP_/ { status = "skip" }
/^\[ RUN      \] /               { cases++; said = 0 }
/^\[       OK \] /               { if (said) skipped++; else ok++ }
/^\[==========\] .* run\.$/      { listing = 1 }
/^\[  SKIPPED \] / && !listing   { skipped++; if (!said) print "skip " name ": " $4 }
/^SKIP/ {
    if (cases > 0) said++; else early++
    sub(/^SKIP[: ]*/, ""); print "skip " name ": " $0
}
/^[ \t]*<\/testcase>/ {
    if (cases == 0) {
        cases = 1
        skipped = status == "skip"
        ok = status == "run"
    }
    while (early-- > 0 && ok > 0) { ok--; skipped++ }
    failed_here = cases - ok - skipped
    if (status == "run" || status == "skip") failed_here = 0
    else if (failed_here < 1) failed_here = 1
    passed += ok; failed += failed_here; all_skipped += skipped
}
END { print "count " passed + 0 " " failed + 0 " " all_skipped + 0 }
