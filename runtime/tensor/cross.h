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

/* C is held in panels of so many columns, one after the other: [K, columns] each. */
#define PARE_CROSS_COLUMNS 256

struct pare_cross {
    size_t K;
    double *sum;
    /* Columns of C that `sum` is of, from the begin of a panel: all, but for a band. */
    size_t first, end;
};

/* Zeros. Free with pare_cross_free. */
enum pare_status pare_cross_init(struct pare_cross *cross, size_t K,
                                 struct pare_error *err) PARE_CHECKED;
/* The same of columns first .. end - 1 of C alone, for what is too large at once; `first`
 * begins a panel. They have the bits that they have in the whole. */
enum pare_status pare_cross_init_band(struct pare_cross *cross, size_t K, size_t first,
                                      size_t end, struct pare_error *err) PARE_CHECKED;
void pare_cross_free(struct pare_cross *cross);
/* Where band number `i` of `n` begins; K for i = n. There are no more than panels. */
size_t pare_cross_band(size_t K, size_t n, size_t i);

/* Who holds C: gives the panel of the columns from `first` on, [K, n]. */
struct pare_cross_source {
    size_t K;
    enum pare_status (*panel)(void *context, size_t first, size_t n, const double **panel,
                              struct pare_error *err);
    void *context;
};
/* C in memory. */
struct pare_cross_source pare_cross_in_memory(struct pare_cross *cross);

/* Adds the moments of D[rows, K] with X[rows, K], both dense. In parallel. */
enum pare_status pare_cross_add(struct pare_cross *cross, const float *D, const float *X,
                                size_t rows, struct pare_arena *scratch,
                                struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
