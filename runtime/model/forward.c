/* The one forward: see forward.h for the equations. */
#include "runtime/model/forward.h"

#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/model/attention.h"
#include "runtime/model/forward_internal.h"

#define TOKEN_TILE 16 /* tokens a parallel task handles in the row-wise steps */

enum pare_status pare_forward_check(const struct pare_model *model,
                                    const struct pare_batch *batch,
                                    struct pare_error *err)
{
    const struct pare_config *config = &model->config;
    if (!batch->n_seq || batch->starts[0] ||
        batch->starts[batch->n_seq] != batch->n_tokens)
        return pare_fail(err, PARE_ERR_INTERNAL, "batch starts do not cover its tokens");
    for (size_t s = 0; s < batch->n_seq; s++) {
        uint32_t begin = batch->starts[s], end = batch->starts[s + 1];
        if (end <= begin)
            return pare_fail(err, PARE_ERR_INPUT, "sequence %zu of the batch is empty",
                             s);
        if (end - begin > config->positions)
            return pare_fail(err, PARE_ERR_INPUT,
                             "sequence %zu has %u tokens, the model takes at most %u", s,
                             end - begin, config->positions);
    }
    const uint32_t types = config->token_types ? config->token_types : 1;
    for (size_t t = 0; t < batch->n_tokens; t++) {
        if (batch->ids[t] < 0 || (uint32_t)batch->ids[t] >= config->vocab)
            return pare_fail(err, PARE_ERR_INPUT,
                             "token id %d is outside the vocabulary of %u", batch->ids[t],
                             config->vocab);
        if (batch->types && (batch->types[t] < 0 || (uint32_t)batch->types[t] >= types))
            return pare_fail(err, PARE_ERR_INPUT,
                             "token type %d is outside the model's %u", batch->types[t],
                             types);
    }
    return PARE_OK;
}

/* --- Row-wise steps --------------------------------------------------------------- */

struct norm_rows {
    const struct pare_norm *norm;
    const float *x;
    float *y, *mean, *rstd;
    float eps;
    size_t C;
};

static void norm_tile(void *context, size_t begin, size_t end)
{
    const struct norm_rows *n = context;
    const struct pare_kernels *kernels = pare_kernels();
    for (size_t t = begin; t < end; t++)
        kernels->layer_norm(n->y + t * n->C, n->x + t * n->C, n->norm->weight,
                            n->norm->bias, n->eps, n->C, n->mean ? n->mean + t : NULL,
                            n->rstd ? n->rstd + t : NULL);
}

static void layer_norm(const struct pare_config *config, const struct pare_norm *norm,
                       const float *x, float *y, float *mean, float *rstd, size_t T)
{
    struct norm_rows rows = {norm, x, y, mean, rstd, config->norm_eps, config->hidden};
    pare_parallel_for(T, TOKEN_TILE, norm_tile, &rows);
}

struct embed_rows {
    const struct pare_model *model;
    const struct pare_batch *batch;
    float *sum;
};

/* Sequence that token t belongs to: the last one starting at or before it. */
static size_t sequence_of(const struct pare_batch *batch, size_t t)
{
    size_t low = 0, high = batch->n_seq;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (batch->starts[middle] <= t)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void embed_tile(void *context, size_t begin, size_t end)
{
    const struct embed_rows *e = context;
    const struct pare_model *model = e->model;
    const struct pare_kernels *kernels = pare_kernels();
    const size_t C = model->config.hidden;
    float row[PARE_MAX_HIDDEN];
    for (size_t t = begin; t < end; t++) {
        float *sum = e->sum + t * C;
        pare_weight_row(&model->tokens, (size_t)e->batch->ids[t], sum);
        if (model->types.data) {
            size_t type = e->batch->types ? (size_t)e->batch->types[t] : 0;
            pare_weight_row(&model->types, type, row);
            kernels->add(sum, row, C);
        }
        size_t position = t - e->batch->starts[sequence_of(e->batch, t)];
        pare_weight_row(&model->positions, position, row);
        kernels->add(sum, row, C);
    }
}

struct activate_rows {
    enum pare_activation act;
    const float *x;
    float *y;
};

static void activate_tile(void *context, size_t begin, size_t end)
{
    const struct activate_rows *a = context;
    pare_kernels()->activate(a->act, a->y + begin, a->x + begin, end - begin);
}

/* Rows of `width` elements; row i stands for row number row[i] of the whole batch, or i
 * when row is NULL. */
struct dropout_rows {
    const struct pare_dropout *dropout;
    uint64_t site;
    float rate;
    float *y;
    const float *residual; /* added behind the dropout, or NULL */
    size_t width;
    const uint32_t *row;
};

static void dropout_tile(void *context, size_t begin, size_t end)
{
    const struct dropout_rows *d = context;
    for (size_t i = begin; i < end; i++) {
        const uint64_t row = d->row ? d->row[i] : i;
        float *y = d->y + i * d->width;
        pare_dropout_apply(d->dropout, d->site, d->rate, y, d->width, row * d->width);
        if (d->residual)
            pare_kernels()->add(y, d->residual + i * d->width, d->width);
    }
}

#define ELEMENT_TILE 16384 /* floats a task handles in the element-wise steps */

/* The rows of a block behind its attention. */
struct rows {
    size_t count;
    const uint32_t *row;   /* as in dropout_rows */
    const float *residual; /* [count, C]: the block's input at these rows */
};

/* y = dropout(linear(x)) + residual; fused into the product when there is no dropout. */
static enum pare_status linear_residual(const struct pare_linear *linear, const float *x,
                                        const struct rows *rows, float *y,
                                        const float *residual,
                                        const struct pare_dropout *dropout, uint64_t site,
                                        float rate, struct pare_arena *scratch,
                                        struct pare_error *err)
{
    const size_t M = rows->count;
    if (!dropout || rate <= 0)
        return pare_linear_forward(linear, x, M, y, PARE_ACT_NONE, residual, scratch,
                                   err);
    PARE_TRY(pare_linear_forward(linear, x, M, y, PARE_ACT_NONE, NULL, scratch, err));
    struct dropout_rows drop = {dropout, site, rate, y, residual, linear->N, rows->row};
    pare_parallel_for(M, TOKEN_TILE, dropout_tile, &drop);
    return PARE_OK;
}

/* y = act(linear(x)); on a tape `pre` keeps the value before the activation. */
static enum pare_status linear_activated(const struct pare_linear *linear, const float *x,
                                         size_t T, float *pre, float *y,
                                         enum pare_activation act,
                                         struct pare_arena *scratch,
                                         struct pare_error *err)
{
    if (!pre)
        return pare_linear_forward(linear, x, T, y, act, NULL, scratch, err);
    PARE_TRY(pare_linear_forward(linear, x, T, pre, PARE_ACT_NONE, NULL, scratch, err));
    struct activate_rows rows = {act, pre, y};
    pare_parallel_for(T * linear->N, ELEMENT_TILE, activate_tile, &rows);
    return PARE_OK;
}

/* --- The forward ------------------------------------------------------------------ */

void pare_forward_embed(const struct pare_model *model, const struct pare_batch *batch,
                        const struct pare_dropout *dropout, struct pare_acts *acts)
{
    const struct pare_config *config = &model->config;
    const size_t T = batch->n_tokens;
    struct embed_rows rows = {model, batch, acts->embed_sum};
    pare_parallel_for(T, TOKEN_TILE, embed_tile, &rows);
    layer_norm(config, &model->embed_norm, acts->embed_sum, acts->embedded,
               acts->embed_mean, acts->embed_rstd, T);
    if (dropout && config->dropout > 0) {
        struct dropout_rows drop = {
            .dropout = dropout,
            .site = PARE_DROPOUT_EMBED,
            .rate = config->dropout,
            .y = acts->embedded,
            .width = config->hidden,
        };
        pare_parallel_for(T, TOKEN_TILE, dropout_tile, &drop);
    }
    pare_profile_mark(acts->profile, PARE_OP_EMBED);
}

static enum pare_status see(const struct pare_acts *acts, uint32_t layer,
                            enum pare_site site, const float *X, size_t rows,
                            struct pare_error *err)
{
    return acts->tap ? acts->tap->see(acts->tap->context, layer, site, X, rows, err)
                     : PARE_OK;
}

/* Row starts[s] of `from` [T, width] becomes row s of `to` [B, width]. */
static void gather_first(const struct pare_batch *batch, float *to, const float *from,
                         size_t width)
{
    for (size_t s = 0; s < batch->n_seq; s++)
        memcpy(to + s * width, from + batch->starts[s] * width, width * sizeof *to);
}

/* Keys and values of all tokens, queries of the first ones; `first` has their inputs. */
static enum pare_status project_first(const struct pare_linear *qkv,
                                      const struct pare_batch *batch, const float *input,
                                      const float *first, float *y,
                                      struct pare_arena *scratch, struct pare_error *err)
{
    const size_t B = batch->n_seq, A = qkv->N / 3;
    float *q;
    PARE_TRY(pare_arena_alloc(scratch, &q, B * 3 * A, sizeof *q, err));
    PARE_TRY(
        pare_linear_forward_parts(qkv, 1, 2, input, batch->n_tokens, y, scratch, err));
    PARE_TRY(pare_linear_forward_parts(qkv, 0, 1, first, B, q, scratch, err));
    for (size_t s = 0; s < B; s++)
        memcpy(y + batch->starts[s] * 3 * A, q + s * 3 * A, A * sizeof *q);
    return PARE_OK;
}

/* From the attention's context to the block's output. */
static enum pare_status upper_half(const struct pare_model *model, uint32_t l,
                                   const struct rows *rows,
                                   const struct pare_dropout *dropout,
                                   struct pare_acts *acts, struct pare_error *err)
{
    const struct pare_config *config = &model->config;
    const struct pare_block *block = &model->blocks[l];
    const struct pare_block_acts *a = &acts->blocks[l];
    struct pare_arena *scratch = &acts->scratch;
    const uint64_t site = 3 * (uint64_t)l;
    PARE_TRY(see(acts, l, PARE_SITE_ATTN_OUT, a->context, rows->count, err));
    PARE_TRY(linear_residual(&block->attn_out, a->context, rows, a->attn_sum,
                             rows->residual, dropout, PARE_DROPOUT_ATTN + site,
                             config->dropout, scratch, err));
    pare_profile_mark(acts->profile, PARE_OP_ATTN_OUT);
    layer_norm(config, &block->attn_norm, a->attn_sum, a->attn_normed, a->attn_mean,
               a->attn_rstd, rows->count);
    pare_profile_mark(acts->profile, PARE_OP_NORM);
    PARE_TRY(see(acts, l, PARE_SITE_UP, a->attn_normed, rows->count, err));
    PARE_TRY(linear_activated(&block->up, a->attn_normed, rows->count, a->up, a->up_act,
                              config->activation, scratch, err));
    pare_profile_mark(acts->profile, PARE_OP_UP);
    PARE_TRY(see(acts, l, PARE_SITE_DOWN, a->up_act, rows->count, err));
    PARE_TRY(linear_residual(&block->down, a->up_act, rows, a->out_sum, a->attn_normed,
                             dropout, PARE_DROPOUT_FFN + site, config->dropout, scratch,
                             err));
    pare_profile_mark(acts->profile, PARE_OP_DOWN);
    layer_norm(config, &block->out_norm, a->out_sum, a->output, a->out_mean, a->out_rstd,
               rows->count);
    pare_profile_mark(acts->profile, PARE_OP_NORM);
    return PARE_OK;
}

enum pare_status pare_forward_block(const struct pare_model *model, uint32_t l,
                                    const struct pare_batch *batch,
                                    const struct pare_dropout *dropout,
                                    struct pare_acts *acts, struct pare_error *err)
{
    const struct pare_config *config = &model->config;
    const struct pare_linear *qkv = &model->blocks[l].qkv;
    const struct pare_block_acts *a = &acts->blocks[l];
    struct pare_arena *scratch = &acts->scratch;
    const int first_only = pare_acts_is_short(acts, config, l);
    const size_t T = batch->n_tokens, B = batch->n_seq, C = config->hidden;
    struct rows rows = {.count = T, .residual = a->input};
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    if (first_only) {
        float *first;
        PARE_TRY(pare_arena_alloc(scratch, &first, B * C, sizeof *first, err));
        gather_first(batch, first, a->input, C);
        PARE_TRY(see(acts, l, PARE_SITE_KV, a->input, T, err));
        PARE_TRY(see(acts, l, PARE_SITE_Q, first, B, err));
        PARE_TRY(project_first(qkv, batch, a->input, first, a->qkv, scratch, err));
        rows = (struct rows){B, batch->starts, first};
    } else {
        PARE_TRY(see(acts, l, PARE_SITE_QKV, a->input, T, err));
        PARE_TRY(pare_linear_forward(qkv, a->input, T, a->qkv, PARE_ACT_NONE, NULL,
                                     scratch, err));
    }
    pare_profile_mark(acts->profile, PARE_OP_QKV);
    PARE_TRY(pare_attention(config, batch, a->qkv, a->context, a->probs, acts->prob_start,
                            first_only, dropout, PARE_DROPOUT_PROBS + 3 * (uint64_t)l,
                            scratch, err));
    pare_profile_mark(acts->profile, PARE_OP_ATTENTION);
    PARE_TRY(upper_half(model, l, &rows, dropout, acts, err));
    pare_arena_release(scratch, mark);
    return PARE_OK;
}

enum pare_status pare_forward_head(const struct pare_model *model,
                                   const struct pare_batch *batch,
                                   const struct pare_dropout *dropout,
                                   struct pare_acts *acts, struct pare_error *err)
{
    const struct pare_config *config = &model->config;
    const size_t B = batch->n_seq, C = config->hidden;
    const float *hidden = acts->blocks[config->layers - 1].output;
    if (acts->first_only)
        memcpy(acts->first, hidden, B * C * sizeof(float));
    else
        gather_first(batch, acts->first, hidden, C);
    float *features = acts->first;
    if (config->has_pooler) {
        PARE_TRY(see(acts, config->layers, PARE_SITE_POOLER, acts->first, B, err));
        PARE_TRY(linear_activated(&model->pooler, acts->first, B, acts->pooled_pre,
                                  acts->pooled, pare_config_head_activation(config),
                                  &acts->scratch, err));
        features = acts->pooled;
    }
    if (!config->labels)
        return PARE_OK;
    pare_dropout_apply(dropout, PARE_DROPOUT_HEAD, config->head_dropout, features, B * C,
                       0);
    PARE_TRY(see(acts, config->layers, PARE_SITE_CLASSIFIER, features, B, err));
    return pare_linear_forward(&model->classifier, features, B, acts->logits,
                               PARE_ACT_NONE, NULL, &acts->scratch, err);
}

enum pare_status pare_forward(const struct pare_model *model,
                              const struct pare_batch *batch,
                              const struct pare_dropout *dropout, struct pare_acts *acts,
                              struct pare_error *err)
{
    PARE_TRY(pare_forward_check(model, batch, err));
    PARE_TRY(pare_acts_plan(&model->config, batch, acts, err));
    pare_profile_begin(acts->profile);
    pare_forward_embed(model, batch, dropout, acts);
    for (uint32_t l = 0; l < model->config.layers; l++)
        PARE_TRY(pare_forward_block(model, l, batch, dropout, acts, err));
    PARE_TRY(pare_forward_head(model, batch, dropout, acts, err));
    pare_profile_mark(acts->profile, PARE_OP_HEAD);
    return PARE_OK;
}
