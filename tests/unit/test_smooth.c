/* Factors between inputs and weights: what they are, what they leave equal, and the
 * search for them. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libquant/nearest.h"
#include "libquant/smooth.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/linear.h"
#include "tests/support/kernel_cases.h"

#define ROWS 60
#define OUTS 24
#define INS 64

/* Inputs of which a few are much larger than the others, as in an encoder. */
struct problem {
    float X[ROWS * INS], W[2][OUTS * INS];
    struct pare_inputs inputs;
    struct pare_smooth_site site;
    struct pare_arena scratch;
};

static struct problem p;

static void begin(const struct pare_target *target)
{
    uint64_t seed = 9;
    memset(&p, 0, sizeof p);
    for (int i = 0; i < ROWS * INS; i++)
        p.X[i] = case_float(&seed, CASE_PLAIN) * (i % INS % 13 == 5 ? 30.0f : 1.0f);
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < OUTS * INS; i++)
            p.W[m][i] = case_float(&seed, CASE_PLAIN);
    cr_assert_eq(pare_inputs_init(&p.inputs, INS, ROWS, NULL), PARE_OK);
    pare_inputs_add(&p.inputs, p.X, ROWS);
    p.site = (struct pare_smooth_site){.inputs = &p.inputs,
                                       .n = 2,
                                       .W = {p.W[0], p.W[1]},
                                       .N = {OUTS, OUTS},
                                       .targets = {*target, *target}};
}

static void end(void)
{
    pare_inputs_free(&p.inputs);
    pare_arena_free(&p.scratch);
}

static const struct pare_target int8 = {.kind = PARE_TARGET_TYPE, .type = PARE_I8};
static const struct pare_target int4 = {.kind = PARE_TARGET_GROUPS,
                                        .grid = {.bits = 4, .group = 32}};
static const struct pare_target q4_0 = {.kind = PARE_TARGET_TYPE, .type = PARE_Q4_0};

Test(smooth, factors_are_those_of_the_papers)
{
    static const double exponents[] = {0, 0.25, 0.5, 0.7, 1};
    begin(&int8);
    for (int family = PARE_SMOOTH_MAXIMA; family <= PARE_SMOOTH_MEANS; family++)
        for (int e = 0; e < 5; e++) {
            double s[INS], least = INFINITY, most = 0;
            float by[INS];
            for (int k = 0; k < INS; k++) {
                double x = 0, mean = 0, w = 0;
                for (int i = 0; i < ROWS; i++) {
                    x = fmax(x, fabs((double)p.X[i * INS + k]));
                    mean += fabs((double)p.X[i * INS + k]) / ROWS;
                }
                for (int m = 0; m < 2; m++)
                    for (int n = 0; n < OUTS; n++)
                        w = fmax(w, fabs((double)p.W[m][n * INS + k]));
                s[k] = family == PARE_SMOOTH_MAXIMA
                           ? pow(x, exponents[e]) / pow(w, 1 - exponents[e])
                           : pow(mean, exponents[e]);
                least = fmin(least, s[k]);
                most = fmax(most, s[k]);
            }
            cr_assert_eq(pare_smooth_factors(&p.site, (enum pare_smooth_family)family,
                                             exponents[e], by, &p.scratch, NULL),
                         PARE_OK);
            for (int k = 0; k < INS; k++) {
                const double expected = sqrt(least * most) / s[k];
                cr_assert_float_eq(by[k], expected, 2e-4 * expected,
                                   "family %d, exponent %g, input %d: %g, expected %g",
                                   family, exponents[e], k, (double)by[k], expected);
            }
        }
    end();
}

Test(smooth, inputs_and_weights_that_are_always_zero_keep_their_factor)
{
    float by[INS];
    begin(&int8);
    pare_inputs_free(&p.inputs);
    for (int i = 0; i < ROWS; i++)
        p.X[i * INS + 3] = 0;
    for (int n = 0; n < OUTS; n++)
        p.W[0][n * INS + 7] = p.W[1][n * INS + 7] = 0;
    cr_assert_eq(pare_inputs_init(&p.inputs, INS, ROWS, NULL), PARE_OK);
    pare_inputs_add(&p.inputs, p.X, ROWS);
    cr_assert_eq(
        pare_smooth_factors(&p.site, PARE_SMOOTH_MAXIMA, 0.5, by, &p.scratch, NULL),
        PARE_OK);
    cr_expect(by[3] == 1 && by[7] == 1 && by[4] > 0 && isfinite(by[4]));
    end();
}

Test(smooth, the_layer_computes_the_same_in_float)
{
    float by[INS], smoothed[OUTS * INS];
    double Y[2][ROWS * OUTS];
    begin(&int8);
    cr_assert_eq(
        pare_smooth_factors(&p.site, PARE_SMOOTH_MAXIMA, 0.5, by, &p.scratch, NULL),
        PARE_OK);
    pare_smooth_weights(p.W[0], OUTS, INS, by, smoothed);
    double most = 0;
    for (int with = 0; with < 2; with++) {
        struct pare_arena arena = {0};
        struct pare_linear linear;
        float y[ROWS * OUTS];
        const struct pare_weight weight = {.type = PARE_F32,
                                           .N = OUTS,
                                           .K = INS,
                                           .data = with ? smoothed : p.W[0],
                                           .input_scale = with ? by : NULL};
        cr_assert_eq(pare_linear_init(&linear, &weight, 1, NULL, 0, &arena, NULL),
                     PARE_OK);
        cr_assert_eq(pare_linear_forward(&linear, p.X, ROWS, y, PARE_ACT_NONE, NULL,
                                         &p.scratch, NULL),
                     PARE_OK);
        for (int i = 0; i < ROWS * OUTS; i++) {
            Y[with][i] = (double)y[i];
            most = fmax(most, fabs(Y[with][i]));
        }
        pare_arena_free(&arena);
    }
    for (int i = 0; i < ROWS * OUTS; i++)
        cr_assert_float_eq(Y[1][i], Y[0][i], 1e-5 * most);
    end();
}

/* The candidate's error, by the layer that runs: the site's matrices in I8. */
static double error_of_int8(const float *by)
{
    double sum = 0;
    for (int m = 0; m < 2; m++) {
        static float W[OUTS * INS], Y[ROWS * OUTS], exact[ROWS * OUTS];
        static int8_t codes[OUTS * INS];
        float scale[OUTS];
        struct pare_arena arena = {0};
        struct pare_linear linear;
        struct pare_quant_error error = {0};
        pare_smooth_weights(p.W[m], OUTS, INS, by, W);
        const struct pare_quant_rows rows = {W, OUTS, INS, 0};
        cr_assert_eq(pare_rtn_quantize(PARE_I8, &rows, codes, scale, &error, NULL),
                     PARE_OK);
        const struct pare_weight weights[] = {
            {.type = PARE_I8,
             .N = OUTS,
             .K = INS,
             .data = codes,
             .scale = scale,
             .input_scale = by},
            {.type = PARE_F32, .N = OUTS, .K = INS, .data = p.W[m]}};
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(pare_linear_init(&linear, &weights[i], 1, NULL, 0, &arena, NULL),
                         PARE_OK);
            cr_assert_eq(pare_linear_forward(&linear, p.X, ROWS, i ? exact : Y,
                                             PARE_ACT_NONE, NULL, &p.scratch, NULL),
                         PARE_OK);
        }
        for (int i = 0; i < ROWS * OUTS; i++)
            sum += ((double)Y[i] - (double)exact[i]) * ((double)Y[i] - (double)exact[i]);
        pare_arena_free(&arena);
    }
    return sum / (2 * ROWS * OUTS);
}

static const struct pare_smooth_choice candidates[] = {
    {PARE_SMOOTH_NONE, 0, 0},     {PARE_SMOOTH_MAXIMA, 0.25, 0},
    {PARE_SMOOTH_MAXIMA, 0.5, 0}, {PARE_SMOOTH_MAXIMA, 0.75, 0},
    {PARE_SMOOTH_MEANS, 0.25, 0}, {PARE_SMOOTH_MEANS, 0.5, 0},
};
#define CANDIDATES (sizeof candidates / sizeof *candidates)

Test(smooth, the_search_measures_what_the_layer_does)
{
    struct pare_smooth_choice found[CANDIDATES];
    float by[INS];
    size_t best;
    begin(&int8);
    memcpy(found, candidates, sizeof found);
    cr_assert_eq(
        pare_smooth_search(&p.site, ROWS, found, CANDIDATES, &best, &p.scratch, NULL),
        PARE_OK);
    for (size_t c = 0; c < CANDIDATES; c++) {
        cr_assert_eq(pare_smooth_factors(&p.site, found[c].family, found[c].exponent, by,
                                         &p.scratch, NULL),
                     PARE_OK);
        const double expected = error_of_int8(by);
        cr_expect_float_eq(found[c].error, expected, 1e-3 * expected,
                           "candidate %zu: %g, expected %g", c, found[c].error, expected);
    }
    cr_expect(found[2].error < 0.5 * found[0].error, "outliers of inputs: %g, %g",
              found[2].error, found[0].error);
    end();
}

Test(smooth, the_best_is_never_above_no_smoothing_and_does_not_depend_on_threads)
{
    const struct pare_target *targets[] = {&int8, &int4, &q4_0};
    for (int t = 0; t < 3; t++) {
        struct pare_smooth_choice found[CANDIDATES], again[CANDIDATES];
        size_t best, same;
        begin(targets[t]);
        memcpy(found, candidates, sizeof found);
        memcpy(again, candidates, sizeof again);
        pare_set_threads(1);
        cr_assert_eq(
            pare_smooth_search(&p.site, 32, found, CANDIDATES, &best, &p.scratch, NULL),
            PARE_OK);
        pare_set_threads(3);
        cr_assert_eq(pare_cpu_select("scalar", NULL), PARE_OK);
        cr_assert_eq(
            pare_smooth_search(&p.site, 32, again, CANDIDATES, &same, &p.scratch, NULL),
            PARE_OK);
        cr_assert_eq(pare_cpu_select("auto", NULL), PARE_OK);
        cr_expect_eq(best, same);
        for (size_t c = 0; c < CANDIDATES; c++) {
            cr_expect(found[best].error <= found[c].error);
            cr_expect(found[c].error == again[c].error);
        }
        end();
    }
}

Test(smooth, an_error_that_is_not_finite_is_never_the_best)
{
    struct pare_smooth_choice found[CANDIDATES];
    size_t best;
    begin(&q4_0);
    for (int i = 0; i < OUTS * INS; i++)
        p.W[0][i] *= 1e5f; /* half-precision scales overflow with large factors */
    memcpy(found, candidates, sizeof found);
    cr_assert_eq(
        pare_smooth_search(&p.site, ROWS, found, CANDIDATES, &best, &p.scratch, NULL),
        PARE_OK);
    cr_expect(best == 0 || isfinite(found[best].error));
    for (size_t c = 0; c < CANDIDATES; c++)
        cr_expect(!isnan(found[c].error));
    end();
}

/* Scales that have to be exact in bfloat16 are those that are searched with: what the
 * layer does with its weights as they will be stored. */
Test(smooth, the_search_rounds_as_the_format_is_stored)
{
    static const enum pare_dtype types[] = {PARE_Q8_0, PARE_Q4_0, PARE_Q4_1};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        struct pare_target target = {.kind = PARE_TARGET_TYPE, .type = types[t]};
        struct pare_smooth_choice plain = {.family = PARE_SMOOTH_NONE}, exact = plain;
        static float Q[OUTS * INS], stored[OUTS * INS];
        static unsigned char data[OUTS * INS * 2];
        struct pare_quant_error error = {0};
        size_t best;
        begin(&target);
        cr_assert_eq(
            pare_smooth_search(&p.site, ROWS, &plain, 1, &best, &p.scratch, NULL),
            PARE_OK);
        target.grid.bf16 = 1;
        p.site.targets[0] = p.site.targets[1] = target;
        cr_assert_eq(
            pare_smooth_search(&p.site, ROWS, &exact, 1, &best, &p.scratch, NULL),
            PARE_OK);
        cr_expect(exact.error > plain.error || exact.error < plain.error, "%zu: %g, %g",
                  t, exact.error, plain.error);
        const struct pare_quant_rows rows = {p.W[0], OUTS, INS, 0};
        cr_assert_eq(pare_nearest_plain(&target, &rows, Q, NULL), PARE_OK);
        cr_assert_eq(pare_nearest_blocks(&target, &rows, data, &error, NULL), PARE_OK);
        const struct pare_tensor tensor = {
            .type = types[t], .n_dims = 2, .shape = {OUTS, INS}, .data = data};
        cr_assert_eq(pare_tensor_decode(&tensor, stored, NULL), PARE_OK);
        for (int i = 0; i < OUTS * INS; i++)
            cr_assert(Q[i] == stored[i], "%zu, %d: %g, %g", t, i, (double)Q[i],
                      (double)stored[i]);
        end();
    }
}
