/* The sums of files and folders, and the keys of steps. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "runtime/base/sha256.h"
#include "tools/recipe_state.h"

#define PIECE ((uint64_t)8 << 20) /* between two looks for a signal */

/* A word and its end, so that two words are never one. */
static void add_word(struct pare_sha256 *sha, const char *word)
{
    pare_sha256_update(sha, word, strlen(word) + 1);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* --- Files
 * ------------------------------------------------------------------------------ */

static enum pare_status add_file(struct pare_sha256 *sha, const char *path,
                                 struct pare_error *err)
{
    struct pare_map map;
    enum pare_status status = PARE_OK;
    PARE_TRY(pare_map_open(path, &map, err));
    for (uint64_t at = 0; at < map.size && status == PARE_OK; at += PIECE) {
        const uint64_t n = map.size - at < PIECE ? map.size - at : PIECE;
        pare_sha256_update(sha, map.data + at, (size_t)n);
        pare_map_release(&map, map.data + at, n);
        status = pare_check_interrupted(err);
    }
    pare_map_close(&map);
    return status;
}

static enum pare_status sum_file(const char *path, char hex[RECIPE_SUM_SIZE],
                                 struct pare_error *err)
{
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    PARE_TRY(add_file(&sha, path, err));
    pare_sha256_hex(&sha, hex);
    return PARE_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **items;
    size_t count, capacity;
};

/* Regular files, also behind links; hidden ones are nobody's input. */
static enum pare_status list_files(const char *folder, struct names *names,
                                   struct pare_error *err)
{
    enum pare_status status = PARE_OK;
    DIR *listing = opendir(folder);
    if (!listing)
        return pare_fail(err, PARE_ERR_IO, "%s: cannot list: %s", folder,
                         strerror(errno));
    for (struct dirent *entry; (entry = readdir(listing));) {
        char path[4096];
        struct stat info;
        if (*entry->d_name == '.')
            continue;
        PARE_TRY_OUT(pare_path_join(path, sizeof path, folder, entry->d_name, err));
        if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
            continue;
        PARE_TRY_OUT(pare_grow(&names->items, &names->capacity, names->count + 1,
                               sizeof *names->items, err));
        PARE_TRY_OUT(pare_strndup(&names->items[names->count], entry->d_name,
                                  strlen(entry->d_name), err));
        names->count++;
    }
    if (names->count)
        qsort(names->items, names->count, sizeof *names->items, compare_names);
out:
    closedir(listing);
    return status;
}

static enum pare_status add_member(struct pare_sha256 *sha, const char *folder,
                                   const char *name, struct pare_error *err)
{
    char path[4096], hex[RECIPE_SUM_SIZE];
    PARE_TRY(pare_path_join(path, sizeof path, folder, name, err));
    PARE_TRY(sum_file(path, hex, err));
    add_word(sha, name);
    add_word(sha, hex);
    return PARE_OK;
}

static enum pare_status sum_folder(const char *folder, char hex[RECIPE_SUM_SIZE],
                                   struct pare_error *err)
{
    struct names names = {0};
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    enum pare_status status = list_files(folder, &names, err);
    for (size_t i = 0; i < names.count && status == PARE_OK; i++)
        status = add_member(&sha, folder, names.items[i], err);
    for (size_t i = 0; i < names.count; i++)
        pare_free(names.items[i]);
    pare_free(names.items);
    pare_sha256_hex(&sha, hex);
    return status;
}

enum pare_status recipe_sums_get(struct recipe_sums *sums, const char *path,
                                 const char **hex, struct pare_error *err)
{
    for (size_t i = 0; i < sums->count; i++)
        if (!strcmp(sums->items[i].path, path)) {
            *hex = sums->items[i].hex;
            return PARE_OK;
        }
    PARE_TRY(pare_grow(&sums->items, &sums->capacity, sums->count + 1,
                       sizeof *sums->items, err));
    struct recipe_sum *sum = &sums->items[sums->count];
    PARE_TRY(pare_path_is_folder(path) ? sum_folder(path, sum->hex, err)
                                       : sum_file(path, sum->hex, err));
    sum->path = path;
    sums->count++;
    *hex = sum->hex;
    return PARE_OK;
}

void recipe_sums_forget(struct recipe_sums *sums, const char *path)
{
    const size_t length = strlen(path);
    for (size_t i = sums->count; i-- > 0;) { /* what is in a folder, too */
        const char *other = sums->items[i].path;
        if (!strncmp(other, path, length) && (!other[length] || other[length] == '/'))
            sums->items[i] = sums->items[--sums->count];
    }
}

void recipe_sums_free(struct recipe_sums *sums)
{
    pare_free(sums->items);
    *sums = (struct recipe_sums){0};
}

/* --- Keys
 * ------------------------------------------------------------------------------- */

static int ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* A checkpoint's config and tokenizer are looked for beside it, and so are the shards
 * that an index names. */
static enum pare_status add_beside(struct pare_sha256 *sha, const char *path,
                                   struct pare_error *err)
{
    static const char *const names[] = {"config.json", "special_tokens_map.json",
                                        "tokenizer.json", "tokenizer_config.json",
                                        "vocab.txt"};
    char folder[4096] = ".", beside[4096], hex[RECIPE_SUM_SIZE];
    const char *slash = strrchr(path, '/');
    if (slash && snprintf(folder, sizeof folder, "%.*s", (int)(slash - path + 1), path) >=
                     (int)sizeof folder)
        return pare_fail(err, PARE_ERR_USAGE, "%.100s...: the path is too long", path);
    if (ends_with(path, ".index.json")) {
        PARE_TRY(sum_folder(folder, hex, err));
        add_word(sha, hex);
        return PARE_OK;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PARE_TRY(pare_path_join(beside, sizeof beside, folder, names[i], err));
        if (pare_path_exists(beside) && !pare_path_is_folder(beside))
            PARE_TRY(add_member(sha, folder, names[i], err));
    }
    return PARE_OK;
}

static int has_company(const struct recipe_job *job, const struct recipe_word *word)
{
    if (pare_path_is_folder(word->text) || ends_with(word->text, ".gguf"))
        return 0;
    if (!word->option)
        return job->step->program->reads == RECIPE_ANY;
    return !strcmp(word->option, "config") || !strcmp(word->option, "tokenizer") ||
           !strcmp(word->option, "vocab");
}

/* What names a file counts with what is in it, and with its last name: results and
 * histories show that. */
static enum pare_status add_value(struct pare_sha256 *sha, const struct recipe_job *job,
                                  const struct recipe_word *word,
                                  struct recipe_sums *sums, struct pare_error *err)
{
    const char *hex;
    if (!word->text || word->is_made) {
        add_word(sha, word->is_made ? "made" : "true");
        return PARE_OK;
    }
    if (word->from == RECIPE_NOWHERE && word->option && !pare_path_exists(word->text)) {
        add_word(sha, "value");
        add_word(sha, word->text);
        return PARE_OK;
    }
    PARE_TRY(recipe_sums_get(sums, word->text, &hex, err));
    add_word(sha, "file");
    add_word(sha, base_name(word->text));
    add_word(sha, hex);
    return has_company(job, word) ? add_beside(sha, word->text, err) : PARE_OK;
}

/* Options by name, values of one in their order, inputs first: an order that does not
 * depend on how the recipe lists them. */
static enum pare_status add_words(struct pare_sha256 *sha, const struct recipe_job *job,
                                  struct recipe_sums *sums, struct pare_error *err)
{
    const char *last = "", *next;
    for (size_t i = 0; i < job->n_words; i++)
        if (!job->words[i].option)
            PARE_TRY(add_value(sha, job, &job->words[i], sums, err));
    for (;; last = next) {
        next = NULL;
        for (size_t i = 0; i < job->n_words; i++) {
            const char *option = job->words[i].option;
            if (option && strcmp(option, last) > 0 && (!next || strcmp(option, next) < 0))
                next = option;
        }
        if (!next)
            return PARE_OK;
        add_word(sha, next);
        for (size_t i = 0; i < job->n_words; i++)
            if (job->words[i].option && !strcmp(job->words[i].option, next))
                PARE_TRY(add_value(sha, job, &job->words[i], sums, err));
    }
}

enum pare_status recipe_key(const struct recipe_job *job, const char *machine,
                            struct recipe_sums *sums, char key[RECIPE_SUM_SIZE],
                            struct pare_error *err)
{
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    add_word(&sha, "recipe 1");
    add_word(&sha, PARE_VERSION);
    add_word(&sha, job->step->program->verb);
    if (job->step->program->measures)
        add_word(&sha, machine);
    PARE_TRY(add_words(&sha, job, sums, err));
    pare_sha256_hex(&sha, key);
    return PARE_OK;
}
