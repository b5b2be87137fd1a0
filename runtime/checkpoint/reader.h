/* What the readers of the single formats share. Private to this folder, its tests and the
 * fuzz targets: everyone else opens checkpoints through checkpoint.h.
 */
#ifndef PARE_CHECKPOINT_READER_H
#define PARE_CHECKPOINT_READER_H

#include "runtime/base/file.h"
#include "runtime/base/names.h"
#include "runtime/checkpoint/checkpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_MAX_TENSORS ((uint64_t)1 << 20)
#define PARE_MAX_META ((uint64_t)1 << 16)

/* The bytes of one file. */
struct pare_source {
    const char *path; /* for messages */
    const uint8_t *data;
    uint64_t size;
    uint64_t stored; /* size of the file: another one when that is compressed */
    uint64_t budget; /* bytes of memory that reading it may still take: promise P1 */
};

struct pare_ckpt_files {
    struct pare_map *maps;
    size_t n_maps, maps_capacity;
    size_t tensors_capacity;
    struct pare_names names;
};

struct pare_source pare_source_of(const char *path, const void *data, uint64_t size);
/* PARE_ERR_INPUT "path: byte N: ..." */
enum pare_status pare_source_fail(const struct pare_source *source, uint64_t offset,
                                  struct pare_error *err, const char *format, ...)
    PARE_PRINTF(4, 5);
/* Takes count * size bytes from the budget before they are allocated; PARE_ERR_INPUT when
 * the file asks for more than it can be worth. */
enum pare_status pare_source_take(struct pare_source *source, uint64_t count,
                                  uint64_t size, struct pare_error *err) PARE_CHECKED;

/* Whether a name that will be shown to people and kept as a C string is valid UTF-8
 * without control characters. */
int pare_is_clean_name(const char *name, size_t length);

/* Room for `count` more tensors, taken from the source's budget; then they are added. */
enum pare_status pare_ckpt_reserve(struct pare_ckpt *ckpt, struct pare_source *source,
                                   uint64_t count, struct pare_error *err) PARE_CHECKED;
static inline struct pare_tensor *pare_ckpt_add(struct pare_ckpt *ckpt)
{
    return &ckpt->tensors[ckpt->n_tensors++];
}

/* A new value behind the others; the caller knows that the key is not there yet. The key
 * is copied, the rest of `value` is taken as it is. */
enum pare_status pare_meta_append(struct pare_meta *meta, const char *key, size_t length,
                                  const struct pare_meta_value *value,
                                  struct pare_error *err) PARE_CHECKED;
/* Bytes of one element of that type, 0 for strings, arrays and unknown types. */
size_t pare_meta_element_bytes(enum pare_meta_type type);

/* The readers: each adds the tensors of one file to the checkpoint, in file order, and
 * its metadata if the checkpoint has none yet. Tensors and texts point into the source,
 * which must live as long as the checkpoint. Duplicate names are found by the caller. */
typedef enum pare_status pare_reader(struct pare_source *source, struct pare_ckpt *ckpt,
                                     struct pare_error *err);
pare_reader pare_gguf_read;
pare_reader pare_safetensors_read;
pare_reader pare_torch_read;

/* Opens the shards that an index names, checks that every tensor is where the index says,
 * and enters the names. */
pare_reader pare_shards_read;
/* Maps one more file and reads it; `path` must live as long as the checkpoint. */
enum pare_status pare_ckpt_add_file(struct pare_ckpt *ckpt, const char *path,
                                    struct pare_error *err) PARE_CHECKED;
/* Fills the table of names; PARE_ERR_INPUT when one occurs twice. */
enum pare_status pare_ckpt_enter_names(struct pare_ckpt *ckpt,
                                       struct pare_error *err) PARE_CHECKED;

/* A checkpoint in memory: as pare_ckpt_open of a file with those bytes, which must
 * outlive the checkpoint. An index of shards is refused. */
enum pare_status pare_ckpt_open_memory(const char *name, const void *data, uint64_t size,
                                       struct pare_ckpt **out,
                                       struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
