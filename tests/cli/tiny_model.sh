# Sourced by tests that need a classifier with a tokenizer: makes the folder tiny (the
# committed DistilBERT with random weights, 3 labels, at most 24 tokens, and a vocabulary
# for it) and tiny.gguf of it.
make_tiny() {
    mkdir tiny
    cp "$PARE_TEST_DATA/tiny-distilbert/config.json" \
        "$PARE_TEST_DATA/tiny-distilbert/model.safetensors" tiny
    {
        printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' a the film plot is was not \
            very good bad dull bright funny sad . , ! '##s' '##ly'
        seq 1 37 | sed 's/^/w/'
    } >tiny/vocab.txt
    pare-convert -q tiny -o tiny.gguf || fail "pare-convert tiny"
}

# make_plain N: plain.txt, N lines of its words without labels, for calibration.
make_plain() {
    for i in $(seq "$1"); do
        printf 'the film was very w%d w%d good w%d .\n' $((i % 37 + 1)) $((i * 7 % 37 + 1)) \
            $((i * i % 37 + 1))
    done >plain.txt
}

# overwrite FOLDER TENSOR: all of the tensor's elements become the largest F32.
overwrite() {
    file=$1/model.safetensors
    header=$(od -An -tu8 -N8 "$file" | tr -d ' ')
    offsets=$(dd if="$file" bs=1 skip=8 count="$header" 2>/dev/null |
        sed "s/.*\"$2\":{[^}]*\"data_offsets\":\[\([0-9]*\),\([0-9]*\)\].*/\1 \2/")
    awk -v n=$((${offsets#* } - ${offsets% *})) 'BEGIN {
        for (i = 0; i < n / 4; i++) printf "\\377\\377\\177\\177" }' >bytes
    printf "$(cat bytes)" |
        dd of="$file" bs=1 seek=$((8 + header + ${offsets% *})) conv=notrunc 2>/dev/null
}
