#!/bin/sh
# test_workflows.sh BORESCOPE - the keys of docs/workflows.md do what it says.
set -eu
borescope=$(realpath "$1")
prompt="When Mary and John went to the store, John gave a bag to"
other="When Dan and John went to the store, John gave a bag to"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" # `w` writes here

# keys_in SCRIPT: how many keys its lines of keys press; what is typed as text does not count
keys_in() {
    printf '%s\n' "$1" | sed -n 's/^keys //p' | sed 's/<[^>]*>/k/g' | tr -d '\n' | wc -m
}

# flow MOST SCRIPT TEXT...: no more than MOST keys, after which each text is on the screen
flow() {
    [ "$(keys_in "$2")" -le "$1" ] || {
        printf 'more than %s keys: %s\n' "$1" "$2"
        exit 1
    }
    screen=$(printf 'size 120x40\n%s\nscreen\n' "$2" | "$borescope" play - teach -p "$prompt" --pair " Mary/ Dan")
    shift 2
    for text; do
        case $screen in
        *"$text"*) ;;
        *)
            printf 'not on the screen: %s\n%s\n' "$text" "$screen"
            exit 1
            ;;
        esac
    done
}

flow 3 "keys 4/
type hook_z
keys <Enter>" "▶ blocks.0.attn.hook_z" "self_attn.o_proj.input" "best matches first"
flow 4 "keys 2LLx" "1 * blocks.3.attn.hook_z[-1, 2] = 0" "→"
flow 3 "keys 3i" "lens of blocks.3.hook_resid_post[14]" 'pinned: blocks.3.hook_resid_post[-1] " Mary"' "was   0.984 is   0.984"
flow 6 "keys 3i2LLx" 'pin 1 blocks.3.hook_resid_post[-1] " Mary"' "base   0.984 edited "
flow 3 "keys 3<S-F5><F5>" "lens of blocks.3.hook_resid_post[14]" "state 1"
flow 2 "keys 7s" "[7 heads]" "24 of 24 heads, by previous"
flow 4 "keys P<C-u>
type $other
keys <Enter>P" "from(other)" 'edit 1: 14 " to" from 14 " to" · by token'
flow 5 'keys e<C-u>
type edit blocks.3.hook_resid_post[-1] += 60 * dir(" Dan", " Mary")
keys <Enter>><Space>' "clean " "edited " "first difference at step 1" " Dan"
flow 2 "keys ><Space>" "step 3 of 3" "entropy" "bag to Mary."
flow 3 "keys =<C-u>
type $other
keys <Enter>" "b:B−A" "change of log p"
flow 4 "keys =<C-u>
type $other
keys <Enter>|" "A: the prompt" "B: the other prompt" "b:B−A" "≠"
flow 1 "keys C" "identities: 17 hold, 0 fail" "▶ yes" "pattern . v == z" "block 3"
flow 2 "keys w" "written to borescope-grid-1.txt"
"$borescope" lessons lens --help > /dev/null
"$borescope" check teach > /dev/null
"$borescope" run teach -p "$prompt" -e 'blocks.3.attn.hook_z[-1, 2] = 0' --json | grep -q '"loss"'
