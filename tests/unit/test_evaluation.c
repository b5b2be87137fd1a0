/* The trainer's evaluation schedule: scores where they are due, the best of them kept,
 * patience, and stops anywhere that leave no trace. */
#include <stdlib.h>

#include "libdistill/state.h"
#include "runtime/base/parallel.h"
#include "tests/support/folder.h"
#include "tests/support/toy_task.h"

static void one_thread(void)
{
    pare_set_threads(1);
}

TestSuite(evaluation, .init = one_thread);

/* Restless, so that the best score comes and goes. */
static struct pare_train_options restless(void)
{
    struct pare_train_options options = options_of_task();
    options.lr = 0.05;
    options.epochs = 3; /* 57 updates */
    return options;
}

/* The first of the best of `n` evaluations. */
static int best_of(const struct evaluation *all, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++) {
        const struct pare_score *a = &all[i].score, *b = &all[best].score;
        if (a->correct > b->correct || (a->correct == b->correct && a->loss < b->loss))
            best = i;
    }
    return best;
}

static void check_kept(const struct outcome *outcome)
{
    const struct evaluation *best =
        &outcome->evaluations[best_of(outcome->evaluations, outcome->n_evaluations)];
    cr_assert_eq(outcome->result.kept_update, best->update);
    cr_assert_eq(outcome->result.kept_epoch, (best->update - 1) / 19 + 1);
    cr_assert_eq(outcome->result.kept.correct, best->score.correct);
    cr_assert_eq(outcome->result.kept.loss, best->score.loss);
    cr_assert_str_eq(outcome->sha, best->sha);
}

Test(evaluation, is_due_every_n_updates_and_at_the_end)
{
    struct pare_train_options options = options_of_task();
    options.epochs = 2;
    static const struct {
        uint64_t every, updates[8];
    } cases[] = {{0, {19, 38}},
                 {19, {19, 38}},
                 {38, {38}},
                 {100, {38}},
                 {7, {7, 14, 21, 28, 35, 38}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        options.eval_every = cases[i].every;
        struct outcome outcome = run_well(&options);
        int n = 0;
        for (; n < 8 && cases[i].updates[n]; n++)
            cr_assert_eq(outcome.evaluations[n].update, cases[i].updates[n]);
        cr_assert_eq(outcome.n_evaluations, n);
        cr_assert_eq(outcome.epochs, 2);
    }
}

Test(evaluation, the_best_of_all_is_kept)
{
    struct pare_train_options options = restless();
    options.eval_every = 4;
    struct outcome outcome = run_well(&options);
    check_kept(&outcome);
    cr_assert_neq(outcome.result.kept_update % 19, 0, "a better example is needed");
    for (int i = 0; i < outcome.n_evaluations; i++)
        cr_assert_eq(outcome.evaluations[i].is_best,
                     best_of(outcome.evaluations, i + 1) == i);
}

Test(evaluation, does_not_change_the_training)
{
    struct pare_train_options options = restless();
    options.keep = PARE_KEEP_LAST;
    struct outcome plain = run_well(&options);
    options.eval_every = 5;
    struct outcome often = run_well(&options);
    cr_assert_str_eq(often.sha, plain.sha);
    cr_assert_eq(often.result.kept.loss, plain.result.kept.loss);
    cr_assert_eq(often.result.kept_update, 57);
    cr_assert_eq(often.result.kept_epoch, 3);
}

/* Late rows of the token embedding are settled though nothing reads them. */
Test(evaluation, the_result_without_development_data_is_the_last)
{
    struct pare_train_options options = restless();
    options.keep = PARE_KEEP_LAST;
    struct outcome with = run_well(&options);
    struct pare_config config = config_of_task();
    static struct task train;
    make_task(&train, TASK_TRAIN, 1);
    struct outcome without = {0};
    TOY_OK(pare_params_new(&config, &without.params, err));
    pare_params_draw_all(without.params, 9);
    TOY_OK(pare_train(without.params, &train.examples, NULL, &options, NULL,
                      &without.result, err));
    hash_params(without.params, without.sha);
    cr_assert_str_eq(without.sha, with.sha);
    cr_assert(!without.result.has_dev);
    cr_assert_eq(without.result.kept_update, 57);
    pare_params_free(without.params);
}

Test(evaluation, patience_stops_after_as_many_scores_without_a_better_one)
{
    struct pare_train_options options = restless();
    options.eval_every = 3;
    struct outcome whole = run_well(&options);
    cr_assert(!whole.result.stopped_early);
    int early = 0;
    for (int patience = 1; patience < 8; patience++) {
        int end = 0; /* evaluations of a run that stops by the definition */
        while (end < whole.n_evaluations &&
               end - best_of(whole.evaluations, end + 1) < patience)
            end++;
        end = end < whole.n_evaluations ? end + 1 : end;
        options.patience = (uint64_t)patience;
        struct outcome outcome = run_well(&options);
        cr_assert_eq(outcome.n_evaluations, end, "patience %d: %d, not %d", patience,
                     outcome.n_evaluations, end);
        cr_assert_eq(outcome.updates, (int)whole.evaluations[end - 1].update);
        cr_assert_eq(outcome.result.stopped_early, outcome.updates < 57);
        check_kept(&outcome);
        early += outcome.result.stopped_early;
    }
    cr_assert(early > 0 && early < 7, "%d of 7 stopped early", early);
}

Test(evaluation, patience_counts_epochs_without_a_schedule)
{
    struct pare_train_options options = restless();
    options.epochs = 40;
    options.patience = 2;
    options.keep = PARE_KEEP_LAST;
    struct outcome outcome = run_well(&options);
    const int n = outcome.n_evaluations;
    cr_assert(outcome.result.stopped_early);
    cr_assert_eq(outcome.epochs, n);
    cr_assert_eq(n - 1 - best_of(outcome.evaluations, n), 2);
    cr_assert_str_eq(outcome.sha, outcome.evaluations[n - 1].sha);
    cr_assert_eq(outcome.result.kept_epoch, (uint64_t)n);
}

/* --- Stops -------------------------------------------------------------------------- */

/* Runs until stopped, resumes to the end: result and evaluations, each once and in order,
 * are those of `whole`. */
static void check_stop(const struct pare_train_options *options,
                       const struct outcome *whole, struct outcome stop)
{
    struct pare_config config = config_of_task();
    run_into(&stop, &config, options, 0);
    cr_assert_eq(stop.status, PARE_ERR_INTERRUPTED, "%s", stop.error.message);
    struct outcome rest = run_well(options);
    cr_assert_eq(rest.resumed, stop.updates);
    cr_assert_eq(stop.updates + rest.updates, whole->updates);
    cr_assert_str_eq(rest.sha, whole->sha, "stopped behind update %d", stop.updates);
    cr_assert_eq(rest.result.kept_update, whole->result.kept_update);
    cr_assert_eq(rest.result.stopped_early, whole->result.stopped_early);
    cr_assert_eq(stop.n_evaluations + rest.n_evaluations, whole->n_evaluations);
    for (int i = 0; i < whole->n_evaluations; i++) {
        const struct evaluation *got = i < stop.n_evaluations
                                           ? &stop.evaluations[i]
                                           : &rest.evaluations[i - stop.n_evaluations];
        cr_assert_eq(got->update, whole->evaluations[i].update);
        cr_assert_eq(got->score.loss, whole->evaluations[i].score.loss);
        cr_assert_eq(got->is_best, whole->evaluations[i].is_best);
    }
    TOY_OK(pare_state_remove(options->state_path, err));
}

/* An interruption behind an update comes before its evaluation, which is then made by the
 * resumed run: in the middle of an epoch, at its end and at that of the run. */
Test(evaluation, a_stop_before_it_leaves_it_to_the_resumed_run)
{
    struct folder folder = folder_make();
    struct pare_train_options options = restless();
    options.epochs = 2;
    for (uint64_t every = 0; every < 5; every += 4) {
        options.eval_every = every;
        options.state_path = NULL;
        options.resume = 0;
        struct outcome whole = run_well(&options);
        options.state_path = folder_path(&folder, "state");
        options.resume = 1;
        static const int stops[] = {3, 4, 19, 20, 36, 38};
        for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++)
            check_stop(&options, &whole, (struct outcome){.stop_behind = stops[i]});
    }
    folder_remove(&folder);
}

Test(evaluation, patience_survives_a_stop)
{
    struct folder folder = folder_make();
    struct pare_train_options options = restless();
    options.eval_every = 3;
    options.patience = 3;
    struct outcome whole = run_well(&options);
    cr_assert(whole.result.stopped_early);
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    for (int stop = 1; stop <= whole.updates; stop++)
        check_stop(&options, &whole, (struct outcome){.stop_behind = stop});
    run_well(&options);
    struct outcome again = run_well(&options); /* it has nothing left to do */
    cr_assert_eq(again.updates, 0);
    cr_assert_str_eq(again.sha, whole.sha);
    folder_remove(&folder);
}

/* Counted in calls of the loss: the batch that runs when the stop is asked for is the
 * last one, wherever it is in its update. */
Test(evaluation, a_stop_waits_for_one_batch_at_most)
{
    struct folder folder = folder_make();
    struct pare_train_options options = restless();
    options.epochs = 1;
    options.accumulate = 5; /* updates of 5, 5, 5 and 4 batches */
    options.eval_every = 1;
    struct outcome whole = run_well(&options);
    cr_assert_eq(whole.updates, 4);
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    struct pare_config config = config_of_task();
    for (int call = 1; call < 19; call++) {
        struct outcome stopped = {.stop_within = call};
        run_into(&stopped, &config, &options, 0);
        cr_assert_eq(stopped.status, PARE_ERR_INTERRUPTED);
        cr_assert_eq(stopped.loss_calls, call);
        cr_assert_eq(stopped.updates, call / 5);
        TOY_OK(pare_state_remove(options.state_path, err));
        check_stop(&options, &whole, (struct outcome){.stop_within = call});
    }
    folder_remove(&folder);
}

/* Its weights depend on how often it was asked to begin. */
static enum pare_status count_updates(void *context, const float *values,
                                      const size_t *start, uint64_t update,
                                      uint64_t updates, struct pare_error *err)
{
    (void)values, (void)start, (void)update, (void)updates, (void)err;
    ++*(float *)context;
    return PARE_OK;
}

static enum pare_status stretch(void *context, size_t slot, size_t first, size_t n,
                                const float *v, float *w, struct pare_error *err)
{
    (void)slot, (void)first, (void)err;
    const struct pare_config config = config_of_task();
    for (size_t k = 0; k < n * config.hidden; k++)
        w[k] = v[k] * (1 + 0.01f * *(const float *)context);
    return PARE_OK;
}

Test(evaluation, a_stop_within_an_update_takes_the_compressor_back)
{
    struct folder folder = folder_make();
    struct pare_train_options options = restless();
    options.epochs = 1;
    options.accumulate = 5;
    uint8_t covers[64] = {1}; /* the token embedding */
    float count = 0;
    struct pare_compressor compressor = {.context = &count,
                                         .covers = covers,
                                         .begin = count_updates,
                                         .apply = stretch,
                                         .state = &count,
                                         .state_count = 1};
    struct outcome plain = run_well(&options);
    options.compressor = &compressor;
    struct outcome whole = run_well(&options);
    cr_assert_str_neq(whole.sha, plain.sha);
    cr_assert_eq(count, 4);
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    for (int call = 1; call < 19; call += 4)
        check_stop(&options, &whole, (struct outcome){.stop_within = call});
    check_stop(&options, &whole, (struct outcome){.stop_behind = 2});
    folder_remove(&folder);
}

Test(evaluation, scoring_stops_when_asked)
{
    struct pare_config config = config_of_task();
    struct task dev;
    make_task(&dev, TASK_DEV, 2);
    struct pare_params *params;
    struct pare_model *model;
    TOY_OK(pare_params_new(&config, &params, err));
    struct pare_weight_source source = pare_params_source(params);
    TOY_OK(pare_model_bind(&config, &source, &model, err));
    struct pare_acts acts = {0};
    struct pare_score score;
    struct pare_error error;
    pare_interrupt(15);
    enum pare_status status =
        pare_score_examples(model, &dev.examples, 8, &acts, &score, &error);
    pare_interrupt(0);
    cr_assert_eq(status, PARE_ERR_INTERRUPTED);
    pare_acts_free(&acts);
    pare_model_free(model);
    pare_params_free(params);
}

/* --- What makes no sense ------------------------------------------------------------ */

Test(evaluation, a_schedule_needs_development_data)
{
    struct pare_config config = config_of_task();
    static struct task train;
    make_task(&train, TASK_TRAIN, 1);
    struct pare_params *params;
    TOY_OK(pare_params_new(&config, &params, err));
    struct pare_train_options options = options_of_task();
    struct pare_train_result result;
    struct pare_error error;
    options.eval_every = 3;
    cr_assert_eq(
        pare_train(params, &train.examples, NULL, &options, NULL, &result, &error),
        PARE_ERR_USAGE);
    options.eval_every = 0;
    options.patience = 1;
    cr_assert_eq(
        pare_train(params, &train.examples, NULL, &options, NULL, &result, &error),
        PARE_ERR_USAGE);
    pare_params_free(params);
}

Test(evaluation, another_schedule_is_another_run)
{
    struct folder folder = folder_make();
    struct pare_train_options options = options_of_task();
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    cr_assert_eq(run(&options, 3).status, PARE_ERR_INTERRUPTED);
    options.eval_every = 2;
    struct outcome refused = run(&options, 0);
    cr_assert_eq(refused.status, PARE_ERR_USAGE);
    cr_assert_not_null(strstr(refused.error.message, "had evaluation every 0"), "%s",
                       refused.error.message);
    options.eval_every = 0;
    options.patience = 2;
    refused = run(&options, 0);
    cr_assert_eq(refused.status, PARE_ERR_USAGE);
    cr_assert_not_null(strstr(refused.error.message, "had patience 0"), "%s",
                       refused.error.message);
    folder_remove(&folder);
}
