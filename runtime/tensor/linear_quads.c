/* The product of a linear layer in INT8 whose zeros come in fours (kernels/quads.h):
 * activations are quantised as in linear_i8.c and packed so that rows are lanes; the sums
 * of a tile come out by columns, are transposed, and finished as those of a dense layer.
 */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/linear_run.h"

#define COLUMNS 64 /* of what pare_cut_product takes for a panel */
#define PACK_ROWS 16
/* A tile of activations stays in the first cache levels. */
#define TILE_BYTES ((size_t)128 * 1024)
/* Columns whose sums stay there as well. */
#define SLICE 128
/* Fewer activations than this are quantised by the calling thread. */
#define SMALL_QUANTIZE ((size_t)16 * 1024)

/* --- Packing the weights --- */

struct packing {
    const struct pare_weight *weight;
    uint32_t *start;
    uint16_t *place; /* NULL: quads are counted, into start[row + 1] */
    int8_t *value;
    uint8_t *own; /* a row of each worker */
};

static void pack_row(const struct packing *p, size_t row, const uint8_t *bytes)
{
    uint32_t count = 0;
    for (size_t quad = 0; quad < p->weight->K / 4; quad++) {
        const uint8_t *four = bytes + 4 * quad;
        if (!(four[0] | four[1] | four[2] | four[3]))
            continue;
        if (p->place) {
            const size_t at = p->start[row] + count;
            p->place[at] = (uint16_t)quad;
            memcpy(p->value + 4 * at, four, 4);
        }
        count++;
    }
    if (!p->place)
        p->start[row + 1] = count;
}

static void pack_rows(void *context, int worker, size_t begin, size_t end)
{
    const struct packing *p = context;
    const size_t K = p->weight->K;
    uint8_t *bytes = p->own + (size_t)worker * K;
    for (size_t row = begin; row < end; row++) {
        pare_sparse_row_u8(&p->weight->sparse, p->weight->data, 8, row, K, 0, K, 0,
                           bytes);
        pack_row(p, row, bytes);
    }
}

/* Counts, then packs. */
static enum pare_status pack_all(struct packing *p, struct pare_arena *arena,
                                 struct pare_error *err)
{
    const size_t N = p->weight->N;
    pare_parallel_for_worker(N, PACK_ROWS, pack_rows, p);
    p->start[0] = 0;
    for (size_t n = 0; n < N; n++)
        p->start[n + 1] += p->start[n];
    uint16_t *place;
    PARE_TRY(pare_arena_alloc(arena, &p->value, p->start[N], 4, err));
    PARE_TRY(pare_arena_alloc(arena, &place, p->start[N], sizeof *place, err));
    p->place = place;
    pare_parallel_for_worker(N, PACK_ROWS, pack_rows, p);
    return PARE_OK;
}

enum pare_status pare_linear_pack_quads(struct pare_linear *linear,
                                        struct pare_linear_part *part,
                                        struct pare_arena *arena, struct pare_error *err)
{
    struct packing p = {.weight = &part->weight};
    const size_t N = part->weight.N;
    PARE_TRY(pare_arena_alloc(arena, &p.start, N + 1, sizeof *p.start, err));
    PARE_TRY(pare_alloc(&p.own, (size_t)pare_threads(), part->weight.K, err));
    const enum pare_status status = pack_all(&p, arena, err);
    pare_free(p.own);
    PARE_TRY(status);
    part->quads = (struct pare_quads){p.start, p.place, p.value};
    linear->packed_bytes +=
        p.start[N] * (4 + sizeof *p.place) + (N + 1) * sizeof *p.start;
    return PARE_OK;
}

/* --- The product --- */

/* Bytes of a packed tile. */
static size_t tile_bytes(const struct pare_linear_run *run)
{
    return pare_quads_width(run->cuts[0].block_rows) * run->linear->K *
           (size_t)run->kernels->gemm_quads.a_bytes;
}

static void quantize_tiles(void *context, int worker, size_t begin, size_t end)
{
    const struct pare_linear_run *run = context;
    const struct pare_gemm_quads *gemm = &run->kernels->gemm_quads;
    const struct pare_cut *cut = &run->cuts[0];
    uint8_t *rows = run->own + (size_t)worker * run->own_bytes;
    for (size_t tile = begin; tile < end; tile++) {
        const size_t row = pare_cut_row(cut, tile), m = pare_cut_row(cut, tile + 1) - row;
        for (size_t i = 0; i < m; i++) {
            pare_linear_quantize_row(run, row + i, rows + i * cut->K);
            run->x_zero[row + i] -= gemm->a_offset;
        }
        gemm->pack_a((unsigned char *)run->a + tile * tile_bytes(run), rows, cut->K,
                     (int)m, cut->K / 4);
    }
}

/* A worker's sums: by columns, by rows, and a row of products. */
static size_t sums_bytes(const struct pare_cut *cut)
{
    return (pare_quads_width(cut->block_rows) + cut->block_rows + 1) * SLICE *
           sizeof(int32_t);
}

/* n columns from `column` on of tile t. */
static void run_slice(const struct pare_linear_run *run, int part, size_t t,
                      size_t column, size_t n, int32_t *acc)
{
    const struct pare_gemm_quads *gemm = &run->kernels->gemm_quads;
    const struct pare_cut *cut = &run->cuts[part];
    const size_t row = pare_cut_row(cut, t), m = pare_cut_row(cut, t + 1) - row;
    int32_t *lines = acc + pare_quads_width(m) * n;
    gemm->run(&run->parts[part]->quads, column, n,
              (const unsigned char *)run->a + t * tile_bytes(run), (int)m, acc);
    run->kernels->pack(lines, n, acc, pare_quads_width(m) * sizeof *acc, n, m);
    for (size_t i = 0; i < m; i++)
        pare_linear_finish_i8(run, part, lines + i * n, (float *)(lines + m * n), row + i,
                              column, n);
}

static void run_task(const struct pare_linear_run *run, unsigned char *own, size_t number)
{
    const int part = pare_linear_part_of(run, &number);
    const struct pare_cut_task task = pare_cut_task(&run->cuts[part], number);
    for (size_t t = task.tile; t < task.tile_end; t++)
        for (size_t j = 0; j < task.columns; j += SLICE) {
            const size_t left = task.columns - j;
            run_slice(run, part, t, task.column + j, left < SLICE ? left : SLICE,
                      (int32_t *)(void *)own);
        }
}

static void run_tasks(void *context, int worker, size_t begin, size_t end)
{
    const struct pare_linear_run *run = context;
    for (size_t number = begin; number < end; number++)
        run_task(run, run->own + (size_t)worker * run->own_bytes, number);
}

/* Rows of a tile. */
static size_t tile_rows(const struct pare_linear_run *run)
{
    const struct pare_gemm_quads *gemm = &run->kernels->gemm_quads;
    size_t rows = (size_t)gemm->mr;
    while (rows > 16 && rows * run->linear->K * (size_t)gemm->a_bytes > TILE_BYTES)
        rows /= 2;
    return rows;
}

enum pare_status pare_linear_run_quads(struct pare_linear_run *run,
                                       struct pare_arena *scratch, struct pare_error *err)
{
    const size_t rows = tile_rows(run), K = run->linear->K;
    /* A block is a tile. */
    pare_linear_cut(run, rows, COLUMNS, rows, K * COLUMNS / 4);
    run->own_bytes = run->cuts[0].block_rows * K;
    if (sums_bytes(&run->cuts[0]) > run->own_bytes)
        run->own_bytes = sums_bytes(&run->cuts[0]);
    run->own_bytes = (run->own_bytes + 63) / 64 * 64;
    const struct pare_cut *cut = &run->cuts[0];
    PARE_TRY(pare_arena_alloc(scratch, &run->own, (size_t)pare_threads(), run->own_bytes,
                              err));
    PARE_TRY(pare_arena_alloc(scratch, &run->a, cut->tiles, tile_bytes(run), err));
    PARE_TRY(pare_arena_alloc(scratch, &run->x_scale, run->M, sizeof(float), err));
    PARE_TRY(pare_arena_alloc(scratch, &run->x_zero, run->M, sizeof(int32_t), err));
    pare_parallel_for_worker(cut->tiles, run->M * K <= SMALL_QUANTIZE ? cut->tiles : 1,
                             quantize_tiles, run);
    pare_parallel_for_worker(run->first_task[run->n_parts], 1, run_tasks, run);
    return PARE_OK;
}
