/* Scoring the development set within a run: see trainer.h. */
#include <string.h>

#include "libdistill/trainer_internal.h"

#define SCORE_BATCH 64 /* sequences of a forward on the development set */

static int is_due(const struct pare_trainer *t)
{
    const uint64_t every = t->options->eval_every;
    const int epoch_ended = t->at.batch == t->batches;
    if (!t->dev || t->at.evaluated == t->at.updates)
        return 0;
    return every ? t->at.updates % every == 0 || t->at.updates == t->updates
                 : epoch_ended;
}

static int is_better(const struct pare_score *a, const struct pare_score *b)
{
    return a->correct != b->correct ? a->correct > b->correct : a->loss < b->loss;
}

/* Whether what is compressed is compressed as it will be at the end. */
static int is_settled(const struct pare_trainer *t)
{
    const struct pare_compressor *compressor = t->options->compressor;
    return !compressor ||
           t->at.updates > pare_compressor_last_change(compressor->settled, t->updates);
}

static void note_score(struct pare_trainer *t, const struct pare_score *score)
{
    struct pare_position *at = &t->at;
    at->last = *score;
    at->evaluated = at->updates;
    if (!is_settled(t))
        return;
    at->stale++;
    if (at->has_best && !is_better(score, &at->best))
        return;
    at->has_best = 1;
    at->stale = 0;
    at->best = *score;
    at->best_epoch = at->epoch + 1;
    at->best_update = at->updates;
    if (t->best)
        memcpy(t->best, t->params->value, t->params->total * sizeof(float));
}

static enum pare_status score_values(struct pare_trainer *t, struct pare_score *score)
{
    PARE_TRY(pare_compressed_all(&t->compressed, t->err));
    PARE_TRY(pare_score_examples(t->scorer, t->dev, SCORE_BATCH, &t->score_acts, score,
                                 t->err));
    note_score(t, score);
    return PARE_OK;
}

enum pare_status pare_trainer_evaluate(struct pare_trainer *t)
{
    if (!is_due(t))
        return PARE_OK;
    const double began = pare_trainer_now();
    struct pare_score score;
    pare_optimizer_settle(t->optimizer);
    pare_optimizer_swap_average(t->optimizer);
    enum pare_status status = score_values(t, &score);
    pare_optimizer_swap_average(t->optimizer);
    PARE_TRY(status);
    t->epoch_started += pare_trainer_now() - began;
    pare_trainer_send(
        t, (struct pare_train_event){.kind = PARE_TRAIN_EVAL,
                                     .epoch = t->at.epoch + 1,
                                     .has_dev = 1,
                                     .dev = score,
                                     .is_best = t->at.best_update == t->at.updates,
                                     .ends_epoch = t->at.batch == t->batches});
    return PARE_OK;
}
