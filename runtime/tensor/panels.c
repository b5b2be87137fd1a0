#include "runtime/tensor/panels.h"

#include <string.h>

#include "runtime/base/parallel.h"

/* Shared packed rows may take this many floats. */
#define SHARED_A_FLOATS ((size_t)4 * 1024 * 1024)
/* The panels of a group stay in the second cache level while a row block passes. */
#define GROUP_BYTES ((size_t)512 * 1024)
/* Words of a row that are packed before going on to the next tile or panel: enough for
 * whole cache lines, few enough that the pages of all rows stay in the TLB. */
#define PACK_STEP 32
/* So many tasks a thread that it hardly matters when the last one ends. */
#define FEW_TASKS 16

static size_t divided_up(size_t n, size_t by)
{
    return n / by + (n % by != 0);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Panels of a group. Few rows: narrow groups, so that there is work for every thread.
 * Many: wide ones, so that a task which packs its own rows uses them often. */
static size_t group_size(const struct pare_cut *cut, size_t panel_bytes)
{
    size_t columns = cut->blocks <= 2 ? 128 : cut->blocks <= 8 ? 256 : 1024;
    size_t panels = columns / cut->nr, fit = GROUP_BYTES / (panel_bytes + 1);
    if (cut->share_a)
        panels = smaller(panels, fit);
    return panels ? panels : 1;
}

/* A few long tasks: so many of them that all threads have the same number. */
static void spread_blocks(struct pare_cut *cut, size_t threads)
{
    const size_t tasks = cut->blocks * cut->groups;
    if (cut->blocks > 1 && tasks < FEW_TASKS * threads && tasks % threads)
        cut->blocks = smaller(divided_up(cut->blocks, threads) * threads, cut->tiles);
}

struct pare_cut pare_cut_product(size_t M, size_t N, size_t K, size_t mr, size_t nr,
                                 size_t block_rows, size_t panel_bytes)
{
    struct pare_cut cut = {.M = M, .N = N, .K = K, .nr = nr};
    cut.tiles = divided_up(M, mr);
    cut.panels = divided_up(N, nr);
    cut.share_a = M <= SHARED_A_FLOATS / (K + 1);
    size_t block_tiles = block_rows / mr ? block_rows / mr : 1;
    cut.blocks = divided_up(cut.tiles, block_tiles);
    cut.groups = divided_up(cut.panels, group_size(&cut, panel_bytes));
    spread_blocks(&cut, (size_t)pare_threads());
    if (cut.blocks)
        cut.block_rows = smaller(divided_up(cut.tiles, cut.blocks) * mr, M);
    if (cut.groups)
        cut.group_columns = divided_up(cut.panels, cut.groups) * nr;
    return cut;
}

struct pare_cut_task pare_cut_task(const struct pare_cut *cut, size_t number)
{
    struct pare_cut_task task;
    size_t group = number / cut->blocks, block = number % cut->blocks;
    task.tile = cut->tiles * block / cut->blocks;
    task.tile_end = cut->tiles * (block + 1) / cut->blocks;
    task.row = pare_cut_row(cut, task.tile);
    task.rows = pare_cut_row(cut, task.tile_end) - task.row;
    task.panel = cut->panels * group / cut->groups;
    task.panel_end = cut->panels * (group + 1) / cut->groups;
    task.column = task.panel * cut->nr;
    task.columns = smaller(task.panel_end * cut->nr, cut->N) - task.column;
    return task;
}

/* Words [k, k + kc) of a tile of m rows to out[kc][m]. */
static void pack_tile(const struct pare_kernels *kernels, float *out, size_t m,
                      const float *from, struct pare_matrix A, size_t kc)
{
    if (A.column == 1) {
        kernels->pack(out, m, from, A.row * sizeof(float), m, kc);
    } else if (A.row == 1) {
        kernels->pack_copy(out, m, from, A.column * sizeof(float), m, kc);
    } else {
        for (size_t p = 0; p < kc; p++)
            for (size_t i = 0; i < m; i++)
                out[p * m + i] = from[i * A.row + p * A.column];
    }
}

void pare_pack_tiles(const struct pare_kernels *kernels, float *out,
                     const struct pare_cut *cut, struct pare_matrix A, size_t tile,
                     size_t tile_end, size_t k, size_t kc)
{
    /* Rows of A lie along k when A.column is 1: a tile at a time reads whole lines. */
    size_t step = A.column == 1 ? kc : PACK_STEP, first = pare_cut_row(cut, tile);
    for (size_t p = 0; p < kc; p += step) {
        size_t n = smaller(step, kc - p), row = first;
        for (size_t t = tile; t < tile_end; t++) {
            size_t end = pare_cut_row(cut, t + 1), m = end - row;
            pack_tile(kernels, out + (row - first) * kc + p * m, m,
                      A.data + row * A.row + (k + p) * A.column, A, n);
            row = end;
        }
    }
}

void pare_pack_panel(const struct pare_kernels *kernels, float *out, size_t nr,
                     struct pare_matrix B, size_t k, size_t kc, size_t column, size_t n)
{
    const float *from = B.data + k * B.row + column * B.column;
    if (n < nr)
        memset(out, 0, kc * nr * sizeof *out);
    if (B.column == 1) {
        kernels->pack_copy(out, nr, from, B.row * sizeof(float), n, kc);
    } else if (B.row == 1) {
        kernels->pack(out, nr, from, B.column * sizeof(float), n, kc);
    } else {
        for (size_t p = 0; p < kc; p++)
            for (size_t j = 0; j < n; j++)
                out[p * nr + j] = from[p * B.row + j * B.column];
    }
}

void pare_panel_product(const struct pare_kernels *kernels, const struct pare_cut *cut,
                        const struct pare_cut_task *task, const float *a, const float *b,
                        size_t kc, float *c, size_t ldc, size_t n, int accumulate,
                        const float *next)
{
    const size_t bytes = kc * cut->nr * sizeof *b;
    /* Each tile goes on where the one before stopped asking. */
    struct pare_ahead ahead =
        pare_ahead_part(next, bytes, 0, task->tile_end - task->tile, kc);
    size_t row = task->row;
    for (size_t t = task->tile; t < task->tile_end; t++) {
        size_t end = pare_cut_row(cut, t + 1), m = end - row;
        kernels->gemm_f32.run(kc, a, b, c, ldc, (int)m, (int)n, accumulate, ahead);
        ahead.next = (const char *)ahead.next + ahead.step * kc;
        if ((size_t)((const char *)ahead.next - (const char *)next) >= bytes)
            ahead.next = next;
        a += m * kc;
        c += m * ldc;
        row = end;
    }
}
