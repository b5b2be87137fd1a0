/* What every tool that writes a model container shares. */
#include "runtime/model/container.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/base/sha256.h"

#define KEY_HISTORY "pare.history"

void pare_scale_name(const char *weight_name, char out[PARE_NAME_SIZE + 8])
{
    snprintf(out, PARE_NAME_SIZE + 8, "%s_scale", weight_name);
}

void pare_codes_name(const char *weight_name, char out[PARE_NAME_SIZE + 8])
{
    snprintf(out, PARE_NAME_SIZE + 8, "%s_codes", weight_name);
}

void pare_zero_name(const char *weight_name, char out[PARE_NAME_SIZE + 8])
{
    snprintf(out, PARE_NAME_SIZE + 8, "%s_zero", weight_name);
}

void pare_sparse_name(const char *weight_name, const char *part,
                      char out[PARE_NAME_SIZE + 8])
{
    snprintf(out, PARE_NAME_SIZE + 8, "%s_%s", weight_name, part);
}

static void input_name(const char *weight_name, const char *what,
                       char out[PARE_INPUT_NAME_SIZE])
{
    static const char *const shared[] = {".attn_q.weight", ".attn_k.weight",
                                         ".attn_v.weight"};
    size_t length = strlen(weight_name);
    for (int i = 0; i < 3; i++) {
        const size_t end = strlen(shared[i]);
        if (length > end && !strcmp(weight_name + length - end, shared[i])) {
            snprintf(out, PARE_INPUT_NAME_SIZE, "%.*s.attn_qkv.%s", (int)(length - end),
                     weight_name, what);
            return;
        }
    }
    length -= length > strlen(".weight") ? strlen(".weight") : 0;
    snprintf(out, PARE_INPUT_NAME_SIZE, "%.*s.%s", (int)length, weight_name, what);
}

void pare_input_scale_name(const char *weight_name, char out[PARE_INPUT_NAME_SIZE])
{
    input_name(weight_name, "input_scale", out);
}

void pare_input_range_name(const char *weight_name, char out[PARE_INPUT_NAME_SIZE])
{
    input_name(weight_name, "input_range", out);
}

enum pare_status pare_file_type_set(struct pare_meta *meta, enum pare_dtype type,
                                    struct pare_error *err)
{
    static const struct {
        enum pare_dtype type;
        uint32_t number;
    } numbers[] = {{PARE_F32, 0},   {PARE_F16, 1},   {PARE_Q4_0, 2},  {PARE_Q4_1, 3},
                   {PARE_Q8_0, 7},  {PARE_BF16, 32}, {PARE_Q2_K, 10}, {PARE_Q3_K, 11},
                   {PARE_Q4_K, 14}, {PARE_Q5_K, 16}, {PARE_Q6_K, 18}, {PARE_TQ1_0, 36},
                   {PARE_TQ2_0, 37}};
    pare_meta_remove(meta, "general.file_type");
    pare_meta_remove(meta, "general.quantization_version");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].type == type)
            PARE_TRY(
                pare_meta_set_u32(meta, "general.file_type", numbers[i].number, err));
    if (pare_dtype_info(type)->block == 1)
        return PARE_OK;
    return pare_meta_set_u32(meta, "general.quantization_version", 2, err);
}

/* The step as one line of JSON; the caller frees it with cJSON_free. */
static char *step_text(const char *tool, const char *input_sha256, const cJSON *options)
{
    char *text = NULL;
    cJSON *step = cJSON_CreateObject();
    cJSON *copy = options ? cJSON_Duplicate(options, 1) : cJSON_CreateObject();
    if (step && copy && cJSON_AddStringToObject(step, "tool", tool) &&
        cJSON_AddStringToObject(step, "version", PARE_VERSION) &&
        cJSON_AddStringToObject(step, "input_sha256", input_sha256) &&
        cJSON_AddItemToObject(step, "options", copy)) {
        copy = NULL;
        text = cJSON_PrintUnformatted(step);
    }
    cJSON_Delete(copy);
    cJSON_Delete(step);
    return text;
}

enum pare_status pare_history_add(struct pare_meta *meta, const char *tool,
                                  const char *input_sha256, const cJSON *options,
                                  struct pare_error *err)
{
    const struct pare_text *earlier = NULL;
    size_t count = 0;
    PARE_TRY(pare_meta_get_strings(meta, KEY_HISTORY, &earlier, &count, err));
    char *text = step_text(tool, input_sha256, options);
    if (!text)
        return pare_fail_memory(err, 4096);
    struct pare_text *steps;
    enum pare_status status = pare_alloc(&steps, count + 1, sizeof *steps, err);
    if (status == PARE_OK) {
        if (count)
            memcpy(steps, earlier, count * sizeof *steps);
        steps[count] = (struct pare_text){text, strlen(text)};
        status = pare_meta_set_strings(meta, KEY_HISTORY, steps, count + 1, err);
    }
    pare_free(steps);
    cJSON_free(text);
    return status;
}

static void hash_u64(struct pare_sha256 *sha, uint64_t value)
{
    uint8_t bytes[8];
    pare_store_u64(bytes, value);
    pare_sha256_update(sha, bytes, sizeof bytes);
}

/* Length first, so that no two lists of strings hash alike. */
static void hash_text(struct pare_sha256 *sha, const char *text, size_t length)
{
    hash_u64(sha, length);
    pare_sha256_update(sha, text, length);
}

static size_t element_bytes(enum pare_meta_type type)
{
    switch (type) {
    case PARE_META_U8:
    case PARE_META_I8:
    case PARE_META_BOOL: return 1;
    case PARE_META_U16:
    case PARE_META_I16: return 2;
    case PARE_META_U64:
    case PARE_META_I64:
    case PARE_META_F64: return 8;
    default: return 4;
    }
}

static void hash_value(struct pare_sha256 *sha, const struct pare_meta_value *value)
{
    hash_text(sha, value->key, strlen(value->key));
    hash_u64(sha, value->type);
    if (value->type == PARE_META_STRING) {
        hash_text(sha, value->text.data, value->text.length);
    } else if (value->type != PARE_META_ARRAY) {
        uint64_t bits; /* the numbers of the union are all 64 bits wide */
        memcpy(&bits, &value->u, sizeof bits);
        hash_u64(sha, bits);
    } else {
        hash_u64(sha, value->element);
        hash_u64(sha, value->count);
        const struct pare_text *texts = value->elements;
        if (value->element != PARE_META_STRING)
            pare_sha256_update(sha, value->elements,
                               value->count * element_bytes(value->element));
        else
            for (size_t i = 0; i < value->count; i++)
                hash_text(sha, texts[i].data, texts[i].length);
    }
}

static void hash_tensor(struct pare_sha256 *sha, const struct pare_ckpt *ckpt,
                        const struct pare_tensor *tensor)
{
    hash_text(sha, tensor->name, strlen(tensor->name));
    hash_u64(sha, tensor->type);
    hash_u64(sha, (uint64_t)tensor->n_dims);
    for (int i = 0; i < tensor->n_dims; i++)
        hash_u64(sha, tensor->shape[i]);
    hash_u64(sha, tensor->bytes);
    pare_ckpt_hash(ckpt, tensor, sha);
}

static int compare_keys(const void *a, const void *b)
{
    const struct pare_meta_value *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static int compare_names(const void *a, const void *b)
{
    const struct pare_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

enum pare_status pare_ckpt_sha256(const struct pare_ckpt *ckpt, char out[65],
                                  struct pare_error *err)
{
    const size_t n_values = ckpt->format == PARE_FORMAT_GGUF ? ckpt->meta.count : 0;
    const void **order;
    PARE_TRY(pare_alloc(&order, n_values > ckpt->n_tensors ? n_values : ckpt->n_tensors,
                        sizeof *order, err));
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    size_t count = 0;
    for (size_t i = 0; i < n_values; i++)
        if (strcmp(ckpt->meta.values[i].key, KEY_HISTORY))
            order[count++] = &ckpt->meta.values[i];
    qsort(order, count, sizeof *order, compare_keys);
    hash_u64(&sha, count);
    for (size_t i = 0; i < count; i++)
        hash_value(&sha, order[i]);
    for (size_t i = 0; i < ckpt->n_tensors; i++)
        order[i] = &ckpt->tensors[i];
    qsort(order, ckpt->n_tensors, sizeof *order, compare_names);
    hash_u64(&sha, ckpt->n_tensors);
    for (size_t i = 0; i < ckpt->n_tensors; i++)
        hash_tensor(&sha, ckpt, order[i]);
    pare_free(order);
    pare_sha256_hex(&sha, out);
    return PARE_OK;
}

#define SCAN_CHUNK 1024 /* floats; a multiple of every block size */

uint64_t pare_tensor_nonfinite(const struct pare_tensor *tensor, uint64_t *first)
{
    const struct pare_dtype_info *info = pare_dtype_info(tensor->type);
    uint64_t found = 0, n = pare_tensor_elements(tensor);
    *first = 0;
    if (!info || !info->is_float)
        return 0;
    float values[SCAN_CHUNK];
    for (uint64_t begin = 0; begin < n; begin += SCAN_CHUNK) {
        size_t count = n - begin < SCAN_CHUNK ? (size_t)(n - begin) : SCAN_CHUNK;
        const unsigned char *data = tensor->data;
        pare_row_decode(tensor->type, data + begin / info->block * info->block_bytes,
                        values, count);
        for (size_t i = 0; i < count; i++)
            if (!isfinite(values[i]) && !found++)
                *first = begin + i;
    }
    return found;
}
