# pare-prune, of heads, neurons, blocks and tokens.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"

# A classifier of three blocks that knows charming from dull.
pare-sample -q --train 300 --dev 60 --seed 5 -o data || exit 2
sed 's/"n_layers": 2/"n_layers": 3/; s/"dim": 128/"dim": 48/; s/"hidden_dim": 512/"hidden_dim": 96/' \
    data/config.json >small.json
make_easy
easy="--train easy.tsv --dev easy.tsv --lr 2e-3 --batch 16 --seed 3"
check 0 "60 of 60 right on dev (100.00 %)" pare-train --config small.json \
    --vocab data/vocab.txt $easy --epochs 19 -o t.gguf
sed 1d easy.tsv | cut -f 1 >easy.txt
text="--calibration data/train.tsv --samples 300"
bytes_of() { wc -c <"$1"; }

# What is planned is what is made.
check 0 "blk.1.ffn_down.weight            blk.2.ffn_down.weight            [48, 96]         [48, 64]" \
    pare-prune t.gguf --heads 2 --ffn 64 --layers 2 --plan
grep -q "blk.0.attn_q.weight .*\[48, 48\] *\[24, 48\]" .out || fail "no q of two heads in the plan"
grep -q "blk.1.attn_output.weight .*\[48, 48\] *\[48, 24\]" .out || fail "no output of two heads"
grep -q "blk.2" .out && ! grep -q "blk.1.*blk.2" .out && fail "a third block in the plan"
absent p.gguf
check 0 "2 of 3 blocks, 2 of 4 heads, 64 of 96 neurons" \
    pare-prune t.gguf --heads 2 --ffn 64 --layers 2 $text -o p.gguf --json p.json
check 0 "2 layers, hidden 48, 2 heads of 12, feed-forward 64" pare-inspect p.gguf
[ "$(bytes_of p.gguf)" -lt "$(bytes_of t.gguf)" ] || fail "p.gguf is not smaller"
for phrase in '"after":' '"output_error_dropped":' '"compensation":.true' '"kept":.64' '"groups":.4'; do
    grep -q "$phrase" p.json || fail "no $phrase in p.json"
done
check 0 "pare-prune" pare-inspect p.gguf

# The same bytes for any number of threads and tier.
for threads in 1 2 7; do
    check 0 - pare-prune -q t.gguf --heads 2 --ffn 64 --layers 2 $text --threads $threads -o q.gguf
    cmp p.gguf q.gguf || fail "$threads threads give other bytes"
done
for tier in scalar avx2 avx512 neon; do
    pare-prune -q t.gguf --heads 2 --ffn 64 --layers 2 $text --cpu $tier -o q.gguf 2>/dev/null || continue
    cmp p.gguf q.gguf || fail "tier $tier gives other bytes"
done

# Making up for what goes is worth it; half of the neurons of this model are of no use.
check 0 - pare-prune -q t.gguf --ffn 32 $text -o with.gguf --json with.json
check 0 - pare-prune -q t.gguf --ffn 32 $text --no-compensation -o without.gguf --json without.json
sum_of() { awk -F ': *' '/"output_error"/ { sum += $2 } END { print sum }' "$1"; }
awk -v a="$(sum_of with.json)" -v b="$(sum_of without.json)" 'BEGIN { exit !(a < 0.7 * b) }' ||
    fail "no smaller error: $(sum_of with.json) and $(sum_of without.json)"
check 0 "charming" pare-run with.gguf "the film is charming"
check 0 "accuracy" pare-eval with.gguf --baseline t.gguf --data easy.tsv --no-latency
awk '/accuracy/ && $2 < 95 { exit 1 }' .out || fail "the pruned model has forgotten"
cmp -s with.gguf without.gguf && fail "compensation changes nothing"
check 0 - pare-prune -q t.gguf --heads 2 --ffn 32 $text --correct 0.5 -o corrected.gguf
check 0 - pare-prune -q t.gguf --heads 2 --ffn 32 $text --correct 0.5 --threads 3 -o q.gguf
cmp corrected.gguf q.gguf || fail "3 threads give other bytes with --correct"
check 0 "accuracy" pare-eval corrected.gguf --data easy.tsv --no-latency
awk '/accuracy/ && $2 < 90 { exit 1 }' .out || fail "the corrected model has forgotten"
check 0 "1 of 4 heads, 64 of 96 neurons" pare-prune t.gguf --heads 1 --ffn 64 -o blind.gguf
check 0 "accuracy" pare-eval blind.gguf --data easy.tsv --no-latency

# Nothing that goes is nothing that changes: an input in half precision, all of it kept.
check 0 - pare-quantize -q t.gguf --scheme f16 -o half.gguf
check 0 - pare-prune -q half.gguf --heads 4 --ffn 96 --layers 3 -o same.gguf
pare-run --json half.gguf -i easy.txt >half.out && pare-run --json same.gguf -i easy.txt >same.out
cmp half.out same.out || fail "keeping all changes the predictions"
check 0 "92198 of 99218 parameters" pare-prune half.gguf --heads 3 $text --plan
check 0 - pare-prune -q half.gguf --heads 3 $text -o h3.gguf
check 0 "3 heads of 12" pare-inspect h3.gguf
grep -q "F16 .* tensors" .out || fail "h3.gguf is not in half precision"

# Blocks by name and by number; the text decides which.
check 0 - pare-prune -q t.gguf --layers 0,2 -o even.gguf
check 0 - pare-prune -q t.gguf --layers 2 -o number.gguf
check 0 - cmp even.gguf number.gguf
check 0 "2 of 3 blocks" pare-prune t.gguf --layers 2 $text -o chosen.gguf
check 0 "1 of 3 blocks" pare-prune t.gguf --layers 1 $text -o one.gguf

# The tokens of a text: a smaller file, and not a bit of its predictions changes.
check 0 "tokens" pare-prune t.gguf --vocab-of easy.tsv --vocab-characters used -o v.gguf
[ "$(bytes_of v.gguf)" -lt "$(bytes_of t.gguf)" ] || fail "v.gguf is not smaller"
without_ids() { sed 's/"token_ids":\[[0-9,]*\]//' "$1"; }
pare-run --json t.gguf -i easy.txt >t.out && pare-run --json v.gguf -i easy.txt >v.out
without_ids t.out >t.probs
without_ids v.out | cmp t.probs - || fail "predictions of the text have changed"
cmp -s t.out v.out && fail "the ids are the same"
check 0 - pare-prune -q t.gguf --vocab-of easy.tsv -o letters.gguf
[ "$(bytes_of v.gguf)" -lt "$(bytes_of letters.gguf)" ] || fail "characters take no room"
check 0 - pare-prune -q t.gguf --vocab-of easy.tsv --vocab-of data/dev.tsv -o two.gguf
[ "$(bytes_of letters.gguf)" -lt "$(bytes_of two.gguf)" ] || fail "a second text takes no room"
check 0 - pare-prune -q t.gguf --vocab-of easy.tsv --vocab-min-count 20 -o often.gguf
[ "$(bytes_of often.gguf)" -lt "$(bytes_of letters.gguf)" ] || fail "counts do not count"
pare-run --json two.gguf -i easy.txt >v.out
without_ids v.out | cmp t.probs - || fail "predictions with two texts have changed"

# All at once, and whatever takes an ordinary model takes it.
check 0 "1 of 3 blocks, 3 of 4 heads, 32 of 96 neurons" pare-prune t.gguf --layers 1 --heads 3 \
    --ffn 32 --vocab-of easy.tsv $text --damping 0.1 -o all.gguf
check 0 "60 of 60 right on dev (100.00 %)" pare-train all.gguf $easy --epochs 6 -o again.gguf
check 0 "3 heads of 12" pare-inspect again.gguf
check 0 - pare-quantize -q again.gguf --scheme int8 -o i8.gguf
check 0 "positive" pare-run i8.gguf "the film is charming"
check 0 - pare-quantize -q again.gguf --scheme int4 $text --group-size 0 -o i4.gguf
check 0 "accuracy" pare-eval i4.gguf --data easy.tsv --no-latency
check 0 - pare-distill -q p.gguf $easy --layers 1 --ffn 32 --epochs 1 --relation 1 --relation-heads 2 -o s.gguf
check 0 "2 heads of 12" pare-inspect s.gguf
check 0 "1 heads of 12, feed-forward 32" sh -c \
    "pare-prune -q again.gguf --heads 1 -o more.gguf && pare-inspect more.gguf"

# What cannot be.
cp t.gguf before.gguf
check 2 "--heads" pare-prune t.gguf --heads 0 -o no.gguf
check 2 "--heads 5: the model has 4" pare-prune t.gguf --heads 5 -o no.gguf
check 2 "--ffn 128: the model has 96" pare-prune t.gguf --ffn 128 -o no.gguf
check 2 "--ffn 40: expected a multiple of 32" pare-prune t.gguf --ffn 40 -o no.gguf
check 2 "--layers 4: the model has 3 blocks" pare-prune t.gguf --layers 4 -o no.gguf
check 2 "--layers 0: the model has 3 blocks" pare-prune t.gguf --layers 0 -o no.gguf
check 2 "there is no block 3" pare-prune t.gguf --layers 0,3 -o no.gguf
check 2 "blocks stay in their order" pare-prune t.gguf --layers 2,0 -o no.gguf
check 2 "expected blocks such as" pare-prune t.gguf --layers 1,x -o no.gguf
check 2 "two ways to prune" pare-prune t.gguf --heads 2 --sparsity 50% -o no.gguf
check 2 "--correct is for --heads" pare-prune t.gguf --heads 2 --correct 1 -o no.gguf
check 2 "goes with --heads" pare-prune t.gguf --no-compensation -o no.gguf
check 2 "are for --vocab-of" pare-prune t.gguf --heads 2 --vocab-min-count 2 -o no.gguf
check 2 "--no-compensation is for" pare-prune t.gguf --heads 2 --no-compensation -o no.gguf
check 2 "--calibration has no use" pare-prune t.gguf --layers 0,1 $text -o no.gguf
check 2 "--samples and --length are for --calibration" pare-prune t.gguf --heads 2 --samples 9 -o no.gguf
check 2 "-o OUTPUT is needed" pare-prune t.gguf --heads 2
check 2 "t.gguf" pare-prune t.gguf --heads 2 -o t.gguf
check 2 "easy.tsv" pare-prune t.gguf --vocab-of easy.tsv -o easy.tsv
check 2 "their own" pare-prune t.gguf --heads 2 -o no.gguf --json no.gguf
check 2 "tensor token_embd.weight is I8" pare-prune i8.gguf --heads 2 -o no.gguf
: >empty.txt
check 3 "empty.txt" pare-prune t.gguf --vocab-of empty.txt -o no.gguf
check 5 "nothing.txt" pare-prune t.gguf --vocab-of nothing.txt -o no.gguf
check 3 "96 inputs need as many" pare-prune t.gguf --ffn 32 --calibration easy.tsv --samples 20 -o no.gguf
absent no.gguf
check 0 - cmp t.gguf before.gguf
make_tiny
check 0 "20 of 48 neurons" pare-prune tiny.gguf --ffn 20 -o tiny20.gguf
pare-convert -q "$PARE_TEST_DATA/tiny-bert" -o bare.gguf || fail "pare-convert tiny-bert"
check 2 "no tokenizer to prune" pare-prune bare.gguf --vocab-of easy.txt -o no.gguf
check 0 "2 of 3 heads" pare-prune bare.gguf --heads 2 -o bare2.gguf
finish
