#!/bin/sh
# test_ranks.sh BORESCOPE [quick] - several ranks by mpirun: the same bits for any number of them, one that is killed, a sweep that goes on, what is refused, and the commands of
# docs/lab.md. quick, where sanitizers slow it down: 3 ranks alone, a smaller sweep, not the page.
# shellcheck disable=SC2086 # $run and $sets are lists of words
set -eu
borescope=$(realpath "$1")
quick=${2:-}
tokens=3,17,42,8,8,29,3,17,42
[ -n "$quick" ] || tokens=$tokens,$tokens,$tokens
skip() {
    echo "SKIP: $1"
    exit 77
}
[ -e "$(dirname "$borescope")/borescope-mpi.so" ] || skip "borescope was built without MPI"
command -v mpirun > /dev/null || skip "there is no mpirun"
run="mpirun"
if mpirun --version 2> /dev/null | grep -q "Open MPI"; then
    run="mpirun --oversubscribe --bind-to none"
    [ "$(id -u)" != 0 ] || run="$run --allow-run-as-root"
fi
$run -n 2 true 2> /dev/null || skip "mpirun cannot start two processes here"

models=$(realpath tests/fixtures/prompts)
page=$(realpath docs/lab.md)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
fail() {
    echo "$1"
    cat err 2> /dev/null || :
    exit 1
}
awk 'BEGIN { srand(3); split("store Mary John gave a bag to went the When time said one two three", w)
    for (i = 0; i < 250; i++) { n = 3 + int(rand() * 30); line = ""
        for (k = 0; k < n; k++) line = line w[1 + int(rand() * 15)] " "
        print line } }' > t.txt
head -9 t.txt > few.txt
awk 'BEGIN { srand(5); split("Mary John Tom Anna", w)
    for (i = 0; i < 70; i++) { a = 1 + int(rand() * 4); b = 1 + a % 4
        printf "{\"question\": \"%s and %s went home, %s gave it to\", \"choices\": [\"%s\", \"%s\"], \"answer\": %d}\n", w[a], w[b], w[a], w[b], w[a], i % 2 } }' > q.jsonl

# ---- the same bits ----
# each NAME COMMAND: what it prints and writes to NAME.N.safetensors, by N ranks; 0 is one process alone.
each() {
    name=$1
    shift
    for n in 0 $ranks; do
        with="$run -n $n"
        [ $n -gt 0 ] || with=
        $with "$borescope" "$@" > "$name.$n.out" 2> err < /dev/null || fail "$name: fails with $n ranks"
        [ $n -eq 0 ] || cmp "$name.0.out" "$name.$n.out" || fail "$name: $n ranks print something else"
        if [ -e out.safetensors ]; then
            mv out.safetensors "$name.$n.file"
            cmp "$name.0.file" "$name.$n.file" || fail "$name: $n ranks write something else"
        fi
    done
    [ -s "$name.0.out" ] || fail "$name: prints nothing"
}
gpt2=$models/gpt2
ranks="1 2 3 5"
[ -z "$quick" ] || ranks=3
each eval eval "$gpt2" t.txt --window 24 --stride 16 -e 'blocks.0.attn.hook_z[:, 1] = 0' --json
each stats stats "$gpt2" t.txt -c 'blocks.*.{mlp.hook_post,attn.hook_z}' --coactivation 'blocks.0.mlp.hook_post[:, 3:9]' -o out.safetensors
each sweep sweep teach -p "When Mary and John went to the store, John gave a bag to" --kind z --json
sed -n '100,220p' t.txt > focus.txt
sed -n '20,60p' t.txt > cripple.txt
sets="--focus focus.txt --cripple cripple.txt"
each score score "$gpt2" $sets --unit heads --heads-by median --json -o out.safetensors
each attribution score "$gpt2" $sets --score attribution --json -o out.safetensors
each ablation score "$gpt2" $sets --score ablation --limit 3 --json -o out.safetensors # 7 units to 3 windows
each prune prune "$gpt2" $sets --neurons 0.05 --heads 0.4 --steps 2 --json -o out.safetensors
[ -n "$quick" ] || ranks="2 3"
cp stats.0.file stats.safetensors
each given score "$gpt2" --focus stats.safetensors --cripple stats.safetensors --json # nothing to share
each learned prune "$gpt2" $sets --learn --steps 3 --l1 2 --json -o out.safetensors
each drawn prune "$gpt2" $sets --score rand --neurons 0.05 --cumulative --steps 2 --json -o out.safetensors
each choices eval "$gpt2" q.jsonl --choices --json
each masked eval "$models/bert" few.txt --json
each patch patch teach -p "When Mary and John went" --clean "When John and Mary went" --json
for _ in 1 2 3 4 5 6; do sed -n "s,^[a-z].*\..*,$(dirname "$models")/images/&,p" "$models/../images/labels.csv"; done | sed '1i file,label' > images.csv
each images eval "$models/../models/vit" images.csv -e 'blocks.0.hook_mlp_out = 0' --json
each few eval "$gpt2" few.txt --json # less than a unit: most ranks have nothing to do

# ---- what is refused: one line, beside progress on a slow machine ----
refused() {
    want=$1
    shift
    if "$@" > out 2> err; then fail "not refused: $*"; fi
    [ ! -s out ] || fail "printed beside an error: $*"
    [ "$(grep '^borescope: ' err | grep -vc '^borescope: [0-9]* % ')" = 1 ] || fail "not one line: $*"
    grep -q "$want" err || fail "does not say: $want"
}
refused "one standard input" $run -n 2 "$borescope" eval "$gpt2" -
refused "cannot open" $run -n 3 "$borescope" eval "$gpt2" absent.txt
refused "unknown option" $run -n 2 "$borescope" eval "$gpt2" t.txt --nonsense
# Another model on another rank.
refused "rank 1 .*another model" $run -n 1 "$borescope" eval "$gpt2" few.txt : -n 1 "$borescope" eval "$models/llama2" few.txt
# A rank that fails, before the work and in the middle of it: its words, its name.
refused "rank 1 .*absent.txt" $run -n 1 "$borescope" eval "$gpt2" t.txt : -n 1 "$borescope" eval "$gpt2" absent.txt
{
    cat t.txt
    printf '\377\n'
} > half.txt
refused "rank 1 .*half.txt · line 251" $run -n 1 "$borescope" eval "$gpt2" t.txt : -n 1 "$borescope" eval "$gpt2" half.txt
# A set of a command that has several works: before the first one, before the second, in the middle of it, and an answer that only rank 0 has.
refused "cannot open" $run -n 3 "$borescope" score "$gpt2" --focus focus.txt --cripple absent.txt
refused "no text has a token" $run -n 3 "$borescope" score "$gpt2" --focus /dev/null --cripple cripple.txt
refused "rank 1 .*absent.txt" $run -n 1 "$borescope" score "$gpt2" $sets : -n 1 "$borescope" score "$gpt2" --focus focus.txt --cripple absent.txt
refused "rank 1 .*half.txt · line 251" $run -n 1 "$borescope" score "$gpt2" $sets : -n 1 "$borescope" score "$gpt2" --focus focus.txt --cripple half.txt
refused "rank 1 .*half.txt · line 251" $run -n 1 "$borescope" score "$gpt2" $sets --score attribution : -n 1 "$borescope" score "$gpt2" --focus focus.txt --cripple half.txt --score attribution
refused "no token counts" $run -n 2 "$borescope" prune "$gpt2" $sets --neurons 0.05 --eval-cripple /dev/null
# Without the plugin.
cp "$borescope" alone
refused "has no MPI" env OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 ./alone eval "$gpt2" few.txt
rm -f out alone

# ---- a rank is killed; what is done is there, and the work goes on with another number of ranks ----
rank_of() { tr '\0' '\n' < "/proc/$1/environ" 2> /dev/null | sed -n 's/^\(OMPI_COMM_WORLD_RANK\|PMI_RANK\)=//p'; }
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do cat t.txt; done > long.txt
args="stats $gpt2 long.txt -c blocks.*.mlp.hook_post -o out.safetensors"
"$borescope" $args > /dev/null
mv out.safetensors whole
killed() {
    $run -n 3 "$borescope" $args --resume part.safetensors --every 0 > killed.out 2> err < /dev/null &
    launcher=$!
    tries=0
    while [ ! -e part.safetensors ] && kill -0 $launcher 2> /dev/null && [ $tries -lt 3000 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
    victim=
    for p in $(pgrep -f "$borescope stats $gpt2 long.txt"); do
        [ "$(rank_of "$p")" != "$1" ] || victim=$p
    done
    [ -n "$victim" ] || fail "rank $1 was not found"
    kill -9 "$victim"
    if wait $launcher; then fail "a killed rank went unnoticed"; fi
    # MPICH's launcher ends all others at once and names the process itself, on standard output.
    grep -q "rank $1" err || grep -q "PID $victim RUNNING AT" killed.out || fail "the killed rank is not named"
    [ -e part.safetensors ] || fail "nothing is kept"
    [ ! -e out.safetensors ] || fail "a result of half the work"
}
for victim_rank in 1 0; do
    killed $victim_rank
    $run -n 2 "$borescope" $args --resume part.safetensors > /dev/null 2> err < /dev/null || fail "does not go on"
    cmp out.safetensors whole || fail "gone on with, it ends otherwise"
    [ ! -e part.safetensors ] || fail "the state stays"
    rm out.safetensors
done

# A sweep goes on with another number of ranks, too.
# All neurons, so that it is not done before its ranks know that the launcher is gone.
args="sweep teach --tokens $tokens --kind neuron --json"
"$borescope" $args > whole
$run -n 2 "$borescope" $args --resume part.safetensors --every 0 > /dev/null 2> err < /dev/null &
launcher=$!
while [ ! -e part.safetensors ] && kill -0 $launcher 2> /dev/null; do sleep 0.01; done
kill -9 $launcher
wait $launcher 2> /dev/null || :
while pgrep -f "$borescope sweep teach" > /dev/null; do sleep 0.1; done
[ -e part.safetensors ] || fail "nothing of a sweep is kept"
$run -n 3 "$borescope" $args --resume part.safetensors > other 2> err < /dev/null || fail "a sweep does not go on"
cmp other whole || fail "gone on with, a sweep ends otherwise"
[ ! -e part.safetensors ] || fail "the state stays"

# ---- the page's commands ----
[ -z "$quick" ] || exit 0
cp t.txt prose.txt
cp focus.txt code.txt
printf '#!/bin/sh\nexec "%s" "$@"\n' "$borescope" > borescope
chmod +x borescope
n=0
sed -n "s/^    mpirun /$run /p" "$page" > commands
while read -r line; do
    n=$((n + 1))
    PATH="$folder:$PATH" sh -ec "$line" > shown 2> err < /dev/null || fail "fails: $line"
    [ -s shown ] || fail "prints nothing: $line"
done < commands
[ "$n" -ge 3 ]
