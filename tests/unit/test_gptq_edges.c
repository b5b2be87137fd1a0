/* GPTQ at the edges of what second moments and weights can be. */
#include <criterion/criterion.h>

#include "tests/support/gptq_cases.h"

/* --- Hessians at the edge --- */

enum {
    SINGULAR,
    RANK_ONE,
    ZERO,
    NOT_A_NUMBER,
    INFINITE,
    HUGE_VALUES,
    ONE_HUGE_VALUE,
    TINY_VALUES,
    TWINS,
    DEAD,
    INDEFINITE,
    KINDS
};

static void spoil(struct problem *p, int kind)
{
    const size_t K = p->K;
    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < K; j++) {
            double *h = &p->H[i * K + j];
            const double x = 1 + (double)(i % 7), y = 1 + (double)(j % 7);
            switch (kind) {
            case SINGULAR: *h = i / 2 == j / 2 ? 2 : 0; break;
            case RANK_ONE: *h = x * y; break;
            case ZERO: *h = 0; break;
            case NOT_A_NUMBER: *h = i + j == 40 ? NAN : *h; break;
            case INFINITE: *h = i == 9 && j == 9 ? INFINITY : *h; break;
            case HUGE_VALUES: *h *= 1e30; break;
            case ONE_HUGE_VALUE: *h *= (i == 5 ? 1e15 : 1) * (j == 5 ? 1e15 : 1); break;
            case TINY_VALUES: *h *= 1e-38; break;
            case TWINS: *h = p->H[i / 4 * 4 * K + j / 4 * 4]; break;
            case DEAD: *h = i % 3 && j % 3 ? *h : 0; break;
            case INDEFINITE: *h = i == j ? 1 : 0.9 * ((i + j) % 2 ? 1 : -1); break;
            }
        }
    problem_set_moments(p);
}

Test(gptq, every_hessian_gives_finite_weights_and_is_counted)
{
    const struct pare_target target = GROUPS(4, 32, 1);
    for (int kind = 0; kind < KINDS; kind++) {
        struct problem p = problem_new(10, 96, 10);
        spoil(&p, kind);
        struct pare_factor factor = problem_factor(&p, PARE_ORDER_GROUPS, 32);
        const struct pare_gptq_options options = pare_gptq_defaults(&target);
        struct pare_gptq_report report;
        float *Q = solve(&p, &factor, &options, NULL, &report);
        const int useless = kind == ZERO || kind == NOT_A_NUMBER || kind == INFINITE ||
                            kind == INDEFINITE;
        cr_expect_eq(factor.fallback, useless, "kind %d", kind);
        cr_expect_eq(factor.dead,
                     kind == ZERO   ? 96
                     : kind == DEAD ? 32
                                    : 0,
                     "kind %d: %zu dead", kind, factor.dead);
        for (size_t i = 0; i < p.N * p.K; i++)
            cr_assert(isfinite(Q[i]) && fabsf(Q[i]) < 100, "kind %d: %g", kind, Q[i]);
        const double cost = useless ? report.error.squared_error : problem_cost(&p, Q);
        cr_expect_float_eq(report.loss, cost,
                           2e-4 * cost + 2e-6 * factor.scale * report.error.squared_error,
                           "kind %d: %g, costs %g", kind, report.loss, cost);
        free(Q);
        pare_factor_free(&factor);
        problem_free(&p);
    }
}

Test(gptq, damping_grows_until_the_factor_exists)
{
    struct problem p = problem_new(4, 64, 11);
    for (size_t i = 0; i < p.K; i++) /* smallest eigenvalue about -0.05 of the mean */
        for (size_t j = 0; j < p.K; j++)
            p.H[i * p.K + j] = i == j ? 1 : i / 2 == j / 2 ? 1.05 : 0;
    problem_set_moments(&p);
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_NATURAL, 32);
    cr_expect_eq(factor.escalations, 1);
    cr_expect_float_eq(factor.damping, 10 * PARE_DAMPING, 1e-12);
    cr_expect_eq(factor.fallback, 0);
    for (size_t i = 0; i < p.K; i++) { /* what is below the diagonal is still H' */
        cr_expect_float_eq(factor.diagonal[i], 1.1, 1e-6);
        for (size_t j = 0; j < i; j++)
            cr_expect_float_eq(factor.H[i * p.K + j], p.H[i * p.K + j], 1e-6);
    }
    pare_factor_free(&factor);
    problem_free(&p);
}

Test(gptq, strict_refuses_what_else_is_counted)
{
    static const int kinds[] = {ZERO, NOT_A_NUMBER, DEAD, INDEFINITE, SINGULAR};
    static const char *const phrases[] = {"all zero", "not finite", "32 of 96 inputs",
                                          "indefinite", NULL};
    for (size_t i = 0; i < 5; i++) {
        struct problem p = problem_new(2, 96, 12);
        struct pare_arena scratch = {0};
        struct pare_error err;
        struct pare_factor factor;
        struct pare_factor_options options = {.damping = PARE_DAMPING, .strict = 1};
        spoil(&p, kinds[i]);
        enum pare_status status =
            pare_factor_init(&factor, &p.gram, p.K, &options, &scratch, &err);
        cr_expect_eq(status, phrases[i] ? PARE_ERR_INPUT : PARE_OK);
        cr_expect(!phrases[i] || strstr(err.message, phrases[i]), "%s", err.message);
        pare_factor_free(&factor);
        pare_arena_free(&scratch);
        problem_free(&p);
    }
}

/* --- Weights at the edge --- */

static enum pare_status try(const struct problem *p, const struct pare_target *target,
                            struct pare_error *err)
{
    struct pare_arena scratch = {0};
    struct pare_gptq_report report = {0};
    const struct pare_quant_rows rows = {p->W, p->N, p->K, 100};
    const struct pare_gptq_options options = pare_gptq_defaults(target);
    struct pare_factor factor = problem_factor(p, PARE_ORDER_NATURAL, 1);
    float *Q = malloc(p->N * p->K * sizeof *Q);
    enum pare_status status =
        pare_gptq(&rows, &factor, &options, Q, NULL, &report, &scratch, err);
    free(Q);
    pare_factor_free(&factor);
    pare_arena_free(&scratch);
    return status;
}

Test(gptq, zeros_stay_zeros_and_constants_are_exact)
{
    struct problem p = problem_new(3, 64, 13);
    for (size_t i = 0; i < p.N * p.K; i++)
        p.W[i] = i < p.K ? 0 : i < 2 * p.K ? 0.75f : -0.75f;
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_GROUPS, 32);
    for (size_t t = 0; t < TARGETS; t++) {
        if (p.K % pare_target_group(&targets[t], p.K))
            continue;
        const struct pare_gptq_options options = pare_gptq_defaults(&targets[t]);
        float *Q = solve(&p, &factor, &options, NULL, NULL);
        for (size_t i = 0; i < p.N * p.K; i++)
            cr_assert_float_eq(Q[i], p.W[i], 1e-3, "target %zu: %g for %g", t, Q[i],
                               p.W[i]);
        free(Q);
    }
    pare_factor_free(&factor);
    problem_free(&p);
}

Test(gptq, what_cannot_be_done_is_an_error_that_says_why)
{
    struct problem p = problem_new(5, 96, 14);
    struct pare_error err;
    const struct pare_target good = GROUPS(4, 32, 1), odd = GROUPS(4, 64, 1);
    const struct pare_target seven = PUBLISHED(9, 32, 1), type = TYPE(PARE_IQ4_NL);
    cr_expect_eq(try(&p, &good, &err), PARE_OK);
    cr_expect_eq(try(&p, &odd, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "groups of 64 do not fit rows of 96"));
    cr_expect_eq(try(&p, &seven, &err), PARE_ERR_USAGE);
    cr_expect_eq(try(&p, &type, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "IQ4_NL"));
    p.W[3 * 96 + 7] = NAN;
    cr_expect_eq(try(&p, &good, &err), PARE_ERR_INPUT);
    cr_expect(strstr(err.message, "row 103, column 7"), "%s", err.message);
    for (size_t k = 0; k < 96; k++)
        p.W[3 * 96 + k] = k % 2 ? 3e6f : -3e6f;
    cr_expect_eq(try(&p, &good, &err), PARE_ERR_INPUT);
    cr_expect(strstr(err.message, "row 103") && strstr(err.message, "half-precision"),
              "%s", err.message);
    problem_free(&p);
}

Test(gptq, an_order_that_mixes_groups_needs_early_grids)
{
    struct problem p = problem_new(5, 96, 15);
    struct pare_arena scratch = {0};
    struct pare_error err;
    struct pare_gptq_report report = {0};
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_ALL, 32);
    struct pare_gptq_options options = plain_options(GROUPS(4, 32, 1));
    const struct pare_quant_rows rows = {p.W, p.N, p.K, 0};
    float *Q = malloc(p.N * p.K * sizeof *Q);
    for (int early = 0; early < 2; early++) {
        options.early = early;
        cr_expect_eq(
            pare_gptq(&rows, &factor, &options, Q, NULL, &report, &scratch, &err),
            early ? PARE_OK : PARE_ERR_USAGE);
    }
    free(Q);
    pare_factor_free(&factor);
    pare_arena_free(&scratch);
    problem_free(&p);
}
