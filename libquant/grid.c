/* Rounding to grids in groups: see grid.h for the formulas. */
#include "libquant/grid.h"

#include "libquant/rounding.h"
#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"
#include "runtime/kernels/kernels.h"

#define ROW_TILE 16 /* rows a parallel task handles */
#define PIECE 1024  /* weights rounded at a time; a multiple of 32 */
#define GROUPS (PIECE / 32)

struct job {
    const struct pare_grid *grid;
    const struct pare_kernels *kernels;
    size_t group;
    const float *W; /* [N, K] */
    size_t N, K;
    float *out; /* [N, K], or NULL */
    const struct pare_grid_codes *codes;
    struct pare_quant_error *rows; /* [N], with codes */
};

/* Scales and zero points of up to GROUPS groups. */
struct fitted {
    float scale[GROUPS], zero[GROUPS];
    uint16_t half[GROUPS];
};

size_t pare_grid_group(const struct pare_grid *grid, size_t K)
{
    return grid->group ? grid->group : K;
}

enum pare_status pare_grid_check(const struct pare_grid *grid, size_t K,
                                 struct pare_error *err)
{
    if (grid->ternary && (grid->bits != 2 || grid->asymmetric))
        return pare_fail(err, PARE_ERR_USAGE,
                         "ternary weights are 2 bits without zero points");
    return pare_groups_check(grid->bits, pare_grid_group(grid, K), K, err);
}

/* --- Scales --- */

static void fit_ternary(const struct job *job, const float *w, size_t n,
                        struct fitted *fitted)
{
    float mean[GROUPS];
    const int whole = !job->grid->group;
    if (!whole)
        job->kernels->group_magnitude(mean, w, n, job->group);
    for (size_t g = 0; g < n; g++) {
        float raw = whole ? job->grid->mean : mean[g] / (float)job->group;
        fitted->scale[g] = pare_round_scale(raw, job->grid->bf16, &fitted->half[g]);
        fitted->zero[g] = 2;
    }
}

static void fit_range(const struct job *job, const float *w, size_t n,
                      struct fitted *fitted)
{
    const float half_range = (float)(1 << (job->grid->bits - 1));
    const float top = 2 * half_range - 1, step = -1 / half_range;
    float min[GROUPS], max[GROUPS];
    job->kernels->group_range(min, max, w, n, job->group);
    for (size_t g = 0; g < n; g++) {
        if (!job->grid->asymmetric) {
            float most = max[g] < -min[g] ? min[g] : max[g];
            fitted->scale[g] = pare_round_scale(most == 0 ? 0 : most * step,
                                                job->grid->bf16, &fitted->half[g]);
            fitted->zero[g] = half_range;
            continue;
        }
        const float s =
            pare_round_scale((max[g] - min[g]) / top, job->grid->bf16, &fitted->half[g]);
        const float zero = s > 0 ? -min[g] * (1 / s) : 0;
        fitted->scale[g] = s;
        fitted->zero[g] = pare_round_even(zero < top ? zero : top);
    }
}

static void fit(const struct job *job, const float *w, size_t n, struct fitted *fitted)
{
    if (job->grid->ternary)
        fit_ternary(job, w, n, fitted);
    else
        fit_range(job, w, n, fitted);
}

/* --- Rows --- */

/* n groups of `size` weights from column k of row `row` on, at most PIECE of them. */
static void round_piece(const struct job *job, size_t row, size_t k, size_t n,
                        size_t size, const struct fitted *fitted)
{
    const int bits = job->grid->bits;
    const float low = job->grid->ternary ? 1 : 0, high = (float)((1 << bits) - 1);
    const float *w = job->W + row * job->K + k;
    if (!job->codes) {
        job->kernels->group_round(job->out + row * job->K + k, NULL, w, n, size,
                                  fitted->scale, fitted->zero, low, high);
        return;
    }
    float values[PIECE];
    uint8_t q[PIECE];
    struct pare_quant_error error = job->rows[row];
    job->kernels->group_round(values, q, w, n, size, fitted->scale, fitted->zero, low,
                              high);
    pare_codes_pack(bits, q,
                    job->codes->codes + row * pare_codes_bytes(bits, job->K) +
                        k / 8 * (size_t)bits,
                    n * size);
    for (size_t i = 0; i < n * size; i++)
        pare_quant_error_add(&error, w[i], values[i]);
    job->rows[row] = error;
}

static void put_scales(const struct job *job, size_t at, size_t n,
                       const struct fitted *fitted)
{
    for (size_t g = 0; g < n; g++) {
        pare_store_u16(job->codes->scale + 2 * (at + g), fitted->half[g]);
        if (job->codes->zero)
            job->codes->zero[at + g] = (uint8_t)fitted->zero[g];
    }
}

static void round_row(const struct job *job, size_t row)
{
    const size_t size = job->group, groups = job->K / size;
    const size_t together = size < PIECE ? PIECE / size : 1;
    struct fitted fitted;
    for (size_t g = 0; g < groups; g += together) {
        const size_t n = groups - g < together ? groups - g : together;
        fit(job, job->W + row * job->K + g * size, n, &fitted);
        if (job->codes)
            put_scales(job, row * groups + g, n, &fitted);
        for (size_t k = 0; k < size; k += PIECE)
            round_piece(job, row, g * size + k, n, size - k < PIECE ? size - k : PIECE,
                        &fitted);
    }
}

static void round_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t n = begin; n < end; n++)
        round_row(job, n);
}

/* --- Matrices --- */

#define SUMS 1024

struct magnitudes {
    const struct pare_kernels *kernels;
    const float *W;
    size_t K;
    float sum[SUMS];
};

static void sum_rows(void *context, size_t begin, size_t end)
{
    struct magnitudes *m = context;
    m->kernels->group_magnitude(m->sum + begin, m->W + begin * m->K, end - begin, m->K);
}

void pare_grid_magnitude(const float *W, size_t N, size_t K, double *sum)
{
    struct magnitudes m = {.kernels = pare_kernels(), .K = K};
    for (size_t n = 0; n < N; n += SUMS) {
        const size_t rows = N - n < SUMS ? N - n : SUMS;
        m.W = W + n * K;
        pare_parallel_for(rows, ROW_TILE, sum_rows, &m);
        for (size_t i = 0; i < rows; i++)
            *sum += (double)m.sum[i];
    }
}

/* The grid with its mean, when it needs one and has none. */
static struct pare_grid completed(const struct pare_grid *grid, const float *W, size_t N,
                                  size_t K)
{
    struct pare_grid whole = *grid;
    double sum = 0;
    if (!grid->ternary || grid->group || grid->mean != 0 || !N || !K)
        return whole;
    pare_grid_magnitude(W, N, K, &sum);
    whole.mean = (float)(sum / ((double)N * (double)K));
    return whole;
}

void pare_grid_round(const struct pare_grid *grid, const float *W, size_t N, size_t K,
                     float *out)
{
    const struct pare_grid whole = completed(grid, W, N, K);
    struct job job = {.grid = &whole,
                      .kernels = pare_kernels(),
                      .group = pare_grid_group(grid, K),
                      .W = W,
                      .N = N,
                      .K = K,
                      .out = out};
    pare_parallel_for(N, ROW_TILE, round_rows, &job);
}

enum pare_status pare_grid_store(const struct pare_grid *grid,
                                 const struct pare_quant_rows *rows,
                                 const struct pare_grid_codes *out,
                                 struct pare_quant_error *error, struct pare_error *err)
{
    PARE_TRY(pare_grid_check(grid, rows->K, err));
    const struct pare_grid whole = completed(grid, rows->W, rows->N, rows->K);
    struct job job = {.grid = &whole,
                      .kernels = pare_kernels(),
                      .group = pare_grid_group(grid, rows->K),
                      .W = rows->W,
                      .N = rows->N,
                      .K = rows->K,
                      .codes = out};
    PARE_TRY(pare_alloc(&job.rows, job.N, sizeof *job.rows, err));
    pare_parallel_for(job.N, ROW_TILE, round_rows, &job);
    enum pare_status status =
        pare_quant_error_sum(rows, job.rows, "a half-precision scale", error, err);
    pare_free(job.rows);
    return status;
}
