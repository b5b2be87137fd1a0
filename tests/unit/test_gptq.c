/* GPTQ against a plain implementation in double, and against round to nearest. */
#include <criterion/criterion.h>

#include "tests/support/gptq_cases.h"

/* --- The plain implementation --- */

struct plain_grid {
    double scale, zero;
};

/* Of n weights, `stride` apart. */
static struct plain_grid plain_fit(const double *x, size_t n, int bits, int asymmetric)
{
    double low = 0, high = 0, top = (1 << bits) - 1;
    for (size_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    if (!asymmetric) {
        high = high > -low ? high : -low;
        return (struct plain_grid){2 * high / top, 1 << (bits - 1)};
    }
    const double scale = (high - low) / top;
    return (struct plain_grid){scale, rint(-low / scale)};
}

static double plain_round(double x, struct plain_grid grid, int bits)
{
    double q = rint(x / grid.scale) + grid.zero, top = (1 << bits) - 1;
    q = q < 0 ? 0 : q > top ? top : q;
    return grid.scale * (q - grid.zero);
}

/* One row of the published algorithm; groups in the factor's order, or those of the
 * inputs, from the given weights, when early. */
static void plain_row(const struct problem *p, size_t n, const double *U,
                      const uint32_t *order, const struct pare_gptq_options *options,
                      double *q)
{
    const size_t K = p->K, group = pare_target_group(&options->target, K);
    const int bits = options->target.grid.bits, both = options->target.grid.asymmetric;
    double *x = malloc(K * sizeof *x), *w = malloc(K * sizeof *w);
    struct plain_grid grid = {0, 0};
    for (size_t k = 0; k < K; k++) {
        w[k] = (double)p->W[n * K + k];
        x[k] = (double)p->W[n * K + order[k]];
    }
    for (size_t k = 0; k < K; k++) {
        if (options->early)
            grid = plain_fit(w + order[k] / group * group, group, bits, both);
        else if (k % group == 0)
            grid = plain_fit(x + k, group, bits, both);
        q[order[k]] = plain_round(x[k], grid, bits);
        const double e = (x[k] - q[order[k]]) / U[k * K + k];
        for (size_t j = k; j < K; j++)
            x[j] -= e * U[k * K + j];
    }
    free(x);
    free(w);
}

static void compare_with_plain(const struct problem *p, enum pare_order order,
                               const struct pare_gptq_options *options)
{
    const size_t K = p->K;
    struct pare_factor factor =
        problem_factor(p, order, pare_target_group(&options->target, K));
    double *U = plain_inverse_factor(p, factor.order, factor.damping);
    double *q = malloc(K * sizeof *q);
    float *Q = solve(p, &factor, options, NULL, NULL);
    float *plain = malloc(p->N * K * sizeof *plain);
    size_t different = 0;
    for (size_t n = 0; n < p->N; n++) {
        plain_row(p, n, U, factor.order, options, q);
        int same = 1;
        for (size_t k = 0; k < K; k++) {
            plain[n * K + k] = (float)q[k];
            same &= fabs((double)Q[n * K + k] - q[k]) < 1e-4;
        }
        different += !same;
    }
    /* In a row where one weight lies between two codes up to rounding, all that follow
     * may differ. With symmetric grids the largest weight always does. */
    const int ties = !options->target.grid.asymmetric;
    cr_expect(ties || different <= p->N / 16, "%zu of %zu rows differ", different, p->N);
    const double cost = problem_cost(p, Q), right = problem_cost(p, plain);
    cr_expect_float_eq(cost, right, (ties ? 0.06 : 0.03) * right,
                       "%d bits: cost %g, expected %g", options->target.grid.bits, cost,
                       right);
    free(U);
    free(q);
    free(Q);
    free(plain);
    pare_factor_free(&factor);
}

Test(gptq, equals_a_plain_implementation_in_double)
{
    static const struct {
        int bits, asymmetric, early;
        size_t group; /* 0: the row */
        enum pare_order order;
    } cases[] = {
        {4, 1, 0, 16, PARE_ORDER_NATURAL}, {4, 0, 0, 16, PARE_ORDER_NATURAL},
        {3, 1, 0, 48, PARE_ORDER_GROUPS},  {8, 0, 0, 0, PARE_ORDER_NATURAL},
        {2, 1, 0, 0, PARE_ORDER_ALL},      {5, 1, 0, 24, PARE_ORDER_ALL},
        {6, 1, 1, 24, PARE_ORDER_ALL},     {4, 0, 1, 144, PARE_ORDER_GROUPS},
        {4, 1, 0, 144, PARE_ORDER_GROUPS},
    };
    struct problem p = problem_new(70, 288, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pare_gptq_options options =
            plain_options(PUBLISHED(cases[i].bits, cases[i].group, cases[i].asymmetric));
        options.early = cases[i].early;
        compare_with_plain(&p, cases[i].order, &options);
    }
    problem_free(&p);
}

/* Units, windows and tiles of rows that are not whole. */
Test(gptq, equals_the_plain_implementation_beyond_one_window)
{
    struct problem p = problem_new(3, 600, 2);
    struct pare_gptq_options options = plain_options(PUBLISHED(4, 40, 1));
    compare_with_plain(&p, PARE_ORDER_NATURAL, &options);
    options.target.grid.group = 300;
    compare_with_plain(&p, PARE_ORDER_NATURAL, &options);
    problem_free(&p);
}

/* --- Properties --- */

Test(gptq, costs_no_more_than_round_to_nearest_with_any_grid_and_search)
{
    static const enum pare_search searches[] = {PARE_SEARCH_RANGE, PARE_SEARCH_SQUARES,
                                                PARE_SEARCH_NORM, PARE_SEARCH_COST,
                                                PARE_SEARCH_SWEEP};
    struct problem p = problem_new(20, 192, 3);
    struct pare_factor none = no_factor(p.K);
    for (size_t t = 0; t < TARGETS; t++) {
        struct pare_factor factor =
            problem_factor(&p, PARE_ORDER_GROUPS, pare_target_group(&targets[t], p.K));
        for (size_t s = 0; s < sizeof searches / sizeof searches[0]; s++)
            for (int early = 0; early < 2; early++) {
                const struct pare_gptq_options options = {
                    targets[t], searches[s], 6, 0.08f, early, .passes = early};
                float *Q = solve(&p, &factor, &options, NULL, NULL);
                float *nearest = solve(&p, &none, &options, NULL, NULL);
                cr_expect_lt(problem_cost(&p, Q), problem_cost(&p, nearest),
                             "target %zu, search %zu", t, s);
                free(Q);
                free(nearest);
            }
        pare_factor_free(&factor);
    }
    pare_factor_free(&none);
    problem_free(&p);
}

static struct pare_gptq_report report_of(const struct problem *p,
                                         const struct pare_factor *factor,
                                         const struct pare_target *target,
                                         enum pare_search search)
{
    const struct pare_gptq_options options = {*target, search, 8, 0.06f, 0, 0};
    struct pare_gptq_report report;
    free(solve(p, factor, &options, NULL, &report));
    return report;
}

Test(gptq, a_search_finds_what_it_looks_for)
{
    struct problem p = problem_new(64, 192, 4);
    struct pare_factor none = no_factor(p.K);
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_NATURAL, 32);
    for (size_t t = 0; t < TARGETS; t++) {
        /* Many codes lose nothing by the range of evenly spread weights. */
        const int few = targets[t].grid.bits == 2 || targets[t].grid.bits == 3;
        const double gain = few ? 0.97 : 1;
        struct pare_gptq_report range =
            report_of(&p, &none, &targets[t], PARE_SEARCH_RANGE);
        struct pare_gptq_report squares =
            report_of(&p, &none, &targets[t], PARE_SEARCH_SQUARES);
        cr_expect_leq(squares.error.squared_error, gain * range.error.squared_error,
                      "target %zu", t);
        range = report_of(&p, &factor, &targets[t], PARE_SEARCH_RANGE);
        struct pare_gptq_report sweep =
            report_of(&p, &factor, &targets[t], PARE_SEARCH_SWEEP);
        cr_expect_leq(sweep.loss, gain * range.loss, "target %zu: %g of %g", t,
                      sweep.loss, range.loss);
    }
    pare_factor_free(&none);
    pare_factor_free(&factor);
    problem_free(&p);
}

/* Inputs that do not know each other: nothing can be made up for. */
Test(gptq, an_identity_gives_round_to_nearest)
{
    struct problem p = problem_new(20, 96, 5);
    for (size_t i = 0; i < p.K * p.K; i++)
        p.H[i] = i % (p.K + 1) ? 0 : 3;
    problem_set_moments(&p);
    struct pare_factor none = no_factor(p.K);
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_GROUPS, 32);
    for (size_t t = 0; t < TARGETS; t++) {
        const struct pare_gptq_options options = {targets[t], PARE_SEARCH_SQUARES, 5,
                                                  0.1f, .passes = 2};
        if (p.K % pare_target_group(&targets[t], p.K))
            continue;
        float *Q = solve(&p, &factor, &options, NULL, NULL);
        float *nearest = solve(&p, &none, &options, NULL, NULL);
        cr_expect(!memcmp(Q, nearest, p.N * p.K * sizeof *Q), "target %zu", t);
        free(Q);
        free(nearest);
    }
    pare_factor_free(&none);
    pare_factor_free(&factor);
    problem_free(&p);
}

Test(gptq, one_column_is_rounded_to_nearest)
{
    struct problem p = problem_new(5, 1, 6);
    struct pare_factor none = no_factor(1);
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_ALL, 1);
    const struct pare_gptq_options options = plain_options(PUBLISHED(4, 1, 1));
    float *Q = solve(&p, &factor, &options, NULL, NULL);
    float *nearest = solve(&p, &none, &options, NULL, NULL);
    for (size_t n = 0; n < p.N; n++) {
        cr_expect_eq(Q[n], nearest[n]);
        cr_expect_float_eq(Q[n], p.W[n], 1e-6); /* its own range */
    }
    free(Q);
    free(nearest);
    pare_factor_free(&none);
    pare_factor_free(&factor);
    problem_free(&p);
}

Test(gptq, the_report_is_what_the_weights_cost)
{
    struct problem p = problem_new(30, 160, 7);
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_ALL, 32);
    struct pare_gptq_options options = plain_options(GROUPS(3, 32, 1));
    struct pare_gptq_report report;
    options.early = 1;
    options.passes = 2;
    float *Q = solve(&p, &factor, &options, NULL, &report);
    double squares = 0, weights = 0, largest = 0;
    for (size_t i = 0; i < p.N * p.K; i++) {
        const double e = (double)p.W[i] - (double)Q[i];
        weights += (double)p.W[i] * (double)p.W[i];
        squares += e * e;
        largest = fabs(e) > largest ? fabs(e) : largest;
    }
    const double cost = problem_cost(&p, Q);
    cr_expect_float_eq(report.loss, cost, 2e-4 * cost);
    cr_expect_float_eq(report.error.squared_error, squares, 1e-6 * squares);
    cr_expect_float_eq(report.error.squared_weight, weights, 1e-6 * weights);
    cr_expect_float_eq(report.error.largest, largest, 1e-6);
    free(Q);
    pare_factor_free(&factor);
    problem_free(&p);
}
