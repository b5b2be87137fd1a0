/* The range test of learning rates. */
#include <stdlib.h>

#include "libdistill/find_rate.h"
#include "runtime/base/parallel.h"
#include "tests/support/toy_task.h"

static void one_thread(void)
{
    pare_set_threads(1);
}

TestSuite(find_rate, .init = one_thread);

/* --- What a curve says -------------------------------------------------------------- */

/* Flat, falling over two decades from 1e-5, rising behind 1e-2. */
static double loss_at(double rate)
{
    if (rate < 1e-5)
        return 0.7;
    if (rate < 1e-3)
        return 0.7 - 0.25 * (log10(rate) + 5);
    return rate < 1e-2 ? 0.2 - 0.01 * (log10(rate) + 3) : 0.19 + 50 * (rate - 1e-2);
}

static struct pare_rate_curve curve_of(double (*loss)(double))
{
    struct pare_rate_curve curve = {.n = PARE_RATE_POINTS};
    for (size_t i = 0; i < curve.n; i++) {
        const double rate = 1e-7 * pow(10, (double)i / PARE_RATE_DECADE);
        curve.points[i] = (struct pare_rate_point){.rate = rate, .smooth = loss(rate)};
    }
    pare_rate_curve_judge(&curve);
    return curve;
}

static double flat(double rate)
{
    return rate < 1e-6 ? 0.7 - rate : 0.7 + rate;
}

Test(find_rate, suggests_a_tenth_of_the_rate_with_the_least_loss)
{
    const struct pare_rate_curve curve = curve_of(loss_at);
    cr_assert_float_eq(log10(curve.points[curve.least].rate), -2, 0.05);
    cr_assert_float_eq(log10(curve.suggested), -3, 0.05);
    const double steepest = log10(curve.points[curve.steepest].rate);
    cr_assert(steepest > -5 && steepest < -3, "%g", steepest);
}

Test(find_rate, suggests_nothing_where_no_rate_helps)
{
    cr_assert_eq(curve_of(flat).suggested, 0);
    struct pare_rate_curve none = {0};
    pare_rate_curve_judge(&none);
    cr_assert_eq(none.suggested, 0);
}

/* --- On a task ---------------------------------------------------------------------- */

static enum pare_status find(const struct pare_train_options *options, float poison,
                             struct pare_rate_curve *curve, struct pare_error *error)
{
    static struct task train;
    struct pare_config config = config_of_task();
    struct pare_params *params;
    make_task(&train, TASK_TRAIN, 1);
    TOY_OK(pare_params_new(&config, &params, err));
    pare_params_draw_all(params, 9);
    if (poison != 0)
        params->value[params->blocks[0].down.weight] = poison;
    enum pare_status status =
        pare_find_rate(params, &train.examples, options, NULL, curve, error);
    pare_params_free(params);
    return status;
}

Test(find_rate, its_updates_are_those_of_a_run_at_its_rates)
{
    struct pare_train_options options = options_of_task();
    options.eval_every = 3; /* these are for another run */
    options.patience = 1;
    options.average = 0.9;
    struct pare_rate_curve curve;
    TOY_OK(find(&options, 0, &curve, err));
    cr_assert(curve.n > 2 * PARE_RATE_DECADE, "%zu", curve.n);
    double average = 0;
    for (size_t i = 0; i < curve.n; i++) {
        const struct pare_rate_point *p = &curve.points[i];
        cr_assert_float_eq(log10(p->rate), -7 + (double)i / 32, 1e-9);
        average = 0.9 * average + 0.1 * p->loss;
        cr_assert_float_eq(p->smooth, average / (1 - pow(0.9, (double)i + 1)), 1e-9);
    }
    /* The first update's loss is that of the weights at the start. */
    options = options_of_task();
    options.epochs = 1;
    struct outcome outcome = run(&options, 1);
    cr_assert_float_eq(curve.points[0].loss, outcome.part_so_far[0] / 8, 1e-12);
    /* The rate that the other tests train with is a good one. */
    cr_assert(curve.suggested > 1e-4 && curve.suggested < 0.1, "%g", curve.suggested);
}

Test(find_rate, says_what_fails_at_once)
{
    struct pare_train_options options = options_of_task();
    struct pare_rate_curve curve;
    struct pare_error error;
    cr_assert_eq(find(&options, INFINITY, &curve, &error), PARE_ERR_INPUT);
    cr_assert_not_null(strstr(error.message, "blk.0.ffn_down.weight"), "%s",
                       error.message);
    pare_interrupt(15);
    cr_assert_eq(find(&options, 0, &curve, &error), PARE_ERR_INTERRUPTED);
    pare_interrupt(0);
}
