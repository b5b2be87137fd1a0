/* Small tokenizers and their answers, for the tests of runtime/text. */
#ifndef TESTS_SUPPORT_TOKENIZERS_H
#define TESTS_SUPPORT_TOKENIZERS_H

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/text/tokenizer.h"
#include "tests/support/folder.h"

/* PARE_DATA/name, or NULL with a notice when there is no such data. */
static inline const char *data_path(const char *name)
{
    static char path[1024];
    const char *folder = getenv("PARE_DATA");
    if (folder && *folder) {
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (access(path, R_OK) == 0)
            return path;
    }
    fprintf(stderr, "skipped: PARE_DATA has no %s\n", name);
    return NULL;
}

/* A whole file with a NUL behind it; the caller frees it. */
static inline char *get_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*length + 1);
    cr_assert_eq(fread(text, 1, *length, file), *length);
    text[*length] = '\0';
    fclose(file);
    return text;
}

/* tests/data/wordpiece.json, made by tests/golden/wordpiece.py; cJSON_Delete it. */
static inline cJSON *golden_open(void)
{
    char path[1024];
    struct pare_error err;
    cJSON *golden;
    snprintf(path, sizeof path, "%s/wordpiece.json", getenv("PARE_TEST_DATA"));
    cr_assert_eq(pare_json_parse_file(path, &golden, &err), PARE_OK, "%s", err.message);
    return golden;
}

/* The tokenizer.json of one of its configurations, whole. */
static inline void golden_write(const struct folder *folder, const cJSON *golden,
                                const cJSON *config)
{
    cJSON *root = cJSON_Duplicate(cJSON_GetObjectItem(config, "tokenizer"), 1);
    cJSON *vocab = cJSON_AddObjectToObject(cJSON_GetObjectItem(root, "model"), "vocab");
    int id = 0;
    for (const cJSON *p = cJSON_GetObjectItem(golden, "vocab")->child; p; p = p->next)
        cJSON_AddNumberToObject(vocab, p->valuestring, id++);
    char *text = cJSON_PrintUnformatted(root);
    put_file(folder_path(folder, "tokenizer.json"), text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(root);
}

static inline struct pare_tokenizer *golden_tokenizer(const cJSON *golden,
                                                      const cJSON *config)
{
    struct folder folder = folder_make();
    golden_write(&folder, golden, config);
    struct pare_tokenizer *tokenizer;
    struct pare_error err;
    cr_assert_eq(pare_tokenizer_load(folder.path, &tokenizer, &err), PARE_OK, "%s",
                 err.message);
    folder_remove(&folder);
    return tokenizer;
}

static inline int same_ids(const struct pare_ids *ids, const cJSON *expected)
{
    size_t i = 0;
    for (const cJSON *id = expected->child; id; id = id->next, i++)
        if (i >= ids->count || ids->ids[i] != (int32_t)id->valuedouble)
            return 0;
    return i == ids->count;
}

/* The number of texts whose ids differ from the expected ones; the first is printed. */
static inline int count_differences(const struct pare_tokenizer *tokenizer,
                                    const cJSON *texts, const cJSON *all_ids)
{
    struct pare_ids ids = {0};
    struct pare_error err;
    int differences = 0;
    const cJSON *expected = all_ids->child;
    for (const cJSON *text = texts->child; text; text = text->next) {
        ids.count = 0;
        cr_assert_eq(pare_tokenizer_encode(tokenizer, text->valuestring,
                                           strlen(text->valuestring), 0, &ids, &err),
                     PARE_OK, "%s", err.message);
        if (!same_ids(&ids, expected) && differences++ == 0)
            fprintf(stderr, "differs: \"%s\"\n", text->valuestring);
        expected = expected->next;
    }
    cr_expect_null(expected);
    pare_ids_free(&ids);
    return differences;
}

/* The ids as "1 2 3", to compare and to print. */
static inline const char *ids_of(const struct pare_tokenizer *tokenizer, const char *text,
                                 size_t length, size_t max_tokens)
{
    static char shown[8][1024];
    static unsigned turn;
    char *out = shown[turn++ % 8];
    struct pare_ids ids = {0};
    struct pare_error err;
    cr_assert_eq(pare_tokenizer_encode(tokenizer, text, length, max_tokens, &ids, &err),
                 PARE_OK, "%s", err.message);
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < ids.count && used < 1000; i++)
        used +=
            (size_t)snprintf(out + used, 1024 - used, i ? " %d" : "%d", (int)ids.ids[i]);
    pare_ids_free(&ids);
    return out;
}

/* The pieces of one string, separated by spaces, as a tokenizer. */
static inline struct pare_tokenizer *tokenizer_of(const char *pieces, int lower_case)
{
    struct pare_text texts[256];
    size_t count = 0;
    for (const char *p = pieces; *p && count < 256;) {
        size_t n = strcspn(p, " ");
        texts[count++] = (struct pare_text){p, n};
        p += n + (p[n] == ' ');
    }
    struct pare_tokenizer *tokenizer;
    struct pare_error err;
    cr_assert_eq(pare_tokenizer_from_pieces(texts, count, lower_case, &tokenizer, &err),
                 PARE_OK, "%s", err.message);
    return tokenizer;
}

#endif
