/* The hidden states of all batches of a calibration walk: in memory, or in a file with
 * one batch in memory.
 */
#ifndef PARE_MODEL_WALK_HIDDEN_H
#define PARE_MODEL_WALK_HIDDEN_H

#include "runtime/base/spill.h"
#include "runtime/model/forward.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_hidden {
    float *floats; /* of all batches, behind each other; or of the one at hand */
    struct pare_spill *spill;
    size_t width; /* floats of a token */
};

/* spill_beside NULL: in memory; else as pare_spill_open. Free with pare_hidden_close,
 * also after a failure. */
enum pare_status pare_hidden_open(struct pare_hidden *hidden,
                                  const struct pare_batch *batches, size_t n_batches,
                                  size_t width, const char *spill_beside,
                                  struct pare_error *err) PARE_CHECKED;
void pare_hidden_close(struct pare_hidden *hidden); /* safe on a zeroed one */

/* [n_tokens, width] of the batch whose first token is number `token` of all. What is
 * there was stored before, or is anything when `fresh`. */
enum pare_status pare_hidden_fetch(struct pare_hidden *hidden, size_t token,
                                   const struct pare_batch *batch, int fresh, float **out,
                                   struct pare_error *err) PARE_CHECKED;
/* Keeps what was changed of the batch that was fetched last. */
enum pare_status pare_hidden_store(struct pare_hidden *hidden, size_t token,
                                   const struct pare_batch *batch,
                                   struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
