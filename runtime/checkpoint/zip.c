/* Zip after PKWARE's APPNOTE 6.3, sections 4.3 and 4.4, restricted to one interpretation:
 * the archive ends with its end record and nothing behind it, the central directory ends
 * where that begins, and every entry agrees with its local header. Local headers are
 * never believed: PyTorch leaves sizes and checksums out of them.
 */
#include "runtime/checkpoint/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"

enum {
    END_BYTES = 22,
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
};
#define END_MAGIC 0x06054b50u
#define LOCATOR_MAGIC 0x07064b50u
#define END64_MAGIC 0x06064b50u
#define CENTRAL_MAGIC 0x02014b50u
#define LOCAL_MAGIC 0x04034b50u

#define FLAG_ENCRYPTED 0x0001
#define FLAG_DESCRIPTOR                                                                  \
    0x0008 /* sizes follow the data: in the local header they are 0                      \
            */
/* Deflate's speed setting, the descriptor, UTF-8 names. */
#define FLAGS_KNOWN (0x0006 | FLAG_DESCRIPTOR | 0x0800)
#define MAX_NAME_BYTES 1024
#define MAX_ENTRIES (PARE_MAX_TENSORS + 64)

struct directory {
    uint64_t count, size, offset;
    uint64_t end; /* where it must end */
};

/* --- the end records --- */

static int agrees(uint64_t narrow, uint64_t saturated, uint64_t wide)
{
    return narrow == saturated || narrow == wide;
}

static enum pare_status read_end64(const struct pare_source *source, uint64_t end_at,
                                   struct directory *dir, struct pare_error *err)
{
    uint64_t locator_at = end_at - LOCATOR_BYTES;
    const uint8_t *locator = source->data + locator_at;
    uint64_t at = pare_load_u64(locator + 8);
    if (pare_load_u32(locator + 4) != 0 || pare_load_u32(locator + 16) > 1 ||
        locator_at < END64_BYTES || at != locator_at - END64_BYTES)
        return pare_source_fail(source, locator_at, err,
                                "zip: the ZIP64 locator does not point to the record "
                                "before it");
    const uint8_t *p = source->data + at, *end = source->data + end_at;
    if (pare_load_u32(p) != END64_MAGIC || pare_load_u64(p + 4) != END64_BYTES - 12 ||
        pare_load_u32(p + 16) != 0 || pare_load_u32(p + 20) != 0 ||
        pare_load_u64(p + 24) != pare_load_u64(p + 32))
        return pare_source_fail(source, at, err, "zip: a malformed ZIP64 end record");
    dir->count = pare_load_u64(p + 32);
    dir->size = pare_load_u64(p + 40);
    dir->offset = pare_load_u64(p + 48);
    dir->end = at;
    if (!agrees(pare_load_u16(end + 10), 0xFFFF, dir->count) ||
        !agrees(pare_load_u32(end + 12), 0xFFFFFFFF, dir->size) ||
        !agrees(pare_load_u32(end + 16), 0xFFFFFFFF, dir->offset))
        return pare_source_fail(source, end_at, err,
                                "zip: the two end records contradict each other");
    return PARE_OK;
}

static enum pare_status read_end(const struct pare_source *source, struct directory *dir,
                                 struct pare_error *err)
{
    uint64_t at = source->size >= END_BYTES ? source->size - END_BYTES : 0;
    const uint8_t *p = source->data + at;
    if (source->size < END_BYTES || pare_load_u32(p) != END_MAGIC ||
        pare_load_u16(p + 20) != 0)
        return pare_source_fail(source, at, err,
                                "zip: no end record in the last 22 bytes: the file was "
                                "cut off, or has a comment or other bytes behind it");
    if (pare_load_u16(p + 4) != 0 || pare_load_u16(p + 6) != 0 ||
        pare_load_u16(p + 8) != pare_load_u16(p + 10))
        return pare_source_fail(source, at, err, "zip: a part of a split archive");
    dir->count = pare_load_u16(p + 10);
    dir->size = pare_load_u32(p + 12);
    dir->offset = pare_load_u32(p + 16);
    dir->end = at;
    if (at >= LOCATOR_BYTES && pare_load_u32(p - LOCATOR_BYTES) == LOCATOR_MAGIC)
        PARE_TRY(read_end64(source, at, dir, err));
    if (dir->offset > dir->end || dir->size != dir->end - dir->offset)
        return pare_source_fail(source, at, err,
                                "zip: a directory of %llu bytes at offset %llu does not "
                                "end at byte %llu",
                                (unsigned long long)dir->size,
                                (unsigned long long)dir->offset,
                                (unsigned long long)dir->end);
    if (dir->count > MAX_ENTRIES || dir->count > dir->size / CENTRAL_BYTES)
        return pare_source_fail(source, at, err,
                                "zip: %llu entries do not fit into a directory of %llu "
                                "bytes",
                                (unsigned long long)dir->count,
                                (unsigned long long)dir->size);
    return PARE_OK;
}

/* --- the directory --- */

/* No component "..", no way out of the archive, nothing that a terminal acts upon. */
static int is_safe_name(const char *name, size_t length)
{
    if (!length || length > MAX_NAME_BYTES || name[0] == '/' ||
        !pare_is_clean_name(name, length) || memchr(name, '\\', length))
        return 0;
    for (size_t i = 0; i + 1 < length; i++)
        if (name[i] == '.' && name[i + 1] == '.' && (i == 0 || name[i - 1] == '/') &&
            (i + 2 == length || name[i + 2] == '/'))
            return 0;
    return 1;
}

/* The next 64-bit field of the ZIP64 extra field for a value that is saturated. */
static int widen(uint64_t *value, const uint8_t **extra, size_t *left)
{
    if (*value != 0xFFFFFFFF)
        return 1;
    if (*left < 8)
        return 0;
    *value = pare_load_u64(*extra);
    *extra += 8;
    *left -= 8;
    return 1;
}

static int read_extra(struct pare_zip_entry *entry, const uint8_t *extra, size_t left)
{
    while (left >= 4) {
        uint16_t id = pare_load_u16(extra);
        size_t size = pare_load_u16(extra + 2);
        extra += 4;
        left -= 4;
        if (size > left)
            return 0;
        if (id == 1) /* in this order, only those that are saturated */
            return widen(&entry->size, &extra, &size) &&
                   widen(&entry->packed, &extra, &size) &&
                   widen(&entry->header, &extra, &size);
        extra += size;
        left -= size;
    }
    return entry->size != 0xFFFFFFFF && entry->packed != 0xFFFFFFFF &&
           entry->header != 0xFFFFFFFF;
}

static enum pare_status read_local(const struct pare_zip *zip,
                                   struct pare_zip_entry *entry, uint64_t limit,
                                   struct pare_error *err)
{
    const struct pare_source *source = zip->source;
    int shown = (int)(entry->name_length < 100 ? entry->name_length : 100);
    if (entry->header > limit || limit - entry->header < LOCAL_BYTES)
        return pare_source_fail(source, entry->header, err,
                                "zip: the header of %.*s is outside of the file", shown,
                                entry->name);
    const uint8_t *p = source->data + entry->header;
    uint64_t names = LOCAL_BYTES + (uint64_t)pare_load_u16(p + 26);
    uint64_t front = names + pare_load_u16(p + 28);
    if (pare_load_u32(p) != LOCAL_MAGIC || front > limit - entry->header ||
        pare_load_u16(p + 26) != entry->name_length ||
        memcmp(p + LOCAL_BYTES, entry->name, entry->name_length) != 0 ||
        pare_load_u16(p + 8) != entry->method ||
        (pare_load_u16(p + 6) & ~0x6) != (entry->flags & ~0x6))
        return pare_source_fail(source, entry->header, err,
                                "zip: the header of %.*s contradicts the directory",
                                shown, entry->name);
    if (!(entry->flags & FLAG_DESCRIPTOR) &&
        (!agrees(pare_load_u32(p + 18), 0xFFFFFFFF, entry->packed) ||
         !agrees(pare_load_u32(p + 22), 0xFFFFFFFF, entry->size)))
        return pare_source_fail(source, entry->header, err,
                                "zip: the sizes of %.*s contradict the directory", shown,
                                entry->name);
    entry->place = entry->header + front;
    if (entry->packed > limit - entry->place)
        return pare_source_fail(source, entry->header, err,
                                "zip: the data of %.*s are beyond the end", shown,
                                entry->name);
    return PARE_OK;
}

static enum pare_status check_entry(const struct pare_zip *zip,
                                    const struct pare_zip_entry *entry, uint64_t at,
                                    struct pare_error *err)
{
    int shown = (int)(entry->name_length < 100 ? entry->name_length : 100);
    if (entry->flags & FLAG_ENCRYPTED)
        return pare_source_fail(zip->source, at, err, "zip: %.*s is encrypted", shown,
                                entry->name);
    if (entry->flags & ~FLAGS_KNOWN)
        return pare_source_fail(zip->source, at, err, "zip: %.*s has unknown flags %04x",
                                shown, entry->name, entry->flags);
    if (entry->method != 0 && entry->method != Z_DEFLATED)
        return pare_source_fail(zip->source, at, err,
                                "zip: %.*s is packed with method %d; stored and deflated "
                                "entries are supported",
                                shown, entry->name, entry->method);
    if (entry->method == 0 && entry->packed != entry->size)
        return pare_source_fail(zip->source, at, err,
                                "zip: %.*s is stored, but has two sizes", shown,
                                entry->name);
    return PARE_OK;
}

/* The central record at *at; moves *at behind it. */
static enum pare_status read_entry(struct pare_zip *zip, const struct directory *dir,
                                   uint64_t *at, struct pare_error *err)
{
    const struct pare_source *source = zip->source;
    const uint8_t *p = source->data + *at;
    uint64_t left = dir->end - *at, start = *at;
    if (left < CENTRAL_BYTES || pare_load_u32(p) != CENTRAL_MAGIC)
        return pare_source_fail(source, start, err, "zip: expected a directory record");
    size_t name_length = pare_load_u16(p + 28), extra_length = pare_load_u16(p + 30);
    uint64_t whole = CENTRAL_BYTES + name_length + extra_length + pare_load_u16(p + 32);
    if (whole > left)
        return pare_source_fail(source, start, err,
                                "zip: a directory record is longer than the directory");
    struct pare_zip_entry *entry = &zip->entries[zip->count];
    *entry = (struct pare_zip_entry){.name = (const char *)p + CENTRAL_BYTES,
                                     .name_length = (uint32_t)name_length,
                                     .flags = pare_load_u16(p + 8),
                                     .method = pare_load_u16(p + 10),
                                     .crc = pare_load_u32(p + 16),
                                     .packed = pare_load_u32(p + 20),
                                     .size = pare_load_u32(p + 24),
                                     .header = pare_load_u32(p + 42)};
    if (!is_safe_name(entry->name, name_length))
        return pare_source_fail(source, start, err,
                                "zip: an entry's name is empty, too long or unsafe");
    if (!read_extra(entry, p + CENTRAL_BYTES + name_length, extra_length) ||
        pare_load_u16(p + 34) != 0)
        return pare_source_fail(source, start, err,
                                "zip: the sizes of %.*s need a ZIP64 field that is "
                                "missing or malformed",
                                (int)(name_length < 100 ? name_length : 100),
                                entry->name);
    PARE_TRY(check_entry(zip, entry, start, err));
    PARE_TRY(read_local(zip, entry, dir->offset, err));
    *at += whole;
    return PARE_OK;
}

static const char *name_of_entry(void *context, uint32_t number, size_t *length)
{
    const struct pare_zip *zip = context;
    *length = zip->entries[number].name_length;
    return zip->entries[number].name;
}

static enum pare_status enter_name(struct pare_zip *zip, uint64_t at,
                                   struct pare_error *err)
{
    const struct pare_zip_entry *entry = &zip->entries[zip->count];
    uint32_t other;
    PARE_TRY(pare_names_add(&zip->names, entry->name, entry->name_length, zip->count,
                            &other, err));
    if (other != PARE_NO_NAME)
        return pare_source_fail(
            zip->source, at, err, "zip: %.*s occurs twice",
            (int)(entry->name_length < 100 ? entry->name_length : 100), entry->name);
    zip->count++;
    return PARE_OK;
}

/* --- overlaps --- */

struct extent {
    uint64_t begin, end;
};

static int by_begin(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static enum pare_status refuse_overlaps(struct pare_zip *zip, struct pare_error *err)
{
    struct extent *extents;
    PARE_TRY(pare_source_take(zip->source, zip->count, sizeof *extents, err));
    PARE_TRY(pare_alloc_raw(&extents, zip->count, sizeof *extents, err));
    for (uint32_t i = 0; i < zip->count; i++)
        extents[i] = (struct extent){zip->entries[i].header,
                                     zip->entries[i].place + zip->entries[i].packed};
    qsort(extents, zip->count, sizeof *extents, by_begin);
    enum pare_status status = PARE_OK;
    for (uint32_t i = 1; i < zip->count && status == PARE_OK; i++)
        if (extents[i].begin < extents[i - 1].end)
            status = pare_source_fail(zip->source, extents[i].begin, err,
                                      "zip: two entries overlap");
    pare_free(extents);
    return status;
}

/* --- public --- */

enum pare_status pare_zip_open(struct pare_source *source, struct pare_arena *arena,
                               struct pare_zip *zip, struct pare_error *err)
{
    struct directory dir = {0};
    *zip = (struct pare_zip){.source = source,
                             .names = {.name = name_of_entry, .context = zip}};
    PARE_TRY(read_end(source, &dir, err));
    PARE_TRY(pare_source_take(source, dir.count, sizeof *zip->entries + 16, err));
    PARE_TRY(pare_arena_alloc(arena, &zip->entries, (size_t)dir.count,
                              sizeof *zip->entries, err));
    uint64_t at = dir.offset;
    for (uint64_t i = 0; i < dir.count; i++) {
        uint64_t start = at;
        PARE_TRY(read_entry(zip, &dir, &at, err));
        PARE_TRY(enter_name(zip, start, err));
    }
    if (at != dir.end)
        return pare_source_fail(source, at, err,
                                "zip: the directory has more than the %llu entries it "
                                "promises",
                                (unsigned long long)dir.count);
    return refuse_overlaps(zip, err);
}

void pare_zip_close(struct pare_zip *zip)
{
    pare_names_free(&zip->names);
}

struct pare_zip_entry *pare_zip_find(const struct pare_zip *zip, const char *name,
                                     size_t length)
{
    uint32_t number = pare_names_find(&zip->names, name, length);
    return number == PARE_NO_NAME ? NULL : &zip->entries[number];
}

static enum pare_status fail_data(const struct pare_zip *zip,
                                  const struct pare_zip_entry *entry, const char *reason,
                                  struct pare_error *err)
{
    return pare_source_fail(zip->source, entry->header, err, "zip: %.*s: %s",
                            (int)(entry->name_length < 100 ? entry->name_length : 100),
                            entry->name, reason);
}

/* Feeds zlib, whose counters have 32 bits, until the stream ends or nothing moves. */
static int run_inflate(z_stream *stream, uint64_t packed, uint64_t size)
{
    const uInt piece = 1u << 30;
    int result = Z_OK;
    while (result == Z_OK || result == Z_BUF_ERROR) {
        uInt in = packed < piece ? (uInt)packed : piece;
        uInt out = size < piece ? (uInt)size : piece;
        stream->avail_in = in;
        stream->avail_out = out;
        result = inflate(stream, Z_NO_FLUSH);
        packed -= in - stream->avail_in;
        size -= out - stream->avail_out;
        if (result == Z_BUF_ERROR || (in == stream->avail_in && out == stream->avail_out))
            break;
    }
    return result == Z_STREAM_END && packed == 0 && size == 0;
}

static enum pare_status unpack(struct pare_zip *zip, const struct pare_zip_entry *entry,
                               uint8_t *out, struct pare_error *err)
{
    z_stream stream = {0};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return pare_fail_memory(err, 0);
    stream.next_in = (Bytef *)(uintptr_t)(zip->source->data + entry->place);
    stream.next_out = out;
    int whole = run_inflate(&stream, entry->packed, entry->size);
    inflateEnd(&stream);
    return whole ? PARE_OK
                 : fail_data(zip, entry, "the deflated data do not give their size", err);
}

enum pare_status pare_zip_data(struct pare_zip *zip, struct pare_zip_entry *entry,
                               struct pare_arena *arena, struct pare_error *err)
{
    if (entry->data)
        return PARE_OK;
    const uint8_t *data = zip->source->data + entry->place;
    if (entry->method == Z_DEFLATED) {
        uint8_t *out;
        PARE_TRY(pare_source_take(zip->source, entry->size, 1, err));
        PARE_TRY(pare_arena_alloc(arena, &out, (size_t)entry->size, 1, err));
        PARE_TRY(unpack(zip, entry, out, err));
        data = out;
    }
    if (entry->crc && crc32_z(0, data, (z_size_t)entry->size) != entry->crc)
        return fail_data(zip, entry, "the checksum is wrong: the file is damaged", err);
    entry->data = data;
    return PARE_OK;
}
