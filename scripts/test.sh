#!/bin/sh
# Installs what is missing, builds pare twice (as released; with AddressSanitizer and
# UndefinedBehaviorSanitizer) and runs all the tests with both.
# usage: scripts/test.sh
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh --tests

jobs=$(nproc)
for preset in release asan; do
    echo "== $preset: configure, build"
    cmake --preset $preset -DPARE_TESTS=ON
    cmake --build --preset $preset --parallel "$jobs"
    echo "== $preset: test"
    # One program at a time: the programs use threads themselves, and tests measure time.
    ctest --preset $preset
done
echo "== all tests passed, with and without sanitizers"
