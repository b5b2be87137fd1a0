# Containers with sparse matrices, in every program.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"

make_sparse=$PARE_BIN/../tests/make_sparse
make_tiny
make_plain 60
forms=$("$make_sparse" list)
cat >data.tsv <<'END'
sentence	label
the film is very good .	2
a dull plot	0
not bad	1
the plot was sad	0
END

# Every form runs: the same numbers for any number of threads and on every tier.
for form in $forms; do
    file=$(echo "$form" | tr '/:' '__').gguf
    check 0 - "$make_sparse" tiny.gguf "$file" "$form"
    check 0 "blk.0.attn_q.weight      $form " pare-inspect "$file"
    check 0 '"parameters":	11443' pare-inspect "$file" --json
    pare-run "$file" "a funny film" --json --cpu scalar --threads 1 >scalar.json
    check 0 '"logits":[' cat scalar.json
    for tier in scalar avx2 avx512 avx512vbmi2 amx neon neondot neoni8mm; do
        pare-run "$file" "a funny film" --json --cpu $tier --threads 3 >tier.json 2>/dev/null ||
            continue
        check 0 - cmp scalar.json tier.json
    done
    check 0 '"logits":[' pare-run "$file" "a funny film" --json --precision bf16

    # pare-quantize leaves them alone, and makes the others smaller.
    check 0 - pare-quantize -q "$file" -s int8 -o q.gguf
    for name in "$file" q.gguf; do
        pare-inspect $name | sed '1,/^sparse matrix/d' >$name.txt
    done
    check 0 - cmp "$file.txt" q.gguf.txt
    check 0 - pare-quantize -q "$file" -s keep -o keep.gguf
    check 0 - sh -c 'pare-inspect keep.gguf | sed "1,/^sparse matrix/d" | cmp - "$1.txt"' sh "$file"
done
golden inspect-sparse pare-inspect int4_32_mask.gguf -t 'blk.0.ffn_*' -s --progress none
golden inspect-sparse-json pare-inspect F16_2_4.gguf -t 'blk.0.ffn_up*' --json
golden quantize-plan-sparse pare-quantize int3_32_2_4.gguf -s int8 --plan
check 0 "6 sparse matrices stay as they are" \
    pare-quantize F16_mask.gguf -s int4 -o q.gguf --progress none
check 2 "tensor blk.0.attn_q.weight is F16/mask already" \
    pare-quantize F16_mask.gguf -s int8 --override 'blk.0.attn_q*=int4' -o x.gguf
check 3 "tensor blk.0.attn_q.weight_values: a sparse matrix is not converted back" \
    pare-convert F16_mask.gguf -o x.gguf
absent x.gguf

# Nothing may be left of a matrix.
check 0 - pare-prune -q tiny.gguf -s 99.99% -o none.gguf
check 0 "blk.0.attn_q.weight      F16/mask       [32, 32]                    146 100.00 %" \
    pare-inspect none.gguf
check 0 '"logits":[' pare-run none.gguf "a funny film" --json

# A calibration walk, and formats for a size, see what is left to see.
check 0 "6 sparse matrices stay as they are" pare-quantize int5_32_4_8.gguf -s int4 \
    --calibration plain.txt -o q.gguf --progress none
check 0 "cls.weight                       [32, 32]         F32         int4/32 " \
    pare-quantize int5_32_4_8.gguf -s int4 --calibration plain.txt --plan
check 0 - pare-quantize -q int5_32_4_8.gguf -s int8 --activations static --smooth 0.5 \
    --calibration plain.txt -o q.gguf
check 0 '"logits":[' pare-run q.gguf "a funny film" --json
check 0 "sparse" pare-quantize I8_1_4.gguf --target-size 20000 --group-size 0 \
    --calibration plain.txt -o q.gguf --progress none
[ "$(wc -c <q.gguf)" -le 20000 ] || fail "$(wc -c <q.gguf) bytes instead of 20000"

# Evaluation says how much is not there; training and distillation start from the weights.
check 0 "zeros in blocks             50.00 %" pare-eval F16_2_4.gguf --baseline tiny.gguf \
    --data data.tsv --no-latency --progress none --json eval.json
grep -q '^	"sparsity":	0.5,' eval.json || fail "half of the blocks' weights are zero"
check 0 "" pare-train -q int4_32_mask.gguf --train data.tsv --epochs 1 -o trained.gguf
check 0 "45.8 kB" pare-inspect trained.gguf
check 0 "" pare-distill -q int8_32_4x1.gguf --train data.tsv --epochs 1 --layers 1 \
    -o student.gguf
finish
