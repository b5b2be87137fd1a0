# The main road, small: sample, train, quantise, evaluate, report, run.
. "$(dirname "$0")/lib.sh"

check 0 - pare-sample -q --train 200 --dev 100 -o sample
check 0 "" pare-train --config sample/config.json --vocab sample --train sample/train.tsv \
    --dev sample/dev.tsv --epochs 1 --lr 5e-4 --label negative --label positive -o fp32.gguf
check 0 "" pare-quantize fp32.gguf --scheme int8 -o int8.gguf
check 0 "" pare-quantize fp32.gguf --scheme q4_0 -o q4.gguf
for model in int8 q4; do
    check 0 "accuracy" pare-eval $model.gguf --baseline fp32.gguf --data sample/dev.tsv \
        --latency 1x8 --repeat 2 --warmup 0 --json $model.json
done
for key in size_bytes memory_bytes accuracy retention agreement kl latency p50_ms p90_ms \
    p99_ms tokens_per_s batch tokens threads; do
    grep -q "\"$key\"" int8.json || fail "no $key in the result"
done
check 0 "" pare-report int8.json q4.json -o report.md --html report.html \
    --require 'size<=0.5x'
check 7 "size" pare-report int8.json -o gate.md --require 'size<=0.05x'
grep -q '</html>' report.html || fail "report.html is not whole"
grep -q '<svg' report.html || fail "report.html has no plot"
grep -qE '(src|href)="?(https?:)?//' report.html && fail "report.html loads something"
check 0 "" pare-inspect int8.gguf
check 0 '"label"' pare-run int8.gguf --json "the soup was not bad ."
check 0 '"token_ids"' sh -c 'printf "one\ntwo\n" | pare-run int8.gguf --json'
[ "$(sed 1d sample/dev.tsv | cut -f 1 | pare-run int8.gguf --json | wc -l)" -eq 100 ] ||
    fail "pare-run: not one line an input"

# A model four times smaller, the same again for the same input, and nothing left behind.
ls -l fp32.gguf int8.gguf | awk '{ size[NR] = $5 } END { exit !(size[2] < 0.3 * size[1]) }' ||
    fail "int8.gguf is not a quarter of fp32.gguf"
check 0 "" pare-quantize fp32.gguf --scheme int8 --threads 3 -o again.gguf
check 0 - cmp int8.gguf again.gguf
check 0 "" pare-convert fp32.gguf --dtype f16 -o f16.gguf
ls -A | grep -E '\.tmp$|\.lock$' && fail "temporary files are left"

# What is not there, not a model, or the input itself.
for program in pare-convert pare-quantize pare-eval pare-inspect pare-run pare-train; do
    case $program in
    pare-convert) set -- -o out.gguf ;;
    pare-quantize) set -- -s int8 -o out.gguf ;;
    pare-train) set -- --train sample/train.tsv -o out.gguf ;;
    pare-run) set -- text ;;
    *) set -- ;;
    esac
    check 5 "nothing.gguf" $program nothing.gguf "$@"
    check 3 "vocab.txt" $program sample/vocab.txt "$@"
    [ ! -e out.gguf ] || fail "$program left an output after an error"
done
check 2 "" pare-quantize fp32.gguf -s int8 -o fp32.gguf
ln fp32.gguf link.gguf
check 2 "" pare-quantize fp32.gguf -s int8 -o link.gguf
check 5 "" pare-quantize fp32.gguf -s int8 -o /nowhere/out.gguf
check 2 "did you mean 'int8'" pare-quantize fp32.gguf -s in8 -o out.gguf
finish
