/* The options of training that pare-train and pare-distill share: their place in a table
 * of options, what they are to the trainer, and what the container's history says of
 * them.
 */
#ifndef PARE_TOOLS_TRAIN_OPTIONS_H
#define PARE_TOOLS_TRAIN_OPTIONS_H

#include "libdistill/trainer.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "tools/cli.h"
#include "tools/precision_option.h"

#define TRAIN_PATH_SIZE 4096

struct train_options {
    int epochs, batch, accumulate, bucket, max_length;
    double lr, warmup, weight_decay, clip, dropout;
    int eval_every, patience;
    int schedule; /* enum pare_schedule */
    double layer_decay, ema;
    struct pare_cli_list freeze;
    int keep;      /* enum pare_keep */
    int precision; /* enum pare_precision */
    const char *state, *metrics;
    int resume, checkpoint_every;
    int find_lr;
};

extern const char *const train_keep_words[];
extern const char *const train_schedule_words[];

/* Entries for a table of options, of the struct that `o` points to. */
#define TRAIN_OPTIONS(o)                                                                 \
    PARE_CLI_INT('e', "epochs", "N", &(o)->epochs, 1, 100000,                            \
                 "times to go through the training text"),                               \
        PARE_CLI_INT('b', "batch", "N", &(o)->batch, 1, 65536, "sentences of a step"),   \
        PARE_CLI_INT(0, "accumulate", "N", &(o)->accumulate, 1, 65536,                   \
                     "batches whose gradients make one update"),                         \
        PARE_CLI_DOUBLE(0, "lr", "RATE", &(o)->lr, 1e-12, 1e3,                           \
                        "learning rate at its peak"),                                    \
        PARE_CLI_FLAG(0, "find-lr", &(o)->find_lr,                                       \
                      "only look for a learning rate: a few hundred updates with rates " \
                      "from 1e-7 to 1, a table, a suggestion, and no output"),           \
        PARE_CLI_DOUBLE(0, "warmup", "SHARE", &(o)->warmup, 0, 1,                        \
                        "share of the updates over which the rate rises"),               \
        PARE_CLI_CHOICE(0, "schedule", "HOW", &(o)->schedule, train_schedule_words,      \
                        "how the rate falls behind the warm-up"),                        \
        PARE_CLI_DOUBLE(0, "layer-decay", "D", &(o)->layer_decay, 1e-6, 1,               \
                        "factor of the rate from each block to the one below it"),       \
        PARE_CLI_STRINGS(0, "freeze", "GLOB", &(o)->freeze,                              \
                         "leave tensors of such names as they are: 'blk.0.*'"),          \
        PARE_CLI_DOUBLE(                                                                 \
            0, "ema", "DECAY", &(o)->ema, 0, 0.999999,                                   \
            "score and write a moving average of the weights, such as 0.999; "           \
            "0 for the weights themselves"),                                             \
        PARE_CLI_DOUBLE(0, "weight-decay", "W", &(o)->weight_decay, 0, 100,              \
                        "decay of matrices and embeddings; norms and biases have none"), \
        PARE_CLI_DOUBLE(0, "clip", "NORM", &(o)->clip, 0, 1e9,                           \
                        "greatest norm of the gradient, 0 for no limit"),                \
        PARE_CLI_DOUBLE(0, "dropout", "P", &(o)->dropout, -1, 0.9,                       \
                        "all dropout rates, -1 for those of the model"),                 \
        PARE_CLI_INT(0, "max-length", "N", &(o)->max_length, 0, 1 << 20,                 \
                     "cut sentences to N tokens, 0 for what the model takes"),           \
        PARE_CLI_INT(0, "bucket", "N", &(o)->bucket, 0, 1 << 20,                         \
                     "sort sentences by length within N batches, 0 for none: nothing "   \
                     "is padded either way"),                                            \
        PARE_CLI_INT(0, "eval-every", "N", &(o)->eval_every, 0, 1 << 30,                 \
                     "score the development set every N updates, 0 for each epoch"),     \
        PARE_CLI_INT(0, "patience", "N", &(o)->patience, 0, 1 << 30,                     \
                     "stop after N scores without a better one, 0 for never"),           \
        PARE_CLI_CHOICE(0, "keep", "WHICH", &(o)->keep, train_keep_words,                \
                        "which score's weights to write"),                               \
        PRECISION_OPTION(&(o)->precision,                                                \
                         "products in training; bf16 rounds what is multiplied, fast "   \
                         "where the CPU has AMX, slow elsewhere"),                       \
        PARE_CLI_STRING(0, "state", "FILE", &(o)->state,                                 \
                        "resume file, OUTPUT.state by default, \"none\" for none"),      \
        PARE_CLI_FLAG('r', "resume", &(o)->resume,                                       \
                      "go on where a stopped run was, if there is a resume file"),       \
        PARE_CLI_INT(0, "checkpoint-every", "N", &(o)->checkpoint_every, 0, 1 << 30,     \
                     "write the resume file every N updates, 0 for every ten minutes"),  \
        PARE_CLI_STRING(0, "metrics", "FILE", &(o)->metrics,                             \
                        "loss, rate and scores as JSON lines")

/* What --help shows; a program may change them before it parses. */
struct train_options train_options_default(void);

/* Path of the resume file, for an output at `output`: empty with --state none, which
 * --resume contradicts (PARE_ERR_USAGE, also for a file there that is none). */
enum pare_status train_options_state(const struct train_options *o, const char *output,
                                     char path[TRAIN_PATH_SIZE],
                                     struct pare_error *err) PARE_CHECKED;

/* Refuses what a run writes that is the same file as something it reads, or writes
 * under another name (PARE_ERR_USAGE). NULL and empty paths are skipped. */
enum pare_status train_options_paths(const char *const *reads, size_t n_reads,
                                     const char *const *writes, size_t n_writes,
                                     struct pare_error *err) PARE_CHECKED;

/* Holds OUTPUT.run.lock until pare_output_abort(*lock), which is NULL for no output: a
 * second run with that output would use the first one's files, and is PARE_ERR_LOCKED. */
enum pare_status train_options_lock(const char *output, struct pare_output **lock,
                                    struct pare_error *err) PARE_CHECKED;

/* Puts --dropout into a model's config. */
void train_options_dropout(const struct train_options *o, struct pare_config *config);

/* Most tokens of a sentence for a model of this config. */
size_t train_options_longest(const struct train_options *o,
                             const struct pare_config *config);

/* For pare_train; the result borrows o's strings and `state_path` (empty: none). The loss
 * stays cross-entropy. */
struct pare_train_options train_options_trainer(const struct train_options *o,
                                                uint64_t seed, const char *state_path);

/* Adds the options and what came of them to `json`, for a container's history. 0 when
 * there is no memory. */
int train_options_history(const struct train_options *o, uint64_t seed,
                          const struct pare_config *config,
                          const struct pare_train_result *result, cJSON *json);

#endif
