/* The training loop: epochs of shuffled batches, a development set scored on schedule,
 * the best score's parameters kept, a resume file, and a stop that loses nothing.
 *
 * The result is a function of the parameters at the start, the data and the options: the
 * number of threads, the machine, and stops with resumes do not change a bit of it.
 */
#ifndef PARE_DISTILL_TRAINER_H
#define PARE_DISTILL_TRAINER_H

#include "libdistill/compress.h"
#include "libdistill/examples.h"
#include "libdistill/loss.h"
#include "libdistill/optimizer.h"
#include "libdistill/schedule.h"
#include "runtime/base/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_score { /* of a model on labelled examples */
    uint64_t examples, correct;
    double loss; /* mean cross-entropy */
};

/* Scores in batches of `batch`; acts->tape is 0, acts->first_only may be set.
 * PARE_ERR_INTERRUPTED, at the end of a batch, when asked to stop. */
enum pare_status pare_score_examples(const struct pare_model *model,
                                     const struct pare_examples *examples, size_t batch,
                                     struct pare_acts *acts, struct pare_score *score,
                                     struct pare_error *err) PARE_CHECKED;

enum pare_keep {
    PARE_KEEP_BEST, /* the evaluation with most right, of equals the lower loss */
    PARE_KEEP_LAST,
};

struct pare_train_options {
    uint64_t epochs;
    size_t batch;      /* sequences of a forward */
    size_t accumulate; /* forwards of an update */
    size_t bucket;     /* see pare_examples_order; 0: no bucketing */
    double lr;         /* peak */
    double warmup;     /* share of all updates */
    enum pare_schedule schedule;
    double layer_decay;        /* see pare_slot_rates; 1: none */
    const char *const *freeze; /* globs of tensors' names */
    size_t n_freeze;
    struct pare_optimizer_options adamw;
    enum pare_precision precision; /* of the products of the blocks' linear layers,
                                      forward and backward; evaluations are in float */
    double average; /* decay of the moving average of the weights (optimizer.h), which
                       then is what is scored and kept; 0: none */
    uint64_t seed;  /* of order and dropout */
    uint64_t eval_every; /* updates between evaluations on dev; the last update has one
                            too. 0: at the end of each epoch */
    uint64_t patience;   /* evaluations in a row without a better one that end the run, 0:
                            any number. An early stop does not bend the rate's schedule */
    enum pare_keep keep;
    const char *state_path;             /* resume file, NULL: none */
    int resume;                         /* continue from it if it is there */
    uint64_t checkpoint_every;          /* updates between writes of it; 0: ten minutes */
    struct pare_compressor *compressor; /* of the weights, or NULL; what it does is part
                                           of loss_identity */
    struct pare_loss loss;              /* run NULL: cross-entropy */
    const char *loss_identity; /* what else decides the loss, for the resume file */
};

/* 3 epochs of batches of 32, rate 3e-5, warm-up 6 % and linear decay, AdamW's defaults,
 * best kept. */
struct pare_train_options pare_train_options_default(void);

enum pare_train_event_kind {
    PARE_TRAIN_RESUMED, /* from the resume file, behind `update` */
    PARE_TRAIN_UPDATE,  /* one update was made */
    PARE_TRAIN_EVAL,    /* dev was scored */
    PARE_TRAIN_EPOCH,   /* an epoch ended; dev is its score if it was scored just now */
    PARE_TRAIN_SAVED,   /* the resume file was written */
};

struct pare_train_event {
    enum pare_train_event_kind kind;
    uint64_t epoch, epochs;   /* epoch counted from 1 */
    uint64_t update, updates; /* made so far, in all */
    double loss;              /* UPDATE, EPOCH: mean of the update, of the epoch */
    int n_parts;              /* UPDATE, EPOCH: terms of the loss, that add up to it */
    const char *const *part_names;
    double part[PARE_LOSS_PARTS];
    double lr, norm; /* UPDATE: rate, gradient norm before clipping */
    struct pare_score dev;
    int has_dev, is_best;
    int ends_epoch; /* EVAL: behind the last update of an epoch */
    int fell_back;  /* RESUMED: the newest resume file was damaged */
    double seconds; /* since this process began to train */
    double rate;    /* training sequences a second, over the epoch so far; evaluations do
                       not count */
};

struct pare_train_hooks { /* any may be NULL */
    void (*event)(void *context, const struct pare_train_event *event);
    void *context;
    const struct pare_progress *progress;
};

struct pare_train_result {
    uint64_t updates;
    int stopped_early; /* patience ended */
    int has_dev;
    uint64_t kept_epoch, kept_update; /* counted from 1 */
    struct pare_score kept, last;
};

/* Trains params->value in place; dev may be NULL. PARE_ERR_INTERRUPTED when asked to stop
 * (runtime/base/interrupt.h), after writing the resume file: it is asked before and
 * within every batch, so a stop waits for one forward or backward at most, and what an
 * update had done so far is done again. PARE_ERR_INPUT naming update and tensor, block or
 * term of the loss when a loss or gradient is not finite. The resume file stays: remove
 * it (pare_state_remove) when the result is safe. */
enum pare_status pare_train(struct pare_params *params, const struct pare_examples *train,
                            const struct pare_examples *dev,
                            const struct pare_train_options *options,
                            const struct pare_train_hooks *hooks,
                            struct pare_train_result *result,
                            struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
