/* Steps that the backward pass is made of; private to libdistill.
 *
 * A gradient of a parameter is either begun anew or added to what is there (accumulate);
 * both give the same order of additions.
 */
#ifndef PARE_DISTILL_BACKWARD_STEPS_H
#define PARE_DISTILL_BACKWARD_STEPS_H

#include "runtime/model/forward.h"

/* y = x W^T + b:  db[N] = sum over t of dy[t] */
void pare_backward_bias(float *db, const float *dy, size_t T, size_t N, int accumulate);

/* y = gamma xhat + beta, xhat = (x - mean) rstd, over rows of C. Makes
 *     dgamma = sum over t of dy[t] xhat[t],  dbeta = sum over t of dy[t],
 * then replaces dy by dx. */
struct pare_norm_backward {
    const float *x, *mean, *rstd; /* [T, C], [T], [T] of the forward */
    const float *gamma;           /* [C] */
    float *dgamma, *dbeta;        /* [C] */
};
void pare_backward_norm(const struct pare_norm_backward *norm, float *dy, size_t T,
                        size_t C, int accumulate);

/* y = act(x): replaces dy by dx, n elements. */
void pare_backward_activation(enum pare_activation act, float *dy, const float *x,
                              size_t n);

/* y = dropout(x), rows of `width`: dy becomes dx, which may be dy. Row t of dy stands for
 * row row[t] of the forward, or for row t when row is NULL. */
void pare_backward_dropout(const struct pare_dropout *dropout, uint64_t site, float rate,
                           const float *dy, float *dx, size_t T, size_t width,
                           const uint32_t *row);

/* Gradients around the attention. first_only: as in pare_acts, dcontext and dq have a row
 * for each sequence instead of each token. */
struct pare_attention_grads {
    int first_only;
    const float *dcontext;       /* [T or B, A] */
    float *dq, *dk, *dv;         /* rows of A */
    size_t dq_stride, dk_stride; /* between rows; dv has that of dk */
};

/* Attention inside each sequence: dq, dk, dv from dcontext. */
enum pare_status
pare_backward_attention(const struct pare_config *config, const struct pare_batch *batch,
                        const struct pare_block_acts *acts, const uint64_t *prob_start,
                        const struct pare_dropout *dropout, uint64_t site,
                        const struct pare_attention_grads *grads,
                        struct pare_arena *scratch, struct pare_error *err) PARE_CHECKED;

#endif
