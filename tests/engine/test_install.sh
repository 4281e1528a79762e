#!/bin/sh
# test_install.sh - the library as its users see it: install it, build the examples against it, run them.
#
# test_install.sh BUILD EXAMPLES CC "FLAGS"
set -eu
build=$1 examples=$2 cc=$3 flags=$4
command -v pkg-config >/dev/null || { echo "SKIP: no pkg-config"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cmake --install "$build" --component library --prefix "$dir/usr" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$dir/usr" -name borescope.pc)")
BORESCOPE_DATA=$dir/usr/share/borescope
export PKG_CONFIG_PATH BORESCOPE_DATA
test -f "$dir/usr/include/borescope.h"
test -f "$dir/usr/include/borescope_sweep.h"
test -f "$dir/usr/include/borescope_stats.h"
test -f "$BORESCOPE_DATA/models/teach/model.safetensors"

run() { LD_LIBRARY_PATH=$(pkg-config --variable=libdir borescope) "$1" >"$dir/out" && cat "$dir/out"; }
name_mover() { # its answer goes from " Mary" to another when the head is gone
    run "$1"
    awk '/^before:/ { before = $2 } /^after:/ { after = $2; edit = $0 } / Mary / { if ($3 > looks) looks = $3 } /gradient/ { rows++ }
         END { exit !(before > 5 && after < 1 && edit ~ /blocks\.[0-3]\.attn\.hook_z\[-1, [0-5]\] = 0/ && looks > 0 && rows > 10) }' "$dir/out"
}
patching() { # the name that differs brings everything back at the first layer, the last position at the last one; estimates have their signs
    run "$1"
    awk '/^clean:/ { clean = $2; other = $4; next }
         { gsub(/[()]/, "") }
         $1 == "Mary" && $2 > first { first = $2; guess = $7 }
         $1 == "to" { early = $2; last = $8 }
         END { exit !(clean > 5 && other < 0 && first > 0.99 && first < 1.01 && guess > 0.01 && early < 0.01 && last > 0.5) }' "$dir/out"
}
# shellcheck disable=SC2086,SC2046 # lists of flags
for name in name_mover patching; do
    $cc -std=c17 -Wall -Wextra -Werror $flags "$examples/$name.c" $(pkg-config --cflags --libs borescope) -o "$dir/$name"
    $name "$dir/$name"
done
# shellcheck disable=SC2086,SC2046
$cc -std=c17 $flags "$examples/name_mover.c" $(pkg-config --cflags borescope) "$(pkg-config --variable=libdir borescope)/libborescope.a" \
    $(pkg-config --static --libs-only-l borescope | sed 's/-lborescope//') -pthread -lm -o "$dir/static"
name_mover "$dir/static"
# The headers alone, as C++ too where there is a compiler.
for header in borescope borescope_stats borescope_sweep; do # each is enough for all
    printf '#include <%s.h>\nstruct bore_sweep s;\nstruct bore_stats t;\nstruct bore_pass p;\n' $header >"$dir/h.c"
    # shellcheck disable=SC2046
    $cc -std=c17 -Wall -Wextra -Werror -pedantic $(pkg-config --cflags borescope) -c "$dir/h.c" -o "$dir/h.o"
    # shellcheck disable=SC2046
    if command -v c++ >/dev/null; then c++ -x c++ -Wall -Werror $(pkg-config --cflags borescope) -c "$dir/h.c" -o "$dir/h.o"; fi
done
# Both libraries show the headers' functions and nothing else.
libdir=$(pkg-config --variable=libdir borescope)
grep -oh 'bore_[a-z_]*(' "$dir"/usr/include/borescope*.h | tr -d '(' | sort -u >"$dir/declared"
shows() { # LIBRARY, nm's option
    nm -g "$2" --defined-only "$libdir/$1" 2>/dev/null | awk 'NF == 3 { print $3 }' | grep -v '^__' | sort -u >"$dir/shown"
    grep -qx bore_open "$dir/shown" || { echo "$1 has no bore_open"; exit 1; }
    extra=$(grep -vxFf "$dir/declared" "$dir/shown" || true)
    [ -z "$extra" ] || { echo "in $1, but not in the header:" "$extra"; exit 1; }
}
shows libborescope.so -D
shows libborescope.a -p
echo "the installed library works"
