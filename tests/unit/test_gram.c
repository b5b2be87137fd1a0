/* Second moments against plain sums in double. */
#include <criterion/criterion.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/gram.h"
#include "tests/support/kernel_cases.h"

static float *numbers(size_t n, uint64_t seed)
{
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = case_float(&seed, CASE_PLAIN);
    return p;
}

static struct pare_gram moments(const float *X, size_t rows, size_t K, size_t stride,
                                size_t batch)
{
    struct pare_arena arena = {0};
    struct pare_gram gram;
    cr_assert_eq(pare_gram_init(&gram, K, NULL), PARE_OK);
    for (size_t t = 0; t < rows; t += batch)
        cr_assert_eq(pare_gram_add(&gram, X + t * stride,
                                   rows - t < batch ? rows - t : batch, stride, &arena,
                                   NULL),
                     PARE_OK);
    cr_assert_eq(gram.rows, rows);
    pare_arena_free(&arena);
    return gram;
}

Test(gram, sums_are_those_of_a_plain_loop)
{
    static const size_t shapes[][2] = {{1, 1},    {3, 5},     {40, 33},
                                       {900, 70}, {100, 500}, {1600, 257}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t rows = shapes[s][0], K = shapes[s][1], stride = K + s % 3;
        float *X = numbers(rows * stride, s);
        struct pare_gram gram = moments(X, rows, K, stride, 1000);
        for (size_t i = 0; i < K; i++)
            for (size_t j = i; j < K; j++) {
                double sum = 0, size = 0;
                for (size_t t = 0; t < rows; t++) {
                    double x = (double)X[t * stride + i] * (double)X[t * stride + j];
                    sum += x;
                    size += fabs(x);
                }
                cr_assert_float_eq(gram.sum[pare_gram_at(K, i) + j - i], sum, 4e-6 * size,
                                   "%zu rows of %zu: (%zu, %zu)", rows, K, i, j);
            }
        pare_gram_free(&gram);
        free(X);
    }
}

/* Values of few bits: every sum is exact, so batches do not matter either. */
Test(gram, exact_sums_are_exact_whatever_the_batches_threads_and_tiers)
{
    const size_t rows = 1700, K = 130;
    float *X = numbers(rows * K, 4);
    for (size_t i = 0; i < rows * K; i++)
        X[i] = rintf(X[i]);
    struct pare_gram whole = moments(X, rows, K, K, rows);
    for (int t = 0; pare_cpu_tier(t); t++) {
        cr_assert_eq(pare_cpu_select(pare_cpu_tier(t), NULL), PARE_OK);
        pare_set_threads(1 + 3 * t);
        struct pare_gram parts = moments(X, rows, K, K, 100 + (size_t)t);
        cr_expect(!memcmp(whole.sum, parts.sum, pare_gram_bytes(K)));
        pare_gram_free(&parts);
    }
    pare_gram_free(&whole);
    free(X);
}

Test(gram, the_bits_depend_neither_on_threads_nor_on_the_tier)
{
    const size_t rows = 800, K = 300;
    float *X = numbers(rows * K, 9);
    struct pare_gram first = moments(X, rows, K, K, 500);
    for (int t = 0; pare_cpu_tier(t); t++) {
        cr_assert_eq(pare_cpu_select(pare_cpu_tier(t), NULL), PARE_OK);
        pare_set_threads(7 - 2 * t);
        struct pare_gram again = moments(X, rows, K, K, 500);
        cr_expect(!memcmp(first.sum, again.sum, pare_gram_bytes(K)));
        pare_gram_free(&again);
    }
    pare_gram_free(&first);
    free(X);
}

Test(gram, many_batches_lose_nothing_to_rounding)
{
    float X[4] = {1.1f, 0.3f, 0.7f, 1.3f};
    struct pare_arena arena = {0};
    struct pare_gram gram;
    cr_assert_eq(pare_gram_init(&gram, 4, NULL), PARE_OK);
    for (int i = 0; i < 200000; i++)
        cr_assert_eq(pare_gram_add(&gram, X, 1, 4, &arena, NULL), PARE_OK);
    for (size_t i = 0; i < 4; i++) {
        double right = 200000.0 * (double)(X[i] * X[i]);
        cr_expect_float_eq(pare_gram_diagonal(&gram, i), right, 1e-9 * right);
    }
    pare_gram_free(&gram);
    pare_arena_free(&arena);
}

/* Bands of rows have the bits of the whole, wherever they are cut. */
Test(gram, bands_are_the_rows_of_the_whole)
{
    const size_t rows = 800, K = 530;
    struct pare_arena arena = {0};
    float *X = numbers(rows * K, 9);
    struct pare_gram whole = moments(X, rows, K, K, rows);
    for (size_t n = 1; n <= 7; n++)
        for (size_t i = 0; i < n; i++) {
            struct pare_gram band;
            const size_t first = pare_gram_band(K, n, i);
            const size_t end = pare_gram_band(K, n, i + 1);
            cr_assert_eq(pare_gram_init_band(&band, K, first, end, NULL), PARE_OK);
            cr_assert_eq(pare_gram_add(&band, X, rows, K, &arena, NULL), PARE_OK);
            cr_assert_arr_eq(band.sum, whole.sum + pare_gram_at(K, first),
                             pare_gram_elements(&band) * sizeof(double), "%zu of %zu", i,
                             n);
            cr_assert_leq(pare_gram_elements(&band) * sizeof(double),
                          pare_gram_bytes(K) / n + K * sizeof(double));
            pare_gram_free(&band);
        }
    cr_assert_eq(pare_gram_band(K, 7, 0), 0);
    cr_assert_eq(pare_gram_band(K, 7, 7), K);
    pare_gram_free(&whole);
    pare_arena_free(&arena);
    free(X);
}
