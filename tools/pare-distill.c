/* pare-distill: a teacher's container and text in, a smaller student's container out. */
#include <stdio.h>
#include <string.h>

#include "libdistill/state.h"
#include "libdistill/train_check.h"
#include "libdistill/trainer.h"
#include "runtime/base/sha256.h"
#include "runtime/model/container.h"
#include "runtime/model/stored.h"
#include "tools/distill_init.h"
#include "tools/distill_options.h"
#include "tools/distill_teacher.h"
#include "tools/train_compress.h"
#include "tools/train_data.h"
#include "tools/train_find_rate.h"
#include "tools/train_log.h"
#include "tools/train_options.h"
#include "tools/transfer_data.h"

struct options {
    const char *train, *dev, *cache;
    struct distill_options distill;
    struct transfer_options transfer;
    struct train_compress_options compress;
    struct train_options training;
};

struct work {
    struct pare_cli *cli;
    const struct options *o;
    struct pare_stored stored; /* the teacher's tensors */
    struct pare_model *model;  /* and as it runs */
    char teacher_sha256[65];
    char init_sha256[65]; /* of the student to go on with, or empty */
    struct train_data train, dev;
    struct transfer_data transfer; /* train, and what is added to it */
    struct pare_config config;     /* of the student */
    struct pare_params *params;
    struct train_compress compress;
    struct pare_distill_options loss;
    struct pare_distiller *distiller;
    char *identity; /* of the loss, for the resume file */
    struct pare_teacher *teacher;
    struct train_log log;
    struct pare_output *lock;
    char cache[TRAIN_PATH_SIZE], state[TRAIN_PATH_SIZE];
    const char *names[PARE_MAX_LABELS];
    struct pare_error *err;
};

/* --- Teacher and text ------------------------------------------------------------- */

static enum pare_status open_teacher(struct work *w)
{
    const char *path = w->cli->operands[0];
    PARE_TRY(pare_stored_open_container(path, &w->stored, w->err));
    PARE_TRY(pare_ckpt_refuse_output(w->stored.ckpt, w->cli->output, w->err));
    PARE_TRY(pare_model_open(path, PARE_PRECISION_FP32, &w->model, w->err));
    if (!w->model->tokenizer)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "%s has no tokenizer; convert it with its vocabulary", path);
    if (!w->model->config.labels)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "%s has no classifier to learn from; make it a teacher with "
                         "pare-train first",
                         path);
    for (uint32_t i = 0; i < w->model->config.labels; i++)
        w->names[i] = w->model->config.label[i];
    return pare_ckpt_sha256(w->stored.ckpt, w->teacher_sha256, w->err);
}

static enum pare_status read_data(struct work *w)
{
    const struct pare_config *config = &w->model->config;
    const size_t longest = train_options_longest(&w->o->training, config);
    PARE_TRY(train_data_read(w->cli, w->o->train, (int)config->labels, w->names,
                             &w->train, w->err));
    PARE_TRY(
        train_data_tokenize(w->cli, w->model->tokenizer, longest, &w->train, w->err));
    PARE_TRY(transfer_data_make(w->cli, &w->o->transfer, w->model->tokenizer,
                                &w->model->tokens, longest, &w->train, &w->transfer,
                                w->err));
    if (!w->o->dev)
        return PARE_OK;
    PARE_TRY(train_data_read(w->cli, w->o->dev, (int)config->labels, w->names, &w->dev,
                             w->err));
    return train_data_tokenize(w->cli, w->model->tokenizer, longest, &w->dev, w->err);
}

/* --- The student ------------------------------------------------------------------ */

static int goes_on(const struct work *w)
{
    return strcmp(w->o->distill.init, "teacher") && strcmp(w->o->distill.init, "random");
}

static enum pare_status new_params(struct work *w)
{
    const struct pare_config *teacher = &w->model->config;
    struct pare_extra *extras;
    train_options_dropout(&w->o->training, &w->config);
    PARE_TRY(distill_options_loss(&w->o->distill, &w->config, teacher, &w->loss, w->err));
    PARE_TRY(train_compress_init(&w->compress, &w->o->compress, &w->config, w->err));
    PARE_TRY(pare_arena_alloc(&w->compress.arena, &extras,
                              PARE_MAX_PAIRS + w->compress.plan.count, sizeof *extras,
                              w->err));
    size_t n = pare_distill_extras(&w->loss, &w->config, teacher, extras);
    n = train_compress_extras(&w->compress, extras, n);
    PARE_TRY(pare_params_new_with(&w->config, extras, n, &w->params, w->err));
    pare_distill_draw(&w->loss, teacher, w->params, w->cli->seed);
    return PARE_OK;
}

/* A student that a container holds already. */
static enum pare_status load_student(struct work *w)
{
    const char *path = w->o->distill.init;
    struct pare_stored stored;
    size_t drawn;
    PARE_TRY(pare_stored_open_container(path, &stored, w->err));
    w->config = stored.config;
    enum pare_status status =
        pare_ckpt_refuse_output(stored.ckpt, w->cli->output, w->err);
    if (status == PARE_OK)
        status =
            distill_options_go_on(&w->o->distill, &w->config, &w->model->config, w->err);
    if (status == PARE_OK)
        status = distill_init_check(&stored, path, w->model, w->cli->operands[0], w->err);
    if (status == PARE_OK)
        status = pare_ckpt_sha256(stored.ckpt, w->init_sha256, w->err);
    if (status == PARE_OK)
        status = new_params(w);
    if (status == PARE_OK)
        status = pare_params_load(w->params, &stored, w->cli->seed, &drawn, w->err);
    pare_stored_close(&stored);
    return status;
}

static enum pare_status start_student(struct work *w)
{
    uint32_t from[PARE_MAX_PAIRS];
    struct pare_student_options options;
    struct pare_params *teacher;
    size_t drawn;
    PARE_TRY(distill_options_student(&w->o->distill, &w->model->config, from, &options,
                                     w->err));
    PARE_TRY(pare_student_config(&options, &w->model->config, &w->config, w->err));
    PARE_TRY(new_params(w));
    PARE_TRY(pare_params_new(&w->model->config, &teacher, w->err));
    enum pare_status status =
        pare_params_load(teacher, &w->stored, w->cli->seed, &drawn, w->err);
    if (status == PARE_OK)
        status = pare_student_start(&options, teacher, w->params, w->cli->seed, w->err);
    pare_params_free(teacher);
    return status;
}

/* --- The teacher's answers -------------------------------------------------------- */

static enum pare_status ask_teacher(struct work *w)
{
    if (!distill_options_ask(&w->o->distill)) {
        pare_cli_info(w->cli, "no loss looks at the teacher's answers: it is not asked");
        return PARE_OK;
    }
    const struct pare_teacher_wants wants = pare_distiller_wants(w->distiller);
    const struct pare_teacher_call call = {.path = w->cache,
                                           .model = w->model,
                                           .name = w->cli->operands[0],
                                           .sha256 = w->teacher_sha256,
                                           .examples = &w->transfer.examples,
                                           .wants = &wants};
    return distill_teacher_ask(w->cli, call, &w->teacher, w->err);
}

/* --- The container ---------------------------------------------------------------- */

static cJSON *history_options(const struct work *w, const struct pare_train_result *r)
{
    cJSON *json = cJSON_CreateObject();
    int ok = json && cJSON_AddStringToObject(json, "train_sha256", w->train.text.sha256);
    if (ok && r->has_dev)
        ok = cJSON_AddStringToObject(json, "dev_sha256", w->dev.text.sha256) != NULL;
    if (ok && *w->init_sha256)
        ok = cJSON_AddStringToObject(json, "init_sha256", w->init_sha256) != NULL;
    if (ok && distill_options_history(&w->o->distill, &w->loss, json) &&
        transfer_options_history(&w->o->transfer, &w->transfer, json) &&
        train_compress_history(&w->compress, json) &&
        train_options_history(&w->o->training, w->cli->seed, &w->config, r, json))
        return json;
    cJSON_Delete(json);
    return NULL;
}

static enum pare_status fill_meta(const struct work *w, const struct pare_train_result *r,
                                  struct pare_meta *meta)
{
    const struct pare_meta *from = &w->stored.ckpt->meta;
    for (size_t i = 0; i < from->count; i++)
        PARE_TRY(pare_meta_copy_value(meta, &from->values[i], w->err));
    PARE_TRY(pare_config_to_meta(&w->config, meta, w->err));
    cJSON *options = history_options(w, r);
    if (!options)
        return pare_fail_memory(w->err, sizeof(cJSON));
    enum pare_status status =
        pare_history_add(meta, "pare-distill", w->teacher_sha256, options, w->err);
    cJSON_Delete(options);
    return status;
}

static enum pare_status forget_cache(const struct work *w)
{
    return w->o->cache ? PARE_OK : pare_teacher_remove(w->cache, w->err);
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
    if (w->teacher)
        PARE_TRY(forget_cache(w));
    train_log_result(w->cli, result);
    return PARE_OK;
}

/* --- The program ------------------------------------------------------------------ */

/* Weights of the loss and everything else that decides the result. */
static enum pare_status loss_identity(struct work *w)
{
    cJSON *json = cJSON_CreateObject();
    if (json && cJSON_AddStringToObject(json, "teacher", w->teacher_sha256) &&
        distill_options_history(&w->o->distill, &w->loss, json) &&
        train_compress_history(&w->compress, json))
        w->identity = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return w->identity ? PARE_OK : pare_fail_memory(w->err, sizeof(cJSON));
}

static struct pare_train_options trainer_options(struct work *w)
{
    struct pare_train_options options =
        train_options_trainer(&w->o->training, w->cli->seed, w->state);
    options.loss = pare_distiller_loss(w->distiller, w->teacher, w->params);
    options.loss_identity = w->identity;
    options.compressor = train_compress_compressor(&w->compress);
    return options;
}

/* All that can be wrong with a run, before the teacher is asked: that takes long. */
static enum pare_status check_run(struct work *w)
{
    PARE_TRY(pare_examples_check(&w->transfer.examples, &w->model->config, 1, w->o->train,
                                 w->err));
    struct pare_train_options options = trainer_options(w);
    if (w->o->training.find_lr) { /* as it will use them */
        options.eval_every = options.patience = 0;
        options.state_path = NULL;
    }
    return pare_train_check(w->params, &w->transfer.examples,
                            w->o->dev ? &w->dev.examples : NULL, &options, w->err);
}

static enum pare_status train(struct work *w)
{
    struct pare_train_result result;
    const struct pare_train_options options = trainer_options(w);
    const struct train_options *training = &w->o->training;
    const struct pare_train_hooks hooks = {train_log_event, &w->log, &w->cli->progress};
    if (training->find_lr) {
        PARE_TRY(
            train_find_rate(w->cli, w->params, &w->transfer.examples, &options, w->err));
        if (w->teacher && distill_teacher_is_new(w->teacher))
            return forget_cache(w);
        return PARE_OK;
    }
    PARE_TRY(
        train_log_open(&w->log, w->cli, training->metrics, training->resume, w->err));
    w->log.state_path = w->state;
    PARE_TRY(pare_train(w->params, &w->transfer.examples,
                        w->o->dev ? &w->dev.examples : NULL, &options, &hooks, &result,
                        w->err));
    return write_container(w, &result);
}

static void tell_start(const struct work *w)
{
    const struct pare_examples *texts = &w->transfer.examples;
    const struct pare_config *teacher = &w->model->config, *student = &w->config;
    pare_cli_info(w->cli, "%zu texts, %.1f tokens each, none of them padding",
                  texts->count,
                  (double)texts->starts[texts->count] / (double)texts->count);
    pare_cli_info(
        w->cli, "teacher: %u layers of %u; student: %s, %u layers of %u, %zu parameters",
        teacher->layers, teacher->hidden, pare_family_name(student->family),
        student->layers, student->hidden, w->params->start[w->params->n_model]);
}

static enum pare_status check_paths(struct work *w)
{
    const struct options *o = w->o;
    const char *output = w->cli->output ? w->cli->output : "find-lr";
    const int n = o->cache ? snprintf(w->cache, sizeof w->cache, "%s", o->cache)
                           : snprintf(w->cache, sizeof w->cache, "%s.teacher", output);
    if (n < 0 || (size_t)n >= sizeof w->cache)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "the path of the teacher's cache is too long");
    PARE_TRY(train_options_state(&o->training, w->cli->output, w->state, w->err));
    const char *const reads[] = {w->cli->operands[0], o->train, o->dev,
                                 o->transfer.unlabelled, o->distill.init};
    const char *const writes[] = {w->cli->output, w->state, o->training.metrics,
                                  w->cache};
    return train_options_paths(reads, 5, writes, 4, w->err);
}

static enum pare_status distill(struct work *w)
{
    PARE_TRY(check_paths(w));
    PARE_TRY(train_options_lock(w->cli->output, &w->lock, w->err));
    PARE_TRY(open_teacher(w));
    PARE_TRY(read_data(w));
    PARE_TRY(goes_on(w) ? load_student(w) : start_student(w));
    train_compress_start(&w->compress, w->params);
    PARE_TRY(pare_distiller_new(&w->loss, &w->config, &w->model->config, &w->distiller,
                                w->err));
    PARE_TRY(loss_identity(w));
    PARE_TRY(check_run(w));
    tell_start(w);
    PARE_TRY(ask_teacher(w));
    return train(w);
}

static enum pare_status check(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct options *o = context;
    if (!o->train)
        return pare_fail(err, PARE_ERR_USAGE, "--train FILE is missing");
    PARE_TRY(train_find_rate_check(cli, &o->training, err));
    PARE_TRY(train_compress_check(&o->compress, err));
    PARE_TRY(distill_options_check(&o->distill, err));
    return distill_options_ask(&o->distill) ? PARE_OK
                                            : transfer_options_refuse(&o->transfer, err);
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    struct work w = {.cli = cli, .o = context, .err = err};
    enum pare_status status = distill(&w);
    enum pare_status closed = train_log_close(&w.log, status == PARE_OK ? err : NULL);
    status = status == PARE_OK ? closed : status;
    pare_teacher_free(w.teacher);
    pare_distiller_free(w.distiller);
    cJSON_free(w.identity);
    pare_params_free(w.params);
    train_compress_free(&w.compress);
    transfer_data_free(&w.transfer);
    pare_output_abort(w.lock);
    train_data_free(&w.train);
    train_data_free(&w.dev);
    pare_model_free(w.model);
    pare_stored_close(&w.stored);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {.training = train_options_default(),
                        .transfer = transfer_options_default(),
                        .compress = train_compress_options_default(),
                        .distill = distill_options_default()};
    o.training.lr = 1e-4; /* a student has a longer way to go than a model fine-tuned */
    const struct pare_cli_option options[] = {
        PARE_CLI_STRING('t', "train", "FILE", &o.train, "labelled text to learn from"),
        PARE_CLI_STRING('d', "dev", "FILE", &o.dev,
                        "labelled text to judge the student by"),
        PARE_CLI_STRING(
            0, "cache", "FILE", &o.cache,
            "the teacher's answers: used when they fit, else computed, added to "
            "those of the same teacher and texts, and kept; OUTPUT.teacher by "
            "default, removed at the end (find-lr.teacher where there is no "
            "output)"),
        TRANSFER_OPTIONS(&o.transfer),
        STUDENT_OPTIONS(&o.distill),
        LOSS_OPTIONS(&o.distill),
        TRAIN_COMPRESS_OPTIONS(&o.compress),
        TRAIN_OPTIONS(&o.training),
        PARE_CLI_END,
    };
    const struct pare_cli_example examples[] = {
        {"pare-distill teacher.gguf --train train.tsv --dev dev.tsv --layers 2 "
         "-o student.gguf",
         "A student of two blocks, seeded with the teacher's first and last."},
        {NULL, NULL},
    };
    const struct pare_cli_program program = {
        .name = "pare-distill",
        .summary = "Trains a smaller encoder to do what a larger one does.",
        .usage = "[options] TEACHER.gguf --train FILE -o STUDENT.gguf",
        .description =
            "The student starts from a choice of the teacher's weights and learns from "
            "the labels and from the teacher: its probabilities, its hidden states, its "
            "attention. What the teacher says is computed once and kept in a file.\n\n"
            "The result depends on the inputs, the options and the seed alone. SIGINT "
            "and SIGTERM stop it with a resume file.",
        .operands = "TEACHER",
        .output = "the container to write",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = 1,
        .check = check,
        .common = PARE_CLI_OUTPUT | PARE_CLI_SEED,
    };
    return pare_cli_main(&program, argc, argv, run, &o);
}
