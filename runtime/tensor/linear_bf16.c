/* The product of a live linear layer with operands rounded to bfloat16. */
#include "runtime/tensor/gemm_bf16.h"
#include "runtime/tensor/linear_run.h"

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
            .finish = finish,
            .context = &part,
        };
        PARE_TRY(pare_bf16_multiply(&product, scratch, err));
    }
    return PARE_OK;
}
