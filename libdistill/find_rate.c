/* The range test of learning rates: see find_rate.h. */
#include "libdistill/find_rate.h"

#include "libdistill/trainer_internal.h"

#define FIRST_RATE 1e-7
#define RATIO 1.0746078283213174 /* 10^(1 / PARE_RATE_DECADE) */
#define KEPT 0.9                 /* of the moving average in an update */
#define RUNAWAY 4.0
#define SLOPE (PARE_RATE_DECADE / 8) /* points on each side of a slope */

static void note_update(void *context, const struct pare_train_event *event)
{
    if (event->kind == PARE_TRAIN_UPDATE)
        *(double *)context = event->loss;
}

/* Appends a point. `average` is the biased moving average, weight that of its start. */
static void add_point(struct pare_rate_curve *curve, double rate, double loss,
                      double *average, double *weight)
{
    *average = KEPT * *average + (1 - KEPT) * loss;
    *weight *= KEPT;
    curve->points[curve->n++] = (struct pare_rate_point){
        .rate = rate, .loss = loss, .smooth = *average / (1 - *weight)};
}

static int ran_away(const struct pare_rate_curve *curve, double *least)
{
    const double smooth = curve->points[curve->n - 1].smooth;
    if (curve->n == 1 || smooth < *least)
        *least = smooth;
    return smooth > RUNAWAY * *least;
}

static enum pare_status climb(struct pare_trainer *t, const double *loss,
                              const struct pare_progress *progress,
                              struct pare_rate_curve *curve)
{
    double rate = FIRST_RATE, average = 0, weight = 1, least = 0;
    PARE_TRY(pare_trainer_open(t));
    t->started = t->epoch_started = pare_trainer_now();
    pare_trainer_shuffle(t);
    while (curve->n < PARE_RATE_POINTS) {
        if (t->at.batch == t->batches) {
            t->at.epoch++;
            t->at.batch = t->at.seen = 0;
            pare_trainer_shuffle(t);
        }
        enum pare_status status = pare_trainer_update(t, (float)rate);
        /* Numbers that run away are what is looked for, unless they do so at once. */
        if (status == PARE_ERR_INPUT && curve->n)
            return PARE_OK;
        PARE_TRY(status);
        add_point(curve, rate, *loss, &average, &weight);
        pare_progress_report(progress, "find a rate", curve->n, PARE_RATE_POINTS, NULL);
        if (ran_away(curve, &least))
            return PARE_OK;
        rate *= RATIO;
    }
    return PARE_OK;
}

void pare_rate_curve_judge(struct pare_rate_curve *curve)
{
    const struct pare_rate_point *p = curve->points;
    double fall = 0;
    curve->least = curve->steepest = 0;
    curve->suggested = 0;
    for (size_t i = 1; i < curve->n; i++)
        if (p[i].smooth < p[curve->least].smooth)
            curve->least = i;
    for (size_t i = SLOPE; i + SLOPE <= curve->least; i++) {
        if (p[i - SLOPE].smooth - p[i + SLOPE].smooth > fall) {
            fall = p[i - SLOPE].smooth - p[i + SLOPE].smooth;
            curve->steepest = i;
        }
    }
    /* The first decade moves nothing: a least loss there is the noise of the batches. */
    if (curve->least > PARE_RATE_DECADE)
        curve->suggested = p[curve->least].rate / 10;
}

enum pare_status pare_find_rate(struct pare_params *params,
                                const struct pare_examples *train,
                                const struct pare_train_options *options,
                                const struct pare_progress *progress,
                                struct pare_rate_curve *curve, struct pare_error *err)
{
    double loss = 0;
    struct pare_train_options used = *options;
    used.eval_every = used.patience = 0;
    used.average = 0;
    used.state_path = NULL;
    const struct pare_train_hooks hooks = {.event = note_update, .context = &loss};
    struct pare_trainer trainer = {
        .params = params, .train = train, .options = &used, .hooks = &hooks, .err = err};
    *curve = (struct pare_rate_curve){0};
    enum pare_status status = climb(&trainer, &loss, progress, curve);
    pare_trainer_close(&trainer);
    pare_rate_curve_judge(curve);
    return status;
}
