/* Bias correction (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization
 * and Bias Correction", arXiv:1906.04721, section 4.2): what quantised weights take from
 * a layer's mean outputs is put back by its bias,
 *
 *     b' = b + E[W x] - E[Q x']
 *
 * with E over a calibration set, instead of what a batch norm knows; x is what the layer
 * reads in the original model, x' what it reads in the quantised one.
 */
#ifndef PARE_LIBQUANT_BIAS_H
#define PARE_LIBQUANT_BIAS_H

#include <stddef.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_means { /* all zero: of nothing yet */
    size_t K, rows;
    double *original, *now; /* [K]: sums over the rows of x and of x' */
};

/* Adds X[rows, K], and the same rows as the original model makes them; NULL: they are the
 * same. */
enum pare_status pare_means_add(struct pare_means *means, size_t K, const float *X,
                                const float *original, size_t rows,
                                struct pare_error *err) PARE_CHECKED;
void pare_means_free(struct pare_means *means);

/* bias[N] is corrected for Q[N, K] in the place of W[N, K]. In parallel; the same bits
 * for any number of threads. */
void pare_correct_bias(const struct pare_means *means, const float *W, const float *Q,
                       size_t N, float *bias);

#ifdef __cplusplus
}
#endif
#endif
