/* Streaming a tensor into a container in another float type, with nothing lost in
 * silence.
 */
#ifndef PARE_MODEL_TRANSCODE_H
#define PARE_MODEL_TRANSCODE_H

#include "runtime/checkpoint/gguf_writer.h"
#include "runtime/tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_nonfinite { /* what to do with NaN and infinities */
                      PARE_NONFINITE_ERROR,
                      PARE_NONFINITE_KEEP,
                      PARE_NONFINITE_ZERO,
};

/* Decodes `tensor` (any float type) and writes it as `type` (F32, F16 or BF16), rounded
 * to nearest even. *nonfinite is how many elements were not finite (and kept or zeroed).
 * PARE_ERR_INPUT naming the first of them and their number under PARE_NONFINITE_ERROR;
 * always when a finite value is beyond F16's range. In parallel; same bytes for any
 * number of threads. */
enum pare_status pare_transcode(const struct pare_tensor *tensor, enum pare_dtype type,
                                enum pare_nonfinite rule, struct pare_gguf_writer *writer,
                                uint64_t *nonfinite, struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
