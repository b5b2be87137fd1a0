/* GPTQ (Frantar, Ashkboos, Hoefler, Alistarh 2023, arXiv:2210.17323): the codes of W[N,
 * K] such that the layer's outputs change little, by the sweep of sweep.h with
 *
 *     q_k = the value nearest to x_k in the grid of its group
 *
 * and passes of coordinate descent over the codes of each unit (improve.h). Without
 * passes it is the published algorithm.
 *
 * The grid of a group is found (fit.h) when the sweep reaches it, for what its weights
 * are then; or, with early grids, before the sweep, for the weights as they are given.
 * Early grids let columns of all groups mix in the order ("static act-order"). The scales
 * that the groups of a super-block share (superfit.h) are always found before the sweep.
 *
 * Round to nearest is what comes out of a factor that is the fallback, with the same
 * grids.
 */
#ifndef PARE_LIBQUANT_GPTQ_H
#define PARE_LIBQUANT_GPTQ_H

#include "libquant/grids.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_gptq_options {
    struct pare_target target;
    enum pare_search search;
    int candidates; /* grids that are tried, unless RANGE */
    float step;     /* each so much smaller than the one before; candidates step < 1 */
    int early;      /* grids before the sweep */
    int passes;     /* that improve the codes (improve.h) */
};

#define PARE_GPTQ_PASSES 1

/* What measured best (docs/RESULTS.md): PARE_GPTQ_PASSES; grids on the way, in
 * PARE_ORDER_GROUPS, for up to 3 bits and in super-blocks; else early grids, in
 * PARE_ORDER_ALL, from 4 bits on. Late grids are better when the order has to be
 * PARE_ORDER_GROUPS. */
struct pare_gptq_options pare_gptq_defaults(const struct pare_target *target);
enum pare_order pare_gptq_default_order(const struct pare_target *target);

/* Bytes of scratch that pare_gptq takes for each thread. */
size_t pare_gptq_worker_bytes(const struct pare_gptq_options *options, size_t K);

struct pare_gptq_report {
    struct pare_quant_error error; /* added to */
    /* Sum over rows of (w - q) H (w - q)^T, without damping, H = I for a factor that is
     * the fallback; added to. */
    double loss;
};

/* Solves for Q[N, K], the floats that the stored form decodes to, and stores it; `stored`
 * may be NULL, Q may not. The factor is that of the inputs; its order must keep groups
 * together unless grids are early, there is one group a row, or the target is PUBLISHED.
 * In parallel; the same bytes for any number of threads. PARE_ERR_INPUT naming row and
 * column when W is not finite, or the row when a scale is beyond half precision.
 */
enum pare_status pare_gptq(const struct pare_quant_rows *rows,
                           const struct pare_factor *factor,
                           const struct pare_gptq_options *options, float *Q,
                           const struct pare_target_data *stored,
                           struct pare_gptq_report *report, struct pare_arena *scratch,
                           struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
