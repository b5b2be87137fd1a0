/* The vocabulary and its hash table: open addressing, linear probing, FNV-1a.
 *
 * FNV-1a runs byte by byte, so WordPiece gets the hash of every prefix of the rest of a
 * word in one pass. A vocabulary can be made on purpose so that its pieces fall into the
 * same slots; a probe longer than any honest table shows is refused instead of letting
 * the table become a list.
 */
#include "runtime/text/vocab.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/text/unicode.h"

#define LONGEST_PROBE 1024
#define FREE UINT32_MAX

void pare_vocab_free(struct pare_vocab *vocab)
{
    pare_free(vocab->bytes);
    pare_free(vocab->start);
    pare_free(vocab->slots);
    memset(vocab, 0, sizeof *vocab);
}

struct pare_shown pare_show(const char *piece, size_t length)
{
    struct pare_shown shown;
    size_t n = length < 40 ? length : 40;
    while (n < length && n > 0 && ((uint8_t)piece[n] & 0xC0) == 0x80)
        n--; /* not inside a character */
    for (size_t i = 0; i < n; i++)
        shown.text[i] = (uint8_t)piece[i] < 0x20 || piece[i] == 0x7F ? '?' : piece[i];
    memcpy(shown.text + n, n < length ? "..." : "", n < length ? 4 : 1);
    return shown;
}

enum pare_status pare_vocab_append(struct pare_vocab *vocab, const char *piece,
                                   size_t length, struct pare_error *err)
{
    if (!length)
        return pare_fail(err, PARE_ERR_INPUT, "empty piece");
    if (length > PARE_PIECE_MAX_BYTES)
        return pare_fail(err, PARE_ERR_INPUT,
                         "piece \"%s\" of %zu bytes: at most %d are supported",
                         pare_show(piece, length).text, length, PARE_PIECE_MAX_BYTES);
    if (memchr(piece, 0, length))
        return pare_fail(err, PARE_ERR_INPUT, "NUL byte in piece \"%s\"",
                         pare_show(piece, length).text);
    if (pare_utf8_valid(piece, length) != length)
        return pare_fail(err, PARE_ERR_INPUT, "invalid UTF-8 at byte %zu of the piece",
                         pare_utf8_valid(piece, length));
    if (vocab->count >= INT32_MAX || vocab->bytes_used + length > UINT32_MAX)
        return pare_fail(err, PARE_ERR_INPUT, "more than %" PRId32 " pieces or 4 GiB",
                         INT32_MAX);
    PARE_TRY(pare_grow(&vocab->start, &vocab->start_capacity, (size_t)vocab->count + 2,
                       sizeof *vocab->start, err));
    PARE_TRY(pare_grow(&vocab->bytes, &vocab->bytes_capacity, vocab->bytes_used + length,
                       1, err));
    memcpy(vocab->bytes + vocab->bytes_used, piece, length);
    vocab->start[0] = 0;
    vocab->bytes_used += length;
    vocab->start[++vocab->count] = (uint32_t)vocab->bytes_used;
    return PARE_OK;
}

struct pare_text pare_vocab_piece(const struct pare_vocab *vocab, uint32_t id)
{
    struct pare_text piece = {"", 0};
    if (id < vocab->count) {
        piece.data = vocab->bytes + vocab->start[id];
        piece.length = vocab->start[id + 1] - vocab->start[id];
    }
    return piece;
}

uint64_t pare_vocab_hash(uint64_t hash, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = pare_vocab_hash_byte(hash, (uint8_t)bytes[i]);
    return hash;
}

/* FNV's low bits depend on the last bytes only weakly; one multiplication spreads them.
 */
static uint64_t mixed(uint64_t hash)
{
    hash ^= hash >> 32;
    return hash * 0x9E3779B97F4A7C15u;
}

static int is_piece(const struct pare_vocab *vocab, uint32_t id, struct pare_text prefix,
                    const char *body, size_t length)
{
    const char *piece = vocab->bytes + vocab->start[id];
    size_t bytes = vocab->start[id + 1] - vocab->start[id];
    return bytes == prefix.length + length &&
           memcmp(piece, prefix.data, prefix.length) == 0 &&
           memcmp(piece + prefix.length, body, length) == 0;
}

int32_t pare_vocab_find_hashed(const struct pare_vocab *vocab, uint64_t hash,
                               struct pare_text prefix, const char *body, size_t length)
{
    if (!vocab->slots)
        return -1;
    hash = mixed(hash);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint32_t i = (uint32_t)hash & vocab->slot_mask;;
         i = (i + 1) & vocab->slot_mask) {
        const struct pare_vocab_slot *slot = &vocab->slots[i];
        if (slot->id == FREE)
            return -1;
        if (slot->tag == tag && is_piece(vocab, slot->id, prefix, body, length))
            return (int32_t)slot->id;
    }
}

int32_t pare_vocab_find(const struct pare_vocab *vocab, const char *piece, size_t length)
{
    struct pare_text none = {"", 0};
    return pare_vocab_find_hashed(vocab, pare_vocab_hash(PARE_VOCAB_HASH, piece, length),
                                  none, piece, length);
}

/* Puts one piece in; fails when it is there already. */
static enum pare_status insert(struct pare_vocab *vocab, uint32_t id, const char *noun,
                               uint32_t first, struct pare_error *err)
{
    struct pare_text piece = pare_vocab_piece(vocab, id), none = {"", 0};
    uint64_t hash = mixed(pare_vocab_hash(PARE_VOCAB_HASH, piece.data, piece.length));
    uint32_t tag = (uint32_t)(hash >> 32), i = (uint32_t)hash & vocab->slot_mask;
    for (int probe = 0; vocab->slots[i].id != FREE; probe++) {
        struct pare_vocab_slot slot = vocab->slots[i];
        if (slot.tag == tag && is_piece(vocab, slot.id, none, piece.data, piece.length))
            return pare_fail(err, PARE_ERR_INPUT,
                             "piece \"%s\" is there twice: %s %" PRIu64 " and %" PRIu64,
                             pare_show(piece.data, piece.length).text, noun,
                             (uint64_t)slot.id + first, (uint64_t)id + first);
        if (probe == LONGEST_PROBE)
            return pare_fail(err, PARE_ERR_INPUT,
                             "more than %d pieces like \"%s\" share one hash: not an "
                             "honest vocabulary",
                             LONGEST_PROBE, pare_show(piece.data, piece.length).text);
        i = (i + 1) & vocab->slot_mask;
    }
    vocab->slots[i].tag = tag;
    vocab->slots[i].id = id;
    if (piece.length > vocab->longest)
        vocab->longest = piece.length;
    return PARE_OK;
}

enum pare_status pare_vocab_index(struct pare_vocab *vocab, const char *noun,
                                  uint32_t first, struct pare_error *err)
{
    size_t slots = 16;
    while (slots < (size_t)vocab->count * 2)
        slots *= 2;
    pare_free(vocab->slots);
    vocab->slots = NULL;
    vocab->longest = 0;
    PARE_TRY(pare_alloc_raw(&vocab->slots, slots, sizeof *vocab->slots, err));
    memset(vocab->slots, 0xFF, slots * sizeof *vocab->slots);
    vocab->slot_mask = (uint32_t)(slots - 1);
    for (uint32_t id = 0; id < vocab->count; id++)
        PARE_TRY(insert(vocab, id, noun, first, err));
    vocab->indexed = vocab->count;
    return PARE_OK;
}
