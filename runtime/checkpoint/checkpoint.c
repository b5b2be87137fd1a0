/* Opening: which files belong to the checkpoint, in which format, and the table of names.
 * The formats themselves are in gguf_read.c, safetensors.c and torch.c, the indexes of
 * sharded checkpoints in shards.c. */
#include "runtime/checkpoint/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/base/utf8.h"
#include "runtime/checkpoint/gzip.h"
#include "runtime/checkpoint/reader.h"

/* --- what readers use --- */

struct pare_source pare_source_of(const char *path, const void *data, uint64_t size)
{
    /* Half of what P1 allows is left to what is not counted: rounding of the arena,
     * arrays that grow. */
    uint64_t budget = ((uint64_t)32 << 20) + (size < UINT64_MAX / 4 ? 3 * size : 0);
    return (struct pare_source){path, data, size, size, budget};
}

enum pare_status pare_source_fail(const struct pare_source *source, uint64_t offset,
                                  struct pare_error *err, const char *format, ...)
{
    char reason[PARE_ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    /* A path may fill the message; its reason must survive. */
    return pare_fail(err, PARE_ERR_INPUT, "%.250s: byte %llu: %s", source->path,
                     (unsigned long long)offset, reason);
}

enum pare_status pare_source_take(struct pare_source *source, uint64_t count,
                                  uint64_t size, struct pare_error *err)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > source->budget)
        return pare_fail(err, PARE_ERR_INPUT,
                         "%.250s: reading this file would take more memory than 64 MiB "
                         "and four times its size",
                         source->path);
    source->budget -= bytes;
    return PARE_OK;
}

int pare_is_clean_name(const char *name, size_t length)
{
    const uint8_t *p = (const uint8_t *)name;
    for (size_t i = 0, n; i < length; i += n) {
        n = pare_utf8_length(p + i, length - i);
        if (!n || p[i] < 0x20 || p[i] == 0x7F || (p[i] == 0xC2 && p[i + 1] < 0xA0))
            return 0;
    }
    return 1;
}

enum pare_status pare_ckpt_reserve(struct pare_ckpt *ckpt, struct pare_source *source,
                                   uint64_t count, struct pare_error *err)
{
    const uint64_t name_and_slot = 64 + 16;
    PARE_TRY(pare_source_take(source, count, sizeof *ckpt->tensors + name_and_slot, err));
    if (count > PARE_MAX_TENSORS - ckpt->n_tensors)
        return pare_fail(err, PARE_ERR_INPUT, "%.250s: more than 2^20 tensors",
                         source->path);
    return pare_grow(&ckpt->tensors, &ckpt->files->tensors_capacity,
                     ckpt->n_tensors + (size_t)count, sizeof *ckpt->tensors, err);
}

/* --- formats --- */

const char *pare_format_name(enum pare_format format)
{
    switch (format) {
    case PARE_FORMAT_SAFETENSORS: return "safetensors";
    case PARE_FORMAT_TORCH: return "torch";
    case PARE_FORMAT_GGUF: return "gguf";
    }
    return "unknown";
}

static int starts_with(const struct pare_source *source, const char *text, size_t length)
{
    return source->size >= length && memcmp(source->data, text, length) == 0;
}

static int ends_with(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && strcmp(path + n - m, ending) == 0;
}

/* A header length that leaves room for it, then the start of its JSON. */
static int looks_like_safetensors(const struct pare_source *source)
{
    if (source->size < 9)
        return 0;
    uint64_t header = pare_load_u64(source->data);
    return header <= source->size - 8 && strchr("{ \t\r\n", source->data[8]) &&
           source->data[8] != '\0';
}

/* By content; if that tells nothing, the name decides which reader explains what is
 * wrong. */
static enum pare_status choose_reader(const struct pare_source *source,
                                      enum pare_format *format, struct pare_error *err)
{
    const char *path = source->path;
    if (starts_with(source, "GGUF", 4))
        *format = PARE_FORMAT_GGUF;
    else if (starts_with(source, "PK\3\4", 4) || starts_with(source, "PK\5\6", 4))
        *format = PARE_FORMAT_TORCH;
    else if (looks_like_safetensors(source) || ends_with(path, ".safetensors"))
        *format = PARE_FORMAT_SAFETENSORS;
    else if (ends_with(path, ".gguf"))
        *format = PARE_FORMAT_GGUF;
    else if (starts_with(source, "\x80\x02", 2))
        return pare_source_fail(source, 0, err,
                                "PyTorch's format from before version 1.6 is not read: "
                                "load the file with PyTorch and save it again, best as "
                                "safetensors");
    else if (ends_with(path, ".pt") || ends_with(path, ".pth"))
        *format = PARE_FORMAT_TORCH;
    else
        return pare_source_fail(source, 0, err,
                                "not a checkpoint in a known format (safetensors, "
                                "PyTorch .bin or .pt, GGUF, or an index of those)");
    return PARE_OK;
}

static enum pare_status read_source(struct pare_ckpt *ckpt, struct pare_source *source,
                                    struct pare_error *err)
{
    static pare_reader *const readers[] = {[PARE_FORMAT_SAFETENSORS] =
                                               pare_safetensors_read,
                                           [PARE_FORMAT_TORCH] = pare_torch_read,
                                           [PARE_FORMAT_GGUF] = pare_gguf_read};
    enum pare_format format = PARE_FORMAT_GGUF;
    PARE_TRY(choose_reader(source, &format, err));
    if (ckpt->n_files > 0 && (format != ckpt->format || format == PARE_FORMAT_GGUF))
        return pare_source_fail(source, 0, err, "this shard has the format %s, others %s",
                                pare_format_name(format), pare_format_name(ckpt->format));
    ckpt->format = format;
    ckpt->bytes += source->stored;
    ckpt->n_files++;
    return readers[format](source, ckpt, err);
}

static enum pare_status unpack(struct pare_ckpt *ckpt, struct pare_source *source,
                               struct pare_error *err)
{
    return pare_is_gzip(source) ? pare_gunzip(source, &ckpt->arena, err) : PARE_OK;
}

/* Maps a file for as long as the checkpoint lives, and unpacks it when it is compressed.
 * `path` must live as long. */
static enum pare_status map_file(struct pare_ckpt *ckpt, const char *path,
                                 struct pare_source *source, struct pare_error *err)
{
    struct pare_ckpt_files *files = ckpt->files;
    PARE_TRY(pare_grow(&files->maps, &files->maps_capacity, files->n_maps + 1,
                       sizeof *files->maps, err));
    struct pare_map *map = &files->maps[files->n_maps];
    PARE_TRY(pare_map_open(path, map, err));
    files->n_maps++;
    *source = pare_source_of(path, map->data, map->size);
    PARE_TRY(unpack(ckpt, source, err));
    if (source->data != map->data)
        pare_map_release(map, map->data, map->size);
    return PARE_OK;
}

enum pare_status pare_ckpt_add_file(struct pare_ckpt *ckpt, const char *path,
                                    struct pare_error *err)
{
    struct pare_source source;
    PARE_TRY(map_file(ckpt, path, &source, err));
    return read_source(ckpt, &source, err);
}

/* --- names --- */

static const char *name_of_tensor(void *context, uint32_t number, size_t *length)
{
    const struct pare_ckpt *ckpt = context;
    *length = strlen(ckpt->tensors[number].name);
    return ckpt->tensors[number].name;
}

enum pare_status pare_ckpt_enter_names(struct pare_ckpt *ckpt, struct pare_error *err)
{
    struct pare_names *names = &ckpt->files->names;
    names->name = name_of_tensor;
    names->context = ckpt;
    for (size_t i = 0; i < ckpt->n_tensors; i++) {
        const char *name = ckpt->tensors[i].name;
        uint32_t other;
        PARE_TRY(pare_names_add(names, name, strlen(name), (uint32_t)i, &other, err));
        if (other != PARE_NO_NAME)
            return pare_fail(err, PARE_ERR_INPUT, "%.250s: tensor %.100s occurs twice",
                             ckpt->path, name);
    }
    return PARE_OK;
}

const struct pare_tensor *pare_ckpt_find(const struct pare_ckpt *ckpt, const char *name)
{
    uint32_t number = pare_names_find(&ckpt->files->names, name, strlen(name));
    return number == PARE_NO_NAME ? NULL : &ckpt->tensors[number];
}

/* --- folders --- */

/* The only .gguf file of a folder, or an error. */
static enum pare_status find_gguf(const char *folder, char *out, size_t size,
                                  struct pare_error *err)
{
    DIR *listing = opendir(folder);
    if (!listing)
        return pare_fail(err, PARE_ERR_IO, "%s: cannot list the folder: %s", folder,
                         strerror(errno));
    enum pare_status status = PARE_OK;
    int found = 0;
    for (struct dirent *entry; status == PARE_OK && (entry = readdir(listing));)
        if (entry->d_name[0] != '.' &&
            (ends_with(entry->d_name, ".gguf") || ends_with(entry->d_name, ".gguf.gz")) &&
            ++found == 1)
            status = pare_path_join(out, size, folder, entry->d_name, err);
    closedir(listing);
    if (status == PARE_OK && found != 1)
        status = pare_fail(err, PARE_ERR_INPUT,
                           found ? "%s: the folder has several .gguf files; name one"
                                 : "%s: the folder has no model.safetensors, "
                                   "pytorch_model.bin, index of these, or .gguf file",
                           folder);
    return status;
}

static enum pare_status find_in_folder(const char *folder, char *out, size_t size,
                                       struct pare_error *err)
{
    static const char *const names[] = {
        "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
        "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PARE_TRY(pare_path_join(out, size, folder, names[i], err));
        if (pare_path_exists(out))
            return PARE_OK;
    }
    return find_gguf(folder, out, size, err);
}

/* --- opening --- */

static enum pare_status new_checkpoint(const char *path, struct pare_ckpt **out,
                                       struct pare_error *err)
{
    struct pare_ckpt *ckpt;
    *out = NULL;
    PARE_TRY(pare_alloc(&ckpt, 1, sizeof *ckpt, err));
    *out = ckpt;
    PARE_TRY(pare_alloc(&ckpt->files, 1, sizeof *ckpt->files, err));
    return pare_strndup(&ckpt->path, path, strlen(path), err);
}

/* An index is a JSON object. Eight letters read as a length are longer than any file, so
 * it cannot be mistaken for safetensors. */
static int is_index(const struct pare_source *source)
{
    uint64_t i = 0;
    while (i < source->size && source->data[i] && strchr(" \t\r\n", source->data[i]))
        i++;
    return i < source->size && source->data[i] == '{' &&
           !looks_like_safetensors(source) && !ends_with(source->path, ".safetensors");
}

static enum pare_status read_path(struct pare_ckpt *ckpt, struct pare_error *err)
{
    struct pare_source source;
    PARE_TRY(map_file(ckpt, ckpt->path, &source, err));
    if (is_index(&source))
        return pare_shards_read(&source, ckpt, err);
    PARE_TRY(read_source(ckpt, &source, err));
    return pare_ckpt_enter_names(ckpt, err);
}

enum pare_status pare_ckpt_open(const char *path, struct pare_ckpt **out,
                                struct pare_error *err)
{
    char inside[PATH_MAX];
    struct pare_ckpt *ckpt = NULL;
    *out = NULL;
    if (pare_path_is_folder(path)) {
        PARE_TRY(find_in_folder(path, inside, sizeof inside, err));
        path = inside;
    }
    enum pare_status status = new_checkpoint(path, &ckpt, err);
    if (status == PARE_OK)
        status = read_path(ckpt, err);
    if (status == PARE_OK)
        *out = ckpt;
    else
        pare_ckpt_close(ckpt);
    return status;
}

enum pare_status pare_ckpt_open_memory(const char *name, const void *data, uint64_t size,
                                       struct pare_ckpt **out, struct pare_error *err)
{
    struct pare_ckpt *ckpt = NULL;
    struct pare_source source = pare_source_of(name, data, size);
    *out = NULL;
    enum pare_status status = new_checkpoint(name, &ckpt, err);
    if (status == PARE_OK)
        status = unpack(ckpt, &source, err);
    if (status == PARE_OK)
        status = read_source(ckpt, &source, err);
    if (status == PARE_OK)
        status = pare_ckpt_enter_names(ckpt, err);
    if (status == PARE_OK)
        *out = ckpt;
    else
        pare_ckpt_close(ckpt);
    return status;
}

void pare_ckpt_close(struct pare_ckpt *ckpt)
{
    if (!ckpt)
        return;
    if (ckpt->files) {
        for (size_t i = 0; i < ckpt->files->n_maps; i++)
            pare_map_close(&ckpt->files->maps[i]);
        pare_names_free(&ckpt->files->names);
        pare_free(ckpt->files->maps);
        pare_free(ckpt->files);
    }
    pare_meta_free(&ckpt->meta);
    pare_arena_free(&ckpt->arena);
    pare_free(ckpt->tensors);
    pare_free(ckpt->path);
    pare_free(ckpt);
}

void pare_ckpt_release(const struct pare_ckpt *ckpt, const void *data, uint64_t bytes)
{
    for (size_t i = 0; ckpt && ckpt->files && i < ckpt->files->n_maps; i++)
        pare_map_release(&ckpt->files->maps[i], data, bytes);
}

#define HASHED ((uint64_t)4 << 20) /* bytes in memory at a time */

void pare_ckpt_hash(const struct pare_ckpt *ckpt, const struct pare_tensor *tensor,
                    struct pare_sha256 *sha)
{
    const unsigned char *data = tensor->data;
    for (uint64_t at = 0; at < tensor->bytes; at += HASHED) {
        const uint64_t rest = tensor->bytes - at, n = rest < HASHED ? rest : HASHED;
        pare_sha256_update(sha, data + at, (size_t)n);
        /* With the page before, which the last piece ended in. */
        const uint64_t more = at < HASHED ? at : HASHED;
        pare_ckpt_release(ckpt, data + at - more, n + more);
    }
}

enum pare_status pare_ckpt_refuse_output(const struct pare_ckpt *ckpt, const char *output,
                                         struct pare_error *err)
{
    struct stat found;
    if (!output || stat(output, &found))
        return PARE_OK;
    for (size_t i = 0; i < ckpt->files->n_maps; i++)
        if (ckpt->files->maps[i].device == (uint64_t)found.st_dev &&
            ckpt->files->maps[i].inode == (uint64_t)found.st_ino)
            return pare_fail(err, PARE_ERR_USAGE,
                             "%.250s: the output would replace a file of the input",
                             output);
    return PARE_OK;
}
