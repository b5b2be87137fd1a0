/* What a training run said of itself: the JSON lines of pare-train --metrics and
 * pare-distill --metrics (docs/RESULT_JSON.md). */
#ifndef PARE_EVAL_TRAINING_H
#define PARE_EVAL_TRAINING_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_training_update {
    uint64_t update;
    double loss; /* mean of its sequences */
};

struct pare_training_score { /* on the development set */
    uint64_t update;
    double accuracy, loss; /* loss: NAN when it was not finite */
    int is_best;           /* the run kept it, until a better one */
};

struct pare_training {
    char *source; /* the file's name without its folder */
    struct pare_training_update *updates;
    size_t n_updates, updates_capacity;
    struct pare_training_score *scores;
    size_t n_scores, scores_capacity;
    size_t best; /* index into scores: what the run kept */
    uint64_t epochs;
};

/* Reads a file. A last line that was cut off (by a run that still writes, or a full disk)
 * is left out; any other line that is none of a run's, or updates that go backwards, are
 * PARE_ERR_INPUT with the number of the line. Free with pare_training_free, also after a
 * failure. */
enum pare_status pare_training_read(const char *path, struct pare_training *out,
                                    struct pare_error *err) PARE_CHECKED;
void pare_training_free(struct pare_training *training);

/* The training loss as a line of at most `most` points, into x[most] and y[most]: each
 * the mean of the updates around it, 1/48 of the run to each side, so that batches differ
 * less than the run moves. Returns how many points. */
size_t pare_training_curve(const struct pare_training *training, size_t most, double *x,
                           double *y);

#ifdef __cplusplus
}
#endif
#endif
