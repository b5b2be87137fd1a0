/* Factors that move what is hard to quantise between a layer's inputs and its weights.
 *
 *     X W^T = (X diag(s)^-1) (W diag(s))^T
 *
 * for any s > 0. Two families of s, each with an exponent a from 0 to 1:
 *
 *   MAXIMA   s_j = max|X_j|^a / max|W_j|^(1-a)
 *            SmoothQuant (Xiao et al. 2023, arXiv:2211.10438, equation 4), against
 *            outliers of inputs that are quantised
 *   MEANS    s_j = mean|X_j|^a
 *            AWQ (Lin et al. 2024, arXiv:2306.00978, section 3.2): weights of large
 *            inputs get finer steps
 *
 * s is divided by the geometric mean of its smallest and largest element, which changes
 * no product; an input that is always 0, or that no weight reads, has s = 1.
 *
 * Which family and exponent serve best is measured: of some rows of inputs, the squared
 * difference between the outputs as they are and as both are rounded, summed over all
 * matrices that read the inputs.
 */
#ifndef PARE_LIBQUANT_SMOOTH_H
#define PARE_LIBQUANT_SMOOTH_H

#include "libquant/inputs.h"
#include "libquant/target.h"
#include "runtime/base/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_smooth_family {
    PARE_SMOOTH_NONE, /* s = 1 */
    PARE_SMOOTH_MAXIMA,
    PARE_SMOOTH_MEANS,
};

#define PARE_SMOOTH_MATRICES 3

/* Matrices that read the same inputs, and how these are rounded. */
struct pare_smooth_site {
    const struct pare_inputs *inputs;
    int n;
    const float *W[PARE_SMOOTH_MATRICES]; /* [N, K] each */
    size_t N[PARE_SMOOTH_MATRICES];
    struct pare_target targets[PARE_SMOOTH_MATRICES];
    int fixed; /* inputs of I8 are rounded to the range of all of them, not to a row's */
};

struct pare_smooth_choice {
    enum pare_smooth_family family;
    double exponent;
    double error; /* mean squared difference of an output */
};

/* by[K] = 1 / s: what inputs are to be multiplied by. By multiplications and square roots
 * alone, the exponent being rounded to 2^-16. */
enum pare_status pare_smooth_factors(const struct pare_smooth_site *site,
                                     enum pare_smooth_family family, double exponent,
                                     float *by, struct pare_arena *scratch,
                                     struct pare_error *err) PARE_CHECKED;

/* Fills in the errors of n candidates, on at most `rows` rows of the sample, and returns
 * in *best the number of the one with the least; of several, the first. A candidate with
 * which a matrix cannot be rounded has an infinite error. In parallel; the same bits for
 * any number of threads. */
enum pare_status pare_smooth_search(const struct pare_smooth_site *site, size_t rows,
                                    struct pare_smooth_choice *candidates, size_t n,
                                    size_t *best, struct pare_arena *scratch,
                                    struct pare_error *err) PARE_CHECKED;

/* W[N, K] with column k divided by by[k], into out (may be W). In parallel. */
void pare_smooth_weights(const float *W, size_t N, size_t K, const float *by, float *out);

#ifdef __cplusplus
}
#endif
#endif
