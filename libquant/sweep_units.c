#include "libquant/sweep_units.h"

#include <string.h>

#include "runtime/tensor/cholesky.h"

#define UNIT 128  /* columns of a unit, about */
#define WHOLE 256 /* the most columns of a group that is not cut into units */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t end_of(const struct pare_sweep_filling *filling, size_t column)
{
    const size_t group = filling->group, block = filling->block;
    if (block)
        return (column / block + 1) * block;
    if (group > UNIT && group <= WHOLE)
        return column + group;
    if (!group || group > UNIT) {
        const size_t end = column + UNIT;
        return group ? smaller(end, (column / group + 1) * group) : end;
    }
    return column + UNIT / group * group;
}

size_t pare_sweep_units_most(const struct pare_sweep_filling *filling, size_t K)
{
    size_t most = 0;
    for (size_t k = 0, end; k < K; k = end) {
        end = smaller(end_of(filling, k), K);
        most = end - k > most ? end - k : most;
    }
    return most;
}

enum pare_status pare_sweep_units_cut(struct pare_sweep_units *units,
                                      const struct pare_sweep_filling *filling, size_t K,
                                      struct pare_arena *arena, struct pare_error *err)
{
    *units = (struct pare_sweep_units){.most = pare_sweep_units_most(filling, K)};
    for (size_t k = 0; k < K; k = end_of(filling, k))
        units->count++;
    PARE_TRY(
        pare_arena_alloc(arena, &units->unit, units->count, sizeof *units->unit, err));
    struct pare_sweep_unit *unit = units->unit;
    for (size_t k = 0; k < K; k += unit++->columns) {
        *unit = (struct pare_sweep_unit){.column = k,
                                         .columns = smaller(end_of(filling, k), K) - k};
        const size_t floats = unit->columns * unit->columns;
        PARE_TRY(pare_arena_alloc(arena, &unit->inverse, floats, sizeof(float), err));
        PARE_TRY(pare_arena_alloc(arena, &unit->T, floats, sizeof(float), err));
        if (filling->passes)
            PARE_TRY(pare_arena_alloc(arena, &unit->M, floats, sizeof(float), err));
    }
    return PARE_OK;
}

size_t pare_sweep_unit_scratch(size_t most)
{
    const size_t product = pare_gemm_one_scratch(most, most, most);
    const size_t inverse = pare_triangle_scratch(most);
    return product > inverse ? product : inverse;
}

/* M = R_aa R_aa^T, by way of T: below the diagonal R has something else. */
static void square(const struct pare_sweep_unit *unit, const float *R, size_t K,
                   float *scratch)
{
    const size_t n = unit->columns;
    memset(unit->T, 0, n * n * sizeof *unit->T);
    for (size_t i = 0; i < n; i++)
        memcpy(unit->T + i * (n + 1), R + i * (K + 1), (n - i) * sizeof *unit->T);
    pare_gemm_one(&(struct pare_gemm_task){.M = n,
                                           .N = n,
                                           .K = n,
                                           .A = pare_rows(unit->T, n),
                                           .B = pare_transposed(unit->T, n),
                                           .C = unit->M,
                                           .ldc = n},
                  scratch);
}

void pare_sweep_unit_invert(const struct pare_sweep_unit *unit, const float *R, size_t K,
                            float *scratch)
{
    const size_t n = unit->columns;
    const float *corner = R + unit->column * (K + 1);
    if (unit->M)
        square(unit, corner, K, scratch);
    pare_triangle_inverse(corner, n, K, unit->inverse, n, scratch);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            unit->T[i * n + j] = unit->inverse[i * n + j] * corner[i * K + i];
}
