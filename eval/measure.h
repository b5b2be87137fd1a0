/* Everything that is measured of one model, in a process of its own, so that its peak
 * memory is its own and a baseline measured before it leaves no trace. */
#ifndef PARE_EVAL_MEASURE_H
#define PARE_EVAL_MEASURE_H

#include "eval/latency.h"
#include "eval/metrics.h"
#include "runtime/base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_MEASURE_SETTINGS 32

struct pare_measure_options {
    const char *data;              /* name of the texts, for messages */
    const struct pare_text *texts; /* [rows] or NULL: no accuracy */
    const int32_t *truth;          /* [rows] */
    size_t rows;
    uint32_t max_tokens;           /* 0: what the model takes */
    int batch;                     /* rows a forward when classifying */
    enum pare_precision precision; /* as the model is opened with */
    struct pare_latency_setting settings[PARE_MEASURE_SETTINGS];
    size_t n_settings;
    int skip_long; /* leave out settings longer than the model takes, which are
                      PARE_ERR_USAGE otherwise */
    struct pare_latency_options latency;
};

/* The outcome: the model's keys of docs/RESULT_JSON.md, and its logits. */
struct pare_measured {
    cJSON *json;
    float *logits; /* [rows, labels]; NULL without texts */
    uint32_t labels;
};
void pare_measured_free(struct pare_measured *measured);

/* Opens the container, loads, classifies, times, in a child process. Must be called
 * before this process has run anything in parallel (the child inherits no threads). The
 * child ends with this process, and a request to stop is passed on to it. */
enum pare_status pare_measure(const char *path,
                              const struct pare_measure_options *options,
                              const struct pare_progress *progress,
                              struct pare_measured *out,
                              struct pare_error *err) PARE_CHECKED;

/* Adds retention, agreement, kl, mcnemar_p and the object "baseline" to model->json,
 * which takes over baseline->json. PARE_ERR_INPUT when the two have different labels. */
enum pare_status pare_measured_compare(struct pare_measured *model,
                                       struct pare_measured *baseline,
                                       const struct pare_measure_options *options,
                                       struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
