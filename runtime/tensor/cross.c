/* Moments of two sets of rows: see cross.h. */
#include "runtime/tensor/cross.h"

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm.h"

#define PASS 768  /* rows whose products are summed in float */
#define BLOCK 256 /* rows of C at a time */

enum pare_status pare_cross_init(struct pare_cross *cross, size_t K,
                                 struct pare_error *err)
{
    *cross = (struct pare_cross){.K = K};
    return pare_alloc(&cross->sum, K, K * sizeof *cross->sum, err);
}

void pare_cross_free(struct pare_cross *cross)
{
    pare_free(cross->sum);
    *cross = (struct pare_cross){0};
}

struct job {
    const float *products; /* [BLOCK, K] */
    double *sum;
    size_t K;
};

static void add_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t i = begin * job->K; i < end * job->K; i++)
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
    PARE_TRY_OUT(pare_arena_alloc(scratch, &products, BLOCK, K * sizeof *products, err));
    for (size_t row = 0; row < rows; row += PASS)
        for (size_t i = 0; i < K; i += BLOCK) {
            const size_t n = K - i < BLOCK ? K - i : BLOCK;
            struct job job = {products, cross->sum + i * K, K};
            PARE_TRY_OUT(pare_gemm(n, K, rows - row < PASS ? rows - row : PASS,
                                   pare_transposed(D + row * K + i, K),
                                   pare_rows(X + row * K, K), products, K, 0, scratch,
                                   err));
            pare_parallel_for(n, 16, add_rows, &job);
        }
out:
    pare_arena_release(scratch, mark);
    return status;
}
