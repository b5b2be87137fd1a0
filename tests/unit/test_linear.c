/* The linear layer: every stored type against the plain definition, bit for bit. */
#include <criterion/criterion.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/linear.h"
#include "runtime/tensor/superblocks.h"
#include "tests/support/kernel_cases.h"

/* A weight of small random values, and its rows as floats. */
struct layer {
    struct pare_weight weight;
    struct guarded data, scale;
    float *rows; /* [N][K] */
};

/* Some super-blocks, of about the size of the row's values. */
static void superblocks(enum pare_dtype type, const float *row, unsigned char *to,
                        size_t K)
{
    const struct pare_superblock_layout *layout = pare_superblock_layout(type);
    for (size_t k = 0; k < K; k += PARE_SUPERBLOCK) {
        struct pare_superblock block = {.d = 0x1p-10f,
                                        .dmin = layout->has_minima ? 0x1p-9f : 0};
        for (int j = 0; j < PARE_SUPERBLOCK / layout->sub; j++) {
            block.scale[j] = (int8_t)(layout->scale_high - j);
            block.minimum[j] = (uint8_t)(layout->has_minima ? j : 0);
        }
        for (size_t i = 0; i < PARE_SUPERBLOCK; i++)
            block.codes[i] = (uint8_t)((int)fabsf(1000 * row[k + i]) % (layout->top + 1));
        pare_superblock_write(type, &block, to);
        to += pare_dtype_info(type)->block_bytes;
    }
}

static struct layer layer_new(enum pare_dtype type, size_t N, size_t K, uint64_t seed)
{
    const struct pare_dtype_info *info = pare_dtype_info(type);
    struct layer l = {.weight = {.type = type, .N = N, .K = K}};
    l.data = guarded_new(N * K / info->block * info->block_bytes);
    l.scale = guarded_new(N * sizeof(float));
    float *row = malloc(K * sizeof *row), *scale = l.scale.data;
    for (size_t n = 0; n < N; n++) {
        for (size_t k = 0; k < K; k++)
            row[k] = case_float(&seed, CASE_PLAIN);
        unsigned char *to =
            (unsigned char *)l.data.data + n * (K / info->block * info->block_bytes);
        if (type == PARE_I8)
            for (size_t k = 0; k < K; k++)
                to[k] = (unsigned char)case_random(&seed); /* -128 too */
        else if (pare_superblock_layout(type))
            superblocks(type, row, to, K);
        else
            pare_row_encode(type, row, to, K);
        scale[n] = fabsf(case_float(&seed, CASE_PLAIN)) / 127;
    }
    free(row);
    l.weight.data = l.data.data;
    l.weight.scale = type == PARE_I8 ? scale : NULL;
    l.rows = malloc((N * K + 1) * sizeof *l.rows);
    for (size_t n = 0; n < N; n++)
        pare_weight_row(&l.weight, n, l.rows + n * K);
    return l;
}

static void layer_free(struct layer *l)
{
    guarded_free(l->data);
    guarded_free(l->scale);
    free(l->rows);
}

/* One output of an I8 layer, from the definitions in kernels.h. */
static float product_i8(const struct pare_weight *w, const uint8_t *q, size_t n,
                        float x_scale, int32_t zero, const float *bias)
{
    const int8_t *row = (const int8_t *)w->data + n * w->K;
    int64_t sum = 0, weights = 0;
    for (size_t k = 0; k < w->K; k++) {
        sum += (int64_t)q[k] * row[k];
        weights += row[k];
    }
    float exact = (float)(int32_t)(sum - zero * weights), scale = x_scale * w->scale[n];
    return bias ? fmaf(exact, scale, *bias) : exact * scale;
}

static float product_f32(const float *x, const float *w, size_t K, const float *bias)
{
    float sum = 0;
    for (size_t k = 0; k < K; k++)
        sum = fmaf(x[k], w[k], sum);
    return bias ? sum + *bias : sum;
}

struct call {
    size_t M;
    enum pare_activation act;
    int with_bias, with_residual, in_place, live;
};

/* Expected output of the layers stacked along N. */
static void expect(const struct layer *layers, int parts, const struct call *call,
                   const float *X, const float *bias, const float *residual, float *Y)
{
    const struct pare_kernels *scalar = pare_kernels_of("scalar");
    size_t K = layers[0].weight.K, N = 0;
    for (int p = 0; p < parts; p++)
        N += layers[p].weight.N;
    uint8_t *q = malloc(K ? K : 1);
    for (size_t m = 0; m < call->M; m++) {
        float x_scale;
        int32_t zero;
        scalar->quantize_u8(q, X + m * K, NULL, K, &x_scale, &zero);
        float *y = Y + m * N;
        for (int p = 0; p < parts; p++) {
            const struct pare_weight *w = &layers[p].weight;
            for (size_t n = 0; n < w->N; n++, y++) {
                const float *b = call->with_bias ? bias + (y - Y) % (ptrdiff_t)N : NULL;
                *y = w->type == PARE_I8
                         ? product_i8(w, q, n, x_scale, zero, b)
                         : product_f32(X + m * K, layers[p].rows + n * K, K, b);
            }
        }
        scalar->activate(call->act, Y + m * N, Y + m * N, N);
        if (call->with_residual)
            for (size_t n = 0; n < N; n++)
                Y[m * N + n] += residual[m * N + n];
    }
    free(q);
}

static void check(const struct layer *layers, int parts, const struct call *call)
{
    struct pare_weight weights[PARE_LINEAR_PARTS];
    size_t N = 0, K = layers[0].weight.K, M = call->M;
    for (int p = 0; p < parts; p++) {
        weights[p] = layers[p].weight;
        N += weights[p].N;
    }
    uint64_t seed = M + N * 131 + K * 65537;
    struct guarded gx = case_floats(&seed, M * K, CASE_PLAIN);
    struct guarded gb = case_floats(&seed, N, CASE_PLAIN);
    struct guarded gr = case_floats(&seed, M * N, CASE_PLAIN);
    struct guarded gy = guarded_new(M * N * sizeof(float));
    float *expected = malloc((M * N + 1) * sizeof *expected);
    expect(layers, parts, call, gx.data, gb.data, gr.data, expected);
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_linear linear;
    struct pare_error err;
    cr_assert_eq(pare_linear_init(&linear, weights, parts,
                                  call->with_bias ? gb.data : NULL, call->live, &arena,
                                  &err),
                 PARE_OK, "%s", err.message);
    if (call->in_place)
        memcpy(gy.data, gr.data, M * N * sizeof(float));
    const float *residual = !call->with_residual ? NULL
                            : call->in_place     ? gy.data
                                                 : gr.data;
    cr_assert_eq(pare_linear_forward(&linear, gx.data, M, gy.data, call->act, residual,
                                     &scratch, &err),
                 PARE_OK, "%s", err.message);
    for (size_t i = 0; i < M * N; i++)
        cr_assert(!memcmp((float *)gy.data + i, expected + i, sizeof(float)),
                  "%s, %s, %zu x %zu x %zu, %d parts, %d threads: (%zu, %zu) is %g, "
                  "expected %g",
                  pare_dtype_name(weights[0].type), linear.kernels->tier, M, N, K, parts,
                  pare_threads(), i / N, i % N, ((float *)gy.data)[i], expected[i]);
    pare_arena_free(&arena);
    pare_arena_free(&scratch);
    free(expected);
    guarded_free(gx);
    guarded_free(gb);
    guarded_free(gr);
    guarded_free(gy);
}

static const enum pare_dtype types[] = {
    PARE_F32,  PARE_F16,  PARE_BF16, PARE_Q8_0, PARE_Q4_0, PARE_Q4_1,  PARE_I8,
    PARE_Q2_K, PARE_Q3_K, PARE_Q4_K, PARE_Q5_K, PARE_Q6_K, PARE_TQ1_0, PARE_TQ2_0};
#define TYPES (sizeof types / sizeof types[0])

Test(linear, every_type_and_tier_follows_the_definition)
{
    static const struct call calls[] = {
        {.M = 1, .with_bias = 1},
        {.M = 2},
        {.M = 14, .with_bias = 1, .act = PARE_ACT_GELU},
        {.M = 15, .with_bias = 1, .with_residual = 1},
        {.M = 33, .with_residual = 1, .in_place = 1},
        {.M = 7, .act = PARE_ACT_TANH},
    };
    pare_set_threads(2);
    for (size_t t = 0; t < TYPES; t++) {
        const struct pare_dtype_info *info = pare_dtype_info(types[t]);
        size_t sizes[][2] = {{1, 32}, {40, 96}, {67, 800}, {33, 1}, {31, 71}, {21, 1024}};
        for (size_t s = 0; s < 6; s++) {
            if (sizes[s][1] % info->block)
                continue;
            struct layer l = layer_new(types[t], sizes[s][0], sizes[s][1], s);
            for (int tier = 0; pare_cpu_tier(tier); tier++) {
                cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
                for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++)
                    check(&l, 1, &calls[c]);
            }
            layer_free(&l);
        }
    }
}

Test(linear, many_rows_and_any_number_of_threads)
{
    static const int threads[] = {1, 2, 3, 7};
    for (size_t t = 0; t < TYPES; t++) {
        const size_t block = pare_dtype_info(types[t])->block;
        struct layer l = layer_new(types[t], 150, block > 64 ? block : 64, t);
        for (int i = 0; i < 4; i++) {
            pare_set_threads(threads[i]);
            check(&l, 1, &(struct call){.M = 501, .with_bias = 1, .act = PARE_ACT_RELU});
        }
        layer_free(&l);
    }
    struct layer deep = layer_new(PARE_F32, 9, 1600, 5); /* tasks pack their own rows */
    check(&deep, 1, &(struct call){.M = 400, .with_residual = 1});
    layer_free(&deep);
}

Test(linear, parts_lie_behind_each_other)
{
    static const enum pare_dtype mixes[][3] = {{PARE_F32, PARE_F32, PARE_F32},
                                               {PARE_I8, PARE_I8, PARE_I8},
                                               {PARE_Q8_0, PARE_I8, PARE_F16},
                                               {PARE_F32, PARE_Q4_0, PARE_I8}};
    pare_set_threads(3);
    for (size_t mix = 0; mix < 4; mix++) {
        struct layer l[3];
        for (int p = 0; p < 3; p++)
            l[p] = layer_new(mixes[mix][p], (size_t)(130 - 50 * p), 96, (uint64_t)p);
        for (int parts = 1; parts <= 3; parts++) {
            check(l, parts, &(struct call){.M = 20, .with_bias = 1});
            check(l, parts, &(struct call){.M = 5, .act = PARE_ACT_SILU});
            check(l, parts, &(struct call){.M = 6, .with_residual = 1, .in_place = 1});
        }
        for (int p = 0; p < 3; p++)
            layer_free(&l[p]);
    }
}

Test(linear, a_live_weight_may_change_between_products)
{
    struct layer l = layer_new(PARE_F32, 50, 70, 1);
    check(&l, 1, &(struct call){.M = 30, .with_bias = 1, .live = 1});
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_linear linear;
    cr_assert_eq(pare_linear_init(&linear, &l.weight, 1, NULL, 1, &arena, NULL), PARE_OK);
    cr_expect_eq(linear.packed_bytes, 0);
    float x[70], y[50];
    for (int k = 0; k < 70; k++)
        x[k] = 1.0f;
    for (int round = 0; round < 2; round++) {
        ((float *)l.data.data)[3 * 70 + 5] = (float)(100 * round);
        cr_assert_eq(
            pare_linear_forward(&linear, x, 1, y, PARE_ACT_NONE, NULL, &scratch, NULL),
            PARE_OK);
        float expected = product_f32(x, (const float *)l.data.data + 3 * 70, 70, NULL);
        cr_expect_eq(y[3], expected);
    }
    pare_arena_free(&arena);
    pare_arena_free(&scratch);
    layer_free(&l);
}

Test(linear, bytes_beyond_the_mapping_are_counted)
{
    struct pare_arena arena = {0};
    struct pare_linear linear;
    struct layer f32 = layer_new(PARE_F32, 64, 96, 1),
                 q8 = layer_new(PARE_Q8_0, 64, 96, 2);
    struct layer i8 = layer_new(PARE_I8, 64, 96, 3);
    cr_assert_eq(pare_linear_init(&linear, &f32.weight, 1, NULL, 0, &arena, NULL),
                 PARE_OK);
    cr_expect_eq(linear.packed_bytes, 64 * 96 * 4);
    cr_assert_eq(pare_linear_init(&linear, &q8.weight, 1, NULL, 0, &arena, NULL),
                 PARE_OK);
    cr_expect_eq(linear.packed_bytes, 0, "decoded in place");
    cr_assert_eq(pare_linear_init(&linear, &i8.weight, 1, NULL, 0, &arena, NULL),
                 PARE_OK);
    cr_expect_eq(linear.packed_bytes, 64 * 96 + 64 * 8);
    pare_arena_free(&arena);
    layer_free(&f32);
    layer_free(&q8);
    layer_free(&i8);
}

Test(linear, what_makes_no_sense_is_refused)
{
    struct pare_arena arena = {0};
    struct pare_linear linear;
    struct pare_error err;
    float data[128] = {0}, scale[4] = {0};
    struct pare_weight w = {.type = PARE_I8, .N = 4, .K = 32, .data = data};
    cr_expect_eq(pare_linear_init(&linear, &w, 1, NULL, 0, &arena, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "scale"));
    w = (struct pare_weight){.type = PARE_I64, .N = 4, .K = 32, .data = data};
    cr_expect_eq(pare_linear_init(&linear, &w, 1, NULL, 0, &arena, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "I64"));
    w = (struct pare_weight){.type = PARE_Q8_0, .N = 4, .K = 33, .data = data};
    cr_expect_eq(pare_linear_init(&linear, &w, 1, NULL, 0, &arena, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "33"));
    w = (struct pare_weight){
        .type = PARE_I8, .N = 4, .K = 32, .data = data, .scale = scale};
    cr_expect_eq(pare_linear_init(&linear, &w, 1, NULL, 1, &arena, &err), PARE_ERR_USAGE);
    cr_expect_eq(pare_linear_init(&linear, &w, 4, NULL, 0, &arena, &err), PARE_ERR_USAGE);
    cr_expect_eq(pare_linear_init(&linear, &w, 0, NULL, 0, &arena, &err), PARE_ERR_USAGE);
    struct pare_weight two[2] = {{.type = PARE_F32, .N = 2, .K = 16, .data = data},
                                 {.type = PARE_F32, .N = 2, .K = 17, .data = data}};
    cr_expect_eq(pare_linear_init(&linear, two, 2, NULL, 0, &arena, &err),
                 PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "16") && strstr(err.message, "17"));
    pare_arena_free(&arena);
}

Test(linear, the_longest_rows_of_bytes_do_not_overflow)
{
    struct pare_arena arena = {0};
    struct pare_error err;
    const size_t K = PARE_I8_MOST;
    int8_t *codes = malloc(2 * (K + 1));
    float *x = malloc((K + 1) * sizeof *x), scale[2] = {1, 1}, y[2];
    for (size_t k = 0; k <= K; k++)
        codes[k] = -128;
    memset(codes + K, 127, K);
    struct pare_weight w = {
        .type = PARE_I8, .N = 2, .K = K, .data = codes, .scale = scale};
    for (int t = 0; pare_cpu_tier(t); t++)
        for (int sign = -1; sign < 2; sign += 2) {
            struct pare_linear linear;
            /* 1: the largest code; -1: the largest zero point */
            for (size_t k = 0; k <= K; k++)
                x[k] = (float)sign;
            cr_assert_eq(pare_cpu_select(pare_cpu_tier(t), &err), PARE_OK);
            cr_assert_eq(pare_linear_init(&linear, &w, 1, NULL, 0, &arena, &err),
                         PARE_OK);
            cr_assert_eq(
                pare_linear_forward(&linear, x, 1, y, PARE_ACT_NONE, NULL, &arena, &err),
                PARE_OK);
            cr_expect_float_eq(y[0], -128.0 * sign * (double)K, 4, "%s: %g",
                               pare_cpu_tier(t), y[0]);
            cr_expect_float_eq(y[1], 127.0 * sign * (double)K, 4, "%s: %g",
                               pare_cpu_tier(t), y[1]);
        }
    w.N = 1;
    w.K = K + 1;
    struct pare_linear linear;
    cr_expect_eq(pare_linear_init(&linear, &w, 1, NULL, 0, &arena, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "32769") && strstr(err.message, "32768"));
    pare_arena_free(&arena);
    free(codes);
    free(x);
}

Test(linear, a_row_with_a_nan_gives_nan_and_no_other_row_does)
{
    struct layer l = layer_new(PARE_I8, 20, 40, 1);
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_linear linear;
    cr_assert_eq(pare_linear_init(&linear, &l.weight, 1, NULL, 0, &arena, NULL), PARE_OK);
    float x[3 * 40] = {0}, y[3 * 20];
    x[40 + 7] = NAN;
    x[80] = 1.0f;
    cr_assert_eq(
        pare_linear_forward(&linear, x, 3, y, PARE_ACT_NONE, NULL, &scratch, NULL),
        PARE_OK);
    for (int n = 0; n < 20; n++)
        cr_expect(y[n] == 0.0f && isnan(y[20 + n]) && !isnan(y[40 + n]));
    pare_arena_free(&arena);
    pare_arena_free(&scratch);
    layer_free(&l);
}
