# cmake --install: everything is there, and a program of someone else's builds with what
# pkg-config says.
. "$(dirname "$0")/lib.sh"
build=$PARE_BIN/..

check 0 "" cmake --install "$build" --prefix "$work/there"
for program in "$PARE_BIN"/pare "$PARE_BIN"/pare-*; do
    name=$(basename "$program")
    [ -x "there/bin/$name" ] || fail "$name is not installed"
    [ -s "there/share/man/man1/$name.1" ] || fail "$name has no man page"
done
for file in README.md NEWS.md LICENSE ARCHITECTURE.md RELIABILITY.md; do
    [ -s "there/share/doc/pare/$file" ] || fail "$file is not installed"
done

for file in "$PARE_CLI"/../../docs/recipes/*.json; do
    cmp "$file" "there/share/pare/recipes/$(basename "$file")" || fail "$file is not installed"
done
# A recipe is found by its name, beside the programs.
check 2 "the variable 'teacher' has no value" there/bin/pare run half-size-no-loss.json -o half
check 5 "none.json: cannot open" there/bin/pare run none.json -o half

if grep -q '^PARE_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt"; then
    echo "skipped: a program against a library with sanitizers"
    finish
fi
cat >user.c <<'END'
#include <datasets/sample.h>
#include <runtime/base/json.h>
#include <runtime/kernels/kernels.h>
#include <stdio.h>

int main(void)
{
    char text[PARE_SAMPLE_TEXT_SIZE];
    cJSON *value;
    struct pare_error err;
    if (pare_json_parse("{}", 2, "text", &value, &err) != PARE_OK)
        return 1;
    cJSON_Delete(value);
    printf("%s, %d\n", pare_kernels()->tier, pare_sample_sentence(0, 0, 1, text) > 0);
    return 0;
}
END
pc=$(dirname "$(find "$work/there" -name pare.pc)")
flags=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs pare) || fail "pkg-config"
compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
# shellcheck disable=SC2086
check 0 - "$compiler" -Wall -Wextra -Werror user.c -o user $flags
LD_LIBRARY_PATH=$(dirname "$pc") check 0 ", 1" ./user
finish
