/* What a container takes without being run: bits and zeros of its matrices, and what is
 * to be sent of it. */
#ifndef PARE_EVAL_STORAGE_H
#define PARE_EVAL_STORAGE_H

#include "runtime/base/json.h"
#include "runtime/base/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adds block_bits_per_weight, sparsity and model.matrices to a result that has a "model"
 * (docs/RESULT_JSON.md), and with `download` download_bytes. Reads all of the container,
 * in this process and in parallel: not before pare_measure. */
enum pare_status pare_measure_storage(const char *path, int download,
                                      const struct pare_progress *progress, cJSON *result,
                                      struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
