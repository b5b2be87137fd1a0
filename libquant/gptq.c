/* GPTQ: see gptq.h. */
#include "libquant/gptq.h"

#include <string.h>

#include "runtime/base/parallel.h"

#define ROWS PARE_SWEEP_ROWS

struct job {
    const struct pare_quant_rows *rows;
    const struct pare_factor *factor;
    const struct pare_gptq_options *options;
    const struct pare_kernels *kernels;
    struct pare_fit fit;
    size_t group, groups, tiles;
    uint32_t *group_of; /* [K]: of the sweep's column, a number of the arrays below */
    /* [groups, tiles * ROWS] */
    float *scale, *offset, *inverse, *shift;
    float *scratch; /* [2, columns, ROWS] a worker */
    size_t columns; /* of scratch */
    float *cost;    /* [K]: of inputs, for early grids */
    float *Q;
    uint8_t *codes; /* [N, K] */
    const struct pare_target_data *stored;
    struct pare_quant_error *errors; /* [N] */
    double *loss;                    /* [N] */
};

static size_t lane(const struct job *job, size_t group, size_t row)
{
    return group * job->tiles * ROWS + row;
}

/* --- The filling of the sweep --- */

static void fit_group(const struct job *job, int worker, size_t group,
                      const struct pare_sweep_tile *tile)
{
    const size_t at = lane(job, group, tile->row), bytes = tile->rows * sizeof(float);
    struct pare_fit_lanes lanes;
    pare_fit_tile(&job->fit, tile, &lanes,
                  job->scratch + (size_t)worker * 2 * job->columns * ROWS);
    memcpy(job->scale + at, lanes.scale, bytes);
    memcpy(job->offset + at, lanes.offset, bytes);
    memcpy(job->inverse + at, lanes.inverse, bytes);
    memcpy(job->shift + at, lanes.shift, bytes);
}

static void begin(void *context, int worker, const struct pare_sweep_tile *tile)
{
    const struct job *job = context;
    fit_group(job, worker, job->group_of[tile->column], tile);
}

static void decide(void *context, int worker, const struct pare_sweep_tile *tile,
                   size_t k, float *q, uint8_t *codes)
{
    (void)worker;
    const struct job *job = context;
    const size_t at = lane(job, job->group_of[tile->column + k], tile->row);
    const struct pare_lane_grid grid = {job->scale + at,      job->offset + at,
                                        job->inverse + at,    job->shift + at,
                                        job->fit.lattice.low, job->fit.lattice.high};
    job->kernels->round_affine(q, codes, tile->x + k * ROWS, &grid, tile->rows);
}

/* --- Early grids --- */

/* Task number: tile by tile, group by group. */
static void fit_early(void *context, int worker, size_t first, size_t end)
{
    const struct job *job = context;
    const size_t K = job->rows->K, group = job->group;
    float *x = job->scratch + ((size_t)worker * 2 + 1) * job->columns * ROWS;
    for (size_t task = first; task < end; task++) {
        const size_t row = task / job->groups * ROWS, g = task % job->groups;
        const struct pare_sweep_tile tile = {
            .row = row,
            .rows = job->rows->N - row < ROWS ? job->rows->N - row : ROWS,
            .columns = group,
            .x = x,
            .cost = job->cost + g * group};
        job->kernels->pack(x, ROWS, job->rows->W + row * K + g * group, K * sizeof *x,
                           tile.rows, group);
        fit_group(job, worker, g, &tile);
    }
}

static enum pare_status fit_all(struct job *job, struct pare_arena *scratch,
                                struct pare_error *err)
{
    const size_t K = job->rows->K;
    PARE_TRY(pare_arena_alloc(scratch, &job->cost, K, sizeof *job->cost, err));
    for (size_t k = 0; k < K; k++) {
        const float r = job->factor->H[k * K + k];
        job->cost[job->factor->order[k]] = r * r;
    }
    pare_parallel_for_worker(job->tiles * job->groups, 4, fit_early, job);
    return PARE_OK;
}

/* --- Groups in the factor's order --- */

/* A group's columns are together: place k belongs to the group of the first place of its
 * group. */
static enum pare_status number_groups(struct job *job, struct pare_error *err)
{
    const uint32_t *order = job->factor->order;
    const size_t group = job->group;
    int together = 1;
    for (size_t k = 0; k < job->rows->K; k++) {
        job->group_of[k] = order[k] / (uint32_t)group;
        together &= job->group_of[k] == job->group_of[k - k % group];
    }
    if (together || job->options->early)
        return PARE_OK;
    if (job->options->target.kind != PARE_TARGET_PUBLISHED)
        return pare_fail(err, PARE_ERR_USAGE,
                         "an order that mixes groups needs grids before the sweep");
    for (size_t k = 0; k < job->rows->K; k++)
        job->group_of[k] = (uint32_t)(k / group);
    return PARE_OK;
}

/* --- Results --- */

static void store_rows(void *context, size_t first, size_t end)
{
    const struct job *job = context;
    for (size_t n = first; n < end; n++)
        pare_target_store_row(&job->options->target, n, job->rows->K,
                              job->codes + n * job->rows->K, job->scale + n,
                              job->offset + n, job->tiles * ROWS, job->stored);
}

#define PIECE 512

static void measure_piece(const struct pare_kernels *kernels, const float *w,
                          const float *q, size_t n, struct pare_quant_error *error)
{
    float e[PIECE];
    memcpy(e, w, n * sizeof *e);
    kernels->axpy(e, -1, q, n);
    error->squared_weight += kernels->sum_squares(w, n);
    error->squared_error += kernels->sum_squares(e, n);
    for (int sign = 0; sign < 2; sign++) {
        const double most = (double)kernels->max(e, n);
        if (most > error->largest)
            error->largest = most;
        kernels->scale(e, -1, n);
    }
}

static void measure_rows(void *context, size_t first, size_t end)
{
    const struct job *job = context;
    const size_t K = job->rows->K;
    for (size_t n = first; n < end; n++) {
        struct pare_quant_error error = {0};
        for (size_t k = 0; k < K; k += PIECE)
            measure_piece(job->kernels, job->rows->W + n * K + k, job->Q + n * K + k,
                          K - k < PIECE ? K - k : PIECE, &error);
        job->errors[n] = error;
    }
}

static enum pare_status sum_up(const struct job *job, struct pare_gptq_report *report,
                               struct pare_error *err)
{
    struct pare_quant_error sum = {0};
    double loss = 0;
    pare_parallel_for(job->rows->N, 16, measure_rows, (void *)job);
    PARE_TRY(pare_quant_error_sum(job->rows, job->errors, "a half-precision scale", &sum,
                                  err));
    for (size_t n = 0; n < job->rows->N; n++)
        loss += job->loss[n];
    loss -= job->factor->damping * sum.squared_error;
    report->loss += job->factor->scale * (loss > 0 ? loss : 0);
    report->error.squared_weight += sum.squared_weight;
    report->error.squared_error += sum.squared_error;
    if (sum.largest > report->error.largest)
        report->error.largest = sum.largest;
    return PARE_OK;
}

static enum pare_status allocate(struct job *job, struct pare_arena *scratch,
                                 struct pare_error *err)
{
    const size_t N = job->rows->N, K = job->rows->K;
    const size_t lanes = job->groups * job->tiles * ROWS;
    const size_t threads = (size_t)pare_threads();
    PARE_TRY(pare_arena_alloc(scratch, &job->group_of, K, sizeof *job->group_of, err));
    PARE_TRY(pare_arena_alloc(scratch, &job->scale, lanes, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &job->offset, lanes, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &job->inverse, lanes, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &job->shift, lanes, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &job->errors, N, sizeof *job->errors, err));
    PARE_TRY(pare_arena_alloc(scratch, &job->loss, N, sizeof *job->loss, err));
    job->columns = job->group;
    PARE_TRY(pare_arena_alloc(scratch, &job->scratch, threads * 2 * job->columns,
                              ROWS * sizeof(float), err));
    memset(job->scratch, 0, threads * 2 * job->columns * ROWS * sizeof(float));
    if (job->stored)
        PARE_TRY(pare_arena_alloc(scratch, &job->codes, N, K, err));
    return PARE_OK;
}

static enum pare_status solve(struct job *job, struct pare_gptq_report *report,
                              struct pare_arena *scratch, struct pare_error *err)
{
    PARE_TRY(allocate(job, scratch, err));
    PARE_TRY(number_groups(job, err));
    if (job->options->early)
        PARE_TRY(fit_all(job, scratch, err));
    const struct pare_sweep sweep = {.factor = job->factor,
                                     .N = job->rows->N,
                                     .W = job->rows->W,
                                     .Q = job->Q,
                                     .codes = job->codes,
                                     .loss = job->loss};
    const struct pare_sweep_filling filling = {.context = job,
                                               .group =
                                                   job->options->early ? 0 : job->group,
                                               .begin = begin,
                                               .decide = decide};
    PARE_TRY(pare_sweep_run(&sweep, &filling, scratch, err));
    PARE_TRY(sum_up(job, report, err));
    if (job->stored)
        pare_parallel_for(job->rows->N, 16, store_rows, job);
    return PARE_OK;
}

/* Where rounding is coarse, what a grid does to its own group matters most, and the sweep
 * tells that of grids found on its way; where it is fine, a better order does more. */
static int is_coarse(const struct pare_target *target)
{
    const struct pare_lattice lattice = pare_target_lattice(target);
    return lattice.high - lattice.low < 8;
}

struct pare_gptq_options pare_gptq_defaults(const struct pare_target *target)
{
    return (struct pare_gptq_options){.target = *target,
                                      .search = PARE_SEARCH_SWEEP,
                                      .candidates = 17,
                                      .step = 0.04f,
                                      .early = !is_coarse(target)};
}

enum pare_order pare_gptq_default_order(const struct pare_target *target)
{
    return is_coarse(target) ? PARE_ORDER_GROUPS : PARE_ORDER_ALL;
}

enum pare_status pare_gptq(const struct pare_quant_rows *rows,
                           const struct pare_factor *factor,
                           const struct pare_gptq_options *options, float *Q,
                           const struct pare_target_data *stored,
                           struct pare_gptq_report *report, struct pare_arena *scratch,
                           struct pare_error *err)
{
    struct job job = {.rows = rows,
                      .factor = factor,
                      .options = options,
                      .kernels = pare_kernels(),
                      .fit = {pare_target_lattice(&options->target), options->search,
                              options->candidates, options->step},
                      .Q = Q,
                      .stored = stored,
                      .tiles = (rows->N + ROWS - 1) / ROWS};
    PARE_TRY(pare_target_check(&options->target, rows->K, err));
    job.group = pare_target_group(&options->target, rows->K);
    job.groups = rows->K / job.group;
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    enum pare_status status = solve(&job, report, scratch, err);
    pare_arena_release(scratch, mark);
    return status;
}
