#!/bin/sh
# arm64_digest.sh [BUILD_FOLDER]: builds kernel_digest and solver_digest for 64-bit ARM,
# runs them under qemu-user for each ARM tier, and compares with the native ones of
# BUILD_FOLDER/tests when there are any. Needs gcc-aarch64-linux-gnu and qemu-user-static.
set -eu
cd "$(dirname "$0")/../.."
native=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc=${ARM64_CC:-aarch64-linux-gnu-gcc}
flags="-ffp-contract=off -fno-math-errno -fopenmp -D_GNU_SOURCE -I."
for source in runtime/kernels/*.c runtime/tensor/*.c runtime/base/alloc.c \
    runtime/base/arena.c runtime/base/error.c runtime/base/parallel.c \
    libquant/correct.c libquant/factor.c libquant/fit.c libquant/gptq.c libquant/grid.c \
    libquant/grids.c libquant/improve.c libquant/sweep_units.c libquant/nearest.c libquant/rtn.c libquant/superfit.c \
    libquant/sweep.c libquant/target.c \
    tests/support/kernel_cases.c tests/support/solver_problem.c; do
    case $source in
    *_avx* | *_amx*) continue ;;
    *_neondot.c) tier="-O3 -march=armv8.2-a+dotprod" ;;
    *_neoni8mm.c) tier="-O3 -march=armv8.2-a+dotprod+i8mm" ;;
    *_neon.c) tier="-O3" ;;
    *) tier="-O2" ;;
    esac
    # shellcheck disable=SC2086
    $cc $flags $tier -c "$source" -o "$work/$(echo "$source" | tr / _).o"
done
status=0
for program in kernel_digest solver_digest; do
    # shellcheck disable=SC2086
    $cc $flags -O2 -static -Wl,--no-warnings "tests/tools/$program.c" "$work"/*.o -lm \
        -o "$work/$program"
    for tier in scalar neon neondot neoni8mm; do
        qemu-aarch64-static -cpu max "$work/$program" $tier >"$work/$tier.txt"
        cmp "$work/scalar.txt" "$work/$tier.txt" || status=1
    done
    if [ -n "$native" ]; then
        "$native/tests/$program" >"$work/native.txt"
        cmp "$work/native.txt" "$work/neon.txt" || {
            diff "$work/native.txt" "$work/neon.txt"
            status=1
        }
    fi
    [ $status = 0 ] && echo "equal: $(wc -l <"$work/neon.txt") digests of $program"
done
exit $status
