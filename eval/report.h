/* Result files side by side: one report in Markdown and one in HTML, and the verdicts of
 * requirements.
 *
 *     pare_report_new -> pare_report_add ... -> pare_report_require ... ->
 *     pare_report_finish -> pare_report_markdown, pare_report_html -> pare_report_free
 *
 * The same files give the same bytes. */
#ifndef PARE_EVAL_REPORT_H
#define PARE_EVAL_REPORT_H

#include "eval/gate.h"
#include "eval/report_model.h"
#include "eval/report_text.h"
#include "eval/training.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_report_run { /* how a result was measured; NULL and NAN: not in the file */
    const char *version;
    const char *data_name, *data_sha256;
    double data_rows;
    const char *cpu, *tier;
    double processors, threads, batch, max_length, warmup, repetitions;
};

struct pare_report_result { /* one file */
    cJSON *tree;
    char *source; /* its name without the folder */
    struct pare_report_model model, baseline;
    int has_baseline;
    size_t baseline_row; /* of the report, when it has one */
    struct pare_report_run run;
};

struct pare_report_row { /* one model: a result, or the baseline of one or many */
    const struct pare_report_model *model;
    const struct pare_report_model *baseline; /* measured in the same run, or NULL */
    const struct pare_report_result *result;  /* the file it is from */
    char *label;                              /* its name; no other row has the same */
    int is_baseline;
    size_t runs;  /* files that measured it */
    int on_front; /* no other model is both smaller and at least as accurate */
};

struct pare_report_gate {
    struct pare_gate gate;
    struct pare_verdict *verdicts; /* [results] */
};

struct pare_report {
    struct pare_report_result *results;
    size_t n_results, results_capacity;
    struct pare_training *trainings;
    size_t n_trainings, trainings_capacity;
    struct pare_report_gate *gates;
    size_t n_gates, gates_capacity;
    struct pare_report_row *rows; /* baselines first, then results in their order */
    size_t n_rows, n_baselines;
};

enum pare_status pare_report_new(struct pare_report **out,
                                 struct pare_error *err) PARE_CHECKED;
void pare_report_free(struct pare_report *report); /* NULL is allowed */

/* Reads a result file. */
enum pare_status pare_report_add(struct pare_report *report, const char *path,
                                 struct pare_error *err) PARE_CHECKED;
/* Reads the metrics of a training run. */
enum pare_status pare_report_add_training(struct pare_report *report, const char *path,
                                          struct pare_error *err) PARE_CHECKED;
enum pare_status pare_report_require(struct pare_report *report, const char *requirement,
                                     struct pare_error *err) PARE_CHECKED;
/* After the last file and requirement: rows, front and verdicts. */
enum pare_status pare_report_finish(struct pare_report *report,
                                    struct pare_error *err) PARE_CHECKED;

/* Requirements met and not met, over all results; the first that is not. */
struct pare_report_tally {
    size_t met, unmet;
    const struct pare_report_gate *gate;
    const struct pare_report_row *row;
    const struct pare_verdict *verdict;
};
struct pare_report_tally pare_report_tally(const struct pare_report *report);
/* The row of a result. */
const struct pare_report_row *pare_report_row_of(const struct pare_report *report,
                                                 size_t result);

/* The whole document behind what is in `out`. PARE_ERR_MEMORY is the only failure. */
enum pare_status pare_report_markdown(const struct pare_report *report, const char *title,
                                      struct pare_report_text *out,
                                      struct pare_error *err) PARE_CHECKED;
enum pare_status pare_report_html(const struct pare_report *report, const char *title,
                                  struct pare_report_text *out,
                                  struct pare_error *err) PARE_CHECKED;

/* Pareto front of small size and high accuracy: on_front[i] is 0 when another point is no
 * worse in both and better in one, or when a value of i is NAN. */
void pare_pareto_front(const double *size, const double *accuracy, size_t n,
                       int *on_front);

#ifdef __cplusplus
}
#endif
#endif
