/* Learned scales: LSQ, "Learned Step Size Quantization" (Esser et al. 2020).
 *
 * A group of weights v with scale s on a symmetric grid of b bits becomes
 *
 *     w = s round(clamp(v / s, -Qn, Qp)),   Qn = 2^(b-1), Qp = 2^(b-1) - 1      (1)
 *
 * and with the rounding passed straight through
 *
 *     dw/dv = 1 where -Qn <= v / s <= Qp, else 0                                (5)
 *     dw/ds = round(v / s) - v / s there, else -Qn or Qp                        (3)
 *
 * What is trained is e in s = s0 e, with s0 = 2 mean |v| / sqrt(Qp) of the weights at the
 * start (section 2.1), so that a step of AdamW is a share of the scale whatever its size.
 * s is rounded to half precision, in which it is stored.
 */
#ifndef PARE_LIBQUANT_LEARNED_H
#define PARE_LIBQUANT_LEARNED_H

#include "libquant/grid.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_learned {
    int bits;
    size_t N, K, group;
    float *start; /* s0 [N, K / group] */
    const float
        *value; /* e [N, K / group]; while a run trains it, where the run has it */
};

/* Fills learned->start from v[N, K]. A group of zeros has s0 = 0 and stays zeros. */
void pare_learned_start(const struct pare_learned *learned, const float *v);

/* w of rows [first, first + n); v and w point at the first of them. In parallel. */
void pare_learned_round(const struct pare_learned *learned, size_t first, size_t n,
                        const float *v, float *w);

/* Turns dw of those rows into dv in place, and adds to de [N, K / group]. */
void pare_learned_backward(const struct pare_learned *learned, size_t first, size_t n,
                           const float *v, float *dw, float *de);

/* Stores the rows [rows->first, + N) as pare_grid_store does, with the learned scales. */
enum pare_status pare_learned_store(const struct pare_learned *learned,
                                    const struct pare_quant_rows *rows,
                                    const struct pare_grid_codes *out,
                                    struct pare_quant_error *error,
                                    struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
