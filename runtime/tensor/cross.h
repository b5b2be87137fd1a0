/* Moments of two sets of rows, summed over batches: C = sum over t of d_t^T x_t, [K, K],
 * in double. Sums as in gram.h: in float over passes of 768 rows, in double over those,
 * so that the bits depend on how the rows are cut into batches, and on nothing else.
 */
#ifndef PARE_TENSOR_CROSS_H
#define PARE_TENSOR_CROSS_H

#include "runtime/base/arena.h"
#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_cross {
    size_t K;
    double *sum; /* [K, K] */
};

/* Zeros. Free with pare_cross_free. */
enum pare_status pare_cross_init(struct pare_cross *cross, size_t K,
                                 struct pare_error *err) PARE_CHECKED;
void pare_cross_free(struct pare_cross *cross);
/* Adds the moments of D[rows, K] with X[rows, K], both dense. In parallel. */
enum pare_status pare_cross_add(struct pare_cross *cross, const float *D, const float *X,
                                size_t rows, struct pare_arena *scratch,
                                struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
