/* The second half of a report: where the models and the numbers come from, and how the
 * numbers are to be read; and the order of all parts. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/report_internal.h"
#include "runtime/base/alloc.h"

/* ---- a model's origin ---------------------------------------------------------- */

/* "name: " at the head of a list item. */
static void put_key(struct pare_page *page, const char *key)
{
    pare_page_item(page);
    pare_page_put(page, key);
    pare_page_put(page, ": ");
}

static void put_code_item(struct pare_page *page, const char *key, const char *value)
{
    put_key(page, key);
    if (value)
        pare_page_code(page, value);
    else
        pare_page_put(page, PARE_NOT_MEASURED);
    pare_page_item_end(page);
}

static void put_shape(const struct pare_report_model *model, struct pare_page *page)
{
    const struct {
        double value;
        const char *words;
    } numbers[] = {{model->layers, "layers"},
                   {model->hidden, "wide"},
                   {model->parameters, "parameters"}};
    put_key(page, "Architecture");
    pare_page_put(page, model->family ? model->family : PARE_NOT_MEASURED);
    for (size_t i = 0; i < 3; i++)
        if (!isnan(numbers[i].value))
            pare_page_putf(page, ", %.0f %s", numbers[i].value, numbers[i].words);
    pare_page_item_end(page);
}

static void put_types(const struct pare_report_model *model, struct pare_page *page)
{
    const cJSON *type;
    const char *between = "";
    put_key(page, "Stored as");
    cJSON_ArrayForEach(type, model->types)
    {
        char bytes[PARE_VALUE_SIZE];
        pare_page_put(page, between);
        pare_page_put(page, type->string);
        if (cJSON_IsNumber(type))
            pare_page_putf(page, " %s",
                           pare_unit_format(PARE_UNIT_BYTES, type->valuedouble, bytes));
        between = ", ";
    }
    if (!*between)
        pare_page_put(page, PARE_NOT_MEASURED);
    pare_page_item_end(page);
    if (!model->precision)
        return;
    put_key(page, "Linear layers of floats in");
    pare_page_put(page, model->precision);
    pare_page_item_end(page);
}

/* A string as it is; a number without the digits that a float has beyond its precision
 * (the result file keeps them); anything else as JSON. */
static void put_value(const cJSON *value, struct pare_page *page)
{
    if (cJSON_IsString(value)) {
        pare_page_put(page, value->valuestring);
        return;
    }
    if (cJSON_IsNumber(value)) {
        double number = value->valuedouble;
        int is_whole = number == floor(number) && fabs(number) < 0x1p53;
        pare_page_putf(page, is_whole ? "%.0f" : "%.7g", number);
        return;
    }
    char *text = cJSON_PrintUnformatted(value);
    if (!text && page->text.status == PARE_OK)
        page->text.status = PARE_ERR_MEMORY;
    if (text)
        pare_page_put(page, text);
    cJSON_free(text);
}

/* "key value, key value" */
static void put_members(const cJSON *object, const char *before, struct pare_page *page)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, object)
    {
        pare_page_put(page, before);
        pare_page_put(page, member->string);
        pare_page_put(page, " ");
        put_value(member, page);
        before = ", ";
    }
}

static int is_known(const char *key)
{
    return !strcmp(key, "tool") || !strcmp(key, "version") || !strcmp(key, "options") ||
           !strcmp(key, "input_sha256");
}

/* A step as pare_history_add writes it: {"tool", "version", "input_sha256", "options"};
 * what else is in it follows as it is. */
static void put_step(const cJSON *step, struct pare_page *page)
{
    const char *tool =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(step, "tool"));
    const char *version =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(step, "version"));
    const char *input =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(step, "input_sha256"));
    const cJSON *member;
    pare_page_item(page);
    if (!tool) {
        put_value(step, page);
        pare_page_item_end(page);
        return;
    }
    pare_page_strong(page, tool);
    if (version) {
        pare_page_put(page, " ");
        pare_page_put(page, version);
    }
    put_members(cJSON_GetObjectItemCaseSensitive(step, "options"), ": ", page);
    cJSON_ArrayForEach(member, step)
    {
        if (is_known(member->string))
            continue;
        pare_page_put(page, "; ");
        pare_page_put(page, member->string);
        pare_page_put(page, " ");
        put_value(member, page);
    }
    if (input) {
        char start[17]; /* enough to find it; the result file has all of it */
        snprintf(start, sizeof start, "%s", input);
        pare_page_put(page, "; input ");
        pare_page_code(page, start);
    }
    pare_page_item_end(page);
}

static void put_model_origin(const struct pare_report_row *row, struct pare_page *page)
{
    const cJSON *step;
    pare_page_subsection(page, row->label);
    pare_page_list(page, 0);
    put_code_item(page, "File", row->model->name);
    put_code_item(page, "SHA-256", row->model->sha256);
    put_shape(row->model, page);
    put_types(row->model, page);
    put_key(page, "Measured in");
    pare_page_put(page, row->result->source);
    if (row->runs > 1)
        pare_page_putf(
            page,
            ", the first of %zu results that measured it; each ratio is to the "
            "measurement in its own result",
            row->runs);
    pare_page_item_end(page);
    if (!cJSON_GetArraySize(row->model->history)) {
        put_key(page, "Made by");
        pare_page_put(page, row->model->history ? "no recorded step" : PARE_NOT_MEASURED);
        pare_page_item_end(page);
    }
    pare_page_list_end(page);
    if (!cJSON_GetArraySize(row->model->history))
        return;
    pare_page_paragraph(page, PARE_TONE_PLAIN);
    pare_page_put(page, "Made by these steps:");
    pare_page_paragraph_end(page);
    pare_page_list(page, 1);
    cJSON_ArrayForEach(step, row->model->history) put_step(step, page);
    pare_page_list_end(page);
}

/* ---- the measurement ----------------------------------------------------------- */

static int same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static int same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

int pare_report_same_machine(const struct pare_report_run *a,
                             const struct pare_report_run *b)
{
    return same_text(a->cpu, b->cpu) && same_text(a->tier, b->tier) &&
           same_number(a->processors, b->processors);
}

int pare_report_same_protocol(const struct pare_report_run *a,
                              const struct pare_report_run *b)
{
    return same_number(a->threads, b->threads) && same_number(a->batch, b->batch) &&
           same_number(a->max_length, b->max_length) &&
           same_number(a->warmup, b->warmup) &&
           same_number(a->repetitions, b->repetitions);
}

int pare_report_same_data(const struct pare_report_run *a,
                          const struct pare_report_run *b)
{
    return same_text(a->data_sha256, b->data_sha256) &&
           (a->data_sha256 || same_text(a->data_name, b->data_name));
}

static int same_run(const struct pare_report_run *a, const struct pare_report_run *b)
{
    return pare_report_same_data(a, b) && pare_report_same_machine(a, b) &&
           pare_report_same_protocol(a, b) && same_text(a->version, b->version) &&
           same_text(a->data_name, b->data_name) &&
           same_number(a->data_rows, b->data_rows);
}

static void put_run_data(const struct pare_report_run *run, struct pare_page *page)
{
    put_key(page, "Data");
    pare_page_put(page, run->data_name ? run->data_name : PARE_NOT_MEASURED);
    if (!isnan(run->data_rows))
        pare_page_putf(page, ", %.0f rows", run->data_rows);
    if (run->data_sha256) {
        pare_page_put(page, ", SHA-256 ");
        pare_page_code(page, run->data_sha256);
    }
    pare_page_item_end(page);
}

/* The results that were measured like this one. */
static void put_sources(const struct pare_report *report,
                        const struct pare_report_result *result, struct pare_page *page)
{
    const char *between = "";
    for (size_t i = 0; i < report->n_results; i++) {
        if (!same_run(&report->results[i].run, &result->run))
            continue;
        pare_page_put(page, between);
        pare_page_put(page, report->results[i].source);
        between = ", ";
    }
}

static void put_run(const struct pare_report *report,
                    const struct pare_report_result *result, struct pare_page *page)
{
    const struct pare_report_run *run = &result->run;
    const struct {
        const char *words;
        double value;
    } protocol[] = {{"threads", run->threads},
                    {"batch", run->batch},
                    {"maximal length", run->max_length},
                    {"warm-up", run->warmup},
                    {"repetitions", run->repetitions}};
    const char *between = "";
    pare_page_list(page, 0);
    put_key(page, "Results");
    put_sources(report, result, page);
    pare_page_item_end(page);
    put_run_data(run, page);
    put_key(page, "Machine");
    pare_page_put(page, run->cpu ? run->cpu : PARE_NOT_MEASURED);
    if (!isnan(run->processors))
        pare_page_putf(page, ", %.0f processors", run->processors);
    if (run->tier) {
        pare_page_put(page, ", kernels: ");
        pare_page_put(page, run->tier);
    }
    pare_page_item_end(page);
    put_key(page, "Protocol");
    for (size_t i = 0; i < sizeof protocol / sizeof *protocol; i++) {
        if (isnan(protocol[i].value))
            continue;
        pare_page_putf(page, "%s%s %.0f", between, protocol[i].words, protocol[i].value);
        between = ", ";
    }
    pare_page_put(page, *between ? "" : PARE_NOT_MEASURED);
    pare_page_item_end(page);
    put_key(page, "Version of pare");
    pare_page_put(page, run->version ? run->version : PARE_NOT_MEASURED);
    pare_page_item_end(page);
    pare_page_list_end(page);
}

void pare_report_put_origin(const struct pare_report *report, struct pare_page *page)
{
    pare_page_section(page, "models-origin", "Where the models come from");
    for (size_t i = 0; i < report->n_rows; i++)
        put_model_origin(&report->rows[i], page);
    pare_page_section_end(page);
    pare_page_section(page, "measurement", "How it was measured");
    for (size_t i = 0; i < report->n_results; i++) {
        size_t first = 0;
        while (!same_run(&report->results[first].run, &report->results[i].run))
            first++;
        if (first == i)
            put_run(report, &report->results[i], page);
    }
    pare_page_section_end(page);
}

/* ---- reading aid --------------------------------------------------------------- */

void pare_report_put_notes(const struct pare_report *report, struct pare_page *page)
{
    static const struct {
        const char *term, *meaning;
    } notes[] = {
        {"Size", "bytes of the model file on disk. Download: bytes of it inside gzip. "
                 "Memory: bytes of weights held while running, packed copies included."},
        {"Bits/weight", "bits of all tensors, for each of all weights. In blocks: of the "
                        "matrices there alone, with their scales and positions. Zeros: "
                        "share of those matrices' weights that are zero."},
        {"Accuracy", "share of rows classified as labelled, with its Wilson 95 % "
                     "interval: intervals that overlap widely do not tell two models "
                     "apart."},
        {"Retention", "accuracy divided by the baseline's accuracy."},
        {"Agreement", "share of rows on which model and baseline predict the same "
                      "label."},
        {"KL", "mean divergence of the model's output distribution from the "
               "baseline's, in nats; 0 means equal."},
        {"McNemar p", "probability of a difference in accuracy at least as large if "
                      "both were equally good (exact, two-sided, over the rows where "
                      "only one is right)."},
        {"p50, p90, p99", "the time that half, 90 % and 99 % of the forward passes stay "
                          "within. A setting is batch × tokens."},
        {"×", "ratio to the baseline as measured in the same run. " PARE_NOT_MEASURED
              ": the result file does not have it."},
    };
    (void)report;
    pare_page_section(page, "terms", "Terms");
    pare_page_list(page, 0);
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        pare_page_item(page);
        pare_page_strong(page, notes[i].term);
        pare_page_put(page, ": ");
        pare_page_put(page, notes[i].meaning);
        pare_page_item_end(page);
    }
    pare_page_list_end(page);
    pare_page_section_end(page);
}

/* ---- the whole ----------------------------------------------------------------- */

static enum pare_status write_page(const struct pare_report *report, const char *title,
                                   int html, struct pare_report_text *out,
                                   struct pare_error *err)
{
    struct pare_page page = {.text = *out, .html = html};
    pare_report_put_opening(report, title, &page);
    pare_report_put_summary(report, &page);
    pare_report_put_gates(report, &page);
    pare_report_put_models(report, &page);
    pare_report_put_latency(report, &page);
    pare_report_put_training(report, &page);
    pare_report_put_origin(report, &page);
    pare_report_put_notes(report, &page);
    pare_page_end(&page, "Written by pare-report " PARE_VERSION ".");
    *out = page.text;
    return out->status == PARE_OK ? PARE_OK : pare_fail_memory(err, out->length);
}

enum pare_status pare_report_markdown(const struct pare_report *report, const char *title,
                                      struct pare_report_text *out,
                                      struct pare_error *err)
{
    return write_page(report, title, 0, out, err);
}

enum pare_status pare_report_html(const struct pare_report *report, const char *title,
                                  struct pare_report_text *out, struct pare_error *err)
{
    return write_page(report, title, 1, out, err);
}
