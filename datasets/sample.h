/* The embedded sample: a small sentiment corpus made by a grammar, so that everything
 * here can be shown and tested with no download.
 *
 * Its sentences are short reviews of films, meals, books, devices and rooms, with the
 * label 1 (positive) or 0 (negative). What makes them positive or negative is how words
 * are put together: negation, contrast ("A , but B" means B), degree ("slightly dull and
 * absolutely charming" is praise), comparison, other people's opinions. Counting words
 * does not solve it; a small transformer does (tests/unit/test_sample.c,
 * docs/RESULTS.md).
 */
#ifndef PARE_DATASETS_SAMPLE_H
#define PARE_DATASETS_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/error.h"
#include "runtime/checkpoint/meta.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_SAMPLE_TEXT_SIZE 400 /* no sentence is longer, with its NUL */

/* Sentence number `index` of the corpus of `seed`, made for `label` (0 or 1), into
 * `text`; returns its length. A pure function. */
size_t pare_sample_sentence(uint64_t seed, uint64_t index, int label,
                            char text[PARE_SAMPLE_TEXT_SIZE]);

/* The first `count` (at most PARE_SAMPLE_MAX) sentences of the corpus of `seed`, all
 * different; of the texts 2i and 2i + 1 one is positive and one negative. A part of it
 * and the rest make a training and a test set. Texts and labels belong to the arena. */
#define PARE_SAMPLE_MAX 1000000
enum pare_status pare_sample_corpus(uint64_t seed, size_t count, struct pare_arena *arena,
                                    struct pare_text **texts, int32_t **labels,
                                    struct pare_error *err) PARE_CHECKED;

/* The pieces of a WordPiece vocabulary that has every word of the sample whole and every
 * other lower-case ASCII text in characters: for pare_tokenizer_from_pieces. The array
 * belongs to the arena. */
enum pare_status pare_sample_pieces(struct pare_arena *arena, struct pare_text **pieces,
                                    size_t *count, struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
