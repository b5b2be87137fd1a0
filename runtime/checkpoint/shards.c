/* Sharded checkpoints as Hugging Face writes them: an index
 *
 *     {"metadata": {...}, "weight_map": {"tensor": "file", ...}}
 *
 * beside the files it names. A file's name is one component of a path, so nothing outside
 * the index's folder is opened (its entries may be links, as in Hugging Face's cache).
 * The shards are read in the order of their names, each tensor of the map must be in the
 * shard the map says, and no tensor may be in two.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/json_scan.h"
#include "runtime/checkpoint/reader.h"

#define MAX_SHARDS 4096
#define MAX_SHARD_NAME 255

struct shard {
    const char *name;
    size_t first, end; /* its tensors in the checkpoint */
};

struct entry { /* of the weight map */
    const char *tensor;
    uint32_t shard;
};

struct map_reading {
    struct pare_source *source;
    struct pare_json_scan scan;
    struct pare_arena *arena; /* holds the names of the shards */
    char *pool;               /* the tensors' names, each with a NUL */
    size_t pool_used;
    struct entry *entries;
    size_t n_entries, entries_capacity;
    struct shard *shards; /* MAX_SHARDS of them */
    uint32_t n_shards;
    struct pare_names shard_names;
};

static const char *name_of_shard(void *context, uint32_t number, size_t *length)
{
    const struct map_reading *map = context;
    *length = strlen(map->shards[number].name);
    return map->shards[number].name;
}

static int is_plain_name(const char *name, size_t length)
{
    if (!length || length > MAX_SHARD_NAME || name[0] == '.')
        return 0;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == '/' || name[i] == '\\')
            return 0;
    return 1;
}

/* The number of the shard that the last token names, a new one if need be. */
static enum pare_status enter_shard(struct map_reading *map, uint32_t *number,
                                    struct pare_error *err)
{
    char name[6 * MAX_SHARD_NAME];
    size_t length = 0;
    if (map->scan.token_length <= sizeof name)
        length = pare_json_token(&map->scan, name);
    if (!is_plain_name(name, length))
        return pare_json_scan_fail(&map->scan, err,
                                   "a shard must be a file beside the index, found "
                                   "\"%.*s\"",
                                   (int)(length < 100 ? length : 100), name);
    *number = pare_names_find(&map->shard_names, name, length);
    if (*number != PARE_NO_NAME)
        return PARE_OK;
    if (map->n_shards == MAX_SHARDS)
        return pare_json_scan_fail(&map->scan, err, "more than %d shards", MAX_SHARDS);
    char *copy;
    uint32_t other;
    PARE_TRY(pare_arena_strndup(map->arena, &copy, name, length, err));
    *number = map->n_shards;
    map->shards[*number].name = copy;
    PARE_TRY(pare_names_add(&map->shard_names, copy, length, *number, &other, err));
    map->n_shards++;
    return PARE_OK;
}

static enum pare_status read_entry(struct map_reading *map, struct pare_error *err)
{
    struct entry entry = {map->pool + map->pool_used, 0};
    map->pool_used += pare_json_token(&map->scan, map->pool + map->pool_used);
    map->pool[map->pool_used++] = '\0'; /* the quotes left room for it */
    enum pare_json_event event;
    PARE_TRY(pare_json_next(&map->scan, &event, err));
    if (event != PARE_JSON_STRING)
        return pare_json_scan_fail(&map->scan, err, "expected the name of a file");
    PARE_TRY(enter_shard(map, &entry.shard, err));
    if (map->n_entries == PARE_MAX_TENSORS)
        return pare_json_scan_fail(&map->scan, err, "more than 2^20 tensors");
    PARE_TRY(pare_grow(&map->entries, &map->entries_capacity, map->n_entries + 1,
                       sizeof *map->entries, err));
    map->entries[map->n_entries++] = entry;
    return PARE_OK;
}

static enum pare_status read_weight_map(struct map_reading *map, struct pare_error *err)
{
    enum pare_json_event event;
    PARE_TRY(pare_json_next(&map->scan, &event, err));
    if (event != PARE_JSON_OBJECT)
        return pare_json_scan_fail(&map->scan, err, "weight_map is not an object");
    for (;;) {
        PARE_TRY(pare_json_next(&map->scan, &event, err));
        if (event == PARE_JSON_OBJECT_END)
            return PARE_OK;
        PARE_TRY(read_entry(map, err));
    }
}

static enum pare_status read_index(struct map_reading *map, struct pare_error *err)
{
    enum pare_json_event event;
    PARE_TRY(pare_json_next(&map->scan, &event, err)); /* the caller saw the { */
    for (;;) {
        PARE_TRY(pare_json_next(&map->scan, &event, err));
        if (event == PARE_JSON_OBJECT_END)
            break;
        if (pare_json_token_is(&map->scan, "weight_map")) {
            PARE_TRY(read_weight_map(map, err));
        } else {
            PARE_TRY(pare_json_next(&map->scan, &event, err));
            PARE_TRY(pare_json_skip(&map->scan, event, err));
        }
    }
    PARE_TRY(pare_json_next(&map->scan, &event, err));
    if (!map->n_shards)
        return pare_source_fail(map->source, 0, err,
                                "expected an index with a \"weight_map\" that names the "
                                "files of a checkpoint");
    return PARE_OK;
}

/* --- the shards themselves --- */

static int by_name(const void *a, const void *b)
{
    const struct shard *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static enum pare_status open_shard(struct map_reading *map, struct pare_ckpt *ckpt,
                                   struct shard *shard, struct pare_error *err)
{
    const char *index = map->source->path, *slash = strrchr(index, '/');
    size_t folder = slash ? (size_t)(slash - index) + 1 : 0;
    size_t length = strlen(shard->name);
    char *path;
    PARE_TRY(pare_arena_alloc(&ckpt->arena, &path, folder + length + 1, 1, err));
    memcpy(path, index, folder);
    memcpy(path + folder, shard->name, length + 1);
    if (!pare_path_exists(path))
        return pare_fail(err, PARE_ERR_INPUT,
                         "%.250s: the file %.100s, which the index names, is missing",
                         index, shard->name);
    shard->first = ckpt->n_tensors;
    PARE_TRY(pare_ckpt_add_file(ckpt, path, err));
    shard->end = ckpt->n_tensors;
    return PARE_OK;
}

static enum pare_status open_shards(struct map_reading *map, struct pare_ckpt *ckpt,
                                    struct pare_error *err)
{
    struct shard **order;
    PARE_TRY(pare_arena_alloc(map->arena, &order, map->n_shards, sizeof *order, err));
    for (uint32_t i = 0; i < map->n_shards; i++)
        order[i] = &map->shards[i];
    qsort(order, map->n_shards, sizeof *order, by_name);
    for (uint32_t i = 0; i < map->n_shards; i++)
        PARE_TRY(open_shard(map, ckpt, order[i], err));
    return PARE_OK;
}

static enum pare_status check_entries(const struct map_reading *map,
                                      const struct pare_ckpt *ckpt,
                                      struct pare_error *err)
{
    for (size_t i = 0; i < map->n_entries; i++) {
        const struct entry *entry = &map->entries[i];
        const struct shard *shard = &map->shards[entry->shard];
        const struct pare_tensor *tensor = pare_ckpt_find(ckpt, entry->tensor);
        size_t number = tensor ? (size_t)(tensor - ckpt->tensors) : 0;
        if (!tensor || number < shard->first || number >= shard->end)
            return pare_fail(err, PARE_ERR_INPUT,
                             "%.250s: tensor %.100s is not in %.100s, where the index "
                             "says it is",
                             ckpt->path, entry->tensor, shard->name);
    }
    return PARE_OK;
}

enum pare_status pare_shards_read(struct pare_source *source, struct pare_ckpt *ckpt,
                                  struct pare_error *err)
{
    struct pare_arena arena = {0};
    struct map_reading map = {.source = source, .arena = &arena};
    map.shard_names.name = name_of_shard;
    map.shard_names.context = &map;
    pare_json_scan_init(&map.scan, (const char *)source->data, (size_t)source->size,
                        source->path, 1);
    enum pare_status status;
    PARE_TRY_OUT(
        pare_arena_alloc(&arena, &map.shards, MAX_SHARDS, sizeof *map.shards, err));
    PARE_TRY_OUT(pare_arena_alloc(&arena, &map.pool, (size_t)source->size, 1, err));
    PARE_TRY_OUT(read_index(&map, err));
    PARE_TRY_OUT(open_shards(&map, ckpt, err));
    PARE_TRY_OUT(pare_ckpt_enter_names(ckpt, err));
    status = check_entries(&map, ckpt, err);
out:
    pare_json_scan_free(&map.scan);
    pare_names_free(&map.shard_names);
    pare_free(map.entries);
    pare_arena_free(&arena);
    return status;
}
