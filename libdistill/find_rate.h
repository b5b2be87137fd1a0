/* A learning rate for a run, from a range test (Smith 2017, section 3.3): some updates
 * with a rate that rises exponentially from too small to too large, and a look at where
 * the loss falls. Costs those updates; decides nothing by itself.
 */
#ifndef PARE_DISTILL_FIND_RATE_H
#define PARE_DISTILL_FIND_RATE_H

#include "libdistill/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_RATE_DECADE 32 /* updates over which the rate becomes ten times as large */
#define PARE_RATE_POINTS (7 * PARE_RATE_DECADE + 1) /* from 1e-7 to 1 */

struct pare_rate_point {
    double rate, loss; /* of one update */
    double smooth;     /* exponential moving average of the losses so far, unbiased */
};

struct pare_rate_curve {
    struct pare_rate_point points[PARE_RATE_POINTS];
    size_t n; /* fewer than all when the loss ran away */
    /* Indices into points: of the least smoothed loss, and of the steepest fall on the
     * way there. */
    size_t least, steepest;
    double suggested; /* a tenth of the rate at `least`; 0: no rate made the loss fall */
};

/* Trains params as pare_train with these options would, but for the rates; params->value
 * is of no use afterwards. No dev set, no resume file, no average. hooks.event gets
 * nothing. Stops when the smoothed loss is four times the least or a number is not
 * finite. */
enum pare_status pare_find_rate(struct pare_params *params,
                                const struct pare_examples *train,
                                const struct pare_train_options *options,
                                const struct pare_progress *progress,
                                struct pare_rate_curve *curve,
                                struct pare_error *err) PARE_CHECKED;

/* Sets least, steepest and suggested from the n points. */
void pare_rate_curve_judge(struct pare_rate_curve *curve);

#ifdef __cplusplus
}
#endif
#endif
