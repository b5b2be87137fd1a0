/* What a model's outputs on the calibration text mind when one of its matrices is
 * another: the Kullback-Leibler divergence of a classifier's, the squared change of an
 * encoder's hidden states, of their square.
 */
#ifndef PARE_TOOLS_QUANTIZE_PROBE_H
#define PARE_TOOLS_QUANTIZE_PROBE_H

#include "runtime/model/forward.h"
#include "tools/quantize.h"

struct budget_probe {
    struct quantize_work *w;
    struct pare_weight_source source, stored;
    struct pare_model *model;
    struct pare_arena *parts; /* [layers + 2]: weights of each */
    struct pare_acts acts;
    size_t n_batches;
    float *outputs; /* of the original, batch after batch */
    float *p;       /* [labels]: probabilities, or differences */
    size_t slot;    /* that is Q now; plan.count: none */
    const float *Q;
};

/* Binds the model and runs it. Free with budget_probe_close, also after a failure. */
enum pare_status budget_probe_open(struct budget_probe *p,
                                   struct quantize_work *w) PARE_CHECKED;
void budget_probe_close(struct budget_probe *p); /* safe on a zeroed one */
/* The mean cost of the outputs with slot i alone being Q. */
enum pare_status budget_probe_slot(struct budget_probe *p, size_t i, const float *Q,
                                   double *cost) PARE_CHECKED;

#endif
