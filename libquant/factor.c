/* Second moments to sweep coefficients: see factor.h. */
#include "libquant/factor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/cholesky.h"

#define TILE 64 /* rows and columns that are copied together */

struct job {
    const struct pare_gram *gram;
    struct pare_factor *factor;
    uint32_t *row_of;   /* [K]: input i is the sweep's column row_of[i] */
    float *rows;        /* [K] a worker */
    unsigned char *bad; /* [tiles]: a row of that tile is not finite */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* --- Order --- */

struct key { /* of a column, or of a group */
    double size;
    uint32_t first, column;
};

/* Large ones first, equal ones as they are. */
static int compare(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

static void sort_columns(const double *diagonal, size_t first, size_t n, struct key *keys,
                         uint32_t *order)
{
    for (size_t i = 0; i < n; i++)
        keys[i] = (struct key){diagonal[first + i], 0, (uint32_t)(first + i)};
    qsort(keys, n, sizeof *keys, compare);
    for (size_t i = 0; i < n; i++)
        order[i] = keys[i].column;
}

/* n columns from `first` on, in groups, in which `together` neighbours stay so. keys:
 * room for two times n. */
static void sort_groups(const double *diagonal, size_t first, size_t n, size_t group,
                        size_t together, struct key *keys, uint32_t *order)
{
    const size_t groups = n / group;
    for (size_t g = 0; g < groups; g++) {
        const size_t begin = first + g * group;
        keys[g] = (struct key){-1, (uint32_t)begin, (uint32_t)g};
        for (size_t i = begin; i < begin + group; i++)
            keys[g].size = diagonal[i] > keys[g].size ? diagonal[i] : keys[g].size;
    }
    qsort(keys, groups, sizeof *keys, compare);
    for (size_t g = 0; g < groups; g++)
        if (together > 1 && together < group)
            sort_groups(diagonal, keys[g].first, group, together, 1, keys + groups,
                        order + g * group);
        else
            sort_columns(diagonal, keys[g].first, group, keys + groups,
                         order + g * group);
}

static enum pare_status make_order(struct pare_factor *factor, const double *diagonal,
                                   const struct pare_factor_options *options,
                                   struct pare_arena *scratch, struct pare_error *err)
{
    struct key *keys;
    PARE_TRY(pare_arena_alloc(scratch, &keys, 2 * factor->K, sizeof *keys, err));
    if (options->order == PARE_ORDER_ALL)
        sort_columns(diagonal, 0, factor->K, keys, factor->order);
    else if (options->order == PARE_ORDER_GROUPS)
        sort_groups(diagonal, 0, factor->K, options->group, options->together, keys,
                    factor->order);
    return PARE_OK;
}

/* --- H' --- */

/* Columns column .. column + n of inputs begin .. end to H'. What is right of the
 * diagonal is mirrored by way of `tile`, since rows of H' may all begin in one set of the
 * cache. */
static int copy_tile(const struct job *job, size_t begin, size_t end, size_t column,
                     size_t n)
{
    const size_t K = job->factor->K;
    const double inverse = 1 / job->factor->scale;
    float tile[TILE][TILE] = {{0}}, *H = job->factor->H;
    int bad = 0;
    for (size_t i = begin; i < end; i++) {
        const double *from = job->gram->sum + pare_gram_at(K, i) - i;
        float *row = H + job->row_of[i] * K;
        for (size_t j = larger(column, i); j < column + n; j++) {
            const float value = (float)(from[j] * inverse);
            bad |= !isfinite(value);
            row[j] = tile[j - column][i - begin] = value;
        }
    }
    for (size_t j = larger(column, begin); j < column + n; j++)
        memcpy(H + job->row_of[j] * K + begin, tile[j - column],
               (smaller(end, j + 1) - begin) * sizeof(float));
    return bad;
}

/* Inputs begin .. end: their rows of the triangle go to their rows of H', and mirrored
 * to those of the other inputs, whose columns are still in input order. */
static void copy_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const size_t K = job->factor->K;
    int bad = 0;
    for (size_t column = begin; column < K; column += TILE)
        bad |= copy_tile(job, begin, end, column, smaller(TILE, K - column));
    job->bad[begin / TILE] = (unsigned char)bad;
}

static void permute_columns(void *context, int worker, size_t begin, size_t end)
{
    const struct job *job = context;
    const size_t K = job->factor->K;
    float *copy = job->rows + (size_t)worker * K;
    for (size_t i = begin; i < end; i++) {
        float *row = job->factor->H + i * K;
        memcpy(copy, row, K * sizeof *row);
        for (size_t j = 0; j < K; j++)
            row[j] = copy[job->factor->order[j]];
    }
}

/* The upper triangle from the lower one. */
static void restore_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const size_t K = job->factor->K;
    float *H = job->factor->H;
    for (size_t column = begin; column < K; column += TILE)
        for (size_t i = begin; i < end; i++)
            for (size_t j = column > i + 1 ? column : i + 1;
                 j < smaller(column + TILE, K); j++)
                H[i * K + j] = H[j * K + i];
}

static enum pare_status fill(struct job *job, struct pare_arena *scratch,
                             struct pare_error *err)
{
    struct pare_factor *factor = job->factor;
    const size_t K = factor->K, tiles = (K + TILE - 1) / TILE;
    PARE_TRY(pare_arena_alloc(scratch, &job->row_of, K, sizeof *job->row_of, err));
    PARE_TRY(pare_arena_alloc(scratch, &job->bad, tiles, 1, err));
    PARE_TRY(pare_arena_alloc(scratch, &job->rows, (size_t)pare_threads() * K,
                              sizeof *job->rows, err));
    int natural = 1;
    for (size_t j = 0; j < K; j++) {
        job->row_of[factor->order[j]] = (uint32_t)j;
        natural &= factor->order[j] == j;
    }
    pare_parallel_for(K, TILE, copy_rows, job);
    for (size_t t = 0; t < tiles; t++)
        factor->fallback |= job->bad[t];
    if (!natural)
        pare_parallel_for_worker(K, TILE, permute_columns, job);
    for (size_t i = 0; i < K; i++)
        factor->diagonal[i] = factor->H[i * K + i];
    return PARE_OK;
}

/* --- The factor --- */

static void make_identity(struct pare_factor *factor)
{
    memset(factor->H, 0, factor->K * factor->K * sizeof *factor->H);
    for (size_t i = 0; i < factor->K; i++) {
        factor->H[i * factor->K + i] = factor->diagonal[i] = 1;
        factor->order[i] = (uint32_t)i;
    }
    factor->fallback = 1;
    factor->damping = 0;
    factor->scale = 1;
}

/* Factors H' with that damping; *failed as pare_cholesky. */
static enum pare_status factor_damped(struct pare_factor *factor, double damping,
                                      size_t *failed, struct pare_arena *scratch,
                                      struct pare_error *err)
{
    const size_t K = factor->K;
    for (size_t i = 0; i < K; i++)
        factor->H[i * K + i] = (float)((double)factor->diagonal[i] + damping);
    factor->damping = damping;
    return pare_cholesky(factor->H, K, K, failed, scratch, err);
}

static enum pare_status damp_and_factor(struct job *job, double damping,
                                        struct pare_arena *scratch,
                                        struct pare_error *err)
{
    struct pare_factor *factor = job->factor;
    const size_t K = factor->K;
    size_t failed;
    PARE_TRY(factor_damped(factor, damping, &failed, scratch, err));
    while (failed < K && factor->escalations < PARE_ESCALATIONS) {
        factor->escalations++;
        damping = damping > 0 ? 10 * damping : PARE_DAMPING;
        pare_parallel_for(K, TILE, restore_rows, job);
        PARE_TRY(factor_damped(factor, damping, &failed, scratch, err));
    }
    factor->fallback = failed < K;
    for (size_t i = 0; i < K; i++)
        factor->diagonal[i] = (float)((double)factor->diagonal[i] + damping);
    return PARE_OK;
}

/* The diagonal of H, the mean of it over the live columns, and how many are dead. */
static double mean_diagonal(const struct pare_gram *gram, double *diagonal, size_t *dead)
{
    double sum = 0;
    *dead = 0;
    for (size_t i = 0; i < gram->K; i++) {
        diagonal[i] = pare_gram_diagonal(gram, i);
        *dead += diagonal[i] == 0;
        sum += diagonal[i];
    }
    return sum / (double)(gram->K - *dead);
}

static enum pare_status attempt(struct pare_factor *factor, const struct pare_gram *gram,
                                const struct pare_factor_options *options,
                                struct pare_arena *scratch, struct pare_error *err)
{
    struct job job = {.gram = gram, .factor = factor};
    double *diagonal;
    PARE_TRY(pare_arena_alloc(scratch, &diagonal, factor->K, sizeof *diagonal, err));
    factor->scale = mean_diagonal(gram, diagonal, &factor->dead);
    /* Also false for a NaN. */
    if (!(factor->scale > 0 && factor->scale < INFINITY)) {
        factor->fallback = 1;
        return PARE_OK;
    }
    PARE_TRY(make_order(factor, diagonal, options, scratch, err));
    PARE_TRY(fill(&job, scratch, err));
    return factor->fallback ? PARE_OK
                            : damp_and_factor(&job, options->damping, scratch, err);
}

static enum pare_status refuse(const struct pare_factor *factor, struct pare_error *err)
{
    if (factor->fallback)
        return pare_fail(err, PARE_ERR_INPUT,
                         "the second moments of the inputs are of no use: not finite, "
                         "all zero, or indefinite with a damping of %g",
                         factor->damping);
    if (factor->dead)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%zu of %zu inputs were zero in every calibration sample",
                         factor->dead, factor->K);
    return pare_fail(err, PARE_ERR_INPUT,
                     "the second moments of the inputs are singular: damping had to be "
                     "raised to %g; give more calibration samples",
                     factor->damping);
}

enum pare_status pare_factor_init(struct pare_factor *factor,
                                  const struct pare_gram *gram, size_t K,
                                  const struct pare_factor_options *options,
                                  struct pare_arena *scratch, struct pare_error *err)
{
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    enum pare_status status;
    *factor = (struct pare_factor){.K = K, .fallback = !gram};
    PARE_TRY_OUT(pare_alloc_raw(&factor->H, K, K * sizeof *factor->H, err));
    PARE_TRY_OUT(pare_alloc_raw(&factor->diagonal, K, sizeof *factor->diagonal, err));
    PARE_TRY_OUT(pare_alloc_raw(&factor->order, K, sizeof *factor->order, err));
    for (size_t i = 0; i < K; i++)
        factor->order[i] = (uint32_t)i;
    if (gram)
        PARE_TRY_OUT(attempt(factor, gram, options, scratch, err));
    if (gram && options->strict &&
        (factor->fallback || factor->dead || factor->escalations))
        PARE_TRY_OUT(refuse(factor, err));
    if (factor->fallback)
        make_identity(factor);
out:
    pare_arena_release(scratch, mark);
    return status;
}

int pare_factor_keeps(const struct pare_factor *factor, size_t group)
{
    for (size_t k = 0; k < factor->K; k++)
        if (factor->order[k] / group != factor->order[k - k % group] / group)
            return 0;
    return 1;
}

void pare_factor_costs(const struct pare_factor *factor, float *cost)
{
    for (size_t j = 0; j < factor->K; j++) {
        const float r = factor->H[j * factor->K + j];
        cost[factor->order[j]] = r * r;
    }
}

double pare_factor_loss(const struct pare_factor *factor, const double *loss, size_t N,
                        double squared_error)
{
    double sum = -factor->damping * squared_error;
    for (size_t n = 0; n < N; n++)
        sum += loss[n];
    return factor->scale * (sum > 0 ? sum : 0);
}

void pare_factor_free(struct pare_factor *factor)
{
    pare_free(factor->H);
    pare_free(factor->diagonal);
    pare_free(factor->order);
    *factor = (struct pare_factor){0};
}
