# pare-quantize --target-size and --target-ratio: formats chosen for a size.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"

make_tiny
make_plain 60
quantize() { pare-quantize tiny.gguf --progress none --calibration plain.txt "$@"; }
size() { wc -c <"$1"; }
tiny=$(size tiny.gguf)

# Never above the target, never larger for a smaller one; the curve falls all the way.
check 2 "a file of 1.00 kB is too small: with the smallest candidates it has " \
    quantize --target-size 1kB -o x.gguf
absent x.gguf
before=0
for target in 19000 20000 21000 23000 26000 32000 99000; do
    check 0 "the file has " quantize --group-size 0 --target-size $target -o $target.gguf
    [ "$(size $target.gguf)" -le $target ] || fail "$target: $(size $target.gguf) bytes"
    [ "$(size $target.gguf)" -ge "$before" ] || fail "$target: smaller than with less"
    before=$(size $target.gguf)
    sed -n '/^ *file, at most/,/^tensor/p' .out | awk '/MB|kB/ { print $3 }' >losses
    [ "$(wc -l <losses)" -gt 5 ] || fail "$target: a curve of $(wc -l <losses) points"
    awk 'NR > 1 && !($1 + 0 < last) { bad = 1 } { last = $1 + 0 } END { exit bad }' losses ||
        fail "$target: the curve does not fall: $(tr '\n' ' ' <losses)"
    grep -q '<- the target' .out || fail "$target: no mark in the curve"
    check 0 '"logits":[' pare-run $target.gguf --ids "2 5 6 3" --json
done
check 0 '"target_size":"20000","solver":"gptq"' pare-inspect 20000.gguf
[ "$(pare-inspect 20000.gguf | grep -cE ' (int[2-6]/|I8|F16)')" -gt 3 ] || fail "nothing was chosen"

# The same for any number of threads and any tier.
for threads in 1 2 7; do
    check 0 - quantize -q --group-size 0 --target-size 23000 -o t.gguf --threads $threads --cpu scalar
    check 0 - cmp t.gguf 23000.gguf
done

# Costs are those of the matrices as these options make them: each other's differ.
for options in "" "--passes 0" "--act-order off" "--solver weighted" \
    "--solver rtn --bias-correction"; do
    # shellcheck disable=SC2086
    check 0 "predicted loss" quantize --group-size 0 --target-size 23000 --plan $options
    sed -n '/^ *file, at most/,/^tensor/p' .out | cksum >>curves
done
[ "$(sort -u curves | wc -l)" -eq 5 ] || fail "the same costs whatever the solver: $(cat curves)"

# A ratio; other candidates; what is said of a tensor holds.
check 0 "" quantize -q --target-ratio 0.75 --candidates q4_0,q8_0,f16 -o r.gguf \
    --skip '*q.weight' --override '*ffn_up*=int8' --embeddings bf16
[ "$(size r.gguf)" -le $((tiny * 3 / 4)) ] || fail "$(size r.gguf) of $tiny bytes"
check 0 '"target_ratio":0.75,"candidates":"q4_0,q8_0,f16"' pare-inspect r.gguf
for expected in attn_q:F32 ffn_up:I8; do
    check 0 "${expected#*:}" pare-inspect r.gguf -t "blk.0.${expected%:*}.weight"
done
check 0 "BF16" pare-inspect r.gguf -t 'token_embd.weight'
pare-inspect r.gguf | grep -qE 'int[2-6]/' && fail "a format that is no candidate"
check 0 "the file has " quantize --target-ratio 0.9 --plan
grep -q "^ *without the measuring of formats, which has been done" .out ||
    fail "--plan: nothing of the measuring"

# What all candidates make the same of has their form; equal sizes are a choice too.
check 0 "" quantize -q --candidates q5_k,q6_k --target-size 99kB -o same.gguf
pare-inspect same.gguf | grep -qE 'int[2-6]/' && fail "groups where every candidate has blocks"
check 0 "" quantize -q --candidates f16,bf16 --target-size 99kB -o half.gguf
check 0 "F16" pare-inspect half.gguf -t "blk.0.ffn_up.weight"
# Factors of inputs count.
check 0 "" quantize -q --candidates int8,q4_0 --embeddings int8 --smooth 0.5 -o large.gguf \
    --target-size 99kB
for limit in $(seq $(($(size large.gguf) - 4000)) 500 $(size large.gguf)); do
    quantize -q --candidates int8,q4_0 --embeddings int8 --smooth 0.5 -o less.gguf \
        --target-size "$limit" 2>/dev/null || continue
    [ "$(size less.gguf)" -le "$limit" ] || fail "$(size less.gguf) bytes with factors, more than $limit"
done

# The smallest that is good enough: it is, and what is allowed decides how small.
{
    printf 'sentence\tlabel\n'
    for i in $(seq 60); do printf 'the w%d film was very w%d .\t%d\n' $((i % 37 + 1)) $((i * 5 % 37 + 1)) $((i % 3)); done
} >labelled.tsv
eval_kl() {
    pare-eval "$1" --baseline tiny.gguf --data labelled.tsv --no-latency --progress none -q --json - |
        sed -n 's/.*"kl":[[:space:]]*\([0-9.e-]*\).*/\1/p'
}
before=999999
for kl in 1e-5 1e-4 1e-3; do
    check 0 "good enough" quantize --max-kl $kl --max-drop-on labelled.tsv -o k.gguf
    awk -v is="$(eval_kl k.gguf)" -v most=$kl 'BEGIN { exit !(is != "" && is + 0 <= most * 1.001) }' ||
        fail "KL $(eval_kl k.gguf) instead of $kl"
    [ "$(size k.gguf)" -le "$before" ] || fail "KL $kl: $(size k.gguf) bytes, not below $before"
    before=$(size k.gguf)
    absent k.gguf.trial k.gguf.trial.partial k.gguf.partial
done
check 0 '"max_kl":0.001' pare-inspect k.gguf
check 0 "points less" quantize --max-drop 100 --max-drop-on labelled.tsv -o d.gguf
[ "$(size d.gguf)" -le "$before" ] || fail "any drop: $(size d.gguf) bytes, not below $before"
check 7 "the largest file of these candidates is not good enough already" \
    quantize --max-kl 0 --max-drop-on labelled.tsv --candidates int2,int3 -o x.gguf
absent x.gguf x.gguf.trial

# Usage.
check 2 "go with --max-drop-on FILE" quantize --max-drop 1 -o x.gguf
check 2 "there is no --plan of them" quantize --max-drop 1 --max-drop-on labelled.tsv --plan
check 2 "formats are chosen by what they cost on text: --calibration FILE is needed" \
    pare-quantize tiny.gguf --target-size 40kB -o x.gguf
check 2 "choose the scheme: --scheme and they exclude each other" \
    quantize -s int4 --target-size 40kB -o x.gguf
check 2 "exclude each other" \
    quantize --target-ratio 0.5 --target-size 40kB -o x.gguf
check 2 "runs with a --scheme" quantize --target-size 40kB --max-ram 1GB -o x.gguf
check 2 '--target-size "40 apples": expected a size like' \
    quantize --target-size "40 apples" -o x.gguf
check 2 "--candidates is for --target-size" quantize -s int4 --candidates int2,int3 -o x.gguf
check 2 "a choice needs two at least" quantize --target-size 40kB --candidates int4 -o x.gguf
check 2 'there is no scheme "int9"' quantize --target-size 40kB --candidates int4,int9 -o x.gguf
check 2 "--target-ratio 0: no file is that small" quantize --target-ratio 0 -o x.gguf
check 2 "--max-drop" quantize --max-drop -1 --max-drop-on labelled.tsv -o x.gguf
check 2 "--max-kl" quantize --max-kl -0.5 --max-drop-on labelled.tsv -o x.gguf

# What does not fit is said before anything is measured: of such a text that would not be
# possible.
early() { # PHRASE OPTION...
    phrase=$1
    shift
    check 2 "$phrase" quantize "$@"
    grep -q "calibrate" .out && fail "$phrase: after the walk"
}
early "a file of 1.00 kB is too small" --target-size 1kB -o x.gguf --progress lines
check 5 "missing.tsv" quantize --max-kl 1 --max-drop-on missing.tsv -o x.gguf --progress lines
grep -q "calibrate" .out && fail "missing data: after the walk"
printf 'sentence\tvalue\ngood\t1\n' >unlabelled.tsv
check 3 "label" quantize --max-kl 1 --max-drop-on unlabelled.tsv -o x.gguf --progress lines
grep -q "calibrate" .out && fail "data without labels: after the walk"
check 5 "no/: cannot open" quantize --target-size 40kB -o no/x.gguf --progress lines
grep -q "calibrate" .out && fail "no folder: after the walk"
echo mine >x.gguf.trial
early "x.gguf.trial: files to be measured will have this name" --max-kl 1 \
    --max-drop-on labelled.tsv -o x.gguf --progress lines
check 0 mine cat x.gguf.trial
rm x.gguf.trial

# Options of formats are each candidate's that has a use for them, and the embeddings'.
check 0 "int4/32z" quantize --target-size 99kB --candidates int8,f16 --embeddings int4 \
    --asymmetric --plan
check 0 "" quantize -q --target-size 22kB --group-size 0 --asymmetric \
    --candidates int8,int3,int4 --embeddings int4 -o g.gguf
check 0 token_embd.weight_zero pare-inspect g.gguf -t 'token_embd.*'
check 0 "" quantize -q --target-size 40kB --scale-format bf16 -o b.gguf
check 2 "--group-size and --asymmetric are for" \
    quantize --target-size 40kB --candidates int8,f16 --group-size 32 -o x.gguf
check 2 "--scale-format is for codes in groups and blocks" \
    quantize --target-size 40kB --candidates int8,f16 --scale-format bf16 -o x.gguf
# What is no candidate is not checked: rows of 48 are no groups of 32.
check 0 "" quantize -q --target-size 99kB --strict --candidates int8,f16 -o s.gguf
check 2 "" quantize -q --target-size 99kB --strict --candidates int4,f16 -o x.gguf
finish
