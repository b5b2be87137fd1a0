/* Coordinate descent inside a unit: see improve.h. */
#include "libquant/improve.h"

#include <string.h>

#include "runtime/kernels/kernels.h"
#include "runtime/tensor/gemm.h"

#define ROWS PARE_SWEEP_ROWS

/* g = (x - q) M, column by column (M is symmetric). */
static void gradient(const struct pare_sweep_tile *tile, const float *M, const float *q,
                     const struct pare_improve_space *space)
{
    const size_t n = tile->columns;
    memcpy(space->e, tile->x, n * ROWS * sizeof *space->e);
    pare_kernels()->axpy(space->e, -1, q, n * ROWS);
    pare_gemm_one(&(struct pare_gemm_task){.M = n,
                                           .N = ROWS,
                                           .K = n,
                                           .A = pare_rows(M, n),
                                           .B = pare_rows(space->e, ROWS),
                                           .C = space->g,
                                           .ldc = ROWS},
                  space->gemm);
}

static int any(const float *d, size_t n)
{
    int found = 0;
    for (size_t i = 0; i < n; i++)
        found |= d[i] != 0;
    return found;
}

static void improve_column(const struct pare_sweep_filling *filling, int worker,
                           const struct pare_sweep_tile *tile, const float *M, size_t k,
                           float *q, uint8_t *codes, float *loss, float *g)
{
    const struct pare_kernels *kernels = pare_kernels();
    const size_t n = tile->columns, rows = tile->rows;
    const float *row = M + k * n;
    const struct pare_sweep_tile target = {.row = tile->row,
                                           .rows = rows,
                                           .column = tile->column,
                                           .columns = n,
                                           .x = g,
                                           .cost = tile->cost};
    float *x = g + k * ROWS, before[ROWS];
    memcpy(before, q + k * ROWS, sizeof before);
    kernels->scale(x, 1 / row[k], rows);
    kernels->add(x, before, rows);
    filling->decide(filling->context, worker, &target, k, q + k * ROWS,
                    codes ? codes + k * ROWS : NULL);
    kernels->deviate(NULL, loss, x, before, -row[k], rows);
    kernels->deviate(NULL, loss, x, q + k * ROWS, row[k], rows);
    kernels->scale(before, -1, rows);
    kernels->add(before, q + k * ROWS, rows);
    if (any(before, rows))
        kernels->rank_one(x + ROWS, ROWS, row + k + 1, before, n - k - 1, rows);
}

void pare_sweep_improve(const struct pare_sweep_filling *filling, int worker,
                        const struct pare_sweep_tile *tile, const float *M, float *q,
                        uint8_t *codes, float *loss,
                        const struct pare_improve_space *space)
{
    for (int pass = 0; pass < filling->passes; pass++) {
        gradient(tile, M, q, space);
        for (size_t k = 0; k < tile->columns; k++)
            improve_column(filling, worker, tile, M, k, q, codes, loss, space->g);
    }
}
