#include "eval/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"

enum pare_status pare_report_new(struct pare_report **out, struct pare_error *err)
{
    return pare_alloc(out, 1, sizeof **out, err);
}

static void free_result(struct pare_report_result *result)
{
    pare_report_model_free(&result->model);
    pare_report_model_free(&result->baseline);
    pare_free(result->source);
    cJSON_Delete(result->tree);
}

void pare_report_free(struct pare_report *report)
{
    if (!report)
        return;
    for (size_t i = 0; i < report->n_results; i++)
        free_result(&report->results[i]);
    for (size_t i = 0; i < report->n_gates; i++)
        pare_free(report->gates[i].verdicts);
    for (size_t i = 0; i < report->n_rows; i++)
        pare_free(report->rows[i].label);
    for (size_t i = 0; i < report->n_trainings; i++)
        pare_training_free(&report->trainings[i]);
    pare_free(report->results);
    pare_free(report->trainings);
    pare_free(report->gates);
    pare_free(report->rows);
    pare_free(report);
}

/* ---- reading ------------------------------------------------------------------- */

static enum pare_status read_run(const cJSON *tree, const char *what,
                                 struct pare_report_run *run, struct pare_error *err)
{
    const cJSON *data, *machine, *protocol;
    const double most = 0x1p53;
    run->data_rows = run->processors = run->threads = run->batch = run->max_length =
        run->warmup = run->repetitions = NAN;
    PARE_TRY(pare_json_string(tree, "version", &run->version, what, err));
    PARE_TRY(pare_report_object(tree, "data", &data, what, err));
    PARE_TRY(pare_report_object(tree, "machine", &machine, what, err));
    PARE_TRY(pare_report_object(tree, "protocol", &protocol, what, err));
    PARE_TRY(pare_json_string(data, "name", &run->data_name, what, err));
    PARE_TRY(pare_json_string(data, "sha256", &run->data_sha256, what, err));
    PARE_TRY(pare_json_double(data, "rows", 0, most, &run->data_rows, what, err));
    PARE_TRY(pare_json_string(machine, "cpu", &run->cpu, what, err));
    PARE_TRY(pare_json_string(machine, "tier", &run->tier, what, err));
    const struct {
        const cJSON *object;
        const char *key;
        double *out;
    } numbers[] = {
        {machine, "processors", &run->processors},
        {protocol, "threads", &run->threads},
        {protocol, "batch", &run->batch},
        {protocol, "max_length", &run->max_length},
        {protocol, "warmup", &run->warmup},
        {protocol, "repetitions", &run->repetitions},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        PARE_TRY(pare_json_double(numbers[i].object, numbers[i].key, 0, most,
                                  numbers[i].out, what, err));
    return PARE_OK;
}

static enum pare_status read_result(const char *path, struct pare_report_result *result,
                                    struct pare_error *err)
{
    uint64_t layout = 0;
    const cJSON *baseline;
    char inner[256];
    if (!cJSON_IsObject(result->tree))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: expected a JSON object, as pare-eval --json writes it",
                         path);
    PARE_TRY(
        pare_json_u64(result->tree, "pare_result", 0, UINT32_MAX, &layout, path, err));
    if (layout != 1)
        return pare_fail(err, PARE_ERR_INPUT,
                         layout ? "%s: layout %llu of a result file, this program knows "
                                  "1; use the newer pare that wrote it"
                                : "%s: no result file of pare-eval: its key "
                                  "\"pare_result\" is missing or %llu",
                         path, (unsigned long long)layout);
    PARE_TRY(pare_report_model_read(result->tree, path, &result->model, err));
    PARE_TRY(pare_report_object(result->tree, "baseline", &baseline, path, err));
    snprintf(inner, sizeof inner, "%.200s: baseline", path);
    result->has_baseline = baseline != NULL;
    if (baseline)
        PARE_TRY(pare_report_model_read(baseline, inner, &result->baseline, err));
    return read_run(result->tree, path, &result->run, err);
}

enum pare_status pare_report_add(struct pare_report *report, const char *path,
                                 struct pare_error *err)
{
    PARE_TRY(pare_grow(&report->results, &report->results_capacity, report->n_results + 1,
                       sizeof *report->results, err));
    struct pare_report_result *result = &report->results[report->n_results];
    memset(result, 0, sizeof *result);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    enum pare_status status = pare_strndup(&result->source, name, strlen(name), err);
    if (status == PARE_OK)
        status = pare_json_parse_file(path, &result->tree, err);
    if (status == PARE_OK)
        status = read_result(path, result, err);
    if (status == PARE_OK)
        report->n_results++;
    else
        free_result(result);
    return status;
}

enum pare_status pare_report_add_training(struct pare_report *report, const char *path,
                                          struct pare_error *err)
{
    PARE_TRY(pare_grow(&report->trainings, &report->trainings_capacity,
                       report->n_trainings + 1, sizeof *report->trainings, err));
    struct pare_training *training = &report->trainings[report->n_trainings];
    enum pare_status status = pare_training_read(path, training, err);
    if (status == PARE_OK)
        report->n_trainings++;
    else
        pare_training_free(training);
    return status;
}

enum pare_status pare_report_require(struct pare_report *report, const char *requirement,
                                     struct pare_error *err)
{
    PARE_TRY(pare_grow(&report->gates, &report->gates_capacity, report->n_gates + 1,
                       sizeof *report->gates, err));
    struct pare_report_gate *gate = &report->gates[report->n_gates];
    memset(gate, 0, sizeof *gate);
    PARE_TRY(pare_gate_parse(requirement, &gate->gate, err));
    report->n_gates++;
    return PARE_OK;
}

/* ---- rows ---------------------------------------------------------------------- */

static int same_text(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

/* The same model on the same data: one row is enough. */
static int is_same(const struct pare_report_row *row,
                   const struct pare_report_model *model,
                   const struct pare_report_result *result)
{
    const char *a = row->result->run.data_sha256, *b = result->run.data_sha256;
    return same_text(row->model->sha256, model->sha256) &&
           (same_text(a, b) || (!a && !b));
}

static int has_label(const struct pare_report *report, const char *label)
{
    for (size_t i = 0; i < report->n_rows; i++)
        if (same_text(report->rows[i].label, label))
            return 1;
    return 0;
}

/* The model's file name without ".gguf", else the result's; numbered when taken. */
static enum pare_status make_label(const struct pare_report *report,
                                   struct pare_report_row *row, struct pare_error *err)
{
    const char *name = row->model->name && *row->model->name ? row->model->name
                       : row->is_baseline                    ? "baseline"
                                                             : row->result->source;
    size_t length = strlen(name), room = length + 32;
    if (length > 5 && !strcmp(name + length - 5, ".gguf"))
        length -= 5;
    char *label;
    PARE_TRY(pare_alloc_raw(&label, room, 1, err));
    memcpy(label, name, length);
    label[length] = '\0';
    for (size_t turn = 2; has_label(report, label); turn++)
        snprintf(label + length, room - length, " (%zu)", turn);
    row->label = label;
    return PARE_OK;
}

static enum pare_status add_baselines(struct pare_report *report, struct pare_error *err)
{
    for (size_t i = 0; i < report->n_results; i++) {
        struct pare_report_result *result = &report->results[i];
        if (!result->has_baseline)
            continue;
        struct pare_report_row *row = report->rows, *end = row + report->n_rows;
        while (row < end && !is_same(row, &result->baseline, result))
            row++;
        result->baseline_row = (size_t)(row - report->rows);
        row->runs++;
        if (row < end)
            continue;
        row->model = &result->baseline;
        row->result = result;
        row->is_baseline = 1;
        PARE_TRY(make_label(report, row, err));
        report->n_rows++;
    }
    report->n_baselines = report->n_rows;
    return PARE_OK;
}

/* A result of its own that is a baseline of another joins that row. */
static enum pare_status add_results(struct pare_report *report, struct pare_error *err)
{
    for (size_t i = 0; i < report->n_results; i++) {
        const struct pare_report_result *result = &report->results[i];
        struct pare_report_row *row = report->rows, *end = row + report->n_baselines;
        while (row < end &&
               (result->has_baseline || !is_same(row, &result->model, result)))
            row++;
        if (row < end) {
            row->runs++;
            continue;
        }
        row = &report->rows[report->n_rows];
        row->model = &result->model;
        row->baseline = result->has_baseline ? &result->baseline : NULL;
        row->result = result;
        row->runs = 1;
        PARE_TRY(make_label(report, row, err));
        report->n_rows++;
    }
    return PARE_OK;
}

const struct pare_report_row *pare_report_row_of(const struct pare_report *report,
                                                 size_t result)
{
    const struct pare_report_result *wanted = &report->results[result];
    for (size_t i = 0; i < report->n_rows; i++)
        if (report->rows[i].model == &wanted->model)
            return &report->rows[i];
    for (size_t i = 0; i < report->n_baselines; i++)
        if (is_same(&report->rows[i], &wanted->model, wanted))
            return &report->rows[i];
    return NULL; /* not after pare_report_finish */
}

/* ---- front and verdicts -------------------------------------------------------- */

void pare_pareto_front(const double *size, const double *accuracy, size_t n,
                       int *on_front)
{
    for (size_t i = 0; i < n; i++) {
        on_front[i] = !isnan(size[i]) && !isnan(accuracy[i]);
        for (size_t j = 0; j < n && on_front[i]; j++)
            if (size[j] <= size[i] && accuracy[j] >= accuracy[i] &&
                (size[j] < size[i] || accuracy[j] > accuracy[i]))
                on_front[i] = 0;
    }
}

static enum pare_status find_front(struct pare_report *report, struct pare_error *err)
{
    double *size = NULL, *accuracy;
    int *on_front = NULL;
    size_t n = report->n_rows;
    enum pare_status status;
    PARE_TRY_OUT(pare_alloc(&size, 2 * n, sizeof *size, err));
    PARE_TRY_OUT(pare_alloc(&on_front, n, sizeof *on_front, err));
    accuracy = size + n;
    for (size_t i = 0; i < n; i++) {
        size[i] = report->rows[i].model->values[PARE_QUANTITY_SIZE];
        accuracy[i] = report->rows[i].model->values[PARE_QUANTITY_ACCURACY];
    }
    pare_pareto_front(size, accuracy, n, on_front);
    for (size_t i = 0; i < n; i++)
        report->rows[i].on_front = on_front[i];
out:
    pare_free(on_front);
    pare_free(size);
    return status;
}

static enum pare_status judge(struct pare_report *report, struct pare_error *err)
{
    for (size_t g = 0; g < report->n_gates; g++) {
        struct pare_report_gate *gate = &report->gates[g];
        PARE_TRY(
            pare_alloc(&gate->verdicts, report->n_results, sizeof *gate->verdicts, err));
        for (size_t i = 0; i < report->n_results; i++) {
            const struct pare_report_result *result = &report->results[i];
            pare_gate_check(&gate->gate, &result->model,
                            result->has_baseline ? &result->baseline : NULL,
                            &gate->verdicts[i]);
        }
    }
    return PARE_OK;
}

enum pare_status pare_report_finish(struct pare_report *report, struct pare_error *err)
{
    PARE_TRY(
        pare_alloc(&report->rows, 2 * report->n_results + 1, sizeof *report->rows, err));
    PARE_TRY(add_baselines(report, err));
    PARE_TRY(add_results(report, err));
    PARE_TRY(find_front(report, err));
    return judge(report, err);
}

struct pare_report_tally pare_report_tally(const struct pare_report *report)
{
    struct pare_report_tally tally = {0};
    for (size_t i = 0; i < report->n_results; i++) {
        for (size_t g = 0; g < report->n_gates; g++) {
            const struct pare_verdict *verdict = &report->gates[g].verdicts[i];
            tally.met += verdict->pass != 0;
            tally.unmet += verdict->pass == 0;
            if (verdict->pass || tally.verdict)
                continue;
            tally.gate = &report->gates[g];
            tally.row = pare_report_row_of(report, i);
            tally.verdict = verdict;
        }
    }
    return tally;
}
