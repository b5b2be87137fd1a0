/* The training loop: see trainer.h. */
#include "libdistill/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libdistill/backward.h"
#include "libdistill/trainer_state.h"
#include "runtime/base/alloc.h"
#include "runtime/base/interrupt.h"

#define SCORE_BATCH 64            /* sequences of a forward on the development set */
#define SECONDS_BETWEEN_SAVES 600 /* when options.checkpoint_every is 0 */

struct trainer {
    struct pare_params *params;
    const struct pare_examples *train, *dev;
    const struct pare_train_options *options;
    const struct pare_train_hooks *hooks;
    struct pare_error *err;

    struct pare_model *model;
    struct pare_compressed compressed;
    struct pare_optimizer *optimizer;
    struct pare_acts acts, score_acts;
    struct pare_backward backward;
    struct pare_batcher batcher;
    struct pare_loss loss;
    struct pare_arena loss_arena; /* gradients that the loss makes */
    uint32_t *order, *work;       /* [train->count] */
    float *best;                  /* [total] parameters of the best epoch, or NULL */
    cJSON *identity;              /* when there is a resume file */

    uint64_t batches, updates, warmup; /* batches an epoch; updates of the whole run */
    struct pare_position at;
    double started, epoch_started, saved; /* seconds */
    uint64_t epoch_seen_before;           /* sequences of the epoch before a resume */
    double shown_loss;                    /* moving average for the progress line */
};

struct pare_train_options pare_train_options_default(void)
{
    return (struct pare_train_options){
        .epochs = 3,
        .batch = 32,
        .accumulate = 1,
        .lr = 3e-5,
        .warmup = 0.06,
        .adamw = pare_optimizer_options_default(),
        .keep = PARE_KEEP_BEST,
    };
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* --- Reports ---------------------------------------------------------------------- */

static void send(const struct trainer *t, struct pare_train_event event)
{
    if (!t->hooks || !t->hooks->event)
        return;
    const double seconds = now();
    const double epoch_seconds = seconds - t->epoch_started;
    event.epochs = t->options->epochs;
    event.update = t->at.updates;
    event.updates = t->updates;
    event.seconds = seconds - t->started;
    if (epoch_seconds > 0)
        event.rate = (double)(t->at.seen - t->epoch_seen_before) / epoch_seconds;
    t->hooks->event(t->hooks->context, &event);
}

static void show_progress(struct trainer *t, double loss)
{
    if (!t->hooks || !t->hooks->progress)
        return;
    char phase[64], note[64];
    /* A weight of 1/50 smooths about as many updates as a reader can watch. */
    t->shown_loss =
        t->shown_loss > 0 ? t->shown_loss + (loss - t->shown_loss) / 50 : loss;
    snprintf(phase, sizeof phase, "epoch %llu of %llu",
             (unsigned long long)t->at.epoch + 1, (unsigned long long)t->options->epochs);
    snprintf(note, sizeof note, "loss %.4f", t->shown_loss);
    pare_progress_report(t->hooks->progress, phase, t->at.seen, t->train->count, note);
}

/* --- Set-up ----------------------------------------------------------------------- */

static enum pare_status check_options(const struct trainer *t)
{
    const struct pare_train_options *o = t->options;
    if (!o->epochs || !o->batch || !o->accumulate)
        return pare_fail(t->err, PARE_ERR_USAGE,
                         "epochs, batch and accumulate must be at least 1");
    if (!(o->lr > 0) || !(o->warmup >= 0 && o->warmup <= 1))
        return pare_fail(t->err, PARE_ERR_USAGE,
                         "the learning rate must be above 0, the warm-up within 0 to 1");
    if (!t->params->config.labels)
        return pare_fail(t->err, PARE_ERR_INTERNAL, "the model has no classifier");
    const struct pare_config *config = &t->params->config;
    PARE_TRY(pare_examples_check(t->train, config, o->loss.run && o->loss.unlabelled,
                                 "training data", t->err));
    if (t->dev)
        PARE_TRY(pare_examples_check(t->dev, config, 0, "development data", t->err));
    return PARE_OK;
}

static enum pare_status set_up(struct trainer *t)
{
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
    struct pare_weight_source source = pare_params_source(t->params);
    PARE_TRY(pare_model_bind(&t->params->config, &source, &t->model, err));
    PARE_TRY(pare_optimizer_new(t->params, &o->adamw, &t->optimizer, err));
    PARE_TRY(pare_batcher_init(&t->batcher, t->train, o->batch, err));
    PARE_TRY(pare_alloc_raw(&t->order, count, sizeof *t->order, err));
    PARE_TRY(pare_alloc_raw(&t->work, count, sizeof *t->work, err));
    if (t->dev && o->keep == PARE_KEEP_BEST)
        PARE_TRY(pare_alloc_raw(&t->best, t->params->total, sizeof(float), err));
    if (o->state_path)
        PARE_TRY(pare_run_identity(t->params, t->train, t->dev, o, &t->identity, err));
    return PARE_OK;
}

static void tear_down(struct trainer *t)
{
    pare_model_free(t->model);
    pare_compressed_free(&t->compressed);
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

static enum pare_status save(struct trainer *t)
{
    if (!t->options->state_path)
        return PARE_OK;
    pare_optimizer_settle(t->optimizer);
    PARE_TRY(pare_run_save(t->options->state_path, t->identity, &t->at, t->optimizer,
                           t->best, t->err));
    t->saved = now();
    send(t,
         (struct pare_train_event){.kind = PARE_TRAIN_SAVED, .epoch = t->at.epoch + 1});
    return PARE_OK;
}

static enum pare_status resume(struct trainer *t)
{
    if (!t->options->state_path || !t->options->resume)
        return PARE_OK;
    int found, fell_back;
    PARE_TRY(pare_run_load(t->options->state_path, t->identity, &t->at, t->optimizer,
                           t->best, &found, &fell_back, t->err));
    if (found)
        send(t, (struct pare_train_event){.kind = PARE_TRAIN_RESUMED,
                                          .epoch = t->at.epoch + 1,
                                          .fell_back = fell_back});
    return PARE_OK;
}

static enum pare_status save_when_due(struct trainer *t)
{
    const uint64_t every = t->options->checkpoint_every;
    int due =
        every ? t->at.updates % every == 0 : now() - t->saved >= SECONDS_BETWEEN_SAVES;
    return due ? save(t) : PARE_OK;
}

static enum pare_status stop_when_asked(struct trainer *t)
{
    if (!pare_interrupted())
        return PARE_OK;
    PARE_TRY(save(t));
    return pare_fail(t->err, PARE_ERR_INTERRUPTED,
                     "stopped behind update %llu of %llu%s%s",
                     (unsigned long long)t->at.updates, (unsigned long long)t->updates,
                     t->options->state_path ? "; resumes from " : ", nothing was kept",
                     t->options->state_path ? t->options->state_path : "");
}

/* --- One update ------------------------------------------------------------------- */

/* Says where a loss that is not finite comes from: a weight, or else the first activation
 * that is not finite. */
static enum pare_status blame_loss(const struct trainer *t,
                                   const struct pare_batch *batch)
{
    const struct pare_config *config = &t->params->config;
    PARE_TRY(pare_params_check_finite(t->params, t->params->value, "weight", t->err));
    for (uint32_t l = 0; l < config->layers; l++) {
        const int first = t->acts.first_only && l + 1 == config->layers;
        const size_t rows = first ? batch->n_seq : batch->n_tokens;
        for (size_t k = 0; k < rows * config->hidden; k++)
            if (!isfinite(t->acts.blocks[l].output[k]))
                return pare_fail(t->err, PARE_ERR_INPUT,
                                 "the output of block %u is not finite", l);
    }
    return pare_fail(t->err, PARE_ERR_INPUT, "the logits are not finite");
}

struct loss_sums { /* over the sequences of an update */
    double sum, part[PARE_LOSS_PARTS];
};

static enum pare_status run_batch(struct trainer *t, size_t first, size_t n, float scale,
                                  int accumulate, struct loss_sums *loss)
{
    const struct pare_dropout dropout = {
        .seed = t->options->seed,
        .step = t->at.epoch * t->batches + first / t->options->batch,
    };
    struct pare_batch batch = pare_batcher_fill(&t->batcher, t->order + first, 0, n);
    pare_optimizer_refresh(t->optimizer, batch.ids, batch.n_tokens);
    PARE_TRY(pare_compressed_tokens(&t->compressed, batch.ids, batch.n_tokens, t->err));
    PARE_TRY(pare_forward(t->model, &batch, &dropout, &t->acts, t->err));
    const struct pare_loss_input input = {
        .config = &t->params->config,
        .batch = &batch,
        .acts = &t->acts,
        .labels = t->batcher.labels,
        .example = t->batcher.example,
        .scale = scale,
        .accumulate = accumulate,
    };
    struct pare_loss_grads grads;
    double parts[PARE_LOSS_PARTS] = {0}, sum = 0;
    pare_arena_release(&t->loss_arena, (struct pare_arena_mark){0});
    PARE_TRY(pare_loss_grads_new(&t->loss, &t->params->config, &batch, &t->loss_arena,
                                 &grads, t->err));
    PARE_TRY(t->loss.run(t->loss.context, &input, &grads, parts, t->err));
    for (int i = 0; i < t->loss.n_parts; i++) {
        loss->part[i] += parts[i];
        sum += parts[i];
    }
    if (!isfinite(sum))
        return blame_loss(t, &batch);
    loss->sum += sum;
    return pare_backward(t->params, t->params->weights, &batch, &dropout, &t->acts,
                         &grads, accumulate, &t->backward, t->err);
}

static enum pare_status begin_compression(struct trainer *t)
{
    const struct pare_compressor *compressor = t->options->compressor;
    if (compressor && compressor->begin)
        PARE_TRY(compressor->begin(compressor->context, t->params->value,
                                   t->params->start, t->at.updates, t->updates, t->err));
    return pare_compressed_refresh(&t->compressed, t->err);
}

/* The next `accumulate` batches of the epoch, or what is left of it. */
static enum pare_status update(struct trainer *t)
{
    const struct pare_train_options *o = t->options;
    const size_t first = (size_t)t->at.batch * o->batch;
    size_t end = first + o->accumulate * o->batch;
    if (end > t->train->count || o->accumulate > t->train->count)
        end = t->train->count;
    const float scale = 1.0f / (float)(end - first);
    struct loss_sums loss = {0};
    double norm;
    PARE_TRY(begin_compression(t));
    for (size_t begin = first; begin < end; begin += o->batch) {
        size_t n = end - begin < o->batch ? end - begin : o->batch;
        PARE_TRY(run_batch(t, begin, n, scale, begin > first, &loss));
        t->at.batch++;
    }
    const float lr =
        pare_schedule_linear((float)o->lr, t->warmup, t->updates, t->at.updates + 1);
    PARE_TRY(pare_compressed_backward(&t->compressed, t->err));
    PARE_TRY(pare_optimizer_step(t->optimizer, lr, &norm, t->err));
    t->at.updates++;
    t->at.seen += end - first;
    t->at.loss_sum += loss.sum;
    struct pare_train_event event = {.kind = PARE_TRAIN_UPDATE,
                                     .epoch = t->at.epoch + 1,
                                     .loss = loss.sum / (double)(end - first),
                                     .n_parts = t->loss.n_parts,
                                     .part_names = t->loss.part_names,
                                     .lr = (double)lr,
                                     .norm = norm};
    for (int i = 0; i < t->loss.n_parts; i++)
        event.part[i] = loss.part[i] / (double)(end - first);
    send(t, event);
    show_progress(t, event.loss);
    return PARE_OK;
}

/* --- Epochs ----------------------------------------------------------------------- */

static int is_better(const struct pare_score *a, const struct pare_score *b)
{
    return a->correct != b->correct ? a->correct > b->correct : a->loss < b->loss;
}

static enum pare_status end_epoch(struct trainer *t)
{
    struct pare_train_event event = {
        .kind = PARE_TRAIN_EPOCH,
        .epoch = t->at.epoch + 1,
        .loss = t->at.loss_sum / (double)t->at.seen,
        .has_dev = t->dev != NULL,
    };
    pare_optimizer_settle(t->optimizer);
    PARE_TRY(pare_compressed_all(&t->compressed, t->err));
    if (t->dev) {
        PARE_TRY(pare_score_examples(t->model, t->dev, SCORE_BATCH, &t->score_acts,
                                     &event.dev, t->err));
        event.is_best = !t->at.has_best || is_better(&event.dev, &t->at.best);
        t->at.last = event.dev;
    }
    if (event.is_best) {
        t->at.has_best = 1;
        t->at.best = event.dev;
        t->at.best_epoch = t->at.epoch + 1;
        if (t->best)
            memcpy(t->best, t->params->value, t->params->total * sizeof(float));
    }
    send(t, event);
    t->at.epoch++;
    t->at.batch = 0;
    t->at.seen = 0;
    t->at.loss_sum = 0;
    return save(t);
}

static enum pare_status run_epoch(struct trainer *t)
{
    pare_examples_order(t->train, t->options->seed, t->at.epoch, t->options->batch,
                        t->options->bucket, t->order, t->work);
    t->epoch_started = now();
    t->epoch_seen_before = t->at.seen;
    while (t->at.batch < t->batches) {
        PARE_TRY(stop_when_asked(t));
        enum pare_status status = update(t);
        if (status != PARE_OK)
            return pare_fail_in(t->err, status, "update %llu of %llu",
                                (unsigned long long)t->at.updates + 1,
                                (unsigned long long)t->updates);
        if (t->at.batch < t->batches)
            PARE_TRY(save_when_due(t));
    }
    return end_epoch(t);
}

static enum pare_status run(struct trainer *t, struct pare_train_result *result)
{
    PARE_TRY(check_options(t));
    PARE_TRY(set_up(t));
    t->started = t->epoch_started = t->saved = now();
    PARE_TRY(resume(t));
    while (t->at.epoch < t->options->epochs)
        PARE_TRY(run_epoch(t));
    const int best = t->best && t->at.has_best;
    if (best)
        memcpy(t->params->value, t->best, t->params->total * sizeof(float));
    *result = (struct pare_train_result){
        .updates = t->at.updates,
        .has_dev = t->dev != NULL,
        .kept_epoch = best ? t->at.best_epoch : t->options->epochs,
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
    struct trainer trainer = {
        .params = params,
        .train = train,
        .dev = dev,
        .options = options,
        .hooks = hooks,
        .err = err,
    };
    enum pare_status status = run(&trainer, result);
    tear_down(&trainer);
    return status;
}
