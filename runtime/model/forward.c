/* The one forward: see forward.h for the equations. */
#include "runtime/model/forward.h"

#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/model/attention.h"

#define TOKEN_TILE 16 /* tokens a parallel task handles in the row-wise steps */

static enum pare_status check_batch(const struct pare_model *model,
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

/* --- Memory ----------------------------------------------------------------------- */

/* Hands out pieces of one block of memory, or, without one, only adds up their size: the
 * same layout function does both, so that they cannot disagree. */
struct layout {
    unsigned char *base;
    size_t used;
};

static void *take(struct layout *layout, size_t count, size_t size)
{
    void *piece = layout->base ? layout->base + layout->used : NULL;
    layout->used += (count * size + 63) / 64 * 64;
    return piece;
}

static float *take_floats(struct layout *layout, size_t count)
{
    return take(layout, count, sizeof(float));
}

static void lay_block(struct layout *layout, struct pare_block_acts *acts, size_t T,
                      size_t C, size_t F, size_t prob_floats, int tape)
{
    acts->qkv = take_floats(layout, T * 3 * C);
    acts->context = take_floats(layout, T * C);
    acts->attn_normed = take_floats(layout, T * C);
    acts->up_act = take_floats(layout, T * F);
    acts->output = take_floats(layout, T * C);
    /* A norm may overwrite its input when no backward pass needs it. */
    acts->attn_sum = tape ? take_floats(layout, T * C) : acts->attn_normed;
    acts->out_sum = tape ? take_floats(layout, T * C) : acts->output;
    if (!tape)
        return;
    acts->probs = take_floats(layout, prob_floats);
    acts->up = take_floats(layout, T * F);
    acts->attn_mean = take_floats(layout, T);
    acts->attn_rstd = take_floats(layout, T);
    acts->out_mean = take_floats(layout, T);
    acts->out_rstd = take_floats(layout, T);
}

static void lay_out(struct layout *layout, const struct pare_config *config,
                    const struct pare_batch *batch, struct pare_acts *acts)
{
    const size_t T = batch->n_tokens, B = batch->n_seq, C = config->hidden;
    const int tape = acts->tape;
    size_t prob_floats = 0;
    acts->prob_start = take(layout, B + 1, sizeof *acts->prob_start);
    for (size_t s = 0; s < B; s++) {
        size_t n = batch->starts[s + 1] - batch->starts[s];
        if (layout->base)
            acts->prob_start[s] = prob_floats;
        prob_floats += config->heads * n * n;
    }
    if (layout->base)
        acts->prob_start[B] = prob_floats;
    acts->embedded = take_floats(layout, T * C);
    acts->embed_sum = tape ? take_floats(layout, T * C) : acts->embedded;
    acts->embed_mean = tape ? take_floats(layout, T) : NULL;
    acts->embed_rstd = tape ? take_floats(layout, T) : NULL;
    struct pare_block_acts *blocks = take(layout, config->layers, sizeof *blocks);
    acts->blocks = blocks;
    struct pare_block_acts block = {0};
    for (uint32_t l = 0; l < config->layers; l++) {
        /* Without a tape every block uses the first one's buffers; the input of a block
         * is then its own output buffer, which is read before it is written. */
        if (l == 0 || tape)
            lay_block(layout, &block, T, C, config->ffn, prob_floats, tape);
        block.input = l == 0 ? acts->embedded : blocks ? blocks[l - 1].output : NULL;
        if (blocks)
            blocks[l] = block;
    }
    acts->first = take_floats(layout, B * C);
    acts->pooled = config->has_pooler ? take_floats(layout, B * C) : NULL;
    acts->pooled_pre = config->has_pooler && tape ? take_floats(layout, B * C) : NULL;
    acts->logits = config->labels ? take_floats(layout, B * config->labels) : NULL;
}

static enum pare_status plan_memory(const struct pare_config *config,
                                    const struct pare_batch *batch,
                                    struct pare_acts *acts, struct pare_error *err)
{
    struct layout layout = {0};
    lay_out(&layout, config, batch, acts);
    pare_arena_release(&acts->arena, (struct pare_arena_mark){0});
    if (acts->arena.spare == NULL || acts->arena.reserved < layout.used) {
        pare_arena_free(&acts->arena);
        /* An eighth more, so that slowly growing batches do not allocate each time. */
        PARE_TRY(pare_arena_reserve(&acts->arena, layout.used + layout.used / 8, err));
    }
    void *base;
    PARE_TRY(pare_arena_alloc(&acts->arena, &base, layout.used, 1, err));
    layout = (struct layout){.base = base};
    lay_out(&layout, config, batch, acts);
    return PARE_OK;
}

void pare_acts_free(struct pare_acts *acts)
{
    pare_arena_free(&acts->arena);
    pare_arena_free(&acts->scratch);
    memset(acts, 0, sizeof *acts);
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

struct dropout_rows {
    const struct pare_dropout *dropout;
    uint64_t site;
    float rate;
    float *y;
    const float *residual; /* added behind the dropout, or NULL */
};

static void dropout_tile(void *context, size_t begin, size_t end)
{
    const struct dropout_rows *d = context;
    pare_dropout_apply(d->dropout, d->site, d->rate, d->y + begin, end - begin, begin);
    if (d->residual)
        pare_kernels()->add(d->y + begin, d->residual + begin, end - begin);
}

#define ELEMENT_TILE 16384 /* floats a task handles in the element-wise steps */

/* y = dropout(linear(x)) + residual; fused into the product when there is no dropout. */
static enum pare_status linear_residual(const struct pare_linear *linear, const float *x,
                                        size_t T, float *y, const float *residual,
                                        const struct pare_dropout *dropout, uint64_t site,
                                        float rate, struct pare_arena *scratch,
                                        struct pare_error *err)
{
    if (!dropout || rate <= 0)
        return pare_linear_forward(linear, x, T, y, PARE_ACT_NONE, residual, scratch,
                                   err);
    PARE_TRY(pare_linear_forward(linear, x, T, y, PARE_ACT_NONE, NULL, scratch, err));
    struct dropout_rows rows = {dropout, site, rate, y, residual};
    pare_parallel_for(T * linear->N, ELEMENT_TILE, dropout_tile, &rows);
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

static void embed(const struct pare_model *model, const struct pare_batch *batch,
                  const struct pare_dropout *dropout, struct pare_acts *acts)
{
    const struct pare_config *config = &model->config;
    const size_t T = batch->n_tokens;
    struct embed_rows rows = {model, batch, acts->embed_sum};
    pare_parallel_for(T, TOKEN_TILE, embed_tile, &rows);
    layer_norm(config, &model->embed_norm, acts->embed_sum, acts->embedded,
               acts->embed_mean, acts->embed_rstd, T);
    if (dropout && config->dropout > 0) {
        struct dropout_rows drop = {dropout, PARE_DROPOUT_EMBED, config->dropout,
                                    acts->embedded, NULL};
        pare_parallel_for(T * config->hidden, ELEMENT_TILE, dropout_tile, &drop);
    }
}

static enum pare_status run_block(const struct pare_model *model, uint32_t l,
                                  const struct pare_batch *batch,
                                  const struct pare_dropout *dropout,
                                  struct pare_acts *acts, struct pare_error *err)
{
    const struct pare_config *config = &model->config;
    const struct pare_block *block = &model->blocks[l];
    struct pare_block_acts *a = &acts->blocks[l];
    struct pare_arena *scratch = &acts->scratch;
    const size_t T = batch->n_tokens;
    const uint64_t site = 3 * (uint64_t)l;

    PARE_TRY(pare_linear_forward(&block->qkv, a->input, T, a->qkv, PARE_ACT_NONE, NULL,
                                 scratch, err));
    PARE_TRY(pare_attention(config, batch, a->qkv, a->context, a->probs, acts->prob_start,
                            dropout, PARE_DROPOUT_PROBS + site, scratch, err));
    PARE_TRY(linear_residual(&block->attn_out, a->context, T, a->attn_sum, a->input,
                             dropout, PARE_DROPOUT_ATTN + site, config->dropout, scratch,
                             err));
    layer_norm(config, &block->attn_norm, a->attn_sum, a->attn_normed, a->attn_mean,
               a->attn_rstd, T);
    PARE_TRY(linear_activated(&block->up, a->attn_normed, T, a->up, a->up_act,
                              config->activation, scratch, err));
    PARE_TRY(linear_residual(&block->down, a->up_act, T, a->out_sum, a->attn_normed,
                             dropout, PARE_DROPOUT_FFN + site, config->dropout, scratch,
                             err));
    layer_norm(config, &block->out_norm, a->out_sum, a->output, a->out_mean, a->out_rstd,
               T);
    return PARE_OK;
}

static enum pare_status run_head(const struct pare_model *model,
                                 const struct pare_batch *batch,
                                 const struct pare_dropout *dropout,
                                 struct pare_acts *acts, struct pare_error *err)
{
    const struct pare_config *config = &model->config;
    const size_t B = batch->n_seq, C = config->hidden;
    const float *hidden = acts->blocks[config->layers - 1].output;
    for (size_t s = 0; s < B; s++)
        memcpy(acts->first + s * C, hidden + batch->starts[s] * C, C * sizeof(float));
    float *features = acts->first;
    if (config->has_pooler) {
        PARE_TRY(linear_activated(&model->pooler, acts->first, B, acts->pooled_pre,
                                  acts->pooled, pare_config_head_activation(config),
                                  &acts->scratch, err));
        features = acts->pooled;
    }
    if (!config->labels)
        return PARE_OK;
    pare_dropout_apply(dropout, PARE_DROPOUT_HEAD, config->head_dropout, features, B * C,
                       0);
    return pare_linear_forward(&model->classifier, features, B, acts->logits,
                               PARE_ACT_NONE, NULL, &acts->scratch, err);
}

enum pare_status pare_forward(const struct pare_model *model,
                              const struct pare_batch *batch,
                              const struct pare_dropout *dropout, struct pare_acts *acts,
                              struct pare_error *err)
{
    PARE_TRY(check_batch(model, batch, err));
    PARE_TRY(plan_memory(&model->config, batch, acts, err));
    embed(model, batch, dropout, acts);
    for (uint32_t l = 0; l < model->config.layers; l++)
        PARE_TRY(run_block(model, l, batch, dropout, acts, err));
    return run_head(model, batch, dropout, acts, err);
}
