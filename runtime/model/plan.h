/* The tensors a model of a given config consists of, in container order: the one list
 * that conversion checks against, training allocates from, quantisation walks and loading
 * binds.
 */
#ifndef PARE_MODEL_PLAN_H
#define PARE_MODEL_PLAN_H

#include "runtime/model/config.h"
#include "runtime/tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_role {
    PARE_ROLE_EMBEDDING,   /* [rows, C]: token, position, type */
    PARE_ROLE_NORM_WEIGHT, /* [C] */
    PARE_ROLE_NORM_BIAS,   /* [C] */
    PARE_ROLE_LINEAR,      /* [N, K] inside a block */
    PARE_ROLE_HEAD,        /* [N, K] of pooler and classifier */
    PARE_ROLE_BIAS,        /* [N] */
};

#define PARE_NAME_SIZE 64 /* GGUF's limit with the NUL */

struct pare_slot {
    char name[PARE_NAME_SIZE]; /* in the container: "blk.0.attn_q.weight" */
    char hf_name[96]; /* in Hugging Face files, without "bert." / "distilbert." */
    enum pare_role role;
    int layer; /* block number, -1 outside blocks */
    int n_dims;
    uint64_t shape[2]; /* outermost first */
};

struct pare_plan {
    size_t count;
    struct pare_slot *slots;
};

/* Slots come from the arena. Within a block query, key and value weights stand next to
 * each other, then their biases: bound to one buffer they are one [3A, C] matrix. */
enum pare_status pare_plan_make(const struct pare_config *config,
                                struct pare_arena *arena, struct pare_plan *plan,
                                struct pare_error *err) PARE_CHECKED;

uint64_t pare_slot_elements(const struct pare_slot *slot);
/* Weights of two dimensions may be stored in other types; norms and biases stay F32. */
int pare_slot_is_matrix(const struct pare_slot *slot);

#ifdef __cplusplus
}
#endif
#endif
