/* Metrics of a training run: see training.h. */
#include "eval/training.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"

#define MAX_BYTES 1000000000u
#define MAX_LOSS 1e15
#define SHARE 48 /* a window of the curve reaches this part of the run to each side */

/* ---- lines --------------------------------------------------------------------- */

static enum pare_status missing(const char *key, const char *what, struct pare_error *err)
{
    return pare_fail(err, PARE_ERR_INPUT,
                     "%s: \"%s\" is missing; expected a line of --metrics of pare-train "
                     "or pare-distill",
                     what, key);
}

static enum pare_status read_update(const cJSON *line, uint64_t update, const char *what,
                                    struct pare_training *t, struct pare_error *err)
{
    double loss = NAN;
    PARE_TRY(pare_json_double(line, "loss", -MAX_LOSS, MAX_LOSS, &loss, what, err));
    if (isnan(loss))
        return missing("loss", what, err);
    PARE_TRY(pare_grow(&t->updates, &t->updates_capacity, t->n_updates + 1,
                       sizeof *t->updates, err));
    t->updates[t->n_updates++] = (struct pare_training_update){update, loss};
    return PARE_OK;
}

static enum pare_status read_score(const cJSON *line, uint64_t update, const char *what,
                                   struct pare_training *t, struct pare_error *err)
{
    struct pare_training_score score = {.update = update, .accuracy = NAN, .loss = NAN};
    PARE_TRY(pare_json_double(line, "dev_accuracy", 0, 1, &score.accuracy, what, err));
    PARE_TRY(pare_json_double(line, "dev_loss", 0, MAX_LOSS, &score.loss, what, err));
    PARE_TRY(pare_json_bool(line, "best", &score.is_best, what, err));
    if (isnan(score.accuracy))
        return missing("dev_accuracy", what, err);
    PARE_TRY(pare_grow(&t->scores, &t->scores_capacity, t->n_scores + 1,
                       sizeof *t->scores, err));
    t->scores[t->n_scores++] = score;
    return PARE_OK;
}

static uint64_t last_update(const struct pare_training *t)
{
    const uint64_t update = t->n_updates ? t->updates[t->n_updates - 1].update : 0;
    const uint64_t score = t->n_scores ? t->scores[t->n_scores - 1].update : 0;
    return update > score ? update : score;
}

static enum pare_status read_object(const cJSON *line, const char *what,
                                    struct pare_training *t, struct pare_error *err)
{
    const char *kind = NULL;
    uint64_t update = 0, epoch = 0;
    if (!cJSON_IsObject(line))
        return pare_fail(err, PARE_ERR_INPUT, "%s: expected a JSON object", what);
    PARE_TRY(pare_json_string(line, "kind", &kind, what, err));
    if (!kind)
        return missing("kind", what, err);
    PARE_TRY(pare_json_u64(line, "update", 1, UINT64_MAX, &update, what, err));
    PARE_TRY(pare_json_u64(line, "epoch", 1, UINT64_MAX, &epoch, what, err));
    if (!update)
        return missing("update", what, err);
    const uint64_t before = last_update(t);
    const int is_update = !strcmp(kind, "update");
    if (update < before || (is_update && update == before))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: update %" PRIu64 " behind update %" PRIu64
                         ": the lines of two runs do not make one",
                         what, update, before);
    t->epochs = epoch > t->epochs ? epoch : t->epochs;
    if (is_update)
        return read_update(line, update, what, t, err);
    if (!strcmp(kind, "eval"))
        return read_score(line, update, what, t, err);
    if (!strcmp(kind, "epoch")) /* says nothing that the others do not */
        return PARE_OK;
    return pare_fail(err, PARE_ERR_INPUT,
                     "%s: kind \"%.40s\", expected update, eval or epoch", what, kind);
}

static enum pare_status read_lines(const char *path, const char *text, size_t length,
                                   struct pare_training *t, struct pare_error *err)
{
    char what[512];
    size_t number = 1;
    for (size_t at = 0; at < length; number++) {
        const char *end = memchr(text + at, '\n', length - at);
        const size_t n = end ? (size_t)(end - (text + at)) : length - at;
        cJSON *line;
        snprintf(what, sizeof what, "%.400s:%zu", path, number);
        enum pare_status status = pare_json_parse(text + at, n, what, &line, err);
        if (status == PARE_ERR_INPUT && !end)
            return PARE_OK; /* cut off */
        PARE_TRY(status);
        status = read_object(line, what, t, err);
        cJSON_Delete(line);
        PARE_TRY(status);
        at += n + 1;
    }
    return PARE_OK;
}

/* The last that was the best so far: a run that prunes does not count earlier ones. One
 * that has not come to any that counts has the best of all. */
static void find_best(struct pare_training *t)
{
    for (size_t i = t->n_scores; i-- > 0;)
        if (t->scores[i].is_best) {
            t->best = i;
            return;
        }
    for (size_t i = 1; i < t->n_scores; i++)
        if (t->scores[i].accuracy > t->scores[t->best].accuracy)
            t->best = i;
}

enum pare_status pare_training_read(const char *path, struct pare_training *out,
                                    struct pare_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *text;
    size_t length;
    *out = (struct pare_training){0};
    PARE_TRY(pare_strndup(&out->source, name, strlen(name), err));
    PARE_TRY(pare_read_file(path, MAX_BYTES, &text, &length, err));
    enum pare_status status = read_lines(path, text, length, out, err);
    pare_free(text);
    if (status == PARE_OK && !out->n_updates)
        return pare_fail(err, PARE_ERR_INPUT, "%s: no update of a training run in it",
                         path);
    find_best(out);
    return status;
}

void pare_training_free(struct pare_training *training)
{
    pare_free(training->source);
    pare_free(training->updates);
    pare_free(training->scores);
    *training = (struct pare_training){0};
}

/* ---- curve --------------------------------------------------------------------- */

size_t pare_training_curve(const struct pare_training *t, size_t most, double *x,
                           double *y)
{
    const size_t n = t->n_updates, reach = n / SHARE;
    const size_t count = n < most ? n : most;
    for (size_t k = 0; k < count; k++) {
        const size_t i = count > 1 ? k * (n - 1) / (count - 1) : 0;
        const size_t first = i < reach ? 0 : i - reach;
        const size_t last = n - 1 - i < reach ? n - 1 : i + reach;
        double sum = 0;
        for (size_t j = first; j <= last; j++)
            sum += t->updates[j].loss;
        x[k] = (double)t->updates[i].update;
        y[k] = sum / (double)(last - first + 1);
    }
    return count;
}
