/* Coordinate descent over codes, by its properties. */
#include <criterion/criterion.h>

#include "tests/support/gptq_cases.h"

static double cost_after(const struct problem *p, const struct pare_target *target,
                         int passes)
{
    struct pare_factor factor =
        problem_factor(p, PARE_ORDER_GROUPS, pare_target_group(target, p->K));
    struct pare_gptq_options options = pare_gptq_defaults(target);
    options.passes = passes;
    float *Q = solve(p, &factor, &options, NULL, NULL);
    const double damping = factor.damping * factor.scale;
    double cost = problem_cost(p, Q);
    for (size_t i = 0; i < p->N * p->K; i++)
        cost += damping * pow((double)p->W[i] - (double)Q[i], 2);
    free(Q);
    pare_factor_free(&factor);
    return cost;
}

Test(improve, a_pass_never_costs_more_where_one_unit_is_the_row)
{
    struct problem p = problem_new(40, 96, 21);
    for (size_t t = 0; t < TARGETS; t++) {
        if (p.K % pare_target_group(&targets[t], p.K))
            continue;
        double before = cost_after(&p, &targets[t], 0), first = before;
        for (int passes = 1; passes < 5; passes++) {
            const double cost = cost_after(&p, &targets[t], passes);
            cr_expect_leq(cost, before * (1 + 1e-6), "target %zu, %d passes", t, passes);
            before = cost;
        }
        cr_expect_lt(before, 0.995 * first, "target %zu: %g, before %g", t, before,
                     first);
    }
    problem_free(&p);
}

Test(improve, passes_gain_where_units_follow_each_other)
{
    struct problem p = problem_new(70, 576, 22);
    for (size_t t = 0; t < TARGETS; t++) {
        const double before = cost_after(&p, &targets[t], 0);
        const double after = cost_after(&p, &targets[t], 3);
        cr_expect_lt(after, 0.99 * before, "target %zu: %g, before %g", t, after, before);
    }
    problem_free(&p);
}

/* What the row costs with column k changed by d. */
static double gain(const struct problem *p, const struct pare_factor *factor,
                   const double *e, size_t k, double d)
{
    double g = 0;
    for (size_t j = 0; j < p->K; j++)
        g += e[j] * (p->H[k * p->K + j] / factor->scale + (j == k ? factor->damping : 0));
    const double h = p->H[k * (p->K + 1)] / factor->scale + factor->damping;
    return d * (2 * g - d * h);
}

/* After enough passes no single code can be changed for the better: in double, from H. */
Test(improve, enough_passes_end_where_no_code_is_better_alone)
{
    struct problem p = problem_new(24, 96, 23);
    const struct pare_target target = PUBLISHED(3, 0, 1);
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_ALL, p.K);
    struct pare_gptq_options options = plain_options(target);
    for (options.passes = 0; options.passes <= 60; options.passes += 60) {
        float *Q = solve(&p, &factor, &options, NULL, NULL);
        size_t better = 0;
        for (size_t n = 0; n < p.N; n++) {
            double e[96], low = 0, high = 0;
            for (size_t k = 0; k < p.K; k++) {
                const double w = (double)p.W[n * p.K + k];
                e[k] = w - (double)Q[n * p.K + k];
                low = w < low ? w : low;
                high = w > high ? w : high;
            }
            const double scale = (high - low) / 7, slack = 1e-3 * scale;
            for (size_t k = 0; k < p.K; k++)
                for (int sign = -1; sign < 2; sign += 2) {
                    const double q = (double)Q[n * p.K + k] + sign * scale;
                    const int inside =
                        q > low - scale / 2 - slack && q < high + scale / 2 + slack;
                    better += inside && gain(&p, &factor, e, k, sign * scale) >
                                            1e-4 * scale * scale;
                }
        }
        if (options.passes)
            cr_expect_eq(better, 0, "%zu codes are better alone", better);
        else
            cr_expect_gt(better, 5, "%zu codes: nothing to improve", better);
        free(Q);
    }
    pare_factor_free(&factor);
    problem_free(&p);
}
