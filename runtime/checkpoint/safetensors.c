/* safetensors, after huggingface/safetensors' format description:
 *
 *     u64 N, N bytes of JSON, data
 *     {"__metadata__": {"key": "text", ...},
 *      "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
 *
 * Offsets count from the start of the data, which the tensors must cover without gaps or
 * overlaps and to the last byte. The JSON is read twice without building a tree: once to
 * check it and to count, once to take the values.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/json_scan.h"
#include "runtime/checkpoint/reader.h"

#define MAX_HEADER_BYTES 100000000u

struct header {
    struct pare_source *source;
    struct pare_ckpt *ckpt;
    struct pare_json_scan scan;
    char *pool; /* the tensors' names, each with a NUL */
    uint64_t data_start, data_size;
    int takes_meta;
};

static const struct {
    const char *name;
    enum pare_dtype type;
} dtypes[] = {
    {"F32", PARE_F32},   {"F16", PARE_F16},         {"BF16", PARE_BF16},
    {"F64", PARE_F64},   {"I8", PARE_I8},           {"I16", PARE_I16},
    {"I32", PARE_I32},   {"I64", PARE_I64},         {"U8", PARE_U8},
    {"U16", PARE_U16},   {"U32", PARE_U32},         {"U64", PARE_U64},
    {"BOOL", PARE_BOOL}, {"F8_E4M3", PARE_F8_E4M3}, {"F8_E5M2", PARE_F8_E5M2},
};

static enum pare_status expect(struct header *h, enum pare_json_event wanted,
                               const char *what, struct pare_error *err)
{
    enum pare_json_event event;
    PARE_TRY(pare_json_next(&h->scan, &event, err));
    return event == wanted ? PARE_OK
                           : pare_json_scan_fail(&h->scan, err, "expected %s", what);
}

/* --- one tensor --- */

static enum pare_status read_dtype(struct header *h, struct pare_tensor *tensor,
                                   struct pare_error *err)
{
    PARE_TRY(expect(h, PARE_JSON_STRING, "the dtype's name", err));
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (pare_json_token_is(&h->scan, dtypes[i].name)) {
            tensor->type = dtypes[i].type;
            return PARE_OK;
        }
    size_t length = h->scan.token_length;
    return pare_json_scan_fail(
        &h->scan, err, "tensor %.100s: the dtype \"%.*s\" is not supported", tensor->name,
        (int)(length < 40 ? length : 40), h->scan.token);
}

/* Up to `max` integers; *count of them were there. */
static enum pare_status read_integers(struct header *h, const char *name, uint64_t *out,
                                      int max, int *count, struct pare_error *err)
{
    enum pare_json_event event;
    PARE_TRY(expect(h, PARE_JSON_ARRAY, "an array of integers", err));
    for (*count = 0;; ++*count) {
        PARE_TRY(pare_json_next(&h->scan, &event, err));
        if (event == PARE_JSON_ARRAY_END)
            return PARE_OK;
        if (event != PARE_JSON_NUMBER)
            return pare_json_scan_fail(&h->scan, err, "expected an integer");
        if (*count == max)
            return pare_json_scan_fail(
                &h->scan, err, "tensor %.100s: more than %d integers here", name, max);
        PARE_TRY(pare_json_token_u64(&h->scan, &out[*count], err));
    }
}

static enum pare_status check_tensor(struct header *h, struct pare_tensor *tensor,
                                     const uint64_t offsets[2], struct pare_error *err)
{
    struct pare_error reason;
    if (pare_tensor_size(tensor->type, tensor->n_dims, tensor->shape, &tensor->bytes,
                         &reason) != PARE_OK)
        return pare_json_scan_fail(&h->scan, err, "tensor %.100s: %.200s", tensor->name,
                                   reason.message);
    if (offsets[0] > offsets[1] || offsets[1] > h->data_size)
        return pare_json_scan_fail(&h->scan, err,
                                   "tensor %.100s: data_offsets [%llu, %llu] are not in "
                                   "the %llu bytes of data",
                                   tensor->name, (unsigned long long)offsets[0],
                                   (unsigned long long)offsets[1],
                                   (unsigned long long)h->data_size);
    if (offsets[1] - offsets[0] != tensor->bytes) {
        char shape[120];
        return pare_json_scan_fail(
            &h->scan, err,
            "tensor %.100s: %s %s needs %llu bytes, data_offsets "
            "give %llu",
            tensor->name, pare_dtype_name(tensor->type),
            pare_shape_text(tensor->n_dims, tensor->shape, shape, sizeof shape),
            (unsigned long long)tensor->bytes,
            (unsigned long long)(offsets[1] - offsets[0]));
    }
    tensor->data = h->source->data + h->data_start + offsets[0];
    return PARE_OK;
}

/* The last token is the tensor's name. */
static enum pare_status read_tensor(struct header *h, struct pare_error *err)
{
    struct pare_tensor tensor = {.name = h->pool};
    uint64_t offsets[2];
    int n_offsets = 0;
    unsigned seen = 0;
    enum pare_json_event event;
    size_t length = pare_json_token(&h->scan, h->pool);
    if (!length || !pare_is_clean_name(h->pool, length))
        return pare_json_scan_fail(&h->scan, err,
                                   "a tensor's name is empty or has control characters");
    h->pool += length;
    *h->pool++ = '\0'; /* the quotes left room for it */
    PARE_TRY(expect(h, PARE_JSON_OBJECT, "an object that describes a tensor", err));
    for (;;) {
        PARE_TRY(pare_json_next(&h->scan, &event, err));
        if (event == PARE_JSON_OBJECT_END)
            break;
        if (pare_json_token_is(&h->scan, "dtype")) {
            seen |= 1;
            PARE_TRY(read_dtype(h, &tensor, err));
        } else if (pare_json_token_is(&h->scan, "shape")) {
            seen |= 2;
            PARE_TRY(read_integers(h, tensor.name, tensor.shape, PARE_MAX_DIMS,
                                   &tensor.n_dims, err));
        } else if (pare_json_token_is(&h->scan, "data_offsets")) {
            seen |= 4;
            PARE_TRY(read_integers(h, tensor.name, offsets, 2, &n_offsets, err));
        } else {
            return pare_json_scan_fail(&h->scan, err,
                                       "tensor %.100s: a key that does not belong here",
                                       tensor.name);
        }
    }
    if (seen != 7 || n_offsets != 2)
        return pare_json_scan_fail(&h->scan, err,
                                   "tensor %.100s: dtype, shape and two data_offsets are "
                                   "needed",
                                   tensor.name);
    PARE_TRY(check_tensor(h, &tensor, offsets, err));
    *pare_ckpt_add(h->ckpt) = tensor;
    return PARE_OK;
}

/* --- the header --- */

static enum pare_status read_metadata_entry(struct header *h, struct pare_error *err)
{
    struct pare_meta *meta = &h->ckpt->meta;
    struct pare_meta_value value = {.type = PARE_META_STRING};
    char *key, *text;
    PARE_TRY(pare_arena_alloc(&meta->arena, &key, h->scan.token_length, 1, err));
    size_t key_length = pare_json_token(&h->scan, key);
    PARE_TRY(expect(h, PARE_JSON_STRING, "a string, as all metadata are", err));
    PARE_TRY(pare_arena_alloc(&meta->arena, &text, h->scan.token_length + 1, 1, err));
    value.text = (struct pare_text){text, pare_json_token(&h->scan, text)};
    text[value.text.length] = '\0';
    return h->takes_meta ? pare_meta_append(meta, key, key_length, &value, err) : PARE_OK;
}

static enum pare_status read_metadata(struct header *h, struct pare_error *err)
{
    enum pare_json_event event;
    PARE_TRY(expect(h, PARE_JSON_OBJECT, "an object of metadata", err));
    for (;;) {
        PARE_TRY(pare_json_next(&h->scan, &event, err));
        if (event == PARE_JSON_OBJECT_END)
            return PARE_OK;
        PARE_TRY(read_metadata_entry(h, err));
    }
}

/* First pass: is it JSON without duplicate keys, and how many members has it? */
static enum pare_status count_members(struct header *h, uint64_t *members,
                                      struct pare_error *err)
{
    enum pare_json_event event;
    uint64_t n_meta = 0;
    int in_meta = 0;
    *members = 0;
    PARE_TRY(expect(h, PARE_JSON_OBJECT, "an object", err));
    do {
        PARE_TRY(pare_json_next(&h->scan, &event, err));
        if (event != PARE_JSON_KEY)
            continue;
        if (h->scan.depth == 1) {
            in_meta = pare_json_token_is(&h->scan, "__metadata__");
            if (++*members > PARE_MAX_TENSORS + 1)
                return pare_json_scan_fail(&h->scan, err, "more than 2^20 tensors");
        } else if (in_meta && ++n_meta > PARE_MAX_META) {
            return pare_json_scan_fail(&h->scan, err,
                                       "more than %llu entries of metadata",
                                       (unsigned long long)PARE_MAX_META);
        }
    } while (event != PARE_JSON_END);
    return PARE_OK;
}

/* Second pass. */
static enum pare_status read_members(struct header *h, struct pare_error *err)
{
    enum pare_json_event event;
    PARE_TRY(expect(h, PARE_JSON_OBJECT, "an object", err));
    for (;;) {
        PARE_TRY(pare_json_next(&h->scan, &event, err));
        if (event == PARE_JSON_OBJECT_END)
            return PARE_OK;
        PARE_TRY(pare_json_token_is(&h->scan, "__metadata__") ? read_metadata(h, err)
                                                              : read_tensor(h, err));
    }
}

static int by_place(const void *a, const void *b)
{
    const struct pare_tensor *x = a, *y = b;
    const uint8_t *at = x->data, *bt = y->data;
    if (at != bt)
        return at < bt ? -1 : 1;
    if (x->bytes != y->bytes) /* empty tensors first */
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Puts the tensors into file order and demands that they cover the data. */
static enum pare_status check_cover(struct header *h, size_t first,
                                    struct pare_error *err)
{
    size_t count = h->ckpt->n_tensors - first;
    struct pare_tensor *tensors = count ? h->ckpt->tensors + first : NULL;
    const uint8_t *data = h->source->data + h->data_start;
    uint64_t at = 0;
    if (count)
        qsort(tensors, count, sizeof *tensors, by_place);
    for (size_t i = 0; i < count; i++) {
        uint64_t begin = (uint64_t)((const uint8_t *)tensors[i].data - data);
        if (begin != at)
            return pare_source_fail(h->source, h->data_start + at, err,
                                    begin < at ? "tensor %.100s overlaps another one"
                                               : "a hole before tensor %.100s",
                                    tensors[i].name);
        at += tensors[i].bytes;
    }
    if (at != h->data_size)
        return pare_source_fail(h->source, h->data_start + at, err,
                                "%llu bytes behind the last tensor belong to nothing",
                                (unsigned long long)(h->data_size - at));
    return PARE_OK;
}

static enum pare_status find_header(struct header *h, const char **text, size_t *length,
                                    struct pare_error *err)
{
    struct pare_source *source = h->source;
    if (source->size < 8)
        return pare_source_fail(source, 0, err,
                                "a safetensors file has at least 8 bytes, this one %llu",
                                (unsigned long long)source->size);
    uint64_t n = pare_load_u64(source->data);
    if (n > MAX_HEADER_BYTES || n > source->size - 8)
        return pare_source_fail(source, 0, err,
                                "a header of %llu bytes, but %llu follow and %u are the "
                                "limit",
                                (unsigned long long)n,
                                (unsigned long long)(source->size - 8), MAX_HEADER_BYTES);
    h->data_start = 8 + n;
    h->data_size = source->size - h->data_start;
    *text = (const char *)source->data + 8;
    *length = (size_t)n;
    return PARE_OK;
}

static void start_pass(struct header *h, const char *text, size_t length, int check_keys)
{
    pare_json_scan_init(&h->scan, text, length, h->source->path, check_keys);
    h->scan.shift = 8;
}

static enum pare_status read_header(struct header *h, struct pare_error *err)
{
    const char *text = NULL;
    size_t length = 0, first = h->ckpt->n_tensors;
    uint64_t members;
    PARE_TRY(find_header(h, &text, &length, err));
    start_pass(h, text, length, 1);
    enum pare_status status = count_members(h, &members, err);
    pare_json_scan_free(&h->scan);
    PARE_TRY(status);
    PARE_TRY(pare_ckpt_reserve(h->ckpt, h->source, members, err));
    PARE_TRY(pare_arena_alloc(&h->ckpt->arena, &h->pool, length, 1, err));
    start_pass(h, text, length, 0); /* allocates nothing: nothing to free */
    PARE_TRY(read_members(h, err));
    return check_cover(h, first, err);
}

enum pare_status pare_safetensors_read(struct pare_source *source, struct pare_ckpt *ckpt,
                                       struct pare_error *err)
{
    struct header h = {
        .source = source, .ckpt = ckpt, .takes_meta = ckpt->meta.count == 0};
    return read_header(&h, err);
}
