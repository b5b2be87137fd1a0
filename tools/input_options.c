#include "tools/input_options.h"

#include <stdlib.h>
#include <string.h>

const char *const input_activations[] = {"dynamic", "static", NULL};
const char *const input_observers[] = {"minmax", "percentile", "mse", "entropy", NULL};

struct input_options input_options_default(void)
{
    return (struct input_options){.observer = -1};
}

enum pare_observer input_options_observer(const struct input_options *o)
{
    return o->observer < 0 ? PARE_OBSERVER_MSE : (enum pare_observer)o->observer;
}

static const char *smooth_of(const struct input_options *o)
{
    return o->smooth ? o->smooth : o->is_static ? "auto" : "off";
}

static int smooths(const struct input_options *o)
{
    return strcmp(smooth_of(o), "off") != 0;
}

int input_options_any(const struct input_options *o)
{
    return smooths(o) || o->is_static || o->correct_bias;
}

#define STEPS 10 /* exponents in tenths */

static void add_family(enum pare_smooth_family family,
                       struct pare_smooth_choice *candidates, size_t *n)
{
    for (int i = 1; i <= STEPS; i++)
        candidates[(*n)++] =
            (struct pare_smooth_choice){.family = family, .exponent = (double)i / STEPS};
}

static enum pare_status parse_exponent(const char *text, double *exponent,
                                       struct pare_error *err)
{
    char *end;
    *exponent = strtod(text, &end);
    if (end == text || *end || !(*exponent >= 0) || *exponent > 1)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--smooth \"%.64s\": expected off, auto, smoothquant, awq or a "
                         "number from 0 to 1",
                         text);
    return PARE_OK;
}

enum pare_status
input_options_candidates(const struct input_options *o,
                         struct pare_smooth_choice candidates[INPUT_CANDIDATES],
                         size_t *n, int *fixed, struct pare_error *err)
{
    *n = 0;
    *fixed = 0;
    if (!smooths(o))
        return PARE_OK;
    const char *how = smooth_of(o);
    const int both = !strcmp(how, "auto");
    candidates[(*n)++] = (struct pare_smooth_choice){.family = PARE_SMOOTH_NONE};
    if (both || !strcmp(how, "smoothquant"))
        add_family(PARE_SMOOTH_MAXIMA, candidates, n);
    if (both || !strcmp(how, "awq"))
        add_family(PARE_SMOOTH_MEANS, candidates, n);
    if (*n > 1)
        return PARE_OK;
    struct pare_smooth_choice one = {.family = PARE_SMOOTH_MAXIMA};
    PARE_TRY(parse_exponent(how, &one.exponent, err));
    candidates[(*n)++] = one;
    *fixed = 1;
    return PARE_OK;
}

enum pare_status input_options_check(const struct input_options *o, int calibrated,
                                     struct pare_error *err)
{
    struct pare_smooth_choice candidates[INPUT_CANDIDATES];
    size_t n;
    int fixed;
    PARE_TRY(input_options_candidates(o, candidates, &n, &fixed, err));
    if (input_options_any(o) && !calibrated)
        return pare_fail(err, PARE_ERR_USAGE,
                         "--smooth, --activations static and --bias-correction need "
                         "text: --calibration FILE");
    if (o->observer >= 0 && !o->is_static)
        return pare_fail(err, PARE_ERR_USAGE, "--observer is for --activations static");
    return PARE_OK;
}

int input_options_history(const struct input_options *o, cJSON *json)
{
    return (!smooths(o) || cJSON_AddStringToObject(json, "smooth", smooth_of(o))) &&
           (!o->is_static ||
            cJSON_AddStringToObject(json, "observer",
                                    input_observers[input_options_observer(o)])) &&
           (!o->correct_bias || cJSON_AddTrueToObject(json, "bias_correction"));
}
