#include "eval/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/kernels/kernels.h"
#include "runtime/model/container.h"
#include "runtime/model/stored.h"

static enum pare_status need(const void *item, struct pare_error *err)
{
    return item ? PARE_OK : pare_fail_memory(err, 4096);
}

enum pare_status pare_result_add_number(cJSON *object, const char *key, double value,
                                        int digits, struct pare_error *err)
{
    char text[40];
    snprintf(text, sizeof text, "%.*g", digits, value);
    return need(cJSON_AddNumberToObject(object, key, strtod(text, NULL)), err);
}

static enum pare_status add_count(cJSON *object, const char *key, uint64_t value,
                                  struct pare_error *err)
{
    return need(cJSON_AddNumberToObject(object, key, (double)value), err);
}

static enum pare_status add_text(cJSON *object, const char *key, const char *text,
                                 struct pare_error *err)
{
    return need(cJSON_AddStringToObject(object, key, text), err);
}

/* --- The model ---------------------------------------------------------------------- */

/* Parameters are the elements of the plan; scales beside I8 weights are bytes, not
 * parameters. */
static enum pare_status count_weights(const struct pare_model *model, cJSON *types,
                                      uint64_t *parameters, uint64_t *bytes,
                                      struct pare_error *err)
{
    struct pare_arena arena = {0};
    struct pare_plan plan;
    enum pare_status status = pare_plan_make(&model->config, &arena, &plan, err);
    *parameters = *bytes = 0;
    for (size_t i = 0; status == PARE_OK && i < plan.count; i++)
        *parameters += pare_slot_elements(&plan.slots[i]);
    for (size_t i = 0; status == PARE_OK && i < model->ckpt->n_tensors; i++) {
        const struct pare_tensor *tensor = &model->ckpt->tensors[i];
        char form[PARE_FORM_SIZE];
        const char *type = pare_codes_slot(model->ckpt, &plan, tensor, form)
                               ? form
                               : pare_dtype_name(tensor->type);
        cJSON *sum = cJSON_GetObjectItemCaseSensitive(types, type);
        *bytes += tensor->bytes;
        if (sum)
            cJSON_SetNumberValue(sum, sum->valuedouble + (double)tensor->bytes);
        else
            status = add_count(types, type, tensor->bytes, err);
    }
    pare_arena_free(&arena);
    return status;
}

/* The steps are objects as they were written; one that does not parse is kept as text. */
static enum pare_status add_history(cJSON *object, const struct pare_meta *meta,
                                    struct pare_error *err)
{
    const struct pare_text *steps = NULL;
    size_t count = 0;
    PARE_TRY(pare_meta_get_strings(meta, "pare.history", &steps, &count, err));
    cJSON *history = cJSON_AddArrayToObject(object, "history");
    PARE_TRY(need(history, err));
    for (size_t i = 0; i < count; i++) {
        cJSON *step = NULL;
        if (pare_json_parse(steps[i].data, steps[i].length, "pare.history", &step,
                            NULL) != PARE_OK)
            step = cJSON_CreateString("unreadable step");
        if (!step || !cJSON_AddItemToArray(history, step)) {
            cJSON_Delete(step);
            return pare_fail_memory(err, steps[i].length);
        }
    }
    return PARE_OK;
}

enum pare_status pare_result_add_model(cJSON *result, const char *path,
                                       const struct pare_model *model,
                                       struct pare_error *err)
{
    const char *slash = strrchr(path, '/');
    char sha[65];
    PARE_TRY(pare_ckpt_sha256(model->ckpt, sha, err));
    cJSON *object = cJSON_AddObjectToObject(result, "model");
    PARE_TRY(need(object, err));
    PARE_TRY(add_text(object, "name", slash ? slash + 1 : path, err));
    PARE_TRY(add_text(object, "sha256", sha, err));
    PARE_TRY(add_text(object, "family", pare_family_name(model->config.family), err));
    PARE_TRY(add_count(object, "layers", model->config.layers, err));
    PARE_TRY(add_count(object, "hidden", model->config.hidden, err));
    if (model->precision == PARE_PRECISION_BF16)
        PARE_TRY(add_text(object, "precision", "bf16", err));
    cJSON *types = cJSON_CreateObject();
    PARE_TRY(need(types, err));
    uint64_t parameters, bytes;
    enum pare_status status = count_weights(model, types, &parameters, &bytes, err);
    if (status == PARE_OK)
        status = add_count(object, "parameters", parameters, err);
    if (status != PARE_OK || !cJSON_AddItemToObject(object, "types", types)) {
        cJSON_Delete(types);
        return status != PARE_OK ? status : pare_fail_memory(err, 4096);
    }
    PARE_TRY(add_history(object, &model->ckpt->meta, err));
    PARE_TRY(add_count(result, "size_bytes", model->ckpt->bytes, err));
    PARE_TRY(add_count(result, "memory_bytes", model->memory_bytes, err));
    return pare_result_add_number(result, "bits_per_weight",
                                  8.0 * (double)bytes / (double)parameters, 6, err);
}

/* --- Metrics ------------------------------------------------------------------------ */

static enum pare_status add_confusion(cJSON *result, const struct pare_metrics *metrics,
                                      struct pare_error *err)
{
    cJSON *rows = cJSON_AddArrayToObject(result, "confusion");
    PARE_TRY(need(rows, err));
    for (uint32_t i = 0; i < metrics->labels; i++) {
        cJSON *row = cJSON_CreateArray();
        if (!row || !cJSON_AddItemToArray(rows, row)) {
            cJSON_Delete(row);
            return pare_fail_memory(err, 4096);
        }
        for (uint32_t j = 0; j < metrics->labels; j++) {
            cJSON *cell =
                cJSON_CreateNumber((double)metrics->confusion[i * metrics->labels + j]);
            if (!cell || !cJSON_AddItemToArray(row, cell)) {
                cJSON_Delete(cell);
                return pare_fail_memory(err, 4096);
            }
        }
    }
    return PARE_OK;
}

enum pare_status pare_result_add_metrics(cJSON *result, const struct pare_config *config,
                                         const struct pare_metrics *metrics,
                                         struct pare_error *err)
{
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"accuracy", metrics->accuracy},
        {"accuracy_low", metrics->accuracy_interval.low},
        {"accuracy_high", metrics->accuracy_interval.high},
        {"f1", metrics->f1},
        {"mcc", metrics->mcc},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        PARE_TRY(
            pare_result_add_number(result, numbers[i].key, numbers[i].value, 9, err));
    cJSON *names = cJSON_AddArrayToObject(result, "label_names");
    PARE_TRY(need(names, err));
    for (uint32_t i = 0; i < config->labels; i++) {
        cJSON *name = cJSON_CreateString(config->label[i]);
        if (!name || !cJSON_AddItemToArray(names, name)) {
            cJSON_Delete(name);
            return pare_fail_memory(err, 4096);
        }
    }
    return add_confusion(result, metrics, err);
}

enum pare_status pare_result_add_comparison(cJSON *result,
                                            const struct pare_comparison *comparison,
                                            struct pare_error *err)
{
    if (!isnan(comparison->retention))
        PARE_TRY(
            pare_result_add_number(result, "retention", comparison->retention, 9, err));
    PARE_TRY(pare_result_add_number(result, "agreement", comparison->agreement, 9, err));
    PARE_TRY(pare_result_add_number(result, "kl", comparison->kl, 6, err));
    return pare_result_add_number(result, "mcnemar_p", comparison->mcnemar_p, 6, err);
}

/* --- Latency and machine ------------------------------------------------------------ */

static enum pare_status add_object(cJSON *list, cJSON **object, struct pare_error *err)
{
    *object = cJSON_CreateObject();
    if (*object && cJSON_AddItemToArray(list, *object))
        return PARE_OK;
    cJSON_Delete(*object);
    return pare_fail_memory(err, 4096);
}

static enum pare_status add_profile(cJSON *setting, const struct pare_latency *latency,
                                    struct pare_error *err)
{
    cJSON *list = cJSON_AddArrayToObject(setting, "profile");
    double all = 0;
    PARE_TRY(need(list, err));
    for (enum pare_op op = 0; op < PARE_OPS; op++)
        all += latency->profile.ms[op];
    for (enum pare_op op = 0; op < PARE_OPS; op++) {
        cJSON *object;
        const double ms = latency->profile.ms[op];
        PARE_TRY(add_object(list, &object, err));
        PARE_TRY(need(cJSON_AddStringToObject(object, "op", pare_op_name(op)), err));
        PARE_TRY(pare_result_add_number(object, "ms", ms, 5, err));
        PARE_TRY(pare_result_add_number(object, "share", all > 0 ? ms / all : 0, 5, err));
        PARE_TRY(
            pare_result_add_number(object, "multiply_adds", latency->macs[op], 12, err));
    }
    return PARE_OK;
}

static enum pare_status add_setting(cJSON *list, const struct pare_latency *latency,
                                    struct pare_error *err)
{
    cJSON *object;
    PARE_TRY(add_object(list, &object, err));
    PARE_TRY(add_count(object, "batch", latency->setting.batch, err));
    PARE_TRY(add_count(object, "tokens", latency->setting.tokens, err));
    PARE_TRY(add_count(object, "threads", (uint64_t)latency->threads, err));
    PARE_TRY(add_count(object, "repetitions", (uint64_t)latency->repetitions, err));
    PARE_TRY(pare_result_add_number(object, "min_ms", latency->min_ms, 5, err));
    PARE_TRY(pare_result_add_number(object, "p50_ms", latency->p50_ms, 5, err));
    PARE_TRY(pare_result_add_number(object, "p90_ms", latency->p90_ms, 5, err));
    PARE_TRY(pare_result_add_number(object, "p99_ms", latency->p99_ms, 5, err));
    PARE_TRY(
        pare_result_add_number(object, "tokens_per_s", latency->tokens_per_s, 5, err));
    return latency->profiled ? add_profile(object, latency, err) : PARE_OK;
}

enum pare_status pare_result_add_latency(cJSON *result,
                                         const struct pare_latency *latency, size_t count,
                                         struct pare_error *err)
{
    cJSON *list = cJSON_AddArrayToObject(result, "latency");
    PARE_TRY(need(list, err));
    for (size_t i = 0; i < count; i++)
        PARE_TRY(add_setting(list, &latency[i], err));
    return PARE_OK;
}

/* The processor's name as Linux tells it; "unknown" where it does not (arm64). */
static void cpu_name(char *out, size_t size)
{
    snprintf(out, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon);
        break;
    }
    fclose(file);
}

enum pare_status pare_result_add_machine(cJSON *result, struct pare_error *err)
{
    char name[256];
    cpu_name(name, sizeof name);
    cJSON *machine = cJSON_AddObjectToObject(result, "machine");
    PARE_TRY(need(machine, err));
    PARE_TRY(add_text(machine, "cpu", name, err));
    PARE_TRY(add_text(machine, "tier", pare_kernels()->tier, err));
    return add_count(machine, "processors", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN), err);
}
