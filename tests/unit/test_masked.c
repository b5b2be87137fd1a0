/* Weights under bits, and fours of weights that are zero together: the kernels of every
 * tier against their definitions in kernels/masked.h and quads.h, bit for bit. */
#include <criterion/criterion.h>

#include "runtime/kernels/kernels.h"
#include "tests/support/kernel_cases.h"

/* Mostly the ends of 0 .. top, where sums would leave their registers. */
static uint8_t extreme(uint64_t *seed, int top)
{
    const uint64_t r = case_random(seed);
    return r % 3 == 0   ? (uint8_t)((r >> 8) % (uint64_t)(top + 1))
           : r % 3 == 1 ? (uint8_t)top
                        : 0;
}

static int drawn(uint64_t *seed, int percent)
{
    return (int)(case_random(seed) >> 16 & 0xffff) % 100 < percent;
}

/* --- Weights under bits --- */

/* Halves that are exact in few bits, one of them negative, one subnormal. */
static const uint16_t halves[] = {0x3c00, 0xb555, 0x0001, 0x2a3f, 0};
static const float halves_as_float[] = {1, -0.333251953125f, 0x1p-24f, 0.04879760742f, 0};

struct tile {
    struct pare_grouped shape;
    size_t m, n, stride; /* of a row of activations, and of a column of codes */
    uint8_t *rows, *codes;
    uint16_t *scale; /* [n][groups] */
    float *x_scale;
    int32_t *x_zero;
};

/* `percent` of the codes are not the one that means 0. */
static struct tile tile_new(const struct pare_grouped *shape, int percent, size_t m,
                            size_t n, uint64_t seed)
{
    const size_t padded = 4 * pare_grouped_quads(shape), groups = shape->groups;
    struct tile t = {.shape = *shape, .m = m, .n = n, .stride = groups * padded};
    t.rows = calloc(m, t.stride);
    t.codes = calloc(n, t.stride);
    t.scale = calloc(n, groups * sizeof *t.scale);
    t.x_scale = malloc(m * groups * sizeof(float));
    t.x_zero = malloc(m * groups * sizeof(int32_t));
    for (size_t i = 0; i < m * groups; i++) {
        for (size_t k = 0; k < shape->size; k++)
            t.rows[i * padded + k] = extreme(&seed, 255);
        t.x_zero[i] = extreme(&seed, 255);
        t.x_scale[i] = case_float(&seed, CASE_PLAIN);
    }
    for (size_t i = 0; i < n * groups; i++) {
        for (size_t k = 0; k < shape->size; k++)
            t.codes[i * padded + k] = drawn(&seed, percent)
                                          ? extreme(&seed, (1 << shape->width) - 1)
                                          : pare_masked_zero(shape->width);
        t.scale[i] = halves[case_random(&seed) % 4];
    }
    return t;
}

static void tile_free(struct tile *t)
{
    free(t->rows);
    free(t->codes);
    free(t->scale);
    free(t->x_scale);
    free(t->x_zero);
}

static int32_t sum_at(const struct tile *t, size_t i, size_t j, size_t g)
{
    const size_t padded = 4 * pare_grouped_quads(&t->shape);
    int64_t sum = 0;
    for (size_t k = 0; k < t->shape.size; k++)
        sum +=
            ((int64_t)t->rows[i * t->stride + g * padded + k] -
             t->x_zero[i * t->shape.groups + g]) *
            (t->codes[j * t->stride + g * padded + k] - pare_masked_zero(t->shape.width));
    cr_assert_eq(sum, (int32_t)sum);
    return (int32_t)sum;
}

static float scale_at(uint16_t half)
{
    size_t i = 0;
    while (halves[i] != half)
        i++;
    return halves_as_float[i];
}

static float expected_at(const struct tile *t, size_t i, size_t j)
{
    const size_t groups = t->shape.groups;
    float y = 0;
    for (size_t g = 0; g < groups; g++)
        y = fmaf((float)sum_at(t, i, j, g),
                 t->x_scale[i * groups + g] * scale_at(t->scale[j * groups + g]), y);
    return y;
}

/* What a tier makes of it: floats, or the sums of one group. */
static struct guarded run_tile(const struct pare_gemm_masked *gemm, const struct tile *t,
                               size_t ldy, int sums)
{
    struct guarded a =
        guarded_new(t->m * t->shape.groups * pare_grouped_a_bytes(&t->shape));
    struct guarded x = guarded_new(t->m * t->stride);
    struct guarded y =
        guarded_new(((t->m - 1) * ldy + PARE_MASKED_COLUMNS) * sizeof(float));
    unsigned char *packed = malloc(pare_masked_most(&t->shape));
    const size_t bytes =
        pare_masked_pack(&t->shape, packed, t->codes, t->stride, t->scale, (int)t->n);
    cr_assert_leq(bytes, pare_masked_most(&t->shape));
    struct guarded panel = guarded_new(bytes);
    memcpy(panel.data, packed, bytes);
    free(packed);
    memcpy(x.data, t->rows, t->m * t->stride);
    gemm->pack_a(&t->shape, a.data, x.data, t->x_scale, t->x_zero, (int)t->m);
    for (size_t i = 0; i < (t->m - 1) * ldy + PARE_MASKED_COLUMNS; i++)
        ((float *)y.data)[i] = NAN;
    if (sums)
        gemm->run_sums(&t->shape, a.data, panel.data, y.data, ldy, (int)t->m);
    else
        gemm->run(&t->shape, a.data, panel.data, y.data, ldy, (int)t->m);
    guarded_free(a);
    guarded_free(x);
    guarded_free(panel);
    return y;
}

static void check_tile(const struct pare_gemm_masked *gemm, const struct tile *t)
{
    const size_t ldy = PARE_MASKED_COLUMNS + 3;
    struct guarded y = run_tile(gemm, t, ldy, 0);
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < (i + 1 < t->m ? ldy : t->n); j++) {
            const float found = ((float *)y.data)[i * ldy + j];
            if (j >= PARE_MASKED_COLUMNS)
                cr_assert(isnan(found), "%s wrote behind its tile", gemm->name);
            if (j >= t->n)
                continue;
            const float expected = expected_at(t, i, j);
            cr_assert(!memcmp(&found, &expected, sizeof found),
                      "%s: width %d, %zu groups of %zu, %zu x %zu: (%zu, %zu) is %g, "
                      "expected %g",
                      gemm->name, t->shape.width, t->shape.groups, t->shape.size, t->m,
                      t->n, i, j, (double)found, (double)expected);
        }
    guarded_free(y);
    if (t->shape.groups > 1 || t->shape.width == 4)
        return;
    y = run_tile(gemm, t, ldy, 1);
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < t->n; j++)
            cr_assert_eq(((int32_t *)y.data)[i * ldy + j], sum_at(t, i, j, 0));
    guarded_free(y);
}

Test(masked, rows_of_every_tier_equal_the_definition)
{
    static const size_t sizes[][2] = {{1, 1},   {1, 5},   {3, 32},  {1, 40},  {2, 96},
                                      {2, 128}, {2, 160}, {1, 300}, {2, 512}, {1, 17}};
    static const int percents[] = {0, 5, 50, 97, 100};
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        const struct pare_gemm_masked *gemm =
            &pare_kernels_of(pare_cpu_tier(tier))->gemm_masked;
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int p = 0; p < 5; p++)
                for (int m = 1; m <= gemm->mr; m++) {
                    const struct pare_grouped shape = {sizes[s][0], sizes[s][1],
                                                       (p + m) % 2 ? 4 : 8};
                    struct tile t = tile_new(&shape, percents[p], (size_t)m,
                                             m % 2 ? 16 : 1 + (size_t)(5 * p + m) % 16,
                                             (uint64_t)(p * 100 + m) + 7 * s);
                    check_tile(gemm, &t);
                    tile_free(&t);
                }
    }
}

/* The largest group, with all inputs and codes at their ends. */
Test(masked, the_longest_group_does_not_overflow)
{
    static const int ends[][3] = {/* input, its zero point, code */
                                  {255, 0, 255},
                                  {255, 0, 0},
                                  {0, 255, 255},
                                  {0, 255, 0}};
    for (int tier = 0; pare_cpu_tier(tier); tier++)
        for (int e = 0; e < 8; e++) {
            const struct pare_grouped shape = {1, 32768, e % 2 ? 8 : 4};
            struct tile t = tile_new(&shape, 100, 1, 1, 1);
            memset(t.rows, ends[e / 2][0], shape.size);
            t.x_zero[0] = ends[e / 2][1];
            memset(t.codes, ends[e / 2][2] >> (8 - shape.width), shape.size);
            check_tile(&pare_kernels_of(pare_cpu_tier(tier))->gemm_masked, &t);
            tile_free(&t);
        }
}

/* Half of the weights, in groups of 128: little more than a bit and half a code a weight,
 * as quads that need the same places share bytes. */
Test(masked, panels_are_small)
{
    const struct pare_grouped narrow = {8, 128, 4}, wide = {1, 1024, 8};
    struct tile t = tile_new(&narrow, 51, 1, 16, 3);
    size_t kept = 0;
    for (size_t i = 0; i < 16 * t.stride; i++)
        kept += t.codes[i] != 8;
    unsigned char *packed = malloc(pare_masked_most(&narrow) + pare_masked_most(&wide));
    const size_t bytes =
        pare_masked_pack(&narrow, packed, t.codes, t.stride, t.scale, 16);
    cr_expect_float_eq((double)kept / (16 * 1024), 0.5, 0.03);
    cr_expect(8 * bytes <= 16 * 1024 * 365 / 100, "%g bits a weight",
              8.0 * (double)bytes / (16 * 1024));
    tile_free(&t);
    t = tile_new(&wide, 30, 1, 16, 4);
    kept = 0;
    for (size_t i = 0; i < 16 * t.stride; i++)
        kept += t.codes[i] != 128;
    cr_expect_eq(pare_masked_pack(&wide, packed, t.codes, t.stride, t.scale, 16),
                 16 * 1024 / 8 + kept + 32 * 8 + 32);
    free(packed);
    tile_free(&t);
}

/* --- Quads --- */

struct quads {
    struct pare_quads weights;
    struct guarded start, place, value;
    int8_t *dense; /* [n][4 quads] */
    size_t n, quads;
};

static struct quads quads_new(size_t n, size_t quads, int percent, uint64_t seed)
{
    struct quads q = {.n = n, .quads = quads};
    uint32_t *start = malloc((n + 1) * sizeof *start), kept = 0;
    q.dense = calloc(n * quads + 1, 4);
    for (size_t i = 0; i < n * quads; i++) {
        if (i % quads == 0)
            start[i / quads] = kept;
        if (!drawn(&seed, percent))
            continue;
        kept++;
        for (size_t k = 0; k < 4; k++)
            q.dense[4 * i + k] = (int8_t)(extreme(&seed, 255) - 128);
        q.dense[4 * i] |= 1; /* not all four are 0 */
    }
    start[n] = kept;
    q.start = guarded_new((n + 1) * sizeof *start);
    memcpy(q.start.data, start, (n + 1) * sizeof *start);
    free(start);
    q.place = guarded_new(kept * sizeof(uint16_t));
    q.value = guarded_new((size_t)kept * 4);
    kept = 0;
    for (size_t i = 0; i < n * quads; i++) {
        const int8_t *four = q.dense + 4 * i;
        if (!four[0])
            continue;
        ((uint16_t *)q.place.data)[kept] = (uint16_t)(i % quads);
        memcpy((int8_t *)q.value.data + 4 * kept++, four, 4);
    }
    q.weights = (struct pare_quads){q.start.data, q.place.data, q.value.data};
    return q;
}

static void quads_free(struct quads *q)
{
    guarded_free(q->start);
    guarded_free(q->place);
    guarded_free(q->value);
    free(q->dense);
}

static void check_quads(const struct pare_gemm_quads *gemm, const struct quads *q,
                        size_t m, uint8_t fixed)
{
    const size_t width = pare_quads_width(m), K = 4 * q->quads, stride = K + 4;
    uint64_t seed = m;
    struct guarded rows = guarded_new((m - 1) * stride + K);
    struct guarded a = guarded_new(width * K * (size_t)gemm->a_bytes);
    struct guarded acc = guarded_new((q->n - 1) * width * sizeof(int32_t));
    uint8_t *x = rows.data;
    for (size_t i = 0; i < (m - 1) * stride + K; i++)
        x[i] = fixed ? fixed : extreme(&seed, 255);
    memset(a.data, 0xee, width * K * (size_t)gemm->a_bytes);
    gemm->pack_a(a.data, x, stride, (int)m, q->quads);
    gemm->run(&q->weights, 1, q->n - 1, a.data, (int)m, acc.data);
    for (size_t j = 1; j < q->n; j++)
        for (size_t i = 0; i < m; i++) {
            int64_t sum = 0;
            for (size_t k = 0; k < K; k++)
                sum += (x[i * stride + k] - gemm->a_offset) * q->dense[j * K + k];
            cr_assert_eq(((int32_t *)acc.data)[(j - 1) * width + i], sum,
                         "%s: %zu quads, %zu rows: (%zu, %zu) is %d, expected %ld",
                         gemm->name, q->quads, m, j, i,
                         ((int32_t *)acc.data)[(j - 1) * width + i], (long)sum);
        }
    guarded_free(rows);
    guarded_free(a);
    guarded_free(acc);
}

Test(quads, rows_of_every_tier_equal_the_definition)
{
    static const size_t sizes[] = {1, 3, 16, 77};
    static const int percents[] = {0, 20, 60, 100};
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        const struct pare_gemm_quads *gemm =
            &pare_kernels_of(pare_cpu_tier(tier))->gemm_quads;
        for (size_t s = 0; s < 4; s++)
            for (size_t p = 0; p < 4; p++) {
                struct quads q = quads_new(9, sizes[s], percents[p], 10 * s + p);
                for (size_t m = 1; m <= (size_t)gemm->mr; m++)
                    check_quads(gemm, &q, m, 0);
                quads_free(&q);
            }
    }
}

Test(quads, the_longest_row_does_not_overflow)
{
    for (int tier = 0; pare_cpu_tier(tier); tier++)
        for (int end = 0; end < 2; end++) {
            struct quads q = quads_new(2, 8192, 100, 1);
            memset(q.dense, end ? -127 : 127, 2 * 4 * 8192);
            memset(q.value.data, end ? -127 : 127, 2 * 4 * 8192);
            check_quads(&pare_kernels_of(pare_cpu_tier(tier))->gemm_quads, &q, 5, 255);
            quads_free(&q);
        }
}
