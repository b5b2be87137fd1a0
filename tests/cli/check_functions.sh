#!/bin/sh
# Functions that must not be called (CONTRIBUTING.md): unsafe ones anywhere; printing,
# leaving, the system's allocator and the platform's libm in the libraries.
# usage: check_functions.sh SOURCE_FOLDER
set -u
cd "$1" || exit 2

# Prints the sources with comments and the insides of strings blanked, as file:line:text.
code_of() {
    awk '
        FNR == 1 { in_comment = 0 }
        {
            out = ""
            n = length($0)
            for (i = 1; i <= n; i++) {
                two = substr($0, i, 2)
                c = substr(two, 1, 1)
                if (in_comment) {
                    if (two == "*/") { in_comment = 0; i++ }
                } else if (two == "/*") { in_comment = 1; i++
                } else if (two == "//") { break
                } else if (c == "\"" || c == "\047") {
                    for (i++; i <= n && (d = substr($0, i, 1)) != c; i++)
                        if (d == "\\") i++
                    out = out c c
                } else out = out c
            }
            if (out ~ /[a-z_0-9][ \t]*\(/) print FILENAME ":" FNR ":" out
        }' "$@"
}

bad=0
forbid() { # what, why, folders, files that may, functions
    files=$(for folder in $3; do
        [ ! -d "$folder" ] || find "$folder" -type f \( -name '*.c' -o -name '*.h' \)
    done | LC_ALL=C sort | grep -vE "^($4)$")
    [ -n "$files" ] || return 0
    # shellcheck disable=SC2086
    hits=$(code_of $files | grep -E "(^|[^A-Za-z0-9_.>])($5)[ 	]*\(")
    [ -z "$hits" ] && return 0
    echo "$1: $2"
    echo "$hits"
    bad=1
}

everything='runtime libquant libprune libdistill datasets eval tools'
libraries='runtime libquant libprune libdistill datasets eval'
numbers='runtime libquant libprune libdistill datasets'

forbid unsafe 'no length, no error or not reentrant; use the bounded form' \
    "$everything" none \
    'strcpy|strcat|stpcpy|strncpy|strncat|sprintf|vsprintf|gets|atoi|atol|atoll|atof|strtok|scanf|sscanf|fscanf|tmpnam|tempnam|mktemp|alloca|rand|srand|random|setjmp|longjmp'
forbid processes 'a shell is never asked; the locale stays "C"' \
    "$everything" none 'system|popen|setlocale|vfork'
# Measuring happens in a child, before any thread was started; a table goes to the stream
# that its caller gave.
forbid processes 'a child cannot use OpenMP after its parent has' \
    "$everything" 'eval/measure\.c' 'fork'
forbid processes 'programs are started in one place, and only those beside this one' \
    "$everything" 'tools/(programs|pare)\.c' 'posix_spawnp?|exec[lv]p?e?|execvpe|fexecve|execveat'
forbid printing 'libraries return a status and a message' \
    "$libraries" 'eval/(measure|table)\.c' 'printf|fprintf|vprintf|puts|putchar|perror|exit|_exit|abort|signal'
forbid allocator 'memory comes from runtime/base/alloc.h' \
    "$libraries" 'runtime/base/(alloc|output)\.c' \
    'malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup|strndup'
forbid libm 'its bits differ between platforms; use the kernels' "$numbers" none \
    'expf?|exp2f?|expm1f?|logf?|log2f?|log10f?|log1pf?|powf?|tanhf?|erff?|sinf?|cosf?|tanf?|atanf?|sinhf?|coshf?|cbrtf?|hypotf?'
[ $bad -eq 0 ] && echo "no forbidden calls"
exit $bad
