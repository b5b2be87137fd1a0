/* The product of a linear layer with few rows and a sparse weight, of I8 or codes in
 * groups, packed as panels of bits and what is not 0 (kernels/masked.h). Activations are
 * quantised as for a dense one, and the outputs have the same bits.
 */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/linear_run.h"

#define COLUMNS PARE_MASKED_COLUMNS
#define BEHIND 64 /* bytes that pare_kernels.expand_u8 may read */

struct pare_grouped pare_masked_shape(const struct pare_weight *weight)
{
    if (!weight->groups.bits)
        return (struct pare_grouped){.groups = 1, .size = weight->K, .width = 8};
    struct pare_grouped shape = pare_grouped_shape(weight);
    if (shape.width < 4)
        shape.width = 4;
    return shape;
}

/* Bytes of a group, with the zeros behind it; of a row. */
static size_t padded(const struct pare_grouped *shape)
{
    return 4 * pare_grouped_quads(shape);
}

static size_t row_bytes(const struct pare_grouped *shape)
{
    return shape->groups * padded(shape);
}

/* --- Packing the weights --- */

struct packing {
    const struct pare_weight *weight;
    struct pare_grouped shape;
    uint64_t *start;       /* of each panel */
    unsigned char *panels; /* NULL: only their bytes are found, into start[panel + 1] */
    unsigned char *own;    /* own_bytes a worker */
    size_t own_bytes;
};

/* A worker's scratch: a panel, its codes, a row as it is stored, scales. */
static size_t packing_bytes(const struct packing *p)
{
    const size_t bytes = pare_masked_most(&p->shape) + COLUMNS * row_bytes(&p->shape) +
                         p->weight->K + COLUMNS * p->shape.groups * sizeof(uint16_t);
    return (bytes + 63) / 64 * 64;
}

/* One column: codes whose zero point is that of the panel's width. */
static void unpack_column(const struct packing *p, size_t column, uint8_t *row,
                          uint8_t *codes)
{
    const struct pare_weight *weight = p->weight;
    const size_t K = weight->K, size = p->shape.size;
    const int bits = pare_weight_value_bits(weight);
    const uint8_t zero = pare_masked_zero(p->shape.width);
    const uint8_t gap = weight->groups.bits ? pare_masked_zero(bits) : 0;
    pare_sparse_row_u8(&weight->sparse, weight->data, bits, column, K, 0, K, gap, row);
    for (size_t g = 0; g < p->shape.groups; g++, codes += padded(&p->shape)) {
        for (size_t k = 0; k < size; k++)
            codes[k] = (uint8_t)(row[g * size + k] - gap + zero);
        memset(codes + size, 0, padded(&p->shape) - size);
    }
}

static void pack_panel(const struct packing *p, size_t panel, unsigned char *own)
{
    const struct pare_weight *weight = p->weight;
    const size_t column = panel * COLUMNS, left = weight->N - column;
    const size_t n = left < COLUMNS ? left : COLUMNS, stride = row_bytes(&p->shape);
    uint16_t *scale = (uint16_t *)(void *)own;
    uint8_t *codes = own + COLUMNS * p->shape.groups * sizeof *scale;
    uint8_t *row = codes + COLUMNS * stride, *out = row + weight->K;
    for (size_t j = 0; j < n; j++) {
        unpack_column(p, column + j, row, codes + j * stride);
        for (size_t g = 0; g < p->shape.groups; g++)
            scale[j * p->shape.groups + g] =
                weight->groups.bits
                    ? pare_load_u16(weight->groups.scale +
                                    2 * ((column + j) * p->shape.groups + g))
                    : 0;
    }
    const size_t bytes = pare_masked_pack(&p->shape, out, codes, stride, scale, (int)n);
    if (p->panels)
        memcpy(p->panels + p->start[panel], out, bytes);
    else
        p->start[panel + 1] = bytes;
}

static void pack_panels(void *context, int worker, size_t begin, size_t end)
{
    const struct packing *p = context;
    for (size_t panel = begin; panel < end; panel++)
        pack_panel(p, panel, p->own + (size_t)worker * p->own_bytes);
}

/* Finds the panels' bytes, then packs them. */
static enum pare_status pack_all(struct packing *p, size_t count,
                                 struct pare_arena *arena, struct pare_error *err)
{
    unsigned char *panels;
    pare_parallel_for_worker(count, 1, pack_panels, p);
    p->start[0] = 0;
    for (size_t i = 0; i < count; i++)
        p->start[i + 1] += p->start[i];
    PARE_TRY(pare_arena_alloc(arena, &panels, p->start[count] + BEHIND, 1, err));
    memset(panels + p->start[count], 0, BEHIND);
    p->panels = panels;
    pare_parallel_for_worker(count, 1, pack_panels, p);
    return PARE_OK;
}

enum pare_status pare_linear_pack_masked(struct pare_linear *linear,
                                         struct pare_linear_part *part,
                                         struct pare_arena *arena, struct pare_error *err)
{
    struct packing p = {.weight = &part->weight,
                        .shape = pare_masked_shape(&part->weight)};
    const size_t panels = (part->weight.N + COLUMNS - 1) / COLUMNS;
    p.own_bytes = packing_bytes(&p);
    PARE_TRY(pare_arena_alloc(arena, &p.start, panels + 1, sizeof *p.start, err));
    PARE_TRY(pare_alloc(&p.own, (size_t)pare_threads(), p.own_bytes, err));
    const enum pare_status status = pack_all(&p, panels, arena, err);
    pare_free(p.own);
    PARE_TRY(status);
    part->masked = p.panels;
    part->masked_start = p.start;
    linear->packed_bytes += p.start[panels] + BEHIND + (panels + 1) * sizeof *p.start;
    return PARE_OK;
}

/* --- The product --- */

/* Row i of the inputs in bytes. */
static void quantize_row(const struct pare_linear_run *run,
                         const struct pare_grouped *shape, size_t i, uint8_t *row)
{
    const size_t groups = shape->groups;
    if (run->parts[0]->weight.groups.bits)
        run->kernels->quantize_u8_groups(
            row, padded(shape), run->X + i * run->linear->K, run->linear->input_scale,
            groups, shape->size, run->x_scale + i * groups, run->x_zero + i * groups);
    else
        pare_linear_quantize_row(run, i, row);
}

/* A packed tile that begins with that row. */
static unsigned char *tile_at(const struct pare_linear_run *run,
                              const struct pare_grouped *shape, size_t row)
{
    return (unsigned char *)run->a + row * shape->groups * pare_grouped_a_bytes(shape);
}

/* The rows are few: the calling thread packs them. */
static enum pare_status pack_rows(struct pare_linear_run *run,
                                  const struct pare_grouped *shape,
                                  struct pare_arena *scratch, struct pare_error *err)
{
    const size_t M = run->M, groups = shape->groups;
    const struct pare_cut *cut = &run->cuts[0];
    uint8_t *rows;
    PARE_TRY(pare_arena_alloc(scratch, &rows, M, row_bytes(shape), err));
    PARE_TRY(
        pare_arena_alloc(scratch, &run->a, M * groups, pare_grouped_a_bytes(shape), err));
    PARE_TRY(pare_arena_alloc(scratch, &run->x_scale, M * groups, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &run->x_zero, M * groups, sizeof(int32_t), err));
    memset(rows, 0, M * row_bytes(shape));
    for (size_t i = 0; i < M; i++)
        quantize_row(run, shape, i, rows + i * row_bytes(shape));
    for (size_t t = 0; t < cut->tiles; t++) {
        const size_t row = pare_cut_row(cut, t), m = pare_cut_row(cut, t + 1) - row;
        run->kernels->gemm_masked.pack_a(
            shape, tile_at(run, shape, row), rows + row * row_bytes(shape),
            run->x_scale + row * groups, run->x_zero + row * groups, (int)m);
    }
    /* Sums of I8 come without what its zero points add. */
    memset(run->x_zero, 0, M * groups * sizeof *run->x_zero);
    return PARE_OK;
}

/* All rows times one panel, to sums with row stride `stride`: floats, or of I8 int32. */
static void run_panel(const struct pare_linear_run *run, const struct pare_grouped *shape,
                      const struct pare_linear_part *part, size_t panel, void *sums,
                      size_t stride)
{
    const struct pare_gemm_masked *gemm = &run->kernels->gemm_masked;
    const struct pare_cut *cut = &run->cuts[0];
    const unsigned char *from = part->masked + part->masked_start[panel];
    for (size_t t = 0; t < cut->tiles; t++) {
        const size_t row = pare_cut_row(cut, t), m = pare_cut_row(cut, t + 1) - row;
        const void *a = tile_at(run, shape, row);
        if (part->weight.groups.bits)
            gemm->run(shape, a, from, (float *)sums + row * stride, stride, (int)m);
        else
            gemm->run_sums(shape, a, from, (int32_t *)sums + row * stride, stride,
                           (int)m);
    }
}

/* A task has all rows: they are one block. */
static void run_task(const struct pare_linear_run *run, void *own, size_t number)
{
    const int part = pare_linear_part_of(run, &number);
    const struct pare_linear_part *p = run->parts[part];
    const struct pare_cut *cut = &run->cuts[part];
    const struct pare_cut_task task = pare_cut_task(cut, number);
    const struct pare_grouped shape = pare_masked_shape(&p->weight);
    const size_t stride = cut->group_columns;
    float *sums = own;
    int32_t *acc = own;
    for (size_t panel = task.panel; panel < task.panel_end; panel++)
        run_panel(run, &shape, p, panel, sums + (panel - task.panel) * COLUMNS, stride);
    for (size_t i = 0; i < run->M; i++)
        if (p->weight.groups.bits)
            pare_linear_finish_row(run, part, sums + i * stride, i, task.column,
                                   task.columns);
        else
            pare_linear_finish_i8(run, part, acc + i * stride, sums + run->M * stride, i,
                                  task.column, task.columns);
}

static void run_tasks(void *context, int worker, size_t begin, size_t end)
{
    const struct pare_linear_run *run = context;
    for (size_t number = begin; number < end; number++)
        run_task(run, run->own + (size_t)worker * run->own_bytes, number);
}

enum pare_status pare_linear_run_masked(struct pare_linear_run *run,
                                        struct pare_arena *scratch,
                                        struct pare_error *err)
{
    const struct pare_grouped shape = pare_masked_shape(&run->parts[0]->weight);
    pare_linear_cut(run, (size_t)run->kernels->gemm_masked.mr, COLUMNS, PARE_LINEAR_ROWS,
                    row_bytes(&shape) * COLUMNS / 2);
    PARE_TRY(pack_rows(run, &shape, scratch, err));
    for (int i = 0; i < run->n_parts; i++) {
        const size_t bytes = (run->M + 1) * run->cuts[i].group_columns * sizeof(float);
        if (bytes > run->own_bytes)
            run->own_bytes = (bytes + 63) / 64 * 64;
    }
    PARE_TRY(pare_arena_alloc(scratch, &run->own, (size_t)pare_threads(), run->own_bytes,
                              err));
    pare_parallel_for_worker(run->first_task[run->n_parts], 1, run_tasks, run);
    return PARE_OK;
}
