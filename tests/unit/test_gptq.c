/* GPTQ against a plain implementation in double, against round to nearest, and at the
 * edges of what Hessians and weights can be. */
#include <criterion/criterion.h>

#include "libquant/gptq.h"
#include "runtime/base/parallel.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/solver_problem.h"

#define PUBLISHED(b, g, a)                                                               \
    (struct pare_target)                                                                 \
    {                                                                                    \
        .kind = PARE_TARGET_PUBLISHED, .grid = {.bits = b, .group = g, .asymmetric = a } \
    }
#define GROUPS(b, g, a)                                                                  \
    (struct pare_target)                                                                 \
    {                                                                                    \
        .kind = PARE_TARGET_GROUPS, .grid = {.bits = b, .group = g, .asymmetric = a }    \
    }
#define TYPE(t)                                                                          \
    (struct pare_target)                                                                 \
    {                                                                                    \
        .kind = PARE_TARGET_TYPE, .type = t                                              \
    }

static struct pare_gptq_options plain_options(struct pare_target target)
{
    return (struct pare_gptq_options){.target = target, .search = PARE_SEARCH_RANGE};
}

/* Q, to be freed; report may be NULL. */
static float *solve(const struct problem *p, const struct pare_factor *factor,
                    const struct pare_gptq_options *options,
                    const struct pare_target_data *stored, struct pare_gptq_report *report)
{
    struct pare_arena scratch = {0};
    struct pare_error err;
    struct pare_gptq_report none;
    const struct pare_quant_rows rows = {p->W, p->N, p->K, 0};
    float *Q = malloc((p->N * p->K + 1) * sizeof *Q);
    report = report ? report : &none;
    *report = (struct pare_gptq_report){0};
    cr_assert_eq(pare_gptq(&rows, factor, options, Q, stored, report, &scratch, &err),
                 PARE_OK, "%s", err.message);
    pare_arena_free(&scratch);
    return Q;
}

static struct pare_factor no_factor(size_t K)
{
    struct pare_arena scratch = {0};
    struct pare_factor factor;
    cr_assert_eq(pare_factor_init(&factor, NULL, K, &(struct pare_factor_options){0},
                                  &scratch, NULL),
                 PARE_OK);
    pare_arena_free(&scratch);
    return factor;
}

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

static const struct pare_target targets[] = {
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 2, .group = 32, .asymmetric = 1}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 3, .group = 32}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 4, .group = 64, .asymmetric = 1}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 5, .group = 64}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 6, .asymmetric = 1}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 8}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 2, .group = 64, .ternary = 1}},
    {.kind = PARE_TARGET_TYPE, .type = PARE_Q8_0},
    {.kind = PARE_TARGET_TYPE, .type = PARE_Q4_0},
    {.kind = PARE_TARGET_TYPE, .type = PARE_Q4_1},
    {.kind = PARE_TARGET_TYPE, .type = PARE_I8},
};
#define TARGETS (sizeof targets / sizeof targets[0])

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
                const struct pare_gptq_options options = {targets[t], searches[s], 6,
                                                          0.08f, early};
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
    const struct pare_gptq_options options = {*target, search, 8, 0.06f, 0};
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
                                                  0.1f, 0};
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

/* --- What is stored --- */

struct bytes {
    struct pare_target_data stored;
    size_t data, scale, zero;
};

static struct bytes bytes_new(const struct problem *p, const struct pare_target *target)
{
    const size_t groups = p->K / pare_target_group(target, p->K);
    struct bytes b = {0};
    if (target->kind == PARE_TARGET_GROUPS) {
        b.data = p->N * pare_codes_bytes(target->grid.bits, p->K);
        b.scale = 2 * p->N * groups;
        b.zero = target->grid.asymmetric ? p->N * groups : 0;
    } else {
        const struct pare_dtype_info *info = pare_dtype_info(target->type);
        b.data = p->N * p->K / info->block * info->block_bytes;
        b.scale = target->type == PARE_I8 ? 4 * p->N : 0;
    }
    b.stored.data = calloc(1, b.data);
    b.stored.scale = b.scale ? calloc(1, b.scale) : NULL;
    b.stored.zero = b.zero ? calloc(1, b.zero) : NULL;
    return b;
}

static void bytes_free(struct bytes *b)
{
    free(b->stored.data);
    free(b->stored.scale);
    free(b->stored.zero);
}

static void decode_row(const struct problem *p, const struct pare_target *target,
                       const struct bytes *b, size_t n, float *out)
{
    if (target->kind == PARE_TARGET_GROUPS) {
        const struct pare_groups groups = {target->grid.bits,
                                           pare_target_group(target, p->K),
                                           b->stored.scale, b->stored.zero};
        pare_groups_decode(&groups, b->stored.data, n, p->K, 0, p->K, out);
    } else if (target->type == PARE_I8) {
        for (size_t k = 0; k < p->K; k++)
            out[k] = ((const float *)(const void *)b->stored.scale)[n] *
                     (float)((const int8_t *)b->stored.data)[n * p->K + k];
    } else {
        pare_row_decode(target->type, b->stored.data + n * (b->data / p->N), out, p->K);
    }
}

Test(gptq, what_is_stored_decodes_to_the_solution_bit_for_bit)
{
    struct problem p = problem_new(67, 192, 8);
    float *row = malloc(p.K * sizeof *row);
    for (size_t t = 0; t < TARGETS; t++) {
        struct pare_factor factor =
            problem_factor(&p, PARE_ORDER_GROUPS, pare_target_group(&targets[t], p.K));
        const struct pare_gptq_options options = pare_gptq_defaults(&targets[t]);
        struct bytes b = bytes_new(&p, &targets[t]);
        float *Q = solve(&p, &factor, &options, &b.stored, NULL);
        for (size_t n = 0; n < p.N; n++) {
            decode_row(&p, &targets[t], &b, n, row);
            for (size_t k = 0; k < p.K; k++)
                cr_assert_eq(row[k], Q[n * p.K + k], "target %zu: (%zu, %zu)", t, n, k);
        }
        free(Q);
        bytes_free(&b);
        pare_factor_free(&factor);
    }
    free(row);
    problem_free(&p);
}

static struct bytes stored_with(const struct problem *p, const struct pare_target *target)
{
    struct pare_factor factor =
        problem_factor(p, PARE_ORDER_GROUPS, pare_target_group(target, p->K));
    const struct pare_gptq_options options = pare_gptq_defaults(target);
    struct bytes b = bytes_new(p, target);
    free(solve(p, &factor, &options, &b.stored, NULL));
    pare_factor_free(&factor);
    return b;
}

Test(gptq, the_bytes_depend_neither_on_threads_nor_on_the_tier)
{
    static const int threads[] = {1, 2, 3, 7};
    struct problem p = problem_new(70, 576, 9);
    for (size_t t = 0; t < TARGETS; t += 3) {
        struct bytes first = stored_with(&p, &targets[t]);
        for (int tier = 0; pare_cpu_tier(tier); tier++)
            for (int i = 0; i < (tier ? 4 : 1); i++) {
                cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
                pare_set_threads(threads[i]);
                struct bytes b = stored_with(&p, &targets[t]);
                cr_expect(
                    !memcmp(b.stored.data, first.stored.data, b.data) &&
                        (!b.scale ||
                         !memcmp(b.stored.scale, first.stored.scale, b.scale)) &&
                        (!b.zero || !memcmp(b.stored.zero, first.stored.zero, b.zero)),
                    "target %zu, %s, %d threads", t, pare_cpu_tier(tier), threads[i]);
                bytes_free(&b);
            }
        bytes_free(&first);
    }
    problem_free(&p);
}

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
    cr_expect_not(factor.fallback);
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
    const struct pare_target seven = PUBLISHED(9, 32, 1), type = TYPE(PARE_Q6_K);
    cr_expect_eq(try(&p, &good, &err), PARE_OK);
    cr_expect_eq(try(&p, &odd, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "groups of 64 do not fit rows of 96"));
    cr_expect_eq(try(&p, &seven, &err), PARE_ERR_USAGE);
    cr_expect_eq(try(&p, &type, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "Q6_K"));
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
