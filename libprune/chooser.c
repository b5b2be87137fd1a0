/* Zeros in a sweep: see chooser.h. */
#include "libprune/chooser.h"

#include <math.h>
#include <string.h>

#include "libprune/choose.h"
#include "runtime/base/parallel.h"

#define ROWS PARE_SWEEP_ROWS
#define STEP 32 /* columns of a step, unless a block has more */

/* The largest divisor of n that is no more than `most` and whole columns of blocks. */
static size_t step_of(size_t n, size_t columns, size_t most)
{
    size_t best = columns;
    for (size_t step = columns; step <= most && step <= n; step += columns)
        if (n % step == 0)
            best = step;
    return best;
}

enum pare_status pare_chooser_init(struct pare_chooser *chooser, size_t group,
                                   struct pare_arena *arena, struct pare_error *err)
{
    const struct pare_pattern *pattern = &chooser->pattern;
    const size_t N = chooser->rows->N, K = chooser->rows->K;
    const size_t tiles = (N + ROWS - 1) / ROWS;
    chooser->step = pattern->m ? pattern->m
                               : step_of(group, pattern->columns,
                                         chooser->even ? PARE_CHOOSER_COLUMNS : STEP);
    chooser->lanes = tiles * ROWS;
    PARE_TRY(pare_arena_alloc(arena, &chooser->gone, K, chooser->lanes, err));
    memset(chooser->gone, 0, K * chooser->lanes);
    PARE_TRY(pare_arena_alloc(arena, &chooser->scores, (size_t)pare_threads(),
                              PARE_CHOOSER_COLUMNS * ROWS * sizeof(float), err));
    return pare_arena_alloc(arena, &chooser->zeros, tiles * (K / chooser->step),
                            sizeof *chooser->zeros, err);
}

/* --- Blocks ----------------------------------------------------------------------- */

/* A tile's blocks: (i, j) at number j * down + i, so that lanes lie together. */
struct blocks {
    size_t columns, down, n;
    int shift;     /* rows of a block are 2^shift */
    size_t before; /* of the tiles before, all of whose columns count */
};

static struct blocks blocks_of(const struct pare_chooser *chooser,
                               const struct pare_sweep_tile *tile)
{
    struct blocks b = {.columns = chooser->pattern.columns};
    while ((size_t)1 << b.shift < chooser->pattern.rows)
        b.shift++;
    b.down = tile->rows >> b.shift;
    b.n = b.down * (tile->columns / b.columns);
    b.before = (tile->row >> b.shift) * (chooser->rows->K / b.columns);
    return b;
}

static void score_blocks(const struct blocks *b, const struct pare_sweep_tile *tile,
                         float *scores)
{
    memset(scores, 0, b->n * sizeof *scores);
    for (size_t k = 0; k < tile->columns; k++) {
        const float *x = tile->x + k * ROWS, cost = tile->cost[k];
        float *at = scores + k / b->columns * b->down;
        for (size_t i = 0; !b->shift && i < tile->rows; i++)
            at[i] += x[i] * x[i] * cost;
        for (size_t i = 0; b->shift && i < tile->rows; i++)
            at[i >> b->shift] += x[i] * x[i] * cost;
    }
}

/* What each of the tile's blocks is, to its weights. */
static void put_blocks(const struct pare_chooser *chooser, const struct blocks *b,
                       const struct pare_sweep_tile *tile, const uint8_t *gone)
{
    for (size_t k = 0; k < tile->columns; k++) {
        uint8_t *out = chooser->gone + (tile->column + k) * chooser->lanes + tile->row;
        for (size_t i = 0; i < tile->rows; i++)
            out[i] = gone[k / b->columns * b->down + (i >> b->shift)];
    }
}

static uint32_t *zeros_of(const struct pare_chooser *chooser,
                          const struct pare_sweep_tile *tile)
{
    return chooser->zeros + tile->row / ROWS * (chooser->rows->K / chooser->step) +
           tile->column / chooser->step;
}

static void choose_blocks(const struct pare_chooser *chooser, int worker,
                          const struct pare_sweep_tile *tile)
{
    const struct blocks b = blocks_of(chooser, tile);
    float *scores = chooser->scores + (size_t)worker * PARE_CHOOSER_COLUMNS * ROWS;
    uint8_t gone[PARE_CHOOSER_COLUMNS * ROWS];
    score_blocks(&b, tile, scores);
    pare_choose_smallest(scores, b.n, *zeros_of(chooser, tile), gone);
    put_blocks(chooser, &b, tile, gone);
}

/* --- N:M -------------------------------------------------------------------------- */

static void choose_of_m(const struct pare_chooser *chooser,
                        const struct pare_sweep_tile *tile)
{
    const struct pare_pattern *pattern = &chooser->pattern;
    for (size_t i = 0; i < tile->rows; i++) {
        float scores[PARE_PATTERN_MOST];
        for (size_t k = 0; k < pattern->m; k++)
            scores[k] = tile->x[k * ROWS + i] * tile->x[k * ROWS + i] * tile->cost[k];
        for (size_t k = 0; k < pattern->m; k++)
            chooser->gone[(tile->column + k) * chooser->lanes + tile->row + i] =
                (uint8_t)pare_choose_is_smallest(scores, pattern->m, k,
                                                 pattern->m - pattern->n);
    }
}

void pare_chooser_choose(const struct pare_chooser *chooser, int worker,
                         const struct pare_sweep_tile *tile)
{
    struct pare_sweep_tile part = *tile;
    part.columns = chooser->step;
    for (size_t k = 0; k < tile->columns; k += chooser->step) {
        part.column = tile->column + k;
        part.x = tile->x + k * ROWS;
        part.cost = tile->cost + k;
        if (chooser->pattern.m)
            choose_of_m(chooser, &part);
        else
            choose_blocks(chooser, worker, &part);
    }
}

/* --- Before the sweep ------------------------------------------------------------- */

struct planning {
    struct pare_chooser *chooser;
    float *cost;   /* [K], of the factor's columns */
    float *scores; /* tile by tile */
    uint8_t *gone; /* the same */
    float *x;      /* [PARE_CHOOSER_COLUMNS, ROWS] a worker */
};

static void load(const struct planning *p, const struct pare_sweep_tile *tile)
{
    const struct pare_quant_rows *rows = p->chooser->rows;
    const uint32_t *order = p->chooser->factor->order + tile->column;
    for (size_t k = 0; k < tile->columns; k++)
        for (size_t i = 0; i < tile->rows; i++)
            tile->x[k * ROWS + i] = rows->W[(tile->row + i) * rows->K + order[k]];
}

/* For the tiles first .. end, a step at a time. */
static void score_tiles(void *context, int worker, size_t first, size_t end)
{
    const struct planning *p = context;
    const struct pare_chooser *chooser = p->chooser;
    const size_t N = chooser->rows->N, K = chooser->rows->K;
    struct pare_sweep_tile tile = {.columns = chooser->step,
                                   .x = p->x +
                                        (size_t)worker * PARE_CHOOSER_COLUMNS * ROWS};
    for (size_t number = first; number < end; number++) {
        tile.row = number * ROWS;
        tile.rows = N - tile.row < ROWS ? N - tile.row : ROWS;
        for (tile.column = 0; tile.column < K; tile.column += tile.columns) {
            const struct blocks b = blocks_of(chooser, &tile);
            const size_t at = b.before + tile.column / b.columns * b.down;
            tile.cost = p->cost + tile.column;
            load(p, &tile);
            score_blocks(&b, &tile, p->scores + at);
        }
    }
}

/* How many of each tile's step go. */
static void count_tiles(void *context, size_t first, size_t end)
{
    const struct planning *p = context;
    const struct pare_chooser *chooser = p->chooser;
    const size_t N = chooser->rows->N, K = chooser->rows->K;
    const double sparsity = chooser->pattern.sparsity;
    struct pare_sweep_tile tile = {.columns = chooser->step};
    for (size_t number = first; number < end; number++) {
        tile.row = number * ROWS;
        tile.rows = N - tile.row < ROWS ? N - tile.row : ROWS;
        for (tile.column = 0; tile.column < K; tile.column += tile.columns) {
            const struct blocks b = blocks_of(chooser, &tile);
            const size_t at = b.before + tile.column / b.columns * b.down;
            uint32_t count = 0;
            for (size_t i = 0; i < b.n; i++)
                count += p->gone[at + i];
            if (chooser->even)
                count = (uint32_t)(rint(sparsity * (double)(at + b.n)) -
                                   rint(sparsity * (double)at));
            *zeros_of(chooser, &tile) = count;
        }
    }
}

enum pare_status pare_chooser_plan(struct pare_chooser *chooser, float *space,
                                   struct pare_arena *scratch, struct pare_error *err)
{
    const size_t N = chooser->rows->N, K = chooser->rows->K,
                 tiles = chooser->lanes / ROWS;
    const size_t n = N * K / (chooser->pattern.rows * chooser->pattern.columns);
    const struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct planning p = {.chooser = chooser, .scores = space, .x = chooser->scores};
    enum pare_status status;
    if (chooser->pattern.m)
        return PARE_OK; /* n of every m */
    PARE_TRY_OUT(pare_arena_alloc(scratch, &p.cost, K, sizeof *p.cost, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &p.gone, n, 1, err));
    for (size_t k = 0; k < K; k++) {
        const float r = chooser->factor->H[k * K + k];
        p.cost[k] = r * r;
    }
    pare_parallel_for_worker(tiles, 1, score_tiles, &p);
    if (!chooser->pattern.m) {
        pare_choose_smallest(space, n,
                             (size_t)rint(chooser->pattern.sparsity * (double)n), p.gone);
        pare_parallel_for(tiles, 1, count_tiles, &p);
    }
out:
    pare_arena_release(scratch, mark);
    return status;
}
