/* The training loop: it learns, its bytes depend on nothing they should not, it stops and
 * resumes without a trace, and it says where numbers went wrong. */
#include <math.h>
#include <stdlib.h>

#include "libdistill/state.h"
#include "libdistill/trainer.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/parallel.h"
#include "runtime/base/sha256.h"
#include "tests/support/folder.h"
#include "tests/support/toy_training.h"

/* --- A task: which of the tokens 3 and 4 a sequence has ----------------------------- */

#define MAX_EXAMPLES 150

struct task {
    int32_t ids[MAX_EXAMPLES * 9], labels[MAX_EXAMPLES];
    uint64_t starts[MAX_EXAMPLES + 1];
    struct pare_examples examples;
};

static void make_task(struct task *task, size_t count, uint64_t seed)
{
    struct pare_rng rng = {.seed = seed};
    task->starts[0] = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t n = 3 + (size_t)pare_rng_below(&rng, 7);
        int32_t *ids = task->ids + task->starts[i];
        ids[0] = 1;
        for (size_t t = 1; t < n; t++)
            ids[t] = 5 + (int32_t)pare_rng_below(&rng, 12);
        task->labels[i] = (int32_t)pare_rng_below(&rng, 2);
        ids[1 + pare_rng_below(&rng, n - 1)] = 3 + task->labels[i];
        task->starts[i + 1] = task->starts[i] + n;
    }
    task->examples = (struct pare_examples){count, task->starts, task->ids, task->labels};
}

static struct pare_config config_of_task(void)
{
    struct pare_config config = toy_config(PARE_BERT, PARE_ACT_GELU);
    config.layers = 1;
    config.labels = 2;
    config.dropout = config.attention_dropout = config.head_dropout = 0.1f;
    return config;
}

static struct pare_train_options options_of_task(void)
{
    struct pare_train_options options = pare_train_options_default();
    options.batch = 8;
    options.lr = 0.01;
    options.seed = 42;
    return options;
}

/* What one run of the task came to. */
struct outcome {
    enum pare_status status;
    struct pare_error error;
    struct pare_train_result result;
    char sha[65];                 /* of the parameters */
    double first_loss, last_loss; /* of epochs */
    double dev_loss[8];           /* by epoch */
    int updates, resumed, fell_back;
    int stop_behind; /* update, 0: never */
};

static void note_event(void *context, const struct pare_train_event *event)
{
    struct outcome *outcome = context;
    switch (event->kind) {
    case PARE_TRAIN_UPDATE:
        outcome->updates++;
        if (outcome->stop_behind == (int)event->update)
            pare_interrupt(15);
        break;
    case PARE_TRAIN_EPOCH:
        if (event->epoch == 1)
            outcome->first_loss = event->loss;
        outcome->last_loss = event->loss;
        outcome->dev_loss[event->epoch % 8] = event->dev.loss;
        break;
    case PARE_TRAIN_RESUMED:
        outcome->resumed = (int)event->update;
        outcome->fell_back = event->fell_back;
        break;
    case PARE_TRAIN_SAVED: break;
    }
}

static struct task train_task, dev_task;

static struct outcome run_with(const struct pare_config *config,
                               const struct pare_train_options *options, int stop_behind,
                               float poison)
{
    struct outcome outcome = {.stop_behind = stop_behind};
    make_task(&train_task, 150, 1);
    make_task(&dev_task, 60, 2);
    struct pare_params *params;
    TOY_OK(pare_params_new(config, &params, err));
    pare_params_draw_all(params, 9);
    if (poison != 0)
        params->value[params->blocks[0].down.weight + 3] = poison;
    const struct pare_train_hooks hooks = {.event = note_event, .context = &outcome};
    outcome.status = pare_train(params, &train_task.examples, &dev_task.examples, options,
                                &hooks, &outcome.result, &outcome.error);
    pare_sha256_of(params->value, params->total * sizeof(float), outcome.sha);
    pare_params_free(params);
    pare_interrupt(0);
    return outcome;
}

static struct outcome run(const struct pare_train_options *options, int stop_behind)
{
    struct pare_config config = config_of_task();
    return run_with(&config, options, stop_behind, 0);
}

static struct outcome run_well(const struct pare_train_options *options)
{
    struct outcome outcome = run(options, 0);
    cr_assert_eq(outcome.status, PARE_OK, "%s", outcome.error.message);
    return outcome;
}

static void one_thread(void)
{
    pare_set_threads(1);
}

TestSuite(trainer, .init = one_thread);

Test(trainer, learns_the_task)
{
    struct pare_train_options options = options_of_task();
    options.epochs = 6;
    struct outcome outcome = run_well(&options);
    cr_assert_eq(outcome.updates, 6 * 19);
    cr_assert(outcome.last_loss < outcome.first_loss / 2, "loss %g then %g",
              outcome.first_loss, outcome.last_loss);
    cr_assert(outcome.result.kept.correct >= 57, "%d of 60",
              (int)outcome.result.kept.correct);
}

Test(trainer, bytes_do_not_depend_on_threads)
{
    struct pare_config config = config_of_task();
    config.hidden = 132;
    config.ffn = 260;
    struct pare_train_options options = options_of_task();
    options.epochs = 1;
    options.lr = 1e-3;
    options.bucket = 3;
    static const int threads[] = {1, 2, 3, 7};
    char expected[65] = "";
    for (size_t i = 0; i < 4; i++) {
        pare_set_threads(threads[i]);
        struct outcome outcome = run_with(&config, &options, 0, 0);
        cr_assert_eq(outcome.status, PARE_OK, "%s", outcome.error.message);
        if (i == 0)
            memcpy(expected, outcome.sha, sizeof expected);
        cr_assert_str_eq(outcome.sha, expected, "%d threads", threads[i]);
    }
}

Test(trainer, another_seed_gives_other_bytes)
{
    struct pare_train_options options = options_of_task();
    options.epochs = 1;
    struct outcome one = run_well(&options);
    options.seed++;
    struct outcome other = run_well(&options);
    cr_assert_str_neq(one.sha, other.sha);
}

Test(trainer, a_stopped_run_resumes_to_the_same_bytes)
{
    struct folder folder = folder_make();
    struct pare_train_options options = options_of_task();
    options.accumulate = 2; /* ten updates an epoch, the last of a smaller one */
    options.epochs = 2;
    struct outcome whole = run_well(&options);
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    static const int stops[] = {1, 7, 9, 10, 13, 19};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        struct outcome stopped = run(&options, stops[i]);
        cr_assert_eq(stopped.status, PARE_ERR_INTERRUPTED, "%s", stopped.error.message);
        cr_assert_eq(stopped.updates, stops[i]);
        cr_assert_not_null(strstr(stopped.error.message, options.state_path));
        struct outcome resumed = run_well(&options);
        cr_assert_eq(resumed.resumed, stops[i]);
        cr_assert_str_eq(resumed.sha, whole.sha, "stopped behind update %d", stops[i]);
        cr_assert_eq(resumed.result.kept.correct, whole.result.kept.correct);
        cr_assert_eq(resumed.result.kept.loss, whole.result.kept.loss);
        cr_assert_eq(resumed.result.kept_epoch, whole.result.kept_epoch);
        TOY_OK(pare_state_remove(options.state_path, err));
    }
    folder_remove(&folder);
}

Test(trainer, a_finished_run_resumes_to_its_result)
{
    struct folder folder = folder_make();
    struct pare_train_options options = options_of_task();
    options.epochs = 2;
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    struct outcome first = run_well(&options);
    struct outcome again = run_well(&options);
    cr_assert_eq(again.updates, 0);
    cr_assert_str_eq(again.sha, first.sha);
    cr_assert_eq(again.result.kept.correct, first.result.kept.correct);
    folder_remove(&folder);
}

static void damage(const char *path)
{
    FILE *file = fopen(path, "r+b");
    cr_assert_not_null(file);
    cr_assert_eq(fseek(file, 3000, SEEK_SET), 0);
    int byte = fgetc(file);
    cr_assert_eq(fseek(file, 3000, SEEK_SET), 0);
    fputc(byte ^ 1, file);
    cr_assert_eq(fclose(file), 0);
}

Test(trainer, a_damaged_resume_file_falls_back_to_the_one_before)
{
    struct folder folder = folder_make();
    struct pare_train_options options = options_of_task();
    options.epochs = 2;
    struct outcome whole = run_well(&options);
    options.state_path = folder_path(&folder, "state");
    options.checkpoint_every = 4;
    options.resume = 1;
    cr_assert_eq(run(&options, 14).status, PARE_ERR_INTERRUPTED);
    damage(options.state_path);
    struct outcome resumed = run_well(&options);
    cr_assert_eq(resumed.resumed, 12);
    cr_assert(resumed.fell_back);
    cr_assert_str_eq(resumed.sha, whole.sha);

    damage(options.state_path);
    damage(folder_path(&folder, "state.prev"));
    struct outcome refused = run(&options, 0);
    cr_assert_eq(refused.status, PARE_ERR_INPUT);
    cr_assert_not_null(strstr(refused.error.message, "damaged"), "%s",
                       refused.error.message);
    folder_remove(&folder);
}

Test(trainer, a_truncated_resume_file_is_an_error_at_any_length)
{
    struct folder folder = folder_make();
    struct pare_train_options options = options_of_task();
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    options.epochs = 1;
    cr_assert_eq(run(&options, 3).status, PARE_ERR_INTERRUPTED);
    FILE *file = fopen(options.state_path, "rb");
    static char bytes[200000];
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    cr_assert(n > 5000 && n < sizeof bytes);
    for (size_t length = 0; length < n; length = length < 64 ? length + 1 : length * 2) {
        put_file(options.state_path, bytes, length);
        struct outcome refused = run(&options, 1);
        cr_assert_eq(refused.status, PARE_ERR_INPUT, "%zu bytes: %s", length,
                     refused.error.message);
    }
    folder_remove(&folder);
}

Test(trainer, resuming_another_run_names_what_differs)
{
    struct folder folder = folder_make();
    struct pare_train_options options = options_of_task();
    options.state_path = folder_path(&folder, "state");
    options.resume = 1;
    cr_assert_eq(run(&options, 3).status, PARE_ERR_INTERRUPTED);
    options.lr = 0.02;
    struct outcome refused = run(&options, 0);
    cr_assert_eq(refused.status, PARE_ERR_USAGE);
    cr_assert_not_null(
        strstr(refused.error.message, "had learning rate 0.01, this one has 0.02"), "%s",
        refused.error.message);
    options.lr = 0.01;
    struct pare_config config = config_of_task();
    refused = run_with(&config, &options, 0, 0.5f);
    cr_assert_eq(refused.status, PARE_ERR_USAGE);
    cr_assert_not_null(strstr(refused.error.message, "starting weights"), "%s",
                       refused.error.message);
    folder_remove(&folder);
}

Test(trainer, without_resume_an_old_resume_file_is_not_read)
{
    struct folder folder = folder_make();
    struct pare_train_options options = options_of_task();
    options.epochs = 1;
    options.state_path = folder_path(&folder, "state");
    cr_assert_eq(run(&options, 3).status, PARE_ERR_INTERRUPTED);
    struct outcome outcome = run_well(&options);
    cr_assert_eq(outcome.updates, 19);
    folder_remove(&folder);
}

Test(trainer, the_best_epoch_is_kept)
{
    struct pare_train_options options = options_of_task();
    options.epochs = 4;
    options.lr = 0.05; /* restless: the last epoch is not the best */
    options.keep = PARE_KEEP_LAST;
    struct outcome last = run_well(&options);
    options.keep = PARE_KEEP_BEST;
    struct outcome best = run_well(&options);
    cr_assert_eq(last.result.kept_epoch, 4);
    cr_assert_eq(best.result.last.loss, last.result.kept.loss);
    cr_assert_leq(best.result.last.correct, best.result.kept.correct);
    cr_assert_eq(best.result.kept.loss, best.dev_loss[best.result.kept_epoch]);
    if (best.result.kept_epoch == 4)
        cr_assert_str_eq(best.sha, last.sha);
    else
        cr_assert_str_neq(best.sha, last.sha);
}

Test(trainer, a_weight_that_is_not_finite_is_named_with_the_update)
{
    struct pare_config config = config_of_task();
    struct pare_train_options options = options_of_task();
    struct outcome outcome = run_with(&config, &options, 0, INFINITY);
    cr_assert_eq(outcome.status, PARE_ERR_INPUT);
    cr_assert_str_eq(
        outcome.error.message,
        "update 1 of 57: weight blk.0.ffn_down.weight is infinite at element 3");
}

Test(trainer, numbers_that_run_away_stop_the_run)
{
    struct pare_train_options options = options_of_task();
    options.lr = 1e30;
    options.warmup = 0;
    struct outcome outcome = run(&options, 0);
    cr_assert_eq(outcome.status, PARE_ERR_INPUT);
    cr_assert(outcome.updates > 0 && outcome.updates < 20);
    cr_assert_not_null(strstr(outcome.error.message, "update "), "%s",
                       outcome.error.message);
}

Test(trainer, options_without_sense_are_refused)
{
    struct pare_train_options options = options_of_task();
    options.batch = 0;
    cr_assert_eq(run(&options, 0).status, PARE_ERR_USAGE);
    options = options_of_task();
    options.warmup = 1.5;
    cr_assert_eq(run(&options, 0).status, PARE_ERR_USAGE);
    options = options_of_task();
    options.lr = NAN;
    cr_assert_eq(run(&options, 0).status, PARE_ERR_USAGE);
}

/* --- Order and checks of the data --------------------------------------------------- */

static size_t length_of(const struct pare_examples *examples, uint32_t i)
{
    return (size_t)(examples->starts[i + 1] - examples->starts[i]);
}

Test(trainer, every_epoch_is_another_permutation)
{
    make_task(&train_task, 150, 1);
    uint32_t first[150], order[150], work[150];
    for (size_t bucket = 0; bucket < 40; bucket += 3) {
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            uint8_t seen[150] = {0};
            pare_examples_order(&train_task.examples, 5, epoch, 8, bucket, order, work);
            for (size_t i = 0; i < 150; i++)
                cr_assert_eq(seen[order[i]]++, 0);
            if (epoch == 0)
                memcpy(first, order, sizeof first);
            else
                cr_assert_arr_neq(order, first, sizeof first);
        }
    }
}

Test(trainer, buckets_bring_similar_lengths_together)
{
    make_task(&train_task, 150, 1);
    uint32_t order[150], work[150];
    size_t spread[2] = {0, 0};
    for (int sorted = 0; sorted < 2; sorted++) {
        pare_examples_order(&train_task.examples, 5, 0, 8, sorted ? 100 : 0, order, work);
        for (size_t i = 1; i < 150; i++)
            if (i % 8)
                spread[sorted] +=
                    (size_t)labs((long)length_of(&train_task.examples, order[i]) -
                                 (long)length_of(&train_task.examples, order[i - 1]));
    }
    cr_assert(spread[1] < 10 && spread[0] > 100, "%zu, unsorted %zu", spread[1],
              spread[0]);
}

Test(trainer, examples_out_of_range_are_named)
{
    struct pare_config config = config_of_task();
    struct pare_error error;
    make_task(&train_task, 20, 1);
    TOY_OK(pare_examples_check(&train_task.examples, &config, 0, "data", err));
    train_task.labels[6] = 2;
    cr_assert_eq(pare_examples_check(&train_task.examples, &config, 0, "data", &error),
                 PARE_ERR_INPUT);
    cr_assert_str_eq(error.message, "data: example 7 has label 2, expected 0 to 1");
    make_task(&train_task, 20, 1);
    train_task.ids[0] = 17;
    cr_assert_eq(pare_examples_check(&train_task.examples, &config, 0, "data", &error),
                 PARE_ERR_INPUT);
    cr_assert_str_eq(error.message, "data: example 1 has token id 17, the vocabulary 17");
    train_task.examples.count = 0;
    cr_assert_eq(pare_examples_check(&train_task.examples, &config, 0, "data", &error),
                 PARE_ERR_INPUT);
    config.positions = 3;
    make_task(&train_task, 20, 1);
    cr_assert_eq(pare_examples_check(&train_task.examples, &config, 0, "data", &error),
                 PARE_ERR_INPUT);
    cr_assert_not_null(strstr(error.message, "tokens, expected 1 to 3"));
}

/* Half the square of the logits, and how many sequences had no label. */
static enum pare_status square_run(void *context, const struct pare_loss_input *input,
                                   const struct pare_loss_grads *grads, double *parts,
                                   struct pare_error *err)
{
    (void)err;
    size_t *unlabelled = context;
    for (size_t s = 0; s < input->batch->n_seq; s++)
        *unlabelled += input->labels[s] == PARE_NO_LABEL;
    for (size_t i = 0; i < input->batch->n_seq * input->config->labels; i++) {
        const float z = input->acts->logits[i];
        parts[0] += (double)z * (double)z / 2;
        grads->logits[i] = input->scale * z;
    }
    return PARE_OK;
}

Test(trainer, only_a_loss_for_unlabelled_text_gets_it)
{
    static const char *const names[] = {"square"};
    struct pare_config config = config_of_task();
    struct pare_train_options options = options_of_task();
    struct pare_params *params;
    struct pare_train_result result;
    struct pare_error error;
    size_t unlabelled = 0;
    options.epochs = 1;
    make_task(&train_task, 20, 1);
    train_task.labels[6] = train_task.labels[11] = PARE_NO_LABEL;
    TOY_OK(pare_params_new(&config, &params, err));
    pare_params_draw_all(params, 9);
    const char *message = "training data: example 7 has label -1, expected 0 to 1";
    cr_assert_eq(
        pare_train(params, &train_task.examples, NULL, &options, NULL, &result, &error),
        PARE_ERR_INPUT);
    cr_assert_str_eq(error.message, message);
    options.loss = (struct pare_loss){
        .run = square_run, .context = &unlabelled, .n_parts = 1, .part_names = names};
    cr_assert_eq(
        pare_train(params, &train_task.examples, NULL, &options, NULL, &result, &error),
        PARE_ERR_INPUT);
    cr_assert_str_eq(error.message, message);
    options.loss.unlabelled = 1;
    TOY_OK(pare_train(params, &train_task.examples, NULL, &options, NULL, &result, err));
    cr_assert_eq(unlabelled, 2);
    train_task.labels[11] = -2;
    cr_assert_eq(
        pare_train(params, &train_task.examples, NULL, &options, NULL, &result, &error),
        PARE_ERR_INPUT);
    cr_assert_str_eq(error.message,
                     "training data: example 12 has label -2, expected 0 to 1");
    train_task.labels[11] = 0;
    cr_assert_eq(pare_train(params, &train_task.examples, &train_task.examples, &options,
                            NULL, &result, &error),
                 PARE_ERR_INPUT);
    cr_assert_str_eq(error.message,
                     "development data: example 7 has label -1, expected 0 to 1");
    pare_params_free(params);
}
