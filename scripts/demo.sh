#!/bin/sh
# The main road on the embedded sample, with no download: installs what is missing, builds
# pare, makes a small sentiment corpus, trains a small model on it, distils it into a
# smaller one, quantises both, measures and writes a report. A few minutes on two cores.
# usage: scripts/demo.sh [FOLDER]      (default: demo)
set -eu
start=$(date +%s)
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-demo}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$here"

scripts/setup.sh
echo "== build"
# Tests are left as they are configured in this build folder, off in a new one.
[ -f build/release/CMakeCache.txt ] || cmake --preset release -DPARE_TESTS=OFF >/dev/null
cmake --build --preset release --parallel "$(nproc)" | tail -n 1
PATH=$here/build/release/bin:$PATH
# Threads that wait for others spin only briefly: other work may share the processors.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-1000}"
cd "$out"

step() {
    echo
    echo "== $*"
    "$@"
}
step pare sample -o sample
step pare train --config sample/config.json --vocab sample --train sample/train.tsv \
    --dev sample/dev.tsv --epochs 8 --lr 5e-4 --batch 32 \
    --label negative --label positive --metrics teacher.jsonl -o fp32.gguf
step pare distill fp32.gguf --train sample/train.tsv --dev sample/dev.tsv \
    --layers 1 --ffn 256 --epochs 12 --lr 5e-4 --metrics student.jsonl -o student.gguf
step pare quantize fp32.gguf --scheme int8 -o int8.gguf
step pare quantize fp32.gguf --scheme q4_0 --embeddings q8_0 -o q4.gguf
step pare quantize student.gguf --scheme int8 -o student8.gguf
for model in int8 q4 student student8; do
    step pare eval $model.gguf --baseline fp32.gguf --data sample/dev.tsv \
        --latency 1x32,8x32 --json $model.json
done
step pare run int8.gguf "the plot was slow , but i loved the ending ." \
    "nobody would call this hotel clean ."
echo
echo "== report"
pare report int8.json q4.json student.json student8.json \
    --training teacher.jsonl --training student.jsonl -o report.md --html report.html \
    --title "The embedded sample: FP32, INT8, 4 bits, a student"
cat report.md
echo
echo "Report: $out/report.html (and report.md); models: $out/*.gguf"
echo "Done in $(($(date +%s) - start)) seconds."
