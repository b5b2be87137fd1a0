/* Backward of scaled dot-product attention, one sequence and head a task.
 *
 * Forward, with queries q, keys k, values v of [n, D] and scale 1 / sqrt(D):
 *     s = q k^T,  p = softmax(scale s),  r = dropout(p),  o = r v
 * Backward, from do:
 *     dv = r^T do
 *     dr = do v^T,  dp = dropout(dr) (the same mask and factor)
 *     ds = scale p (dp - sum over the row of p dp)
 *     dq = ds k,  dk = ds^T q
 */
#include <math.h>
#include <string.h>

#include "libdistill/backward_steps.h"
#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"

struct attention {
    const struct pare_batch *batch;
    const struct pare_block_acts *acts;
    const uint64_t *prob_start;
    const struct pare_dropout *dropout;
    uint64_t site;
    float rate;
    const struct pare_attention_grads *grads;
    size_t heads, width, head_width; /* H, A, D */
    float *scratch;                  /* per worker: r, dp, then packing */
    size_t square, worker_floats;
};

/* c[M, N] = A[M, K] B[K, N] */
static void product(size_t M, size_t N, size_t K, struct pare_matrix A,
                    struct pare_matrix B, float *c, size_t ldc, float *pack)
{
    const struct pare_gemm_task task = {
        .M = M, .N = N, .K = K, .A = A, .B = B, .C = c, .ldc = ldc};
    pare_gemm_one(&task, pack);
}

static void attend_backward(const struct attention *a, size_t s, size_t h, float *scratch)
{
    const struct pare_attention_grads *g = a->grads;
    const size_t start = a->batch->starts[s], n = a->batch->starts[s + 1] - start;
    const size_t m = g->first_only ? 1 : n, row = g->first_only ? s : start;
    const size_t A = a->width, D = a->head_width, ld = 3 * A;
    const float *q = a->acts->qkv + start * ld + h * D, *k = q + A, *v = k + A;
    float *dq = g->dq + row * g->dq_stride + h * D;
    float *dk = g->dk + start * g->dk_stride + h * D;
    float *dv = g->dv + start * g->dk_stride + h * D;
    const float *dout = g->dcontext + row * A + h * D;
    const uint64_t offset = a->prob_start[s] + h * n * n;
    const float *p = a->acts->probs + offset;
    float *dropped = scratch, *dp = dropped + a->square, *pack = dp + a->square;
    const float *r = p;
    if (a->dropout && a->rate > 0) {
        memcpy(dropped, p, m * n * sizeof *p);
        pare_dropout_apply(a->dropout, a->site, a->rate, dropped, m * n, offset);
        r = dropped;
    }
    product(n, D, m, pare_transposed(r, n), pare_rows(dout, A), dv, g->dk_stride, pack);
    product(m, n, D, pare_rows(dout, A), pare_transposed(v, ld), dp, n, pack);
    pare_dropout_apply(a->dropout, a->site, a->rate, dp, m * n, offset);
    const float scale = 1.0f / sqrtf((float)D);
    for (size_t i = 0; i < m; i++)
        pare_kernels()->softmax_backward(dp + i * n, p + i * n, scale, n);
    product(m, D, n, pare_rows(dp, n), pare_rows(k, ld), dq, g->dq_stride, pack);
    product(n, D, m, pare_transposed(dp, n), pare_rows(q, ld), dk, g->dk_stride, pack);
}

static void attend_tile(void *context, int worker, size_t begin, size_t end)
{
    const struct attention *a = context;
    float *scratch = a->scratch + (size_t)worker * a->worker_floats;
    for (size_t task = begin; task < end; task++)
        attend_backward(a, task / a->heads, task % a->heads, scratch);
}

static size_t larger(size_t x, size_t y)
{
    return x > y ? x : y;
}

static size_t whole_lines(size_t floats)
{
    const size_t line = PARE_ALIGNMENT / sizeof(float);
    return (floats + line - 1) / line * line;
}

enum pare_status
pare_backward_attention(const struct pare_config *config, const struct pare_batch *batch,
                        const struct pare_block_acts *acts, const uint64_t *prob_start,
                        const struct pare_dropout *dropout, uint64_t site,
                        const struct pare_attention_grads *grads,
                        struct pare_arena *scratch, struct pare_error *err)
{
    size_t longest = 0;
    for (size_t s = 0; s < batch->n_seq; s++)
        longest = larger(longest, batch->starts[s + 1] - batch->starts[s]);
    const size_t D = pare_config_head_width(config);
    struct attention a = {
        .batch = batch,
        .acts = acts,
        .prob_start = prob_start,
        .dropout = dropout,
        .site = site,
        .rate = config->attention_dropout,
        .grads = grads,
        .heads = config->heads,
        .width = pare_config_attention_width(config),
        .head_width = D,
        .square = whole_lines(longest * longest),
    };
    size_t pack = larger(pare_gemm_one_scratch(longest, D, longest),
                         pare_gemm_one_scratch(longest, longest, D));
    a.worker_floats = 2 * a.square + whole_lines(pack);
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    PARE_TRY(pare_arena_alloc(scratch, &a.scratch,
                              a.worker_floats * (size_t)pare_threads(), sizeof(float),
                              err));
    pare_parallel_for_worker(batch->n_seq * a.heads, 1, attend_tile, &a);
    pare_arena_release(scratch, mark);
    return PARE_OK;
}
