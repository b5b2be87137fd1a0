/* The grids of all groups of a matrix, while codes are chosen for it.
 */
#ifndef PARE_LIBQUANT_GRIDS_H
#define PARE_LIBQUANT_GRIDS_H

#include "libquant/superfit.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_grids {
    struct pare_target target;
    struct pare_fit fit;
    size_t N, K, group, groups;              /* groups of a row */
    size_t lanes;                            /* N, rounded up to whole tiles */
    float *scale, *offset, *inverse, *shift; /* [groups, lanes] */
    float *d, *dmin; /* [K / fit.lattice.super, lanes], if there are any */
    size_t piece;    /* columns that are fitted together */
    float *scratch;  /* [2, piece, PARE_SWEEP_ROWS] a worker */
};

/* Memory from the arena. PARE_ERR_USAGE when the target does not fit rows of K. */
enum pare_status pare_grids_init(struct pare_grids *grids,
                                 const struct pare_target *target, size_t N, size_t K,
                                 struct pare_arena *arena,
                                 struct pare_error *err) PARE_CHECKED;

/* Bytes that it takes for each thread. */
size_t pare_grids_worker_bytes(const struct pare_target *target, size_t K);

/* All grids for these weights; cost[K], of errors at each input, may be NULL where the
 * search has no use for it. In parallel. */
void pare_grids_fit(struct pare_grids *grids, const float *W, const float *cost);
/* Those of one group for the tile, all its columns being that group. When there are
 * super-blocks, they have been fitted, and stay. */
void pare_grids_fit_group(struct pare_grids *grids, int worker, size_t group,
                          const struct pare_sweep_tile *tile);

/* The grids of a group from a row on. */
struct pare_lane_grid pare_grids_of(const struct pare_grids *grids, size_t group,
                                    size_t row);

/* Stores codes[N, K]. In parallel. */
void pare_grids_store(const struct pare_grids *grids, const uint8_t *codes,
                      const struct pare_target_data *out);

/* Adds the errors of Q[N, K]. In parallel. PARE_ERR_INPUT naming row and column when W is
 * not finite, or the row when Q is not: a scale was beyond half precision. */
enum pare_status pare_grids_measure(const struct pare_quant_rows *rows, const float *Q,
                                    struct pare_quant_error *error,
                                    struct pare_arena *scratch,
                                    struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
