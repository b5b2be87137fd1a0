/* What a training run tells: lines on the terminal, and its metrics as JSON lines. */
#ifndef PARE_TOOLS_TRAIN_LOG_H
#define PARE_TOOLS_TRAIN_LOG_H

#include <stdio.h>

#include "libdistill/trainer.h"
#include "tools/cli.h"

struct train_log {
    struct pare_cli *cli;
    const char *state_path;
    const char *path; /* of the metrics, or NULL */
    FILE *file;
    int failed; /* errno of the first write that failed */
    int foreign; /* the file has lines that may be none of this run's */
};

/* path NULL: no metrics. resume: lines are added to those that are there, if the run does
 * go on from a resume file. */
enum pare_status train_log_open(struct train_log *log, struct pare_cli *cli,
                                const char *path, int resume,
                                struct pare_error *err) PARE_CHECKED;
/* PARE_ERR_IO when a line could not be written. Safe on a zeroed log, and twice. */
enum pare_status train_log_close(struct train_log *log,
                                 struct pare_error *err) PARE_CHECKED;

/* For pare_train_hooks.event; the context is the log. */
void train_log_event(void *context, const struct pare_train_event *event);

/* What was kept, for the program's last line. */
void train_log_result(struct pare_cli *cli, const struct pare_train_result *result);

#endif
