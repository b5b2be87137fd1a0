#include "tests/support/corpus_zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

void archive_add_entry(struct archive *archive, const struct archive_entry *entry,
                       const void *data)
{
    if (archive->count == ARCHIVE_MAX)
        abort();
    struct buffer *out = &archive->out;
    struct archive_entry *added = &archive->entries[archive->count++];
    int described = entry->flags & 8;
    *added = *entry;
    added->header = out->size;
    put_u32(out, 0x04034b50);
    put_u16(out, 0);
    put_u16(out, entry->flags);
    put_u16(out, entry->method);
    put_u32(out, 0);
    put_u32(out, described ? 0 : entry->crc);
    put_u32(out, described ? 0 : (uint32_t)entry->packed);
    put_u32(out, described ? 0 : (uint32_t)entry->size);
    put_u16(out, (uint16_t)entry->name_length);
    size_t front = out->size + 2 + entry->name_length;
    uint16_t padding = (uint16_t)(4 + (124 - front) % 64); /* data at a multiple of 64 */
    put_u16(out, padding);
    put_bytes(out, entry->name, entry->name_length);
    put_string(out, "FB");
    put_u16(out, (uint16_t)(padding - 4));
    put_repeated(out, 'Z', padding - 4u);
    put_bytes(out, data, (size_t)entry->packed);
    if (described) {
        put_u32(out, 0x08074b50);
        put_u32(out, entry->crc);
        put_u32(out, (uint32_t)entry->packed);
        put_u32(out, (uint32_t)entry->size);
    }
}

static uint32_t checksum(const void *data, size_t bytes)
{
    return (uint32_t)crc32_z(0, data, bytes);
}

void archive_add(struct archive *archive, const char *name, const void *data,
                 size_t bytes)
{
    struct archive_entry entry = {.name = name,
                                  .name_length = strlen(name),
                                  .flags = 0x0808,
                                  .crc = checksum(data, bytes),
                                  .packed = bytes,
                                  .size = bytes};
    archive_add_entry(archive, &entry, data);
}

void archive_add_deflated(struct archive *archive, const char *name, const void *data,
                          size_t bytes)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    uLong room = deflateBound(&stream, bytes);
    uint8_t *packed = malloc(room);
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)bytes;
    stream.next_out = packed;
    stream.avail_out = (uInt)room;
    if (!packed || deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    struct archive_entry entry = {.name = name,
                                  .name_length = strlen(name),
                                  .method = 8,
                                  .crc = checksum(data, bytes),
                                  .packed = stream.total_out,
                                  .size = bytes};
    deflateEnd(&stream);
    archive_add_entry(archive, &entry, packed);
    free(packed);
}

static void put_central(struct archive *archive, struct archive_entry *entry)
{
    struct buffer *out = &archive->out, extra = {0};
    uint64_t values[3] = {entry->size, entry->packed, entry->header};
    for (int i = 0; i < 3; i++)
        if (entry->wide & 1 << i) {
            put_u64(&extra, values[i]);
            values[i] = UINT32_MAX;
        }
    extra.size -= (size_t)entry->cut;
    entry->central = out->size;
    put_u32(out, 0x02014b50);
    put_u16(out, 0);
    put_u16(out, 0);
    put_u16(out, entry->flags);
    put_u16(out, entry->method);
    put_u32(out, 0);
    put_u32(out, entry->crc);
    put_u32(out, (uint32_t)values[1]);
    put_u32(out, (uint32_t)values[0]);
    put_u16(out, (uint16_t)entry->name_length);
    put_u16(out, entry->wide ? (uint16_t)(extra.size + 10) : 0);
    put_u16(out, 0); /* comment */
    put_u16(out, 0); /* disk */
    put_u16(out, 0);
    put_u32(out, 0);
    put_u32(out, (uint32_t)values[2]);
    put_bytes(out, entry->name, entry->name_length);
    if (entry->wide) {
        put_string(out, "UT"); /* another field first */
        put_u16(out, 2);
        put_u16(out, 0);
        put_u16(out, 1);
        put_u16(out, (uint16_t)extra.size);
        put_bytes(out, extra.data, extra.size);
    }
    buffer_free(&extra);
}

void archive_finish(struct archive *archive, int zip64)
{
    struct buffer *out = &archive->out;
    uint64_t count = (uint64_t)archive->count;
    archive->directory = out->size;
    for (int i = 0; i < archive->count; i++)
        put_central(archive, &archive->entries[i]);
    uint64_t size = out->size - archive->directory;
    if (zip64) {
        archive->end64 = out->size;
        put_u32(out, 0x06064b50);
        put_u64(out, 44);
        put_u16(out, 0);
        put_u16(out, 0);
        put_u32(out, 0);
        put_u32(out, 0);
        put_u64(out, count);
        put_u64(out, count);
        put_u64(out, size);
        put_u64(out, archive->base + archive->directory);
        archive->locator = out->size;
        put_u32(out, 0x07064b50);
        put_u32(out, 0);
        put_u64(out, archive->base + archive->end64);
        put_u32(out, 1);
    }
    archive->end = out->size;
    put_u32(out, 0x06054b50);
    put_u16(out, 0);
    put_u16(out, 0);
    put_u16(out, (uint16_t)count);
    put_u16(out, (uint16_t)count);
    put_u32(out, (uint32_t)size);
    put_u32(out, archive->base ? UINT32_MAX : (uint32_t)archive->directory);
    put_u16(out, 0);
}

/* --- pickles --- */

void pickle_text(struct buffer *p, const char *text)
{
    put_u8(p, 'X');
    put_u32(p, (uint32_t)strlen(text));
    put_string(p, text);
}

void pickle_int(struct buffer *p, int64_t value)
{
    if (value >= 0 && value < 256) {
        put_u8(p, 'K');
        put_u8(p, (uint8_t)value);
    } else {
        put_u8(p, 0x8A);
        put_u8(p, 8);
        put_u64(p, (uint64_t)value);
    }
}

void pickle_global(struct buffer *p, const char *module, const char *name)
{
    put_u8(p, 'c');
    put_string(p, module);
    put_u8(p, '\n');
    put_string(p, name);
    put_u8(p, '\n');
}

void pickle_ordered_dict(struct buffer *p)
{
    pickle_global(p, "collections", "OrderedDict");
    put_string(p, ")R");
}

void pickle_storage(struct buffer *p, const struct pickle_tensor *tensor)
{
    put_u8(p, '(');
    pickle_text(p, "storage");
    pickle_global(p, "torch", tensor->class);
    pickle_text(p, tensor->key);
    pickle_text(p, tensor->device);
    pickle_int(p, (int64_t)tensor->numel);
    put_string(p, "tQ");
}

static void put_sizes(struct buffer *p, int n, const int64_t *sizes)
{
    put_u8(p, '(');
    for (int i = 0; i < n; i++)
        pickle_int(p, sizes[i]);
    put_u8(p, 't');
}

void pickle_tensor(struct buffer *p, const struct pickle_tensor *tensor)
{
    pickle_global(p, "torch._utils", "_rebuild_tensor_v2");
    put_u8(p, '(');
    pickle_storage(p, tensor);
    pickle_int(p, tensor->offset);
    put_sizes(p, tensor->n_dims, tensor->sizes);
    put_sizes(p, tensor->n_dims, tensor->strides);
    put_u8(p, 0x89);
    pickle_ordered_dict(p);
    put_string(p, "tR");
}

struct buffer pickle_of(const struct pickle_tensor *tensor)
{
    struct buffer p = {0};
    put_string(&p, "\x80\x02}(");
    pickle_text(&p, "w");
    pickle_tensor(&p, tensor);
    put_string(&p, "u.");
    return p;
}
