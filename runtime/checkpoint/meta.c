#include "runtime/checkpoint/meta.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/checkpoint/reader.h"

static const char *const type_names[] = {"U8",  "I8",  "U16",  "I16",    "U32",
                                         "I32", "F32", "BOOL", "STRING", "ARRAY",
                                         "U64", "I64", "F64"};

static const char *type_name(enum pare_meta_type type)
{
    return (size_t)type < sizeof type_names / sizeof *type_names ? type_names[type]
                                                                 : "unknown";
}

size_t pare_meta_element_bytes(enum pare_meta_type type)
{
    switch (type) {
    case PARE_META_U8:
    case PARE_META_I8:
    case PARE_META_BOOL: return 1;
    case PARE_META_U16:
    case PARE_META_I16: return 2;
    case PARE_META_U32:
    case PARE_META_I32:
    case PARE_META_F32: return 4;
    case PARE_META_U64:
    case PARE_META_I64:
    case PARE_META_F64: return 8;
    case PARE_META_STRING:
    case PARE_META_ARRAY: break;
    }
    return 0;
}

void pare_meta_free(struct pare_meta *meta)
{
    pare_arena_free(&meta->arena);
    pare_free(meta->values);
    memset(meta, 0, sizeof *meta);
}

static struct pare_meta_value *find(const struct pare_meta *meta, const char *key)
{
    for (size_t i = 0; i < meta->count; i++)
        if (strcmp(meta->values[i].key, key) == 0)
            return &meta->values[i];
    return NULL;
}

const struct pare_meta_value *pare_meta_find(const struct pare_meta *meta,
                                             const char *key)
{
    return find(meta, key);
}

/* --- setting --- */

enum pare_status pare_meta_append(struct pare_meta *meta, const char *key, size_t length,
                                  const struct pare_meta_value *value,
                                  struct pare_error *err)
{
    char *copy;
    PARE_TRY(pare_arena_strndup(&meta->arena, &copy, key, length, err));
    PARE_TRY(pare_grow(&meta->values, &meta->capacity, meta->count + 1,
                       sizeof *meta->values, err));
    meta->values[meta->count] = *value;
    meta->values[meta->count++].key = copy;
    return PARE_OK;
}

/* Replaces or appends; what `value` points to belongs to the meta already. */
static enum pare_status set(struct pare_meta *meta, const char *key,
                            struct pare_meta_value value, struct pare_error *err)
{
    struct pare_meta_value *old = find(meta, key);
    if (!old)
        return pare_meta_append(meta, key, strlen(key), &value, err);
    value.key = old->key;
    *old = value;
    return PARE_OK;
}

enum pare_status pare_meta_set_u32(struct pare_meta *meta, const char *key,
                                   uint32_t value, struct pare_error *err)
{
    return set(meta, key, (struct pare_meta_value){.type = PARE_META_U32, .u = value},
               err);
}

enum pare_status pare_meta_set_u64(struct pare_meta *meta, const char *key,
                                   uint64_t value, struct pare_error *err)
{
    return set(meta, key, (struct pare_meta_value){.type = PARE_META_U64, .u = value},
               err);
}

enum pare_status pare_meta_set_f32(struct pare_meta *meta, const char *key, float value,
                                   struct pare_error *err)
{
    return set(meta, key,
               (struct pare_meta_value){.type = PARE_META_F32, .f = (double)value}, err);
}

enum pare_status pare_meta_set_bool(struct pare_meta *meta, const char *key, int value,
                                    struct pare_error *err)
{
    return set(meta, key,
               (struct pare_meta_value){.type = PARE_META_BOOL, .u = value ? 1 : 0}, err);
}

enum pare_status pare_meta_set_string(struct pare_meta *meta, const char *key,
                                      const char *text, size_t length,
                                      struct pare_error *err)
{
    char *copy;
    PARE_TRY(pare_arena_strndup(&meta->arena, &copy, text, length, err));
    return set(meta, key,
               (struct pare_meta_value){.type = PARE_META_STRING, .text = {copy, length}},
               err);
}

enum pare_status pare_meta_set_strings(struct pare_meta *meta, const char *key,
                                       const struct pare_text *texts, size_t count,
                                       struct pare_error *err)
{
    struct pare_text *copies;
    char *bytes;
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(total, texts[i].length, &total))
            return pare_fail_memory(err, SIZE_MAX);
    PARE_TRY(pare_arena_alloc(&meta->arena, &copies, count, sizeof *copies, err));
    PARE_TRY(pare_arena_alloc(&meta->arena, &bytes, total, 1, err));
    for (size_t i = 0; i < count; i++) {
        copies[i] = (struct pare_text){bytes, texts[i].length};
        if (texts[i].length)
            memcpy(bytes, texts[i].data, texts[i].length);
        bytes += texts[i].length;
    }
    return set(meta, key,
               (struct pare_meta_value){.type = PARE_META_ARRAY,
                                        .element = PARE_META_STRING,
                                        .count = count,
                                        .elements = copies},
               err);
}

enum pare_status pare_meta_set_numbers(struct pare_meta *meta, const char *key,
                                       enum pare_meta_type element, const void *values,
                                       size_t count, struct pare_error *err)
{
    if (element != PARE_META_I32 && element != PARE_META_U32 && element != PARE_META_F32)
        return pare_fail(err, PARE_ERR_INTERNAL, "key %s: arrays of %s cannot be set",
                         key, type_name(element));
    uint8_t *stored;
    PARE_TRY(pare_arena_alloc(&meta->arena, &stored, count, 4, err));
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, (const uint8_t *)values + 4 * i, 4);
        pare_store_u32(stored + 4 * i, bits);
    }
    return set(meta, key,
               (struct pare_meta_value){.type = PARE_META_ARRAY,
                                        .element = element,
                                        .count = count,
                                        .elements = stored},
               err);
}

enum pare_status pare_meta_copy_value(struct pare_meta *meta,
                                      const struct pare_meta_value *value,
                                      struct pare_error *err)
{
    if (value->type == PARE_META_STRING)
        return pare_meta_set_string(meta, value->key, value->text.data,
                                    value->text.length, err);
    if (value->type != PARE_META_ARRAY)
        return set(meta, value->key, *value, err);
    if (value->element == PARE_META_STRING)
        return pare_meta_set_strings(meta, value->key, value->elements, value->count,
                                     err);
    struct pare_meta_value copy = *value;
    void *stored;
    size_t size = pare_meta_element_bytes(value->element);
    PARE_TRY(pare_arena_alloc(&meta->arena, &stored, value->count, size, err));
    if (value->count)
        memcpy(stored, value->elements, value->count * size);
    copy.elements = stored;
    return set(meta, value->key, copy, err);
}

void pare_meta_remove(struct pare_meta *meta, const char *key)
{
    struct pare_meta_value *value = find(meta, key);
    if (!value)
        return;
    size_t behind = (size_t)(meta->values + meta->count - value) - 1;
    memmove(value, value + 1, behind * sizeof *value);
    meta->count--;
}

/* --- getting --- */

static enum pare_status fail_type(const struct pare_meta_value *value,
                                  const char *expected, struct pare_error *err)
{
    int is_array = value->type == PARE_META_ARRAY;
    return pare_fail(err, PARE_ERR_INPUT, "key %s: expected %s, found %s%s", value->key,
                     expected, is_array ? "an array of " : "",
                     type_name(is_array ? value->element : value->type));
}

enum pare_status pare_meta_get_u32(const struct pare_meta *meta, const char *key,
                                   uint32_t min, uint32_t max, uint32_t *out,
                                   struct pare_error *err)
{
    const struct pare_meta_value *value = find(meta, key);
    if (!value)
        return PARE_OK;
    switch (value->type) {
    case PARE_META_I8:
    case PARE_META_I16:
    case PARE_META_I32:
    case PARE_META_I64:
        if (value->i < 0)
            return pare_fail(err, PARE_ERR_INPUT,
                             "key %s: expected an integer of %u to %u, found %lld", key,
                             min, max, (long long)value->i);
        break;
    case PARE_META_U8:
    case PARE_META_U16:
    case PARE_META_U32:
    case PARE_META_U64: break;
    default: return fail_type(value, "an integer", err);
    }
    uint64_t number = value->u; /* the same bits when not negative */
    if (number < min || number > max)
        return pare_fail(err, PARE_ERR_INPUT,
                         "key %s: expected an integer of %u to %u, found %llu", key, min,
                         max, (unsigned long long)number);
    *out = (uint32_t)number;
    return PARE_OK;
}

enum pare_status pare_meta_get_f32(const struct pare_meta *meta, const char *key,
                                   float *out, struct pare_error *err)
{
    const struct pare_meta_value *value = find(meta, key);
    if (!value)
        return PARE_OK;
    if (value->type != PARE_META_F32 && value->type != PARE_META_F64)
        return fail_type(value, "a floating-point number", err);
    *out = (float)value->f;
    return PARE_OK;
}

enum pare_status pare_meta_get_bool(const struct pare_meta *meta, const char *key,
                                    int *out, struct pare_error *err)
{
    const struct pare_meta_value *value = find(meta, key);
    if (!value)
        return PARE_OK;
    if (value->type != PARE_META_BOOL)
        return fail_type(value, "true or false", err);
    *out = (int)value->u;
    return PARE_OK;
}

enum pare_status pare_meta_get_string(const struct pare_meta *meta, const char *key,
                                      struct pare_text *out, struct pare_error *err)
{
    const struct pare_meta_value *value = find(meta, key);
    if (!value)
        return PARE_OK;
    if (value->type != PARE_META_STRING)
        return fail_type(value, "a string", err);
    *out = value->text;
    return PARE_OK;
}

enum pare_status pare_meta_get_strings(const struct pare_meta *meta, const char *key,
                                       const struct pare_text **out, size_t *count,
                                       struct pare_error *err)
{
    const struct pare_meta_value *value = find(meta, key);
    *out = NULL;
    *count = 0;
    if (!value)
        return PARE_OK;
    if (value->type != PARE_META_ARRAY || value->element != PARE_META_STRING)
        return fail_type(value, "an array of strings", err);
    *out = value->elements;
    *count = value->count;
    return PARE_OK;
}

double pare_meta_number(const struct pare_meta_value *array, size_t i)
{
    const uint8_t *at = array->elements;
    at += i * pare_meta_element_bytes(array->element);
    switch (array->element) {
    case PARE_META_U8:
    case PARE_META_BOOL: return *at;
    case PARE_META_I8: return (int8_t)*at;
    case PARE_META_U16: return pare_load_u16(at);
    case PARE_META_I16: return (int16_t)pare_load_u16(at);
    case PARE_META_U32: return pare_load_u32(at);
    case PARE_META_I32: return (int32_t)pare_load_u32(at);
    case PARE_META_F32: return (double)pare_load_f32(at);
    case PARE_META_U64: return (double)pare_load_u64(at);
    case PARE_META_I64: return (double)(int64_t)pare_load_u64(at);
    case PARE_META_F64: return pare_load_f64(at);
    case PARE_META_STRING:
    case PARE_META_ARRAY: break;
    }
    return 0;
}
