# pare run RECIPE.json: what is refused before the first step, what is run again and what
# is not, and being stopped.
. "$(dirname "$0")/lib.sh"
. "$PARE_CLI/tiny_model.sh"

make_tiny
printf 'sentence\tlabel\nthe film was good\t1\nthe plot is bad\t0\na dull film\t0\n' >text.tsv

# recipe STEPS: mine.json with these steps, and a variable m (tiny.gguf) and n (none).
recipe() {
    printf '{"recipe": 1, "variables": {"m": "tiny.gguf", "n": null}, "steps": [%s]}\n' \
        "$1" >mine.json
}
refused() { # CODE PHRASE [arguments ...]
    expected_code=$1 expected_phrase=$2
    shift 2
    check "$expected_code" "$expected_phrase" pare run mine.json -o work --set n=1 "$@"
    absent work/recipe.state
}
quantize() { # options
    recipe '{"name": "q", "run": "quantize", "input": "$m", "options": {'"$1"'}}'
}
train() {
    recipe '{"name": "t", "run": "train", "input": "$m", "options": {"train": "text.tsv",
        '"$1"'}}'
}

# R01, R02: keys twice, and those that nobody knows.
quantize '"scheme": "int8", "scheme": "int4"'
refused 3 'mine.json: byte 147: the key "scheme" occurs twice in one object'
echo '{"recipe": 1, "recipe": 1, "steps": []}' >mine.json
refused 3 'the key "recipe" occurs twice'
quantize '"shceme": "int8"'
refused 3 "mine.json: step 'q': quantize has no option \"shceme\"; did you mean \"scheme\"?"
recipe '{"name": "q", "run": "quantize", "imput": "$m"}'
refused 3 "mine.json: step 'q': unknown key \"imput\"; did you mean \"input\"?"
echo '{"recipe": 1, "step": []}' >mine.json
refused 3 'mine.json: unknown key "step"; did you mean "steps"?'
recipe '{"name": "q", "run": "quantise", "input": "$m"}'
refused 3 "step 'q': \"run\": \"quantise\" cannot be a step; did you mean \"quantize\"?"
recipe '{"name": "q", "run": "inspect", "input": "$m"}'
refused 3 '"run": expected convert, train, distill, prune, quantize, eval, report or sample'
recipe '{"name": "q", "run": "quantize", "input": "${mm}"}'
refused 3 "there is no variable 'mm' among \"variables\"; did you mean 'm'?"
recipe '{"name": "q", "run": "quantize", "input": "$"}'
refused 3 'expected a variable behind the $'
quantize '"scheme": "int8", "threads": 2'
refused 3 'option "threads" is not for recipes'
quantize '"scheme": "int8", "plan": true'
refused 3 'option "plan" is not for recipes'

# R03, R04: numbers of bits and group sizes.
for value in '"int0"' '"int17"'; do
    quantize '"scheme": '"$value"
    refused 3 "step 'q': --scheme: expected one of keep, f32"
done
quantize '"scheme": 4'
refused 3 "step 'q': option \"scheme\": expected a string, found the number 4"
for value in 5.5 '"4"' true '[4]'; do
    quantize '"scheme": "int4", "group-size": '"$value"
    refused 3 "step 'q': option \"group-size\": "
done
quantize '"scheme": "int4", "group-size": "4"'
refused 3 'expected an integer, found the string "4"; numbers have no quotes'
for value in -32 40000; do
    quantize '"scheme": "int4", "group-size": '"$value"
    refused 3 "step 'q': --group-size: expected an integer from 0 to 32768, got '$value'"
done
quantize '"scheme": "int4", "group-size": 48'
refused 3 "step 'q': --group-size 48: expected a multiple of 32"
quantize '"scheme": "int4", "seed": 9007199254740993'
refused 3 'option "seed": 9007199254740992 is larger than what a JSON number holds exactly'

# R06: shares that are none, and numbers that are none.
for value in 1.0 '"100%"' '"NaN"' -0.5 '"5:4"'; do
    train '"sparsity": '"$value"
    refused 3 "mine.json: step 't': sparsity \""
    recipe '{"name": "p", "run": "prune", "input": "$m", "options": {"sparsity": '"$value"'}}'
    refused 3 "mine.json: step 'p': sparsity \""
done
recipe '{"name": "p", "run": "prune", "input": "$m"}'
refused 3 "step 'p': --sparsity is needed"
train '"lr": "NaN"'
refused 3 'option "lr": expected a number, found the string "NaN"'
train '"lr": 1e400'
refused 3 'a number too large for a double'
train '"lr": NaN'
refused 3 'mine.json: byte '
train '"lr": -1'
refused 3 "step 't': --lr: expected a number from"

# R07: an output that is an input, also by another name.
quantize '"scheme": "int8"'
mkdir work
cp tiny.gguf work/q.gguf
ln -s work/q.gguf symlink.gguf
ln work/q.gguf hardlink.gguf
for name in work/q.gguf ./work//q.gguf symlink.gguf hardlink.gguf; do
    refused 2 "step 'q': work/q.gguf: the output is the same file as the input $name" \
        --set m=$name
done
cp mine.json work/e.json
recipe '{"name": "e", "run": "eval", "input": "$m"}'
cp mine.json work/e.json
check 2 "the same file as the input work/e.json" pare run work/e.json -o work --set n=1
rm -r work
recipe '{"name": "q", "run": "quantize", "input": "$m", "output": "../tiny.gguf"}'
refused 3 '"output": "../tiny.gguf": expected the name of a file in the work folder'

# R08: steps that contradict each other.
q='{"name": "q", "run": "quantize", "input": "$m", "options": {"scheme": "int8"}}'
recipe '{"name": "a", "run": "quantize", "input": "@q", "options": {"scheme": "int8"}}, '"$q"
refused 3 "step 'a': \"@q\" comes later: move the step 'q' before this one"
recipe '{"name": "q", "run": "quantize", "input": "@q", "options": {"scheme": "int8"}}'
refused 3 "step 'q': \"@q\" is its own output"
recipe "$q, $q"
refused 3 "mine.json: step 2: the name 'q' is that of step 1 already"
recipe "$q"', {"name": "r", "run": "quantize", "input": "$m", "output": "q.gguf"}'
refused 3 "step 'r': its output q.gguf is that of the step 'q' already"
recipe "$q"', {"name": "p", "run": "prune", "input": "@q", "options": {"sparsity": "50%"}}'
refused 3 "step 'p': its input \"@q\" is quantised already: prune first"
recipe "$q"', {"name": "e", "run": "eval", "input": "@qq"}'
refused 3 "step 'e': \"@qq\": there is no step 'qq'; did you mean 'q'?"
recipe '{"name": "e", "run": "eval", "input": "$m"}, {"name": "f", "run": "eval", "input": "@e"}'
refused 3 "step 'f': its input \"@e\" is a result of eval; eval reads a model"
recipe '{"name": "e", "run": "eval", "input": "$m"},
    {"name": "f", "run": "eval", "input": "$m", "options": {"baseline": "@e"}}'
refused 3 "step 'f': option \"baseline\": expected a model, found work/e.json"
recipe '{"name": "d", "run": "distill", "options": {"train": "text.tsv"}}'
refused 3 "step 'd': distill needs an \"input\": the teacher"
recipe '{"name": "d", "run": "distill", "inputs": ["$m", "$m"], "options": {"train": "text.tsv"}}'
refused 3 "step 'd': distill takes one input, found 2 inputs"
recipe "$q"', {"name": "r", "run": "report", "input": "@q"}'
refused 3 "step 'r': its input \"@q\" is a model; report reads a result of eval"
recipe '{"name": "e", "run": "eval", "input": "$m"},
    {"name": "r", "run": "report", "input": "@e", "options": {"require": "size<=0.5y"}}'
refused 3 "step 'r': requirement 'size<=0.5y': unknown unit"
recipe '{"name": "e", "run": "eval", "input": "$m"},
    {"name": "r", "run": "report", "input": "@e", "options": {"training": "@e.metrics"}}'
refused 3 "step 'r': \"@e.metrics\": 'e' makes a result of eval and no \"metrics\""
train '"epochs": 1, "metrics": "m.jsonl"'
refused 3 'option "metrics": expected true'
quantize '"scheme": "int8", "asymmetric": false'
refused 3 'found false; leave the option out'
quantize '"scheme": "int8", "candidates": "int4,int8"'
refused 3 "step 'q': --candidates is for --target-size"

# What is not there, or no recipe at all.
quantize '"scheme": "int8"'
check 2 "the variable 'n' has no value; give it as --set n=VALUE" pare run mine.json -o work
refused 2 "mine.json has no variable 'nn'; did you mean 'n'?" --set nn=2
refused 2 '--set "n": expected NAME=VALUE' --set n
refused 2 "--until: there is no step 'x'" --until x
refused 2 "--again: there is no step 'qu'; did you mean 'q'?" --again qu
refused 5 "step 'q': none.gguf is not there" --set m=none.gguf
check 5 "none.json: cannot open" pare run none.json -o work
check 3 "tiny/config.json: this is no recipe" pare run tiny/config.json -o work
check 2 "missing option: -o FOLDER" pare run mine.json
check 2 "missing operand: expected RECIPE.json" pare-recipe -o work

# R05: a pattern without a tensor is found when there are tensors to compare it with.
for option in skip override; do
    quantize '"scheme": "int8", "'$option'": ["none.*'"$([ $option = skip ] || echo =int4)"'"]'
    check 2 'the pattern "none.*" matches no matrix' pare run mine.json -o work --set n=1
    grep -q "step 'q': pare-quantize ended with exit code 2" .out || fail "R05: $(cat .out)"
done
rm -r work

# Those that come with the programs are recipes; one is run below.
for file in "$PARE_CLI"/../../docs/recipes/*.json; do
    wanted=
    for name in teacher train dev test text; do
        ! grep -q "\"$name\": null" "$file" || wanted="$wanted --set $name=$(
            [ $name = teacher ] && echo tiny.gguf || echo text.tsv)"
    done
    # shellcheck disable=SC2086
    check 0 "pare report " pare run "$file" -o shipped --dry-run $wanted
    grep -q warning .out && fail "$file: $(cat .out)"
done

# The road, and the same again: nothing is run, no file is touched.
cat >road.json <<'END'
{"recipe": 1, "title": "The road",
 "variables": {"epochs": 2, "scheme": "int8", "most": "0.9x"},
 "steps": [
  {"name": "sample", "run": "sample", "options": {"train": 120, "dev": 40}},
  {"name": "teacher", "run": "train", "note": "a small one, from nothing",
   "options": {"config": "@sample/config.json", "vocab": "@sample/vocab.txt",
               "train": "@sample/train.tsv", "dev": "@sample/dev.tsv", "epochs": "$epochs",
               "lr": 5e-4, "label": ["negative", "po$$itive"], "metrics": true}},
  {"name": "small", "run": "quantize", "input": "@teacher",
   "options": {"scheme": "${scheme}", "json": true}},
  {"name": "measure", "run": "eval", "input": "@small",
   "options": {"baseline": "@teacher", "data": "@sample/dev.tsv", "no-latency": true}},
  {"name": "report", "run": "report", "inputs": ["@measure"],
   "options": {"training": "@teacher.metrics", "html": true, "require": ["size<=$most"]}}]}
END
golden recipe-dry-run pare run road.json -o work --dry-run
absent work
check 0 "5 steps run, 0 unchanged" pare run road.json -o work --progress none
check 0 "3 steps run" pare run "$PARE_CLI/../../docs/recipes/half-size-no-loss.json" -o shipped \
    --set teacher=work/teacher.gguf --set dev=work/sample/dev.tsv --set accuracy=0.1x --set agreement=0.1
grep -q "Half the size" shipped/report.html || fail "no report"
sums() { (cd work && find . -type f | LC_ALL=C sort | xargs sha256sum); }
sums >first
ls -lR --time-style=full-iso work >files
check 0 "0 steps run, 5 unchanged" pare run road.json -o work
ls -lR --time-style=full-iso work | diff files - || fail "a second run touched something"
[ "$(ls -A work | tr '\n' ' ')" = "measure.json recipe.state report.html report.md sample \
small.gguf small.sizes.json teacher.gguf teacher.metrics.jsonl " ] || fail "$(ls -A work)"
golden recipe-dry-run-again pare run road.json -o work --dry-run --set scheme=int4

# ran STEPS: those that --json says were run.
ran() {
    tr -d '\t\n' <out.json | sed 's/}, *{/\n/g' | sed -n 's/.*"name":"\([a-z]*\)".*"done".*/\1/p' | xargs
}
again() { # EXPECTED arguments ...
    expected_steps=$1
    shift
    check 0 "" pare run road.json -o work --json out.json "$@"
    [ "$(ran)" = "$expected_steps" ] || fail "$*: ran $(ran), expected $expected_steps"
}
again "small measure report" --set scheme=int4
again "small measure report"
again "measure report" --threads $(($(nproc) + 1)) # times would depend on them
again "measure report"
again "report" --set most=0.8x
again "measure report" --again measure
again "small" --again small # the same bytes: what comes behind it does not change
again "" --until teacher
again "teacher small measure report" --set epochs=1
again "teacher small" --until small
again "measure report"
sed 's/"lr": 5e-4, //; s/"epochs": "$epochs"/"lr": 0.0005, "epochs": "$epochs"/' road.json >order.json
check 0 "" pare run order.json -o work --dry-run
[ "$(grep -c ': unchanged$' .out)" -eq 5 ] || fail "another order of options: $(cat .out)"

# Whatever happens to an output, it is made again, and those that its bytes reach.
cp work/small.gguf kept.gguf
printf x | dd of=work/small.gguf bs=1 seek=2000 conv=notrunc 2>/dev/null
check 0 "small: quantize, its output is not what it wrote" pare run road.json -o work
check 0 - cmp work/small.gguf kept.gguf
rm work/small.gguf
check 0 "small: quantize, its output is missing" pare run road.json -o work
check 0 - cmp work/small.gguf kept.gguf
printf 'the film\t1\n' >>work/sample/dev.tsv
again "sample"
sed -i '1d' work/teacher.metrics.jsonl
again "teacher report"
echo '{"recipe_state": 1, "steps": 3' >work/recipe.state
check 0 "recipe.state: not what a run left there" pare run road.json -o work
grep -q "5 steps run" .out || fail "a damaged state: $(cat .out)"
sums | grep -E '(gguf|tsv|txt|config.json)$' >last
grep -E '(gguf|tsv|txt|config.json)$' first | diff - last || fail "other bytes at the end"

# An input of one's own counts with what is in it, not with its time.
cp tiny.gguf base.gguf
quantize '"scheme": "int8"'
set -- pare run mine.json -o own --set n=1 --set m=base.gguf
check 0 "1 step run" "$@"
touch base.gguf
check 0 "0 steps run, 1 unchanged" "$@"
pare-convert -q tiny --dtype f16 -o base.gguf
check 0 "its options or inputs have changed" "$@"
recipe '{"name": "c", "run": "convert", "input": "tiny/model.safetensors"}'
check 0 "1 step run" pare run mine.json -o own --set n=1
echo w38 >>tiny/vocab.txt # beside the checkpoint
check 3 "its options or inputs have changed" pare run mine.json -o own --set n=1

# A requirement that is not met; it is looked at again, and the report is there.
for turn in 1 2; do
    check 7 "step 'report': pare-report ended with exit code 7" \
        pare run road.json -o work --set most=0.01x
done
[ -s work/report.md ] || fail "no report of a requirement that is not met"
check 0 "report: report, " pare run road.json -o work

# What nothing uses is said; the last step needs no use.
recipe "$q"', {"name": "r", "run": "quantize", "input": "$m", "options": {"scheme": "int8"}}'
check 0 "warning: mine.json: step 'q': no later step uses what it makes" \
    pare run mine.json -o unused --set n=1
! grep -q "step 'r': no later" .out || fail "a warning of the last step"

# Pruned first and quantised then.
recipe '{"name": "p", "run": "prune", "input": "$m", "options": {"sparsity": "50%", "json": true}},
    {"name": "q", "run": "quantize", "input": "@p", "options": {"scheme": "int8"}}'
check 0 "2 steps run, 0 unchanged" pare run mine.json -o pruned --set n=1
[ -s pruned/p.sizes.json ] || fail "no sizes of what was pruned"

# Words that a shell would take for something else, and characters of our own.
recipe '{"name": "q", "run": "quantize", "input": "$m", "options":
    {"scheme": "int8", "skip": ["it'"'"'s $$m *", "@@x"]}}'
check 0 "pare quantize tiny.gguf --scheme int8 --skip 'it'\\''s \$m *' --skip @x -o dry/q.gguf" \
    pare run mine.json -o dry --set n=1 --dry-run

# Stopped: the signal reaches the program, which keeps its resume file; the same command
# goes on, to the bytes of a run that nobody stopped. Meanwhile nobody else works there.
cat >long.json <<'END'
{"recipe": 1, "variables": {"lr": 5e-4}, "steps": [
  {"name": "teacher", "run": "train",
   "options": {"config": "sample/config.json", "vocab": "sample", "train": "sample/train.tsv",
               "epochs": 30, "lr": "$lr", "label": ["negative", "positive"],
               "metrics": true}},
  {"name": "small", "run": "quantize", "input": "@teacher", "options": {"scheme": "int8"}}]}
END
pare-sample -q --train 200 --dev 10 -o sample
check 0 "" pare run long.json -o whole -q
for signal in INT TERM; do
    rm -rf stopped
    # A shell's background job ignores SIGINT unless told otherwise; env resets it.
    env --default-signal=INT pare run long.json -o stopped -q 2>err &
    pid=$!
    watchdog
    wait_for_lines stopped/teacher.metrics.jsonl 20 $pid || fail "it ended before it was stopped"
    check 6 "another process is writing this file" pare run long.json -o stopped
    # As timeout(1) does it: the second one must not cost the resume file.
    kill -s $signal $pid
    kill -s $signal $pid
    wait $pid
    code=$?
    kill $watch 2>/dev/null
    [ $code -eq $([ $signal = INT ] && echo 130 || echo 143) ] || fail "$signal: exit code $code"
    grep -q "stopped in the step 'teacher'; the same command goes on from there" err ||
        fail "$signal: $(cat err)"
    [ -s stopped/teacher.gguf.state ] || fail "$signal: no resume file"
    absent stopped/teacher.gguf stopped/recipe.run.lock
    check 0 "--resume" pare run long.json -o stopped --dry-run
    cp -r stopped changed
    check 0 "teacher: train, it did not end the last time" pare run long.json -o stopped
    check 0 - cmp stopped/teacher.gguf whole/teacher.gguf
    check 0 - cmp stopped/small.gguf whole/small.gguf
    same_metrics stopped/teacher.metrics.jsonl whole/teacher.metrics.jsonl ||
        fail "$signal: other metrics"
    absent stopped/teacher.gguf.state
done
# With other options it begins anew instead.
check 0 "teacher: train, it is new" pare run long.json -o changed --set lr=1e-3 --until teacher
! cmp -s changed/teacher.gguf whole/teacher.gguf || fail "another rate, and the same model"
finish
