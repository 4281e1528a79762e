#!/bin/sh
# device.sh BUILD [BACKEND] [FOLDER]: a real GPU's first fifteen minutes. What it computes is tested first, then
# timed beside what the device itself can do; everything that is said goes to FOLDER, a summary comes at the end.
# The slow part, models of 1.4 and 8 billion random weights, comes last: whatever was reached by then is kept, and what is
# tested before leaves it half of the time. MINUTES (15) is what all of it may take. Exit 77 where the backend does not open.
set -u
build=${1:?device.sh BUILD [BACKEND] [FOLDER]}
backend=${2:-cuda}
out=${3:-$build/device}
minutes=${MINUTES:-15}
root=$(pwd)
mkdir -p "$out"
began=$(date +%s)
kept=$((minutes * 30)) # seconds, for the times
left() { echo $((began + minutes * 60 - kept - $(date +%s))); }

"$build/borescope" devices >"$out/devices.txt" 2>&1
"$build/tests/there" "$backend" "$(command -v true)" >"$out/there.txt" 2>&1
if [ $? = 77 ]; then
    cat "$out/there.txt"
    exit 77
fi
{
    date -u '+%Y-%m-%d %H:%M UTC'
    git rev-parse HEAD 2>/dev/null
    command -v nvidia-smi >/dev/null 2>&1 &&
        nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,memory.total --format=csv
    cat "$out/devices.txt"
} >"$out/about.txt" 2>&1
cat "$out/about.txt"
: >"$out/summary.txt"

# step NAME SECONDS COMMAND...: what a command says into NAME.txt, and how it ended into the summary
step() {
    name=$1 most=$2
    shift 2
    rest=$(left)
    [ "$rest" -lt "$most" ] && most=$rest
    if [ "$most" -lt 5 ]; then
        echo "SKIP $name: the time is over" | tee -a "$out/summary.txt"
        return
    fi
    from=$(date +%s)
    timeout "$most" "$@" >"$out/$name.txt" 2>&1
    case $? in
    0) how=ok ;;
    77) how=SKIP ;;
    124) how="FAILED: longer than $most s" ;;
    *) how=FAILED ;;
    esac
    echo "$how $name ($(($(date +%s) - from)) s)" | tee -a "$out/summary.txt"
}

cd "$root" || exit 1
# 1. The first launch compiles the kernels: how long that takes, and after that from the driver's cache.
step first-launch 90 "$build/borescope" check teach --backend "check:$backend,cpu"
step second-launch 60 "$build/borescope" check teach --backend "check:$backend,cpu"
# 2. Every operation against its reference, on the device alone; all pieces of rows the same bits.
for test in elem reduce route linear quant attn edit vjp; do
    step "op-$test" 120 env BORE_TEST_BACKEND="$backend" "$build/tests/kernels/test_kernels_$test"
done
# 3. The engine: sites against fixtures, incremental == full, gradients, sweeps.
for test in process incremental run grad wave session; do
    step "engine-$test" 120 env BORE_TEST_BACKEND="$backend" "$build/tests/engine/test_$test"
done
# 4. What the kernels touch, and lanes that race.
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
for tool in memcheck racecheck; do
    for test in elem attn reduce route; do
        if [ -z "$sanitizer" ]; then
            echo "SKIP $tool-$test: there is no compute-sanitizer" | tee -a "$out/summary.txt"
        else
            step "$tool-$test" 60 env BORE_TEST_BACKEND="$backend" \
                "$sanitizer" --tool "$tool" --error-exitcode 1 "$build/tests/kernels/test_kernels_$test"
        fi
    done
done
# 5. cuBLAS: what its probe of rows finds is in the list of devices; products beside our own.
case $backend in
cuda*) step blas-linear 60 env BORE_TEST_BACKEND="$backend+cublas" "$build/tests/there" "$backend+cublas" \
    "$build/tests/kernels/test_kernels_linear" ;;
esac
# 6. Times, the small models first, then where there is memory on disk and time for them the large ones.
kept=0
models=$(mktemp -d) || exit 1
trap 'rm -rf "$models"' EXIT
# bench NAME SECONDS ARGUMENTS...: a step of bench_device, whose models go also where its time is over
bench() {
    name=$1 most=$2
    shift 2
    step "bench-$name" "$most" env TMPDIR="$models" "$build/tests/bench/bench_device" "$@"
    rm -rf "${models:?}"/*
}
bench gpt2 120 "$backend" --model gpt2 --model gpt2-bf16
bench 1.4b 240 "$backend" --model 1.4b
case $backend in cuda*) bench 1.4b-blas 240 "$backend+cublas" --model 1.4b ;; esac
bench 8b 420 "$backend" --model 8b
case $backend in cuda*) bench 8b-blas 420 "$backend+cublas" --model 8b --tokens 128 ;; esac
cat "$out"/bench-*.txt 2>/dev/null
echo
cat "$out/summary.txt"
echo "all of it: $out"
! grep -q '^FAILED' "$out/summary.txt"
