#!/bin/sh
# test_calls.sh - what the engine's files call or read of each other lies in their own folder or in one before it in
# the order of rule_code.c: no circle between folders.
#
# test_calls.sh NM OBJECT...
set -eu
order=$(tr '\n' ' ' <rule_code.c | sed 's/.*engine_folders\[\] = {\([^}]*\)}.*/\1/' | tr -d '",')
symbols=$(mktemp)
trap 'rm -f "$symbols"' EXIT
nm=$1
shift
"$nm" -A -g "$@" >"$symbols"

# Prints every upward use under an order of folders; fails if there is one.
calls() {
    awk -v order="$1" '
        BEGIN { n = split(order, name, " "); for (i = 1; i <= n; i++) rank[name[i]] = i }
        {
            end = index($0, ".o:")
            parts = split(substr($0, 1, end + 1), part, "/")
            words = split(substr($0, end + 3), word, " ")
            folder = part[parts - 1]
            if (!(folder in rank)) { print part[parts] " lies in no folder of the order"; bad = 1; exit }
            if (word[words - 1] == "U") { user[++uses] = folder "/" part[parts]; from[uses] = folder; used[uses] = word[words] }
            else home[word[words]] = folder
        }
        END {
            for (i = 1; i <= uses; i++)
                if (used[i] in home && rank[home[used[i]]] > rank[from[i]]) {
                    print user[i] " uses " used[i] " of " home[used[i]]
                    bad = 1
                }
            exit bad
        }' "$symbols"
}

calls "$order"
# and that it would be seen: backwards nearly everything is one
# shellcheck disable=SC2086 # word splitting is meant
reverse=$(printf '%s\n' $order | awk '{ all = $0 " " all } END { print all }')
! calls "$reverse" >/dev/null
