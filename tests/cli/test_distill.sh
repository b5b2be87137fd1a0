# pare-distill.
. "$(dirname "$0")/lib.sh"

golden distill-help pare-distill --help

# A teacher of three blocks that knows charming from dull.
pare-sample -q --train 300 --dev 60 --seed 5 -o data || exit 2
sed 's/"n_layers": 2/"n_layers": 3/; s/"dim": 128/"dim": 48/; s/"hidden_dim": 512/"hidden_dim": 96/' \
    data/config.json >small.json
make_easy
easy="--train easy.tsv --dev easy.tsv --lr 2e-3 --batch 16 --seed 3"
check 0 "60 of 60 right on dev (100.00 %)" pare-train --config small.json \
    --vocab data/vocab.txt $easy --epochs 19 -o t.gguf
cp t.gguf teacher-before.gguf

# Its student is right too, says what it is, and nothing else is left.
check 0 "60 of 60 right on dev (100.00 %)" pare-distill t.gguf $easy --layers 1 --ffn 40 \
    --epochs 15 --metrics m.jsonl -o s.gguf
grep -q "teacher: 3 layers of 48; student: distilbert, 1 layers of 48" .out ||
    fail "no word of the student"
grep -q "the teacher's answers to 60 texts, computed" .out || fail "no word of the answers"
absent s.gguf.state s.gguf.state.prev s.gguf.teacher
check 0 "positive" pare-run s.gguf "the film is charming"
check 0 "negative" pare-run s.gguf "the room is really dull"
check 0 "" pare-inspect s.gguf --json
for phrase in '"layers":.1,' '"feed_forward":.40,' '"hidden":.48,' pare-distill pare-train; do
    grep -q "$phrase" .out || fail "no $phrase in pare-inspect --json s.gguf"
done
[ "$(grep -c '"kind":"update"' m.jsonl)" -eq 60 ] || fail "60 updates in the metrics"
[ "$(grep -c '"kind":"eval".*"dev_accuracy"' m.jsonl)" -eq 15 ] || fail "15 scores in the metrics"
grep '"kind":"update"' m.jsonl | tr ',' ' ' | sed 's/"[a-z_]*"://g' | awk '
    { sum = $5 + $6 } sum - $4 > 1e-6 * sum || $4 - sum > 1e-6 * sum { exit 1 }' ||
    fail "hard and soft loss do not add up to the loss in the metrics"

# All that a loss can have, narrower, with text nobody labelled and changed copies of it.
sed 1d data/dev.tsv | cut -f 1 >more.txt
terms="--hard 0.4 --soft 0.6 --temperature 3 --cosine 0.3 --mse 0.2 --first 0.1 --relation 0.5
    --attention 0.7 --relation-blocks 0:1 --relation-heads 4"
student="--family bert --from 0,2 --hidden 24 --heads 2 --ffn 40 --map 0:0,1:2,1:3"
text="--unlabelled more.txt --augment 1 --augment-mask 0.2 --augment-replace 0.3
    --augment-ngram 0.1 --augment-neighbours 5"
rest="--batch 16 --accumulate 2 --lr 1e-3 --warmup 0.1 --schedule cosine --layer-decay 0.9 --weight-decay 0.02 --clip 2
    --dropout 0.2 --max-length 12 --bucket 4 --eval-every 3 --patience 9 --keep last --seed 3"
all="$terms $student $text $rest --train easy.tsv --dev easy.tsv"
for threads in 1 2 3 7; do
    check 0 - pare-distill -q t.gguf $all --epochs 1 --threads $threads --metrics all.jsonl \
        -o a$threads.gguf
    cmp a1.gguf a$threads.gguf || fail "$threads threads give other bytes"
done
for term in hard soft cosine mse first relation attention; do
    grep -q "\"loss_$term\":" all.jsonl || fail "no $term in the metrics"
done
for tier in scalar avx2 avx512 amx neon neondot neoni8mm; do
    pare-distill -q t.gguf $all --epochs 1 --cpu $tier -o tier.gguf 2>/dev/null || continue
    cmp a1.gguf tier.gguf || fail "tier $tier gives other bytes"
done
check 0 "bert" pare-inspect a1.gguf
check 0 - pare-distill -q t.gguf $all --epochs 1 --seed 4 -o other.gguf
cmp -s a1.gguf other.gguf && fail "another seed gives the same bytes"
ls -l t.gguf a1.gguf | awk '{ size[$NF] = $5 } END { exit !(size["a1.gguf"] < 0.6 * size["t.gguf"]) }' ||
    fail "the student is not smaller"

# Killed in the middle, four times, and resumed until it is through, moments counted in
# updates.
long="$all --epochs 12 --checkpoint-every 2 --threads 1 -q"
check 0 - pare-distill t.gguf $long -o whole.gguf --metrics whole.jsonl
kills=0
while [ ! -f killed.gguf ]; do
    pare-distill t.gguf $long -o killed.gguf --metrics killed.jsonl --resume 2>/dev/null &
    job=$!
    if [ $kills -lt 4 ]; then
        wait_for_lines killed.jsonl $((kills * 17 + 5)) $job &&
            kill -9 $job 2>/dev/null && kills=$((kills + 1))
    fi
    wait $job 2>/dev/null
done
[ $kills -eq 4 ] || fail "only $kills kills hit a running job"
cmp whole.gguf killed.gguf || fail "killed and resumed: other bytes"
same_metrics whole.jsonl killed.jsonl || fail "killed and resumed: other metrics"
absent killed.gguf.state killed.gguf.state.prev killed.gguf.teacher

# SIGTERM: a resume file, the teacher's answers, exit code 143; what resumes is this run.
term="$easy --layers 2 --mse 1 --epochs 200 --threads 1"
pare-distill t.gguf $term -q -o term.gguf --metrics term.jsonl 2>term.txt &
job=$!
wait_for_lines term.jsonl 5 $job
kill $job
wait $job
[ $? -eq 143 ] || fail "SIGTERM: exit code is not 143"
grep -q "resumes from term.gguf.state" term.txt || fail "SIGTERM: no word of the resume file"
[ -f term.gguf.state ] && [ -f term.gguf.teacher ] && [ ! -f term.gguf ] ||
    fail "SIGTERM: resume file, answers or no output"
check 2 "had loss" pare-distill t.gguf $term --soft 0.4 -o term.gguf --resume
check 2 "had loss" pare-distill t.gguf $term --map 2:2 -o term.gguf --resume
check 2 "had loss" pare-distill s.gguf $term --layers 1 -o term.gguf --resume

# What a run would be refused for is known before the teacher is asked.
early() {
    phrase=$1
    shift
    check 2 "$phrase" pare-distill t.gguf "$@" --cache early.cache
    absent early.cache
}
early "no development data" --train easy.tsv --patience 3 -o d.gguf
early 'matches "blk.7.*"' $easy --freeze 'blk.7.*' -o d.gguf
early "had loss" $term --soft 0.4 -o term.gguf --resume
early "had seed 3" $term --seed 9 -o term.gguf --resume

# The answers are asked for once: a file of this teacher and this text is used again.
short="$easy --layers 2 --epochs 1"
check 0 - pare-distill -q t.gguf $short --mse 1 -o plain.gguf
check 0 "cache: the teacher's answers to 60 texts, computed" \
    pare-distill t.gguf $short --mse 1 --cache cache -o c1.gguf
cp cache cache-before
check 0 "cache: the teacher's answers to 60 texts, as found" \
    pare-distill t.gguf $short --mse 1 --cache cache -o c2.gguf
cmp cache cache-before || fail "a cache that fits was written again"
cmp plain.gguf c1.gguf && cmp c1.gguf c2.gguf || fail "other bytes with a cache"
check 0 "as found" pare-distill t.gguf $short --layers 1 --cache cache -o c3.gguf
printf 'x' | dd of=cache bs=1 seek=$(($(wc -c <cache) - 5000)) conv=notrunc 2>/dev/null
check 0 "1 of 1 parts of the teacher's answers are damaged" \
    pare-distill t.gguf $short --mse 1 --cache cache -o c4.gguf
cmp cache cache-before && cmp plain.gguf c4.gguf || fail "a damaged cache is not made whole"
rm -f c4.gguf
check 0 "computed" pare-distill t.gguf $short --attention 1 --cache cache -o c3.gguf
check 0 "as found" pare-distill t.gguf $short --mse 1 --cache cache -o c3.gguf
cmp plain.gguf c3.gguf || fail "other bytes with a cache of more"
awk -F '\t' -v OFS='\t' 'NR > 1 { $2 = 1 } { print }' easy.tsv >relabelled.tsv
check 0 "as found" pare-distill t.gguf --train relabelled.tsv --layers 2 --epochs 1 \
    --cache cache -o c3.gguf
check 0 "the answers there are of another teacher; they are replaced" \
    pare-distill s.gguf $short --layers 1 --cache cache -o c3.gguf
check 0 "the answers there are about other texts; they are replaced" \
    pare-distill s.gguf --train data/train.tsv --epochs 1 --layers 1 --cache cache -o c3.gguf
grep -q "to 300 texts, computed" .out || fail "no word of the answers"
check 2 "no teacher cache" pare-distill t.gguf $short --cache data/train.tsv -o c4.gguf
check 2 "t.gguf: the output is the same file as the input t.gguf" \
    pare-distill t.gguf $short --cache t.gguf -o c4.gguf
check 5 "" pare-distill t.gguf $short --cache nowhere/cache -o c4.gguf

# Losses that need no answers ask for none, also with a file in the place of the cache.
echo mine >hard.gguf.teacher
check 0 "no loss looks at the teacher's answers: it is not asked" \
    pare-distill t.gguf $short --hard 1 --soft 0 -o hard.gguf
[ "$(cat hard.gguf.teacher)" = mine ] || fail "a file that was not asked for is touched"
check 0 "rate" pare-distill t.gguf $easy --layers 2 --hard 1 --soft 0 --find-lr --cache no.cache
absent no.cache

# A search for a rate needs no output, and leaves a stopped run's answers alone.
find="$easy --layers 2 --mse 1 --find-lr -q"
ls -A >before.txt
check 0 "rate" pare-distill t.gguf $find
check 0 "rate" pare-distill t.gguf $find -o found.gguf
ls -A | diff before.txt - || fail "--find-lr leaves files"
cp cache-before found.gguf.teacher
check 0 "rate" pare-distill t.gguf $find -o found.gguf
cmp cache-before found.gguf.teacher || fail "--find-lr removes a stopped run's answers"
check 0 "rate" pare-distill t.gguf $find --relation 1 -o found.gguf
[ -f found.gguf.teacher ] || fail "--find-lr removes a stopped run's answers, and more"
check 2 "leave --resume out" pare-distill t.gguf $find --resume -o found.gguf
check 2 "missing option: -o FILE" pare-distill t.gguf $easy

# A student goes on learning, or begins from nothing; a quantised teacher teaches too.
check 0 "60 of 60 right" pare-distill t.gguf $easy --init s.gguf --epochs 1 -o more.gguf
check 0 "student: distilbert, 1 layers of 48" pare-distill t.gguf $easy --init s.gguf \
    --epochs 1 --relation 1 --mse 1 -o more.gguf
check 0 "student: bert, 4 layers of 20" pare-distill t.gguf $easy --init random --family bert \
    --layers 4 --hidden 20 --heads 5 --ffn 120 --epochs 1 --cosine 1 -o random.gguf
check 0 "" pare-quantize -q t.gguf --scheme int8 -o t8.gguf
check 0 "60 of 60 right" pare-distill t8.gguf $easy --layers 1 --epochs 15 -o s8.gguf

# A student of other labels or another vocabulary would be asked about something else.
train="--train easy.tsv --epochs 1"
check 0 "" pare-train -q s.gguf $train --label positive --label negative -o turned.gguf
check 2 'label 0 is "positive" in turned.gguf, "negative" in the teacher t.gguf' \
    pare-distill t.gguf $easy --init turned.gguf -o d.gguf
check 0 "" pare-train -q s.gguf $train --label negative --label positive --label so \
    -o three.gguf
check 2 "three.gguf has 3 labels, the teacher t.gguf 2" \
    pare-distill t.gguf $easy --init three.gguf -o d.gguf
mkdir moved shorter cased
sed '20{h;d};21{G}' data/vocab.txt >moved/vocab.txt
sed '$d' data/vocab.txt >shorter/vocab.txt
cp data/vocab.txt cased && echo '{"do_lower_case": false}' >cased/tokenizer_config.json
for vocab in moved shorter cased; do
    check 0 "" pare-train -q --config small.json --vocab $vocab $train -o $vocab.gguf
done
check 2 "piece 19 of the vocabulary is" pare-distill t.gguf $easy --init moved.gguf -o d.gguf
check 2 "shorter.gguf has a vocabulary of" pare-distill t.gguf $easy --init shorter.gguf -o d.gguf
check 2 "differ in tokenizer.ggml.normalizer.lowercase" \
    pare-distill t.gguf $easy --init cased.gguf -o d.gguf

# What makes no sense.
wrong() {
    phrase=$1
    shift
    check 2 "$phrase" pare-distill t.gguf $easy "$@" -o d.gguf
}
check 2 "--train FILE is missing" pare-distill t.gguf -o d.gguf
check 2 "" pare-distill --train easy.tsv -o d.gguf
wrong "no loss has a weight" --hard 0 --soft 0
wrong "--soft" --soft -1
wrong "--temperature" --temperature 0
wrong "layer map 0:9: the student has states 0 to 2, the teacher 0 to 3" --mse 1 --map 0:9
wrong "layer map 3:0" --mse 1 --map 3:0
for map in 1 "" 1: :1 1:2: 1:2,, 1,2 "1:2,3" 1:-1 1:x "1:2 " 1:99999; do
    wrong "expected pairs such as" --mse 1 --map "$map"
done
wrong "expected a pair such as 1:5" --relation 1 --relation-blocks 0:1,1:2
wrong "relation of blocks 2:1" --relation 1 --relation-blocks 2:1
wrong "relation of blocks 0:3" --relation 1 --relation-blocks 0:3
wrong "5 relation heads do not divide" --relation 1 --relation-heads 5
wrong "--map is for --cosine, --mse and --first" --map 0:0 --relation 1
wrong "--project is for --cosine, --mse and --first" --project
wrong "--relation-blocks is for --relation and --attention" --relation-blocks 0:0 --mse 1
wrong "--relation-heads is for --relation and --attention" --relation-heads 2
wrong "--init random starts from none" --init random --from 0
wrong "--augment is text for the teacher to label" --soft 0 --augment 1
wrong "--unlabelled is text for the teacher to label" --soft 0 --unlabelled more.txt
wrong "there is no block 99" --from 0,99
wrong "2 blocks of the teacher for a student of 3" --from 0,1 --layers 3
for from in "" , 0, ,0 x -1 0:1 0,,1; do
    wrong "expected blocks such as" --from "$from"
done
wrong "number of blocks of 4" --layers 4
wrong "feed-forward width of 97" --ffn 97
wrong "hidden width of 64" --hidden 64
wrong "the teacher's heads are" --heads 3
wrong "not a multiple" --heads 7
wrong "--family" --family gpt
wrong "--state none" --state none --resume
wrong "--layers is for a new student" --init s.gguf --layers 2
wrong "--from is for a new student" --init s.gguf --from 0
wrong "--family bert is for a new student; the one in s.gguf is distilbert" \
    --init s.gguf --family bert
wrong "--family distilbert is for a new student" --init a1.gguf --family distilbert
check 5 "nothing.gguf" pare-distill t.gguf $easy --init nothing.gguf -o d.gguf
check 5 "nothing.gguf" pare-distill nothing.gguf $easy -o d.gguf
check 3 "easy.tsv" pare-distill easy.tsv $easy -o d.gguf
printf 'sentence\tlabel\nfine\t1\nodd\t2\n' >three.tsv
check 3 "three.tsv:3: label 2 is out of range" pare-distill t.gguf --train three.tsv -o d.gguf
check 3 " of 80: " pare-distill t.gguf $easy --epochs 20 --lr 1e3 --warmup 0 --clip 0 \
    --state none -o d.gguf
absent d.gguf

# Neither teacher nor student is written over, also through a link.
ln t.gguf link.gguf
for output in t.gguf link.gguf; do
    check 2 "" pare-distill t.gguf $easy -o $output
done
ln s.gguf slink.gguf
for output in s.gguf slink.gguf; do
    check 2 "" pare-distill t.gguf $easy --init s.gguf -o $output
done
cmp t.gguf teacher-before.gguf || fail "the teacher was changed"
ls -A | grep -E '\.tmp$|\.lock$' && fail "temporary files are left"
finish
