/* Packed panels and the product of a block of them: what gemm.c and linear.c share.
 *
 * The rows of A are cut into tiles of nearly equal height (at most mr), the columns of B
 * into panels of nr. A packed tile is [kc][m], a packed panel [K][nr] with zeros behind
 * the last column. K is walked in passes of at most PARE_KC, ascending, each pass
 * starting from the sums of the one before: the order of additions is that of a plain
 * loop.
 */
#ifndef PARE_TENSOR_PANELS_H
#define PARE_TENSOR_PANELS_H

#include <stddef.h>

#include "runtime/kernels/kernels.h"
#include "runtime/tensor/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* At least as large as the tile of every tier. */
#define PARE_TILE_FLOATS 512
/* The same of columns of a panel. */
#define PARE_PANEL_COLUMNS 64

#define PARE_KC 768 /* k of one pass; a multiple of every block format's length */

/* How C is cut into tasks: row blocks times groups of panels. */
struct pare_cut {
    size_t M, N, K;
    size_t nr;
    size_t tiles, panels;  /* of the whole product */
    size_t blocks, groups; /* how many */
    size_t block_rows;     /* most rows a block can have */
    size_t group_columns;  /* most columns a group can have, padded to whole panels */
    int share_a;           /* A is packed once, before; else by each task for itself */
};

/* block_rows: wanted rows of a block; panel_bytes: of a panel in one pass. */
struct pare_cut pare_cut_product(size_t M, size_t N, size_t K, size_t mr, size_t nr,
                                 size_t block_rows, size_t panel_bytes);

/* First row of tile t; tile t has pare_cut_row(t + 1) - pare_cut_row(t) rows. */
static inline size_t pare_cut_row(const struct pare_cut *cut, size_t t)
{
    return cut->tiles ? cut->M * t / cut->tiles : 0;
}

/* A task: row block and panel group number `task` of blocks * groups. */
struct pare_cut_task {
    size_t tile, tile_end, panel, panel_end;
    size_t row, rows, column, columns;
};
struct pare_cut_task pare_cut_task(const struct pare_cut *cut, size_t task);

/* Tiles [tile, tile_end) of A, columns k .. k + kc: tile t goes to
 * out + (row(t) - row(tile)) * kc. */
void pare_pack_tiles(const struct pare_kernels *kernels, float *out,
                     const struct pare_cut *cut, struct pare_matrix A, size_t tile,
                     size_t tile_end, size_t k, size_t kc);

/* Rows k .. k + kc of B, columns column .. column + n (n <= nr), as [kc][nr]. */
void pare_pack_panel(const struct pare_kernels *kernels, float *out, size_t nr,
                     struct pare_matrix B, size_t k, size_t kc, size_t column, size_t n);

/* The part of `bytes` bytes at `next` that tile number `tile` of `tiles` asks for ahead,
 * in `steps` steps. */
static inline struct pare_ahead pare_ahead_part(const void *next, size_t bytes,
                                                size_t tile, size_t tiles, size_t steps)
{
    if (!bytes || !steps)
        return (struct pare_ahead){next, 0};
    size_t step = (bytes / tiles + steps - 1) / steps;
    return (struct pare_ahead){(const char *)next + tile * steps * step % bytes, step};
}

/* One pass of one panel over the tiles of a task. a: the packed tiles, b: [kc][nr],
 * c: where the task's first row and this panel's first column lie; next: the panel that
 * is needed after this one, or b. */
void pare_panel_product(const struct pare_kernels *kernels, const struct pare_cut *cut,
                        const struct pare_cut_task *task, const float *a, const float *b,
                        size_t kc, float *c, size_t ldc, size_t n, int accumulate,
                        const float *next);

#ifdef __cplusplus
}
#endif
#endif
