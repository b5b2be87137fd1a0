/* The smallest file that is good enough: points of the trade-off curve are made and
 * measured on labelled text. See quantize_budget.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/text.h"
#include "eval/metrics.h"
#include "eval/predict.h"
#include "runtime/base/alloc.h"
#include "tools/quantize_budget.h"

#define ROWS_TOGETHER 32

/* What files are compared with. */
struct reference {
    struct pare_dataset data;
    struct pare_metrics metrics;
    float *logits; /* [count, labels] */
    uint32_t labels;
};

/* Logits of the container for all rows; the caller frees them with pare_free. */
static enum pare_status predict(const struct quantize_work *w, const char *path,
                                const struct pare_dataset *data, float **logits,
                                struct pare_error *err)
{
    struct pare_model *model;
    struct pare_tokenized tokenized = {0};
    struct pare_acts acts = {.first_only = 1};
    enum pare_status status;
    *logits = NULL;
    PARE_TRY(pare_model_open(path, PARE_PRECISION_FP32, &model, err));
    PARE_TRY_OUT(pare_tokenize_rows(model, data->texts, data->count, 0, &tokenized, err));
    PARE_TRY_OUT(
        pare_alloc_raw(logits, data->count, model->config.labels * sizeof **logits, err));
    status = pare_predict(model, &tokenized, ROWS_TOGETHER, &acts, *logits,
                          &w->cli->progress, err);
out:
    pare_acts_free(&acts);
    pare_tokenized_free(&tokenized);
    pare_model_free(model);
    return status;
}

static enum pare_status load_data(const struct quantize_work *w,
                                  struct pare_dataset *data)
{
    const struct pare_config *config = &w->stored.config;
    const char *names[PARE_MAX_LABELS];
    if (!config->labels)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "--max-drop and --max-kl need a classifier");
    for (uint32_t i = 0; i < config->labels; i++)
        names[i] = config->label[i];
    const struct pare_text_options want = {
        .need_labels = 1, .label_count = (int)config->labels, .label_names = names};
    return pare_dataset_load(w->o->search_on, &want, data, w->err);
}

static enum pare_status open_reference(const struct quantize_work *w, struct reference *r)
{
    r->labels = w->stored.config.labels;
    PARE_TRY(load_data(w, &r->data));
    PARE_TRY(predict(w, w->stored.ckpt->path, &r->data, &r->logits, w->err));
    pare_metrics_compute(r->logits, r->data.labels, r->data.count, r->labels,
                         &r->metrics);
    return PARE_OK;
}

static void close_reference(struct reference *r)
{
    pare_dataset_free(&r->data);
    pare_free(r->logits);
}

/* Whether the container keeps within what the options allow; tells how it did. */
static enum pare_status measure(const struct quantize_work *w, const struct reference *r,
                                const char *path, int *good)
{
    const struct quantize_options *o = w->o;
    struct pare_metrics metrics;
    struct pare_comparison than;
    char text[24];
    float *logits;
    enum pare_status status = predict(w, path, &r->data, &logits, w->err);
    if (status == PARE_OK) {
        pare_metrics_compute(logits, r->data.labels, r->data.count, r->labels, &metrics);
        pare_compare(logits, r->logits, r->data.labels, r->data.count, r->labels, &than);
        const double drop = 100 * (r->metrics.accuracy - metrics.accuracy);
        uint64_t bytes = 0;
        for (size_t i = 0; i < w->stored.plan.count; i++)
            bytes += w->items[i].bytes;
        *good = (o->max_drop < 0 || drop <= o->max_drop + 1e-9) &&
                (o->max_kl < 0 || than.kl <= o->max_kl);
        pare_cli_info(w->cli, "tensors of %s: %.2f %%, %.2f points less, KL %.3g: %s",
                      pare_cli_bytes(bytes, text), 100 * metrics.accuracy, drop, than.kl,
                      *good ? "good enough" : "too bad");
    }
    pare_free(logits);
    return status;
}

static enum pare_status trial_path(const struct quantize_work *w, char path[4096])
{
    const int n = snprintf(path, 4096, "%s.trial", w->cli->output);
    if (n < 0 || n >= 4096)
        return pare_fail(w->err, PARE_ERR_USAGE, "%s: the path is too long",
                         w->cli->output);
    return PARE_OK;
}

enum pare_status budget_search_check(const struct quantize_work *w)
{
    char path[4096];
    struct pare_dataset data = {0};
    struct stat info;
    PARE_TRY(load_data(w, &data));
    pare_dataset_free(&data);
    PARE_TRY(trial_path(w, path));
    if (lstat(path, &info) == 0)
        return pare_fail(w->err, PARE_ERR_USAGE,
                         "%s: files to be measured will have this name, and there is one "
                         "already; remove it, or choose another output",
                         path);
    return PARE_OK;
}

/* Makes the point's file beside the output, measures it, and takes it away. */
static enum pare_status try_point(struct quantize_work *w, const struct reference *r,
                                  const struct budget_search *search, size_t point,
                                  int *good)
{
    char path[4096];
    PARE_TRY(trial_path(w, path));
    PARE_TRY(search->take(search->context, search->curve->points[point].bytes));
    w->trial = 1;
    const enum pare_status made = search->make(w, path);
    w->trial = 0;
    PARE_TRY(made);
    const enum pare_status status = measure(w, r, path, good);
    unlink(path);
    return status;
}

enum pare_status budget_search(struct quantize_work *w,
                               const struct budget_search *search)
{
    struct reference r = {0};
    const size_t last = search->curve->count - 1;
    size_t low = 0, high = last; /* the least good point is in low .. high */
    int good = 0;
    enum pare_status status;
    PARE_TRY_OUT(open_reference(w, &r));
    PARE_TRY_OUT(try_point(w, &r, search, last, &good));
    if (!good)
        PARE_TRY_OUT(pare_fail(w->err, PARE_ERR_GATE,
                               "the largest file of these candidates is not good enough "
                               "already; allow more, or give finer --candidates"));
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        PARE_TRY_OUT(try_point(w, &r, search, middle, &good));
        if (good)
            high = middle;
        else
            low = middle + 1;
    }
    status = search->take(search->context, search->curve->points[high].bytes);
out:
    close_reference(&r);
    return status;
}
