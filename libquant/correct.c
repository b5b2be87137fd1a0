/* Weights for inputs that went astray: see correct.h. */
#include "libquant/correct.h"

#include <math.h>
#include <string.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/cholesky.h"

#define COLUMNS PARE_CROSS_COLUMNS

struct job {
    const struct pare_factor *factor;
    const float *W, *change; /* change: in the factor's order */
    float *out;
    float strength;
    /* One panel of C. */
    const double *panel;
    float *scaled; /* [K, columns]: by 1 / scale */
    size_t columns;
};

static void scale_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t i = begin * job->columns; i < end * job->columns; i++)
        job->scaled[i] = (float)(job->panel[i] / job->factor->scale);
}

/* W C / scale, its columns in the order of the inputs. */
static enum pare_status multiply(struct job *job, const struct pare_cross_source *C,
                                 size_t N, float *out, struct pare_arena *scratch,
                                 struct pare_error *err)
{
    const size_t K = job->factor->K;
    PARE_TRY(
        pare_arena_alloc(scratch, &job->scaled, K, COLUMNS * sizeof *job->scaled, err));
    for (size_t j = 0; j < K; j += COLUMNS) {
        job->columns = K - j < COLUMNS ? K - j : COLUMNS;
        PARE_TRY(C->panel(C->context, j, job->columns, &job->panel, err));
        pare_parallel_for(K, 16, scale_rows, job);
        PARE_TRY(pare_gemm(N, job->columns, K, pare_rows(job->W, K),
                           pare_rows(job->scaled, job->columns), out + j, K, 0, scratch,
                           err));
    }
    return PARE_OK;
}

struct ordering {
    const uint32_t *order;
    const float *from;
    float *to;
    size_t K;
};

static void order_rows(void *context, size_t begin, size_t end)
{
    const struct ordering *o = context;
    for (size_t n = begin; n < end; n++)
        for (size_t j = 0; j < o->K; j++)
            o->to[n * o->K + j] = o->from[n * o->K + o->order[j]];
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
                                    const struct pare_cross_source *C, const float *W,
                                    size_t N, float strength, float *out,
                                    struct pare_arena *scratch, struct pare_error *err)
{
    const size_t K = factor->K;
    if (factor->fallback) {
        memcpy(out, W, N * K * sizeof *out);
        return PARE_OK;
    }
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct job job = {.factor = factor, .W = W, .out = out, .strength = strength};
    enum pare_status status;
    float *change;
    PARE_TRY_OUT(pare_arena_alloc(scratch, &change, N, K * sizeof *change, err));
    PARE_TRY_OUT(multiply(&job, C, N, out, scratch, err));
    struct ordering ordering = {factor->order, out, change, K};
    pare_parallel_for(N, 16, order_rows, &ordering);
    PARE_TRY_OUT(pare_triangle_solve(factor->H, K, K, 1, change, N, K, scratch, err));
    PARE_TRY_OUT(pare_triangle_solve(factor->H, K, K, 0, change, N, K, scratch, err));
    job.change = change;
    pare_parallel_for(N, 16, add_rows, &job);
out:
    pare_arena_release(scratch, mark);
    return status;
}
