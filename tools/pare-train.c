/* pare-train: labelled text and a container (or a config) in, a trained classifier out.
 */
#include <stdio.h>
#include <string.h>

#include "libdistill/state.h"
#include "libdistill/trainer.h"
#include "runtime/model/container.h"
#include "runtime/model/stored.h"
#include "tools/train_compress.h"
#include "tools/train_data.h"
#include "tools/train_find_rate.h"
#include "tools/train_log.h"
#include "tools/train_options.h"

struct options {
    const char *train, *dev, *config, *vocab;
    struct pare_cli_list labels;
    int new_head;
    struct train_compress_options compress;
    struct train_options training;
};

struct work {
    struct pare_cli *cli;
    const struct options *o;
    struct pare_stored stored; /* the container to start from, if there is one */
    struct pare_config config; /* of the model to train */
    struct pare_tokenizer *tokenizer;
    struct train_data train, dev;
    struct train_compress compress;
    char *identity; /* of the format, for the resume file; NULL: floats */
    struct pare_params *params;
    struct train_log log;
    struct pare_output *lock;
    char state[TRAIN_PATH_SIZE]; /* path of the resume file, empty: none */
    const char *names[PARE_MAX_LABELS];
    struct pare_error *err;
};

/* --- The model to train ---------------------------------------------------------------
 */

static enum pare_status open_container(struct work *w, const char *path)
{
    PARE_TRY(pare_stored_open(path, NULL, &w->stored, w->err));
    if (w->stored.ckpt->format != PARE_FORMAT_GGUF)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "%s: this is a %s checkpoint; run pare-convert on it first",
                         path, pare_format_name(w->stored.ckpt->format));
    PARE_TRY(pare_ckpt_refuse_output(w->stored.ckpt, w->cli->output, w->err));
    w->config = w->stored.config;
    enum pare_status status =
        pare_tokenizer_from_meta(&w->stored.ckpt->meta, &w->tokenizer, w->err);
    if (status != PARE_OK)
        return pare_fail_in(w->err, status, "%s", path);
    if (!w->tokenizer && !w->o->vocab)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "%s has no tokenizer: give one with --vocab", path);
    return PARE_OK;
}

static enum pare_status open_config(struct work *w)
{
    if (!w->o->config || !w->o->vocab)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "give a container to start from, or --config and --vocab to "
                         "start from nothing");
    cJSON *json;
    PARE_TRY(pare_json_parse_file(w->o->config, &json, w->err));
    enum pare_status status = pare_config_from_hf(json, w->o->config, &w->config, w->err);
    cJSON_Delete(json);
    return status;
}

static enum pare_status open_start(struct work *w)
{
    if (w->cli->operand_count && w->o->config)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--config is for training from nothing; %s has a config",
                         w->cli->operands[0]);
    PARE_TRY(w->cli->operand_count ? open_container(w, w->cli->operands[0])
                                   : open_config(w));
    if (w->o->vocab) {
        pare_tokenizer_free(w->tokenizer);
        w->tokenizer = NULL;
        PARE_TRY(pare_tokenizer_load(w->o->vocab, &w->tokenizer, w->err));
    }
    const size_t pieces = pare_tokenizer_vocab_size(w->tokenizer);
    if (pieces > w->config.vocab)
        return pare_fail(w->err, PARE_ERR_INPUT,
                         "the tokenizer has %zu pieces, the model's embedding %u rows",
                         pieces, w->config.vocab);
    train_options_dropout(&w->o->training, &w->config);
    return PARE_OK;
}

/* --- Labels ---------------------------------------------------------------------------
 */

/* A classifier that the container or the config has keeps its labels; a new one gets
 * those of --label, or as many as the training data have. */
static enum pare_status decide_labels(struct work *w)
{
    const struct options *o = w->o;
    struct pare_config *config = &w->config;
    if (o->labels.count > PARE_MAX_LABELS)
        return pare_fail(w->err, PARE_ERR_USAGE, "at most %d labels", PARE_MAX_LABELS);
    if (o->new_head || o->labels.count)
        config->labels = 0;
    for (size_t i = 0; i < o->labels.count; i++) {
        if (!*o->labels.items[i] || strlen(o->labels.items[i]) >= PARE_LABEL_SIZE)
            return pare_fail(w->err, PARE_ERR_USAGE,
                             "--label \"%.80s\": 1 to %d bytes, please",
                             o->labels.items[i], PARE_LABEL_SIZE - 1);
        snprintf(config->label[i], PARE_LABEL_SIZE, "%s", o->labels.items[i]);
    }
    if (o->labels.count)
        config->labels = (uint32_t)o->labels.count;
    for (uint32_t i = 0; i < config->labels; i++)
        w->names[i] = config->label[i];
    return PARE_OK;
}

static enum pare_status read_data(struct work *w)
{
    const struct options *o = w->o;
    struct pare_config *config = &w->config;
    PARE_TRY(decide_labels(w));
    const char *const *names = config->labels ? w->names : NULL;
    PARE_TRY(
        train_data_read(w->cli, o->train, (int)config->labels, names, &w->train, w->err));
    if (!config->labels) {
        if (w->train.text.label_count > PARE_MAX_LABELS)
            return pare_fail(w->err, PARE_ERR_INPUT, "%s: more than %d labels", o->train,
                             PARE_MAX_LABELS);
        config->labels = (uint32_t)w->train.text.label_count;
        for (uint32_t i = 0; i < config->labels; i++)
            snprintf(config->label[i], PARE_LABEL_SIZE, "LABEL_%u", i);
    }
    if (o->dev)
        PARE_TRY(
            train_data_read(w->cli, o->dev, (int)config->labels, names, &w->dev, w->err));
    const size_t longest = train_options_longest(&o->training, config);
    PARE_TRY(train_data_tokenize(w->cli, w->tokenizer, longest, &w->train, w->err));
    return o->dev ? train_data_tokenize(w->cli, w->tokenizer, longest, &w->dev, w->err)
                  : PARE_OK;
}

static enum pare_status new_params(struct work *w)
{
    struct pare_extra *extras;
    PARE_TRY(train_compress_init(&w->compress, &w->o->compress, &w->config, w->err));
    PARE_TRY(pare_arena_alloc(&w->compress.arena, &extras, w->compress.plan.count,
                              sizeof *extras, w->err));
    const size_t n = train_compress_extras(&w->compress, extras, 0);
    return pare_params_new_with(&w->config, extras, n, &w->params, w->err);
}

static enum pare_status make_params(struct work *w)
{
    /* A classifier stands on a pooler in both families. */
    w->config.has_pooler = 1;
    PARE_TRY(
        pare_config_check(&w->config, w->o->config ? w->o->config : "model", w->err));
    PARE_TRY(new_params(w));
    if (!w->cli->operand_count) {
        pare_params_draw_all(w->params, w->cli->seed);
        return PARE_OK;
    }
    /* --new-head and --label draw a classifier of the same size too. */
    size_t drawn;
    PARE_TRY(pare_params_load(w->params, &w->stored, w->cli->seed, &drawn, w->err));
    const int anew = w->o->new_head || w->o->labels.count;
    for (size_t i = 0; anew && i < w->params->plan.count; i++)
        if (!strncmp(w->params->plan.slots[i].name, "cls.output.", 11))
            pare_params_draw(w->params, i, w->cli->seed);
    if (drawn || anew)
        pare_cli_info(w->cli, "a new classifier of %u labels", w->config.labels);
    return PARE_OK;
}

/* --- Training -------------------------------------------------------------------------
 */

static void tell_start(const struct work *w)
{
    pare_cli_info(w->cli,
                  "%zu sentences, %.1f tokens each, none of them padding, %zu cut to the "
                  "longest length; %zu parameters",
                  w->train.examples.count,
                  (double)w->train.ids.count / (double)w->train.examples.count,
                  w->train.truncated, w->params->total);
}

/* --- The container --------------------------------------------------------------------
 */

static cJSON *history_options(const struct work *w, const struct pare_train_result *r)
{
    cJSON *json = cJSON_CreateObject();
    int ok = json && cJSON_AddStringToObject(json, "train_sha256", w->train.text.sha256);
    if (ok && r->has_dev)
        ok = cJSON_AddStringToObject(json, "dev_sha256", w->dev.text.sha256) != NULL;
    if (ok && train_compress_history(&w->compress, json) &&
        train_options_history(&w->o->training, w->cli->seed, &w->config, r, json))
        return json;
    cJSON_Delete(json);
    return NULL;
}

static enum pare_status fill_meta(const struct work *w, const struct pare_train_result *r,
                                  struct pare_meta *meta)
{
    char sha256[65];
    memcpy(sha256, w->train.text.sha256, sizeof sha256);
    if (w->stored.ckpt) {
        const struct pare_meta *from = &w->stored.ckpt->meta;
        for (size_t i = 0; i < from->count; i++)
            PARE_TRY(pare_meta_copy_value(meta, &from->values[i], w->err));
        PARE_TRY(pare_ckpt_sha256(w->stored.ckpt, sha256, w->err));
    }
    PARE_TRY(pare_config_to_meta(&w->config, meta, w->err));
    if (w->o->vocab)
        PARE_TRY(pare_tokenizer_to_meta(w->tokenizer, meta, w->err));
    cJSON *options = history_options(w, r);
    if (!options)
        return pare_fail_memory(w->err, sizeof(cJSON));
    enum pare_status status =
        pare_history_add(meta, "pare-train", sha256, options, w->err);
    cJSON_Delete(options);
    return status;
}

static enum pare_status write_container(struct work *w,
                                        const struct pare_train_result *result)
{
    struct pare_meta meta = {0};
    enum pare_status status = fill_meta(w, result, &meta);
    if (status == PARE_OK)
        status = train_compress_write(&w->compress, w->cli, w->params, &meta, w->err);
    pare_meta_free(&meta);
    PARE_TRY(status);
    if (*w->state)
        PARE_TRY(pare_state_remove(w->state, w->err));
    train_log_result(w->cli, result);
    return PARE_OK;
}

/* --- The program ----------------------------------------------------------------------
 */

static enum pare_status check_paths(struct work *w)
{
    const struct options *o = w->o;
    PARE_TRY(train_options_state(&o->training, w->cli->output, w->state, w->err));
    const char *const reads[] = {o->train, o->dev, o->config, o->vocab,
                                 w->cli->operand_count ? w->cli->operands[0] : NULL};
    const char *const writes[] = {w->cli->output, w->state, o->training.metrics};
    return train_options_paths(reads, 5, writes, 3, w->err);
}

static enum pare_status train(struct work *w)
{
    struct pare_train_result result;
    PARE_TRY(check_paths(w));
    PARE_TRY(train_options_lock(w->cli->output, &w->lock, w->err));
    PARE_TRY(open_start(w));
    PARE_TRY(read_data(w));
    PARE_TRY(make_params(w));
    const struct train_options *training = &w->o->training;
    tell_start(w);
    train_compress_start(&w->compress, w->params);
    struct pare_train_options options =
        train_options_trainer(training, w->cli->seed, w->state);
    PARE_TRY(train_compress_identity(&w->compress, &w->identity, w->err));
    options.loss_identity = w->identity;
    options.compressor = train_compress_compressor(&w->compress);
    if (training->find_lr)
        return train_find_rate(w->cli, w->params, &w->train.examples, &options, w->err);
    PARE_TRY(
        train_log_open(&w->log, w->cli, training->metrics, training->resume, w->err));
    w->log.state_path = w->state;
    const struct pare_train_hooks hooks = {train_log_event, &w->log, &w->cli->progress};
    PARE_TRY(pare_train(w->params, &w->train.examples,
                        w->o->dev ? &w->dev.examples : NULL, &options, &hooks, &result,
                        w->err));
    return write_container(w, &result);
}

static enum pare_status check(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct options *o = context;
    if (!o->train)
        return pare_fail(err, PARE_ERR_USAGE, "--train FILE is missing");
    PARE_TRY(train_find_rate_check(cli, &o->training, err));
    return train_compress_check(&o->compress, err);
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    struct work w = {.cli = cli, .o = context, .err = err};
    enum pare_status status = train(&w);
    /* After a failure that one is reported, not what closing the metrics says. */
    enum pare_status closed = train_log_close(&w.log, status == PARE_OK ? err : NULL);
    status = status == PARE_OK ? closed : status;
    pare_output_abort(w.lock);
    train_data_free(&w.train);
    train_data_free(&w.dev);
    pare_params_free(w.params);
    train_compress_free(&w.compress);
    cJSON_free(w.identity);
    pare_tokenizer_free(w.tokenizer);
    pare_stored_close(&w.stored);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {.compress = train_compress_options_default(),
                        .training = train_options_default()};
    const struct pare_cli_option options[] = {
        PARE_CLI_STRING('t', "train", "FILE", &o.train, "labelled text to learn from"),
        PARE_CLI_STRING('d', "dev", "FILE", &o.dev,
                        "labelled text to judge the model by"),
        TRAIN_OPTIONS(&o.training),
        TRAIN_COMPRESS_OPTIONS(&o.compress),
        PARE_CLI_STRINGS(0, "label", "NAME", &o.labels,
                         "name of the next label, 0 first, for a new classifier"),
        PARE_CLI_FLAG(0, "new-head", &o.new_head, "replace the container's classifier"),
        PARE_CLI_STRING(0, "config", "FILE", &o.config,
                        "train from nothing: the model's config.json"),
        PARE_CLI_STRING(0, "vocab", "FILE", &o.vocab,
                        "vocab.txt, tokenizer.json or a folder with one"),
        PARE_CLI_END,
    };
    const struct pare_cli_example examples[] = {
        {"pare-train minilm.gguf --train train.tsv --dev dev.tsv -o sst2.gguf",
         "Fine-tunes a pretrained encoder on two classes."},
        {"pare-train minilm.gguf --train train.tsv --dev dev.tsv -o sst2.gguf --resume",
         "The same after it was stopped: the result has the same bytes."},
        {"pare-train --config config.json --vocab vocab.txt --train train.tsv --lr 5e-4 "
         "--epochs 10 --label negative --label positive -o small.gguf",
         "A small model from nothing."},
        {NULL, NULL},
    };
    const struct pare_cli_program program = {
        .name = "pare-train",
        .summary = "Trains an encoder to classify text.",
        .usage = "[options] [BASE.gguf] --train FILE -o OUTPUT.gguf",
        .description =
            "Starts from the weights of a container, which gets a new classifier when it "
            "has none, or from random ones. AdamW with linear warm-up and decay, clipped "
            "gradients and dropout; after each epoch, or every --eval-every "
            "updates, the development set is scored, and the weights with the best score "
            "are written.\n\n"
            "The defaults suit a pretrained encoder (Devlin et al. 2019, appendix A.3). "
            "From nothing, or for less than all of a model, another --lr is better: "
            "--find-lr looks for one.\n\n"
            "The result depends on the inputs, the options and the seed alone: not on "
            "the "
            "number of threads, nor on the machine, nor on being stopped and resumed. "
            "SIGINT and SIGTERM stop it with a resume file.",
        .operands = "BASE",
        .output = "the container to write",
        .options = options,
        .examples = examples,
        .min_operands = 0,
        .max_operands = 1,
        .check = check,
        .common = PARE_CLI_OUTPUT | PARE_CLI_SEED,
    };
    return pare_cli_main(&program, argc, argv, run, &o);
}
