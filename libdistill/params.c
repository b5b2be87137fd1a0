/* Parameters of a model under training: see params.h. */
#include "libdistill/params.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"

#define INIT_STD 0.02f

/* Streams of the seed: dropout uses step * 4096 + site, so these start far above. */
#define INIT_STREAM ((uint64_t)1 << 60)

/* --- Layout ----------------------------------------------------------------------- */

static enum pare_status find_slot(const struct pare_params *params, int layer,
                                  const char *stem, const char *suffix, size_t *offset,
                                  struct pare_error *err)
{
    char name[PARE_NAME_SIZE];
    if (layer < 0)
        snprintf(name, sizeof name, "%s.%s", stem, suffix);
    else
        snprintf(name, sizeof name, "blk.%d.%s.%s", layer, stem, suffix);
    for (size_t i = 0; i < params->plan.count; i++) {
        if (!strcmp(params->plan.slots[i].name, name)) {
            *offset = params->start[i];
            return PARE_OK;
        }
    }
    return pare_fail(err, PARE_ERR_INTERNAL, "tensor %s is not in the plan", name);
}

static enum pare_status find_affine(const struct pare_params *params, int layer,
                                    const char *stem, struct pare_affine *affine,
                                    struct pare_error *err)
{
    PARE_TRY(find_slot(params, layer, stem, "weight", &affine->weight, err));
    return find_slot(params, layer, stem, "bias", &affine->bias, err);
}

/* Query, key and value must be adjacent: the backward treats them as one matrix. */
static enum pare_status find_qkv(const struct pare_params *params, int layer,
                                 struct pare_affine *affine, struct pare_error *err)
{
    const size_t A = pare_config_attention_width(&params->config);
    const size_t matrix = A * params->config.hidden;
    struct pare_affine k, v;
    PARE_TRY(find_affine(params, layer, "attn_q", affine, err));
    PARE_TRY(find_affine(params, layer, "attn_k", &k, err));
    PARE_TRY(find_affine(params, layer, "attn_v", &v, err));
    if (k.weight != affine->weight + matrix || v.weight != k.weight + matrix ||
        k.bias != affine->bias + A || v.bias != k.bias + A)
        return pare_fail(err, PARE_ERR_INTERNAL,
                         "query, key and value of block %d are not adjacent in the plan",
                         layer);
    return PARE_OK;
}

static enum pare_status find_offsets(struct pare_params *params, struct pare_error *err)
{
    const struct pare_config *config = &params->config;
    PARE_TRY(find_slot(params, -1, "token_embd", "weight", &params->tokens, err));
    PARE_TRY(find_slot(params, -1, "position_embd", "weight", &params->positions, err));
    if (config->token_types)
        PARE_TRY(find_slot(params, -1, "token_types", "weight", &params->types, err));
    PARE_TRY(find_affine(params, -1, "token_embd_norm", &params->embed_norm, err));
    for (uint32_t l = 0; l < config->layers; l++) {
        struct pare_block_params *block = &params->blocks[l];
        const int layer = (int)l;
        PARE_TRY(find_qkv(params, layer, &block->qkv, err));
        PARE_TRY(find_affine(params, layer, "attn_output", &block->attn_out, err));
        PARE_TRY(find_affine(params, layer, "attn_output_norm", &block->attn_norm, err));
        PARE_TRY(find_affine(params, layer, "ffn_up", &block->up, err));
        PARE_TRY(find_affine(params, layer, "ffn_down", &block->down, err));
        PARE_TRY(find_affine(params, layer, "layer_output_norm", &block->out_norm, err));
    }
    if (config->has_pooler)
        PARE_TRY(find_affine(params, -1, "cls", &params->pooler, err));
    if (config->labels)
        PARE_TRY(find_affine(params, -1, "cls.output", &params->classifier, err));
    return PARE_OK;
}

/* Appends the extras to the model's slots. */
static enum pare_status add_extras(struct pare_params *params,
                                   const struct pare_extra *extras, size_t n,
                                   struct pare_error *err)
{
    struct pare_plan *plan = &params->plan;
    params->n_model = plan->count;
    if (!n)
        return PARE_OK;
    struct pare_slot *slots;
    PARE_TRY(
        pare_arena_alloc(&params->arena, &slots, plan->count + n, sizeof *slots, err));
    memcpy(slots, plan->slots, plan->count * sizeof *slots);
    for (size_t i = 0; i < n; i++) {
        struct pare_slot *slot = &slots[plan->count + i];
        *slot = (struct pare_slot){
            .role = extras[i].decays ? PARE_ROLE_HEAD : PARE_ROLE_BIAS,
            .layer = extras[i].of ? slots[extras[i].of - 1].layer : -1,
            .n_dims = 2,
            .shape = {extras[i].rows, extras[i].columns},
        };
        snprintf(slot->name, sizeof slot->name, "%s", extras[i].name);
    }
    plan->slots = slots;
    plan->count += n;
    return PARE_OK;
}

static enum pare_status lay_out(struct pare_params *params,
                                const struct pare_extra *extras, size_t n,
                                struct pare_error *err)
{
    struct pare_arena *arena = &params->arena;
    PARE_TRY(pare_plan_make(&params->config, arena, &params->plan, err));
    PARE_TRY(add_extras(params, extras, n, err));
    PARE_TRY(pare_arena_alloc(arena, &params->start, params->plan.count + 1,
                              sizeof *params->start, err));
    for (size_t i = 0; i < params->plan.count; i++) {
        params->start[i] = params->total;
        params->total += pare_slot_elements(&params->plan.slots[i]);
    }
    params->start[params->plan.count] = params->total;
    PARE_TRY(pare_arena_alloc(arena, &params->blocks, params->config.layers,
                              sizeof *params->blocks, err));
    PARE_TRY(find_offsets(params, err));
    PARE_TRY(pare_arena_alloc(arena, &params->touched, params->config.vocab,
                              sizeof *params->touched, err));
    PARE_TRY(pare_arena_alloc(arena, &params->is_touched, params->config.vocab, 1, err));
    memset(params->is_touched, 0, params->config.vocab);
    PARE_TRY(pare_alloc(&params->value, params->total, sizeof(float), err));
    params->weights = params->value;
    PARE_TRY(pare_arena_alloc(arena, &params->input_group, params->plan.count,
                              sizeof *params->input_group, err));
    memset(params->input_group, 0, params->plan.count * sizeof *params->input_group);
    return pare_alloc(&params->grad, params->total, sizeof(float), err);
}

enum pare_status pare_params_new(const struct pare_config *config,
                                 struct pare_params **out, struct pare_error *err)
{
    return pare_params_new_with(config, NULL, 0, out, err);
}

enum pare_status pare_params_new_with(const struct pare_config *config,
                                      const struct pare_extra *extras, size_t n,
                                      struct pare_params **out, struct pare_error *err)
{
    *out = NULL;
    struct pare_params *params;
    PARE_TRY(pare_alloc(&params, 1, sizeof *params, err));
    params->config = *config;
    enum pare_status status = lay_out(params, extras, n, err);
    if (status != PARE_OK) {
        pare_params_free(params);
        return status;
    }
    *out = params;
    return PARE_OK;
}

void pare_params_free(struct pare_params *params)
{
    if (!params)
        return;
    pare_free(params->value);
    pare_free(params->grad);
    pare_arena_free(&params->arena);
    pare_free(params);
}

size_t pare_params_slot_at(const struct pare_params *params, size_t offset)
{
    size_t low = 0, high = params->plan.count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (params->start[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* --- Values ----------------------------------------------------------------------- */

void pare_params_draw(struct pare_params *params, size_t i, uint64_t seed)
{
    const struct pare_slot *slot = &params->plan.slots[i];
    float *value = params->value + params->start[i];
    const size_t n = params->start[i + 1] - params->start[i];
    struct pare_rng rng = {.seed = seed, .stream = INIT_STREAM + i};
    switch (slot->role) {
    case PARE_ROLE_NORM_WEIGHT:
        for (size_t k = 0; k < n; k++)
            value[k] = 1.0f;
        break;
    case PARE_ROLE_NORM_BIAS:
    case PARE_ROLE_BIAS: memset(value, 0, n * sizeof *value); break;
    case PARE_ROLE_EMBEDDING:
    case PARE_ROLE_LINEAR:
    case PARE_ROLE_HEAD:
        for (size_t k = 0; k < n; k++)
            value[k] = INIT_STD * pare_rng_normal(&rng);
        break;
    }
}

void pare_params_draw_all(struct pare_params *params, uint64_t seed)
{
    for (size_t i = 0; i < params->plan.count; i++)
        pare_params_draw(params, i, seed);
}

/* "cls.weight", "cls.output.bias" ... */
int pare_slot_is_head(const struct pare_slot *slot)
{
    return !strncmp(slot->name, "cls.", 4);
}

struct decode_rows {
    const struct pare_weight *weight;
    float *out;
};

static void decode_tile(void *context, size_t begin, size_t end)
{
    const struct decode_rows *d = context;
    const size_t K = d->weight->K;
    const float *by = d->weight->input_scale;
    for (size_t n = begin; n < end; n++) {
        float *row = d->out + n * K;
        pare_weight_row(d->weight, n, row);
        for (size_t k = 0; by && k < K; k++)
            row[k] *= by[k];
    }
}

static void load_slot(struct pare_params *params, size_t i,
                      const struct pare_stored *stored, size_t from)
{
    const struct pare_weight weight = pare_stored_weight(stored, from);
    struct decode_rows rows = {&weight, params->value + params->start[i]};
    pare_parallel_for(weight.N, 64, decode_tile, &rows);
}

/* The slot of `plan` with the same name and shape, or -1. */
static long same_slot(const struct pare_plan *plan, const struct pare_slot *slot)
{
    for (size_t i = 0; i < plan->count; i++)
        if (!strcmp(plan->slots[i].name, slot->name) &&
            plan->slots[i].n_dims == slot->n_dims &&
            !memcmp(plan->slots[i].shape, slot->shape,
                    (size_t)slot->n_dims * sizeof slot->shape[0]))
            return (long)i;
    return -1;
}

enum pare_status pare_params_load(struct pare_params *params,
                                  const struct pare_stored *stored, uint64_t seed,
                                  size_t *drawn, struct pare_error *err)
{
    *drawn = 0;
    for (size_t i = 0; i < params->n_model; i++) {
        const struct pare_slot *slot = &params->plan.slots[i];
        const long from = same_slot(&stored->plan, slot);
        char shape[64];
        if (from >= 0) {
            load_slot(params, i, stored, (size_t)from);
        } else if (pare_slot_is_head(slot)) {
            pare_params_draw(params, i, seed);
            ++*drawn;
        } else {
            return pare_fail(
                err, PARE_ERR_USAGE, "%s: there is no tensor %s of shape %s",
                stored->ckpt->path, slot->name,
                pare_shape_text(slot->n_dims, slot->shape, shape, sizeof shape));
        }
    }
    enum pare_status status =
        pare_params_check_finite(params, params->value, "weight", err);
    return status == PARE_OK ? PARE_OK
                             : pare_fail_in(err, status, "%s", stored->ckpt->path);
}

static enum pare_status find_value(void *context, const struct pare_slot *slot,
                                   struct pare_weight *weight, struct pare_error *err)
{
    const struct pare_params *params = context;
    for (size_t i = 0; i < params->plan.count; i++) {
        const struct pare_slot *own = &params->plan.slots[i];
        if (strcmp(own->name, slot->name))
            continue;
        *weight = (struct pare_weight){
            .type = PARE_F32,
            .N = own->n_dims == 2 ? own->shape[0] : 1,
            .K = own->shape[own->n_dims - 1],
            .data = params->weights + params->start[i],
            .input_group = params->input_group[i],
        };
        return PARE_OK;
    }
    return pare_fail(err, PARE_ERR_INTERNAL, "tensor %s is not a parameter", slot->name);
}

struct pare_weight_source pare_params_source(struct pare_params *params)
{
    return (struct pare_weight_source){
        .find = find_value, .context = params, .live = 1, .precision = params->precision};
}

enum pare_status pare_params_write(const struct pare_params *params,
                                   const struct pare_meta *meta, const char *path,
                                   struct pare_error *err)
{
    struct pare_gguf_writer *writer;
    PARE_TRY(pare_gguf_writer_open(path, meta, &writer, err));
    enum pare_status status = PARE_OK;
    for (size_t i = 0; i < params->n_model; i++) {
        const struct pare_slot *slot = &params->plan.slots[i];
        PARE_TRY_OUT(pare_gguf_writer_plan(writer, slot->name, PARE_F32, slot->n_dims,
                                           slot->shape, err));
    }
    for (size_t i = 0; i < params->n_model; i++)
        PARE_TRY_OUT(pare_gguf_writer_data(
            writer, params->value + params->start[i],
            (params->start[i + 1] - params->start[i]) * sizeof(float), err));
    return pare_gguf_writer_commit(writer, err);
out:
    pare_gguf_writer_abort(writer);
    return status;
}

enum pare_status pare_params_check_finite(const struct pare_params *params,
                                          const float *buffer, const char *what,
                                          struct pare_error *err)
{
    for (size_t k = 0; k < params->total; k++) {
        if (isfinite(buffer[k]))
            continue;
        size_t i = pare_params_slot_at(params, k);
        return pare_fail(err, PARE_ERR_INPUT, "%s %s is %s at element %zu", what,
                         params->plan.slots[i].name,
                         isnan(buffer[k]) ? "not a number" : "infinite",
                         k - params->start[i]);
    }
    return PARE_OK;
}
