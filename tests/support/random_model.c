#include "tests/support/random_model.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/rng.h"

static enum pare_status find(void *context, const struct pare_slot *slot,
                             struct pare_weight *weight, struct pare_error *err)
{
    struct random_model *m = context;
    const float *data = m->weights;
    for (size_t i = 0; i < m->plan.count; i++) {
        const struct pare_slot *at = &m->plan.slots[i];
        if (!strcmp(at->name, slot->name)) {
            *weight = (struct pare_weight){.type = PARE_F32,
                                           .N = slot->n_dims == 2 ? slot->shape[0] : 1,
                                           .K = slot->shape[slot->n_dims - 1],
                                           .data = data};
            return PARE_OK;
        }
        data += pare_slot_elements(at);
    }
    return pare_fail(err, PARE_ERR_INTERNAL, "%s is not in the plan", slot->name);
}

enum pare_status random_model_make(const struct pare_config *config, uint64_t seed,
                                   float spread, int live, struct random_model *out,
                                   struct pare_error *err)
{
    memset(out, 0, sizeof *out);
    PARE_TRY(pare_plan_make(config, &out->arena, &out->plan, err));
    size_t total = 0;
    for (size_t i = 0; i < out->plan.count; i++)
        total += pare_slot_elements(&out->plan.slots[i]);
    PARE_TRY(pare_arena_alloc(&out->arena, &out->weights, total, sizeof(float), err));
    struct pare_rng rng = {.seed = seed};
    float *w = out->weights;
    for (size_t i = 0; i < out->plan.count; i++) {
        const struct pare_slot *slot = &out->plan.slots[i];
        float centre = slot->role == PARE_ROLE_NORM_WEIGHT ? 1.0f : 0.0f;
        for (uint64_t k = 0; k < pare_slot_elements(slot); k++)
            *w++ = centre + spread * pare_rng_normal(&rng);
    }
    struct pare_weight_source source = {.find = find, .context = out, .live = live};
    return pare_model_bind(config, &source, &out->model, err);
}

void random_model_free(struct random_model *model)
{
    pare_model_free(model->model);
    pare_arena_free(&model->arena);
}

enum pare_status random_batch_make(const struct pare_config *config,
                                   const uint32_t *lengths, size_t n_seq, uint64_t seed,
                                   struct random_batch *out, struct pare_error *err)
{
    memset(out, 0, sizeof *out);
    size_t T = 0;
    for (size_t s = 0; s < n_seq; s++)
        T += lengths[s];
    PARE_TRY(pare_alloc(&out->ids, T, sizeof *out->ids, err));
    PARE_TRY(pare_alloc(&out->types, T, sizeof *out->types, err));
    PARE_TRY(pare_alloc(&out->starts, n_seq + 1, sizeof *out->starts, err));
    struct pare_rng rng = {.seed = seed, .stream = 1};
    for (size_t t = 0; t < T; t++) {
        out->ids[t] = (int32_t)pare_rng_below(&rng, config->vocab);
        if (config->token_types)
            out->types[t] = (int32_t)pare_rng_below(&rng, config->token_types);
    }
    for (size_t s = 0; s < n_seq; s++)
        out->starts[s + 1] = out->starts[s] + lengths[s];
    out->batch = (struct pare_batch){.n_seq = n_seq,
                                     .n_tokens = T,
                                     .ids = out->ids,
                                     .types = out->types,
                                     .starts = out->starts};
    return PARE_OK;
}

void random_batch_free(struct random_batch *batch)
{
    pare_free(batch->ids);
    pare_free(batch->types);
    pare_free(batch->starts);
}
