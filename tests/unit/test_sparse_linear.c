/* A sparse weight is the dense one with zeros: rows, sizes and products, bit for bit. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/linear.h"
#include "tests/support/kernel_cases.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct pare_error error_ = {""};                                                 \
        struct pare_error *err = &error_;                                                \
        cr_assert_eq((call), PARE_OK, "%s: %s", #call, error_.message);                  \
    } while (0)

struct pattern {
    size_t rows, columns, n, m;
};

static const struct pattern patterns[] = {
    {1, 1, 0, 0}, {1, 1, 2, 4}, {1, 1, 1, 4},  {1, 1, 4, 8},  {1, 1, 3, 6},
    {1, 4, 0, 0}, {4, 1, 0, 0}, {16, 1, 0, 0}, {2, 32, 0, 0},
};
#define PATTERNS (sizeof patterns / sizeof *patterns)

/* The same matrix twice. */
struct pair {
    struct pare_weight dense, sparse;
    unsigned char *elements; /* [N, K] codes, bytes or halves, the gap's where zero */
    unsigned char *codes;    /* dense, packed */
    unsigned char *values;
    uint8_t *kept;
    uint64_t *start;
    uint32_t sets[256];
    float *scale;
    unsigned char *halves; /* scales of groups */
    size_t zeros;
};

/* Which blocks of a strip are kept: about half of them, in some rows all or none. */
static void draw_bits(const struct pattern *p, size_t K, size_t strip, uint64_t *seed,
                      uint8_t *bits)
{
    const size_t blocks = K / p->columns;
    memset(bits, 0, (blocks + 7) / 8);
    for (size_t b = 0; b < blocks && !p->m; b++) {
        const int on = strip % 7 == 3 ? 0 : strip % 7 == 5 ? 1 : case_random(seed) & 1;
        bits[b / 8] |= (uint8_t)(on << b % 8);
    }
    for (size_t g = 0; p->m && g < K / p->m; g++)
        for (size_t left = p->n; left;) {
            const size_t at = g * p->m + case_random(seed) % p->m;
            if (bits[at / 8] >> at % 8 & 1)
                continue;
            bits[at / 8] |= (uint8_t)(1 << at % 8);
            left--;
        }
}

static void clear_gaps(struct pair *pair, const struct pattern *p, size_t strip, size_t K,
                       const uint8_t *bits, size_t size, uint8_t gap)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t k = 0; k < K; k++) {
            const size_t b = k / p->columns;
            unsigned char *at = pair->elements + ((strip * p->rows + i) * K + k) * size;
            if (bits[b / 8] >> b % 8 & 1)
                continue;
            memset(at, 0, size);
            at[0] = gap;
            pair->zeros++;
        }
}

/* bits: 16 for F16, 8 with group 0 for I8, else of codes in groups. */
static void pair_open(struct pair *pair, const struct pattern *p, size_t N, size_t K,
                      int bits, size_t group, uint64_t seed)
{
    const size_t size = bits == 16 ? 2 : 1, strips = N / p->rows;
    const int codes = bits < 16 && group;
    uint8_t *mask = malloc((K + 7) / 8);
    memset(pair, 0, sizeof *pair);
    pair->elements = malloc(N * K * size);
    pair->codes = malloc(N * K * size);
    pair->values = malloc(N * K * size);
    pair->start = malloc((strips + 1) * sizeof *pair->start);
    pair->scale = malloc(N * sizeof(float));
    pair->halves = malloc(N * K * 2);
    for (size_t i = 0; i < N * K; i++) {
        const uint64_t r = case_random(&seed);
        if (size == 2)
            pare_store_u16(pair->elements + 2 * i,
                           pare_f32_to_f16(case_float(&seed, CASE_PLAIN)));
        else
            pair->elements[i] = (uint8_t)(r & ((1u << bits) - 1));
    }
    for (size_t n = 0; n < N; n++)
        pair->scale[n] = case_float(&seed, CASE_PLAIN);
    for (size_t i = 0; codes && i < N * (K / group); i++)
        pare_store_u16(pair->halves + 2 * i,
                       pare_f32_to_f16(case_float(&seed, CASE_PLAIN)));
    struct pare_sparse sparse = {p->rows, p->columns, p->n, p->m, NULL, NULL, NULL};
    const size_t kept_bytes = pare_sparse_kept_bytes(&sparse, K);
    pair->kept = malloc(strips * kept_bytes);
    size_t used = 0;
    for (size_t strip = 0; strip < strips; strip++) {
        draw_bits(p, K, strip, &seed, mask);
        used += pare_sparse_store_strip(
            &sparse, K, mask, pair->elements + strip * p->rows * K * size, bits,
            pair->kept + strip * kept_bytes, pair->values + used);
        clear_gaps(pair, p, strip, K, mask, size, codes ? (uint8_t)(1 << (bits - 1)) : 0);
    }
    sparse.kept = pair->kept;
    sparse.start = pair->start;
    OK(pare_sparse_index(&sparse, N, K, bits, pair->start, err));
    cr_assert_eq(pair->start[strips], used);
    if (p->m) {
        pare_sparse_list_sets(p->n, p->m, pair->sets);
        sparse.sets = pair->sets;
    }
    for (size_t n = 0; n < N && bits < 8; n++)
        pare_codes_pack(bits, pair->elements + n * K,
                        pair->codes + n * pare_codes_bytes(bits, K), K);
    pair->dense = (struct pare_weight){.type = bits == 16 ? PARE_F16 : PARE_I8,
                                       .N = N,
                                       .K = K,
                                       .data = bits < 8 ? pair->codes : pair->elements,
                                       .scale = bits == 8 && !codes ? pair->scale : NULL};
    if (codes)
        pair->dense.groups =
            (struct pare_groups){.bits = bits, .size = group, .scale = pair->halves};
    pair->sparse = pair->dense;
    pair->sparse.data = pair->values;
    pair->sparse.sparse = sparse;
    free(mask);
}

static void pair_close(struct pair *pair)
{
    free(pair->elements);
    free(pair->codes);
    free(pair->values);
    free(pair->kept);
    free(pair->start);
    free(pair->scale);
    free(pair->halves);
}

static void multiply(const struct pare_weight *weight, const float *X, size_t M,
                     const float *bias, float *Y, size_t *packed)
{
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_linear linear;
    OK(pare_linear_init(&linear, weight, 1, bias, 0, &arena, err));
    OK(pare_linear_forward(&linear, X, M, Y, PARE_ACT_GELU, NULL, &scratch, err));
    *packed = linear.packed_bytes;
    pare_arena_free(&arena);
    pare_arena_free(&scratch);
}

static void check_products(const struct pair *pair, const char *what)
{
    static const size_t heights[] = {1, 3, 10, 17, 200};
    const size_t N = pair->dense.N, K = pair->dense.K;
    uint64_t seed = 5;
    float *X = malloc(200 * K * sizeof *X), *bias = malloc(N * sizeof *bias);
    float *Y[2] = {malloc(200 * N * sizeof *X), malloc(200 * N * sizeof *X)};
    for (size_t i = 0; i < 200 * K; i++)
        X[i] = case_float(&seed, CASE_PLAIN);
    for (size_t i = 0; i < N; i++)
        bias[i] = case_float(&seed, CASE_PLAIN);
    for (size_t h = 0; h < sizeof heights / sizeof *heights; h++) {
        size_t packed[2];
        multiply(&pair->dense, X, heights[h], bias, Y[0], &packed[0]);
        multiply(&pair->sparse, X, heights[h], bias, Y[1], &packed[1]);
        cr_assert_eq(memcmp(Y[0], Y[1], heights[h] * N * sizeof *X), 0, "%s, %zu rows",
                     what, heights[h]);
        cr_assert(packed[1] <= pair->start[N / pair->sparse.sparse.rows] + N * K / 2 +
                                   16 * N + 4096,
                  "%s: the whole matrix was expanded", what);
    }
    free(X);
    free(bias);
    free(Y[0]);
    free(Y[1]);
}

static void check_rows(const struct pair *pair, const char *what)
{
    const size_t N = pair->dense.N, K = pair->dense.K;
    float *rows[2] = {malloc(K * sizeof(float)), malloc(K * sizeof(float))};
    for (size_t n = 0; n < N; n++) {
        pare_weight_row(&pair->dense, n, rows[0]);
        pare_weight_row(&pair->sparse, n, rows[1]);
        for (size_t k = 0; k < K; k++)
            cr_assert_eq(rows[0][k], rows[1][k], "%s: row %zu, column %zu is %g, not %g",
                         what, n, k, (double)rows[1][k], (double)rows[0][k]);
    }
    free(rows[0]);
    free(rows[1]);
}

static void check_pattern(const struct pattern *p, int bits, size_t group, size_t K)
{
    const size_t N = 80;
    struct pair pair;
    char what[96], form[PARE_FORM_SIZE];
    pair_open(&pair, p, N, K, bits, group, K + (size_t)bits);
    snprintf(what, sizeof what, "%s of %zu", pare_weight_form(&pair.sparse, form), K);
    check_rows(&pair, what);
    for (int i = 0; pare_cpu_tier(i); i++) {
        OK(pare_cpu_select(pare_cpu_tier(i), err));
        check_products(&pair, what);
    }
    OK(pare_cpu_select("auto", err));
    pair_close(&pair);
}

Test(sparse_linear, f16_is_the_dense_product)
{
    for (size_t p = 0; p < PATTERNS; p++) {
        check_pattern(&patterns[p], 16, 0, 96);
        check_pattern(&patterns[p], 16, 0, 576);
    }
}

Test(sparse_linear, i8_is_the_dense_product)
{
    for (size_t p = 0; p < PATTERNS; p++) {
        check_pattern(&patterns[p], 8, 0, 96);
        check_pattern(&patterns[p], 8, 0, 576);
    }
}

Test(sparse_linear, codes_are_the_dense_product)
{
    for (size_t p = 0; p < PATTERNS; p++)
        for (int bits = 2; bits <= 8; bits++)
            check_pattern(&patterns[p], bits, bits % 2 ? 96 : 192, 384 + 192);
}

Test(sparse_linear, rows_that_are_no_whole_bytes_of_bits)
{
    const struct pattern one = {1, 1, 0, 0}, four = {1, 4, 0, 0}, ranks = {1, 1, 2, 4};
    check_pattern(&one, 8, 0, 37);
    check_pattern(&one, 16, 0, 299);
    check_pattern(&four, 8, 0, 300);
    check_pattern(&ranks, 8, 0, 44);
}

Test(sparse_linear, sizes_and_forms_are_told)
{
    struct pair pair;
    char form[PARE_FORM_SIZE];
    const struct pattern half = {1, 1, 0, 0}, two = {1, 1, 2, 4};
    pair_open(&pair, &two, 80, 768, 4, 128, 3);
    cr_assert_str_eq(pare_weight_form(&pair.sparse, form), "int4/128/2:4");
    const double bits = 8.0 * (double)pare_weight_bytes(&pair.sparse) / (80 * 768);
    cr_assert(bits > 2.7 && bits <= 2.85, "%g bits a weight", bits);
    pair_close(&pair);
    pair_open(&pair, &two, 80, 768, 3, 128, 3);
    const double three = 8.0 * (double)pare_weight_bytes(&pair.sparse) / (80 * 768);
    cr_assert(three <= 2.35, "%g bits a weight", three);
    pair_close(&pair);
    pair_open(&pair, &half, 80, 768, 8, 0, 3);
    cr_assert_str_eq(pare_weight_form(&pair.sparse, form), "I8/mask");
    cr_assert_eq(pare_weight_bytes(&pair.sparse),
                 80 * 768 / 8 + pair.start[80] + 80 * 4 + 4 * sizeof(int32_t));
    pair_close(&pair);
}

static double kept_share(const struct pair *pair)
{
    return 1 - (double)pair->zeros / (double)(pair->dense.N * pair->dense.K);
}

Test(sparse_linear, it_is_told_where_that_is_quicker)
{
    struct pair pair;
    const struct pattern four = {1, 4, 0, 0}, one = {1, 1, 0, 0};
    for (int i = 0; pare_cpu_tier(i); i++) {
        OK(pare_cpu_select(pare_cpu_tier(i), err));
        const struct pare_kernels *k = pare_kernels();
        pair_open(&pair, &four, 80, 768, 8, 0, 3);
        cr_expect(pare_linear_sparse_pays(&pair.sparse, kept_share(&pair), 1));
        cr_expect_eq(pare_linear_sparse_pays(&pair.sparse, kept_share(&pair), 128),
                     !k->gemm_quads.most);
        cr_expect(!pare_linear_sparse_pays(&pair.dense, 1, 1));
        pair_close(&pair);
        pair_open(&pair, &one, 80, 768, 4, 128, 3);
        cr_expect_eq(pare_linear_sparse_pays(&pair.sparse, kept_share(&pair), 1),
                     k->gemm_masked.pays);
        cr_expect(!pare_linear_sparse_pays(&pair.sparse, kept_share(&pair), 128));
        pair_close(&pair);
        pair_open(&pair, &one, 80, 768, 16, 0, 3);
        cr_expect(!pare_linear_sparse_pays(&pair.sparse, kept_share(&pair), 1));
        pair_close(&pair);
    }
    OK(pare_cpu_select("auto", err));
}
