/* Matrix products of operands in bfloat16 over the kernels: packing, blocking, threads.
 *
 * Both operands are packed once, before; then tasks run over blocks of C. K is walked in
 * passes of PASS, each with a sum of its own (kernels.h) that is added to C.
 */
#include "runtime/tensor/gemm_bf16.h"

#include <string.h>

#include "runtime/base/parallel.h"

#define PASS 768
#define BLOCK_ROWS 256
#define BLOCK_COLUMNS 256
/* A and B are packed piece by piece: so many elements at a time. */
#define PACKED_ELEMENTS ((size_t)8 * 1024 * 1024)

struct job {
    const struct pare_bf16_product *product;
    const struct pare_gemm_bf16 *gemm;
    size_t row, rows, column, columns; /* the part of C */
    size_t blocks;                     /* of rows */
    size_t width;                      /* columns of a block */
    size_t depth;                      /* K in whole groups */
    unsigned char *a;
    const unsigned char *b;
    float *sums; /* BLOCK_ROWS x BLOCK_COLUMNS a worker, with an epilogue */
};

static size_t smaller(size_t x, size_t y)
{
    return x < y ? x : y;
}

static size_t divided_up(size_t n, size_t by)
{
    return n / by + (n % by != 0);
}

static size_t whole(size_t n, size_t of)
{
    return divided_up(n, of) * of;
}

static size_t depth_of(size_t K)
{
    return whole(K, PARE_BF16_GROUP);
}

/* Where pass k of the rows from `first` on lies, packed among `rows` rows in all: pass by
 * pass, in each tile by tile. */
static size_t offset_of(const struct pare_gemm_bf16 *gemm, size_t depth, size_t rows,
                        size_t first, size_t k)
{
    const size_t kc = smaller(PASS, depth - k);
    return (rows * k + first * kc) * gemm->element;
}

size_t pare_bf16_packed_bytes(const struct pare_kernels *kernels, size_t N, size_t K)
{
    const struct pare_gemm_bf16 *gemm = &kernels->gemm_bf16;
    return whole(N, (size_t)gemm->nr) * depth_of(K) * gemm->element;
}

void pare_bf16_pack_rows(const struct pare_kernels *kernels, size_t N, size_t K,
                         size_t first, size_t n, const float *X, void *packed)
{
    const struct pare_gemm_bf16 *gemm = &kernels->gemm_bf16;
    const size_t all = whole(N, (size_t)gemm->nr);
    for (size_t k = 0; k < K; k += PASS)
        gemm->pack_b((unsigned char *)packed +
                         offset_of(gemm, depth_of(K), all, first, k),
                     X + k, K, 1, n, smaller(PASS, K - k));
}

struct packing {
    const struct job *job;
    unsigned char *out;
    struct pare_matrix from; /* element (i, k) at data[i * row + k * column] */
    size_t rows, side;
    void (*pack)(void *out, const float *x, size_t row, size_t column, size_t rows,
                 size_t kc);
};

static void pack_task(void *context, size_t begin, size_t end)
{
    const struct packing *p = context;
    const size_t K = p->job->product->K, all = whole(p->rows, p->side);
    for (size_t k = 0; k < K; k += PASS)
        for (size_t tile = begin; tile < end; tile++) {
            const size_t first = tile * p->side;
            p->pack(p->out + offset_of(p->job->gemm, p->job->depth, all, first, k),
                    p->from.data + first * p->from.row + k * p->from.column, p->from.row,
                    p->from.column, smaller(p->side, p->rows - first),
                    smaller(PASS, K - k));
        }
}

static void pack(const struct packing *packing)
{
    pare_parallel_for(divided_up(packing->rows, packing->side), 4, pack_task,
                      (void *)packing);
}

/* One block of C: `c` is its corner. */
static void multiply_block(const struct job *job, float *c, size_t ldc, size_t row,
                           size_t rows, size_t column, size_t columns, int accumulate)
{
    const struct pare_gemm_bf16 *gemm = job->gemm;
    const size_t K = job->product->K, nr = (size_t)gemm->nr;
    const size_t all_rows = whole(job->rows, (size_t)gemm->mr);
    const size_t all_columns = whole(job->columns, nr);
    for (size_t k = 0; k < K; k += PASS)
        for (size_t j = 0; j < columns; j += nr)
            gemm->run(smaller(PASS, K - k),
                      job->a + offset_of(gemm, job->depth, all_rows, row, k),
                      job->b + offset_of(gemm, job->depth, all_columns, column + j, k),
                      c + j, ldc, rows, smaller(nr, columns - j), k || accumulate);
}

static void run_tasks(void *context, int worker, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct pare_bf16_product *p = job->product;
    float *sums = job->sums + (size_t)worker * BLOCK_ROWS * BLOCK_COLUMNS;
    for (size_t task = begin; task < end; task++) {
        const size_t row = task % job->blocks * BLOCK_ROWS;
        const size_t column = task / job->blocks * job->width;
        const size_t rows = smaller(BLOCK_ROWS, job->rows - row);
        const size_t columns = smaller(job->width, job->columns - column);
        if (!p->finish) {
            multiply_block(job, p->C + (job->row + row) * p->ldc + job->column + column,
                           p->ldc, row, rows, column, columns, p->accumulate);
            continue;
        }
        multiply_block(job, sums, BLOCK_COLUMNS, row, rows, column, columns, 0);
        for (size_t i = 0; i < rows; i++)
            p->finish(p->context, sums + i * BLOCK_COLUMNS, job->row + row + i,
                      job->column + column, columns);
    }
}

/* Blocks narrow enough that there are some for every thread. */
static size_t width_of(const struct job *job)
{
    const size_t enough = pare_threads() > 1 ? 4 * (size_t)pare_threads() : 1;
    size_t width = BLOCK_COLUMNS;
    while (job->blocks * divided_up(job->columns, width) < enough &&
           width / 2 % (size_t)job->gemm->nr == 0)
        width /= 2;
    return width;
}

/* Rows of A against the columns of B that are packed. */
static enum pare_status multiply_rows(struct job *job, struct pare_arena *scratch,
                                      struct pare_error *err)
{
    const struct pare_bf16_product *p = job->product;
    const size_t mr = (size_t)job->gemm->mr;
    size_t step = PACKED_ELEMENTS / job->depth / BLOCK_ROWS * BLOCK_ROWS;
    if (step < BLOCK_ROWS)
        step = BLOCK_ROWS;
    step = smaller(step, p->M);
    PARE_TRY(pare_arena_alloc(scratch, &job->a, whole(step, mr) * job->depth,
                              job->gemm->element, err));
    for (job->row = 0; job->row < p->M; job->row += step) {
        job->rows = smaller(step, p->M - job->row);
        job->blocks = divided_up(job->rows, BLOCK_ROWS);
        job->width = width_of(job);
        struct pare_matrix A = p->A;
        A.data += job->row * A.row;
        pack(&(struct packing){job, job->a, A, job->rows, mr, job->gemm->pack_a});
        pare_parallel_for_worker(job->blocks * divided_up(job->columns, job->width), 1,
                                 run_tasks, job);
    }
    return PARE_OK;
}

/* B is packed as many columns at a time as fit. */
static enum pare_status multiply_columns(struct job *job, struct pare_arena *scratch,
                                         struct pare_error *err)
{
    const struct pare_bf16_product *p = job->product;
    const size_t nr = (size_t)job->gemm->nr;
    unsigned char *b;
    size_t step = PACKED_ELEMENTS / job->depth / BLOCK_COLUMNS * BLOCK_COLUMNS;
    if (step < BLOCK_COLUMNS)
        step = BLOCK_COLUMNS;
    step = smaller(step, p->N);
    PARE_TRY(pare_arena_alloc(scratch, &b, whole(step, nr) * job->depth,
                              job->gemm->element, err));
    job->b = b;
    for (job->column = 0; job->column < p->N; job->column += step) {
        job->columns = smaller(step, p->N - job->column);
        const struct pare_matrix B = {p->B.data + job->column * p->B.column, p->B.column,
                                      p->B.row}; /* transposed */
        pack(&(struct packing){job, b, B, job->columns, nr, job->gemm->pack_b});
        struct pare_arena_mark mark = pare_arena_mark(scratch);
        PARE_TRY(multiply_rows(job, scratch, err));
        pare_arena_release(scratch, mark);
    }
    return PARE_OK;
}

static enum pare_status multiply(const struct pare_bf16_product *p,
                                 struct pare_arena *scratch, struct pare_error *err)
{
    struct job job = {.product = p,
                      .gemm = &p->kernels->gemm_bf16,
                      .depth = depth_of(p->K),
                      .columns = p->N,
                      .b = p->packed};
    if (p->finish)
        PARE_TRY(pare_arena_alloc(scratch, &job.sums,
                                  (size_t)pare_threads() * BLOCK_ROWS * BLOCK_COLUMNS,
                                  sizeof *job.sums, err));
    return p->packed ? multiply_rows(&job, scratch, err)
                     : multiply_columns(&job, scratch, err);
}

enum pare_status pare_bf16_multiply(const struct pare_bf16_product *product,
                                    struct pare_arena *scratch, struct pare_error *err)
{
    if (!product->M || !product->N)
        return PARE_OK;
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    enum pare_status status = multiply(product, scratch, err);
    pare_arena_release(scratch, mark);
    return status;
}

enum pare_status pare_gemm_bf16(size_t M, size_t N, size_t K, struct pare_matrix A,
                                struct pare_matrix B, float *C, size_t ldc,
                                int accumulate, struct pare_arena *scratch,
                                struct pare_error *err)
{
    if (!K) {
        for (size_t i = 0; i < M && !accumulate; i++)
            memset(C + i * ldc, 0, N * sizeof *C);
        return PARE_OK;
    }
    const struct pare_bf16_product product = {.kernels = pare_kernels(),
                                              .M = M,
                                              .N = N,
                                              .K = K,
                                              .A = A,
                                              .B = B,
                                              .C = C,
                                              .ldc = ldc,
                                              .accumulate = accumulate};
    return pare_bf16_multiply(&product, scratch, err);
}
