# pare-prune.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"

data=$PARE_TEST_DATA
edit=$PARE_BIN/../tests/edit_tensors
golden prune-help pare-prune --help
make_tiny
make_plain 60
prune() { pare-prune tiny.gguf --progress none "$@"; }
text="--calibration plain.txt"

# What it would do.
golden prune-plan prune -s 50% --override 'blk.*.ffn_up.weight=2:4' \
    --override 'blk.*.ffn_down.weight=75%/4x4' --skip '*attn_k*' -n --cpu scalar
golden prune-plan-int4 prune -s 2:4 --scheme int4 --group-size 0 --plan --json plan.json \
    --cpu scalar
grep -qF '"to":	"int4/32/2:4"' plan.json || fail "no int4/32/2:4 in plan.json"
grep -q error plan.json && fail "errors in a plan"
absent tiny.gguf.lock

# Sizes, sparsity and errors, as told and as written.
check 0 "x.gguf: 50.00 % of 7168 weights are zero, tensors 45.8 kB -> " \
    prune -s 50% -o x.gguf --json x.json
golden prune-json cat x.json
check 0 "blk.0.ffn_up.weight              F16/mask         zeros  50.00 %  error " \
    prune -s 50% -o x.gguf -v
check 0 "model       distilbert" pare-inspect x.gguf
check 0 '"tool":"pare-prune","version":"' pare-inspect x.gguf
check 0 '"options":{"sparsity":"50%","solver":"magnitude","scheme":"f16"}' pare-inspect x.gguf
check 0 "F16/mask" pare-inspect x.gguf -t 'blk.0.ffn_up*'
check 0 "outputs" prune -s 50% $text -o x.gguf --json x.json -v
for key in sparsity relative_error output_error output_error_relative damping escalations \
    dead_inputs bits_a_weight; do
    grep -qF "\"$key\":" x.json || fail "no $key in x.json"
done
check 0 '"solver":"sparsegpt","scheme":"f16","passes":2,"damping":0.01,' pare-inspect x.gguf
check 0 "$(sha256sum <plain.txt | cut -c 1-64)" pare-inspect x.gguf

# Every form, by every solver: smaller than dense, runs, and comes out the same for any
# number of threads and any tier.
pare-inspect --json tiny.gguf | grep '"tensor_bytes"' | tr -dc 0-9 >dense
for scheme in f32 f16 int8 int8g int7 int6 int5 int4 int3 int2; do
    for sparsity in 50% 2:4 75%/4x4; do
        for solver in magnitude wanda sparsegpt; do
            how="-s $sparsity --scheme $scheme --solver $solver"
            [ $solver = magnitude ] || how="$how $text"
            case $scheme in int8g | int[2-7]) how="$how --group-size 0" ;; esac
            check 0 "" prune -q $how -o one.gguf --threads 1
            check 0 "" prune -q $how -o more.gguf --threads 3 --cpu scalar
            check 0 - cmp one.gguf more.gguf
        done
        check 0 '"logits":[' pare-run one.gguf --ids "2 5 6 3" --json
        [ $scheme = f32 ] ||
            [ "$(pare-inspect --json one.gguf | grep '"tensor_bytes"' | tr -dc 0-9)" -lt \
                "$(cat dense)" ] || fail "$scheme, $sparsity: not smaller"
    done
done

# The errors of the outputs are smaller the more is known.
outputs() {
    tr -d '\t\n' <$1.json | tr '{' '\n' |
        sed -n 's/.*"output_error_relative":\([^,]*\),.*/\1/p' |
        awk '{ sum += $1 } END { print sum }'
}
check 0 - prune -q -s 50% $text -o s.gguf --json s.json
check 0 - prune -q -s 50% $text --solver wanda -o w.gguf --json w.json
check 0 - prune -q -s 50% $text --passes 0 -o p.gguf --json p.json
awk -v s="$(outputs s)" -v w="$(outputs w)" -v p="$(outputs p)" \
    'BEGIN { exit !(s > 0 && s < p && p < w) }' ||
    fail "outputs: $(outputs s), without passes $(outputs p), wanda $(outputs w)"
for other in "--correct 1" "--sequential" "--damping 0.1"; do
    check 0 - prune -q -s 50% $text $other -o o.gguf
    cmp -s o.gguf s.gguf && fail "$other changes nothing"
done

# A mask that is there already stays, in the form that is smallest; and nothing else goes.
content() { pare-inspect "$1" | grep '^content'; }
check 0 - prune -q -s 2:4 --scheme f32 -o zeros.gguf
check 0 - pare-prune -q zeros.gguf -s keep -o k.gguf
check 0 - prune -q -s 2:4 -o direct.gguf
[ "$(content k.gguf)" = "$(content direct.gguf)" ] || fail "keep makes another file"
check 0 - prune -q -s 75%/4x4 --scheme f32 -o zeros.gguf
check 0 "F16/4x4" pare-prune zeros.gguf -s keep -n
check 0 "76.6" pare-prune zeros.gguf -s keep --scheme int4 --group-size 0 $text -o k.gguf \
    --progress none
check 0 "int4/32/4x4" pare-inspect k.gguf -t 'blk.0.ffn_up*'
check 0 "50.00 % of" pare-prune direct.gguf -s keep --scheme int8 -o k.gguf --progress none
check 0 "I8/2:4" pare-inspect k.gguf -t 'blk.0.ffn_up*'
check 2 "--calibration has no use" pare-prune zeros.gguf -s keep $text -o x.gguf

# Nothing to be gained: dense.
check 0 "tensor blk.0.attn_q.weight: stored sparse it would be larger; it is stored dense, with its zeros" \
    prune -s 3% -o d.gguf
check 0 "F16 " pare-inspect d.gguf -t 'blk.0.attn_q.weight'
check 0 - prune -q -s 0% --scheme int8 -o d.gguf

# Shapes that do not fit.
check 0 "tensor blk.0.ffn_down.weight: its shape does not fit the pattern; single weights go instead" \
    prune -s 50%/1x32 -o x.gguf
check 2 "tensor blk.0.ffn_down.weight: blocks of 1x32 do not divide a matrix of 32x48" \
    prune -s 50%/1x32 --strict -o x.gguf
check 0 "tensor blk.0.ffn_down.weight: its rows do not fit the groups of the scheme; it is stored as F16" \
    prune -s 50% --scheme int4 -o x.gguf
check 2 "--strict" sh -c 'pare-prune tiny.gguf -s 50% --scheme int4 --strict -o x.gguf || { echo --strict; exit 2; }'

# One threshold, and shares by sensitivity: the whole has the share that was asked for.
share() { tr -d '\t\n' <$1.json | sed 's/.*"pruned_weights":[0-9]*,"sparsity":\([^,]*\),.*/\1/'; }
check 0 - prune -q -s 50% --spread global -o g.gguf --json g.json
check 0 - prune -q -s 50% --spread sensitivity $text -o h.gguf --json h.json
check 0 - prune -q -s 50% --spread sensitivity $text -o i.gguf --threads 3 --json i.json
check 0 - cmp h.gguf i.gguf
for run in g h; do
    awk -v s="$(share $run)" 'BEGIN { exit !(s > 0.499 && s < 0.501) }' ||
        fail "$run: $(share $run)"
    [ "$(tr -d '\t\n' <$run.json | tr '{' '\n' | sed -n 's/.*"sparsity":\([^,]*\),"rel.*/\1/p' |
        sort -u | wc -l)" -gt 2 ] || fail "$run: all the same"
done
check 0 '"spread":"global"' pare-inspect g.gguf
check 2 "--spread is for a --sparsity that is a share" prune -s 2:4 --spread global -o x.gguf
check 2 "--spread sensitivity needs text" prune -s 50% --spread sensitivity -o x.gguf
check 2 "--spread global is for --solver magnitude" prune -s 50% $text --spread global -o x.gguf

# What makes no sense.
check 2 "--sparsity is needed" prune -o x.gguf
check 2 "-o OUTPUT is needed, or --dry-run" prune -s 50%
for bad in 1.0 100% nan NaN 1e400 -0.5 50 2:2 4:2 2:64 50%/3x1 "" half; do
    check 2 "sparsity \"$bad\": expected a share like 50% or 0.5" prune -s "$bad" -o x.gguf
    check 2 "sparsity \"$bad\"" prune -s 50% --override "blk.0.*=$bad" -o x.gguf
done
check 2 'the pattern "blk.9.*" matches no matrix in the blocks' prune -s 50% --skip 'blk.9.*' -o x.gguf
check 2 'the pattern "cls.*" matches no matrix in the blocks' prune -s 50% --override 'cls.*=0.1' -o x.gguf
check 2 '--override "0.5": expected GLOB=SPARSITY' prune -s 50% --override 0.5 -o x.gguf
check 2 "--scheme q4_0: what stays of a pruned matrix is stored as f16" prune -s 50% --scheme q4_0 -o x.gguf
check 2 "--group-size is for" prune -s 50% --group-size 32 -o x.gguf
check 2 "--group-size 33" prune -s 50% --scheme int4 --group-size 33 -o x.gguf
check 2 "--solver wanda needs text: --calibration FILE" prune -s 50% --solver wanda -o x.gguf
check 2 "--solver magnitude has no use for --calibration" prune -s 50% --solver magnitude $text -o x.gguf
check 2 "--passes, --damping, --correct and --sequential are for --calibration" prune -s 50% --passes 3 -o x.gguf
check 2 "--samples and --length are for --calibration" prune -s 50% --samples 3 -o x.gguf
check 3 "its 32 inputs need as many" prune -s 50% $text --samples 20 -o x.gguf
check 0 - pare-quantize -q tiny.gguf -s int8 -o q.gguf
check 2 "tensor blk.0.attn_q.weight is I8 already: start from the container before its quantisation, or --skip it" \
    pare-prune q.gguf -s 50% -o x.gguf
check 5 "nowhere" pare-prune nowhere -s 50% -o x.gguf
check 3 "run pare-convert on it first" pare-prune tiny -s 50% -o x.gguf
absent x.gguf.partial

# Nothing that is read is written over.
rm -f x.gguf
cp tiny.gguf kept.gguf
cp plain.txt kept.txt
ln -s tiny.gguf link.gguf
check 2 "the output would replace a file of the input" prune -s 50% -o tiny.gguf
check 2 "the output would replace a file of the input" prune -s 50% -o link.gguf
check 2 "tiny.gguf" prune -s 50% -o x.gguf --json tiny.gguf
check 2 "plain.txt" prune -s 50% $text -o plain.txt
check 2 "need files of their own" prune -s 50% -o x.gguf --json x.gguf
check 0 - cmp tiny.gguf kept.gguf
check 0 - cmp plain.txt kept.txt
absent x.gguf

# Numbers that have no place in the format, and moments of too few different inputs.
mkdir odd
cp tiny/config.json tiny/vocab.txt odd
check 0 - "$edit" tiny/model.safetensors odd/model.safetensors \
    set distilbert.transformer.layer.0.ffn.lin1.weight 40 1e9
check 0 - pare-convert -q odd -o odd.gguf
check 3 "odd.gguf: tensor blk.0.ffn_up.weight: row 1 has values beyond the range of F16" \
    pare-prune odd.gguf -s 50% -o x.gguf
check 0 - pare-prune -q odd.gguf -s 50% --scheme int8 -o y.gguf
yes 'the film .' | head -60 >same.txt
check 3 "are singular" prune -s 50% --calibration same.txt --damping 0 --strict -o x.gguf
check 0 "more damping" prune -s 50% --calibration same.txt --damping 0 -o y.gguf -v
absent x.gguf x.gguf.partial

# Stopped: the same command goes on, to the same bytes.
make_plain 3000
recipe="tiny.gguf -s 50% --scheme int4 --group-size 0 --calibration plain.txt --samples 1000 --progress none"
check 0 - pare-prune -q $recipe -o whole.gguf --json whole.json
most=0
for bytes in 1 85 1500 3000 5000; do
    rm -f out.gguf out.json
    pare-prune -q $recipe -o out.gguf --json out.json &
    job=$!
    while kill -0 $job 2>/dev/null &&
        [ "$(wc -c 2>/dev/null <out.gguf.partial || echo 0)" -lt $bytes ]; do :; done
    kill -s KILL $job 2>/dev/null
    wait $job 2>/dev/null
    now=$(wc -c 2>/dev/null <out.gguf.partial || echo 0)
    if [ "$now" -gt $most ]; then
        most=$now
        cp out.gguf.partial largest
    fi
    check 0 "" pare-prune $recipe -o out.gguf --json out.json
    check 0 - cmp out.gguf whole.gguf
    check 0 - cmp out.json whole.json
    absent out.gguf.partial out.gguf.lock
done
[ $most -gt 84 ] || fail "no part was ever kept"
for bytes in $(seq 0 $((most / 16 + 1)) $most); do
    head -c $bytes largest >out.gguf.partial
    check 0 "" pare-prune $recipe -o out.gguf --json out.json
    check 0 - cmp out.gguf whole.gguf
    check 0 - cmp out.json whole.json
done
cp largest out.gguf.partial
check 0 "out.gguf.partial: going on after " pare-prune $recipe -o out.gguf --json out.json
for other in "--damping 0.02" "--override blk.0.attn_q.weight=40%" "--seed 3"; do
    cp largest out.gguf.partial
    check 0 "starts anew" pare-prune $recipe -o out.gguf --json out.json $other
done
# What another program left is not taken for its own.
cp largest out.gguf.partial
check 0 "starts anew" pare-quantize tiny.gguf -s int4 --group-size 0 --calibration plain.txt \
    --samples 1000 -o out.gguf --progress none
finish
