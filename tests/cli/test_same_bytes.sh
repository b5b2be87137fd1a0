# A short run of every kind of artefact: the same bytes for 1, 2, 3 and 7 threads and every
# CPU tier of this machine. Other compilers and machines: same_bytes.sh by hand.
. "$PARE_CLI/lib.sh"

check 0 ", 0 failed" sh "$PARE_CLI/same_bytes.sh" "$PARE_BIN"
finish
