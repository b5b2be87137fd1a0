# pare-quantize with a calibration text.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"

make_tiny
make_plain 60
{
    printf 'sentence\tlabel\n'
    sed 's/$/\t1/' plain.txt
} >labelled.tsv
sed 's/.*/{"text": "&"}/' plain.txt >lines.jsonl
quantize() { pare-quantize tiny.gguf --progress none "$@"; }

# The plan: what it takes, but for the time, which is the machine's.
# Threads and kernels have memory of their own.
plan() {
    quantize -s int4 --calibration plain.txt --plan --threads 2 --cpu scalar |
        sed 's/time: about .* s$/time: about - s/'
}
golden quantize-plan-calibrated plan
check 0 "time: about " quantize -s int4 --calibration plain.txt --dry-run
absent tiny.gguf.lock
# Passes over the codes take time: a hundred of them more than all the rest.
seconds() {
    quantize -q -s int4 --group-size 0 --calibration plain.txt --plan --json plan.json "$@" >/dev/null
    sed -n 's/.*"seconds":[[:space:]]*\([0-9.e-]*\).*/\1/p' plan.json
}
awk -v none="$(seconds --passes 0)" -v many="$(seconds --passes 100)" \
    'BEGIN { exit !(none > 0 && many > 2 * none) }' || fail "100 passes take no time"
check 2 "--passes" quantize -s int4 --calibration plain.txt --passes 101 -o x.gguf

# What is told and written.
check 0 "plain.txt: 60 of 60 sentences, 660 tokens" \
    quantize -s int4 --group-size 0 --calibration plain.txt -o g.gguf --json g.json -v
grep -qE '^pare-quantize: blk.0.ffn_up.weight +int4/32 +error +[0-9.]+ %  outputs 0\.' .out ||
    fail "no line for blk.0.ffn_up.weight"
for key in output_error output_error_rtn damping escalations dead_inputs; do
    grep -qF "\"$key\":" g.json || fail "no $key in g.json"
done
# Every matrix that was solved for has a smaller output error than by rounding.
tr -d '\t\n' <g.json | tr '{' '\n' | grep output_error >solved
[ "$(wc -l <solved)" -eq 7 ] || fail "$(wc -l <solved) matrices were solved for, not 7"
sed 's/.*"output_error":\([^,]*\),"output_error_rtn":\([^,]*\),.*/\1 \2/' solved |
    awk '!($1 + 0 < $2 + 0) { bad = 1 } END { exit bad }' || fail "rounding did better"
check 0 '"solver":"gptq","act_order":"auto","passes":1,"damping":0.01,"correct":0.25,"calibration_sha256":"' \
    pare-inspect g.gguf
check 0 '"samples":60,"tokens":660,"seed":"0"' pare-inspect g.gguf
check 0 "$(sha256sum <plain.txt | cut -c 1-64)" pare-inspect g.gguf
check 0 '"logits":[' pare-run g.gguf --ids "2 5 6 3" --json

# The same text in another form is the same; another draw is not.
for text in labelled.tsv lines.jsonl; do
    check 0 - quantize -q -s int4 --calibration $text -o t.gguf --json t.json \
        --group-size 0
    sed 's/"calibration_sha256":.*//' t.json | diff - g.json |
        grep -q relative_error && fail "$text: other weights"
done
check 0 - quantize -q -s int8 --calibration plain.txt --samples 50 --seed 3 -o s.gguf
check 0 '"samples":50,' pare-inspect s.gguf
check 0 '"seed":"3"' pare-inspect s.gguf
check 0 - quantize -q -s int4 --group-size 0 --calibration plain.txt --correct 1 -o c.gguf
cmp -s c.gguf g.gguf && fail "--correct changes nothing"
check 0 '"damping":0.01,"correct":1,' pare-inspect c.gguf
check 0 - quantize -q -s int8 --calibration plain.txt --length 9 -o l.gguf
check 0 '"samples":60,"length":9,"tokens":540' pare-inspect l.gguf

# Every format a solver fills, the same for any number of threads and any tier; and a
# matrix that no solver is for is rounded.
for scheme in int8 q8_0 q4_1 q4_0 int8g int7 int6 int5 int4 int3 int2 ternary; do
    for options in "--act-order off --correct 0" "--act-order groups --sequential" ""; do
        check 0 - quantize -q -s $scheme --calibration plain.txt -o one.gguf $options \
            --override 'blk.0.ffn_down*=bf16' --embeddings q8_0 --threads 1
        for threads in 2 3 7; do
            check 0 - quantize -q -s $scheme --calibration plain.txt -o more.gguf \
                $options --override 'blk.0.ffn_down*=bf16' --embeddings q8_0 \
                --threads $threads --cpu scalar
            check 0 - cmp one.gguf more.gguf
        done
    done
    check 0 '"logits":[' pare-run one.gguf --ids "2 5 6 3" --json
done
check 0 - quantize -q -s int4 --asymmetric --group-size 0 --calibration plain.txt -o z.gguf
check 0 "int4/48z" pare-inspect z.gguf -t 'blk.0.ffn_down*'

# Weighted rounding: its own grids, smaller errors of outputs than by rounding in all.
for scheme in q4_0 int4 int3; do
    weighted="-s $scheme --solver weighted --calibration plain.txt"
    check 0 - quantize -q $weighted --override blk.0.ffn_down.weight=int8 \
        -o w.gguf --json w.json --threads 1
    check 0 - quantize -q $weighted --override blk.0.ffn_down.weight=int8 \
        -o more.gguf --threads 3 --cpu scalar
    check 0 - cmp w.gguf more.gguf
    tr -d '\t\n' <w.json | tr '{' '\n' | grep output_error |
        sed 's/.*"output_error":\([^,]*\),"output_error_rtn":\([^,]*\),.*/\1 \2/' |
        awk '{ a += $1; b += $2 } END { exit !(NR == 7 && a < b) }' ||
        fail "$scheme: rounding did better than with weights"
done
check 0 '"solver":"weighted","calibration_sha256":"' pare-inspect w.gguf

# Embeddings are rounded, in 3 bits on grids that fit better than those of their ranges.
check 0 - quantize -q -s int3 --group-size 0 --calibration plain.txt -o e.gguf --json e.json
check 0 - pare-quantize tiny.gguf -q -s int3 --group-size 0 -o r.gguf --json r.json
error_of() {
    tr -d '\t\n' <"$1" | tr '{' '\n' |
        sed -n "s/^\"name\":\"$2\".*\"relative_error\":\([^,]*\),.*/\1/p"
}
for name in token_embd.weight position_embd.weight; do
    awk -v a="$(error_of e.json $name)" -v b="$(error_of r.json $name)" \
        'BEGIN { exit !(a > 0 && a < 0.99 * b) }' ||
        fail "$name: $(error_of e.json $name), by its range $(error_of r.json $name)"
done

# What is left as it is, is.
check 0 - quantize -q -s int4 --calibration plain.txt --skip '*ffn*' -o k.gguf
check 0 "F32" pare-inspect k.gguf -t 'blk.0.ffn_up.weight'

# Too little text, for tokens and for first tokens.
head -2 plain.txt >two.txt
check 3 "tensor blk.0.attn_k.weight sees 22 rows of the calibration text (all tokens), its 32 inputs need as many; give more text or --samples, or --skip the tensor" \
    quantize -s int4 --calibration two.txt -o x.gguf
check 3 "tensor blk.0.attn_q.weight sees 20 rows of the calibration text (the first token of each sentence), its 32 inputs need as many" \
    quantize -s int4 --calibration plain.txt --samples 20 -o x.gguf
check 3 "need as many" quantize -s int4 --calibration plain.txt --samples 20 --plan
check 0 - quantize -q -s int4 --calibration plain.txt --samples 20 -o y.gguf \
    --skip 'blk.0.*q.weight' --skip '*output*' --skip '*ffn*' --skip cls.weight --group-size 0
check 2 "plain.txt has 60 sentences, fewer than the 61 of --samples" \
    quantize -s int4 --calibration plain.txt --samples 61 -o x.gguf

# Moments of too few different inputs: counted, or an error.
yes 'the film .' | head -60 >same.txt
check 0 - quantize -q -s int8 --calibration same.txt -o y.gguf --json y.json
grep -qF '"escalations":	0' y.json || fail "no escalations in y.json"
check 0 "more damping" quantize -s int8 --calibration same.txt --damping 0 -o y.gguf \
    --json y.json -v
grep -qE '"escalations":	[1-9]' y.json || fail "damping 0 was enough"
check 3 "tensor blk.0.attn_k.weight: the second moments of the inputs are singular: damping had to be raised to 0.01; give more calibration samples" \
    quantize -s int8 --calibration same.txt --damping 0 --strict -o x.gguf

# A layer sees what the written codes before it compute: the same in two steps.
content() { pare-inspect "$1" | grep '^content'; }
check 0 - quantize -q -s int3 --group-size 0 --calibration plain.txt --correct 0 -o once.gguf
check 0 - quantize -q -s int3 --group-size 0 --calibration plain.txt --correct 0 -o half.gguf \
    --skip cls.weight
check 0 - pare-quantize -q half.gguf -s int3 --group-size 0 --calibration plain.txt --correct 0 \
    -o twice.gguf --skip 'blk.*' --skip '*embd*'
[ "$(content once.gguf)" = "$(content twice.gguf)" ] || fail "two steps make another file"

# Options without a use.
check 2 "--solver gptq needs text: --calibration FILE" quantize -s int4 --solver gptq -o x.gguf
check 2 "--solver weighted needs text: --calibration FILE" \
    quantize -s int4 --solver weighted -o x.gguf
check 2 "--act-order, --passes, --damping, --correct and --sequential are for --solver gptq" \
    quantize -s int4 --solver weighted --correct 1 --calibration plain.txt -o x.gguf
check 2 "--solver rtn has no use for --calibration" \
    quantize -s int4 --solver rtn --calibration plain.txt -o x.gguf
check 2 "--act-order, --passes, --damping, --correct and --sequential are for --solver gptq" \
    quantize -s int4 --sequential -o x.gguf
check 2 "--act-order, --passes, --damping, --correct and --sequential are for --solver gptq" \
    quantize -s int4 --damping 0.1 -o x.gguf
check 2 "--samples and --length are for --calibration" quantize -s int4 --samples 9 -o x.gguf
check 2 "--calibration has no use" quantize -s f16 --calibration plain.txt -o x.gguf
check 5 "nowhere" quantize -s int4 --calibration nowhere -o x.gguf
check 0 - pare-convert -q --tokenizer none tiny -o bare.gguf
check 2 "no tokenizer for the calibration text; convert it with its vocabulary" \
    pare-quantize bare.gguf -s int4 --calibration plain.txt -o x.gguf
absent x.gguf
# Nothing that is read is written over, and the report has a file of its own.
cp tiny.gguf kept.gguf
cp plain.txt kept.txt
check 2 "tiny.gguf" pare-quantize tiny.gguf -s int8 -o o.gguf --json tiny.gguf
check 2 "plain.txt" pare-quantize tiny.gguf -s int8 --calibration plain.txt -o plain.txt
check 2 "plain.txt" pare-quantize tiny.gguf -s int8 --calibration plain.txt -o o.gguf --json plain.txt
check 2 "need files of their own" pare-quantize tiny.gguf -s int8 -o o.gguf --json o.gguf
check 2 "need files of their own" pare-quantize tiny.gguf -s int8 -o o.gguf --json ./o.gguf
check 0 - cmp tiny.gguf kept.gguf
check 0 - cmp plain.txt kept.txt
absent o.gguf
# A plan as JSON: sizes and needs, no errors.
check 0 "memory: about " quantize -s int4 --calibration plain.txt --plan --json plan.json
for key in plan memory memory_solver disk seconds bytes; do
    grep -qF "\"$key\":" plan.json || fail "no $key in plan.json"
done
grep -q error plan.json && fail "errors in a plan"
check 0 "bits a weight" pare-quantize tiny.gguf -s int4 -n --json plan.json
grep -qF '"to":	"int4/32"' plan.json || fail "no int4/32 in plan.json"
grep -q '"plan"\|error' plan.json && fail "needs or errors in a plan without text"
finish
