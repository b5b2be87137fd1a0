/* Tokenizers in a container's metadata: our own both ways, and those of other writers. */
#include <criterion/criterion.h>

#include "runtime/text/wordpiece.h"
#include "tests/support/tokenizers.h"

#define FIVE "[PAD] [UNK] [CLS] [SEP] [MASK] "
#define SPACE "\u2581"

static struct pare_error err;

static struct pare_tokenizer *through_meta(const struct pare_tokenizer *t,
                                           struct pare_meta *meta)
{
    struct pare_tokenizer *back;
    cr_assert_eq(pare_tokenizer_to_meta(t, meta, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(pare_tokenizer_from_meta(meta, &back, &err), PARE_OK, "%s", err.message);
    cr_assert_not_null(back);
    return back;
}

static int same_text(struct pare_text a, struct pare_text b)
{
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

static void expect_equal(const struct pare_tokenizer *a, const struct pare_tokenizer *b,
                         const char *label)
{
    cr_expect_eq(a->vocab.count, b->vocab.count, "%s", label);
    cr_expect_eq(a->vocab.indexed, b->vocab.indexed, "%s", label);
    for (uint32_t i = 0; i < a->vocab.count; i++)
        cr_expect(
            same_text(pare_vocab_piece(&a->vocab, i), pare_vocab_piece(&b->vocab, i)),
            "%s: piece %u", label, i);
    cr_expect_str_eq(a->prefix, b->prefix, "%s", label);
    cr_expect(a->unk == b->unk && a->cls == b->cls && a->sep == b->sep &&
                  a->pad == b->pad && a->mask == b->mask,
              "%s", label);
    cr_expect(a->clean_text == b->clean_text && a->chinese_chars == b->chinese_chars &&
                  a->strip_accents == b->strip_accents &&
                  a->lower_case == b->lower_case && a->add_special == b->add_special &&
                  a->max_word_chars == b->max_word_chars,
              "%s", label);
    cr_assert_eq(a->added_count, b->added_count, "%s", label);
    for (size_t i = 0; i < a->added_count; i++)
        cr_expect(a->added[i].id == b->added[i].id &&
                      a->added[i].flags == b->added[i].flags,
                  "%s: added %zu", label, i);
}

Test(tokenizer_meta, every_configuration_survives_the_container)
{
    cJSON *golden = golden_open();
    const cJSON *texts = cJSON_GetObjectItem(golden, "texts");
    for (const cJSON *c = cJSON_GetObjectItem(golden, "configs")->child; c; c = c->next) {
        const char *name = cJSON_GetObjectItem(c, "name")->valuestring;
        struct pare_meta meta = {0};
        struct pare_tokenizer *t = golden_tokenizer(golden, c);
        struct pare_tokenizer *back = through_meta(t, &meta);
        expect_equal(t, back, name);
        cr_expect_eq(count_differences(back, texts, cJSON_GetObjectItem(c, "ids")), 0,
                     "%s", name);
        pare_tokenizer_free(t);
        pare_tokenizer_free(back);
        pare_meta_free(&meta);
    }
    cJSON_Delete(golden);
}

/* Pieces that look like the container's own marks. */
Test(tokenizer_meta, pieces_that_look_like_marks_survive)
{
    const char *pieces =
        FIVE "## ##" SPACE "x " SPACE " ##" SPACE " x ##x " SPACE "x ####x #";
    const char *prefixes[] = {"##", "", "x", SPACE};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        struct pare_meta meta = {0};
        struct pare_tokenizer *t = tokenizer_of(pieces, 1), *back;
        cr_assert_eq(pare_tokenizer_set_prefix(t, prefixes[i], strlen(prefixes[i]), &err),
                     PARE_OK);
        cr_assert_eq(pare_tokenizer_add(t, "##x", 3, PARE_ADDED_SPECIAL, -1, &err),
                     PARE_OK);
        cr_assert_eq(pare_tokenizer_add(t, "x", 1, PARE_ADDED_LSTRIP, -1, &err), PARE_OK);
        cr_assert_eq(pare_tokenizer_add(t, "##" SPACE "new", 8, 0, -1, &err), PARE_OK);
        back = through_meta(t, &meta);
        expect_equal(t, back, prefixes[i]);
        pare_tokenizer_free(t);
        pare_tokenizer_free(back);
        pare_meta_free(&meta);
    }
}

Test(tokenizer_meta, writing_twice_leaves_nothing_of_the_first)
{
    struct pare_meta meta = {0}, fresh = {0};
    struct pare_tokenizer *first = tokenizer_of(FIVE "##" SPACE "x a", 1);
    struct pare_tokenizer *second = tokenizer_of(FIVE "b", 0), *back;
    second->mask = -1;
    second->added_count = 0;
    cr_assert_eq(pare_tokenizer_to_meta(first, &meta, &err), PARE_OK);
    back = through_meta(second, &meta);
    cr_assert_eq(pare_tokenizer_to_meta(second, &fresh, &err), PARE_OK);
    expect_equal(second, back, "second");
    cr_expect_eq(meta.count, fresh.count);
    pare_tokenizer_free(first);
    pare_tokenizer_free(second);
    pare_tokenizer_free(back);
    pare_meta_free(&meta);
    pare_meta_free(&fresh);
}

static uint32_t u32(const struct pare_meta *meta, const char *key)
{
    uint32_t value = UINT32_MAX;
    cr_expect_eq(pare_meta_get_u32(meta, key, 0, UINT32_MAX, &value, &err), PARE_OK, "%s",
                 err.message);
    return value;
}

/* What other readers of GGUF look for. */
Test(tokenizer_meta, the_standard_keys_are_there)
{
    struct pare_meta meta = {0};
    struct pare_tokenizer *t = tokenizer_of(FIVE "ab ##c", 1);
    cr_assert_eq(pare_tokenizer_add(t, "[E1]", 4, 0, -1, &err), PARE_OK);
    cr_assert_eq(pare_tokenizer_to_meta(t, &meta, &err), PARE_OK);
    struct pare_text model = {0};
    cr_expect_eq(pare_meta_get_string(&meta, "tokenizer.ggml.model", &model, &err),
                 PARE_OK);
    cr_expect(model.length == 4 && !memcmp(model.data, "bert", 4));
    const char *tokens[] = {"[PAD]",  "[UNK]",    "[CLS]", "[SEP]",
                            "[MASK]", SPACE "ab", "c",     SPACE "[E1]"};
    const int types[] = {3, 3, 3, 3, 3, 1, 1, 4};
    const struct pare_text *found;
    size_t count;
    cr_assert_eq(
        pare_meta_get_strings(&meta, "tokenizer.ggml.tokens", &found, &count, &err),
        PARE_OK);
    const struct pare_meta_value *type =
        pare_meta_find(&meta, "tokenizer.ggml.token_type");
    cr_assert(count == 8 && type && type->count == 8 && type->element == PARE_META_I32);
    for (size_t i = 0; i < 8; i++) {
        struct pare_text expected = {tokens[i], strlen(tokens[i])};
        cr_expect(same_text(found[i], expected), "token %zu", i);
        cr_expect_eq(pare_meta_number(type, i), types[i], "token %zu", i);
    }
    cr_expect_eq(u32(&meta, "tokenizer.ggml.padding_token_id"), 0);
    cr_expect_eq(u32(&meta, "tokenizer.ggml.unknown_token_id"), 1);
    cr_expect_eq(u32(&meta, "tokenizer.ggml.cls_token_id"), 2);
    cr_expect_eq(u32(&meta, "tokenizer.ggml.bos_token_id"), 2);
    cr_expect_eq(u32(&meta, "tokenizer.ggml.eos_token_id"), 3);
    cr_expect_eq(u32(&meta, "tokenizer.ggml.seperator_token_id"), 3);
    cr_expect_eq(u32(&meta, "tokenizer.ggml.mask_token_id"), 4);
    int lower = 0;
    cr_expect_eq(
        pare_meta_get_bool(&meta, "tokenizer.ggml.normalizer.lowercase", &lower, &err),
        PARE_OK);
    cr_expect_eq(lower, 1);
    pare_tokenizer_free(t);
    pare_meta_free(&meta);
}

/* ---- containers of other writers ---- */

/* Metadata with these tokens (separated by spaces) and types (a digit each, or NULL). */
static struct pare_meta foreign(const char *tokens, const char *types)
{
    struct pare_meta meta = {0};
    struct pare_text texts[32];
    int32_t numbers[32];
    size_t count = 0;
    for (const char *p = tokens; *p && count < 32; count++) {
        size_t n = strcspn(p, " ");
        texts[count] = (struct pare_text){p, n};
        p += n + (p[n] == ' ');
    }
    cr_assert_eq(pare_meta_set_string(&meta, "tokenizer.ggml.model", "bert", 4, &err),
                 PARE_OK);
    cr_assert_eq(
        pare_meta_set_strings(&meta, "tokenizer.ggml.tokens", texts, count, &err),
        PARE_OK);
    for (size_t i = 0; types && types[i]; i++)
        numbers[i] = types[i] - '0';
    if (types)
        cr_assert_eq(pare_meta_set_numbers(&meta, "tokenizer.ggml.token_type",
                                           PARE_META_I32, numbers, strlen(types), &err),
                     PARE_OK);
    return meta;
}

static void expect_pieces(struct pare_meta *meta, const char *pieces)
{
    struct pare_tokenizer *t;
    cr_assert_eq(pare_tokenizer_from_meta(meta, &t, &err), PARE_OK, "%s", err.message);
    uint32_t id = 0;
    for (const char *p = pieces; *p; id++) {
        struct pare_text expected = {p, strcspn(p, " ")};
        cr_expect(same_text(pare_tokenizer_piece(t, (int32_t)id), expected), "%s", p);
        p += expected.length + (p[expected.length] == ' ');
    }
    cr_expect_eq(pare_tokenizer_vocab_size(t), id);
    cr_expect_str_eq(ids_of(t, "[SEP] The things", 16, 0), "2 3 6 1 3");
    pare_tokenizer_free(t);
    pare_meta_free(meta);
}

Test(tokenizer_meta, containers_of_older_and_newer_converters_are_read)
{
    struct pare_meta older = foreign(
        "[PAD] [UNK] [CLS] [SEP] [unused0] " SPACE "[ " SPACE "the ing", "33331111");
    expect_pieces(&older, "[PAD] [UNK] [CLS] [SEP] [unused0] [ the ##ing");
    struct pare_meta newer = foreign(
        "[PAD] [UNK] [CLS] [SEP] " SPACE "[unused0] [x] " SPACE "the ing", "33331111");
    expect_pieces(&newer, "[PAD] [UNK] [CLS] [SEP] [unused0] ##[x] the ##ing");
    struct pare_meta untyped =
        foreign("[PAD] [UNK] [CLS] [SEP] [unused0] " SPACE "[ " SPACE "the ing", NULL);
    expect_pieces(&untyped, "[PAD] [UNK] [CLS] [SEP] [unused0] [ the ##ing");
}

Test(tokenizer_meta, a_container_without_vocabulary_has_no_tokenizer)
{
    struct pare_meta meta = {0};
    struct pare_tokenizer *t = (void *)1;
    cr_expect_eq(pare_tokenizer_from_meta(&meta, &t, &err), PARE_OK);
    cr_expect_null(t);
    cr_assert_eq(pare_meta_set_string(&meta, "tokenizer.ggml.model", "no_vocab", 8, &err),
                 PARE_OK);
    cr_expect_eq(pare_tokenizer_from_meta(&meta, &t, &err), PARE_OK);
    cr_expect_null(t);
    pare_meta_free(&meta);
}

static void expect_refused(struct pare_meta *meta, const char *phrase)
{
    struct pare_tokenizer *t = (void *)1;
    cr_expect_eq(pare_tokenizer_from_meta(meta, &t, &err), PARE_ERR_INPUT, "%s", phrase);
    cr_expect_null(t);
    cr_expect(strstr(err.message, phrase), "\"%s\" is not in \"%s\"", phrase,
              err.message);
    pare_meta_free(meta);
}

#define GOOD "[PAD] [UNK] [CLS] [SEP] " SPACE "the"

Test(tokenizer_meta, what_does_not_fit_is_refused)
{
    struct pare_meta meta = foreign(GOOD, "3333");
    expect_refused(&meta, "token_type has 4 elements, .tokens 5");
    meta = foreign(GOOD " " SPACE "the", "333311");
    expect_refused(&meta, "\"the\" is there twice: ids 4 and 5");
    meta = foreign("[PAD] [CLS] [SEP] " SPACE "the", "3331");
    expect_refused(&meta, "no piece for unknown words");
    meta = foreign("[PAD] [UNK] [SEP] " SPACE "the", "3331");
    expect_refused(&meta, "no [CLS]");
    meta = foreign(GOOD " a\xFF", "333311");
    expect_refused(&meta, "id 5: invalid UTF-8");
    meta = foreign(GOOD " " SPACE, "333311");
    expect_refused(&meta, "id 5: empty piece");
    meta = foreign(GOOD, "33331");
    cr_assert_eq(pare_meta_set_string(&meta, "tokenizer.ggml.model", "gpt2", 4, &err),
                 PARE_OK);
    expect_refused(&meta, "\"gpt2\" is not supported");
    meta = foreign(GOOD, "33331");
    cr_assert_eq(pare_meta_set_u32(&meta, "tokenizer.ggml.mask_token_id", 5, &err),
                 PARE_OK);
    expect_refused(&meta, "tokenizer.ggml.mask_token_id");
    meta = foreign(GOOD, "33331");
    cr_assert_eq(pare_meta_set_u32(&meta, "pare.tokenizer.max_word_chars", 1001, &err),
                 PARE_OK);
    expect_refused(&meta, "pare.tokenizer.max_word_chars");
    meta = foreign(GOOD, "33331");
    cr_assert_eq(pare_meta_set_string(&meta, "tokenizer.ggml.token_type", "3", 1, &err),
                 PARE_OK);
    expect_refused(&meta, "tokenizer.ggml.token_type: expected an array of i32");
}

/* Our own keys, damaged one at a time. */
Test(tokenizer_meta, damaged_keys_of_our_own_are_refused)
{
    const int32_t outside[] = {0, 7}, flags[] = {1, 1}, bad_flags[] = {1, 32};
    const int32_t descending[] = {6, 5}, negative[] = {-1, 5};
    struct {
        const char *key, *phrase;
        const int32_t *numbers;
        size_t count;
    } cases[] = {
        {"pare.tokenizer.added_flags", "differ in length", flags, 1},
        {"pare.tokenizer.added_flags", "with flags 32 is out of range", bad_flags, 2},
        {"pare.tokenizer.added_ids", "id 7 with flags 1 is out of range", outside, 2},
        {"pare.tokenizer.added_ids", "id -1", negative, 2},
        {"pare.tokenizer.continuations", "ascending", descending, 2},
        {"pare.tokenizer.continuations", "id 6: empty piece", outside, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pare_meta meta = {0};
        struct pare_tokenizer *t = tokenizer_of(FIVE "ab ##" SPACE, 1);
        t->added_count = 2;
        cr_assert_eq(pare_tokenizer_to_meta(t, &meta, &err), PARE_OK);
        cr_assert_eq(pare_meta_set_numbers(&meta, cases[i].key, PARE_META_I32,
                                           cases[i].numbers, cases[i].count, &err),
                     PARE_OK);
        expect_refused(&meta, cases[i].phrase);
        pare_tokenizer_free(t);
    }
    struct pare_meta meta = {0};
    struct pare_tokenizer *t = tokenizer_of(FIVE "ab", 1);
    cr_assert_eq(pare_tokenizer_to_meta(t, &meta, &err), PARE_OK);
    cr_assert_eq(pare_meta_set_u32(&meta, "pare.tokenizer.model_pieces", 7, &err),
                 PARE_OK);
    expect_refused(&meta, "pare.tokenizer.model_pieces");
    pare_tokenizer_free(t);
}
