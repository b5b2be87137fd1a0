/* Every allocation of a tokenizer's life fails once: each time a status, no leak (which
 * the sanitizer's report shows), and ids as before once memory is back. */
#include <criterion/criterion.h>

#include "tests/support/failing_memory.h"
#include "tests/support/tokenizers.h"

static void *json_memory(size_t size)
{
    return memory_fails() ? NULL : malloc(size);
}

static const char text[] = "The Caf\u00e9 [MASK] the film \xFF\u91ce a\u302e\u302f good";

/* Load, encode, into metadata and back. */
static enum pare_status live(const char *path, size_t *ids_count)
{
    struct pare_error err;
    struct pare_tokenizer *t, *back = NULL;
    struct pare_meta meta = {0};
    struct pare_ids ids = {0};
    enum pare_status status = pare_tokenizer_load(path, &t, &err);
    if (status != PARE_OK)
        return status;
    status = pare_tokenizer_encode(t, text, sizeof text - 1, 0, &ids, &err);
    *ids_count = ids.count;
    if (status == PARE_OK)
        status = pare_tokenizer_to_meta(t, &meta, &err);
    if (status == PARE_OK)
        status = pare_tokenizer_from_meta(&meta, &back, &err);
    pare_tokenizer_free(back);
    pare_tokenizer_free(t);
    pare_meta_free(&meta);
    pare_ids_free(&ids);
    return status;
}

static void sweep(const char *path)
{
    size_t count = 0, again = 0;
    memory.calls = memory.fails_at = 0;
    cr_assert_eq(live(path, &count), PARE_OK);
    long total = memory.calls, other = 0;
    /* The thousands of nodes of a JSON tree fail alike: every one of the first and the
     * last hundred, and every 37th between. */
    for (memory.fails_on = 0; memory.fails_on < 2; memory.fails_on++)
        for (long n = 1; n <= total; n += n < 100 || n > total - 100 ? 1 : 37) {
            memory.calls = 0;
            memory.fails_at = n;
            size_t ids = 0;
            enum pare_status status = live(path, &ids);
            other += status != PARE_ERR_MEMORY;
        }
    memory.fails_at = 0;
    cr_expect_eq(other, 0, "%s: %ld of %ld", path, other, total);
    cr_expect_gt(total, 50);
    cr_expect_eq(live(path, &again), PARE_OK);
    cr_expect_eq(again, count);
}

Test(text_memory, every_failed_allocation_is_a_status, .timeout = 600)
{
    cJSON_Hooks hooks = {.malloc_fn = json_memory, .free_fn = free};
    cJSON_InitHooks(&hooks);
    cJSON *golden = golden_open();
    const cJSON *configs = cJSON_GetObjectItem(golden, "configs");
    struct folder folder = folder_make();
    golden_write(&folder, golden, cJSON_GetArrayItem(configs, 0));
    sweep(folder.path);
    golden_write(&folder, golden, cJSON_GetArrayItem(configs, 8)); /* added tokens */
    sweep(folder.path);
    folder_remove(&folder);
    cJSON_Delete(golden);

    folder = folder_make();
    const char *lines = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##\u2581x\nfilm\n";
    const char *config = "{\"additional_special_tokens\":[\"[E1]\"],\"mask_token\":"
                         "{\"content\":\"[MASK]\",\"normalized\":true}}";
    put_file(folder_path(&folder, "vocab.txt"), lines, strlen(lines));
    put_file(folder_path(&folder, "tokenizer_config.json"), config, strlen(config));
    sweep(folder.path);
    folder_remove(&folder);
}
