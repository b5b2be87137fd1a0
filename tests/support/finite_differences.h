/* Gradients against finite differences of a loss, for the tests of libdistill. */
#ifndef TESTS_SUPPORT_FINITE_DIFFERENCES_H
#define TESTS_SUPPORT_FINITE_DIFFERENCES_H

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "libdistill/params.h"
#include "runtime/base/rng.h"

#define SLOPE_MOST 1024 /* elements of a tensor */

struct slope_loss { /* as a function of the parameters' values */
    struct pare_params *params;
    const float *gradient; /* laid out as the parameters */
    double (*of)(void *context);
    void *context;
};

/* Along `direction` over elements [begin, end): central differences of steps h and h / 2,
 * extrapolated, with an error of order h^4. */
static inline double slope(const struct slope_loss *loss, size_t begin, size_t end,
                           const float *direction, float h)
{
    float *value = loss->params->value;
    float kept[SLOPE_MOST];
    cr_assert(end - begin <= SLOPE_MOST);
    memcpy(kept, value + begin, (end - begin) * sizeof *kept);
    double estimate[2];
    for (int half = 0; half < 2; half++) {
        double step = half ? h / 2 : h, found[2];
        for (int side = 0; side < 2; side++) {
            for (size_t k = begin; k < end; k++)
                value[k] = (float)((double)kept[k - begin] +
                                   (side ? -step : step) * (double)direction[k - begin]);
            found[side] = loss->of(loss->context);
        }
        estimate[half] = (found[0] - found[1]) / (2 * step);
    }
    memcpy(value + begin, kept, (end - begin) * sizeof *kept);
    return (4 * estimate[1] - estimate[0]) / 3;
}

static inline void slope_expect(double found, double expected, const char *what)
{
    cr_assert_float_eq(found, expected, 1e-4 + 4e-3 * fabs(expected),
                       "%s: gradient %.7g, finite differences %.7g", what, found,
                       expected);
}

/* The gradient of every tensor: eight elements (all of a small one), and all of them at
 * once along random signs, which no wrong element survives. */
static inline void slope_check(const struct slope_loss *loss)
{
    const struct pare_params *params = loss->params;
    for (size_t i = 0; i < params->plan.count; i++) {
        const size_t begin = params->start[i], n = params->start[i + 1] - begin;
        const char *name = params->plan.slots[i].name;
        struct pare_rng rng = {.seed = 5, .stream = i};
        const float one = 1;
        for (size_t sample = 0; sample < (n < 8 ? n : 8); sample++) {
            size_t k = begin + (n <= 8 ? sample : (size_t)pare_rng_below(&rng, n));
            slope_expect((double)loss->gradient[k], slope(loss, k, k + 1, &one, 0.02f),
                         name);
        }
        float direction[SLOPE_MOST];
        double along = 0;
        for (size_t k = 0; k < n; k++) {
            direction[k] = pare_rng_next(&rng) & 1 ? 1.0f : -1.0f;
            along += (double)direction[k] * (double)loss->gradient[begin + k];
        }
        slope_expect(along, slope(loss, begin, begin + n, direction, 0.004f), name);
    }
}

#endif
