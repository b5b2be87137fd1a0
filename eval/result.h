/* The pieces of the result file (docs/RESULT_JSON.md). Each function adds its keys to an
 * object; PARE_ERR_MEMORY is the only failure. */
#ifndef PARE_EVAL_RESULT_H
#define PARE_EVAL_RESULT_H

#include "eval/latency.h"
#include "eval/metrics.h"
#include "runtime/base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

/* model, size_bytes, memory_bytes, bits_per_weight */
enum pare_status pare_result_add_model(cJSON *result, const char *path,
                                       const struct pare_model *model,
                                       struct pare_error *err) PARE_CHECKED;
/* accuracy ... confusion, label_names */
enum pare_status pare_result_add_metrics(cJSON *result, const struct pare_config *config,
                                         const struct pare_metrics *metrics,
                                         struct pare_error *err) PARE_CHECKED;
/* latency, one object each */
enum pare_status pare_result_add_latency(cJSON *result,
                                         const struct pare_latency *latency, size_t count,
                                         struct pare_error *err) PARE_CHECKED;
enum pare_status pare_result_add_comparison(cJSON *result,
                                            const struct pare_comparison *comparison,
                                            struct pare_error *err) PARE_CHECKED;
/* machine: CPU model, tier, processors */
enum pare_status pare_result_add_machine(cJSON *result,
                                         struct pare_error *err) PARE_CHECKED;

/* A number rounded to `digits` significant decimal digits, so that the last bits of libm
 * do not show. */
enum pare_status pare_result_add_number(cJSON *object, const char *key, double value,
                                        int digits, struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
