#!/bin/sh
# Proves that check_layering.sh and check_functions.sh notice: a tree that keeps the rules
# passes, and each planted violation fails and is named.
# usage: check_planted.sh SOURCE_FOLDER
set -u
layering="$1/tests/cli/check_layering.sh"
functions="$1/tests/cli/check_functions.sh"
tree=$(mktemp -d) || exit 2
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/runtime/base" "$tree/runtime/kernels" "$tree/runtime/text" \
    "$tree/runtime/checkpoint" "$tree/libquant" "$tree/eval" "$tree/tools" "$tree/datasets"
failures=0

put() { # file, include line
    printf '%s\n' '#include <stdio.h>' "$2" >"$tree/$1"
}

put runtime/base/error.c '#include "runtime/base/error.h"'
put runtime/kernels/row.c '#include "runtime/base/error.h"'
put runtime/text/words.c '#include "runtime/checkpoint/meta.h"'
put eval/score.c '#include "datasets/text.h"'
put tools/pare-x.c '#include "eval/score.h"'
clean() {
    sh "$layering" "$tree" >/dev/null && sh "$functions" "$tree" >/dev/null && return
    echo "a tree without violation fails"
    failures=1
}
clean

noticed() { # file, what was planted; the check's output is in $tree/out
    grep -q "^$1:2:" "$tree/out" && return
    echo "not noticed or not named: $1: $2"
    failures=1
}

while read -r file include; do
    put "$file" "$include"
    sh "$layering" "$tree" >"$tree/out" && echo passed >"$tree/out"
    noticed "$file" "$include"
    rm "$tree/$file"
done <<'PLANTED'
runtime/base/planted.c #include "runtime/tensor/tensor.h"
runtime/kernels/planted.c #include "runtime/base/alloc.h"
runtime/text/planted.h #include "runtime/checkpoint/checkpoint.h"
runtime/checkpoint/planted.c #include "runtime/model/model.h"
libquant/planted.c   #  include   "tools/cli.h"
libquant/planted.h #include "libprune/prune.h"
datasets/planted.c #include "eval/score.h"
eval/planted.c #include "libquant/rtn.h"
tools/planted.c #include "tests/support/folder.h"
tools/planted.c #include "cli.h"
tools/planted.c #include <runtime/base/error.h>
tools/planted.c #include "../runtime/base/error.h"
PLANTED

while read -r file call; do
    put "$file" "$call"
    sh "$functions" "$tree" >"$tree/out" && echo passed >"$tree/out"
    noticed "$file" "$call"
    rm "$tree/$file"
done <<'PLANTED'
tools/planted.c     strcpy(a, b);
tools/planted.c     x = atoi (text);
tools/planted.c     /* why */ sprintf(a, "%d", 1);
tools/planted.c     if (system("ls")) return;
libquant/planted.c     printf("done\n");
libquant/planted.c     x = "/*"; exit(1);
runtime/text/planted.c     p = malloc(3);
runtime/text/planted.h     y = expf(x);
datasets/planted.c     pid = fork();
tools/planted.c     error = posix_spawn(&pid, path, 0, 0, argv, environ);
tools/planted.c     execvp("ls", argv);
PLANTED
# What only looks like one is let through.
put libquant/planted.c '    pare_free(x); p->printf(1); s = "exit(1)"; /* malloc(3) */ // exp(x)'
clean
rm "$tree/libquant/planted.c"
exit $failures
