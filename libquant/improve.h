/* Better decisions of a sweep's unit, once all its columns have been decided.
 *
 * The cost of a sweep is a sum over units (factor.h): with x what the columns a .. b
 * would be if they were not decided, theirs is
 *
 *     |(x - q) R_aa|^2 = (x - q) M (x - q)^T,   M = R_aa R_aa^T
 *
 * since the columns behind them make up for the rest. GPTQ's column after column is
 * Babai's nearest plane for that closest vector; coordinate descent goes on from there:
 * with all other columns as they are, column k is best where it is nearest to
 *
 *     q_k + ((x - q) M)_k / M_kk
 *
 * (Behdin et al. 2023, "QuantEase", arXiv:2309.01885, equation 11, who do so for the
 * whole row with H; inside a unit M counts what later columns can still do, and a pass
 * costs as much as deciding did). No pass makes the cost larger.
 */
#ifndef PARE_LIBQUANT_IMPROVE_H
#define PARE_LIBQUANT_IMPROVE_H

#include "libquant/sweep.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What pare_sweep_improve works with, all [columns, PARE_SWEEP_ROWS] but `gemm`. */
struct pare_improve_space {
    float *e, *g;
    float *gemm; /* scratch of pare_gemm_one for columns x PARE_SWEEP_ROWS x columns */
};

/* filling->passes passes over the tile's columns. tile->x is x, M [columns, columns], q
 * and codes (or NULL) the decisions as they are and then as they become; what the cost of
 * each row changes by is added to loss[lane]. */
void pare_sweep_improve(const struct pare_sweep_filling *filling, int worker,
                        const struct pare_sweep_tile *tile, const float *M, float *q,
                        uint8_t *codes, float *loss,
                        const struct pare_improve_space *space);

#ifdef __cplusplus
}
#endif
#endif
