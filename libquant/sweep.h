/* The sweep over columns that GPTQ and SparseGPT share.
 *
 * The columns of W[N, K] are decided one after the other, in the order of the factor
 * (factor.h), each for all rows; what a decision costs is made up for by the columns that
 * are not decided yet. What a column becomes is the filling's business: the nearest codes
 * of a grid (GPTQ), the weight itself or zero (SparseGPT, Frantar and Alistarh 2023,
 * arXiv:2301.00774), or both.
 *
 * Work is done in units of about 128 columns. With E = W - Q for the columns before a
 * unit a .. b and S = E R, which matrix products keep up to date, the unit begins as
 *
 *     x = w + S_ab R_aa^-1
 *
 * and after column k of it became q_k, the later columns j of the unit follow with
 *
 *     x_j -= (x_k - q_k) T_kj,  T = diag(R_aa) R_aa^-1
 *
 * So when column k is decided, all columns of its unit hold what they would be then, and
 * without passes (below) results do not depend on how columns are cut into units. The
 * rows are cut into tiles of PARE_SWEEP_ROWS, whose columns are vectors.
 */
#ifndef PARE_LIBQUANT_SWEEP_H
#define PARE_LIBQUANT_SWEEP_H

#include "libquant/factor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_SWEEP_ROWS 64

/* Some columns of some rows, while they are decided. */
struct pare_sweep_tile {
    size_t row, rows;       /* `rows` of them from `row` on; at most PARE_SWEEP_ROWS */
    size_t column, columns; /* places in the factor's order */
    float *x;               /* [columns, PARE_SWEEP_ROWS], lane i is row row + i */
    const float *T;         /* [columns, columns], row stride ldt; NULL: not at hand */
    size_t ldt;
    const float *cost; /* [columns]: R_kk^2, what an error of 1 costs there */
};

/* What columns become. Functions may be called for several tiles at the same time, by
 * `worker` 0 .. pare_threads() - 1. */
struct pare_sweep_filling {
    void *context;
    /* Called for each tile before the first of every `group` columns is decided, with a
     * tile of just these (T is NULL when they are more than a unit); 0: never. */
    size_t group;
    void (*begin)(void *context, int worker, const struct pare_sweep_tile *tile);
    /* Called before the first of every `block` columns is decided, with the tiles of all
     * rows; 0: never. Not in parallel. */
    size_t block;
    enum pare_status (*choose)(void *context, const struct pare_sweep_tile *tiles,
                               size_t n, struct pare_error *err);
    /* Column k of the tile: q[lane] is what the weight of a row becomes, given x. codes
     * is NULL when the sweep has none. */
    void (*decide)(void *context, int worker, const struct pare_sweep_tile *tile,
                   size_t k, float *q, uint8_t *codes);
    /* So often the decisions of each unit are gone through again (improve.h). decide is
     * then called once more for each column, with other x; 0: never. */
    int passes;
};

struct pare_sweep {
    const struct pare_factor *factor;
    size_t N;
    const float *W; /* [N, K] */
    float *Q;       /* [N, K], in the order of the inputs again; not W */
    uint8_t *codes; /* [N, K], or NULL */
    double *loss;   /* [N]: (w - q) H' (w - q)^T of each row, not added to */
};

/* Bytes of scratch that it takes for each thread. */
size_t pare_sweep_worker_bytes(const struct pare_sweep_filling *filling, size_t K);

/* A group, if any, divides K, and either divides the block or is a multiple of it. In
 * parallel; the same bits for any number of threads. */
enum pare_status pare_sweep_run(const struct pare_sweep *sweep,
                                const struct pare_sweep_filling *filling,
                                struct pare_arena *scratch,
                                struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
