/* Weights for inputs that went astray.
 *
 * A layer behind quantised ones reads x where the original model has x + d. The weights
 * that come nearest to the original outputs with what the layer reads,
 *
 *     W' = argmin over V of sum over t |V x_t - W (x_t + d_t)|^2
 *        = W + W C H^-1,    C = sum over t of d_t x_t^T,  H = sum over t of x_t x_t^T
 *
 * are what is to be quantised then: the squared error of a Q is that of W' plus
 * (Q - W') H (Q - W')^T. This is the first step of Qronos (Zhang et al. 2025,
 * arXiv:2505.11695, equation 4) and, all at once, the aim of GPTAQ (Li et al. 2025,
 * arXiv:2504.02692, equation 5).
 */
#ifndef PARE_LIBQUANT_CORRECT_H
#define PARE_LIBQUANT_CORRECT_H

#include "libquant/factor.h"
#include "runtime/tensor/cross.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a correction learns from samples is less certain than what rounding costs: a
 * factor of its own with this damping measured best on single layers; through whole
 * models it made no difference to the factor of the sweep (docs/RESULTS.md). */
#define PARE_CORRECT_DAMPING 0.1

/* out[N, K] = W + strength W C H^-1 with the damped H of the factor; W for a factor that
 * is the fallback. strength 1 is the whole way; less of it trusts few samples less. In
 * parallel; the same bits for any number of threads. */
enum pare_status pare_quant_correct(const struct pare_factor *factor,
                                    const struct pare_cross_source *C, const float *W,
                                    size_t N, float strength, float *out,
                                    struct pare_arena *scratch,
                                    struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
