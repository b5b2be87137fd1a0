# pare-quantize.
. "$(dirname "$0")/lib.sh"

data=$PARE_TEST_DATA
edit=$PARE_BIN/../tests/edit_tensors
golden quantize-help pare-quantize --help

cp -r "$data/tiny-distilbert" model
chmod -R u+w model
check 0 - pare-convert -q --tokenizer none model -o m.gguf
check 0 - pare-convert -q --tokenizer none "$data/tiny-bert" -o b.gguf

# What it would do.
golden quantize-plan pare-quantize m.gguf -s int8 --dry-run
golden quantize-plan-q4 pare-quantize b.gguf -s q4_0 --override 'blk.0.*=bf16' \
    --skip 'token_embd*' -n
[ ! -e m.gguf.lock ] || fail "a dry run left a lock"

# Sizes and errors, as told and as written.
check 0 "int8, tensors 45.8 kB -> 14.3 kB" \
    pare-quantize m.gguf -s int8 -o q.gguf --json q.json --progress none
golden quantize-json cat q.json
check 0 "blk.0.ffn_up.weight              I8        error   0." \
    pare-quantize m.gguf -s int8 -o q.gguf -v --progress none
check 0 "model       distilbert" pare-inspect q.gguf
check 0 "pare.scheme" pare-inspect q.gguf

# Every scheme runs, is smaller than the one before, and comes out the same for any
# number of threads and any tier.
last=99999999
for scheme in f32 bf16 f16 int8 q8_0 q4_1 q4_0 int8g int7 int6 int5 int4 int3 int2 ternary; do
    check 0 - pare-quantize -q m.gguf -s $scheme -o $scheme.gguf --embeddings q4_0 \
        --override "blk.0.ffn_down.weight=f16"
    for threads in 1 2 3 7; do
        check 0 - pare-quantize -q m.gguf -s $scheme -o again.gguf --embeddings q4_0 \
            --override "blk.0.ffn_down.weight=f16" --threads $threads --cpu scalar
        check 0 - cmp $scheme.gguf again.gguf
    done
    check 0 '"logits":[' pare-run $scheme.gguf --ids "2 5 6 3" --json
done
check 0 - pare-quantize -q m.gguf -s keep -o keep.gguf
size() { pare-inspect --json "$1" | grep '"tensor_bytes"' | tr -dc 0-9; }
[ "$(size keep.gguf)" = "$(size m.gguf)" ] || fail "keep changed the size"
for scheme in f32 f16 q8_0 q4_1 q4_0 int3 int2; do
    now=$(size $scheme.gguf)
    [ "$now" -lt "$last" ] || fail "$scheme: $now bytes, not fewer than $last"
    last=$now
done

# Codes in groups.
golden quantize-plan-int4 pare-quantize m.gguf -s int4 --embeddings int3 \
    --override 'cls.weight=int8' --skip '*attn_k*' --asymmetric -n
check 0 "rows do not fit the blocks of the scheme; it is stored as F16" \
    pare-quantize m.gguf -s int2 -o g.gguf --progress none
check 0 - pare-quantize -q m.gguf -s int4 --group-size 0 --asymmetric --strict -o z.gguf \
    --json z.json
grep -qF '"to":	"int4/48z"' z.json || fail "no int4/48z in z.json"
golden inspect-int4 pare-inspect z.gguf -t 'blk.0.ffn_*' -s --progress none
check 0 "int4/32z  8 tensors" pare-inspect z.gguf
check 0 '"group_size":0,"asymmetric":true' pare-inspect z.gguf
[ "$(pare-inspect --json z.gguf | grep -c '"parameters":	11443')" = 1 ] ||
    fail "codes are not counted as the weights they stand for"
check 0 '"logits":[' pare-run z.gguf --ids "2 5 6 3" --json
check 0 - pare-quantize -q z.gguf -s int4 --group-size 0 --asymmetric -o again.gguf
check 2 "tensor token_embd.weight is int4/32z already" \
    pare-quantize z.gguf -s int4 -o x.gguf
check 2 "tensor token_embd.weight is int4/32z already" \
    pare-quantize z.gguf -s int8 -o x.gguf
check 0 - pare-quantize -q z.gguf -s keep -o keep.gguf
check 3 "tensor token_embd.weight_codes is I8: a quantised model is not converted back" \
    pare-convert z.gguf -o x.gguf
check 2 "groups of 64 do not fit rows of 32" \
    pare-quantize m.gguf -s int4 --group-size 64 --strict -o x.gguf
for scheme in int4 int8 ternary; do
    check 2 "--group-size 33: expected a multiple of 32, or 0 for a whole row" \
        pare-quantize m.gguf -s $scheme --group-size 33 -o x.gguf
done
check 2 "--group-size and --asymmetric are for int2 to int7, int8g, int8 as the --scheme, and ternary" \
    pare-quantize m.gguf -s f16 --embeddings int8 --group-size 32 -o x.gguf

# int8 as the main scheme, with groups, is int8g; beside another scheme it stays one scale a row.
check 0 - pare-quantize -q m.gguf -s int8g --asymmetric --group-size 0 -o g.gguf
check 0 - pare-quantize -q m.gguf -s int8 --asymmetric --group-size 0 -o i.gguf --json i.json
content() { pare-inspect "$1" | grep '^content'; }
[ -n "$(content g.gguf)" ] && [ "$(content g.gguf)" = "$(content i.gguf)" ] ||
    fail "int8 in groups is not int8g"
grep -qF '"to":	"int8/48z"' i.json || fail "no int8/48z in i.json"
check 0 '"scheme":"int8","group_size":0' pare-inspect i.gguf
check 0 '"logits":[' pare-run i.gguf --ids "2 5 6 3" --json
check 0 - pare-quantize -q m.gguf -s int8 --asymmetric --embeddings int8 \
    --override 'cls.weight=int8g' --override 'blk.0.attn_q.weight=int8' \
    --skip '*ffn_down.weight' -o i.gguf --json i.json
for form in token_embd:I8 blk.0.attn_q:I8 blk.0.attn_k:int8/32z cls:int8/32z; do
    tr -d '\t\n' <i.json | grep -qE "\"${form%:*}.weight\",\"from\":\"F32\",\"to\":\"${form#*:}\"" ||
        fail "not $form"
done
check 2 "--group-size" pare-quantize m.gguf -s int4 --group-size -5 -o x.gguf

# Super-blocks of a model that is wide enough for them, with the rows of its positions
# in another format; the same for any number of threads and any tier.
cat >wide.json <<'END'
{"model_type": "distilbert", "dim": 256, "hidden_dim": 512, "n_layers": 1, "n_heads": 4,
 "vocab_size": 8, "max_position_embeddings": 16, "activation": "gelu"}
END
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' good bad a >wide.txt
printf 'sentence\tlabel\na good\t1\na bad\t0\n' >wide.tsv
check 0 "" pare-train -q --config wide.json --vocab wide.txt --train wide.tsv --epochs 1 \
    -o w.gguf
last=99999999
for scheme in q6_k q5_k q4_k q3_k q2_k tq2_0 tq1_0; do
    check 0 - pare-quantize -q w.gguf -s $scheme --strict -o $scheme.gguf --threads 1
    check 0 - pare-quantize -q w.gguf -s $scheme -o again.gguf --threads 3 --cpu scalar
    check 0 - cmp $scheme.gguf again.gguf
    check 0 '"logits":[' pare-run $scheme.gguf --ids "2 5 6 3" --json
    now=$(size $scheme.gguf)
    [ "$now" -lt "$last" ] || fail "$scheme: $now bytes, not fewer than $last"
    last=$now
done
check 0 "general.file_type                        u32      14" pare-inspect q4_k.gguf
check 0 - pare-quantize -q w.gguf -s q4_k --scale-format bf16 -o s.gguf
cmp -s s.gguf q4_k.gguf && fail "--scale-format changes nothing"
check 0 '"scale_format":"bf16"' pare-inspect s.gguf
check 0 - pare-quantize -q m.gguf -s int4 --group-size 0 -o i.gguf
check 0 - pare-quantize -q m.gguf -s int4 --group-size 0 --scale-format bf16 -o s.gguf
cmp -s s.gguf i.gguf && fail "--scale-format changes nothing in groups"
check 2 "--scale-format is for codes in groups and blocks" \
    pare-quantize -q m.gguf -s int8 --scale-format bf16 -o x.gguf
for pair in q6_k:Q8_0 q5_k:Q8_0 q4_k:Q4_1 q3_k:Q4_0 q2_k:Q4_0 tq2_0:Q4_0 tq1_0:Q4_0; do
    check 0 "tensor blk.0.attn_q.weight: its rows do not fit the blocks of the scheme; it is stored as ${pair#*:}" \
        pare-quantize -q m.gguf -s ${pair%:*} -o f.gguf
done
check 0 "it is stored as F16" pare-quantize -q b.gguf -s q4_k -o f.gguf
check 2 "rows of 32 are no multiple of the 256 that q4_k needs" \
    pare-quantize -q m.gguf -s q4_k --strict -o f.gguf

# Rows that fit no block.
check 0 "tensor blk.0.attn_q.weight: its rows do not fit the blocks of the scheme; it is stored as F16" \
    pare-quantize -q b.gguf -s q4_0 -o f.gguf
check 2 "rows of 24 are no multiple of the 32 that q4_0 needs" \
    pare-quantize -q b.gguf -s q4_0 --strict -o f.gguf
check 0 - pare-quantize -q b.gguf -s int8 --strict -o f.gguf

# What makes no sense.
check 2 "--scheme is needed" pare-quantize m.gguf -o x.gguf
check 2 "-o OUTPUT is needed, or --dry-run" pare-quantize m.gguf -s int8
check 2 "--scheme: expected one of keep, f32, f16, bf16, int8, q8_0, q4_0, q4_1, q6_k, q5_k, q4_k, q3_k, q2_k, tq2_0, tq1_0, int8g, int7, int6, int5, int4, int3, int2, ternary" \
    pare-quantize m.gguf -s int9 -o x.gguf
check 2 'the pattern "blk.9.*" matches no matrix' \
    pare-quantize m.gguf -s int8 --skip 'blk.9.*' -o x.gguf
check 2 'the pattern "*.bias" matches no matrix' \
    pare-quantize m.gguf -s int8 --override '*.bias=f16' -o x.gguf
check 2 '--override "blk.0.*=int9": there is no scheme "int9"' \
    pare-quantize m.gguf -s int8 --override 'blk.0.*=int9' -o x.gguf
check 2 '--override "int8": expected GLOB=SCHEME' \
    pare-quantize m.gguf -s int8 --override int8 -o x.gguf
check 2 "tensor token_embd.weight is I8 already: start from the container before its quantisation" \
    pare-quantize q.gguf -s q4_0 -o x.gguf
check 3 "this is a safetensors checkpoint; run pare-convert on it first" \
    pare-quantize model -s int8 -o x.gguf
check 5 "nowhere" pare-quantize nowhere -s int8 -o x.gguf
[ ! -e x.gguf ] || fail "an output was left"

# An input is never overwritten.
cp m.gguf same.gguf
ln -s same.gguf link.gguf
check 2 "the output would replace a file of the input" pare-quantize same.gguf -s int8 -o link.gguf
check 0 - cmp m.gguf same.gguf

# Numbers that have no place in the format.
"$edit" "$data/tiny-distilbert/model.safetensors" model/model.safetensors \
    set pre_classifier.weight 40 nan
check 0 "" pare-convert -q --tokenizer none --nonfinite keep model -o n.gguf
check 3 "n.gguf: tensor cls.weight: row 1, column 8 is not finite" \
    pare-quantize n.gguf -s int8 -o x.gguf
"$edit" "$data/tiny-distilbert/model.safetensors" model/model.safetensors \
    set pre_classifier.weight 40 1e9
check 0 - pare-convert -q --tokenizer none model -o n.gguf
check 3 "n.gguf: tensor cls.weight: row 1 has values beyond the range of Q8_0" \
    pare-quantize n.gguf -s q8_0 -o x.gguf
check 3 "n.gguf: tensor cls.weight: row 1 has values beyond the range of a half-precision scale" \
    pare-quantize n.gguf -s int4 -o x.gguf
check 0 - pare-quantize -q n.gguf -s int8 -o y.gguf
[ ! -e x.gguf ] || fail "an output was left"

# The pretrained MiniLM: a quarter of its size.
if [ -n "${PARE_MINILM:-}" ]; then
    check 0 - pare-convert -q "$PARE_MINILM" -o minilm.gguf
    check 0 - pare-quantize -q minilm.gguf -s int8 -o minilm-int8.gguf
    before=$(wc -c <"$PARE_MINILM/model.safetensors")
    after=$(wc -c <minilm-int8.gguf)
    [ $((after * 100)) -le $((before * 27)) ] || fail "MiniLM: $after of $before bytes"
    echo "MiniLM as int8: $after of $before bytes"
else
    echo "PARE_MINILM is not set: skipped the pretrained MiniLM"
fi
finish
