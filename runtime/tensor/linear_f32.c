/* The product of a linear layer in float: weights packed at load, decoded panel by panel,
 * or (in training) packed on the way.
 *
 * One parallel region packs the activations, unless there are so many that each task
 * packs its own; a second one runs over blocks of the output. A block's sums lie in the
 * worker's scratch and are finished (bias, activation or residual) while they are in the
 * cache.
 */
#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/decode_panel.h"
#include "runtime/tensor/linear_run.h"

/* Fewer activations than this are packed by the calling thread. */
#define SMALL_PACK ((size_t)64 * 1024)

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* k of one pass through weights that are decoded on the way: their panel stays in the
 * first cache level. A multiple of every block format's length. */
#define DECODED_KC 256

/* The panel [kc][nr] for inputs k .. k + kc: packed at load, or made in `space`. */
static const float *panel_at(const struct pare_linear_run *run, int part, float *space,
                             size_t panel, size_t k, size_t kc)
{
    const struct pare_weight *weight = &run->parts[part]->weight;
    const struct pare_cut *cut = &run->cuts[part];
    size_t nr = cut->nr, column = panel * nr, n = smaller(nr, weight->N - column);
    if (run->packed[part])
        return run->packed[part] + column * weight->K + k * nr;
    if (weight->type != PARE_F32)
        pare_decode_panel(run->kernels, weight, nr, space, column, n, k, kc);
    else
        pare_pack_panel(run->kernels, space, nr, pare_transposed(weight->data, weight->K),
                        k, kc, column, n);
    return space;
}

/* What a worker needs: sums [block_rows][columns], packed tiles, a panel. */
static size_t own_floats(const struct pare_linear_run *run, int part)
{
    const struct pare_cut *cut = &run->cuts[part];
    size_t kc = smaller(run->kc, cut->K);
    size_t floats =
        cut->block_rows * cut->group_columns + (cut->share_a ? 0 : cut->block_rows * kc);
    if (!run->packed[part])
        floats += kc * cut->nr;
    return floats;
}

static void run_task(const struct pare_linear_run *run, float *own, size_t number)
{
    int part = pare_linear_part_of(run, &number);
    const struct pare_cut *cut = &run->cuts[part];
    struct pare_cut_task task = pare_cut_task(cut, number);
    size_t ldc = cut->group_columns, K = cut->K;
    float *sums = own, *tiles = sums + cut->block_rows * ldc;
    float *space = cut->share_a ? tiles : tiles + cut->block_rows * smaller(run->kc, K);
    for (size_t k = 0; k < K; k += run->kc) {
        size_t kc = smaller(run->kc, K - k);
        const float *a = (const float *)run->a + cut->M * k + task.row * kc;
        if (!cut->share_a) {
            pare_pack_tiles(run->kernels, tiles, cut, pare_rows(run->X, K), task.tile,
                            task.tile_end, k, kc);
            a = tiles;
        }
        for (size_t panel = task.panel; panel < task.panel_end; panel++) {
            const float *b = panel_at(run, part, space, panel, k, kc), *next = b;
            if (b != space && panel + 1 < task.panel_end)
                next = b + cut->nr * K;
            else if (b != space && k + kc < K)
                next = panel_at(run, part, space, task.panel, k + kc, kc);
            else if (b != space && panel + 1 < cut->panels)
                next = panel_at(run, part, space, panel + 1, 0, kc);
            size_t column = panel * cut->nr;
            pare_panel_product(run->kernels, cut, &task, a, b, kc,
                               sums + column - task.column, ldc,
                               smaller(cut->nr, cut->N - column), k > 0, next);
        }
    }
    if (!K)
        memset(sums, 0, task.rows * ldc * sizeof *sums);
    for (size_t i = 0; i < task.rows; i++)
        pare_linear_finish_row(run, part, sums + i * ldc, task.row + i, task.column,
                               task.columns);
}

static void run_tasks(void *context, int worker, size_t begin, size_t end)
{
    const struct pare_linear_run *run = context;
    unsigned char *own = run->own + (size_t)worker * run->own_bytes;
    for (size_t number = begin; number < end; number++)
        run_task(run, (float *)(void *)own, number);
}

static void pack_rows(void *context, size_t begin, size_t end)
{
    const struct pare_linear_run *run = context;
    const struct pare_cut *cut = &run->cuts[0];
    size_t row = pare_cut_row(cut, begin);
    for (size_t k = 0; k < cut->K; k += run->kc) {
        size_t kc = smaller(run->kc, cut->K - k);
        pare_pack_tiles(run->kernels, (float *)run->a + cut->M * k + row * kc, cut,
                        pare_rows(run->X, cut->K), begin, end, k, kc);
    }
}

struct live_panels {
    const struct pare_linear_run *run;
    const struct pare_weight *weight;
    float *out;
};

static void pack_live(void *context, size_t begin, size_t end)
{
    const struct live_panels *live = context;
    const struct pare_weight *weight = live->weight;
    const size_t nr = (size_t)live->run->kernels->gemm_f32.nr;
    for (size_t panel = begin; panel < end; panel++) {
        const size_t column = panel * nr;
        pare_pack_panel(live->run->kernels, live->out + column * weight->K, nr,
                        pare_transposed(weight->data, weight->K), 0, weight->K, column,
                        smaller(nr, weight->N - column));
    }
}

/* Finds or makes the packed panels. Those of a live weight are made once for all tasks
 * when several row blocks use them; *all: there are some of every part. */
static enum pare_status find_panels(struct pare_linear_run *run, int *all,
                                    struct pare_arena *scratch, struct pare_error *err)
{
    const size_t nr = (size_t)run->kernels->gemm_f32.nr;
    *all = 1;
    for (int i = 0; i < run->n_parts; i++) {
        const struct pare_weight *weight = &run->parts[i]->weight;
        run->packed[i] = run->parts[i]->packed;
        if (run->linear->live && weight->type == PARE_F32 && run->M > PARE_LINEAR_ROWS) {
            const size_t panels = (weight->N + nr - 1) / nr;
            struct live_panels live = {run, weight, NULL};
            PARE_TRY(pare_arena_alloc(scratch, &live.out, panels * nr,
                                      weight->K * sizeof(float), err));
            pare_parallel_for(panels, 1, pack_live, &live);
            run->packed[i] = live.out;
        }
        *all &= run->packed[i] != NULL;
    }
    return PARE_OK;
}

enum pare_status pare_linear_run_f32(struct pare_linear_run *run,
                                     struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_gemm_f32 *gemm = &run->kernels->gemm_f32;
    int packed;
    PARE_TRY(find_panels(run, &packed, scratch, err));
    run->kc = packed || run->linear->live ? PARE_KC : DECODED_KC;
    pare_linear_cut(run, (size_t)gemm->mr, (size_t)gemm->nr,
                    packed ? PARE_LINEAR_ROWS : PARE_LINEAR_ROWS_DECODED,
                    smaller(run->kc, run->linear->K) * (size_t)gemm->nr * sizeof(float));
    size_t floats = 0;
    for (int i = 0; i < run->n_parts; i++) {
        size_t need = own_floats(run, i);
        if (need > floats)
            floats = need;
    }
    run->own_bytes = (floats * sizeof(float) + 63) / 64 * 64;
    PARE_TRY(pare_arena_alloc(scratch, &run->own, (size_t)pare_threads(), run->own_bytes,
                              err));
    const struct pare_cut *cut = &run->cuts[0];
    if (cut->share_a) {
        PARE_TRY(pare_arena_alloc(scratch, &run->a, run->M, cut->K * sizeof(float), err));
        size_t tile = run->M * cut->K <= SMALL_PACK ? cut->tiles : 1;
        pare_parallel_for(cut->tiles, tile, pack_rows, run);
    }
    pare_parallel_for_worker(run->first_task[run->n_parts], 1, run_tasks, run);
    return PARE_OK;
}
