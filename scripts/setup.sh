#!/bin/sh
# Installs what building pare needs and this machine lacks; does nothing, and needs no
# network, when nothing is missing. Debian and Ubuntu, as root or through sudo; elsewhere
# it prints what to install.
# usage: scripts/setup.sh [--tests]
set -eu

want_tests=no
case "${1:-}" in
'') ;;
--tests) want_tests=yes ;;
*)
    echo "usage: scripts/setup.sh [--tests]" >&2
    exit 2
    ;;
esac

have() {
    command -v "$1" >/dev/null 2>&1
}

# Each need is tested by what it is for, so that any way of having it counts.
compiles_openmp() {
    folder=$(mktemp -d)
    printf '#include <omp.h>\n#include <stdio.h>\nint main(void){return omp_get_max_threads() < 1;}\n' \
        >"$folder/t.c"
    status=0
    cc -fopenmp "$folder/t.c" -o "$folder/t" >"$folder/log" 2>&1 || status=1
    rm -rf "$folder"
    return $status
}
recent_cmake() {
    have cmake && cmake --version | awk 'NR == 1 {
        split($3, v, "."); exit !(v[1] > 3 || (v[1] == 3 && v[2] >= 22)) }'
}
library() {
    have pkg-config && pkg-config --exists "$1"
}

packages=
need() { # package, then the command that tells whether it is needed
    package=$1
    shift
    "$@" || packages="$packages $package"
}
need gcc have cc
need libc6-dev compiles_openmp
need cmake recent_cmake
need ninja-build have ninja
need pkg-config have pkg-config
need zlib1g-dev library zlib
need libcjson-dev library libcjson
if [ "$want_tests" = yes ]; then
    # libasan and libubsan come with gcc.
    need libcriterion-dev library criterion
fi

if [ -z "$packages" ]; then
    echo "setup: everything is there, nothing to install"
    exit 0
fi
echo "setup: missing:$packages"

if ! have apt-get; then
    cat >&2 <<'LIST'
setup: this is no Debian or Ubuntu; please install, then run this again:
  a C compiler with OpenMP, cmake >= 3.22, ninja, pkg-config, zlib, cJSON; Criterion for tests
  Fedora:  dnf install gcc cmake ninja-build pkgconf zlib-devel cjson-devel criterion-devel
  Arch:    pacman -S gcc cmake ninja pkgconf zlib cjson criterion
  Alpine:  apk add gcc musl-dev linux-headers cmake ninja pkgconf zlib-dev cjson-dev
LIST
    exit 1
fi

if [ "$(id -u)" -eq 0 ]; then
    root=
elif have sudo; then
    root=sudo
else
    echo "setup: not root and no sudo; as root, run: apt-get install$packages" >&2
    exit 1
fi
echo "setup: running apt-get update and apt-get install$packages"
$root env DEBIAN_FRONTEND=noninteractive apt-get update -q ||
    echo "setup: apt-get update failed; trying with the package lists there are" >&2
# shellcheck disable=SC2086
$root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends $packages
echo "setup: done"
