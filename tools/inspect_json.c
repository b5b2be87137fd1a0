/* The report of pare-inspect as JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "tools/inspect.h"

/* Takes `value` over in every case; 0 when there was no memory. */
static int put(cJSON *object, const char *key, cJSON *value)
{
    if (object && value && cJSON_AddItemToObject(object, key, value))
        return 1;
    cJSON_Delete(value);
    return 0;
}

static cJSON *text_json(const char *text, size_t length)
{
    char *out;
    const size_t size = length + 8;
    if (pare_alloc_raw(&out, size, 1, NULL) != PARE_OK)
        return NULL;
    cJSON *value = cJSON_CreateString(inspect_clean(text, length, out, size));
    pare_free(out);
    return value;
}

/* Numbers that JSON cannot hold become strings. */
static cJSON *number_json(double value)
{
    if (isfinite(value))
        return cJSON_CreateNumber(value);
    return cJSON_CreateString(isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

static cJSON *scalar_json(const struct pare_meta_value *value)
{
    const uint64_t exact = (uint64_t)1 << 53;
    char text[32];
    switch (value->type) {
    case PARE_META_STRING: return text_json(value->text.data, value->text.length);
    case PARE_META_BOOL: return cJSON_CreateBool(value->u != 0);
    case PARE_META_F32:
    case PARE_META_F64: return number_json(value->f);
    case PARE_META_I8:
    case PARE_META_I16:
    case PARE_META_I32:
    case PARE_META_I64:
        if (value->i <= (int64_t)exact && value->i >= -(int64_t)exact)
            return cJSON_CreateNumber((double)value->i);
        snprintf(text, sizeof text, "%" PRId64, value->i);
        return cJSON_CreateString(text);
    default:
        if (value->u <= exact)
            return cJSON_CreateNumber((double)value->u);
        snprintf(text, sizeof text, "%" PRIu64, value->u);
        return cJSON_CreateString(text);
    }
}

#define LISTED 256 /* longer arrays are only counted */

static cJSON *array_json(const struct pare_meta_value *value)
{
    const struct pare_text *texts = value->elements;
    if (value->count > LISTED) {
        cJSON *summary = cJSON_CreateObject();
        if (put(summary, "type", cJSON_CreateString(inspect_meta_type(value->element))) &&
            put(summary, "count", cJSON_CreateNumber((double)value->count)))
            return summary;
        cJSON_Delete(summary);
        return NULL;
    }
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list && i < value->count; i++) {
        cJSON *item = value->element == PARE_META_STRING
                          ? text_json(texts[i].data, texts[i].length)
                          : number_json(pare_meta_number(value, i));
        if (!item || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            list = NULL;
        }
    }
    return list;
}

static cJSON *meta_json(const struct inspect_report *r)
{
    const struct pare_meta *meta = &r->ckpt->meta;
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; object && i < meta->count; i++) {
        const struct pare_meta_value *value = &meta->values[i];
        char key[256];
        if (!strcmp(value->key, "pare.history"))
            continue;
        if (!put(object, inspect_clean(value->key, strlen(value->key), key, sizeof key),
                 value->type == PARE_META_ARRAY ? array_json(value)
                                                : scalar_json(value))) {
            cJSON_Delete(object);
            object = NULL;
        }
    }
    return object;
}

/* A step that is JSON is given as it is, anything else as a string. */
static cJSON *history_json(const struct pare_text *steps, size_t count)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list && i < count; i++) {
        cJSON *step;
        if (pare_json_parse(steps[i].data, steps[i].length, "step", &step, NULL) !=
            PARE_OK)
            step = text_json(steps[i].data, steps[i].length);
        if (!step || !cJSON_AddItemToArray(list, step)) {
            cJSON_Delete(step);
            cJSON_Delete(list);
            list = NULL;
        }
    }
    return list;
}

static cJSON *model_json(const struct inspect_report *r)
{
    const struct pare_config *c = &r->model.config;
    cJSON *object = cJSON_CreateObject(), *labels = cJSON_CreateArray();
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"layers", c->layers},
                   {"hidden", c->hidden},
                   {"heads", c->heads},
                   {"feed_forward", c->ffn},
                   {"vocabulary", c->vocab},
                   {"positions", c->positions},
                   {"token_types", c->token_types}};
    int made = put(object, "family", cJSON_CreateString(pare_family_name(c->family)));
    for (size_t i = 0; made && i < sizeof numbers / sizeof *numbers; i++)
        made = put(object, numbers[i].key, cJSON_CreateNumber(numbers[i].value));
    if (c->head_width)
        made = made && put(object, "head_width", cJSON_CreateNumber(c->head_width));
    made = made && put(object, "pooler", cJSON_CreateBool(c->has_pooler));
    for (uint32_t i = 0; made && labels && i < c->labels; i++) {
        cJSON *label = text_json(c->label[i], strlen(c->label[i]));
        made = label && cJSON_AddItemToArray(labels, label);
    }
    if (!made)
        cJSON_Delete(labels);
    if (made && put(object, "labels", labels))
        return object;
    cJSON_Delete(object);
    return NULL;
}

static cJSON *types_json(const struct inspect_report *r)
{
    struct inspect_share shares[INSPECT_MOST_TYPES];
    const size_t n = inspect_types(r, shares);
    cJSON *object = cJSON_CreateObject();
    int made = object != NULL;
    for (size_t i = 0; made && i < n; i++) {
        cJSON *share = cJSON_CreateObject();
        made = put(share, "tensors", cJSON_CreateNumber((double)shares[i].count)) &&
               put(share, "bytes", cJSON_CreateNumber((double)shares[i].bytes));
        if (made)
            made = put(object, shares[i].type, share);
        else
            cJSON_Delete(share);
    }
    if (made)
        return object;
    cJSON_Delete(object);
    return NULL;
}

static cJSON *shape_json(int n_dims, const uint64_t *shape)
{
    cJSON *list = cJSON_CreateArray();
    for (int d = 0; list && d < n_dims; d++)
        if (!cJSON_AddItemToArray(list, cJSON_CreateNumber((double)shape[d]))) {
            cJSON_Delete(list);
            list = NULL;
        }
    return list;
}

static cJSON *tensor_json(const struct inspect_report *r, size_t i)
{
    const struct pare_tensor *tensor = &r->ckpt->tensors[i];
    char type[PARE_FORM_SIZE];
    cJSON *object = cJSON_CreateObject();
    int made = put(object, "name", text_json(tensor->name, strlen(tensor->name))) &&
               put(object, "type", cJSON_CreateString(inspect_type(r, i, type))) &&
               put(object, "shape", shape_json(tensor->n_dims, tensor->shape)) &&
               put(object, "bytes", cJSON_CreateNumber((double)tensor->bytes));
    if (made && r->stats && r->stats[i].known) {
        const struct pare_stats *s = &r->stats[i];
        made = put(object, "min", number_json(s->min)) &&
               put(object, "max", number_json(s->max)) &&
               put(object, "mean", number_json(s->mean)) &&
               put(object, "zeros", cJSON_CreateNumber((double)s->zeros)) &&
               put(object, "nonfinite", cJSON_CreateNumber((double)s->nonfinite));
    }
    if (made)
        return object;
    cJSON_Delete(object);
    return NULL;
}

static cJSON *tensors_json(const struct inspect_report *r)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list && i < r->ckpt->n_tensors; i++) {
        if (!inspect_wanted(r, i))
            continue;
        cJSON *tensor = tensor_json(r, i);
        if (!tensor || !cJSON_AddItemToArray(list, tensor)) {
            cJSON_Delete(tensor);
            cJSON_Delete(list);
            list = NULL;
        }
    }
    return list;
}

static cJSON *matrix_json(const struct inspect_matrix *matrix)
{
    cJSON *object = cJSON_CreateObject();
    if (put(object, "name", cJSON_CreateString(matrix->name)) &&
        put(object, "form", cJSON_CreateString(matrix->form)) &&
        put(object, "shape", shape_json(2, matrix->shape)) &&
        put(object, "bytes", cJSON_CreateNumber((double)matrix->size.bytes)) &&
        put(object, "bits_per_weight",
            cJSON_CreateNumber(pare_size_bits(&matrix->size))) &&
        put(object, "sparsity", cJSON_CreateNumber(pare_size_sparsity(&matrix->size))))
        return object;
    cJSON_Delete(object);
    return NULL;
}

static cJSON *matrices_json(const struct inspect_report *r)
{
    struct inspect_matrix matrix;
    cJSON *list = cJSON_CreateArray();
    for (size_t at = 0; list && inspect_next_matrix(r, &at, &matrix);) {
        cJSON *item = matrix_json(&matrix);
        if (!item || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            list = NULL;
        }
    }
    return list;
}

/* What was not asked for is not there. */
static int put_sizes(const struct inspect_report *r, cJSON *json)
{
    int made = 1;
    if (r->o->download)
        made = put(json, "download_bytes", cJSON_CreateNumber((double)r->download_bytes));
    if (r->o->memory)
        made = made &&
               put(json, "memory_bytes", cJSON_CreateNumber((double)r->memory_bytes));
    if (r->runs)
        made = made &&
               put(json, "block_bits_per_weight",
                   cJSON_CreateNumber(pare_size_bits(&r->blocks))) &&
               put(json, "sparsity", cJSON_CreateNumber(pare_size_sparsity(&r->blocks)));
    return made;
}

static int fill_json(const struct inspect_report *r, const struct pare_text *steps,
                     size_t count, cJSON *json)
{
    const struct pare_ckpt *ckpt = r->ckpt;
    int made =
        put(json, "file", text_json(ckpt->path, strlen(ckpt->path))) &&
        put(json, "format", cJSON_CreateString(pare_format_name(ckpt->format))) &&
        put(json, "version", cJSON_CreateNumber(ckpt->version)) &&
        put(json, "files", cJSON_CreateNumber((double)ckpt->n_files)) &&
        put(json, "size_bytes", cJSON_CreateNumber((double)ckpt->bytes)) &&
        put(json, "sha256", cJSON_CreateString(r->sha256)) &&
        put(json, "parameters", cJSON_CreateNumber((double)r->parameters)) &&
        put(json, "tensor_bytes", cJSON_CreateNumber((double)r->tensor_bytes)) &&
        put(json, "bits_per_weight", cJSON_CreateNumber(inspect_bits_per_weight(r))) &&
        put_sizes(r, json) && put(json, "types", types_json(r));
    if (r->runs)
        made = made && put(json, "model", model_json(r));
    else
        made = made && put(json, "model", cJSON_CreateNull()) &&
               put(json, "not_a_model_because",
                   text_json(r->reason.message, strlen(r->reason.message)));
    return made && put(json, "metadata", meta_json(r)) &&
           put(json, "history", history_json(steps, count)) &&
           put(json, "tensors", tensors_json(r)) &&
           put(json, "matrices", matrices_json(r));
}

enum pare_status inspect_print_json(const struct inspect_report *r,
                                    struct pare_error *err)
{
    const struct pare_text *steps;
    size_t count;
    PARE_TRY(inspect_history(r, &steps, &count, err));
    cJSON *json = cJSON_CreateObject();
    char *text = NULL;
    if (json && fill_json(r, steps, count, json))
        text = cJSON_Print(json);
    cJSON_Delete(json);
    if (!text)
        return pare_fail_memory(err, sizeof(cJSON));
    puts(text);
    cJSON_free(text);
    return PARE_OK;
}
