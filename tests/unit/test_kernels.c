/* The kernels: every tier gives the bits of the scalar one, and those are right. */
#include <criterion/criterion.h>
#include <float.h>
#include <stdio.h>

#include "runtime/kernels/vec_scalar.h"
/* The functions below belong to the scalar lanes. */
#include "runtime/kernels/vec_math.h"
#include "runtime/tensor/tensor.h"
#include "tests/support/kernel_cases.h"

static const char *const all_tiers[] = {"scalar", "avx2",    "avx512",  "amx",
                                        "neon",   "neondot", "neoni8mm"};
#define TIERS (sizeof all_tiers / sizeof all_tiers[0])

/* The tables of this machine; the ones it lacks are named. */
static size_t present(const struct pare_kernels *tables[TIERS])
{
    size_t n = 0;
    for (size_t i = 0; i < TIERS; i++) {
        tables[n] = pare_kernels_of(all_tiers[i]);
        if (tables[n])
            n++;
        else
            fprintf(stderr, "this CPU has no %s: its kernels are not tested here\n",
                    all_tiers[i]);
    }
    return n;
}

Test(kernels, every_tier_gives_the_bits_of_the_scalar_one)
{
    const struct pare_kernels *tables[TIERS];
    size_t tiers = present(tables);
    for (int function = 0; function < CASE_FUNCTIONS; function++)
        for (size_t i = 0; i < CASE_SIZES; i++)
            for (int kind = 0; kind < CASE_KINDS; kind++) {
                struct case_output expected = {0};
                case_run(tables[0], function, case_sizes[i], (enum case_kind)kind,
                         &expected);
                for (size_t t = 1; t < tiers; t++) {
                    struct case_output found = {0};
                    case_run(tables[t], function, case_sizes[i], (enum case_kind)kind,
                             &found);
                    cr_assert(found.bytes == expected.bytes &&
                                  !memcmp(found.data, expected.data, found.bytes),
                              "%s of %s differs from scalar: n %zu, kind %d",
                              case_name(function), tables[t]->tier, case_sizes[i], kind);
                    free(found.data);
                }
                free(expected.data);
            }
}

/* One call of a float tile: guarded inputs, a frame around the output. */
static void check_f32_tile(const struct pare_kernels *k, size_t kc, int m, int n,
                           int accumulate)
{
    const struct pare_gemm_f32 *gemm = &k->gemm_f32;
    size_t rows = (size_t)m, columns = (size_t)n, nr = (size_t)gemm->nr;
    uint64_t seed = kc * 100 + rows;
    struct guarded ga = case_floats(&seed, kc * rows, CASE_PLAIN);
    struct guarded gb = case_floats(&seed, kc * nr, CASE_PLAIN);
    size_t ldc = columns + 3;
    struct guarded gc = case_floats(&seed, (rows - 1) * ldc + columns, CASE_PLAIN);
    const float *a = ga.data, *b = gb.data;
    float *c = gc.data;
    float *before = malloc((rows * ldc) * sizeof *before);
    memcpy(before, c, ((rows - 1) * ldc + columns) * sizeof *c);
    gemm->run(kc, a, b, c, ldc, m, n, accumulate, (struct pare_ahead){b, 64});
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < (i + 1 < rows ? ldc : columns); j++) {
            float expected = before[i * ldc + j];
            if (j < columns) {
                expected = accumulate ? expected : 0.0f;
                for (size_t p = 0; p < kc; p++)
                    expected = fmaf(a[p * rows + i], b[p * nr + j], expected);
            }
            cr_assert(!memcmp(&expected, &c[i * ldc + j], sizeof expected),
                      "%s: kc %zu, tile %d x %d, accumulate %d, at (%zu, %zu)",
                      gemm->name, kc, m, n, accumulate, i, j);
        }
    free(before);
    guarded_free(ga);
    guarded_free(gb);
    guarded_free(gc);
}

Test(kernels, float_tiles_equal_a_plain_loop)
{
    static const size_t depths[] = {0, 1, 2, 15, 64, 129};
    const struct pare_kernels *tables[TIERS];
    size_t tiers = present(tables);
    for (size_t t = 0; t < tiers; t++)
        for (int m = 1; m <= tables[t]->gemm_f32.mr; m++)
            for (int n = 1; n <= tables[t]->gemm_f32.nr; n++)
                for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
                    check_f32_tile(tables[t], depths[d], m, n, (m + n) % 2);
}

/* Activations and weights at their extremes, where 16-bit sums would overflow. */
static unsigned char extreme(uint64_t *seed, const unsigned char *choices, size_t n)
{
    uint64_t r = case_random(seed);
    return r % 3 ? choices[(r >> 8) % n] : (unsigned char)(r >> 16);
}

static void check_u8s8_tile(const struct pare_kernels *k, size_t groups, int m)
{
    static const unsigned char high[] = {0, 255, 128, 127},
                               wide[] = {0x80, 0x7f, 0x81, 0};
    const struct pare_gemm_u8s8 *gemm = &k->gemm_u8s8;
    size_t rows = (size_t)m, nr = (size_t)gemm->nr, stride = 4 * groups + 3;
    uint64_t seed = groups * 31 + rows;
    struct guarded gx = guarded_new(rows * stride - 3);
    struct guarded ga = guarded_new(rows * groups * 4 * (size_t)gemm->a_bytes);
    struct guarded gb = guarded_new(groups * nr * 4);
    struct guarded gacc = guarded_new(rows * nr * sizeof(int32_t));
    uint8_t *x = gx.data;
    int8_t *b = gb.data;
    int32_t *acc = gacc.data;
    for (size_t i = 0; i < rows * stride - 3; i++)
        x[i] = extreme(&seed, high, 4);
    for (size_t i = 0; i < groups * nr * 4; i++)
        b[i] = (int8_t)extreme(&seed, wide, 4);
    if (gemm->pack_a)
        gemm->pack_a(ga.data, x, stride, m, groups);
    for (size_t i = 0; !gemm->pack_a && i < rows; i++)
        memcpy((uint8_t *)ga.data + i * groups * 4, x + i * stride, groups * 4);
    gemm->run(groups, ga.data, b, acc, nr, m, (struct pare_ahead){b, 64});
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < nr; j++) {
            int64_t expected = 0;
            for (size_t p = 0; p < 4 * groups; p++)
                expected += ((int64_t)x[i * stride + p] - gemm->a_offset) *
                            b[(p / 4 * nr + j) * 4 + p % 4];
            cr_assert_eq(acc[i * nr + j], expected, "%s: %zu groups, %d rows, (%zu, %zu)",
                         gemm->name, groups, m, i, j);
        }
    guarded_free(gx);
    guarded_free(ga);
    guarded_free(gb);
    guarded_free(gacc);
}

Test(kernels, byte_tiles_are_exact)
{
    static const size_t depths[] = {1, 2, 3, 16, 17, 768};
    const struct pare_kernels *tables[TIERS];
    size_t tiers = present(tables);
    for (size_t t = 0; t < tiers; t++)
        for (int m = 1; m <= tables[t]->gemm_u8s8.mr; m++)
            for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
                check_u8s8_tile(tables[t], depths[d], m);
}

Test(kernels, groups_are_quantised_like_rows_of_their_own)
{
    static const size_t shapes[][2] = {{1, 32},  {7, 32},  {64, 32}, {65, 16}, {150, 5},
                                       {3, 128}, {24, 96}, {2, 771}, {1, 1}};
    const struct pare_kernels *tables[TIERS];
    size_t tiers = present(tables);
    for (size_t t = 0; t < tiers; t++)
        for (int kind = 0; kind < CASE_KINDS; kind++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                const size_t groups = shapes[s][0], size = shapes[s][1],
                             stride = size + 3;
                uint64_t seed = s;
                struct guarded x =
                    case_floats(&seed, groups * size, (enum case_kind)kind);
                struct guarded q = guarded_new(groups * stride - 3),
                               row = guarded_new(size);
                float scale[150], one;
                int32_t zero[150], own;
                if (kind == CASE_WIDE) /* ranges that overflow, and tiny ones */
                    for (size_t i = 0; i < groups * size; i++)
                        ((float *)x.data)[i] *= i / size % 3 ? 1e-25f : 1e20f;
                struct guarded by =
                    case_floats(&seed, groups * size, (enum case_kind)kind);
                const float *factors = s % 2 ? by.data : NULL;
                tables[t]->quantize_u8_groups(q.data, stride, x.data, factors, groups,
                                              size, scale, zero);
                for (size_t g = 0; g < groups; g++) {
                    tables[t]->quantize_u8(row.data, (float *)x.data + g * size,
                                           factors ? factors + g * size : NULL, size,
                                           &one, &own);
                    cr_assert(!memcmp(row.data, (uint8_t *)q.data + g * stride, size) &&
                                  own == zero[g] &&
                                  (one == scale[g] || (isnan(one) && isnan(scale[g]))),
                              "%s, kind %d: group %zu of %zu x %zu", tables[t]->tier,
                              kind, g, groups, size);
                }
                guarded_free(x);
                guarded_free(by);
                guarded_free(q);
                guarded_free(row);
            }
}

Test(kernels, softmax_of_rows_is_that_of_each_row)
{
    const struct pare_kernels *tables[TIERS];
    size_t tiers = present(tables);
    for (size_t t = 0; t < tiers; t++)
        for (size_t rows = 0; rows < 20; rows += rows < 2 ? 1 : 6)
            for (size_t n = 1; n < 130; n += n < 36 ? 1 : 31) {
                uint64_t seed = 131 * rows + n;
                struct guarded x = case_floats(&seed, rows * n, CASE_PLAIN);
                struct guarded each = guarded_new(rows * n * sizeof(float));
                memcpy(each.data, x.data, rows * n * sizeof(float));
                tables[t]->softmax_rows(x.data, 0.7f, rows, n);
                for (size_t r = 0; r < rows; r++)
                    tables[t]->softmax((float *)each.data + r * n, 0.7f, n);
                cr_assert_arr_eq(x.data, each.data, rows * n * sizeof(float),
                                 "%s: %zu rows of %zu", tables[t]->tier, rows, n);
                guarded_free(x);
                guarded_free(each);
            }
}

/* Accuracy of the scalar lanes, to which all tiers are equal. -------------------------
 */

/* |found - expected| in units of the last place of a float near `expected`. */
static double ulps(float found, double expected)
{
    int exponent;
    frexp(fmax(fabs(expected), FLT_MIN), &exponent);
    return fabs((double)found - expected) / ldexp(1.0, exponent - FLT_MANT_DIG);
}

static float lane(vf v)
{
    return v.v[0];
}

Test(kernels, exp_is_within_two_units_of_the_last_place)
{
    double worst = 0;
    for (float x = -87.3f; x <= 88.37f; x += 0.00137f)
        worst = fmax(worst, ulps(lane(v_exp(vf_set(x))), exp((double)x)));
    for (float x = -1e-3f; x <= 1e-3f; x += 1.7e-7f)
        worst = fmax(worst, ulps(lane(v_exp(vf_set(x))), exp((double)x)));
    cr_expect_leq(worst, 1.05, "exp: %.3f ulp", worst);
    cr_expect_eq(lane(v_exp(vf_set(-87.31f))), 0.0f);
    cr_expect_eq(lane(v_exp(vf_set(-INFINITY))), 0.0f);
    cr_expect_eq(lane(v_exp(vf_set(88.5f))), INFINITY);
    cr_expect_eq(lane(v_exp(vf_set(INFINITY))), INFINITY);
    cr_expect_eq(lane(v_exp(vf_set(0.0f))), 1.0f);
    cr_expect(isnan(lane(v_exp(vf_set(NAN)))));
}

Test(kernels, log_and_tanh_are_within_their_bounds)
{
    double worst_log = 0, worst_tanh = 0;
    for (float x = 1.0f; x < 1e6f; x *= 1.00003f)
        worst_log = fmax(worst_log, ulps(lane(v_log(vf_set(x))), log((double)x)));
    for (float x = -12.0f; x < 12.0f; x += 0.00023f)
        worst_tanh = fmax(worst_tanh, ulps(lane(v_tanh(vf_set(x))), tanh((double)x)));
    for (float x = 1e-30f; x < 1.0f; x *= 1.003f)
        worst_tanh = fmax(worst_tanh, ulps(lane(v_tanh(vf_set(x))), tanh((double)x)));
    cr_expect_leq(worst_log, 0.9, "log: %.3f ulp", worst_log);
    cr_expect_leq(worst_tanh, 1.4, "tanh: %.3f ulp", worst_tanh);
    cr_expect_eq(lane(v_log(vf_set(1.0f))), 0.0f);
    cr_expect_eq(lane(v_tanh(vf_set(INFINITY))), 1.0f);
    cr_expect_eq(lane(v_tanh(vf_set(-INFINITY))), -1.0f);
    cr_expect(isnan(lane(v_tanh(vf_set(NAN)))));
}

/* The activations in double. */
static double exact(enum pare_activation act, double x)
{
    const double c = sqrt(2 / acos(-1.0));
    switch (act) {
    case PARE_ACT_GELU: return x * 0.5 * erfc(-x / sqrt(2.0));
    case PARE_ACT_GELU_TANH: return x / (1 + exp(-2 * c * (x + 0.044715 * x * x * x)));
    case PARE_ACT_RELU: return x > 0 ? x : 0;
    case PARE_ACT_TANH: return tanh(x);
    case PARE_ACT_SILU: return x / (1 + exp(-x));
    default: return x;
    }
}

Test(kernels, activations_are_within_1e_7_and_their_slopes_are_theirs)
{
    const struct pare_kernels *k = pare_kernels();
    for (int act = PARE_ACT_NONE; act <= PARE_ACT_SILU; act++) {
        double worst = 0, worst_slope = 0;
        for (float start = -20.0f; start < 20.0f; start += 0.0317f) {
            float x[16], y[16], dx[16], dy[16];
            for (int j = 0; j < 16; j++) {
                x[j] = start + 0.00193f * (float)j;
                dy[j] = 1.0f;
            }
            k->activate((enum pare_activation)act, y, x, 16);
            k->activate_backward((enum pare_activation)act, dx, dy, x, 16);
            for (int j = 0; j < 16; j++) {
                double scale = fmax(1.0, fabs((double)x[j])), h = 1e-5;
                double value = exact((enum pare_activation)act, x[j]);
                double slope = (exact((enum pare_activation)act, x[j] + h) -
                                exact((enum pare_activation)act, x[j] - h)) /
                               (2 * h);
                worst = fmax(worst, fabs((double)y[j] - value) / scale);
                if (act != PARE_ACT_RELU || fabs((double)x[j]) > h)
                    worst_slope = fmax(worst_slope, fabs((double)dx[j] - slope));
            }
        }
        cr_expect_leq(worst, act == PARE_ACT_GELU ? 1e-7 : 1.5e-7,
                      "activation %d: error %g", act, worst);
        cr_expect_leq(worst_slope, 2e-6, "slope of %d: error %g", act, worst_slope);
    }
}

Test(kernels, gelu_ends_where_it_should)
{
    const float x[4] = {-INFINITY, -1e30f, 1e30f, NAN};
    float y[4];
    pare_kernels()->activate(PARE_ACT_GELU, y, x, 4);
    cr_expect(isnan(y[0])); /* minus infinity times zero, as in PyTorch */
    cr_expect_eq(y[1], 0.0f);
    cr_expect_eq(y[2], 1e30f);
    cr_expect(isnan(y[3]));
}

/* Rows against double. --------------------------------------------------------------- */

#define N 771

static void random_row(float *x, uint64_t seed)
{
    for (size_t i = 0; i < N; i++)
        x[i] = case_float(&seed, CASE_PLAIN);
}

Test(kernels, reductions_agree_with_double)
{
    const struct pare_kernels *k = pare_kernels();
    float x[N], y[N];
    random_row(x, 1);
    random_row(y, 2);
    double dot = 0, sum = 0, squares = 0, exps = 0, max = -INFINITY;
    for (size_t i = 0; i < N; i++) {
        dot += (double)x[i] * y[i];
        sum += x[i];
        squares += (double)x[i] * x[i];
        exps += exp((double)x[i]);
        max = fmax(max, x[i]);
    }
    cr_expect_float_eq(k->dot(x, y, N), dot, 1e-3);
    cr_expect_float_eq(k->sum(x, N), sum, 1e-4);
    cr_expect_float_eq(k->sum_squares(x, N), squares, 1e-9);
    cr_expect_float_eq(k->logsumexp(x, N), log(exps), 1e-6);
    cr_expect_eq(k->max(x, N), (float)max);
    cr_expect_eq(k->max(x, 0), -INFINITY);
    cr_expect_eq(k->logsumexp(x, 0), -INFINITY);
    float large[3] = {1000.0f, 1000.0f, -INFINITY};
    cr_expect_float_eq(k->logsumexp(large, 3), 1000 + log(2), 1e-3);
    large[2] = NAN;
    cr_expect(isnan(k->logsumexp(large, 3)));
}

Test(kernels, softmax_is_a_distribution_and_respects_masks)
{
    const struct pare_kernels *k = pare_kernels();
    float x[N], p[N], g[N];
    random_row(x, 3);
    random_row(g, 4);
    x[5] = -INFINITY;
    x[6] = -1e30f;
    memcpy(p, x, sizeof p);
    k->softmax(p, 0.7f, N);
    double sum = 0, total = 0, inner = 0;
    for (size_t i = 0; i < N; i++)
        sum += exp(0.7f * (double)x[i]);
    for (size_t i = 0; i < N; i++) {
        total += p[i];
        inner += (double)p[i] * g[i];
        cr_assert_float_eq(p[i], exp(0.7f * (double)x[i]) / sum, 1e-8);
    }
    cr_expect_float_eq(total, 1.0, 1e-6);
    cr_expect_eq(p[5], 0.0f);
    cr_expect_eq(p[6], 0.0f);
    float dp[N];
    memcpy(dp, g, sizeof dp);
    k->softmax_backward(dp, p, 0.7f, N);
    for (size_t i = 0; i < N; i++)
        cr_assert_float_eq(dp[i], 0.7 * p[i] * (g[i] - inner), 1e-8);
}

Test(kernels, layer_norm_and_its_gradient_agree_with_double)
{
    const struct pare_kernels *k = pare_kernels();
    float x[N], gamma[N], beta[N], dy[N], y[N], dx[N], mean, rstd;
    random_row(x, 5);
    random_row(gamma, 6);
    random_row(beta, 7);
    random_row(dy, 8);
    k->layer_norm(y, x, gamma, beta, 1e-5f, N, &mean, &rstd);
    double m = 0, v = 0, g = 0, gh = 0;
    for (size_t i = 0; i < N; i++)
        m += (double)x[i] / N;
    for (size_t i = 0; i < N; i++)
        v += (x[i] - m) * (x[i] - m) / N;
    double r = 1 / sqrt(v + 1e-5);
    for (size_t i = 0; i < N; i++) {
        g += (double)gamma[i] * dy[i] / N;
        gh += (double)gamma[i] * dy[i] * (x[i] - m) * r / N;
    }
    cr_expect_float_eq(mean, m, 1e-6);
    cr_expect_float_eq(rstd, r, 1e-6);
    k->layer_norm_backward(dx, dy, x, gamma, mean, rstd, N);
    for (size_t i = 0; i < N; i++) {
        double h = (x[i] - m) * r;
        cr_assert_float_eq(y[i], gamma[i] * h + beta[i], 4e-6);
        cr_assert_float_eq(dx[i], r * ((double)gamma[i] * dy[i] - g - h * gh), 4e-6);
    }
    k->layer_norm(x, x, gamma, beta, 1e-5f, N, NULL, NULL);
    cr_expect(!memcmp(x, y, sizeof x), "in place it is the same");
}

Test(kernels, adamw_follows_the_paper)
{
    float p[N], m[N], v[N], g[N];
    random_row(p, 9);
    random_row(m, 10);
    random_row(v, 11);
    random_row(g, 12);
    m[0] = 8e-31f;
    g[0] = 0.0f;
    v[0] = 1e-30f;
    const struct pare_adamw s = {.beta1 = 0.9f,
                                 .beta2 = 0.999f,
                                 .eps = 1e-6f,
                                 .lr = 1e-2f,
                                 .weight_decay = 0.1f,
                                 .bias_correction1 = 0.19f,
                                 .bias_correction2 = 0.002f,
                                 .grad_scale = 0.25f};
    float p1[N], m1[N], v1[N];
    for (size_t i = 0; i < N; i++)
        v[i] = fabsf(v[i]);
    memcpy(p1, p, sizeof p);
    memcpy(m1, m, sizeof m);
    memcpy(v1, v, sizeof v);
    pare_kernels()->adamw(p1, m1, v1, g, N, &s);
    for (size_t i = 0; i < N; i++) {
        double grad = 0.25 * g[i];
        double mi = 0.9 * m[i] + 0.1 * grad, vi_ = 0.999 * v[i] + 0.001 * grad * grad;
        double pi =
            p[i] * (1 - 1e-2 * 0.1) - 1e-2 * (mi / 0.19) / (sqrt(vi_ / 0.002) + 1e-6);
        cr_assert_float_eq(m1[i], mi, 1e-6);
        cr_assert_float_eq(v1[i], vi_, 1e-6);
        cr_assert_float_eq(p1[i], pi, 2e-6);
    }
    cr_expect_eq(m1[0], 0.0f, "a moment near the subnormal numbers becomes zero");
    cr_expect_neq(v1[0], 0.0f);
}

/* Quantised activations. ------------------------------------------------------------- */

static void check_quantized(const float *x, size_t n)
{
    uint8_t q[N];
    float scale;
    int32_t zero;
    pare_kernels()->quantize_u8(q, x, NULL, n, &scale, &zero);
    double lowest = 0, highest = 0;
    for (size_t i = 0; i < n; i++) {
        lowest = fmin(lowest, x[i]);
        highest = fmax(highest, x[i]);
    }
    cr_assert_float_eq(scale, (highest - lowest) / 255, 1e-6 * scale);
    cr_assert(zero >= 0 && zero <= 255);
    for (size_t i = 0; i < n; i++)
        cr_assert_leq(fabs(((double)q[i] - zero) * scale - x[i]), 0.502 * scale + 1e-12,
                      "element %zu: %g became %d with scale %g, zero %d", i, x[i], q[i],
                      scale, zero);
}

Test(kernels, quantised_rows_are_within_half_a_step)
{
    float x[N];
    random_row(x, 13);
    check_quantized(x, N);
    check_quantized(x, 1);
    for (size_t i = 0; i < N; i++)
        x[i] = fabsf(x[i]) + 3.0f; /* the range is widened to hold 0 */
    check_quantized(x, N);
    for (size_t i = 0; i < N; i++)
        x[i] = -x[i] * 1e20f;
    check_quantized(x, N);
}

Test(kernels, quantisation_of_odd_rows)
{
    float x[20] = {0}, scale;
    uint8_t q[20];
    int32_t zero;
    pare_kernels()->quantize_u8(q, x, NULL, 20, &scale, &zero);
    cr_expect(scale == 1.0f && zero == 0 && q[0] == 0 && q[19] == 0, "zeros");
    x[3] = 1e-33f;
    pare_kernels()->quantize_u8(q, x, NULL, 20, &scale, &zero);
    cr_expect(scale == 1.0f && zero == 0 && q[3] == 0, "next to nothing");
    const float bad[3] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        for (int at = 0; at < 20; at += 19) {
            memset(x, 0, sizeof x);
            x[at] = bad[i];
            pare_kernels()->quantize_u8(q, x, NULL, 20, &scale, &zero);
            cr_expect(isnan(scale) && zero == 0 && q[at] == 0, "%g at %d", bad[i], at);
        }
}

Test(kernels, decoding_gives_the_values_of_the_tensor_room)
{
    static const enum pare_dtype types[] = {PARE_F16, PARE_BF16, PARE_Q8_0, PARE_Q4_0,
                                            PARE_Q4_1};
    enum { COUNT = 65536 };
    const struct pare_kernels *k = pare_kernels();
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        const struct pare_dtype_info *info = pare_dtype_info(types[t]);
        size_t bytes = COUNT / info->block * info->block_bytes;
        uint64_t seed = t;
        struct guarded from = case_bytes(&seed, bytes);
        if (info->block == 1) /* every half there is */
            for (size_t i = 0; i < COUNT; i++)
                ((unsigned char *)from.data)[2 * i] = (unsigned char)i,
                                                 ((unsigned char *)from.data)[2 * i + 1] =
                                                     (unsigned char)(i >> 8);
        static float found[COUNT], expected[COUNT];
        pare_row_decode(types[t], from.data, expected, COUNT);
        switch (types[t]) {
        case PARE_F16: k->decode_f16(found, from.data, COUNT); break;
        case PARE_BF16: k->decode_bf16(found, from.data, COUNT); break;
        case PARE_Q8_0: k->decode_q8_0(found, from.data, COUNT); break;
        case PARE_Q4_0: k->decode_q4_0(found, from.data, COUNT); break;
        default: k->decode_q4_1(found, from.data, COUNT); break;
        }
        for (size_t i = 0; i < COUNT; i++)
            cr_assert(!memcmp(&found[i], &expected[i], sizeof(float)) ||
                          (isnan(found[i]) && isnan(expected[i])),
                      "%s element %zu: %g, expected %g", info->name, i, found[i],
                      expected[i]);
        guarded_free(from);
    }
}

/* Choosing a tier. ------------------------------------------------------------------- */

Test(kernels, a_tier_can_be_forced_and_an_unknown_one_is_an_error)
{
    struct pare_error err;
    for (int i = 0; pare_cpu_tier(i); i++) {
        cr_assert_eq(pare_cpu_select(pare_cpu_tier(i), &err), PARE_OK);
        cr_assert_str_eq(pare_kernels()->tier, pare_cpu_tier(i));
    }
    const struct pare_kernels *before = pare_kernels();
    cr_expect_eq(pare_cpu_select("mmx", &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "mmx") && strstr(err.message, "scalar"));
    cr_expect_eq(pare_kernels(), before, "a failed choice changes nothing");
    cr_expect_eq(pare_cpu_select("auto", NULL), PARE_OK);
    cr_expect_null(pare_kernels_of("mmx"));
    cr_expect_str_eq(pare_cpu_tier(0), "scalar");
}

Test(kernels, the_environment_variable_chooses_a_tier)
{
    struct pare_error err;
    setenv("PARE_CPU", "scalar", 1);
    cr_expect_eq(pare_cpu_select(NULL, &err), PARE_OK);
    cr_expect_str_eq(pare_kernels()->tier, "scalar");
    setenv("PARE_CPU", "sse9", 1);
    cr_expect_eq(pare_cpu_select(NULL, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "PARE_CPU") && strstr(err.message, "sse9"));
    unsetenv("PARE_CPU");
    cr_expect_eq(pare_cpu_select(NULL, &err), PARE_OK);
    cr_expect_eq(pare_kernels(), pare_kernels_of(pare_kernels()->tier));
}
