/* The moving average of the weights: its values against a plain recomputation, and what a
 * run makes of it. */
#include <stdlib.h>

#include "libdistill/optimizer.h"
#include "libdistill/state.h"
#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "tests/support/folder.h"
#include "tests/support/toy_task.h"

static void one_thread(void)
{
    pare_set_threads(1);
}

TestSuite(average, .init = one_thread);

#define DECAY 0.9f

/* The formula of optimizer.h behind update t. */
static void follow(float *average, const float *value, size_t n, uint64_t t)
{
    double decay = (double)DECAY;
    if ((1.0 + (double)t) / (10.0 + (double)t) < decay)
        decay = (1.0 + (double)t) / (10.0 + (double)t);
    const float share = (float)(1 - decay);
    for (size_t k = 0; k < n; k++) {
        const float difference = value[k] - average[k];
        const float step = share * difference;
        average[k] = average[k] + step;
    }
}

/* --- In the optimiser --------------------------------------------------------------- */

/* Rows 40 and up of the token embedding never have a gradient; all: every row is named as
 * touched, so that nothing is late. */
static void draw_gradient(struct pare_params *params, uint64_t step, int all)
{
    const size_t C = params->config.hidden, V = params->config.vocab;
    struct pare_rng rng = {.seed = 77, .stream = step};
    for (size_t k = 0; k < params->total; k++)
        params->grad[k] = 0.1f * pare_rng_normal(&rng);
    params->n_touched = 0;
    for (uint32_t row = 0; row < V; row++) {
        const int has = row < 40 && row % 13 == step % 13;
        if (!has)
            memset(params->grad + params->tokens + row * C, 0, C * sizeof(float));
        if (has || all)
            params->touched[params->n_touched++] = row;
    }
}

static struct pare_optimizer *open_one(float average, float weight_decay)
{
    struct pare_config config = toy_config(PARE_DISTILBERT, PARE_ACT_GELU);
    config.vocab = 50;
    struct pare_params *params;
    struct pare_optimizer *optimizer;
    struct pare_optimizer_options options = pare_optimizer_options_default();
    options.weight_decay = weight_decay;
    options.average = average;
    TOY_OK(pare_params_new(&config, &params, err));
    toy_values(params, 4);
    TOY_OK(pare_optimizer_new(params, &options, &optimizer, err));
    return optimizer;
}

static void close_one(struct pare_optimizer *optimizer)
{
    pare_params_free(optimizer->params);
    pare_optimizer_free(optimizer);
}

Test(average, of_late_rows_is_that_of_dense_updates_bit_for_bit)
{
    for (int decays = 0; decays < 2; decays++) {
        struct pare_optimizer *dense = open_one(0, decays ? 0.1f : 0);
        struct pare_optimizer *late = open_one(DECAY, decays ? 0.1f : 0);
        const size_t n = dense->params->total, bytes = n * sizeof(float);
        float *expected;
        TOY_OK(pare_alloc(&expected, n, sizeof(float), err));
        memcpy(expected, dense->params->value, bytes);
        for (uint64_t step = 0; step < 120; step++) {
            const float lr = 0.01f / (float)(step + 1);
            double norm;
            draw_gradient(dense->params, step, 1);
            TOY_OK(pare_optimizer_step(dense, lr, &norm, err));
            follow(expected, dense->params->value, n, step + 1);
            draw_gradient(late->params, step, 0);
            const int32_t ids[] = {3, 47, 3, 20};
            if (step % 5 == 0)
                pare_optimizer_refresh(late, ids, 4);
            TOY_OK(pare_optimizer_step(late, lr, &norm, err));
            if (step % 50 == 49)
                pare_optimizer_settle(late);
        }
        cr_assert_arr_neq(late->average, expected, bytes, "nothing was late");
        pare_optimizer_settle(late);
        cr_assert_arr_eq(late->average, expected, bytes);
        cr_assert_arr_eq(late->params->value, dense->params->value, bytes);
        pare_optimizer_swap_average(late);
        cr_assert_arr_eq(late->params->value, expected, bytes);
        cr_assert_arr_eq(late->average, dense->params->value, bytes);
        pare_free(expected);
        close_one(dense);
        close_one(late);
    }
}

/* --- In a run ----------------------------------------------------------------------- */

static struct pare_train_options restless(void)
{
    struct pare_train_options options = options_of_task();
    options.lr = 0.05;
    options.epochs = 2; /* 38 updates */
    return options;
}

struct shadow {
    const struct pare_params *params;
    float *average;
};

/* Evaluations at every update, so that nothing is late in the weights seen here. */
static void follow_event(void *context, const struct pare_train_event *event)
{
    struct shadow *shadow = context;
    if (event->kind == PARE_TRAIN_EVAL)
        follow(shadow->average, shadow->params->value, shadow->params->total,
               event->update);
}

static struct pare_score score_of(struct pare_params *params,
                                  const struct pare_examples *dev)
{
    struct pare_model *model;
    struct pare_acts acts = {0};
    struct pare_score score;
    struct pare_weight_source source = pare_params_source(params);
    TOY_OK(pare_model_bind(&params->config, &source, &model, err));
    TOY_OK(pare_score_examples(model, dev, 64, &acts, &score, err));
    pare_acts_free(&acts);
    pare_model_free(model);
    return score;
}

Test(average, is_what_a_run_scores_and_keeps)
{
    static struct task train, dev;
    struct pare_config config = config_of_task();
    struct pare_params *raw, *averaged;
    struct pare_train_result result;
    make_task(&train, TASK_TRAIN, 1);
    make_task(&dev, TASK_DEV, 2);
    TOY_OK(pare_params_new(&config, &raw, err));
    TOY_OK(pare_params_new(&config, &averaged, err));
    pare_params_draw_all(raw, 9);
    pare_params_draw_all(averaged, 9);
    struct shadow shadow = {.params = raw};
    TOY_OK(pare_alloc(&shadow.average, raw->total, sizeof(float), err));
    memcpy(shadow.average, raw->value, raw->total * sizeof(float));

    struct pare_train_options options = restless();
    options.keep = PARE_KEEP_LAST;
    options.eval_every = 1;
    const struct pare_train_hooks hooks = {.event = follow_event, .context = &shadow};
    TOY_OK(
        pare_train(raw, &train.examples, &dev.examples, &options, &hooks, &result, err));
    options.average = (double)DECAY;
    options.eval_every = 7;
    TOY_OK(pare_train(averaged, &train.examples, &dev.examples, &options, NULL, &result,
                      err));
    cr_assert_arr_eq(averaged->value, shadow.average, raw->total * sizeof(float));
    struct pare_score score = score_of(averaged, &dev.examples);
    cr_assert_eq(result.kept.loss, score.loss);
    cr_assert_neq(result.kept.loss, score_of(raw, &dev.examples).loss);

    pare_params_draw_all(averaged, 9);
    options.keep = PARE_KEEP_BEST;
    TOY_OK(pare_train(averaged, &train.examples, &dev.examples, &options, NULL, &result,
                      err));
    score = score_of(averaged, &dev.examples);
    cr_assert_eq(result.kept.loss, score.loss);
    cr_assert_eq(result.kept.correct, score.correct);
    pare_free(shadow.average);
    pare_params_free(raw);
    pare_params_free(averaged);
}

Test(average, of_a_stopped_run_resumes_to_the_same_bytes)
{
    struct folder folder = folder_make();
    struct pare_train_options options = restless();
    options.average = 0.95;
    options.eval_every = 4;
    for (int keep = PARE_KEEP_BEST; keep <= PARE_KEEP_LAST; keep++) {
        options.keep = (enum pare_keep)keep;
        options.state_path = NULL;
        options.resume = 0;
        struct outcome whole = run_well(&options);
        options.state_path = folder_path(&folder, "state");
        options.resume = 1;
        static const int stops[] = {3, 4, 10, 19, 37, 38};
        for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
            cr_assert_eq(run(&options, stops[i]).status, PARE_ERR_INTERRUPTED);
            struct outcome resumed = run_well(&options);
            cr_assert_eq(resumed.resumed, stops[i]);
            cr_assert_str_eq(resumed.sha, whole.sha, "stopped behind %d", stops[i]);
            cr_assert_eq(resumed.result.kept.loss, whole.result.kept.loss);
            cr_assert_str_eq(run_well(&options).sha, whole.sha, "finished, resumed");
            TOY_OK(pare_state_remove(options.state_path, err));
        }
    }
    folder_remove(&folder);
}

Test(average, does_not_depend_on_threads)
{
    struct pare_train_options options = restless();
    options.epochs = 1;
    options.lr = 1e-3;
    options.average = 0.95;
    run_on_any_threads(&options);
}

Test(average, of_another_decay_is_another_run)
{
    struct folder folder = folder_make();
    struct pare_train_options options = restless();
    options.average = 1;
    cr_assert_eq(run(&options, 0).status, PARE_ERR_USAGE);
    options.average = 0.5;
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    cr_assert_eq(run(&options, 3).status, PARE_ERR_INTERRUPTED);
    options.average = 0;
    struct outcome refused = run(&options, 0);
    cr_assert_eq(refused.status, PARE_ERR_USAGE);
    cr_assert_not_null(strstr(refused.error.message, "had average decay 0.5"), "%s",
                       refused.error.message);
    folder_remove(&folder);
}
