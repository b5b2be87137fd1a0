/* The parts of the report, written by eval/report_body.c and its neighbours. */
#ifndef PARE_EVAL_REPORT_INTERNAL_H
#define PARE_EVAL_REPORT_INTERNAL_H

#include "eval/report.h"
#include "eval/report_page.h"

struct pare_report_setting {
    uint64_t batch, tokens, threads;
};
/* The latency settings of all rows in the order of their appearance. The caller frees
 * *out with pare_free. */
enum pare_status pare_report_settings(const struct pare_report *report,
                                      struct pare_report_setting **out, size_t *count);
/* "1 × 64 tokens, 2 threads" into `out`. */
const char *pare_report_setting_name(const struct pare_report_setting *setting,
                                     char out[96]);
/* The row's entry, or its baseline's; NULL when not measured. */
const struct pare_report_latency *
pare_report_at(const struct pare_report_model *model,
               const struct pare_report_setting *setting);

static inline double pare_report_value(const struct pare_report_row *row,
                                       enum pare_quantity quantity)
{
    return row->model->values[quantity];
}

/* Whether two results were measured alike. */
int pare_report_same_data(const struct pare_report_run *a,
                          const struct pare_report_run *b);
int pare_report_same_machine(const struct pare_report_run *a,
                             const struct pare_report_run *b);
int pare_report_same_protocol(const struct pare_report_run *a,
                              const struct pare_report_run *b);

/* Whole sections. */
void pare_report_put_opening(const struct pare_report *report, const char *title,
                             struct pare_page *page);
void pare_report_put_summary(const struct pare_report *report, struct pare_page *page);
void pare_report_put_gates(const struct pare_report *report, struct pare_page *page);
void pare_report_put_models(const struct pare_report *report, struct pare_page *page);
void pare_report_put_latency(const struct pare_report *report, struct pare_page *page);
/* Curves and figures of the training runs, if there are any. */
void pare_report_put_training(const struct pare_report *report, struct pare_page *page);
void pare_report_put_origin(const struct pare_report *report, struct pare_page *page);
void pare_report_put_notes(const struct pare_report *report, struct pare_page *page);

/* Plots, into an HTML page only; nothing when there is nothing to draw. */
void pare_report_plot_front(const struct pare_report *report, struct pare_page *page);
void pare_report_plot_latency(const struct pare_report *report, struct pare_page *page);

#endif
