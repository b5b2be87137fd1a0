/* The state of a run on disk: see state.h. */
#include "libdistill/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "runtime/base/file.h"

#define MAGIC "PARESTAT"
#define MAGIC_BYTES 8
#define HEADER_BYTES 16
#define VERSION 1
#define ALIGNMENT 64
#define MAX_PATH 4096

/* --- Text ------------------------------------------------------------------------- */

static enum pare_status no_memory(struct pare_error *err)
{
    return pare_fail(err, PARE_ERR_MEMORY, "out of memory");
}

enum pare_status pare_state_put_double(cJSON *object, const char *key, double value,
                                       struct pare_error *err)
{
    char text[40];
    snprintf(text, sizeof text, "%a", value);
    return cJSON_AddStringToObject(object, key, text) ? PARE_OK : no_memory(err);
}

enum pare_status pare_state_put_u64(cJSON *object, const char *key, uint64_t value,
                                    struct pare_error *err)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return cJSON_AddStringToObject(object, key, text) ? PARE_OK : no_memory(err);
}

static enum pare_status get_text(const cJSON *object, const char *key, const char **text,
                                 struct pare_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    *text = cJSON_GetStringValue(item);
    if (*text && **text)
        return PARE_OK;
    return pare_fail(err, PARE_ERR_INPUT, "the resume file lacks \"%s\"", key);
}

static enum pare_status not_a_number(const char *key, struct pare_error *err)
{
    return pare_fail(err, PARE_ERR_INPUT, "\"%s\" of the resume file is not a number",
                     key);
}

enum pare_status pare_state_get_double(const cJSON *object, const char *key,
                                       double *value, struct pare_error *err)
{
    const char *text;
    char *end;
    PARE_TRY(get_text(object, key, &text, err));
    *value = strtod(text, &end);
    return *end ? not_a_number(key, err) : PARE_OK;
}

enum pare_status pare_state_get_u64(const cJSON *object, const char *key, uint64_t *value,
                                    struct pare_error *err)
{
    const char *text;
    char *end;
    PARE_TRY(get_text(object, key, &text, err));
    errno = 0;
    *value = strtoull(text, &end, 10);
    return *end || errno || *text == '-' ? not_a_number(key, err) : PARE_OK;
}

static void put_u32(uint8_t out[4], uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *in)
{
    return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

/* --- Writing ---------------------------------------------------------------------- */

static char *header_text(const cJSON *identity, const cJSON *progress,
                         const struct pare_state_array *arrays, size_t n_arrays)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *list = cJSON_AddObjectToObject(root, "arrays");
    int ok = list != NULL;
    for (size_t i = 0; ok && i < n_arrays; i++)
        ok = cJSON_AddNumberToObject(list, arrays[i].name, (double)arrays[i].count) !=
             NULL;
    ok = ok && cJSON_AddItemReferenceToObject(root, "identity", (cJSON *)identity);
    ok = ok && cJSON_AddItemReferenceToObject(root, "progress", (cJSON *)progress);
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

struct sink { /* an output and the checksum of what went into it */
    struct pare_output *output;
    uLong crc;
};

static enum pare_status put(struct sink *sink, const void *data, size_t bytes,
                            struct pare_error *err)
{
    sink->crc = crc32_z(sink->crc, data, bytes);
    return pare_output_write(sink->output, data, bytes, err);
}

static enum pare_status put_all(struct sink *sink, const char *text,
                                const struct pare_state_array *arrays, size_t n_arrays,
                                struct pare_error *err)
{
    static const uint8_t zeros[ALIGNMENT];
    const size_t length = strlen(text);
    uint8_t header[HEADER_BYTES], crc[4];
    memcpy(header, MAGIC, MAGIC_BYTES);
    put_u32(header + 8, VERSION);
    put_u32(header + 12, (uint32_t)length);
    PARE_TRY(put(sink, header, sizeof header, err));
    PARE_TRY(put(sink, text, length, err));
    PARE_TRY(put(sink, zeros,
                 (ALIGNMENT - (sizeof header + length) % ALIGNMENT) % ALIGNMENT, err));
    for (size_t i = 0; i < n_arrays; i++)
        PARE_TRY(put(sink, arrays[i].data, (size_t)arrays[i].count * sizeof(float), err));
    put_u32(crc, (uint32_t)sink->crc);
    return pare_output_write(sink->output, crc, sizeof crc, err);
}

static enum pare_status previous_path(const char *path, char *out, struct pare_error *err)
{
    int n = snprintf(out, MAX_PATH, "%s.prev", path);
    if (n < 0 || n >= MAX_PATH)
        return pare_fail(err, PARE_ERR_USAGE, "%s: the path is too long", path);
    return PARE_OK;
}

static int has_magic(const uint8_t *data, uint64_t size)
{
    return size >= MAGIC_BYTES && !memcmp(data, MAGIC, MAGIC_BYTES);
}

/* An empty file destroys nothing. */
static enum pare_status check_one(const char *path, struct pare_error *err)
{
    struct pare_map map;
    if (!pare_path_exists(path))
        return PARE_OK;
    PARE_TRY(pare_map_open(path, &map, err));
    const int is_other = map.size && !has_magic(map.data, map.size);
    pare_map_close(&map);
    if (!is_other)
        return PARE_OK;
    return pare_fail(err, PARE_ERR_USAGE,
                     "%s: this is not a resume file, and would be lost; choose another "
                     "name for the resume file",
                     path);
}

enum pare_status pare_state_check(const char *path, struct pare_error *err)
{
    char previous[MAX_PATH];
    PARE_TRY(previous_path(path, previous, err));
    PARE_TRY(check_one(path, err));
    return check_one(previous, err);
}

enum pare_status pare_state_write(const char *path, const cJSON *identity,
                                  const cJSON *progress,
                                  const struct pare_state_array *arrays, size_t n_arrays,
                                  struct pare_error *err)
{
    char previous[MAX_PATH];
    PARE_TRY(previous_path(path, previous, err));
    PARE_TRY(pare_state_check(path, err));
    char *text = header_text(identity, progress, arrays, n_arrays);
    if (!text)
        return no_memory(err);
    struct sink sink = {.crc = crc32_z(0, NULL, 0)};
    enum pare_status status = pare_output_open(path, &sink.output, err);
    if (status == PARE_OK)
        status = put_all(&sink, text, arrays, n_arrays, err);
    cJSON_free(text);
    if (status == PARE_OK) {
        /* The new one is complete but for its name. */
        const char *temporary;
        status = pare_output_flush(sink.output, &temporary, err);
    }
    if (status == PARE_OK && rename(path, previous) && errno != ENOENT)
        status = pare_fail(err, PARE_ERR_IO, "%s: cannot rename to %s: %s", path,
                           previous, strerror(errno));
    if (status == PARE_OK)
        return pare_output_commit(sink.output, err);
    pare_output_abort(sink.output);
    return status;
}

enum pare_status pare_state_remove(const char *path, struct pare_error *err)
{
    char previous[MAX_PATH];
    PARE_TRY(previous_path(path, previous, err));
    PARE_TRY(pare_state_check(path, err));
    const char *const both[] = {path, previous};
    for (size_t i = 0; i < 2; i++)
        if (unlink(both[i]) && errno != ENOENT)
            return pare_fail(err, PARE_ERR_IO, "%s: cannot remove: %s", both[i],
                             strerror(errno));
    return PARE_OK;
}

/* --- Reading ---------------------------------------------------------------------- */

struct opened { /* a state file that was checked */
    struct pare_map map;
    cJSON *json;
    uint64_t data; /* offset of the first array */
};

static void close_state(struct opened *state)
{
    cJSON_Delete(state->json);
    pare_map_close(&state->map);
    *state = (struct opened){0};
}

static enum pare_status check_arrays(const struct opened *state, const char *path,
                                     struct pare_error *err)
{
    const cJSON *arrays = cJSON_GetObjectItemCaseSensitive(state->json, "arrays");
    const cJSON *array;
    uint64_t bytes = 0;
    cJSON_ArrayForEach(array, arrays)
    {
        uint64_t count = 0;
        PARE_TRY(pare_json_u64(arrays, array->string, 0, (uint64_t)1 << 48, &count, path,
                               err));
        bytes += count * sizeof(float);
        if (bytes > state->map.size)
            break;
    }
    if (!arrays || state->data + bytes + 4 != state->map.size)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: the resume file is damaged (%" PRIu64 " bytes)", path,
                         state->map.size);
    return PARE_OK;
}

static enum pare_status open_state(const char *path, struct opened *state,
                                   struct pare_error *err)
{
    *state = (struct opened){0};
    PARE_TRY(pare_map_open(path, &state->map, err));
    const uint8_t *data = state->map.data;
    const uint64_t size = state->map.size;
    if (size < HEADER_BYTES + 4 || !has_magic(data, size))
        return pare_fail(err, PARE_ERR_INPUT, "%s: this is not a resume file", path);
    if (get_u32(data + 8) != VERSION)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%s: the resume file has version %u, expected %u", path,
                         get_u32(data + 8), (unsigned)VERSION);
    const uint32_t length = get_u32(data + 12);
    const uint64_t text_end = HEADER_BYTES + (uint64_t)length;
    if (text_end + 4 > size ||
        get_u32(data + size - 4) !=
            (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, (z_size_t)(size - 4)))
        return pare_fail(err, PARE_ERR_INPUT, "%s: the resume file is damaged (checksum)",
                         path);
    PARE_TRY(pare_json_parse((const char *)data + HEADER_BYTES, length, path,
                             &state->json, err));
    state->data = (text_end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return check_arrays(state, path, err);
}

/* The texts that both have under a key; a run of another version may have other keys. */
static enum pare_status compare_key(const char *key, const cJSON *found,
                                    const cJSON *expected, const char *path,
                                    struct pare_error *err)
{
    const char *theirs =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(found, key));
    const char *ours =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(expected, key));
    if (ours && theirs && !strcmp(ours, theirs))
        return PARE_OK;
    return pare_fail(err, PARE_ERR_USAGE,
                     "%s: cannot resume: the stopped run had %s %s, this one has %s; "
                     "give the same options and files, or remove the resume file",
                     path, key, theirs ? theirs : "(none)", ours ? ours : "(none)");
}

static enum pare_status compare_identity(const cJSON *found, const cJSON *expected,
                                         const char *path, struct pare_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, expected)
        PARE_TRY(compare_key(item->string, found, expected, path, err));
    cJSON_ArrayForEach(item, found)
        PARE_TRY(compare_key(item->string, found, expected, path, err));
    return PARE_OK;
}

static const struct pare_state_array *find_array(const struct pare_state_array *arrays,
                                                 size_t n_arrays, const cJSON *item)
{
    for (size_t i = 0; i < n_arrays; i++)
        if (!strcmp(arrays[i].name, item->string) &&
            (double)arrays[i].count == item->valuedouble)
            return &arrays[i];
    return NULL;
}

static enum pare_status copy_arrays(const struct opened *state, const char *path,
                                    const struct pare_state_array *arrays,
                                    size_t n_arrays, struct pare_error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(state->json, "arrays");
    const cJSON *item;
    const uint8_t *data = state->map.data + state->data;
    cJSON_ArrayForEach(item, list)
    {
        const struct pare_state_array *array = find_array(arrays, n_arrays, item);
        if (!array)
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: the resume file has %.0f numbers of \"%.40s\", which "
                             "this run does not expect",
                             path, item->valuedouble, item->string);
        memcpy(array->data, data, (size_t)array->count * sizeof(float));
        data += array->count * sizeof(float);
    }
    return PARE_OK;
}

enum pare_status pare_state_read(const char *path, const cJSON *identity,
                                 cJSON **progress, const struct pare_state_array *arrays,
                                 size_t n_arrays, int *fell_back, struct pare_error *err)
{
    *progress = NULL;
    *fell_back = 0;
    char previous[MAX_PATH];
    PARE_TRY(previous_path(path, previous, err));
    if (!pare_path_exists(path) && !pare_path_exists(previous))
        return PARE_OK;
    struct opened state;
    const char *from = path;
    enum pare_status status = open_state(path, &state, err);
    if (status != PARE_OK && status != PARE_ERR_MEMORY && pare_path_exists(previous)) {
        close_state(&state);
        *fell_back = 1;
        from = previous;
        status = open_state(previous, &state, err);
        /* The next write must not let a damaged file take the good one's place. */
        if (status == PARE_OK)
            unlink(path);
    }
    if (status == PARE_OK)
        status =
            compare_identity(cJSON_GetObjectItemCaseSensitive(state.json, "identity"),
                             identity, from, err);
    if (status == PARE_OK) {
        *progress = cJSON_DetachItemFromObjectCaseSensitive(state.json, "progress");
        if (!*progress)
            status = pare_fail(err, PARE_ERR_INPUT, "%s: the resume file has no progress",
                               from);
    }
    if (status == PARE_OK)
        status = copy_arrays(&state, from, arrays, n_arrays, err);
    if (status != PARE_OK) {
        cJSON_Delete(*progress);
        *progress = NULL;
    }
    close_state(&state);
    return status;
}
