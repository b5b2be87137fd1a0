/* A run's identity and position: see trainer_state.h. */
#include "libdistill/trainer_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libdistill/state.h"
#include "runtime/base/alloc.h"
#include "runtime/base/sha256.h"

/* --- Identity --------------------------------------------------------------------- */

static enum pare_status add(cJSON *object, const char *key, const char *text,
                            struct pare_error *err)
{
    if (cJSON_AddStringToObject(object, key, text))
        return PARE_OK;
    return pare_fail(err, PARE_ERR_MEMORY, "out of memory");
}

/* Nine digits tell any two floats apart, and are what a user typed where a double has
 * more. */
static enum pare_status add_real(cJSON *object, const char *key, double value,
                                 struct pare_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", value);
    return add(object, key, text, err);
}

static enum pare_status add_count(cJSON *object, const char *key, uint64_t value,
                                  struct pare_error *err)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return add(object, key, text, err);
}

static enum pare_status add_model(cJSON *object, const struct pare_params *params,
                                  struct pare_error *err)
{
    const struct pare_config *c = &params->config;
    char text[160], sha[65];
    if (c->head_width)
        PARE_TRY(add_count(object, "head width", c->head_width, err));
    snprintf(text, sizeof text,
             "%s %ux%u/%u/%u, %u ids, %u positions, %u types, %u labels",
             pare_family_name(c->family), c->layers, c->hidden, c->heads, c->ffn,
             c->vocab, c->positions, c->token_types, c->labels);
    PARE_TRY(add(object, "model", text, err));
    PARE_TRY(add_count(object, "activation", c->activation, err));
    PARE_TRY(add_real(object, "norm eps", (double)c->norm_eps, err));
    PARE_TRY(add_real(object, "dropout", (double)c->dropout, err));
    PARE_TRY(add_real(object, "attention dropout", (double)c->attention_dropout, err));
    PARE_TRY(add_real(object, "head dropout", (double)c->head_dropout, err));
    pare_sha256_of(params->value, params->total * sizeof(float), sha);
    return add(object, "starting weights", sha, err);
}

static enum pare_status add_globs(cJSON *object, const struct pare_train_options *o,
                                  struct pare_error *err)
{
    size_t length = 1;
    for (size_t i = 0; i < o->n_freeze; i++)
        length += strlen(o->freeze[i]) + 1;
    if (!o->n_freeze)
        return add(object, "frozen", "none", err);
    char *text;
    PARE_TRY(pare_alloc(&text, length, 1, err));
    size_t used = 0;
    for (size_t i = 0; i < o->n_freeze; i++)
        used += (size_t)snprintf(text + used, length - used, "%s%s", i ? " " : "",
                                 o->freeze[i]);
    enum pare_status status = add(object, "frozen", text, err);
    pare_free(text);
    return status;
}

static enum pare_status add_options(cJSON *object, const struct pare_train_options *o,
                                    struct pare_error *err)
{
    PARE_TRY(add_count(object, "epochs", o->epochs, err));
    PARE_TRY(add_count(object, "batch", o->batch, err));
    PARE_TRY(add_count(object, "accumulate", o->accumulate, err));
    PARE_TRY(add_count(object, "bucket", o->bucket, err));
    PARE_TRY(add_real(object, "learning rate", o->lr, err));
    PARE_TRY(add_real(object, "warmup", o->warmup, err));
    PARE_TRY(add(object, "schedule", pare_schedule_name(o->schedule), err));
    PARE_TRY(add_real(object, "layer decay", o->layer_decay, err));
    PARE_TRY(add_globs(object, o, err));
    PARE_TRY(add_real(object, "beta1", (double)o->adamw.beta1, err));
    PARE_TRY(add_real(object, "beta2", (double)o->adamw.beta2, err));
    PARE_TRY(add_real(object, "epsilon", (double)o->adamw.eps, err));
    PARE_TRY(add_real(object, "weight decay", (double)o->adamw.weight_decay, err));
    PARE_TRY(add_real(object, "average decay", o->average, err));
    PARE_TRY(add_real(object, "clip", (double)o->adamw.clip, err));
    PARE_TRY(add(object, "precision",
                 o->precision == PARE_PRECISION_BF16 ? "bf16" : "fp32", err));
    PARE_TRY(add_count(object, "seed", o->seed, err));
    PARE_TRY(add_count(object, "evaluation every", o->eval_every, err));
    PARE_TRY(add_count(object, "patience", o->patience, err));
    PARE_TRY(add(object, "loss", o->loss_identity ? o->loss_identity : "labels", err));
    return add(object, "keep", o->keep == PARE_KEEP_BEST ? "best" : "last", err);
}

static enum pare_status fill(cJSON *object, const struct pare_params *params,
                             const struct pare_examples *train,
                             const struct pare_examples *dev,
                             const struct pare_train_options *options,
                             struct pare_error *err)
{
    char sha[65];
    PARE_TRY(add(object, "program version", PARE_VERSION, err));
    PARE_TRY(add_options(object, options, err));
    PARE_TRY(add_model(object, params, err));
    pare_examples_sha256(train, sha);
    PARE_TRY(add(object, "training data", sha, err));
    if (!dev)
        return add(object, "development data", "none", err);
    pare_examples_sha256(dev, sha);
    return add(object, "development data", sha, err);
}

enum pare_status pare_run_identity(const struct pare_params *params,
                                   const struct pare_examples *train,
                                   const struct pare_examples *dev,
                                   const struct pare_train_options *options, cJSON **out,
                                   struct pare_error *err)
{
    *out = NULL;
    cJSON *object = cJSON_CreateObject();
    enum pare_status status = object ? fill(object, params, train, dev, options, err)
                                     : pare_fail(err, PARE_ERR_MEMORY, "out of memory");
    if (status != PARE_OK) {
        cJSON_Delete(object);
        return status;
    }
    *out = object;
    return PARE_OK;
}

/* --- Position --------------------------------------------------------------------- */

/* The fields in one list, for both directions. */
struct field {
    const char *key;
    uint64_t *count;
    double *real;
};

#define MAX_FIELDS 32
#define KEY_SIZE 32

struct fields {
    struct field list[MAX_FIELDS];
    size_t n;
    char part_keys[PARE_LOSS_PARTS][KEY_SIZE];
};

static void list_fields(struct pare_position *p, uint64_t *has_best,
                        struct fields *fields)
{
    const struct field list[] = {
        {"epoch", &p->epoch, NULL},
        {"batch", &p->batch, NULL},
        {"updates", &p->updates, NULL},
        {"loss sum", NULL, &p->loss_sum},
        {"seen", &p->seen, NULL},
        {"evaluated", &p->evaluated, NULL},
        {"stale", &p->stale, NULL},
        {"has best", has_best, NULL},
        {"best epoch", &p->best_epoch, NULL},
        {"best update", &p->best_update, NULL},
        {"best correct", &p->best.correct, NULL},
        {"best loss", NULL, &p->best.loss},
        {"last correct", &p->last.correct, NULL},
        {"last loss", NULL, &p->last.loss},
        {"dev examples", &p->last.examples, NULL},
    };
    fields->n = sizeof list / sizeof list[0];
    memcpy(fields->list, list, sizeof list);
    for (size_t i = 0; i < PARE_LOSS_PARTS; i++) {
        snprintf(fields->part_keys[i], KEY_SIZE, "loss part %zu", i);
        fields->list[fields->n++] =
            (struct field){fields->part_keys[i], NULL, &p->part_sum[i]};
    }
}

#define MAX_ARRAYS 6

static size_t list_arrays(const struct pare_run_arrays *given, int with_best,
                          struct pare_state_array arrays[MAX_ARRAYS])
{
    const struct pare_optimizer *optimizer = given->optimizer;
    const struct pare_compressor *compressor = given->compressor;
    const uint64_t n = optimizer->params->total;
    size_t count = 0;
    arrays[count++] = (struct pare_state_array){"weights", optimizer->params->value, n};
    arrays[count++] = (struct pare_state_array){"moment1", optimizer->m, n};
    arrays[count++] = (struct pare_state_array){"moment2", optimizer->v, n};
    if (optimizer->average)
        arrays[count++] = (struct pare_state_array){"average", optimizer->average, n};
    if (compressor && compressor->state)
        arrays[count++] = (struct pare_state_array){"compression", compressor->state,
                                                    compressor->state_count};
    if (given->best && with_best)
        arrays[count++] = (struct pare_state_array){"best", given->best, n};
    return count;
}

enum pare_status pare_run_save(const char *path, const cJSON *identity,
                               const struct pare_position *position,
                               const struct pare_run_arrays *given,
                               struct pare_error *err)
{
    struct pare_position copy = *position;
    uint64_t has_best = position->has_best;
    struct fields fields;
    struct pare_state_array arrays[MAX_ARRAYS];
    list_fields(&copy, &has_best, &fields);
    const size_t n_arrays = list_arrays(given, position->has_best, arrays);
    cJSON *progress = cJSON_CreateObject();
    if (!progress)
        return pare_fail(err, PARE_ERR_MEMORY, "out of memory");
    enum pare_status status = PARE_OK;
    for (size_t i = 0; i < fields.n && status == PARE_OK; i++) {
        const struct field *f = &fields.list[i];
        status = f->count ? pare_state_put_u64(progress, f->key, *f->count, err)
                          : pare_state_put_double(progress, f->key, *f->real, err);
    }
    if (status == PARE_OK)
        status = pare_state_write(path, identity, progress, arrays, n_arrays, err);
    cJSON_Delete(progress);
    return status;
}

enum pare_status pare_run_load(const char *path, const cJSON *identity,
                               struct pare_position *position,
                               const struct pare_run_arrays *given, int *found,
                               int *fell_back, struct pare_error *err)
{
    struct pare_state_array arrays[MAX_ARRAYS];
    const size_t n_arrays = list_arrays(given, 1, arrays);
    cJSON *progress;
    PARE_TRY(
        pare_state_read(path, identity, &progress, arrays, n_arrays, fell_back, err));
    *found = progress != NULL;
    if (!progress)
        return PARE_OK;
    struct pare_position read = {0};
    uint64_t has_best = 0;
    struct fields fields;
    list_fields(&read, &has_best, &fields);
    enum pare_status status = PARE_OK;
    for (size_t i = 0; i < fields.n && status == PARE_OK; i++) {
        const struct field *f = &fields.list[i];
        status = f->count ? pare_state_get_u64(progress, f->key, f->count, err)
                          : pare_state_get_double(progress, f->key, f->real, err);
    }
    cJSON_Delete(progress);
    if (status != PARE_OK)
        return pare_fail_in(err, status, "%s", path);
    read.has_best = has_best != 0;
    read.best.examples = read.last.examples;
    *position = read;
    pare_optimizer_resume(given->optimizer, read.updates);
    return PARE_OK;
}
