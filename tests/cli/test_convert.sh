# pare-convert.
. "$(dirname "$0")/lib.sh"

data=$PARE_TEST_DATA
edit=$PARE_BIN/../tests/edit_tensors
bert=$data/tiny-bert
distil=$data/tiny-distilbert

golden convert-help pare-convert --help

# A folder, a file beside its config, a file with --config: the same container.
check 0 "no tokenizer was found" pare-convert --progress none "$bert" -o a.gguf
check 0 - pare-convert -q --tokenizer none "$bert" -o a.gguf
check 0 - pare-convert -q --tokenizer none "$bert/model.safetensors" -o b.gguf
check 0 - cmp a.gguf b.gguf
cp "$bert/model.safetensors" m.safetensors
check 3 "m.safetensors: there is no config.json beside it; name it with --config" \
    pare-convert m.safetensors -o c.gguf
check 0 - pare-convert -q --tokenizer none m.safetensors --config "$bert/config.json" -o c.gguf
check 0 - cmp a.gguf c.gguf
check 0 "bert, 2 layers of 24, vocabulary 61, 3 labels; 11771 parameters, 23.5 kB" \
    pare-convert --tokenizer none --progress none "$bert" --dtype f16 -o half.gguf

# The same bytes for any number of threads and any tier.
for threads in 1 2 3 7; do
    for dtype in f32 f16 bf16; do
        check 0 - pare-convert -q --tokenizer none "$distil" -d $dtype -o $dtype-$threads.gguf \
            --threads $threads --cpu scalar
        check 0 - pare-convert -q --tokenizer none "$distil" -d $dtype -o $dtype.gguf
        check 0 - cmp $dtype-$threads.gguf $dtype.gguf
    done
done

# Compressed for transport: the same file inside, read by every program.
check 0 - pare-convert -q --tokenizer none "$bert" -o packed.gguf.gz
gzip -dc packed.gguf.gz | cmp - a.gguf || fail "packed.gguf.gz holds another file than a.gguf"
check 0 - pare-convert -q --tokenizer none "$bert" -o again.gguf.gz --threads 1
check 0 - cmp packed.gguf.gz again.gguf.gz
[ "$(pare-inspect --json packed.gguf.gz | grep '"sha256"')" = "$(pare-inspect --json a.gguf | grep '"sha256"')" ] ||
    fail "packed.gguf.gz is another model than a.gguf"
check 0 "" pare-quantize -q packed.gguf.gz -s q8_0 -o q8.gguf.gz
check 2 "the output would replace a file of the input" pare-quantize packed.gguf.gz -s q8_0 -o packed.gguf.gz
head -c 500 packed.gguf.gz >cut.gguf.gz
check 3 "cut.gguf.gz: byte 496: the gzip stream says" pare-inspect cut.gguf.gz

# A container in: another number format, and back without a loss where there was none.
check 0 - pare-convert -q --tokenizer none f16.gguf -d f32 -o wide.gguf
check 0 - pare-convert -q --tokenizer none wide.gguf -d f16 -o narrow.gguf
check 0 '"pare-convert","version"' pare-inspect narrow.gguf
[ "$(pare-inspect narrow.gguf | grep -c '"tool":"pare-convert"')" = 3 ] ||
    fail "narrow.gguf: expected three steps of history"
[ "$(pare-inspect --json f16.gguf | grep '"sha256"')" = \
    "$(pare-inspect --json narrow.gguf | grep '"sha256"')" ] ||
    fail "f16 to f32 to f16 changed the content"

# A tokenizer: found beside the model, named, refused when it does not fit.
check 0 - pare-sample -q --train 4 --dev 2 -o sample
mkdir folder
cp "$bert/config.json" "$bert/model.safetensors" folder
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' a b '##c' >folder/vocab.txt
check 0 "8 pieces for 61 rows of the embedding" pare-convert folder -o t.gguf
check 0 '"▁a", "▁b"' sh -c "pare-inspect t.gguf --json | tr -d '\n\t'"
check 0 - pare-convert -q folder/model.safetensors -o u.gguf
check 0 - cmp t.gguf u.gguf
check 0 - pare-convert -q "$bert" --tokenizer folder/vocab.txt -o u.gguf
check 0 - cmp t.gguf u.gguf
check 3 "the tokenizer has " pare-convert folder --tokenizer sample/vocab.txt -o u.gguf
check 0 - pare-convert -q t.gguf -d bf16 -o v.gguf
check 0 "tokenizer.ggml.tokens" pare-inspect v.gguf
check 0 - pare-convert -q t.gguf --tokenizer none -o w.gguf
check 0 "no_vocab" pare-inspect w.gguf
check 1 "" grep -q "tokenizer.ggml.tokens" w.gguf

# What is wrong with a checkpoint is said with names.
broken() { # phrase, edits
    phrase=$1
    shift
    "$edit" "$bert/model.safetensors" folder/model.safetensors "$@" || fail "edit $*"
    rm -f broken.gguf
    check 3 "$phrase" pare-convert -q --tokenizer none folder -o broken.gguf
    [ ! -e broken.gguf ] || fail "$*: an output was left"
}
E=bert.encoder.layer.1
broken "tensor encoder.layer.1.output.dense.bias is missing, expected [24] by the config" \
    drop $E.output.dense.bias
broken "tensor lm_head does not belong to a bert of this config; leave it out with --ignore" \
    copy classifier.bias lm_head
broken "tensor $E.intermediate.dense.weight has shape [24, 40], expected [40, 24] by the config" \
    transpose $E.intermediate.dense.weight
broken "tensor classifier.weight has shape [72], expected [3, 24]" flatten classifier.weight
broken "tensor classifier.bias is I32, expected F32, F16, BF16 or F64" type classifier.bias i32
broken "tensor classifier.weight has 2 values that are not finite, the first is element 7" \
    set classifier.weight 7 nan set classifier.weight 9 -inf
check 0 "tensor classifier.weight: 2 values that are not finite were kept" \
    pare-convert -q --tokenizer none --nonfinite keep folder -o k.gguf
check 0 "tensor classifier.weight: 2 values that are not finite were set to zero" \
    pare-convert -q --tokenizer none --nonfinite zero folder -o k.gguf
"$edit" "$bert/model.safetensors" folder/model.safetensors set classifier.weight 7 70000
check 3 "tensor classifier.weight: element 7 is 70000, beyond the range of F16; use bf16 or f32" \
    pare-convert -q --tokenizer none folder -d f16 -o k.gguf
check 0 - pare-convert -q --tokenizer none folder -d bf16 -o k.gguf

# A model with such a norm is not run.
"$edit" "$bert/model.safetensors" folder/model.safetensors \
    set bert.embeddings.LayerNorm.bias 3 nan
check 0 "" pare-convert -q --tokenizer none --nonfinite keep folder -o k.gguf
check 3 "tensor token_embd_norm.bias has 1 non-finite values, the first at 3" \
    pare-run k.gguf --ids "1 2"
check 3 "this is a safetensors checkpoint; run pare-convert on it first" \
    pare-run folder --ids "1 2"

# Heads of pretraining are left out and named; --ignore leaves out what it is told to.
"$edit" "$bert/model.safetensors" folder/model.safetensors \
    copy classifier.bias cls.predictions.bias copy classifier.bias adapter.x \
    copy classifier.bias embeddings.position_ids
check 0 "left out: cls.predictions.bias" \
    pare-convert --progress none --tokenizer none folder --ignore 'adapter.*' -o d.gguf
check 0 "left out: adapter.x" \
    pare-convert --progress none --tokenizer none folder --ignore 'adapter.*' -o d.gguf

# Architectures and settings that are not computed.
sed 's/"bert"/"roberta"/' "$bert/config.json" >folder/config.json
check 3 'folder/config.json: model_type "roberta" is not supported (bert, distilbert are)' \
    pare-convert folder -o x.gguf
sed 's/BertForSequenceClassification/BertForQuestionAnswering/' "$bert/config.json" >folder/config.json
check 3 'architecture "BertForQuestionAnswering" is not supported' pare-convert folder -o x.gguf
sed 's/"is_decoder": false/"is_decoder": true/' "$bert/config.json" >folder/config.json
check 3 '"is_decoder": true is not supported' pare-convert folder -o x.gguf
sed 's/"hidden_size": 24/"hidden_size": 25/' "$bert/config.json" >folder/config.json
check 3 'hidden size 25 is not a multiple of the 3 heads' pare-convert folder -o x.gguf
echo '{' >folder/config.json
check 3 'folder/config.json' pare-convert folder -o x.gguf
[ ! -e x.gguf ] || fail "an output was left"

# An input is never overwritten, under whatever name; a quantised model is no input.
cp a.gguf same.gguf
ln -s same.gguf link.gguf
ln same.gguf hard.gguf
for name in same.gguf ./same.gguf link.gguf hard.gguf; do
    check 2 "the output would replace a file of the input" \
        pare-convert -q --tokenizer none same.gguf -o $name
done
check 0 - cmp a.gguf same.gguf
check 0 - pare-quantize -q f32.gguf -s int8 -o int8.gguf
check 3 "tensor token_embd.weight is I8: a quantised model is not converted back" \
    pare-convert int8.gguf -o x.gguf

check 5 "nowhere" pare-convert nowhere -o x.gguf
check 5 "" pare-convert -q --tokenizer none "$bert" -o no/such/folder/x.gguf
check 2 "-o" pare-convert "$bert"
check 2 "--dtype: expected one of f32, f16, bf16" pare-convert "$bert" -d int8 -o x.gguf

# Checkpoints that others made, where they are at hand.
if [ -n "${PARE_DATA:-}" ]; then
    oracles=$PARE_DATA/models/tiny-oracles
    for name in tiny_bert tiny_distilbert tiny_distilbert_seqcls; do
        check 0 - pare-convert -q --tokenizer none "$oracles/$name.safetensors" \
            --config "$oracles/${name}_config.json" -o $name.gguf
        check 0 "model       " pare-inspect $name.gguf
    done
    check 3 'model_type "roberta" is not supported' pare-convert "$oracles/tiny_roberta.safetensors" \
        --config "$oracles/tiny_roberta_config.json" -o x.gguf
    check 3 'architecture "llama" is not supported' \
        pare-convert "$oracles/tiny_llama_f32.gguf" -o x.gguf
    check 0 - pare-convert -q "$PARE_DATA/models/tiny-random-bert-seqcls" -o bin.gguf
    check 0 "labels      LABEL_0 LABEL_1" pare-inspect bin.gguf
    check 0 - pare-convert -q "$PARE_DATA/models/distilbert-256-sst2" -o sst2.gguf
    check 0 "labels      NEGATIVE POSITIVE" pare-inspect sst2.gguf
else
    echo "PARE_DATA is not set: skipped the checkpoints there"
fi
finish
