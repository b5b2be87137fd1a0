#include "runtime/base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json_scan.h"

#define MAX_FILE_BYTES 100000000u

/* What cJSON takes from malloc for a node and for a string of that length. */
#define NODE_BYTES (sizeof(cJSON) + 16)
#define STRING_BYTES(length) (((length) + 40) / 16 * 16)

/* Reads the whole text with the strict scanner and estimates the size of its tree. */
static enum pare_status check(struct pare_json_scan *scan, uint64_t *tree_bytes,
                              struct pare_error *err)
{
    enum pare_json_event event;
    *tree_bytes = 0;
    do {
        PARE_TRY(pare_json_next(scan, &event, err));
        if (event == PARE_JSON_KEY || event == PARE_JSON_STRING)
            *tree_bytes += STRING_BYTES(scan->token_length);
        if (event != PARE_JSON_KEY && event != PARE_JSON_END &&
            event != PARE_JSON_OBJECT_END && event != PARE_JSON_ARRAY_END)
            *tree_bytes += NODE_BYTES;
    } while (event != PARE_JSON_END);
    return PARE_OK;
}

enum pare_status pare_json_parse(const char *text, size_t length, const char *what,
                                 cJSON **out, struct pare_error *err)
{
    *out = NULL;
    struct pare_json_scan scan;
    pare_json_scan_init(&scan, text, length, what, 1);
    uint64_t bytes;
    enum pare_status status = check(&scan, &bytes, err);
    pare_json_scan_free(&scan);
    PARE_TRY(status);
    if (bytes > ((uint64_t)64 << 20) + 8 * (uint64_t)length)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: %zu bytes of JSON would take %llu bytes of memory, more "
                         "than a sensible file does",
                         what, length, (unsigned long long)bytes);
    *out = cJSON_ParseWithLengthOpts(text, length, NULL, 0);
    return *out ? PARE_OK : pare_fail_memory(err, bytes);
}

enum pare_status pare_json_parse_file(const char *path, cJSON **out,
                                      struct pare_error *err)
{
    *out = NULL;
    struct pare_map map;
    PARE_TRY(pare_map_open(path, &map, err));
    enum pare_status status;
    if (map.size > MAX_FILE_BYTES)
        status = pare_fail(err, PARE_ERR_INPUT,
                           "%s: %llu bytes are too many for a JSON file (at most %u)",
                           path, (unsigned long long)map.size, MAX_FILE_BYTES);
    else
        status = pare_json_parse(map.data ? (const char *)map.data : "", (size_t)map.size,
                                 path, out, err);
    pare_map_close(&map);
    return status;
}

/* The member, or NULL when it is missing or null. */
static const cJSON *member(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(value) ? NULL : value;
}

static enum pare_status fail_type(const cJSON *value, const char *key,
                                  const char *expected, const char *what,
                                  struct pare_error *err)
{
    if (cJSON_IsNumber(value))
        return pare_fail(err, PARE_ERR_INPUT, "%s: \"%s\": expected %s, found %.17g",
                         what, key, expected, value->valuedouble);
    if (cJSON_IsString(value))
        return pare_fail(err, PARE_ERR_INPUT, "%s: \"%s\": expected %s, found \"%.80s\"",
                         what, key, expected, value->valuestring);
    return pare_fail(err, PARE_ERR_INPUT, "%s: \"%s\": expected %s, found %s", what, key,
                     expected,
                     cJSON_IsBool(value)     ? "true or false"
                     : cJSON_IsArray(value)  ? "an array"
                     : cJSON_IsObject(value) ? "an object"
                                             : "something else");
}

enum pare_status pare_json_u64(const cJSON *object, const char *key, uint64_t min,
                               uint64_t max, uint64_t *out, const char *what,
                               struct pare_error *err)
{
    const cJSON *value = member(object, key);
    if (!value)
        return PARE_OK;
    if (!cJSON_IsNumber(value) || value->valuedouble != floor(value->valuedouble))
        return fail_type(value, key, "an integer", what, err);
    double number = value->valuedouble;
    if (number < 0 || number >= 0x1p53 || (uint64_t)number < min ||
        (uint64_t)number > max)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: \"%s\": expected an integer of %llu to %llu, found %.17g",
                         what, key, (unsigned long long)min, (unsigned long long)max,
                         number);
    *out = (uint64_t)number;
    return PARE_OK;
}

enum pare_status pare_json_double(const cJSON *object, const char *key, double min,
                                  double max, double *out, const char *what,
                                  struct pare_error *err)
{
    const cJSON *value = member(object, key);
    if (!value)
        return PARE_OK;
    if (!cJSON_IsNumber(value))
        return fail_type(value, key, "a number", what, err);
    if (!(value->valuedouble >= min && value->valuedouble <= max))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: \"%s\": expected a number of %.17g to %.17g, found %.17g",
                         what, key, min, max, value->valuedouble);
    *out = value->valuedouble;
    return PARE_OK;
}

enum pare_status pare_json_bool(const cJSON *object, const char *key, int *out,
                                const char *what, struct pare_error *err)
{
    const cJSON *value = member(object, key);
    if (!value)
        return PARE_OK;
    if (!cJSON_IsBool(value))
        return fail_type(value, key, "true or false", what, err);
    *out = cJSON_IsTrue(value);
    return PARE_OK;
}

enum pare_status pare_json_string(const cJSON *object, const char *key, const char **out,
                                  const char *what, struct pare_error *err)
{
    const cJSON *value = member(object, key);
    if (!value)
        return PARE_OK;
    if (!cJSON_IsString(value))
        return fail_type(value, key, "a string", what, err);
    *out = value->valuestring;
    return PARE_OK;
}

/* A tree of ours: as deep as the code that built it. */
static int all_finite(const cJSON *value)
{
    for (; value; value = value->next)
        if ((cJSON_IsNumber(value) && !isfinite(value->valuedouble)) ||
            !all_finite(value->child))
            return 0;
    return 1;
}

enum pare_status pare_json_write_file(const char *path, const cJSON *value,
                                      struct pare_error *err)
{
    if ((cJSON_IsNumber(value) && !isfinite(value->valuedouble)) ||
        !all_finite(value->child))
        return pare_fail(err, PARE_ERR_INTERNAL,
                         "%s: a number to be written is not finite", path);
    char *text = cJSON_Print(value);
    if (!text)
        return pare_fail_memory(err, 0);
    struct pare_output *out;
    enum pare_status status = pare_output_open(path, &out, err);
    if (status == PARE_OK) {
        status = pare_output_write(out, text, strlen(text), err);
        if (status == PARE_OK)
            status = pare_output_write(out, "\n", 1, err);
        if (status == PARE_OK)
            status = pare_output_commit(out, err);
        else
            pare_output_abort(out);
    }
    cJSON_free(text);
    return status;
}
