#include "eval/report_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"

#define MAX_COUNT 0x1p53
#define MAX_MS 1e12
#define MAX_LATENCY 1024
#define SPACE "\xC2\xA0" /* that no line is broken at */

static const struct pare_quantity_info infos[PARE_QUANTITIES] = {
    [PARE_QUANTITY_SIZE] = {"size", "size_bytes", 0, MAX_COUNT, PARE_UNIT_BYTES, 1},
    [PARE_QUANTITY_MEMORY] = {"memory", "memory_bytes", 0, MAX_COUNT, PARE_UNIT_BYTES, 1},
    [PARE_QUANTITY_DOWNLOAD] = {"download", "download_bytes", 0, MAX_COUNT,
                                PARE_UNIT_BYTES, 1},
    [PARE_QUANTITY_BITS] = {"bits", "bits_per_weight", 0, 1e6, PARE_UNIT_NONE, 1},
    [PARE_QUANTITY_BLOCK_BITS] = {"blockbits", "block_bits_per_weight", 0, 1e6,
                                  PARE_UNIT_NONE, 1},
    [PARE_QUANTITY_SPARSITY] = {"sparsity", "sparsity", 0, 1, PARE_UNIT_SHARE, 1},
    [PARE_QUANTITY_LOAD] = {"load", "load_ms", 0, MAX_MS, PARE_UNIT_MS, 1},
    [PARE_QUANTITY_RSS] = {"rss", "peak_rss_bytes", 0, MAX_COUNT, PARE_UNIT_BYTES, 1},
    [PARE_QUANTITY_ACCURACY] = {"accuracy", "accuracy", 0, 1, PARE_UNIT_SHARE, 1},
    [PARE_QUANTITY_ACCURACY_LOW] = {NULL, "accuracy_low", 0, 1, PARE_UNIT_SHARE, 1},
    [PARE_QUANTITY_ACCURACY_HIGH] = {NULL, "accuracy_high", 0, 1, PARE_UNIT_SHARE, 1},
    [PARE_QUANTITY_F1] = {"f1", "f1", 0, 1, PARE_UNIT_SHARE, 1},
    [PARE_QUANTITY_MCC] = {"mcc", "mcc", -1, 1, PARE_UNIT_NONE, 1},
    [PARE_QUANTITY_RETENTION] = {"retention", "retention", 0, 1e9, PARE_UNIT_SHARE, 0},
    [PARE_QUANTITY_AGREEMENT] = {"agreement", "agreement", 0, 1, PARE_UNIT_SHARE, 0},
    [PARE_QUANTITY_KL] = {"kl", "kl", 0, 1e9, PARE_UNIT_NONE, 0},
    [PARE_QUANTITY_MCNEMAR] = {"mcnemar", "mcnemar_p", 0, 1, PARE_UNIT_NONE, 0},
    [PARE_QUANTITY_P50] = {"latency", "p50_ms", 0, MAX_MS, PARE_UNIT_MS, 1},
    [PARE_QUANTITY_P90] = {"p90", "p90_ms", 0, MAX_MS, PARE_UNIT_MS, 1},
    [PARE_QUANTITY_P99] = {"p99", "p99_ms", 0, MAX_MS, PARE_UNIT_MS, 1},
};

const struct pare_quantity_info *pare_quantity_info(enum pare_quantity quantity)
{
    return &infos[quantity];
}

/* ---- reading ------------------------------------------------------------------- */

static const char *kind(const cJSON *value)
{
    return cJSON_IsObject(value)   ? "an object"
           : cJSON_IsArray(value)  ? "an array"
           : cJSON_IsString(value) ? "a string"
           : cJSON_IsNumber(value) ? "a number"
                                   : "true or false";
}

static enum pare_status get(const cJSON *object, const char *key, int want_array,
                            const cJSON **out, const char *what, struct pare_error *err)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    *out = NULL;
    if (!value || cJSON_IsNull(value))
        return PARE_OK;
    if (want_array ? !cJSON_IsArray(value) : !cJSON_IsObject(value))
        return pare_fail(err, PARE_ERR_INPUT, "%s: \"%s\": expected %s, found %s", what,
                         key, want_array ? "an array" : "an object", kind(value));
    *out = value;
    return PARE_OK;
}

enum pare_status pare_report_object(const cJSON *object, const char *key,
                                    const cJSON **out, const char *what,
                                    struct pare_error *err)
{
    return get(object, key, 0, out, what, err);
}

enum pare_status pare_report_array(const cJSON *object, const char *key,
                                   const cJSON **out, const char *what,
                                   struct pare_error *err)
{
    return get(object, key, 1, out, what, err);
}

static enum pare_status read_description(const cJSON *object, const char *what,
                                         struct pare_report_model *out,
                                         struct pare_error *err)
{
    const cJSON *model;
    char inner[256];
    snprintf(inner, sizeof inner, "%s: model", what);
    out->layers = out->hidden = out->parameters = NAN;
    PARE_TRY(pare_report_object(object, "model", &model, what, err));
    if (!model)
        return PARE_OK;
    PARE_TRY(pare_json_string(model, "name", &out->name, inner, err));
    PARE_TRY(pare_json_string(model, "sha256", &out->sha256, inner, err));
    PARE_TRY(pare_json_string(model, "family", &out->family, inner, err));
    PARE_TRY(pare_json_double(model, "layers", 0, MAX_COUNT, &out->layers, inner, err));
    PARE_TRY(pare_json_double(model, "hidden", 0, MAX_COUNT, &out->hidden, inner, err));
    PARE_TRY(pare_json_double(model, "parameters", 0, MAX_COUNT, &out->parameters, inner,
                              err));
    PARE_TRY(pare_json_string(model, "precision", &out->precision, inner, err));
    PARE_TRY(pare_report_object(model, "types", &out->types, inner, err));
    PARE_TRY(pare_report_array(model, "history", &out->history, inner, err));
    const cJSON *type;
    cJSON_ArrayForEach(type, out->types)
    {
        double bytes;
        PARE_TRY(
            pare_json_double(out->types, type->string, 0, MAX_COUNT, &bytes, inner, err));
    }
    return PARE_OK;
}

static enum pare_status read_setting(const cJSON *entry, const char *what,
                                     struct pare_report_latency *out,
                                     struct pare_error *err)
{
    const uint64_t most = UINT32_MAX;
    if (!cJSON_IsObject(entry))
        return pare_fail(err, PARE_ERR_INPUT, "%s: expected an object, found %s", what,
                         kind(entry));
    out->tokens_per_s = NAN;
    PARE_TRY(pare_json_u64(entry, "batch", 1, most, &out->batch, what, err));
    PARE_TRY(pare_json_u64(entry, "tokens", 1, most, &out->tokens, what, err));
    PARE_TRY(pare_json_u64(entry, "threads", 1, most, &out->threads, what, err));
    PARE_TRY(pare_json_u64(entry, "repetitions", 1, most, &out->repetitions, what, err));
    if (!out->batch || !out->tokens)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: \"%s\" is missing: the setting is not known", what,
                         out->batch ? "tokens" : "batch");
    for (int i = 0; i < 3; i++) {
        out->ms[i] = NAN;
        PARE_TRY(pare_json_double(entry, infos[PARE_QUANTITY_P50 + i].key, 0, MAX_MS,
                                  &out->ms[i], what, err));
    }
    return pare_json_double(entry, "tokens_per_s", 0, 1e15, &out->tokens_per_s, what,
                            err);
}

static enum pare_status read_latency(const cJSON *object, const char *what,
                                     struct pare_report_model *out,
                                     struct pare_error *err)
{
    const cJSON *list, *entry;
    PARE_TRY(pare_report_array(object, "latency", &list, what, err));
    size_t count = (size_t)cJSON_GetArraySize(list), i = 0;
    if (count > MAX_LATENCY)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: \"latency\": %zu settings, at most %d are shown", what,
                         count, MAX_LATENCY);
    PARE_TRY(pare_alloc(&out->latency, count, sizeof *out->latency, err));
    cJSON_ArrayForEach(entry, list)
    {
        char inner[256];
        snprintf(inner, sizeof inner, "%.200s: latency[%zu]", what, i);
        PARE_TRY(read_setting(entry, inner, &out->latency[i++], err));
    }
    out->n_latency = count;
    return PARE_OK;
}

enum pare_status pare_report_model_read(const cJSON *object, const char *what,
                                        struct pare_report_model *out,
                                        struct pare_error *err)
{
    memset(out, 0, sizeof *out);
    for (int q = 0; q < PARE_QUANTITY_FIRST_LATENCY; q++)
        out->values[q] = NAN;
    PARE_TRY(read_description(object, what, out, err));
    for (int q = 0; q < PARE_QUANTITY_FIRST_LATENCY; q++)
        PARE_TRY(pare_json_double(object, infos[q].key, infos[q].min, infos[q].max,
                                  &out->values[q], what, err));
    return read_latency(object, what, out, err);
}

void pare_report_model_free(struct pare_report_model *model)
{
    pare_free(model->latency);
    memset(model, 0, sizeof *model);
}

const struct pare_report_latency *
pare_report_latency_find(const struct pare_report_model *model, uint64_t batch,
                         uint64_t tokens, uint64_t threads)
{
    for (size_t i = 0; i < model->n_latency; i++) {
        const struct pare_report_latency *entry = &model->latency[i];
        if (!batch || (entry->batch == batch && entry->tokens == tokens &&
                       (!threads || entry->threads == threads)))
            return entry;
    }
    return NULL;
}

/* ---- showing ------------------------------------------------------------------- */

/* Three significant digits, as long as that needs no exponent. */
static void put_three_digits(double value, const char *unit, char out[PARE_VALUE_SIZE])
{
    int decimals = value < 0.095 ? 3 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(out, PARE_VALUE_SIZE, "%.*f%s", decimals, value, unit);
}

static void put_bytes(double bytes, char out[PARE_VALUE_SIZE])
{
    static const char *const units[] = {SPACE "kB", SPACE "MB", SPACE "GB", SPACE "TB"};
    if (bytes < 999.5) {
        snprintf(out, PARE_VALUE_SIZE, "%.0f" SPACE "B", bytes);
        return;
    }
    double scaled = bytes / 1000;
    size_t unit = 0;
    for (; scaled >= 999.5 && unit < 3; unit++)
        scaled /= 1000;
    put_three_digits(scaled, units[unit], out);
}

const char *pare_unit_format(enum pare_unit unit, double value, char out[PARE_VALUE_SIZE])
{
    if (isnan(value))
        snprintf(out, PARE_VALUE_SIZE, PARE_NOT_MEASURED);
    else if (unit == PARE_UNIT_BYTES)
        put_bytes(value, out);
    else if (unit == PARE_UNIT_MS)
        put_three_digits(value, SPACE "ms", out);
    else if (unit == PARE_UNIT_SHARE)
        snprintf(out, PARE_VALUE_SIZE, "%.2f" SPACE "%%", 100 * value);
    else if (value == 0 || fabs(value) >= 0.001)
        snprintf(out, PARE_VALUE_SIZE, fabs(value) < 10 ? "%.4f" : "%.1f", value);
    else
        snprintf(out, PARE_VALUE_SIZE, fabs(value) < 1e-4 ? "%.1e" : "%.5f", value);
    return out;
}

const char *pare_ratio_format(double value, double baseline, char out[PARE_VALUE_SIZE])
{
    if (isnan(value) || !(baseline > 0))
        snprintf(out, PARE_VALUE_SIZE, PARE_NOT_MEASURED);
    else
        put_three_digits(value / baseline, "×", out);
    return out;
}
