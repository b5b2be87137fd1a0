/* The format is described in gguf_read.c; this writes version 3.
 *
 * The header is produced by one function that puts bytes into a sink. Writing uses a sink
 * that is the file and a hash; verification reads the file back, puts what was read into
 * a sink that only hashes, and compares: equal hashes mean that the reader found every
 * key, every value and every tensor that was to be written.
 */
#include "runtime/checkpoint/gguf_writer.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/base/sha256.h"
#include "runtime/checkpoint/gzip.h"
#include "runtime/checkpoint/reader.h"

#define DEFAULT_ALIGNMENT 32
#define MAX_ALIGNMENT ((uint32_t)1 << 20)
#define MAX_DIMS 4
#define MAX_NAME_LENGTH 63
#define MAX_KEY_LENGTH 65535

/* Where bytes go: to the file, or through gzip to it. */
struct target {
    struct pare_output *file;
    struct pare_gzip *gzip; /* or NULL */
    uint64_t bytes;         /* before compression */
};

struct sink {
    struct target *target; /* NULL: only hash */
    struct pare_sha256 sha;
    uint64_t bytes;
};

struct pare_gguf_writer {
    char *path;
    const struct pare_meta *meta; /* until the header is written */
    struct target target;
    struct pare_arena arena;
    struct pare_tensor *tensors; /* the plan; data is unused */
    size_t n_tensors, tensors_capacity;
    char (*hashes)[65]; /* of each tensor's data */
    struct pare_names names;
    uint32_t alignment;
    int header_written;
    char header_hash[65];
    size_t current;          /* tensor being written */
    uint64_t done;           /* its bytes so far */
    struct pare_sha256 hash; /* of them */
};

/* --- the header --- */

static enum pare_status send(struct target *target, const void *data, size_t bytes,
                             struct pare_error *err)
{
    target->bytes += bytes;
    return target->gzip ? pare_gzip_write(target->gzip, data, bytes, err)
                        : pare_output_write(target->file, data, bytes, err);
}

static enum pare_status put(struct sink *sink, const void *data, size_t bytes,
                            struct pare_error *err)
{
    pare_sha256_update(&sink->sha, data, bytes);
    sink->bytes += bytes;
    return sink->target ? send(sink->target, data, bytes, err) : PARE_OK;
}

static enum pare_status put_u32(struct sink *sink, uint32_t value, struct pare_error *err)
{
    uint8_t bytes[4];
    pare_store_u32(bytes, value);
    return put(sink, bytes, sizeof bytes, err);
}

static enum pare_status put_u64(struct sink *sink, uint64_t value, struct pare_error *err)
{
    uint8_t bytes[8];
    pare_store_u64(bytes, value);
    return put(sink, bytes, sizeof bytes, err);
}

static enum pare_status put_text(struct sink *sink, const char *text, size_t length,
                                 struct pare_error *err)
{
    PARE_TRY(put_u64(sink, length, err));
    return put(sink, text, length, err);
}

static enum pare_status put_padding(struct sink *sink, uint32_t alignment,
                                    struct pare_error *err)
{
    static const uint8_t zeros[64];
    for (uint64_t left = -sink->bytes & (alignment - 1); left;) {
        size_t piece = left < sizeof zeros ? (size_t)left : sizeof zeros;
        PARE_TRY(put(sink, zeros, piece, err));
        left -= piece;
    }
    return PARE_OK;
}

static enum pare_status put_scalar(struct sink *sink, const struct pare_meta_value *value,
                                   struct pare_error *err)
{
    uint8_t bytes[8];
    if (value->type == PARE_META_F32)
        pare_store_f32(bytes, (float)value->f);
    else if (value->type == PARE_META_F64)
        pare_store_f64(bytes, value->f);
    else /* two's complement: the low bytes serve every width and sign */
        pare_store_u64(bytes, value->u);
    return put(sink, bytes, pare_meta_element_bytes(value->type), err);
}

static enum pare_status put_value(struct sink *sink, const struct pare_meta_value *value,
                                  struct pare_error *err)
{
    PARE_TRY(put_text(sink, value->key, strlen(value->key), err));
    PARE_TRY(put_u32(sink, value->type, err));
    if (value->type == PARE_META_STRING)
        return put_text(sink, value->text.data, value->text.length, err);
    if (value->type != PARE_META_ARRAY)
        return put_scalar(sink, value, err);
    PARE_TRY(put_u32(sink, value->element, err));
    PARE_TRY(put_u64(sink, value->count, err));
    if (value->element != PARE_META_STRING)
        return put(sink, value->elements,
                   value->count * pare_meta_element_bytes(value->element), err);
    const struct pare_text *texts = value->elements;
    for (size_t i = 0; i < value->count; i++)
        PARE_TRY(put_text(sink, texts[i].data, texts[i].length, err));
    return PARE_OK;
}

static enum pare_status put_header(struct sink *sink, const struct pare_meta *meta,
                                   const struct pare_tensor *tensors, size_t count,
                                   uint32_t alignment, struct pare_error *err)
{
    uint64_t offset = 0;
    PARE_TRY(put(sink, "GGUF", 4, err));
    PARE_TRY(put_u32(sink, 3, err));
    PARE_TRY(put_u64(sink, count, err));
    PARE_TRY(put_u64(sink, meta->count, err));
    for (size_t i = 0; i < meta->count; i++)
        PARE_TRY(put_value(sink, &meta->values[i], err));
    for (size_t i = 0; i < count; i++) {
        const struct pare_tensor *tensor = &tensors[i];
        PARE_TRY(put_text(sink, tensor->name, strlen(tensor->name), err));
        PARE_TRY(put_u32(sink, (uint32_t)tensor->n_dims, err));
        for (int d = tensor->n_dims; d-- > 0;)
            PARE_TRY(put_u64(sink, tensor->shape[d], err));
        PARE_TRY(put_u32(sink, tensor->type, err));
        PARE_TRY(put_u64(sink, offset, err));
        offset = (offset + tensor->bytes + alignment - 1) & -(uint64_t)alignment;
    }
    return put_padding(sink, alignment, err);
}

/* --- the plan --- */

static const char *name_of_tensor(void *context, uint32_t number, size_t *length)
{
    const struct pare_gguf_writer *writer = context;
    *length = strlen(writer->tensors[number].name);
    return writer->tensors[number].name;
}

static enum pare_status choose_alignment(struct pare_gguf_writer *writer,
                                         struct pare_error *err)
{
    writer->alignment = DEFAULT_ALIGNMENT;
    enum pare_status status = pare_meta_get_u32(writer->meta, "general.alignment", 8,
                                                MAX_ALIGNMENT, &writer->alignment, err);
    if (status == PARE_OK && writer->alignment & (writer->alignment - 1))
        status = pare_fail(err, PARE_ERR_USAGE,
                           "key general.alignment: %u is not a power of two",
                           writer->alignment);
    return status == PARE_OK ? PARE_OK : pare_fail_in(err, status, "%s", writer->path);
}

static int is_compressed(const char *path)
{
    const size_t length = strlen(path);
    return length > 3 && !strcmp(path + length - 3, ".gz");
}

enum pare_status pare_gguf_writer_open(const char *path, const struct pare_meta *meta,
                                       struct pare_gguf_writer **out,
                                       struct pare_error *err)
{
    *out = NULL;
    struct pare_gguf_writer *writer;
    enum pare_status status;
    PARE_TRY(pare_alloc(&writer, 1, sizeof *writer, err));
    writer->meta = meta;
    writer->names.name = name_of_tensor;
    writer->names.context = writer;
    PARE_TRY_OUT(pare_strndup(&writer->path, path, strlen(path), err));
    PARE_TRY_OUT(choose_alignment(writer, err));
    PARE_TRY_OUT(pare_output_open(path, &writer->target.file, err));
    if (is_compressed(path))
        PARE_TRY_OUT(pare_gzip_new(writer->target.file, &writer->target.gzip, err));
    *out = writer;
    return PARE_OK;
out:
    pare_gguf_writer_abort(writer);
    return status;
}

void pare_gguf_writer_abort(struct pare_gguf_writer *writer)
{
    if (!writer)
        return;
    pare_output_abort(writer->target.file);
    pare_gzip_free(writer->target.gzip);
    pare_names_free(&writer->names);
    pare_arena_free(&writer->arena);
    pare_free(writer->tensors);
    pare_free(writer->hashes);
    pare_free(writer->path);
    pare_free(writer);
}

static enum pare_status check_plan(const struct pare_gguf_writer *writer,
                                   const char *name, enum pare_dtype type, int n_dims,
                                   const uint64_t *shape, struct pare_error *err)
{
    size_t length = strlen(name);
    if (writer->header_written || writer->n_tensors >= PARE_MAX_TENSORS)
        return pare_fail(err, PARE_ERR_INTERNAL, "%s: tensor %s is planned %s",
                         writer->path, name,
                         writer->header_written ? "after data were written"
                                                : "as one of more than 2^20");
    if (!length || length > MAX_NAME_LENGTH || !pare_is_clean_name(name, length))
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s: the tensor name \"%.80s\" has %zu bytes; GGUF takes 1 to "
                         "%d of UTF-8 without control characters",
                         writer->path, name, length, MAX_NAME_LENGTH);
    if (!pare_dtype_info(type) || type >= PARE_U8)
        return pare_fail(err, PARE_ERR_USAGE, "%s: tensor %s: GGUF has no type %s",
                         writer->path, name, pare_dtype_name(type));
    if (n_dims < 1 || n_dims > MAX_DIMS)
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s: tensor %s has %d dimensions, 1 to %d are possible in GGUF",
                         writer->path, name, n_dims, MAX_DIMS);
    for (int i = 0; i < n_dims; i++)
        if (!shape[i])
            return pare_fail(err, PARE_ERR_USAGE, "%s: tensor %s is empty", writer->path,
                             name);
    return PARE_OK;
}

enum pare_status pare_gguf_writer_plan(struct pare_gguf_writer *writer, const char *name,
                                       enum pare_dtype type, int n_dims,
                                       const uint64_t *shape, struct pare_error *err)
{
    struct pare_tensor tensor = {.type = type, .n_dims = n_dims};
    char *copy;
    uint32_t other;
    PARE_TRY(check_plan(writer, name, type, n_dims, shape, err));
    if (pare_tensor_size(type, n_dims, shape, &tensor.bytes, err) != PARE_OK)
        return pare_fail_in(err, PARE_ERR_USAGE, "%s: tensor %s", writer->path, name);
    memcpy(tensor.shape, shape, (size_t)n_dims * sizeof *shape);
    PARE_TRY(pare_arena_strndup(&writer->arena, &copy, name, strlen(name), err));
    tensor.name = copy;
    PARE_TRY(pare_grow(&writer->tensors, &writer->tensors_capacity, writer->n_tensors + 1,
                       sizeof *writer->tensors, err));
    writer->tensors[writer->n_tensors] = tensor; /* before names may ask for it */
    PARE_TRY(pare_names_add(&writer->names, name, strlen(name),
                            (uint32_t)writer->n_tensors, &other, err));
    if (other != PARE_NO_NAME)
        return pare_fail(err, PARE_ERR_USAGE, "%s: tensor %s is planned twice",
                         writer->path, name);
    writer->n_tensors++;
    return PARE_OK;
}

/* --- the data --- */

/* Keys the reader would refuse must not cost a whole file first. */
static enum pare_status check_keys(const struct pare_gguf_writer *writer,
                                   struct pare_error *err)
{
    for (size_t i = 0; i < writer->meta->count; i++) {
        const char *key = writer->meta->values[i].key;
        size_t clean = 0;
        while (key[clean] > 0x1F && key[clean] < 0x7F)
            clean++;
        if (!clean || clean > MAX_KEY_LENGTH || key[clean])
            return pare_fail(err, PARE_ERR_USAGE,
                             "%s: the key \"%.100s\" is not 1 to %d printable ASCII "
                             "characters",
                             writer->path, key, MAX_KEY_LENGTH);
    }
    return PARE_OK;
}

static enum pare_status write_header(struct pare_gguf_writer *writer,
                                     struct pare_error *err)
{
    struct sink sink = {.target = &writer->target};
    pare_sha256_init(&sink.sha);
    PARE_TRY(check_keys(writer, err));
    PARE_TRY(pare_alloc(&writer->hashes, writer->n_tensors, sizeof *writer->hashes, err));
    PARE_TRY(put_header(&sink, writer->meta, writer->tensors, writer->n_tensors,
                        writer->alignment, err));
    pare_sha256_hex(&sink.sha, writer->header_hash);
    pare_sha256_init(&writer->hash);
    writer->header_written = 1;
    writer->meta = NULL;
    return PARE_OK;
}

static enum pare_status finish_tensor(struct pare_gguf_writer *writer,
                                      struct pare_error *err)
{
    struct sink padding = {.target = &writer->target, .bytes = writer->target.bytes};
    pare_sha256_hex(&writer->hash, writer->hashes[writer->current]);
    pare_sha256_init(&writer->hash);
    writer->current++;
    writer->done = 0;
    return put_padding(&padding, writer->alignment, err);
}

enum pare_status pare_gguf_writer_data(struct pare_gguf_writer *writer, const void *data,
                                       uint64_t bytes, struct pare_error *err)
{
    if (!writer->header_written)
        PARE_TRY(write_header(writer, err));
    if (!bytes)
        return PARE_OK;
    const struct pare_tensor *tensor = &writer->tensors[writer->current];
    if (writer->current == writer->n_tensors || bytes > tensor->bytes - writer->done)
        return pare_fail(err, PARE_ERR_INTERNAL,
                         "%s: %llu bytes are too many for tensor number %zu",
                         writer->path, (unsigned long long)bytes, writer->current);
    pare_sha256_update(&writer->hash, data, (size_t)bytes);
    PARE_TRY(send(&writer->target, data, (size_t)bytes, err));
    writer->done += bytes;
    return writer->done == tensor->bytes ? finish_tensor(writer, err) : PARE_OK;
}

/* --- verification --- */

static enum pare_status fail_verification(const struct pare_gguf_writer *writer,
                                          const char *what, struct pare_error *err)
{
    return pare_fail(err, PARE_ERR_IO,
                     "%s: what was written does not read back: %s differs", writer->path,
                     what);
}

static enum pare_status compare(const struct pare_gguf_writer *writer,
                                const struct pare_ckpt *back, struct pare_error *err)
{
    struct sink sink = {0};
    char hash[65];
    pare_sha256_init(&sink.sha);
    if (back->n_tensors != writer->n_tensors)
        return fail_verification(writer, "the number of tensors", err);
    PARE_TRY(put_header(&sink, &back->meta, back->tensors, back->n_tensors,
                        writer->alignment, err));
    pare_sha256_hex(&sink.sha, hash);
    if (memcmp(hash, writer->header_hash, sizeof hash) != 0)
        return fail_verification(writer, "the header", err);
    for (size_t i = 0; i < back->n_tensors; i++) {
        pare_sha256_init(&sink.sha);
        pare_ckpt_hash(back, &back->tensors[i], &sink.sha);
        pare_sha256_hex(&sink.sha, hash);
        if (memcmp(hash, writer->hashes[i], sizeof hash) != 0)
            return fail_verification(writer, back->tensors[i].name, err);
    }
    return PARE_OK;
}

static enum pare_status verify(struct pare_gguf_writer *writer, struct pare_error *err)
{
    const char *path;
    struct pare_ckpt *back;
    if (writer->target.gzip)
        PARE_TRY(pare_gzip_end(writer->target.gzip, err));
    PARE_TRY(pare_output_flush(writer->target.file, &path, err));
    enum pare_status status = pare_ckpt_open(path, &back, err);
    if (status != PARE_OK) /* bad input that we wrote is a bug of ours */
        return pare_fail_in(err, status == PARE_ERR_INPUT ? PARE_ERR_INTERNAL : status,
                            "%s: what was written does not read back", writer->path);
    status = compare(writer, back, err);
    pare_ckpt_close(back);
    return status;
}

enum pare_status pare_gguf_writer_commit(struct pare_gguf_writer *writer,
                                         struct pare_error *err)
{
    enum pare_status status = pare_gguf_writer_data(writer, NULL, 0, err);
    if (status == PARE_OK && writer->current < writer->n_tensors)
        status = pare_fail(err, PARE_ERR_INTERNAL,
                           "%s: data of tensor %s are missing: %llu of %llu bytes came",
                           writer->path, writer->tensors[writer->current].name,
                           (unsigned long long)writer->done,
                           (unsigned long long)writer->tensors[writer->current].bytes);
    if (status == PARE_OK)
        status = verify(writer, err);
    if (status == PARE_OK) {
        struct pare_output *file = writer->target.file;
        writer->target.file = NULL; /* commit frees it */
        status = pare_output_commit(file, err);
    }
    pare_gguf_writer_abort(writer);
    return status;
}
