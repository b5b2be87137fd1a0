/* Weights for inputs that went astray: see correct.h. */
#include "libquant/correct.h"

#include <math.h>
#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/cholesky.h"

struct job {
    const struct pare_factor *factor;
    const struct pare_cross *C;
    const float *W, *change; /* change: in the factor's order */
    float *cross, *out;
    float strength;
};

/* Rows of C / scale, their columns in the factor's order. */
static void order_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const size_t K = job->factor->K;
    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < K; j++)
            job->cross[i * K + j] =
                (float)(job->C->sum[i * K + job->factor->order[j]] / job->factor->scale);
}

static void add_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const size_t K = job->factor->K;
    for (size_t n = begin; n < end; n++)
        for (size_t j = 0; j < K; j++) {
            const size_t k = n * K + job->factor->order[j];
            job->out[k] = fmaf(job->strength, job->change[n * K + j], job->W[k]);
        }
}

enum pare_status pare_quant_correct(const struct pare_factor *factor,
                                    const struct pare_cross *C, const float *W, size_t N,
                                    float strength, float *out,
                                    struct pare_arena *scratch, struct pare_error *err)
{
    const size_t K = factor->K;
    if (factor->fallback) {
        memcpy(out, W, N * K * sizeof *out);
        return PARE_OK;
    }
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct job job = {.factor = factor, .C = C, .W = W, .out = out, .strength = strength};
    enum pare_status status;
    float *change;
    PARE_TRY_OUT(pare_arena_alloc(scratch, &job.cross, K, K * sizeof *job.cross, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &change, N, K * sizeof *change, err));
    pare_parallel_for(K, 16, order_rows, &job);
    PARE_TRY_OUT(pare_gemm(N, K, K, pare_rows(W, K), pare_rows(job.cross, K), change, K,
                           0, scratch, err));
    PARE_TRY_OUT(pare_triangle_solve(factor->H, K, K, 1, change, N, K, scratch, err));
    PARE_TRY_OUT(pare_triangle_solve(factor->H, K, K, 0, change, N, K, scratch, err));
    job.change = change;
    pare_parallel_for(N, 16, add_rows, &job);
out:
    pare_arena_release(scratch, mark);
    return status;
}
