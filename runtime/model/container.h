/* Model containers as files: what every tool that makes a model out of a model needs, so
 * that conversion, training, quantisation and pruning write the same way.
 */
#ifndef PARE_MODEL_CONTAINER_H
#define PARE_MODEL_CONTAINER_H

#include "runtime/base/progress.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/gguf_writer.h"
#include "runtime/model/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Name of the tensor that holds a weight's scales: "X.weight" -> "X.weight_scale". */
void pare_scale_name(const char *weight_name, char out[PARE_NAME_SIZE + 8]);
/* "X.weight_codes" and "X.weight_zero", of weights in groups. */
void pare_codes_name(const char *weight_name, char out[PARE_NAME_SIZE + 8]);
void pare_zero_name(const char *weight_name, char out[PARE_NAME_SIZE + 8]);

/* "X.weight_sparse", "X.weight_mask", "X.weight_ranks", "X.weight_values", of sparse
 * weights: `part` is what stands behind the underscore. */
void pare_sparse_name(const char *weight_name, const char *part,
                      char out[PARE_NAME_SIZE + 8]);

/* "X.input_scale" and "X.input_range" of "X.weight"; Q, K and V of a block, which read
 * the same inputs, have those of "blk.N.attn_qkv". */
#define PARE_INPUT_NAME_SIZE (PARE_NAME_SIZE + 16)
void pare_input_scale_name(const char *weight_name, char out[PARE_INPUT_NAME_SIZE]);
void pare_input_range_name(const char *weight_name, char out[PARE_INPUT_NAME_SIZE]);

/* Adds one step to the container's provenance: pare.history is an array of strings, one a
 * step, each a JSON object {"tool", "version", "input_sha256", "options"}; earlier steps
 * are kept. No dates, paths or host names: the same input gives the same bytes. */
enum pare_status pare_history_add(struct pare_meta *meta, const char *tool,
                                  const char *input_sha256, const cJSON *options,
                                  struct pare_error *err) PARE_CHECKED;

/* SHA-256 over names, types, shapes and data of all tensors, sorted by name, and for GGUF
 * all keys but the history: equal for the same model in one file or in shards, and for
 * containers that differ in how they came about only. */
enum pare_status pare_ckpt_sha256(const struct pare_ckpt *ckpt, char out[65],
                                  struct pare_error *err) PARE_CHECKED;

/* Sets general.file_type to the number of a container whose matrices are mostly of that
 * type (removes the key when the format has none), and general.quantization_version for
 * block types. */
enum pare_status pare_file_type_set(struct pare_meta *meta, enum pare_dtype type,
                                    struct pare_error *err) PARE_CHECKED;

/* Number and first position of NaN or infinite elements of a float tensor (any stored
 * type). */
uint64_t pare_tensor_nonfinite(const struct pare_tensor *tensor, uint64_t *first);

#ifdef __cplusplus
}
#endif
#endif
