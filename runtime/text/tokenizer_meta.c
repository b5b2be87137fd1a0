/* A tokenizer in a container's metadata, in the form other GGUF readers know.
 *
 *   tokenizer.ggml.model           "bert"
 *   tokenizer.ggml.tokens          strings: "x" for "##x", U+2581 "x" for "x"; control
 *                                  tokens as they are
 *   tokenizer.ggml.token_type      i32: 3 for special added tokens (control), 4 for other
 *                                  added tokens, 1 for the rest
 *   tokenizer.ggml.*_token_id      u32: unknown, bos and cls ([CLS]), eos and seperator
 *                                  (their spelling; [SEP]), padding, mask
 *   tokenizer.ggml.add_bos_token, .add_sep_token     bool: [CLS] and [SEP] are added
 *   tokenizer.ggml.normalizer.lowercase, .strip_accents   bool
 *   pare.tokenizer.clean_text, .chinese_chars        bool
 *   pare.tokenizer.max_word_chars  u32: a longer word is unknown
 *   pare.tokenizer.prefix          string: what marks a piece inside a word, "##"
 *   pare.tokenizer.model_pieces    u32: the pieces after these are only added tokens
 *   pare.tokenizer.added_ids, .added_flags   i32 arrays: the added tokens in order, and
 *                                  the flags of runtime/text/added.h
 *   pare.tokenizer.continuations   i32 array, only if needed: continuing pieces whose
 * text begins with U+2581 and would be taken for the others
 *
 * A container without pare.tokenizer.max_word_chars was written by somebody else: control
 * tokens are its special tokens, and older converters left every "[...]" piece as it is.
 */
#include <inttypes.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/text/wordpiece.h"

#define SPACE "\xE2\x96\x81" /* U+2581 */
#define SPACE_BYTES 3

enum token_type { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4 };

struct special_key {
    const char *key;
    size_t id; /* offset of the id in struct pare_tokenizer */
    const char *name;
};

/* Where a tokenizer keeps its special ids. Reading takes the first key of an id that is
 * there; writing writes them all. */
static const struct special_key special_keys[] = {
    {"tokenizer.ggml.unknown_token_id", offsetof(struct pare_tokenizer, unk), "[UNK]"},
    {"tokenizer.ggml.cls_token_id", offsetof(struct pare_tokenizer, cls), "[CLS]"},
    {"tokenizer.ggml.bos_token_id", offsetof(struct pare_tokenizer, cls), "[CLS]"},
    {"tokenizer.ggml.seperator_token_id", offsetof(struct pare_tokenizer, sep), "[SEP]"},
    {"tokenizer.ggml.eos_token_id", offsetof(struct pare_tokenizer, sep), "[SEP]"},
    {"tokenizer.ggml.padding_token_id", offsetof(struct pare_tokenizer, pad), "[PAD]"},
    {"tokenizer.ggml.mask_token_id", offsetof(struct pare_tokenizer, mask), "[MASK]"},
};
#define SPECIAL_KEYS (sizeof special_keys / sizeof *special_keys)

static int32_t *special_id(struct pare_tokenizer *t, size_t i)
{
    return (int32_t *)(void *)((char *)t + special_keys[i].id);
}

static int starts_with(const char *text, size_t length, const char *start, size_t n)
{
    return length >= n && memcmp(text, start, n) == 0;
}

/* ---- writing ---- */

static void fill_types(const struct pare_tokenizer *t, int32_t *types)
{
    for (size_t i = 0; i < t->vocab.count; i++)
        types[i] = TYPE_NORMAL;
    for (size_t i = 0; i < t->added_count; i++)
        types[t->added[i].id] =
            t->added[i].flags & PARE_ADDED_SPECIAL ? TYPE_CONTROL : TYPE_USER;
}

/* The spelling of one piece in the container; *marked: it needs to be listed. */
static enum pare_status spell(const struct pare_tokenizer *t, struct pare_arena *arena,
                              uint32_t id, int32_t type, struct pare_text *out,
                              int *marked, struct pare_error *err)
{
    struct pare_text piece = pare_vocab_piece(&t->vocab, id);
    *out = piece;
    *marked = 0;
    if (type == TYPE_CONTROL)
        return PARE_OK;
    if (t->prefix_length &&
        starts_with(piece.data, piece.length, t->prefix, t->prefix_length)) {
        out->data += t->prefix_length;
        out->length -= t->prefix_length;
        *marked = starts_with(out->data, out->length, SPACE, SPACE_BYTES);
        return PARE_OK;
    }
    char *text;
    PARE_TRY(pare_arena_alloc(arena, &text, piece.length + SPACE_BYTES, 1, err));
    memcpy(text, SPACE, SPACE_BYTES);
    memcpy(text + SPACE_BYTES, piece.data, piece.length);
    *out = (struct pare_text){text, piece.length + SPACE_BYTES};
    return PARE_OK;
}

static enum pare_status write_pieces(const struct pare_tokenizer *t,
                                     struct pare_arena *arena, struct pare_meta *meta,
                                     struct pare_error *err)
{
    uint32_t count = t->vocab.count;
    struct pare_text *texts;
    int32_t *types, *marked;
    size_t marked_count = 0;
    PARE_TRY(pare_arena_alloc(arena, &texts, count, sizeof *texts, err));
    PARE_TRY(pare_arena_alloc(arena, &types, count, sizeof *types, err));
    PARE_TRY(pare_arena_alloc(arena, &marked, count, sizeof *marked, err));
    fill_types(t, types);
    for (uint32_t i = 0; i < count; i++) {
        int is_marked;
        PARE_TRY(spell(t, arena, i, types[i], &texts[i], &is_marked, err));
        if (is_marked)
            marked[marked_count++] = (int32_t)i;
    }
    PARE_TRY(pare_meta_set_strings(meta, "tokenizer.ggml.tokens", texts, count, err));
    PARE_TRY(pare_meta_set_numbers(meta, "tokenizer.ggml.token_type", PARE_META_I32,
                                   types, count, err));
    pare_meta_remove(meta, "pare.tokenizer.continuations");
    if (!marked_count)
        return PARE_OK;
    return pare_meta_set_numbers(meta, "pare.tokenizer.continuations", PARE_META_I32,
                                 marked, marked_count, err);
}

static enum pare_status write_added(const struct pare_tokenizer *t,
                                    struct pare_arena *arena, struct pare_meta *meta,
                                    struct pare_error *err)
{
    pare_meta_remove(meta, "pare.tokenizer.added_ids");
    pare_meta_remove(meta, "pare.tokenizer.added_flags");
    if (!t->added_count)
        return PARE_OK;
    int32_t *ids, *flags;
    PARE_TRY(pare_arena_alloc(arena, &ids, t->added_count, sizeof *ids, err));
    PARE_TRY(pare_arena_alloc(arena, &flags, t->added_count, sizeof *flags, err));
    for (size_t i = 0; i < t->added_count; i++) {
        ids[i] = t->added[i].id;
        flags[i] = (int32_t)t->added[i].flags;
    }
    PARE_TRY(pare_meta_set_numbers(meta, "pare.tokenizer.added_ids", PARE_META_I32, ids,
                                   t->added_count, err));
    return pare_meta_set_numbers(meta, "pare.tokenizer.added_flags", PARE_META_I32, flags,
                                 t->added_count, err);
}

static enum pare_status write_settings(const struct pare_tokenizer *t,
                                       struct pare_meta *meta, struct pare_error *err)
{
    PARE_TRY(
        pare_meta_set_bool(meta, "tokenizer.ggml.add_bos_token", t->add_special, err));
    PARE_TRY(
        pare_meta_set_bool(meta, "tokenizer.ggml.add_sep_token", t->add_special, err));
    PARE_TRY(pare_meta_set_bool(meta, "tokenizer.ggml.normalizer.lowercase",
                                t->lower_case, err));
    PARE_TRY(pare_meta_set_bool(meta, "tokenizer.ggml.normalizer.strip_accents",
                                t->strip_accents, err));
    PARE_TRY(pare_meta_set_bool(meta, "pare.tokenizer.clean_text", t->clean_text, err));
    PARE_TRY(
        pare_meta_set_bool(meta, "pare.tokenizer.chinese_chars", t->chinese_chars, err));
    PARE_TRY(
        pare_meta_set_u32(meta, "pare.tokenizer.max_word_chars", t->max_word_chars, err));
    PARE_TRY(pare_meta_set_string(meta, "pare.tokenizer.prefix", t->prefix,
                                  t->prefix_length, err));
    return pare_meta_set_u32(meta, "pare.tokenizer.model_pieces", t->vocab.indexed, err);
}

enum pare_status pare_tokenizer_to_meta(const struct pare_tokenizer *tokenizer,
                                        struct pare_meta *meta, struct pare_error *err)
{
    struct pare_arena arena = {0};
    enum pare_status status;
    PARE_TRY_OUT(pare_meta_set_string(meta, "tokenizer.ggml.model", "bert", 4, err));
    PARE_TRY_OUT(write_pieces(tokenizer, &arena, meta, err));
    for (size_t i = 0; i < SPECIAL_KEYS; i++) {
        int32_t id = *special_id((struct pare_tokenizer *)(uintptr_t)tokenizer, i);
        pare_meta_remove(meta, special_keys[i].key);
        if (id >= 0)
            PARE_TRY_OUT(pare_meta_set_u32(meta, special_keys[i].key, (uint32_t)id, err));
    }
    PARE_TRY_OUT(write_settings(tokenizer, meta, err));
    PARE_TRY_OUT(write_added(tokenizer, &arena, meta, err));
out:
    pare_arena_free(&arena);
    return status;
}

/* ---- reading ---- */

struct reader {
    const struct pare_meta *meta;
    struct pare_tokenizer *t;
    const struct pare_text *texts;
    uint32_t count;
    const struct pare_meta_value *types; /* NULL: all normal */
    int ours;
    int bracketed_as_is; /* of another writer: "[x]" is a whole piece */
    char *buffer;
    size_t buffer_capacity;
};

/* An array of integers, or *out = NULL when it is missing. */
static enum pare_status integers(const struct pare_meta *meta, const char *key,
                                 const struct pare_meta_value **out,
                                 struct pare_error *err)
{
    *out = pare_meta_find(meta, key);
    if (!*out || ((*out)->type == PARE_META_ARRAY && (*out)->element == PARE_META_I32))
        return PARE_OK;
    return pare_fail(err, PARE_ERR_INPUT, "%s: expected an array of i32", key);
}

static int type_of(const struct reader *r, uint32_t id)
{
    return r->types ? (int)pare_meta_number(r->types, id) : TYPE_NORMAL;
}

static int is_bracketed(struct pare_text text)
{
    return text.length >= 2 && text.data[0] == '[' && text.data[text.length - 1] == ']';
}

/* The newer rule of other writers marks "[x]" like any piece: one such piece tells. */
static int brackets_are_unmarked(const struct reader *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct pare_text text = r->texts[i];
        if (!starts_with(text.data, text.length, SPACE, SPACE_BYTES))
            continue;
        text.data += SPACE_BYTES;
        text.length -= SPACE_BYTES;
        if (is_bracketed(text))
            return 0;
    }
    return 1;
}

/* The piece behind the spelling of one id; `continues`: it is in the list of those. */
static enum pare_status read_piece(struct reader *r, uint32_t id, int continues,
                                   struct pare_error *err)
{
    struct pare_text text = r->texts[id];
    int as_is =
        type_of(r, id) == TYPE_CONTROL || (r->bracketed_as_is && is_bracketed(text));
    if (as_is)
        return pare_vocab_append(&r->t->vocab, text.data, text.length, err);
    if (!continues && starts_with(text.data, text.length, SPACE, SPACE_BYTES))
        return pare_vocab_append(&r->t->vocab, text.data + SPACE_BYTES,
                                 text.length - SPACE_BYTES, err);
    size_t prefix = r->t->prefix_length;
    if (text.length > PARE_PIECE_MAX_BYTES)
        return pare_fail(err, PARE_ERR_INPUT,
                         "piece of %zu bytes: at most %d are "
                         "supported",
                         text.length, PARE_PIECE_MAX_BYTES);
    PARE_TRY(
        pare_grow(&r->buffer, &r->buffer_capacity, prefix + text.length + 1, 1, err));
    memcpy(r->buffer, r->t->prefix, prefix);
    if (text.length)
        memcpy(r->buffer + prefix, text.data, text.length);
    return pare_vocab_append(&r->t->vocab, r->buffer, prefix + text.length, err);
}

static enum pare_status read_pieces(struct reader *r, struct pare_error *err)
{
    const struct pare_meta_value *marked;
    PARE_TRY(integers(r->meta, "pare.tokenizer.continuations", &marked, err));
    uint32_t model_pieces = r->count;
    PARE_TRY(pare_meta_get_u32(r->meta, "pare.tokenizer.model_pieces", 1, r->count,
                               &model_pieces, err));
    size_t next = 0; /* the list ascends */
    for (uint32_t i = 0; i < r->count; i++) {
        if (i == model_pieces)
            PARE_TRY(pare_vocab_index(&r->t->vocab, "ids", 0, err));
        int continues =
            marked && next < marked->count && pare_meta_number(marked, next) == i;
        next += continues ? 1 : 0;
        enum pare_status status = read_piece(r, i, continues, err);
        if (status != PARE_OK)
            return pare_fail_in(err, status, "id %" PRIu32, i);
    }
    if (marked && next != marked->count)
        return pare_fail(err, PARE_ERR_INPUT,
                         "pare.tokenizer.continuations is not a list of ascending ids");
    return model_pieces == r->count ? pare_vocab_index(&r->t->vocab, "ids", 0, err)
                                    : PARE_OK;
}

static enum pare_status read_special(struct reader *r, struct pare_error *err)
{
    for (size_t i = 0; i < SPECIAL_KEYS; i++) {
        int32_t *id = special_id(r->t, i);
        uint32_t value = UINT32_MAX;
        PARE_TRY(pare_meta_get_u32(r->meta, special_keys[i].key, 0, r->count - 1, &value,
                                   err));
        if (*id < 0 && value != UINT32_MAX)
            *id = (int32_t)value;
    }
    for (size_t i = 0; !r->ours && i < SPECIAL_KEYS; i++) {
        int32_t *id = special_id(r->t, i);
        const char *name = special_keys[i].name;
        if (*id < 0)
            *id = pare_vocab_find(&r->t->vocab, name, strlen(name));
    }
    return PARE_OK;
}

static enum pare_status add(struct reader *r, int32_t id, unsigned flags,
                            struct pare_error *err)
{
    struct pare_text piece = pare_vocab_piece(&r->t->vocab, (uint32_t)id);
    return pare_tokenizer_add(r->t, piece.data, piece.length, flags, id, err);
}

static enum pare_status read_added(struct reader *r, struct pare_error *err)
{
    const struct pare_meta_value *ids, *flags;
    PARE_TRY(integers(r->meta, "pare.tokenizer.added_ids", &ids, err));
    PARE_TRY(integers(r->meta, "pare.tokenizer.added_flags", &flags, err));
    size_t count = ids ? ids->count : 0;
    if (count != (flags ? flags->count : 0))
        return pare_fail(err, PARE_ERR_INPUT,
                         "pare.tokenizer.added_ids and .added_flags differ in length");
    for (size_t i = 0; i < count; i++) {
        double id = pare_meta_number(ids, i), bits = pare_meta_number(flags, i);
        if (id < 0 || id >= r->count || bits < 0 || bits > PARE_ADDED_ALL)
            return pare_fail(
                err, PARE_ERR_INPUT,
                "pare.tokenizer.added_ids: id %.0f with flags %.0f is out of "
                "range",
                id, bits);
        PARE_TRY(add(r, (int32_t)id, (unsigned)bits, err));
    }
    return PARE_OK;
}

/* Of another writer: control tokens are special, those of the user are not. */
static enum pare_status add_by_type(struct reader *r, struct pare_error *err)
{
    for (uint32_t i = 0; i < r->count; i++) {
        int type = type_of(r, i);
        if (type == TYPE_CONTROL || type == TYPE_USER)
            PARE_TRY(
                add(r, (int32_t)i, type == TYPE_CONTROL ? PARE_ADDED_SPECIAL : 0, err));
    }
    if (r->types)
        return PARE_OK;
    int32_t ids[] = {r->t->pad, r->t->unk, r->t->cls, r->t->sep, r->t->mask};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i] >= 0)
            PARE_TRY(add(r, ids[i], PARE_ADDED_SPECIAL, err));
    return PARE_OK;
}

static enum pare_status read_settings(struct reader *r, struct pare_error *err)
{
    struct pare_tokenizer *t = r->t;
    const struct pare_meta *meta = r->meta;
    struct pare_text prefix = {t->prefix, t->prefix_length};
    PARE_TRY(
        pare_meta_get_bool(meta, "tokenizer.ggml.add_bos_token", &t->add_special, err));
    PARE_TRY(pare_meta_get_bool(meta, "tokenizer.ggml.normalizer.lowercase",
                                &t->lower_case, err));
    t->strip_accents = t->lower_case;
    PARE_TRY(pare_meta_get_bool(meta, "tokenizer.ggml.normalizer.strip_accents",
                                &t->strip_accents, err));
    PARE_TRY(pare_meta_get_bool(meta, "pare.tokenizer.clean_text", &t->clean_text, err));
    PARE_TRY(
        pare_meta_get_bool(meta, "pare.tokenizer.chinese_chars", &t->chinese_chars, err));
    PARE_TRY(pare_meta_get_u32(meta, "pare.tokenizer.max_word_chars", 1,
                               PARE_WORD_MAX_CHARS, &t->max_word_chars, err));
    PARE_TRY(pare_meta_get_string(meta, "pare.tokenizer.prefix", &prefix, err));
    if (prefix.length > PARE_PIECE_MAX_BYTES)
        return pare_fail(err, PARE_ERR_INPUT, "pare.tokenizer.prefix has %zu bytes",
                         prefix.length);
    return pare_tokenizer_set_prefix(t, prefix.data, prefix.length, err);
}

static enum pare_status read_tokenizer(struct reader *r, struct pare_error *err)
{
    PARE_TRY(integers(r->meta, "tokenizer.ggml.token_type", &r->types, err));
    if (r->types && r->types->count != r->count)
        return pare_fail(err, PARE_ERR_INPUT,
                         "tokenizer.ggml.token_type has %zu elements, .tokens %" PRIu32,
                         r->types->count, r->count);
    r->ours = pare_meta_find(r->meta, "pare.tokenizer.max_word_chars") != NULL;
    r->bracketed_as_is = !r->ours && brackets_are_unmarked(r);
    PARE_TRY(read_settings(r, err));
    PARE_TRY(read_pieces(r, err));
    PARE_TRY(read_special(r, err));
    PARE_TRY(r->ours ? read_added(r, err) : add_by_type(r, err));
    return pare_tokenizer_finish(r->t, err);
}

enum pare_status pare_tokenizer_from_meta(const struct pare_meta *meta,
                                          struct pare_tokenizer **out,
                                          struct pare_error *err)
{
    *out = NULL;
    struct reader r = {.meta = meta};
    struct pare_text model = {"", 0};
    size_t count;
    PARE_TRY(pare_meta_get_strings(meta, "tokenizer.ggml.tokens", &r.texts, &count, err));
    PARE_TRY(pare_meta_get_string(meta, "tokenizer.ggml.model", &model, err));
    if (!r.texts)
        return PARE_OK;
    if (model.length != 4 || memcmp(model.data, "bert", 4) != 0)
        return pare_fail(err, PARE_ERR_INPUT,
                         "tokenizer.ggml.model \"%s\" is not supported; only \"bert\" is",
                         pare_show(model.data, model.length).text);
    if (!count || count > INT32_MAX)
        return pare_fail(err, PARE_ERR_INPUT, "tokenizer.ggml.tokens has %zu elements",
                         count);
    r.count = (uint32_t)count;
    PARE_TRY(pare_tokenizer_new(&r.t, err));
    enum pare_status status = read_tokenizer(&r, err);
    pare_free(r.buffer);
    if (status != PARE_OK) {
        pare_tokenizer_free(r.t);
        return pare_fail_in(err, status, "tokenizer of the container");
    }
    *out = r.t;
    return PARE_OK;
}
