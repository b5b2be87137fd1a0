/* The backward half of runtime/model/forward.c: gradients of every parameter from those
 * of the logits, of hidden states and of queries, keys and values, by the chain rule
 * applied to the equations of forward.h in reverse (Rumelhart, Hinton, Williams 1986).
 * Nothing is derived automatically; each step stands in backward.c beside its forward
 * equation.
 *
 * Every sum has a fixed order: products run over tokens or features ascending with one
 * accumulator an output, bias and norm gradients over tokens ascending, embedding rows
 * over the tokens that use them ascending. Threads only split outputs.
 */
#ifndef PARE_DISTILL_BACKWARD_H
#define PARE_DISTILL_BACKWARD_H

#include "libdistill/loss.h"
#include "libdistill/params.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_backward { /* all zero: ready; memory for the largest batch seen so far */
    struct pare_arena arena;   /* gradients of activations */
    struct pare_arena scratch; /* packing */
    uint32_t frozen; /* 0; or 1 + n: neither the embeddings nor the n lowest blocks get
                        gradients, and the pass ends above them */
};

void pare_backward_free(struct pare_backward *work);

/* Gradients of the batch that `acts` (with its tape) and `dropout` (the same as in the
 * forward, or NULL) belong to. accumulate: added to params->grad, which otherwise is
 * begun anew. `weights` has the values the forward used, laid out as params->value. */
enum pare_status pare_backward(struct pare_params *params, const float *weights,
                               const struct pare_batch *batch,
                               const struct pare_dropout *dropout,
                               const struct pare_acts *acts,
                               const struct pare_loss_grads *grads, int accumulate,
                               struct pare_backward *work,
                               struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
