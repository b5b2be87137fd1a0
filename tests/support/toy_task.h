/* A task to train on (which of the tokens 3 and 4 a sequence has), and what a run of it
 * came to, for the tests of the trainer. */
#ifndef TESTS_SUPPORT_TOY_TASK_H
#define TESTS_SUPPORT_TOY_TASK_H

#include "libdistill/trainer.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/parallel.h"
#include "runtime/base/sha256.h"
#include "tests/support/toy_training.h"

#define MAX_EXAMPLES 150
#define TASK_TRAIN 150 /* 19 batches of 8 */
#define TASK_DEV 60

struct task {
    int32_t ids[MAX_EXAMPLES * 9], labels[MAX_EXAMPLES];
    uint64_t starts[MAX_EXAMPLES + 1];
    struct pare_examples examples;
};

static inline void make_task(struct task *task, size_t count, uint64_t seed)
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

static inline struct pare_config config_of_task(void)
{
    struct pare_config config = toy_config(PARE_BERT, PARE_ACT_GELU);
    config.layers = 1;
    config.labels = 2;
    config.dropout = config.attention_dropout = config.head_dropout = 0.1f;
    return config;
}

static inline struct pare_train_options options_of_task(void)
{
    struct pare_train_options options = pare_train_options_default();
    options.batch = 8;
    options.lr = 0.01;
    options.seed = 42;
    return options;
}

#define MAX_EVALUATIONS 128

struct evaluation {
    uint64_t update;
    struct pare_score score;
    int is_best;
    char sha[65]; /* of the parameters that were scored */
};

/* What one run of the task came to, and when to stop it. */
struct outcome {
    enum pare_status status;
    struct pare_error error;
    struct pare_train_result result;
    char sha[65];                 /* of the parameters */
    double first_loss, last_loss; /* of epochs */
    double dev_loss[8];           /* by epoch */
    double part[PARE_LOSS_PARTS]; /* of the last epoch */
    /* Over the sequences of the last epoch and of the one being run, from the updates. */
    double part_sum[PARE_LOSS_PARTS], part_so_far[PARE_LOSS_PARTS];
    int updates, epochs, resumed, fell_back;
    int loss_calls; /* batches that came as far as the loss */
    struct evaluation evaluations[MAX_EVALUATIONS];
    int n_evaluations;

    struct pare_params *params;
    int stop_behind; /* update, 0: never */
    int stop_within; /* call of the loss, 0: never */
};

static inline void hash_params(const struct pare_params *params, char sha[65])
{
    pare_sha256_of(params->value, params->total * sizeof(float), sha);
}

/* Sequences of an update when each is one batch of 8. */
static inline double task_update_size(uint64_t update)
{
    return update % 19 ? 8 : TASK_TRAIN - 18 * 8;
}

static inline void note_event(void *context, const struct pare_train_event *event)
{
    struct outcome *outcome = context;
    struct evaluation *evaluation = &outcome->evaluations[outcome->n_evaluations];
    switch (event->kind) {
    case PARE_TRAIN_UPDATE:
        outcome->updates++;
        for (int i = 0; i < event->n_parts; i++)
            outcome->part_so_far[i] += event->part[i] * task_update_size(event->update);
        if (outcome->stop_behind == (int)event->update)
            pare_interrupt(15);
        break;
    case PARE_TRAIN_EVAL:
        cr_assert(outcome->n_evaluations++ < MAX_EVALUATIONS);
        *evaluation = (struct evaluation){
            .update = event->update, .score = event->dev, .is_best = event->is_best};
        hash_params(outcome->params, evaluation->sha);
        break;
    case PARE_TRAIN_EPOCH:
        if (event->epoch == 1)
            outcome->first_loss = event->loss;
        outcome->last_loss = event->loss;
        outcome->dev_loss[event->epoch % 8] = event->dev.loss;
        memcpy(outcome->part, event->part, sizeof outcome->part);
        memcpy(outcome->part_sum, outcome->part_so_far, sizeof outcome->part_sum);
        memset(outcome->part_so_far, 0, sizeof outcome->part_so_far);
        outcome->epochs++;
        break;
    case PARE_TRAIN_RESUMED:
        outcome->resumed = (int)event->update;
        outcome->fell_back = event->fell_back;
        break;
    case PARE_TRAIN_SAVED: break;
    }
}

/* Cross-entropy that counts its calls. */
static inline enum pare_status counted_loss(void *context,
                                            const struct pare_loss_input *input,
                                            const struct pare_loss_grads *grads,
                                            double *parts, struct pare_error *err)
{
    struct outcome *outcome = context;
    struct pare_loss loss = pare_loss_cross_entropy();
    if (++outcome->loss_calls == outcome->stop_within)
        pare_interrupt(15);
    return loss.run(loss.context, input, grads, parts, err);
}

/* Runs it from the weights of seed 9, into *outcome, whose stops are set. poison: a value
 * for one of the weights, 0: none. */
static inline void run_into(struct outcome *outcome, const struct pare_config *config,
                            const struct pare_train_options *given, float poison)
{
    static struct task train, dev;
    make_task(&train, TASK_TRAIN, 1);
    make_task(&dev, TASK_DEV, 2);
    struct pare_train_options options = *given;
    if (options.compressor)
        memset(options.compressor->state, 0,
               options.compressor->state_count * sizeof(float));
    if (!options.loss.run) {
        options.loss = pare_loss_cross_entropy();
        options.loss.run = counted_loss;
        options.loss.context = outcome;
    }
    TOY_OK(pare_params_new(config, &outcome->params, err));
    pare_params_draw_all(outcome->params, 9);
    if (poison != 0)
        outcome->params->value[outcome->params->blocks[0].down.weight + 3] = poison;
    const struct pare_train_hooks hooks = {.event = note_event, .context = outcome};
    outcome->status = pare_train(outcome->params, &train.examples, &dev.examples,
                                 &options, &hooks, &outcome->result, &outcome->error);
    hash_params(outcome->params, outcome->sha);
    pare_params_free(outcome->params);
    outcome->params = NULL;
    pare_interrupt(0);
}

static inline struct outcome run_with(const struct pare_config *config,
                                      const struct pare_train_options *options,
                                      int stop_behind, float poison)
{
    struct outcome outcome = {.stop_behind = stop_behind};
    run_into(&outcome, config, options, poison);
    return outcome;
}

static inline struct outcome run(const struct pare_train_options *options,
                                 int stop_behind)
{
    struct pare_config config = config_of_task();
    return run_with(&config, options, stop_behind, 0);
}

static inline struct outcome run_well(const struct pare_train_options *options)
{
    struct outcome outcome = run(options, 0);
    cr_assert_eq(outcome.status, PARE_OK, "%s", outcome.error.message);
    return outcome;
}

/* The same bytes on any number of threads, of a model wide enough to be cut. */
static inline void run_on_any_threads(const struct pare_train_options *options)
{
    struct pare_config config = config_of_task();
    config.hidden = 132;
    config.ffn = 260;
    static const int threads[] = {1, 2, 3, 7};
    char expected[65] = "";
    for (size_t i = 0; i < 4; i++) {
        pare_set_threads(threads[i]);
        struct outcome outcome = run_with(&config, options, 0, 0);
        cr_assert_eq(outcome.status, PARE_OK, "%s", outcome.error.message);
        if (i == 0)
            memcpy(expected, outcome.sha, sizeof expected);
        cr_assert_str_eq(outcome.sha, expected, "%d threads", threads[i]);
    }
}

#endif
