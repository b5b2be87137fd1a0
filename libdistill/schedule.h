/* Learning rates: over the updates of a run, and over the depth of a model. */
#ifndef PARE_DISTILL_SCHEDULE_H
#define PARE_DISTILL_SCHEDULE_H

#include "libdistill/params.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_schedule { /* what follows the warm-up */
                     PARE_SCHEDULE_LINEAR,
                     PARE_SCHEDULE_COSINE, /* half a wave (Loshchilov & Hutter 2017,
                                              without restarts) */
                     PARE_SCHEDULE_CONSTANT,
};

const char *pare_schedule_name(enum pare_schedule schedule);

/* Rate of update 1 .. steps: rises linearly over the first `warmup` updates to the peak,
 * stays there for one more, and falls, to reach 0 one update after the last (or does not
 * fall). */
float pare_schedule_rate(enum pare_schedule schedule, float peak, uint64_t warmup,
                         uint64_t steps, uint64_t update);

/* Factor of the rate for each slot, into rates[plan.count]. With L blocks and decay D,
 * block l (counted from 0) has D^(L - l), the embeddings and their norm D^(L + 1),
 * pooler, classifier and extras 1: discriminative fine-tuning of Howard & Ruder 2018,
 * section 3.2, at every layer as in ELECTRA (Clark et al. 2020). Slots whose name matches
 * one of the globs (fnmatch) have 0: they are frozen. PARE_ERR_USAGE when a glob matches
 * no tensor or nothing is left to train. */
enum pare_status pare_slot_rates(const struct pare_params *params, double decay,
                                 const char *const *freeze, size_t n_freeze, float *rates,
                                 struct pare_error *err) PARE_CHECKED;

/* How much of the model is frozen from below, as pare_backward.frozen wants it: 0 when
 * something of the embeddings trains, 1 + n when these and n blocks do not. */
uint32_t pare_rates_frozen(const struct pare_params *params, const float *rates);

#ifdef __cplusplus
}
#endif
#endif
