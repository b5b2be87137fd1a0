/* Losses: what the forward computed goes in, a number and its gradients come out.
 *
 * A loss is a function and its context, so that the trainer does not know which one it
 * minimises. It may look at anything the forward computed, and says which hidden states
 * and which queries, keys and values it has gradients for; the backward pass adds them
 * where they belong. pare_loss_cross_entropy needs no context and the logits alone.
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
    const int32_t *labels;   /* [B], PARE_NO_LABEL only if the loss is for such text */
    const uint32_t *example; /* [B] number of each sequence in the training data */
    float scale;             /* of the gradient: 1 / sequences of the whole step */
    int accumulate; /* gradients of extra parameters are added to, not begun anew */
};

/* Gradient of scale * (sum of the sequences' losses) with respect to what the forward
 * computed; pare_backward continues from here. */
struct pare_loss_grads {
    float *logits;  /* [B, labels] */
    float **hidden; /* [L + 1] of [T, C]: the embedding's output, then the blocks'; NULL,
                       or an entry NULL: no gradient */
    float **qkv;    /* [L] of [T, 3A], likewise */
};

#define PARE_LOSS_PARTS 8 /* most terms a loss is told apart in */

struct pare_loss {
    /* Fills *grads, which are zero, and parts, which are too. parts[i]: the unscaled,
     * weighted sum of the sequences' losses of term i, added in the order of the batch;
     * what is minimised is scale times the sum of the parts. */
    enum pare_status (*run)(void *context, const struct pare_loss_input *input,
                            const struct pare_loss_grads *grads, double *parts,
                            struct pare_error *err);
    void *context;
    int unlabelled; /* examples may have no label */
    int n_parts;
    const char *const *part_names; /* [n_parts] */
    const uint8_t *hidden;         /* [L + 1] which gradients it makes; NULL: none */
    const uint8_t *qkv;            /* [L] */
};

/* Whether the forward may run with pare_acts.first_only: not when the loss has gradients
 * of the last block's hidden states, or of its queries, keys and values. A loss that only
 * looks at them must ask for these gradients too. */
int pare_loss_needs_first_only(const struct pare_loss *loss,
                               const struct pare_config *config);

/* Zeroed gradients for what `loss` asks for, from the arena. */
enum pare_status
pare_loss_grads_new(const struct pare_loss *loss, const struct pare_config *config,
                    const struct pare_batch *batch, struct pare_arena *arena,
                    struct pare_loss_grads *grads, struct pare_error *err) PARE_CHECKED;

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
