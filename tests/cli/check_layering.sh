#!/bin/sh
# Who may include whom (docs/ARCHITECTURE.md): fails on an #include that turns an arrow
# round, or that does not name its file by the full path from the root.
# usage: check_layering.sh SOURCE_FOLDER
set -u
cd "$1" || exit 2

# room: the prefixes its files may include. A rule ends in / for a folder or names a file.
rules='
runtime/base        runtime/base/
runtime/kernels     runtime/kernels/ runtime/base/error.h runtime/base/rng.h runtime/base/bytes.h
runtime/tensor      runtime/tensor/ runtime/base/ runtime/kernels/
runtime/checkpoint  runtime/checkpoint/ runtime/base/ runtime/tensor/
runtime/text        runtime/text/ runtime/base/ runtime/checkpoint/meta.h
runtime/model       runtime/
libquant            libquant/ runtime/
libprune            libprune/ libquant/ runtime/
libdistill          libdistill/ runtime/
datasets            datasets/ runtime/
eval                eval/ datasets/ runtime/
tools               tools/ eval/ datasets/ libquant/ libprune/ libdistill/ runtime/
tests               /
'

find runtime libquant libprune libdistill datasets eval tools tests \
    \( -name '*.c' -o -name '*.h' \) -type f 2>/dev/null | LC_ALL=C sort | {
    files=$(cat)
    [ -n "$files" ] || { echo "no sources in $1" >&2; exit 2; }
    # shellcheck disable=SC2086
    awk -v rules="$rules" '
        BEGIN {
            n = split(rules, line, "\n")
            for (i = 1; i <= n; i++)
                if (split(line[i], word, /[ \t]+/) > 1) {
                    room = word[1]
                    sub(/^[^ \t]+[ \t]+/, "", line[i])
                    allowed[room] = line[i]
                }
        }
        FNR == 1 {
            split(FILENAME, part, "/")
            room = part[1]
            if (room == "runtime")
                room = part[1] "/" part[2]
        }
        /^[ \t]*#[ \t]*include[ \t]*["<]/ {
            target = $0
            sub(/^[^"<]*/, "", target)
            local = substr(target, 1, 1) == "\""
            target = substr(target, 2)
            sub(/[">].*/, "", target)
            ours = target ~ /^(runtime|libquant|libprune|libdistill|datasets|eval|tools|tests)\//
            why = ""
            if (!(room in allowed))
                why = "a folder that no rule knows"
            else if (local && !ours)
                why = "not a full path from the root"
            else if (ours && !local)
                why = "a file of ours in angle brackets"
            else if (ours) {
                why = room " may not include it"
                count = split(allowed[room], prefix, /[ \t]+/)
                for (i = 1; i <= count; i++)
                    if (prefix[i] == "/" || index(target, prefix[i]) == 1)
                        why = ""
            }
            checked++
            if (why != "") {
                printf "%s:%d: %s: %s\n", FILENAME, FNR, target, why
                bad++
            }
        }
        END {
            printf "%d includes checked, %d against the rules\n", checked, bad
            exit bad > 0
        }' $files
}
