/* Sparsity spread over matrices: curves, and shares against a search. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "libprune/spread.h"
#include "runtime/base/rng.h"
#include "tests/support/solver_problem.h"

static struct pare_pattern pattern_of(const char *text)
{
    struct pare_pattern pattern;
    cr_assert_eq(pare_pattern_parse(text, &pattern, NULL), PARE_OK);
    return pattern;
}

static struct pare_spread_curve
curve_of(const struct problem *p, const struct pare_factor *factor, const char *text)
{
    const struct pare_quant_rows rows = {p->W, p->N, p->K, 0};
    const struct pare_pattern pattern = pattern_of(text);
    struct pare_arena scratch = {0};
    struct pare_spread_curve curve;
    struct pare_error err;
    cr_assert_eq(pare_spread_measure(&rows, factor, &pattern, &curve, &scratch, &err),
                 PARE_OK, "%s", err.message);
    pare_arena_free(&scratch);
    return curve;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Sorted and added up. */
static void check_curve(const struct problem *p, const float *cost, size_t width,
                        const struct pare_spread_curve *curve)
{
    const size_t n = p->N * p->K / width;
    double *scores = calloc(n, sizeof *scores), sum = 0;
    for (size_t i = 0; i < p->N * p->K; i++)
        scores[i / width] +=
            pow((double)p->W[i], 2) * (cost ? (double)cost[i % p->K] : 1);
    qsort(scores, n, sizeof *scores, ascending);
    for (size_t i = 0; i < n; i++) {
        sum += scores[i];
        if ((i + 1) % (n / PARE_SPREAD_POINTS) == 0) /* between them it is a line */
            cr_assert(fabs(pare_spread_cost(curve, (double)(i + 1) / (double)n) - sum) <=
                          0.01 * sum + 1e-6,
                      "%zu of %zu: %g, expected %g", i + 1, n,
                      pare_spread_cost(curve, (double)(i + 1) / (double)n), sum);
    }
    free(scores);
}

Test(spread, curves_are_sums_of_the_smallest_scores)
{
    struct problem p = problem_new(32, 96, 51);
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_ALL, 1);
    float cost[96];
    pare_factor_costs(&factor, cost);
    struct pare_spread_curve curve = curve_of(&p, NULL, "50%");
    check_curve(&p, NULL, 1, &curve);
    curve = curve_of(&p, &factor, "50%");
    check_curve(&p, cost, 1, &curve);
    curve = curve_of(&p, &factor, "50%/1x4");
    check_curve(&p, cost, 4, &curve);
    pare_factor_free(&factor);
    problem_free(&p);
}

static double total(const struct pare_spread_curve *curves, const double *factor,
                    const double *shares, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += factor[i] * pare_spread_cost(&curves[i], shares[i]);
    return sum;
}

/* Moving weights from one matrix to another helps nowhere. */
Test(spread, shares_add_up_and_no_exchange_is_better)
{
    static const double factor[] = {1, 30, 0.2};
    struct pare_spread_curve curves[3];
    struct pare_arena scratch = {0};
    double shares[3];
    for (size_t i = 0; i < 3; i++) {
        struct problem p = problem_new(32 << i, 96, 52 + i);
        curves[i] = curve_of(&p, NULL, "50%");
        problem_free(&p);
    }
    for (double sparsity = 0.1; sparsity < 0.95; sparsity += 0.2) {
        double sum = 0, weights = 0;
        cr_assert_eq(
            pare_spread(curves, factor, 3, sparsity, 0.97, shares, &scratch, NULL),
            PARE_OK);
        for (size_t i = 0; i < 3; i++) {
            sum += shares[i] * curves[i].weights;
            weights += curves[i].weights;
            cr_expect(shares[i] >= 0 && shares[i] <= 0.97 + 1e-12);
        }
        cr_expect_float_eq(sum, sparsity * weights, 1e-6 * weights);
        const double cost = total(curves, factor, shares, 3);
        for (size_t i = 0; i < 9; i++) {
            double other[] = {shares[0], shares[1], shares[2]};
            const double some = 0.02 * curves[0].weights;
            other[i / 3] += some / curves[i / 3].weights;
            other[i % 3] -= some / curves[i % 3].weights;
            if (other[i / 3] <= 0.97 && other[i % 3] >= 0)
                cr_expect(total(curves, factor, other, 3) >= cost * (1 - 1e-9));
        }
    }
    pare_arena_free(&scratch);
}

/* With equal factors and plain squares: one threshold. */
Test(spread, without_factors_all_matrices_have_one_threshold)
{
    struct pare_spread_curve curves[2];
    struct pare_arena scratch = {0};
    double shares[2], highest[2], lowest[2];
    struct problem p[2] = {problem_new(32, 96, 55), problem_new(64, 96, 56)};
    for (size_t i = 0; i < 64 * 96; i++)
        p[1].W[i] *= 0.5f;
    for (int m = 0; m < 2; m++)
        curves[m] = curve_of(&p[m], NULL, "0%");
    cr_assert_eq(pare_spread(curves, NULL, 2, 0.5, 1, shares, &scratch, NULL), PARE_OK);
    cr_expect(shares[1] > shares[0]);
    for (int m = 0; m < 2; m++) {
        const size_t n = p[m].N * p[m].K;
        double *sizes = calloc(n, sizeof *sizes);
        for (size_t i = 0; i < n; i++)
            sizes[i] = fabs((double)p[m].W[i]);
        qsort(sizes, n, sizeof *sizes, ascending);
        const size_t gone = (size_t)(shares[m] * (double)n);
        highest[m] = gone ? sizes[gone - 1] : 0;
        lowest[m] = sizes[gone];
        free(sizes);
        problem_free(&p[m]);
    }
    cr_expect(highest[0] <= 1.02 * lowest[1] && highest[1] <= 1.02 * lowest[0],
              "%g %g, %g %g", highest[0], lowest[0], highest[1], lowest[1]);
    pare_arena_free(&scratch);
}
