/* The sweep over columns: see sweep.h. */
#include "libquant/sweep.h"

#include <string.h>

#include "libquant/improve.h"
#include "libquant/sweep_units.h"
#include "runtime/base/parallel.h"
#include "runtime/kernels/kernels.h"
#include "runtime/tensor/cholesky.h"

#define ROWS PARE_SWEEP_ROWS
#define WINDOW 512 /* columns after which S is brought up to date for all later ones */

struct worker {
    float *w, *x, *q; /* [columns of a unit, ROWS] */
    uint8_t *codes;   /* the same */
    float *e;         /* [ROWS] */
    float *gemm;      /* scratch of pare_gemm_one */
    float *row;       /* [K] */
    float *begun;     /* [columns of a unit, ROWS]: x as it begins, for the passes */
    struct pare_improve_space space;
};

struct job {
    const struct pare_sweep *sweep;
    const struct pare_sweep_filling *filling;
    const struct pare_kernels *kernels;
    size_t N, K, tiles;
    const float *R;
    const float *W;     /* in the factor's order */
    float *S;           /* [N, K]: sweep->Q, which takes S until a column is decided */
    float *E;           /* [N, window] */
    float *cost;        /* [K] */
    float *all;         /* [tiles, unit, ROWS]: x of every tile, when there are blocks */
    float *group;       /* [N, filling->group], when groups are larger than units */
    float *group_tiles; /* [filling->group, ROWS] a worker */
    struct pare_sweep_units units;
    size_t window;
    struct worker *workers;
    const struct pare_sweep_unit *unit; /* at work */
    size_t window_column;               /* first of the window at work */
    struct pare_sweep_tile *t;          /* [tiles], for choose */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int has_large_groups(const struct job *job)
{
    return job->filling->group > job->units.most;
}

static void invert_units(void *context, int worker, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t u = begin; u < end; u++)
        pare_sweep_unit_invert(&job->units.unit[u], job->R, job->K,
                               job->workers[worker].gemm);
}

/* --- Memory --- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t gemm_floats(size_t most)
{
    return larger(pare_gemm_one_scratch(most, ROWS, most), pare_sweep_unit_scratch(most));
}

/* What worker_init allocates, and a worker's part of job->group_tiles. */
size_t pare_sweep_worker_bytes(const struct pare_sweep_filling *filling, size_t K)
{
    const size_t most = pare_sweep_units_most(filling, K);
    const size_t tiles = filling->passes ? 6 : 3;
    const size_t group = filling->group > most ? filling->group : 0;
    const size_t floats = (tiles * most + group + 1) * ROWS + K + gemm_floats(most);
    return floats * sizeof(float) + most * ROWS + sizeof(struct worker);
}

static enum pare_status worker_init(const struct job *job, struct worker *worker,
                                    struct pare_arena *scratch, struct pare_error *err)
{
    const size_t n = job->units.most * ROWS, gemm = gemm_floats(job->units.most);
    PARE_TRY(pare_arena_alloc(scratch, &worker->w, n, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &worker->x, n, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &worker->q, n, sizeof(float), err));
    memset(worker->x, 0, n * sizeof(float)); /* lanes without a row stay 0 */
    memset(worker->q, 0, n * sizeof(float));
    PARE_TRY(pare_arena_alloc(scratch, &worker->e, ROWS, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &worker->codes, n, 1, err));
    PARE_TRY(pare_arena_alloc(scratch, &worker->row, job->K, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &worker->gemm, gemm, sizeof(float), err));
    if (!job->filling->passes)
        return PARE_OK;
    worker->space.gemm = worker->gemm;
    PARE_TRY(pare_arena_alloc(scratch, &worker->begun, n, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &worker->space.e, n, sizeof(float), err));
    return pare_arena_alloc(scratch, &worker->space.g, n, sizeof(float), err);
}

static enum pare_status allocate(struct job *job, struct pare_arena *scratch,
                                 struct pare_error *err)
{
    const size_t threads = (size_t)pare_threads(), group = job->filling->group;
    PARE_TRY(
        pare_arena_alloc(scratch, &job->workers, threads, sizeof *job->workers, err));
    for (size_t i = 0; i < threads; i++)
        PARE_TRY(worker_init(job, &job->workers[i], scratch, err));
    PARE_TRY(pare_arena_alloc(scratch, &job->cost, job->K, sizeof(float), err));
    PARE_TRY(
        pare_arena_alloc(scratch, &job->E, job->N, job->window * sizeof(float), err));
    if (job->filling->block) {
        PARE_TRY(pare_arena_alloc(scratch, &job->all, job->tiles * job->units.most,
                                  ROWS * sizeof(float), err));
        memset(job->all, 0, job->tiles * job->units.most * ROWS * sizeof(float));
        PARE_TRY(pare_arena_alloc(scratch, &job->t, job->tiles, sizeof *job->t, err));
    }
    if (!has_large_groups(job))
        return PARE_OK;
    PARE_TRY(pare_arena_alloc(scratch, &job->group, job->N, group * sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &job->group_tiles, threads * group,
                              ROWS * sizeof(float), err));
    memset(job->group_tiles, 0, threads * group * ROWS * sizeof(float));
    return PARE_OK;
}

/* --- Order --- */

static int is_natural(const struct pare_factor *factor)
{
    for (size_t j = 0; j < factor->K; j++)
        if (factor->order[j] != j)
            return 0;
    return 1;
}

struct permuting {
    const uint32_t *order;
    size_t K;
    const float *from;
    float *to;
    struct worker *workers;
};

static void to_order(void *context, size_t begin, size_t end)
{
    const struct permuting *p = context;
    for (size_t n = begin; n < end; n++)
        for (size_t j = 0; j < p->K; j++)
            p->to[n * p->K + j] = p->from[n * p->K + p->order[j]];
}

static void from_order(void *context, int worker, size_t begin, size_t end)
{
    const struct permuting *p = context;
    float *copy = p->workers[worker].row;
    for (size_t n = begin; n < end; n++) {
        float *row = p->to + n * p->K;
        memcpy(copy, row, p->K * sizeof *row);
        for (size_t j = 0; j < p->K; j++)
            row[p->order[j]] = copy[j];
    }
}

/* --- Tiles --- */

static struct pare_sweep_tile tile_of(const struct job *job, size_t number, float *x)
{
    const struct pare_sweep_unit *unit = job->unit;
    return (struct pare_sweep_tile){.row = number * ROWS,
                                    .rows = smaller(ROWS, job->N - number * ROWS),
                                    .column = unit->column,
                                    .columns = unit->columns,
                                    .x = x,
                                    .T = unit->T,
                                    .ldt = unit->columns,
                                    .cost = job->cost + unit->column};
}

/* Columns of W, lane by lane. */
static void load(const struct job *job, const struct pare_sweep_tile *tile, float *out)
{
    job->kernels->pack(out, ROWS, job->W + tile->row * job->K + tile->column,
                       job->K * sizeof(float), tile->rows, tile->columns);
}

/* x = w + S R_aa^-1 */
static void begin_tile(const struct job *job, struct worker *worker,
                       const struct pare_sweep_tile *tile)
{
    load(job, tile, tile->x);
    if (!tile->column)
        return;
    const float *S = job->S + tile->row * job->K + tile->column;
    pare_gemm_one(
        &(struct pare_gemm_task){.M = tile->columns,
                                 .N = tile->rows,
                                 .K = tile->columns,
                                 .A = pare_transposed(job->unit->inverse, tile->columns),
                                 .B = pare_transposed(S, job->K),
                                 .C = tile->x,
                                 .ldc = ROWS,
                                 .accumulate = 1},
        worker->gemm);
}

static void put_codes(const struct job *job, const struct pare_sweep_tile *tile,
                      const uint8_t *codes)
{
    const uint32_t *order = job->sweep->factor->order + tile->column;
    for (size_t i = 0; i < tile->rows; i++) {
        uint8_t *row = job->sweep->codes + (tile->row + i) * job->K;
        for (size_t k = 0; k < tile->columns; k++)
            row[order[k]] = codes[k * ROWS + i];
    }
}

/* Q takes the place of S; E is what the later columns will have to make up for. */
static void end_tile(const struct job *job, struct worker *worker,
                     const struct pare_sweep_tile *tile)
{
    const struct pare_kernels *kernels = job->kernels;
    const size_t stride = ROWS * sizeof(float), at = tile->column - job->window_column;
    load(job, tile, worker->w);
    kernels->axpy(worker->w, -1, worker->q, tile->columns * ROWS);
    kernels->pack(job->E + tile->row * job->window + at, job->window, worker->w, stride,
                  tile->columns, tile->rows);
    kernels->pack(job->S + tile->row * job->K + tile->column, job->K, worker->q, stride,
                  tile->columns, tile->rows);
    if (job->sweep->codes)
        put_codes(job, tile, worker->codes);
}

static void decide_tile(const struct job *job, int number,
                        const struct pare_sweep_tile *tile)
{
    const struct pare_sweep_filling *filling = job->filling;
    struct worker *worker = &job->workers[number];
    const size_t group = has_large_groups(job) ? 0 : filling->group;
    float loss[ROWS] = {0};
    if (filling->passes)
        memcpy(worker->begun, tile->x, tile->columns * ROWS * sizeof(float));
    for (size_t k = 0; k < tile->columns; k++) {
        float *x = tile->x + k * ROWS, *q = worker->q + k * ROWS;
        const float *T = tile->T + k * tile->ldt + k;
        if (group && k % group == 0) {
            struct pare_sweep_tile part = *tile;
            part.column += k;
            part.columns = group;
            part.x = x;
            part.T = T;
            part.cost += k;
            filling->begin(filling->context, number, &part);
        }
        filling->decide(filling->context, number, tile, k, q,
                        job->sweep->codes ? worker->codes + k * ROWS : NULL);
        job->kernels->deviate(worker->e, loss, x, q, tile->cost[k], tile->rows);
        job->kernels->rank_one(x + ROWS, ROWS, T + 1, worker->e, tile->columns - k - 1,
                               tile->rows);
    }
    if (filling->passes) {
        struct pare_sweep_tile begun = *tile;
        begun.x = worker->begun;
        pare_sweep_improve(filling, number, &begun, job->unit->M, worker->q,
                           job->sweep->codes ? worker->codes : NULL, loss,
                           &worker->space);
    }
    end_tile(job, worker, tile);
    for (size_t i = 0; i < tile->rows; i++)
        job->sweep->loss[tile->row + i] += (double)loss[i];
}

static void run_tiles(void *context, int worker, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t number = begin; number < end; number++) {
        struct pare_sweep_tile tile = tile_of(job, number, job->workers[worker].x);
        begin_tile(job, &job->workers[worker], &tile);
        decide_tile(job, worker, &tile);
    }
}

/* The two halves of run_tiles, for what has to be chosen among all rows. */
static void begin_tiles(void *context, int worker, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t number = begin; number < end; number++) {
        job->t[number] = tile_of(job, number, job->all + number * job->units.most * ROWS);
        begin_tile(job, &job->workers[worker], &job->t[number]);
    }
}

static void decide_tiles(void *context, int worker, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t number = begin; number < end; number++)
        decide_tile(job, worker, &job->t[number]);
}

/* --- Groups larger than units --- */

static void copy_group(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const size_t group = job->filling->group;
    for (size_t n = begin; n < end; n++)
        memcpy(job->group + n * group, job->S + n * job->K + job->unit->column,
               group * sizeof(float));
}

static void begin_groups(void *context, int worker, size_t begin, size_t end)
{
    const struct job *job = context;
    const size_t group = job->filling->group;
    float *x = job->group_tiles + (size_t)worker * group * ROWS;
    for (size_t number = begin; number < end; number++) {
        struct pare_sweep_tile tile = tile_of(job, number, x);
        tile.columns = group;
        tile.T = NULL;
        for (size_t n = tile.row; n < tile.row + tile.rows; n++)
            job->kernels->add(job->group + n * group, job->W + n * job->K + tile.column,
                              group);
        job->kernels->pack(x, ROWS, job->group + tile.row * group, group * sizeof(float),
                           tile.rows, group);
        job->filling->begin(job->filling->context, worker, &tile);
    }
}

/* w + S R_gg^-1 for the group that begins with this unit. */
static enum pare_status run_group(struct job *job, struct pare_arena *scratch,
                                  struct pare_error *err)
{
    const size_t column = job->unit->column, group = job->filling->group;
    pare_parallel_for(job->N, ROWS, copy_group, job);
    if (column)
        PARE_TRY(pare_triangle_solve(job->R + column * job->K + column, group, job->K, 0,
                                     job->group, job->N, group, scratch, err));
    pare_parallel_for_worker(job->tiles, 1, begin_groups, job);
    return PARE_OK;
}

/* --- The walk --- */

static enum pare_status run_unit(struct job *job, struct pare_arena *scratch,
                                 struct pare_error *err)
{
    const struct pare_sweep_filling *filling = job->filling;
    if (has_large_groups(job) && job->unit->column % filling->group == 0)
        PARE_TRY(run_group(job, scratch, err));
    if (!filling->block) {
        pare_parallel_for_worker(job->tiles, 1, run_tiles, job);
        return PARE_OK;
    }
    pare_parallel_for_worker(job->tiles, 1, begin_tiles, job);
    PARE_TRY(filling->choose(filling->context, job->t, job->tiles, err));
    pare_parallel_for_worker(job->tiles, 1, decide_tiles, job);
    return PARE_OK;
}

/* S += E R for the columns from .. to, with E of the columns begin .. end. */
static enum pare_status update(struct job *job, size_t begin, size_t end, size_t from,
                               size_t to, struct pare_arena *scratch,
                               struct pare_error *err)
{
    if (from >= to)
        return PARE_OK;
    const float *E = job->E + (begin - job->window_column);
    return pare_gemm(job->N, to - from, end - begin, pare_rows(E, job->window),
                     pare_rows(job->R + begin * job->K + from, job->K), job->S + from,
                     job->K, 1, scratch, err);
}

static enum pare_status walk(struct job *job, struct pare_arena *scratch,
                             struct pare_error *err)
{
    for (size_t u = 0; u < job->units.count; u++) {
        job->unit = &job->units.unit[u];
        const size_t begin = job->unit->column, end = begin + job->unit->columns;
        const size_t window_end = smaller(job->window_column + job->window, job->K);
        PARE_TRY(run_unit(job, scratch, err));
        PARE_TRY(update(job, begin, end, end, window_end, scratch, err));
        if (end < window_end)
            continue;
        PARE_TRY(update(job, job->window_column, end, end, job->K, scratch, err));
        job->window_column = end;
    }
    return PARE_OK;
}

/* A window holds whole units, and whole groups where S of a whole group is needed. */
static size_t window_of(const struct job *job)
{
    const size_t group = job->filling->group;
    const size_t piece =
        has_large_groups(job) && group < job->K ? group : job->units.most;
    return piece < WINDOW ? WINDOW / piece * piece : piece;
}

enum pare_status pare_sweep_run(const struct pare_sweep *sweep,
                                const struct pare_sweep_filling *filling,
                                struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_factor *factor = sweep->factor;
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct job job = {.sweep = sweep,
                      .filling = filling,
                      .kernels = pare_kernels(),
                      .N = sweep->N,
                      .K = factor->K,
                      .tiles = (sweep->N + ROWS - 1) / ROWS,
                      .R = factor->H,
                      .W = sweep->W,
                      .S = sweep->Q};
    struct permuting p = {factor->order, factor->K, sweep->W, NULL, NULL};
    const int natural = is_natural(factor);
    enum pare_status status;
    PARE_TRY_OUT(pare_sweep_units_cut(&job.units, filling, job.K, scratch, err));
    job.window = window_of(&job);
    PARE_TRY_OUT(allocate(&job, scratch, err));
    if (!natural) {
        PARE_TRY_OUT(pare_arena_alloc(scratch, &p.to, job.N, job.K * sizeof(float), err));
        pare_parallel_for(job.N, ROWS, to_order, &p);
        job.W = p.to;
    }
    memset(job.S, 0, job.N * job.K * sizeof *job.S);
    memset(sweep->loss, 0, job.N * sizeof *sweep->loss);
    for (size_t k = 0; k < job.K; k++)
        job.cost[k] = job.R[k * job.K + k] * job.R[k * job.K + k];
    pare_parallel_for_worker(job.units.count, 1, invert_units, &job);
    PARE_TRY_OUT(walk(&job, scratch, err));
    p.to = job.S;
    p.workers = job.workers;
    if (!natural)
        pare_parallel_for_worker(job.N, ROWS, from_order, &p);
out:
    pare_arena_release(scratch, mark);
    return status;
}
