/* gzip around a checkpoint: see gzip.h. */
#include "runtime/checkpoint/gzip.h"

#include <string.h>
#include <zlib.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"

#define MEMBER (15 + 16)    /* windowBits of zlib for gzip */
#define SMALLEST 18         /* bytes of an empty member */
#define LEVEL 6             /* zlib's default: higher ones gain next to nothing here */
#define PIECE (1u << 30)    /* zlib counts in 32 bits */
#define OUT ((size_t)65536) /* compressed bytes at a time */
#define FREE_BYTES ((uint64_t)64 << 20)
#define FREE_RATIO 32

/* --- Reading ---------------------------------------------------------------------- */

int pare_is_gzip(const struct pare_source *source)
{
    return source->size >= 2 && source->data[0] == 0x1F && source->data[1] == 0x8B;
}

/* One run over the stream. */
struct run {
    int result;    /* of zlib, Z_STREAM_END: all is there */
    uint64_t used; /* bytes of the file */
    uint64_t made;
};

static struct run inflate_into(const struct pare_source *source, uint8_t *out,
                               uint64_t size)
{
    struct run run = {.result = Z_OK};
    z_stream stream = {0};
    if (inflateInit2(&stream, MEMBER) != Z_OK)
        return (struct run){.result = Z_MEM_ERROR};
    while (run.result == Z_OK) {
        const uint64_t rest = source->size - run.used, room = size - run.made;
        const uInt in = rest < PIECE ? (uInt)rest : PIECE;
        const uInt space = room < PIECE ? (uInt)room : PIECE;
        stream.next_in = (Bytef *)(uintptr_t)(source->data + run.used);
        stream.next_out = out + run.made;
        stream.avail_in = in;
        stream.avail_out = space;
        run.result = inflate(&stream, Z_NO_FLUSH);
        run.used += in - stream.avail_in;
        run.made += space - stream.avail_out;
        if (in == stream.avail_in && space == stream.avail_out && run.result == Z_OK)
            break;
    }
    inflateEnd(&stream);
    return run;
}

static enum pare_status fail_run(const struct pare_source *source, const struct run *run,
                                 uint64_t size, struct pare_error *err)
{
    if (run->result == Z_MEM_ERROR)
        return pare_fail_memory(err, (size_t)1 << MAX_WBITS);
    if (run->result != Z_OK && run->result != Z_BUF_ERROR)
        return pare_source_fail(
            source, run->used, err, "the gzip stream is damaged: its %s",
            run->made == size ? "checksum or size is wrong" : "data make no sense");
    if (run->used == source->size)
        return pare_source_fail(source, run->used, err,
                                "the gzip stream was cut off here");
    return pare_source_fail(source, run->used, err,
                            "the gzip stream holds more than the %llu bytes that its "
                            "end says",
                            (unsigned long long)size);
}

/* The file's last four bytes are the size of what is inside, modulo 2^32. */
enum pare_status pare_gunzip(struct pare_source *source, struct pare_arena *arena,
                             struct pare_error *err)
{
    const uint64_t most = FREE_BYTES + FREE_RATIO * source->size;
    if (source->size < SMALLEST)
        return pare_source_fail(source, source->size, err,
                                "the gzip stream was cut off here");
    uint64_t size = pare_load_u32(source->data + source->size - 4);
    struct run run = {.result = Z_BUF_ERROR};
    const struct pare_arena_mark mark = pare_arena_mark(arena);
    for (; size <= most; size += (uint64_t)1 << 32) {
        uint8_t *out;
        pare_arena_release(arena, mark);
        PARE_TRY(pare_arena_alloc(arena, &out, (size_t)size + 1, 1, err));
        run = inflate_into(source, out, size);
        if (run.result == Z_STREAM_END && run.used == source->size) {
            const uint64_t stored = source->stored;
            *source = pare_source_of(source->path, out, size);
            source->stored = stored;
            return PARE_OK;
        }
        if (run.result == Z_STREAM_END)
            return pare_source_fail(source, run.used, err,
                                    "%llu bytes behind the gzip stream belong to nothing",
                                    (unsigned long long)(source->size - run.used));
        if (run.made < size || source->size <= UINT32_MAX / 1032)
            return fail_run(source, &run, size, err);
    }
    return pare_source_fail(source, source->size - 4, err,
                            "the gzip stream says that it holds %llu bytes, at most %llu "
                            "are read from a file of this size: it may be cut off",
                            (unsigned long long)size, (unsigned long long)most);
}

/* --- Writing ---------------------------------------------------------------------- */

struct pare_gzip {
    struct pare_output *file; /* or NULL */
    uint64_t bytes;
    z_stream stream;
    gz_header header;
    uint8_t out[OUT];
};

enum pare_status pare_gzip_new(struct pare_output *file, struct pare_gzip **result,
                               struct pare_error *err)
{
    struct pare_gzip *gzip;
    *result = NULL;
    PARE_TRY(pare_alloc(&gzip, 1, sizeof *gzip, err));
    gzip->file = file;
    gzip->header.os = 255; /* unknown: the same everywhere */
    if (deflateInit2(&gzip->stream, LEVEL, Z_DEFLATED, MEMBER, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        pare_free(gzip);
        return pare_fail_memory(err, (size_t)1 << 18);
    }
    deflateSetHeader(&gzip->stream, &gzip->header);
    *result = gzip;
    return PARE_OK;
}

/* Compresses what is at next_in; `flush` as zlib has it. */
static enum pare_status drain(struct pare_gzip *gzip, int flush, struct pare_error *err)
{
    do {
        gzip->stream.next_out = gzip->out;
        gzip->stream.avail_out = (uInt)sizeof gzip->out;
        if (deflate(&gzip->stream, flush) == Z_STREAM_ERROR)
            return pare_fail(err, PARE_ERR_INTERNAL, "the gzip stream lost its state");
        const size_t n = sizeof gzip->out - gzip->stream.avail_out;
        gzip->bytes += n;
        if (gzip->file)
            PARE_TRY(pare_output_write(gzip->file, gzip->out, n, err));
    } while (!gzip->stream.avail_out);
    return PARE_OK;
}

enum pare_status pare_gzip_write(struct pare_gzip *gzip, const void *data, size_t bytes,
                                 struct pare_error *err)
{
    const uint8_t *from = data;
    for (size_t n; bytes; bytes -= n, from += n) {
        n = bytes < PIECE ? bytes : PIECE;
        gzip->stream.next_in = (Bytef *)(uintptr_t)from;
        gzip->stream.avail_in = (uInt)n;
        PARE_TRY(drain(gzip, Z_NO_FLUSH, err));
    }
    return PARE_OK;
}

enum pare_status pare_gzip_end(struct pare_gzip *gzip, struct pare_error *err)
{
    gzip->stream.avail_in = 0;
    return drain(gzip, Z_FINISH, err);
}

uint64_t pare_gzip_bytes(const struct pare_gzip *gzip)
{
    return gzip->bytes;
}

void pare_gzip_free(struct pare_gzip *gzip)
{
    if (gzip)
        deflateEnd(&gzip->stream);
    pare_free(gzip);
}
