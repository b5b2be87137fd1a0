/* How long a forward takes, over batch sizes and lengths. */
#ifndef PARE_EVAL_LATENCY_H
#define PARE_EVAL_LATENCY_H

#include "runtime/base/progress.h"
#include "runtime/model/forward.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_latency_setting {
    uint32_t batch, tokens; /* sequences, and tokens in each */
};

/* "1x32,8x64" (batch x tokens) into at most `capacity` settings. PARE_ERR_USAGE naming
 * the piece that does not parse, or when there are too many. */
enum pare_status pare_latency_parse(const char *text, struct pare_latency_setting *out,
                                    size_t capacity, size_t *count,
                                    struct pare_error *err) PARE_CHECKED;

struct pare_latency {
    struct pare_latency_setting setting;
    int threads, repetitions;
    double min_ms, p50_ms, p90_ms, p99_ms;
    double tokens_per_s; /* batch * tokens / p50 */
    int profiled;
    struct pare_profile profile; /* means over the repetitions */
    double macs[PARE_OPS];       /* multiply-adds of matrix products */
};

struct pare_latency_options {
    int warmup;      /* forwards not counted */
    int repetitions; /* forwards counted; > 0 */
    uint64_t seed;   /* of the random token ids, fresh ones each repetition */
    int profile;     /* also where the time goes */
};

/* Measures one setting with the threads in use (pare_set_threads), pinned to one
 * processor each. The clock is monotonic; only pare_forward is inside it. A classifier
 * computes what its logits need (pare_acts.first_only), an encoder all hidden states. */
enum pare_status pare_latency_measure(const struct pare_model *model,
                                      struct pare_latency_setting setting,
                                      const struct pare_latency_options *options,
                                      struct pare_latency *out,
                                      struct pare_error *err) PARE_CHECKED;

/* Nearest-rank percentile of ascending values: the smallest with at least `share` of them
 * at or below it. n > 0. */
double pare_percentile(const double *ascending, size_t n, double share);

void pare_sort_ascending(double *values, size_t n);

#ifdef __cplusplus
}
#endif
#endif
