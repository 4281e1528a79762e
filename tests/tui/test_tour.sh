#!/bin/sh
# test_tour.sh BORESCOPE - the five minutes of README.md: what it says that one sees is what one sees, also on the
# backend that BORE_TEST_BACKEND names.
set -u
borescope=$1
backend=${BORE_TEST_BACKEND:-cpu}
cd "$(dirname "$0")/../.." || exit 1
fail=0
screens=$(mktemp -d) || exit 1
trap 'rm -rf "$screens"' EXIT

# step KEYS TEXT...: after these keys (from the start, as far as the tour has come) each text is on the screen
script='' wanted='' n=0
step() {
    n=$((n + 1))
    script="${script}keys $1
screen
"
    shift
    for text in "$@"; do
        wanted="$wanted$n $text
"
    done
}

# go: the steps so far, as one run of the program
go() {
    rm -f "$screens"/*
    printf 'size 112x37\n%s' "$script" | "$borescope" play - teach --backend "$backend" --pair " Mary/ John" \
        -p "When Mary and John went to the store, John gave a bag to" >"$screens/all" || fail=1
    awk -v to="$screens" 'BEGIN {n = 1} $0 == "== screen" {n++; next} {print >(to "/" n)}' "$screens/all"
    while IFS= read -r line; do
        screen=$screens/${line%% *} text=${line#* }
        if [ -n "$line" ] && ! grep -qF -- "$text" "$screen"; then
            printf 'not on screen %s: %s\n' "${line%% *}" "$text"
            cat "$screen"
            fail=1
        fi
    done <<END
$wanted
END
    script='' wanted='' n=0
}

step '<Home><End>' '[1 grid]' '[ Mary' 'Δ( Mary − John) +21.58' ' Mary        0.984'
step 2LL 'L3H2' ' 2  Mary               1.000'
step x 'blocks.3.attn.hook_z[-1, 2] = 0' '−1.25' '2 %'
step 1 '[1 grid]' 'Mary            0.984   3e-4 −0.984' 'the              1e-5  0.002'
step b 'b:difference' '−8.00'
step u 'undone: 0 edits' '+21.58'
step '<C-r>' '−1.25'
step u '+21.58'
step 2KH 'L2H1' '10  John               1.00'
step x 'blocks.2.attn.hook_z[-1, 1] = 0' 'Δ( Mary − John) +21.58 → +22'
step u 'undone'
step S '[9 sweep]' '24/24' 'L3  H2' 'L0  H4'
step '<Backspace>' 'L2H1'
step 'p<C-u><Space>bread<Space>river<Space>hat<Space>seven<Space>moon<Space>bread<Space>river<Space>hat<Space>seven<Enter>' '10, 10]'
step K 'layer 1' '0.86'
step LL 'L1H3' ' 5  moon               0.9'
go
# What the page says of single keys behind the tour.
step 7 '[7 heads]' '24 of 24 heads'
step s 'heads, by '
step w '[7 heads]' 'L0'
step 8 '[8 neurons]' 'raises, by W_U'
step '1<Tab>' 'norm of blocks.*.hook_resid_post'
step "\\" '[1 grid]'
step z '[1 grid]'
step '!' 'no NaN'
step i 'pin 1 blocks.3.hook_resid_post[-1]' 'was '
go
exit $fail
