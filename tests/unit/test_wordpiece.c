#include <criterion/criterion.h>
#include <time.h>

#include "runtime/base/alloc.h"
#include "runtime/base/sha256.h"
#include "runtime/text/unicode.h"
#include "runtime/text/wordpiece.h"
#include "tests/support/tokenizers.h"

#define FIVE "[PAD] [UNK] [CLS] [SEP] [MASK] "

static struct pare_error err;

/* ---- against Hugging Face ---- */

Test(wordpiece, equals_hugging_face_in_every_configuration)
{
    cJSON *golden = golden_open();
    const cJSON *texts = cJSON_GetObjectItem(golden, "texts");
    for (const cJSON *c = cJSON_GetObjectItem(golden, "configs")->child; c; c = c->next) {
        struct pare_tokenizer *t = golden_tokenizer(golden, c);
        cr_expect_eq(count_differences(t, texts, cJSON_GetObjectItem(c, "ids")), 0,
                     "configuration \"%s\"", cJSON_GetObjectItem(c, "name")->valuestring);
        pare_tokenizer_free(t);
    }
    cJSON_Delete(golden);
}

/* SHA-256 over length (u16) and bytes of before + c + after, normalised, for all c. */
static void digest(const struct pare_tokenizer *t, const char *before, const char *after,
                   char out[65])
{
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        char text[64], *normalized;
        size_t a = strlen(before), b = strlen(after), n;
        memcpy(text, before, a);
        n = a + pare_utf8_encode(c, (uint8_t *)text + a);
        memcpy(text + n, after, b);
        cr_assert_eq(pare_wordpiece_normalize(t, text, n + b, &normalized, &n, &err),
                     PARE_OK);
        uint8_t length[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
        pare_sha256_update(&sha, length, 2);
        if (n)
            pare_sha256_update(&sha, normalized, n);
        pare_free(normalized);
    }
    pare_sha256_hex(&sha, out);
}

static const char *expected_digest(const cJSON *golden, const char *name)
{
    return cJSON_GetObjectItem(cJSON_GetObjectItem(golden, "digests"), name)->valuestring;
}

Test(wordpiece, normalises_every_code_point_as_hugging_face, .timeout = 600)
{
    struct {
        const char *name, *before, *after;
        int clean, chinese, strip, lower;
    } cases[] = {
        {"clean_text", "", "", 1, 0, 0, 0},
        {"chinese_chars", "", "", 0, 1, 0, 0},
        {"strip_accents", "", "", 0, 0, 1, 0},
        {"order_of_marks", "a\U0001d165\u302f\u302e", "\U0001d165\u302f\u302eb", 0, 0, 1,
         0},
        {"lowercase", "", "", 0, 0, 0, 1},
        {"all", "", "", 1, 1, 1, 1},
    };
    cJSON *golden = golden_open();
    struct pare_tokenizer *t = tokenizer_of(FIVE "a", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        t->clean_text = cases[i].clean;
        t->chinese_chars = cases[i].chinese;
        t->strip_accents = cases[i].strip;
        t->lower_case = cases[i].lower;
        char found[65];
        digest(t, cases[i].before, cases[i].after, found);
        cr_expect_str_eq(found, expected_digest(golden, cases[i].name), "%s",
                         cases[i].name);
    }
    pare_tokenizer_free(t);
    cJSON_Delete(golden);
}

Test(wordpiece, word_characters_are_those_of_hugging_face)
{
    cJSON *golden = golden_open();
    struct pare_sha256 sha;
    char found[65];
    pare_sha256_init(&sha);
    for (uint32_t c = 0; c < 0x110000; c++)
        if (c < 0xD800 || c > 0xDFFF)
            pare_sha256_update(
                &sha, pare_unicode_flags(c) & PARE_UNICODE_WORD ? "\1\0000" : "\1\0001",
                3);
    pare_sha256_hex(&sha, found);
    cr_expect_str_eq(found, expected_digest(golden, "single_word"));
    cr_expect_eq(pare_unicode_flags(0x110000), 0);
    cr_expect_eq(pare_unicode_flags(UINT32_MAX), 0);
    cJSON_Delete(golden);
}

/* ---- UTF-8 ---- */

Test(wordpiece, invalid_utf8_becomes_replacement_characters)
{
    struct {
        const char *text, *repaired;
        size_t valid;
    } cases[] = {
        {"abcdefghij\xC3\xA9", "abcdefghij\xC3\xA9", 12},
        {"abcdefghi\xFFj", "abcdefghi\uFFFDj", 9},
        {"\xC0\xAF", "\uFFFD\uFFFD", 0},             /* overlong "/" */
        {"\xE0\x80\xAF", "\uFFFD\uFFFD\uFFFD", 0},   /* overlong */
        {"\xED\xA0\x80x", "\uFFFD\uFFFD\uFFFDx", 0}, /* surrogate */
        {"\xE2\x82", "\uFFFD", 0},                   /* cut short */
        {"\xE2\x82z\xF0\x9F\x98", "\uFFFDz\uFFFD", 0},
        {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD", 0}, /* above U+10FFFF */
        {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF", 4},
        {"\xF5\x80", "\uFFFD\uFFFD", 0},
        {"\x80\xBF", "\uFFFD\uFFFD", 0},
        {"\xF0\x9F\x98\x80\xF0\x9F", "\xF0\x9F\x98\x80\uFFFD", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out;
        size_t length = strlen(cases[i].text), n;
        cr_expect_eq(pare_utf8_valid(cases[i].text, length), cases[i].valid, "case %zu",
                     i);
        cr_assert_eq(pare_utf8_repair(cases[i].text, length, &out, &n, &err), PARE_OK);
        cr_expect(n == strlen(cases[i].repaired) && !memcmp(out, cases[i].repaired, n),
                  "case %zu", i);
        pare_free(out);
    }
    struct pare_tokenizer *t = tokenizer_of(FIVE "ab a ##b", 1);
    cr_expect_str_eq(ids_of(t,
                            "a\xFF"
                            "b",
                            3, 0),
                     "2 5 3");
    t->clean_text = 0;
    cr_expect_str_eq(ids_of(t,
                            "a\xFF"
                            "b",
                            3, 0),
                     "2 1 3");
    pare_tokenizer_free(t);
}

Test(wordpiece, nul_bytes_are_text)
{
    struct pare_tokenizer *t = tokenizer_of(FIVE "ab", 1);
    cr_expect_str_eq(ids_of(t, "a\0b\0 ab", 7, 0), "2 5 5 3");
    cr_expect_str_eq(ids_of(t, NULL, 0, 0), "2 3");
    pare_tokenizer_free(t);
}

/* ---- limits and the list of ids ---- */

Test(wordpiece, truncation_drops_from_the_end_and_keeps_sep)
{
    struct pare_tokenizer *t = tokenizer_of(FIVE "a ##b ##c !", 1);
    const char *text = "abc !ab [MASK]";
    cr_expect_str_eq(ids_of(t, text, 14, 0), "2 5 6 7 8 5 6 4 3");
    cr_expect_str_eq(ids_of(t, text, 14, 9), "2 5 6 7 8 5 6 4 3");
    cr_expect_str_eq(ids_of(t, text, 14, 8), "2 5 6 7 8 5 6 3");
    cr_expect_str_eq(ids_of(t, text, 14, 4), "2 5 6 3");
    cr_expect_str_eq(ids_of(t, text, 14, 2), "2 3");
    struct pare_ids ids = {0};
    cr_expect_eq(pare_tokenizer_encode(t, text, 14, 1, &ids, &err), PARE_ERR_USAGE);
    cr_expect_eq(ids.count, 0);
    pare_ids_free(&ids);
    pare_tokenizer_free(t);
}

Test(wordpiece, ids_are_appended)
{
    struct pare_tokenizer *t = tokenizer_of(FIVE "a b", 1);
    struct pare_ids ids = {0};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pare_tokenizer_encode(t, "a b a b a b", 11, 5, &ids, &err), PARE_OK);
    cr_expect_eq(ids.count, 15);
    for (size_t i = 0; i < 15; i++)
        cr_expect_eq(ids.ids[i], ids.ids[i % 5]);
    pare_ids_free(&ids);
    cr_expect(!ids.ids && !ids.count && !ids.capacity);
    pare_tokenizer_free(t);
}

/* Text whose repetition could cost more than its length: seconds for a megabyte of it. */
Test(wordpiece, hostile_text_takes_linear_time, .timeout = 600)
{
    const char *units[] = {
        "a",      "ab",           " ",          "!",         "[",        "[MAS",
        "[MASK]", "\u0301",       "\u302e",     "é",         "\x01",     "中",
        "\xFF",   "\u302f\u302e", "\U0001d165", "   \u00a0", "a\u0301b "};
    size_t size = 1 << 20;
    char *text = malloc(size + 16);
    struct pare_tokenizer *t = tokenizer_of(
        FIVE "a b ##a ##b aa aaa aaaa aaaaaaaaaa ##aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1);
    t->max_word_chars = PARE_WORD_MAX_CHARS;
    cr_assert_eq(
        pare_tokenizer_add(t, " ", 1,
                           PARE_ADDED_LSTRIP | PARE_ADDED_RSTRIP | PARE_ADDED_NORMALIZED,
                           -1, &err),
        PARE_OK);
    cr_assert_eq(
        pare_tokenizer_add(t, "zz", 2, PARE_ADDED_LSTRIP | PARE_ADDED_RSTRIP, -1, &err),
        PARE_OK);
    pare_added_free(&t->in_text);
    cr_assert_eq(pare_tokenizer_finish(t, &err), PARE_OK, "%s", err.message);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]), n = 0;
        for (; n < size; n += unit)
            memcpy(text + n, units[i], unit);
        for (int cut = 0; cut < 2; cut++) {
            if (cut) /* the same in words just short of the limit */
                for (size_t k = unit * 990; k + unit < n; k += unit * 990)
                    text[k - k % unit] = ' ';
            clock_t start = clock();
            struct pare_ids ids = {0};
            cr_assert_eq(pare_tokenizer_encode(t, text, n, 0, &ids, &err), PARE_OK);
            double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
            cr_expect_lt(seconds, 20, "\"%s\": %.1f s", units[i], seconds);
            pare_ids_free(&ids);
        }
    }
    pare_tokenizer_free(t);
    free(text);
}

/* ---- the vocabulary ---- */

Test(wordpiece, from_pieces_needs_the_five_and_no_piece_twice)
{
    struct {
        const char *pieces[7], *message;
    } cases[] = {
        {{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"}, "no [MASK]"},
        {{"[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"}, "no [PAD]"},
        {{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "a"}, "twice: ids 5 and 6"},
        {{"[PAD]", "", "[CLS]", "[SEP]", "[MASK]"}, "empty piece"},
        {{"[PAD]", "\xFF", "[CLS]", "[SEP]", "[MASK]"}, "invalid UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pare_text pieces[7];
        size_t n = 0;
        for (; n < 7 && cases[i].pieces[n]; n++)
            pieces[n] =
                (struct pare_text){cases[i].pieces[n], strlen(cases[i].pieces[n])};
        struct pare_tokenizer *t;
        cr_expect_eq(pare_tokenizer_from_pieces(pieces, n, 1, &t, &err), PARE_ERR_INPUT);
        cr_expect_null(t);
        cr_expect(strstr(err.message, cases[i].message), "%s", err.message);
    }
}

Test(wordpiece, pieces_are_spelled_as_hugging_face_does)
{
    struct pare_tokenizer *t = tokenizer_of(FIVE "a ##ing", 1);
    cr_expect_eq(pare_tokenizer_vocab_size(t), 7);
    cr_expect_eq(pare_tokenizer_pad_id(t), 0);
    struct pare_text piece = pare_tokenizer_piece(t, 6);
    cr_expect(piece.length == 5 && !memcmp(piece.data, "##ing", 5));
    cr_expect_eq(pare_tokenizer_piece(t, 7).length, 0);
    cr_expect_eq(pare_tokenizer_piece(t, -1).length, 0);
    pare_tokenizer_free(t);
    pare_tokenizer_free(NULL);
}

Test(wordpiece, cased_and_uncased)
{
    struct pare_tokenizer *t = tokenizer_of(FIVE "A a É e", 1);
    cr_expect_str_eq(ids_of(t, "A a É é", 9, 0), "2 6 6 8 8 3");
    pare_tokenizer_free(t);
    t = tokenizer_of(FIVE "A a É e", 0);
    cr_expect_str_eq(ids_of(t, "A a É é", 9, 0), "2 5 6 7 1 3");
    pare_tokenizer_free(t);
}

/* Every piece of a large vocabulary is found, and nothing else. */
Test(wordpiece, a_large_vocabulary_is_found_completely)
{
    struct pare_vocab vocab = {0};
    char piece[32];
    for (int i = 0; i < 100000; i++) {
        int n = snprintf(piece, sizeof piece, "%x", (unsigned)i * 2654435761u);
        cr_assert_eq(pare_vocab_append(&vocab, piece, (size_t)n, &err), PARE_OK);
    }
    cr_assert_eq(pare_vocab_find(&vocab, "9e3779b1", 8), -1); /* not indexed yet */
    cr_assert_eq(pare_vocab_index(&vocab, "ids", 0, &err), PARE_OK, "%s", err.message);
    int wrong = 0;
    for (int i = 0; i < 100000; i++) {
        int n = snprintf(piece, sizeof piece, "%x", (unsigned)i * 2654435761u);
        wrong += pare_vocab_find(&vocab, piece, (size_t)n) != i;
        piece[0] = 'z';
        wrong += pare_vocab_find(&vocab, piece, (size_t)n) != -1;
    }
    cr_expect_eq(wrong, 0);
    pare_vocab_free(&vocab);
}

Test(wordpiece, messages_show_pieces_cut_and_clean)
{
    cr_expect_str_eq(pare_show("a\nb\x7F", 4).text, "a?b?");
    char text[64];
    memset(text, 'x', 39);
    memcpy(text + 39, "\u00e9tail", 7);
    struct pare_shown shown = pare_show(text, 45);
    cr_expect_eq(strlen(shown.text), 42); /* 39, then "..." instead of half an é */
    cr_expect_eq(pare_utf8_valid(shown.text, 42), 42);
}
