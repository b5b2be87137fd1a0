/* Round to nearest in searched grids: see nearest.h. */
#include "libquant/nearest.h"

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/superblocks.h"

#define ROWS PARE_SWEEP_ROWS
#define COLUMNS 64 /* that are rounded at a time */

struct rounding {
    const struct pare_grids *grids;
    const float *W;
    float *Q;
    uint8_t *codes; /* [N, K], or NULL */
};

/* `columns` of them from k on, of the rows from `row` on. */
static void round_piece(const struct rounding *r, size_t row, size_t rows, size_t k,
                        size_t columns)
{
    const struct pare_kernels *kernels = pare_kernels();
    const size_t K = r->grids->K, stride = ROWS * sizeof(float);
    float x[COLUMNS * ROWS], q[COLUMNS * ROWS];
    uint8_t codes[COLUMNS * ROWS];
    kernels->pack(x, ROWS, r->W + row * K + k, K * sizeof *x, rows, columns);
    for (size_t c = 0; c < columns; c++) {
        const struct pare_lane_grid grid =
            pare_grids_of(r->grids, (k + c) / r->grids->group, row);
        kernels->round_affine(q + c * ROWS, codes + c * ROWS, x + c * ROWS, &grid, rows);
    }
    kernels->pack(r->Q + row * K + k, K, q, stride, columns, rows);
    for (size_t i = 0; r->codes && i < rows; i++)
        for (size_t c = 0; c < columns; c++)
            r->codes[(row + i) * K + k + c] = codes[c * ROWS + i];
}

static void round_tiles(void *context, size_t begin, size_t end)
{
    const struct rounding *r = context;
    const size_t N = r->grids->N, K = r->grids->K;
    for (size_t tile = begin; tile < end; tile++)
        for (size_t k = 0; k < K; k += COLUMNS)
            round_piece(r, tile * ROWS, N - tile * ROWS < ROWS ? N - tile * ROWS : ROWS,
                        k, K - k < COLUMNS ? K - k : COLUMNS);
}

static enum pare_status run(const struct pare_nearest *nearest,
                            const struct pare_quant_rows *rows, float *Q,
                            const struct pare_target_data *stored,
                            struct pare_quant_error *error, struct pare_arena *scratch,
                            struct pare_error *err)
{
    struct pare_grids grids;
    PARE_TRY(pare_grids_init(&grids, &nearest->target, rows->N, rows->K, scratch, err));
    grids.fit.search = nearest->search;
    grids.fit.candidates = nearest->candidates;
    grids.fit.step = nearest->step;
    struct rounding r = {.grids = &grids, .W = rows->W, .Q = Q};
    if (stored)
        PARE_TRY(pare_arena_alloc(scratch, &r.codes, rows->N, rows->K, err));
    pare_grids_fit(&grids, rows->W, nearest->cost);
    pare_parallel_for(grids.lanes / ROWS, 1, round_tiles, &r);
    PARE_TRY(pare_grids_measure(rows, Q, error, scratch, err));
    if (stored)
        pare_grids_store(&grids, r.codes, stored);
    return PARE_OK;
}

struct pare_nearest pare_nearest_defaults(const struct pare_target *target,
                                          const float *cost)
{
    return (struct pare_nearest){.target = *target,
                                 .search = cost ? PARE_SEARCH_COST : PARE_SEARCH_SQUARES,
                                 .cost = cost,
                                 .candidates = 17,
                                 .step = 0.04f};
}

enum pare_status pare_nearest_round(const struct pare_nearest *nearest,
                                    const struct pare_quant_rows *rows, float *Q,
                                    const struct pare_target_data *stored,
                                    struct pare_quant_error *error,
                                    struct pare_error *err)
{
    struct pare_arena scratch = {0};
    const enum pare_status status = run(nearest, rows, Q, stored, error, &scratch, err);
    pare_arena_free(&scratch);
    return status;
}

enum pare_status pare_nearest_plain(const struct pare_target *target,
                                    const struct pare_quant_rows *rows, float *Q,
                                    struct pare_error *err)
{
    const int super = pare_target_lattice(target).super > 0;
    const int blocks = pare_dtype_info(target->type)->block > 1;
    struct pare_nearest nearest = pare_nearest_defaults(target, NULL);
    struct pare_quant_error error = {0};
    if (target->kind == PARE_TARGET_GROUPS) {
        pare_grid_round(&target->grid, rows->W, rows->N, rows->K, Q);
        return PARE_OK;
    }
    if (!super && !(target->grid.bf16 && blocks))
        return pare_rtn_round(target->type, rows->W, rows->N, rows->K, Q, err);
    if (!super)
        nearest.search = PARE_SEARCH_RANGE;
    return pare_nearest_round(&nearest, rows, Q, NULL, &error, err);
}

int pare_nearest_costs(const struct pare_gram *gram, double damping, float *cost)
{
    const size_t K = gram->K;
    double sum = 0;
    for (size_t k = 0; k < K; k++)
        sum += pare_gram_diagonal(gram, k);
    const double scale = (double)K / sum;
    const int useful = isfinite(sum) && sum > 0 && isfinite(scale);
    for (size_t k = 0; k < K; k++)
        cost[k] = useful ? (float)(pare_gram_diagonal(gram, k) * scale + damping) : 1;
    return useful;
}

enum pare_status pare_nearest_blocks(const struct pare_target *target,
                                     const struct pare_quant_rows *rows, void *data,
                                     struct pare_quant_error *error,
                                     struct pare_error *err)
{
    const struct pare_target_data stored = {.data = data};
    struct pare_nearest nearest = pare_nearest_defaults(target, NULL);
    float *Q;
    if (!pare_superblock_layout(target->type))
        nearest.search = PARE_SEARCH_RANGE;
    PARE_TRY(pare_alloc_raw(&Q, rows->N, rows->K * sizeof *Q, err));
    const enum pare_status status =
        pare_nearest_round(&nearest, rows, Q, &stored, error, err);
    pare_free(Q);
    return status;
}
