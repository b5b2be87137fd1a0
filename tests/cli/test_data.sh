# Malformed text data (cases D01 to D08 of docs/RELIABILITY.md) through the programs that
# read it: exit code 3, the file, the line and the reason; no output.
. "$(dirname "$0")/lib.sh"

check 0 - pare-sample -q --train 40 --dev 20 -o sample
check 0 "" pare-train --config sample/config.json --vocab sample --train sample/train.tsv \
    --epochs 1 --label negative --label positive -o model.gguf

refused() { # phrase; the data is bad.tsv
    check 3 "$1" pare-eval model.gguf --data bad.tsv --no-latency
    check 3 "$1" pare-train model.gguf --train bad.tsv --dev sample/dev.tsv -o out.gguf
    check 3 "$1" pare-train model.gguf --train sample/train.tsv --dev bad.tsv -o out.gguf
    [ ! -e out.gguf ] || fail "an output after an error: $1"
}
printf 'sentence\tlabel\ngood\t1\nbad\n' >bad.tsv
refused "bad.tsv:3: missing column"
printf 'sentence\tlabel\ngood\tyes\n' >bad.tsv
refused "bad.tsv:2: bad label 'yes'"
printf 'good\t1\nbad\t7\n' >bad.tsv
refused "bad.tsv:2: label 7 is out of range"
printf 'good\t1\nso "so\tso"\t0\n' >bad.tsv
refused "bad.tsv:2: extra column"
: >bad.tsv
refused "bad.tsv: empty file"
printf 'sentence\tlabel\n' >bad.tsv
refused "bad.tsv: a header and no rows"
{ printf 'good\t1\n'; head -c 1100000 /dev/zero | tr '\0' a; printf '\t0\n'; } >bad.tsv
refused "bad.tsv:2: the line is"
printf 'good\t1\nb\0d\t0\n' >bad.tsv
refused "bad.tsv:2: byte 2 of the line is NUL"
printf 'good\t1\nb\377d\t0\n' >bad.tsv
refused "bad.tsv:2: invalid UTF-8"
printf 'index\tsentence\n0\tgood\n' >bad.tsv
refused "bad.tsv:1: no labels in this file"

# Accepted: CRLF, a byte order mark, no last newline, names of labels, one class only.
printf '\357\273\277sentence\tlabel\r\ngood\t1\r\nbad\t0' >ok.tsv
check 0 "" pare-eval model.gguf --data ok.tsv --no-latency
printf 'good\tpositive\nbad\tnegative\n' >ok.tsv
check 0 "" pare-eval model.gguf --data ok.tsv --no-latency
printf 'good\t1\nfine\t1\n' >ok.tsv
check 0 "warning: " pare-eval model.gguf --data ok.tsv --no-latency
check 0 "warning: " pare-train model.gguf --train ok.tsv --epochs 1 -o out.gguf
finish
