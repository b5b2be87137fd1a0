/* Masks by score: see scores.h. */
#include "libprune/scores.h"

#include <math.h>
#include <string.h>

#include "libprune/choose.h"
#include "runtime/base/parallel.h"

/* Zeros among the n that come behind `before` others, so that all together have their
 * share. */
static size_t share(double sparsity, size_t before, size_t n)
{
    return (size_t)(rint(sparsity * (double)(before + n)) -
                    rint(sparsity * (double)before));
}

struct job {
    const struct pare_quant_rows *rows;
    const struct pare_factor *factor;
    const struct pare_pattern *pattern;
    int wanda;
    float *Q;
};

/* Q[n, k] = |w| sqrt(H_kk), or |w|. */
static void score_rows(void *context, size_t first, size_t end)
{
    const struct job *job = context;
    const struct pare_factor *factor = job->factor;
    const size_t K = job->rows->K;
    for (size_t n = first; n < end; n++)
        for (size_t j = 0; j < K; j++) {
            const size_t k = job->wanda ? factor->order[j] : j;
            const float w = fabsf(job->rows->W[n * K + k]);
            job->Q[n * K + k] = job->wanda ? w * sqrtf(factor->diagonal[j]) : w;
        }
}

/* Of every m scores of a row the n largest keep their weights. */
static void keep_of_m(void *context, size_t first, size_t end)
{
    const struct job *job = context;
    const size_t K = job->rows->K, m = job->pattern->m;
    for (size_t n = first; n < end; n++)
        for (size_t k = 0; k < K; k += m) {
            float scores[PARE_PATTERN_MOST], *q = job->Q + n * K + k;
            memcpy(scores, q, m * sizeof *q);
            for (size_t j = 0; j < m; j++)
                q[j] = pare_choose_is_smallest(scores, m, j, m - job->pattern->n)
                           ? 0
                           : job->rows->W[n * K + k + j];
        }
}

/* Of the blocks of `rows` rows, whose scores are in Q, the `zeros` smallest go. scores
 * and gone have room for them. */
static void keep_largest(const struct job *job, size_t row, size_t rows, size_t zeros,
                         float *scores, uint8_t *gone)
{
    const size_t r = job->pattern->rows, c = job->pattern->columns;
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
                     share(k->job->pattern->sparsity, i * k->blocks, k->blocks),
                     k->scores + (size_t)worker * k->blocks,
                     k->gone + (size_t)worker * k->blocks);
}

enum pare_status pare_prune_by_score(const struct pare_quant_rows *rows,
                                     const struct pare_factor *factor,
                                     const struct pare_pattern *pattern,
                                     enum pare_criterion criterion, float *Q,
                                     struct pare_arena *scratch, struct pare_error *err)
{
    const size_t N = rows->N, K = rows->K;
    const int whole = criterion == PARE_PRUNE_MAGNITUDE;
    const size_t workers = whole ? 1 : (size_t)pare_threads();
    struct job job = {rows, factor, pattern, !whole, Q};
    struct keeping keeping = {.job = &job, .rows = whole ? N : pattern->rows};
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    enum pare_status status = PARE_OK;
    pare_parallel_for(N, 16, score_rows, &job);
    if (pattern->m) {
        pare_parallel_for(N, 16, keep_of_m, &job);
        return PARE_OK;
    }
    keeping.blocks = keeping.rows / pattern->rows * (K / pattern->columns);
    PARE_TRY_OUT(pare_arena_alloc(scratch, &keeping.scores, workers * keeping.blocks,
                                  sizeof *keeping.scores, err));
    PARE_TRY_OUT(
        pare_arena_alloc(scratch, &keeping.gone, workers * keeping.blocks, 1, err));
    pare_parallel_for_worker(N / keeping.rows, whole ? 1 : 16, keep_rows, &keeping);
out:
    pare_arena_release(scratch, mark);
    return status;
}
