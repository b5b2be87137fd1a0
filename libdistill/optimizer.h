/* AdamW (Loshchilov & Hutter 2019, algorithm 2) over pare_params, with the gradient's
 * global norm clipped (Pascanu, Mikolov, Bengio 2013) and a factor of the learning rate
 * for each slot (schedule.h). A slot whose factor is 0 is frozen: it is not moved, it
 * does not decay, and its gradient is no part of the norm.
 *
 * The update is the dense one, bit for bit, yet rows of the token embedding without a
 * gradient are not visited in each step: what the optimiser does to such a row depends on
 * the step's constants alone, so the steps it missed are caught up, in order, when the
 * row is next read (pare_optimizer_refresh before a forward, pare_optimizer_settle before
 * anything that reads all of them). A vocabulary of 30,522 is most of a small model's
 * parameters, and a batch uses a few hundred of them.
 *
 * With a decay D > 0 an exponential moving average of the parameters is kept (Polyak &
 * Juditsky 1992; Tan & Le 2019 use this form): it starts as the parameters, and behind
 * update t
 *
 *     average += (1 - min(D, (1 + t) / (10 + t))) * (value - average)
 *
 * so that a short run is not mostly its start. It costs one more copy of the parameters.
 * Late rows are averaged when they are caught up, step by step, so that it too is the
 * dense one, bit for bit.
 */
#ifndef PARE_DISTILL_OPTIMIZER_H
#define PARE_DISTILL_OPTIMIZER_H

#include "libdistill/params.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_optimizer_options {
    float beta1, beta2, eps;
    float weight_decay; /* of embeddings and matrices; norms and biases have none */
    float clip;         /* greatest global norm of the gradient, 0: not clipped */
    const float *rates; /* [plan.count] factors of the rate; NULL: 1. Not kept */
    float average;      /* D, 0: no average is kept */
};

/* 0.9, 0.999, 1e-8, 0.01, 1, NULL, 0 */
struct pare_optimizer_options pare_optimizer_options_default(void);

struct pare_optimizer_tile;

struct pare_update { /* constants of one */
    struct pare_adamw adamw;
    float share; /* of the new values in the average */
};

struct pare_optimizer {
    struct pare_params *params;
    struct pare_optimizer_options options;
    uint64_t steps;                    /* updates made */
    float *m, *v;                      /* [total] first and second moment */
    float *average;                    /* [total], NULL when none is kept */
    struct pare_optimizer_tile *tiles; /* of everything but the token embedding */
    size_t n_tiles;
    float token_rate;                /* the token embedding's factor */
    double *square;                  /* [n_tiles] or [V]: partial sums of the norm */
    double beta1_power, beta2_power; /* beta^steps, by repeated multiplication */
    uint64_t *row_steps;             /* [V] updates that a token's row has seen */
    uint8_t *row_moved;              /* [V] whether its moments were ever non-zero */
    struct pare_update *history;     /* the updates since the last settle */
    uint64_t history_start;          /* number of the first of them */
    size_t history_capacity;
    struct pare_arena arena;
};

/* Moments are zero; freed with pare_optimizer_free (NULL allowed). `params` is borrowed.
 */
enum pare_status pare_optimizer_new(struct pare_params *params,
                                    const struct pare_optimizer_options *options,
                                    struct pare_optimizer **out,
                                    struct pare_error *err) PARE_CHECKED;
void pare_optimizer_free(struct pare_optimizer *optimizer);

/* Continues behind `steps` updates whose moments were put into m and v, and whose average
 * into `average`. */
void pare_optimizer_resume(struct pare_optimizer *optimizer, uint64_t steps);

/* Brings the rows of these tokens up to date: before their forward. */
void pare_optimizer_refresh(struct pare_optimizer *optimizer, const int32_t *ids,
                            size_t n);
/* Brings all rows up to date: before evaluating, saving or exporting. */
void pare_optimizer_settle(struct pare_optimizer *optimizer);

/* Exchanges the parameters with their average, for reading the average where parameters
 * are read; nothing when there is none. The optimizer must be settled, and makes no
 * update before they were exchanged again. */
void pare_optimizer_swap_average(struct pare_optimizer *optimizer);

/* One update from params->grad. *norm is the gradient's norm before clipping. A gradient
 * that is not finite changes nothing: PARE_ERR_INPUT naming tensor and element. */
enum pare_status pare_optimizer_step(struct pare_optimizer *optimizer, float lr,
                                     double *norm, struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
