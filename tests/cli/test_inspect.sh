# pare-inspect.
. "$(dirname "$0")/lib.sh"

data=$PARE_TEST_DATA
edit=$PARE_BIN/../tests/edit_tensors
golden inspect-help pare-inspect --help

# One model in every state, from inside its folder so that the path is the same everywhere.
cp -r "$data/tiny-distilbert" model
chmod -R u+w model
golden inspect-safetensors pare-inspect model --stats --progress none
check 0 - pare-convert -q --tokenizer none model -o m.gguf
golden inspect-container pare-inspect m.gguf
golden inspect-json pare-inspect m.gguf --json --stats --tensors 'cls.*' --progress none
check 0 - pare-quantize -q m.gguf -s int8 -o q.gguf
golden inspect-int8 pare-inspect q.gguf -t 'blk.0.ffn_*' -s --progress none
check 0 "bits_per_weight" pare-inspect q.gguf --json
golden inspect-matrices pare-inspect q.gguf -t 'blk.0.*weight' --matrices

# In memory, and inside gzip: what pare-eval says of both, and what the file has.
check 0 - pare-quantize -q m.gguf -s int8 -o q.gguf.gz
pare-eval -q q.gguf --no-latency --download --json eval.json || fail "pare-eval"
pare-inspect q.gguf --memory --download --json >sizes.json 2>/dev/null
for key in memory_bytes download_bytes; do
    [ "$(grep "^	\"$key\"" sizes.json)" = "$(grep "^	\"$key\"" eval.json)" ] ||
        fail "pare-inspect and pare-eval differ in $key"
done
check 0 "download    $(awk '{ printf "%.1f", $1 / 1000 }' <<END
$(wc -c <q.gguf.gz)
END
) kB" pare-inspect q.gguf.gz --download
check 0 "of weights, running here" pare-inspect q.gguf.gz --memory
check 3 "this is a safetensors checkpoint" pare-inspect model --memory
check 0 "download " pare-inspect "$data/torch_views.pt" --download

# JSON that a strict reader takes, whatever the file says.
if command -v python3 >/dev/null; then
    for file in model m.gguf q.gguf "$data/torch_views.pt"; do
        check 0 - sh -c 'pare-inspect "$1" --json -s --progress none |
            python3 -c "import json, sys; json.load(sys.stdin)"' sh "$file"
    done
fi

# A file that no program here runs is shown all the same, with the reason.
check 0 "torch, " pare-inspect "$data/torch_views.pt"
check 0 "not one that these programs run: " pare-inspect "$data/torch_views.pt"
check 0 '"model":	null' pare-inspect --json "$data/torch_views.pt"
"$edit" model/model.safetensors broken.safetensors set classifier.bias 1 nan
check 0 "non-finite" pare-inspect broken.safetensors -s
[ "$(pare-inspect broken.safetensors -s --progress none -t classifier.bias |
    awk '$1 == "classifier.bias" { print $NF }')" = 1 ] || fail "one non-finite element"

check 2 'no tensor matches "nothing*"' pare-inspect m.gguf -t 'nothing*'
check 5 "nowhere" pare-inspect nowhere
check 3 "not a checkpoint in a known format" pare-inspect "$PARE_CLI/lib.sh"
check 2 "INPUT" pare-inspect
: >empty.gguf
check 3 "empty.gguf" pare-inspect empty.gguf

if [ -n "${PARE_DATA:-}" ]; then
    for file in "$PARE_DATA"/models/*/*.gguf "$PARE_DATA"/models/tiny-oracles/*.safetensors \
        "$PARE_DATA"/models/tiny-oracles/*.bin "$PARE_DATA"/tokenizers/ggml-vocab/*.gguf; do
        case $file in
        *-of-*) check 0 "format " pare-inspect "$file" --progress none -s ;;
        */tiny_kquant.gguf) check 0 "Q4_K " pare-inspect "$file" ;;
        *) check 0 "content     sha256 " pare-inspect "$file" -s --progress none ;;
        esac
    done
else
    echo "PARE_DATA is not set: skipped the files there"
fi
finish
