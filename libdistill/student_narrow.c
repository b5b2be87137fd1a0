/* Choosing what to keep: see student_narrow.h. */
#include "libdistill/student_narrow.h"

#include <math.h>
#include <string.h>

#include "runtime/base/rng.h"
#include "runtime/tensor/gemm.h"

/* Stream of the seed: see params.c. */
#define SUBSPACE_STREAM (((uint64_t)3 << 60) + 4096)
#define ITERATIONS 24

enum pare_status pare_pick_largest(const double *score, size_t count, size_t n,
                                   uint32_t *picked, struct pare_arena *scratch,
                                   struct pare_error *err)
{
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    uint8_t *taken;
    PARE_TRY(pare_arena_alloc(scratch, &taken, count, 1, err));
    memset(taken, 0, count);
    for (size_t i = 0; i < n; i++) {
        size_t best = count;
        for (size_t k = 0; k < count; k++)
            if (!taken[k] && (best == count || score[k] > score[best]))
                best = k;
        taken[best] = 1;
    }
    for (size_t k = 0, i = 0; k < count; k++)
        if (taken[k])
            picked[i++] = (uint32_t)k;
    pare_arena_release(scratch, mark);
    return PARE_OK;
}

static double dot(const double *x, const double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* Modified Gram-Schmidt over the n rows of Q. A row that the others span becomes the next
 * unit vector that they do not. */
static void orthonormalise(double *Q, size_t n, size_t C)
{
    size_t unit = 0;
    for (size_t i = 0; i < n; i++) {
        double *row = Q + i * C;
        const double before = dot(row, row, C);
        for (size_t j = 0; j < i; j++) {
            const double along = dot(row, Q + j * C, C);
            for (size_t c = 0; c < C; c++)
                row[c] -= along * Q[j * C + c];
        }
        const double after = dot(row, row, C);
        if (!(after > 1e-20 * before) || !(before > 0)) {
            memset(row, 0, C * sizeof *row);
            row[unit++] = 1;
            i--; /* unsigned wrap is undone by the loop's increment */
            continue;
        }
        const double scale = 1 / sqrt(after);
        for (size_t c = 0; c < C; c++)
            row[c] *= scale;
    }
}

static void copy_to_float(float *to, const double *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}

enum pare_status pare_leading_subspace(const float *E, size_t V, size_t C, size_t n,
                                       uint64_t seed, float *P,
                                       struct pare_arena *scratch, struct pare_error *err)
{
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct pare_arena packing = {0};
    float *S, *next;
    double *Q;
    enum pare_status status;
    PARE_TRY_OUT(pare_arena_alloc(scratch, &S, C * C, sizeof *S, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &next, n * C, sizeof *next, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &Q, n * C, sizeof *Q, err));
    PARE_TRY_OUT(pare_gemm(C, C, V, pare_transposed(E, C), pare_rows(E, C), S, C, 0,
                           &packing, err));
    struct pare_rng rng = {.seed = seed, .stream = SUBSPACE_STREAM};
    for (size_t i = 0; i < n * C; i++)
        Q[i] = (double)pare_rng_normal(&rng);
    orthonormalise(Q, n, C);
    for (int iteration = 0; iteration < ITERATIONS; iteration++) {
        copy_to_float(P, Q, n * C);
        PARE_TRY_OUT(pare_gemm(n, C, C, pare_rows(P, C), pare_rows(S, C), next, C, 0,
                               &packing, err));
        for (size_t i = 0; i < n * C; i++)
            Q[i] = (double)next[i];
        orthonormalise(Q, n, C);
    }
    copy_to_float(P, Q, n * C);
    status = PARE_OK;
out:
    pare_arena_free(&packing);
    pare_arena_release(scratch, mark);
    return status;
}
