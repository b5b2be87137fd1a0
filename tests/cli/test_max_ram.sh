# pare-quantize --max-ram: obeyed or refused, and the same bytes.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"

make_tiny
make_plain 400
quantize() { pare-quantize tiny.gguf --progress none "$@"; }
# "memory: about 27.1 MB (" and what is done for it.
plan() { quantize -q -s int4 --group-size 0 --calibration plain.txt --plan "$@"; }

check 0 "memory: about " plan
quantize -q -s int4 --group-size 0 --calibration plain.txt -o plain.gguf
every=
for options in "" "--sequential" "--correct 0 --act-order groups"; do
    # Less and less, until it is refused.
    seen=
    # shellcheck disable=SC2086
    check 0 - quantize -q -s int4 --group-size 0 --calibration plain.txt -o plain.gguf $options
    # shellcheck disable=SC2086
    most=$(plan $options | sed -n 's/^memory: about \([0-9]*\)\.\([0-9]\) MB.*/\1\200/p')
    for kb in $(seq $((most + 100)) -50 $((most - 4000))); do
        # shellcheck disable=SC2086
        plan $options --max-ram ${kb}kB >plan.txt 2>refused.txt || break
        how=$(sed -n 's/^ *to fit: //p' plan.txt)
        case "$seen" in *"[$how]"*) continue ;; esac
        seen="$seen[$how]"
        # shellcheck disable=SC2086
        check 0 - quantize -q -s int4 --group-size 0 --calibration plain.txt -o less.gguf \
            $options --max-ram ${kb}kB
        check 0 - cmp less.gguf plain.gguf
    done
    case "$seen" in
    "[]"*"hidden states in a file"*) ;;
    *) fail "$options: only $seen was seen" ;;
    esac
    every=$every$seen
    grep -q "this takes .* at least" refused.txt || fail "$options: $(cat refused.txt)"
done
case "$every" in *"a pass over the text for each layer"*) ;; *) fail "never a pass for each layer" ;; esac

# Moments that are large beside the rest, in bands.
sed 's/"hidden_dim": [0-9]*/"hidden_dim": 1024/; s/"n_layers": [0-9]*/"n_layers": 2/' \
    tiny/config.json >wide.json
printf 'sentence\tlabel\nvery good\t0\nvery bad\t1\n' >two.tsv
check 0 - pare-train -q --progress none --config wide.json --vocab tiny/vocab.txt \
    --train two.tsv --epochs 1 --lr 1e-4 -o wide.gguf
wide() {
    pare-quantize wide.gguf --progress none -q -s int4 --calibration plain.txt \
        --override 'blk.1.*=f16' --skip 'cls.*' "$@"
}
check 0 - wide -o plain.gguf
most=$(wide --plan | sed -n 's/^memory: about \([0-9]*\)\..*/\1000/p')
seen=
for kb in $(seq $((most + 1000)) -500 $((most - 15000))); do
    wide --plan --max-ram ${kb}kB >plan.txt 2>&1 || break
    bands=$(sed -n 's/.*second moments in a file in \([0-9]*\) bands.*/\1/p' plan.txt)
    test -n "$bands" || continue
    case "$seen " in *" $bands "*) continue ;; esac
    seen="$seen $bands"
    grep -q '^disk: .*, second moments [1-9]' plan.txt || fail "$kb kB: $(cat plan.txt)"
    check 0 - wide --max-ram ${kb}kB -o less.gguf
    check 0 - cmp less.gguf plain.gguf
done
case "$seen" in " 1 2"*) ;; *) fail "moments in$seen bands" ;; esac

# Every thread needs memory of its own: tiles of a sweep over rows of 1024, half a MB and
# more.
least() { # THREADS
    wide --group-size 0 --plan --max-ram 1MB --threads "$1" 2>&1 |
        sed -n 's/.*this takes \([0-9.]*\) MB at least.*/\1/p'
}
awk -v one="$(least 1)" -v many="$(least 48)" 'BEGIN { exit !(one > 0 && many > one + 20) }' ||
    fail "at least $(least 1) MB with a thread, $(least 48) MB with 48"
limit=$(least 48)
check 0 "memory: about" wide --group-size 0 --plan --max-ram "${limit}MB" --threads 1
check 4 "this takes" wide --group-size 0 --plan --max-ram "$(least 1)MB" --threads 48

check 4 "error: --max-ram 1MB: this takes " quantize -s int4 --calibration plain.txt \
    --max-ram 1MB -o x.gguf
check 4 "; --correct 0 takes less" quantize -s int4 --calibration plain.txt --max-ram 1MB -o x.gguf
check 2 '--max-ram "much": expected a size like 512MB, 1.5GB or 64KiB' \
    quantize -s int4 --calibration plain.txt --max-ram much -o x.gguf
check 2 "--max-ram is for --calibration" quantize -s int4 --max-ram 1GB -o x.gguf
check 0 "peak memory " quantize -s int4 --calibration plain.txt -o x.gguf --max-ram 1GB
rm x.gguf
absent ./.x.gguf* .pare-spill* less.gguf.lock
finish
