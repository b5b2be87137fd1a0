/* Factors and ranges of a linear layer's inputs: what they mean, for every stored form
 * and on every tier. */
#include <criterion/criterion.h>
#include <math.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/linear.h"
#include "tests/support/kernel_cases.h"

#define OUTS 37
#define INS 96
#define TOKENS 19

/* What the layers are made of. */
struct layer {
    struct pare_weight weight;
    float by[INS], scale[OUTS];
    unsigned char data[OUTS * INS * 4], half[2 * OUTS * INS];
};

static void make_layer(struct layer *l, enum pare_dtype type, int bits, size_t group)
{
    uint64_t seed = (uint64_t)type * 97 + (uint64_t)bits;
    const struct pare_dtype_info *info = pare_dtype_info(type);
    *l = (struct layer){.weight = {.type = type, .N = OUTS, .K = INS, .data = l->data}};
    for (size_t k = 0; k < INS; k++)
        l->by[k] = 0.01f + fabsf(case_float(&seed, CASE_PLAIN));
    for (size_t n = 0; n < OUTS; n++) {
        float row[INS];
        for (size_t k = 0; k < INS; k++)
            row[k] = case_float(&seed, CASE_PLAIN);
        l->scale[n] = 0.01f + fabsf(row[0]) / 127;
        if (type != PARE_I8)
            pare_row_encode(type, row,
                            l->data + n * (INS / info->block * info->block_bytes), INS);
    }
    for (size_t i = 0; type == PARE_I8 && i < OUTS * INS; i++)
        l->data[i] = (unsigned char)case_random(&seed);
    for (size_t i = 0; i < OUTS * INS; i++) /* about 0.01 */
        l->half[2 * i] = (unsigned char)case_random(&seed), l->half[2 * i + 1] = 0x21;
    if (bits)
        l->weight.groups = (struct pare_groups){bits, group, l->half, NULL};
    else if (type == PARE_I8)
        l->weight.scale = l->scale;
}

static void forward(const struct pare_weight *weights, int parts, const float *X,
                    float *Y)
{
    struct pare_arena arena = {0}, scratch = {0};
    struct pare_linear linear;
    struct pare_error err = {""};
    cr_assert_eq(pare_linear_init(&linear, weights, parts, NULL, 0, &arena, &err),
                 PARE_OK, "%s", err.message);
    cr_assert_eq(
        pare_linear_forward(&linear, X, TOKENS, Y, PARE_ACT_NONE, NULL, &scratch, &err),
        PARE_OK, "%s", err.message);
    pare_arena_free(&arena);
    pare_arena_free(&scratch);
}

static void make_inputs(float *X, const float *by, float *scaled)
{
    uint64_t seed = 5;
    for (size_t i = 0; i < TOKENS * INS; i++) {
        X[i] = case_float(&seed, CASE_PLAIN);
        scaled[i] = X[i] * by[i % INS];
    }
}

static const struct {
    enum pare_dtype type;
    int bits;
    size_t group;
} forms[] = {{PARE_F32, 0, 0},  {PARE_F16, 0, 0},  {PARE_BF16, 0, 0}, {PARE_Q8_0, 0, 0},
             {PARE_Q4_0, 0, 0}, {PARE_Q4_1, 0, 0}, {PARE_I8, 0, 0},   {PARE_I8, 4, 32},
             {PARE_I8, 2, INS}, {PARE_I8, 8, 32}};
#define FORMS (sizeof forms / sizeof *forms)

Test(linear_inputs, factors_multiply_the_inputs_of_every_form_on_every_tier)
{
    static struct layer l;
    static float X[TOKENS * INS], scaled[TOKENS * INS], Y[TOKENS * OUTS],
        expected[TOKENS * OUTS];
    for (size_t f = 0; f < FORMS; f++)
        for (int tier = 0; pare_cpu_tier(tier); tier++) {
            cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
            pare_set_threads(1 + tier);
            make_layer(&l, forms[f].type, forms[f].bits, forms[f].group);
            make_inputs(X, l.by, scaled);
            forward(&l.weight, 1, scaled, expected);
            l.weight.input_scale = l.by;
            forward(&l.weight, 1, X, Y);
            cr_assert(!memcmp(Y, expected, sizeof Y), "%s, %d bits, %s",
                      pare_dtype_name(forms[f].type), forms[f].bits, pare_cpu_tier(tier));
        }
}

Test(linear_inputs, parts_of_different_forms_share_the_factors)
{
    static struct layer l[3];
    static float X[TOKENS * INS], scaled[TOKENS * INS], Y[TOKENS * 3 * OUTS],
        expected[TOKENS * 3 * OUTS];
    struct pare_weight parts[3];
    make_layer(&l[0], PARE_F16, 0, 0);
    make_layer(&l[1], PARE_I8, 0, 0);
    make_layer(&l[2], PARE_I8, 4, 32);
    make_inputs(X, l[0].by, scaled);
    for (int p = 0; p < 3; p++)
        parts[p] = l[p].weight;
    forward(parts, 3, scaled, expected);
    for (int p = 0; p < 3; p++)
        parts[p].input_scale = l[0].by;
    forward(parts, 3, X, Y);
    cr_assert(!memcmp(Y, expected, sizeof Y));
}

/* y from the document's definition of a given range, in double where it is exact. */
static float product(const struct layer *l, const float *x, const float range[2],
                     size_t n)
{
    const float s = (range[1] - range[0]) / 255, inverse = 1 / s;
    const float zero = rintf(-range[0] * inverse);
    int64_t sum = 0;
    for (size_t k = 0; k < INS; k++) {
        const float a = rintf(fminf(fmaxf(fmaf(x[k], inverse, zero), 0), 255));
        sum += ((int64_t)a - (int64_t)zero) * (int8_t)l->data[n * INS + k];
    }
    return (float)sum * (s * l->scale[n]);
}

Test(linear_inputs, a_given_range_takes_the_place_of_the_tokens_own)
{
    static struct layer l;
    static float X[TOKENS * INS], scaled[TOKENS * INS], Y[TOKENS * OUTS];
    static const float ranges[][2] = {{-3, 4}, {0, 1}, {-0.5f, 0}, {-100, 1}};
    make_layer(&l, PARE_I8, 0, 0);
    make_inputs(X, l.by, scaled);
    for (int tier = 0; pare_cpu_tier(tier); tier++)
        for (int r = 0; r < 4; r++)
            for (int with = 0; with < 2; with++) {
                cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
                l.weight.input_range = ranges[r];
                l.weight.input_scale = with ? l.by : NULL;
                forward(&l.weight, 1, X, Y);
                for (size_t i = 0; i < TOKENS * OUTS; i++) {
                    const float *x = (with ? scaled : X) + i / OUTS * INS;
                    const float expected = product(&l, x, ranges[r], i % OUTS);
                    cr_assert(Y[i] == expected, "%s, range %d: %g, expected %g",
                              pare_cpu_tier(tier), r, (double)Y[i], (double)expected);
                }
            }
}

Test(linear_inputs, a_row_with_a_nan_gives_nan_under_a_given_range_too)
{
    static struct layer l;
    static float X[TOKENS * INS], scaled[TOKENS * INS], Y[TOKENS * OUTS];
    static const float range[2] = {-1, 1};
    make_layer(&l, PARE_I8, 0, 0);
    l.weight.input_range = range;
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
        make_inputs(X, l.by, scaled);
        X[3 * INS + 50] = NAN;
        X[5 * INS + 95] = -INFINITY;
        forward(&l.weight, 1, X, Y);
        for (size_t i = 0; i < TOKENS * OUTS; i++)
            cr_assert_eq(isnan(Y[i]) != 0, i / OUTS == 3 || i / OUTS == 5, "row %zu",
                         i / OUTS);
    }
}

Test(linear_inputs, parts_that_do_not_share_and_forms_without_a_range_are_refused)
{
    static struct layer l[2];
    struct pare_arena arena = {0};
    struct pare_linear linear;
    struct pare_error err;
    static const float range[2] = {-1, 1};
    make_layer(&l[0], PARE_I8, 0, 0);
    make_layer(&l[1], PARE_I8, 0, 0);
    struct pare_weight parts[2] = {l[0].weight, l[1].weight};
    parts[1].input_scale = l[1].by;
    cr_expect_eq(pare_linear_init(&linear, parts, 2, NULL, 0, &arena, &err),
                 PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "the same factors"));
    make_layer(&l[0], PARE_I8, 4, 32);
    l[0].weight.input_range = range;
    cr_expect_eq(pare_linear_init(&linear, &l[0].weight, 1, NULL, 0, &arena, &err),
                 PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "a range of inputs is for I8"));
    make_layer(&l[0], PARE_F32, 0, 0);
    l[0].weight.input_scale = l[0].by;
    cr_expect_eq(pare_linear_init(&linear, &l[0].weight, 1, NULL, 1, &arena, &err),
                 PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "in training"));
    pare_arena_free(&arena);
}
