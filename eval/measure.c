#include "eval/measure.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eval/predict.h"
#include "eval/result.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/interrupt.h"

#define LOAD_REPETITIONS 3

void pare_measured_free(struct pare_measured *measured)
{
    cJSON_Delete(measured->json);
    pare_free(measured->logits);
    memset(measured, 0, sizeof *measured);
}

/* --- In the child ------------------------------------------------------------------- */

/* Opens the model a few times and keeps the last; the first open warms the page cache. */
static enum pare_status load(const char *path, enum pare_precision precision,
                             struct pare_model **model, double *load_ms,
                             struct pare_error *err)
{
    double ms[LOAD_REPETITIONS];
    *model = NULL;
    for (int i = -1; i < LOAD_REPETITIONS; i++) {
        pare_model_free(*model);
        double start = pare_clock_ms();
        PARE_TRY(pare_model_open(path, precision, model, err));
        if (i >= 0)
            ms[i] = pare_clock_ms() - start;
    }
    pare_sort_ascending(ms, LOAD_REPETITIONS);
    *load_ms = ms[LOAD_REPETITIONS / 2];
    return PARE_OK;
}

static enum pare_status check_truth(const struct pare_model *model,
                                    const struct pare_measure_options *options,
                                    struct pare_error *err)
{
    for (size_t r = 0; r < options->rows; r++)
        if (options->truth[r] < 0 || (uint32_t)options->truth[r] >= model->config.labels)
            return pare_fail(err, PARE_ERR_INPUT,
                             "row %zu of %s has label %d, the model knows 0 to %d", r + 1,
                             options->data, options->truth[r],
                             (int)model->config.labels - 1);
    return PARE_OK;
}

static enum pare_status check_settings(const struct pare_model *model,
                                       const struct pare_measure_options *options,
                                       struct pare_error *err)
{
    for (size_t i = 0; i < options->n_settings && !options->skip_long; i++)
        if (options->settings[i].tokens > model->config.positions)
            return pare_fail(err, PARE_ERR_USAGE,
                             "setting %ux%u cannot be timed: the model takes at most %u "
                             "tokens",
                             options->settings[i].batch, options->settings[i].tokens,
                             model->config.positions);
    return PARE_OK;
}

static enum pare_status classify(const struct pare_model *model,
                                 const struct pare_measure_options *options,
                                 const struct pare_progress *progress,
                                 struct pare_measured *out, struct pare_error *err)
{
    if (!model->config.labels)
        return pare_fail(err, PARE_ERR_USAGE,
                         "the model has no classifier; train one with pare-train");
    PARE_TRY(check_truth(model, options, err));
    struct pare_tokenized tokenized = {0};
    struct pare_acts acts = {.first_only = 1};
    struct pare_metrics *metrics = NULL;
    enum pare_status status;
    out->labels = model->config.labels;
    PARE_TRY_OUT(pare_tokenize_rows(model, options->texts, options->rows,
                                    options->max_tokens, &tokenized, err));
    PARE_TRY_OUT(
        pare_alloc(&out->logits, options->rows * out->labels, sizeof *out->logits, err));
    PARE_TRY_OUT(pare_predict(model, &tokenized, (size_t)options->batch, &acts,
                              out->logits, progress, err));
    PARE_TRY_OUT(pare_alloc(&metrics, 1, sizeof *metrics, err));
    pare_metrics_compute(out->logits, options->truth, options->rows, out->labels,
                         metrics);
    PARE_TRY_OUT(pare_result_add_metrics(out->json, &model->config, metrics, err));
out:
    pare_free(metrics);
    pare_acts_free(&acts);
    pare_tokenized_free(&tokenized);
    return status;
}

static enum pare_status time_settings(const struct pare_model *model,
                                      const struct pare_measure_options *options,
                                      const struct pare_progress *progress,
                                      struct pare_measured *out, struct pare_error *err)
{
    struct pare_latency latency[PARE_MEASURE_SETTINGS];
    size_t count = 0;
    for (size_t i = 0; i < options->n_settings; i++) {
        if (options->settings[i].tokens <= model->config.positions)
            PARE_TRY(pare_latency_measure(model, options->settings[i], &options->latency,
                                          &latency[count++], err));
        pare_progress_report(progress, "time", i + 1, options->n_settings, NULL);
    }
    return pare_result_add_latency(out->json, latency, count, err);
}

static enum pare_status run_model(const struct pare_model *model,
                                  const struct pare_measure_options *options,
                                  const struct pare_progress *progress,
                                  struct pare_measured *out, struct pare_error *err)
{
    PARE_TRY(check_settings(model, options, err));
    if (options->texts)
        PARE_TRY(classify(model, options, progress, out, err));
    if (options->n_settings)
        PARE_TRY(time_settings(model, options, progress, out, err));
    return PARE_OK;
}

static enum pare_status measure_here(const char *path,
                                     const struct pare_measure_options *options,
                                     const struct pare_progress *progress,
                                     struct pare_measured *out, struct pare_error *err)
{
    struct pare_model *model;
    double load_ms;
    enum pare_status status;
    PARE_TRY_OUT(load(path, options->precision, &model, &load_ms, err));
    out->json = cJSON_CreateObject();
    if (!out->json) {
        status = pare_fail_memory(err, 4096);
        goto out;
    }
    PARE_TRY_OUT(pare_result_add_model(out->json, path, model, err));
    PARE_TRY_OUT(pare_result_add_number(out->json, "load_ms", load_ms, 4, err));
    status = run_model(model, options, progress, out, err);
    if (status != PARE_OK)
        pare_fail_in(err, status, "%s", path);
out:
    pare_model_free(model);
    return status;
}

/* --- Between child and parent --------------------------------------------------------
 *
 * The child writes one record to a temporary file without a name: the header, then the
 * error message or the JSON text, then the logits. */

struct record {
    int32_t status;
    uint32_t labels;
    uint64_t text_bytes, logit_count;
};

static int write_record(FILE *file, enum pare_status status,
                        const struct pare_measured *measured, size_t rows,
                        const struct pare_error *error)
{
    char *json = status == PARE_OK ? cJSON_PrintUnformatted(measured->json) : NULL;
    const char *text = json ? json : error->message;
    struct record record = {.status = json                ? PARE_OK
                                      : status != PARE_OK ? (int32_t)status
                                                          : PARE_ERR_MEMORY,
                            .labels = measured->labels,
                            .text_bytes = strlen(text)};
    if (json && measured->logits)
        record.logit_count = (uint64_t)rows * measured->labels;
    fwrite(&record, sizeof record, 1, file);
    fwrite(text, 1, record.text_bytes, file);
    if (record.logit_count)
        fwrite(measured->logits, sizeof(float), record.logit_count, file);
    cJSON_free(json);
    return fflush(file) == 0 && !ferror(file);
}

static enum pare_status read_logits(FILE *file, const struct record *record,
                                    struct pare_measured *out, struct pare_error *err)
{
    out->labels = record->labels;
    if (!record->logit_count)
        return PARE_OK;
    PARE_TRY(pare_alloc(&out->logits, record->logit_count, sizeof(float), err));
    if (fread(out->logits, sizeof(float), record->logit_count, file) !=
        record->logit_count)
        return pare_fail(err, PARE_ERR_INTERNAL, "the measuring process was cut short");
    return PARE_OK;
}

static enum pare_status read_record(FILE *file, const char *path,
                                    struct pare_measured *out, struct pare_error *err)
{
    struct record record;
    char *text = NULL;
    rewind(file);
    if (fread(&record, sizeof record, 1, file) != 1)
        return pare_fail(err, PARE_ERR_INTERNAL,
                         "%s: the measuring process ended without a result", path);
    PARE_TRY(pare_alloc(&text, record.text_bytes + 1, 1, err));
    enum pare_status status = PARE_OK;
    if (fread(text, 1, record.text_bytes, file) != record.text_bytes)
        status = pare_fail(err, PARE_ERR_INTERNAL, "the measuring process was cut short");
    else if (record.status != PARE_OK)
        status = pare_fail(err, (enum pare_status)record.status, "%s", text);
    else
        status = pare_json_parse(text, record.text_bytes, "measurement", &out->json, err);
    pare_free(text);
    if (status != PARE_OK)
        return status;
    return read_logits(file, &record, out, err);
}

/* Waits until the child has closed its end of the pipe `alive`. A signal that asks only
 * this process to stop is passed on, once: a second one would end the child at once. */
static void pass_stop_on(pid_t child, int alive)
{
    struct pollfd end = {.fd = alive, .events = POLLIN};
    int passed = 0;
    for (;;) {
        int ready = poll(&end, 1, 200);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return;
        if (pare_interrupted() && !passed)
            passed = kill(child, SIGTERM) == 0;
    }
}

/* Waits for the child and notes its peak memory, which the system counts in kilobytes. */
static enum pare_status wait_for(pid_t child, int alive, const char *path,
                                 uint64_t *peak_bytes, struct pare_error *err)
{
    int how;
    struct rusage usage;
    pass_stop_on(child, alive);
    while (wait4(child, &how, 0, &usage) < 0)
        if (errno != EINTR)
            return pare_fail(err, PARE_ERR_INTERNAL, "wait: %s", strerror(errno));
    *peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
    PARE_TRY(pare_check_interrupted(err));
    if (WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL)
        return pare_fail(err, PARE_ERR_MEMORY,
                         "%s: the measuring process was killed, as the system does when "
                         "memory runs out",
                         path);
    if (WIFEXITED(how) && WEXITSTATUS(how) == PARE_ERR_IO)
        return pare_fail(err, PARE_ERR_IO,
                         "%s: the measuring process could not read the model or write "
                         "its result",
                         path);
    if (WIFSIGNALED(how))
        return pare_fail(err, PARE_ERR_INTERNAL,
                         "%s: the measuring process died of signal %d", path,
                         WTERMSIG(how));
    return PARE_OK;
}

/* Does not return. Dies with its parent, so that nothing keeps computing for nobody. */
static void measure_and_exit(const char *path, const struct pare_measure_options *options,
                             const struct pare_progress *progress, FILE *file,
                             pid_t parent)
{
    struct pare_error error = {""};
    struct pare_measured measured = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(PARE_ERR_INTERNAL);
    enum pare_status status = measure_here(path, options, progress, &measured, &error);
    int written = write_record(file, status, &measured, options->rows, &error);
    fclose(file);
    pare_measured_free(&measured);
    _exit(written ? 0 : PARE_ERR_IO);
}

/* *alive reads end of file once the child has ended. -1 with errno on failure. */
static pid_t start_child(const char *path, const struct pare_measure_options *options,
                         const struct pare_progress *progress, FILE *file, int *alive)
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe(ends) != 0)
        return -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        measure_and_exit(path, options, progress, file, parent);
    }
    int why = errno;
    close(ends[1]);
    if (child < 0)
        close(ends[0]);
    errno = why;
    *alive = ends[0];
    return child;
}

enum pare_status pare_measure(const char *path,
                              const struct pare_measure_options *options,
                              const struct pare_progress *progress,
                              struct pare_measured *out, struct pare_error *err)
{
    memset(out, 0, sizeof *out);
    FILE *file = tmpfile();
    if (!file)
        return pare_fail(err, PARE_ERR_IO, "a temporary file: %s", strerror(errno));
    int alive; /* closes when the child ends */
    pid_t child = start_child(path, options, progress, file, &alive);
    if (child < 0) {
        fclose(file);
        return pare_fail(err, PARE_ERR_MEMORY, "a process to measure in: %s",
                         strerror(errno));
    }
    uint64_t peak_bytes = 0;
    enum pare_status status = wait_for(child, alive, path, &peak_bytes, err);
    close(alive);
    if (status == PARE_OK)
        status = read_record(file, path, out, err);
    fclose(file);
    if (status == PARE_OK &&
        !cJSON_AddNumberToObject(out->json, "peak_rss_bytes", (double)peak_bytes))
        status = pare_fail_memory(err, 4096);
    if (status != PARE_OK)
        pare_measured_free(out);
    return status;
}

enum pare_status pare_measured_compare(struct pare_measured *model,
                                       struct pare_measured *baseline,
                                       const struct pare_measure_options *options,
                                       struct pare_error *err)
{
    if (model->labels != baseline->labels)
        return pare_fail(err, PARE_ERR_INPUT,
                         "the model has %u labels, the baseline %u: they cannot be "
                         "compared",
                         model->labels, baseline->labels);
    if (model->logits && baseline->logits) {
        struct pare_comparison comparison;
        pare_compare(model->logits, baseline->logits, options->truth, options->rows,
                     model->labels, &comparison);
        PARE_TRY(pare_result_add_comparison(model->json, &comparison, err));
    }
    if (!cJSON_AddItemToObject(model->json, "baseline", baseline->json))
        return pare_fail_memory(err, 4096);
    baseline->json = NULL;
    return PARE_OK;
}
