#include "libprune/pattern.h"

#include <stdlib.h>
#include <string.h>

static enum pare_status refuse(const char *text, struct pare_error *err)
{
    return pare_fail(err, PARE_ERR_USAGE,
                     "sparsity \"%s\": expected a share like 50%% or 0.5, N:M like 2:4 "
                     "with M up to %d, or a share of blocks like 80%%/1x4 with rows and "
                     "columns of 1, 2, 4, 8, 16 or 32",
                     text, PARE_PATTERN_MOST);
}

/* A whole number from 1 to PARE_PATTERN_MOST up to `end`; 0: none. */
static size_t small_number(const char **at)
{
    char *end;
    if (**at < '1' || **at > '9')
        return 0;
    const unsigned long value = strtoul(*at, &end, 10);
    *at = end;
    return value <= PARE_PATTERN_MOST ? value : 0;
}

static int is_power_of_two(size_t n)
{
    return n && !(n & (n - 1));
}

static int parse_ratio(const char *text, struct pare_pattern *out)
{
    out->n = small_number(&text);
    if (!out->n || *text++ != ':')
        return 0;
    out->m = small_number(&text);
    out->sparsity = out->m ? 1 - (double)out->n / (double)out->m : 0;
    return out->n < out->m && !*text;
}

static int parse_blocks(const char *text, struct pare_pattern *out)
{
    out->rows = small_number(&text);
    if (!is_power_of_two(out->rows) || *text++ != 'x')
        return 0;
    out->columns = small_number(&text);
    return is_power_of_two(out->columns) && !*text;
}

static int parse_share(const char *text, struct pare_pattern *out)
{
    char *end;
    if ((*text < '0' || *text > '9') && *text != '.')
        return 0;
    out->sparsity = strtod(text, &end);
    if (*end == '%') {
        out->sparsity /= 100;
        end++;
    }
    if (!(out->sparsity >= 0 && out->sparsity < 1))
        return 0;
    return !*end || (*end == '/' && parse_blocks(end + 1, out));
}

enum pare_status pare_pattern_parse(const char *text, struct pare_pattern *out,
                                    struct pare_error *err)
{
    *out = (struct pare_pattern){.rows = 1, .columns = 1};
    const int good = strchr(text, ':') ? parse_ratio(text, out) : parse_share(text, out);
    return good ? PARE_OK : refuse(text, err);
}

enum pare_status pare_pattern_check(const struct pare_pattern *pattern, size_t N,
                                    size_t K, struct pare_error *err)
{
    if (pattern->m && K % pattern->m)
        return pare_fail(err, PARE_ERR_USAGE,
                         "%zu:%zu does not go with rows of %zu: %zu does not divide them",
                         pattern->n, pattern->m, K, pattern->m);
    if (K % pattern->columns || N % pattern->rows)
        return pare_fail(err, PARE_ERR_USAGE,
                         "blocks of %zux%zu do not divide a matrix of %zux%zu",
                         pattern->rows, pattern->columns, N, K);
    return PARE_OK;
}
