/* One update of the training loop: see trainer.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "libdistill/trainer_internal.h"
#include "runtime/base/interrupt.h"

static int all_finite(const float *x, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (!isfinite(x[k]))
            return 0;
    return 1;
}

/* Says where a loss that is not finite comes from: a weight, or else the first activation
 * that is not finite, or else a term of the loss. */
static enum pare_status blame_loss(const struct pare_trainer *t,
                                   const struct pare_batch *batch, const double *parts)
{
    const struct pare_config *config = &t->params->config;
    PARE_TRY(pare_params_check_finite(t->params, t->params->value, "weight", t->err));
    for (uint32_t l = 0; l < config->layers; l++) {
        const int first = t->acts.first_only && l + 1 == config->layers;
        const size_t rows = first ? batch->n_seq : batch->n_tokens;
        if (!all_finite(t->acts.blocks[l].output, rows * config->hidden))
            return pare_fail(t->err, PARE_ERR_INPUT,
                             "the output of block %u is not finite", l);
    }
    if (!all_finite(t->acts.logits, batch->n_seq * config->labels))
        return pare_fail(t->err, PARE_ERR_INPUT, "the logits are not finite");
    for (int i = 0; i < t->loss.n_parts; i++)
        if (!isfinite(parts[i]))
            return pare_fail(t->err, PARE_ERR_INPUT, "the loss term %s is not finite",
                             t->loss.part_names[i]);
    return pare_fail(t->err, PARE_ERR_INPUT, "the loss is not finite");
}

struct loss_sums { /* over the sequences of an update */
    double sum, part[PARE_LOSS_PARTS];
};

static enum pare_status run_batch(struct pare_trainer *t, size_t first, size_t n,
                                  float scale, int accumulate, struct loss_sums *loss)
{
    const struct pare_dropout dropout = {
        .seed = t->options->seed,
        .step = t->at.epoch * t->batches + first / t->options->batch,
    };
    struct pare_batch batch = pare_batcher_fill(&t->batcher, t->order + first, 0, n);
    pare_optimizer_refresh(t->optimizer, batch.ids, batch.n_tokens);
    PARE_TRY(pare_compressed_tokens(&t->compressed, batch.ids, batch.n_tokens, t->err));
    PARE_TRY(pare_forward(t->model, &batch, &dropout, &t->acts, t->err));
    PARE_TRY(pare_check_interrupted(t->err));
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
        return blame_loss(t, &batch, parts);
    loss->sum += sum;
    return pare_backward(t->params, t->params->weights, &batch, &dropout, &t->acts,
                         &grads, accumulate, &t->backward, t->err);
}

static void show_progress(struct pare_trainer *t, double loss)
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

void pare_trainer_shuffle(struct pare_trainer *t)
{
    pare_examples_order(t->train, t->options->seed, t->at.epoch, t->options->batch,
                        t->options->bucket, t->order, t->work);
}

static enum pare_status begin_compression(struct pare_trainer *t)
{
    const struct pare_compressor *compressor = t->options->compressor;
    if (t->state_before)
        memcpy(t->state_before, compressor->state,
               compressor->state_count * sizeof(float));
    if (compressor && compressor->begin)
        PARE_TRY(compressor->begin(compressor->context, t->params->value,
                                   t->params->start, t->at.updates, t->updates, t->err));
    if (compressor && compressor->measures_tokens)
        pare_optimizer_settle(t->optimizer);
    return pare_compressed_refresh(&t->compressed, t->err);
}

/* An update that was cut off begins again. */
static void take_back(struct pare_trainer *t)
{
    if (t->state_before)
        memcpy(t->options->compressor->state, t->state_before,
               t->options->compressor->state_count * sizeof(float));
}

/* Batches of examples [first, end) of the order, and the optimizer's step. */
static enum pare_status step(struct pare_trainer *t, size_t first, size_t end, float lr,
                             struct loss_sums *loss, double *norm)
{
    const size_t batch = t->options->batch;
    const float scale = 1.0f / (float)(end - first);
    PARE_TRY(begin_compression(t));
    for (size_t begin = first; begin < end; begin += batch) {
        size_t n = end - begin < batch ? end - begin : batch;
        PARE_TRY(pare_check_interrupted(t->err));
        PARE_TRY(run_batch(t, begin, n, scale, begin > first, loss));
    }
    PARE_TRY(pare_compressed_backward(&t->compressed, t->err));
    return pare_optimizer_step(t->optimizer, lr, norm, t->err);
}

static void tell_update(struct pare_trainer *t, const struct loss_sums *loss, size_t n,
                        float lr, double norm)
{
    struct pare_train_event event = {.kind = PARE_TRAIN_UPDATE,
                                     .epoch = t->at.epoch + 1,
                                     .loss = loss->sum / (double)n,
                                     .n_parts = t->loss.n_parts,
                                     .part_names = t->loss.part_names,
                                     .lr = (double)lr,
                                     .norm = norm};
    for (int i = 0; i < t->loss.n_parts; i++)
        event.part[i] = loss->part[i] / (double)n;
    pare_trainer_send(t, event);
    show_progress(t, event.loss);
}

enum pare_status pare_trainer_update(struct pare_trainer *t, float lr)
{
    const struct pare_train_options *o = t->options;
    const size_t first = (size_t)t->at.batch * o->batch;
    size_t end = first + o->accumulate * o->batch;
    if (end > t->train->count || o->accumulate > t->train->count)
        end = t->train->count;
    struct loss_sums loss = {0};
    double norm;
    PARE_TRY(pare_check_interrupted(t->err));
    enum pare_status status = step(t, first, end, lr, &loss, &norm);
    if (status == PARE_ERR_INTERRUPTED) {
        take_back(t);
        return status;
    }
    if (status != PARE_OK)
        return pare_fail_in(t->err, status, "update %llu of %llu",
                            (unsigned long long)t->at.updates + 1,
                            (unsigned long long)t->updates);
    t->at.batch += (end - first + o->batch - 1) / o->batch;
    t->at.updates++;
    t->at.seen += end - first;
    t->at.loss_sum += loss.sum;
    for (int i = 0; i < t->loss.n_parts; i++)
        t->at.part_sum[i] += loss.part[i];
    tell_update(t, &loss, end - first, lr, norm);
    return PARE_OK;
}
