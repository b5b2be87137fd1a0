/* Scaled dot-product attention inside each sequence of a packed batch.
 * (Vaswani et al. 2017, equation 1) */
#ifndef PARE_MODEL_ATTENTION_H
#define PARE_MODEL_ATTENTION_H

#include "runtime/model/forward.h"

#ifdef __cplusplus
extern "C" {
#endif

/* context[T, A] from qkv[T, 3A]: rows hold query, key and value of all heads behind each
 * other. With `probs` the softmax of every sequence and head is kept there (before
 * dropout), at prob_start[s] + h n^2; NULL keeps nothing. n_seq is at least 1.
 * first_only: only the query of each sequence's first token, context is [B, A]. site: the
 * dropout's stream. */
enum pare_status pare_attention(const struct pare_config *config,
                                const struct pare_batch *batch, const float *qkv,
                                float *context, float *probs, const uint64_t *prob_start,
                                int first_only, const struct pare_dropout *dropout,
                                uint64_t site, struct pare_arena *scratch,
                                struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
