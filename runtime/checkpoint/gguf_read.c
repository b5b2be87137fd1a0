/* GGUF versions 2 and 3, after ggml's docs/gguf.md and as strictly as llama.cpp reads it:
 *
 *     "GGUF"  u32 version  u64 tensors  u64 keys
 *     keys:     string key, u32 type, value
 *     tensors:  string name, u32 n, u64 dimensions[n] (innermost first), u32 type,
 *               u64 offset
 *     padding to general.alignment, then the data, every tensor padded likewise
 *
 * A string is a u64 length and that many bytes. Offsets count from the start of the data
 * and must be the running sum of the padded sizes: no overlaps, no gaps.
 */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/checkpoint/reader.h"

#define DEFAULT_ALIGNMENT 32
#define MAX_ALIGNMENT ((uint32_t)1 << 20)
#define MAX_NAME_LENGTH 63
#define MAX_KEY_LENGTH 65535
#define MAX_DIMS 4
#define MIN_KEY_BYTES (8 + 4 + 1)
#define MIN_TENSOR_BYTES (8 + 1 + 4 + 8 + 4 + 8)

struct cursor {
    struct pare_source *source;
    uint64_t at;
    struct pare_error *err;
};

/* --- numbers and strings --- */

static enum pare_status take(struct cursor *c, uint64_t bytes, const char *what,
                             const uint8_t **out)
{
    uint64_t left = c->source->size - c->at;
    *out = NULL;
    if (bytes > left)
        return pare_source_fail(c->source, c->at, c->err,
                                "%s needs %llu bytes, the file has only %llu more", what,
                                (unsigned long long)bytes, (unsigned long long)left);
    *out = c->source->data + c->at;
    c->at += bytes;
    return PARE_OK;
}

static enum pare_status take_u32(struct cursor *c, const char *what, uint32_t *out)
{
    const uint8_t *at;
    PARE_TRY(take(c, 4, what, &at));
    *out = pare_load_u32(at);
    return PARE_OK;
}

static enum pare_status take_u64(struct cursor *c, const char *what, uint64_t *out)
{
    const uint8_t *at;
    PARE_TRY(take(c, 8, what, &at));
    *out = pare_load_u64(at);
    return PARE_OK;
}

static enum pare_status take_text(struct cursor *c, const char *what,
                                  struct pare_text *out)
{
    uint64_t length;
    const uint8_t *at;
    *out = (struct pare_text){NULL, 0};
    PARE_TRY(take_u64(c, what, &length));
    PARE_TRY(take(c, length, what, &at));
    *out = (struct pare_text){(const char *)at, (size_t)length};
    return PARE_OK;
}

static int is_ascii(struct pare_text text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((uint8_t)text.data[i] > 0x7F)
            return 0;
    return 1;
}

/* --- keys --- */

static enum pare_status read_scalar(struct cursor *c, struct pare_meta_value *value)
{
    size_t bytes = pare_meta_element_bytes(value->type);
    const uint8_t *at;
    PARE_TRY(take(c, bytes, "a value", &at));
    switch (value->type) {
    case PARE_META_BOOL:
        if (*at > 1)
            return pare_source_fail(c->source, c->at - 1, c->err,
                                    "a truth value is 0 or 1, found %d", *at);
        value->u = *at;
        break;
    case PARE_META_U8: value->u = *at; break;
    case PARE_META_U16: value->u = pare_load_u16(at); break;
    case PARE_META_U32: value->u = pare_load_u32(at); break;
    case PARE_META_U64: value->u = pare_load_u64(at); break;
    case PARE_META_I8: value->i = (int8_t)*at; break;
    case PARE_META_I16: value->i = (int16_t)pare_load_u16(at); break;
    case PARE_META_I32: value->i = (int32_t)pare_load_u32(at); break;
    case PARE_META_I64: value->i = (int64_t)pare_load_u64(at); break;
    case PARE_META_F32: value->f = (double)pare_load_f32(at); break;
    default: value->f = pare_load_f64(at); break;
    }
    return PARE_OK;
}

static enum pare_status read_strings(struct cursor *c, struct pare_meta *meta,
                                     struct pare_meta_value *value)
{
    struct pare_text *texts;
    PARE_TRY(pare_source_take(c->source, value->count, sizeof *texts, c->err));
    PARE_TRY(pare_arena_alloc(&meta->arena, &texts, value->count, sizeof *texts, c->err));
    for (size_t i = 0; i < value->count; i++)
        PARE_TRY(take_text(c, "a string of an array", &texts[i]));
    value->elements = texts;
    return PARE_OK;
}

static enum pare_status read_array(struct cursor *c, struct pare_meta *meta,
                                   struct pare_meta_value *value)
{
    uint32_t element;
    uint64_t count, start = c->at;
    PARE_TRY(take_u32(c, "an array's type", &element));
    PARE_TRY(take_u64(c, "an array's length", &count));
    value->element = (enum pare_meta_type)element;
    size_t bytes = pare_meta_element_bytes(value->element);
    if (element == PARE_META_ARRAY)
        return pare_source_fail(c->source, start, c->err,
                                "an array of arrays, which is not supported");
    if (!bytes && element != PARE_META_STRING)
        return pare_source_fail(c->source, start, c->err,
                                "an array of the unknown type %u", element);
    uint64_t smallest = bytes ? bytes : 8, left = c->source->size - c->at;
    if (count > left / smallest)
        return pare_source_fail(c->source, start, c->err,
                                "an array of %llu elements does not fit into the file",
                                (unsigned long long)count);
    value->count = (size_t)count;
    if (!bytes)
        return read_strings(c, meta, value);
    const uint8_t *at;
    PARE_TRY(take(c, count * bytes, "an array", &at));
    value->elements = at;
    if (value->element == PARE_META_BOOL)
        for (size_t i = 0; i < value->count; i++)
            if (at[i] > 1)
                return pare_source_fail(c->source, start, c->err,
                                        "an array of truth values holds %d", at[i]);
    return PARE_OK;
}

static enum pare_status read_value(struct cursor *c, struct pare_meta *meta,
                                   struct pare_meta_value *value)
{
    uint32_t type;
    PARE_TRY(take_u32(c, "a value's type", &type));
    value->type = (enum pare_meta_type)type;
    if (type == PARE_META_STRING)
        return take_text(c, "a string", &value->text);
    if (type == PARE_META_ARRAY)
        return read_array(c, meta, value);
    if (!pare_meta_element_bytes(value->type))
        return pare_source_fail(c->source, c->at - 4, c->err, "the unknown value type %u",
                                type);
    return read_scalar(c, value);
}

static const char *name_of_key(void *context, uint32_t number, size_t *length)
{
    const struct pare_meta *meta = context;
    *length = strlen(meta->values[number].key);
    return meta->values[number].key;
}

static enum pare_status read_key(struct cursor *c, struct pare_meta *meta,
                                 struct pare_names *seen)
{
    uint64_t start = c->at;
    struct pare_text key;
    uint32_t other;
    PARE_TRY(take_text(c, "a key", &key));
    if (!key.length || key.length > MAX_KEY_LENGTH || !is_ascii(key) ||
        !pare_is_clean_name(key.data, key.length))
        return pare_source_fail(c->source, start, c->err,
                                "a key is 1 to 65535 printable ASCII characters");
    PARE_TRY(pare_source_take(c->source, 1, key.length + 2 * PARE_ALIGNMENT, c->err));
    PARE_TRY(pare_names_add(seen, key.data, key.length, (uint32_t)meta->count, &other,
                            c->err));
    if (other != PARE_NO_NAME)
        return pare_source_fail(c->source, start, c->err, "the key %.*s occurs twice",
                                (int)(key.length < 100 ? key.length : 100), key.data);
    struct pare_meta_value value = {0};
    PARE_TRY(read_value(c, meta, &value));
    return pare_meta_append(meta, key.data, key.length, &value, c->err);
}

static enum pare_status read_keys(struct cursor *c, struct pare_meta *meta,
                                  uint64_t count)
{
    if (count > PARE_MAX_META || count > (c->source->size - c->at) / MIN_KEY_BYTES)
        return pare_source_fail(c->source, 16, c->err,
                                "%llu keys do not fit into the file",
                                (unsigned long long)count);
    struct pare_names seen = {.name = name_of_key, .context = meta};
    enum pare_status status = PARE_OK;
    for (uint64_t i = 0; i < count && status == PARE_OK; i++)
        status = read_key(c, meta, &seen);
    pare_names_free(&seen);
    return status;
}

static enum pare_status read_alignment(struct cursor *c, const struct pare_meta *meta,
                                       uint32_t *alignment)
{
    const struct pare_meta_value *value = pare_meta_find(meta, "general.alignment");
    *alignment = DEFAULT_ALIGNMENT;
    if (!value)
        return PARE_OK;
    if (value->type != PARE_META_U32)
        return pare_source_fail(c->source, 0, c->err,
                                "general.alignment must have the type U32");
    if (value->u < 8 || value->u > MAX_ALIGNMENT || value->u & (value->u - 1))
        return pare_source_fail(c->source, 0, c->err,
                                "general.alignment is %llu, not a power of two of 8 to "
                                "%u",
                                (unsigned long long)value->u, MAX_ALIGNMENT);
    *alignment = (uint32_t)value->u;
    return PARE_OK;
}

static enum pare_status refuse_split(struct cursor *c, const struct pare_meta *meta)
{
    uint32_t parts = 1;
    if (pare_meta_get_u32(meta, "split.count", 0, UINT32_MAX, &parts, c->err) != PARE_OK)
        return pare_fail_in(c->err, PARE_ERR_INPUT, "%s", c->source->path);
    if (parts <= 1)
        return PARE_OK;
    return pare_source_fail(c->source, 0, c->err,
                            "this is one of %u parts (split.count): merge them into one "
                            "file first",
                            parts);
}

/* --- tensors --- */

struct layout { /* of the data section */
    uint64_t start;
    uint32_t alignment;
    uint64_t next; /* where the next tensor must be, from the start */
    uint64_t end;  /* of the last tensor's bytes */
};

/* Up to the next multiple of a power of two; values here are below 2^63. */
static uint64_t aligned(uint64_t value, uint32_t alignment)
{
    return (value + alignment - 1) & ~(uint64_t)(alignment - 1);
}

static enum pare_status read_shape(struct cursor *c, struct pare_tensor *tensor)
{
    uint32_t n;
    PARE_TRY(take_u32(c, "a tensor's number of dimensions", &n));
    if (n < 1 || n > MAX_DIMS)
        return pare_source_fail(c->source, c->at - 4, c->err,
                                "tensor %.63s has %u dimensions, 1 to %d are possible",
                                tensor->name, n, MAX_DIMS);
    tensor->n_dims = (int)n;
    for (uint32_t i = n; i-- > 0;) {
        uint64_t *size = &tensor->shape[i];
        PARE_TRY(take_u64(c, "a tensor's dimension", size));
        if (*size == 0 || *size > INT64_MAX)
            return pare_source_fail(c->source, c->at - 8, c->err,
                                    "tensor %.63s: a dimension of %llu", tensor->name,
                                    (unsigned long long)*size);
    }
    return PARE_OK;
}

static enum pare_status read_name(struct cursor *c, struct pare_ckpt *ckpt,
                                  struct pare_tensor *tensor)
{
    uint64_t start = c->at;
    struct pare_text name;
    char *copy;
    PARE_TRY(take_text(c, "a tensor's name", &name));
    if (!name.length || name.length > MAX_NAME_LENGTH ||
        !pare_is_clean_name(name.data, name.length))
        return pare_source_fail(c->source, start, c->err,
                                "a tensor's name is 1 to %d bytes of UTF-8 without "
                                "control characters",
                                MAX_NAME_LENGTH);
    PARE_TRY(pare_arena_strndup(&ckpt->arena, &copy, name.data, name.length, c->err));
    tensor->name = copy;
    return PARE_OK;
}

/* Where the data start is known only behind the last of these. */
static enum pare_status read_tensor(struct cursor *c, struct pare_ckpt *ckpt,
                                    struct layout *layout)
{
    struct pare_tensor tensor = {0};
    uint32_t type;
    uint64_t offset, start = c->at;
    PARE_TRY(read_name(c, ckpt, &tensor));
    PARE_TRY(read_shape(c, &tensor));
    PARE_TRY(take_u32(c, "a tensor's type", &type));
    tensor.type = (enum pare_dtype)type;
    if (type >= PARE_U8 || !pare_dtype_info(tensor.type))
        return pare_source_fail(c->source, c->at - 4, c->err,
                                "tensor %s: type %u is unknown or was removed from GGUF",
                                tensor.name, type);
    struct pare_error reason;
    if (pare_tensor_size(tensor.type, tensor.n_dims, tensor.shape, &tensor.bytes,
                         &reason) != PARE_OK)
        return pare_source_fail(c->source, start, c->err, "tensor %s: %.200s",
                                tensor.name, reason.message);
    PARE_TRY(take_u64(c, "a tensor's offset", &offset));
    if (offset != layout->next)
        return pare_source_fail(c->source, c->at - 8, c->err,
                                "tensor %s: expected at offset %llu, found %llu: tensors "
                                "must follow each other without gaps",
                                tensor.name, (unsigned long long)layout->next,
                                (unsigned long long)offset);
    if (tensor.bytes > c->source->size || offset > c->source->size - tensor.bytes)
        return pare_source_fail(c->source, start, c->err,
                                "tensor %s: %llu bytes at offset %llu are beyond the "
                                "end of the file",
                                tensor.name, (unsigned long long)tensor.bytes,
                                (unsigned long long)offset);
    layout->end = offset + tensor.bytes;
    layout->next = aligned(layout->end, layout->alignment);
    *pare_ckpt_add(ckpt) = tensor;
    return PARE_OK;
}

/* The data must reach to the end of the file, give or take the last padding. */
static enum pare_status check_end(struct cursor *c, const struct layout *layout,
                                  int empty)
{
    uint64_t size = c->source->size;
    if (empty && size <= layout->start)
        return PARE_OK; /* a vocabulary without tensors may lack even the padding */
    if (layout->start > size || layout->end > size - layout->start)
        return pare_source_fail(c->source, size, c->err,
                                "the file ends here, its tensors end at byte %llu: it "
                                "was cut off",
                                (unsigned long long)(layout->start + layout->end));
    if (size - layout->start > layout->next)
        return pare_source_fail(
            c->source, layout->start + layout->next, c->err,
            "%llu bytes behind the last tensor belong to nothing",
            (unsigned long long)(size - layout->start - layout->next));
    return PARE_OK;
}

static enum pare_status read_tensors(struct cursor *c, struct pare_ckpt *ckpt,
                                     uint64_t count)
{
    struct layout layout = {0};
    PARE_TRY(read_alignment(c, &ckpt->meta, &layout.alignment));
    PARE_TRY(refuse_split(c, &ckpt->meta));
    size_t first = ckpt->n_tensors;
    PARE_TRY(pare_ckpt_reserve(ckpt, c->source, count, c->err));
    for (uint64_t i = 0; i < count; i++)
        PARE_TRY(read_tensor(c, ckpt, &layout));
    layout.start = aligned(c->at, layout.alignment);
    PARE_TRY(check_end(c, &layout, count == 0));
    uint64_t at = layout.start;
    for (size_t i = first; i < ckpt->n_tensors; i++) {
        ckpt->tensors[i].data = c->source->data + at;
        at = aligned(at + ckpt->tensors[i].bytes, layout.alignment);
    }
    return PARE_OK;
}

static enum pare_status read_version(struct cursor *c, int *version)
{
    const uint8_t *magic;
    uint32_t number;
    PARE_TRY(take(c, 4, "the magic", &magic));
    if (memcmp(magic, "GGUF", 4) != 0)
        return pare_source_fail(c->source, 0, c->err, "not GGUF: the magic is wrong");
    PARE_TRY(take_u32(c, "the version", &number));
    if (number == 0x02000000 || number == 0x03000000)
        return pare_source_fail(c->source, 4, c->err,
                                "a big-endian GGUF file: convert it to little-endian");
    if (number != 2 && number != 3)
        return pare_source_fail(c->source, 4, c->err,
                                "GGUF version %u; versions 2 and 3 are supported",
                                number);
    *version = (int)number;
    return PARE_OK;
}

enum pare_status pare_gguf_read(struct pare_source *source, struct pare_ckpt *ckpt,
                                struct pare_error *err)
{
    struct cursor c = {source, 0, err};
    uint64_t n_tensors, n_keys;
    PARE_TRY(read_version(&c, &ckpt->version));
    PARE_TRY(take_u64(&c, "the number of tensors", &n_tensors));
    PARE_TRY(take_u64(&c, "the number of keys", &n_keys));
    if (n_tensors > PARE_MAX_TENSORS ||
        n_tensors > (source->size - c.at) / MIN_TENSOR_BYTES)
        return pare_source_fail(source, 8, err, "%llu tensors do not fit into the file",
                                (unsigned long long)n_tensors);
    PARE_TRY(read_keys(&c, &ckpt->meta, n_keys));
    return read_tensors(&c, ckpt, n_tensors);
}
