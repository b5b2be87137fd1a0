/* Training runs in a report: their curves, and where they came to. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "eval/report_internal.h"
#include "eval/svg.h"
#include "runtime/base/alloc.h"

#define CURVE_POINTS 320 /* more than a line of the page can show apart */
#define SUMMARY_SIZE 256

/* ---- curves -------------------------------------------------------------------- */

struct curves {    /* of one run, as series */
    double *x, *y; /* [CURVE_POINTS] the training loss */
    size_t count;
    double *at, *loss, *accuracy; /* [n_scores] of dev; accuracy in per cent */
};

static enum pare_status make_curves(const struct pare_training *t, struct curves *c)
{
    PARE_TRY(pare_alloc(&c->x, 2 * CURVE_POINTS, sizeof *c->x, NULL));
    PARE_TRY(pare_alloc(&c->at, 3 * t->n_scores, sizeof *c->at, NULL));
    c->y = c->x + CURVE_POINTS;
    c->loss = c->at + t->n_scores;
    c->accuracy = c->loss + t->n_scores;
    c->count = pare_training_curve(t, CURVE_POINTS, c->x, c->y);
    for (size_t i = 0; i < t->n_scores; i++) {
        c->at[i] = (double)t->scores[i].update;
        c->loss[i] = t->scores[i].loss;
        c->accuracy[i] = 100 * t->scores[i].accuracy;
    }
    return PARE_OK;
}

static void plot_loss(const struct pare_training *t, const struct curves *c, size_t i,
                      struct pare_page *page)
{
    const struct pare_svg_series series[] = {
        {.label = "training", .x = c->x, .y = c->y, .count = c->count, .chosen = -1},
        {.label = "dev",
         .x = c->at,
         .y = c->loss,
         .count = t->n_scores,
         .marks = 1,
         .chosen = (long)t->best}};
    char id[48], summary[SUMMARY_SIZE];
    snprintf(id, sizeof id, "training-loss-%zu", i + 1);
    int length =
        snprintf(summary, sizeof summary,
                 "Training loss from %.4f to %.4f over %" PRIu64 " updates", c->y[0],
                 c->y[c->count - 1], t->updates[t->n_updates - 1].update);
    if (t->n_scores && !isnan(t->scores[t->best].loss))
        snprintf(summary + length, SUMMARY_SIZE - (size_t)length,
                 "; %.4f on dev at the best score, behind update %" PRIu64,
                 t->scores[t->best].loss, t->scores[t->best].update);
    const struct pare_svg_lines chart = {.id = id,
                                         .title = "Loss over the updates",
                                         .summary = summary,
                                         .x_title = "Updates",
                                         .y_title = "Loss",
                                         .series = series,
                                         .count = t->n_scores ? 2 : 1};
    pare_page_figure(page, chart.title);
    pare_svg_lines(&page->text, &chart);
    pare_page_figure_caption(page);
    pare_page_put(page, "Loss: a moving mean over the updates of training");
    if (t->n_scores)
        pare_page_put(page, ", and the development set's cross-entropy at each "
                            "evaluation. Ring: the best accuracy");
    pare_page_put(page, ".");
    pare_page_figure_end(page);
}

static void plot_accuracy(const struct pare_training *t, const struct curves *c, size_t i,
                          struct pare_page *page)
{
    const struct pare_svg_series series = {.label = "dev",
                                           .x = c->at,
                                           .y = c->accuracy,
                                           .count = t->n_scores,
                                           .marks = 1,
                                           .chosen = (long)t->best};
    char id[48], summary[SUMMARY_SIZE];
    snprintf(id, sizeof id, "training-accuracy-%zu", i + 1);
    snprintf(summary, sizeof summary,
             "%zu evaluations; the best %.2f %% behind update %" PRIu64
             ", the last %.2f %%",
             t->n_scores, c->accuracy[t->best], t->scores[t->best].update,
             c->accuracy[t->n_scores - 1]);
    const struct pare_svg_lines chart = {.id = id,
                                         .title = "Accuracy on the development set",
                                         .summary = summary,
                                         .x_title = "Updates",
                                         .y_title = "Accuracy",
                                         .y_unit = "%",
                                         .series = &series,
                                         .count = 1};
    pare_page_figure(page, chart.title);
    pare_svg_lines(&page->text, &chart);
    pare_page_figure_caption(page);
    pare_page_put(page, "Accuracy on the development set at each evaluation. Ring: the "
                        "best.");
    pare_page_figure_end(page);
}

/* HTML only, as all plots. */
static void plot_run(const struct pare_report *report, size_t i, struct pare_page *page)
{
    const struct pare_training *t = &report->trainings[i];
    struct curves curves = {0};
    if (!page->html || page->text.status != PARE_OK)
        return;
    page->text.status = make_curves(t, &curves);
    if (page->text.status == PARE_OK) {
        pare_page_subsection(page, t->source);
        plot_loss(t, &curves, i, page);
        if (t->n_scores)
            plot_accuracy(t, &curves, i, page);
    }
    pare_free(curves.x);
    pare_free(curves.at);
}

/* ---- table --------------------------------------------------------------------- */

static void add_count(struct pare_page_table *table, uint64_t count)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, count);
    pare_page_table_add(table, PARE_CELL_PLAIN, text, NULL);
}

static void add_number(struct pare_page_table *table, const char *format, double value)
{
    char text[PARE_VALUE_SIZE];
    snprintf(text, sizeof text, format, value);
    pare_page_table_add(table, isnan(value) ? PARE_CELL_MISSING : PARE_CELL_PLAIN,
                        isnan(value) ? PARE_NOT_MEASURED : text, NULL);
}

static void add_run(struct pare_page_table *table, const struct pare_training *t)
{
    const struct pare_training_score none = {0, NAN, NAN, 0};
    const struct pare_training_score *best = t->n_scores ? &t->scores[t->best] : &none;
    const struct pare_training_score *last =
        t->n_scores ? &t->scores[t->n_scores - 1] : &none;
    char where[48];
    double x[2], y[2];
    const size_t points = pare_training_curve(t, 2, x, y);
    snprintf(where, sizeof where, "update %" PRIu64, best->update);
    pare_page_table_add(table, PARE_CELL_PLAIN, t->source, NULL);
    add_count(table, t->updates[t->n_updates - 1].update);
    add_count(table, t->epochs);
    add_number(table, "%.4f", y[0]);
    add_number(table, "%.4f", y[points - 1]);
    char accuracy[PARE_VALUE_SIZE];
    pare_page_table_add(table, t->n_scores ? PARE_CELL_PLAIN : PARE_CELL_MISSING,
                        pare_unit_format(PARE_UNIT_SHARE, best->accuracy, accuracy),
                        t->n_scores ? where : NULL);
    add_number(table, "%.4f", best->loss);
    pare_page_table_add(table, t->n_scores ? PARE_CELL_PLAIN : PARE_CELL_MISSING,
                        pare_unit_format(PARE_UNIT_SHARE, last->accuracy, accuracy),
                        NULL);
}

void pare_report_put_training(const struct pare_report *report, struct pare_page *page)
{
    static const struct pare_page_column columns[] = {
        {"Run", 0},          {"Updates", 1},      {"Epochs", 1},
        {"First loss", 1},   {"Last loss", 1},    {"Best accuracy", 1},
        {"Its dev loss", 1}, {"Last accuracy", 1}};
    struct pare_page_table table = {
        .caption = "Training runs: mean loss of their first and last 2 % of updates, and "
                   "scores on the development set",
        .columns = columns,
        .n_columns = sizeof columns / sizeof *columns};
    if (!report->n_trainings)
        return;
    pare_page_section(page, "training", "Training");
    for (size_t i = 0; i < report->n_trainings; i++)
        add_run(&table, &report->trainings[i]);
    pare_page_table_put(page, &table);
    for (size_t i = 0; i < report->n_trainings; i++)
        plot_run(report, i, page);
    pare_page_section_end(page);
}
