/* Observers of static quantisation against numpy, and what they are asked of. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libquant/inputs.h"
#include "libquant/observer.h"

#define ROWS 512
#define COLUMNS 64

static float X[ROWS * COLUMNS];

/* The same as in tests/golden/observers.py. */
static void make_values(int shape)
{
    uint32_t state = (uint32_t)shape + 1;
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        state = state * 1664525 + 1013904223;
        const double u = (double)(state >> 8) / 16777216, v = 2 * u - 1;
        const double values[] = {v * v * v * v * v * 8, v < 0 ? v * 0.125 : v * v * 3,
                                 u * u * u * u, v + (i % 16001 == 7 ? 40 : 0)};
        X[i] = (float)values[shape];
    }
}

/* By the observer, tests/golden/observers.py, numpy 2. */
static const double goldens[4][4][2] = {
    {{-7.99891758, 7.99965191},
     {-7.99891758, 7.99965191},
     {-7.99891758, 7.99965191},
     {-7.93715463, 7.93715463}},
    {{-0.124974534, 2.99967527},
     {-0.124974534, 2.99967527},
     {-0.117163626, 2.99967527},
     {-0.124974534, 2.99967527}},
    {{0, 0.99976778}, {0, 0.999279612}, {0, 0.99976778}, {0, 0.99976778}},
    {{-0.999988556, 40.4611397},
     {-0.999988556, 1.0042359},
     {-0.984363735, 39.1967291},
     {-0.999988556, 5.37374511}},
};

static struct pare_histogram histogram;

static void observe(const float *values, const float *by, const float range[2])
{
    histogram =
        (struct pare_histogram){.low = (double)range[0], .high = (double)range[1]};
    pare_histogram_add(&histogram, values, ROWS, COLUMNS, by);
}

Test(observer, ranges_are_those_of_numpy)
{
    for (int shape = 0; shape < 4; shape++) {
        struct pare_inputs inputs;
        float range[2];
        make_values(shape);
        cr_assert_eq(pare_inputs_init(&inputs, COLUMNS, 8, NULL), PARE_OK);
        pare_inputs_add(&inputs, X, ROWS);
        pare_inputs_range(&inputs, NULL, range);
        pare_inputs_free(&inputs);
        observe(X, NULL, range);
        for (int observer = 0; observer < 4; observer++) {
            pare_observer_range((enum pare_observer)observer, &histogram, range);
            for (int end = 0; end < 2; end++) {
                const double expected = goldens[shape][observer][end];
                cr_assert_float_eq(range[end], expected, 1e-6 * fabs(expected),
                                   "shape %d, observer %d: %g, expected %g", shape,
                                   observer, (double)range[end], expected);
            }
        }
    }
}

Test(observer, factors_are_those_of_the_inputs_that_are_multiplied)
{
    static float scaled[ROWS * COLUMNS];
    float by[COLUMNS], range[2] = {-9, 9};
    make_values(0);
    for (int k = 0; k < COLUMNS; k++)
        by[k] = 0.1f + 0.01f * (float)k;
    for (int i = 0; i < ROWS * COLUMNS; i++)
        scaled[i] = X[i] * by[i % COLUMNS];
    observe(scaled, NULL, range);
    const struct pare_histogram expected = histogram;
    observe(X, by, range);
    cr_assert(!memcmp(&expected, &histogram, sizeof histogram));
}

Test(observer, a_range_holds_zero_and_no_more_than_the_inputs)
{
    static const float ranges[][2] = {{0, 3}, {-3, 0}, {-1e-20f, 1e-20f}, {-1e20f, 1}};
    float range[2];
    for (int r = 0; r < 4; r++)
        for (int constant = 0; constant < 2; constant++) {
            uint32_t state = 1;
            for (int i = 0; i < ROWS * COLUMNS; i++) {
                state = state * 1664525 + 1013904223;
                const float u = constant ? 1 : (float)(state >> 8) / 16777216;
                X[i] = ranges[r][0] + u * (ranges[r][1] - ranges[r][0]);
            }
            observe(X, NULL, ranges[r]);
            for (int observer = 0; observer < 4; observer++) {
                pare_observer_range((enum pare_observer)observer, &histogram, range);
                cr_expect(range[0] <= 0 && range[1] >= 0 && range[1] > range[0]);
                cr_expect(range[0] >= ranges[r][0] && range[1] <= ranges[r][1]);
            }
        }
}

Test(observer, statistics_do_not_depend_on_batches_and_samples_are_every_nth_row)
{
    struct pare_inputs whole, parts;
    make_values(1);
    cr_assert_eq(pare_inputs_init(&whole, COLUMNS, 20, NULL), PARE_OK);
    cr_assert_eq(pare_inputs_init(&parts, COLUMNS, 20, NULL), PARE_OK);
    pare_inputs_add(&whole, X, ROWS);
    for (size_t row = 0, n = 1; row < ROWS; row += n, n = n % 7 + 1)
        pare_inputs_add(&parts, X + row * COLUMNS, row + n > ROWS ? ROWS - row : n);
    cr_expect_eq(parts.rows, ROWS);
    cr_expect(!memcmp(whole.low, parts.low, COLUMNS * sizeof(float)));
    cr_expect(!memcmp(whole.high, parts.high, COLUMNS * sizeof(float)));
    cr_expect(!memcmp(whole.magnitude, parts.magnitude, COLUMNS * sizeof(double)));
    cr_expect(!memcmp(whole.sum, parts.sum, COLUMNS * sizeof(double)));
    cr_assert_eq(whole.kept, parts.kept);
    cr_expect_eq(whole.step, 32);
    cr_expect_eq(whole.kept, 16);
    cr_expect(!memcmp(whole.sample, parts.sample, whole.kept * COLUMNS * sizeof(float)));
    for (size_t i = 0; i < whole.kept; i++)
        cr_expect(!memcmp(whole.sample + i * COLUMNS, X + i * 32 * COLUMNS,
                          COLUMNS * sizeof(float)),
                  "row %zu", i);
    double sum = 0, low = 0;
    for (size_t i = 0; i < ROWS; i++) {
        sum += (double)X[i * COLUMNS + 5];
        low = fmin(low, (double)X[i * COLUMNS + 5]);
    }
    cr_expect_float_eq(whole.sum[5], sum, 1e-9);
    cr_expect(whole.low[5] == (float)low);
    pare_inputs_free(&whole);
    pare_inputs_free(&parts);
}
