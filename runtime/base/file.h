/* Files: inputs are mapped read-only, outputs appear whole or not at all. */
#ifndef PARE_BASE_FILE_H
#define PARE_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A file mapped read-only and private. */
struct pare_map {
    const uint8_t *data; /* NULL when the file is empty */
    uint64_t size;
    uint64_t device, inode; /* to recognise the same file under another name */
};

/* Regular files only; a missing file, a folder or a device is PARE_ERR_IO with its path.
 */
enum pare_status pare_map_open(const char *path, struct pare_map *map,
                               struct pare_error *err) PARE_CHECKED;
void pare_map_close(struct pare_map *map); /* safe on a zeroed map, and twice */
/* Gives back the memory of the whole pages in data .. data + bytes, as far as they are
 * the mapping's: they are read from the file again when they are looked at again. */
void pare_map_release(const struct pare_map *map, const void *data, uint64_t bytes);

/* Reads a whole file of at most `limit` bytes into memory with a NUL behind it. The
 * caller frees *text with pare_free. */
enum pare_status pare_read_file(const char *path, uint64_t limit, char **text,
                                size_t *length, struct pare_error *err) PARE_CHECKED;

/* An output that replaces `path` atomically: a temporary file in the same folder, locked
 * through `path`.lock, synchronised and renamed at commit. Destination and temporary obey
 * promises P2, P4 and P5 of docs/RELIABILITY.md: a second writer gets PARE_ERR_LOCKED,
 * stale temporaries of killed writers are removed. */
struct pare_output;

enum pare_status pare_output_open(const char *path, struct pare_output **out,
                                  struct pare_error *err) PARE_CHECKED;
enum pare_status pare_output_write(struct pare_output *out, const void *data,
                                   size_t bytes, struct pare_error *err) PARE_CHECKED;
/* Overwrites bytes already written; the position of pare_output_write stays. */
enum pare_status pare_output_patch(struct pare_output *out, uint64_t offset,
                                   const void *data, size_t bytes,
                                   struct pare_error *err) PARE_CHECKED;
uint64_t pare_output_size(const struct pare_output *out);
/* Flushes, and gives the temporary's path so that it can be read back before commit. */
enum pare_status pare_output_flush(struct pare_output *out, const char **path,
                                   struct pare_error *err) PARE_CHECKED;
/* fsync, rename, fsync of the folder. Frees `out` in every case; on failure the
 * destination is untouched and the temporary removed. */
enum pare_status pare_output_commit(struct pare_output *out,
                                    struct pare_error *err) PARE_CHECKED;
void pare_output_abort(struct pare_output *out); /* removes the temporary; NULL allowed */

/* Writes `bytes` of data to `path` through the above in one call. */
enum pare_status pare_write_file(const char *path, const void *data, size_t bytes,
                                 struct pare_error *err) PARE_CHECKED;

/* Whether two paths lead to one file, also through a link; or, when there is no file yet,
 * would (a/../b and b, but not by a link that leads nowhere). */
int pare_path_is_same(const char *a, const char *b);

/* PARE_ERR_USAGE when `output` is the same file as `input`: an input is never overwritten
 * while it is being read. */
enum pare_status pare_refuse_same_file(const char *input, const char *output,
                                       struct pare_error *err) PARE_CHECKED;

/* "folder/name" into `out` (size bytes); PARE_ERR_USAGE when it does not fit. */
enum pare_status pare_path_join(char *out, size_t size, const char *folder,
                                const char *name, struct pare_error *err) PARE_CHECKED;
int pare_path_exists(const char *path);
int pare_path_is_folder(const char *path);

#ifdef __cplusplus
}
#endif
#endif
