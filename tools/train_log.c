#include "tools/train_log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum pare_status train_log_open(struct train_log *log, struct pare_cli *cli,
                                const char *path, int resume, struct pare_error *err)
{
    *log = (struct train_log){.cli = cli, .path = path, .foreign = resume};
    if (!path)
        return PARE_OK;
    log->file = fopen(path, resume ? "a+" : "w");
    if (!log->file)
        return pare_fail(err, PARE_ERR_IO, "%s: cannot write: %s", path, strerror(errno));
    return PARE_OK;
}

enum pare_status train_log_close(struct train_log *log, struct pare_error *err)
{
    if (!log->file)
        return PARE_OK;
    int failed = log->failed;
    if (fclose(log->file) && !failed)
        failed = errno;
    log->file = NULL;
    if (failed)
        return pare_fail(err, PARE_ERR_IO, "%s: cannot write: %s", log->path,
                         strerror(failed));
    return PARE_OK;
}

/* Number behind "update": in a line of ours, 0 when there is none. */
static uint64_t update_of(const char *line)
{
    const char *at = strstr(line, "\"update\":");
    return at ? strtoull(at + 9, NULL, 10) : 0;
}

/* A resumed run makes the updates behind its checkpoint again: their lines, and a last
 * line that was cut off, are removed. */
static void drop_lines_behind(struct train_log *log, uint64_t update)
{
    char line[1024];
    long keep = 0;
    rewind(log->file);
    while (fgets(line, sizeof line, log->file) && strchr(line, '\n') &&
           update_of(line) <= update)
        keep = ftell(log->file);
    if (fseek(log->file, 0, SEEK_END) || ftruncate(fileno(log->file), keep))
        log->failed = errno;
    log->foreign = 0;
}

/* A number as JSON has it: null for what it has no number for. */
static void put_number(FILE *f, const char *key, double value)
{
    if (isfinite(value))
        fprintf(f, ",\"%s\":%.9g", key, value);
    else
        fprintf(f, ",\"%s\":null", key);
}

static const char *kind_name(enum pare_train_event_kind kind)
{
    return kind == PARE_TRAIN_EPOCH  ? "epoch"
           : kind == PARE_TRAIN_EVAL ? "eval"
                                     : "update";
}

static void write_line(struct train_log *log, const struct pare_train_event *e)
{
    FILE *f = log->file;
    if (f && log->foreign) /* there was nothing to resume from */
        drop_lines_behind(log, 0);
    if (!f || log->failed)
        return;
    fprintf(f, "{\"kind\":\"%s\",\"epoch\":%" PRIu64 ",\"update\":%" PRIu64,
            kind_name(e->kind), e->epoch, e->update);
    if (e->kind != PARE_TRAIN_EVAL)
        put_number(f, "loss", e->loss);
    for (int i = 0; i < e->n_parts; i++)
        fprintf(f, ",\"loss_%s\":%.9g", e->part_names[i], e->part[i]);
    if (e->kind == PARE_TRAIN_UPDATE)
        fprintf(f, ",\"lr\":%.9g,\"gradient_norm\":%.9g", e->lr, e->norm);
    if (e->has_dev)
        fprintf(f,
                ",\"dev_examples\":%" PRIu64 ",\"dev_correct\":%" PRIu64
                ",\"dev_accuracy\":%.9g,\"best\":%s",
                e->dev.examples, e->dev.correct,
                (double)e->dev.correct / (double)e->dev.examples,
                e->is_best ? "true" : "false");
    if (e->has_dev)
        put_number(f, "dev_loss", e->dev.loss);
    fprintf(f, ",\"seconds\":%.3f,\"samples_per_s\":%.1f}\n", e->seconds, e->rate);
    if (fflush(f))
        log->failed = errno ? errno : EIO;
}

/* "dev 3 of 4 right (75.00 %), loss 0.1000, the best so far", or nothing. */
static const char *score_text(const struct pare_train_event *e, char out[128])
{
    *out = 0;
    if (e->has_dev)
        snprintf(out, 128, "dev %" PRIu64 " of %" PRIu64 " right (%.2f %%), loss %.4f%s",
                 e->dev.correct, e->dev.examples,
                 100.0 * (double)e->dev.correct / (double)e->dev.examples, e->dev.loss,
                 e->is_best ? ", the best so far" : "");
    return out;
}

/* " (hard 0.1000, soft 0.2000)", or nothing for a loss of one term. */
static const char *parts_text(const struct pare_train_event *e, char out[256])
{
    size_t used = 0;
    *out = 0;
    for (int i = 0; e->n_parts > 1 && i < e->n_parts && used < 256; i++)
        used += (size_t)snprintf(out + used, 256 - used, "%s%s %.4f%s", i ? ", " : " (",
                                 e->part_names[i], e->part[i],
                                 i + 1 == e->n_parts ? ")" : "");
    return out;
}

static void tell_epoch(const struct train_log *log, const struct pare_train_event *e)
{
    char parts[256], score[128];
    pare_cli_info(log->cli,
                  "epoch %" PRIu64 " of %" PRIu64 ": loss %.4f%s; %s%s%.0f samples/s",
                  e->epoch, e->epochs, e->loss, parts_text(e, parts),
                  score_text(e, score), e->has_dev ? "; " : "", e->rate);
}

static void tell_evaluation(const struct train_log *log, const struct pare_train_event *e)
{
    char score[128];
    if (!e->ends_epoch) /* else the epoch's line says it */
        pare_cli_info(log->cli, "update %" PRIu64 " of %" PRIu64 ": %s", e->update,
                      e->updates, score_text(e, score));
}

void train_log_event(void *context, const struct pare_train_event *event)
{
    struct train_log *log = context;
    switch (event->kind) {
    case PARE_TRAIN_RESUMED:
        if (event->fell_back)
            pare_cli_warn(log->cli, "%s is damaged; the one before it is used",
                          log->state_path);
        pare_cli_info(log->cli, "resumed behind update %" PRIu64 " of %" PRIu64,
                      event->update, event->updates);
        if (log->file)
            drop_lines_behind(log, event->update);
        break;
    case PARE_TRAIN_UPDATE: write_line(log, event); break;
    case PARE_TRAIN_EVAL:
        write_line(log, event);
        tell_evaluation(log, event);
        break;
    case PARE_TRAIN_EPOCH:
        write_line(log, event);
        tell_epoch(log, event);
        break;
    case PARE_TRAIN_SAVED:
        pare_cli_detail(log->cli, "wrote %s behind update %" PRIu64, log->state_path,
                        event->update);
        break;
    }
}

void train_log_result(struct pare_cli *cli, const struct pare_train_result *result)
{
    if (result->stopped_early)
        pare_cli_info(cli, "stopped behind update %" PRIu64 ": no score became better",
                      result->updates);
    if (result->has_dev)
        pare_cli_info(
            cli,
            "%s: update %" PRIu64 ", %" PRIu64 " of %" PRIu64 " right on dev (%.2f %%)",
            cli->output, result->kept_update, result->kept.correct, result->kept.examples,
            100.0 * (double)result->kept.correct / (double)result->kept.examples);
}
