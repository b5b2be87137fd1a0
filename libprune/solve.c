/* Pruning one matrix: see solve.h. */
#include "libprune/solve.h"

#include <math.h>
#include <string.h>

#include "libprune/choose.h"
#include "libquant/grids.h"
#include "libquant/sweep.h"
#include "runtime/base/parallel.h"

#define ROWS PARE_SWEEP_ROWS
#define BLOCK 128 /* columns that zeros are shared out among, at most */

struct job {
    const struct pare_quant_rows *rows;
    const struct pare_factor *factor;
    const struct pare_prune_options *options;
    float *Q;
    uint8_t *gone; /* [K places, lanes]: 1 where the weight becomes zero */
    size_t lanes;  /* N in whole tiles */
    size_t block;  /* columns that zeros are shared out among */
    float *scores; /* [BLOCK, ROWS] a worker */
    double *loss;  /* [N] */
};

/* --- Which of a group of equals go ------------------------------------------------ */

/* Zeros among the n that come behind `before` others, so that all together have their
 * share. */
static size_t share(double sparsity, size_t before, size_t n)
{
    return (size_t)(rint(sparsity * (double)(before + n)) -
                    rint(sparsity * (double)before));
}

/* --- SparseGPT: the filling of the sweep ------------------------------------------ */

/* A tile's blocks: (i, j) at number j * down + i, so that lanes lie together. */
struct blocks {
    size_t columns, down, n;
    int shift; /* rows of a block are 2^shift */
};

static struct blocks blocks_of(const struct pare_pattern *pattern,
                               const struct pare_sweep_tile *tile)
{
    struct blocks b = {.columns = pattern->columns};
    while ((size_t)1 << b.shift < pattern->rows)
        b.shift++;
    b.down = tile->rows >> b.shift;
    b.n = b.down * (tile->columns / b.columns);
    return b;
}

static void score_blocks(const struct blocks *b, const struct pare_sweep_tile *tile,
                         float *scores)
{
    memset(scores, 0, b->n * sizeof *scores);
    for (size_t k = 0; k < tile->columns; k++) {
        const float *x = tile->x + k * ROWS, cost = tile->cost[k];
        float *at = scores + k / b->columns * b->down;
        for (size_t i = 0; !b->shift && i < tile->rows; i++)
            at[i] += x[i] * x[i] * cost;
        for (size_t i = 0; b->shift && i < tile->rows; i++)
            at[i >> b->shift] += x[i] * x[i] * cost;
    }
}

static void choose_blocks(const struct job *job, int worker,
                          const struct pare_sweep_tile *tile)
{
    const struct pare_pattern *pattern = &job->options->pattern;
    const struct blocks b = blocks_of(pattern, tile);
    float *scores = job->scores + (size_t)worker * BLOCK * ROWS;
    uint8_t gone[BLOCK * ROWS];
    score_blocks(&b, tile, scores);
    /* Numbered tile by tile, in each as the sweep goes: all tiles before are whole. */
    const size_t before = (tile->row >> b.shift) * (job->rows->K / b.columns) +
                          tile->column / b.columns * b.down;
    pare_choose_smallest(scores, b.n, share(pattern->sparsity, before, b.n), gone);
    for (size_t k = 0; k < tile->columns; k++) {
        uint8_t *out = job->gone + (tile->column + k) * job->lanes + tile->row;
        for (size_t i = 0; i < tile->rows; i++)
            out[i] = gone[k / b.columns * b.down + (i >> b.shift)];
    }
}

static void choose_of_m(const struct job *job, const struct pare_sweep_tile *tile)
{
    const struct pare_pattern *pattern = &job->options->pattern;
    for (size_t i = 0; i < tile->rows; i++) {
        float scores[PARE_PATTERN_MOST];
        for (size_t k = 0; k < pattern->m; k++)
            scores[k] = tile->x[k * ROWS + i] * tile->x[k * ROWS + i] * tile->cost[k];
        for (size_t k = 0; k < pattern->m; k++)
            job->gone[(tile->column + k) * job->lanes + tile->row + i] =
                pare_choose_is_smallest(scores, pattern->m, k, pattern->m - pattern->n);
    }
}

static void begin(void *context, int worker, const struct pare_sweep_tile *tile)
{
    const struct job *job = context;
    if (job->options->pattern.m)
        choose_of_m(job, tile);
    else
        choose_blocks(job, worker, tile);
}

static void decide(void *context, int worker, const struct pare_sweep_tile *tile,
                   size_t k, float *q, uint8_t *codes)
{
    (void)worker;
    (void)codes;
    const struct job *job = context;
    const uint8_t *gone = job->gone + (tile->column + k) * job->lanes + tile->row;
    const float *x = tile->x + k * ROWS;
    for (size_t i = 0; i < tile->rows; i++)
        q[i] = gone[i] ? 0 : x[i];
}

static enum pare_status sweep(struct job *job, struct pare_arena *scratch,
                              struct pare_error *err)
{
    const struct pare_pattern *pattern = &job->options->pattern;
    const struct pare_sweep sweep = {.factor = job->factor,
                                     .N = job->rows->N,
                                     .W = job->rows->W,
                                     .Q = job->Q,
                                     .loss = job->loss};
    const struct pare_sweep_filling filling = {.context = job,
                                               .group =
                                                   pattern->m ? pattern->m : job->block,
                                               .begin = begin,
                                               .decide = decide,
                                               .passes = job->options->passes};
    return pare_sweep_run(&sweep, &filling, scratch, err);
}

/* --- Without second moments, or with their diagonal alone ------------------------- */

/* Q[n, k] = |w| sqrt(H_kk), or |w|. */
static void score_rows(void *context, size_t first, size_t end)
{
    const struct job *job = context;
    const struct pare_factor *factor = job->factor;
    const size_t K = job->rows->K;
    const int wanda = job->options->criterion == PARE_PRUNE_WANDA;
    for (size_t n = first; n < end; n++)
        for (size_t j = 0; j < K; j++) {
            const size_t k = wanda ? factor->order[j] : j;
            const float w = fabsf(job->rows->W[n * K + k]);
            job->Q[n * K + k] = wanda ? w * sqrtf(factor->diagonal[j]) : w;
        }
}

/* Of every m scores of a row the n largest keep their weights. */
static void keep_of_m(void *context, size_t first, size_t end)
{
    const struct job *job = context;
    const struct pare_pattern *pattern = &job->options->pattern;
    const size_t K = job->rows->K, m = pattern->m;
    for (size_t n = first; n < end; n++)
        for (size_t k = 0; k < K; k += m) {
            float scores[PARE_PATTERN_MOST], *q = job->Q + n * K + k;
            memcpy(scores, q, m * sizeof *q);
            for (size_t j = 0; j < m; j++)
                q[j] = pare_choose_is_smallest(scores, m, j, m - pattern->n)
                           ? 0
                           : job->rows->W[n * K + k + j];
        }
}

/* Of the blocks of `rows` rows, whose scores are in Q, the `zeros` smallest go. scores
 * and gone have room for them. */
static void keep_largest(const struct job *job, size_t row, size_t rows, size_t zeros,
                         float *scores, uint8_t *gone)
{
    const size_t r = job->options->pattern.rows, c = job->options->pattern.columns;
    const size_t K = job->rows->K, across = K / c, n = rows / r * across;
    memset(scores, 0, n * sizeof *scores);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < K; k++)
            scores[i / r * across + k / c] += job->Q[(row + i) * K + k];
    pare_choose_smallest(scores, n, zeros, gone);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < K; k++) {
            const size_t at = (row + i) * K + k;
            job->Q[at] = gone[i / r * across + k / c] ? 0 : job->rows->W[at];
        }
}

struct keeping {
    const struct job *job;
    float *scores; /* of a row of blocks, or of the matrix, a worker */
    uint8_t *gone;
    size_t rows, blocks; /* that are compared with each other */
};

static void keep_rows(void *context, int worker, size_t begin, size_t end)
{
    const struct keeping *k = context;
    for (size_t i = begin; i < end; i++)
        keep_largest(k->job, i * k->rows, k->rows,
                     share(k->job->options->pattern.sparsity, i * k->blocks, k->blocks),
                     k->scores + (size_t)worker * k->blocks,
                     k->gone + (size_t)worker * k->blocks);
}

static enum pare_status keep_by_score(struct job *job, struct pare_arena *scratch,
                                      struct pare_error *err)
{
    const struct pare_pattern *pattern = &job->options->pattern;
    const size_t N = job->rows->N, K = job->rows->K;
    const int whole = job->options->criterion == PARE_PRUNE_MAGNITUDE;
    const size_t workers = whole ? 1 : (size_t)pare_threads();
    struct keeping keeping = {.job = job, .rows = whole ? N : pattern->rows};
    pare_parallel_for(N, 16, score_rows, job);
    if (pattern->m) {
        pare_parallel_for(N, 16, keep_of_m, job);
        return PARE_OK;
    }
    keeping.blocks = keeping.rows / pattern->rows * (K / pattern->columns);
    PARE_TRY(pare_arena_alloc(scratch, &keeping.scores, workers * keeping.blocks,
                              sizeof *keeping.scores, err));
    PARE_TRY(pare_arena_alloc(scratch, &keeping.gone, workers * keeping.blocks, 1, err));
    pare_parallel_for_worker(N / keeping.rows, whole ? 1 : 16, keep_rows, &keeping);
    return PARE_OK;
}

/* --- The whole -------------------------------------------------------------------- */

/* The largest divisor of K that is no more than BLOCK and whole columns of blocks. */
static size_t block_of(size_t K, size_t columns)
{
    size_t best = columns;
    for (size_t n = columns; n <= BLOCK && n <= K; n += columns)
        if (K % n == 0)
            best = n;
    return best;
}

enum pare_order pare_prune_order(const struct pare_pattern *pattern, size_t *group)
{
    *group = pattern->m ? pattern->m : pattern->columns;
    return *group > 1 ? PARE_ORDER_GROUPS : PARE_ORDER_ALL;
}

static enum pare_status prepare(struct job *job, struct pare_arena *scratch,
                                struct pare_error *err)
{
    const struct pare_pattern *pattern = &job->options->pattern;
    const size_t N = job->rows->N, K = job->rows->K;
    PARE_TRY(pare_pattern_check(pattern, N, K, err));
    if (job->options->criterion != PARE_PRUNE_SPARSEGPT)
        return PARE_OK;
    if (!pare_factor_keeps(job->factor, pattern->m ? pattern->m : pattern->columns))
        return pare_fail(err, PARE_ERR_USAGE,
                         "an order that mixes the groups of a pattern cannot have it");
    job->block = block_of(K, pattern->columns);
    job->lanes = (N + ROWS - 1) / ROWS * ROWS;
    PARE_TRY(pare_arena_alloc(scratch, &job->gone, K, job->lanes, err));
    PARE_TRY(pare_arena_alloc(scratch, &job->loss, N, sizeof *job->loss, err));
    return pare_arena_alloc(scratch, &job->scores, (size_t)pare_threads() * BLOCK,
                            ROWS * sizeof *job->scores, err);
}

static enum pare_status run(struct job *job, struct pare_prune_report *report,
                            struct pare_arena *scratch, struct pare_error *err)
{
    struct pare_quant_error error = {0};
    PARE_TRY(prepare(job, scratch, err));
    *report = (struct pare_prune_report){0};
    if (job->options->criterion == PARE_PRUNE_SPARSEGPT)
        PARE_TRY(sweep(job, scratch, err));
    else
        PARE_TRY(keep_by_score(job, scratch, err));
    PARE_TRY(pare_grids_measure(job->rows, job->Q, &error, scratch, err));
    if (job->options->criterion == PARE_PRUNE_SPARSEGPT)
        report->loss =
            pare_factor_loss(job->factor, job->loss, job->rows->N, error.squared_error);
    for (size_t i = 0; i < job->rows->N * job->rows->K; i++)
        report->zeros += !(job->Q[i] < 0 || job->Q[i] > 0);
    return PARE_OK;
}

enum pare_status pare_prune(const struct pare_quant_rows *rows,
                            const struct pare_factor *factor,
                            const struct pare_prune_options *options, float *Q,
                            struct pare_prune_report *report, struct pare_arena *scratch,
                            struct pare_error *err)
{
    struct job job = {.rows = rows, .factor = factor, .options = options, .Q = Q};
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    const enum pare_status status = run(&job, report, scratch, err);
    pare_arena_release(scratch, mark);
    return status;
}
