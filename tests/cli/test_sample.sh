# pare-sample.
. "$(dirname "$0")/lib.sh"

golden sample-help pare-sample --help
golden sample-no-output pare-sample
golden sample-small pare-sample --train 6 --dev 4 --seed 3 -o small
golden sample-small-train cat small/train.tsv
golden sample-small-config cat small/config.json

# The same bytes again, whatever the threads and the tier; other bytes for another seed.
check 0 - pare-sample -q --train 500 --dev 50 -o a
check 0 - pare-sample -q --train 500 --dev 50 -o b --threads 3 --cpu scalar
check 0 - pare-sample -q --train 500 --dev 50 -o c --seed 1
check 0 - diff -r a b
cmp -s a/train.tsv c/train.tsv && fail "another seed gave the same sentences"
check 0 - cmp a/vocab.txt c/vocab.txt
check 0 "551 total" sh -c 'cat a/train.tsv a/dev.tsv | grep -vc "^sentence.label$" |
    sed "s/$/ sentences/"; echo 551 total'
check 1 "" sh -c 'sed 1d a/train.tsv | grep -qxFf - a/dev.tsv && exit 0; exit 1'

check 2 "--train: expected an integer from 1 to" pare-sample --train 0 -o a
check 5 "cannot make the folder" pare-sample -o no/such/folder
: >file
check 5 "file" pare-sample -o file
finish
