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
    int accumulate;  /* see pare_gemm */
    int upper;       /* only what is on and above the diagonal is computed */
    size_t first;    /* column of the whole product that column 0 of the cut is */
    float *a, *b;    /* packed: shared A, all of B, with its sign changed to subtract */
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
            size_t column = panel * cut->nr, kc = smaller(step, cut->K - k);
            float *b = job->b + column * cut->K + k * cut->nr;
            pare_pack_panel(job->kernels, b, cut->nr, job->B, k, kc, column,
                            smaller(cut->nr, cut->N - column));
            if (job->accumulate < 0)
                job->kernels->scale(b, -1, kc * cut->nr);
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

/* The tile's elements on and above the diagonal; what is below must stay as it is. */
static void diagonal_tile(const struct job *job, const float *a, const float *b,
                          size_t kc, float *c, size_t row, size_t m, size_t column,
                          size_t n, int accumulate)
{
    float tile[PARE_TILE_FLOATS];
    for (size_t i = 0; i < m; i++)
        memcpy(tile + i * n, c + i * job->ldc, n * sizeof *c);
    job->kernels->gemm_f32.run(kc, a, b, tile, n, (int)m, (int)n, accumulate,
                               (struct pare_ahead){b, 0});
    for (size_t i = 0; i < m; i++) {
        const size_t from = row + i > column ? row + i - column : 0;
        if (from < n)
            memcpy(c + i * job->ldc + from, tile + i * n + from, (n - from) * sizeof *c);
    }
}

/* pare_panel_product for a panel that the diagonal may cross, tile by tile. `column` is
 * that of the whole product. */
static void diagonal_panel(const struct job *job, const struct pare_cut_task *task,
                           const float *a, const float *b, size_t kc, float *c,
                           size_t column, size_t n, int accumulate)
{
    size_t row = task->row;
    for (size_t t = task->tile; t < task->tile_end && row < column + n; t++) {
        const size_t end = pare_cut_row(&job->cut, t + 1), m = end - row;
        if (end <= column + 1)
            job->kernels->gemm_f32.run(kc, a, b, c, job->ldc, (int)m, (int)n, accumulate,
                                       (struct pare_ahead){b, 0});
        else
            diagonal_tile(job, a, b, kc, c, row, m, column, n, accumulate);
        a += m * kc;
        c += m * job->ldc;
        row = end;
    }
}

static void run_panel(const struct job *job, const struct pare_cut_task *task,
                      size_t panel, const float *a, size_t k, size_t kc)
{
    const struct pare_cut *cut = &job->cut;
    const size_t column = panel * cut->nr, n = smaller(cut->nr, cut->N - column);
    const float *b = job->b + column * cut->K + k * cut->nr;
    const float *next = panel + 1 < task->panel_end ? b + cut->nr * cut->K : b;
    float *c = job->C + task->row * job->ldc + column;
    const int accumulate = k || job->accumulate;
    if (job->upper && task->row + task->rows > job->first + column + 1)
        diagonal_panel(job, task, a, b, kc, c, job->first + column, n, accumulate);
    else
        pare_panel_product(job->kernels, cut, task, a, b, kc, c, job->ldc, n, accumulate,
                           next);
}

static void run_task(const struct job *job, float *a_own, size_t number)
{
    const struct pare_cut *cut = &job->cut;
    const struct pare_cut_task task = pare_cut_task(cut, number);
    if (job->upper && task.row >= job->first + task.column + task.columns)
        return;
    for (size_t k = 0; k < cut->K; k += PARE_KC) {
        size_t kc = smaller(PARE_KC, cut->K - k);
        const float *a = job->a + cut->M * k + task.row * kc;
        if (!cut->share_a) {
            pare_pack_tiles(job->kernels, a_own, cut, job->A, task.tile, task.tile_end, k,
                            kc);
            a = a_own;
        }
        for (size_t panel = task.panel; panel < task.panel_end; panel++)
            run_panel(job, &task, panel, a, k, kc);
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

/* Runs the job over columns [0, N), as many at a time as B may be packed. `upper`: M is
 * N, and each piece needs the rows above its end only. */
static enum pare_status run(struct job *job, size_t M, size_t N, size_t K,
                            struct pare_arena *scratch, struct pare_error *err)
{
    job->kernels = pare_kernels();
    const struct pare_gemm_f32 *gemm = &job->kernels->gemm_f32;
    const size_t mr = (size_t)gemm->mr, nr = (size_t)gemm->nr;
    const size_t fit = PACKED_B_FLOATS / K / nr * nr, step = fit ? fit : nr;
    const struct pare_matrix B = job->B;
    float *C = job->C;
    enum pare_status status = PARE_OK;
    for (size_t column = 0; column < N && status == PARE_OK; column += step) {
        struct pare_arena_mark mark = pare_arena_mark(scratch);
        const size_t n = smaller(step, N - column), m = job->upper ? column + n : M;
        job->first = column;
        job->C = C + column;
        job->B.data = B.data + column * B.column;
        job->cut = pare_cut_product(m, n, K, mr, nr, BLOCK_ROWS,
                                    smaller(K, PARE_KC) * nr * sizeof(float));
        status = allocate(job, (size_t)pare_threads(), scratch, err);
        if (status == PARE_OK) {
            pare_parallel_for(job->cut.panels, PACK_TOGETHER, pack_panels, job);
            if (job->cut.share_a)
                pare_parallel_for(job->cut.tiles, PACK_TOGETHER, pack_shared_tiles, job);
            pare_parallel_for_worker(job->cut.blocks * job->cut.groups, 1, run_tasks,
                                     job);
        }
        pare_arena_release(scratch, mark);
    }
    return status;
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
    struct job job = {.A = A, .B = B, .C = C, .ldc = ldc, .accumulate = accumulate};
    return run(&job, M, N, K, scratch, err);
}

enum pare_status pare_syrk(size_t N, size_t K, struct pare_matrix A, float *C, size_t ldc,
                           int accumulate, struct pare_arena *scratch,
                           struct pare_error *err)
{
    if (!N || (!K && accumulate))
        return PARE_OK;
    if (!K) {
        for (size_t i = 0; i < N; i++)
            zero_rows(C + i * ldc + i, ldc, 1, N - i);
        return PARE_OK;
    }
    struct job job = {.A = A,
                      .B = {A.data, A.column, A.row},
                      .C = C,
                      .ldc = ldc,
                      .accumulate = accumulate,
                      .upper = 1};
    return run(&job, N, N, K, scratch, err);
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
