#include "eval/latency.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"

static int parse_count(const char **text, uint32_t *out)
{
    uint64_t value = 0;
    const char *start = *text;
    for (; **text >= '0' && **text <= '9' && value < 100000; ++*text)
        value = value * 10 + (uint64_t)(**text - '0');
    *out = (uint32_t)value;
    return *text > start && value > 0 && value < 100000;
}

enum pare_status pare_latency_parse(const char *text, struct pare_latency_setting *out,
                                    size_t capacity, size_t *count,
                                    struct pare_error *err)
{
    *count = 0;
    for (const char *at = text;; at++) {
        struct pare_latency_setting setting;
        if (*count == capacity)
            return pare_fail(err, PARE_ERR_USAGE,
                             "more than %zu latency settings in "
                             "\"%.60s\"",
                             capacity, text);
        if (!parse_count(&at, &setting.batch) || *at++ != 'x' ||
            !parse_count(&at, &setting.tokens) || (*at && *at != ','))
            return pare_fail(err, PARE_ERR_USAGE,
                             "latency settings \"%.60s\" are not of the form "
                             "BATCHxTOKENS[,BATCHxTOKENS...]",
                             text);
        out[(*count)++] = setting;
        if (!*at)
            return PARE_OK;
    }
}

double pare_percentile(const double *ascending, size_t n, double share)
{
    size_t rank = (size_t)ceil(share * (double)n);
    return ascending[rank < 1 ? 0 : rank > n ? n - 1 : rank - 1];
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void pare_sort_ascending(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
}

static enum pare_status time_forwards(const struct pare_model *model,
                                      const struct pare_batch *batch, int32_t *ids,
                                      const struct pare_latency_options *options,
                                      struct pare_acts *acts, double *ms,
                                      struct pare_profile *profile,
                                      struct pare_error *err)
{
    struct pare_rng rng = {.seed = options->seed};
    for (int r = -options->warmup; r < options->repetitions; r++) {
        for (size_t t = 0; t < batch->n_tokens; t++)
            ids[t] = (int32_t)pare_rng_below(&rng, model->config.vocab);
        PARE_TRY(pare_check_interrupted(err));
        acts->profile = options->profile && r >= 0 ? profile : NULL;
        double start = pare_clock_ms();
        PARE_TRY(pare_forward(model, batch, NULL, acts, err));
        if (r >= 0)
            ms[r] = pare_clock_ms() - start;
    }
    return PARE_OK;
}

static void add_profile(const struct pare_config *config, int first_only,
                        struct pare_latency *out)
{
    out->profiled = 1;
    for (enum pare_op op = 0; op < PARE_OPS; op++) {
        out->profile.ms[op] /= out->repetitions;
        out->macs[op] =
            pare_op_macs(config, out->setting.batch, out->setting.tokens, first_only, op);
    }
}

static void summarise(double *ms, struct pare_latency *out)
{
    const size_t n = (size_t)out->repetitions;
    pare_sort_ascending(ms, n);
    out->min_ms = ms[0];
    out->p50_ms = pare_percentile(ms, n, 0.50);
    out->p90_ms = pare_percentile(ms, n, 0.90);
    out->p99_ms = pare_percentile(ms, n, 0.99);
    out->tokens_per_s =
        (double)out->setting.batch * out->setting.tokens / (out->p50_ms / 1e3);
}

enum pare_status pare_latency_measure(const struct pare_model *model,
                                      struct pare_latency_setting setting,
                                      const struct pare_latency_options *options,
                                      struct pare_latency *out, struct pare_error *err)
{
    const size_t B = setting.batch, T = B * setting.tokens;
    struct pare_arena arena = {0};
    struct pare_acts acts = {.first_only = model->config.labels > 0};
    int32_t *ids;
    uint32_t *starts;
    double *ms;
    enum pare_status status;
    PARE_TRY_OUT(pare_arena_alloc(&arena, &ids, T, sizeof *ids, err));
    PARE_TRY_OUT(pare_arena_alloc(&arena, &starts, B + 1, sizeof *starts, err));
    PARE_TRY_OUT(
        pare_arena_alloc(&arena, &ms, (size_t)options->repetitions, sizeof *ms, err));
    for (size_t s = 0; s <= B; s++)
        starts[s] = (uint32_t)(s * setting.tokens);
    pare_pin_threads();
    const struct pare_batch batch = {
        .n_seq = B, .n_tokens = T, .ids = ids, .starts = starts};
    *out = (struct pare_latency){.setting = setting,
                                 .threads = pare_threads(),
                                 .repetitions = options->repetitions};
    PARE_TRY_OUT(
        time_forwards(model, &batch, ids, options, &acts, ms, &out->profile, err));
    summarise(ms, out);
    if (options->profile)
        add_profile(&model->config, acts.first_only, out);
out:
    pare_acts_free(&acts);
    pare_arena_free(&arena);
    return status;
}
