/* Learning rates: see schedule.h. */
#include "libdistill/schedule.h"

#include <fnmatch.h>

/* --- Over time -------------------------------------------------------------------- */

const char *pare_schedule_name(enum pare_schedule schedule)
{
    static const char *const names[] = {"linear", "cosine", "constant"};
    return names[schedule];
}

/* (1 + cos(pi x)) / 2 for x in [0, 1]: 1 - sin^2(pi x / 2) up to 1/2, and the mirror
 * image beyond. The sine's Taylor series is off by less than 3e-14 there, and needs no
 * function of libm, whose bits are the platform's. */
static double half_cosine(double x)
{
    if (x > 0.5)
        return 1 - half_cosine(1 - x);
    const double t = x * 1.57079632679489661923, t2 = t * t;
    double sine = 1;
    for (int k = 12; k >= 2; k -= 2)
        sine = 1 - t2 / (k * (k + 1)) * sine;
    sine *= t;
    return 1 - sine * sine;
}

float pare_schedule_rate(enum pare_schedule schedule, float peak, uint64_t warmup,
                         uint64_t steps, uint64_t update)
{
    if (warmup > steps)
        warmup = steps;
    if (update <= warmup)
        return (float)((double)peak * ((double)update / (double)warmup));
    if (schedule == PARE_SCHEDULE_CONSTANT)
        return peak;
    if (update > steps)
        return 0;
    const double left = (double)(steps + 1 - update) / (double)(steps - warmup);
    const int cosine = schedule == PARE_SCHEDULE_COSINE;
    return (float)((double)peak * (cosine ? half_cosine(1 - left) : left));
}

/* --- Over depth ------------------------------------------------------------------- */

/* 0 for what stands on the blocks, 1 for the last block .. L for the first, L + 1 for the
 * embeddings. An extra's layer is that of what it belongs to. */
static uint32_t depth_of(const struct pare_params *params, size_t slot)
{
    const uint32_t L = params->config.layers;
    const struct pare_slot *s = &params->plan.slots[slot];
    if (pare_slot_is_head(s) || (slot >= params->n_model && s->layer < 0))
        return 0;
    return s->layer < 0 ? L + 1 : L - (uint32_t)s->layer;
}

static enum pare_status freeze_glob(const struct pare_params *params, const char *glob,
                                    float *rates, struct pare_error *err)
{
    int found = 0;
    for (size_t i = 0; i < params->plan.count; i++) {
        if (fnmatch(glob, params->plan.slots[i].name, 0))
            continue;
        rates[i] = 0;
        found = 1;
    }
    if (found)
        return PARE_OK;
    return pare_fail(err, PARE_ERR_USAGE,
                     "no tensor's name matches \"%.100s\", so nothing would be frozen; "
                     "the first is %s, the last %s",
                     glob, params->plan.slots[0].name,
                     params->plan.slots[params->plan.count - 1].name);
}

enum pare_status pare_slot_rates(const struct pare_params *params, double decay,
                                 const char *const *freeze, size_t n_freeze, float *rates,
                                 struct pare_error *err)
{
    for (size_t i = 0; i < params->plan.count; i++) {
        double rate = 1;
        for (uint32_t n = depth_of(params, i); n; n--)
            rate *= decay;
        rates[i] = (float)rate;
    }
    for (size_t i = 0; i < n_freeze; i++)
        PARE_TRY(freeze_glob(params, freeze[i], rates, err));
    for (size_t i = 0; i < params->plan.count; i++)
        if (rates[i] != 0)
            return PARE_OK;
    return pare_fail(err, PARE_ERR_USAGE, "all tensors are frozen: nothing can train");
}

uint32_t pare_rates_frozen(const struct pare_params *params, const float *rates)
{
    uint32_t depth = 0; /* greatest of what trains */
    for (size_t i = 0; i < params->plan.count; i++)
        if (rates[i] != 0 && depth_of(params, i) > depth)
            depth = depth_of(params, i);
    return params->config.layers + 1 - depth;
}
