/* Factors between inputs and weights: see smooth.h. */
#include "libquant/smooth.h"

#include <math.h>
#include <string.h>

#include "libquant/nearest.h"
#include "runtime/base/parallel.h"
#include "runtime/kernels/kernels.h"
#include "runtime/tensor/gemm.h"
#include "runtime/tensor/linear.h"

/* x^a for x > 0 and a from 0 to 1: the product of x^(2^-i) over the binary digits of a,
 * so that it needs no function whose bits differ by platform. */
static double power(double x, double a)
{
    double result = a >= 1 ? x : 1, root = x;
    for (int i = 0; a < 1 && i < 16; i++) {
        root = sqrt(root);
        a *= 2;
        if (a >= 1) {
            result *= root;
            a -= 1;
        }
    }
    return result;
}

/* The largest magnitude of column k of all matrices. */
static void column_maxima(const struct pare_smooth_site *site, double *most)
{
    const size_t K = site->inputs->K;
    memset(most, 0, K * sizeof *most);
    for (int i = 0; i < site->n; i++)
        for (size_t n = 0; n < site->N[i]; n++)
            for (size_t k = 0; k < K; k++)
                most[k] = fmax(most[k], (double)fabsf(site->W[i][n * K + k]));
}

/* s of one input, not yet scaled; 0: it stays as it is. */
static double factor_of(const struct pare_inputs *in, size_t k, double weight,
                        enum pare_smooth_family family, double exponent)
{
    const double most = fmax(fabs((double)in->low[k]), fabs((double)in->high[k]));
    const double mean = in->magnitude[k] / (double)in->rows;
    const double x = family == PARE_SMOOTH_MAXIMA ? most : mean;
    if (!(x > 0) || !(weight > 0) || !isfinite(x) || !isfinite(weight))
        return 0;
    return family == PARE_SMOOTH_MAXIMA ? power(x, exponent) / power(weight, 1 - exponent)
                                        : power(x, exponent);
}

#define MOST_FACTOR 1e4 /* s is held within 1 / that .. that */

/* s, held in by[k] as a float, becomes 1 / s. */
static void scale_factors(float *by, size_t K)
{
    double least = INFINITY, most = 0;
    for (size_t k = 0; k < K; k++) {
        least = by[k] > 0 ? fmin(least, (double)by[k]) : least;
        most = fmax(most, (double)by[k]);
    }
    const double middle = most > 0 ? sqrt(least) * sqrt(most) : 1;
    for (size_t k = 0; k < K; k++) {
        const double s = by[k] > 0 ? (double)by[k] / middle : 1;
        by[k] = (float)(1 / fmin(fmax(s, 1 / MOST_FACTOR), MOST_FACTOR));
    }
}

static void factors_of(const struct pare_smooth_site *site, const double *weights,
                       enum pare_smooth_family family, double exponent, float *by)
{
    const size_t K = site->inputs->K;
    for (size_t k = 0; k < K; k++)
        by[k] = family == PARE_SMOOTH_NONE
                    ? 1
                    : (float)factor_of(site->inputs, k, weights[k], family, exponent);
    if (family != PARE_SMOOTH_NONE)
        scale_factors(by, K);
}

/* --- Measuring -------------------------------------------------------------------- */

struct search {
    const struct pare_smooth_site *site;
    size_t rows, K;
    double *weights;    /* [K]: maxima of columns */
    float *by;          /* [K] */
    float *X, *rounded; /* [rows, K] */
    float *W;           /* [N, K] of the largest matrix */
    float *Y;           /* [rows, N] */
    struct pare_arena *scratch;
    struct pare_error *err;
};

/* Inputs that share a scale when they run; 0: they are not rounded. */
static size_t input_group(const struct pare_target *target, size_t K)
{
    if (target->kind == PARE_TARGET_GROUPS)
        return pare_grid_group(&target->grid, K);
    return target->kind == PARE_TARGET_TYPE && target->type == PARE_I8 ? K : 0;
}

/* s->W becomes what is stored of it. */
static enum pare_status round_weights(const struct search *s,
                                      const struct pare_target *target, size_t N)
{
    const struct pare_quant_rows rows = {s->W, N, s->K, 0};
    return pare_nearest_plain(target, &rows, s->W, s->err);
}

/* s->rounded becomes s->X on one grid. */
static void round_to_range(const struct search *s)
{
    float range[2];
    pare_inputs_range(s->site->inputs, s->by, range);
    const struct pare_input_grid grid = pare_input_grid_of(range[0], range[1]);
    const float scale = range[1] > range[0] ? grid.scale : 0, zero = (float)grid.zero;
    for (size_t row = 0; row < s->rows; row++)
        pare_kernels()->group_round(s->rounded + row * s->K, NULL, s->X + row * s->K, 1,
                                    s->K, &scale, &zero, 0, 255);
}

/* The sum of squares of (x W^T) - (x' Q^T) of matrix i. */
static enum pare_status measure(const struct search *s, int i, double *error)
{
    const struct pare_smooth_site *site = s->site;
    const size_t N = site->N[i], K = s->K;
    const size_t group = input_group(&site->targets[i], K);
    const float *X = s->X;
    PARE_TRY(pare_gemm(s->rows, N, K, pare_rows(site->inputs->sample, K),
                       pare_transposed(site->W[i], K), s->Y, N, 0, s->scratch, s->err));
    if (group) {
        if (site->fixed)
            round_to_range(s);
        else
            pare_round_inputs(X, s->rows, K, group, s->rounded);
        X = s->rounded;
    }
    pare_smooth_weights(site->W[i], N, K, s->by, s->W);
    if (round_weights(s, &site->targets[i], N) != PARE_OK) {
        *error = INFINITY;
        return PARE_OK;
    }
    PARE_TRY(pare_gemm(s->rows, N, K, pare_rows(X, K), pare_transposed(s->W, K), s->Y, N,
                       -1, s->scratch, s->err));
    for (size_t row = 0; row < s->rows; row++)
        *error += pare_kernels()->sum_squares(s->Y + row * N, N);
    if (!isfinite(*error))
        *error = INFINITY;
    return PARE_OK;
}

static enum pare_status try_candidate(const struct search *s,
                                      struct pare_smooth_choice *candidate)
{
    size_t outputs = 0;
    double error = 0;
    factors_of(s->site, s->weights, candidate->family, candidate->exponent, s->by);
    pare_scale_inputs(s->site->inputs->sample, s->by, s->rows, s->K, s->X);
    for (int i = 0; i < s->site->n; i++) {
        PARE_TRY(measure(s, i, &error));
        outputs += s->site->N[i];
    }
    candidate->error = error / ((double)s->rows * (double)outputs);
    return PARE_OK;
}

static enum pare_status search(struct search *s, struct pare_smooth_choice *candidates,
                               size_t n, size_t *best)
{
    size_t N = 0;
    for (int i = 0; i < s->site->n; i++)
        N = s->site->N[i] > N ? s->site->N[i] : N;
    const size_t row = s->K * sizeof(float);
    PARE_TRY(pare_arena_alloc(s->scratch, &s->weights, s->K, sizeof(double), s->err));
    PARE_TRY(pare_arena_alloc(s->scratch, &s->by, s->K, sizeof(float), s->err));
    PARE_TRY(pare_arena_alloc(s->scratch, &s->X, s->rows, row, s->err));
    PARE_TRY(pare_arena_alloc(s->scratch, &s->rounded, s->rows, row, s->err));
    PARE_TRY(pare_arena_alloc(s->scratch, &s->W, N, row, s->err));
    PARE_TRY(pare_arena_alloc(s->scratch, &s->Y, s->rows, N * sizeof(float), s->err));
    column_maxima(s->site, s->weights);
    *best = 0;
    for (size_t c = 0; c < n; c++) {
        PARE_TRY(try_candidate(s, &candidates[c]));
        if (candidates[c].error < candidates[*best].error)
            *best = c;
    }
    return PARE_OK;
}

enum pare_status pare_smooth_search(const struct pare_smooth_site *site, size_t rows,
                                    struct pare_smooth_choice *candidates, size_t n,
                                    size_t *best, struct pare_arena *scratch,
                                    struct pare_error *err)
{
    struct search s = {.site = site,
                       .rows = rows < site->inputs->kept ? rows : site->inputs->kept,
                       .K = site->inputs->K,
                       .scratch = scratch,
                       .err = err};
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    const enum pare_status status = search(&s, candidates, n, best);
    pare_arena_release(scratch, mark);
    return status;
}

enum pare_status pare_smooth_factors(const struct pare_smooth_site *site,
                                     enum pare_smooth_family family, double exponent,
                                     float *by, struct pare_arena *scratch,
                                     struct pare_error *err)
{
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    double *weights;
    PARE_TRY(pare_arena_alloc(scratch, &weights, site->inputs->K, sizeof *weights, err));
    column_maxima(site, weights);
    factors_of(site, weights, family, exponent, by);
    pare_arena_release(scratch, mark);
    return PARE_OK;
}

/* --- Weights ---------------------------------------------------------------------- */

struct dividing {
    const float *W, *by;
    float *out;
    size_t K;
};

static void divide_rows(void *context, size_t begin, size_t end)
{
    const struct dividing *d = context;
    for (size_t i = begin * d->K; i < end * d->K; i += d->K)
        for (size_t k = 0; k < d->K; k++)
            d->out[i + k] = d->W[i + k] / d->by[k];
}

void pare_smooth_weights(const float *W, size_t N, size_t K, const float *by, float *out)
{
    struct dividing dividing = {W, by, out, K};
    pare_parallel_for(N, 16, divide_rows, &dividing);
}
