/* Which weights of a matrix W[N, K] may become zero together. */
#ifndef PARE_LIBPRUNE_PATTERN_H
#define PARE_LIBPRUNE_PATTERN_H

#include <stddef.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Unstructured, or blocks of rows x columns that stay or go as one: `sparsity` of them
 * go. Or N:M: of every m neighbours along K n stay. */
struct pare_pattern {
    double sparsity; /* 0 to below 1; of N:M: 1 - n / m */
    size_t n, m;     /* m 0: not N:M */
    size_t rows, columns;
};

#define PARE_PATTERN_MOST 32 /* m, rows and columns are no larger */

/* "50%", "0.5", "2:4", "80%/1x4", "0.8/16x1". PARE_ERR_USAGE says what is expected. */
enum pare_status pare_pattern_parse(const char *text, struct pare_pattern *out,
                                    struct pare_error *err) PARE_CHECKED;

/* PARE_ERR_USAGE when rows of K weights cannot have it: m or columns does not divide K,
 * or rows N. */
enum pare_status pare_pattern_check(const struct pare_pattern *pattern, size_t N,
                                    size_t K, struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
