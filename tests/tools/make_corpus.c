/* Writes the malformed and valid checkpoints of tests/support/corpus.h to files:
 *
 *     make_corpus FOLDER [safetensors|gguf|torch] [--large] [--valid]
 *
 * into FOLDER/NNNN/<name>, with FOLDER/manifest.tsv: number, file, expected exit code of
 * a program that reads it, phrase of its message, id. --valid leaves the malformed ones
 * out (seeds for fuzzing: FOLDER/NNNN-<name>, no manifest). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/corpus.h"

struct output {
    const char *folder;
    FILE *manifest;
    int seeds, only_valid, count;
};

static void fail(const char *path)
{
    perror(path);
    exit(1);
}

static void write_file(const char *path, const struct corpus_case *found)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        fail(path);
    if (found->size && fwrite(found->data, 1, found->size, file) != found->size)
        fail(path);
    if (fclose(file) != 0)
        fail(path);
}

static void write_case(void *context, const struct corpus_case *found)
{
    struct output *out = context;
    char path[1024];
    if (out->seeds) {
        if (found->size > 4096 || (out->only_valid && found->status != PARE_OK))
            return;
        snprintf(path, sizeof path, "%s/%04d-%s", out->folder, out->count++, found->name);
        write_file(path, found);
        return;
    }
    snprintf(path, sizeof path, "%s/%04d", out->folder, out->count);
    if (mkdir(path, 0777) != 0)
        fail(path);
    snprintf(path, sizeof path, "%s/%04d/%s", out->folder, out->count, found->name);
    write_file(path, found);
    fprintf(out->manifest, "%d\t%s\t%d\t%s\t%s\n", out->count++, path, (int)found->status,
            found->phrase && *found->phrase ? found->phrase : "-", found->id);
}

int main(int argc, char **argv)
{
    const char *format = "";
    int large = 0;
    struct output out = {0};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--large"))
            large = 1;
        else if (!strcmp(argv[i], "--valid"))
            out.seeds = out.only_valid = 1;
        else if (!strcmp(argv[i], "--seeds"))
            out.seeds = 1;
        else if (!out.folder)
            out.folder = argv[i];
        else
            format = argv[i];
    }
    if (!out.folder) {
        fprintf(stderr, "usage: make_corpus FOLDER [safetensors|gguf|torch] [--large | "
                        "--seeds | --valid]\n");
        return 2;
    }
    mkdir(out.folder, 0777);
    char path[1024];
    snprintf(path, sizeof path, "%s/manifest.tsv", out.folder);
    if (!out.seeds && !(out.manifest = fopen(path, "w")))
        fail(path);
    if (!*format || !strcmp(format, "safetensors"))
        corpus_safetensors(write_case, &out, large);
    if (!*format || !strcmp(format, "gguf"))
        corpus_gguf(write_case, &out, large);
    if (!*format || !strcmp(format, "torch"))
        corpus_torch(write_case, &out, large);
    if (out.manifest && fclose(out.manifest) != 0)
        fail(path);
    return 0;
}
