/* The product of a linear layer in INT8: activations are quantised a row at a time to
 * unsigned bytes and packed once per call, the sums are exact, and each block of the
 * output is finished (scale, bias, activation or residual) while it is in the cache.
 */
#include <math.h>
#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/linear_run.h"

/* Fewer activations than this are quantised by the calling thread. */
#define SMALL_QUANTIZE ((size_t)16 * 1024)
#define QUANTIZE_ROWS 8 /* of a task */

/* A row of activations in bytes: whole groups of four. */
static size_t row_stride(const struct pare_linear_run *run)
{
    return (run->linear->K + 3) / 4 * 4;
}

void pare_linear_quantize_row(const struct pare_linear_run *run, size_t row, uint8_t *q)
{
    const struct pare_linear *linear = run->linear;
    const struct pare_input_grid *grid = &linear->input_grid;
    const float *x = run->X + row * linear->K, *by = linear->input_scale;
    if (!(grid->scale > 0)) {
        run->kernels->quantize_u8(q, x, by, linear->K, &run->x_scale[row],
                                  &run->x_zero[row]);
        return;
    }
    const int finite =
        run->kernels->quantize_u8_fixed(q, x, by, linear->K, grid->inverse, grid->zero);
    run->x_scale[row] = finite ? grid->scale : NAN;
    run->x_zero[row] = finite ? grid->zero : 0;
}

/* Rows that a kernel takes as they are. */
static void quantize_rows(void *context, size_t begin, size_t end)
{
    const struct pare_linear_run *run = context;
    const size_t K = run->linear->K, stride = row_stride(run);
    for (size_t row = begin; row < end; row++) {
        uint8_t *q = (uint8_t *)run->a + row * stride;
        memset(q + K, 0, stride - K);
        pare_linear_quantize_row(run, row, q);
        run->x_zero[row] -= run->kernels->gemm_u8s8.a_offset;
    }
}

/* Quantises the rows of a tile and packs them. */
static void quantize_tiles(void *context, int worker, size_t begin, size_t end)
{
    const struct pare_linear_run *run = context;
    const struct pare_gemm_u8s8 *gemm = &run->kernels->gemm_u8s8;
    const struct pare_cut *cut = &run->cuts[0];
    size_t K = cut->K, stride = row_stride(run);
    uint8_t *rows = run->own + (size_t)worker * run->own_bytes;
    for (size_t tile = begin; tile < end; tile++) {
        size_t row = pare_cut_row(cut, tile), m = pare_cut_row(cut, tile + 1) - row;
        for (size_t i = 0; i < m; i++) {
            memset(rows + i * stride + K, 0, stride - K);
            pare_linear_quantize_row(run, row + i, rows + i * stride);
            run->x_zero[row + i] -= gemm->a_offset;
        }
        gemm->pack_a((unsigned char *)run->a + row * stride * (size_t)gemm->a_bytes, rows,
                     stride, (int)m, stride / 4);
    }
}

void pare_linear_finish_i8(const struct pare_linear_run *run, int part,
                           const int32_t *acc, float *line, size_t row, size_t column,
                           size_t n)
{
    const struct pare_linear_part *p = run->parts[part];
    float *out = run->Y + row * run->linear->N + p->row + column;
    float *product = run->residual ? line : out;
    run->kernels->dequantize_acc(product, acc, run->x_zero[row], run->x_scale[row],
                                 p->weight_sum + column, p->scale + column,
                                 pare_linear_bias(run, part, column), n);
    if (run->residual)
        run->kernels->add_to(out, line, run->residual + (out - run->Y), n);
    else if (run->act != PARE_ACT_NONE)
        run->kernels->activate(run->act, out, out, n);
}

/* Panels of a sparse part, and rows of one of them while it is made. */
static size_t space_bytes(const struct pare_linear_run *run, int part)
{
    const struct pare_cut *cut = &run->cuts[part];
    return run->parts[part]->packed
               ? 0
               : cut->group_columns * row_stride(run) + cut->nr * cut->K;
}

/* The panels of a task: where they lie, or made in `space`. */
static const int8_t *panels_of(const struct pare_linear_run *run, int part,
                               const struct pare_cut_task *task, unsigned char *space)
{
    const struct pare_weight *weight = &run->parts[part]->weight;
    const struct pare_cut *cut = &run->cuts[part];
    const size_t K = cut->K, bytes = cut->nr * row_stride(run);
    if (run->parts[part]->packed)
        return (const int8_t *)run->parts[part]->packed + task->panel * bytes;
    if (run->parts[part]->masked) {
        pare_linear_unmask(run->kernels, run->parts[part], task->column, task->columns,
                           cut->nr, bytes, space);
        return (const int8_t *)space;
    }
    uint8_t *rows = space + cut->group_columns * row_stride(run);
    for (size_t panel = task->panel; panel < task->panel_end; panel++) {
        const size_t column = panel * cut->nr;
        const size_t n = cut->N - column < cut->nr ? cut->N - column : cut->nr;
        for (size_t i = 0; i < n; i++)
            pare_sparse_row_u8(&weight->sparse, weight->data, 8, column + i, K, 0, K, 0,
                               rows + i * K);
        pare_linear_pack_i8_panel(run->kernels, (const int8_t *)rows, n, K,
                                  space + (panel - task->panel) * bytes);
    }
    return (const int8_t *)space;
}

/* Sums of a tile, and a row of products. */
static size_t sums_bytes(const struct pare_linear_run *run, int part)
{
    const size_t mr = (size_t)run->kernels->gemm_u8s8.mr;
    const size_t bytes = (mr + 1) * run->cuts[part].group_columns * sizeof(int32_t);
    return (bytes + 63) / 64 * 64;
}

/* A task goes tile by tile, so that a tile's sums are still in the cache when they are
 * finished, as are the panels of the group. Meanwhile it asks for the panels of the next
 * group. */
static void run_task(const struct pare_linear_run *run, unsigned char *own, size_t number)
{
    const struct pare_gemm_u8s8 *gemm = &run->kernels->gemm_u8s8;
    int part = pare_linear_part_of(run, &number);
    const struct pare_cut *cut = &run->cuts[part];
    struct pare_cut_task task = pare_cut_task(cut, number);
    size_t stride = row_stride(run), panel_bytes = cut->nr * stride, groups = stride / 4;
    size_t panels = task.panel_end - task.panel, tiles = task.tile_end - task.tile;
    const int8_t *b = panels_of(run, part, &task, own + sums_bytes(run, part));
    const int ahead = run->parts[part]->packed && task.panel_end + panels <= cut->panels;
    const int8_t *next = ahead ? b + panels * panel_bytes : b;
    int32_t *acc = (int32_t *)(void *)own;
    float *line = (float *)(acc + (size_t)gemm->mr * cut->group_columns);
    for (size_t t = 0, row = task.row; t < tiles; t++) {
        size_t end = pare_cut_row(cut, task.tile + t + 1);
        const unsigned char *a =
            (const unsigned char *)run->a + row * stride * (size_t)gemm->a_bytes;
        for (size_t p = 0; p < panels; p++)
            gemm->run(groups, a, b + p * panel_bytes, acc + p * cut->nr,
                      cut->group_columns, (int)(end - row),
                      pare_ahead_part(next, panels * panel_bytes, t * panels + p,
                                      tiles * panels, groups));
        for (size_t i = 0; row < end; row++, i++)
            pare_linear_finish_i8(run, part, acc + i * cut->group_columns, line, row,
                                  task.column, task.columns);
    }
}

static void run_tasks(void *context, int worker, size_t begin, size_t end)
{
    const struct pare_linear_run *run = context;
    unsigned char *own = run->own + (size_t)worker * run->own_bytes;
    for (size_t number = begin; number < end; number++)
        run_task(run, own, number);
}

enum pare_status pare_linear_run_i8(struct pare_linear_run *run,
                                    struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_gemm_u8s8 *gemm = &run->kernels->gemm_u8s8;
    size_t stride = row_stride(run);
    pare_linear_cut(run, (size_t)gemm->mr, (size_t)gemm->nr, PARE_LINEAR_ROWS,
                    stride * (size_t)gemm->nr);
    run->own_bytes = (size_t)gemm->mr * stride; /* the quantised rows of a tile */
    for (int i = 0; i < run->n_parts; i++) {
        const size_t bytes = sums_bytes(run, i) + space_bytes(run, i);
        if (bytes > run->own_bytes)
            run->own_bytes = bytes;
    }
    run->own_bytes = (run->own_bytes + 63) / 64 * 64;
    PARE_TRY(pare_arena_alloc(scratch, &run->own, (size_t)pare_threads(), run->own_bytes,
                              err));
    PARE_TRY(
        pare_arena_alloc(scratch, &run->a, run->M, stride * (size_t)gemm->a_bytes, err));
    PARE_TRY(pare_arena_alloc(scratch, &run->x_scale, run->M, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &run->x_zero, run->M, sizeof(int32_t), err));
    const struct pare_cut *cut = &run->cuts[0];
    const int small = run->M * cut->K <= SMALL_QUANTIZE;
    if (gemm->pack_a)
        pare_parallel_for_worker(cut->tiles, small ? cut->tiles : 1, quantize_tiles, run);
    else
        pare_parallel_for(run->M, small ? run->M : QUANTIZE_ROWS, quantize_rows, run);
    pare_parallel_for_worker(run->first_task[run->n_parts], 1, run_tasks, run);
    return PARE_OK;
}
