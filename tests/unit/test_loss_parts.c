/* Losses of several terms in the trainer: their means, and who is named when a number is
 * not finite. */
#include <float.h>
#include <stdlib.h>

#include "libdistill/state.h"
#include "runtime/base/parallel.h"
#include "tests/support/folder.h"
#include "tests/support/toy_task.h"

static void one_thread(void)
{
    pare_set_threads(1);
}

TestSuite(loss_parts, .init = one_thread);

/* Cross-entropy, and the square of an extra parameter for every sequence. */
struct two {
    struct pare_params *params;
    int calls, spoil_term, spoil_gradient; /* at which call, 0: never */
};

static enum pare_status two_run(void *context, const struct pare_loss_input *input,
                                const struct pare_loss_grads *grads, double *parts,
                                struct pare_error *err)
{
    struct two *two = context;
    const size_t B = input->batch->n_seq;
    struct pare_loss hard = pare_loss_cross_entropy();
    PARE_TRY(hard.run(hard.context, input, grads, parts, err));
    two->calls++;
    const size_t at = two->params->start[two->params->n_model];
    const float *x = two->params->value + at;
    float *dx = two->params->grad + at;
    for (size_t i = 0; i < 3; i++) {
        parts[1] += (double)B * (double)x[i] * (double)x[i];
        dx[i] = 2 * x[i] * (float)B * input->scale + (input->accumulate ? dx[i] : 0);
    }
    if (two->calls == two->spoil_term)
        parts[1] = NAN;
    if (two->calls == two->spoil_gradient)
        dx[2] = INFINITY;
    return PARE_OK;
}

static struct outcome run_two(struct pare_train_options options, struct two *two,
                              int stop_behind, float extra)
{
    static const char *const names[] = {"hard", "square"};
    static const struct pare_extra extras[] = {
        {.name = "train.x", .rows = 1, .columns = 3}};
    static struct task train;
    struct pare_config config = config_of_task();
    struct outcome outcome = {.stop_behind = stop_behind};
    make_task(&train, TASK_TRAIN, 1);
    TOY_OK(pare_params_new_with(&config, extras, 1, &outcome.params, err));
    pare_params_draw_all(outcome.params, 9);
    for (size_t i = 0; i < 3; i++)
        outcome.params->value[outcome.params->start[outcome.params->n_model] + i] = extra;
    two->params = outcome.params;
    two->calls = 0;
    options.loss = (struct pare_loss){
        .run = two_run, .context = two, .n_parts = 2, .part_names = names};
    const struct pare_train_hooks hooks = {.event = note_event, .context = &outcome};
    outcome.status = pare_train(outcome.params, &train.examples, NULL, &options, &hooks,
                                &outcome.result, &outcome.error);
    hash_params(outcome.params, outcome.sha);
    pare_params_free(outcome.params);
    pare_interrupt(0);
    return outcome;
}

static struct pare_train_options one_epoch(void)
{
    struct pare_train_options options = options_of_task();
    options.epochs = 1;
    return options;
}

Test(loss_parts, of_an_epoch_are_the_means_of_its_updates)
{
    struct two two = {0};
    struct pare_train_options options = options_of_task();
    options.epochs = 2;
    struct outcome outcome = run_two(options, &two, 0, 0.5f);
    cr_assert_eq(outcome.status, PARE_OK, "%s", outcome.error.message);
    for (int i = 0; i < 2; i++) {
        const double mean = outcome.part_sum[i] / TASK_TRAIN;
        cr_assert(outcome.part[i] > 0.01);
        cr_assert(fabs(outcome.part[i] - mean) < 1e-12, "%g, not %g", outcome.part[i],
                  mean);
    }
    cr_assert(fabs(outcome.part[0] + outcome.part[1] - outcome.last_loss) < 1e-12);
}

Test(loss_parts, survive_a_stop_to_the_bit)
{
    struct folder folder = folder_make();
    struct pare_train_options options = one_epoch();
    struct two two = {0};
    struct outcome whole = run_two(options, &two, 0, 0.5f);
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    cr_assert_eq(run_two(options, &two, 7, 0.5f).status, PARE_ERR_INTERRUPTED);
    struct outcome resumed = run_two(options, &two, 0, 0.5f);
    cr_assert_eq(resumed.resumed, 7);
    cr_assert_str_eq(resumed.sha, whole.sha);
    cr_assert_arr_eq(resumed.part, whole.part, sizeof whole.part);
    folder_remove(&folder);
}

static void check_named(struct outcome outcome, const char *message)
{
    cr_assert_eq(outcome.status, PARE_ERR_INPUT);
    cr_assert_str_eq(outcome.error.message, message);
}

Test(loss_parts, that_are_not_finite_are_named)
{
    struct two two = {.spoil_term = 3};
    check_named(run_two(one_epoch(), &two, 0, 0.5f),
                "update 3 of 19: the loss term square is not finite");
}

Test(loss_parts, gradients_and_values_of_extras_are_named)
{
    struct two two = {.spoil_gradient = 5};
    check_named(run_two(one_epoch(), &two, 0, 0.5f),
                "update 5 of 19: the gradient of train.x is infinite at element 2");
    two = (struct two){0};
    check_named(run_two(one_epoch(), &two, 0, INFINITY),
                "update 1 of 19: weight train.x is infinite at element 0");
}

/* Nothing is computed with what the last update makes, and it is looked at all the same.
 */
Test(loss_parts, the_last_update_is_looked_at)
{
    struct pare_train_options options = one_epoch();
    struct two two = {0};
    options.batch = TASK_TRAIN;
    options.warmup = 0;
    options.lr = (double)FLT_MAX;
    options.adamw.weight_decay = 100;
    check_named(
        run_two(options, &two, 0, 0.5f),
        "behind update 1 of 1: weight token_embd.weight is infinite at element 0");
}
