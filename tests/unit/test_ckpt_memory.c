/* Every allocation fails once, and from some point on all of them: reading each format
 * and writing a container end with a status, without a leak (which the sanitizer's report
 * shows), and what was there before stays. */
#include <criterion/criterion.h>

#include "runtime/base/alloc.h"
#include "runtime/checkpoint/gguf_writer.h"
#include "runtime/checkpoint/reader.h"
#include "tests/support/corpus.h"
#include "tests/support/failing_memory.h"
#include "tests/support/folder.h"

typedef enum pare_status job(void *context, struct pare_error *err);

static void sweep(const char *what, job *run, void *context)
{
    struct pare_error err;
    memory.calls = memory.fails_at = 0;
    cr_assert_eq(run(context, &err), PARE_OK, "%s: %s", what, err.message);
    long total = memory.calls;
    for (memory.fails_on = 0; memory.fails_on < 2; memory.fails_on++)
        for (memory.fails_at = 1; memory.fails_at <= total; memory.fails_at++) {
            memory.calls = 0;
            err.message[0] = '\0';
            enum pare_status status = run(context, &err);
            cr_expect_eq(status, PARE_ERR_MEMORY, "%s: allocation %ld of %ld: %s", what,
                         memory.fails_at, total, err.message);
            cr_expect_not_null(strstr(err.message, "out of memory"), "%s", err.message);
        }
    memory.fails_at = 0;
    cr_expect_gt(total, 2);
    cr_expect_eq(run(context, &err), PARE_OK);
}

static enum pare_status open_memory(void *context, struct pare_error *err)
{
    const struct corpus_case *c = context;
    struct pare_ckpt *ckpt;
    enum pare_status status =
        pare_ckpt_open_memory(c->name, c->data, c->size, &ckpt, err);
    pare_ckpt_close(ckpt);
    return status;
}

static void visit(void *context, const struct corpus_case *found)
{
    struct corpus_case copy = *found;
    (void)context;
    if (found->status == PARE_OK && found->size < 10000)
        sweep(found->id, open_memory, &copy);
}

Test(ckpt_memory, reading_survives_every_failed_allocation, .timeout = 250)
{
    corpus_safetensors(visit, NULL, 0);
    corpus_gguf(visit, NULL, 0);
    corpus_torch(visit, NULL, 0);
}

static struct folder folder;

static enum pare_status open_shards(void *context, struct pare_error *err)
{
    struct pare_ckpt *ckpt;
    enum pare_status status = pare_ckpt_open(context, &ckpt, err);
    pare_ckpt_close(ckpt);
    return status;
}

Test(ckpt_memory, shards_survive_every_failed_allocation)
{
    folder = folder_make();
    const char header[] =
        "{\"%c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    for (int i = 0; i < 2; i++) {
        char file[100] = {0};
        int n = snprintf(file + 8, sizeof file - 8, header, 'a' + i);
        file[0] = (char)n;
        put_file(folder_path(&folder, i ? "b" : "a"), file, (size_t)n + 9);
    }
    const char *path = folder_path(&folder, "index.json");
    const char index[] = "{\"weight_map\":{\"a\":\"a\",\"b\":\"b\"}}";
    put_file(path, index, sizeof index - 1);
    char *copy = strdup(path);
    sweep("shards", open_shards, copy);
    free(copy);
    folder_remove(&folder);
}

/* Writes a container over an old file; a failure must leave that and nothing else. */
static enum pare_status write_container(void *context, struct pare_error *err)
{
    const char *path = context;
    struct pare_meta meta = {0};
    struct pare_text words[] = {{"one", 3}, {"two", 3}};
    struct pare_gguf_writer *writer = NULL;
    put_file(path, "old", 3);
    enum pare_status status = pare_meta_set_strings(&meta, "words", words, 2, err);
    if (status == PARE_OK)
        status = pare_meta_set_u32(&meta, "number", 7, err);
    if (status == PARE_OK)
        status = pare_gguf_writer_open(path, &meta, &writer, err);
    for (int i = 0; i < 20 && status == PARE_OK; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%d", i);
        status = pare_gguf_writer_plan(writer, name, PARE_I8, 1, (uint64_t[]){8}, err);
    }
    for (int i = 0; i < 20 && status == PARE_OK; i++)
        status = pare_gguf_writer_data(writer, "12345678", 8, err);
    if (status == PARE_OK)
        status = pare_gguf_writer_commit(writer, err);
    else
        pare_gguf_writer_abort(writer);
    pare_meta_free(&meta);
    cr_expect_eq(folder_count(&folder), 1);
    cr_expect_eq(file_is(path, "old", 3), status != PARE_OK);
    return status;
}

Test(ckpt_memory, writing_survives_every_failed_allocation)
{
    folder = folder_make();
    char *path = strdup(folder_path(&folder, "out.gguf"));
    sweep("writer", write_container, path);
    free(path);
    folder_remove(&folder);
}
