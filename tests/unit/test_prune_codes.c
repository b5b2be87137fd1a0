/* Pruning and quantising in one sweep: masks, codes, and what may never be worse. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libprune/solve.h"
#include "libquant/nearest.h"
#include "runtime/base/parallel.h"
#include "tests/support/gptq_stored.h"

static const char *const patterns[] = {"50%", "2:4", "1:4", "50%/1x4", "80%/16x1", "0%"};
#define PATTERNS (sizeof patterns / sizeof patterns[0])

static const struct pare_target kinds[] = {
    {.kind = PARE_TARGET_TYPE, .type = PARE_I8},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 8, .group = 32}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 4, .group = 64}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 3, .group = 192}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 2}},
    {.kind = PARE_TARGET_GROUPS, .grid = {.bits = 4, .group = 32, .asymmetric = 1}},
    {.kind = PARE_TARGET_TYPE, .type = PARE_Q8_0},
    {.kind = PARE_TARGET_TYPE, .type = PARE_Q4_0},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

struct solved {
    float *Q;
    struct bytes bytes;
    struct pare_prune_report report;
};

static struct solved run(const struct problem *p,
                         const struct pare_prune_options *options,
                         const struct pare_gram *gram)
{
    struct solved solved = {.Q = malloc(p->N * p->K * sizeof(float)),
                            .bytes = bytes_new(p, &options->codes->target)};
    struct pare_arena scratch = {0};
    struct pare_error err;
    const struct pare_quant_rows rows = {p->W, p->N, p->K, 0};
    const struct pare_factor_options how = pare_prune_order(options, p->K);
    struct pare_factor factor;
    cr_assert_eq(pare_factor_init(&factor, gram, p->K, &how, &scratch, &err), PARE_OK,
                 "%s", err.message);
    cr_assert_eq(pare_prune(&rows, &factor, options, solved.Q, &solved.bytes.stored,
                            &solved.report, &scratch, &err),
                 PARE_OK, "%s", err.message);
    pare_factor_free(&factor);
    pare_arena_free(&scratch);
    return solved;
}

static void solved_free(struct solved *solved)
{
    free(solved->Q);
    bytes_free(&solved->bytes);
}

static struct pare_prune_options options_of(const char *pattern,
                                            enum pare_criterion criterion,
                                            const struct pare_gptq_options *codes)
{
    struct pare_prune_options options = {
        .criterion = criterion, .passes = PARE_PRUNE_PASSES, .codes = codes};
    cr_assert_eq(pare_pattern_parse(pattern, &options.pattern, NULL), PARE_OK);
    return options;
}

/* --- The mask --- */

/* Zeros of every block, or of every m, are at least what is asked for. */
static void check_zeros(const float *Q, const struct problem *p,
                        const struct pare_pattern *pattern, const char *what)
{
    const size_t height = pattern->m ? 1 : pattern->rows;
    const size_t width = pattern->m ? pattern->m : pattern->columns;
    size_t gone = 0;
    for (size_t n = 0; n < p->N; n += height)
        for (size_t k = 0; k < p->K; k += width) {
            size_t zeros = 0;
            for (size_t i = 0; i < height * width; i++)
                zeros += Q[(n + i / width) * p->K + k + i % width] == 0;
            cr_assert(!pattern->m || zeros >= pattern->m - pattern->n,
                      "%s: row %zu, column %zu has %zu zeros", what, n, k, zeros);
            gone += zeros == height * width;
        }
    cr_assert(pattern->m ||
                  (double)gone >= floor(pattern->sparsity * (double)(p->N * p->K) /
                                        (double)(height * width)),
              "%s: %zu blocks are gone", what, gone);
}

Test(prune_codes, every_pattern_is_kept_and_what_is_stored_decodes_to_the_solution)
{
    struct problem p = problem_new(80, 192, 41);
    float *row = malloc(p.K * sizeof *row);
    for (size_t t = 0; t < KINDS; t++)
        for (size_t i = 0; i < PATTERNS; i++)
            for (int c = PARE_PRUNE_MAGNITUDE; c <= PARE_PRUNE_SPARSEGPT; c++) {
                const struct pare_gptq_options codes = pare_prune_codes(&kinds[t]);
                const struct pare_prune_options options =
                    options_of(patterns[i], (enum pare_criterion)c, &codes);
                struct solved s = run(&p, &options, &p.gram);
                size_t zeros = 0;
                check_zeros(s.Q, &p, &options.pattern, patterns[i]);
                for (size_t n = 0; n < p.N; n++) {
                    decode_row(&p, &kinds[t], &s.bytes, n, row);
                    for (size_t k = 0; k < p.K; k++)
                        cr_assert_eq(row[k], s.Q[n * p.K + k], "target %zu: (%zu, %zu)",
                                     t, n, k);
                    for (size_t k = 0; k < p.K; k++)
                        zeros += row[k] == 0;
                }
                cr_expect_eq(s.report.zeros, zeros);
                const double cost = problem_cost(&p, s.Q);
                cr_expect_float_eq(s.report.loss, cost, 1e-3 * cost, "%g, expected %g",
                                   s.report.loss, cost);
                solved_free(&s);
            }
    free(row);
    problem_free(&p);
}

Test(prune_codes, zeros_that_are_given_stay_and_nothing_else_is_lost)
{
    struct problem p = problem_new(70, 192, 42);
    size_t zeros = 0;
    for (size_t i = 0; i < p.N * p.K; i++) {
        p.W[i] = i % 3 ? p.W[i] : 0;
        zeros += p.W[i] == 0;
    }
    for (size_t t = 0; t < 3; t++) {
        const struct pare_gptq_options codes = pare_prune_codes(&kinds[t]);
        const struct pare_prune_options options =
            options_of("0%", PARE_PRUNE_KEEP, &codes);
        struct solved s = run(&p, &options, &p.gram);
        for (size_t i = 0; i < p.N * p.K; i++)
            cr_assert(p.W[i] != 0 || s.Q[i] == 0, "weight %zu", i);
        cr_expect(s.report.zeros < zeros + p.N * p.K / 8, "%zu, given %zu",
                  s.report.zeros, zeros);
        solved_free(&s);
    }
    problem_free(&p);
}

Test(prune_codes, without_codes_a_given_mask_changes_nothing)
{
    struct problem p = problem_new(20, 96, 43);
    const struct pare_prune_options options = options_of("0%", PARE_PRUNE_KEEP, NULL);
    const struct pare_quant_rows rows = {p.W, p.N, p.K, 0};
    struct pare_prune_report report;
    struct pare_arena scratch = {0};
    float *Q = malloc(p.N * p.K * sizeof *Q);
    p.W[7] = 0;
    cr_assert_eq(pare_prune(&rows, NULL, &options, Q, NULL, &report, &scratch, NULL),
                 PARE_OK);
    cr_expect(!memcmp(Q, p.W, p.N * p.K * sizeof *Q));
    cr_expect_eq(report.zeros, 1);
    free(Q);
    pare_arena_free(&scratch);
    problem_free(&p);
}

/* --- What may never be worse --- */

/* Pruned, and what stayed rounded to the nearest codes. */
static double one_after_the_other(const struct problem *p,
                                  const struct pare_prune_options *both)
{
    struct pare_prune_options alone = *both;
    struct pare_arena scratch = {0};
    struct pare_error err;
    struct pare_factor factor;
    struct pare_prune_report report;
    struct pare_quant_error error = {0};
    struct pare_quant_rows rows = {p->W, p->N, p->K, 0};
    float *V = malloc(p->N * p->K * sizeof *V), *Q = malloc(p->N * p->K * sizeof *Q);
    alone.codes = NULL;
    const struct pare_factor_options how = pare_prune_order(both, p->K);
    const struct pare_nearest nearest = pare_nearest_defaults(&both->codes->target, NULL);
    cr_assert_eq(pare_factor_init(&factor, &p->gram, p->K, &how, &scratch, &err),
                 PARE_OK);
    cr_assert_eq(pare_prune(&rows, &factor, &alone, V, NULL, &report, &scratch, &err),
                 PARE_OK);
    rows.W = V;
    cr_assert_eq(pare_nearest_round(&nearest, &rows, Q, NULL, &error, &err), PARE_OK);
    const double cost = problem_cost(p, Q);
    pare_factor_free(&factor);
    pare_arena_free(&scratch);
    free(V);
    free(Q);
    return cost;
}

Test(prune_codes, one_sweep_costs_less_than_pruning_and_then_rounding)
{
    struct problem p = problem_new(96, 576, 44);
    for (size_t t = 1; t < KINDS; t++)
        for (size_t i = 0; i < PATTERNS; i++) {
            const struct pare_gptq_options codes = pare_prune_codes(&kinds[t]);
            const struct pare_prune_options options =
                options_of(patterns[i], PARE_PRUNE_SPARSEGPT, &codes);
            struct solved s = run(&p, &options, &p.gram);
            const double cost = problem_cost(&p, s.Q);
            const double apart = one_after_the_other(&p, &options);
            cr_expect_leq(cost, 1.05 * apart, "target %zu, %s: %g, apart %g", t,
                          patterns[i], cost, apart);
            solved_free(&s);
        }
    problem_free(&p);
}

/* The smallest of the whole matrix show where zeros cost least. */
Test(prune_codes, shares_by_cost_do_better_than_equal_ones)
{
    struct problem p = problem_new(96, 576, 45);
    for (size_t i = 0; i < PATTERNS; i++) {
        double cost[2];
        struct pare_prune_options options =
            options_of(patterns[i], PARE_PRUNE_SPARSEGPT, NULL);
        const struct pare_gptq_options codes = pare_prune_codes(&kinds[1]);
        options.codes = &codes;
        for (int even = 0; even < 2; even++) {
            options.even = even;
            struct solved s = run(&p, &options, &p.gram);
            cost[even] = problem_cost(&p, s.Q);
            solved_free(&s);
        }
        cr_expect(options.pattern.m || options.pattern.sparsity == 0 ||
                      cost[0] < 0.95 * cost[1],
                  "%s: %g, even %g", patterns[i], cost[0], cost[1]);
    }
    problem_free(&p);
}

/* --- Without moments, and targets that have no zero --- */

Test(prune_codes, without_moments_what_stays_is_rounded)
{
    struct problem p = problem_new(40, 192, 46);
    const struct pare_gptq_options codes = pare_prune_codes(&kinds[1]);
    const struct pare_prune_options options =
        options_of("50%", PARE_PRUNE_MAGNITUDE, &codes);
    struct solved s = run(&p, &options, NULL);
    for (size_t i = 0; i < p.N * p.K; i++)
        cr_assert(s.Q[i] == 0 || fabsf(s.Q[i] - p.W[i]) < 0.02f, "%g was %g",
                  (double)s.Q[i], (double)p.W[i]);
    solved_free(&s);
    problem_free(&p);
}

Test(prune_codes, a_grid_without_zero_is_refused)
{
    static const enum pare_dtype types[] = {PARE_Q4_1, PARE_Q4_K, PARE_Q2_K};
    struct problem p = problem_new(8, 256, 47);
    const struct pare_quant_rows rows = {p.W, p.N, p.K, 0};
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_NATURAL, 1);
    float *Q = malloc(p.N * p.K * sizeof *Q);
    for (size_t i = 0; i < 3; i++) {
        const struct pare_target target = {.kind = PARE_TARGET_TYPE, .type = types[i]};
        const struct pare_gptq_options codes = pare_prune_codes(&target);
        const struct pare_prune_options options =
            options_of("50%", PARE_PRUNE_SPARSEGPT, &codes);
        struct pare_prune_report report;
        struct pare_arena scratch = {0};
        cr_expect(!pare_prune_has_zero(&target));
        cr_expect_eq(
            pare_prune(&rows, &factor, &options, Q, NULL, &report, &scratch, NULL),
            PARE_ERR_USAGE);
        pare_arena_free(&scratch);
    }
    free(Q);
    pare_factor_free(&factor);
    problem_free(&p);
}

/* --- The same on every machine --- */

Test(prune_codes, the_bytes_depend_neither_on_threads_nor_on_the_tier)
{
    static const int threads[] = {1, 2, 3, 7};
    struct problem p = problem_new(80, 192, 48);
    for (size_t t = 0; t < KINDS * PATTERNS; t += 5) {
        const struct pare_gptq_options codes = pare_prune_codes(&kinds[t % KINDS]);
        const struct pare_prune_options options =
            options_of(patterns[t % PATTERNS], PARE_PRUNE_SPARSEGPT, &codes);
        struct solved first = run(&p, &options, &p.gram);
        for (int tier = 0; pare_cpu_tier(tier); tier++)
            for (int i = 0; i < (tier ? 4 : 1); i++) {
                cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
                pare_set_threads(threads[i]);
                struct solved s = run(&p, &options, &p.gram);
                cr_expect(!memcmp(s.Q, first.Q, p.N * p.K * sizeof *s.Q) &&
                              !memcmp(s.bytes.stored.data, first.bytes.stored.data,
                                      s.bytes.data),
                          "target %zu, %s on %s with %d threads", t % KINDS,
                          patterns[t % PATTERNS], pare_cpu_tier(tier), threads[i]);
                solved_free(&s);
            }
        solved_free(&first);
    }
    problem_free(&p);
}
