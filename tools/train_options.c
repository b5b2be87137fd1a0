#include "tools/train_options.h"

#include <stdio.h>
#include <string.h>

#include "libdistill/state.h"

const char *const train_keep_words[] = {"best", "last", NULL};
const char *const train_schedule_words[] = {"linear", "cosine", "constant", NULL};

struct train_options train_options_default(void)
{
    const struct pare_train_options trainer = pare_train_options_default();
    return (struct train_options){
        .epochs = (int)trainer.epochs,
        .batch = (int)trainer.batch,
        .accumulate = (int)trainer.accumulate,
        .max_length = 128,
        .lr = trainer.lr,
        .warmup = trainer.warmup,
        .layer_decay = trainer.layer_decay,
        .ema = trainer.average,
        .weight_decay = 0.01,
        .clip = 1,
        .dropout = -1,
    };
}

enum pare_status train_options_state(const struct train_options *o, const char *output,
                                     char path[TRAIN_PATH_SIZE], struct pare_error *err)
{
    *path = 0;
    if (o->state && !strcmp(o->state, "none")) {
        if (o->resume)
            return pare_fail(err, PARE_ERR_USAGE,
                             "--resume needs a resume file, --state none forbids one");
        return PARE_OK;
    }
    if (!o->state && !output)
        return PARE_OK;
    int n = o->state ? snprintf(path, TRAIN_PATH_SIZE, "%s", o->state)
                     : snprintf(path, TRAIN_PATH_SIZE, "%s.state", output);
    if (n < 0 || n >= TRAIN_PATH_SIZE)
        return pare_fail(err, PARE_ERR_USAGE, "the path of the resume file is too long");
    return pare_state_check(path, err);
}

static int is_path(const char *path)
{
    return path && *path;
}

enum pare_status train_options_paths(const char *const *reads, size_t n_reads,
                                     const char *const *writes, size_t n_writes,
                                     struct pare_error *err)
{
    for (size_t i = 0; i < n_writes; i++) {
        if (!is_path(writes[i]))
            continue;
        for (size_t j = 0; j < n_reads; j++)
            if (is_path(reads[j]))
                PARE_TRY(pare_refuse_same_file(reads[j], writes[i], err));
        for (size_t j = 0; j < i; j++)
            if (is_path(writes[j]) && pare_path_is_same(writes[i], writes[j]))
                return pare_fail(err, PARE_ERR_USAGE,
                                 "%s: two outputs cannot have the same name", writes[i]);
    }
    return PARE_OK;
}

enum pare_status train_options_lock(const char *output, struct pare_output **lock,
                                    struct pare_error *err)
{
    char path[TRAIN_PATH_SIZE];
    *lock = NULL;
    if (!output)
        return PARE_OK;
    int n = snprintf(path, sizeof path, "%s.run", output);
    if (n < 0 || (size_t)n >= sizeof path)
        return pare_fail(err, PARE_ERR_USAGE, "the path of the output is too long");
    return pare_output_open(path, lock, err); /* a file that is never to appear */
}

void train_options_dropout(const struct train_options *o, struct pare_config *config)
{
    if (o->dropout >= 0)
        config->dropout = config->attention_dropout = config->head_dropout =
            (float)o->dropout;
}

size_t train_options_longest(const struct train_options *o,
                             const struct pare_config *config)
{
    const size_t longest = (size_t)o->max_length;
    return longest && longest < config->positions ? longest : config->positions;
}

struct pare_train_options train_options_trainer(const struct train_options *o,
                                                uint64_t seed, const char *state_path)
{
    struct pare_train_options options = pare_train_options_default();
    options.epochs = (uint64_t)o->epochs;
    options.batch = (size_t)o->batch;
    options.accumulate = (size_t)o->accumulate;
    options.bucket = (size_t)o->bucket;
    options.lr = o->lr;
    options.warmup = o->warmup;
    options.schedule = (enum pare_schedule)o->schedule;
    options.layer_decay = o->layer_decay;
    options.average = o->ema;
    options.freeze = o->freeze.items;
    options.n_freeze = o->freeze.count;
    options.adamw.weight_decay = (float)o->weight_decay;
    options.adamw.clip = (float)o->clip;
    options.precision = (enum pare_precision)o->precision;
    options.seed = seed;
    options.eval_every = (uint64_t)o->eval_every;
    options.patience = (uint64_t)o->patience;
    options.keep = (enum pare_keep)o->keep;
    options.state_path = *state_path ? state_path : NULL;
    options.resume = o->resume;
    options.checkpoint_every = (uint64_t)o->checkpoint_every;
    return options;
}

static int add_list(cJSON *json, const char *key, const struct pare_cli_list *list)
{
    cJSON *array = cJSON_AddArrayToObject(json, key);
    for (size_t i = 0; array && i < list->count; i++)
        if (!cJSON_AddItemToArray(array, cJSON_CreateString(list->items[i])))
            return 0;
    return array != NULL;
}

int train_options_history(const struct train_options *o, uint64_t seed,
                          const struct pare_config *config,
                          const struct pare_train_result *result, cJSON *json)
{
    char digits[24]; /* may be beyond what a JSON number holds */
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)seed);
    int ok =
        cJSON_AddNumberToObject(json, "epochs", o->epochs) &&
        cJSON_AddNumberToObject(json, "batch", o->batch) &&
        cJSON_AddNumberToObject(json, "accumulate", o->accumulate) &&
        cJSON_AddNumberToObject(json, "bucket", o->bucket) &&
        cJSON_AddNumberToObject(json, "lr", o->lr) &&
        cJSON_AddNumberToObject(json, "warmup", o->warmup) &&
        cJSON_AddStringToObject(json, "schedule", train_schedule_words[o->schedule]) &&
        cJSON_AddNumberToObject(json, "layer_decay", o->layer_decay) &&
        add_list(json, "freeze", &o->freeze) &&
        cJSON_AddNumberToObject(json, "ema", o->ema) &&
        cJSON_AddNumberToObject(json, "weight_decay", o->weight_decay) &&
        cJSON_AddNumberToObject(json, "clip", o->clip) &&
        cJSON_AddNumberToObject(json, "dropout", (double)config->dropout) &&
        cJSON_AddNumberToObject(json, "max_length", o->max_length) &&
        cJSON_AddStringToObject(json, "precision", precision_words[o->precision]) &&
        cJSON_AddStringToObject(json, "seed", digits) &&
        cJSON_AddNumberToObject(json, "eval_every", o->eval_every) &&
        cJSON_AddNumberToObject(json, "patience", o->patience) &&
        cJSON_AddStringToObject(json, "keep", train_keep_words[o->keep]) &&
        cJSON_AddNumberToObject(json, "kept_epoch", (double)result->kept_epoch) &&
        cJSON_AddNumberToObject(json, "kept_update", (double)result->kept_update);
    if (ok && result->has_dev)
        ok = cJSON_AddNumberToObject(json, "dev_accuracy",
                                     (double)result->kept.correct /
                                         (double)result->kept.examples) != NULL;
    return ok;
}
