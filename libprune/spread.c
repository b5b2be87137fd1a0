/* Shares of several matrices: see spread.h. */
#include "libprune/spread.h"

#include <stdlib.h>
#include <string.h>

/* Floats of a bucket have their first bits in common, without the sign. */
#define BUCKETS 32768
#define POINTS PARE_SPREAD_POINTS

/* --- Curves ----------------------------------------------------------------------- */

/* scores: [N / rows, K / columns], of blocks. */
static void score(const struct pare_quant_rows *rows, const float *cost,
                  const struct pare_pattern *pattern, float *scores)
{
    const size_t K = rows->K, across = K / pattern->columns;
    memset(scores, 0, rows->N / pattern->rows * across * sizeof *scores);
    for (size_t n = 0; n < rows->N; n++)
        for (size_t k = 0; k < K; k++) {
            const float w = rows->W[n * K + k];
            scores[n / pattern->rows * across + k / pattern->columns] += w * w * cost[k];
        }
}

struct buckets {
    double *sum;
    uint64_t *count;
};

static void fill(const float *scores, size_t n, const struct buckets *b)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &scores[i], sizeof bits);
        b->sum[bits >> 16 & (BUCKETS - 1)] += (double)scores[i];
        b->count[bits >> 16 & (BUCKETS - 1)]++;
    }
}

static void walk(const struct buckets *b, size_t n, struct pare_spread_curve *curve)
{
    double below = 0, cost = 0; /* of the buckets before */
    size_t j = 1;
    curve->cost[0] = 0;
    for (size_t i = 0; i < BUCKETS && j <= POINTS; i++) {
        const double count = (double)b->count[i];
        for (; j <= POINTS && count > 0; j++) {
            const double place = (double)j / POINTS * (double)n;
            if (place > below + count)
                break;
            curve->cost[j] = cost + b->sum[i] * (place - below) / count;
        }
        below += count;
        cost += b->sum[i];
    }
    for (; j <= POINTS; j++) /* after rounding */
        curve->cost[j] = cost;
}

enum pare_status pare_spread_measure(const struct pare_quant_rows *rows,
                                     const struct pare_factor *factor,
                                     const struct pare_pattern *pattern,
                                     struct pare_spread_curve *curve,
                                     struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct buckets b;
    float *scores, *cost;
    enum pare_status status;
    PARE_TRY_OUT(pare_pattern_check(pattern, rows->N, rows->K, err));
    const size_t n = rows->N * rows->K / (pattern->rows * pattern->columns);
    PARE_TRY_OUT(pare_arena_alloc(scratch, &scores, n, sizeof *scores, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &cost, rows->K, sizeof *cost, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &b.sum, BUCKETS, sizeof *b.sum, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &b.count, BUCKETS, sizeof *b.count, err));
    memset(b.sum, 0, BUCKETS * sizeof *b.sum);
    memset(b.count, 0, BUCKETS * sizeof *b.count);
    for (size_t k = 0; k < rows->K; k++)
        cost[k] = 1;
    if (factor)
        pare_factor_costs(factor, cost);
    score(rows, cost, pattern, scores);
    fill(scores, n, &b);
    curve->weights = (double)rows->N * (double)rows->K;
    walk(&b, n, curve);
out:
    pare_arena_release(scratch, mark);
    return status;
}

double pare_spread_cost(const struct pare_spread_curve *curve, double share)
{
    const double at = share * POINTS;
    const size_t j = at < POINTS ? (size_t)at : POINTS - 1;
    return curve->cost[j] + (at - (double)j) * (curve->cost[j + 1] - curve->cost[j]);
}

/* --- Shares ----------------------------------------------------------------------- */

struct piece { /* of a curve, between two of its points */
    double slope;
    size_t matrix, point;
};

static int compare(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->slope < y->slope || x->slope > y->slope)
        return x->slope < y->slope ? -1 : 1;
    if (x->point != y->point)
        return x->point < y->point ? -1 : 1;
    return x->matrix < y->matrix ? -1 : x->matrix > y->matrix;
}

enum pare_status pare_spread(const struct pare_spread_curve *curves, const double *factor,
                             size_t n, double sparsity, double most, double *shares,
                             struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct piece *pieces;
    double left = 0;
    PARE_TRY(pare_arena_alloc(scratch, &pieces, n * POINTS, sizeof *pieces, err));
    for (size_t i = 0; i < n; i++) {
        shares[i] = 0;
        left += sparsity * curves[i].weights;
        for (size_t j = 0; j < POINTS; j++)
            pieces[i * POINTS + j] =
                (struct piece){(curves[i].cost[j + 1] - curves[i].cost[j]) /
                                   curves[i].weights * (factor ? factor[i] : 1),
                               i, j};
    }
    qsort(pieces, n * POINTS, sizeof *pieces, compare);
    for (size_t p = 0; p < n * POINTS && left > 0; p++) {
        const size_t i = pieces[p].matrix;
        const double room = most - shares[i], weights = curves[i].weights;
        double step = room < 1.0 / POINTS ? room : 1.0 / POINTS;
        step = step * weights < left ? step : left / weights;
        shares[i] += step > 0 ? step : 0;
        left -= step > 0 ? step * weights : 0;
    }
    pare_arena_release(scratch, mark);
    return PARE_OK;
}
