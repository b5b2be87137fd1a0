/* Pruning one matrix W[N, K]: which weights become zero, and what the others become so
 * that the layer's outputs change little.
 *
 * MAGNITUDE: the smallest |w| of the matrix go, the others stay as they are.
 *
 * WANDA: the smallest |w_nk| sqrt(H_kk) of each row (of each row of blocks) go, the
 * others stay as they are (Sun et al. 2024, "A Simple and Effective Pruning Approach for
 * Large Language Models", arXiv:2306.11695, equation 1).
 *
 * SPARSEGPT: by the sweep of libquant/sweep.h. Of each block of up to 128 columns and 64
 * rows those weights go that cost least there, each alone, x_k^2 R_kk^2 (of N:M: of each
 * m of a row); later columns make up for it (Frantar and Alistarh 2023, arXiv:2301.00774,
 * section 3, whose blocks are of all rows), and passes of coordinate descent
 * (libquant/improve.h) set the weights of a unit that stay to what suits those that went.
 * A weight that was zero may become another one.
 */
#ifndef PARE_LIBPRUNE_SOLVE_H
#define PARE_LIBPRUNE_SOLVE_H

#include "libprune/pattern.h"
#include "libquant/factor.h"
#include "libquant/rtn.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_criterion { PARE_PRUNE_MAGNITUDE, PARE_PRUNE_WANDA, PARE_PRUNE_SPARSEGPT };

struct pare_prune_options {
    struct pare_pattern pattern;
    enum pare_criterion criterion;
    int passes; /* of SPARSEGPT */
};

#define PARE_PRUNE_PASSES 2

/* The order of columns that a factor for SPARSEGPT must keep together, and what measured
 * best. */
enum pare_order pare_prune_order(const struct pare_pattern *pattern, size_t *group);

struct pare_prune_report {
    size_t zeros; /* of Q */
    double loss;  /* of SPARSEGPT: sum of (w - q) H (w - q)^T, without damping */
};

/* Q[N, K] (not W) from W. The factor is that of the inputs (MAGNITUDE: not used, may be
 * NULL). In parallel; the same bits for any number of threads. PARE_ERR_USAGE when the
 * pattern does not fit, PARE_ERR_INPUT naming row and column when W is not finite. */
enum pare_status pare_prune(const struct pare_quant_rows *rows,
                            const struct pare_factor *factor,
                            const struct pare_prune_options *options, float *Q,
                            struct pare_prune_report *report, struct pare_arena *scratch,
                            struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
