/* Triangular factors, inverses and solutions, against plain sums in double. */
#include <criterion/criterion.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/cholesky.h"
#include "tests/support/kernel_cases.h"

static float *numbers(size_t n, uint64_t seed)
{
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = case_float(&seed, CASE_PLAIN);
    return p;
}

/* X^T X / rows + ridge on the diagonal, of random X: positive definite. The strict lower
 * triangle is filled with marks. */
#define MARK -77.0f
static float *definite(size_t n, size_t rows, float ridge, uint64_t seed)
{
    float *X = numbers(n * rows, seed), *A = malloc(n * n * sizeof *A);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = i == j ? (double)ridge : 0;
            for (size_t t = 0; j >= i && t < rows; t++)
                sum += (double)X[t * n + i] * (double)X[t * n + j] / (double)rows;
            A[i * n + j] = j < i ? MARK : (float)sum;
        }
    free(X);
    return A;
}

static float *copy_of(const float *from, size_t n)
{
    float *copy = malloc(n * sizeof *copy);
    memcpy(copy, from, n * sizeof *copy);
    return copy;
}

static size_t factor(float *A, size_t n)
{
    struct pare_arena arena = {0};
    size_t failed;
    cr_assert_eq(pare_cholesky(A, n, n, &failed, &arena, NULL), PARE_OK);
    pare_arena_free(&arena);
    return failed;
}

static const size_t sizes[] = {1, 2, 7, 63, 64, 65, 128, 130, 200, 321};
#define SIZES (sizeof sizes / sizeof sizes[0])

Test(cholesky, the_factor_times_its_transpose_is_the_matrix)
{
    for (size_t s = 0; s < SIZES; s++) {
        const size_t n = sizes[s];
        float *A = definite(n, 2 * n, 0.1f, n), *R = copy_of(A, n * n);
        cr_assert_eq(factor(R, n), n);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                double sum = 0;
                for (size_t k = j; k < n; k++)
                    sum += (double)R[i * n + k] * (double)R[j * n + k];
                if (j < i)
                    cr_assert_eq(R[i * n + j], MARK);
                else
                    cr_assert_float_eq(sum, A[i * n + j], 1e-5, "%zu: (%zu, %zu)", n, i,
                                       j);
            }
        free(A);
        free(R);
    }
}

Test(cholesky, triangular_systems_are_solved)
{
    const size_t m = 9;
    for (size_t s = 0; s < SIZES; s++)
        for (int transposed = 0; transposed < 2; transposed++) {
            const size_t n = sizes[s];
            float *R = definite(n, 2 * n, 0.3f, 3 * n), *B = numbers(m * n, n);
            float *Y = copy_of(B, m * n);
            struct pare_arena arena = {0};
            cr_assert_eq(factor(R, n), n);
            cr_assert_eq(pare_triangle_solve(R, n, n, transposed, Y, m, n, &arena, NULL),
                         PARE_OK);
            for (size_t i = 0; i < m; i++)
                for (size_t j = 0; j < n; j++) {
                    double sum = 0;
                    for (size_t k = 0; k < n; k++) {
                        size_t row = transposed ? j : k, column = transposed ? k : j;
                        if (row <= column)
                            sum += (double)Y[i * n + k] * (double)R[row * n + column];
                    }
                    cr_assert_float_eq(sum, B[i * n + j], 2e-4, "%zu: (%zu, %zu)", n, i,
                                       j);
                }
            pare_arena_free(&arena);
            free(R);
            free(B);
            free(Y);
        }
}

Test(cholesky, a_triangle_times_its_inverse_is_the_identity)
{
    for (size_t s = 0; s < SIZES; s++) {
        const size_t n = sizes[s], ldo = n + 3;
        float *R = definite(n, 2 * n, 0.3f, 5 * n), *X = numbers(n * ldo, 1);
        struct guarded scratch = guarded_new((pare_triangle_scratch(n) + 15) / 16 * 64);
        cr_assert_eq(factor(R, n), n);
        pare_triangle_inverse(R, n, n, X, ldo, scratch.data);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                double sum = 0;
                for (size_t k = i; k < n; k++)
                    sum += (double)R[i * n + k] * (double)X[k * ldo + j];
                cr_assert_float_eq(sum, i == j, 1e-4, "%zu: (%zu, %zu)", n, i, j);
                cr_assert(i <= j || X[i * ldo + j] == 0);
            }
        guarded_free(scratch);
        free(R);
        free(X);
    }
}

Test(cholesky, the_column_that_breaks_definiteness_is_named)
{
    static const size_t columns[] = {0, 5, 63, 64, 130, 199};
    const size_t n = 200;
    float *A = definite(n, 2 * n, 0.1f, 11);
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++)
        for (int kind = 0; kind < 4; kind++) {
            static const float bad[] = {0, -1, NAN, INFINITY};
            const size_t k = columns[c];
            float *R = copy_of(A, n * n);
            R[k * n + k] = bad[kind];
            cr_expect_eq(factor(R, n), k, "kind %d, column %zu", kind, k);
            free(R);
        }
    free(A);
}

Test(cholesky, a_matrix_of_lower_rank_is_not_taken_for_a_definite_one)
{
    const size_t n = 150;
    for (size_t rows = 1; rows < n; rows += 37) { /* rank `rows` */
        float *A = definite(n, rows, 0, rows);
        cr_expect_lt(factor(A, n), n, "rank %zu", rows);
        free(A);
    }
    float *zeros = calloc(n * n, sizeof *zeros);
    cr_expect_eq(factor(zeros, n), n - 1);
    free(zeros);
    cr_expect_eq(factor(NULL, 0), 0);
}

Test(cholesky, the_bits_depend_neither_on_threads_nor_on_the_tier)
{
    static const int threads[] = {1, 2, 7};
    const size_t n = 321;
    float *A = definite(n, 2 * n, 0.1f, 2), *first = NULL;
    for (int t = 0; pare_cpu_tier(t); t++)
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(pare_cpu_select(pare_cpu_tier(t), NULL), PARE_OK);
            pare_set_threads(threads[i]);
            float *R = copy_of(A, n * n);
            cr_assert_eq(factor(R, n), n);
            if (first)
                cr_expect(!memcmp(R, first, n * n * sizeof *R), "%s, %d threads",
                          pare_cpu_tier(t), threads[i]);
            else
                first = copy_of(R, n * n);
            free(R);
        }
    free(A);
    free(first);
}
