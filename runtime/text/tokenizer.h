/* Tokenizers: text to the ids the model was trained with, equal to Hugging Face's. */
#ifndef PARE_TEXT_TOKENIZER_H
#define PARE_TEXT_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/checkpoint/meta.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_tokenizer;

/* From a Hugging Face folder (tokenizer.json if there, else vocab.txt, with
 * tokenizer_config.json), or from one tokenizer.json or vocab.txt; the
 * tokenizer_config.json beside that one counts too. A tokenizer.json that asks for
 * something not supported is refused by name. Free with pare_tokenizer_free. */
enum pare_status pare_tokenizer_load(const char *path, struct pare_tokenizer **out,
                                     struct pare_error *err) PARE_CHECKED;
/* Whether `folder` has files that pare_tokenizer_load would take. */
int pare_tokenizer_exists(const char *folder);

/* From and to a container's metadata (the standard tokenizer.ggml.* keys and, for what
 * they cannot say, pare.tokenizer.*: docs/FORMAT.md). from_meta gives *out = NULL and
 * PARE_OK when the container has no vocabulary. */
enum pare_status pare_tokenizer_from_meta(const struct pare_meta *meta,
                                          struct pare_tokenizer **out,
                                          struct pare_error *err) PARE_CHECKED;
enum pare_status pare_tokenizer_to_meta(const struct pare_tokenizer *tokenizer,
                                        struct pare_meta *meta,
                                        struct pare_error *err) PARE_CHECKED;
/* Built from a list of pieces ("##" marks a continuation), which must hold [PAD] [UNK]
 * [CLS] [SEP] [MASK]; used by the sample corpus. Uncased when `lower_case`. */
enum pare_status pare_tokenizer_from_pieces(const struct pare_text *pieces, size_t count,
                                            int lower_case, struct pare_tokenizer **out,
                                            struct pare_error *err) PARE_CHECKED;
void pare_tokenizer_free(struct pare_tokenizer *tokenizer); /* NULL allowed */

size_t pare_tokenizer_vocab_size(const struct pare_tokenizer *tokenizer);
/* The piece of an id as Hugging Face spells it ("##ing", "[CLS]"); empty out of range. */
struct pare_text pare_tokenizer_piece(const struct pare_tokenizer *tokenizer, int32_t id);
/* 0 when there is no [PAD]: what stands in a masked position does not matter. */
int32_t pare_tokenizer_pad_id(const struct pare_tokenizer *tokenizer);
/* -1 when there is no [MASK]. */
int32_t pare_tokenizer_mask_id(const struct pare_tokenizer *tokenizer);

/* A tokenizer of fewer pieces, for text of which much is known. Counts how often a text
 * takes each piece, added to count[pare_tokenizer_vocab_size]; also pieces of words that
 * are unknown in the end. */
enum pare_status pare_tokenizer_count(const struct pare_tokenizer *tokenizer,
                                      const char *text, size_t length, uint64_t *count,
                                      struct pare_error *err) PARE_CHECKED;
/* Sets keep[id] to 1 for special and added tokens, and for pieces of one character,
 * inside a word or not, when `characters`. */
void pare_tokenizer_needs(const struct pare_tokenizer *tokenizer, int characters,
                          uint8_t *keep);
/* With the pieces of keep[id] != 0, among them those of pare_tokenizer_needs, numbered
 * anew in their order. Texts of which all pieces that were counted are there get the same
 * pieces as before. */
enum pare_status pare_tokenizer_keep(const struct pare_tokenizer *tokenizer,
                                     const uint8_t *keep, struct pare_tokenizer **out,
                                     struct pare_error *err) PARE_CHECKED;

enum pare_piece_kind { /* A word is a piece and those behind it that continue it. */
                       PARE_PIECE_LETTERS, /* of \w without digits and underscores; begins
                                              a word */
                       PARE_PIECE_OTHER,   /* begins a word, too: numbers, punctuation,
                                              [UNK], [unused1] */
                       PARE_PIECE_CONTINUES, /* the word before it */
                       PARE_PIECE_SPECIAL,   /* no text: [CLS], [SEP], [PAD], [MASK], what
                                                was added so */
};
/* The kind of every piece: kind[pare_tokenizer_vocab_size] of enum pare_piece_kind. */
void pare_tokenizer_kinds(const struct pare_tokenizer *tokenizer, uint8_t *kind);

struct pare_ids { /* all zero: empty; grows as needed, reusable */
    int32_t *ids;
    size_t count, capacity;
};
void pare_ids_free(struct pare_ids *ids);

/* Appends to `out` the ids of `length` bytes of text with [CLS] and [SEP] around them, at
 * most max_tokens in all (0: no limit; truncation drops from the end and keeps [SEP], as
 * Hugging Face does). Invalid UTF-8 is replaced by U+FFFD. */
enum pare_status pare_tokenizer_encode(const struct pare_tokenizer *tokenizer,
                                       const char *text, size_t length, size_t max_tokens,
                                       struct pare_ids *out,
                                       struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
