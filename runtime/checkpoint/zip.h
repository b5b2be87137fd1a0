/* Zip archives as PyTorch writes them, read through the central directory. Private to the
 * reader of PyTorch files, its tests and the fuzz target. */
#ifndef PARE_CHECKPOINT_ZIP_H
#define PARE_CHECKPOINT_ZIP_H

#include "runtime/base/arena.h"
#include "runtime/base/names.h"
#include "runtime/checkpoint/reader.h"

struct pare_zip_entry {
    const char *name; /* in the file, without a NUL */
    uint32_t name_length;
    uint16_t flags, method; /* 0 stored, 8 deflated */
    uint32_t crc;           /* 0: the writer did not compute it */
    uint64_t packed, size;  /* bytes in the file, and unpacked */
    uint64_t header;        /* offset of the local header */
    uint64_t place;         /* offset of the packed bytes */
    const uint8_t *data;    /* once pare_zip_data has checked and unpacked them */
};

struct pare_zip {
    struct pare_source *source;
    struct pare_zip_entry *entries; /* in the arena */
    uint32_t count;
    struct pare_names names;
};

/* Reads and checks the directory; entries come from `arena`. pare_zip_close is safe after
 * a failure and on a zeroed structure. */
enum pare_status pare_zip_open(struct pare_source *source, struct pare_arena *arena,
                               struct pare_zip *zip, struct pare_error *err) PARE_CHECKED;
void pare_zip_close(struct pare_zip *zip);
struct pare_zip_entry *pare_zip_find(const struct pare_zip *zip, const char *name,
                                     size_t length);
/* entry->data: in the file if stored, else unpacked into `arena`; the checksum is checked
 * the first time. */
enum pare_status pare_zip_data(struct pare_zip *zip, struct pare_zip_entry *entry,
                               struct pare_arena *arena,
                               struct pare_error *err) PARE_CHECKED;

#endif
