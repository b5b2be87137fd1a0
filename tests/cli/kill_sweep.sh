#!/bin/sh
# Kills a program at every system call that can change files, and looks at its output:
# the destination must hold the old bytes or the new ones, never a mixture, and the next
# run must succeed and leave nothing else behind (promise P2 of docs/RELIABILITY.md).
#
# usage: kill_sweep.sh DESTINATION COMMAND ...
#
# COMMAND writes DESTINATION, the same bytes each time; DESTINATION must lie in a folder
# of its own. Needs strace and the right to use ptrace: without them it says so and passes.
# PARE_KILL_LIMIT: at most that many kills for each system call (400).
set -u
[ $# -ge 2 ] || { echo "usage: kill_sweep.sh DESTINATION COMMAND ..." >&2; exit 2; }
destination=$1
shift
folder=$(dirname "$destination")
limit=${PARE_KILL_LIMIT:-400}
calls='openat flock unlinkat getrandom fchmod pwrite64 write fsync close renameat mmap munmap'
# A leak checker cannot work in a traced process.
ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
export ASAN_OPTIONS

if ! strace -qq -o /dev/null -e trace=none true 2>/dev/null; then
    echo "skipped: strace is not here or may not trace"
    exit 0
fi

state=$(mktemp -d "${TMPDIR:-/tmp}/pare-kill-XXXXXX") || exit 2
trap 'rm -rf "$state"' EXIT
failures=0
bad() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
same() { cmp -s "$1" "$2"; }
others() { find "$folder" -mindepth 1 ! -path "$destination" | wc -l; }

rm -f "$destination"
[ "$(others)" -eq 0 ] || { echo "$folder is not empty"; exit 2; }
"$@" >"$state/out" 2>&1 || { cat "$state/out"; echo "the command fails by itself"; exit 1; }
cp "$destination" "$state/new"
printf 'the old file' >"$state/old"

kills=0
torn=0
for before in old none; do
    for call in $calls; do
        number=1
        while [ $number -le "$limit" ]; do
            rm -f "$destination"
            [ $before = none ] || cp "$state/old" "$destination"
            # The inner shell reports the death, on its own error stream.
            (
                strace -f -qq -o /dev/null -e trace="$call" \
                    -e inject="$call:signal=KILL:when=$number" "$@" >"$state/out" 2>&1
                exit $?
            ) 2>/dev/null
            code=$?
            where="kill at $call number $number, $before file before"
            if same "$destination" "$state/new"; then :
            elif [ $before = none ] && [ ! -e "$destination" ]; then :
            elif [ $before = old ] && same "$destination" "$state/old"; then :
            else
                bad "neither the old nor the new file: $where"
                torn=$((torn + 1))
            fi
            [ $code -eq 137 ] || {
                [ $code -eq 0 ] || bad "exit code $code: $where"
                break # it got through: there are no more of these calls
            }
            kills=$((kills + 1))
            number=$((number + 1))
        done
        # The next run finds whatever the kills left.
        "$@" >"$state/out" 2>&1 || { cat "$state/out"; bad "the run after kills at $call"; }
        same "$destination" "$state/new" || bad "other bytes after kills at $call"
        [ "$(others)" -eq 0 ] || bad "files left behind: $(ls -A "$folder")"
    done
done
echo "$kills kills, $torn torn outputs, $failures failures"
[ $kills -gt 0 ] || bad "nothing was killed"
[ $failures -eq 0 ]
