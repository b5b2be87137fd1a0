# Signals and outputs that take nothing more (docs/RELIABILITY.md).
. "$(dirname "$0")/lib.sh"

check 0 - pare-sample -q --train 400 --dev 20 -o sample
train="pare-train --config sample/config.json --vocab sample --train sample/train.tsv
    --epochs 1000 --label negative --label positive --threads 1 -q"

# A file larger than the limit: SIGXFSZ is ignored, so the write fails and says so.
check 5 "File too large" sh -c 'ulimit -f 8; exec pare-sample -o limited'
[ ! -e limited/train.tsv ] || fail "a cut train.tsv"
[ -z "$(find limited -name '*.tmp')" ] || fail "a temporary file is left"

# A reader that has gone: SIGPIPE is ignored, the exit code says that output was lost.
# fd 3 carries the exit code round the pipe.
code=$( { { pare-sample --help; echo $? >&3; } 2>err | true; } 3>&1 )
[ "$code" = 5 ] || [ "$code" = 0 ] || fail "closed pipe: exit code $code"
mkfifo pipe
: <pipe &
{ pare-report --help; echo $? >code; } 2>err >pipe
[ "$(cat code)" = 5 ] || [ "$(cat code)" = 0 ] || fail "closed pipe: exit code $(cat code)"

waits_for() { # a line in the file, for a minute at most
    tries=0
    until grep -qs "$2" "$1" || [ $tries -ge 600 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
}

# The signals a long job gets while it trains.
for case in TERM:143 INT:130 BUS:5; do
    signal=${case%:*} expected=${case#*:}
    # A shell's background job ignores SIGINT unless told otherwise; env resets it.
    # shellcheck disable=SC2086
    env --default-signal=INT $train --metrics m.$signal -o $signal.gguf 2>err.$signal &
    job=$!
    waits_for m.$signal '"epoch"'
    kill -s $signal $job
    wait $job
    code=$?
    checks=$((checks + 1))
    [ $code -eq "$expected" ] || { fail "SIG$signal: exit code $code"; cat err.$signal; }
    [ ! -e $signal.gguf ] || fail "SIG$signal: an output"
done
grep -q "pare-train: error: stopped" err.TERM || { fail "TERM"; cat err.TERM; }
grep -q "pare-train: error: stopped" err.INT || { fail "INT"; cat err.INT; }
grep -q "input changed or unreadable" err.BUS || { fail "BUS"; cat err.BUS; }
[ -s TERM.gguf.state ] || fail "SIGTERM: no resume file"
finish
