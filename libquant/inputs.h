/* What a layer reads over a calibration set: extremes and means of each input, and some
 * of the rows.
 */
#ifndef PARE_LIBQUANT_INPUTS_H
#define PARE_LIBQUANT_INPUTS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_inputs {
    size_t K;
    uint64_t rows;        /* that were added */
    float *low, *high;    /* [K]: smallest and largest value of input k */
    double *magnitude;    /* [K]: sum of |x_k| */
    double *sum;          /* [K]: sum of x_k */
    float *sample;        /* [kept, K]: every `step`th row */
    size_t kept, most;    /* of the sample; most is even */
    uint64_t step, until; /* rows to pass over until the next is kept */
};

/* Nothing yet, of K inputs; a sample of at most `most` rows, an even number above 0. When
 * it is full, every other row is let go and twice as many are passed over from then on,
 * so that it always is every step-th row of all. */
enum pare_status pare_inputs_init(struct pare_inputs *inputs, size_t K, size_t most,
                                  struct pare_error *err) PARE_CHECKED;
void pare_inputs_free(struct pare_inputs *inputs);

/* Adds X[rows, K]. The sums are over rows in order, so nothing depends on how the rows
 * are cut into batches. */
void pare_inputs_add(struct pare_inputs *inputs, const float *X, size_t rows);

/* Smallest and largest input over all rows when input k is multiplied by by[k] (NULL: by
 * 1), with 0 among them: what the min-max observer says. */
void pare_inputs_range(const struct pare_inputs *inputs, const float *by, float range[2]);

#ifdef __cplusplus
}
#endif
#endif
