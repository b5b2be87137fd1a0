/* A small zip writer and a pickle assembler, for the malformed PyTorch files. */
#ifndef TESTS_SUPPORT_CORPUS_ZIP_H
#define TESTS_SUPPORT_CORPUS_ZIP_H

#include "tests/support/buffer.h"

#define ARCHIVE_MAX 8

struct archive_entry {
    const char *name;
    size_t name_length;
    uint16_t method, flags;
    uint32_t crc;
    uint64_t packed, size;
    uint64_t header; /* set when added */
    /* Bits of values that go into a ZIP64 field: 1 size, 2 packed, 4 header; and how many
     * bytes of that field are left out at its end. */
    int wide, cut;
    size_t central; /* where its directory record is, once finished */
};

struct archive { /* all zero: empty; written as PyTorch does */
    struct buffer out;
    struct archive_entry entries[ARCHIVE_MAX];
    int count;
    size_t directory, end64, locator, end; /* offsets, once finished */
    uint64_t base; /* bytes that will be put before the directory later */
};

void archive_add(struct archive *archive, const char *name, const void *data,
                 size_t bytes);
/* Everything chosen by the caller; `packed` bytes at `data` are written as they are. */
void archive_add_entry(struct archive *archive, const struct archive_entry *entry,
                       const void *data);
/* Deflates. */
void archive_add_deflated(struct archive *archive, const char *name, const void *data,
                          size_t bytes);
/* Directory, ZIP64 end record and locator if asked for, end record. */
void archive_finish(struct archive *archive, int zip64);

struct pickle_tensor {
    const char *class; /* "FloatStorage" */
    const char *key, *device;
    uint64_t numel;
    int64_t offset;
    int n_dims;
    const int64_t *sizes, *strides;
};

void pickle_text(struct buffer *p, const char *text);
void pickle_int(struct buffer *p, int64_t value);
void pickle_global(struct buffer *p, const char *module, const char *name);
void pickle_ordered_dict(struct buffer *p); /* an empty one */
void pickle_storage(struct buffer *p, const struct pickle_tensor *tensor);
void pickle_tensor(struct buffer *p, const struct pickle_tensor *tensor);
/* data.pkl of {"w": tensor} */
struct buffer pickle_of(const struct pickle_tensor *tensor);

#endif
