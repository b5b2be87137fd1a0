/* Moments of two sets of rows against plain sums in double, and in bands. */
#include <criterion/criterion.h>

#include "runtime/tensor/cross.h"
#include "tests/support/kernel_cases.h"

#define ROWS 1000
#define K 600 /* three panels, the last one narrow */

struct world {
    float *D, *X;
    struct pare_cross whole;
    struct pare_arena arena;
};

static void set_up(struct world *w)
{
    uint64_t seed = 5;
    *w = (struct world){0};
    w->D = malloc(ROWS * K * sizeof *w->D);
    w->X = malloc(ROWS * K * sizeof *w->X);
    for (size_t i = 0; i < ROWS * K; i++) {
        w->D[i] = case_float(&seed, CASE_PLAIN);
        w->X[i] = case_float(&seed, CASE_PLAIN);
    }
    cr_assert_eq(pare_cross_init(&w->whole, K, NULL), PARE_OK);
    cr_assert_eq(pare_cross_add(&w->whole, w->D, w->X, ROWS, &w->arena, NULL), PARE_OK);
}

static void tear_down(struct world *w)
{
    pare_cross_free(&w->whole);
    pare_arena_free(&w->arena);
    free(w->D);
    free(w->X);
}

static double element(struct world *w, size_t i, size_t j)
{
    const struct pare_cross_source source = pare_cross_in_memory(&w->whole);
    const size_t first = j - j % PARE_CROSS_COLUMNS;
    const size_t n = K - first < PARE_CROSS_COLUMNS ? K - first : PARE_CROSS_COLUMNS;
    const double *panel;
    cr_assert_eq(source.panel(source.context, first, n, &panel, NULL), PARE_OK);
    return panel[i * n + j - first];
}

Test(cross, sums_are_those_of_a_plain_loop)
{
    struct world w;
    set_up(&w);
    for (size_t i = 0; i < K; i += 7)
        for (size_t j = 0; j < K; j += 11) {
            double sum = 0, size = 0;
            for (size_t t = 0; t < ROWS; t++) {
                const double x = (double)w.D[t * K + i] * (double)w.X[t * K + j];
                sum += x;
                size += fabs(x);
            }
            cr_assert_float_eq(element(&w, i, j), sum, 4e-6 * size, "(%zu, %zu)", i, j);
        }
    tear_down(&w);
}

Test(cross, bands_are_the_columns_of_the_whole)
{
    struct world w;
    set_up(&w);
    for (size_t n = 1; n <= 3; n++)
        for (size_t i = 0; i < n; i++) {
            struct pare_cross band;
            const size_t first = pare_cross_band(K, n, i),
                         end = pare_cross_band(K, n, i + 1);
            cr_assert_lt(first, end);
            cr_assert_eq(pare_cross_init_band(&band, K, first, end, NULL), PARE_OK);
            cr_assert_eq(pare_cross_add(&band, w.D, w.X, ROWS, &w.arena, NULL), PARE_OK);
            cr_assert_arr_eq(band.sum, w.whole.sum + first * K,
                             (end - first) * K * sizeof(double));
            pare_cross_free(&band);
        }
    cr_assert_eq(pare_cross_band(K, 3, 0), 0);
    cr_assert_eq(pare_cross_band(K, 3, 3), K);
    tear_down(&w);
}
