/* Solvers for super-blocks: GPTQ and rounding in searched grids, and what they store. */
#include <criterion/criterion.h>

#include "libquant/nearest.h"
#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/superblocks.h"
#include "tests/support/gptq_stored.h"

static const enum pare_dtype supers[] = {PARE_Q2_K, PARE_Q3_K,  PARE_Q4_K, PARE_Q5_K,
                                         PARE_Q6_K, PARE_TQ1_0, PARE_TQ2_0};
#define SUPERS (sizeof supers / sizeof supers[0])

static struct pare_target target_of(enum pare_dtype type)
{
    return (struct pare_target){.kind = PARE_TARGET_TYPE, .type = type};
}

static struct pare_error err;

/* Q, to be freed. */
static float *nearest_of(const struct problem *p, const struct pare_nearest *nearest,
                         const struct pare_target_data *stored)
{
    const struct pare_quant_rows rows = {p->W, p->N, p->K, 0};
    struct pare_quant_error error = {0};
    float *Q = malloc(p->N * p->K * sizeof *Q);
    cr_assert_eq(pare_nearest_round(nearest, &rows, Q, stored, &error, &err), PARE_OK,
                 "%s", err.message);
    return Q;
}

static void check_stored(const struct problem *p, const struct pare_target *target,
                         const struct bytes *b, const float *Q)
{
    float *row = malloc(p->K * sizeof *row);
    for (size_t n = 0; n < p->N; n++) {
        decode_row(p, target, b, n, row);
        for (size_t k = 0; k < p->K; k++)
            cr_assert_eq(row[k], Q[n * p->K + k], "%s: (%zu, %zu) is %g, not %g",
                         pare_dtype_name(target->type), n, k, row[k], Q[n * p->K + k]);
    }
    free(row);
}

Test(superfit, gptq_costs_less_than_rounding_and_decodes_to_its_solution)
{
    struct problem p = problem_new(67, 512, 41);
    for (size_t t = 0; t < SUPERS; t++) {
        const struct pare_target target = target_of(supers[t]);
        struct pare_nearest nearest = pare_nearest_defaults(&target, NULL);
        float *rounded = nearest_of(&p, &nearest, NULL);
        const double right = problem_cost(&p, rounded);
        for (int early = 0; early < 2; early++) {
            struct pare_gptq_options options = pare_gptq_defaults(&target);
            struct pare_factor factor =
                problem_factor(&p, early ? PARE_ORDER_ALL : PARE_ORDER_GROUPS,
                               pare_target_group(&target, p.K));
            struct bytes b = bytes_new(&p, &target);
            options.early = early;
            float *Q = solve(&p, &factor, &options, &b.stored, NULL);
            check_stored(&p, &target, &b, Q);
            cr_expect_lt(problem_cost(&p, Q), right, "%s", pare_dtype_name(supers[t]));
            free(Q);
            bytes_free(&b);
            pare_factor_free(&factor);
        }
        free(rounded);
    }
    problem_free(&p);
}

static double cost_by(const struct problem *p, const float *cost, const float *Q)
{
    double sum = 0;
    for (size_t i = 0; i < p->N * p->K; i++) {
        const double e = (double)p->W[i] - (double)Q[i];
        sum += (cost ? (double)cost[i % p->K] : 1) * e * e;
    }
    return sum;
}

/* Each search has least of what it looks for, in every kind of grid. */
Test(superfit, weighted_rounding_costs_less_by_its_weights)
{
    struct problem p = problem_new(70, 512, 42);
    float *cost = malloc(p.K * sizeof *cost);
    cr_assert(pare_nearest_costs(&p.gram, 0.01, cost));
    for (size_t t = 0; t < SUPERS + TARGETS; t++) {
        const struct pare_target target =
            t < SUPERS ? target_of(supers[t]) : targets[t - SUPERS];
        struct pare_nearest plain = pare_nearest_defaults(&target, NULL), range = plain;
        const struct pare_nearest weighted = pare_nearest_defaults(&target, cost);
        range.search = PARE_SEARCH_RANGE;
        struct bytes b = bytes_new(&p, &target);
        float *Q[] = {nearest_of(&p, &range, NULL), nearest_of(&p, &plain, NULL),
                      nearest_of(&p, &weighted, &b.stored)};
        check_stored(&p, &target, &b, Q[2]);
        cr_expect_leq(cost_by(&p, NULL, Q[1]), cost_by(&p, NULL, Q[0]), "target %zu", t);
        cr_expect_leq(cost_by(&p, NULL, Q[1]), cost_by(&p, NULL, Q[2]), "target %zu", t);
        /* In 8 bits the range itself is best by any weights. */
        const double gain = pare_target_lattice(&target).high < 200 ? 0.999 : 1;
        cr_expect_leq(cost_by(&p, cost, Q[2]), gain * cost_by(&p, cost, Q[1]),
                      "target %zu", t);
        bytes_free(&b);
        for (int i = 0; i < 3; i++)
            free(Q[i]);
    }
    free(cost);
    problem_free(&p);
}

Test(superfit, moments_of_no_use_weigh_all_alike)
{
    struct problem p = problem_new(1, 32, 43);
    float cost[32];
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < p.K * p.K; i++)
            p.H[i] = turn ? NAN : 0;
        problem_set_moments(&p);
        cr_expect(!pare_nearest_costs(&p.gram, 0.01, cost));
        for (int k = 0; k < 32; k++)
            cr_expect_eq(cost[k], 1);
    }
    problem_free(&p);
}

Test(superfit, the_bytes_depend_neither_on_threads_nor_on_the_tier)
{
    static const int threads[] = {1, 2, 3};
    struct problem p = problem_new(70, 512, 44);
    for (size_t t = 0; t < SUPERS; t++) {
        const struct pare_target target = target_of(supers[t]);
        struct bytes first = stored_with(&p, &target);
        for (int tier = 0; pare_cpu_tier(tier); tier++)
            for (int i = 0; i < (tier ? 3 : 1); i++) {
                cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
                pare_set_threads(threads[i]);
                struct bytes b = stored_with(&p, &target);
                cr_expect(!memcmp(b.stored.data, first.stored.data, b.data),
                          "%s, %s, %d threads", pare_dtype_name(supers[t]),
                          pare_cpu_tier(tier), threads[i]);
                bytes_free(&b);
            }
        bytes_free(&first);
    }
    problem_free(&p);
}

/* --- Scales --- */

static int is_short(float scale)
{
    return pare_bf16_to_f32(pare_f32_to_bf16(scale)) == scale &&
           pare_f16_to_f32(pare_f32_to_f16(scale)) == scale;
}

static int has_short_scales(const struct problem *p, const struct pare_target *target,
                            const struct bytes *b)
{
    const struct pare_superblock_layout *layout = pare_superblock_layout(target->type);
    const struct pare_dtype_info *info = pare_dtype_info(target->type);
    int ok = 1;
    if (target->kind == PARE_TARGET_GROUPS) {
        for (size_t i = 0; i < b->scale; i += 2)
            ok &= is_short(pare_f16_to_f32(pare_load_u16(b->stored.scale + i)));
        return ok;
    }
    for (size_t i = 0; i < p->N * p->K / info->block; i++) {
        const unsigned char *at = b->stored.data + i * info->block_bytes;
        struct pare_superblock block;
        if (layout) {
            pare_superblock_read(target->type, at, &block);
            ok &= is_short(block.d) && is_short(block.dmin);
        } else {
            ok &= is_short(pare_f16_to_f32(pare_load_u16(at)));
            if (target->type == PARE_Q4_1)
                ok &= is_short(pare_f16_to_f32(pare_load_u16(at + 2)));
        }
    }
    return ok;
}

/* Small weights too, whose scales are below the smallest normal half. */
Test(superfit, scales_are_exact_in_bfloat16_as_well_when_asked_for)
{
    struct problem p = problem_new(20, 512, 45);
    for (size_t i = 0; i < p.N * p.K; i++)
        p.W[i] *= ldexpf(1, -(int)(i / p.K));
    for (size_t t = 0; t < SUPERS + TARGETS; t++) {
        struct pare_target target =
            t < SUPERS ? target_of(supers[t]) : targets[t - SUPERS];
        if (target.type == PARE_I8)
            continue;
        struct bytes half = stored_with(&p, &target);
        cr_expect(!has_short_scales(&p, &target, &half), "target %zu", t);
        target.grid.bf16 = 1;
        const struct pare_nearest nearest = pare_nearest_defaults(&target, NULL);
        struct bytes b = stored_with(&p, &target), r = bytes_new(&p, &target);
        float *Q = nearest_of(&p, &nearest, &r.stored);
        cr_expect(has_short_scales(&p, &target, &b), "target %zu", t);
        cr_expect(has_short_scales(&p, &target, &r), "target %zu", t);
        check_stored(&p, &target, &r, Q);
        free(Q);
        bytes_free(&half);
        bytes_free(&b);
        bytes_free(&r);
    }
    problem_free(&p);
}

/* --- Weights at the edge --- */

Test(superfit, zeros_and_constants_are_kept)
{
    struct problem p = problem_new(3, 256, 46);
    for (size_t i = 0; i < p.N * p.K; i++)
        p.W[i] = i < p.K ? 0 : i < 2 * p.K ? 0.75f : -0.75f;
    for (size_t t = 0; t < SUPERS; t++) {
        const struct pare_target target = target_of(supers[t]);
        const struct pare_nearest nearest = pare_nearest_defaults(&target, NULL);
        const struct pare_gptq_options options = pare_gptq_defaults(&target);
        struct pare_factor factor =
            problem_factor(&p, PARE_ORDER_GROUPS, pare_target_group(&target, p.K));
        float *Q[] = {nearest_of(&p, &nearest, NULL),
                      solve(&p, &factor, &options, NULL, NULL)};
        for (int which = 0; which < 2; which++) {
            for (size_t i = 0; i < p.N * p.K; i++)
                cr_assert_float_eq(Q[which][i], p.W[i], i < p.K ? 0 : 1e-3,
                                   "%s: %g for %g", pare_dtype_name(supers[t]),
                                   Q[which][i], p.W[i]);
            free(Q[which]);
        }
        pare_factor_free(&factor);
    }
    problem_free(&p);
}

Test(superfit, three_values_are_kept_however_few_are_not_zero)
{
    static const int shares[] = {1, 2, 8, 32, 256};
    struct problem p = problem_new(5, 512, 47);
    for (size_t i = 0; i < p.N * p.K; i++)
        p.W[i] = (i % p.K) % (size_t)shares[i / p.K] ? 0 : i % 3 ? 0.3125f : -0.3125f;
    for (int t = 0; t < 2; t++) {
        const struct pare_target target = target_of(t ? PARE_TQ1_0 : PARE_TQ2_0);
        const struct pare_nearest nearest = pare_nearest_defaults(&target, NULL);
        float *Q = nearest_of(&p, &nearest, NULL);
        for (size_t i = 0; i < p.N * p.K; i++)
            cr_assert_eq(Q[i], p.W[i], "row %zu: %g for %g", i / p.K, Q[i], p.W[i]);
        free(Q);
    }
    problem_free(&p);
}

static void refuse(const struct problem *p, const struct pare_target *target,
                   const char *phrase)
{
    const struct pare_quant_rows rows = {p->W, p->N, p->K, 100};
    const struct pare_gptq_options options = pare_gptq_defaults(target);
    struct pare_factor factor =
        problem_factor(p, PARE_ORDER_GROUPS, pare_target_group(target, p->K));
    struct pare_arena scratch = {0};
    struct pare_gptq_report report = {0};
    struct pare_quant_error error = {0};
    unsigned char *data = malloc(p->N * p->K);
    float *Q = malloc(p->N * p->K * sizeof *Q);
    cr_expect_eq(pare_gptq(&rows, &factor, &options, Q, NULL, &report, &scratch, &err),
                 PARE_ERR_INPUT);
    cr_expect(strstr(err.message, phrase), "%s: %s", pare_dtype_name(target->type),
              err.message);
    cr_expect_eq(pare_rtn_quantize(target->type, &rows, data, NULL, &error, &err),
                 PARE_ERR_INPUT);
    cr_expect(strstr(err.message, phrase), "%s: %s", pare_dtype_name(target->type),
              err.message);
    pare_factor_free(&factor);
    pare_arena_free(&scratch);
    free(data);
    free(Q);
}

Test(superfit, what_cannot_be_stored_is_an_error_that_names_the_row)
{
    struct problem p = problem_new(5, 512, 48);
    float *W = malloc(p.N * p.K * sizeof *W);
    memcpy(W, p.W, p.N * p.K * sizeof *W);
    for (size_t t = 0; t < SUPERS; t++) {
        const struct pare_target target = target_of(supers[t]);
        memcpy(p.W, W, p.N * p.K * sizeof *W);
        p.W[3 * 512 + 7] = NAN;
        refuse(&p, &target, "row 103, column 7");
        p.W[3 * 512 + 7] = -INFINITY;
        refuse(&p, &target, "row 103, column 7");
        for (size_t k = 256; k < 512; k++)
            p.W[3 * 512 + k] = k % 2 ? 1e15f : -1e15f;
        p.W[3 * 512 + 7] = 0;
        refuse(&p, &target, "row 103 has values beyond the range of a half-precision");
    }
    const struct pare_target target = target_of(PARE_Q4_K);
    cr_expect_eq(pare_target_check(&target, 384, &err), PARE_ERR_USAGE);
    cr_expect(strstr(err.message, "groups of 256 do not divide rows of 384"), "%s",
              err.message);
    free(W);
    problem_free(&p);
}
