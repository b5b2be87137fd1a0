/* What a result file (docs/RESULT_JSON.md) says about one model, read strictly: a missing
 * key is NAN or NULL, a key of the wrong type is an error. */
#ifndef PARE_EVAL_REPORT_MODEL_H
#define PARE_EVAL_REPORT_MODEL_H

#include "runtime/base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_quantity {
    PARE_QUANTITY_SIZE,
    PARE_QUANTITY_DOWNLOAD,
    PARE_QUANTITY_MEMORY,
    PARE_QUANTITY_BITS,
    PARE_QUANTITY_BLOCK_BITS,
    PARE_QUANTITY_SPARSITY,
    PARE_QUANTITY_LOAD,
    PARE_QUANTITY_RSS,
    PARE_QUANTITY_ACCURACY,
    PARE_QUANTITY_ACCURACY_LOW,
    PARE_QUANTITY_ACCURACY_HIGH,
    PARE_QUANTITY_F1,
    PARE_QUANTITY_MCC,
    PARE_QUANTITY_RETENTION,
    PARE_QUANTITY_AGREEMENT,
    PARE_QUANTITY_KL,
    PARE_QUANTITY_MCNEMAR,
    /* These three exist once a latency setting, the others once a model. */
    PARE_QUANTITY_P50,
    PARE_QUANTITY_P90,
    PARE_QUANTITY_P99,
    PARE_QUANTITIES
};
#define PARE_QUANTITY_FIRST_LATENCY PARE_QUANTITY_P50

enum pare_unit {
    PARE_UNIT_NONE,
    PARE_UNIT_BYTES,
    PARE_UNIT_MS,
    PARE_UNIT_SHARE /* 0 to 1, shown in per cent */
};

struct pare_quantity_info {
    const char *name; /* in a requirement; NULL: none can be made */
    const char *key;  /* in the result file */
    double min, max;  /* what a result file may say */
    enum pare_unit unit;
    int has_ratio; /* a baseline has it too */
};
const struct pare_quantity_info *pare_quantity_info(enum pare_quantity quantity);

struct pare_report_latency {
    uint64_t batch, tokens;
    uint64_t threads, repetitions; /* 0: not in the file */
    double ms[3];                  /* p50, p90, p99 */
    double tokens_per_s;
};

struct pare_report_model { /* strings and trees point into the JSON it was read from */
    const char *name, *sha256, *family, *precision; /* precision: NULL for FP32 */
    double layers, hidden, parameters;
    const cJSON *types, *history; /* object of numbers, array */
    double values[PARE_QUANTITY_FIRST_LATENCY];
    struct pare_report_latency *latency;
    size_t n_latency;
};

/* Reads the keys that a result and its "baseline" share. `what` names the object in
 * messages. Free with pare_report_model_free, also after a failure. */
enum pare_status pare_report_model_read(const cJSON *object, const char *what,
                                        struct pare_report_model *out,
                                        struct pare_error *err) PARE_CHECKED;
void pare_report_model_free(struct pare_report_model *model);

/* The member, NULL when missing or null; PARE_ERR_INPUT when it is not an object (or an
 * array). */
enum pare_status pare_report_object(const cJSON *object, const char *key,
                                    const cJSON **out, const char *what,
                                    struct pare_error *err) PARE_CHECKED;
enum pare_status pare_report_array(const cJSON *object, const char *key,
                                   const cJSON **out, const char *what,
                                   struct pare_error *err) PARE_CHECKED;

/* The entry with this batch and length (and threads, unless 0), the first when batch is
 * 0; NULL when there is none. */
const struct pare_report_latency *
pare_report_latency_find(const struct pare_report_model *model, uint64_t batch,
                         uint64_t tokens, uint64_t threads);

/* "17.8 MB", "4.21 ms", "90.83 %", "0.0021" into `out`, with a no-break space; "not
 * measured" for NAN. */
#define PARE_NOT_MEASURED "not measured"
#define PARE_VALUE_SIZE 48
const char *pare_unit_format(enum pare_unit unit, double value,
                             char out[PARE_VALUE_SIZE]);
/* "0.27×", "not measured" when one of them is NAN or the baseline not positive. */
const char *pare_ratio_format(double value, double baseline, char out[PARE_VALUE_SIZE]);

#ifdef __cplusplus
}
#endif
#endif
