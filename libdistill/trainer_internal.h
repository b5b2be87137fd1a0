/* What the parts of the trainer share; private to libdistill. */
#ifndef PARE_DISTILL_TRAINER_INTERNAL_H
#define PARE_DISTILL_TRAINER_INTERNAL_H

#include "libdistill/backward.h"
#include "libdistill/trainer.h"
#include "libdistill/trainer_state.h"

struct pare_trainer {
    struct pare_params *params;
    const struct pare_examples *train, *dev;
    const struct pare_train_options *options;
    const struct pare_train_hooks *hooks;
    struct pare_error *err;

    struct pare_model *model, *scorer; /* the same weights, in two precisions */
    struct pare_compressed compressed;
    float *state_before; /* the compressor's before the update being made, or NULL */
    struct pare_optimizer *optimizer;
    struct pare_acts acts, score_acts;
    struct pare_backward backward;
    struct pare_batcher batcher;
    struct pare_loss loss;
    struct pare_arena loss_arena; /* gradients that the loss makes */
    uint32_t *order, *work;       /* [train->count] */
    float *best;                  /* [total] parameters of the best score, or NULL */
    cJSON *identity;              /* when there is a resume file */

    uint64_t batches, updates, warmup; /* batches an epoch; updates of the whole run */
    struct pare_position at;
    double started, epoch_started, saved; /* seconds */
    uint64_t epoch_seen_before;           /* sequences of the epoch before a resume */
    double shown_loss;                    /* moving average for the progress line */
};

/* The borrowed fields are set. Checks the options, makes all the rest. */
enum pare_status pare_trainer_open(struct pare_trainer *t) PARE_CHECKED;
void pare_trainer_close(struct pare_trainer *t);

/* Draws the order of the epoch that t->at names. */
void pare_trainer_shuffle(struct pare_trainer *t);

/* The next update of the epoch at rate lr, of `accumulate` batches or what is left of it.
 * PARE_ERR_INTERRUPTED when asked to stop: then nothing has changed. Other errors name
 * the update. */
enum pare_status pare_trainer_update(struct pare_trainer *t, float lr) PARE_CHECKED;

/* Scores dev when it is due behind this update, and keeps what is best; the optimizer is
 * settled then. Interrupted, it is still due. */
enum pare_status pare_trainer_evaluate(struct pare_trainer *t) PARE_CHECKED;

/* Fills in how far the run is, and passes the event on. */
void pare_trainer_send(const struct pare_trainer *t, struct pare_train_event event);

double pare_trainer_now(void); /* seconds */

#endif
