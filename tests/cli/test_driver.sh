# pare: the driver.
. "$(dirname "$0")/lib.sh"

check 0 "  sample" pare
check 2 "pare: error: unknown verb 'sampel'; did you mean 'sample'?" pare sampel
check 2 "'pare' alone lists the verbs" pare xyzzy
check 2 "unknown verb '../pare-sample'" pare ../pare-sample
check 2 "unknown verb ''" pare ""
check 0 - pare sample -q --train 2 --dev 2 -o out
[ -f out/train.tsv ] || fail "pare sample wrote nothing"

# It starts what stands beside it, also through a link and with another PATH.
ln -s "$PARE_BIN/pare" link
check 0 "pare-sample 0." env PATH=/nowhere ./link sample --version
golden pare-help pare --help
finish
