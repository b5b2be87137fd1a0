/* Finding and reading the files of a tokenizer. */
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/text/hf_config.h"
#include "runtime/text/wordpiece.h"

#define PATH_SIZE 4096

static int has(const char *folder, const char *name, char path[PATH_SIZE])
{
    return pare_path_join(path, PATH_SIZE, folder, name, NULL) == PARE_OK &&
           pare_path_exists(path);
}

int pare_tokenizer_exists(const char *folder)
{
    char path[PATH_SIZE];
    return has(folder, "tokenizer.json", path) || has(folder, "vocab.txt", path);
}

/* `folder` and `file` of a path that is one or the other. */
static enum pare_status locate(const char *path, char folder[PATH_SIZE],
                               char file[PATH_SIZE], struct pare_error *err)
{
    size_t length = strlen(path);
    if (length >= PATH_SIZE)
        return pare_fail(err, PARE_ERR_USAGE, "%.60s...: the path is too long", path);
    if (!pare_path_is_folder(path)) {
        const char *slash = strrchr(path, '/');
        size_t part = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
        memcpy(file, path, length + 1);
        memcpy(folder, slash ? path : ".", slash ? part : 1);
        folder[slash ? part : 1] = '\0';
        return PARE_OK;
    }
    memcpy(folder, path, length + 1);
    if (has(folder, "tokenizer.json", file) || has(folder, "vocab.txt", file))
        return PARE_OK;
    return pare_fail(err, PARE_ERR_IO,
                     "%s: neither tokenizer.json nor vocab.txt is there", path);
}

static enum pare_status read_files(const char *folder, const char *file,
                                   struct pare_tokenizer *t, struct pare_error *err)
{
    size_t length = strlen(file);
    int json = length >= 5 && strcmp(file + length - 5, ".json") == 0;
    struct pare_hf_config config;
    PARE_TRY(pare_hf_config_open(folder, &config, err));
    enum pare_status status = json ? pare_tokenizer_read_json(file, &config, t, err)
                                   : pare_tokenizer_read_vocab(file, &config, t, err);
    pare_hf_config_close(&config);
    PARE_TRY(status);
    status = pare_tokenizer_finish(t, err);
    return status == PARE_OK ? status : pare_fail_in(err, status, "%s", file);
}

enum pare_status pare_tokenizer_load(const char *path, struct pare_tokenizer **out,
                                     struct pare_error *err)
{
    *out = NULL;
    char folder[PATH_SIZE], file[PATH_SIZE];
    PARE_TRY(locate(path, folder, file, err));
    struct pare_tokenizer *t;
    PARE_TRY(pare_tokenizer_new(&t, err));
    enum pare_status status = read_files(folder, file, t, err);
    if (status != PARE_OK) {
        pare_tokenizer_free(t);
        return status;
    }
    *out = t;
    return PARE_OK;
}
