/* Codes in groups: the tiles of every tier, and the linear layer, against the definition
 * in kernels/grouped.h, bit for bit. */
#include <criterion/criterion.h>

#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/linear.h"
#include "tests/support/kernel_cases.h"

/* --- Tiles --- */

/* Mostly the ends of 0 .. top, where sums would leave their registers. */
static uint8_t extreme(uint64_t *seed, int top)
{
    const uint64_t r = case_random(seed);
    return r % 3 == 0   ? (uint8_t)((r >> 8) % (uint64_t)(top + 1))
           : r % 3 == 1 ? (uint8_t)top
                        : 0;
}

/* Operands of one tile: what is packed, and how. */
struct tile {
    struct pare_grouped shape;
    size_t m, n, stride; /* of a packed row of activations */
    uint8_t *rows, *codes, *zero;
    float *x_scale, *scale;
    int32_t *x_zero;
};

static struct tile tile_new(const struct pare_grouped *shape, int bits, size_t m,
                            size_t n, uint64_t seed)
{
    const size_t quads = pare_grouped_quads(shape), groups = shape->groups;
    struct tile t = {.shape = *shape, .m = m, .n = n, .stride = groups * 4 * quads};
    t.rows = calloc(m, t.stride);
    t.codes = calloc(groups * n, 4 * quads); /* [groups][n][4 quads] */
    t.zero = calloc(groups, n);
    t.x_scale = malloc(m * groups * sizeof(float));
    t.scale = malloc(groups * n * sizeof(float));
    t.x_zero = malloc(m * groups * sizeof(int32_t));
    for (size_t i = 0; i < m * groups; i++) {
        for (size_t k = 0; k < shape->size; k++)
            t.rows[i * 4 * quads + k] = extreme(&seed, 255);
        t.x_zero[i] = extreme(&seed, 255);
        t.x_scale[i] = case_float(&seed, CASE_PLAIN);
    }
    for (size_t i = 0; i < groups * n; i++) {
        for (size_t k = 0; k < shape->size; k++)
            t.codes[i * 4 * quads + k] = extreme(&seed, (1 << bits) - 1);
        t.zero[i] = extreme(&seed, (1 << bits) - 1);
        t.scale[i] = case_float(&seed, CASE_PLAIN);
    }
    return t;
}

static void tile_free(struct tile *t)
{
    free(t->rows);
    free(t->codes);
    free(t->zero);
    free(t->x_scale);
    free(t->scale);
    free(t->x_zero);
}

static float expected_at(const struct tile *t, const uint8_t *rows, size_t i, size_t j)
{
    const size_t padded = 4 * pare_grouped_quads(&t->shape), groups = t->shape.groups;
    float y = 0;
    for (size_t g = 0; g < groups; g++) {
        int64_t sum = 0;
        for (size_t k = 0; k < t->shape.size; k++)
            sum += ((int64_t)rows[i * t->stride + g * padded + k] -
                    t->x_zero[i * groups + g]) *
                   (t->codes[(g * t->n + j) * padded + k] - t->zero[g * t->n + j]);
        cr_assert_eq(sum, (int32_t)sum);
        y = fmaf((float)sum, t->x_scale[i * groups + g] * t->scale[g * t->n + j], y);
    }
    return y;
}

static void check_tile(const struct pare_kernels *k, const struct pare_grouped *shape,
                       int bits, int m, int n)
{
    const struct pare_gemm_grouped *gemm = &k->gemm_grouped;
    const size_t nr = (size_t)gemm->nr, rows = (size_t)m,
                 padded = 4 * pare_grouped_quads(shape);
    const size_t b_bytes = pare_grouped_b_bytes(shape) * nr, ldy = nr + 3;
    struct tile t = tile_new(shape, bits, rows, (size_t)n,
                             (uint64_t)(bits * 1000 + m) + 7 * shape->size);
    struct guarded a = guarded_new(rows * shape->groups * pare_grouped_a_bytes(shape));
    struct guarded b = guarded_new(shape->groups * b_bytes);
    struct guarded x = guarded_new(rows * t.stride);
    struct guarded y = guarded_new(((rows - 1) * ldy + nr) * sizeof(float));
    memcpy(x.data, t.rows, rows * t.stride);
    for (size_t g = 0; g < shape->groups; g++)
        gemm->pack(shape, (unsigned char *)b.data + g * b_bytes,
                   t.codes + g * t.n * padded, padded, t.scale + g * t.n,
                   t.zero + g * t.n, n);
    gemm->pack_a(shape, a.data, x.data, t.x_scale, t.x_zero, m);
    for (size_t i = 0; i < (rows - 1) * ldy + nr; i++)
        ((float *)y.data)[i] = NAN;
    gemm->run(shape, a.data, b.data, y.data, ldy, m, (struct pare_ahead){b.data, 64});
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < (i + 1 < rows ? ldy : nr); j++) {
            const float found = ((float *)y.data)[i * ldy + j];
            if (j >= nr) {
                cr_assert(isnan(found), "%s wrote behind its tile", gemm->name);
                continue;
            }
            const float expected = j < t.n ? expected_at(&t, t.rows, i, j) : 0.0f;
            cr_assert(!memcmp(&found, &expected, sizeof found),
                      "%s: %d bits in %d, %zu groups of %zu, %d x %d: (%zu, %zu) is %g, "
                      "expected %g",
                      gemm->name, bits, shape->width, shape->groups, shape->size, m, n, i,
                      j, (double)found, (double)expected);
        }
    guarded_free(a);
    guarded_free(b);
    guarded_free(x);
    guarded_free(y);
    tile_free(&t);
}

Test(grouped, tiles_of_every_tier_equal_the_definition)
{
    static const size_t sizes[][2] = {{1, 1},   {1, 5},   {3, 32},  {1, 40}, {2, 96},
                                      {2, 128}, {2, 160}, {1, 300}, {2, 512}};
    static const int forms[][2] = {{2, 2}, {3, 4}, {4, 4}, {5, 8},
                                   {6, 8}, {7, 8}, {8, 8}};
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        const struct pare_kernels *k = pare_kernels_of(pare_cpu_tier(tier));
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int f = 0; f < 7; f++) {
                const struct pare_grouped shape = {sizes[s][0], sizes[s][1], forms[f][1]};
                for (int m = 1; m <= k->gemm_grouped.mr; m++)
                    check_tile(k, &shape, forms[f][0], m,
                               m % 2 ? k->gemm_grouped.nr : 1 + m % k->gemm_grouped.nr);
            }
    }
}

Test(grouped, the_longest_group_of_extreme_values_does_not_overflow)
{
    const struct pare_grouped shape = {1, PARE_GROUP_MOST, 8};
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        const struct pare_kernels *k = pare_kernels_of(pare_cpu_tier(tier));
        const struct pare_gemm_grouped *gemm = &k->gemm_grouped;
        const size_t nr = (size_t)gemm->nr;
        unsigned char *a = malloc(pare_grouped_a_bytes(&shape));
        unsigned char *b = malloc(pare_grouped_b_bytes(&shape) * nr);
        uint8_t *row = malloc(shape.size), *codes = malloc(shape.size);
        float y[64];
        for (int sign = 0; sign < 2; sign++) {
            const uint8_t zero = sign ? 255 : 0;
            const float one = 1;
            memset(row, 255, shape.size);
            memset(codes, 255 - zero, shape.size);
            gemm->pack(&shape, b, codes, shape.size, &one, &zero, 1);
            gemm->pack_a(&shape, a, row, &one, &(int32_t){0}, 1);
            gemm->run(&shape, a, b, y, nr, 1, (struct pare_ahead){b, 0});
            const int64_t exact = (int64_t)255 * 255 * PARE_GROUP_MOST;
            cr_assert_eq(y[0], (float)(sign ? -exact : exact), "%s", gemm->name);
        }
        free(a);
        free(b);
        free(row);
        free(codes);
    }
}

/* --- Layers --- */

struct layer {
    struct pare_weight weight;
    struct guarded codes, scale, zero;
    uint8_t *q;  /* [N][K] */
    float *rows; /* [N][K] */
};

static struct layer layer_new(int bits, size_t size, int asymmetric, size_t N, size_t K,
                              uint64_t seed)
{
    const size_t groups = N * (K / size), row_bytes = pare_codes_bytes(bits, K);
    struct layer l = {.q = malloc(N * K), .rows = malloc(N * K * sizeof(float))};
    l.codes = guarded_new(N * row_bytes);
    l.scale = guarded_new(2 * groups);
    l.zero = guarded_new(groups);
    for (size_t i = 0; i < N * K; i++)
        l.q[i] = (uint8_t)(case_random(&seed) >> 20 & ((1u << bits) - 1));
    for (size_t i = 0; i < groups; i++) {
        ((uint8_t *)l.zero.data)[i] = extreme(&seed, (1 << bits) - 1);
        pare_store_u16((unsigned char *)l.scale.data + 2 * i,
                       pare_f32_to_f16(case_float(&seed, CASE_PLAIN) / 64));
    }
    for (size_t n = 0; n < N; n++)
        pare_codes_pack(bits, l.q + n * K, (unsigned char *)l.codes.data + n * row_bytes,
                        K);
    l.weight = (struct pare_weight){
        .type = PARE_I8,
        .N = N,
        .K = K,
        .data = l.codes.data,
        .groups = {bits, size, l.scale.data, asymmetric ? l.zero.data : NULL}};
    for (size_t n = 0; n < N; n++)
        pare_weight_row(&l.weight, n, l.rows + n * K);
    return l;
}

static void layer_free(struct layer *l)
{
    guarded_free(l->codes);
    guarded_free(l->scale);
    guarded_free(l->zero);
    free(l->q);
    free(l->rows);
}

/* One output from the definition. */
static float product(const struct layer *l, const float *x, size_t n)
{
    const struct pare_weight *w = &l->weight;
    const size_t size = w->groups.size;
    uint8_t *a = malloc(size);
    float y = 0;
    for (size_t g = 0; g < w->K / size; g++) {
        const size_t at = n * (w->K / size) + g;
        const int zero = w->groups.zero ? w->groups.zero[at] : 1 << (w->groups.bits - 1);
        float x_scale;
        int32_t x_zero;
        pare_kernels_of("scalar")->quantize_u8(a, x + g * size, NULL, size, &x_scale,
                                               &x_zero);
        int64_t sum = 0;
        for (size_t k = 0; k < size; k++)
            sum += (int64_t)(a[k] - x_zero) * (l->q[n * w->K + g * size + k] - zero);
        y = fmaf((float)sum,
                 x_scale * pare_f16_to_f32(pare_load_u16(w->groups.scale + 2 * at)), y);
    }
    free(a);
    return y;
}

struct call {
    size_t M;
    enum pare_activation act;
    int with_bias, with_residual;
};

/* The layers stacked along N, on the tier and threads in use. */
static void check(const struct layer *layers, int parts, const struct call *call)
{
    struct pare_weight weights[PARE_LINEAR_PARTS];
    const size_t K = layers[0].weight.K, M = call->M;
    size_t N = 0;
    for (int p = 0; p < parts; p++) {
        weights[p] = layers[p].weight;
        N += weights[p].N;
    }
    uint64_t seed = M + N * 131 + K * 65537;
    struct guarded gx = case_floats(&seed, M * K, CASE_PLAIN);
    struct guarded gb = case_floats(&seed, N, CASE_PLAIN);
    struct guarded gr = case_floats(&seed, M * N, CASE_PLAIN);
    struct guarded gy = guarded_new(M * N * sizeof(float));
    const float *bias = gb.data, *residual = gr.data;
    float *row = malloc(N * sizeof *row);
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_linear linear;
    struct pare_error err;
    cr_assert_eq(pare_linear_init(&linear, weights, parts, call->with_bias ? bias : NULL,
                                  0, &arena, &err),
                 PARE_OK, "%s", err.message);
    cr_assert_eq(pare_linear_forward(&linear, gx.data, M, gy.data, call->act,
                                     call->with_residual ? residual : NULL, &scratch,
                                     &err),
                 PARE_OK, "%s", err.message);
    for (size_t m = 0; m < M; m++) {
        size_t at = 0;
        for (int p = 0; p < parts; p++)
            for (size_t n = 0; n < layers[p].weight.N; n++, at++) {
                row[at] = product(&layers[p], (const float *)gx.data + m * K, n);
                row[at] += call->with_bias ? bias[at] : 0;
            }
        pare_kernels_of("scalar")->activate(call->act, row, row, N);
        for (size_t n = 0; n < N; n++) {
            const float expected =
                row[n] + (call->with_residual ? residual[m * N + n] : 0);
            const float found = ((float *)gy.data)[m * N + n];
            cr_assert(
                found == expected,
                "%s, %d bits, group %zu, %zu x %zu x %zu, %d threads: (%zu, %zu) is "
                "%g, expected %g",
                linear.kernels->tier, weights[0].groups.bits, weights[0].groups.size, M,
                N, K, pare_threads(), m, n, (double)found, (double)expected);
        }
    }
    free(row);
    pare_arena_free(&arena);
    pare_arena_free(&scratch);
    guarded_free(gx);
    guarded_free(gb);
    guarded_free(gr);
    guarded_free(gy);
}

static const int all_bits[] = {2, 3, 4, 5, 6, 7, 8};

Test(grouped, layers_of_every_form_and_tier_follow_the_definition)
{
    static const struct call calls[] = {
        {.M = 1, .with_bias = 1},
        {.M = 3, .with_residual = 1},
        {.M = 13, .with_bias = 1, .act = PARE_ACT_GELU},
        {.M = 26, .with_bias = 1, .with_residual = 1},
    };
    static const size_t shapes[][3] = {/* N, K, group */
                                       {1, 32, 32},    {40, 24, 24},   {67, 320, 32},
                                       {33, 384, 128}, {35, 160, 160}, {40, 320, 160}};
    pare_set_threads(2);
    for (int b = 0; b < 7; b++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            struct layer l =
                layer_new(all_bits[b], shapes[s][2], (int)(s + (size_t)b) % 2,
                          shapes[s][0], shapes[s][1], s);
            for (int tier = 0; pare_cpu_tier(tier); tier++) {
                cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
                check(&l, 1, &calls[(size_t)(b + tier) % 4]);
                check(&l, 1, &calls[(size_t)(b + tier + 1) % 4]);
            }
            layer_free(&l);
        }
}

/* So many that codes are expanded for all tiles of a task. */
Test(grouped, many_rows_and_any_number_of_threads)
{
    static const int threads[] = {1, 2, 3, 7}, bits[] = {4, 2, 3, 6};
    for (int i = 0; i < 4; i++) {
        struct layer l = layer_new(bits[i], i == 1 ? 192 : 32, i % 2, 150, 192, 1);
        pare_set_threads(threads[i]);
        check(&l, 1, &(struct call){.M = 301, .with_bias = 1, .act = PARE_ACT_RELU});
        pare_set_threads(threads[3 - i]);
        check(&l, 1, &(struct call){.M = 60, .with_residual = 1});
        layer_free(&l);
    }
}

Test(grouped, parts_of_different_groups_lie_behind_each_other)
{
    struct layer l[3] = {layer_new(4, 32, 0, 70, 96, 1), layer_new(3, 96, 1, 30, 96, 2),
                         layer_new(2, 32, 1, 50, 96, 3)};
    pare_set_threads(3);
    for (int parts = 1; parts <= 3; parts++) {
        check(l, parts, &(struct call){.M = 20, .with_bias = 1});
        check(l, parts, &(struct call){.M = 6, .with_residual = 1});
        check(l, parts, &(struct call){.M = 70});
    }
    for (int p = 0; p < 3; p++)
        layer_free(&l[p]);
}

Test(grouped, the_product_is_that_of_the_rounded_operands)
{
    enum { M = 9, N = 21, K = 256 };
    static float x[M * K], rounded[M * K], y[M * N];
    uint64_t seed = 3;
    for (size_t i = 0; i < M * K; i++)
        x[i] = case_float(&seed, CASE_PLAIN);
    for (int b = 0; b < 7; b++) {
        struct layer l = layer_new(all_bits[b], 64, b % 2, N, K, 5);
        struct pare_arena arena = {0}, scratch = {0};
        struct pare_linear linear;
        cr_assert_eq(pare_linear_init(&linear, &l.weight, 1, NULL, 0, &arena, NULL),
                     PARE_OK);
        cr_assert_eq(
            pare_linear_forward(&linear, x, M, y, PARE_ACT_NONE, NULL, &scratch, NULL),
            PARE_OK);
        pare_round_inputs(x, M, K, 64, rounded);
        for (size_t m = 0; m < M; m++)
            for (size_t n = 0; n < N; n++) {
                double sum = 0, size = 0;
                for (size_t k = 0; k < K; k++) {
                    double term = (double)rounded[m * K + k] * (double)l.rows[n * K + k];
                    sum += term;
                    size += fabs(term);
                }
                cr_assert_float_eq(y[m * N + n], sum, 1e-6 * size, "%d bits",
                                   all_bits[b]);
            }
        pare_arena_free(&arena);
        pare_arena_free(&scratch);
        layer_free(&l);
    }
}

Test(grouped, few_bits_stay_packed)
{
    static const int widths[] = {2, 4, 4, 8, 8, 8, 8};
    for (int b = 0; b < 7; b++) {
        struct layer l = layer_new(all_bits[b], 128, 1, 64, 256, 1);
        struct pare_arena arena = {0};
        struct pare_linear linear;
        cr_assert_eq(pare_linear_init(&linear, &l.weight, 1, NULL, 0, &arena, NULL),
                     PARE_OK);
        cr_assert_eq(linear.packed_bytes,
                     (size_t)(64 * 256 * widths[b] / 8 + 64 * 2 * (4 + 4)));
        pare_arena_free(&arena);
        layer_free(&l);
    }
}

Test(grouped, a_row_with_a_nan_gives_nan_and_no_other_row_does)
{
    struct layer l = layer_new(4, 32, 0, 20, 64, 1);
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_linear linear;
    float x[3 * 64] = {[64 + 40] = NAN, [128] = 1}, y[3 * 20];
    cr_assert_eq(pare_linear_init(&linear, &l.weight, 1, NULL, 0, &arena, NULL), PARE_OK);
    cr_assert_eq(
        pare_linear_forward(&linear, x, 3, y, PARE_ACT_NONE, NULL, &scratch, NULL),
        PARE_OK);
    for (int n = 0; n < 20; n++)
        cr_expect(y[n] == 0.0f && isnan(y[20 + n]) && !isnan(y[40 + n]));
    pare_arena_free(&arena);
    pare_arena_free(&scratch);
    layer_free(&l);
}

Test(grouped, what_makes_no_sense_is_refused)
{
    struct layer l = layer_new(4, 32, 0, 4, 64, 1);
    struct pare_arena arena = {0};
    struct pare_linear linear;
    struct pare_error err;
    struct pare_weight w = l.weight;
    w.groups.scale = NULL;
    cr_expect_eq(pare_linear_init(&linear, &w, 1, NULL, 0, &arena, &err), PARE_ERR_USAGE);
    w = l.weight;
    w.groups.size = 48;
    cr_expect_eq(pare_linear_init(&linear, &w, 1, NULL, 0, &arena, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "groups of 48"));
    w = l.weight;
    w.groups.bits = 9;
    cr_expect_eq(pare_linear_init(&linear, &w, 1, NULL, 0, &arena, &err), PARE_ERR_USAGE);
    cr_expect_eq(pare_linear_init(&linear, &l.weight, 1, NULL, 1, &arena, &err),
                 PARE_ERR_USAGE);
    pare_arena_free(&arena);
    layer_free(&l);
}
