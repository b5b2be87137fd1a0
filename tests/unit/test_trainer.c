/* The training loop: it learns, its bytes depend on nothing they should not, it stops and
 * resumes without a trace, and it says where numbers went wrong. */
#include <math.h>
#include <stdlib.h>

#include "libdistill/state.h"
#include "runtime/base/parallel.h"
#include "tests/support/folder.h"
#include "tests/support/toy_task.h"

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
    struct pare_train_options options = options_of_task();
    options.epochs = 1;
    options.lr = 1e-3;
    options.bucket = 3;
    run_on_any_threads(&options);
}

Test(trainer, learns_the_task_in_bfloat16_too)
{
    struct pare_train_options options = options_of_task();
    struct outcome exact = run_well(&options);
    options.precision = PARE_PRECISION_BF16;
    struct outcome rounded = run_well(&options);
    cr_assert_str_neq(exact.sha, rounded.sha);
    cr_assert_geq(rounded.result.kept.correct + 2, exact.result.kept.correct);
    cr_assert_float_eq(rounded.result.kept.loss, exact.result.kept.loss, 0.1);
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
    options.precision = PARE_PRECISION_BF16;
    refused = run(&options, 0);
    cr_assert_eq(refused.status, PARE_ERR_USAGE);
    cr_assert_not_null(
        strstr(refused.error.message, "had precision fp32, this one has bf16"), "%s",
        refused.error.message);
    options.precision = PARE_PRECISION_FP32;
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

static struct task train_task;

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
