/* The product of a linear layer with operands rounded to bfloat16. */
#include "runtime/base/parallel.h"
#include "runtime/tensor/gemm_bf16.h"
#include "runtime/tensor/linear_run.h"

/* --- Packing --- */

struct packing {
    const struct pare_kernels *kernels;
    struct pare_linear_part *part;
    float *rows; /* [nr, K] a worker */
};

static void pack_tiles(void *context, int worker, size_t begin, size_t end)
{
    const struct packing *p = context;
    const struct pare_weight *weight = &p->part->weight;
    const size_t nr = (size_t)p->kernels->gemm_bf16.nr, N = weight->N, K = weight->K;
    float *rows = p->rows + (size_t)worker * nr * K;
    for (size_t tile = begin; tile < end; tile++) {
        const size_t first = tile * nr, n = N - first < nr ? N - first : nr;
        for (size_t i = 0; i < n; i++)
            pare_weight_row(weight, first + i, rows + i * K);
        pare_bf16_pack_rows(p->kernels, N, K, first, n, rows, p->part->packed);
    }
}

enum pare_status pare_linear_pack_bf16(struct pare_linear *linear,
                                       struct pare_linear_part *part,
                                       struct pare_arena *arena, struct pare_error *err)
{
    const struct pare_weight *weight = &part->weight;
    const size_t nr = (size_t)linear->kernels->gemm_bf16.nr;
    const size_t bytes = pare_bf16_packed_bytes(linear->kernels, weight->N, weight->K);
    struct packing packing = {.kernels = linear->kernels, .part = part};
    PARE_TRY(pare_arena_alloc(arena, &part->packed, bytes, 1, err));
    struct pare_arena scratch = {0};
    const enum pare_status status =
        pare_arena_alloc(&scratch, &packing.rows, (size_t)pare_threads() * nr,
                         weight->K * sizeof(float), err);
    if (status == PARE_OK)
        pare_parallel_for_worker((weight->N + nr - 1) / nr, 1, pack_tiles, &packing);
    pare_arena_free(&scratch);
    linear->packed_bytes += bytes;
    return status;
}

/* --- Running --- */

struct part_of_run {
    const struct pare_linear_run *run;
    int part;
};

static void finish(const void *context, float *sums, size_t row, size_t column, size_t n)
{
    const struct part_of_run *p = context;
    pare_linear_finish_row(p->run, p->part, sums, row, column, n);
}

enum pare_status pare_linear_run_bf16(struct pare_linear_run *run,
                                      struct pare_arena *scratch, struct pare_error *err)
{
    const size_t K = run->linear->K;
    for (int i = 0; i < run->n_parts; i++) {
        const struct pare_weight *weight = &run->parts[i]->weight;
        const struct part_of_run part = {run, i};
        const struct pare_bf16_product product = {
            .kernels = run->kernels,
            .M = run->M,
            .N = weight->N,
            .K = K,
            .A = pare_rows(run->X, K),
            .B = pare_transposed(weight->data, K),
            .packed = run->parts[i]->packed,
            .finish = finish,
            .context = &part,
        };
        PARE_TRY(pare_bf16_multiply(&product, scratch, err));
    }
    return PARE_OK;
}
