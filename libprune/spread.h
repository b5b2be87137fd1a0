/* How much of each of several matrices is to go when all of them together lose a share of
 * their weights.
 *
 * What it costs that the cheapest weights of a matrix go, each alone, is a curve over
 * their share: the sum of the smallest scores. It is convex; so the shares for which all
 * curves together cost least are where all have the same slope (the Lagrangian's minimum,
 * as in libquant/allocate.h). With the squares of weights as scores this is one threshold
 * over all matrices; with what errors of each matrix do to the model's outputs as
 * factors, the sparsity is spread by sensitivity.
 */
#ifndef PARE_LIBPRUNE_SPREAD_H
#define PARE_LIBPRUNE_SPREAD_H

#include "libprune/solve.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_SPREAD_POINTS 256

struct pare_spread_curve {
    double weights; /* of the matrix */
    /* cost[j]: that j / PARE_SPREAD_POINTS of them go. */
    double cost[PARE_SPREAD_POINTS + 1];
};

/* The curve of blocks of W by w_k^2 R_kk^2 of the factor, or w_k^2 for NULL, within
 * 1 part in 128. The pattern is a share. */
enum pare_status
pare_spread_measure(const struct pare_quant_rows *rows, const struct pare_factor *factor,
                    const struct pare_pattern *pattern, struct pare_spread_curve *curve,
                    struct pare_arena *scratch, struct pare_error *err) PARE_CHECKED;

/* What it costs that a share goes. */
double pare_spread_cost(const struct pare_spread_curve *curve, double share);

/* shares[n] that sum up to `sparsity` of all weights and cost least, with factor[i]
 * (NULL: 1) times each curve; none above `most`, which is at least the sparsity. */
enum pare_status pare_spread(const struct pare_spread_curve *curves, const double *factor,
                             size_t n, double sparsity, double most, double *shares,
                             struct pare_arena *scratch,
                             struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
