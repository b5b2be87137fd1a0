# pare-run.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"
make_tiny

golden run-text pare-run tiny.gguf "the film is very good ." "a dull plot"
golden run-json pare-run --json tiny.gguf "the film is very goodly ." "q\"u\\o	te"

# Every line of input gives one line of output, whatever is in it.
printf '\357\273\277a film\r\n\nnul \0 byte\nescape \033[31m\ncut \303\n\tlast, no newline' >odd.txt
lines() {
    check 0 "6" sh -c "$1 | tee all.out | wc -l"
    [ "$(wc -l <all.out)" -eq 6 ] || fail "$1: expected 6 lines"
}
lines "pare-run tiny.gguf -i odd.txt"
awk -F '\t' 'NF < 3 { exit 1 }' all.out || fail "fewer than three columns"
LC_ALL=C tr -d '\n\t -~\200-\377' <all.out | grep -q . && fail "control characters in the text"
lines "pare-run --json tiny.gguf -i odd.txt"
iconv -f UTF-8 -t UTF-8 all.out >/dev/null || fail "JSON that is not UTF-8"
cp all.out file.out
lines "cat odd.txt | pare-run --json tiny.gguf"
check 0 - cmp all.out file.out
lines "pare-run --json tiny.gguf -i - --batch 1 --threads 3 <odd.txt"
check 0 - cmp all.out file.out
lines "pare-run --json tiny.gguf --batch 4 --threads 1 --cpu scalar -i odd.txt"
check 0 - cmp all.out file.out
check 0 - sh -c "pare-run tiny.gguf </dev/null"
check 0 '"token_ids":[2,5,3]' pare-run tiny.gguf --json --max-length 3 "a very long film"

# Token ids instead of text.
check 0 '"token_ids":[2,7,3]' pare-run tiny.gguf --json --ids "2 7 3"
check 0 '"hidden":[' pare-run tiny.gguf --hidden --ids "2,7,3" --types "0 0 0"
check 2 "--types goes with --ids" pare-run tiny.gguf --types "0 0 0"
check 2 "--ids stands instead of texts" pare-run tiny.gguf --ids "2 3" "a film"
check 2 "--ids stands instead of texts" pare-run tiny.gguf --ids "2 3" -i odd.txt
check 2 "--types as many" pare-run tiny.gguf --ids "2 7 3" --types "0 0"
check 2 "--ids wants numbers" pare-run tiny.gguf --ids "2 x 3"
check 2 "--ids wants numbers" pare-run tiny.gguf --ids "2 -7 3"
check 3 "token id 61 is outside" pare-run tiny.gguf --ids "2 61 3"
check 3 "token type 1 is outside" pare-run tiny.gguf --ids "2 7 3" --types "0 1 0"
check 3 "25 tokens" pare-run tiny.gguf --ids "$(seq -s ' ' 1 25)"

check 5 "nothing.txt" pare-run tiny.gguf -i nothing.txt
check 5 "nothing.gguf" pare-run nothing.gguf a
"$PARE_BIN/pare-run" tiny.gguf "a film" >/dev/full 2>err
[ $? -eq 5 ] || fail "a full device: expected exit code 5"
cp -r tiny huge
overwrite huge classifier.weight
pare-convert -q huge -o huge.gguf || fail "pare-convert huge"
check 3 "not finite" pare-run huge.gguf "a film"
check 3 "not finite" pare-run huge.gguf --json --ids "2 7 3"

# A line that has come is answered before the next one, and waiting can be stopped.
waits_for() {
    wait_until "[ \$(wc -l <stream.out) -ge $1 ]" && return
    fail "no answer to line $1 while the input is open"
}
mkfifo pipe
pare-run tiny.gguf <pipe >stream.out 2>err &
pid=$!
exec 3>pipe
for turn in 1 2 3; do
    checks=$((checks + 1))
    echo "a film $turn" >&3
    waits_for $turn
done
kill -s TERM $pid
watchdog
wait $pid
code=$?
[ $code -eq 143 ] || { fail "SIGTERM while waiting: exit code $code"; cat err; }
exec 3>&-
kill $watch 2>/dev/null
finish
