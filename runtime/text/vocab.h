/* A vocabulary: pieces by id, and ids by piece through a hash table. */
#ifndef PARE_TEXT_VOCAB_H
#define PARE_TEXT_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/checkpoint/meta.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_PIECE_MAX_BYTES 65536

struct pare_vocab_slot {
    uint32_t tag; /* upper half of the piece's hash */
    uint32_t id;  /* UINT32_MAX: free */
};

struct pare_vocab { /* all zero: empty */
    char *bytes;    /* the pieces end to end */
    size_t bytes_used, bytes_capacity;
    uint32_t *start; /* piece i is bytes[start[i]] .. bytes[start[i + 1]] */
    size_t start_capacity;
    uint32_t count;
    struct pare_vocab_slot *slots; /* a power of two, at most half full */
    uint32_t slot_mask;
    uint32_t
        indexed;    /* pieces [0, indexed) are found; the others are only added tokens */
    size_t longest; /* bytes of the longest indexed piece */
};

void pare_vocab_free(struct pare_vocab *vocab);
/* Adds a piece with the next id. An empty piece, one above PARE_PIECE_MAX_BYTES, a NUL or
 * invalid UTF-8 is PARE_ERR_INPUT. */
enum pare_status pare_vocab_append(struct pare_vocab *vocab, const char *piece,
                                   size_t length, struct pare_error *err) PARE_CHECKED;
/* Builds the hash table over all pieces there are; a piece that is there twice is
 * PARE_ERR_INPUT naming both places: "noun id + first" ("ids 5 and 7"). */
enum pare_status pare_vocab_index(struct pare_vocab *vocab, const char *noun,
                                  uint32_t first, struct pare_error *err) PARE_CHECKED;
struct pare_text pare_vocab_piece(const struct pare_vocab *vocab, uint32_t id);

/* The running hash of a piece's bytes: continue from PARE_VOCAB_HASH or from a prefix. */
#define PARE_VOCAB_HASH 0xCBF29CE484222325u
static inline uint64_t pare_vocab_hash_byte(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * 0x100000001B3u; /* FNV-1a */
}
uint64_t pare_vocab_hash(uint64_t hash, const char *bytes, size_t length);
/* The id of the indexed piece that is `prefix` then `body`, whose hash is given; or -1.
 */
int32_t pare_vocab_find_hashed(const struct pare_vocab *vocab, uint64_t hash,
                               struct pare_text prefix, const char *body, size_t length);
int32_t pare_vocab_find(const struct pare_vocab *vocab, const char *piece, size_t length);

/* A piece as a message may show it: control bytes as '?', at most 40 bytes. */
struct pare_shown {
    char text[48];
};
struct pare_shown pare_show(const char *piece, size_t length);

#ifdef __cplusplus
}
#endif
#endif
