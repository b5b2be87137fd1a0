# pare-train.
. "$(dirname "$0")/lib.sh"

golden train-help pare-train --help

pare-sample -q --train 300 --dev 60 --seed 5 -o data || exit 2
sed 's/"n_layers": 2/"n_layers": 1/; s/"dim": 128/"dim": 48/; s/"hidden_dim": 512/"hidden_dim": 96/' \
    data/config.json >small.json
start="--config small.json --vocab data/vocab.txt --lr 2e-3 --batch 16 --seed 3"
data="--train data/train.tsv --dev data/dev.tsv"

# From nothing: it learns, names its labels, tells each epoch, leaves one file.
make_easy
check 0 "60 of 60 right on dev (100.00 %)" pare-train $start --train easy.tsv \
    --dev easy.tsv --epochs 19 --metrics m.jsonl -o a.gguf
absent a.gguf.state a.gguf.state.prev
check 0 "positive" pare-run a.gguf "the film is charming"
check 0 "negative" pare-run a.gguf "the room is really dull"
[ "$(grep -c '"kind":"update"' m.jsonl)" -eq 76 ] || fail "76 updates in the metrics"
[ "$(grep -c '"loss_hard":' m.jsonl)" -eq 95 ] || fail "the terms of the loss in the metrics"
[ "$(grep -c '"kind":"eval".*"dev_accuracy"' m.jsonl)" -eq 19 ] || fail "19 scores in the metrics"

# The same bytes for any number of threads and on every tier.
for threads in 1 2 3 7; do
    check 0 - pare-train -q $start $data --epochs 1 --threads $threads -o t$threads.gguf
    cmp t1.gguf t$threads.gguf || fail "$threads threads give other bytes"
done
for tier in scalar avx2 avx512 amx neon neondot neoni8mm; do
    pare-train -q $start $data --epochs 1 --cpu $tier -o tier.gguf 2>/dev/null || continue
    cmp t1.gguf tier.gguf || fail "tier $tier gives other bytes"
done
check 0 - pare-train -q $start $data --epochs 1 --seed 4 -o other.gguf
cmp -s t1.gguf other.gguf && fail "another seed gives the same bytes"

# Scores within an epoch, until none is better: the one that is kept is the best.
check 0 "update 6 of 760: dev " pare-train $start --train easy.tsv --dev easy.tsv \
    --epochs 190 --eval-every 6 --patience 3 --metrics p.jsonl -o p.gguf
grep -q "no score became better" .out || fail "no word of the early stop"
updates=$(sed -n '$s/.*"update":\([0-9]*\).*/\1/p' p.jsonl)
last_best=$(sed -n 's/.*"kind":"eval".*"update":\([0-9]*\).*"best":true.*/\1/p' p.jsonl | tail -1)
[ "$updates" -eq $((last_best + 18)) ] ||
    fail "best at $last_best, patience 3 of 6 updates, ended at $updates"
check 2 "no development data" pare-train $start --train easy.tsv --patience 3 -o p.gguf

# Rates by depth and time; frozen tensors; a glob of none.
check 0 - pare-train -q $start $data --epochs 1 --schedule cosine --layer-decay 0.8 \
    --freeze 'blk.0.*' --freeze 'token_embd*' -o frozen.gguf
pare-inspect --json frozen.gguf >frozen.json
grep -q 'layer_decay.*0\.8' frozen.json || fail "no layer decay in the history"
grep -q 'token_embd\*' frozen.json || fail "no globs in the history"
check 2 'matches "blk.7.*"' pare-train -q $start $data --freeze 'blk.7.*' -o g.gguf

# A search for a rate: a table, a suggestion, and no file, not even the metrics.
check 0 "suggested: --lr " pare-train $start $data --find-lr --metrics f.jsonl -o f.gguf
[ "$(grep -c '^ *[0-9.]*e-0[0-9] ' .out)" -gt 12 ] || fail "no table of rates"
absent f.gguf f.gguf.state f.jsonl
check 0 "suggested: --lr " pare-train -q $start $data --find-lr
check 2 "leave --resume out" pare-train $start $data --find-lr --resume
check 2 "missing option: -o FILE" pare-train $start $data

# Killed in the middle, six times, and resumed until it is through. The moments are
# counted in updates, not in seconds: any machine meets a job that is running.
long="$start $data --epochs 12 --eval-every 15 --ema 0.9 --checkpoint-every 2 --threads 1 -q"
check 0 - pare-train $long -o whole.gguf --metrics whole.jsonl
kills=0
while [ ! -f killed.gguf ]; do
    pare-train $long -o killed.gguf --metrics killed.jsonl --resume 2>/dev/null &
    job=$!
    if [ $kills -lt 6 ]; then
        wait_for_lines killed.jsonl $((kills * 31 + 7)) $job &&
            kill -9 $job 2>/dev/null && kills=$((kills + 1))
    fi
    wait $job 2>/dev/null
done
[ $kills -eq 6 ] || fail "only $kills kills hit a running job"
cmp whole.gguf killed.gguf || fail "killed and resumed: other bytes"
same_metrics whole.jsonl killed.jsonl || fail "killed and resumed: other metrics"
absent killed.gguf.state killed.gguf.state.prev

# For a number format and with a mask: stored in that format, the same bytes for any
# number of threads, and killed and resumed.
squeeze="$start $data --epochs 3 --sparsity 0.5 --qat int4 --group-size 0 --learn-scales -q"
check 0 - pare-train $squeeze --threads 1 -o squeezed.gguf
check 0 "int4/48" pare-inspect squeezed.gguf
check 0 - pare-train $squeeze --threads 3 -o squeezed3.gguf
cmp squeezed.gguf squeezed3.gguf || fail "compressed on 3 threads: other bytes"
for lines in 9 25 40; do
    pare-train $squeeze --checkpoint-every 2 -o again.gguf --metrics again.jsonl --resume \
        2>/dev/null &
    job=$!
    wait_for_lines again.jsonl $lines $job && kill -9 $job 2>/dev/null
    wait $job 2>/dev/null
done
pare-train $squeeze --checkpoint-every 2 -o again.gguf --resume 2>/dev/null ||
    fail "compressed and killed: not resumed"
cmp squeezed.gguf again.gguf || fail "compressed, killed and resumed: other bytes"
check 2 "--group-size 33: expected a multiple of 32" \
    pare-train $start $data --qat int4 --group-size 33 -o x.gguf
# Without the compression of the stopped run it does not go on.
pare-train $squeeze --checkpoint-every 2 -o stopped.gguf --metrics stopped.jsonl \
    2>/dev/null &
job=$!
wait_for_lines stopped.jsonl 9 $job && kill -9 $job 2>/dev/null
wait $job 2>/dev/null
check 2 "cannot resume: the stopped run had loss {" \
    pare-train $start $data --epochs 3 -q --resume -o stopped.gguf

# The scale of a whole tensor: late rows of the embedding, which a checkpoint catches up,
# count; and what is scored is what is stored.
ternary="$start $data --epochs 3 --qat ternary --ema 0.9 -q"
check 0 - pare-train $ternary -o ternary.gguf --metrics ternary.jsonl
check 0 - pare-train $ternary --checkpoint-every 1 -o often.gguf
cmp ternary.gguf often.gguf || fail "ternary: the bytes depend on the checkpoints"
check 0 "" pare-eval ternary.gguf --no-latency --data data/dev.tsv --json ternary.json
scored=$(sed -n 's/.*"dev_accuracy":\([0-9.]*\),.*"best":true.*/\1/p' ternary.jsonl | tail -1)
grep -q "\"accuracy\":[[:space:]]*$scored\b" ternary.json ||
    fail "scored $scored, but the file: $(grep '"accuracy"' ternary.json)"
check 2 "no scales to learn" pare-train $ternary --learn-scales -o d.gguf

# What was scored before the mask is complete, behind update 13 of 19, is not kept; and a
# run of one update prunes too.
check 0 - pare-train $start $data --epochs 1 --sparsity 0.9 --eval-every 1 -q \
    -o light.gguf --metrics light.jsonl
grep '"kind":"eval"' light.jsonl >evals.jsonl
[ "$(head -13 evals.jsonl | grep -c '"best":true')" -eq 0 ] ||
    fail "weights from before the last mask were kept"
[ "$(tail -6 evals.jsonl | grep -c '"best":true')" -gt 0 ] || fail "nothing was kept"
check 0 - pare-train $start $data --epochs 1 --batch 300 --sparsity 0.9 -q -o one.gguf
pare-inspect --json -s one.gguf | tr -d '\n\t' |
    grep -q '"name":"blk.0.ffn_up.weight"[^}]*"zeros":4147' || # nine tenths of 96 x 48
    fail "one update: $(pare-inspect -s one.gguf | grep ffn_up)"

# What would destroy a file is refused before anything is read.
cp data/dev.tsv dev.copy
check 2 "dev.tsv: this is not a resume file" \
    pare-train $start $data --state data/dev.tsv -o d.gguf
check 2 "train.tsv: the output is the same file as the input" \
    pare-train $start $data --metrics data/train.tsv -o d.gguf
check 2 "train.tsv: the output is the same file as the input" \
    pare-train $start $data -o data/train.tsv
check 2 "d.gguf: two outputs cannot have the same name" \
    pare-train $start $data --state d.gguf -o d.gguf
cmp data/dev.tsv dev.copy || fail "a file named as --state was changed"
absent d.gguf data/dev.tsv.prev

check 2 "without --qat" pare-train $start $data --group-size 64 -o d.gguf
check 2 'sparsity "1.0": expected a share like 50%' pare-train $start $data --sparsity 1.0 -o d.gguf
check 2 "blocks of 1x32 do not divide" pare-train $start $data --sparsity 50%/1x32 -o d.gguf
check 2 "pruned ternary" pare-train $start $data --qat ternary --sparsity 0.5 -o d.gguf
check 0 - pare-train $start $data --epochs 3 --sparsity 0.75 -q -o sparse.gguf
check 0 - pare-train sparse.gguf $data --epochs 1 --keep-zeros --qat int8 -q -o sparse8.gguf
# Half the weights are zeros: they compress to about half.
for model in t1 sparse; do
    gzip -c $model.gguf | wc -c >$model.size
done
[ "$(cat sparse.size)" -lt "$(cat t1.size)" ] || fail "no zeros after --sparsity 0.75"

# Metrics of another run are not continued when there is nothing to resume from.
printf '{"kind":"update","epoch":9,"update":999,"loss":1}\n' >again.jsonl
check 0 - pare-train -q $start --train easy.tsv --epochs 1 --resume \
    --metrics again.jsonl -o again.gguf
[ "$(grep -c . again.jsonl)" -eq 5 ] && ! grep -q 999 again.jsonl ||
    fail "--resume without a resume file: old metrics are there"

# SIGTERM: a resume file and exit code 143. Meanwhile the output is taken.
pare-train $start $data --epochs 200 --threads 1 -q -o term.gguf --metrics term.jsonl \
    2>term.txt &
job=$!
wait_for_lines term.jsonl 5 $job
check 6 "term.gguf.run: another process is writing this file" \
    pare-train $start $data --epochs 1 -o term.gguf
kill $job
wait $job
[ $? -eq 143 ] || fail "SIGTERM: exit code is not 143"
grep -q "resumes from term.gguf.state" term.txt || fail "SIGTERM: no word of the resume file"
absent term.gguf.run term.gguf.run.lock
[ -f term.gguf.state ] && [ ! -f term.gguf ] || fail "SIGTERM: resume file or no output"
check 2 "had learning rate 0.002, this one has 0.003" \
    pare-train $start $data --epochs 200 --lr 3e-3 -o term.gguf --resume
check 2 "had training data" pare-train $start --train data/dev.tsv --dev data/dev.tsv \
    --epochs 200 -o term.gguf --resume

# From a container: the classifier is kept, or replaced.
check 0 "a new classifier of 3 labels" pare-train a.gguf --train easy.tsv --epochs 5 \
    --lr 1e-3 -o b.gguf --label bad --label good --label negative
check 0 "good" pare-run b.gguf "the film is charming"
check 0 - pare-train -q a.gguf --train easy.tsv --epochs 1 --lr 1e-4 -o c.gguf
check 0 "positive" pare-run c.gguf "the film is charming"

# What makes no sense.
check 2 "--train FILE is missing" pare-train a.gguf -o d.gguf
check 2 "--config and --vocab" pare-train $data -o d.gguf
check 2 "--config is for training from nothing" pare-train a.gguf $start $data -o d.gguf
check 2 "--state none" pare-train $start $data -o d.gguf --state none --resume
check 2 "" pare-train a.gguf $data -o a.gguf
printf 'sentence\tlabel\nfine\t1\nodd\t2\n' >three.tsv
check 3 "three.tsv:3: label 2 is out of range" pare-train a.gguf --train three.tsv -o d.gguf
check 3 " of 30: the " pare-train a.gguf $data --lr 1e3 --warmup 0 --clip 0 -o d.gguf --state none
absent d.gguf
finish
