/* Matrix products over the kernels: packing, cache blocking and threads.
 *
 * C = op(A) op(B) with one accumulator an output, k ascending: the bits depend neither on
 * the tier nor on blocking nor on the number of threads.
 */
#ifndef PARE_TENSOR_GEMM_H
#define PARE_TENSOR_GEMM_H

#include <stddef.h>

#include "runtime/base/arena.h"
#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A float matrix by strides: element (i, j) at data[i * row + j * column]. */
struct pare_matrix {
    const float *data;
    size_t row, column;
};

static inline struct pare_matrix pare_rows(const float *data, size_t row_stride)
{
    return (struct pare_matrix){data, row_stride, 1};
}

static inline struct pare_matrix pare_transposed(const float *data, size_t row_stride)
{
    return (struct pare_matrix){data, 1, row_stride};
}

/* C[M, N] (row stride ldc) = A[M, K] B[K, N] when accumulate is 0, C + A B when it is 1,
 * C - A B when it is -1. In parallel over tiles of C. Scratch for packing comes from
 * `scratch`, released at return. */
enum pare_status pare_gemm(size_t M, size_t N, size_t K, struct pare_matrix A,
                           struct pare_matrix B, float *C, size_t ldc, int accumulate,
                           struct pare_arena *scratch,
                           struct pare_error *err) PARE_CHECKED;

/* The same for C[N, N] and A[N, K] A^T, of which only the elements on and above the
 * diagonal are computed and written. */
enum pare_status pare_syrk(size_t N, size_t K, struct pare_matrix A, float *C, size_t ldc,
                           int accumulate, struct pare_arena *scratch,
                           struct pare_error *err) PARE_CHECKED;

/* pare_gemm with A and B rounded to bfloat16, sums in float: the order of additions is
 * that of struct pare_gemm_bf16 in kernels.h, over passes of 768 k, whose sums are added
 * to C one after the other. The bits depend on nothing either. */
enum pare_status pare_gemm_bf16(size_t M, size_t N, size_t K, struct pare_matrix A,
                                struct pare_matrix B, float *C, size_t ldc,
                                int accumulate, struct pare_arena *scratch,
                                struct pare_error *err) PARE_CHECKED;

/* What products of linear layers are made of; sums, everything else, and in training the
 * weights that are updated stay in float. */
enum pare_precision {
    PARE_PRECISION_FP32,
    PARE_PRECISION_BF16, /* pare_gemm_bf16: fast where the CPU has AMX, else emulated */
};

/* One product on the calling thread, for callers that are parallel themselves
 * (attention's backward runs one sequence and head a task). `scratch` holds
 * pare_gemm_one_scratch floats, aligned to PARE_ALIGNMENT. */
struct pare_gemm_task {
    size_t M, N, K;
    struct pare_matrix A, B;
    float *C;
    size_t ldc;
    int accumulate;
};
size_t pare_gemm_one_scratch(size_t M, size_t N, size_t K);
void pare_gemm_one(const struct pare_gemm_task *task, float *scratch);

#ifdef __cplusplus
}
#endif
#endif
