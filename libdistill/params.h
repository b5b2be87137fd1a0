/* The parameters of a model under training: one flat buffer of floats laid out by
 * pare_plan, and a second one of the same layout for their gradients.
 *
 * Slots stand behind each other without gaps, so the query, key and value weights of a
 * block are one [3A, C] matrix and their biases one vector. Norms, biases and matrices
 * are addressed by offset, so that any other buffer of this layout (gradients, moments,
 * an average, quantised copies) is addressed by the same numbers.
 */
#ifndef PARE_DISTILL_PARAMS_H
#define PARE_DISTILL_PARAMS_H

#include "runtime/model/container.h"
#include "runtime/model/model.h"
#include "runtime/model/stored.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_affine { /* offsets of a linear layer's or a norm's two tensors */
    size_t weight, bias;
};

struct pare_block_params {
    struct pare_affine qkv, attn_out, attn_norm, up, down, out_norm;
};

/* A matrix that is trained along with the model but is no part of it: a projection
 * between hidden states, learned scales. */
struct pare_extra {
    char name[PARE_NAME_SIZE]; /* begins with "train.": no tensor of a model does */
    uint64_t rows, columns;
    int decays; /* weight decay applies */
    size_t of; /* 1 + the model's slot it belongs to, whose layer's rate it takes; or 0 */
};

struct pare_params {
    struct pare_config config;
    struct pare_plan plan; /* the model's slots, then those of the extras */
    size_t n_model;        /* slots of the model */
    size_t *start;         /* [plan.count + 1] first element of each slot */
    size_t total;          /* elements of all slots */

    size_t tokens, positions, types; /* offsets of the embeddings; types if there are */
    struct pare_affine embed_norm;
    struct pare_block_params *blocks;      /* [L] */
    struct pare_affine pooler, classifier; /* where the config has them */

    float *value;   /* [total] */
    float *grad;    /* [total] */
    float *weights; /* [total] what a bound model reads: value, or what a compressor makes
                       of it (compress.h) */
    size_t *input_group; /* [plan.count] of linear layers: see pare_weight.input_group */
    enum pare_precision precision; /* of the products of the blocks' linear layers, of a
                                      model bound later and of its backward pass */

    /* Most rows of the token embedding have no gradient in a given step. These are the
     * rows that pare_backward wrote since the gradient was last begun anew, in ascending
     * order; all others are zero in `grad`. */
    uint32_t *touched; /* [V], n_touched in use */
    size_t n_touched;
    uint8_t *is_touched; /* [V] */

    struct pare_arena arena;
};

/* Parameters for the config, all zero. Freed with pare_params_free (NULL allowed). */
enum pare_status pare_params_new(const struct pare_config *config,
                                 struct pare_params **out,
                                 struct pare_error *err) PARE_CHECKED;
/* The same with n extras behind the model's slots: their values, gradients and moments
 * are in the same buffers, at start[n_model + i]. */
enum pare_status pare_params_new_with(const struct pare_config *config,
                                      const struct pare_extra *extras, size_t n,
                                      struct pare_params **out,
                                      struct pare_error *err) PARE_CHECKED;
void pare_params_free(struct pare_params *params);

/* Draws slot i: embeddings, matrices and extras normal with standard deviation 0.02
 * (Devlin et al. 2019), norms' weights 1, all biases 0. Every slot has its own stream of
 * the seed.
 */
void pare_params_draw(struct pare_params *params, size_t i, uint64_t seed);
void pare_params_draw_all(struct pare_params *params, uint64_t seed);

/* Takes the values from a stored model of any type (decoded to float). Tensors of the
 * head (pooler, classifier) that it does not have, or whose shape differs, are drawn with
 * `seed` and counted in *drawn. Any other difference is PARE_ERR_USAGE naming the tensor;
 * a value that is not finite is PARE_ERR_INPUT. */
enum pare_status pare_params_load(struct pare_params *params,
                                  const struct pare_stored *stored, uint64_t seed,
                                  size_t *drawn, struct pare_error *err) PARE_CHECKED;

/* For pare_model_bind: the model reads params->weights in place and follows their
 * changes. */
struct pare_weight_source pare_params_source(struct pare_params *params);

/* Writes a container of F32 tensors; `meta` has everything but the tensors. */
enum pare_status pare_params_write(const struct pare_params *params,
                                   const struct pare_meta *meta, const char *path,
                                   struct pare_error *err) PARE_CHECKED;

/* Whether a model's slot belongs to its pooler or classifier. */
int pare_slot_is_head(const struct pare_slot *slot);

/* The slot that element `offset` belongs to. */
size_t pare_params_slot_at(const struct pare_params *params, size_t offset);

/* PARE_OK when every element of `buffer` (of this layout) is finite, else PARE_ERR_INPUT
 * with a message naming the first tensor and element that is not; `what` says what the
 * buffer holds ("gradient"). */
enum pare_status pare_params_check_finite(const struct pare_params *params,
                                          const float *buffer, const char *what,
                                          struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
