/* BERT's tokenizer: normalise, cut into words, cut words into the longest known pieces.
 *
 * WordPiece as in Devlin et al., "BERT" (2018), section 3; the order of the steps and
 * every corner of them as in Hugging Face tokenizers (BertNormalizer, BertPreTokenizer,
 * WordPiece, AddedVocabulary):
 *
 *   text -> [added tokens] -> clean up -> spaces around CJK -> decompose, sort marks,
 * drop accents -> lower case -> [added tokens] -> words at spaces and punctuation ->
 * pieces
 *
 * All of it happens one character at a time, without a copy of the text: a character goes
 * through the functions below from the last to the first, and the word it belongs to is
 * looked up when it ends. Plain ASCII takes a short cut through one table.
 */
#include "runtime/text/wordpiece.h"

#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/text/unicode.h"

/* What the table `ascii` says of a byte; below 0x80 it is the byte to put in the word. */
enum ascii_class { ASCII_DROPPED = 0x80, ASCII_SPACE, ASCII_PUNCT, ASCII_GENERAL };

struct text_buffer {
    char *data;
    size_t length, capacity;
};

struct mark { /* a combining character that waits for its place */
    uint32_t code;
    uint8_t class;
};

struct encoder {
    const struct pare_tokenizer *t;
    struct pare_ids *out;
    size_t limit; /* of out->count */
    struct pare_error *err;
    uint64_t *count;                /* of pieces that are taken, [vocab.count]; or NULL */
    struct text_buffer *normalized; /* if set, the text goes here and not into words */
    struct mark *marks;
    size_t mark_count, mark_capacity;
    size_t word_bytes, word_chars; /* characters beyond max_word_chars are only counted */
    uint8_t word[4 * PARE_WORD_MAX_CHARS];
};

static enum pare_status push(struct encoder *e, int32_t id)
{
    struct pare_ids *out = e->out;
    if (out->count == out->capacity)
        PARE_TRY(pare_grow(&out->ids, &out->capacity, out->count + 1, sizeof *out->ids,
                           e->err));
    out->ids[out->count++] = id;
    if (e->count)
        e->count[id]++;
    return PARE_OK;
}

/* The longest piece that starts at `start`, by one running hash over the rest of the
 * word: its id and end, or -1. */
static int32_t longest_piece(const struct encoder *e, size_t start, size_t bytes,
                             size_t *end)
{
    const struct pare_vocab *vocab = &e->t->vocab;
    struct pare_text prefix = {"", 0};
    uint64_t hash = PARE_VOCAB_HASH;
    if (start) {
        prefix = (struct pare_text){e->t->prefix, e->t->prefix_length};
        hash = e->t->prefix_hash;
    }
    size_t longest = vocab->longest > prefix.length ? vocab->longest - prefix.length : 0;
    size_t stop = bytes - start > longest ? start + longest : bytes;
    int32_t best = -1;
    for (size_t i = start; i < stop;) {
        hash = pare_vocab_hash_byte(hash, e->word[i++]);
        if (i < bytes && (e->word[i] & 0xC0) == 0x80)
            continue; /* inside a character */
        int32_t id = pare_vocab_find_hashed(vocab, hash, prefix,
                                            (const char *)e->word + start, i - start);
        if (id >= 0) {
            best = id;
            *end = i;
        }
    }
    return best;
}

/* Longest match first; a word with a rest that no piece covers is unknown as a whole. */
static enum pare_status split_word(struct encoder *e, size_t bytes)
{
    size_t before = e->out->count;
    for (size_t start = 0, end = 0; start < bytes; start = end) {
        int32_t id = longest_piece(e, start, bytes, &end);
        if (id < 0) {
            e->out->count = before;
            return push(e, e->t->unk);
        }
        PARE_TRY(push(e, id));
    }
    return PARE_OK;
}

static enum pare_status end_word(struct encoder *e)
{
    size_t chars = e->word_chars, bytes = e->word_bytes;
    if (!chars)
        return PARE_OK;
    e->word_chars = e->word_bytes = 0;
    if (chars > e->t->max_word_chars)
        return push(e, e->t->unk);
    const char *word = (const char *)e->word;
    int32_t id = pare_vocab_find(&e->t->vocab, word, bytes);
    return id >= 0 ? push(e, id) : split_word(e, bytes);
}

static void add_to_word(struct encoder *e, uint32_t code)
{
    if (e->word_chars++ < e->t->max_word_chars)
        e->word_bytes += pare_utf8_encode(code, e->word + e->word_bytes);
}

/* A normalised character: part of a word, a word alone, or the end of one. */
static enum pare_status cut_words(struct encoder *e, uint32_t code, unsigned flags)
{
    if (flags & (PARE_UNICODE_SPACE | PARE_UNICODE_PUNCT)) {
        PARE_TRY(end_word(e));
        if (flags & PARE_UNICODE_SPACE)
            return PARE_OK;
        add_to_word(e, code);
        return end_word(e);
    }
    add_to_word(e, code);
    return PARE_OK;
}

static enum pare_status finished(struct encoder *e, uint32_t code, unsigned flags)
{
    struct text_buffer *to = e->normalized;
    if (!to)
        return cut_words(e, code, flags);
    PARE_TRY(pare_grow(&to->data, &to->capacity, to->length + 4, 1, e->err));
    to->length += pare_utf8_encode(code, (uint8_t *)to->data + to->length);
    return PARE_OK;
}

static enum pare_status lower(struct encoder *e, uint32_t code, unsigned flags)
{
    if (!e->t->lower_case || !(flags & PARE_UNICODE_LOWERS))
        return finished(e, code, flags);
    uint32_t lowered[2];
    unsigned count = pare_unicode_lower_case(code, lowered);
    for (unsigned i = 0; i < count; i++)
        PARE_TRY(finished(e, lowered[i], pare_unicode_flags(lowered[i])));
    return PARE_OK;
}

/* Hands on the waiting marks by class, those of one class in their order. There are few
 * classes, so this is linear however many marks are piled up. */
static enum pare_status hand_on_marks(struct encoder *e)
{
    size_t count = e->mark_count;
    e->mark_count = 0;
    for (unsigned class = 0, next; count && class < 256; class = next) {
        next = 256;
        for (size_t i = 0; i < count; i++) {
            const struct mark *mark = &e->marks[i];
            if (mark->class == class)
                PARE_TRY(lower(e, mark->code, pare_unicode_flags(mark->code)));
            else if (mark->class > class && mark->class < next)
                next = mark->class;
        }
    }
    return PARE_OK;
}

/* Canonical order, then without accents. An accent that is dropped still ends a run of
 * marks when its own class is 0. */
static enum pare_status sort_and_strip(struct encoder *e, uint32_t code, unsigned flags)
{
    if (!(flags & PARE_UNICODE_COMBINES)) {
        if (e->mark_count)
            PARE_TRY(hand_on_marks(e));
        return flags & PARE_UNICODE_MARK ? PARE_OK : lower(e, code, flags);
    }
    if (flags & PARE_UNICODE_MARK)
        return PARE_OK;
    PARE_TRY(pare_grow(&e->marks, &e->mark_capacity, e->mark_count + 1, sizeof *e->marks,
                       e->err));
    e->marks[e->mark_count++] =
        (struct mark){code, (uint8_t)pare_unicode_combining_class(code)};
    return PARE_OK;
}

static enum pare_status decompose(struct encoder *e, uint32_t code, unsigned flags)
{
    if (!e->t->strip_accents)
        return lower(e, code, flags);
    if (!(flags & PARE_UNICODE_DECOMPOSES))
        return sort_and_strip(e, code, flags);
    uint32_t parts[4];
    unsigned count = pare_unicode_decompose(code, parts);
    for (unsigned i = 0; i < count; i++)
        PARE_TRY(sort_and_strip(e, parts[i], pare_unicode_flags(parts[i])));
    return PARE_OK;
}

/* A character of the text enters here. */
static enum pare_status character(struct encoder *e, uint32_t code)
{
    unsigned flags = pare_unicode_flags(code);
    if (e->t->clean_text) {
        if (flags & PARE_UNICODE_CONTROL)
            return PARE_OK;
        if (flags & PARE_UNICODE_SPACE) {
            code = ' ';
            flags = PARE_UNICODE_SPACE;
        }
    }
    if (!e->t->chinese_chars || !pare_unicode_is_cjk(code))
        return decompose(e, code, flags);
    PARE_TRY(decompose(e, ' ', PARE_UNICODE_SPACE));
    PARE_TRY(decompose(e, code, flags));
    return decompose(e, ' ', PARE_UNICODE_SPACE);
}

void pare_wordpiece_ascii_table(struct pare_tokenizer *t)
{
    memset(t->ascii, ASCII_GENERAL, sizeof t->ascii);
    for (unsigned c = 0; c < 0x80; c++) {
        unsigned flags = pare_unicode_flags(c);
        if (t->clean_text && flags & PARE_UNICODE_CONTROL)
            t->ascii[c] = ASCII_DROPPED;
        else if (flags & PARE_UNICODE_SPACE)
            t->ascii[c] = ASCII_SPACE;
        else if (flags & PARE_UNICODE_PUNCT)
            t->ascii[c] = ASCII_PUNCT;
        else
            t->ascii[c] = (uint8_t)(t->lower_case && c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
}

/* The short cut: ASCII from *text on, up to the first other byte or the limit. No mark
 * may be waiting. */
static enum pare_status ascii_run(struct encoder *e, const uint8_t **text,
                                  const uint8_t *end)
{
    const uint8_t *ascii = e->t->ascii, *p = *text;
    enum pare_status status = PARE_OK;
    while (p < end && e->out->count < e->limit) {
        uint8_t c = ascii[*p];
        if (c < 0x80) {
            size_t room = e->t->max_word_chars, n = e->word_chars, bytes = e->word_bytes;
            do {
                if (n++ < room)
                    e->word[bytes++] = c;
            } while (++p < end && (c = ascii[*p]) < 0x80);
            e->word_chars = n;
            e->word_bytes = bytes;
            continue;
        }
        if (c == ASCII_GENERAL)
            break;
        p++;
        if (c == ASCII_DROPPED)
            continue;
        PARE_TRY_OUT(end_word(e));
        if (c == ASCII_PUNCT) {
            add_to_word(e, p[-1]);
            PARE_TRY_OUT(end_word(e));
        }
    }
out:
    *text = p;
    return status;
}

/* Text without added tokens, from the start of a word to the end of one. */
static enum pare_status plain_text(struct encoder *e, const char *text, size_t length)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + length;
    while (p < end && e->out->count < e->limit) {
        if (*p < 0x80 && !e->mark_count && !e->normalized) {
            PARE_TRY(ascii_run(e, &p, end));
            continue;
        }
        uint32_t code;
        p += pare_utf8_decode(p, &code);
        PARE_TRY(character(e, code));
    }
    PARE_TRY(hand_on_marks(e));
    return end_word(e);
}

/* Text that is normalised already, cut into words. */
static enum pare_status normalized_text(struct encoder *e, const char *text,
                                        size_t length)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + length;
    while (p < end && e->out->count < e->limit) {
        uint32_t code;
        p += pare_utf8_decode(p, &code);
        PARE_TRY(cut_words(e, code, pare_unicode_flags(code)));
    }
    return end_word(e);
}

/* Calls `plain` for what lies between the tokens of `matcher`, and pushes those. */
static enum pare_status
between_added(struct encoder *e, const struct pare_added_matcher *matcher,
              const char *text, size_t length,
              enum pare_status (*plain)(struct encoder *, const char *, size_t))
{
    struct pare_added_scan scan = {.text = text, .length = length};
    struct pare_added_hit hit;
    while (e->out->count < e->limit && pare_added_next(matcher, &scan, &hit)) {
        if (hit.plain_from < hit.plain_to)
            PARE_TRY(plain(e, text + hit.plain_from, hit.plain_to - hit.plain_from));
        if (hit.id >= 0)
            PARE_TRY(push(e, hit.id));
    }
    return PARE_OK;
}

/* Text between the added tokens that are looked for as they stand. */
static enum pare_status unnormalized_text(struct encoder *e, const char *text,
                                          size_t length)
{
    if (!e->t->in_normalized.count)
        return plain_text(e, text, length);
    struct text_buffer normalized = {0};
    e->normalized = &normalized;
    enum pare_status status = plain_text(e, text, length);
    e->normalized = NULL;
    if (status == PARE_OK)
        status = between_added(e, &e->t->in_normalized, normalized.data,
                               normalized.length, normalized_text);
    pare_free(normalized.data);
    return status;
}

static enum pare_status encode_valid(struct encoder *e, const char *text, size_t length)
{
    if (e->t->add_special)
        PARE_TRY(push(e, e->t->cls));
    enum pare_status status =
        between_added(e, &e->t->in_text, text, length, unnormalized_text);
    pare_free(e->marks);
    PARE_TRY(status);
    if (e->out->count > e->limit)
        e->out->count = e->limit;
    return e->t->add_special ? push(e, e->t->sep) : PARE_OK;
}

static enum pare_status encode(const struct pare_tokenizer *tokenizer, const char *text,
                               size_t length, size_t max_tokens, uint64_t *count,
                               struct pare_ids *out, struct pare_error *err)
{
    size_t before = out->count;
    struct encoder e;
    memset(&e, 0, offsetof(struct encoder, word));
    e.t = tokenizer;
    e.out = out;
    e.err = err;
    e.count = count;
    e.limit = SIZE_MAX;
    if (max_tokens) {
        if (tokenizer->add_special && max_tokens < 2)
            return pare_fail(err, PARE_ERR_USAGE,
                             "at most 1 token asked for: [CLS] and [SEP] alone are 2");
        e.limit = before + max_tokens - (tokenizer->add_special ? 1 : 0);
    }
    enum pare_status status;
    if (pare_utf8_valid(text, length) == length) {
        status = encode_valid(&e, text, length);
    } else {
        char *repaired;
        status = pare_utf8_repair(text, length, &repaired, &length, err);
        if (status == PARE_OK) {
            status = encode_valid(&e, repaired, length);
            pare_free(repaired);
        }
    }
    if (status != PARE_OK)
        out->count = before;
    return status;
}

enum pare_status pare_tokenizer_encode(const struct pare_tokenizer *tokenizer,
                                       const char *text, size_t length, size_t max_tokens,
                                       struct pare_ids *out, struct pare_error *err)
{
    return encode(tokenizer, text, length, max_tokens, NULL, out, err);
}

enum pare_status pare_tokenizer_count(const struct pare_tokenizer *tokenizer,
                                      const char *text, size_t length, uint64_t *count,
                                      struct pare_error *err)
{
    struct pare_ids ids = {0};
    const enum pare_status status = encode(tokenizer, text, length, 0, count, &ids, err);
    pare_ids_free(&ids);
    return status;
}

enum pare_status pare_wordpiece_normalize(const struct pare_tokenizer *tokenizer,
                                          const char *text, size_t length, char **out,
                                          size_t *out_length, struct pare_error *err)
{
    struct text_buffer normalized = {0};
    struct pare_ids none = {0};
    struct encoder e;
    memset(&e, 0, offsetof(struct encoder, word));
    e.t = tokenizer;
    e.out = &none;
    e.err = err;
    e.limit = SIZE_MAX;
    e.normalized = &normalized;
    enum pare_status status = plain_text(&e, text, length);
    pare_free(e.marks);
    if (status != PARE_OK) {
        pare_free(normalized.data);
        normalized = (struct text_buffer){0};
    }
    *out = normalized.data;
    *out_length = normalized.length;
    return status;
}
