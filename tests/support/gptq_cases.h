/* GPTQ on small problems, for the tests of it. */
#ifndef PARE_TESTS_GPTQ_CASES_H
#define PARE_TESTS_GPTQ_CASES_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libquant/gptq.h"
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

/* One of every kind of grid that can be stored. */
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

static inline struct pare_gptq_options plain_options(struct pare_target target)
{
    return (struct pare_gptq_options){.target = target, .search = PARE_SEARCH_RANGE};
}

/* Q, to be freed; stored and report may be NULL. */
static inline float *solve(const struct problem *p, const struct pare_factor *factor,
                           const struct pare_gptq_options *options,
                           const struct pare_target_data *stored,
                           struct pare_gptq_report *report)
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

/* The fallback: with it, GPTQ is round to nearest. */
static inline struct pare_factor no_factor(size_t K)
{
    struct pare_arena scratch = {0};
    struct pare_factor factor;
    cr_assert_eq(pare_factor_init(&factor, NULL, K, &(struct pare_factor_options){0},
                                  &scratch, NULL),
                 PARE_OK);
    pare_arena_free(&scratch);
    return factor;
}

#endif
