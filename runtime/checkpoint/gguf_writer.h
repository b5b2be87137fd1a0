/* Writes a GGUF v3 container: first the whole plan, then the data, tensor by tensor in
 * the order of the plan, so that a model larger than memory streams through.
 *
 *     pare_gguf_writer_open(path, &meta, &writer, err);
 *     for every tensor: pare_gguf_writer_plan(writer, name, type, n_dims, shape, err);
 *     for every tensor, in that order: pare_gguf_writer_data(writer, data, bytes, err);
 *         (in as many pieces as convenient)
 *     pare_gguf_writer_commit(writer, err);
 *
 * Commit re-opens the temporary file with the reader, compares every key, tensor and the
 * SHA-256 of every tensor's data, and only then renames: success means a readable file.
 */
#ifndef PARE_CHECKPOINT_GGUF_WRITER_H
#define PARE_CHECKPOINT_GGUF_WRITER_H

#include "runtime/checkpoint/meta.h"
#include "runtime/tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_gguf_writer;

/* A path that ends in .gz is written compressed (gzip.h). `meta` is borrowed and must
 * stay as it is until the first pare_gguf_writer_data. */
enum pare_status pare_gguf_writer_open(const char *path, const struct pare_meta *meta,
                                       struct pare_gguf_writer **out,
                                       struct pare_error *err) PARE_CHECKED;
/* Name of at most 63 bytes, unique; a type GGUF knows; at most 4 dimensions, outermost
 * first (the writer reverses them). */
enum pare_status pare_gguf_writer_plan(struct pare_gguf_writer *writer, const char *name,
                                       enum pare_dtype type, int n_dims,
                                       const uint64_t *shape,
                                       struct pare_error *err) PARE_CHECKED;
/* The next bytes of the current tensor; a piece may end inside a tensor, not cross into
 * the next one. */
enum pare_status pare_gguf_writer_data(struct pare_gguf_writer *writer, const void *data,
                                       uint64_t bytes,
                                       struct pare_error *err) PARE_CHECKED;
/* Frees the writer in every case. PARE_ERR_INTERNAL when data is missing. */
enum pare_status pare_gguf_writer_commit(struct pare_gguf_writer *writer,
                                         struct pare_error *err) PARE_CHECKED;
void pare_gguf_writer_abort(struct pare_gguf_writer *writer); /* NULL allowed */

#ifdef __cplusplus
}
#endif
#endif
