/* Losses: what the forward computed goes in, a number and its gradient come out.
 *
 * A loss is a function and its context, so that the trainer does not know which one it
 * minimises; pare_loss_cross_entropy needs no context.
 */
#ifndef PARE_DISTILL_LOSS_H
#define PARE_DISTILL_LOSS_H

#include "runtime/model/forward.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_loss_input {
    const struct pare_config *config;
    const struct pare_batch *batch;
    const struct pare_acts *acts;
    const int32_t *labels;   /* [B] */
    const uint32_t *example; /* [B] number of each sequence in the training data */
    float scale;             /* of the gradient: 1 / sequences of the whole step */
};

/* Gradient of scale * (sum of the sequences' losses) with respect to what the forward
 * computed; pare_backward continues from here. */
struct pare_loss_grads {
    float *logits; /* [B, labels] */
};

struct pare_loss {
    /* Overwrites *grads; returns the unscaled sum of the sequences' losses, added in the
     * order of the batch. */
    double (*run)(void *context, const struct pare_loss_input *input,
                  const struct pare_loss_grads *grads);
    void *context;
};

/* Softmax cross-entropy with the labels: log sum exp(z) - z[label]. */
struct pare_loss pare_loss_cross_entropy(void);

/* The same without a gradient, for evaluation: sum of the losses of B rows of logits, and
 * how many rows have their greatest logit at the label (the first of equals counts). */
double pare_cross_entropy(const float *logits, size_t labels, const int32_t *label,
                          size_t B, uint64_t *correct);

#ifdef __cplusplus
}
#endif
#endif
