# kill -9 and failure at every system call of the programs that write containers.
. "$(dirname "$0")/lib.sh"

# AddressSanitizer ends a program itself when a call it makes fails or it is traced: the
# sweeps are for builds without it.
if grep -q __asan_init "$(command -v pare-convert)"; then
    echo "skipped: a build with sanitizers"
    finish
fi

sweep() { # command ...; it writes out/model.gguf
    for kind in kill fail; do
        rm -rf out
        mkdir out
        check 0 "" sh "$PARE_CLI/${kind}_sweep.sh" out/model.gguf "$@"
        echo "$1: $(tail -n 1 "$work/.out")"
    done
}

sweep pare-convert -q --threads 1 "$PARE_TEST_DATA/tiny-bert" -o out/model.gguf
case $(cat "$work/.out") in skipped*) finish ;; esac
pare-convert -q "$PARE_TEST_DATA/tiny-bert" -o base.gguf 2>err
sweep pare-quantize -q --threads 1 --scheme int8 base.gguf -o out/model.gguf

# The sweep itself: it must notice a program that writes in place.
rm -f out/model.gguf
head -c 400000 /dev/zero >zeros
check 1 "neither the old nor the new file: kill at write number" \
    env PARE_KILL_LIMIT=4 sh "$PARE_CLI/kill_sweep.sh" out/model.gguf \
    dd status=none bs=100000 if=zeros of=out/model.gguf
finish
