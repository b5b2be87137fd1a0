/* Triangular factors of symmetric matrices, over the float matrix products.
 *
 *     A = R R^T, R upper triangular with a positive diagonal
 *
 * which is the Cholesky factorisation begun at the last row and column. It is the form in
 * which U = R^-1 is upper triangular too, and A^-1 = U^T U: the "Cholesky factor of the
 * inverse" of GPTQ without an inverse of A.
 *
 * Blocks are halved down to PARE_TRIANGLE, where arithmetic is in double; everything else
 * is a matrix product. The order of additions depends on n alone.
 */
#ifndef PARE_TENSOR_CHOLESKY_H
#define PARE_TENSOR_CHOLESKY_H

#include "runtime/tensor/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_TRIANGLE 64

/* Overwrites the diagonal and the upper triangle of A[n, n] (row stride lda) with R; what
 * is below the diagonal is not read and not written. *failed is n, or the column whose
 * pivot is no more than rounding (below sqrt(n) 2^-23 of its diagonal element) or not a
 * number: then A is not positive definite as far as float can tell, and its triangle is
 * garbage.
 * In parallel. PARE_ERR_MEMORY is the only error. */
enum pare_status pare_cholesky(float *A, size_t n, size_t lda, size_t *failed,
                               struct pare_arena *scratch,
                               struct pare_error *err) PARE_CHECKED;

/* out[n, n] (row stride ldo) = R^-1, zeros below the diagonal. On the calling thread;
 * `scratch` holds pare_triangle_scratch(n) floats, aligned to PARE_ALIGNMENT. */
size_t pare_triangle_scratch(size_t n);
void pare_triangle_inverse(const float *R, size_t n, size_t ldr, float *out, size_t ldo,
                           float *scratch);

/* B[m, n] (row stride ldb) becomes B R^-1, or B R^-T when transposed. In parallel. */
enum pare_status pare_triangle_solve(const float *R, size_t n, size_t ldr, int transposed,
                                     float *B, size_t m, size_t ldb,
                                     struct pare_arena *scratch,
                                     struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
