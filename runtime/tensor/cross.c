/* Moments of two sets of rows: see cross.h. */
#include "runtime/tensor/cross.h"

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"

#define PASS 768 /* rows whose products are summed in float */
#define COLUMNS PARE_CROSS_COLUMNS

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum pare_status pare_cross_init(struct pare_cross *cross, size_t K,
                                 struct pare_error *err)
{
    return pare_cross_init_band(cross, K, 0, K, err);
}

enum pare_status pare_cross_init_band(struct pare_cross *cross, size_t K, size_t first,
                                      size_t end, struct pare_error *err)
{
    *cross = (struct pare_cross){.K = K, .first = first, .end = end};
    return pare_alloc(&cross->sum, end - first, K * sizeof *cross->sum, err);
}

void pare_cross_free(struct pare_cross *cross)
{
    pare_free(cross->sum);
    *cross = (struct pare_cross){0};
}

size_t pare_cross_band(size_t K, size_t n, size_t i)
{
    const size_t panels = (K + COLUMNS - 1) / COLUMNS;
    return smaller((panels * i / n) * COLUMNS, K);
}

static enum pare_status memory_panel(void *context, size_t first, size_t n,
                                     const double **panel, struct pare_error *err)
{
    const struct pare_cross *cross = context;
    (void)n;
    (void)err;
    *panel = cross->sum + (first - cross->first) * cross->K;
    return PARE_OK;
}

struct pare_cross_source pare_cross_in_memory(struct pare_cross *cross)
{
    return (struct pare_cross_source){cross->K, memory_panel, cross};
}

struct job {
    const float *products; /* [K, columns] */
    double *sum;
    size_t columns;
};

static void add_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t i = begin * job->columns; i < end * job->columns; i++)
        job->sum[i] += (double)job->products[i];
}

enum pare_status pare_cross_add(struct pare_cross *cross, const float *D, const float *X,
                                size_t rows, struct pare_arena *scratch,
                                struct pare_error *err)
{
    const size_t K = cross->K;
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    float *products;
    enum pare_status status;
    PARE_TRY_OUT(
        pare_arena_alloc(scratch, &products, K, COLUMNS * sizeof *products, err));
    for (size_t row = 0; row < rows; row += PASS)
        for (size_t j = cross->first; j < cross->end; j += COLUMNS) {
            const size_t n = smaller(COLUMNS, cross->end - j);
            struct job job = {products, cross->sum + (j - cross->first) * K, n};
            PARE_TRY_OUT(pare_gemm(
                K, n, smaller(PASS, rows - row), pare_transposed(D + row * K, K),
                pare_rows(X + row * K + j, K), products, n, 0, scratch, err));
            pare_parallel_for(K, 16, add_rows, &job);
        }
out:
    pare_arena_release(scratch, mark);
    return status;
}
