/* The grids of a matrix: see grids.h. */
#include "libquant/grids.h"

#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/superblocks.h"

#define ROWS PARE_SWEEP_ROWS

/* Columns that are fitted together. */
static size_t piece_of(const struct pare_target *target, size_t K)
{
    const size_t super = pare_target_lattice(target).super;
    return super ? super : pare_target_group(target, K);
}

size_t pare_grids_worker_bytes(const struct pare_target *target, size_t K)
{
    return 2 * piece_of(target, K) * ROWS * sizeof(float);
}

enum pare_status pare_grids_init(struct pare_grids *grids,
                                 const struct pare_target *target, size_t N, size_t K,
                                 struct pare_arena *arena, struct pare_error *err)
{
    PARE_TRY(pare_target_check(target, K, err));
    const size_t group = pare_target_group(target, K), tiles = (N + ROWS - 1) / ROWS;
    *grids = (struct pare_grids){.target = *target,
                                 .fit = {.lattice = pare_target_lattice(target)},
                                 .N = N,
                                 .K = K,
                                 .group = group,
                                 .groups = K / group,
                                 .lanes = tiles * ROWS};
    const size_t super = grids->fit.lattice.super, n = grids->groups * grids->lanes;
    const size_t threads = (size_t)pare_threads();
    grids->piece = piece_of(target, K);
    PARE_TRY(pare_arena_alloc(arena, &grids->scale, n, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(arena, &grids->offset, n, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(arena, &grids->inverse, n, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(arena, &grids->shift, n, sizeof(float), err));
    if (super) {
        const size_t supers = K / super * grids->lanes;
        PARE_TRY(pare_arena_alloc(arena, &grids->d, supers, sizeof(float), err));
        PARE_TRY(pare_arena_alloc(arena, &grids->dmin, supers, sizeof(float), err));
    }
    PARE_TRY(pare_arena_alloc(arena, &grids->scratch, threads * 2 * grids->piece,
                              ROWS * sizeof(float), err));
    memset(grids->scratch, 0, threads * 2 * grids->piece * ROWS * sizeof(float));
    return PARE_OK;
}

/* --- Fitting ---------------------------------------------------------------------- */

static void put(const struct pare_grids *grids, size_t group,
                const struct pare_sweep_tile *tile, const struct pare_fit_lanes *lanes)
{
    const size_t at = group * grids->lanes + tile->row;
    const size_t bytes = tile->rows * sizeof(float);
    memcpy(grids->scale + at, lanes->scale, bytes);
    memcpy(grids->offset + at, lanes->offset, bytes);
    memcpy(grids->inverse + at, lanes->inverse, bytes);
    memcpy(grids->shift + at, lanes->shift, bytes);
}

static float *scratch_of(const struct pare_grids *grids, int worker, int which)
{
    return grids->scratch + ((size_t)worker * 2 + (size_t)which) * grids->piece * ROWS;
}

void pare_grids_fit_group(struct pare_grids *grids, int worker, size_t group,
                          const struct pare_sweep_tile *tile)
{
    const size_t super = grids->fit.lattice.super;
    float *scratch = scratch_of(grids, worker, 0);
    struct pare_fit_lanes lanes;
    if (!super) {
        pare_fit_tile(&grids->fit, tile, &lanes, scratch);
        put(grids, group, tile, &lanes);
        return;
    }
    const size_t at = group * grids->group / super * grids->lanes + tile->row;
    struct pare_super_lanes scales = {0};
    memcpy(scales.d, grids->d + at, tile->rows * sizeof(float));
    memcpy(scales.dmin, grids->dmin + at, tile->rows * sizeof(float));
    pare_superfit_group(&grids->fit, tile, &scales, &lanes, scratch);
    put(grids, group, tile, &lanes);
}

static void fit_super(struct pare_grids *grids, size_t number,
                      const struct pare_sweep_tile *tile)
{
    const size_t at = number * grids->lanes + tile->row, n = grids->piece / grids->group;
    struct pare_super_lanes scales;
    struct pare_fit_lanes lanes[PARE_SUBBLOCKS];
    pare_superfit_tile(&grids->fit, tile, grids->group, &scales, lanes);
    memcpy(grids->d + at, scales.d, tile->rows * sizeof(float));
    memcpy(grids->dmin + at, scales.dmin, tile->rows * sizeof(float));
    for (size_t j = 0; j < n; j++)
        put(grids, number * n + j, tile, &lanes[j]);
}

struct fitting {
    struct pare_grids *grids;
    const float *W, *cost;
};

/* Task number: tile by tile, piece by piece. */
static void fit_pieces(void *context, int worker, size_t first, size_t end)
{
    const struct fitting *fitting = context;
    struct pare_grids *grids = fitting->grids;
    const size_t K = grids->K, piece = grids->piece, pieces = K / piece;
    float *x = scratch_of(grids, worker, 1);
    for (size_t task = first; task < end; task++) {
        const size_t row = task / pieces * ROWS, p = task % pieces;
        const struct pare_sweep_tile tile = {
            .row = row,
            .rows = grids->N - row < ROWS ? grids->N - row : ROWS,
            .columns = piece,
            .x = x,
            .cost = fitting->cost ? fitting->cost + p * piece : NULL};
        pare_kernels()->pack(x, ROWS, fitting->W + row * K + p * piece, K * sizeof *x,
                             tile.rows, piece);
        if (grids->fit.lattice.super)
            fit_super(grids, p, &tile);
        else
            pare_grids_fit_group(grids, worker, p, &tile);
    }
}

void pare_grids_fit(struct pare_grids *grids, const float *W, const float *cost)
{
    struct fitting fitting = {grids, W, cost};
    pare_parallel_for_worker(grids->lanes / ROWS * (grids->K / grids->piece), 4,
                             fit_pieces, &fitting);
}

struct pare_lane_grid pare_grids_of(const struct pare_grids *grids, size_t group,
                                    size_t row)
{
    const size_t at = group * grids->lanes + row;
    const struct pare_lattice *lattice = &grids->fit.lattice;
    return (struct pare_lane_grid){grids->scale + at,   grids->offset + at,
                                   grids->inverse + at, grids->shift + at,
                                   lattice->low,        lattice->high};
}

/* --- Results ---------------------------------------------------------------------- */

struct storing {
    const struct pare_grids *grids;
    const uint8_t *codes;
    const struct pare_target_data *out;
};

static void store_rows(void *context, size_t first, size_t end)
{
    const struct storing *storing = context;
    const struct pare_grids *grids = storing->grids;
    for (size_t n = first; n < end; n++) {
        const struct pare_target_row row = {
            .scale = grids->scale + n,
            .offset = grids->offset + n,
            .d = grids->d ? grids->d + n : NULL,
            .dmin = grids->dmin ? grids->dmin + n : NULL,
            .stride = grids->lanes,
        };
        pare_target_store_row(&grids->target, n, grids->K, storing->codes + n * grids->K,
                              &row, storing->out);
    }
}

void pare_grids_store(const struct pare_grids *grids, const uint8_t *codes,
                      const struct pare_target_data *out)
{
    struct storing storing = {grids, codes, out};
    pare_parallel_for(grids->N, 16, store_rows, &storing);
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

struct measuring {
    const struct pare_quant_rows *rows;
    const float *Q;
    struct pare_quant_error *errors; /* [N] */
};

static void measure_rows(void *context, size_t first, size_t end)
{
    const struct measuring *m = context;
    const size_t K = m->rows->K;
    for (size_t n = first; n < end; n++) {
        struct pare_quant_error error = {0};
        for (size_t k = 0; k < K; k += PIECE)
            measure_piece(pare_kernels(), m->rows->W + n * K + k, m->Q + n * K + k,
                          K - k < PIECE ? K - k : PIECE, &error);
        m->errors[n] = error;
    }
}

enum pare_status pare_grids_measure(const struct pare_quant_rows *rows, const float *Q,
                                    struct pare_quant_error *error,
                                    struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct measuring m = {.rows = rows, .Q = Q};
    PARE_TRY(pare_arena_alloc(scratch, &m.errors, rows->N, sizeof *m.errors, err));
    pare_parallel_for(rows->N, 16, measure_rows, &m);
    const enum pare_status status =
        pare_quant_error_sum(rows, m.errors, "a half-precision scale", error, err);
    pare_arena_release(scratch, mark);
    return status;
}
