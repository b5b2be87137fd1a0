/* Binding a model to its weights, and opening one from a container. */
#include "runtime/model/model.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/model/container.h"
#include "runtime/model/stored.h"

/* Walks the plan's slots in order and hands out their weights by name. */
struct binder {
    const struct pare_plan *plan;
    const struct pare_weight_source *source;
    struct pare_model *model;
    struct pare_arena *arena; /* of packed copies */
    struct pare_error *err;
};

static const struct pare_slot *slot_named(const struct pare_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++)
        if (!strcmp(plan->slots[i].name, name))
            return &plan->slots[i];
    return NULL;
}

static enum pare_status find_weight(const struct binder *b, int layer, const char *stem,
                                    const char *suffix, struct pare_weight *weight)
{
    char name[PARE_NAME_SIZE];
    if (layer < 0)
        snprintf(name, sizeof name, "%s.%s", stem, suffix);
    else
        snprintf(name, sizeof name, "blk.%d.%s.%s", layer, stem, suffix);
    const struct pare_slot *slot = slot_named(b->plan, name);
    if (!slot)
        return pare_fail(b->err, PARE_ERR_INTERNAL, "tensor %s is not in the plan", name);
    return b->source->find(b->source->context, slot, weight, b->err);
}

static enum pare_status bind_norm(const struct binder *b, int layer, const char *stem,
                                  struct pare_norm *norm)
{
    struct pare_weight weight, bias;
    PARE_TRY(find_weight(b, layer, stem, "weight", &weight));
    PARE_TRY(find_weight(b, layer, stem, "bias", &bias));
    norm->weight = weight.data;
    norm->bias = bias.data;
    b->model->memory_bytes += (weight.K + bias.K) * sizeof(float);
    return PARE_OK;
}

static enum pare_status bind_embedding(const struct binder *b, const char *stem,
                                       struct pare_weight *rows)
{
    PARE_TRY(find_weight(b, -1, stem, "weight", rows));
    b->model->memory_bytes += pare_weight_bytes(rows);
    return PARE_OK;
}

/* One bias vector for all parts: theirs, when they lie behind each other as in a training
 * run's parameters, else a copy. */
static enum pare_status join_biases(const struct binder *b,
                                    const struct pare_weight *biases, int n_parts,
                                    const float **out)
{
    size_t total = 0;
    int adjacent = 1;
    for (int i = 0; i < n_parts; i++) {
        adjacent &=
            (const float *)biases[i].data == (const float *)biases[0].data + total;
        total += biases[i].K;
    }
    b->model->memory_bytes += total * sizeof(float);
    *out = biases[0].data;
    if (adjacent)
        return PARE_OK;
    if (b->source->live)
        return pare_fail(b->err, PARE_ERR_INTERNAL, "live biases are not adjacent");
    float *joined;
    PARE_TRY(pare_arena_alloc(b->arena, &joined, total, sizeof(float), b->err));
    *out = joined;
    for (int i = 0; i < n_parts; i++) {
        memcpy(joined, biases[i].data, biases[i].K * sizeof(float));
        joined += biases[i].K;
    }
    return PARE_OK;
}

static unsigned use_of(const struct pare_weight_source *source, int layer)
{
    const int bf16 = layer >= 0 && source->precision == PARE_PRECISION_BF16;
    return (source->live ? PARE_LINEAR_LIVE : 0) | (bf16 ? PARE_LINEAR_BF16 : 0);
}

static enum pare_status bind_linear(const struct binder *b, int layer,
                                    const char *const *stems, int n_parts,
                                    struct pare_linear *linear)
{
    struct pare_weight weights[PARE_LINEAR_PARTS], biases[PARE_LINEAR_PARTS];
    for (int i = 0; i < n_parts; i++) {
        PARE_TRY(find_weight(b, layer, stems[i], "weight", &weights[i]));
        PARE_TRY(find_weight(b, layer, stems[i], "bias", &biases[i]));
    }
    if (weights[0].input_scale)
        b->model->memory_bytes += weights[0].K * sizeof(float);
    const float *bias;
    PARE_TRY(join_biases(b, biases, n_parts, &bias));
    PARE_TRY(pare_linear_init(linear, weights, n_parts, bias, use_of(b->source, layer),
                              b->arena, b->err));
    for (int i = 0; i < n_parts; i++)
        if (!linear->parts[i].packed)
            b->model->memory_bytes +=
                pare_weight_bytes(&weights[i]) +
                pare_sparse_index_bytes(&weights[i].sparse, weights[i].N);
    b->model->memory_bytes += linear->packed_bytes;
    return PARE_OK;
}

static enum pare_status bind_one(const struct binder *b, int layer, const char *stem,
                                 struct pare_linear *linear)
{
    return bind_linear(b, layer, &stem, 1, linear);
}

static enum pare_status bind_block(const struct binder *b, int layer,
                                   struct pare_block *block)
{
    static const char *const qkv[] = {"attn_q", "attn_k", "attn_v"};
    PARE_TRY(bind_linear(b, layer, qkv, 3, &block->qkv));
    PARE_TRY(bind_one(b, layer, "attn_output", &block->attn_out));
    PARE_TRY(bind_norm(b, layer, "attn_output_norm", &block->attn_norm));
    PARE_TRY(bind_one(b, layer, "ffn_up", &block->up));
    PARE_TRY(bind_one(b, layer, "ffn_down", &block->down));
    return bind_norm(b, layer, "layer_output_norm", &block->out_norm);
}

static enum pare_status bind_embeddings(const struct binder *b)
{
    struct pare_model *model = b->model;
    PARE_TRY(bind_embedding(b, "token_embd", &model->tokens));
    PARE_TRY(bind_embedding(b, "position_embd", &model->positions));
    if (model->config.token_types)
        PARE_TRY(bind_embedding(b, "token_types", &model->types));
    return bind_norm(b, -1, "token_embd_norm", &model->embed_norm);
}

static enum pare_status bind_head(const struct binder *b)
{
    if (b->model->config.has_pooler)
        PARE_TRY(bind_one(b, -1, "cls", &b->model->pooler));
    if (b->model->config.labels)
        PARE_TRY(bind_one(b, -1, "cls.output", &b->model->classifier));
    return PARE_OK;
}

enum pare_status pare_model_bind_part(struct pare_model *model,
                                      const struct pare_plan *plan,
                                      const struct pare_weight_source *source, int part,
                                      struct pare_arena *arena, struct pare_error *err)
{
    const struct binder b = {plan, source, model, arena, err};
    if (part == PARE_PART_EMBEDDINGS)
        return bind_embeddings(&b);
    return (uint32_t)part < model->config.layers
               ? bind_block(&b, part, &model->blocks[part])
               : bind_head(&b);
}

enum pare_status pare_model_new(const struct pare_config *config, struct pare_model **out,
                                struct pare_error *err)
{
    struct pare_model *model;
    *out = NULL;
    PARE_TRY(pare_alloc(&model, 1, sizeof *model, err));
    model->config = *config;
    enum pare_status status = pare_arena_alloc(
        &model->arena, &model->blocks, config->layers, sizeof *model->blocks, err);
    if (status != PARE_OK) {
        pare_model_free(model);
        return status;
    }
    memset(model->blocks, 0, config->layers * sizeof *model->blocks);
    *out = model;
    return PARE_OK;
}

enum pare_status pare_model_bind(const struct pare_config *config,
                                 const struct pare_weight_source *source,
                                 struct pare_model **out, struct pare_error *err)
{
    *out = NULL;
    struct pare_model *model;
    PARE_TRY(pare_model_new(config, &model, err));
    struct pare_arena plan_arena = {0};
    struct pare_plan plan;
    enum pare_status status = pare_plan_make(config, &plan_arena, &plan, err);
    for (int part = PARE_PART_EMBEDDINGS;
         status == PARE_OK && part <= (int)config->layers; part++)
        status = pare_model_bind_part(model, &plan, source, part, &model->arena, err);
    pare_arena_free(&plan_arena);
    if (status != PARE_OK) {
        pare_model_free(model);
        return status;
    }
    *out = model;
    return PARE_OK;
}

void pare_model_free(struct pare_model *model)
{
    if (!model)
        return;
    pare_tokenizer_free(model->tokenizer);
    pare_ckpt_close(model->ckpt);
    pare_arena_free(&model->arena);
    pare_arena_free(&model->stored);
    pare_free(model);
}

/* --- From a container --- */

/* A vector of floats used in place: finite, aligned for float access. */
static enum pare_status check_vector(const struct pare_ckpt *ckpt,
                                     const struct pare_tensor *tensor,
                                     struct pare_error *err)
{
    PARE_TRY(pare_stored_check_floats(ckpt, tensor, err));
    uint64_t first, bad = pare_tensor_nonfinite(tensor, &first);
    if (bad)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: tensor %s has %llu non-finite values, the first at %llu",
                         ckpt->path, tensor->name, (unsigned long long)bad,
                         (unsigned long long)first);
    return PARE_OK;
}

/* The plan has been checked: all tensors are there. */
static enum pare_status find_stored(void *context, const struct pare_slot *slot,
                                    struct pare_weight *weight, struct pare_error *err)
{
    const struct pare_stored *stored = context;
    const size_t i = (size_t)(slot_named(&stored->plan, slot->name) - stored->plan.slots);
    *weight = pare_stored_weight(stored, i);
    if (!pare_slot_is_matrix(slot))
        return check_vector(stored->ckpt, stored->tensors[i], err);
    return pare_weight_is_i8(weight) ? check_vector(stored->ckpt, stored->scales[i], err)
                                     : PARE_OK;
}

struct pare_weight_source pare_model_stored_source(struct pare_stored *stored)
{
    return (struct pare_weight_source){.find = find_stored, .context = stored};
}

static enum pare_status check_vocabulary(const struct pare_model *model, const char *path,
                                         struct pare_error *err)
{
    if (!model->tokenizer)
        return PARE_OK;
    size_t pieces = pare_tokenizer_vocab_size(model->tokenizer);
    if (pieces > model->config.vocab)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: the tokenizer has %zu pieces, the embedding %u rows", path,
                         pieces, model->config.vocab);
    return PARE_OK;
}

enum pare_status pare_model_open(const char *path, enum pare_precision precision,
                                 struct pare_model **out, struct pare_error *err)
{
    *out = NULL;
    struct pare_stored stored;
    PARE_TRY(pare_stored_open_container(path, &stored, err));
    struct pare_model *model = NULL;
    struct pare_weight_source source = pare_model_stored_source(&stored);
    enum pare_status status;
    source.precision = precision;
    PARE_TRY_OUT(pare_model_bind(&stored.config, &source, &model, err));
    model->precision = precision;
    model->ckpt = stored.ckpt;
    model->stored = stored.arena;
    stored.ckpt = NULL;
    stored.arena = (struct pare_arena){0};
    PARE_TRY_OUT(pare_tokenizer_from_meta(&model->ckpt->meta, &model->tokenizer, err));
    PARE_TRY_OUT(check_vocabulary(model, path, err));
    *out = model;
    model = NULL;
out:
    pare_model_free(model);
    pare_stored_close(&stored);
    return status;
}
