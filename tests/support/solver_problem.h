/* Small problems for the solvers, and the plain form of what they compute: textbook
 * algorithms in double, one element after the other.
 */
#ifndef PARE_TESTS_SOLVER_PROBLEM_H
#define PARE_TESTS_SOLVER_PROBLEM_H

#include "libquant/factor.h"

struct problem {
    size_t N, K;
    float *W;  /* [N, K], about -1 .. 1 */
    double *H; /* [K, K] */
    struct pare_gram gram;
};

/* Second moments of inputs that depend on each other, some of them large. */
struct problem problem_new(size_t N, size_t K, uint64_t seed);
void problem_free(struct problem *p);
/* Makes gram that of H, after a test has changed H. */
void problem_set_moments(struct problem *p);

/* sum over rows of (w - q) H (w - q)^T */
double problem_cost(const struct problem *p, const float *Q);

struct pare_factor problem_factor(const struct problem *p, enum pare_order order,
                                  size_t group);

/* U of H'^-1 = U^T U, upper, for H' = H / mean of its diagonal + damping, in `order`;
 * [K, K], to be freed. */
double *plain_inverse_factor(const struct problem *p, const uint32_t *order,
                             double damping);

#endif
