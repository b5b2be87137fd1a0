/* Which weights go by what each of them is worth. Private to libprune. */
#ifndef PARE_LIBPRUNE_SCORES_H
#define PARE_LIBPRUNE_SCORES_H

#include "libprune/solve.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Q is W where a weight stays, 0 where it goes by MAGNITUDE or WANDA. In parallel. */
enum pare_status pare_prune_by_score(const struct pare_quant_rows *rows,
                                     const struct pare_factor *factor,
                                     const struct pare_pattern *pattern,
                                     enum pare_criterion criterion, float *Q,
                                     struct pare_arena *scratch,
                                     struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
