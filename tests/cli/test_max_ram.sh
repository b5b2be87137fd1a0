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
