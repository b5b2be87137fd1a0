/* A WordPiece tokenizer as a whole: putting it together, asking it, letting it go. */
#include "runtime/text/tokenizer.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/text/wordpiece.h"

enum pare_status pare_tokenizer_set_prefix(struct pare_tokenizer *tokenizer,
                                           const char *prefix, size_t length,
                                           struct pare_error *err)
{
    char *copy;
    PARE_TRY(pare_strndup(&copy, prefix, length, err));
    pare_free(tokenizer->prefix);
    tokenizer->prefix = copy;
    tokenizer->prefix_length = length;
    return PARE_OK;
}

enum pare_status pare_tokenizer_new(struct pare_tokenizer **out, struct pare_error *err)
{
    *out = NULL;
    struct pare_tokenizer *t;
    PARE_TRY(pare_alloc(&t, 1, sizeof *t, err));
    t->max_word_chars = 100;
    t->clean_text = t->chinese_chars = t->strip_accents = t->lower_case = 1;
    t->add_special = 1;
    t->unk = t->cls = t->sep = t->pad = t->mask = -1;
    enum pare_status status = pare_tokenizer_set_prefix(t, "##", 2, err);
    if (status != PARE_OK) {
        pare_tokenizer_free(t);
        return status;
    }
    *out = t;
    return PARE_OK;
}

void pare_tokenizer_free(struct pare_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    pare_vocab_free(&tokenizer->vocab);
    pare_free(tokenizer->prefix);
    pare_free(tokenizer->added);
    pare_added_free(&tokenizer->in_text);
    pare_added_free(&tokenizer->in_normalized);
    pare_free(tokenizer);
}

int32_t pare_tokenizer_id(const struct pare_tokenizer *tokenizer, const char *piece,
                          size_t length)
{
    const struct pare_vocab *vocab = &tokenizer->vocab;
    int32_t id = pare_vocab_find(vocab, piece, length);
    for (uint32_t i = vocab->indexed; id < 0 && i < vocab->count; i++) {
        struct pare_text other = pare_vocab_piece(vocab, i);
        if (other.length == length && memcmp(other.data, piece, length) == 0)
            id = (int32_t)i;
    }
    return id;
}

enum pare_status pare_tokenizer_add(struct pare_tokenizer *tokenizer, const char *content,
                                    size_t length, unsigned flags, int64_t id,
                                    struct pare_error *err)
{
    int32_t own = pare_tokenizer_id(tokenizer, content, length);
    int64_t wanted = own >= 0 ? own : (int64_t)tokenizer->vocab.count;
    if (id >= 0 && id != wanted)
        return pare_fail(
            err, PARE_ERR_INPUT,
            "added token \"%s\" has id %lld; with this vocabulary it is %lld",
            pare_show(content, length).text, (long long)id, (long long)wanted);
    if (own < 0)
        PARE_TRY(pare_vocab_append(&tokenizer->vocab, content, length, err));
    for (size_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].id == wanted) {
            tokenizer->added[i].flags = flags;
            return PARE_OK;
        }
    if (tokenizer->added_count == PARE_ADDED_MAX)
        return pare_fail(err, PARE_ERR_INPUT, "more than the %d added tokens supported",
                         PARE_ADDED_MAX);
    PARE_TRY(pare_grow(&tokenizer->added, &tokenizer->added_capacity,
                       tokenizer->added_count + 1, sizeof *tokenizer->added, err));
    tokenizer->added[tokenizer->added_count++] =
        (struct pare_added_token){(int32_t)wanted, flags};
    return PARE_OK;
}

static enum pare_status put_pattern(struct pare_tokenizer *t,
                                    const struct pare_added_token *added,
                                    struct pare_error *err)
{
    struct pare_text piece = pare_vocab_piece(&t->vocab, (uint32_t)added->id);
    if (!(added->flags & PARE_ADDED_NORMALIZED))
        return pare_added_put(&t->in_text, piece.data, piece.length, added->id,
                              added->flags, err);
    char *text;
    size_t length;
    PARE_TRY(pare_wordpiece_normalize(t, piece.data, piece.length, &text, &length, err));
    enum pare_status status =
        pare_added_put(&t->in_normalized, text, length, added->id, added->flags, err);
    pare_free(text);
    return status;
}

enum pare_status pare_tokenizer_finish(struct pare_tokenizer *t, struct pare_error *err)
{
    if (t->unk < 0 || (uint32_t)t->unk >= t->vocab.indexed)
        return pare_fail(err, PARE_ERR_INPUT,
                         "the vocabulary has no piece for unknown words ([UNK])");
    if (t->add_special && (t->cls < 0 || t->sep < 0))
        return pare_fail(err, PARE_ERR_INPUT, "the vocabulary has no %s",
                         t->cls < 0 ? "[CLS]" : "[SEP]");
    t->prefix_hash = pare_vocab_hash(PARE_VOCAB_HASH, t->prefix, t->prefix_length);
    pare_wordpiece_ascii_table(t);
    for (size_t i = 0; i < t->added_count; i++)
        PARE_TRY(put_pattern(t, &t->added[i], err));
    PARE_TRY(pare_added_compile(&t->in_text, err));
    return pare_added_compile(&t->in_normalized, err);
}

static enum pare_status fill_from_pieces(struct pare_tokenizer *t,
                                         const struct pare_text *pieces, size_t count,
                                         struct pare_error *err)
{
    static const char *const names[5] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    int32_t *const ids[5] = {&t->pad, &t->unk, &t->cls, &t->sep, &t->mask};
    for (size_t i = 0; i < count; i++)
        PARE_TRY(pare_vocab_append(&t->vocab, pieces[i].data, pieces[i].length, err));
    PARE_TRY(pare_vocab_index(&t->vocab, "ids", 0, err));
    for (size_t i = 0; i < 5; i++) {
        *ids[i] = pare_vocab_find(&t->vocab, names[i], strlen(names[i]));
        if (*ids[i] < 0)
            return pare_fail(err, PARE_ERR_INPUT, "the pieces have no %s", names[i]);
        PARE_TRY(pare_tokenizer_add(t, names[i], strlen(names[i]), PARE_ADDED_SPECIAL, -1,
                                    err));
    }
    return pare_tokenizer_finish(t, err);
}

enum pare_status pare_tokenizer_from_pieces(const struct pare_text *pieces, size_t count,
                                            int lower_case, struct pare_tokenizer **out,
                                            struct pare_error *err)
{
    PARE_TRY(pare_tokenizer_new(out, err));
    (*out)->lower_case = (*out)->strip_accents = lower_case != 0;
    enum pare_status status = fill_from_pieces(*out, pieces, count, err);
    if (status != PARE_OK) {
        pare_tokenizer_free(*out);
        *out = NULL;
        return pare_fail_in(err, status, "tokenizer");
    }
    return PARE_OK;
}

size_t pare_tokenizer_vocab_size(const struct pare_tokenizer *tokenizer)
{
    return tokenizer->vocab.count;
}

struct pare_text pare_tokenizer_piece(const struct pare_tokenizer *tokenizer, int32_t id)
{
    if (id < 0)
        return (struct pare_text){"", 0};
    return pare_vocab_piece(&tokenizer->vocab, (uint32_t)id);
}

int32_t pare_tokenizer_pad_id(const struct pare_tokenizer *tokenizer)
{
    return tokenizer->pad < 0 ? 0 : tokenizer->pad;
}

int32_t pare_tokenizer_mask_id(const struct pare_tokenizer *tokenizer)
{
    return tokenizer->mask;
}

void pare_ids_free(struct pare_ids *ids)
{
    pare_free(ids->ids);
    memset(ids, 0, sizeof *ids);
}
