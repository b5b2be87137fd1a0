/* The backward pass: see backward.h. Names follow forward.h; d<name> is the gradient of
 * the loss with respect to <name>. */
#include "libdistill/backward.h"

#include <string.h>

#include "libdistill/backward_steps.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"

#define ADD_TILE 16384 /* floats of a task in sums of gradients */

/* What all steps need. */
struct pass {
    struct pare_params *params;
    const float *weights;
    const struct pare_batch *batch;
    const struct pare_dropout *dropout;
    const struct pare_acts *acts;
    const struct pare_loss_grads *grads;
    int accumulate;
    enum pare_precision precision; /* of the linear layers at hand */
    struct pare_arena *scratch;
    struct pare_error *err;
    size_t B, T, C, A, F;
    /* Gradients of activations, one set for all blocks. */
    float *dx;       /* [T, C]: of a block's output, at last of its input */
    float *dropped;  /* [T, C]: behind a dropout */
    float *dcontext; /* [T, A] */
    float *dup;      /* [T, F] */
    float *dqkv;     /* [T, 3A] */
    /* For the last block, whose output matters at the first tokens only. */
    uint32_t *first_row; /* [B] */
    float *dfirst;       /* [B, C] */
    float *dfeatures;    /* [B, max(C, A)]: of what the classifier reads */
    float *gathered;     /* [B, A + 3C + 2F + 4] rows that the forward computed for all */
    float *dq;           /* [B, A] under acts->first_only */
};

/* --- Memory ----------------------------------------------------------------------- */

static float *carve(float **next, size_t floats)
{
    float *piece = *next;
    *next += (floats + 15) / 16 * 16;
    return piece;
}

static enum pare_status plan_memory(struct pass *p, struct pare_arena *arena)
{
    const size_t T = p->T, B = p->B, C = p->C, A = p->A, F = p->F;
    const size_t wide = A > C ? A : C;
    size_t floats =
        T * (2 * C + 4 * A + F) + B * (4 * C + 2 * A + wide + 2 * F + 5) + 16 * 16;
    pare_arena_release(arena, (struct pare_arena_mark){0});
    if (!arena->spare || arena->reserved < floats * sizeof(float)) {
        pare_arena_free(arena);
        size_t bytes = floats * sizeof(float);
        PARE_TRY(pare_arena_reserve(arena, bytes + bytes / 8, p->err));
    }
    float *next;
    PARE_TRY(pare_arena_alloc(arena, &next, floats, sizeof(float), p->err));
    p->dx = carve(&next, T * C);
    p->dropped = carve(&next, T * C);
    p->dcontext = carve(&next, T * A);
    p->dup = carve(&next, T * F);
    p->dqkv = carve(&next, T * 3 * A);
    p->dfirst = carve(&next, B * C);
    p->dfeatures = carve(&next, B * wide);
    p->gathered = carve(&next, B * (3 * C + A + 2 * F + 4));
    p->dq = carve(&next, B * A);
    p->first_row = (uint32_t *)carve(&next, B);
    memcpy(p->first_row, p->batch->starts, B * sizeof *p->first_row);
    return PARE_OK;
}

void pare_backward_free(struct pare_backward *work)
{
    pare_arena_free(&work->arena);
    pare_arena_free(&work->scratch);
}

/* --- Parts of a block ------------------------------------------------------------- */

/* What the forward multiplied: x, or x rounded (pare_weight.input_group). */
static enum pare_status seen_inputs(const struct pass *p, const struct pare_affine *at,
                                    size_t M, size_t K, const float **x)
{
    const size_t slot = pare_params_slot_at(p->params, at->weight);
    const size_t group = p->params->input_group[slot];
    float *rounded;
    if (!group)
        return PARE_OK;
    PARE_TRY(pare_arena_alloc(p->scratch, &rounded, M * K, sizeof *rounded, p->err));
    pare_round_inputs(*x, M, K, group, rounded);
    *x = rounded;
    return PARE_OK;
}

/* C[M, N] = A[M, K] B[K, N], or added to it; rows of C have N elements. */
static enum pare_status product(const struct pass *p, size_t M, size_t N, size_t K,
                                struct pare_matrix A, struct pare_matrix B, float *C,
                                int accumulate)
{
    return p->precision == PARE_PRECISION_BF16
               ? pare_gemm_bf16(M, N, K, A, B, C, N, accumulate, p->scratch, p->err)
               : pare_gemm(M, N, K, A, B, C, N, accumulate, p->scratch, p->err);
}

/* y = x W^T + b over M rows, W [N, K]. Rounding of x passes gradients straight through.
 *     dW = dy^T x,  db = sum of dy,  dx (+)= dy W      (dx NULL: not wanted) */
static enum pare_status linear(const struct pass *p, const struct pare_affine *at,
                               size_t M, size_t N, size_t K, const float *x,
                               const float *dy, float *dx, int add_dx)
{
    float *grad = p->params->grad;
    struct pare_arena_mark mark = pare_arena_mark(p->scratch);
    PARE_TRY(seen_inputs(p, at, M, K, &x));
    PARE_TRY(product(p, N, K, M, pare_transposed(dy, N), pare_rows(x, K),
                     grad + at->weight, p->accumulate));
    pare_arena_release(p->scratch, mark);
    pare_backward_bias(grad + at->bias, dy, M, N, p->accumulate);
    if (!dx)
        return PARE_OK;
    return product(p, M, K, N, pare_rows(dy, N), pare_rows(p->weights + at->weight, K),
                   dx, add_dx);
}

static void norm(const struct pass *p, const struct pare_affine *at, const float *x,
                 const float *mean, const float *rstd, float *dy, size_t M)
{
    struct pare_norm_backward step = {
        .x = x,
        .mean = mean,
        .rstd = rstd,
        .gamma = p->weights + at->weight,
        .dgamma = p->params->grad + at->weight,
        .dbeta = p->params->grad + at->bias,
    };
    pare_backward_norm(&step, dy, M, p->C, p->accumulate);
}

/* The gradient behind y = dropout(x) + residual: dy itself when there is no dropout, else
 * a masked copy; dy goes on to the residual. */
static const float *behind_dropout(const struct pass *p, uint64_t site, float rate,
                                   const float *dy, size_t M, const uint32_t *row)
{
    if (!p->dropout || rate <= 0)
        return dy;
    pare_backward_dropout(p->dropout, site, rate, dy, p->dropped, M, p->C, row);
    return p->dropped;
}

/* Rows of a block's activations between attention and output: all of them, or some. */
struct rows {
    size_t count;
    const uint32_t *row; /* which, NULL: all */
    const float *context, *attn_sum, *attn_mean, *attn_rstd, *attn_normed;
    const float *up, *up_act, *out_sum, *out_mean, *out_rstd;
};

/* From attention's context to the block's output. Forward:
 *     a = dropout(context Wo^T + b) + x,  u = LayerNorm(a)
 *     f = dropout(act(u W1^T + b) W2^T + b) + u,  y = LayerNorm(f)
 * Turns dy (in place) into da, which is also the residual part of dx, and makes
 * dcontext. */
static enum pare_status upper_half(const struct pass *p, uint32_t l, const struct rows *r,
                                   float *dy, float *dcontext)
{
    const struct pare_config *config = &p->params->config;
    const struct pare_block_params *at = &p->params->blocks[l];
    const size_t M = r->count, C = p->C, F = p->F;
    const uint64_t site = 3 * (uint64_t)l;

    norm(p, &at->out_norm, r->out_sum, r->out_mean, r->out_rstd, dy, M); /* df */
    const float *df =
        behind_dropout(p, PARE_DROPOUT_FFN + site, config->dropout, dy, M, r->row);
    PARE_TRY(linear(p, &at->down, M, C, F, r->up_act, df, p->dup, 0));
    pare_backward_activation(config->activation, p->dup, r->up, M * F);
    PARE_TRY(linear(p, &at->up, M, F, C, r->attn_normed, p->dup, dy, 1));    /* du */
    norm(p, &at->attn_norm, r->attn_sum, r->attn_mean, r->attn_rstd, dy, M); /* da */
    const float *da =
        behind_dropout(p, PARE_DROPOUT_ATTN + site, config->dropout, dy, M, r->row);
    return linear(p, &at->attn_out, M, C, p->A, r->context, da, dcontext, 0);
}

static struct rows rows_of(const struct pare_block_acts *a, size_t count,
                           const uint32_t *row)
{
    return (struct rows){
        .count = count,
        .row = row,
        .context = a->context,
        .attn_sum = a->attn_sum,
        .attn_mean = a->attn_mean,
        .attn_rstd = a->attn_rstd,
        .attn_normed = a->attn_normed,
        .up = a->up,
        .up_act = a->up_act,
        .out_sum = a->out_sum,
        .out_mean = a->out_mean,
        .out_rstd = a->out_rstd,
    };
}

static const float *gather(const struct pass *p, const float *from, size_t width,
                           float **next)
{
    float *to = *next;
    for (size_t s = 0; s < p->B; s++)
        memcpy(to + s * width, from + p->first_row[s] * width, width * sizeof *to);
    *next += p->B * width;
    return to;
}

static struct rows first_rows(const struct pass *p, const struct pare_block_acts *a)
{
    if (p->acts->first_only)
        return rows_of(a, p->B, p->first_row);
    float *next = p->gathered;
    struct rows r = {.count = p->B, .row = p->first_row};
    r.context = gather(p, a->context, p->A, &next);
    r.attn_sum = gather(p, a->attn_sum, p->C, &next);
    r.attn_normed = gather(p, a->attn_normed, p->C, &next);
    r.out_sum = gather(p, a->out_sum, p->C, &next);
    r.up = gather(p, a->up, p->F, &next);
    r.up_act = gather(p, a->up_act, p->F, &next);
    r.attn_mean = gather(p, a->attn_mean, 1, &next);
    r.attn_rstd = gather(p, a->attn_rstd, 1, &next);
    r.out_mean = gather(p, a->out_mean, 1, &next);
    r.out_rstd = gather(p, a->out_rstd, 1, &next);
    return r;
}

static void add_tile(void *context, size_t begin, size_t end)
{
    float *const *pair = context;
    pare_kernels()->add(pair[0] + begin, pair[1] + begin, end - begin);
}

static void add_rows(float *y, float *x, size_t n)
{
    float *pair[] = {y, x};
    pare_parallel_for(n, ADD_TILE, add_tile, pair);
}

struct scatter {
    const struct pass *pass;
    float *to;
    const float *from;
    size_t width;
};

static void scatter_sequences(void *context, size_t begin, size_t end)
{
    const struct scatter *scatter = context;
    const uint32_t *starts = scatter->pass->batch->starts;
    const size_t width = scatter->width;
    for (size_t s = begin; s < end; s++) {
        float *to = scatter->to + starts[s] * width;
        memcpy(to, scatter->from + s * width, width * sizeof *to);
        memset(to + width, 0, (starts[s + 1] - starts[s] - 1) * width * sizeof *to);
    }
}

/* Rows of first tokens from[B, width] to their places in to[T, width]; all others are
 * zero. */
static void scatter(const struct pass *p, float *to, const float *from, size_t width)
{
    struct scatter call = {p, to, from, width};
    pare_parallel_for(p->B, 1, scatter_sequences, &call);
}

/* From the block's input to the context, plus what the residual brought:
 *     q, k, v = x Wqkv^T + b,  context = attention(q, k, v) */
static enum pare_status lower_half(const struct pass *p, uint32_t l)
{
    const size_t C = p->C, A = p->A;
    const struct pare_block_acts *a = &p->acts->blocks[l];
    const uint64_t site = PARE_DROPOUT_PROBS + 3 * (uint64_t)l;
    const struct pare_attention_grads grads = {
        .dcontext = p->dcontext,
        .dq = p->dqkv,
        .dk = p->dqkv + A,
        .dv = p->dqkv + 2 * A,
        .dq_stride = 3 * A,
        .dk_stride = 3 * A,
    };
    PARE_TRY(pare_backward_attention(&p->params->config, p->batch, a, p->acts->prob_start,
                                     p->dropout, site, &grads, p->scratch, p->err));
    if (p->grads->qkv && p->grads->qkv[l])
        add_rows(p->dqkv, p->grads->qkv[l], p->T * 3 * A);
    return linear(p, &p->params->blocks[l].qkv, p->T, 3 * A, C, a->input, p->dqkv, p->dx,
                  1);
}

/* The same when only the first tokens have queries (acts->first_only). dfirst comes with
 * the residual's part; the products follow the order of one over q, k and v. */
static enum pare_status first_lower_half(const struct pass *p, uint32_t l,
                                         const float *dcontext)
{
    const size_t C = p->C, A = p->A;
    const struct pare_block_acts *a = &p->acts->blocks[l];
    const uint64_t site = PARE_DROPOUT_PROBS + 3 * (uint64_t)l;
    const struct pare_affine q = p->params->blocks[l].qkv;
    const struct pare_affine kv = {q.weight + A * C, q.bias + A};
    const struct pare_attention_grads grads = {
        .first_only = 1,
        .dcontext = dcontext,
        .dq = p->dq,
        .dk = p->dqkv,
        .dv = p->dqkv + A,
        .dq_stride = A,
        .dk_stride = 2 * A,
    };
    PARE_TRY(pare_backward_attention(&p->params->config, p->batch, a, p->acts->prob_start,
                                     p->dropout, site, &grads, p->scratch, p->err));
    float *next = p->gathered;
    const float *x = gather(p, a->input, C, &next);
    PARE_TRY(linear(p, &q, p->B, A, C, x, p->dq, p->dfirst, 1));
    scatter(p, p->dx, p->dfirst, C);
    return linear(p, &kv, p->T, 2 * A, C, a->input, p->dqkv, p->dx, 1);
}

/* dx is the gradient of the block's output. */
static enum pare_status inner_block(const struct pass *p, uint32_t l)
{
    struct rows rows = rows_of(&p->acts->blocks[l], p->T, NULL);
    if (p->grads->hidden && p->grads->hidden[l + 1])
        add_rows(p->dx, p->grads->hidden[l + 1], p->T * p->C);
    PARE_TRY(upper_half(p, l, &rows, p->dx, p->dcontext));
    return lower_half(p, l);
}

/* The last block: unless its output has a gradient of its own, only first tokens have
 * one, so the upper half, three quarters of the block's work, runs on those rows alone.
 * Zero rows would add nothing. */
static enum pare_status last_block(const struct pass *p, uint32_t l)
{
    if (p->grads->hidden && p->grads->hidden[l + 1]) {
        scatter(p, p->dx, p->dfirst, p->C);
        return inner_block(p, l);
    }
    struct rows rows = first_rows(p, &p->acts->blocks[l]);
    float *compact = p->dfeatures; /* free by now */
    PARE_TRY(upper_half(p, l, &rows, p->dfirst, compact));
    if (p->acts->first_only)
        return first_lower_half(p, l, compact);
    scatter(p, p->dcontext, compact, p->A);
    scatter(p, p->dx, p->dfirst, p->C);
    return lower_half(p, l);
}

/* --- Head and embedding ----------------------------------------------------------- */

/* A head that no loss looks at. */
static void no_head(const struct pass *p)
{
    struct pare_params *params = p->params;
    memset(p->dfirst, 0, p->B * p->C * sizeof *p->dfirst);
    if (p->accumulate)
        return;
    if (params->config.has_pooler) {
        memset(params->grad + params->pooler.weight, 0, p->C * p->C * sizeof(float));
        memset(params->grad + params->pooler.bias, 0, p->C * sizeof(float));
    }
}

/* features = dropout(act(first Wp^T + b)), or dropout(first) without a pooler;
 * logits = features W^T + b. Makes dfirst. */
static enum pare_status head(const struct pass *p, const float *dlogits)
{
    if (!p->params->config.labels) {
        no_head(p);
        return PARE_OK;
    }
    const struct pare_config *config = &p->params->config;
    const struct pare_acts *acts = p->acts;
    const float *features = config->has_pooler ? acts->pooled : acts->first;
    float *dfeatures = config->has_pooler ? p->dfeatures : p->dfirst;
    PARE_TRY(linear(p, &p->params->classifier, p->B, config->labels, p->C, features,
                    dlogits, dfeatures, 0));
    pare_backward_dropout(p->dropout, PARE_DROPOUT_HEAD, config->head_dropout, dfeatures,
                          dfeatures, p->B, p->C, NULL);
    if (!config->has_pooler)
        return PARE_OK;
    pare_backward_activation(pare_config_head_activation(config), dfeatures,
                             acts->pooled_pre, p->B * p->C);
    return linear(p, &p->params->pooler, p->B, p->C, p->C, acts->first, dfeatures,
                  p->dfirst, 0);
}

/* Shell sort: batches have a few hundred distinct tokens, most of them sorted already
 * when gradients accumulate. */
static void sort_rows(uint32_t *rows, size_t n)
{
    for (size_t gap = n / 2; gap; gap /= 2) {
        for (size_t i = gap; i < n; i++) {
            uint32_t row = rows[i];
            size_t j = i;
            for (; j >= gap && rows[j - gap] > row; j -= gap)
                rows[j] = rows[j - gap];
            rows[j] = row;
        }
    }
}

static void forget_rows(struct pare_params *params)
{
    const size_t C = params->config.hidden;
    for (size_t i = 0; i < params->n_touched; i++) {
        uint32_t row = params->touched[i];
        memset(params->grad + params->tokens + row * C, 0, C * sizeof(float));
        params->is_touched[row] = 0;
    }
    params->n_touched = 0;
}

static void note_rows(struct pare_params *params, const struct pare_batch *batch)
{
    for (size_t t = 0; t < batch->n_tokens; t++) {
        uint32_t row = (uint32_t)batch->ids[t];
        if (params->is_touched[row])
            continue;
        params->is_touched[row] = 1;
        params->touched[params->n_touched++] = row;
    }
    sort_rows(params->touched, params->n_touched);
}

/* Columns [begin, end) of the three embeddings' gradients: every token adds its row. */
static void embed_columns(void *context, size_t begin, size_t end)
{
    const struct pass *p = context;
    const struct pare_kernels *kernels = pare_kernels();
    const size_t C = p->C, n = end - begin;
    float *grad = p->params->grad + begin;
    for (size_t s = 0; s < p->B; s++) {
        const size_t start = p->batch->starts[s], stop = p->batch->starts[s + 1];
        for (size_t t = start; t < stop; t++) {
            const float *dx = p->dx + t * C + begin;
            const size_t row = (size_t)p->batch->ids[t];
            kernels->add(grad + p->params->tokens + row * C, dx, n);
            kernels->add(grad + p->params->positions + (t - start) * C, dx, n);
            if (!p->params->config.token_types)
                continue;
            const size_t type = p->batch->types ? (size_t)p->batch->types[t] : 0;
            kernels->add(grad + p->params->types + type * C, dx, n);
        }
    }
}

/* embedded = dropout(LayerNorm(token + type + position)) */
static void embedding(const struct pass *p)
{
    struct pare_params *params = p->params;
    const struct pare_config *config = &params->config;
    pare_backward_dropout(p->dropout, PARE_DROPOUT_EMBED, config->dropout, p->dx, p->dx,
                          p->T, p->C, NULL);
    norm(p, &params->embed_norm, p->acts->embed_sum, p->acts->embed_mean,
         p->acts->embed_rstd, p->dx, p->T);
    if (!p->accumulate) {
        forget_rows(params);
        memset(params->grad + params->positions, 0,
               config->positions * p->C * sizeof(float));
        memset(params->grad + params->types, 0,
               config->token_types * p->C * sizeof(float));
    }
    note_rows(params, p->batch);
    pare_parallel_for(p->C, 64, embed_columns, (void *)p);
}

enum pare_status pare_backward(struct pare_params *params, const float *weights,
                               const struct pare_batch *batch,
                               const struct pare_dropout *dropout,
                               const struct pare_acts *acts,
                               const struct pare_loss_grads *grads, int accumulate,
                               struct pare_backward *work, struct pare_error *err)
{
    if (!acts->tape)
        return pare_fail(err, PARE_ERR_INTERNAL, "a backward pass needs a tape");
    const uint32_t L = params->config.layers;
    if (acts->first_only &&
        ((grads->hidden && grads->hidden[L]) || (grads->qkv && grads->qkv[L - 1])))
        return pare_fail(err, PARE_ERR_INTERNAL,
                         "gradients of the whole last block need a whole last block");
    struct pass pass = {
        .params = params,
        .weights = weights,
        .batch = batch,
        .dropout = dropout,
        .acts = acts,
        .grads = grads,
        .accumulate = accumulate,
        .scratch = &work->scratch,
        .err = err,
        .B = batch->n_seq,
        .T = batch->n_tokens,
        .C = params->config.hidden,
        .A = pare_config_attention_width(&params->config),
        .F = params->config.ffn,
    };
    const struct pass *p = &pass;
    PARE_TRY(plan_memory(&pass, &work->arena));
    PARE_TRY(head(p, grads->logits));
    pass.precision = params->precision;
    for (uint32_t l = L; l-- > 0 && l + 1 >= work->frozen;)
        PARE_TRY(l + 1 == L ? last_block(p, l) : inner_block(p, l));
    if (work->frozen)
        return PARE_OK;
    if (grads->hidden && grads->hidden[0])
        add_rows(p->dx, grads->hidden[0], p->T * p->C);
    embedding(p);
    return PARE_OK;
}
