/* The product of a linear layer with codes in groups: activations are quantised to bytes
 * group by group, as often as weights have a scale, and packed once per call; the sums of
 * each group are exact and are added to the output's float sum in order.
 */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/linear_run.h"

/* Fewer activations than this are quantised by the calling thread. */
#define SMALL_QUANTIZE ((size_t)16 * 1024)

struct pare_grouped pare_grouped_shape(const struct pare_weight *weight)
{
    const struct pare_groups *groups = &weight->groups;
    return (struct pare_grouped){
        .groups = weight->K / groups->size,
        .size = groups->size,
        .width = groups->bits <= 2   ? 2
                 : groups->bits <= 4 ? 4
                                     : 8,
    };
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Bytes of a quantised group, with the zeros behind it. */
static size_t padded(const struct pare_grouped *shape)
{
    return 4 * pare_grouped_quads(shape);
}

static size_t panel_bytes(const struct pare_grouped *shape, size_t nr)
{
    return shape->groups * pare_grouped_b_bytes(shape) * nr;
}

/* --- Packing the weights --- */

/* Panels of a weight while they are made. */
struct packing {
    const struct pare_gemm_grouped *gemm;
    const struct pare_weight *weight;
    struct pare_grouped shape;
};

/* Scratch of a panel: [nr][padded] codes of a group; of a sparse weight all codes of its
 * rows. */
static size_t packing_bytes(const struct packing *p)
{
    const size_t nr = (size_t)p->gemm->nr;
    return nr * (padded(&p->shape) + (p->weight->sparse.rows ? p->weight->K : 0));
}

/* Group g of the columns of a panel. */
static void pack_group(const struct packing *p, uint8_t *codes, const uint8_t *rows,
                       size_t column, size_t n, size_t g, unsigned char *out)
{
    const struct pare_groups *groups = &p->weight->groups;
    const size_t row_bytes = pare_codes_bytes(groups->bits, p->weight->K);
    const size_t begin = g * groups->size / 8 * (size_t)groups->bits;
    float scale[PARE_PANEL_COLUMNS];
    uint8_t zero[PARE_PANEL_COLUMNS];
    for (size_t j = 0; j < n; j++) {
        const size_t at = (column + j) * p->shape.groups + g;
        uint8_t *to = codes + j * padded(&p->shape);
        if (rows)
            memcpy(to, rows + j * p->weight->K + g * groups->size, groups->size);
        else
            pare_codes_unpack(groups->bits,
                              (const unsigned char *)p->weight->data +
                                  (column + j) * row_bytes + begin,
                              to, groups->size);
        scale[j] = pare_group_scale(groups, at);
        zero[j] = pare_group_zero(groups, at);
    }
    p->gemm->pack(&p->shape, out, codes, padded(&p->shape), scale, zero, (int)n);
}

/* `own`: packing_bytes, of which codes begin as zeros: what lies behind a group is never
 * written. */
static void pack_panel(const struct packing *p, size_t panel, uint8_t *own,
                       unsigned char *out)
{
    const struct pare_weight *weight = p->weight;
    const size_t nr = (size_t)p->gemm->nr, column = panel * nr;
    const size_t n = smaller(nr, weight->N - column);
    const size_t group_bytes = pare_grouped_b_bytes(&p->shape) * nr;
    uint8_t *rows = weight->sparse.rows ? own + nr * padded(&p->shape) : NULL;
    for (size_t j = 0; rows && j < n; j++)
        pare_sparse_row_u8(
            &weight->sparse, weight->data, weight->groups.bits, column + j, weight->K, 0,
            weight->K, (uint8_t)(1 << (weight->groups.bits - 1)), rows + j * weight->K);
    for (size_t g = 0; g < p->shape.groups; g++)
        pack_group(p, own, rows, column, n, g, out + g * group_bytes);
}

struct packing_all {
    struct packing packing;
    unsigned char *packed;
    unsigned char *own; /* packing_bytes a worker */
};

static void pack_panels(void *context, int worker, size_t begin, size_t end)
{
    const struct packing_all *all = context;
    const struct packing *p = &all->packing;
    const size_t bytes = panel_bytes(&p->shape, (size_t)p->gemm->nr);
    for (size_t panel = begin; panel < end; panel++)
        pack_panel(p, panel, all->own + (size_t)worker * packing_bytes(p),
                   all->packed + panel * bytes);
}

enum pare_status pare_linear_pack_grouped(struct pare_linear *linear,
                                          struct pare_linear_part *part,
                                          struct pare_arena *arena,
                                          struct pare_error *err)
{
    struct packing_all all = {.packing = {.gemm = &linear->kernels->gemm_grouped,
                                          .weight = &part->weight,
                                          .shape = pare_grouped_shape(&part->weight)}};
    const size_t nr = (size_t)all.packing.gemm->nr;
    const size_t panels = (part->weight.N + nr - 1) / nr;
    const size_t bytes = panel_bytes(&all.packing.shape, nr);
    PARE_TRY(pare_arena_alloc(arena, &part->packed, panels, bytes, err));
    linear->packed_bytes += panels * bytes;
    all.packed = part->packed;
    PARE_TRY(
        pare_alloc(&all.own, (size_t)pare_threads(), packing_bytes(&all.packing), err));
    pare_parallel_for_worker(panels, 1, pack_panels, &all);
    pare_free(all.own);
    return PARE_OK;
}

/* --- The product --- */

/* A worker's scratch while activations are quantised: the bytes, scales and zero points
 * of a tile. */
struct quantised {
    uint8_t *rows;
    float *scale;
    int32_t *zero;
};

static size_t quantised_bytes(const struct pare_grouped *shape, size_t mr)
{
    return mr * shape->groups * (padded(shape) + sizeof(float) + sizeof(int32_t));
}

static struct quantised quantised_at(const struct pare_grouped *shape, unsigned char *own,
                                     size_t mr)
{
    const size_t count = mr * shape->groups;
    struct quantised q = {.rows = own,
                          .scale = (float *)(void *)(own + count * padded(shape))};
    q.zero = (int32_t *)(void *)(q.scale + count);
    return q;
}

static void quantize_tiles(void *context, int worker, size_t begin, size_t end)
{
    const struct pare_linear_run *run = context;
    const struct pare_gemm_grouped *gemm = &run->kernels->gemm_grouped;
    const struct pare_grouped shape = pare_grouped_shape(&run->parts[0]->weight);
    const struct pare_cut *cut = &run->cuts[0];
    const size_t stride = shape.groups * padded(&shape);
    const struct quantised q = quantised_at(
        &shape, run->own + (size_t)worker * run->own_bytes, (size_t)gemm->mr);
    for (size_t tile = begin; tile < end; tile++) {
        const size_t row = pare_cut_row(cut, tile), m = pare_cut_row(cut, tile + 1) - row;
        if (padded(&shape) > shape.size)
            memset(q.rows, 0, m * stride);
        for (size_t i = 0; i < m; i++)
            run->kernels->quantize_u8_groups(
                q.rows + i * stride, padded(&shape), run->X + (row + i) * cut->K,
                run->linear->input_scale, shape.groups, shape.size,
                q.scale + i * shape.groups, q.zero + i * shape.groups);
        gemm->pack_a(&shape,
                     (unsigned char *)run->a +
                         row * shape.groups * pare_grouped_a_bytes(&shape),
                     q.rows, q.scale, q.zero, (int)m);
    }
}

/* From this many tiles on it pays to expand the codes once for all of them. */
#define EXPAND_TILES 4

/* The form the tiles of a part are multiplied in. */
static struct pare_grouped run_shape(const struct pare_linear_run *run, int part)
{
    const struct pare_gemm_grouped *gemm = &run->kernels->gemm_grouped;
    struct pare_grouped shape = pare_grouped_shape(&run->parts[part]->weight);
    if (run->parts[part]->masked ||
        (gemm->expand && run->M >= EXPAND_TILES * (size_t)gemm->mr))
        shape.width = 8;
    return shape;
}

/* Sums of a tile, and the panels of a group that do not lie anywhere: of a sparse part,
 * and expanded ones; and what is needed to make them. */
static size_t sums_bytes(const struct pare_linear_run *run, int part)
{
    const size_t mr = (size_t)run->kernels->gemm_grouped.mr;
    return (mr * run->cuts[part].group_columns * sizeof(float) + 63) / 64 * 64;
}

static struct packing packing_of(const struct pare_linear_run *run, int part)
{
    return (struct packing){.gemm = &run->kernels->gemm_grouped,
                            .weight = &run->parts[part]->weight,
                            .shape = pare_grouped_shape(&run->parts[part]->weight)};
}

/* Bytes of the panels of a group as they are packed; 0: those of the part are used. */
static size_t packed_bytes(const struct pare_linear_run *run, int part)
{
    const struct packing packing = packing_of(run, part);
    const struct pare_cut *cut = &run->cuts[part];
    return run->parts[part]->packed || run->parts[part]->masked
               ? 0
               : cut->group_columns / cut->nr * panel_bytes(&packing.shape, cut->nr);
}

static size_t expanded_bytes(const struct pare_linear_run *run, int part)
{
    const struct packing packing = packing_of(run, part);
    const struct pare_grouped wanted = run_shape(run, part);
    const struct pare_cut *cut = &run->cuts[part];
    return packing.shape.width == wanted.width && !run->parts[part]->masked
               ? 0
               : cut->group_columns / cut->nr * panel_bytes(&wanted, cut->nr);
}

static size_t space_bytes(const struct pare_linear_run *run, int part)
{
    const struct packing packing = packing_of(run, part);
    return packed_bytes(run, part) + expanded_bytes(run, part) +
           (run->parts[part]->packed || run->parts[part]->masked
                ? 0
                : packing_bytes(&packing));
}

/* The packed panels of a task: where they lie, or made in `space`. */
static const unsigned char *packed_panels(const struct pare_linear_run *run, int part,
                                          const struct pare_cut_task *task,
                                          unsigned char *space)
{
    const struct packing packing = packing_of(run, part);
    const size_t bytes = panel_bytes(&packing.shape, run->cuts[part].nr);
    if (run->parts[part]->packed)
        return (const unsigned char *)run->parts[part]->packed + task->panel * bytes;
    if (run->parts[part]->masked) /* comes expanded */
        return space;
    unsigned char *own = space + packed_bytes(run, part) + expanded_bytes(run, part);
    memset(own, 0, packing_bytes(&packing));
    for (size_t panel = task->panel; panel < task->panel_end; panel++)
        pack_panel(&packing, panel, own, space + (panel - task->panel) * bytes);
    return space;
}

/* The panels of a task in the form they are multiplied in: where they lie, or in `space`.
 */
static const unsigned char *expanded(const struct pare_linear_run *run, int part,
                                     const struct pare_cut_task *task,
                                     const unsigned char *panels, unsigned char *space)
{
    const struct pare_gemm_grouped *gemm = &run->kernels->gemm_grouped;
    const struct pare_grouped packed = pare_grouped_shape(&run->parts[part]->weight);
    const struct pare_grouped wanted = run_shape(run, part);
    const size_t nr = (size_t)gemm->nr;
    if (run->parts[part]->masked) {
        pare_linear_unmask(run->kernels, run->parts[part], task->column, task->columns,
                           nr, panel_bytes(&wanted, nr), space);
        return space;
    }
    if (packed.width == wanted.width)
        return panels;
    for (size_t p = 0; p < task->panel_end - task->panel; p++)
        gemm->expand(&packed, space + p * panel_bytes(&wanted, nr),
                     panels + p * panel_bytes(&packed, nr));
    return space;
}

/* Tile by tile, as in linear_i8.c. */
static void run_task(const struct pare_linear_run *run, unsigned char *own, size_t number)
{
    const struct pare_gemm_grouped *gemm = &run->kernels->gemm_grouped;
    const int part = pare_linear_part_of(run, &number);
    const struct pare_cut *cut = &run->cuts[part];
    const struct pare_cut_task task = pare_cut_task(cut, number);
    const struct pare_grouped packed = pare_grouped_shape(&run->parts[part]->weight);
    const struct pare_grouped shape = run_shape(run, part);
    const size_t row_bytes = shape.groups * pare_grouped_a_bytes(&shape);
    const size_t bytes = panel_bytes(&shape, cut->nr);
    const size_t steps = shape.groups * padded(&shape) / 16;
    const size_t panels = task.panel_end - task.panel, tiles = task.tile_end - task.tile;
    const size_t stored = panel_bytes(&packed, cut->nr);
    float *sums = (float *)(void *)own;
    unsigned char *space = own + sums_bytes(run, part);
    const unsigned char *from = packed_panels(run, part, &task, space);
    const int ahead = run->parts[part]->packed && task.panel_end + panels <= cut->panels;
    const unsigned char *next = ahead ? from + panels * stored : from;
    const unsigned char *b =
        expanded(run, part, &task, from, space + packed_bytes(run, part));
    for (size_t t = 0, row = task.row; t < tiles; t++) {
        const size_t end = pare_cut_row(cut, task.tile + t + 1);
        const unsigned char *a = (const unsigned char *)run->a + row * row_bytes;
        for (size_t p = 0; p < panels; p++)
            gemm->run(&shape, a, b + p * bytes, sums + p * cut->nr, cut->group_columns,
                      (int)(end - row),
                      pare_ahead_part(next, panels * stored, t * panels + p,
                                      tiles * panels, steps));
        for (size_t i = 0; row < end; row++, i++)
            pare_linear_finish_row(run, part, sums + i * cut->group_columns, row,
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

enum pare_status pare_linear_run_grouped(struct pare_linear_run *run,
                                         struct pare_arena *scratch,
                                         struct pare_error *err)
{
    const struct pare_gemm_grouped *gemm = &run->kernels->gemm_grouped;
    const struct pare_grouped shape = pare_grouped_shape(&run->parts[0]->weight);
    const size_t mr = (size_t)gemm->mr, nr = (size_t)gemm->nr;
    const struct pare_grouped wide = run_shape(run, 0);
    pare_linear_cut(run, mr, nr, PARE_LINEAR_ROWS, panel_bytes(&wide, nr));
    run->own_bytes = quantised_bytes(&shape, mr);
    for (int i = 0; i < run->n_parts; i++) {
        const size_t bytes = sums_bytes(run, i) + space_bytes(run, i);
        if (bytes > run->own_bytes)
            run->own_bytes = bytes;
    }
    run->own_bytes = (run->own_bytes + 63) / 64 * 64;
    PARE_TRY(pare_arena_alloc(scratch, &run->own, (size_t)pare_threads(), run->own_bytes,
                              err));
    PARE_TRY(pare_arena_alloc(scratch, &run->a, run->M * shape.groups,
                              pare_grouped_a_bytes(&shape), err));
    const struct pare_cut *cut = &run->cuts[0];
    const size_t tile = run->M * cut->K <= SMALL_QUANTIZE ? cut->tiles : 1;
    pare_parallel_for_worker(cut->tiles, tile, quantize_tiles, run);
    pare_parallel_for_worker(run->first_task[run->n_parts], 1, run_tasks, run);
    return PARE_OK;
}
