#!/bin/sh
# test_docs.sh BORESCOPE - the commands that README.md and docs/ show run: each line of theirs that begins with
# `borescope`, on a model that is here.  What stands for something of the reader's (MODEL, EDIT, "…") is filled in.
set -u
borescope=$(realpath "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail=0 ran=0
prompt="When Mary and John went to the store, John gave a bag to"

# Lines of a page that are commands, continued ones joined, what is for a shell's reader (# ...) left to the shell.
commands() {
    awk '/^    borescope / || more { sub(/^ +/, more ? " " : ""); more = sub(/\\$/, ""); line = line $0
                                   if (!more) { print line; line = "" } }' "$1"
}

# What a reader puts there: of the built-in model, which has 4 layers and 6 heads.
fill() {
    sed -e "s|google/vit-base-patch16-224 --image cat.jpg|$folder/vit --image $folder/vit/pixels.npy|" \
        -e "/transformer\.h\|\*\.h\./s| gpt2| $root/tests/fixtures/models/gpt2|; s|\[768:\]|[1:]|" \
        -e 's| gpt2 | teach |; s| gpt2$| teach|; s| MODEL\b| teach|' -e "s|'EDIT'|'blocks.1.hook_mlp_out = 0'|" \
        -e "s|\"When John and Mary went …\"|\"When Dan and Mary went to the store, Mary gave a bag to\"|" \
        -e "s|\"When Mary and John went …\"|\"When Mary and Dan went to the store, Dan gave a bag to\"|" \
        -e "s|run clean=\"…\"|run clean=\"When Tom and John went to the store, John gave a bag to\"|g" \
        -e "s|run corrupt=\"…\"|run corrupt=\"When Tom and John went to the store, John gave a bag to\"|g" \
        -e "s|\"…\"|\"$prompt\"|g" -e 's|" Paris"|" Mary"|; s|8\.\.11|1..3|; s|blocks\.9\.|blocks.3.|; s|W_O\[6,|W_O[2,|'
}

# What the pages speak of is there.
cd "$folder" || exit 1
cp -r "$root/tests/fixtures/models/vit" vit
printf '%s\n' "$prompt" "When Tom and Anna went to the river, Anna gave a book to" > prompts.txt
sed -n 's/^    //; /^prompt\t/,/^$/p' "$root/docs/headless.md" | sed '/^$/d' > set.tsv
mkdir -p state/borescope/sessions
for name in circuits auto-1; do
    printf 'model teach\nprompt "Tom"\nend\n' > state/borescope/sessions/$name.session
done
export XDG_STATE_HOME="$folder/state"

for page in "$root/README.md" "$root"/docs/*.md; do
    [ "${page##*/}" = lab.md ] && continue # needs its own texts, and has its own test
    commands "$page" | fill > lines
    while IFS= read -r line; do
        case $line in *--taker*) continue ;; esac # needs taker's own files: test_cli_taker.c
        ran=$((ran + 1))
        printf 'borescope() { "%s" "$@"; }\n%s\n' "$borescope" "$line" > run.sh
        rm -f ./*.npz ./*.safetensors ./*.png
        sh run.sh > out 2> err < /dev/null && cat out ./*.npz ./*.safetensors ./*.png 2> /dev/null | grep -q . && continue
        fail=1
        printf '%s: %s\n' "${page#"$root"/}" "$line"
        cat err
    done < lines
done
[ $ran -gt 25 ] || { echo "only $ran commands were found"; fail=1; }
exit $fail
