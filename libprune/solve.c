/* Pruning one matrix: see solve.h. */
#include "libprune/solve.h"

#include <math.h>
#include <string.h>

#include "libprune/chooser.h"
#include "libprune/scores.h"
#include "libquant/grids.h"
#include "libquant/sweep.h"
#include "runtime/base/parallel.h"

#define ROWS PARE_SWEEP_ROWS
/* Groups up to that many columns get their grids when the sweep comes to them. The others
 * would need more: what is known then is not what becomes of their later columns. */
#define LATE 64
/* In groups from that many on, what weights become matters less than which stay. */
#define LARGE 512
#define MANY 63 /* codes, and how much larger than what they are for */
#define ROOM 1.25f

struct job {
    const struct pare_quant_rows *rows;
    const struct pare_factor *factor;
    const struct pare_prune_options *options;
    float *Q;
    struct pare_chooser chooser;
    double *loss; /* [N] */
    /* With codes. */
    const struct pare_target_data *stored;
    struct pare_grids grids;
    size_t late; /* columns whose grids are found when the sweep comes; 0: before */
    float *kept; /* [late, ROWS] a worker */
    uint32_t *group_of; /* [K]: of the sweep's column */
    uint8_t *codes;     /* [N, K], when they are stored */
};

static int chooses(const struct job *job)
{
    return job->options->criterion == PARE_PRUNE_SPARSEGPT;
}

/* --- The filling of the sweep ----------------------------------------------------- */

static void choose(const struct job *job, int worker, const struct pare_sweep_tile *tile,
                   size_t k)
{
    struct pare_sweep_tile part = *tile;
    part.column += k;
    part.columns = job->chooser.step;
    part.x += k * ROWS;
    part.cost += k;
    pare_chooser_choose(&job->chooser, worker, &part);
}

/* Passes and later columns make some weights larger still: grids of many codes can cover
 * that and stay fine. */
static void leave_room(const struct job *job, float *x, size_t n)
{
    const struct pare_lattice *lattice = &job->grids.fit.lattice;
    if (lattice->high - lattice->low >= MANY)
        pare_kernels()->scale(x, ROOM, n);
}

/* Grids of a group, for what of it stays as it becomes without codes: it makes up for
 * what goes, and may be much larger than it is. */
static void fit_kept(struct job *job, int worker, const struct pare_sweep_tile *tile)
{
    struct pare_sweep_tile kept = *tile;
    kept.x = job->kept + (size_t)worker * job->late * ROWS;
    memcpy(kept.x, tile->x, tile->columns * ROWS * sizeof *kept.x);
    for (size_t k = 0; k < tile->columns; k++) {
        const uint8_t *gone =
            pare_chooser_gone(&job->chooser, tile->column + k, tile->row);
        float *x = kept.x + k * ROWS, e[ROWS];
        if (chooses(job) && k % job->chooser.step == 0)
            choose(job, worker, &kept, k);
        for (size_t i = 0; i < ROWS; i++) {
            e[i] = gone[i] ? x[i] : 0;
            x[i] = gone[i] ? 0 : x[i];
        }
        pare_kernels()->rank_one(x + ROWS, ROWS, tile->T + k * tile->ldt + k + 1, e,
                                 tile->columns - k - 1, tile->rows);
    }
    leave_room(job, kept.x, tile->columns * ROWS);
    pare_grids_fit_group(&job->grids, worker, job->group_of[tile->column], &kept);
}

static void begin(void *context, int worker, const struct pare_sweep_tile *tile)
{
    struct job *job = context;
    if (job->late)
        fit_kept(job, worker, tile);
    else
        pare_chooser_choose(&job->chooser, worker, tile);
}

static void decide(void *context, int worker, const struct pare_sweep_tile *tile,
                   size_t k, float *q, uint8_t *codes)
{
    const struct job *job = context;
    const uint8_t *gone = pare_chooser_gone(&job->chooser, tile->column + k, tile->row);
    const float *x = tile->x + k * ROWS;
    (void)worker;
    (void)codes;
    for (size_t i = 0; i < tile->rows; i++)
        q[i] = gone[i] ? 0 : x[i];
}

/* The nearest code where a weight stays, that of 0 where it goes. */
static void decide_codes(void *context, int worker, const struct pare_sweep_tile *tile,
                         size_t k, float *q, uint8_t *codes)
{
    const struct job *job = context;
    const size_t place = tile->column + k;
    const uint8_t *gone = pare_chooser_gone(&job->chooser, place, tile->row);
    const struct pare_lane_grid grid =
        pare_grids_of(&job->grids, job->group_of[place], tile->row);
    /* Late grids were found for what would go without them. */
    if (job->late && chooses(job) && tile->T && place % job->chooser.step == 0)
        choose(job, worker, tile, k);
    pare_kernels()->round_affine(q, codes, tile->x + k * ROWS, &grid, tile->rows);
    for (size_t i = 0; i < tile->rows; i++)
        q[i] = gone[i] ? 0 : q[i];
    for (size_t i = 0; codes && i < tile->rows; i++)
        codes[i] = gone[i] ? (uint8_t)grid.shift[i] : codes[i];
}

static size_t group_of_filling(const struct job *job)
{
    if (job->late)
        return job->late;
    return chooses(job) ? job->chooser.step : 0;
}

static enum pare_status sweep(struct job *job, struct pare_arena *scratch,
                              struct pare_error *err)
{
    const struct pare_prune_options *options = job->options;
    const struct pare_sweep sweep = {.factor = job->factor,
                                     .N = job->rows->N,
                                     .W = job->rows->W,
                                     .Q = job->Q,
                                     .codes = job->codes,
                                     .loss = job->loss};
    const struct pare_sweep_filling filling = {
        .context = job,
        .group = group_of_filling(job),
        .begin = begin,
        .decide = options->codes ? decide_codes : decide,
        .passes = job->factor->fallback ? 0 : options->passes};
    return pare_sweep_run(&sweep, &filling, scratch, err);
}

/* --- Codes ------------------------------------------------------------------------ */

static enum pare_status prepare_codes(struct job *job, struct pare_arena *scratch,
                                      struct pare_error *err)
{
    const struct pare_gptq_options *codes = job->options->codes;
    const size_t N = job->rows->N, K = job->rows->K;
    PARE_TRY(pare_grids_init(&job->grids, &codes->target, N, K, scratch, err));
    if (!pare_prune_has_zero(&codes->target))
        return pare_fail(err, PARE_ERR_USAGE,
                         "weights that are zero need grids that have a code for it");
    job->grids.fit.search = codes->search;
    job->grids.fit.candidates = codes->candidates;
    job->grids.fit.step = codes->step;
    PARE_TRY(pare_arena_alloc(scratch, &job->group_of, K, sizeof *job->group_of, err));
    for (size_t k = 0; k < K; k++)
        job->group_of[k] = job->factor->order[k] / (uint32_t)job->grids.group;
    if (job->late)
        PARE_TRY(pare_arena_alloc(scratch, &job->kept, (size_t)pare_threads(),
                                  job->late * ROWS * sizeof(float), err));
    return job->stored ? pare_arena_alloc(scratch, &job->codes, N, K, err) : PARE_OK;
}

/* Grids before the sweep, for what stays as it becomes without codes. */
static enum pare_status fit_early(struct job *job, struct pare_arena *scratch,
                                  struct pare_error *err)
{
    const struct pare_sweep sweep = {.factor = job->factor,
                                     .N = job->rows->N,
                                     .W = job->rows->W,
                                     .Q = job->Q,
                                     .loss = job->loss};
    const struct pare_sweep_filling filling = {
        .context = job, .group = group_of_filling(job), .begin = begin, .decide = decide};
    float *cost;
    PARE_TRY(pare_arena_alloc(scratch, &cost, job->rows->K, sizeof *cost, err));
    pare_factor_costs(job->factor, cost);
    if (chooses(job) && job->grids.group >= LARGE)
        PARE_TRY(pare_prune_by_score(job->rows, job->factor, &job->options->pattern,
                                     PARE_PRUNE_WANDA, job->Q, scratch, err));
    else if (job->options->criterion != PARE_PRUNE_KEEP)
        PARE_TRY(pare_sweep_run(&sweep, &filling, scratch, err));
    leave_room(job, job->Q, job->rows->N * job->rows->K);
    pare_grids_fit(&job->grids, job->Q, cost);
    return PARE_OK;
}

/* What goes is what is zero in Q. */
static void take_mask(void *context, size_t first, size_t end)
{
    const struct job *job = context;
    const size_t K = job->rows->K;
    for (size_t n = first; n < end; n++)
        for (size_t k = 0; k < K; k++) {
            const float q = job->Q[n * K + job->factor->order[k]];
            job->chooser.gone[k * job->chooser.lanes + n] = !(q < 0 || q > 0);
        }
}

struct pare_gptq_options pare_prune_codes(const struct pare_target *target)
{
    struct pare_gptq_options codes = pare_gptq_defaults(target);
    codes.search = PARE_SEARCH_COST;
    codes.candidates = 9; /* twice as many measured no better */
    codes.step = 0.08f;
    codes.early = 0;
    return codes;
}

int pare_prune_has_zero(const struct pare_target *target)
{
    const struct pare_lattice lattice = pare_target_lattice(target);
    return lattice.rule != PARE_RULE_MINIMUM && lattice.rule != PARE_RULE_MINIMA &&
           !lattice.super;
}

/* --- Order ------------------------------------------------------------------------ */

/* Columns that go together. */
static size_t together(const struct pare_prune_options *options)
{
    const struct pare_pattern *pattern = &options->pattern;
    if (options->criterion != PARE_PRUNE_SPARSEGPT)
        return 1;
    return pattern->m ? pattern->m : pattern->columns;
}

/* Groups whose grids are found when the sweep comes to them; 0: before. */
static size_t late_group(const struct pare_prune_options *options, size_t K)
{
    if (!options->codes || options->codes->early)
        return 0;
    const size_t group = pare_target_group(&options->codes->target, K);
    return group <= LATE && group % together(options) == 0 ? group : 0;
}

struct pare_factor_options pare_prune_order(const struct pare_prune_options *options,
                                            size_t K)
{
    const size_t late = late_group(options, K), whole = together(options);
    return (struct pare_factor_options){.order = late || whole > 1 ? PARE_ORDER_GROUPS
                                                                   : PARE_ORDER_ALL,
                                        .group = late ? late : whole,
                                        .together = whole,
                                        .damping = PARE_DAMPING};
}

/* --- The whole -------------------------------------------------------------------- */

static enum pare_status prepare(struct job *job, struct pare_arena *scratch,
                                struct pare_error *err)
{
    const struct pare_prune_options *options = job->options;
    const size_t N = job->rows->N, K = job->rows->K;
    if (options->criterion != PARE_PRUNE_KEEP)
        PARE_TRY(pare_pattern_check(&options->pattern, N, K, err));
    if (!chooses(job) && !options->codes)
        return PARE_OK;
    if (!pare_factor_keeps(job->factor, together(options)))
        return pare_fail(err, PARE_ERR_USAGE,
                         "an order that mixes the groups of a pattern cannot have it");
    job->late = late_group(options, K);
    if (job->late && !pare_factor_keeps(job->factor, job->late))
        job->late = 0;
    job->chooser = (struct pare_chooser){.rows = job->rows,
                                         .factor = job->factor,
                                         .pattern = options->pattern,
                                         .even = options->even};
    if (!chooses(job))
        job->chooser.pattern = (struct pare_pattern){.rows = 1, .columns = 1};
    PARE_TRY(pare_chooser_init(&job->chooser, job->late ? job->late : K, scratch, err));
    PARE_TRY(pare_arena_alloc(scratch, &job->loss, N, sizeof *job->loss, err));
    return options->codes ? prepare_codes(job, scratch, err) : PARE_OK;
}

/* Q: what stays as it is, and zeros. */
static enum pare_status keep(struct job *job, struct pare_arena *scratch,
                             struct pare_error *err)
{
    const struct pare_prune_options *options = job->options;
    if (options->criterion == PARE_PRUNE_KEEP) {
        memcpy(job->Q, job->rows->W, job->rows->N * job->rows->K * sizeof *job->Q);
        return PARE_OK;
    }
    return pare_prune_by_score(job->rows, job->factor, &options->pattern,
                               options->criterion, job->Q, scratch, err);
}

static enum pare_status solve(struct job *job, struct pare_arena *scratch,
                              struct pare_error *err)
{
    const struct pare_prune_options *options = job->options;
    if (chooses(job)) {
        PARE_TRY(pare_chooser_plan(&job->chooser, job->Q, scratch, err));
    } else {
        PARE_TRY(keep(job, scratch, err));
        if (!options->codes)
            return PARE_OK;
        pare_parallel_for(job->rows->N, ROWS, take_mask, job);
    }
    if (options->codes && !job->late)
        PARE_TRY(fit_early(job, scratch, err));
    return sweep(job, scratch, err);
}

/* A scale may be beyond half precision and its weights gone. */
static enum pare_status check_scales(const struct job *job, struct pare_error *err)
{
    const struct pare_grids *grids = &job->grids;
    for (size_t n = 0; n < job->rows->N; n++)
        for (size_t g = 0; g < grids->groups; g++)
            if (!isfinite(grids->scale[g * grids->lanes + n]))
                return pare_fail(err, PARE_ERR_INPUT,
                                 "row %zu: a scale is beyond half precision",
                                 job->rows->first + n);
    return PARE_OK;
}

static enum pare_status run(struct job *job, struct pare_prune_report *report,
                            struct pare_arena *scratch, struct pare_error *err)
{
    *report = (struct pare_prune_report){0};
    PARE_TRY(prepare(job, scratch, err));
    PARE_TRY(solve(job, scratch, err));
    PARE_TRY(pare_grids_measure(job->rows, job->Q, &report->error, scratch, err));
    if (job->loss)
        report->loss = pare_factor_loss(job->factor, job->loss, job->rows->N,
                                        report->error.squared_error);
    for (size_t i = 0; i < job->rows->N * job->rows->K; i++)
        report->zeros += !(job->Q[i] < 0 || job->Q[i] > 0);
    if (!job->options->codes)
        return PARE_OK;
    PARE_TRY(check_scales(job, err));
    if (job->stored)
        pare_grids_store(&job->grids, job->codes, job->stored);
    return PARE_OK;
}

enum pare_status pare_prune(const struct pare_quant_rows *rows,
                            const struct pare_factor *factor,
                            const struct pare_prune_options *options, float *Q,
                            const struct pare_target_data *stored,
                            struct pare_prune_report *report, struct pare_arena *scratch,
                            struct pare_error *err)
{
    struct job job = {
        .rows = rows, .factor = factor, .options = options, .Q = Q, .stored = stored};
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    const enum pare_status status = run(&job, report, scratch, err);
    pare_arena_release(scratch, mark);
    return status;
}
