# Sourced by tests/cli/test_*.sh: tests of whole programs.
#
#     check CODE PHRASE command ...      exit code and a phrase of the output
#     golden NAME command ...            exit code and the whole output, as it stands in
#                                        golden/NAME.txt; PARE_UPDATE=1 rewrites the file
#
# The programs are in $PARE_BIN; each test runs in an empty folder that is removed. A
# phrase "-" stands for no output at all, "" for any. $PARE_TEST_DATA and $PARE_CLI are
# tests/data and tests/cli. At the end: finish.
set -u
: "${PARE_BIN:?the folder of the programs}" "${PARE_CLI:?the folder tests/cli}"
export LC_ALL=C
unset POSIXLY_CORRECT PARE_CPU OMP_NUM_THREADS
PATH=$PARE_BIN:$PATH
failures=0
checks=0
work=$(mktemp -d "${TMPDIR:-/tmp}/pare-cli-XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2

fail() {
    failures=$((failures + 1))
    echo "FAILED: $*"
}

# A sanitizer's report fails whatever was expected.
sanitized() {
    if grep -qE "(Address|Leak|Thread|Memory)Sanitizer|runtime error:" "$work/.out"; then
        fail "$*: a sanitizer's report"
        cat "$work/.out"
    fi
}

check() {
    expected=$1 phrase=$2
    shift 2
    checks=$((checks + 1))
    "$@" >"$work/.out" 2>&1 </dev/null
    code=$?
    [ "$code" -eq "$expected" ] || {
        fail "$*: exit code $code, expected $expected"
        cat "$work/.out"
    }
    if [ "$phrase" = - ]; then
        [ ! -s "$work/.out" ] || { fail "$*: expected no output"; cat "$work/.out"; }
    elif [ -n "$phrase" ]; then
        grep -qF -e "$phrase" "$work/.out" || {
            fail "$*: no '$phrase' in the output"
            cat "$work/.out"
        }
    fi
    sanitized "$*"
}

golden() {
    name=$1
    shift
    checks=$((checks + 1))
    "$@" >"$work/.out" 2>&1 </dev/null
    echo "exit code $?" >>"$work/.out"
    sanitized "$*"
    file=$PARE_CLI/golden/$name.txt
    if [ -n "${PARE_UPDATE:-}" ]; then
        cp "$work/.out" "$file"
    elif ! diff -u "$file" "$work/.out"; then
        fail "$*: differs from golden/$name.txt"
    fi
}

# wait_until CONDITION: looks again and again, for half a minute on a busy machine.
wait_until() {
    for attempt in $(seq 150); do
        eval "$1" && return 0
        sleep 0.2
    done
    return 1
}

# wait_for_lines FILE N JOB: until FILE has N lines; false if JOB ends before that.
wait_for_lines() {
    while [ "$(wc -l 2>/dev/null <"$1" || echo 0)" -lt "$2" ]; do
        kill -0 "$3" 2>/dev/null || return 1
    done
}

absent() {
    for file in "$@"; do
        [ ! -e "$file" ] || fail "$file is there"
    done
}

# same_metrics A B: two runs' JSON lines, but for what depends on the clock.
same_metrics() {
    sed 's/,"seconds".*//' "$1" >.metrics
    sed 's/,"seconds".*//' "$2" | diff .metrics -
}

# Writes easy.tsv: 60 sentences of two classes that a word decides.
make_easy() {
    printf 'sentence\tlabel\n' >easy.tsv
    for noun in film book meal room device; do
        for word in very really quite rather truly simply; do
            printf 'the %s is %s charming\t1\nthe %s is %s dull\tnegative\n' \
                $noun $word $noun $word >>easy.tsv
        done
    done
}

# Ends the process $pid when it has not ended in a minute; $watch is to be killed later.
watchdog() {
    { sleep 60 && kill -s KILL "$pid"; } >/dev/null 2>&1 &
    watch=$!
}

finish() {
    echo "$checks checks, $failures failed"
    [ "$failures" -eq 0 ]
    exit
}
