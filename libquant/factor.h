/* What the errors of a layer's weights cost, in the form that a sweep over columns needs.
 *
 * With H the second moments of the inputs (runtime/tensor/gram.h), an error e of one row
 * of weights changes the row's output by e H e^T on average. H is scaled so that the mean
 * of its diagonal is 1, damped and put into the sweep's order:
 *
 *     H' = P (H / mean(diag H) + damping I) P^T = R R^T,  R upper triangular
 *
 * Then e H' e^T = |e R|^2, whose term k holds the errors of columns 0 .. k only: when
 * they are decided one after the other, column k alone decides term k, which is 0 for
 *
 *     w_k' = w_k + 1 / R_kk sum over j < k of e_j R_jk,   e_j = w_j - q_j
 *
 * and else R_kk^2 (w_k' - q_k)^2. This is the recursion of OBS (Hassibi, Stork, Wolff
 * 1993) and GPTQ (Frantar et al. 2023, arXiv:2210.17323), whose factor of the inverse is
 * U = R^-1, without inverting H, and Babai's nearest plane (Chen et al. 2025,
 * arXiv:2507.18553). What columns a .. b would be if they were not decided, given those
 * before a, is with s = sum over j < a of e_j R_j and R_aa the block of a .. b
 *
 *     w_ab + s_ab R_aa^-1
 */
#ifndef PARE_LIBQUANT_FACTOR_H
#define PARE_LIBQUANT_FACTOR_H

#include "runtime/tensor/gram.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The columns in the order they are decided. The early ones are compensated by all the
 * others; so those that matter most come first, by the diagonal of H. */
enum pare_order {
    PARE_ORDER_NATURAL,
    PARE_ORDER_GROUPS, /* whole groups, by their largest column, and inside groups */
    PARE_ORDER_ALL,    /* columns of all groups mixed ("act-order") */
};

struct pare_factor_options {
    enum pare_order order;
    size_t group; /* for PARE_ORDER_GROUPS; divides K */
    /* Neighbours that stay together inside such a group, which they divide; 0: none. */
    size_t together;
    double damping; /* of the first try; 10 times as much PARE_ESCALATIONS times */
    int strict;     /* what would be counted below is PARE_ERR_INPUT instead */
};

#define PARE_DAMPING 0.01
#define PARE_ESCALATIONS 3

struct pare_factor {
    size_t K;
    float *H;        /* [K, K]: R on and above the diagonal, H' below it */
    float *diagonal; /* [K], of H' */
    uint32_t *order; /* [K]: the sweep's column j is input order[j] */
    double scale;    /* H = H' scale, but for damping and order */
    double damping;  /* that was used */
    size_t dead;     /* columns of H that are zero: their weights do not matter to H */
    int escalations; /* how often damping grew */
    int fallback;    /* H was of no use: H' is I, and columns do not know each other */
};

/* Factors H. Columns without any input keep the damping alone. H that is not finite, is
 * zero, or stays indefinite with the most damping makes the fallback. gram NULL asks for
 * the fallback, with K columns. PARE_ERR_INPUT when strict. Free with pare_factor_free,
 * also after a failure. */
enum pare_status pare_factor_init(struct pare_factor *factor,
                                  const struct pare_gram *gram, size_t K,
                                  const struct pare_factor_options *options,
                                  struct pare_arena *scratch,
                                  struct pare_error *err) PARE_CHECKED;
void pare_factor_free(struct pare_factor *factor);

/* Whether groups of `group` inputs are whole and together in the factor's order. */
int pare_factor_keeps(const struct pare_factor *factor, size_t group);

/* cost[k] of an error of 1 at input k, in the sweep: R_jj^2 of its column j. */
void pare_factor_costs(const struct pare_factor *factor, float *cost);

/* What a sweep's loss of N rows, with the squares of all errors of their weights, is
 * without damping: sum of (w - q) H (w - q)^T. */
double pare_factor_loss(const struct pare_factor *factor, const double *loss, size_t N,
                        double squared_error);

#ifdef __cplusplus
}
#endif
#endif
