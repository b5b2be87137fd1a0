# Malformed checkpoints through a program: exit code, message, one line, no crash. The
# files are those of tests/support/corpus.h; tests/unit/test_malformed.c opens all of them,
# here every named one goes through pare-inspect and every fortieth truncated one.
. "$(dirname "$0")/lib.sh"

make_corpus=$PARE_BIN/../tests/make_corpus
[ -x "$make_corpus" ] || { echo "skipped: $make_corpus is not built"; finish; }
"$make_corpus" corpus || fail "make_corpus"
while IFS='	' read -r number file code phrase id; do
    if [ "$phrase" = - ]; then
        [ "$code" -eq 0 ] || [ $((number % 40)) -eq 0 ] || continue
        phrase=
    fi
    check "$code" "$phrase" pare-inspect "$file"
    [ "$code" -eq 0 ] && continue
    lines=$(wc -l <.out)
    [ "$lines" -eq 1 ] || fail "$id: $lines lines of output"
    grep -qF "pare-inspect: error: $file: " .out || { fail "$id: names no file"; cat .out; }
done <corpus/manifest.tsv
[ "$checks" -gt 300 ] || fail "only $checks files were tried"
finish
