/* Bytes for matrices, against trying everything. */
#include <criterion/criterion.h>
#include <math.h>

#include "libquant/allocate.h"
#include "runtime/base/rng.h"

#define MOST 6

static struct pare_error err;

struct problem {
    struct pare_choice choices[40][MOST];
    struct pare_choices items[40];
    size_t n;
};

/* Losses fall with bytes, as a rule; some choices are of no use, some alike. */
static void make(struct problem *p, size_t n, uint64_t seed)
{
    struct pare_rng rng = {.seed = seed};
    p->n = n;
    for (size_t i = 0; i < n; i++) {
        const size_t count = 1 + pare_rng_below(&rng, MOST);
        const uint64_t size = 1 + pare_rng_below(&rng, 20);
        const double weight = pare_rng_uniform(&rng) + 0.01;
        for (size_t c = 0; c < count; c++)
            p->choices[i][c] =
                (struct pare_choice){(1 + pare_rng_below(&rng, 8)) * size,
                                     weight * exp2(-(double)pare_rng_below(&rng, 8))};
        p->items[i] = (struct pare_choices){p->choices[i], count};
    }
}

/* The least loss of all choices within the budget; -1 when there are none. */
static double try_all(const struct problem *p, size_t i, uint64_t left)
{
    double best = -1;
    if (i == p->n)
        return 0;
    for (size_t c = 0; c < p->items[i].count; c++) {
        if (p->choices[i][c].bytes > left)
            continue;
        const double rest = try_all(p, i + 1, left - p->choices[i][c].bytes);
        const double all = rest < 0 ? -1 : rest + p->choices[i][c].loss;
        if (all >= 0 && (best < 0 || all < best))
            best = all;
    }
    return best;
}

static void expect_sums(const struct problem *p, const struct pare_allocation *a,
                        uint64_t budget)
{
    uint64_t bytes = 0;
    double loss = 0;
    for (size_t i = 0; i < p->n; i++) {
        cr_assert_lt(a->chosen[i], p->items[i].count);
        bytes += p->choices[i][a->chosen[i]].bytes;
        loss += p->choices[i][a->chosen[i]].loss;
    }
    cr_assert_eq(a->bytes, bytes);
    cr_assert_float_eq(a->loss, loss, 1e-12 * loss);
    cr_assert_leq(bytes, budget);
}

Test(allocate, small_problems_get_the_best_there_is)
{
    struct pare_arena arena = {0};
    uint32_t chosen[40];
    size_t refused = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct problem p;
        make(&p, 1 + seed % 6, seed);
        for (uint64_t budget = seed % 7; budget < 500; budget += 41) {
            struct pare_allocation a = {.chosen = chosen};
            const double best = try_all(&p, 0, budget);
            const enum pare_status status =
                pare_allocate(p.items, p.n, budget, &a, &arena, &err);
            if (best < 0) {
                cr_assert_eq(status, PARE_ERR_USAGE);
                refused++;
                continue;
            }
            cr_assert_eq(status, PARE_OK, "%s", err.message);
            cr_assert(a.exact);
            cr_assert_float_eq(a.loss, best, 1e-9 * (best + 1e-9),
                               "seed %d, budget %d: %g instead of %g", (int)seed,
                               (int)budget, a.loss, best);
            expect_sums(&p, &a, budget);
        }
    }
    cr_assert_gt(refused, 0);
    pare_arena_free(&arena);
}

Test(allocate, large_problems_keep_to_the_budget_and_to_the_curve)
{
    struct pare_arena arena = {0};
    uint32_t chosen[40];
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct problem p;
        struct pare_curve curve;
        make(&p, 40, seed);
        cr_assert_eq(pare_allocate_curve(p.items, p.n, &curve, &arena, &err), PARE_OK);
        for (size_t k = 0; k < curve.count; k++) {
            struct pare_allocation a = {.chosen = chosen};
            if (k) {
                cr_assert_gt(curve.points[k].bytes, curve.points[k - 1].bytes);
                cr_assert_lt(curve.points[k].loss, curve.points[k - 1].loss);
            }
            if (k % 16)
                continue;
            cr_assert_eq(
                pare_allocate(p.items, p.n, curve.points[k].bytes, &a, &arena, &err),
                PARE_OK);
            expect_sums(&p, &a, curve.points[k].bytes);
            cr_assert_float_eq(a.loss, curve.points[k].loss, 1e-9 * a.loss);
            /* A byte less is not enough for as little. */
            if (k) {
                cr_assert_eq(pare_allocate(p.items, p.n, curve.points[k].bytes - 1, &a,
                                           &arena, &err),
                             PARE_OK);
                expect_sums(&p, &a, curve.points[k].bytes - 1);
                cr_assert_geq(a.loss, curve.points[k].loss);
            }
        }
    }
    pare_arena_free(&arena);
}

Test(allocate, losses_bend_downwards_along_the_curve)
{
    struct pare_arena arena = {0};
    struct problem p;
    struct pare_curve curve;
    make(&p, 40, 5);
    cr_assert_eq(pare_allocate_curve(p.items, p.n, &curve, &arena, &err), PARE_OK);
    cr_assert_gt(curve.count, 10);
    double before = INFINITY;
    for (size_t k = 1; k < curve.count; k++) {
        const struct pare_choice *a = &curve.points[k - 1], *b = &curve.points[k];
        const double saved = (a->loss - b->loss) / (double)(b->bytes - a->bytes);
        cr_assert_leq(saved, before * (1 + 1e-6));
        before = saved;
    }
    pare_arena_free(&arena);
}

Test(allocate, nothing_to_choose_takes_nothing)
{
    struct pare_arena arena = {0};
    struct pare_allocation a = {0};
    cr_assert_eq(pare_allocate(NULL, 0, 0, &a, &arena, &err), PARE_OK);
    cr_assert_eq(a.bytes, 0);
    cr_assert(a.exact);
    pare_arena_free(&arena);
}
