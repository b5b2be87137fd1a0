# pare-quantize with a solver, killed: the same command goes on, to the same bytes.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"

make_tiny
make_plain 3000
recipe="tiny.gguf --progress none -s int4 --group-size 0 --calibration plain.txt --samples 1000"
# shellcheck disable=SC2086
quantize() { pare-quantize $recipe "$@"; }
check 0 - quantize -q -o whole.gguf --json whole.json
absent whole.gguf.partial
size() { wc -c 2>/dev/null <"$1" || echo 0; }

# kill_at BYTES: kills the program as soon as it has kept so many.
kill_at() {
    # shellcheck disable=SC2086
    pare-quantize -q $recipe -o out.gguf --json out.json &
    job=$!
    while kill -0 $job 2>/dev/null && [ "$(size out.gguf.partial)" -lt "$1" ]; do :; done
    kill -s KILL $job 2>/dev/null
    wait $job 2>/dev/null
}

# At several moments, one of which is after the first part.
most=0
for bytes in 1 85 1500 3000 5000; do
    rm -f out.gguf out.json
    kill_at $bytes 2>/dev/null
    if [ -e out.gguf.partial ] && [ "$(size out.gguf.partial)" -gt "$most" ]; then
        most=$(size out.gguf.partial)
        cp out.gguf.partial largest
    fi
    check 0 "" quantize -o out.gguf --json out.json
    check 0 - cmp out.gguf whole.gguf
    check 0 - cmp out.json whole.json
    absent out.gguf.partial out.gguf.lock
    [ -z "$(find . -name '.out.gguf*')" ] || fail "$(ls -A | tr '\n' ' ')"
done
[ "$most" -gt 84 ] || fail "no part was ever kept"

# Whatever the kill left of the last piece: every length is one that could be.
for bytes in $(seq 0 $((most / 16 + 1)) "$most"); do
    head -c "$bytes" largest >out.gguf.partial
    check 0 "" quantize -o out.gguf --json out.json
    check 0 - cmp out.gguf whole.gguf
    check 0 - cmp out.json whole.json
done
cp largest out.gguf.partial
check 0 "out.gguf.partial: going on after " quantize -o out.gguf --json out.json
check 0 - cmp out.gguf whole.gguf

# A byte that changed is noticed, and what is behind it is done again.
cp largest out.gguf.partial
printf '\377\376' | dd of=out.gguf.partial bs=1 seek=200 conv=notrunc 2>/dev/null
check 0 "warning: out.gguf.partial is damaged behind 0 finished parts" \
    quantize -o out.gguf --json out.json
check 0 - cmp out.gguf whole.gguf

# Another recipe, text or input starts anew; another file is not lost.
for other in "--damping 0.02" "--samples 2999" "--seed 3" "--sequential"; do
    cp largest out.gguf.partial
    # shellcheck disable=SC2086
    check 0 "was left by a run with other options, inputs or version: this one starts anew" \
        quantize -o out.gguf --json out.json $other
    # shellcheck disable=SC2086
    check 0 - quantize -q -o new.gguf --json new.json $other
    check 0 - cmp out.gguf new.gguf
    check 0 - cmp out.json new.json
done
cp largest out.gguf.partial
check 0 "starts anew" quantize -o out.gguf
echo "my notes" >out.gguf.partial
check 2 "out.gguf.partial: this file is in the way of what is to be kept of an unfinished run" \
    quantize -o out.gguf
[ "$(cat out.gguf.partial)" = "my notes" ] || fail "my notes are lost"
rm out.gguf.partial

# Less memory is no other recipe.
cp largest out.gguf.partial
check 0 "going on after " quantize -o out.gguf --json out.json --max-ram 30MB --threads 3
check 0 - cmp out.gguf whole.gguf

# An interruption keeps what is done; an error in the input does not.
rm -f out.gguf
# shellcheck disable=SC2086
pare-quantize $recipe -o out.gguf >told 2>&1 &
job=$!
while kill -0 $job 2>/dev/null && [ "$(size out.gguf.partial)" -lt 85 ]; do :; done
kill -s TERM $job 2>/dev/null
wait $job
code=$?
case $code in
0) ;; # it was faster
143)
    grep -q "out.gguf.partial keeps what is done" told || fail "$(cat told)"
    check 0 "going on after" quantize -o out.gguf
    ;;
*) fail "exit code $code" ;;
esac
check 0 - cmp out.gguf whole.gguf
yes 'the film .' | head -60 >same.txt
check 3 "are singular" pare-quantize tiny.gguf -s int8 --calibration same.txt --damping 0 \
    --strict -o x.gguf
absent x.gguf x.gguf.partial
# With factors of inputs, ranges and corrected biases: what is decided is decided again, and
# the biases of finished parts are kept.
recipe="tiny.gguf --progress none -s int8 --calibration plain.txt --samples 1000 --smooth auto
    --activations static --bias-correction"
check 0 - quantize -q -o whole.gguf --json whole.json
rm -f out.gguf out.json
kill_at 3000 2>/dev/null
cp out.gguf.partial smoothed 2>/dev/null
check 0 "" quantize -o out.gguf --json out.json
check 0 - cmp out.gguf whole.gguf
check 0 - cmp out.json whole.json
if [ -e smoothed ]; then
    cp smoothed out.gguf.partial
    check 0 "out.gguf.partial: going on after " quantize -o out.gguf --json out.json
    check 0 - cmp out.gguf whole.gguf
fi

# What the solver did without is said again by the run that goes on.
edit=$PARE_BIN/../tests/edit_tensors
set --
for i in $(seq 0 47); do set -- "$@" set distilbert.transformer.layer.0.ffn.lin1.bias $i -1e9; done
mkdir dead
cp tiny/config.json tiny/vocab.txt dead
check 0 - "$edit" tiny/model.safetensors dead/model.safetensors "$@"
check 0 - pare-convert -q dead -o dead.gguf
dead() {
    pare-quantize dead.gguf --progress none -q -s int4 --group-size 0 --calibration plain.txt \
        --samples 100 -o dead-out.gguf
}
warning="tensor blk.0.ffn_down.weight: the second moments of its inputs are of no use"
limited() (
    ulimit -f 24
    trap '' XFSZ
    dead
)
check 5 "$warning" limited
[ -e dead-out.gguf.partial ] || fail "nothing was kept"
check 0 "$warning" dead
[ "$(grep -c "$warning" .out)" = 1 ] || fail "not once: $(cat .out)"
finish
