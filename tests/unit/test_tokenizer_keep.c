/* Tokenizers with fewer pieces: the texts they were made for keep theirs. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/rng.h"
#include "runtime/text/wordpiece.h"

static const char *const pieces[] = {
    "[PAD]", "unused", "[UNK]", "[CLS]",    "[SEP]",      "[MASK]", "a",    "b",
    "##a",   "##b",    "x",     "##x",      "ab",         "##ab",   "abab", "##bx",
    "ba",    "##xx",   "##ba",  "\xC3\xA9", "##\xC3\xA9", "zz",     "never"};
#define COUNT (sizeof pieces / sizeof *pieces)

static struct pare_tokenizer *make(void)
{
    struct pare_text texts[COUNT];
    struct pare_tokenizer *t;
    struct pare_error err = {""};
    for (size_t i = 0; i < COUNT; i++)
        texts[i] = (struct pare_text){pieces[i], strlen(pieces[i])};
    cr_assert_eq(pare_tokenizer_from_pieces(texts, COUNT, 0, &t, &err), PARE_OK, "%s",
                 err.message);
    return t;
}

static struct pare_tokenizer *keep_for(const struct pare_tokenizer *t, const char *text,
                                       int characters)
{
    uint64_t count[COUNT] = {0};
    uint8_t keep[COUNT] = {0};
    struct pare_tokenizer *out;
    struct pare_error err = {""};
    cr_assert_eq(pare_tokenizer_count(t, text, strlen(text), count, &err), PARE_OK);
    for (size_t i = 0; i < COUNT; i++)
        keep[i] = count[i] > 0;
    pare_tokenizer_needs(t, characters, keep);
    cr_assert_eq(pare_tokenizer_keep(t, keep, &out, &err), PARE_OK, "%s", err.message);
    return out;
}

/* The pieces of a text with a space behind each. */
static void split(const struct pare_tokenizer *t, const char *text, char out[4096])
{
    struct pare_ids ids = {0};
    size_t at = 0;
    cr_assert_eq(pare_tokenizer_encode(t, text, strlen(text), 0, &ids, NULL), PARE_OK);
    for (size_t i = 0; i < ids.count; i++) {
        const struct pare_text piece = pare_tokenizer_piece(t, ids.ids[i]);
        memcpy(out + at, piece.data, piece.length);
        at += piece.length;
        out[at++] = ' ';
    }
    out[at] = '\0';
    pare_ids_free(&ids);
}

static void expect_split(const struct pare_tokenizer *t, const char *text,
                         const char *expected)
{
    char found[4096];
    split(t, text, found);
    cr_assert_str_eq(found, expected);
}

Test(tokenizer_keep, what_no_text_has_goes_and_ids_close_up)
{
    struct pare_tokenizer *t = make(), *less = keep_for(t, "abab x", 0);
    expect_split(less, "abab x", "[CLS] abab x [SEP] ");
    expect_split(less, "ab never", "[CLS] [UNK] [UNK] [SEP] ");
    cr_assert_eq(pare_tokenizer_vocab_size(less), 7);
    cr_assert_eq(less->unk, 1);
    cr_assert_eq(less->mask, 4);
    cr_assert_eq(less->added_count, t->added_count);
    pare_tokenizer_free(less);
    less = keep_for(t, "abab x", 1);
    expect_split(less, "ab zz xba\xC3\xA9",
                 "[CLS] a ##b [UNK] x ##b ##a ##\xC3\xA9 [SEP] ");
    cr_assert_eq(pare_tokenizer_vocab_size(less), 14);
    pare_tokenizer_free(less);
    pare_tokenizer_free(t);
}

/* "ab" is taken before the word turns out unknown. Without it "abx" would be a ##bx. */
Test(tokenizer_keep, what_was_unknown_stays_unknown)
{
    static const char *const few[] = {"[PAD]",  "[UNK]", "[CLS]", "[SEP]",
                                      "[MASK]", "a",     "ab",    "##bx"};
    struct pare_text texts[8];
    struct pare_tokenizer *t, *less;
    for (size_t i = 0; i < 8; i++)
        texts[i] = (struct pare_text){few[i], strlen(few[i])};
    cr_assert_eq(pare_tokenizer_from_pieces(texts, 8, 0, &t, NULL), PARE_OK);
    uint64_t count[8] = {0};
    uint8_t keep[8] = {0};
    cr_assert_eq(pare_tokenizer_count(t, "abx", 3, count, NULL), PARE_OK);
    for (size_t i = 0; i < 8; i++)
        keep[i] = count[i] > 0;
    pare_tokenizer_needs(t, 1, keep);
    cr_assert_eq(keep[6], 1);
    cr_assert_eq(keep[7], 0);
    keep[7] = 1; /* another text may need it */
    cr_assert_eq(pare_tokenizer_keep(t, keep, &less, NULL), PARE_OK);
    expect_split(t, "abx", "[CLS] [UNK] [SEP] ");
    expect_split(less, "abx", "[CLS] [UNK] [SEP] ");
    pare_tokenizer_free(t);
    pare_tokenizer_free(less);
}

Test(tokenizer_keep, any_text_keeps_its_pieces)
{
    static const char letters[] = "aabbbxxz  .";
    struct pare_tokenizer *t = make();
    struct pare_rng rng = {.seed = 8};
    for (int round = 0; round < 300; round++) {
        char text[64], before[4096];
        size_t n = 1 + pare_rng_below(&rng, 40);
        for (size_t i = 0; i < n; i++)
            text[i] = letters[pare_rng_below(&rng, sizeof letters - 1)];
        text[n] = '\0';
        struct pare_tokenizer *less = keep_for(t, text, round % 2);
        split(t, text, before);
        expect_split(less, text, before);
        pare_tokenizer_free(less);
    }
    pare_tokenizer_free(t);
}

Test(tokenizer_keep, a_container_holds_it)
{
    struct pare_tokenizer *t = make(), *less = keep_for(t, "abab x ba", 0), *back;
    struct pare_meta meta = {0};
    struct pare_error err = {""};
    cr_assert_eq(pare_tokenizer_to_meta(t, &meta, &err), PARE_OK);
    cr_assert_eq(pare_tokenizer_to_meta(less, &meta, &err), PARE_OK);
    cr_assert_eq(pare_tokenizer_from_meta(&meta, &back, &err), PARE_OK, "%s",
                 err.message);
    cr_assert_eq(pare_tokenizer_vocab_size(back), 8);
    expect_split(back, "ba x [MASK]", "[CLS] ba x [MASK] [SEP] ");
    pare_tokenizer_free(back);
    pare_tokenizer_free(less);
    pare_tokenizer_free(t);
    pare_meta_free(&meta);
}
