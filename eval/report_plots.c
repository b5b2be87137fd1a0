/* The numbers of a report as charts. */
#include <math.h>
#include <stdio.h>

#include "eval/report_internal.h"
#include "eval/svg.h"
#include "runtime/base/alloc.h"

/* ---- settings ------------------------------------------------------------------ */

const struct pare_report_latency *
pare_report_at(const struct pare_report_model *model,
               const struct pare_report_setting *setting)
{
    for (size_t i = 0; i < model->n_latency; i++) {
        const struct pare_report_latency *entry = &model->latency[i];
        if (entry->batch == setting->batch && entry->tokens == setting->tokens &&
            entry->threads == setting->threads)
            return entry;
    }
    return NULL;
}

enum pare_status pare_report_settings(const struct pare_report *report,
                                      struct pare_report_setting **out, size_t *count)
{
    size_t capacity = 0;
    *out = NULL;
    *count = 0;
    for (size_t r = 0; r < report->n_rows; r++) {
        const struct pare_report_model *model = report->rows[r].model;
        for (size_t i = 0; i < model->n_latency; i++) {
            const struct pare_report_latency *entry = &model->latency[i];
            struct pare_report_setting setting = {entry->batch, entry->tokens,
                                                  entry->threads};
            size_t seen = 0;
            while (seen < *count && ((*out)[seen].batch != setting.batch ||
                                     (*out)[seen].tokens != setting.tokens ||
                                     (*out)[seen].threads != setting.threads))
                seen++;
            if (seen < *count)
                continue;
            enum pare_status status =
                pare_grow(out, &capacity, *count + 1, sizeof **out, NULL);
            if (status != PARE_OK) {
                pare_free(*out);
                return status;
            }
            (*out)[(*count)++] = setting;
        }
    }
    return PARE_OK;
}

const char *pare_report_setting_name(const struct pare_report_setting *setting,
                                     char out[96])
{
    int length =
        snprintf(out, 96, "%llu × %llu tokens", (unsigned long long)setting->batch,
                 (unsigned long long)setting->tokens);
    if (setting->threads)
        snprintf(out + length, 96 - (size_t)length, ", %llu thread%s",
                 (unsigned long long)setting->threads, setting->threads == 1 ? "" : "s");
    return out;
}

/* ---- size against accuracy ----------------------------------------------------- */

static const struct {
    const char *title;
    double bytes;
} size_units[] = {{"Size on disk (GB)", 1e9},
                  {"Size on disk (MB)", 1e6},
                  {"Size on disk (kB)", 1e3},
                  {"Size on disk (bytes)", 1}};

/* The points; returns the unit of x. `summary` says them in words. */
static size_t fill_points(const struct pare_report *report, struct pare_svg_point *points,
                          size_t *count, struct pare_report_text *summary)
{
    double largest = 0;
    size_t unit = 0;
    for (size_t i = 0; i < report->n_rows; i++)
        largest = fmax(largest, report->rows[i].model->values[PARE_QUANTITY_SIZE]);
    while (unit < 3 && largest < 2 * size_units[unit].bytes)
        unit++;
    *count = 0;
    for (size_t i = 0; i < report->n_rows; i++) {
        const struct pare_report_row *row = &report->rows[i];
        const double *values = row->model->values;
        char size[PARE_VALUE_SIZE], accuracy[PARE_VALUE_SIZE];
        if (isnan(values[PARE_QUANTITY_SIZE]) || isnan(values[PARE_QUANTITY_ACCURACY]))
            continue;
        points[(*count)++] = (struct pare_svg_point){
            .x = values[PARE_QUANTITY_SIZE] / size_units[unit].bytes,
            .y = 100 * values[PARE_QUANTITY_ACCURACY],
            .low = 100 * values[PARE_QUANTITY_ACCURACY_LOW],
            .high = 100 * values[PARE_QUANTITY_ACCURACY_HIGH],
            .label = row->label,
            .on_front = row->on_front,
            .is_reference = row->is_baseline};
        pare_report_put(summary, *count > 1 ? "; " : "");
        pare_report_put(summary, row->label);
        pare_report_putf(
            summary, ": %s, %s%s",
            pare_unit_format(PARE_UNIT_BYTES, values[PARE_QUANTITY_SIZE], size),
            pare_unit_format(PARE_UNIT_SHARE, values[PARE_QUANTITY_ACCURACY], accuracy),
            row->on_front ? ", on the front" : "");
    }
    return unit;
}

void pare_report_plot_front(const struct pare_report *report, struct pare_page *page)
{
    struct pare_svg_point *points = NULL;
    struct pare_report_text summary = {0};
    struct pare_svg_scatter chart = {.id = "front",
                                     .title = "Accuracy against size on disk",
                                     .y_title = "Accuracy",
                                     .y_unit = "%"};
    if (!page->html || page->text.status != PARE_OK)
        return;
    page->text.status = pare_alloc(&points, report->n_rows, sizeof *points, NULL);
    if (page->text.status != PARE_OK)
        return;
    chart.points = points;
    chart.x_title = size_units[fill_points(report, points, &chart.count, &summary)].title;
    chart.summary = summary.data;
    if (chart.count && summary.status == PARE_OK) {
        pare_page_figure(page, chart.title);
        pare_svg_scatter(&page->text, &chart);
        pare_page_figure_caption(page);
        pare_page_put(page, "Accuracy against size on disk. Vertical lines: 95 % "
                            "intervals. Blue stair: the Pareto front, the best accuracy "
                            "at each size. Grey points: another model is smaller "
                            "and at least as accurate.");
        if (report->n_baselines)
            pare_page_put(page, " Open circle and dotted line: the baseline.");
        pare_page_figure_end(page);
    }
    if (summary.status != PARE_OK)
        page->text.status = summary.status;
    pare_report_text_free(&summary);
    pare_free(points);
}

/* ---- latency ------------------------------------------------------------------- */

struct bar_words {
    char value[PARE_VALUE_SIZE], note[PARE_VALUE_SIZE];
};

struct latency_plot {
    const struct pare_report *report;
    struct pare_report_setting *settings;
    struct pare_svg_group *groups; /* [settings] */
    struct pare_svg_bar *bars;     /* [settings, rows] */
    struct bar_words *words;       /* [settings, rows] */
    char (*titles)[96];            /* [settings] */
    size_t count;
    struct pare_report_text summary;
};

static int fill_bar(const struct pare_report_row *row,
                    const struct pare_report_setting *setting, struct pare_svg_bar *bar,
                    struct bar_words *words)
{
    const struct pare_report_latency *entry = pare_report_at(row->model, setting);
    const struct pare_report_latency *other =
        row->baseline ? pare_report_at(row->baseline, setting) : NULL;
    if (!entry || isnan(entry->ms[0]))
        return 0;
    int has_ratio = other && other->ms[0] > 0;
    *bar = (struct pare_svg_bar){
        .label = row->label,
        .p50 = entry->ms[0],
        .p90 = entry->ms[1],
        .p99 = entry->ms[2],
        .value = pare_unit_format(PARE_UNIT_MS, entry->ms[0], words->value),
        .is_reference = row->is_baseline};
    if (has_ratio)
        bar->note = pare_ratio_format(entry->ms[0], other->ms[0], words->note);
    return 1;
}

static void fill_group(struct latency_plot *plot, size_t s)
{
    const struct pare_report *report = plot->report;
    struct pare_svg_group *group = &plot->groups[s];
    struct pare_svg_bar *bars = plot->bars + s * report->n_rows;
    struct bar_words *words = plot->words + s * report->n_rows;
    group->bars = bars;
    group->title = pare_report_setting_name(&plot->settings[s], plot->titles[s]);
    pare_report_putf(&plot->summary, "%s%s:", s ? ". " : "", group->title);
    for (size_t i = 0; i < report->n_rows; i++) {
        if (!fill_bar(&report->rows[i], &plot->settings[s], &bars[group->count],
                      &words[group->count]))
            continue;
        pare_report_put(&plot->summary, group->count ? ", " : " ");
        pare_report_put(&plot->summary, report->rows[i].label);
        pare_report_putf(&plot->summary, " %s", words[group->count].value);
        group->count++;
    }
}

static enum pare_status fill_plot(struct latency_plot *plot)
{
    PARE_TRY(pare_report_settings(plot->report, &plot->settings, &plot->count));
    size_t bars = plot->count * plot->report->n_rows;
    PARE_TRY(pare_alloc(&plot->groups, plot->count, sizeof *plot->groups, NULL));
    PARE_TRY(pare_alloc(&plot->bars, bars, sizeof *plot->bars, NULL));
    PARE_TRY(pare_alloc(&plot->words, bars, sizeof *plot->words, NULL));
    PARE_TRY(pare_alloc(&plot->titles, plot->count, sizeof *plot->titles, NULL));
    for (size_t s = 0; s < plot->count; s++)
        fill_group(plot, s);
    return plot->summary.status;
}

void pare_report_plot_latency(const struct pare_report *report, struct pare_page *page)
{
    struct latency_plot plot = {.report = report};
    if (!page->html || page->text.status != PARE_OK)
        return;
    page->text.status = fill_plot(&plot);
    if (page->text.status == PARE_OK && plot.count) {
        const struct pare_svg_bars chart = {.id = "latency-plot",
                                            .title = "Median time of a forward pass",
                                            .summary = plot.summary.data,
                                            .unit = "ms",
                                            .groups = plot.groups,
                                            .count = plot.count};
        pare_page_figure(page, chart.title);
        pare_svg_bars(&page->text, &chart);
        pare_page_figure_caption(page);
        pare_page_put(page, "Time of one forward pass: bars end at the median (p50), the "
                            "ticks behind them are p90 and p99; an arrow says that the "
                            "line goes on. Each setting has its own scale.");
        pare_page_figure_end(page);
    }
    pare_report_text_free(&plot.summary);
    pare_free(plot.titles);
    pare_free(plot.words);
    pare_free(plot.bars);
    pare_free(plot.groups);
    pare_free(plot.settings);
}
