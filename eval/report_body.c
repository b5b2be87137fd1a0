/* The first half of a report: what came out. */
#include <math.h>
#include <stdio.h>

#include "eval/report_internal.h"

/* ---- opening ------------------------------------------------------------------- */

struct sameness { /* of all results */
    int data, machine, protocol;
};

static struct sameness compare_runs(const struct pare_report *report)
{
    struct sameness all = {1, 1, 1};
    for (size_t i = 1; i < report->n_results; i++) {
        const struct pare_report_run *first = &report->results[0].run;
        const struct pare_report_run *run = &report->results[i].run;
        all.data &= pare_report_same_data(first, run);
        all.machine &= pare_report_same_machine(first, run);
        all.protocol &= pare_report_same_protocol(first, run);
    }
    return all;
}

/* A steady machine stays well below both; above them a ratio of times says little. */
#define UNSTEADY_SETTING 2.0 /* p90 / p50 of one setting */
#define UNSTEADY_RUNS 1.5    /* p50 / p50 of one baseline in two runs */

/* The largest p90 / p50 of a model's settings; 0 without any. */
static double worst_setting(const struct pare_report_model *model)
{
    double worst = 0;
    for (size_t i = 0; i < model->n_latency; i++)
        worst = fmax(worst, model->latency[i].ms[1] / model->latency[i].ms[0]);
    return worst;
}

/* The largest ratio of two runs' p50 of the same settings; 0 without any in common. */
static double worst_ratio(const struct pare_report_model *one,
                          const struct pare_report_model *other)
{
    double worst = 0;
    for (size_t i = 0; i < one->n_latency; i++) {
        const struct pare_report_latency *a = &one->latency[i];
        const struct pare_report_latency *b =
            pare_report_latency_find(other, a->batch, a->tokens, a->threads);
        if (b)
            worst = fmax(worst, fmax(a->ms[0] / b->ms[0], b->ms[0] / a->ms[0]));
    }
    return worst;
}

static int is_unsteady(const struct pare_report *report)
{
    for (size_t i = 0; i < report->n_results; i++) {
        const struct pare_report_result *result = &report->results[i];
        if (worst_setting(&result->model) >= UNSTEADY_SETTING)
            return 1;
        if (!result->has_baseline)
            continue;
        if (worst_setting(&result->baseline) >= UNSTEADY_SETTING)
            return 1;
        const struct pare_report_row *shared = &report->rows[result->baseline_row];
        if (compare_runs(report).machine && compare_runs(report).protocol &&
            worst_ratio(&result->baseline, shared->model) >= UNSTEADY_RUNS)
            return 1;
    }
    return 0;
}

static void put_cautions(const struct pare_report *report, struct pare_page *page)
{
    struct sameness same = compare_runs(report);
    int unsteady = is_unsteady(report);
    if (same.data && same.machine && same.protocol && report->n_baselines < 2 &&
        !unsteady)
        return;
    pare_page_paragraph(page, PARE_TONE_CAUTION);
    pare_page_strong(page, "Compare with care.");
    if (!same.data)
        pare_page_put(page, " The results were measured on different data: accuracies do "
                            "not compare across them.");
    if (!same.machine)
        pare_page_put(page, " They were measured on different machines or CPU tiers: "
                            "times do not compare across them.");
    if (!same.protocol)
        pare_page_put(page, " They were measured with different protocols (threads, "
                            "batch, length or repetitions).");
    if (unsteady)
        pare_page_put(page, " Times were unsteady: forwards of one setting, or the "
                            "baseline in two runs, took very different times. Measure "
                            "on a quiet machine before relying on them.");
    if (report->n_baselines > 1)
        pare_page_put(page, " They have different baselines: each ratio is to the "
                            "baseline of its own result.");
    pare_page_paragraph_end(page);
}

/* Data and machine, where all results share them. */
static void put_lead(const struct pare_report *report, struct pare_page *page)
{
    const struct pare_report_run *run = &report->results[0].run;
    struct sameness same = compare_runs(report);
    size_t others = report->n_rows - report->n_baselines;
    pare_page_paragraph(page, PARE_TONE_LEAD);
    pare_page_putf(page, "%zu %s", others, others == 1 ? "model" : "models");
    if (report->n_baselines == 1) {
        pare_page_put(page, " against the baseline ");
        pare_page_put(page, report->rows[0].label);
    } else if (report->n_baselines > 1) {
        pare_page_putf(page, " against %zu baselines", report->n_baselines);
    }
    if (run->data_name && same.data) {
        pare_page_put(page, ". Data: ");
        pare_page_put(page, run->data_name);
        if (!isnan(run->data_rows))
            pare_page_putf(page, ", %.0f rows", run->data_rows);
    }
    if (run->cpu && same.machine) {
        pare_page_put(page, ". Machine: ");
        pare_page_put(page, run->cpu);
        if (!isnan(run->threads) && same.protocol)
            pare_page_putf(page, ", %.0f thread%s", run->threads,
                           run->threads == 1 ? "" : "s");
    }
    pare_page_put(page, ".");
    pare_page_paragraph_end(page);
}

static void put_tally(const struct pare_report *report, struct pare_page *page)
{
    struct pare_report_tally tally = pare_report_tally(report);
    size_t all = tally.met + tally.unmet;
    if (!all)
        return;
    pare_page_paragraph(page, tally.unmet ? PARE_TONE_BAD : PARE_TONE_GOOD);
    if (!tally.unmet) {
        pare_page_strong(page, "Requirements met.");
        pare_page_putf(page, " %zu of %zu checks passed.", all, all);
    } else {
        pare_page_strong(page, "Requirements not met.");
        pare_page_putf(page, " %zu of %zu checks failed, the first: ", tally.unmet, all);
        pare_page_put(page, tally.row->label);
        pare_page_put(page, " must have ");
        pare_page_code(page, tally.gate->gate.text);
        pare_page_putf(page, "; found: %s.", tally.verdict->found_text);
    }
    pare_page_paragraph_end(page);
}

void pare_report_put_opening(const struct pare_report *report, const char *title,
                             struct pare_page *page)
{
    pare_page_begin(page, title);
    put_lead(report, page);
    put_tally(report, page);
    put_cautions(report, page);
}

/* ---- summary ------------------------------------------------------------------- */

/* "27.0 % of the size (67 MB of 269 MB)", or that it is not known. */
static void put_ratio(struct pare_page *page, const char *what, enum pare_unit unit,
                      double value, double base)
{
    char ratio[PARE_VALUE_SIZE], a[PARE_VALUE_SIZE], b[PARE_VALUE_SIZE];
    if (isnan(value) || !(base > 0)) {
        pare_page_putf(page, "%s " PARE_NOT_MEASURED, what);
        return;
    }
    /* Small losses of accuracy matter, small gains of space or time do not. */
    snprintf(ratio, sizeof ratio,
             unit == PARE_UNIT_SHARE ? "%.2f\xC2\xA0%%" : "%.1f\xC2\xA0%%",
             100 * value / base);
    pare_page_putf(page, "%s of the %s (%s of %s)", ratio, what,
                   pare_unit_format(unit, value, a), pare_unit_format(unit, base, b));
}

static void put_sentence(const struct pare_report *report,
                         const struct pare_report_row *row, struct pare_page *page)
{
    const struct pare_report_model *base = row->baseline;
    const struct pare_report_latency *time =
        pare_report_latency_find(row->model, 0, 0, 0);
    pare_page_item(page);
    pare_page_strong(page, row->label);
    if (report->n_baselines > 1) {
        pare_page_put(page, " against ");
        pare_page_put(page, report->rows[row->result->baseline_row].label);
    }
    pare_page_put(page, ": ");
    put_ratio(page, "size", PARE_UNIT_BYTES, pare_report_value(row, PARE_QUANTITY_SIZE),
              base->values[PARE_QUANTITY_SIZE]);
    if (!isnan(pare_report_value(row, PARE_QUANTITY_DOWNLOAD))) {
        pare_page_put(page, ", ");
        put_ratio(page, "download", PARE_UNIT_BYTES,
                  pare_report_value(row, PARE_QUANTITY_DOWNLOAD),
                  base->values[PARE_QUANTITY_DOWNLOAD]);
    }
    pare_page_put(page, ", ");
    put_ratio(page, "accuracy", PARE_UNIT_SHARE,
              pare_report_value(row, PARE_QUANTITY_ACCURACY),
              base->values[PARE_QUANTITY_ACCURACY]);
    if (time) {
        struct pare_report_setting setting = {time->batch, time->tokens, time->threads};
        const struct pare_report_latency *other = pare_report_at(base, &setting);
        char what[128], name[96];
        snprintf(what, sizeof what, "median time at %s",
                 pare_report_setting_name(&setting, name));
        pare_page_put(page, ", ");
        put_ratio(page, what, PARE_UNIT_MS, time->ms[0], other ? other->ms[0] : NAN);
    }
    pare_page_put(page, ".");
    pare_page_item_end(page);
}

void pare_report_put_summary(const struct pare_report *report, struct pare_page *page)
{
    if (!report->n_baselines)
        return;
    pare_page_section(page, "summary", "Summary");
    pare_page_paragraph(page, PARE_TONE_PLAIN);
    pare_page_put(page, "Each model needs or keeps, of what the baseline ");
    if (report->n_baselines == 1) {
        pare_page_strong(page, report->rows[0].label);
        pare_page_put(page, " ");
    }
    pare_page_put(page, "has:");
    pare_page_paragraph_end(page);
    pare_page_list(page, 0);
    for (size_t i = 0; i < report->n_rows; i++)
        if (report->rows[i].baseline)
            put_sentence(report, &report->rows[i], page);
    pare_page_list_end(page);
    pare_page_section_end(page);
}

/* ---- requirements -------------------------------------------------------------- */

void pare_report_put_gates(const struct pare_report *report, struct pare_page *page)
{
    static const struct pare_page_column columns[] = {
        {"Model", 0}, {"Required", 0}, {"Found", 0}, {"Verdict", 0}};
    struct pare_page_table table = {.caption = "What was required, and what was found",
                                    .columns = columns,
                                    .n_columns = sizeof columns / sizeof *columns};
    if (!report->n_gates)
        return;
    pare_page_section(page, "requirements", "Requirements");
    for (size_t i = 0; i < report->n_results; i++) {
        for (size_t g = 0; g < report->n_gates; g++) {
            const struct pare_verdict *verdict = &report->gates[g].verdicts[i];
            pare_page_table_add(&table, PARE_CELL_PLAIN,
                                pare_report_row_of(report, i)->label, NULL);
            pare_page_table_add(&table, PARE_CELL_PLAIN, report->gates[g].gate.text,
                                NULL);
            pare_page_table_add(
                &table, isnan(verdict->found) ? PARE_CELL_MISSING : PARE_CELL_PLAIN,
                verdict->found_text, NULL);
            pare_page_table_add(&table, verdict->pass ? PARE_CELL_GOOD : PARE_CELL_BAD,
                                verdict->pass ? "✓\xC2\xA0pass"
                                              : "✗\xC2\xA0"
                                                "fail",
                                NULL);
        }
    }
    pare_page_table_put(page, &table);
    pare_page_section_end(page);
}
