/* The tables of a report: what the models take, how good they are, how long they run. */
#include <math.h>
#include <stdio.h>

#include "eval/report_internal.h"
#include "runtime/base/alloc.h"

/* ---- models -------------------------------------------------------------------- */

static void add_value(struct pare_page_table *table, enum pare_unit unit, double value,
                      const char *below)
{
    char text[PARE_VALUE_SIZE];
    pare_page_table_add(table, isnan(value) ? PARE_CELL_MISSING : PARE_CELL_PLAIN,
                        pare_unit_format(unit, value, text), below);
}

/* The value, and below it the ratio to the baseline. */
static void add_with_ratio(struct pare_page_table *table,
                           const struct pare_report_row *row, enum pare_quantity quantity)
{
    char ratio[PARE_VALUE_SIZE];
    double value = pare_report_value(row, quantity);
    double base = row->baseline ? row->baseline->values[quantity] : NAN;
    int has_ratio = !isnan(value) && base > 0;
    add_value(table, pare_quantity_info(quantity)->unit, value,
              has_ratio ? pare_ratio_format(value, base, ratio) : NULL);
}

static void add_probability(struct pare_page_table *table, double p)
{
    char text[PARE_VALUE_SIZE];
    snprintf(text, sizeof text, "%.3f", p);
    pare_page_table_add(table, PARE_CELL_PLAIN, p < 0.001 ? "< 0.001" : text, NULL);
}

/* What only a comparison gives: a baseline has none of it. */
static void add_comparison(struct pare_page_table *table,
                           const struct pare_report_row *row, enum pare_quantity quantity)
{
    double value = pare_report_value(row, quantity);
    if (row->is_baseline && isnan(value))
        pare_page_table_add(table, PARE_CELL_MISSING, "–", NULL);
    else if (quantity == PARE_QUANTITY_MCNEMAR && !isnan(value))
        add_probability(table, value);
    else
        add_value(table, pare_quantity_info(quantity)->unit, value, NULL);
}

static void add_accuracy(struct pare_page_table *table, const struct pare_report_row *row)
{
    double low = pare_report_value(row, PARE_QUANTITY_ACCURACY_LOW);
    double high = pare_report_value(row, PARE_QUANTITY_ACCURACY_HIGH);
    char interval[PARE_VALUE_SIZE];
    snprintf(interval, sizeof interval, "%.1f–%.1f\xC2\xA0%%", 100 * low, 100 * high);
    add_value(table, PARE_UNIT_SHARE, pare_report_value(row, PARE_QUANTITY_ACCURACY),
              isnan(low) || isnan(high) ? NULL : interval);
}

/* The value, and below it the same inside the blocks. */
static void add_bits(struct pare_page_table *table, const struct pare_report_row *row)
{
    const double bits = pare_report_value(row, PARE_QUANTITY_BITS);
    const double blocks = pare_report_value(row, PARE_QUANTITY_BLOCK_BITS);
    char text[PARE_VALUE_SIZE], below[PARE_VALUE_SIZE];
    snprintf(text, sizeof text, "%.2f", bits);
    snprintf(below, sizeof below,
             "%.2f\xC2\xA0in\xC2\xA0"
             "blocks",
             blocks);
    pare_page_table_add(table, isnan(bits) ? PARE_CELL_MISSING : PARE_CELL_PLAIN,
                        isnan(bits) ? PARE_NOT_MEASURED : text,
                        isnan(blocks) ? NULL : below);
}

/* Whether some model has more than `least` of it. */
static int any_above(const struct pare_report *report, enum pare_quantity quantity,
                     double least)
{
    for (size_t i = 0; i < report->n_rows; i++)
        if (pare_report_value(&report->rows[i], quantity) > least)
            return 1;
    return 0;
}

/* Columns that only some reports have. */
struct optional {
    int download, zeros;
};

static void add_main_row(struct pare_page_table *table, const struct pare_report_row *row,
                         struct optional with)
{
    pare_page_table_add(table, PARE_CELL_PLAIN, row->label,
                        row->is_baseline ? "baseline" : NULL);
    add_with_ratio(table, row, PARE_QUANTITY_SIZE);
    if (with.download)
        add_with_ratio(table, row, PARE_QUANTITY_DOWNLOAD);
    add_with_ratio(table, row, PARE_QUANTITY_MEMORY);
    add_bits(table, row);
    if (with.zeros)
        add_value(table, PARE_UNIT_SHARE, pare_report_value(row, PARE_QUANTITY_SPARSITY),
                  NULL);
    add_accuracy(table, row);
    add_comparison(table, row, PARE_QUANTITY_RETENTION);
    add_comparison(table, row, PARE_QUANTITY_AGREEMENT);
    add_comparison(table, row, PARE_QUANTITY_KL);
    add_comparison(table, row, PARE_QUANTITY_MCNEMAR);
}

static void put_main_table(const struct pare_report *report, struct pare_page *page)
{
    const struct optional with = {.download =
                                      any_above(report, PARE_QUANTITY_DOWNLOAD, -1),
                                  .zeros = any_above(report, PARE_QUANTITY_SPARSITY, 0)};
    const struct {
        struct pare_page_column column;
        int shown;
    } all[] = {
        {{"Model", 0}, 1},    {{"Size", 1}, 1},        {{"Download", 1}, with.download},
        {{"Memory", 1}, 1},   {{"Bits/weight", 1}, 1}, {{"Zeros", 1}, with.zeros},
        {{"Accuracy", 1}, 1}, {{"Retention", 1}, 1},   {{"Agreement", 1}, 1},
        {{"KL", 1}, 1},       {{"McNemar p", 1}, 1}};
    struct pare_page_column columns[sizeof all / sizeof *all];
    struct pare_page_table table = {
        .caption = "Size and quality; below a size its ratio to the baseline, below an "
                   "accuracy its 95 % interval",
        .columns = columns};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].shown)
            columns[table.n_columns++] = all[i].column;
    for (size_t i = 0; i < report->n_rows; i++)
        add_main_row(&table, &report->rows[i], with);
    pare_page_table_put(page, &table);
}

static void put_second_table(const struct pare_report *report, struct pare_page *page)
{
    static const struct pare_page_column columns[] = {
        {"Model", 0}, {"Load time", 1}, {"Peak memory", 1}, {"F1", 1}, {"MCC", 1}};
    struct pare_page_table table = {
        .caption = "Load time and peak memory of a process that runs this model alone, "
                   "with the ratio to the baseline below; further scores",
        .columns = columns,
        .n_columns = sizeof columns / sizeof *columns};
    for (size_t i = 0; i < report->n_rows; i++) {
        const struct pare_report_row *row = &report->rows[i];
        pare_page_table_add(&table, PARE_CELL_PLAIN, row->label,
                            row->is_baseline ? "baseline" : NULL);
        add_with_ratio(&table, row, PARE_QUANTITY_LOAD);
        add_with_ratio(&table, row, PARE_QUANTITY_RSS);
        add_value(&table, PARE_UNIT_SHARE, pare_report_value(row, PARE_QUANTITY_F1),
                  NULL);
        add_value(&table, PARE_UNIT_NONE, pare_report_value(row, PARE_QUANTITY_MCC),
                  NULL);
    }
    pare_page_table_put(page, &table);
}

static void put_front(const struct pare_report *report, struct pare_page *page)
{
    size_t on_front = 0;
    for (size_t i = 0; i < report->n_rows; i++)
        on_front += report->rows[i].on_front != 0;
    if (!on_front)
        return;
    pare_page_paragraph(page, PARE_TONE_PLAIN);
    pare_page_put(page, "On the Pareto front (no other model is both smaller and at "
                        "least as accurate): ");
    const char *between = "";
    for (size_t i = 0; i < report->n_rows; i++) {
        if (!report->rows[i].on_front)
            continue;
        pare_page_put(page, between);
        pare_page_strong(page, report->rows[i].label);
        between = ", ";
    }
    pare_page_put(page, ".");
    pare_page_paragraph_end(page);
}

void pare_report_put_models(const struct pare_report *report, struct pare_page *page)
{
    pare_page_section(page, "models", "Size and accuracy");
    pare_report_plot_front(report, page);
    put_main_table(report, page);
    put_front(report, page);
    put_second_table(report, page);
    pare_page_section_end(page);
}

/* ---- latency ------------------------------------------------------------------- */

static void add_latency_row(struct pare_page_table *table,
                            const struct pare_report_row *row,
                            const struct pare_report_setting *setting)
{
    const struct pare_report_latency *entry = pare_report_at(row->model, setting);
    const struct pare_report_latency *other =
        row->baseline ? pare_report_at(row->baseline, setting) : NULL;
    char text[96];
    if (!entry)
        return;
    pare_page_table_add(table, PARE_CELL_PLAIN, row->label,
                        row->is_baseline ? "baseline" : NULL);
    snprintf(text, sizeof text, "%llu × %llu", (unsigned long long)setting->batch,
             (unsigned long long)setting->tokens);
    pare_page_table_add(table, PARE_CELL_PLAIN, text, NULL);
    snprintf(text, sizeof text, "%llu", (unsigned long long)setting->threads);
    pare_page_table_add(table, setting->threads ? PARE_CELL_PLAIN : PARE_CELL_MISSING,
                        setting->threads ? text : PARE_NOT_MEASURED, NULL);
    for (int i = 0; i < 3; i++)
        add_value(table, PARE_UNIT_MS, entry->ms[i], NULL);
    int known = other && other->ms[0] > 0 && !isnan(entry->ms[0]);
    pare_page_table_add(
        table, known ? PARE_CELL_PLAIN : PARE_CELL_MISSING,
        row->is_baseline
            ? "–"
            : pare_ratio_format(entry->ms[0], known ? other->ms[0] : NAN, text),
        NULL);
    snprintf(text, sizeof text, "%.0f", entry->tokens_per_s);
    pare_page_table_add(table,
                        isnan(entry->tokens_per_s) ? PARE_CELL_MISSING : PARE_CELL_PLAIN,
                        isnan(entry->tokens_per_s) ? PARE_NOT_MEASURED : text, NULL);
}

void pare_report_put_latency(const struct pare_report *report, struct pare_page *page)
{
    static const struct pare_page_column columns[] = {
        {"Model", 0}, {"Batch × tokens", 1}, {"Threads", 1}, {"p50", 1}, {"p90", 1},
        {"p99", 1},   {"p50 ratio", 1},      {"Tokens/s", 1}};
    struct pare_page_table table = {.caption = "Time of one forward pass",
                                    .columns = columns,
                                    .n_columns = sizeof columns / sizeof *columns};
    struct pare_report_setting *settings;
    size_t count;
    if (page->text.status == PARE_OK)
        page->text.status = pare_report_settings(report, &settings, &count);
    if (page->text.status != PARE_OK)
        return;
    pare_page_section(page, "latency", "Latency");
    pare_report_plot_latency(report, page);
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < report->n_rows; i++)
            add_latency_row(&table, &report->rows[i], &settings[s]);
    if (!count) {
        pare_page_paragraph(page, PARE_TONE_PLAIN);
        pare_page_put(page, PARE_NOT_MEASURED);
        pare_page_paragraph_end(page);
    }
    pare_page_table_put(page, &table);
    pare_page_section_end(page);
    pare_free(settings);
}
