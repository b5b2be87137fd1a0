/* GPTQ: see gptq.h. */
#include "libquant/gptq.h"

#define ROWS PARE_SWEEP_ROWS

struct job {
    const struct pare_quant_rows *rows;
    const struct pare_factor *factor;
    const struct pare_gptq_options *options;
    const struct pare_kernels *kernels;
    struct pare_grids grids;
    uint32_t *group_of; /* [K]: of the sweep's column */
    float *Q;
    uint8_t *codes; /* [N, K] */
    const struct pare_target_data *stored;
    double *loss; /* [N] */
};

/* --- The filling of the sweep --- */

static void begin(void *context, int worker, const struct pare_sweep_tile *tile)
{
    struct job *job = context;
    pare_grids_fit_group(&job->grids, worker, job->group_of[tile->column], tile);
}

static void decide(void *context, int worker, const struct pare_sweep_tile *tile,
                   size_t k, float *q, uint8_t *codes)
{
    (void)worker;
    const struct job *job = context;
    const struct pare_lane_grid grid =
        pare_grids_of(&job->grids, job->group_of[tile->column + k], tile->row);
    job->kernels->round_affine(q, codes, tile->x + k * ROWS, &grid, tile->rows);
}

/* --- Early grids --- */

static enum pare_status fit_early(struct job *job, struct pare_arena *scratch,
                                  struct pare_error *err)
{
    float *cost;
    PARE_TRY(pare_arena_alloc(scratch, &cost, job->rows->K, sizeof *cost, err));
    pare_factor_costs(job->factor, cost);
    pare_grids_fit(&job->grids, job->rows->W, cost);
    return PARE_OK;
}

/* --- Groups in the factor's order --- */

/* A group's columns are together: place k belongs to the group of the first place of its
 * group. */
static enum pare_status number_groups(struct job *job, struct pare_error *err)
{
    const uint32_t *order = job->factor->order;
    const size_t group = job->grids.group;
    for (size_t k = 0; k < job->rows->K; k++)
        job->group_of[k] = order[k] / (uint32_t)group;
    if (job->options->early || pare_factor_keeps(job->factor, group))
        return PARE_OK;
    if (job->options->target.kind != PARE_TARGET_PUBLISHED)
        return pare_fail(err, PARE_ERR_USAGE,
                         "an order that mixes groups needs grids before the sweep");
    for (size_t k = 0; k < job->rows->K; k++)
        job->group_of[k] = (uint32_t)(k / group);
    return PARE_OK;
}

/* --- Results --- */

static enum pare_status sum_up(const struct job *job, struct pare_gptq_report *report,
                               struct pare_arena *scratch, struct pare_error *err)
{
    struct pare_quant_error sum = {0};
    PARE_TRY(pare_grids_measure(job->rows, job->Q, &sum, scratch, err));
    report->loss +=
        pare_factor_loss(job->factor, job->loss, job->rows->N, sum.squared_error);
    report->error.squared_weight += sum.squared_weight;
    report->error.squared_error += sum.squared_error;
    if (sum.largest > report->error.largest)
        report->error.largest = sum.largest;
    return PARE_OK;
}

static enum pare_status allocate(struct job *job, struct pare_arena *scratch,
                                 struct pare_error *err)
{
    const struct pare_gptq_options *options = job->options;
    const size_t N = job->rows->N, K = job->rows->K;
    PARE_TRY(pare_grids_init(&job->grids, &options->target, N, K, scratch, err));
    job->grids.fit.search = options->search;
    job->grids.fit.candidates = options->candidates;
    job->grids.fit.step = options->step;
    PARE_TRY(pare_arena_alloc(scratch, &job->group_of, K, sizeof *job->group_of, err));
    PARE_TRY(pare_arena_alloc(scratch, &job->loss, N, sizeof *job->loss, err));
    return job->stored ? pare_arena_alloc(scratch, &job->codes, N, K, err) : PARE_OK;
}

static struct pare_sweep_filling filling_of(const struct pare_gptq_options *options,
                                            size_t K)
{
    return (struct pare_sweep_filling){
        .group = options->early ? 0 : pare_target_group(&options->target, K),
        .begin = begin,
        .decide = decide,
        .passes = options->passes};
}

size_t pare_gptq_worker_bytes(const struct pare_gptq_options *options, size_t K)
{
    const struct pare_sweep_filling filling = filling_of(options, K);
    return pare_sweep_worker_bytes(&filling, K) +
           pare_grids_worker_bytes(&options->target, K);
}

static enum pare_status solve(struct job *job, struct pare_gptq_report *report,
                              struct pare_arena *scratch, struct pare_error *err)
{
    PARE_TRY(allocate(job, scratch, err));
    PARE_TRY(number_groups(job, err));
    if (job->options->early || job->grids.fit.lattice.super)
        PARE_TRY(fit_early(job, scratch, err));
    const struct pare_sweep sweep = {.factor = job->factor,
                                     .N = job->rows->N,
                                     .W = job->rows->W,
                                     .Q = job->Q,
                                     .codes = job->codes,
                                     .loss = job->loss};
    struct pare_sweep_filling filling = filling_of(job->options, job->rows->K);
    filling.context = job;
    filling.passes = job->factor->fallback ? 0 : filling.passes;
    PARE_TRY(pare_sweep_run(&sweep, &filling, scratch, err));
    PARE_TRY(sum_up(job, report, scratch, err));
    if (job->stored)
        pare_grids_store(&job->grids, job->codes, job->stored);
    return PARE_OK;
}

/* Where rounding is coarse, what a grid does to its own group matters most, and the sweep
 * tells that of grids found on its way; where it is fine, a better order does more. In a
 * super-block d and dmin are found before anyway, and late multiples do most. */
static int is_late(const struct pare_target *target)
{
    const struct pare_lattice lattice = pare_target_lattice(target);
    return lattice.super || lattice.high - lattice.low < 8;
}

struct pare_gptq_options pare_gptq_defaults(const struct pare_target *target)
{
    return (struct pare_gptq_options){.target = *target,
                                      .search = PARE_SEARCH_SWEEP,
                                      .candidates = 17,
                                      .step = 0.04f,
                                      .early = !is_late(target),
                                      .passes = PARE_GPTQ_PASSES};
}

enum pare_order pare_gptq_default_order(const struct pare_target *target)
{
    return is_late(target) ? PARE_ORDER_GROUPS : PARE_ORDER_ALL;
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
                      .Q = Q,
                      .stored = stored};
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    const enum pare_status status = solve(&job, report, scratch, err);
    pare_arena_release(scratch, mark);
    return status;
}
