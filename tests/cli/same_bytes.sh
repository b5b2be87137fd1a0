#!/bin/sh
# The same input, options and version give the same bytes: makes a corpus, two short
# training runs (products in float and in bfloat16), INT8 and Q4_0 containers, pruned ones and
# a conversion to F16, for several numbers of threads and every CPU tier, with each of the builds named, and
# compares the SHA-256 of all of them.
#
# usage: same_bytes.sh BUILD_BIN... ; a build for another machine is named RUNNER@BUILD_BIN,
# e.g. qemu-aarch64-static@build-arm64/bin
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
runs=0

# Runs one program of the build $bin, on tier $tier.
program() {
    name=$1
    shift
    PARE_CPU=$tier $runner "$bin/$name" -q "$@"
}

# Everything for one build, tier and number of threads; its sums go to standard output.
make_all() {
    out=$work/out
    rm -rf "$out"
    program pare-sample -o "$out" --train 64 --dev 32
    program pare-train --config "$out/config.json" --vocab "$out/vocab.txt" \
        --train "$out/train.tsv" --dev "$out/dev.tsv" --epochs 1 --batch 8 --lr 5e-4 \
        --seed 3 --state none --threads "$threads" -o "$out/trained.gguf"
    program pare-train --config "$out/config.json" --vocab "$out/vocab.txt" \
        --train "$out/train.tsv" --dev "$out/dev.tsv" --epochs 1 --batch 16 --lr 5e-4 \
        --seed 3 --state none --threads "$threads" --precision bf16 -o "$out/bf16.gguf"
    program pare-quantize "$out/trained.gguf" --scheme int8 --threads "$threads" \
        -o "$out/int8.gguf"
    program pare-quantize "$out/trained.gguf" --scheme q4_0 --threads "$threads" \
        -o "$out/q4_0.gguf"
    program pare-prune "$out/trained.gguf" --sparsity 2:4 --skip 'blk.1.*' --scheme int4 \
        --group-size 0 --calibration "$out/train.tsv" --threads "$threads" -o "$out/pruned.gguf"
    program pare-prune "$out/trained.gguf" --heads 1 --ffn 64 --vocab-of "$out/train.tsv" \
        --threads "$threads" -o "$out/narrow.gguf"
    program pare-convert "$out/trained.gguf" --dtype f16 --threads "$threads" \
        -o "$out/f16.gguf"
    (cd "$out" && sha256sum train.tsv trained.gguf bf16.gguf int8.gguf q4_0.gguf f16.gguf \
        pruned.gguf narrow.gguf)
}

compare() {
    make_all >"$work/sums"
    runs=$((runs + 1))
    if [ ! -f "$work/expected" ]; then
        cp "$work/sums" "$work/expected"
        cat "$work/expected"
    fi
    if cmp -s "$work/sums" "$work/expected"; then
        echo "same: $build, tier $tier, $threads threads"
    else
        failed=$((failed + 1))
        echo "DIFFERENT: $build, tier $tier, $threads threads"
        diff "$work/expected" "$work/sums" || true
    fi
}

for build in "$@"; do
    bin=${build##*@}
    runner=
    [ "$bin" = "$build" ] || runner=${build%%@*}
    tier=auto
    for threads in ${PARE_THREADS:-1 2 3 7}; do
        compare
    done
    threads=2
    for tier in ${PARE_TIERS:-$($runner "$bin/pare-run" --version | sed -n "s/^cpu tier .* of: //p")}; do
        compare
    done
done
echo "$((runs - failed)) passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$runs" -gt 0 ]
