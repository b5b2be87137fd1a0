#include "runtime/model/attention.h"

#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"

/* Without a tape a task holds the scores of this many queries at a time, so that they
 * stay in the first two cache levels whatever the sequence's length. */
#define QUERY_ROWS 64

struct attention {
    const struct pare_batch *batch;
    const float *qkv;
    float *context;
    float *probs;
    const uint64_t *prob_start;
    int first_only;
    const struct pare_dropout *dropout;
    uint64_t site;
    float rate;
    size_t heads, width, head_width; /* H, C, D */
    float *scratch;                  /* per worker: scores, then packing */
    size_t score_floats, worker_floats;
};

/* Rows [first, first + rows) of one sequence's queries in head h. */
static void attend_rows(const struct attention *a, size_t s, size_t h, size_t first,
                        size_t rows, float *scores, float *pack)
{
    const size_t start = a->batch->starts[s], n = a->batch->starts[s + 1] - start;
    const size_t C = a->width, D = a->head_width;
    const float *q = a->qkv + start * 3 * C + h * D, *k = q + C, *v = k + C;
    float *context = a->context + (a->first_only ? s : start + first) * C + h * D;
    const float scale = 1.0f / sqrtf((float)D);
    const uint64_t offset = a->prob_start[s] + (h * n + first) * n;
    pare_gemm_one(&(struct pare_gemm_task){.M = rows,
                                           .N = n,
                                           .K = D,
                                           .A = pare_rows(q + first * 3 * C, 3 * C),
                                           .B = pare_transposed(k, 3 * C),
                                           .C = scores,
                                           .ldc = n},
                  pack);
    const struct pare_kernels *kernels = pare_kernels();
    kernels->softmax_rows(scores, scale, rows, n);
    if (a->probs)
        memcpy(a->probs + offset, scores, rows * n * sizeof *scores);
    pare_dropout_apply(a->dropout, a->site, a->rate, scores, rows * n, offset);
    pare_gemm_one(&(struct pare_gemm_task){.M = rows,
                                           .N = D,
                                           .K = n,
                                           .A = pare_rows(scores, n),
                                           .B = pare_rows(v, 3 * C),
                                           .C = context,
                                           .ldc = C},
                  pack);
}

static void attend(void *context, int worker, size_t begin, size_t end)
{
    const struct attention *a = context;
    float *scores = a->scratch + (size_t)worker * a->worker_floats;
    float *pack = scores + a->score_floats;
    for (size_t task = begin; task < end; task++) {
        size_t s = task / a->heads, h = task % a->heads;
        size_t n = a->first_only ? 1 : a->batch->starts[s + 1] - a->batch->starts[s];
        for (size_t first = 0; first < n; first += QUERY_ROWS) {
            size_t rows = n - first < QUERY_ROWS ? n - first : QUERY_ROWS;
            attend_rows(a, s, h, first, rows, scores, pack);
        }
    }
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

enum pare_status pare_attention(const struct pare_config *config,
                                const struct pare_batch *batch, const float *qkv,
                                float *context, float *probs, const uint64_t *prob_start,
                                int first_only, const struct pare_dropout *dropout,
                                uint64_t site, struct pare_arena *scratch,
                                struct pare_error *err)
{
    size_t longest = 0;
    for (size_t s = 0; s < batch->n_seq; s++)
        longest = larger(longest, batch->starts[s + 1] - batch->starts[s]);
    const size_t D = config->hidden / config->heads;
    const size_t rows = longest < QUERY_ROWS ? longest : QUERY_ROWS;
    struct attention a = {
        .batch = batch,
        .qkv = qkv,
        .context = context,
        .probs = probs,
        .prob_start = prob_start,
        .first_only = first_only,
        .dropout = dropout,
        .site = site,
        .rate = config->attention_dropout,
        .heads = config->heads,
        .width = config->hidden,
        .head_width = D,
        .score_floats = whole_lines(rows * longest),
    };
    a.worker_floats =
        a.score_floats + whole_lines(larger(pare_gemm_one_scratch(rows, longest, D),
                                            pare_gemm_one_scratch(rows, D, longest)));
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    PARE_TRY(pare_arena_alloc(scratch, &a.scratch,
                              a.worker_floats * (size_t)pare_threads(), sizeof(float),
                              err));
    pare_parallel_for_worker(batch->n_seq * a.heads, 1, attend, &a);
    pare_arena_release(scratch, mark);
    return PARE_OK;
}
