/* A tokenizer with fewer pieces: see tokenizer.h.
 *
 * At each place of a word the longest piece is taken. As long as every piece that was
 * ever taken for a text stays, also those of words that turned out unknown behind them,
 * taking away others does not change what is taken for it.
 */
#include <string.h>

#include "runtime/text/unicode.h"
#include "runtime/text/wordpiece.h"

static int is_character(const struct pare_tokenizer *t, uint32_t id)
{
    const struct pare_text piece = pare_vocab_piece(&t->vocab, id);
    const size_t prefix = t->prefix_length;
    size_t at = 0;
    uint32_t code;
    if (prefix && piece.length > prefix && !memcmp(piece.data, t->prefix, prefix))
        at = prefix;
    at += pare_utf8_decode((const uint8_t *)piece.data + at, &code);
    return at == piece.length;
}

void pare_tokenizer_needs(const struct pare_tokenizer *t, int characters, uint8_t *keep)
{
    const int32_t special[] = {t->unk, t->cls, t->sep, t->pad, t->mask};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (special[i] >= 0)
            keep[special[i]] = 1;
    for (size_t i = 0; i < t->added_count; i++)
        keep[t->added[i].id] = 1;
    for (uint32_t id = 0; characters && id < t->vocab.indexed; id++)
        keep[id] |= is_character(t, id);
}

/* The pieces that stay, those that are only added tokens behind the others as before. */
static enum pare_status keep_pieces(const struct pare_tokenizer *t, const uint8_t *keep,
                                    struct pare_tokenizer *out, struct pare_error *err)
{
    const struct pare_vocab *vocab = &t->vocab;
    for (uint32_t id = 0; id < vocab->count; id++) {
        const struct pare_text piece = pare_vocab_piece(vocab, id);
        if (id == vocab->indexed)
            PARE_TRY(pare_vocab_index(&out->vocab, "ids", 0, err));
        if (keep[id])
            PARE_TRY(pare_vocab_append(&out->vocab, piece.data, piece.length, err));
    }
    return vocab->indexed == vocab->count ? pare_vocab_index(&out->vocab, "ids", 0, err)
                                          : PARE_OK;
}

/* The id of a piece that stays, among those; -1 stays -1. */
static int32_t renumber(const uint8_t *keep, int32_t id)
{
    int32_t before = 0;
    for (int32_t i = 0; i < id; i++)
        before += keep[i] != 0;
    return id < 0 ? id : before;
}

static enum pare_status keep_rest(const struct pare_tokenizer *t, const uint8_t *keep,
                                  struct pare_tokenizer *out, struct pare_error *err)
{
    out->max_word_chars = t->max_word_chars;
    out->clean_text = t->clean_text;
    out->chinese_chars = t->chinese_chars;
    out->strip_accents = t->strip_accents;
    out->lower_case = t->lower_case;
    out->add_special = t->add_special;
    out->unk = renumber(keep, t->unk);
    out->cls = renumber(keep, t->cls);
    out->sep = renumber(keep, t->sep);
    out->pad = renumber(keep, t->pad);
    out->mask = renumber(keep, t->mask);
    for (size_t i = 0; i < t->added_count; i++) {
        const struct pare_text piece =
            pare_vocab_piece(&t->vocab, (uint32_t)t->added[i].id);
        PARE_TRY(pare_tokenizer_add(out, piece.data, piece.length, t->added[i].flags,
                                    renumber(keep, t->added[i].id), err));
    }
    return pare_tokenizer_finish(out, err);
}

enum pare_status pare_tokenizer_keep(const struct pare_tokenizer *tokenizer,
                                     const uint8_t *keep, struct pare_tokenizer **out,
                                     struct pare_error *err)
{
    PARE_TRY(pare_tokenizer_new(out, err));
    enum pare_status status =
        pare_tokenizer_set_prefix(*out, tokenizer->prefix, tokenizer->prefix_length, err);
    if (status == PARE_OK)
        status = keep_pieces(tokenizer, keep, *out, err);
    if (status == PARE_OK)
        status = keep_rest(tokenizer, keep, *out, err);
    if (status != PARE_OK) {
        pare_tokenizer_free(*out);
        *out = NULL;
    }
    return status;
}
