/* WordPiece: any text with a small vocabulary, any vocab.txt, any tokenizer.json.
 *
 * The last byte says what the rest is, the byte before it sets switches. A vocabulary and
 * the text for it are separated by an empty line. Beyond not crashing: every id exists,
 * a truncated text has the beginning of the whole one's ids, and a tokenizer that went
 * through a container's metadata gives the same ids.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/text/wordpiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                     \
        }                                                                                \
    } while (0)

static const char built_in[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\nab\n##b\nabc\n##bc\ne\n\u00e9\n##"
    "\u00e9\n"
    "i\u0307\ni\nss\n\u00df\n\u03c3\n##\u03c2\nthe\n##s\n.\n!\n#\n[\n]\n\u4e00\n\u91ce\n"
    "\uac00\n\u1100\n##\u1161\n\u302e\n##\u302e\n\U0001d165\n\u0301\n\ufffd\n##"
    "\ufffd\n\x01\n"
    "\U0001f600\n\u200d\n1\n##1\naaaaaaaaaa\n##aaaaaaaaaaaaaaaa";

static void encode(const struct pare_tokenizer *t, const char *text, size_t length,
                   size_t max_tokens, struct pare_ids *ids)
{
    struct pare_error err;
    ids->count = 0;
    CHECK(pare_tokenizer_encode(t, text, length, max_tokens, ids, &err) == PARE_OK);
}

static void check_text(const struct pare_tokenizer *t, const char *text, size_t length)
{
    struct pare_ids whole = {0}, cut = {0};
    size_t around = t->add_special ? 2 : 0;
    encode(t, text, length, 0, &whole);
    CHECK(whole.count >= around);
    for (size_t i = 0; i < whole.count; i++)
        CHECK(whole.ids[i] >= 0 && (size_t)whole.ids[i] < pare_tokenizer_vocab_size(t));
    if (around)
        CHECK(whole.ids[0] == t->cls && whole.ids[whole.count - 1] == t->sep);
    size_t limit = 2 + length % 7;
    encode(t, text, length, limit, &cut);
    CHECK(cut.count == (whole.count < limit ? whole.count : limit));
    size_t same = cut.count - (around ? 1 : 0);
    CHECK(!same || memcmp(whole.ids, cut.ids, same * sizeof *cut.ids) == 0);
    if (around)
        CHECK(cut.ids[cut.count - 1] == t->sep);

    struct pare_meta meta = {0};
    struct pare_tokenizer *back;
    struct pare_error err;
    CHECK(pare_tokenizer_to_meta(t, &meta, &err) == PARE_OK);
    CHECK(pare_tokenizer_from_meta(&meta, &back, &err) == PARE_OK && back);
    encode(back, text, length, 0, &cut);
    CHECK(cut.count == whole.count);
    CHECK(!cut.count || memcmp(cut.ids, whole.ids, cut.count * sizeof *cut.ids) == 0);
    pare_tokenizer_free(back);
    pare_meta_free(&meta);
    pare_ids_free(&whole);
    pare_ids_free(&cut);
}

static int add(struct pare_tokenizer *t, const char *content, unsigned flags)
{
    return pare_tokenizer_add(t, content, strlen(content), flags, -1, NULL) == PARE_OK;
}

/* The special ids of a vocabulary read from lines, and the switches. */
static int set_up(struct pare_tokenizer *t, unsigned switches)
{
    t->unk = pare_vocab_find(&t->vocab, "[UNK]", 5);
    t->cls = pare_vocab_find(&t->vocab, "[CLS]", 5);
    t->sep = pare_vocab_find(&t->vocab, "[SEP]", 5);
    t->lower_case = !(switches & 1);
    t->strip_accents = !(switches & 2);
    t->clean_text = !(switches & 4);
    t->chinese_chars = !(switches & 8);
    t->add_special = !(switches & 16);
    if (switches & 32)
        t->max_word_chars = 7;
    if (switches & 64 && pare_tokenizer_set_prefix(t, "a", 1, NULL) != PARE_OK)
        return 0;
    if (t->cls >= 0 && !add(t, "[CLS]", PARE_ADDED_SPECIAL))
        return 0;
    if (switches & 128)
        return add(t, "[E1]", PARE_ADDED_LSTRIP | PARE_ADDED_RSTRIP) &&
               add(t, "[E", PARE_ADDED_RSTRIP) && add(t, " ", PARE_ADDED_LSTRIP) &&
               add(t, "the", PARE_ADDED_SINGLE_WORD | PARE_ADDED_NORMALIZED) &&
               add(t, "ab", PARE_ADDED_NORMALIZED | PARE_ADDED_RSTRIP);
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned kind = data[size - 1] % 3, switches = data[size - 2];
    const char *text = (const char *)data;
    size_t length = size - 2, first = 0;
    if (kind) {
        const char *gap = memmem(text, length, "\n\n", 2);
        first = gap ? (size_t)(gap - text) : length;
        text += gap ? first + 2 : length;
        length -= gap ? first + 2 : length;
    }
    struct pare_tokenizer *t;
    struct pare_error err;
    CHECK(pare_tokenizer_new(&t, &err) == PARE_OK);
    enum pare_status status;
    if (kind == 2)
        status =
            pare_tokenizer_parse_json((const char *)data, first, "fuzz", NULL, t, &err);
    else if (kind == 1)
        status = pare_vocab_parse_lines(&t->vocab, (const char *)data, first, &err);
    else
        status = pare_vocab_parse_lines(&t->vocab, built_in, sizeof built_in - 1, &err);
    CHECK(kind || status == PARE_OK);
    if (status == PARE_OK && (kind == 2 || set_up(t, switches)) &&
        pare_tokenizer_finish(t, &err) == PARE_OK)
        check_text(t, text, length);
    pare_tokenizer_free(t);
    return 0;
}
