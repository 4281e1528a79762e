#!/bin/sh
# test_tour.sh BORESCOPE - the five minutes of README.md: what it says that one sees is what one sees.
set -u
borescope=$1
cd "$(dirname "$0")/../.." || exit 1
fail=0

# step KEYS TEXT...: after these keys (from the start, as far as the tour has come) each text is on the screen
keys=
step() {
    keys="${keys}keys $1
"
    shift
    screen=$(printf 'size 112x37\n%sscreen\n' "$keys" | "$borescope" play - teach --pair " Mary/ John" \
        -p "When Mary and John went to the store, John gave a bag to") || fail=1
    for text in "$@"; do
        case $screen in
        *"$text"*) ;;
        *)
            printf 'not on the screen: %s\n%s\n' "$text" "$screen"
            fail=1
            ;;
        esac
    done
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
# What the page says of single keys behind the tour.
keys=
step 7 '[7 heads]' '24 of 24 heads'
step s 'heads, by '
step w '[7 heads]' 'L0'
step 8 '[8 neurons]' 'raises, by W_U'
step '1<Tab>' 'norm of blocks.*.hook_resid_post'
step "\\" '[1 grid]'
step z '[1 grid]'
step '!' 'no NaN'
step i 'pin 1 blocks.3.hook_resid_post[-1]' 'was '
exit $fail
