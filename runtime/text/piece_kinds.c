/* What pieces are to somebody who changes words: see tokenizer.h. */
#include <string.h>

#include "runtime/text/unicode.h"
#include "runtime/text/wordpiece.h"

static int is_letters(struct pare_text piece)
{
    uint32_t code;
    for (size_t i = 0; i < piece.length;) {
        i += pare_utf8_decode((const uint8_t *)piece.data + i, &code);
        if (!(pare_unicode_flags(code) & PARE_UNICODE_WORD) || code == '_' ||
            (code >= '0' && code <= '9'))
            return 0;
    }
    return piece.length > 0;
}

static enum pare_piece_kind kind_of(const struct pare_tokenizer *t, uint32_t id)
{
    struct pare_text piece = pare_vocab_piece(&t->vocab, id);
    if (t->prefix_length && piece.length > t->prefix_length &&
        !memcmp(piece.data, t->prefix, t->prefix_length))
        return PARE_PIECE_CONTINUES;
    return is_letters(piece) ? PARE_PIECE_LETTERS : PARE_PIECE_OTHER;
}

void pare_tokenizer_kinds(const struct pare_tokenizer *t, uint8_t *kind)
{
    const int32_t special[] = {t->cls, t->sep, t->pad, t->mask};
    for (uint32_t id = 0; id < t->vocab.count; id++)
        kind[id] = (uint8_t)kind_of(t, id);
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added[i].flags & PARE_ADDED_SPECIAL)
            kind[t->added[i].id] = PARE_PIECE_SPECIAL;
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (special[i] >= 0)
            kind[special[i]] = PARE_PIECE_SPECIAL;
    /* Added as special, but it stands for a word. */
    kind[t->unk] = PARE_PIECE_OTHER;
}
