/* Weights for inputs that went astray, against a solution of the normal equations in
 * double. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "libquant/correct.h"
#include "libquant/gptq.h"
#include "runtime/base/parallel.h"
#include "tests/support/kernel_cases.h"

#define T 300
#define K 70
#define N 9
#define DAMPING 0.01

struct problem {
    float *X, *D, *W; /* [T, K], [T, K], [N, K] */
    struct pare_gram H;
    struct pare_cross C;
    struct pare_arena arena;
};

static float *numbers(size_t n, uint64_t seed, float scale)
{
    float *p = malloc(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = scale * case_float(&seed, CASE_PLAIN);
    return p;
}

static void set_up(struct problem *p)
{
    *p = (struct problem){.X = numbers(T * K, 1, 1),
                          .D = numbers(T * K, 2, 0.1f),
                          .W = numbers(N * K, 3, 1)};
    for (size_t t = 0; t < T; t++) /* not independent of the inputs */
        for (size_t k = 1; k < K; k++)
            p->D[t * K + k] += 0.2f * p->X[t * K + k - 1];
    cr_assert_eq(pare_gram_init(&p->H, K, NULL), PARE_OK);
    cr_assert_eq(pare_cross_init(&p->C, K, NULL), PARE_OK);
    for (size_t t = 0; t < T; t += 100) {
        cr_assert_eq(pare_gram_add(&p->H, p->X + t * K, 100, K, &p->arena, NULL),
                     PARE_OK);
        cr_assert_eq(
            pare_cross_add(&p->C, p->D + t * K, p->X + t * K, 100, &p->arena, NULL),
            PARE_OK);
    }
}

static void tear_down(struct problem *p)
{
    free(p->X);
    free(p->D);
    free(p->W);
    pare_gram_free(&p->H);
    pare_cross_free(&p->C);
    pare_arena_free(&p->arena);
}

static struct pare_factor factor_of(struct problem *p, enum pare_order order)
{
    const struct pare_factor_options options = {
        .order = order, .group = 10, .damping = DAMPING};
    struct pare_factor factor;
    cr_assert_eq(pare_factor_init(&factor, &p->H, K, &options, &p->arena, NULL), PARE_OK);
    return factor;
}

static void correct(struct problem *p, const struct pare_factor *factor, float strength,
                    float *out)
{
    const struct pare_cross_source C = pare_cross_in_memory(&p->C);
    cr_assert_eq(pare_quant_correct(factor, &C, p->W, N, strength, out, &p->arena, NULL),
                 PARE_OK);
}

/* What is left of the gradient of sum |V x - W (x + d)|^2 + damping mean |V - W|^2 at
 * V, relative to that at W. */
static double gradient_left(const struct problem *p, const float *V)
{
    double mean = 0, left = 0, all = 0;
    for (size_t k = 0; k < K; k++)
        mean += pare_gram_diagonal(&p->H, k) / K;
    for (size_t n = 0; n < N; n++) {
        double at_v[K] = {0}, at_w[K] = {0};
        for (size_t t = 0; t < T; t++) {
            double v = 0, w = 0;
            for (size_t k = 0; k < K; k++) {
                const double x = (double)p->X[t * K + k], d = (double)p->D[t * K + k];
                v += (double)V[n * K + k] * x - (double)p->W[n * K + k] * (x + d);
                w -= (double)p->W[n * K + k] * d;
            }
            for (size_t k = 0; k < K; k++) {
                at_v[k] += v * (double)p->X[t * K + k];
                at_w[k] += w * (double)p->X[t * K + k];
            }
        }
        for (size_t k = 0; k < K; k++) {
            at_v[k] += DAMPING * mean * (double)(V[n * K + k] - p->W[n * K + k]);
            left += at_v[k] * at_v[k];
            all += at_w[k] * at_w[k];
        }
    }
    return sqrt(left / all);
}

Test(correct, moments_are_those_of_a_plain_loop)
{
    struct problem p;
    set_up(&p);
    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < K; j++) {
            double sum = 0, size = 0;
            for (size_t t = 0; t < T; t++) {
                const double x = (double)p.D[t * K + i] * (double)p.X[t * K + j];
                sum += x;
                size += fabs(x);
            }
            cr_assert_float_eq(p.C.sum[i * K + j], sum, 2e-6 * size);
        }
    tear_down(&p);
}

Test(correct, the_weights_solve_the_normal_equations_in_every_order)
{
    struct problem p;
    set_up(&p);
    float V[N * K], half[N * K];
    for (int order = PARE_ORDER_NATURAL; order <= PARE_ORDER_ALL; order++) {
        struct pare_factor factor = factor_of(&p, (enum pare_order)order);
        correct(&p, &factor, 1, V);
        cr_expect_lt(gradient_left(&p, V), 1e-4, "order %d: %g", order,
                     gradient_left(&p, V));
        correct(&p, &factor, 0.5f, half);
        for (size_t i = 0; i < N * K; i++)
            cr_assert_float_eq(half[i], (V[i] + p.W[i]) / 2, 1e-5);
        pare_factor_free(&factor);
    }
    tear_down(&p);
}

/* sum |Q x - W (x + d)|^2 for the Q that GPTQ makes of `aim`. */
static double output_error(struct problem *p, const struct pare_factor *factor,
                           const float *aim, int bits)
{
    const struct pare_target target = {.kind = PARE_TARGET_PUBLISHED,
                                       .grid = {.bits = bits, .group = 10}};
    const struct pare_gptq_options options = {.target = target};
    const struct pare_quant_rows rows = {aim, N, K, 0};
    struct pare_gptq_report report = {0};
    float Q[N * K];
    double sum = 0;
    cr_assert_eq(pare_gptq(&rows, factor, &options, Q, NULL, &report, &p->arena, NULL),
                 PARE_OK);
    for (size_t t = 0; t < T; t++)
        for (size_t n = 0; n < N; n++) {
            double e = 0;
            for (size_t k = 0; k < K; k++) {
                const double x = (double)p->X[t * K + k], d = (double)p->D[t * K + k];
                e += (double)Q[n * K + k] * x - (double)p->W[n * K + k] * (x + d);
            }
            sum += e * e;
        }
    return sum;
}

/* What is left is what no linear layer can undo, and rounding. */
Test(correct, gptq_of_corrected_weights_comes_nearer_to_the_original_outputs)
{
    struct problem p;
    set_up(&p);
    float V[N * K];
    struct pare_factor factor = factor_of(&p, PARE_ORDER_GROUPS);
    correct(&p, &factor, 1, V);
    for (int bits = 2; bits <= 8; bits++) {
        const double plain = output_error(&p, &factor, p.W, bits);
        const double made_up = output_error(&p, &factor, V, bits);
        cr_expect_lt(made_up, (bits < 4 ? 0.9 : 0.4) * plain, "%d bits: %g of %g", bits,
                     made_up, plain);
    }
    pare_factor_free(&factor);
    tear_down(&p);
}

Test(correct, a_useless_factor_changes_nothing)
{
    struct problem p;
    set_up(&p);
    float V[N * K];
    struct pare_factor factor;
    const struct pare_factor_options options = {.damping = DAMPING};
    cr_assert_eq(pare_factor_init(&factor, NULL, K, &options, &p.arena, NULL), PARE_OK);
    correct(&p, &factor, 1, V);
    cr_assert_arr_eq(V, p.W, sizeof V);
    pare_factor_free(&factor);
    tear_down(&p);
}

Test(correct, bits_do_not_depend_on_threads)
{
    float first[N * K], V[N * K];
    for (int threads = 1; threads <= 7; threads++) {
        struct problem p;
        pare_set_threads(threads);
        set_up(&p);
        struct pare_factor factor = factor_of(&p, PARE_ORDER_GROUPS);
        correct(&p, &factor, 1, threads == 1 ? first : V);
        if (threads > 1)
            cr_assert_arr_eq(V, first, sizeof V);
        pare_factor_free(&factor);
        tear_down(&p);
    }
}
