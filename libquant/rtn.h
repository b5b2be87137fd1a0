/* Round to nearest: the simplest quantiser, and the one every better one is measured
 * against.
 *
 * For a weight matrix W[N, K] each row (output channel) n is quantised on its own.
 *
 *   I8   symmetric, one scale a row:
 *            s_n = max_k |W_nk| / 127
 *            q_nk = clamp(round(W_nk / s_n), -127, 127)      ties to even
 *            Q_nk = q_nk s_n
 *        so |W_nk - Q_nk| <= s_n / 2. A row of zeros has s_n = 0 and codes 0.
 *   Q8_0 Q4_0 Q4_1   blocks of 32 along K, by the GGUF reference's rules
 *        (pare_row_encode)
 *   Q2_K to Q6_K, TQ1_0, TQ2_0   super-blocks of 256 along K, whose grids are searched
 *        for (nearest.h)
 *   F16 BF16 F32     rounded to the nearest value of the type
 *
 * The error figure of a solver is relative, in the Frobenius norm: ||W - Q|| / ||W||.
 */
#ifndef PARE_LIBQUANT_RTN_H
#define PARE_LIBQUANT_RTN_H

#include <math.h>

#include "runtime/tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sums over weights, added to by every call so that a matrix may come in slices of rows.
 */
struct pare_quant_error {
    double squared_weight; /* sum of W^2 */
    double squared_error;  /* sum of (W - Q)^2 */
    double largest;        /* max |W - Q| */
};

/* Adds one weight and what it became. */
static inline void pare_quant_error_add(struct pare_quant_error *error, float w, float q)
{
    double difference = (double)w - (double)q;
    error->squared_weight += (double)w * (double)w;
    error->squared_error += difference * difference;
    /* A NaN must stay: `>` alone would lose it. */
    if (!(fabs(difference) <= error->largest))
        error->largest = fabs(difference);
}

/* ||W - Q|| / ||W||; 0 for a matrix of zeros that stayed one. */
double pare_quant_error_relative(const struct pare_quant_error *error);

/* Rows of a weight matrix: what a solver gets. */
struct pare_quant_rows {
    const float *W; /* [N, K] */
    size_t N, K;
    size_t first; /* number of the first row in the whole matrix, for messages */
};

/* Adds up the errors of all rows, one after the other, so that the sums do not depend on
 * threads or slices. PARE_ERR_INPUT when one is not finite, naming the first weight of
 * that row that is not, or else `type` as what its values are beyond the range of. */
enum pare_status pare_quant_error_sum(const struct pare_quant_rows *rows,
                                      const struct pare_quant_error *errors,
                                      const char *type, struct pare_quant_error *error,
                                      struct pare_error *err) PARE_CHECKED;

/* Quantises the rows to `type`: data gets the codes ([N, K] of the type), scale one float
 * a row for I8 (NULL otherwise). In parallel over rows; the same bytes and the same error
 * for any number of threads. K must be a multiple of the type's block. PARE_ERR_INPUT
 * naming row and column when W is not finite, or when a value or scale is beyond F16's
 * range in a type that has one. */
enum pare_status pare_rtn_quantize(enum pare_dtype type,
                                   const struct pare_quant_rows *rows, void *data,
                                   float *scale, struct pare_quant_error *error,
                                   struct pare_error *err) PARE_CHECKED;

/* The floats that the stored rows decode to, into out (may be W): for training. */
enum pare_status pare_rtn_round(enum pare_dtype type, const float *W, size_t N, size_t K,
                                float *out, struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
