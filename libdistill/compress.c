/* Applying a compressor: see compress.h. */
#include "libdistill/compress.h"

#include <string.h>

#include "runtime/base/alloc.h"

enum pare_status pare_compressed_init(struct pare_compressed *c,
                                      struct pare_params *params,
                                      struct pare_compressor *compressor,
                                      struct pare_error *err)
{
    *c = (struct pare_compressed){
        .compressor = compressor, .params = params, .weights = params->value};
    if (!compressor)
        return PARE_OK;
    PARE_TRY(pare_alloc_raw(&c->weights, params->total, sizeof(float), err));
    params->weights = c->weights;
    for (size_t i = 0; compressor->input_group && i < params->n_model; i++)
        params->input_group[i] = compressor->input_group[i];
    for (size_t i = 0; i < compressor->n_extras; i++) {
        const size_t slot = params->plan.count - compressor->n_extras + i;
        compressor->extras[i].value = params->value + params->start[slot];
        compressor->extras[i].grad = params->grad + params->start[slot];
    }
    if (compressor->placed)
        compressor->placed(compressor->context);
    return PARE_OK;
}

void pare_compressed_free(struct pare_compressed *c)
{
    if (!c->params)
        return;
    if (c->weights != c->params->value)
        pare_free(c->weights);
    c->params->weights = c->params->value;
    memset(c->params->input_group, 0,
           c->params->plan.count * sizeof *c->params->input_group);
    *c = (struct pare_compressed){0};
}

static int is_covered(const struct pare_compressed *c, size_t slot)
{
    return slot < c->params->n_model && c->compressor->covers[slot];
}

/* Rows [first, first + n) of a slot: compressed, or as they are. */
static enum pare_status apply_rows(struct pare_compressed *c, size_t slot, size_t first,
                                   size_t n, struct pare_error *err)
{
    const struct pare_slot *s = &c->params->plan.slots[slot];
    const size_t K = (size_t)s->shape[s->n_dims - 1];
    const size_t at = c->params->start[slot] + first * K;
    const float *v = c->params->value + at;
    if (is_covered(c, slot))
        return c->compressor->apply(c->compressor->context, slot, first, n, v,
                                    c->weights + at, err);
    memcpy(c->weights + at, v, n * K * sizeof *v);
    return PARE_OK;
}

static size_t rows_of(const struct pare_params *params, size_t slot)
{
    const struct pare_slot *s = &params->plan.slots[slot];
    return s->n_dims == 2 ? (size_t)s->shape[0] : 1;
}

static int is_tokens(const struct pare_params *params, size_t slot)
{
    return params->start[slot] == params->tokens && slot < params->n_model;
}

static enum pare_status refresh(struct pare_compressed *c, int tokens,
                                struct pare_error *err)
{
    const struct pare_compressor *compressor = c->compressor;
    if (!compressor)
        return PARE_OK;
    if (compressor->measure)
        compressor->measure(compressor->context, c->params->value, c->params->start);
    for (size_t slot = 0; slot < c->params->plan.count; slot++)
        if (tokens || !is_tokens(c->params, slot))
            PARE_TRY(apply_rows(c, slot, 0, rows_of(c->params, slot), err));
    return PARE_OK;
}

enum pare_status pare_compressed_refresh(struct pare_compressed *c,
                                         struct pare_error *err)
{
    return refresh(c, 0, err);
}

enum pare_status pare_compressed_all(struct pare_compressed *c, struct pare_error *err)
{
    return refresh(c, 1, err);
}

static size_t token_slot(const struct pare_params *params)
{
    return pare_params_slot_at(params, params->tokens);
}

enum pare_status pare_compressed_tokens(struct pare_compressed *c, const int32_t *ids,
                                        size_t n, struct pare_error *err)
{
    if (!c->compressor)
        return PARE_OK;
    /* A token that is there twice is compressed twice, to the same. */
    const size_t slot = token_slot(c->params);
    for (size_t t = 0; t < n; t++)
        PARE_TRY(apply_rows(c, slot, (size_t)ids[t], 1, err));
    return PARE_OK;
}

static enum pare_status backward_rows(struct pare_compressed *c, size_t slot,
                                      size_t first, size_t n, struct pare_error *err)
{
    const struct pare_slot *s = &c->params->plan.slots[slot];
    const size_t at = c->params->start[slot] + first * (size_t)s->shape[s->n_dims - 1];
    return c->compressor->backward(c->compressor->context, slot, first, n,
                                   c->params->value + at, c->params->grad + at, err);
}

enum pare_status pare_compressed_backward(struct pare_compressed *c,
                                          struct pare_error *err)
{
    const struct pare_compressor *compressor = c->compressor;
    const struct pare_params *params = c->params;
    if (!compressor || !compressor->backward)
        return PARE_OK;
    for (size_t i = 0; i < compressor->n_extras; i++)
        memset(compressor->extras[i].grad, 0,
               compressor->extras[i].rows * compressor->extras[i].columns *
                   sizeof(float));
    for (size_t slot = 0; slot < params->n_model; slot++) {
        if (!is_covered(c, slot))
            continue;
        if (!is_tokens(params, slot)) {
            PARE_TRY(backward_rows(c, slot, 0, rows_of(params, slot), err));
            continue;
        }
        for (size_t i = 0; i < params->n_touched; i++)
            PARE_TRY(backward_rows(c, slot, params->touched[i], 1, err));
    }
    return PARE_OK;
}
