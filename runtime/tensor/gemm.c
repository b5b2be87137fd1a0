#include "runtime/tensor/gemm.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/kernels/kernels.h"
#include "runtime/tensor/panels.h"

#define BLOCK_ROWS 224
/* B is packed piece by piece: so many floats at a time. */
#define PACKED_B_FLOATS ((size_t)2 * 1024 * 1024)

/* One product over a range of columns of B, in parallel. */
struct job {
    const struct pare_kernels *kernels;
    struct pare_cut cut;
    struct pare_matrix A, B;
    float *C;
    size_t ldc;
    int accumulate;
    float *a, *b;    /* packed: shared A, all of B */
    float *a_worker; /* block_rows * KC floats a worker */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void zero_rows(float *C, size_t ldc, size_t M, size_t N)
{
    for (size_t i = 0; i < M; i++)
        memset(C + i * ldc, 0, N * sizeof *C);
}

/* Tiles or panels that are packed together: rows of the source are walked along. */
#define PACK_TOGETHER 8
/* Words of a panel's columns that are packed before going on to the next panel. */
#define PACK_STEP 32

static void pack_panels(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct pare_cut *cut = &job->cut;
    size_t step = job->B.column == 1 ? PACK_STEP : cut->K;
    for (size_t k = 0; k < cut->K; k += step)
        for (size_t panel = begin; panel < end; panel++) {
            size_t column = panel * cut->nr;
            pare_pack_panel(job->kernels, job->b + column * cut->K + k * cut->nr, cut->nr,
                            job->B, k, smaller(step, cut->K - k), column,
                            smaller(cut->nr, cut->N - column));
        }
}

static void pack_shared_tiles(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct pare_cut *cut = &job->cut;
    size_t row = pare_cut_row(cut, begin);
    for (size_t k = 0; k < cut->K; k += PARE_KC) {
        size_t kc = smaller(PARE_KC, cut->K - k);
        pare_pack_tiles(job->kernels, job->a + cut->M * k + row * kc, cut, job->A, begin,
                        end, k, kc);
    }
}

static void run_task(const struct job *job, float *a_own, size_t number)
{
    const struct pare_cut *cut = &job->cut;
    struct pare_cut_task task = pare_cut_task(cut, number);
    float *c = job->C + task.row * job->ldc;
    for (size_t k = 0; k < cut->K; k += PARE_KC) {
        size_t kc = smaller(PARE_KC, cut->K - k);
        const float *a = job->a + cut->M * k + task.row * kc;
        if (!cut->share_a) {
            pare_pack_tiles(job->kernels, a_own, cut, job->A, task.tile, task.tile_end, k,
                            kc);
            a = a_own;
        }
        for (size_t panel = task.panel; panel < task.panel_end; panel++) {
            size_t column = panel * cut->nr;
            const float *b = job->b + column * cut->K + k * cut->nr;
            const float *next = panel + 1 < task.panel_end ? b + cut->nr * cut->K : b;
            pare_panel_product(job->kernels, cut, &task, a, b, kc, c + column, job->ldc,
                               smaller(cut->nr, cut->N - column), k || job->accumulate,
                               next);
        }
    }
}

static void run_tasks(void *context, int worker, size_t begin, size_t end)
{
    const struct job *job = context;
    float *a_own = job->a_worker; /* NULL when A is shared */
    if (a_own)
        a_own += (size_t)worker * job->cut.block_rows * PARE_KC;
    for (size_t number = begin; number < end; number++)
        run_task(job, a_own, number);
}

static enum pare_status allocate(struct job *job, size_t workers,
                                 struct pare_arena *scratch, struct pare_error *err)
{
    const struct pare_cut *cut = &job->cut;
    PARE_TRY(pare_arena_alloc(scratch, &job->b, cut->panels * cut->nr,
                              cut->K * sizeof(float), err));
    if (cut->share_a)
        return pare_arena_alloc(scratch, &job->a, cut->M, cut->K * sizeof(float), err);
    return pare_arena_alloc(scratch, &job->a_worker, workers * cut->block_rows,
                            PARE_KC * sizeof(float), err);
}

enum pare_status pare_gemm(size_t M, size_t N, size_t K, struct pare_matrix A,
                           struct pare_matrix B, float *C, size_t ldc, int accumulate,
                           struct pare_arena *scratch, struct pare_error *err)
{
    if (!M || !N)
        return PARE_OK;
    if (!K) {
        if (!accumulate)
            zero_rows(C, ldc, M, N);
        return PARE_OK;
    }
    const struct pare_kernels *kernels = pare_kernels();
    size_t nr = (size_t)kernels->gemm_f32.nr;
    size_t step = PACKED_B_FLOATS / K / nr * nr;
    if (step < nr)
        step = nr;
    enum pare_status status = PARE_OK;
    for (size_t column = 0; column < N && status == PARE_OK; column += step) {
        struct pare_arena_mark mark = pare_arena_mark(scratch);
        struct job job = {.kernels = kernels,
                          .A = A,
                          .B = B,
                          .C = C + column,
                          .ldc = ldc,
                          .accumulate = accumulate};
        job.B.data += column * B.column;
        job.cut = pare_cut_product(M, smaller(step, N - column), K,
                                   (size_t)kernels->gemm_f32.mr, nr, BLOCK_ROWS,
                                   smaller(K, PARE_KC) * nr * sizeof(float));
        status = allocate(&job, (size_t)pare_threads(), scratch, err);
        if (status == PARE_OK) {
            pare_parallel_for(job.cut.panels, PACK_TOGETHER, pack_panels, &job);
            if (job.cut.share_a)
                pare_parallel_for(job.cut.tiles, PACK_TOGETHER, pack_shared_tiles, &job);
            pare_parallel_for_worker(job.cut.blocks * job.cut.groups, 1, run_tasks, &job);
        }
        pare_arena_release(scratch, mark);
    }
    return status;
}

/* Rows a block of pare_gemm_one can have. */
static size_t one_rows(size_t M)
{
    return smaller(M, BLOCK_ROWS);
}

size_t pare_gemm_one_scratch(size_t M, size_t N, size_t K)
{
    (void)N; /* one panel at a time */
    size_t nr = (size_t)pare_kernels()->gemm_f32.nr;
    return (one_rows(M) + nr) * smaller(K, PARE_KC) + PARE_ALIGNMENT / sizeof(float);
}

void pare_gemm_one(const struct pare_gemm_task *task, float *scratch)
{
    const struct pare_kernels *kernels = pare_kernels();
    size_t nr = (size_t)kernels->gemm_f32.nr;
    if (!task->K && !task->accumulate)
        zero_rows(task->C, task->ldc, task->M, task->N);
    if (!task->M || !task->N || !task->K)
        return;
    struct pare_cut cut = pare_cut_product(
        task->M, task->N, task->K, (size_t)kernels->gemm_f32.mr, nr, BLOCK_ROWS, 0);
    cut.groups = 1;
    for (size_t block = 0; block < cut.blocks; block++) {
        struct pare_cut_task rows = pare_cut_task(&cut, block);
        float *c = task->C + rows.row * task->ldc;
        for (size_t k = 0; k < cut.K; k += PARE_KC) {
            size_t kc = smaller(PARE_KC, cut.K - k);
            /* The panel first: it keeps the alignment of `scratch`. */
            float *a = scratch + kc * nr;
            pare_pack_tiles(kernels, a, &cut, task->A, rows.tile, rows.tile_end, k, kc);
            for (size_t column = 0; column < cut.N; column += nr) {
                size_t n = smaller(nr, cut.N - column);
                pare_pack_panel(kernels, scratch, nr, task->B, k, kc, column, n);
                pare_panel_product(kernels, &cut, &rows, a, scratch, kc, c + column,
                                   task->ldc, n, k || task->accumulate, scratch);
            }
        }
    }
}
