/* pare-eval: size, memory, latency and accuracy of a container, beside a baseline's. */
#include <stdio.h>
#include <string.h>

#include "datasets/text.h"
#include "eval/measure.h"
#include "eval/result.h"
#include "eval/storage.h"
#include "eval/table.h"
#include "runtime/base/file.h"
#include "runtime/base/parallel.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/model/config.h"
#include "tools/cli.h"
#include "tools/precision_option.h"

static const char default_settings[] = "1x32,1x64,1x128,8x64";

struct options {
    const char *baseline, *data, *json, *latency;
    int precision, no_latency, download, profile, batch, max_length, warmup, repeat,
        limit;
};

static enum pare_status add_data(cJSON *result, const char *path,
                                 const struct pare_dataset *data, size_t rows,
                                 struct pare_error *err)
{
    const char *slash = strrchr(path, '/');
    cJSON *object = cJSON_AddObjectToObject(result, "data");
    if (!object || !cJSON_AddStringToObject(object, "name", slash ? slash + 1 : path) ||
        !cJSON_AddStringToObject(object, "sha256", data->sha256) ||
        !cJSON_AddNumberToObject(object, "rows", (double)rows))
        return pare_fail_memory(err, 4096);
    return PARE_OK;
}

static enum pare_status add_protocol(cJSON *result, const struct options *options,
                                     struct pare_error *err)
{
    cJSON *object = cJSON_AddObjectToObject(result, "protocol");
    if (!object || !cJSON_AddNumberToObject(object, "threads", pare_threads()) ||
        !cJSON_AddNumberToObject(object, "batch", options->batch) ||
        !cJSON_AddNumberToObject(object, "max_length", options->max_length) ||
        !cJSON_AddNumberToObject(object, "warmup", options->warmup) ||
        !cJSON_AddNumberToObject(object, "repetitions", options->repeat))
        return pare_fail_memory(err, 4096);
    return PARE_OK;
}

/* What both models share, put in front of what was measured. */
static enum pare_status finish(cJSON *result, const struct options *options,
                               const struct pare_dataset *data, size_t rows,
                               struct pare_error *err)
{
    if (!cJSON_AddNumberToObject(result, "pare_result", 1) ||
        !cJSON_AddStringToObject(result, "version", PARE_VERSION))
        return pare_fail_memory(err, 4096);
    if (options->data)
        PARE_TRY(add_data(result, options->data, data, rows, err));
    PARE_TRY(pare_result_add_machine(result, err));
    return add_protocol(result, options, err);
}

/* The labels that the model knows: the data may use no others, and may use their names.
 * `names` has room for PARE_MAX_LABELS pointers into `config`. */
static enum pare_status label_options(const char *path, struct pare_config *config,
                                      const char **names, struct pare_text_options *want,
                                      struct pare_error *err)
{
    struct pare_ckpt *ckpt;
    PARE_TRY(pare_ckpt_open(path, &ckpt, err));
    enum pare_status status = pare_config_from_meta(&ckpt->meta, path, config, err);
    pare_ckpt_close(ckpt);
    PARE_TRY(status);
    for (uint32_t i = 0; i < config->labels; i++)
        names[i] = config->label[i];
    *want = (struct pare_text_options){
        .need_labels = 1, .label_count = (int)config->labels, .label_names = names};
    return PARE_OK;
}

static enum pare_status read_data(struct pare_cli *cli, const struct options *options,
                                  struct pare_dataset *data,
                                  struct pare_measure_options *measure,
                                  struct pare_error *err)
{
    if (!options->data)
        return PARE_OK;
    struct pare_config config;
    const char *names[PARE_MAX_LABELS];
    struct pare_text_options want;
    PARE_TRY(label_options(cli->operands[0], &config, names, &want, err));
    PARE_TRY(pare_dataset_load(options->data, &want, data, err));
    if (data->one_class)
        pare_cli_warn(cli, "%s: all rows have the same label", options->data);
    measure->data = options->data;
    measure->texts = data->texts;
    measure->truth = data->labels;
    measure->rows = data->count;
    if (options->limit && (size_t)options->limit < data->count) {
        measure->rows = (size_t)options->limit;
        pare_cli_info(cli, "only the first %d of %zu rows are used (--limit)",
                      options->limit, data->count);
    }
    return PARE_OK;
}

static enum pare_status measure_both(struct pare_cli *cli, const struct options *options,
                                     const struct pare_measure_options *measure,
                                     struct pare_measured *model, struct pare_error *err)
{
    struct pare_measured baseline = {0};
    struct pare_measure_options full = *measure;
    enum pare_status status;
    full.precision = PARE_PRECISION_FP32;
    if (options->baseline)
        PARE_TRY(pare_measure(options->baseline, &full, &cli->progress, &baseline, err));
    PARE_TRY_OUT(pare_measure(cli->operands[0], measure, &cli->progress, model, err));
    if (options->baseline)
        PARE_TRY_OUT(pare_measured_compare(model, &baseline, measure, err));
out:
    pare_measured_free(&baseline);
    return status;
}

/* After measure_both: the processes that measure are not to inherit threads. */
static enum pare_status measure_storage(struct pare_cli *cli,
                                        const struct options *options, cJSON *result,
                                        struct pare_error *err)
{
    cJSON *baseline = cJSON_GetObjectItemCaseSensitive(result, "baseline");
    PARE_TRY(pare_measure_storage(cli->operands[0], options->download, &cli->progress,
                                  result, err));
    return baseline ? pare_measure_storage(options->baseline, options->download,
                                           &cli->progress, baseline, err)
                    : PARE_OK;
}

/* Before the long measuring: the result can be written, and over none of the inputs. */
static enum pare_status check_output(const struct pare_cli *cli,
                                     const struct options *options,
                                     struct pare_error *err)
{
    const char *const inputs[] = {cli->operands[0], options->baseline, options->data};
    struct pare_output *out;
    if (!options->json || !strcmp(options->json, "-"))
        return PARE_OK;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (inputs[i])
            PARE_TRY(pare_refuse_same_file(inputs[i], options->json, err));
    PARE_TRY(pare_output_open(options->json, &out, err));
    pare_output_abort(out);
    return PARE_OK;
}

/* Nine of ten forwards of a steady machine take about the same time. */
static void warn_unsteady(struct pare_cli *cli, const cJSON *result)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(result, "latency"), *setting;
    cJSON_ArrayForEach(setting, list)
    {
        double p50 = cJSON_GetObjectItemCaseSensitive(setting, "p50_ms")->valuedouble;
        double p90 = cJSON_GetObjectItemCaseSensitive(setting, "p90_ms")->valuedouble;
        if (p90 < 2 * p50)
            continue;
        pare_cli_warn(cli,
                      "times are unsteady (median %.3g ms, p90 %.3g ms): measure on "
                      "a quiet machine before relying on them",
                      p50, p90);
        return;
    }
}

static size_t count_timed(const cJSON *result)
{
    return (size_t)cJSON_GetArraySize(
        cJSON_GetObjectItemCaseSensitive(result, "latency"));
}

static enum pare_status write_result(const struct options *options, const cJSON *result,
                                     struct pare_error *err)
{
    if (!options->json)
        return PARE_OK;
    if (strcmp(options->json, "-"))
        return pare_json_write_file(options->json, result, err);
    char *text = cJSON_Print(result);
    if (!text)
        return pare_fail_memory(err, 65536);
    puts(text);
    cJSON_free(text);
    return PARE_OK;
}

static enum pare_status check(struct pare_cli *cli, void *context, struct pare_error *err)
{
    const struct options *options = context;
    struct pare_latency_setting settings[PARE_MEASURE_SETTINGS];
    size_t count;
    (void)cli;
    if (options->no_latency)
        return PARE_OK;
    return pare_latency_parse(options->latency, settings, PARE_MEASURE_SETTINGS, &count,
                              err);
}

static enum pare_status run(struct pare_cli *cli, void *context, struct pare_error *err)
{
    struct options *options = context;
    struct pare_dataset data = {0};
    struct pare_measured model = {0};
    struct pare_measure_options measure = {
        .max_tokens = (uint32_t)options->max_length,
        .batch = options->batch,
        .precision = (enum pare_precision)options->precision,
        .skip_long = options->latency == default_settings,
        .latency = {.warmup = options->warmup,
                    .repetitions = options->repeat,
                    .seed = 1,
                    .profile = options->profile},
    };
    enum pare_status status = PARE_OK;
    if (!options->no_latency)
        PARE_TRY_OUT(pare_latency_parse(options->latency, measure.settings,
                                        PARE_MEASURE_SETTINGS, &measure.n_settings, err));
    PARE_TRY_OUT(check_output(cli, options, err));
    PARE_TRY_OUT(read_data(cli, options, &data, &measure, err));
    PARE_TRY_OUT(measure_both(cli, options, &measure, &model, err));
    PARE_TRY_OUT(measure_storage(cli, options, model.json, err));
    warn_unsteady(cli, model.json);
    warn_unsteady(cli, cJSON_GetObjectItemCaseSensitive(model.json, "baseline"));
    if (count_timed(model.json) < measure.n_settings)
        pare_cli_info(cli,
                      "%zu of the usual %zu latency settings are longer than the "
                      "model takes and were left out",
                      measure.n_settings - count_timed(model.json), measure.n_settings);
    PARE_TRY_OUT(finish(model.json, options, &data, measure.rows, err));
    PARE_TRY_OUT(write_result(options, model.json, err));
    if (!options->json || strcmp(options->json, "-"))
        pare_result_print_table(stdout, model.json);
out:
    pare_measured_free(&model);
    pare_dataset_free(&data);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {
        .latency = default_settings, .batch = 32, .warmup = 3, .repeat = 20};
    const struct pare_cli_option options[] = {
        PARE_CLI_STRING('b', "baseline", "MODEL", &o.baseline,
                        "compare with this container, usually the FP32 original"),
        PARE_CLI_STRING('d', "data", "FILE.tsv", &o.data,
                        "labelled text to measure accuracy on"),
        PARE_CLI_STRING(0, "json", "OUT.json", &o.json,
                        "write the result there, - for standard output"),
        PARE_CLI_STRING(0, "latency", "BxT,...", &o.latency,
                        "batch x tokens settings to time; of the default, those that the "
                        "model can take"),
        PRECISION_OPTION(&o.precision, PRECISION_HELP "; a baseline is always in fp32"),
        PARE_CLI_FLAG(0, "no-latency", &o.no_latency, "do not time anything"),
        PARE_CLI_FLAG(0, "download", &o.download,
                      "also the size inside gzip, which takes as long as gzip does"),
        PARE_CLI_FLAG(0, "profile", &o.profile,
                      "say how much of the time each operation takes"),
        PARE_CLI_INT(0, "repeat", "N", &o.repeat, 1, 100000,
                     "forwards timed in each setting"),
        PARE_CLI_INT(0, "warmup", "N", &o.warmup, 0, 1000, "forwards before those"),
        PARE_CLI_INT(0, "batch", "N", &o.batch, 1, 4096,
                     "rows a forward when classifying"),
        PARE_CLI_INT(0, "max-length", "N", &o.max_length, 0, 1 << 20,
                     "cut a text to N tokens, 0 for what the model takes"),
        PARE_CLI_INT(0, "limit", "N", &o.limit, 0, 1 << 30,
                     "use the first N rows only, 0 for all"),
        PARE_CLI_END};
    const struct pare_cli_example examples[] = {
        {"pare-eval int8.gguf --baseline fp32.gguf --data dev.tsv --json int8.json",
         "Everything about a compressed model beside its original."},
        {"pare-eval int8.gguf --threads 1 --latency 1x32,1x128 --repeat 100",
         "Latency alone, on one thread."},
        {"pare-eval int8.gguf --latency 8x64 --profile",
         "Where the time goes, operation by operation."},
        {NULL, NULL}};
    const struct pare_cli_program program = {
        .name = "pare-eval",
        .summary = "Measures size, memory, latency and accuracy of a model container.",
        .usage = "[options] MODEL [--baseline MODEL] [--data FILE.tsv]",
        .description =
            "Each model is measured in a process of its own, so that its peak memory is "
            "its own. Latency is of random token ids, on threads bound to one processor "
            "each. The accuracy's interval is Wilson's at 95 %; agreement and KL compare "
            "the predictions with the baseline's; McNemar's p tells whether the "
            "difference in accuracy could be chance.",
        .operands = "MODEL",
        .options = options,
        .examples = examples,
        .min_operands = 1,
        .max_operands = 1,
        .check = check};
    return pare_cli_main(&program, argc, argv, run, &o);
}
