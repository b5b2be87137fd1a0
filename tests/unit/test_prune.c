/* Pruning a matrix: SparseGPT against a plain implementation in double, patterns, and
 * what may never be worse. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libprune/solve.h"
#include "runtime/base/parallel.h"
#include "runtime/kernels/kernels.h"
#include "tests/support/solver_problem.h"

static const char *const patterns[] = {"50%",     "0.75",     "2:4",     "4:8",
                                       "1:4",     "50%/1x4",  "0.6/4x1", "80%/16x1",
                                       "30%/2x8", "0.9/32x2", "0%"};
#define PATTERNS (sizeof patterns / sizeof patterns[0])

static struct pare_pattern pattern_of(const char *text)
{
    struct pare_pattern pattern;
    struct pare_error err;
    cr_assert_eq(pare_pattern_parse(text, &pattern, &err), PARE_OK, "%s", err.message);
    return pattern;
}

static float *prune(const struct problem *p, const struct pare_prune_options *options,
                    struct pare_prune_report *report)
{
    struct pare_arena scratch = {0};
    struct pare_error err;
    struct pare_prune_report ignored;
    const struct pare_quant_rows rows = {p->W, p->N, p->K, 0};
    const struct pare_factor_options how = pare_prune_order(options, p->K);
    struct pare_factor factor;
    float *Q = malloc(p->N * p->K * sizeof *Q);
    cr_assert_eq(pare_factor_init(&factor, &p->gram, p->K, &how, &scratch, &err), PARE_OK,
                 "%s", err.message);
    cr_assert_eq(pare_prune(&rows, &factor, options, Q, NULL, report ? report : &ignored,
                            &scratch, &err),
                 PARE_OK, "%s", err.message);
    pare_factor_free(&factor);
    pare_arena_free(&scratch);
    return Q;
}

static struct pare_prune_options options_of(const char *pattern,
                                            enum pare_criterion criterion, int passes)
{
    return (struct pare_prune_options){
        .pattern = pattern_of(pattern), .criterion = criterion, .passes = passes};
}

/* --- Patterns --- */

static size_t zeros_of_block(const float *Q, size_t K, const struct pare_pattern *p,
                             size_t row, size_t column)
{
    size_t zeros = 0;
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->columns; j++)
            zeros += Q[(row + i) * K + column + j] == 0;
    return zeros;
}

static void check_pattern(const float *Q, const struct problem *p,
                          const struct pare_pattern *pattern, const char *name)
{
    size_t gone = 0, blocks = 0;
    for (size_t n = 0; pattern->m && n < p->N; n++)
        for (size_t k = 0; k < p->K; k += pattern->m) {
            size_t zeros = 0;
            for (size_t j = 0; j < pattern->m; j++)
                zeros += Q[n * p->K + k + j] == 0;
            cr_assert_eq(zeros, pattern->m - pattern->n, "%s: row %zu, column %zu", name,
                         n, k);
        }
    for (size_t n = 0; !pattern->m && n < p->N; n += pattern->rows)
        for (size_t k = 0; k < p->K; k += pattern->columns) {
            const size_t zeros = zeros_of_block(Q, p->K, pattern, n, k);
            cr_assert(zeros == 0 || zeros == pattern->rows * pattern->columns,
                      "%s: half a block at row %zu, column %zu", name, n, k);
            gone += zeros != 0;
            blocks++;
        }
    cr_expect(pattern->m || fabs((double)gone - pattern->sparsity * (double)blocks) <=
                                1 + (double)p->N / 64,
              "%s: %zu of %zu blocks", name, gone, blocks);
}

Test(prune, every_pattern_is_kept_by_every_criterion)
{
    struct problem p = problem_new(96, 192, 31);
    for (size_t i = 0; i < PATTERNS; i++)
        for (int c = PARE_PRUNE_MAGNITUDE; c <= PARE_PRUNE_SPARSEGPT; c++)
            for (int passes = 0; passes < 3; passes += 2) {
                const struct pare_prune_options options =
                    options_of(patterns[i], (enum pare_criterion)c, passes);
                struct pare_prune_report report;
                float *Q = prune(&p, &options, &report);
                check_pattern(Q, &p, &options.pattern, patterns[i]);
                size_t zeros = 0;
                for (size_t j = 0; j < p.N * p.K; j++)
                    zeros += Q[j] == 0;
                cr_expect_eq(report.zeros, zeros);
                free(Q);
            }
    problem_free(&p);
}

Test(prune, texts_that_are_no_pattern_are_refused)
{
    static const char *const bad[] = {"",         "50",   "1",    "100%",    "-0.5",
                                      "nan",      "2:",   ":4",   "4:4",     "0:4",
                                      "5:4",      "2:64", "2:4x", "50%/3x1", "0.5/1",
                                      "0.5/1x64", "0.5x", "1e9%", "50%/",    "0.5/1x4x"};
    struct pare_pattern pattern;
    struct pare_error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(pare_pattern_parse(bad[i], &pattern, &err), PARE_ERR_USAGE, "\"%s\"",
                     bad[i]);
    pattern = pattern_of("2:4");
    cr_expect_eq(pare_pattern_check(&pattern, 8, 30, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "4 does not divide"));
    pattern = pattern_of("50%/16x1");
    cr_expect_eq(pare_pattern_check(&pattern, 24, 30, &err), PARE_ERR_USAGE);
    cr_expect_eq(pare_pattern_check(&pattern, 32, 30, &err), PARE_OK);
}

/* Coarse blocks: the share is that of the matrix, not of each tile rounded. */
Test(prune, every_criterion_has_the_share_that_was_asked_for)
{
    static const char *const coarse[] = {"97%/32x32", "3%/32x32", "90%/32x32",
                                         "0.55/16x8"};
    struct problem p = problem_new(256, 256, 38);
    for (size_t i = 0; i < sizeof coarse / sizeof coarse[0]; i++)
        for (int c = PARE_PRUNE_MAGNITUDE; c <= PARE_PRUNE_SPARSEGPT; c++) {
            const struct pare_prune_options options =
                options_of(coarse[i], (enum pare_criterion)c, 0);
            const struct pare_pattern *pattern = &options.pattern;
            struct pare_prune_report report;
            free(prune(&p, &options, &report));
            const double block = (double)(pattern->rows * pattern->columns);
            const double wanted = pattern->sparsity * 256 * 256;
            cr_expect_float_eq((double)report.zeros, wanted, 0.51 * block,
                               "%s, criterion %d: %zu zeros, expected %g", coarse[i], c,
                               report.zeros, wanted);
        }
    problem_free(&p);
}

Test(prune, an_order_that_takes_a_pattern_apart_is_refused)
{
    struct problem p = problem_new(8, 96, 39);
    const struct pare_quant_rows rows = {p.W, p.N, p.K, 0};
    const struct pare_prune_options options = options_of("2:4", PARE_PRUNE_SPARSEGPT, 0);
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_ALL, 1);
    struct pare_arena scratch = {0};
    struct pare_prune_report report;
    struct pare_error err;
    float *Q = malloc(p.N * p.K * sizeof *Q);
    cr_expect_eq(pare_prune(&rows, &factor, &options, Q, NULL, &report, &scratch, &err),
                 PARE_ERR_USAGE);
    free(Q);
    pare_arena_free(&scratch);
    pare_factor_free(&factor);
    problem_free(&p);
}

/* --- The published algorithms --- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Half of each 96 columns of the rows, from their weights as they are when these begin:
 * the only thresholds of a matrix of at most 64 rows. */
static float *plain_sparsegpt(const struct problem *p, const struct pare_factor *factor)
{
    const size_t N = p->N, K = p->K, block = 96;
    double *U = plain_inverse_factor(p, factor->order, factor->damping);
    double *x = malloc(N * K * sizeof *x), *scores = malloc(N * block * sizeof *scores);
    double *sorted = malloc(N * block * sizeof *sorted);
    float *Q = malloc(N * K * sizeof *Q);
    for (size_t i = 0; i < N * K; i++)
        x[i] = (double)p->W[i / K * K + factor->order[i % K]];
    for (size_t begin = 0; begin < K; begin += block) {
        for (size_t i = 0; i < N * block; i++) {
            const size_t k = begin + i % block;
            scores[i] = pow(x[i / block * K + k] / U[k * (K + 1)], 2);
        }
        memcpy(sorted, scores, N * block * sizeof *sorted);
        qsort(sorted, N * block, sizeof *sorted, ascending);
        const double limit = sorted[N * block / 2];
        for (size_t n = 0; n < N; n++)
            for (size_t k = begin; k < begin + block; k++) {
                double *row = x + n * K;
                if (scores[n * block + k - begin] >= limit)
                    continue;
                const double e = row[k] / U[k * (K + 1)];
                for (size_t j = k; j < K; j++)
                    row[j] -= e * U[k * K + j];
                row[k] = 0;
            }
    }
    for (size_t i = 0; i < N * K; i++)
        Q[i / K * K + factor->order[i % K]] = (float)x[i];
    free(U);
    free(x);
    free(scores);
    free(sorted);
    return Q;
}

Test(prune, sparsegpt_equals_a_plain_implementation_in_double)
{
    struct problem p = problem_new(64, 192, 32);
    struct pare_prune_options options = options_of("50%", PARE_PRUNE_SPARSEGPT, 0);
    options.even = 1;
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_ALL, 1);
    float *Q = prune(&p, &options, NULL), *plain = plain_sparsegpt(&p, &factor);
    size_t different = 0;
    for (size_t i = 0; i < p.N * p.K; i++)
        different += !(fabs((double)Q[i] - (double)plain[i]) < 2e-4);
    cr_expect_leq(different, p.K, "%zu weights differ", different);
    cr_expect_float_eq(problem_cost(&p, Q), problem_cost(&p, plain),
                       2e-3 * problem_cost(&p, plain));
    free(Q);
    free(plain);
    pare_factor_free(&factor);
    problem_free(&p);
}

/* Wanda's equation, weight by weight. */
Test(prune, wanda_and_magnitude_keep_the_largest_scores_as_they_are)
{
    struct problem p = problem_new(20, 96, 33);
    for (int wanda = 0; wanda < 2; wanda++) {
        const struct pare_prune_options options =
            options_of("50%", wanda ? PARE_PRUNE_WANDA : PARE_PRUNE_MAGNITUDE, 0);
        float *Q = prune(&p, &options, NULL);
        double lowest[20], highest[20], all_low = INFINITY, all_high = 0;
        for (size_t n = 0; n < p.N; n++) {
            lowest[n] = INFINITY;
            highest[n] = 0;
            for (size_t k = 0; k < p.K; k++) {
                const double h = p.H[k * (p.K + 1)], w = (double)p.W[n * p.K + k];

                const double score = fabs(w) * (wanda ? sqrt(h) : 1);
                if (Q[n * p.K + k] == 0) {
                    highest[n] = fmax(highest[n], score);
                } else {
                    cr_assert_eq(Q[n * p.K + k], p.W[n * p.K + k]);
                    lowest[n] = fmin(lowest[n], score);
                }
            }
            all_low = fmin(all_low, lowest[n]);
            all_high = fmax(all_high, highest[n]);
            /* The damping is in the diagonal: 1 % of its mean. */
            cr_expect(!wanda || highest[n] <= 1.1 * lowest[n], "row %zu", n);
        }
        cr_expect(wanda || all_high <= all_low);
        free(Q);
    }
    problem_free(&p);
}

/* --- Properties --- */

Test(prune, the_sweep_costs_less_than_masks_alone_and_passes_less_than_the_sweep)
{
    struct problem p = problem_new(96, 576, 34);
    for (size_t i = 0; i + 1 < PATTERNS; i++) {
        double cost[4];
        for (int c = 0; c < 4; c++) {
            const struct pare_prune_options options = options_of(
                patterns[i], c < 3 ? (enum pare_criterion)c : PARE_PRUNE_SPARSEGPT,
                c < 3 ? 0 : PARE_PRUNE_PASSES);
            float *Q = prune(&p, &options, NULL);
            cost[c] = problem_cost(&p, Q);
            free(Q);
        }
        cr_expect_lt(cost[PARE_PRUNE_SPARSEGPT], 0.9 * cost[PARE_PRUNE_WANDA], "%s",
                     patterns[i]);
        cr_expect_lt(cost[PARE_PRUNE_SPARSEGPT], 0.9 * cost[PARE_PRUNE_MAGNITUDE], "%s",
                     patterns[i]);
        cr_expect_lt(cost[3], 0.985 * cost[PARE_PRUNE_SPARSEGPT], "%s: %g, without %g",
                     patterns[i], cost[3], cost[PARE_PRUNE_SPARSEGPT]);
    }
    problem_free(&p);
}

Test(prune, the_bits_depend_neither_on_threads_nor_on_the_tier)
{
    static const int threads[] = {1, 2, 3, 7};
    struct problem p = problem_new(96, 192, 35);
    for (size_t i = 0; i < PATTERNS; i += 2) {
        const struct pare_prune_options options =
            options_of(patterns[i], PARE_PRUNE_SPARSEGPT, 2);
        float *first = prune(&p, &options, NULL);
        for (int tier = 0; pare_cpu_tier(tier); tier++)
            for (int t = 0; t < (tier ? 4 : 1); t++) {
                cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
                pare_set_threads(threads[t]);
                float *Q = prune(&p, &options, NULL);
                cr_expect(!memcmp(first, Q, p.N * p.K * sizeof *Q),
                          "%s on %s with %d threads", patterns[i], pare_cpu_tier(tier),
                          threads[t]);
                free(Q);
            }
        free(first);
    }
    problem_free(&p);
}

Test(prune, the_report_is_what_the_weights_cost)
{
    struct problem p = problem_new(40, 192, 37);
    const struct pare_prune_options options = options_of("2:4", PARE_PRUNE_SPARSEGPT, 3);
    struct pare_prune_report report;
    float *Q = prune(&p, &options, &report);
    const double cost = problem_cost(&p, Q);
    cr_expect_float_eq(report.loss, cost, 2e-4 * cost, "%g, expected %g", report.loss,
                       cost);
    free(Q);
    problem_free(&p);
}

Test(prune, what_is_not_finite_is_an_error_that_names_it)
{
    struct problem p = problem_new(8, 96, 36);
    const struct pare_quant_rows rows = {p.W, p.N, p.K, 0};
    struct pare_factor factor = problem_factor(&p, PARE_ORDER_ALL, 1);
    struct pare_arena scratch = {0};
    float *Q = malloc(p.N * p.K * sizeof *Q);
    p.W[3 * p.K + 5] = NAN;
    for (int c = PARE_PRUNE_MAGNITUDE; c <= PARE_PRUNE_SPARSEGPT; c++) {
        const struct pare_prune_options options =
            options_of("50%", (enum pare_criterion)c, 2);
        struct pare_prune_report report;
        struct pare_error err;
        cr_expect_eq(
            pare_prune(&rows, &factor, &options, Q, NULL, &report, &scratch, &err),
            PARE_ERR_INPUT);
        cr_expect(strstr(err.message, "row 3") && strstr(err.message, "column 5"), "%s",
                  err.message);
    }
    free(Q);
    pare_arena_free(&scratch);
    pare_factor_free(&factor);
    problem_free(&p);
}
