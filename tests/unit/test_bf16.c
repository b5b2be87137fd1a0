/* Matrix products of operands in bfloat16: every tier gives the bits that kernels.h
 * specifies, whatever instructions it has. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/linear.h"
#include "tests/support/kernel_cases.h"

/* To nearest, ties to even, in steps of 2^-7 of the leading bit: by arithmetic, where the
 * kernels shift bits. */
static float rounded(float x)
{
    int exponent;
    if (!isfinite(x))
        return x;
    if (fabsf(x) < 0x1p-56f)
        return 0.0f;
    const double significand = frexp((double)x, &exponent);
    return (float)ldexp(nearbyint(ldexp(significand, 8)), exponent - 8);
}

/* a[i * K + k], b[j * K + k] */
static float product(const float *a, const float *b, size_t kc)
{
    float sum = 0;
    for (size_t first = 0; first < kc; first += PARE_BF16_GROUP) {
        float chain[2] = {0, 0};
        for (size_t k = first; k < kc && k < first + PARE_BF16_GROUP; k++)
            chain[k % 2] = fmaf(rounded(a[k]), rounded(b[k]), chain[k % 2]);
        sum += chain[0] + chain[1];
    }
    return sum;
}

static int same(float a, float b)
{
    return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a);
}

enum layout { ALONG, ACROSS, STRIDED, LAYOUTS };

struct stored {
    struct guarded memory;
    size_t row, column;
};

static struct stored store(const float *from, size_t rows, size_t kc, int how)
{
    struct stored s = {.row = how == ALONG    ? kc + 3
                              : how == ACROSS ? 1
                                              : 2,
                       .column = how == ALONG ? 1 : 2 * rows + 1};
    s.memory =
        guarded_new(((rows - 1) * s.row + (kc - 1) * s.column + 1) * sizeof(float));
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < kc; k++)
            ((float *)s.memory.data)[i * s.row + k * s.column] = from[i * kc + k];
    return s;
}

/* Room for `rows` packed rows, in whole tiles of `height`. */
static struct guarded packed(const struct pare_gemm_bf16 *gemm, size_t rows, int height,
                             size_t kc)
{
    const size_t tiles = (rows + (size_t)height - 1) / (size_t)height;
    const size_t groups = (kc + PARE_BF16_GROUP - 1) / PARE_BF16_GROUP;
    return guarded_new(tiles * (size_t)height * groups * PARE_BF16_GROUP * gemm->element);
}

static void check(const struct pare_gemm_bf16 *gemm, size_t m, size_t n, size_t kc,
                  enum case_kind kind, int how, int accumulate)
{
    uint64_t seed = m * 7919 + n * 104729 + kc;
    struct guarded a = case_floats(&seed, m * kc, kind),
                   b = case_floats(&seed, n * kc, kind);
    const size_t ldc = n + 3;
    struct guarded c = case_floats(&seed, (m - 1) * ldc + n, kind);
    float *out = c.data, *before = malloc(m * ldc * sizeof *before);
    memcpy(before, out, ((m - 1) * ldc + n) * sizeof *out);
    struct stored x = store(a.data, m, kc, how % LAYOUTS),
                  y = store(b.data, n, kc, how / LAYOUTS);
    struct guarded pa = packed(gemm, m, gemm->mr, kc), pb = packed(gemm, n, gemm->nr, kc);
    gemm->pack_a(pa.data, x.memory.data, x.row, x.column, m, kc);
    gemm->pack_b(pb.data, y.memory.data, y.row, y.column, n, kc);
    gemm->run(kc, pa.data, pb.data, out, ldc, m, n, accumulate);
    for (size_t i = 0; i < (m - 1) * ldc + n; i++) {
        float expected = before[i];
        if (i % ldc < n) {
            const float s = product((float *)a.data + i / ldc * kc,
                                    (float *)b.data + i % ldc * kc, kc);
            expected = accumulate ? expected + s : s;
        }
        cr_assert(same(out[i], expected),
                  "%s: %zu x %zu x %zu, kind %d, layouts %d, accumulate %d, at %zu, %zu: "
                  "%a, expected %a",
                  gemm->name, m, n, kc, kind, how, accumulate, i / ldc, i % ldc,
                  (double)out[i], (double)expected);
    }
    free(before);
    guarded_free(a);
    guarded_free(b);
    guarded_free(c);
    guarded_free(x.memory);
    guarded_free(y.memory);
    guarded_free(pa);
    guarded_free(pb);
}

static void check_tier(const struct pare_gemm_bf16 *gemm)
{
    static const size_t rows[] = {1, 3, 4, 15, 16, 17, 32, 33, 50, 100};
    static const size_t depths[] = {1, 2, 31, 32, 33, 63, 100, 192};
    int how = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t n = 1; n <= (size_t)gemm->nr; n += n < 4 || n > 12 ? 1 : 5)
            for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++, how++)
                check(gemm, rows[i], n, depths[d], (enum case_kind)(how % CASE_KINDS),
                      how % (LAYOUTS * LAYOUTS), how % 2);
}

Test(bf16, tiles_of_every_tier_follow_the_specification)
{
    for (int t = 0; pare_cpu_tier(t); t++)
        check_tier(&pare_kernels_of(pare_cpu_tier(t))->gemm_bf16);
}

/* Ties, both ways; the largest number that does not become infinite; what becomes 0. */
Test(bf16, operands_are_rounded_to_nearest_even)
{
    static const float cases[][2] = {
        {0x1.01p0f, 0x1.00p0f},   {0x1.03p0f, 0x1.04p0f},     {0x1.010002p0f, 0x1.02p0f},
        {-0x1.03p0f, -0x1.04p0f}, {0x1.fep127f, 0x1.fep127f}, {0x1.ffp127f, INFINITY},
        {0x1.fffffep-57f, 0.0f},  {0x1p-56f, 0x1p-56f},       {-1e-40f, 0.0f},
        {-INFINITY, -INFINITY},   {0x1.fffffep3f, 0x1p4f},
    };
    for (int t = 0; pare_cpu_tier(t); t++) {
        const struct pare_gemm_bf16 *gemm = &pare_kernels_of(pare_cpu_tier(t))->gemm_bf16;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            const float one = 1;
            float found;
            struct guarded a = packed(gemm, 1, gemm->mr, 1),
                           b = packed(gemm, 1, gemm->nr, 1);
            gemm->pack_a(a.data, &cases[i][0], 1, 1, 1, 1);
            gemm->pack_b(b.data, &one, 1, 1, 1, 1);
            gemm->run(1, a.data, b.data, &found, 1, 1, 1, 0);
            cr_expect(same(found, cases[i][1]), "%s: %a became %a", gemm->name,
                      (double)cases[i][0], (double)found);
            guarded_free(a);
            guarded_free(b);
        }
    }
}

/* --- Whole products --------------------------------------------------------------- */

#define PASS 768 /* gemm.h */

/* Around passes of K, blocks of rows and of columns; more than is packed at once. */
static const size_t shapes[][3] = {{1, 1, 1},     {3, 40, 1601},  {33, 7, 771},
                                   {300, 20, 5},  {257, 300, 33}, {64, 64, 64},
                                   {13, 513, 768}};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static struct guarded floats(size_t n, uint64_t seed)
{
    return case_floats(&seed, n, CASE_PLAIN);
}

static float sum_of_passes(const float *a, const float *b, size_t K, float c,
                           int accumulate)
{
    for (size_t k = 0; k < K; k += PASS) {
        const float s = product(a + k, b + k, K - k < PASS ? K - k : PASS);
        c = k || accumulate ? c + s : s;
    }
    return c;
}

static void check_product(const size_t shape[3], int how, int accumulate)
{
    const size_t M = shape[0], N = shape[1], K = shape[2], ldc = N + 2;
    struct guarded a = floats(M * K, M + K), b = floats(N * K, N + K);
    struct guarded c = floats((M - 1) * ldc + N, 5),
                   before = floats((M - 1) * ldc + N, 5);
    struct stored x = store(a.data, M, K, how % LAYOUTS),
                  y = store(b.data, N, K, how / LAYOUTS);
    const struct pare_matrix A = {x.memory.data, x.row, x.column};
    const struct pare_matrix B = {y.memory.data, y.column, y.row};
    struct pare_arena arena = {0};
    cr_assert_eq(pare_gemm_bf16(M, N, K, A, B, c.data, ldc, accumulate, &arena, NULL),
                 PARE_OK);
    for (size_t i = 0; i < (M - 1) * ldc + N; i++) {
        float expected = ((float *)before.data)[i];
        if (i % ldc < N)
            expected =
                sum_of_passes((float *)a.data + i / ldc * K,
                              (float *)b.data + i % ldc * K, K, expected, accumulate);
        cr_assert(same(((float *)c.data)[i], expected),
                  "%s, %d threads, %zu x %zu x %zu, layouts %d, accumulate %d, at %zu",
                  pare_kernels()->gemm_bf16.name, pare_threads(), M, N, K, how,
                  accumulate, i);
    }
    pare_arena_free(&arena);
    guarded_free(a);
    guarded_free(b);
    guarded_free(c);
    guarded_free(before);
    guarded_free(x.memory);
    guarded_free(y.memory);
}

Test(bf16, products_do_not_depend_on_tier_layout_or_threads)
{
    static const int threads[] = {2, 1, 3, 7};
    int how = 0;
    for (int t = 0; pare_cpu_tier(t); t++) {
        cr_assert_eq(pare_cpu_select(pare_cpu_tier(t), NULL), PARE_OK);
        for (size_t s = 0; s < SHAPES; s++, how++) {
            pare_set_threads(threads[how % 4]);
            check_product(shapes[s], how % (LAYOUTS * LAYOUTS), how % 2);
        }
    }
}

/* Rounding changes an operand by at most 2^-8 of its leading bit, evenly spread: 2^-8 /
 * sqrt(3) of that in the mean square, a little less of the operand; twice for a term. */
Test(bf16, products_are_as_exact_as_their_operands)
{
    const size_t M = 60, N = 70, K = 1000;
    struct guarded a = floats(M * K, 1), b = floats(N * K, 2), c = floats(M * N, 3);
    struct pare_arena arena = {0};
    cr_assert_eq(pare_gemm_bf16(M, N, K, pare_rows(a.data, K), pare_transposed(b.data, K),
                                c.data, N, 0, &arena, NULL),
                 PARE_OK);
    double worst = 0, squares = 0;
    for (size_t i = 0; i < M * N; i++) {
        double sum = 0, magnitude = 0;
        for (size_t k = 0; k < K; k++) {
            const double term = (double)((float *)a.data)[i / N * K + k] *
                                (double)((float *)b.data)[i % N * K + k];
            sum += term;
            magnitude += term * term;
        }
        const double error = ((double)((float *)c.data)[i] - sum) / sqrt(magnitude);
        worst = fmax(worst, fabs(error));
        squares += error * error;
    }
    const double spread = sqrt(squares / (double)(M * N));
    cr_expect(spread > 0.0015 && spread < 0.0025, "spread %g", spread);
    cr_expect(worst < 6 * 0.0025, "worst %g", worst);
    pare_arena_free(&arena);
    guarded_free(a);
    guarded_free(b);
    guarded_free(c);
}

static void check_linear(unsigned use, enum pare_dtype type, size_t M, size_t K, size_t N)
{
    const size_t parts = 3, all = parts * N;
    const size_t element = type == PARE_F32 ? 4 : 2;
    struct guarded x = floats(M * K, 1), w = floats(all * K, 2), bias = floats(all, 3);
    struct guarded residual = floats(M * all, 4), y = floats(M * all, 5);
    struct guarded stored = guarded_new(all * K * element);
    float *values = w.data;
    for (size_t i = 0; i < all * K; i++) {
        const uint16_t half = pare_f32_to_bf16(values[i]);
        if (type == PARE_BF16)
            values[i] = pare_bf16_to_f32(half);
        memcpy((unsigned char *)stored.data + i * element,
               type == PARE_F32 ? (const void *)&values[i] : &half, element);
    }
    struct pare_weight weights[3];
    for (size_t i = 0; i < parts; i++)
        weights[i] = (struct pare_weight){.type = type,
                                          .N = N,
                                          .K = K,
                                          .data = (unsigned char *)stored.data +
                                                  i * N * K * element};
    struct pare_arena arena = {0};
    struct pare_linear linear;
    cr_assert_eq(pare_linear_init(&linear, weights, 3, bias.data, use, &arena, NULL),
                 PARE_OK);
    cr_expect_eq(linear.packed_bytes > 0, !(use & PARE_LINEAR_LIVE));
    cr_assert_eq(pare_linear_forward(&linear, x.data, M, y.data, PARE_ACT_NONE,
                                     residual.data, &arena, NULL),
                 PARE_OK);
    for (size_t i = 0; i < M * all; i++) {
        const float expected =
            sum_of_passes((float *)x.data + i / all * K, values + i % all * K, K, 0, 0) +
            ((float *)bias.data)[i % all] + ((float *)residual.data)[i];
        cr_assert(same(((float *)y.data)[i], expected), "at %zu", i);
    }
    pare_arena_free(&arena);
    guarded_free(x);
    guarded_free(w);
    guarded_free(bias);
    guarded_free(residual);
    guarded_free(y);
    guarded_free(stored);
}

/* Weights that change are packed by every product, others once. */
Test(bf16, a_linear_is_the_product_with_its_epilogue)
{
    check_linear(PARE_LINEAR_LIVE | PARE_LINEAR_BF16, PARE_F32, 270, 100, 90);
    for (int t = 0; pare_cpu_tier(t); t++) {
        cr_assert_eq(pare_cpu_select(pare_cpu_tier(t), NULL), PARE_OK);
        check_linear(PARE_LINEAR_BF16, PARE_F32, 270, 100, 90);
        check_linear(PARE_LINEAR_BF16, PARE_BF16, 270, 100, 90);
        /* passes over K and blocks of columns */
        check_linear(PARE_LINEAR_BF16, PARE_F32, 3, 1537, 265);
    }
}
