# What every program does the same way.
. "$(dirname "$0")/lib.sh"

: >empty
for program in "$PARE_BIN"/pare "$PARE_BIN"/pare-*; do
    name=$(basename "$program")
    case $name in *.*) continue ;; esac

    check 0 "Usage: $name " "$name" --help
    check 0 "Exit codes:" "$name" -h
    "$name" --help | awk -v name="$name" '
        length($0) > 90 && !/^  / { print name ": a help line of " length($0); bad = 1 }
        /\t/ { print name ": a tab in the help"; bad = 1 }
        END { exit bad }' || fail "$name --help"
    check 0 "$name 0." "$name" --version
    check 0 "zlib 1." "$name" --version
    check 0 "cpu tier " "$name" --version
    check 0 ".TH " "$name" --help-man
    [ "$name" = pare ] || check 0 "Usage: $name " pare "${name#pare-}" --help

    check 2 "$name: error: unknown option '--nonsense'" "$name" --nonsense
    check 0 "{\"program\":\"$name\",\"min_operands\":" "$name" --list-options
    check 2 "$name: error: unknown option '--nonsense'" "$name" --check-options --nonsense
    check 2 "did you mean '--threads'?" "$name" --thread 2
    check 2 "did you mean '--verbose'?" "$name" --verbos
    check 2 "unknown option '-?'" "$name" '-?'
    check 2 "option '--threads' needs an argument" "$name" --threads
    check 2 "option '--help' takes no argument" "$name" --help=1
    check 2 "--threads: expected an integer from 1 to 256, got '0'" "$name" --threads 0
    check 2 "--progress: expected one of auto, bar, lines, json, none" "$name" --progress x

    # Standard output that takes nothing is an error, not silence.
    for option in --help --version; do
        "$name" $option >/dev/full 2>err
        [ $? -eq 5 ] || fail "$name $option >/dev/full: expected exit code 5"
        "$name" $option >&- 2>err
        [ $? -eq 5 ] || fail "$name $option >&-: expected exit code 5"
        grep -q "$name: error: cannot write standard output" err || fail "$name: no message"
    done
done

# A tier that does not exist is an error, from the option and from the environment.
check 2 "neon-9" pare-sample -o s --cpu neon-9
check 2 "neon-9" env PARE_CPU=neon-9 pare-sample -o s
check 0 "" env PARE_CPU=scalar pare-sample --train 4 --dev 2 -o s
check 0 "" pare-sample --train 4 --dev 2 -o s --cpu scalar --threads 1
finish
