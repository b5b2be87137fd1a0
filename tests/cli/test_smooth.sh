# pare-quantize: factors and ranges of inputs, and corrected biases.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"

make_tiny
make_plain 60
quantize() { pare-quantize tiny.gguf -q --calibration plain.txt "$@"; }
tensors() { pare-inspect "$1" | grep -oE "[a-z0-9_.]+\.$2"; }
logits() { pare-run "$1" --ids "2 6 7 10 12 25 31 13 25 19 3" --json | sed 's/.*"logits":\[\([^]]*\)\].*/\1/'; }
# difference A B: the largest of the logits.
difference() {
    printf '%s\n%s\n' "$(logits "$1")" "$(logits "$2")" | awk -F, '
        NR == 1 { for (i = 1; i <= NF; i++) a[i] = $i }
        NR == 2 { for (i = 1; i <= NF; i++) { d = $i - a[i]; d = d < 0 ? -d : d
                                              if (!(d <= worst)) worst = d } }
        END { print NR == 2 ? worst : "nan" }'
}
# near FILE LIKE: FILE is no further from the original than eight times what LIKE is, which
# was made in the same way without factors, or by rounding; factors in the wrong place are.
near() {
    d=$(difference tiny.gguf "$1") like=$(difference tiny.gguf "$2")
    checks=$((checks + 1))
    awk -v d="$d" -v like="$like" 'BEGIN { exit !(d > 0 && d <= 8 * like) }' ||
        fail "$3: logits differ by $d, those of the yardstick by $like"
}

# SmoothQuant with a fixed exponent: a vector for each place whose inputs have nothing that
# factors can be folded into, as the attention's output and, behind a ReLU, ffn_down have;
# the model stays what it was.
check 0 - quantize -s int8 --smooth 0.5 -o s.gguf --json s.json
[ "$(tensors s.gguf input_scale | tr '\n' ' ')" = \
    "blk.0.attn_qkv.input_scale blk.0.ffn_up.input_scale cls.input_scale " ] ||
    fail "s.gguf has other factors: $(tensors s.gguf input_scale)"
check 0 - quantize -s int8 -o plain.gguf
near s.gguf plain.gguf s
check 0 '"smooth":"0.5"' pare-inspect s.gguf
[ "$(grep -c '"smooth":	"smoothquant"' s.json)" -eq 7 ] || fail "not all matrices have factors"
[ "$(grep -c '"smooth_folded":	true' s.json)" -eq 2 ] || fail "not just two are folded"
parameters() { pare-inspect "$1" --json | tr -d ' \t\n' | grep -oE '"parameters":[0-9]+' | tail -1; }
[ "$(parameters s.gguf)" = "$(parameters tiny.gguf)" ] || fail "factors count as parameters"

# Factors for other formats, which run in other ways.
for options in "-s int4 --group-size 0" "-s q8_0 --override *ffn_down.weight=int8" \
    "-s int8 --solver rtn --bias-correction" "-s int5 --group-size 0 --correct 1" \
    "-s int4 --asymmetric --group-size 0 --sequential" \
    "-s q4_1 --override *ffn_down.weight=int8 --override blk.0.attn_v*=int8"; do
    # shellcheck disable=SC2086
    check 0 - quantize $options -o g.gguf
    for how in auto awq smoothquant 0.5; do
        # shellcheck disable=SC2086
        check 0 - quantize $options --smooth $how -o f.gguf
        near f.gguf g.gguf "$options --smooth $how"
    done
done

# What is measured is never worse than without.
check 0 - quantize -s int4 --group-size 0 --smooth auto -o a.gguf --json a.json
tr -d '\t\n' <a.json | tr '{' '\n' |
    sed -n 's/.*"smooth_error":\([^,]*\),"smooth_error_without":\([^,}]*\).*/\1 \2/p' >errors
[ -s errors ] || fail "no factors were found to be of use"
awk '!($1 + 0 < $2 + 0) { bad = 1 } END { exit bad }' errors || fail "factors did worse"

# A layer that is left as it is has no factors, nor have those that share its inputs.
check 0 "warning: tensor blk.0.attn_q.weight: its inputs get no factors: blk.0.attn_k.weight \
reads them too, and is left as it is" \
    quantize -s int8 --smooth 0.5 --skip blk.0.attn_k.weight -o k.gguf
[ "$(grep -c warning .out)" = 1 ] || fail "more than one warning of a site: $(cat .out)"
check 0 "attn_q.weight: its inputs get neither factors nor a static range: blk.0.attn_v.weight" \
    quantize -s int8 --activations static --skip blk.0.attn_v.weight -o x.gguf
check 0 "attn_q.weight: its inputs get no static range: blk.0.attn_k.weight reads them too, \
and becomes another format" \
    quantize -s int8 --activations static --override 'blk.0.attn_k*=int4' -o x.gguf
[ "$(grep -c warning .out)" = 1 ] || fail "more than one warning of a site: $(cat .out)"
rm x.gguf
tensors k.gguf input_scale | grep -q attn_qkv && fail "factors of a layer that was skipped"
near k.gguf plain.gguf k
# Without a value layer that takes them, the factors of the attention's output are stored.
check 0 "its inputs get no factors" \
    quantize -s int8 --smooth 0.5 --skip blk.0.attn_v.weight -o v.gguf
check 0 "blk.0.attn_output.input_scale" tensors v.gguf input_scale
near v.gguf plain.gguf v

# Static ranges, by every observer; only where inputs are quantised a token at a time.
for observer in minmax percentile mse entropy; do
    check 0 - quantize -s int8 --activations static --observer $observer --smooth off -o r.gguf
    tensors r.gguf input_scale | grep -q . && fail "$observer: factors"
    [ "$(tensors r.gguf input_range | wc -l)" -eq 5 ] || fail "not five ranges"
    quantize -s int8 --activations static --observer $observer --smooth off --solver rtn -o n.gguf
    near r.gguf n.gguf $observer
    check 0 "\"observer\":\"$observer\"" pare-inspect r.gguf
done
check 0 - quantize -s int8 --activations static --smooth auto --override 'blk.0.ffn_up*=int4' \
    -o r.gguf
tensors r.gguf input_range | grep -q ffn_up && fail "a range for codes in groups"
[ "$(tensors r.gguf input_range | wc -l)" -eq 4 ] || fail "not four ranges"

# Static ranges are smoothed unless told otherwise.
check 0 - quantize -s int8 --activations static -o r.gguf
check 0 '"smooth":"auto","observer":"mse"' pare-inspect r.gguf

# With less memory, the same.
check 0 - quantize -s int8 --activations static --bias-correction -o r.gguf
check 0 - quantize -s int8 --activations static --bias-correction --max-ram 30MB -o ram.gguf
check 0 - cmp r.gguf ram.gguf

# Biases that make up for the means; of a layer that is not quantised they stay.
check 0 - quantize -s int2 --group-size 0 --solver rtn --bias-correction -o b.gguf
check 0 - pare-quantize tiny.gguf -q -s int2 --group-size 0 -o w.gguf
cmp -s b.gguf w.gguf && fail "no bias was corrected"
bias() { pare-inspect -q "$1" --stats -t "$2" | grep -F "$2"; }
[ "$(bias b.gguf blk.0.ffn_up.bias)" != "$(bias tiny.gguf blk.0.ffn_up.bias)" ] ||
    fail "the bias of ffn_up is as it was"
[ "$(bias b.gguf cls.output.bias)" = "$(bias tiny.gguf cls.output.bias)" ] ||
    fail "the bias of cls.output is another"

# The same bytes for any number of threads and any tier.
for options in "-s int8 --smooth auto --activations static" \
    "-s int4 --group-size 0 --smooth auto --bias-correction"; do
    # shellcheck disable=SC2086
    {
        check 0 - quantize $options --threads 1 -o one.gguf
        check 0 - quantize $options --threads 3 --cpu scalar -o more.gguf
    }
    check 0 - cmp one.gguf more.gguf
    logits one.gguf >one
    for tier in scalar avx2; do
        pare-run one.gguf --cpu $tier --ids 2 >/dev/null 2>&1 || continue
        pare-run one.gguf --cpu $tier --ids "2 6 7 10 12 25 31 13 25 19 3" --json |
            sed 's/.*"logits":\[\([^]]*\)\].*/\1/' | cmp -s - one || fail "$tier: other logits"
    done
done

# What a container says of inputs goes along when the rest is quantised.
check 0 - quantize -s int8 --smooth 0.5 --activations static --skip '*embd*' -o half.gguf
check 0 - pare-quantize half.gguf -q -s int8 --skip 'blk.*' --skip cls.weight -o whole.gguf
for what in input_scale input_range; do
    [ "$(tensors whole.gguf $what)" = "$(tensors half.gguf $what)" ] || fail "$what is lost"
done
near whole.gguf plain.gguf whole
check 3 "a quantised model is not converted back" pare-convert half.gguf -o x.gguf

# Options that make no sense.
check 2 '--smooth "much": expected off, auto, smoothquant, awq or a number from 0 to 1' \
    quantize -s int8 --smooth much -o x.gguf
check 2 'expected off, auto' quantize -s int8 --smooth 1.5 -o x.gguf
check 2 'expected off, auto' quantize -s int8 --smooth nan -o x.gguf
check 2 "--smooth, --activations static and --bias-correction need text: --calibration FILE" \
    pare-quantize tiny.gguf -s int8 --smooth auto -o x.gguf
check 2 "--observer is for --activations static" quantize -s int8 --observer minmax -o x.gguf
check 2 "--observer is for --activations static" quantize -s int8 --observer mse -o x.gguf
check 2 "--solver rtn has no use for --calibration" \
    quantize -s int8 --solver rtn --smooth off -o x.gguf
check 0 "of it the survey of inputs, before the rest: " quantize -s int8 --smooth auto --plan
absent x.gguf
check 2 "there are none" quantize -s int4 --activations static -o x.gguf --progress lines
grep -q "calibrate" .out && fail "no int8 matrix: after the walk"
check 2 "there are none" quantize -s int4 --activations static --plan
check 2 "there are none" quantize --target-size 99kB --candidates int4,f16 \
    --activations static -o x.gguf --progress lines
grep -q "calibrate" .out && fail "no int8 candidate: after the walk"
absent x.gguf
finish
