/* Real vocabularies and texts of PARE_DATA against ids made by others. */
#include <criterion/criterion.h>

#include "runtime/base/sha256.h"
#include "runtime/checkpoint/checkpoint.h"
#include "tests/support/tokenizers.h"

static struct pare_error err;

/* NULL, with a notice, when only this file is missing. */
static struct pare_tokenizer *load(const char *name)
{
    if (!getenv("PARE_DATA"))
        cr_skip_test("PARE_DATA is not set");
    struct pare_tokenizer *t;
    char path[1024];
    const char *found = data_path(name);
    if (!found)
        return NULL;
    snprintf(path, sizeof path, "%s", found);
    cr_assert_eq(pare_tokenizer_load(path, &t, &err), PARE_OK, "%s", err.message);
    return t;
}

/* Column `column` of every line behind the first, one at a time; 0 at the end. */
struct table {
    char *text, *at;
    int column;
};

static int table_open(struct table *table, const char *name, int column)
{
    const char *path = data_path(name);
    size_t length;
    if (!path)
        return 0;
    table->text = get_file(path, &length);
    table->at = strchr(table->text, '\n') + 1;
    table->column = column;
    return 1;
}

static int table_next(struct table *table, const char **cell, size_t *length)
{
    if (!*table->at)
        return 0;
    char *end = strchrnul(table->at, '\n'), *from = table->at;
    for (int i = 0; i < table->column; i++)
        from = strchr(from, '\t') + 1;
    *cell = from;
    *length = 0;
    while (from + *length < end && from[*length] != '\t')
        ++*length;
    table->at = *end ? end + 1 : end;
    return 1;
}

/* SHA-256 over count and ids of each sentence of train, dev and test; the expected one
 * was made by tests/golden/wordpiece.py with Hugging Face tokenizers 0.23.3. */
static void check_sst2(const char *vocabulary)
{
    static const char *const names[3] = {"sst2/glue/train.tsv", "sst2/glue/dev.tsv",
                                         "sst2/glue/test.tsv"};
    struct pare_tokenizer *t = load(vocabulary);
    struct pare_sha256 sha;
    struct pare_ids ids = {0};
    int sentences = 0;
    pare_sha256_init(&sha);
    for (int i = 0; t && i < 3; i++) {
        struct table table;
        const char *sentence;
        size_t length;
        if (!table_open(&table, names[i], i == 2))
            break;
        for (; table_next(&table, &sentence, &length); sentences++) {
            ids.count = 0;
            cr_assert_eq(pare_tokenizer_encode(t, sentence, length, 0, &ids, &err),
                         PARE_OK);
            uint32_t count = (uint32_t)ids.count;
            pare_sha256_update(&sha, &count, 4);
            pare_sha256_update(&sha, ids.ids, ids.count * 4);
        }
        free(table.text);
    }
    pare_ids_free(&ids);
    pare_tokenizer_free(t);
    if (!sentences)
        return;
    char found[65];
    pare_sha256_hex(&sha, found);
    cr_expect_eq(sentences, 70042);
    cr_expect_str_eq(found,
                     "6a20434a52e1438e8e61e5d009b5dcb25b95cfbcc023ef11fd50fd0893b64c33");
}

Test(tokenizer_data, every_sst2_sentence_has_hugging_faces_ids_from_vocab_txt)
{
    check_sst2("tokenizers/bert-base-uncased/vocab.txt");
}

Test(tokenizer_data, every_sst2_sentence_has_hugging_faces_ids_from_tokenizer_json)
{
    check_sst2("tokenizers/bert-base-uncased/tokenizer.json");
}

/* The ids that a model trained in PyTorch was fed, from its own folder. */
Test(tokenizer_data, the_trained_model_gets_its_own_ids)
{
    struct pare_tokenizer *t = load("models/distilbert-256-sst2");
    struct table sentences, expected;
    if (!t || !table_open(&sentences, "sst2/glue/dev.tsv", 0) ||
        !table_open(&expected, "models/distilbert-256-sst2/dev_logits.tsv", 3))
        return;
    const char *sentence, *ids;
    size_t length, ids_length;
    int rows = 0;
    for (; table_next(&expected, &ids, &ids_length); rows++) {
        cr_assert(table_next(&sentences, &sentence, &length));
        const char *found = ids_of(t, sentence, length, 0);
        cr_expect(strlen(found) == ids_length && !memcmp(found, ids, ids_length),
                  "row %d: %s", rows, found);
    }
    cr_expect_eq(rows, 872);
    free(sentences.text);
    free(expected.text);
    pare_tokenizer_free(t);
}

/* llama.cpp's test strings and the ids of BERT for them, without [CLS] and [SEP]. */
static void check_llama_cpp(const struct pare_tokenizer *t)
{
    const char *path = data_path("tokenizers/ggml-vocab/ggml-vocab-test.inp");
    size_t length;
    if (!path)
        return;
    char *texts = get_file(path, &length);
    path = data_path("tokenizers/ggml-vocab/ggml-vocab-bert-bge.gguf.out");
    cr_assert_not_null(path);
    char *ids = get_file(path, &length), *line = ids, *text = texts;
    const char *separator = "\n__ggml_vocab_test__\n";
    int count = 0;
    for (; text; count++) {
        char *next = strstr(text, separator), *end = strchrnul(line, '\n');
        if (next)
            *next = '\0';
        *end = '\0';
        char expected[1024];
        snprintf(expected, sizeof expected, "101%s 102", line);
        cr_expect_str_eq(ids_of(t, text, strlen(text), 0), expected, "string %d", count);
        line = end + 1;
        text = next ? next + strlen(separator) : NULL;
    }
    cr_expect_eq(count, 47);
    free(texts);
    free(ids);
}

Test(tokenizer_data, llama_cpps_strings_have_their_ids)
{
    struct pare_tokenizer *t = load("tokenizers/bert-base-uncased/vocab.txt");
    if (t)
        check_llama_cpp(t);
    pare_tokenizer_free(t);
}

/* A container of llama.cpp's converter holds the same pieces as vocab.txt. */
Test(tokenizer_data, llama_cpps_vocabulary_is_read)
{
    struct pare_tokenizer *expected = load("tokenizers/bert-base-uncased/vocab.txt"), *t;
    const char *path = data_path("tokenizers/ggml-vocab/ggml-vocab-bert-bge.gguf");
    struct pare_ckpt *ckpt;
    if (!expected || !path)
        return;
    cr_assert_eq(pare_ckpt_open(path, &ckpt, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(pare_tokenizer_from_meta(&ckpt->meta, &t, &err), PARE_OK, "%s",
                 err.message);
    cr_assert_not_null(t);
    size_t size = pare_tokenizer_vocab_size(t), wrong = 0;
    cr_expect_eq(size, pare_tokenizer_vocab_size(expected));
    for (size_t i = 0; i < size; i++) {
        struct pare_text a = pare_tokenizer_piece(t, (int32_t)i);
        struct pare_text b = pare_tokenizer_piece(expected, (int32_t)i);
        wrong += a.length != b.length || memcmp(a.data, b.data, a.length) != 0;
    }
    cr_expect_eq(wrong, 0);
    check_llama_cpp(t);
    pare_tokenizer_free(t);
    pare_tokenizer_free(expected);
    pare_ckpt_close(ckpt);
}

Test(tokenizer_data, the_cases_of_the_tiny_tokenizer_hold)
{
    struct pare_tokenizer *t = load("models/tiny-oracles/tiny_wordpiece_tokenizer.json");
    const char *path = data_path("models/tiny-oracles/hf_tokenizer_cases.json");
    if (!t || !path)
        return;
    cJSON *root;
    cr_assert_eq(pare_json_parse_file(path, &root, &err), PARE_OK, "%s", err.message);
    struct pare_ids ids = {0};
    int cases = 0;
    const cJSON *all =
        cJSON_GetObjectItem(cJSON_GetObjectItem(root, "wordpiece"), "cases");
    for (const cJSON *c = all->child; c; c = c->next, cases++) {
        const char *text = cJSON_GetObjectItem(c, "text")->valuestring;
        ids.count = 0;
        cr_assert_eq(pare_tokenizer_encode(t, text, strlen(text), 0, &ids, &err),
                     PARE_OK);
        cr_expect(same_ids(&ids, cJSON_GetObjectItem(c, "ids")), "\"%s\"", text);
    }
    cr_expect_eq(cases, 19);
    pare_ids_free(&ids);
    cJSON_Delete(root);
    pare_tokenizer_free(t);
}

/* A folder with all of tokenizer.json, vocab.txt and tokenizer_config.json. */
Test(tokenizer_data, both_forms_in_a_folder_agree)
{
    struct pare_tokenizer *json = load("models/tiny-random-bert-seqcls");
    struct pare_tokenizer *text = load("models/tiny-random-bert-seqcls/vocab.txt");
    struct table table;
    if (!json || !text || !table_open(&table, "sst2/glue/dev.tsv", 0))
        return;
    cr_expect_eq(pare_tokenizer_vocab_size(json), 1124);
    const char *sentence;
    size_t length;
    while (table_next(&table, &sentence, &length)) {
        const char *expected = ids_of(json, sentence, length, 0);
        cr_expect_str_eq(ids_of(text, sentence, length, 0), expected);
    }
    free(table.text);
    pare_tokenizer_free(json);
    pare_tokenizer_free(text);
}
