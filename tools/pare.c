/* pare: runs the program of a verb, `pare convert ...` as `pare-convert ...`. What
 * `pare run` is told to run may be a recipe: `pare run X.json ...` is pare-recipe.
 *
 * The program is looked for beside this one, and only there: what PATH holds under the
 * same name may belong to another version.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "tools/cli.h"
#include "tools/programs.h"

struct verbs {
    char **names;
    size_t count, capacity;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum pare_status find_verbs(const char *folder, struct verbs *verbs,
                                   struct pare_error *err)
{
    enum pare_status status = PARE_OK;
    char path[4096];
    DIR *listing = opendir(folder);
    if (!listing)
        return pare_fail(err, PARE_ERR_IO, "%s: cannot list: %s", folder,
                         strerror(errno));
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (strncmp(entry->d_name, PROGRAM_PREFIX, strlen(PROGRAM_PREFIX)) ||
            strchr(entry->d_name, '.'))
            continue;
        PARE_TRY_OUT(pare_path_join(path, sizeof path, folder, entry->d_name, err));
        if (access(path, X_OK) != 0)
            continue;
        const char *verb = entry->d_name + strlen(PROGRAM_PREFIX);
        PARE_TRY_OUT(pare_grow(&verbs->names, &verbs->capacity, verbs->count + 1,
                               sizeof *verbs->names, err));
        PARE_TRY_OUT(pare_strndup(&verbs->names[verbs->count], verb, strlen(verb), err));
        verbs->count++;
    }
    if (verbs->count)
        qsort(verbs->names, verbs->count, sizeof *verbs->names, compare_names);
out:
    closedir(listing);
    return status;
}

static void free_verbs(struct verbs *verbs)
{
    for (size_t i = 0; i < verbs->count; i++)
        pare_free(verbs->names[i]);
    pare_free(verbs->names);
}

static enum pare_status unknown_verb(const struct verbs *verbs, const char *verb,
                                     struct pare_error *err)
{
    const char *near =
        pare_cli_nearest(verb, (const char *const *)verbs->names, verbs->count);
    if (near)
        return pare_fail(err, PARE_ERR_USAGE, "unknown verb '%.60s'; did you mean '%s'?",
                         verb, near);
    return pare_fail(err, PARE_ERR_USAGE,
                     "unknown verb '%.60s'; 'pare' alone lists the verbs", verb);
}

/* Directly behind the verb, the end of a name decides: no model is called so, and a text
 * to classify stands behind its model. */
static int is_recipe(char **argv)
{
    const char *name = argv[1];
    const size_t length = name ? strlen(name) : 0;
    return !strcmp(argv[0], "run") && length > 5 && name[0] != '-' &&
           !strcmp(name + length - 5, ".json");
}

/* Does not return when the verb's program could be started. */
static enum pare_status start(const char *folder, char **argv, struct pare_error *err)
{
    char name[64], path[4096];
    struct verbs verbs = {0};
    if (!strchr(argv[0], '/') && strlen(argv[0]) < sizeof name - sizeof PROGRAM_PREFIX) {
        snprintf(name, sizeof name, PROGRAM_PREFIX "%s",
                 is_recipe(argv) ? "recipe" : argv[0]);
        PARE_TRY(pare_path_join(path, sizeof path, folder, name, err));
        execv(path, argv);
        if (errno != ENOENT)
            return pare_fail(err, PARE_ERR_IO, "%s: cannot start: %s", path,
                             strerror(errno));
    }
    enum pare_status status = find_verbs(folder, &verbs, err);
    if (status == PARE_OK)
        status = unknown_verb(&verbs, argv[0], err);
    free_verbs(&verbs);
    return status;
}

static enum pare_status list_verbs(struct pare_cli *cli, void *context,
                                   struct pare_error *err)
{
    char folder[PROGRAM_FOLDER_SIZE];
    struct verbs verbs = {0};
    (void)cli;
    (void)context;
    PARE_TRY(program_folder(folder, err));
    enum pare_status status = find_verbs(folder, &verbs, err);
    if (status == PARE_OK)
        puts("Usage: pare VERB [options] ...\n\nThe verbs, each with its own --help:");
    for (size_t i = 0; i < verbs.count && status == PARE_OK; i++)
        printf("  %s\n", verbs.names[i]);
    free_verbs(&verbs);
    return status;
}

int main(int argc, char **argv)
{
    static const struct pare_cli_example examples[] = {
        {"pare convert distilbert/ -o model.gguf", "The same as pare-convert ..."},
        {"pare quantize --help", "How to use one of the programs."},
        {NULL, NULL}};
    static const struct pare_cli_program program = {
        .name = "pare",
        .summary = "Runs one of the programs of pare by its verb.",
        .usage = "VERB [options] ...",
        .description =
            "Runs the program pare-VERB that stands in the same folder, with "
            "the rest of the arguments; pare run RECIPE.json runs pare-recipe. "
            "Without a verb it lists them.",
        .operands = "VERB",
        .examples = examples};
    if (argc < 2 || argv[1][0] == '-')
        return pare_cli_main(&program, argc, argv, list_verbs, NULL);
    char folder[PROGRAM_FOLDER_SIZE];
    struct pare_error err = {""};
    enum pare_status status = program_folder(folder, &err);
    if (status == PARE_OK)
        status = start(folder, argv + 1, &err);
    fprintf(stderr, "pare: error: %s\n", err.message);
    return (int)status;
}
