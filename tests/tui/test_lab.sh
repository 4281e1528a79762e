#!/bin/sh
# test_lab.sh BORESCOPE - every command of docs/lab.md does its work, in its order, on the built-in model and texts made here.
set -eu
borescope=$(realpath "$1")
page=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
PATH="$folder:$PATH"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$borescope" > borescope
chmod +x borescope
awk 'BEGIN { split("Mary John Dan Tom Anna Kate", who); split("store park house school river garden", where); split("bag book ball key drink ring", what)
    for (i = 0; i < 60; i++)
        printf "When %s and %s went to the %s, %s gave a %s to %s.\n", who[i % 6 + 1], who[(i + 1 + i % 4) % 6 + 1], where[i % 5 + 1], who[i % 6 + 1], what[i % 6 + 1], who[(i + 1 + i % 4) % 6 + 1] }' > prose.txt
awk 'BEGIN { split("x y total count name item", n)
    for (i = 0; i < 60; i++)
        printf "for (int %s = 0; %s < %d; %s++) { %s[%s] = %d; }\n", n[i % 6 + 1], n[i % 6 + 1], i, n[i % 6 + 1], n[(i + 2) % 6 + 1], n[i % 6 + 1], i * 7 % 10 }' > code.txt
printf '{"question": "When %s and %s went to the store, %s gave a bag to", "choices": ["%s", "%s"], "answer": 1}\n' Mary John John John Mary Tom Anna Tom Tom Anna > questions.jsonl
fixtures=$(dirname "$page")/../tests/fixtures
cp -r "$fixtures/models/vit" vit
mkdir -p pictures/lemon pictures/tabby
cp "$fixtures/images/rgb.png" "$fixtures/images/gray.jpg" pictures/tabby
cp "$fixtures/images/palette.png" pictures/lemon
printf 'file,label\npictures/tabby/rgb.png,tabby\npictures/lemon/palette.png,3\n' > pictures.csv
n=0
sed -n 's/^ \{4,6\}\(borescope .*\)/\1/p' "$page" > commands
while read -r line; do
    n=$((n + 1))
    sh -ec "$line" > out 2> err < /dev/null || {
        printf 'fails: %s\n' "$line"
        cat err
        exit 1
    }
    [ -s out ] || {
        printf 'prints nothing: %s\n' "$line"
        exit 1
    }
done < commands
[ "$n" -ge 5 ] # none of them is missed

# In a terminal a line says how far the work is, and goes away.
if command -v script > /dev/null; then
    script -qec "borescope eval teach prose.txt > out" /dev/null < /dev/null > seen
    grep -q ' % · [0-9]* tokens · ' seen
    [ "$(grep -c perplexity out)" = 1 ]
fi

# The explorer shows what the file says.
has() {
    case $1 in
    *"$2"*) ;;
    *)
        printf 'not there: %s\n%s\n' "$2" "$1"
        exit 1
        ;;
    esac
}
prompt="When Mary and John went to the store, John gave a bag to"
screens=$(printf 'size 160x40\nkeys 8\nscreen\nkeys <Enter>\nscreen\n' | borescope play - teach -p "$prompt" --ref prose=prose.safetensors)
has "$screens" "mean    x>0   below raises, by W_U"
has "$screens" "prose, over"
has "$screens" "at or below here"
has "$screens" "[" # a context's token
has "$screens" "of prose at or below it"
screens=$(printf 'ref prose=code.safetensors\n8\n' | borescope teach "$prompt" --plain)
has "$screens" "above 0 in"
# What was pruned is gone there, and in its list of edits.
screens=$(printf 'size 160x40\nkeys 8\nscreen\n' | borescope play - teach -p "$prompt" -e @pruned.edits)
has "$screens" "2 edits"
has "$screens" "2 * blocks.3.mlp.hook_post[:,"
without=$(printf 'size 160x40\nkeys 8\nscreen\n' | borescope play - teach -p "$prompt")
case $without in *below*) exit 1 ;; esac
