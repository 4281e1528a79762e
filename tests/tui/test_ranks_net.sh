#!/bin/sh
# test_ranks_net.sh BORESCOPE - ranks on two hosts that share nothing but a wire: two network namespaces, with a host name each. The same bits as one process; a rank
# of the other host that is killed is named with that host, and the work goes on. Needs root, iproute2 and Open MPI.
set -eu
borescope=$(realpath "$1")
skip() {
    echo "SKIP: $1"
    exit 77
}
[ -e "$(dirname "$borescope")/borescope-mpi.so" ] || skip "borescope was built without MPI"
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
for program in ip unshare mpirun; do command -v $program > /dev/null || skip "there is no $program"; done
mpirun --version 2> /dev/null | grep -q "Open MPI" || skip "mpirun is not Open MPI's"
near=borescope-a-$$ far=borescope-b-$$
folder=$(mktemp -d)
launcher=
leave() {
    [ -z "$launcher" ] || kill "$launcher" 2> /dev/null || :
    ip netns del "$near" 2> /dev/null || :
    ip netns del "$far" 2> /dev/null || :
    rm -rf "$folder"
}
trap leave EXIT
{ ip netns add "$near" && ip netns add "$far"; } 2> /dev/null || skip "no network namespace can be made here"
ip -n "$near" link add wire type veth peer name wire netns "$far" 2> /dev/null || skip "no pair of devices can be made here"
ip -n "$near" addr add 10.77.31.1/24 dev wire
ip -n "$far" addr add 10.77.31.2/24 dev wire
for space in "$near" "$far"; do for device in lo wire; do ip -n "$space" link set "$device" up; done; done

gpt2=$(realpath tests/fixtures/prompts)/gpt2
cd "$folder"
# What stands for ssh: AGENT HOST COMMAND... runs it there.
cat > agent << AGENT
#!/bin/sh
shift
exec ip netns exec $far unshare --uts sh -c 'hostname far; exec sh -c "\$*"' agent "\$@"
AGENT
chmod +x agent
# In a subshell: it becomes the launcher.
launch() {
    # shellcheck disable=SC2016 # it is the inner shell's
    exec ip netns exec "$near" unshare --uts sh -c 'hostname near; exec "$@"' near mpirun --allow-run-as-root --oversubscribe --bind-to none \
        --mca plm_rsh_agent "$folder/agent" --mca btl tcp,self --mca btl_tcp_if_include wire --mca oob_tcp_if_include wire -H 10.77.31.1:2,10.77.31.2:2 "$@"
}
fail() {
    echo "$1"
    cat err 2> /dev/null || :
    exit 1
}
(launch -n 4 hostname) > hosts 2> err < /dev/null || skip "mpirun does not reach the other namespace: $(head -n 1 err)"
[ "$(sort hosts | uniq -c | tr -s ' \n' ' ')" = " 2 far 2 near " ] || fail "not on two hosts: $(cat hosts)"

awk 'BEGIN { srand(3); split("store Mary John gave a bag to went the When time said one two three", w)
    for (i = 0; i < 2000; i++) { n = 3 + int(rand() * 30); line = ""
        for (k = 0; k < n; k++) line = line w[1 + int(rand() * 15)] " "
        print line } }' > t.txt
set -- stats "$gpt2" t.txt -c 'blocks.*.mlp.hook_post' -o out.safetensors
"$borescope" "$@" > alone.out
mv out.safetensors alone
(launch -n 4 "$borescope" "$@") > out 2> err < /dev/null || fail "fails on two hosts"
cmp alone out.safetensors || fail "two hosts make something else"
cmp alone.out out || fail "two hosts print something else"
rm out.safetensors

(launch -n 4 "$borescope" "$@" --resume part.safetensors --every 0) > out 2> err < /dev/null &
launcher=$!
while [ ! -e part.safetensors ] && kill -0 $launcher 2> /dev/null; do sleep 0.02; done
victim=
for p in $(ip netns pids "$far"); do
    ! tr '\0' '\n' < "/proc/$p/environ" 2> /dev/null | grep -qx OMPI_COMM_WORLD_RANK=3 || victim=$p
done
[ -n "$victim" ] || fail "rank 3 was not found"
kill -9 "$victim"
if wait $launcher; then fail "a killed rank went unnoticed"; fi
launcher=
grep -q 'rank 3 .*\(far\|10\.77\.31\.2\)' err || fail "neither the rank that was killed nor its host is named"
(launch -n 3 "$borescope" "$@" --resume part.safetensors) > out 2> err < /dev/null || fail "does not go on"
cmp alone out.safetensors || fail "gone on with, it ends otherwise"
