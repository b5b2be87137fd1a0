# pare-report.
. "$(dirname "$0")/lib.sh"

# result NAME SIZE ACCURACY P50: a result against a baseline of 9 MB, 90 % and 20 ms.
latency() {
    echo "\"latency\":[{\"batch\":1,\"tokens\":64,\"threads\":2,\"repetitions\":9,
        \"p50_ms\":$1,\"p90_ms\":$1,\"p99_ms\":$1,\"tokens_per_s\":100}]"
}
result() {
    cat <<RESULT
{"pare_result":1,"version":"0.1.0","model":{"name":"$1.gguf","sha256":"$1","family":"bert",
 "layers":2,"hidden":64,"parameters":1000,"types":{"Q8_0":100},"history":[]},
 "size_bytes":$2,"memory_bytes":$2,"bits_per_weight":8.5,"load_ms":1.5,
 "peak_rss_bytes":9000000,"accuracy":$3,"accuracy_low":0.5,"accuracy_high":0.99,
 $(latency "$4"),"retention":0.99,"agreement":0.97,"kl":0.0123,"mcnemar_p":0.25,
 "data":{"name":"dev.tsv","sha256":"d","rows":872},
 "machine":{"cpu":"A CPU","tier":"avx2","processors":2},
 "protocol":{"threads":2,"batch":8,"max_length":128,"warmup":1,"repetitions":9},
 "baseline":{"model":{"name":"f32.gguf","sha256":"f32"},"size_bytes":9000000,
 "memory_bytes":9000000,"accuracy":0.9,$(latency 20)}}
RESULT
}
result int8 2500000 0.89 5 >int8.json
result q4 1250000 0.8 8 >q4.json

golden report-help pare-report --help
golden report-markdown pare-report int8.json q4.json --require 'size<=0.5x' \
    --require 'latency[1x64]<=6ms' --require 'f1>=0.5'

# Training runs.
update() { echo "{\"kind\":\"update\",\"epoch\":1,\"update\":$1,\"loss\":$2}"; }
score() { echo "{\"kind\":\"eval\",\"epoch\":1,\"update\":$1,\"dev_accuracy\":$2,\"dev_loss\":$3}"; }
{ update 1 0.7; update 2 0.5; score 2 0.6 0.55; update 3 0.3; score 3 0.55 0.5; } >run.jsonl
{ update 1 0.7; update 2 0.5; printf '{"kind":"up'; } >cut.jsonl
golden report-training pare-report int8.json --training run.jsonl --training cut.jsonl
check 0 "report: t.html" pare-report int8.json --training run.jsonl --html t.html
check 0 'id="training-loss-1-title"' cat t.html
echo broken >>cut.jsonl
check 3 "cut.jsonl:3: " pare-report int8.json --training cut.jsonl
check 5 "none.jsonl" pare-report int8.json --training none.jsonl
check 2 "run.jsonl" pare-report int8.json --training run.jsonl -o run.jsonl
check 0 '"update":3' cat run.jsonl

# What is sent, and what is zero.
sed 's/"load_ms"/"block_bits_per_weight":3.13,"sparsity":0.5,"download_bytes":900000,&/
    s/"accuracy":0.9,/"download_bytes":9000000,&/' int8.json >small.json
check 0 "pass  int8: required download<=0.1x, found 0.100x (900 kB of 9.00 MB)" \
    pare-report small.json -o r.md --require 'download<=0.1x' --require 'sparsity>=50%' \
    --require 'blockbits<=3.2'
check 7 "download<=0.1x, found not measured" pare-report q4.json -o r.md \
    --require 'download<=0.1x'
check 3 '"sparsity": ' sh -c 'sed "s/\"sparsity\":0.5/\"sparsity\":1.5/" small.json >bad.json
    pare-report bad.json'

# Exit codes of requirements.
check 0 "pass  int8: required size<=0.5x, found 0.278x (2.50 MB of 9.00 MB)" \
    pare-report int8.json -o r.md --require 'size<=0.5x' --require 'accuracy>=0.9x'
check 7 "q4: accuracy>=0.9x, found 0.889x (80.00 % of 90.00 %)" \
    pare-report int8.json q4.json -o r.md --require 'accuracy>=0.9x'
check 7 "f1>=0, found not measured" pare-report int8.json -o r.md --require 'f1>=0'
check 2 "unknown quantity; write QUANTITY[BxT] OPERATOR NUMBER[UNIT]" \
    pare-report int8.json --require 'speed>=2x'
check 2 "expected <=" pare-report int8.json --require 'size=1'

# The reports are written although a requirement is not met, and say so.
rm -f r.md
check 7 "report: r.html" pare-report int8.json -o r.md --html r.html --require 'size<=1B'
check 0 "✗ fail" cat r.md
check 0 "fail</td>" cat r.html
check 0 - pare-report -q int8.json q4.json -o r.md --html r.html --require 'size<=0.5x'
check 0 - pare-report -q int8.json q4.json -o s.md --html s.html --require 'size<=0.5x' \
    --threads 1 --cpu scalar
check 0 - cmp r.md s.md
check 0 - cmp r.html s.html
check 1 "" grep -iE '<script|https?://[^w]|<link|<img|@import|url\(' r.html

# Times that jump are said to.
check 1 "" grep -q unsteady r.md
sed 's/"p90_ms":5,/"p90_ms":50,/' int8.json >jump.json
check 0 "Times were unsteady" pare-report jump.json
sed 's/"p50_ms":20,"p90_ms":20,"p99_ms":20/"p50_ms":31,"p90_ms":31,"p99_ms":31/' q4.json >slow.json
check 0 "Times were unsteady" pare-report int8.json slow.json
sed 's/"p50_ms":20,"p90_ms":20,"p99_ms":20/"p50_ms":25,"p90_ms":25,"p99_ms":25/' q4.json >steady.json
pare-report int8.json steady.json | grep -q unsteady && fail "a quarter more is no jump"

# Inputs that are none, outputs that cannot be.
check 2 "RESULT.json" pare-report
check 5 "none.json" pare-report none.json
echo '{"pare_result":1,"accuracy":"good"}' >bad.json
check 3 'bad.json: "accuracy": expected a number' pare-report bad.json
echo '{}' >other.json
check 3 "other.json: no result file of pare-eval" pare-report int8.json other.json
check 2 "name the same file" pare-report int8.json -o r.md --html r.md
cp int8.json keep.json
check 2 "int8.json" pare-report int8.json --html int8.json
check 0 - cmp keep.json int8.json
check 5 "no/such/folder" pare-report int8.json -o no/such/folder/r.md
pare-report int8.json >/dev/full 2>err
[ $? -eq 5 ] || fail "standard output that takes nothing: expected exit code 5"

# A name that plays tricks with the terminal.
sed 's/int8.gguf/\\u001b[2J\\u202egguf/' int8.json >evil.json
pare-report evil.json -o r.md --require 'size<=0.5x' >out 2>&1
grep -q "$(printf '\033')" out r.md && fail "an escape sequence reached the terminal"
finish
