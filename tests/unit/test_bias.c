/* Bias correction: the mean outputs of a quantised layer are those of the original. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "libquant/bias.h"
#include "libquant/grid.h"
#include "runtime/base/parallel.h"
#include "tests/support/kernel_cases.h"

#define ROWS 50
#define OUTS 40
#define INS 64

static float X[ROWS * INS], original[ROWS * INS], W[OUTS * INS], Q[OUTS * INS];

static void make_problem(void)
{
    const struct pare_grid grid = {.bits = 2, .group = 32};
    uint64_t seed = 3;
    for (int i = 0; i < ROWS * INS; i++) {
        original[i] = case_float(&seed, CASE_PLAIN) + 1;
        X[i] = original[i] + 0.1f * case_float(&seed, CASE_PLAIN) + 0.05f;
    }
    for (int i = 0; i < OUTS * INS; i++)
        W[i] = case_float(&seed, CASE_PLAIN);
    pare_grid_round(&grid, W, OUTS, INS, Q);
}

/* Mean output n of M[OUTS, INS] for `rows`. */
static double mean_output(const float *M, const float *rows, int n)
{
    double sum = 0;
    for (int t = 0; t < ROWS; t++)
        for (int k = 0; k < INS; k++)
            sum += (double)M[n * INS + k] * (double)rows[t * INS + k];
    return sum / ROWS;
}

static void check_means(const float *before, const char *which)
{
    struct pare_means means = {0};
    float bias[OUTS];
    double lost = 0;
    for (int n = 0; n < OUTS; n++)
        bias[n] = 0.01f * (float)n;
    for (size_t row = 0; row < ROWS; row += 10)
        cr_assert_eq(pare_means_add(&means, INS, X + row * INS,
                                    before ? before + row * INS : NULL, 10, NULL),
                     PARE_OK);
    pare_correct_bias(&means, W, Q, OUTS, bias);
    for (int n = 0; n < OUTS; n++) {
        const double wanted = mean_output(W, before ? before : X, n) + 0.01 * n;
        cr_expect_float_eq(mean_output(Q, X, n) + (double)bias[n], wanted, 1e-4, "%s: %d",
                           which, n);
        lost = fmax(lost, fabs(wanted - mean_output(Q, X, n) - 0.01 * n));
    }
    cr_expect_gt(lost, 0.5, "%s: rounding took nothing from the means", which);
    pare_means_free(&means);
}

Test(bias, mean_outputs_are_those_of_the_original)
{
    make_problem();
    check_means(original, "inputs that went astray");
    check_means(NULL, "the same inputs");
}

Test(bias, corrections_do_not_depend_on_threads)
{
    struct pare_means means = {0};
    float bias[2][OUTS] = {{0}};
    make_problem();
    cr_assert_eq(pare_means_add(&means, INS, X, original, ROWS, NULL), PARE_OK);
    for (int i = 0; i < 2; i++) {
        pare_set_threads(1 + 6 * i);
        pare_correct_bias(&means, W, Q, OUTS, bias[i]);
    }
    cr_expect(!memcmp(bias[0], bias[1], sizeof bias[0]));
    pare_means_free(&means);
}
