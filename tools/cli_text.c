/* What the programs say: lines on standard error, sizes, and the nearest word to one that
 * is unknown. */
#include <stdarg.h>
#include <string.h>

#include "tools/cli_internal.h"

/* ---- spelling ----------------------------------------------------------------- */

/* Insertions, deletions, substitutions and swaps of neighbours between two short words.
 */
static size_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    size_t row[3][LONGEST + 1], m = strlen(a), n = strlen(b);
    if (m > LONGEST || n > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t *now = row[i % 3], *last = row[(i + 2) % 3], *older = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                older[j - 2] + 1 < best)
                best = older[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[m % 3][n];
}

const char *pare_cli_nearest(const char *word, const char *const *words, size_t count)
{
    size_t best = 1 + strlen(word) / 3, length = strlen(word);
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, words[i]);
        /* A beginning of at least two letters is what someone used to abbreviations
         * would type. */
        if (length >= 2 && !strncmp(word, words[i], length))
            distance = 1;
        if (distance < best || (distance == best && !nearest)) {
            best = distance;
            nearest = words[i];
        }
    }
    return nearest;
}

/* ---- messages ----------------------------------------------------------------- */

static void message(struct pare_cli *cli, const char *kind, const char *format,
                    va_list args)
{
    pare_cli_progress_hide(cli);
    fprintf(stderr, "%s: %s", cli->program->name, kind);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void pare_cli_warn(struct pare_cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    message(cli, "warning: ", format, args);
    va_end(args);
}

void pare_cli_info(struct pare_cli *cli, const char *format, ...)
{
    va_list args;
    if (cli->quiet)
        return;
    va_start(args, format);
    message(cli, "", format, args);
    va_end(args);
}

void pare_cli_detail(struct pare_cli *cli, const char *format, ...)
{
    va_list args;
    if (!cli->verbose)
        return;
    va_start(args, format);
    message(cli, "", format, args);
    va_end(args);
}

const char *pare_cli_bytes(uint64_t bytes, char out[24])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 999.5 && unit < 6; unit++)
        value /= 1000;
    snprintf(out, 24,
             unit == 0       ? "%.0f %s"
             : value < 9.995 ? "%.2f %s"
             : value < 99.95 ? "%.1f %s"
                             : "%.0f %s",
             value, units[unit]);
    return out;
}
