/* Round to nearest in grids that are searched for: the codes of W[N, K] one by one, in
 * the grids that cost least of those that fit.h and superfit.h try, by
 *
 *     sum over k of c_k (w_k - Q_k)^2
 *
 * With c_k = 1 this is rounding with the least squared error; with c_k = h_kk, the second
 * moments of the inputs, what an error changes the layer's outputs by when the inputs do
 * not know each other ("importance").
 */
#ifndef PARE_LIBQUANT_NEAREST_H
#define PARE_LIBQUANT_NEAREST_H

#include "libquant/grids.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_nearest {
    struct pare_target target;
    enum pare_search search; /* RANGE, SQUARES, NORM; COST with `cost` */
    const float *cost;       /* [K] */
    int candidates;          /* unless RANGE */
    float step;
};

/* SQUARES, or COST when there are costs. */
struct pare_nearest pare_nearest_defaults(const struct pare_target *target,
                                          const float *cost);

/* Q[N, K], the floats that the stored form decodes to, and, unless NULL, that form. A
 * scale for a whole matrix (ternary, group 0) is not such a grid: it becomes one a row.
 * In parallel; the same bytes for any number of threads and slices of rows.
 * PARE_ERR_INPUT as pare_grids_measure. */
enum pare_status pare_nearest_round(const struct pare_nearest *nearest,
                                    const struct pare_quant_rows *rows, float *Q,
                                    const struct pare_target_data *stored,
                                    struct pare_quant_error *error,
                                    struct pare_error *err) PARE_CHECKED;

/* Q[N, K] becomes what W is stored as where no search was asked for: in searched grids of
 * super-blocks, in the grids of rtn.h and grid.h else. Q may be W. */
enum pare_status pare_nearest_plain(const struct pare_target *target,
                                    const struct pare_quant_rows *rows, float *Q,
                                    struct pare_error *err) PARE_CHECKED;

/* cost[K] from the second moments, with a mean of 1, and `damping` added so that inputs
 * that were always zero cost something. 0, and ones, when the moments are of no use. */
int pare_nearest_costs(const struct pare_gram *gram, double damping, float *cost);

/* Stores rows of blocks (a TYPE with scales in half precision) whose floats nobody wants:
 * by SQUARES those of super-blocks, by RANGE those of 32 weights. */
enum pare_status pare_nearest_blocks(const struct pare_target *target,
                                     const struct pare_quant_rows *rows, void *data,
                                     struct pare_quant_error *error,
                                     struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
