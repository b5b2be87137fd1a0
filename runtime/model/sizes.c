/* What matrices take: see sizes.h. */
#include "runtime/model/sizes.h"

#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/parallel.h"

#define TILE 65536 /* weights of a parallel task, about */

double pare_size_bits(const struct pare_size *size)
{
    return size->weights ? 8.0 * (double)size->bytes / (double)size->weights : 0;
}

double pare_size_sparsity(const struct pare_size *size)
{
    return size->weights ? (double)size->zeros / (double)size->weights : 0;
}

struct count {
    const struct pare_weight *weight;
    float *rows;     /* [threads, K] */
    uint64_t *zeros; /* [threads] */
};

static void count_rows(void *context, int worker, size_t begin, size_t end)
{
    const struct count *count = context;
    const size_t K = count->weight->K;
    float *row = count->rows + (size_t)worker * K;
    uint64_t zeros = 0;
    for (size_t n = begin; n < end; n++) {
        pare_weight_row(count->weight, n, row);
        for (size_t k = 0; k < K; k++)
            zeros += row[k] == 0;
    }
    count->zeros[worker] += zeros;
}

static enum pare_status count_zeros(const struct pare_weight *weight, uint64_t *zeros,
                                    struct pare_error *err)
{
    struct count count = {.weight = weight};
    const size_t threads = (size_t)pare_threads(), K = weight->K;
    enum pare_status status;
    *zeros = 0;
    PARE_TRY_OUT(pare_alloc(&count.rows, threads * K, sizeof *count.rows, err));
    PARE_TRY_OUT(pare_alloc(&count.zeros, threads, sizeof *count.zeros, err));
    pare_parallel_for_worker(weight->N, K < TILE ? TILE / K : 1, count_rows, &count);
    for (size_t t = 0; t < threads; t++)
        *zeros += count.zeros[t];
out:
    pare_free(count.rows);
    pare_free(count.zeros);
    return status;
}

static void release(const struct pare_stored *stored, size_t i)
{
    const struct pare_tensor *parts[PARE_STORED_PARTS];
    const size_t n = pare_stored_parts(stored, i, parts);
    for (size_t p = 0; p < n; p++)
        pare_ckpt_release(stored->ckpt, parts[p]->data, parts[p]->bytes);
}

enum pare_status pare_stored_sizes(const struct pare_stored *stored,
                                   struct pare_size *sizes, struct pare_error *err)
{
    const struct pare_plan *plan = &stored->plan;
    for (size_t i = 0; i < plan->count; i++) {
        sizes[i] = (struct pare_size){0};
        if (!pare_slot_is_matrix(&plan->slots[i]))
            continue;
        const struct pare_weight weight = pare_stored_weight(stored, i);
        PARE_TRY(pare_check_interrupted(err));
        sizes[i].weights = pare_slot_elements(&plan->slots[i]);
        sizes[i].bytes = pare_weight_bytes(&weight);
        PARE_TRY(count_zeros(&weight, &sizes[i].zeros, err));
        release(stored, i);
    }
    return PARE_OK;
}

struct pare_size pare_sizes_of_blocks(const struct pare_plan *plan,
                                      const struct pare_size *sizes)
{
    struct pare_size sum = {0};
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->slots[i].role != PARE_ROLE_LINEAR)
            continue;
        sum.weights += sizes[i].weights;
        sum.bytes += sizes[i].bytes;
        sum.zeros += sizes[i].zeros;
    }
    return sum;
}
