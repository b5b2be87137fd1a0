/* Second moments: see gram.h. */
#include "runtime/tensor/gram.h"

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/panels.h"

#define PASS PARE_KC /* rows whose products are summed in float */
#define BLOCK_ROWS 224
#define GROUP_COLUMNS 256
/* Tiles or panels that are packed together. */
#define PACK_TOGETHER 8

/* One pass. Both operands are X: its columns as rows of A and as columns of B. */
struct job {
    const struct pare_kernels *kernels;
    struct pare_cut cut;
    const float *X; /* [cut.K, gram->K] */
    size_t stride;
    float *a, *b; /* packed */
    float *tiles; /* block_rows * group_columns a worker */
    struct pare_gram *gram;
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Elements of the triangle of a K x K matrix; the caller's product was checked. */
static size_t triangle(size_t K)
{
    return K % 2 ? (K + 1) / 2 * K : K / 2 * (K + 1);
}

size_t pare_gram_bytes(size_t K)
{
    return triangle(K) * sizeof(double);
}

size_t pare_gram_band(size_t K, size_t n, size_t i)
{
    size_t row = 0;
    while (row < K && pare_gram_at(K, row) < triangle(K) / n * i)
        row++;
    return i < n ? row : K;
}

enum pare_status pare_gram_init(struct pare_gram *gram, size_t K, struct pare_error *err)
{
    return pare_gram_init_band(gram, K, 0, K, err);
}

enum pare_status pare_gram_init_band(struct pare_gram *gram, size_t K, size_t first,
                                     size_t end, struct pare_error *err)
{
    *gram = (struct pare_gram){.K = K, .first = first, .end = end};
    if (K > UINT32_MAX)
        return pare_fail(err, PARE_ERR_MEMORY,
                         "%zu inputs are too many for a matrix of "
                         "second moments",
                         K);
    return pare_alloc(&gram->sum, pare_gram_elements(gram), sizeof *gram->sum, err);
}

void pare_gram_free(struct pare_gram *gram)
{
    pare_free(gram->sum);
    *gram = (struct pare_gram){0};
}

static void pack_panels(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const size_t nr = job->cut.nr, K = job->cut.K;
    for (size_t panel = begin; panel < end; panel++)
        pare_pack_panel(job->kernels, job->b + panel * nr * K, nr,
                        pare_rows(job->X, job->stride), 0, K, panel * nr,
                        smaller(nr, job->cut.N - panel * nr));
}

static void pack_tiles(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    pare_pack_tiles(job->kernels, job->a + pare_cut_row(&job->cut, begin) * job->cut.K,
                    &job->cut, pare_transposed(job->X, job->stride), begin, end, 0,
                    job->cut.K);
}

static void add_tile(const struct job *job, const struct pare_cut_task *task,
                     const float *tile)
{
    const struct pare_gram *gram = job->gram;
    const size_t end = smaller(task->row + task->rows, gram->end);
    const size_t base = pare_gram_at(gram->K, gram->first);
    for (size_t row = larger(task->row, gram->first); row < end; row++) {
        const float *from = tile + (row - task->row) * task->columns;
        const size_t first = row > task->column ? row - task->column : 0;
        double *sum = gram->sum + pare_gram_at(gram->K, row) - base;
        for (size_t j = first; j < task->columns; j++)
            sum[task->column + j - row] += (double)from[j];
    }
}

static void run_tasks(void *context, int worker, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct pare_cut *cut = &job->cut;
    float *tile = job->tiles + (size_t)worker * cut->block_rows * cut->group_columns;
    for (size_t number = begin; number < end; number++) {
        const struct pare_cut_task task = pare_cut_task(cut, number);
        if (task.row >= task.column + task.columns || task.row >= job->gram->end ||
            task.row + task.rows <= job->gram->first)
            continue; /* below the diagonal, or of another band */
        for (size_t panel = task.panel; panel < task.panel_end; panel++) {
            const size_t column = panel * cut->nr;
            const float *b = job->b + column * cut->K;
            if (column + cut->nr > task.row)
                pare_panel_product(job->kernels, cut, &task, job->a + task.row * cut->K,
                                   b, cut->K, tile + (column - task.column), task.columns,
                                   smaller(cut->nr, cut->N - column), 0,
                                   panel + 1 < task.panel_end ? b + cut->nr * cut->K : b);
        }
        add_tile(job, &task, tile);
    }
}

static void cut_pass(struct job *job, size_t rows)
{
    const struct pare_gemm_f32 *gemm = &job->kernels->gemm_f32;
    struct pare_cut *cut = &job->cut;
    *cut = pare_cut_product(job->gram->K, job->gram->K, rows, (size_t)gemm->mr,
                            (size_t)gemm->nr, BLOCK_ROWS, 0);
    const size_t together = GROUP_COLUMNS / cut->nr;
    cut->groups = (cut->panels + together - 1) / together;
    cut->group_columns = (cut->panels + cut->groups - 1) / cut->groups * cut->nr;
}

size_t pare_gram_worker_bytes(size_t K)
{
    struct pare_gram gram = {.K = K};
    struct job job = {.kernels = pare_kernels(), .gram = &gram};
    if (!K)
        return 0;
    cut_pass(&job, PASS);
    return job.cut.block_rows * job.cut.group_columns * sizeof *job.tiles;
}

enum pare_status pare_gram_add(struct pare_gram *gram, const float *X, size_t rows,
                               size_t stride, struct pare_arena *scratch,
                               struct pare_error *err)
{
    if (!gram->K || !rows)
        return PARE_OK;
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct job job = {.kernels = pare_kernels(), .stride = stride, .gram = gram};
    enum pare_status status;
    const size_t most = smaller(rows, PASS);
    cut_pass(&job, most);
    PARE_TRY_OUT(pare_arena_alloc(scratch, &job.a, job.cut.M, most * sizeof *job.a, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &job.b, job.cut.panels * job.cut.nr,
                                  most * sizeof *job.b, err));
    PARE_TRY_OUT(pare_arena_alloc(scratch, &job.tiles,
                                  (size_t)pare_threads() * job.cut.block_rows,
                                  job.cut.group_columns * sizeof *job.tiles, err));
    for (size_t row = 0; row < rows; row += PASS) {
        job.X = X + row * stride;
        cut_pass(&job, smaller(PASS, rows - row));
        pare_parallel_for(job.cut.panels, PACK_TOGETHER, pack_panels, &job);
        pare_parallel_for(job.cut.tiles, PACK_TOGETHER, pack_tiles, &job);
        pare_parallel_for_worker(job.cut.blocks * job.cut.groups, 1, run_tasks, &job);
    }
    gram->rows += rows;
out:
    pare_arena_release(scratch, mark);
    return status;
}
