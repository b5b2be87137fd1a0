# pare-eval.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"
make_tiny
pare-quantize -q tiny.gguf --scheme int8 -o int8.gguf || fail "pare-quantize"
cat >data.tsv <<'END'
sentence	label
the film is very good .	2
a dull plot	0
not bad	1
bright , funly , good !	2
the plot was sad	0
the film was not very good , not very bad , not dull , not bright and not anything	1
END

# The same result for any batch size and number of threads.
same() {
    check 0 "" pare-eval -q int8.gguf --baseline tiny.gguf --data data.tsv --no-latency \
        --json "$1.json" --batch "$2" --threads "$3"
    grep -vE '"(load_ms|peak_rss_bytes|batch|threads)"' "$1.json" >"$1.same"
}
same one 1 1
same two 4 2
same three 32 3
check 0 - cmp one.same two.same
check 0 - cmp one.same three.same
for key in pare_result version size_bytes memory_bytes bits_per_weight load_ms \
    peak_rss_bytes parameters accuracy accuracy_low accuracy_high f1 mcc confusion \
    label_names agreement kl mcnemar_p baseline sha256 rows cpu tier matrices \
    block_bits_per_weight sparsity; do
    check 0 "\"$key\":" cat one.json
done
check 0 '"rows":	6' cat one.json
check 0 '"rows":	2' pare-eval tiny.gguf --data data.tsv --no-latency --limit 2 -q --json -
check 0 "" pare-eval -q tiny.gguf --baseline tiny.gguf --data data.tsv --no-latency \
    --json self.json
check 0 '"agreement":	1,' cat self.json
check 0 '"kl":	0,' cat self.json
check 0 '"mcnemar_p":	1,' cat self.json

# What is sent of a container is what gzip makes of it, and of what gzip has made itself.
! grep -q download_bytes one.json || fail "a download nobody asked for"
check 0 "" pare-quantize -q tiny.gguf --scheme int8 -o int8.gguf.gz
check 0 "" pare-eval -q int8.gguf --baseline int8.gguf.gz --no-latency --download --json gz.json
for key in download_bytes size_bytes; do
    awk -F'[:,]' -v key="\"$key\"" 'index($1, key) { print $2 + 0 }' gz.json >$key
done
bytes=$(wc -c <int8.gguf.gz)
printf '%s\n%s\n' "$bytes" "$bytes" >expected
check 0 - cmp download_bytes expected
printf '%s\n%s\n' "$(wc -c <int8.gguf)" "$bytes" >expected
check 0 - cmp size_bytes expected
check 0 "download" pare-eval int8.gguf --no-latency --download

# Bits and zeros of every matrix, and of those in the blocks together.
[ "$(grep -c '"form":	"I8"' one.json)" = 9 ] || fail "nine matrices of bytes"
check 0 "  in blocks                   8.929" pare-eval int8.gguf --no-latency
check 0 "zeros in blocks              0.00 %" pare-eval tiny.gguf --no-latency

# Latency: settings that nobody asked for are left out, others are refused.
check 0 "p50 1x24" pare-eval tiny.gguf --latency 1x24,2x8 --repeat 3
check 0 "4 of the usual 4 latency settings" pare-eval tiny.gguf --repeat 3
check 0 '"latency":	[]' pare-eval -q tiny.gguf --repeat 3 --json -
# A profile has every operation, and they add up to the forward.
check 0 "attn_out" pare-eval tiny.gguf --latency 2x8 --repeat 5 --profile
check 0 "" pare-eval -q tiny.gguf --latency 1x8,2x24 --repeat 30 --profile --json profile.json
[ "$(grep -c '"op":	"attention"' profile.json)" = 2 ] || fail "a profile for each setting"
[ "$(grep -c '"op":' profile.json)" = 16 ] || fail "eight operations"
awk -F'[:,]' '/"share":/ { sum += $2 } END { exit !(sum > 1.999 && sum < 2.001) }' profile.json ||
    fail "shares do not add up to 1"
awk -F'[:,]' '/"min_ms":/ { low = $2; all = 0 } /"p99_ms":/ { high = $2 }
    /"ms":/ { all += $2 } /"op":	"head"/ { head = 1 }
    head && /"ms":/ { head = 0; if (all < low * 0.5 || all > high) bad = 1 }
    END { exit bad }' profile.json || fail "operations do not add up to a forward"
check 0 "" pare-eval -q tiny.gguf --latency 1x8 --repeat 3 --json none.json
! grep -q '"profile":' none.json || fail "a profile nobody asked for"

check 2 "tiny.gguf: setting 1x25 cannot be timed: the model takes at most 24 tokens" \
    pare-eval tiny.gguf --latency 1x8,1x25
check 2 "BATCHxTOKENS" pare-eval tiny.gguf --latency 1x8,

# An input is never written over, and an output that cannot be written fails early.
cp tiny.gguf kept.gguf
ln tiny.gguf hard.gguf
ln -s data.tsv soft.tsv
for output in tiny.gguf hard.gguf int8.gguf data.tsv soft.tsv; do
    check 2 "$output" pare-eval tiny.gguf --baseline int8.gguf --data data.tsv \
        --no-latency --json $output
done
check 0 - cmp tiny.gguf kept.gguf
check 5 "no/such" pare-eval tiny.gguf --data data.tsv --json no/such/out.json
check 5 "nothing.gguf" pare-eval nothing.gguf
check 5 "nothing.tsv" pare-eval tiny.gguf --data nothing.tsv

# What cannot be measured is an error, not a number.
printf 'sentence\tlabel\na film\t3\n' >label.tsv
check 3 "label.tsv:2: label 3 is out of range: expected 0 to 2" \
    pare-eval tiny.gguf --data label.tsv --no-latency
cp -r tiny huge
overwrite huge classifier.weight
pare-convert -q huge -o huge.gguf || fail "pare-convert huge"
check 3 "huge.gguf: the logits of row 1 are not finite" \
    pare-eval -q huge.gguf --baseline tiny.gguf --data data.tsv --no-latency --json h.json
check 1 - test -e h.json
rm tiny/vocab.txt
pare-convert -q tiny -o mute.gguf 2>/dev/null || fail "pare-convert without a vocabulary"
check 2 "mute.gguf: the model has no tokenizer" \
    pare-eval mute.gguf --data data.tsv --no-latency

# A baseline that is never right: no share of it can be kept.
awk -F '\t' 'NR == 1 || $2 == 0' data.tsv >zero.tsv
check 0 "" pare-eval -q tiny.gguf --data zero.tsv --no-latency --json -
if grep -q '"accuracy":	0,' .out; then
    wrong=0
else
    wrong=1
fi
awk -F '\t' -v OFS='\t' -v w=$wrong 'NR > 1 { $2 = w ? ($2 + 1) % 3 : $2 } 1' zero.tsv >wrong.tsv
check 0 '"accuracy":	0,' pare-eval -q tiny.gguf --baseline tiny.gguf --data wrong.tsv \
    --no-latency --json -
grep -q retention .out && fail "retention of a baseline without a right answer"

# Asked to stop, or killed: the process that measures ends too.
cp tiny.gguf "stop-$$.gguf"
measuring() {
    for file in /proc/[0-9]*/cmdline; do
        cat "$file" 2>/dev/null | tr '\0' ' ' | grep -q "^pare-eval .*stop-$$.gguf" &&
            echo "$file"
    done
}
for signal in TERM KILL; do
    pare-eval -q "stop-$$.gguf" --latency 8x24 --repeat 100000 --threads 1 2>err &
    pid=$!
    wait_until '[ "$(measuring | wc -l)" -eq 2 ]' ||
        fail "expected two processes before SIG$signal"
    checks=$((checks + 1))
    kill -s $signal $pid
    watchdog
    wait $pid
    code=$?
    [ $signal = KILL ] || [ $code -eq 143 ] || { fail "SIGTERM: exit code $code"; cat err; }
    wait_until '! measuring | grep -q .' ||
        fail "SIG$signal: the measuring process lives on"
    kill $watch 2>/dev/null
done

# Products in bfloat16: near the model, in half the memory, and the result says so; for
# integers there is nothing to choose.
check 0 "" pare-eval -q tiny.gguf --baseline tiny.gguf --data data.tsv --no-latency \
    --precision bf16 --json bf16.json
check 0 '"precision":	"bf16"' cat bf16.json
[ "$(grep -c '"precision":' bf16.json)" = 1 ] || fail "the baseline is not in fp32"
! grep -q '"kl":	0,' bf16.json || fail "bf16 gives what fp32 gives"
awk -F'[:,]' '/"kl":/ { exit !($2 < 1e-4) }' bf16.json || fail "bf16 is far from fp32"
check 0 "report: bf16.md" pare-report bf16.json -o bf16.md
check 0 "Linear layers of floats in" cat bf16.md
logits() { pare-run "$1" --ids "2 6 7 3" --json --precision "$2"; }
[ "$(logits int8.gguf bf16)" = "$(logits int8.gguf fp32)" ] || fail "precision changes int8"
[ "$(logits tiny.gguf bf16)" != "$(logits tiny.gguf fp32)" ] || fail "precision changes nothing"
finish
