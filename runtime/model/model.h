/* A model, bound to its weights and ready for pare_forward.
 *
 * Weights lie in the mapped container (or in a training run's parameters) and are used in
 * place where their layout allows; linear layers are packed at load (tensor/linear.h).
 */
#ifndef PARE_MODEL_MODEL_H
#define PARE_MODEL_MODEL_H

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/model/config.h"
#include "runtime/model/plan.h"
#include "runtime/tensor/linear.h"
#include "runtime/text/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_norm { /* [C] each */
    const float *weight, *bias;
};

struct pare_block {
    struct pare_linear qkv;      /* C -> 3A: query, key, value rows */
    struct pare_linear attn_out; /* A -> C */
    struct pare_norm attn_norm;
    struct pare_linear up;   /* C -> F */
    struct pare_linear down; /* F -> C */
    struct pare_norm out_norm;
};

struct pare_model {
    struct pare_config config;
    struct pare_weight tokens, positions, types; /* rows of C; types.data NULL if none */
    struct pare_norm embed_norm;
    struct pare_block *blocks;
    struct pare_linear pooler;     /* C -> C, when config.has_pooler */
    struct pare_linear classifier; /* C -> labels, when config.labels */

    struct pare_tokenizer *tokenizer; /* NULL when the container has none */
    struct pare_ckpt *ckpt;           /* the open container, or NULL */
    enum pare_precision precision;    /* that it was opened with */
    uint64_t memory_bytes; /* of weights, as held: packed copies + used in place */
    struct pare_arena arena;
    struct pare_arena
        stored; /* of the open container: where sparse weights' values lie */
};

/* Opens a container that pare-convert or a later tool wrote. Tensors are checked against
 * the plan: a missing, extra or misshaped one is PARE_ERR_INPUT naming it, as is a norm,
 * bias or scale that is not finite. `precision` is that of the blocks' linear layers
 * whose weights are floats, or decode to floats. */
enum pare_status pare_model_open(const char *path, enum pare_precision precision,
                                 struct pare_model **out,
                                 struct pare_error *err) PARE_CHECKED;

/* Where the weights of a model come from: fills `weight` for a slot's name (for vectors
 * N = 1, type F32, 4-byte aligned). */
struct pare_weight_source {
    enum pare_status (*find)(void *context, const struct pare_slot *slot,
                             struct pare_weight *weight, struct pare_error *err);
    void *context;
    int live; /* F32 weights that change between forwards (training): nothing is packed */
    enum pare_precision precision; /* of the blocks' linear layers of floats */
};

/* Binds a model to weights that outlive it. */
enum pare_status pare_model_bind(const struct pare_config *config,
                                 const struct pare_weight_source *source,
                                 struct pare_model **out,
                                 struct pare_error *err) PARE_CHECKED;

/* The same for a part at a time, for those that walk through a model that need not fit
 * into memory: a model without any weights, and the weights of a part (embeddings, block
 * l, or the head behind block L - 1), packed copies in `arena`. What it had before is
 * forgotten. */
enum pare_status pare_model_new(const struct pare_config *config, struct pare_model **out,
                                struct pare_error *err) PARE_CHECKED;
#define PARE_PART_EMBEDDINGS (-1)
enum pare_status pare_model_bind_part(struct pare_model *model,
                                      const struct pare_plan *plan,
                                      const struct pare_weight_source *source, int part,
                                      struct pare_arena *arena,
                                      struct pare_error *err) PARE_CHECKED;

/* The weights of a container as they lie there; it must outlive what they are bound to.
 */
struct pare_stored;
struct pare_weight_source pare_model_stored_source(struct pare_stored *stored);

/* Closes the container and the tokenizer too, if it has them. NULL allowed. */
void pare_model_free(struct pare_model *model);

#ifdef __cplusplus
}
#endif
#endif
