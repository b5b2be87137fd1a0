/* The training loop: see trainer.h. */
#include <math.h>
#include <string.h>

#include "libdistill/trainer_internal.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"

#define SECONDS_BETWEEN_SAVES 600 /* when options.checkpoint_every is 0 */

struct pare_train_options pare_train_options_default(void)
{
    return (struct pare_train_options){
        .epochs = 3,
        .batch = 32,
        .accumulate = 1,
        .lr = 3e-5,
        .warmup = 0.06,
        .layer_decay = 1,
        .adamw = pare_optimizer_options_default(),
        .keep = PARE_KEEP_BEST,
    };
}

double pare_trainer_now(void)
{
    return pare_clock_ms() / 1e3;
}

/* --- Reports ---------------------------------------------------------------------- */

void pare_trainer_send(const struct pare_trainer *t, struct pare_train_event event)
{
    if (!t->hooks || !t->hooks->event)
        return;
    const double seconds = pare_trainer_now();
    const double epoch_seconds = seconds - t->epoch_started;
    event.epochs = t->options->epochs;
    event.update = t->at.updates;
    event.updates = t->updates;
    event.seconds = seconds - t->started;
    if (epoch_seconds > 0)
        event.rate = (double)(t->at.seen - t->epoch_seen_before) / epoch_seconds;
    t->hooks->event(t->hooks->context, &event);
}

/* --- Set-up ----------------------------------------------------------------------- */

static enum pare_status check_options(const struct pare_trainer *t)
{
    const struct pare_train_options *o = t->options;
    if (!o->epochs || !o->batch || !o->accumulate)
        return pare_fail(t->err, PARE_ERR_USAGE,
                         "epochs, batch and accumulate must be at least 1");
    if (!(o->lr > 0) || !(o->warmup >= 0 && o->warmup <= 1))
        return pare_fail(t->err, PARE_ERR_USAGE,
                         "the learning rate must be above 0, the warm-up within 0 to 1");
    if (!(o->layer_decay > 0 && o->layer_decay <= 1))
        return pare_fail(t->err, PARE_ERR_USAGE,
                         "the layers' decay of the learning rate must be above 0 and at "
                         "most 1");
    if (!(o->average >= 0 && o->average < 1))
        return pare_fail(t->err, PARE_ERR_USAGE,
                         "the decay of the average must be at least 0 and below 1");
    if (!t->dev && (o->eval_every || o->patience))
        return pare_fail(t->err, PARE_ERR_USAGE,
                         "there are no development data to judge by: neither an "
                         "evaluation schedule nor patience makes sense");
    if (!t->params->config.labels)
        return pare_fail(t->err, PARE_ERR_INTERNAL, "the model has no classifier");
    const struct pare_config *config = &t->params->config;
    PARE_TRY(pare_examples_check(t->train, config, o->loss.run && o->loss.unlabelled,
                                 "training data", t->err));
    if (t->dev)
        PARE_TRY(pare_examples_check(t->dev, config, 0, "development data", t->err));
    return PARE_OK;
}

static enum pare_status make_optimizer(struct pare_trainer *t)
{
    const struct pare_train_options *o = t->options;
    struct pare_optimizer_options adamw = o->adamw;
    float *rates;
    PARE_TRY(pare_alloc_raw(&rates, t->params->plan.count, sizeof *rates, t->err));
    adamw.rates = rates;
    adamw.average = (float)o->average;
    enum pare_status status =
        pare_slot_rates(t->params, o->layer_decay, o->freeze, o->n_freeze, rates, t->err);
    if (status == PARE_OK) {
        t->backward.frozen = pare_rates_frozen(t->params, rates);
        status = pare_optimizer_new(t->params, &adamw, &t->optimizer, t->err);
    }
    pare_free(rates);
    return status;
}

enum pare_status pare_trainer_open(struct pare_trainer *t)
{
    PARE_TRY(check_options(t));
    const struct pare_train_options *o = t->options;
    const size_t count = t->train->count;
    struct pare_error *err = t->err;
    t->batches = count / o->batch + (count % o->batch != 0);
    t->updates =
        o->epochs * (t->batches / o->accumulate + (t->batches % o->accumulate != 0));
    t->warmup = (uint64_t)(o->warmup * (double)t->updates + 0.5);
    t->loss = o->loss.run ? o->loss : pare_loss_cross_entropy();
    t->acts.tape = 1;
    t->acts.first_only = pare_loss_needs_first_only(&t->loss, &t->params->config);
    t->score_acts.first_only = 1;
    PARE_TRY(pare_compressed_init(&t->compressed, t->params, o->compressor, err));
    if (o->compressor && o->compressor->state)
        PARE_TRY(pare_alloc_raw(&t->state_before, o->compressor->state_count,
                                sizeof(float), err));
    t->params->precision = o->precision;
    struct pare_weight_source source = pare_params_source(t->params);
    PARE_TRY(pare_model_bind(&t->params->config, &source, &t->model, err));
    source.precision = PARE_PRECISION_FP32;
    PARE_TRY(pare_model_bind(&t->params->config, &source, &t->scorer, err));
    PARE_TRY(make_optimizer(t));
    PARE_TRY(pare_batcher_init(&t->batcher, t->train, o->batch, err));
    PARE_TRY(pare_alloc_raw(&t->order, count, sizeof *t->order, err));
    PARE_TRY(pare_alloc_raw(&t->work, count, sizeof *t->work, err));
    if (t->dev && o->keep == PARE_KEEP_BEST)
        PARE_TRY(pare_alloc_raw(&t->best, t->params->total, sizeof(float), err));
    if (o->state_path)
        PARE_TRY(pare_run_identity(t->params, t->train, t->dev, o, &t->identity, err));
    return PARE_OK;
}

void pare_trainer_close(struct pare_trainer *t)
{
    pare_model_free(t->model);
    pare_model_free(t->scorer);
    pare_compressed_free(&t->compressed);
    pare_free(t->state_before);
    pare_optimizer_free(t->optimizer);
    pare_acts_free(&t->acts);
    pare_acts_free(&t->score_acts);
    pare_backward_free(&t->backward);
    pare_batcher_free(&t->batcher);
    pare_arena_free(&t->loss_arena);
    pare_free(t->order);
    pare_free(t->work);
    pare_free(t->best);
    cJSON_Delete(t->identity);
}

/* --- Resume file ------------------------------------------------------------------ */

static struct pare_run_arrays arrays_of(const struct pare_trainer *t)
{
    return (struct pare_run_arrays){
        .optimizer = t->optimizer, .compressor = t->options->compressor, .best = t->best};
}

static enum pare_status save(struct pare_trainer *t)
{
    if (!t->options->state_path)
        return PARE_OK;
    const struct pare_run_arrays arrays = arrays_of(t);
    pare_optimizer_settle(t->optimizer);
    PARE_TRY(pare_run_save(t->options->state_path, t->identity, &t->at, &arrays, t->err));
    t->saved = pare_trainer_now();
    pare_trainer_send(
        t, (struct pare_train_event){.kind = PARE_TRAIN_SAVED, .epoch = t->at.epoch + 1});
    return PARE_OK;
}

static enum pare_status resume(struct pare_trainer *t)
{
    if (!t->options->state_path || !t->options->resume)
        return PARE_OK;
    const struct pare_run_arrays arrays = arrays_of(t);
    int found, fell_back;
    PARE_TRY(pare_run_load(t->options->state_path, t->identity, &t->at, &arrays, &found,
                           &fell_back, t->err));
    if (found)
        pare_trainer_send(t, (struct pare_train_event){.kind = PARE_TRAIN_RESUMED,
                                                       .epoch = t->at.epoch + 1,
                                                       .fell_back = fell_back});
    return PARE_OK;
}

static enum pare_status save_when_due(struct pare_trainer *t)
{
    const uint64_t every = t->options->checkpoint_every;
    int due = every ? t->at.updates % every == 0
                    : pare_trainer_now() - t->saved >= SECONDS_BETWEEN_SAVES;
    return due ? save(t) : PARE_OK;
}

static enum pare_status stop(struct pare_trainer *t)
{
    PARE_TRY(save(t));
    return pare_fail(t->err, PARE_ERR_INTERRUPTED,
                     "stopped behind update %llu of %llu%s%s",
                     (unsigned long long)t->at.updates, (unsigned long long)t->updates,
                     t->options->state_path ? "; resumes from " : ", nothing was kept",
                     t->options->state_path ? t->options->state_path : "");
}

/* --- Epochs ----------------------------------------------------------------------- */

/* Whether as many evaluations as patience allows have brought nothing. */
static int out_of_patience(const struct pare_trainer *t)
{
    return t->options->patience && t->at.stale >= t->options->patience;
}

static enum pare_status end_epoch(struct pare_trainer *t)
{
    struct pare_train_event event = {
        .kind = PARE_TRAIN_EPOCH,
        .epoch = t->at.epoch + 1,
        .loss = t->at.loss_sum / (double)t->at.seen,
        .n_parts = t->loss.n_parts,
        .part_names = t->loss.part_names,
        .has_dev = t->dev && t->at.evaluated == t->at.updates,
    };
    for (int i = 0; i < event.n_parts; i++)
        event.part[i] = t->at.part_sum[i] / (double)t->at.seen;
    if (event.has_dev) {
        event.dev = t->at.last;
        event.is_best = t->at.best_update == t->at.updates;
    }
    pare_optimizer_settle(t->optimizer);
    pare_trainer_send(t, event);
    t->at.epoch++;
    t->at.batch = 0;
    t->at.seen = 0;
    t->at.loss_sum = 0;
    memset(t->at.part_sum, 0, sizeof t->at.part_sum);
    return save(t);
}

static enum pare_status run_epoch(struct pare_trainer *t)
{
    pare_trainer_shuffle(t);
    t->epoch_started = pare_trainer_now();
    t->epoch_seen_before = t->at.seen;
    PARE_TRY(pare_trainer_evaluate(t)); /* a run may have been stopped before it */
    while (t->at.batch < t->batches && !out_of_patience(t)) {
        const float lr = pare_schedule_rate(t->options->schedule, (float)t->options->lr,
                                            t->warmup, t->updates, t->at.updates + 1);
        PARE_TRY(pare_trainer_update(t, lr));
        PARE_TRY(pare_trainer_evaluate(t));
        if (t->at.batch < t->batches && !out_of_patience(t))
            PARE_TRY(save_when_due(t));
    }
    return t->at.batch < t->batches ? save(t) : end_epoch(t);
}

/* Nothing has looked at what the last update made. */
static enum pare_status check_result(const struct pare_trainer *t)
{
    enum pare_status status =
        pare_params_check_finite(t->params, t->params->value, "weight", t->err);
    return status == PARE_OK ? status
                             : pare_fail_in(t->err, status, "behind update %llu of %llu",
                                            (unsigned long long)t->at.updates,
                                            (unsigned long long)t->updates);
}

static enum pare_status run(struct pare_trainer *t, struct pare_train_result *result)
{
    PARE_TRY(pare_trainer_open(t));
    t->started = t->epoch_started = t->saved = pare_trainer_now();
    PARE_TRY(resume(t));
    while (t->at.epoch < t->options->epochs && !out_of_patience(t)) {
        enum pare_status status = run_epoch(t);
        if (status != PARE_OK)
            return status == PARE_ERR_INTERRUPTED ? stop(t) : status;
    }
    const int best = t->best && t->at.has_best;
    if (best)
        memcpy(t->params->value, t->best, t->params->total * sizeof(float));
    else
        pare_optimizer_swap_average(t->optimizer);
    PARE_TRY(check_result(t));
    *result = (struct pare_train_result){
        .updates = t->at.updates,
        .stopped_early = t->at.updates < t->updates,
        .has_dev = t->dev != NULL,
        .kept_epoch = best ? t->at.best_epoch : t->at.epoch + (t->at.batch > 0),
        .kept_update = best ? t->at.best_update : t->at.updates,
        .kept = best ? t->at.best : t->at.last,
        .last = t->at.last,
    };
    return PARE_OK;
}

enum pare_status pare_train(struct pare_params *params, const struct pare_examples *train,
                            const struct pare_examples *dev,
                            const struct pare_train_options *options,
                            const struct pare_train_hooks *hooks,
                            struct pare_train_result *result, struct pare_error *err)
{
    struct pare_trainer trainer = {
        .params = params,
        .train = train,
        .dev = dev,
        .options = options,
        .hooks = hooks,
        .err = err,
    };
    enum pare_status status = run(&trainer, result);
    pare_trainer_close(&trainer);
    return status;
}
