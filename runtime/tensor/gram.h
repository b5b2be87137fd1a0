/* Second moments of the inputs of a layer, summed over batches.
 *
 * For rows x_t of K inputs: H = sum over t of x_t^T x_t, symmetric, kept in double. The
 * products of a batch are summed in float over passes of 768 rows, and these sums are
 * added to the double ones. So the bits depend on how the rows are cut into batches, and
 * on nothing else.
 */
#ifndef PARE_TENSOR_GRAM_H
#define PARE_TENSOR_GRAM_H

#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_gram {
    size_t K;
    uint64_t rows; /* that were added */
    double *sum;   /* the upper triangle, row after row: K + K - 1 + ... + 1 elements */
    /* Rows of H that `sum` is of: all, but for a band. */
    size_t first, end;
};

/* Zeros. PARE_ERR_MEMORY when K (K + 1) / 2 doubles cannot be had. */
enum pare_status pare_gram_init(struct pare_gram *gram, size_t K,
                                struct pare_error *err) PARE_CHECKED;
/* The same of rows first .. end - 1 of H alone, for what is too large at once: `sum` is
 * these rows of the triangle, with the bits they have in the whole. */
enum pare_status pare_gram_init_band(struct pare_gram *gram, size_t K, size_t first,
                                     size_t end, struct pare_error *err) PARE_CHECKED;
void pare_gram_free(struct pare_gram *gram);
/* Bytes that pare_gram_init takes. */
size_t pare_gram_bytes(size_t K);
/* Bytes of scratch that pare_gram_add takes for each thread. */
size_t pare_gram_worker_bytes(size_t K);
/* Where band number `i` of `n` begins, whose triangles have about the same size; K for
 * i = n. */
size_t pare_gram_band(size_t K, size_t n, size_t i);

/* Where in the triangle row i begins, with its diagonal element. */
static inline size_t pare_gram_at(size_t K, size_t i)
{
    return i * K - (i ? i * (i - 1) / 2 : 0);
}

static inline double pare_gram_diagonal(const struct pare_gram *gram, size_t i)
{
    return gram->sum[pare_gram_at(gram->K, i)];
}

/* Doubles of a band. */
static inline size_t pare_gram_elements(const struct pare_gram *gram)
{
    return pare_gram_at(gram->K, gram->end) - pare_gram_at(gram->K, gram->first);
}

/* Adds the moments of X[rows, K], whose rows begin `stride` floats apart. In parallel.
 * Scratch for packing is released at return. */
enum pare_status pare_gram_add(struct pare_gram *gram, const float *X, size_t rows,
                               size_t stride, struct pare_arena *scratch,
                               struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
