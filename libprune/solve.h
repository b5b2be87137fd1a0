/* Pruning one matrix W[N, K]: which weights become zero, and what the others become so
 * that the layer's outputs change little.
 *
 * MAGNITUDE: the smallest |w| of the matrix go, the others stay as they are.
 *
 * WANDA: the smallest |w_nk| sqrt(H_kk) of each row (of each row of blocks) go, the
 * others stay as they are (Sun et al. 2024, "A Simple and Effective Pruning Approach for
 * Large Language Models", arXiv:2306.11695, equation 1).
 *
 * SPARSEGPT: by the sweep of libquant/sweep.h (Frantar and Alistarh 2023,
 * arXiv:2301.00774, section 3). Of each step of columns and tile of rows those weights go
 * that cost least when the sweep comes there, each alone (chooser.h); later columns make
 * up for it, and passes of coordinate descent (libquant/improve.h) set the weights of a
 * unit that stay to what suits those that went. A weight that was zero may become another
 * one. Published steps are 128 columns of all rows and have the same share of zeros each
 * (`even`: but of 64 rows); here steps are smaller and their shares are what costs least
 * over the whole matrix, which measures far better (docs/RESULTS.md).
 *
 * KEEP: the weights that are zero stay zero, nothing else goes.
 *
 * With codes, what stays becomes the nearest code of its group's grid in the same sweep,
 * whose later columns make up for both kinds of error, as do its passes; what goes has
 * the code of 0, which nothing else changes. A mask that is not chosen by the sweep is
 * given to it. Grids are found for the weights that will stay.
 */
#ifndef PARE_LIBPRUNE_SOLVE_H
#define PARE_LIBPRUNE_SOLVE_H

#include "libprune/pattern.h"
#include "libquant/gptq.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_criterion {
    PARE_PRUNE_MAGNITUDE,
    PARE_PRUNE_WANDA,
    PARE_PRUNE_SPARSEGPT,
    PARE_PRUNE_KEEP,
};

struct pare_prune_options {
    struct pare_pattern pattern; /* not of KEEP */
    enum pare_criterion criterion;
    int passes; /* of SPARSEGPT, and with codes */
    int even;   /* SPARSEGPT with shares as published */
    /* How what stays is rounded, but for its passes; NULL: it is not. */
    const struct pare_gptq_options *codes;
};

#define PARE_PRUNE_PASSES 2

/* How what stays is best rounded to the target: PARE_SEARCH_COST, and grids of groups of
 * up to 64 on the way; with early ones there is a sweep without codes before. */
struct pare_gptq_options pare_prune_codes(const struct pare_target *target);

/* What a factor for rows of K has to be, in the order that measured best, with the
 * default damping. */
struct pare_factor_options pare_prune_order(const struct pare_prune_options *options,
                                            size_t K);

/* Whether 0 has a code in all grids of the target, as weights that go need it. */
int pare_prune_has_zero(const struct pare_target *target);

struct pare_prune_report {
    struct pare_quant_error error;
    size_t zeros; /* of Q */
    /* Of a sweep: sum of (w - q) H (w - q)^T, without damping; H = I for a factor that is
     * the fallback. */
    double loss;
};

/* Q[N, K] (not W) from W, and with codes, unless NULL, what is stored of it. The factor
 * is that of the inputs (MAGNITUDE and KEEP without codes: not used, may be NULL). In
 * parallel; the same bits for any number of threads. PARE_ERR_USAGE when the pattern or
 * the target does not fit, PARE_ERR_INPUT naming row and column when W is not finite, or
 * the row when a scale is beyond half precision. */
enum pare_status pare_prune(const struct pare_quant_rows *rows,
                            const struct pare_factor *factor,
                            const struct pare_prune_options *options, float *Q,
                            const struct pare_target_data *stored,
                            struct pare_prune_report *report, struct pare_arena *scratch,
                            struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
