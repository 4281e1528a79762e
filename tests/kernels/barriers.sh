#!/bin/sh
# barriers.sh BUILD [TEXT:LINE...]: leaves out each barrier of the kernel text in turn, on the emulator, and says which of them
# no test of the operations misses.
set -u
build=${1:?barriers.sh BUILD [TEXT:LINE...]}
shift
tests_of() {
    case $1 in
    attn.k | attention.k) echo attn ;;
    linear_kn.k | mma.k) echo linear ;;
    *) echo elem reduce edit vjp route attn linear ;;
    esac
}
# shellcheck disable=SC2046 # word splitting is meant
[ $# -gt 0 ] || set -- $(cd kernels/gpu && grep -n 'BARRIER();' ./*.k ./common.h | sed -e 's|^\./||' -e 's/:[^:]*$//')
# Does a test of the operations fail without that barrier?  Its first failure is enough.
misses() {
    case $1 in
    mma.k*) orders=emu:mma ;;
    *) orders="emu:mixed emu:falling emu" ;;
    esac
    for order in $orders; do
        for test in $(tests_of "${1%:*}"); do
            EMU_WITHOUT=$1 BORE_TEST_BACKEND=$order "$build/tests/kernels/test_kernels_$test" 2>&1 |
                grep -q 'FAILED\|emu:.*barriers' && echo "$test on $order" && return
        done
    done
    echo NOTHING
}

missed=0
for at in "$@"; do
    by=$(misses "$at")
    [ "$by" != NOTHING ] || missed=$((missed + 1))
    echo "$at: $by"
done
echo "$missed barriers that no test misses"
[ $missed = 0 ]
