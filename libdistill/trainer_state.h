/* What a run is and how far it is, to and from its resume file; private to libdistill. */
#ifndef PARE_DISTILL_TRAINER_STATE_H
#define PARE_DISTILL_TRAINER_STATE_H

#include "libdistill/trainer.h"
#include "runtime/base/json.h"

struct pare_position { /* how far a run is */
    uint64_t epoch;    /* being run, counted from 0 */
    uint64_t batch;    /* next batch of the epoch */
    uint64_t updates;  /* made */
    double loss_sum;   /* of the epoch's sequences so far */
    double part_sum[PARE_LOSS_PARTS];
    uint64_t seen;      /* sequences of the epoch so far */
    uint64_t evaluated; /* updates made at the last evaluation */
    uint64_t stale;     /* evaluations since the best one */
    int has_best;
    uint64_t best_epoch, best_update;
    struct pare_score best, last;
};

/* Everything that decides the result, as texts by name: what must be equal to resume. The
 * caller frees with cJSON_Delete. */
enum pare_status pare_run_identity(const struct pare_params *params,
                                   const struct pare_examples *train,
                                   const struct pare_examples *dev,
                                   const struct pare_train_options *options, cJSON **out,
                                   struct pare_error *err) PARE_CHECKED;

struct pare_run_arrays { /* what a resume file holds beside the position */
    struct pare_optimizer *optimizer;
    const struct pare_compressor *compressor; /* or NULL */
    float *best;                              /* the best score's parameters, or NULL */
};

/* The optimizer must be settled. */
enum pare_status pare_run_save(const char *path, const cJSON *identity,
                               const struct pare_position *position,
                               const struct pare_run_arrays *arrays,
                               struct pare_error *err) PARE_CHECKED;

/* *found = 0 and nothing changed when there is no resume file. */
enum pare_status pare_run_load(const char *path, const cJSON *identity,
                               struct pare_position *position,
                               const struct pare_run_arrays *arrays, int *found,
                               int *fell_back, struct pare_error *err) PARE_CHECKED;

#endif
