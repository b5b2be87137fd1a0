#include "runtime/model/attention.h"

#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/panels.h"

struct attention {
    const struct pare_kernels *kernels;
    const struct pare_batch *batch;
    const float *qkv;
    float *context;
    float *probs;
    const uint64_t *prob_start;
    int first_only;
    const struct pare_dropout *dropout;
    uint64_t site;
    float rate;
    size_t heads, width, head_width; /* H, A, D */
    size_t pieces;                   /* the queries of a head are cut into */
    float *scratch;                  /* per worker: struct space */
    size_t longest, worker_floats;
};

/* A worker's scratch for one head: keys and values as panels, packed once, and one tile
 * of queries and their scores, which stay in the first cache level
 * for up to about 256 tokens. */
struct space {
    float *keys;   /* [panels of n][D][nr] */
    float *values; /* [panels of D][n][nr] */
    float *rows;   /* [D][m], then [n][m] */
    float *scores; /* [m][n] */
};

/* One sequence and head. */
struct head {
    const float *q, *k, *v; /* rows 3 A apart */
    float *context;         /* rows A apart */
    size_t n;
    uint64_t offset; /* of its probabilities */
};

static size_t larger(size_t x, size_t y)
{
    return x > y ? x : y;
}

static size_t smaller(size_t x, size_t y)
{
    return x < y ? x : y;
}

static size_t rounded_up(size_t x, size_t to)
{
    return (x + to - 1) / to * to;
}

static size_t whole_lines(size_t floats)
{
    return rounded_up(floats, PARE_ALIGNMENT / sizeof(float));
}

/* Points `space` into a worker's scratch; returns its floats. */
static size_t lay_out(const struct attention *a, size_t longest, float *scratch,
                      struct space *space)
{
    const size_t mr = (size_t)a->kernels->gemm_f32.mr,
                 nr = (size_t)a->kernels->gemm_f32.nr, D = a->head_width;
    const size_t keys = whole_lines(rounded_up(longest, nr) * D);
    const size_t values = whole_lines(rounded_up(D, nr) * longest);
    const size_t rows = whole_lines(larger(longest, D) * mr);
    if (space)
        *space = (struct space){scratch, scratch + keys, scratch + keys + values,
                                scratch + keys + values + rows};
    return keys + values + rows + whole_lines(longest * mr);
}

/* B[K, N] as panels of nr columns. */
static void pack_panels(const struct attention *a, float *out, struct pare_matrix B,
                        size_t K, size_t N)
{
    const size_t nr = (size_t)a->kernels->gemm_f32.nr;
    for (size_t column = 0; column < N; column += nr, out += K * nr)
        pare_pack_panel(a->kernels, out, nr, B, 0, K, column, smaller(nr, N - column));
}

/* C[m, N] = A[m, K] B of m rows of A, from the panels of B. */
static void multiply(const struct attention *a, size_t m, size_t N, size_t K,
                     const float *A, size_t lda, const float *panels, float *packed,
                     float *C, size_t ldc)
{
    const struct pare_gemm_f32 *gemm = &a->kernels->gemm_f32;
    const size_t nr = (size_t)gemm->nr;
    a->kernels->pack(packed, m, A, lda * sizeof *A, m, K);
    for (size_t column = 0; column < N; column += nr, panels += K * nr)
        gemm->run(K, packed, panels, C + column, ldc, (int)m,
                  (int)smaller(nr, N - column), 0, (struct pare_ahead){panels, 0});
}

/* Queries [first, first + m) of a head. */
static void attend_tile(const struct attention *a, const struct head *head,
                        const struct space *space, size_t first, size_t m)
{
    const size_t n = head->n, A = a->width, D = a->head_width;
    const uint64_t offset = head->offset + first * n;
    multiply(a, m, n, D, head->q + first * 3 * A, 3 * A, space->keys, space->rows,
             space->scores, n);
    a->kernels->softmax_rows(space->scores, 1.0f / sqrtf((float)D), m, n);
    if (a->probs)
        memcpy(a->probs + offset, space->scores, m * n * sizeof(float));
    pare_dropout_apply(a->dropout, a->site, a->rate, space->scores, m * n, offset);
    multiply(a, m, D, n, space->scores, n, space->values, space->rows,
             head->context + first * A, A);
}

static struct head head_of(const struct attention *a, size_t number)
{
    const size_t s = number / a->heads, h = number % a->heads, A = a->width;
    const size_t start = a->batch->starts[s], n = a->batch->starts[s + 1] - start;
    const float *q = a->qkv + start * 3 * A + h * a->head_width;
    return (struct head){
        .q = q,
        .k = q + A,
        .v = q + 2 * A,
        .context = a->context + (a->first_only ? s : start) * A + h * a->head_width,
        .n = n,
        .offset = a->prob_start[s] + h * n * n,
    };
}

static void attend(void *context, int worker, size_t begin, size_t end)
{
    const struct attention *a = context;
    const size_t A = a->width, D = a->head_width;
    struct space space;
    lay_out(a, a->longest, a->scratch + (size_t)worker * a->worker_floats, &space);
    for (size_t task = begin; task < end; task++) {
        const struct head head = head_of(a, task / a->pieces);
        const size_t queries = a->first_only ? 1 : head.n, piece = task % a->pieces;
        const struct pare_cut cut = pare_cut_product(
            queries, head.n, D, (size_t)a->kernels->gemm_f32.mr, 1, queries, 0);
        const size_t tile_end = cut.tiles * (piece + 1) / a->pieces;
        size_t tile = cut.tiles * piece / a->pieces;
        if (tile == tile_end)
            continue;
        pack_panels(a, space.keys, pare_transposed(head.k, 3 * A), D, head.n);
        pack_panels(a, space.values, pare_rows(head.v, 3 * A), head.n, D);
        for (; tile < tile_end; tile++) {
            const size_t row = pare_cut_row(&cut, tile);
            attend_tile(a, &head, &space, row, pare_cut_row(&cut, tile + 1) - row);
        }
    }
}

/* Few heads are cut into pieces, so that all threads have work; each piece packs the keys
 * and values for itself. */
static size_t pieces_of(size_t heads)
{
    const size_t wanted = 2 * (size_t)pare_threads();
    return pare_threads() > 1 && heads < wanted ? (wanted + heads - 1) / heads : 1;
}

enum pare_status pare_attention(const struct pare_config *config,
                                const struct pare_batch *batch, const float *qkv,
                                float *context, float *probs, const uint64_t *prob_start,
                                int first_only, const struct pare_dropout *dropout,
                                uint64_t site, struct pare_arena *scratch,
                                struct pare_error *err)
{
    struct attention a = {
        .kernels = pare_kernels(),
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
        .width = pare_config_attention_width(config),
        .head_width = pare_config_head_width(config),
        .pieces = first_only ? 1 : pieces_of(batch->n_seq * config->heads),
    };
    for (size_t s = 0; s < batch->n_seq; s++)
        a.longest = larger(a.longest, batch->starts[s + 1] - batch->starts[s]);
    a.worker_floats = lay_out(&a, a.longest, NULL, NULL);
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    PARE_TRY(pare_arena_alloc(scratch, &a.scratch,
                              a.worker_floats * (size_t)pare_threads(), sizeof(float),
                              err));
    pare_parallel_for_worker(batch->n_seq * a.heads * a.pieces, 1, attend, &a);
    pare_arena_release(scratch, mark);
    return PARE_OK;
}
