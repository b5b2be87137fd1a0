#!/bin/sh
# Makes system calls of a program fail, one after the other, and looks at what it does:
# an exit code of the documented ones with a message and the old file in place, or success
# with the right bytes; no crash, and no temporary or lock file left (promise P4).
#
# usage: fail_sweep.sh DESTINATION COMMAND ...
#
# COMMAND writes DESTINATION, the same bytes each time; DESTINATION must lie in a folder
# of its own. What COMMAND's program also does for --version is left out: the dynamic
# loader has its own ways to fail. Needs strace and the right to use ptrace: without them it says so and passes.
set -u
[ $# -ge 2 ] || { echo "usage: fail_sweep.sh DESTINATION COMMAND ..." >&2; exit 2; }
destination=$1
shift
folder=$(dirname "$destination")
limit=${PARE_FAIL_LIMIT:-200}
# call:error:exit codes that may come of it
faults='openat:EACCES:0,3,5 openat:EMFILE:0,3,5 openat:EINTR:0,3,5
    flock:EWOULDBLOCK:6 flock:ENOLCK:5 flock:EINTR:0 getrandom:ENOSYS:0 fchmod:EPERM:0
    pwrite64:ENOSPC:5 pwrite64:EIO:5 pwrite64:EDQUOT:5 pwrite64:EINTR:0
    fsync:EIO:5 fsync:EINTR:0 renameat:EXDEV:5 renameat:EROFS:5
    mmap:ENOMEM:0,4,5'
ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
export ASAN_OPTIONS

if ! strace -qq -o /dev/null -e trace=none true 2>/dev/null; then
    echo "skipped: strace is not here or may not trace"
    exit 0
fi

state=$(mktemp -d "${TMPDIR:-/tmp}/pare-fail-XXXXXX") || exit 2
trap 'rm -rf "$state"' EXIT
failures=0
bad() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
others() { find "$folder" -mindepth 1 ! -path "$destination" | wc -l; }

rm -f "$destination"
[ "$(others)" -eq 0 ] || { echo "$folder is not empty"; exit 2; }
"$@" >"$state/out" 2>&1 || { cat "$state/out"; echo "the command fails by itself"; exit 1; }
cp "$destination" "$state/new"
printf 'the old file' >"$state/old"

look() { # code, codes allowed, where
    case ",$2," in *",$1,"*) ;; *) bad "exit code $1: $3"; cat "$state/out" ;; esac
    if [ "$1" -eq 0 ]; then
        cmp -s "$destination" "$state/new" || bad "success without the right bytes: $3"
    else
        [ -s "$state/out" ] || bad "no message: $3"
        # The folder's fsync comes behind the rename: the new file is there.
        cmp -s "$destination" "$state/old" ||
            { [ "${3%% *}" = fsync ] && cmp -s "$destination" "$state/new"; } ||
            bad "the old file is gone: $3"
    fi
    # A lock file that could not be locked may be another's: it stays.
    case $3 in flock*) rm -f "$destination.lock" ;; esac
    if [ "$(others)" -ne 0 ]; then
        bad "left behind: $(ls -A "$folder"): $3"
        find "$folder" -mindepth 1 ! -path "$destination" -exec rm -f {} +
    fi
}

tried=0
for fault in $faults; do
    call=${fault%%:*}
    error=${fault#*:}
    codes=${error#*:}
    error=${error%%:*}
    strace -f -qq -o "$state/trace" -e trace="$call" "$1" --version >/dev/null 2>&1
    number=$(($(grep -c "$call(" "$state/trace") + 1))
    last=$((number + limit))
    while [ $number -le $last ]; do
        cp "$state/old" "$destination"
        strace -f -qq -o "$state/trace" -e trace="$call" \
            -e inject="$call:error=$error:when=$number" "$@" >"$state/out" 2>&1
        code=$?
        grep -q INJECTED "$state/trace" || break # there are no more of these calls
        look $code "$codes" "$call $error number $number"
        tried=$((tried + 1))
        number=$((number + 1))
    done
done
echo "$tried faults, $failures failures"
[ $tried -gt 0 ] || bad "nothing was made to fail"
[ $failures -eq 0 ]
