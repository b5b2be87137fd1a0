/* Triangular factors: see cholesky.h. Golub and Van Loan, Matrix Computations, 4.2. */
#include "runtime/tensor/cholesky.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LEAF PARE_TRIANGLE

/* Rows of the upper left part when n > LEAF rows are cut in two: about half, whole
 * leaves.
 */
static size_t half_of(size_t n)
{
    return (n / 2 + LEAF - 1) / LEAF * LEAF;
}

/* --- Inverse --- */

/* Row i of X = R^-1: X_ii = 1 / R_ii, X_ij = -X_ii sum over k of R_ik X_kj, i < k <= j.
 */
static void invert_leaf(const float *R, size_t n, size_t ldr, float *out, size_t ldo)
{
    double X[LEAF][LEAF];
    for (size_t i = n; i-- > 0;) {
        const double inverse = 1 / (double)R[i * ldr + i];
        memset(X[i], 0, sizeof X[i]);
        for (size_t k = i + 1; k < n; k++) {
            const double r = (double)R[i * ldr + k] * -inverse;
            for (size_t j = k; j < n; j++)
                X[i][j] += r * X[k][j];
        }
        X[i][i] = inverse;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            out[i * ldo + j] = (float)X[i][j];
}

size_t pare_triangle_scratch(size_t n)
{
    return n * n + pare_gemm_one_scratch(n, n, n);
}

/* (R11 R12; 0 R22)^-1 = (X1, -X1 R12 X2; 0, X2) */
void pare_triangle_inverse(const float *R, size_t n, size_t ldr, float *out, size_t ldo,
                           float *scratch)
{
    if (n <= LEAF) {
        invert_leaf(R, n, ldr, out, ldo);
        return;
    }
    const size_t n1 = half_of(n), n2 = n - n1;
    float *corner = out + n1, *last = out + n1 * ldo + n1;
    float *product = scratch + pare_gemm_one_scratch(n, n, n);
    pare_triangle_inverse(R, n1, ldr, out, ldo, scratch);
    pare_triangle_inverse(R + n1 * ldr + n1, n2, ldr, last, ldo, scratch);
    pare_gemm_one(&(struct pare_gemm_task){.M = n1,
                                           .N = n2,
                                           .K = n2,
                                           .A = pare_rows(R + n1, ldr),
                                           .B = pare_rows(last, ldo),
                                           .C = product,
                                           .ldc = n2},
                  scratch);
    for (size_t i = 0; i < n1 * n2; i++)
        product[i] = -product[i];
    pare_gemm_one(&(struct pare_gemm_task){.M = n1,
                                           .N = n2,
                                           .K = n1,
                                           .A = pare_rows(out, ldo),
                                           .B = pare_rows(product, n2),
                                           .C = corner,
                                           .ldc = ldo},
                  scratch);
    for (size_t i = n1; i < n; i++)
        memset(out + i * ldo, 0, n1 * sizeof *out);
}

/* --- Solve --- */

struct solving {
    int transposed;
    size_t m, ldb, ldr;
    struct pare_arena *scratch;
    struct pare_error *err;
};

/* B <- B X or B X^T, X = R^-1 */
static enum pare_status solve_leaf(const struct solving *s, const float *R, size_t n,
                                   float *B)
{
    float X[LEAF * LEAF], *copy;
    invert_leaf(R, n, s->ldr, X, n);
    PARE_TRY(pare_arena_alloc(s->scratch, &copy, s->m, n * sizeof *copy, s->err));
    for (size_t i = 0; i < s->m; i++)
        memcpy(copy + i * n, B + i * s->ldb, n * sizeof *copy);
    return pare_gemm(s->m, n, n, pare_rows(copy, n),
                     s->transposed ? pare_transposed(X, n) : pare_rows(X, n), B, s->ldb,
                     0, s->scratch, s->err);
}

/* With B = (B1 B2) and R = (R11 R12; 0 R22):
 *   Y R = B:    Y1 R11 = B1,  Y2 R22 = B2 - Y1 R12
 *   Y R^T = B:  Y2 R22^T = B2,  Y1 R11^T = B1 - Y2 R12^T */
static enum pare_status solve(const struct solving *s, const float *R, size_t n, float *B)
{
    if (n <= LEAF) {
        struct pare_arena_mark mark = pare_arena_mark(s->scratch);
        enum pare_status status = solve_leaf(s, R, n, B);
        pare_arena_release(s->scratch, mark);
        return status;
    }
    const size_t n1 = half_of(n), n2 = n - n1;
    const float *R12 = R + n1, *R22 = R12 + n1 * s->ldr;
    float *B2 = B + n1;
    if (s->transposed) {
        PARE_TRY(solve(s, R22, n2, B2));
        PARE_TRY(pare_gemm(s->m, n1, n2, pare_rows(B2, s->ldb),
                           pare_transposed(R12, s->ldr), B, s->ldb, -1, s->scratch,
                           s->err));
        return solve(s, R, n1, B);
    }
    PARE_TRY(solve(s, R, n1, B));
    PARE_TRY(pare_gemm(s->m, n2, n1, pare_rows(B, s->ldb), pare_rows(R12, s->ldr), B2,
                       s->ldb, -1, s->scratch, s->err));
    return solve(s, R22, n2, B2);
}

enum pare_status pare_triangle_solve(const float *R, size_t n, size_t ldr, int transposed,
                                     float *B, size_t m, size_t ldb,
                                     struct pare_arena *scratch, struct pare_error *err)
{
    const struct solving s = {transposed, m, ldb, ldr, scratch, err};
    return n && m ? solve(&s, R, n, B) : PARE_OK;
}

/* --- Factor --- */

struct factoring {
    float *A;
    size_t lda;
    const float *diagonal; /* of the whole A as it was */
    double least;          /* pivot, as a part of its diagonal element */
    size_t failed;         /* SIZE_MAX while all is well */
    struct pare_arena *scratch;
    struct pare_error *err;
};

/* Rows and columns first .. first + n: from the last column on, a column is divided by
 * the root of its pivot, and its products are taken from the columns before it. */
static void factor_leaf(struct factoring *f, size_t first, size_t n)
{
    double a[LEAF][LEAF], column[LEAF];
    float *A = f->A + first * f->lda + first;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++)
            a[i][j] = (double)A[i * f->lda + j];
    for (size_t k = n; k-- > 0;) {
        const double pivot = a[k][k];
        if (!(pivot > f->least * (double)f->diagonal[first + k]) || !isfinite(pivot)) {
            f->failed = first + k;
            return;
        }
        a[k][k] = sqrt(pivot);
        for (size_t i = 0; i < k; i++)
            column[i] = a[i][k] /= a[k][k];
        for (size_t i = 0; i < k; i++)
            for (size_t j = i; j < k; j++)
                a[i][j] -= column[i] * column[j];
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++)
            A[i * f->lda + j] = (float)a[i][j];
}

/* A22 = R22 R22^T, R12 = A12 R22^-T, A11 - R12 R12^T = R11 R11^T */
static enum pare_status factor(struct factoring *f, size_t first, size_t n)
{
    if (n <= LEAF) {
        factor_leaf(f, first, n);
        return PARE_OK;
    }
    const size_t n1 = half_of(n), n2 = n - n1;
    float *A11 = f->A + first * f->lda + first, *A12 = A11 + n1;
    PARE_TRY(factor(f, first + n1, n2));
    if (f->failed != SIZE_MAX)
        return PARE_OK;
    PARE_TRY(pare_triangle_solve(A12 + n1 * f->lda, n2, f->lda, 1, A12, n1, f->lda,
                                 f->scratch, f->err));
    PARE_TRY(
        pare_syrk(n1, n2, pare_rows(A12, f->lda), A11, f->lda, -1, f->scratch, f->err));
    return factor(f, first, n1);
}

enum pare_status pare_cholesky(float *A, size_t n, size_t lda, size_t *failed,
                               struct pare_arena *scratch, struct pare_error *err)
{
    struct pare_arena_mark mark = pare_arena_mark(scratch);
    struct factoring f = {
        .A = A, .lda = lda, .failed = SIZE_MAX, .scratch = scratch, .err = err};
    float *diagonal;
    enum pare_status status;
    PARE_TRY_OUT(pare_arena_alloc(scratch, &diagonal, n, sizeof *diagonal, err));
    for (size_t i = 0; i < n; i++)
        diagonal[i] = A[i * lda + i];
    f.diagonal = diagonal;
    f.least = sqrt((double)n) * 0x1p-23;
    if (n)
        PARE_TRY_OUT(factor(&f, 0, n));
    *failed = f.failed == SIZE_MAX ? n : f.failed;
out:
    pare_arena_release(scratch, mark);
    return status;
}
