#!/bin/sh
# bits_table.sh BIN MODEL.gguf TRAIN.tsv DEV.tsv WORK: a Markdown table of a model in 8 to 2
# bits, rounded, by GPTQ, and by what measured best, with sizes, agreement and KL.
#
# What is in the folder WORK already is not made again.
set -eu
bin=$1 model=$2 train=$3 dev=$4 work=$5
mkdir -p "$work"

# number KEY FILE: the first value of that key.
number() {
    tr -d ' \t\n' <"$2" | grep -oE "\"$1\":[-+0-9.e]+" | head -1 | cut -d : -f 2
}

# cells NAME OPTIONS...: of one container.
cells() {
    name=$work/$1
    shift
    if [ ! -e "$name.json" ]; then
        "$bin/pare-quantize" -q "$model" -o "$name.gguf" --embeddings int8 "$@"
        "$bin/pare-eval" -q "$name.gguf" --baseline "$model" --data "$dev" --no-latency \
            --json "$name.new" >/dev/null
        mv "$name.new" "$name.json"
        rm "$name.gguf"
    fi
    awk -v size="$(number size_bytes "$name.json")" -v right="$(number accuracy "$name.json")" \
        -v same="$(number agreement "$name.json")" -v kl="$(number kl "$name.json")" 'BEGIN {
            printf " %.2f MB | %.2f %% | %.2f %% | %.1e |", size / 1e6, 100 * right, 100 * same, kl }'
}

echo "| format | RTN: bytes | accuracy | agreement | KL | GPTQ: bytes | accuracy | agreement | KL | best: bytes | accuracy | agreement | KL |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
for bits in 8 8g 7 6 5 4 3 2; do
    format="int${bits%g} g128" options="-s int$bits --group-size 128" best=""
    if [ $bits = 8 ]; then
        format="int8 (a scale a row)" options="-s int8" best="--smooth auto"
    fi
    printf '| %s |' "$format"
    # shellcheck disable=SC2086
    {
        cells "rtn$bits" $options
        cells "gptq$bits" $options --calibration "$train" --correct 0 --passes 0
        cells "best$bits" $options --calibration "$train" $best
    }
    echo
done
