/* Any checkpoint, opened for reading: a list of named tensors over mapped files.
 *
 * The format is found by content, never by the name's ending alone: safetensors (one
 * file, or a sharded model.safetensors.index.json), PyTorch's zip .bin / .pt (also
 * sharded with pytorch_model.bin.index.json), GGUF v2 and v3. A folder stands for the
 * checkpoint inside it. A file that is gzip is unpacked into memory. Hostile input is
 * expected: every length and offset is checked before use, nothing is executed, and no
 * file outside the checkpoint's folder is opened. What each reader refuses is listed in
 * docs/RELIABILITY.md and made by tests/fixtures.
 */
#ifndef PARE_CHECKPOINT_CHECKPOINT_H
#define PARE_CHECKPOINT_CHECKPOINT_H

#include "runtime/base/progress.h"
#include "runtime/base/sha256.h"
#include "runtime/checkpoint/meta.h"
#include "runtime/tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_format {
    PARE_FORMAT_SAFETENSORS,
    PARE_FORMAT_TORCH,
    PARE_FORMAT_GGUF,
};

struct pare_ckpt {
    char *path; /* of the file, or of the index or first shard */
    enum pare_format format;
    int version;    /* GGUF: 2 or 3; else 0 */
    uint64_t bytes; /* of all files together */
    size_t n_files;
    size_t n_tensors; /* in file order; data points into the mapping or the arena */
    struct pare_tensor *tensors;
    struct pare_meta meta;         /* GGUF's keys; safetensors' __metadata__ as strings */
    struct pare_ckpt_files *files; /* mappings, private */
    struct pare_arena arena;
};

/* Opens `path`; *out is closed by the caller with pare_ckpt_close. Nothing is read but
 * headers, except in PyTorch files: the checksums of their storages are verified (if they
 * have any), compressed entries are inflated, and views that are not dense are copied. */
enum pare_status pare_ckpt_open(const char *path, struct pare_ckpt **out,
                                struct pare_error *err) PARE_CHECKED;
void pare_ckpt_close(struct pare_ckpt *ckpt); /* NULL allowed */

/* Gives back the memory of what was read of a tensor, as far as it lies in a mapped file
 * (file.h); its data stay valid. Of the `bytes` from `data` on. NULL: nothing. */
void pare_ckpt_release(const struct pare_ckpt *ckpt, const void *data, uint64_t bytes);
/* Adds the tensor's data to the hash, and gives their memory back piece by piece. */
void pare_ckpt_hash(const struct pare_ckpt *ckpt, const struct pare_tensor *tensor,
                    struct pare_sha256 *sha);

/* Bytes that are sent for the checkpoint: of all its files inside gzip (gzip.h), of one
 * that is already its own. Compresses them in this thread, without keeping anything. */
enum pare_status pare_ckpt_download(const struct pare_ckpt *ckpt,
                                    const struct pare_progress *progress, uint64_t *bytes,
                                    struct pare_error *err) PARE_CHECKED;

/* PARE_ERR_USAGE when `output` is one of the checkpoint's files, also through a link;
 * NULL is none. */
enum pare_status pare_ckpt_refuse_output(const struct pare_ckpt *ckpt, const char *output,
                                         struct pare_error *err) PARE_CHECKED;

/* NULL when there is none of that name. O(1): names are hashed at open. */
const struct pare_tensor *pare_ckpt_find(const struct pare_ckpt *ckpt, const char *name);
const char *pare_format_name(enum pare_format format); /* "safetensors", ... */

#ifdef __cplusplus
}
#endif
#endif
