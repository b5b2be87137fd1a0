/* Files that are compressed for transport: gzip (RFC 1952), one member, with nothing
 * behind it. What is inside is a checkpoint like any other.
 */
#ifndef PARE_CHECKPOINT_GZIP_H
#define PARE_CHECKPOINT_GZIP_H

#include "runtime/base/arena.h"
#include "runtime/checkpoint/reader.h"

#ifdef __cplusplus
extern "C" {
#endif

/* By content. */
int pare_is_gzip(const struct pare_source *source);

/* Puts what is inside in the place of the source's bytes, memory from the arena. What is
 * inside may have 64 MiB and 32 times the file's size. PARE_ERR_INPUT when it has more,
 * when the stream is damaged or cut off, or when it is not all of the file. */
enum pare_status pare_gunzip(struct pare_source *source, struct pare_arena *arena,
                             struct pare_error *err) PARE_CHECKED;

/* Compresses into `file`, at a fixed level, without name or time: the same bytes for the
 * same input and version of zlib, in whatever pieces it comes. NULL: only counts. */
struct pare_gzip;
enum pare_status pare_gzip_new(struct pare_output *file, struct pare_gzip **out,
                               struct pare_error *err) PARE_CHECKED;
enum pare_status pare_gzip_write(struct pare_gzip *gzip, const void *data, size_t bytes,
                                 struct pare_error *err) PARE_CHECKED;
/* Ends the stream; nothing is written after it. */
enum pare_status pare_gzip_end(struct pare_gzip *gzip,
                               struct pare_error *err) PARE_CHECKED;
/* Compressed bytes so far. */
uint64_t pare_gzip_bytes(const struct pare_gzip *gzip);
void pare_gzip_free(struct pare_gzip *gzip); /* NULL allowed */

#ifdef __cplusplus
}
#endif
#endif
