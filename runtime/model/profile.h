/* Where the time of a forward goes: the calling thread's clock, read behind each
 * operation, so that the operations add up to the whole.
 */
#ifndef PARE_MODEL_PROFILE_H
#define PARE_MODEL_PROFILE_H

#include <stddef.h>

#include "runtime/model/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In the order of the forward; a norm's time does not include the residual, which is
 * added by the linear layer before it. */
enum pare_op {
    PARE_OP_EMBED,     /* rows of the tables, their sum and its norm */
    PARE_OP_QKV,       /* queries, keys and values */
    PARE_OP_ATTENTION, /* softmax(q k^T) v */
    PARE_OP_ATTN_OUT,
    PARE_OP_NORM, /* both norms of the blocks */
    PARE_OP_UP,   /* with the activation */
    PARE_OP_DOWN,
    PARE_OP_HEAD, /* pooler and classifier */
    PARE_OPS,
};

/* "qkv", "attention" ... */
const char *pare_op_name(enum pare_op op);

struct pare_profile {
    double ms[PARE_OPS]; /* added to */
    double since;        /* private */
};

/* `profile` may be NULL: nothing happens. */
void pare_profile_begin(struct pare_profile *profile);
/* What has passed since begin, or since the last mark, was `op`. */
void pare_profile_mark(struct pare_profile *profile, enum pare_op op);

/* Multiply-adds of matrix products that `op` makes in a forward of `B` sequences of
 * `tokens` tokens. first_only: of the last block only keys and values are computed for
 * all tokens (pare_acts). */
double pare_op_macs(const struct pare_config *config, size_t B, size_t tokens,
                    int first_only, enum pare_op op);

#ifdef __cplusplus
}
#endif
#endif
