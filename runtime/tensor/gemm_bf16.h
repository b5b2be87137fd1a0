/* The product of gemm_bf16.c with an epilogue: what it and linear_bf16.c share. */
#ifndef PARE_TENSOR_GEMM_BF16_H
#define PARE_TENSOR_GEMM_BF16_H

#include "runtime/kernels/kernels.h"
#include "runtime/tensor/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_bf16_product {
    const struct pare_kernels *kernels;
    size_t M, N, K;
    struct pare_matrix A, B;
    const void *packed; /* B, by pare_bf16_pack_rows; NULL: it is packed on the way */
    float *C;           /* used without `finish` */
    size_t ldc;
    int accumulate;
    /* Takes n finished sums of row `row`, columns from `column` on, which it may change;
     * with it nothing is written to C. */
    void (*finish)(const void *context, float *sums, size_t row, size_t column, size_t n);
    const void *context;
};

/* Bytes of a packed B[K, N]. */
size_t pare_bf16_packed_bytes(const struct pare_kernels *kernels, size_t N, size_t K);

/* Packs columns first .. first + n of B[K, N], given as rows X[n, K], to their place;
 * first is a multiple of the kernel's nr, and n is nr or all that are left. */
void pare_bf16_pack_rows(const struct pare_kernels *kernels, size_t N, size_t K,
                         size_t first, size_t n, const float *X, void *packed);

enum pare_status pare_bf16_multiply(const struct pare_bf16_product *product,
                                    struct pare_arena *scratch,
                                    struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
