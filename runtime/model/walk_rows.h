/* What a calibration walk runs and shows at a time: pieces of batches, and rows that were
 * seen of them.
 */
#ifndef PARE_MODEL_WALK_ROWS_H
#define PARE_MODEL_WALK_ROWS_H

#include "runtime/model/walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The sequence behind the piece that begins with sequence `first`. */
size_t pare_walk_piece_end(const struct pare_batch *batch, size_t first);

/* Rows of a site that were seen and not yet shown, as the current weights make them and
 * as the original ones do. */
struct pare_walk_rows {
    size_t K;
    int both;
    float *X[2];
    size_t n[2];
};

/* For pieces of at most `most` rows. Free with pare_walk_rows_free, also after a failure.
 */
enum pare_status pare_walk_rows_init(struct pare_walk_rows *rows, size_t K, size_t most,
                                     int both, struct pare_error *err) PARE_CHECKED;
void pare_walk_rows_free(struct pare_walk_rows *rows); /* safe on a zeroed one */
/* original: 0 or 1. Less than PARE_WALK_ROWS were left from before. */
void pare_walk_rows_add(struct pare_walk_rows *rows, int original, const float *X,
                        size_t n);
/* How many are to be shown next: PARE_WALK_ROWS; `all`: or what is there; else 0. */
size_t pare_walk_rows_next(const struct pare_walk_rows *rows, int all, const float **X,
                           const float **original);
/* They were shown. */
void pare_walk_rows_drop(struct pare_walk_rows *rows, size_t n);

#ifdef __cplusplus
}
#endif
#endif
