/* The words nearest to a word in a table of token embeddings.
 *
 * After the data augmentation of Jiao et al., "TinyBERT" (2020), algorithm 1, which takes
 * them from GloVe; here the table is the teacher's own. With rows e_w and
 *
 *   cos(w, v) = <e_w, e_v> / (|e_w| |e_v|)
 *
 * the neighbours of w are the k words v != w of the greatest cosine, of equals the lower
 * id first. Words are pieces of letters that begin a word (PARE_PIECE_LETTERS) and whose
 * row is finite and not zero: so a word's neighbours are words, never punctuation, a
 * number, the continuation of a word or an unused token.
 */
#ifndef PARE_DISTILL_NEIGHBOURS_H
#define PARE_DISTILL_NEIGHBOURS_H

#include "libdistill/examples.h"
#include "runtime/base/progress.h"
#include "runtime/tensor/linear.h"
#include "runtime/text/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_pieces { /* of a tokenizer; borrowed */
    size_t V;
    const uint8_t *kind; /* [V] enum pare_piece_kind, from pare_tokenizer_kinds */
    int32_t mask;        /* -1: there is no [MASK] */
};

struct pare_neighbours { /* all zero: no word has any */
    size_t V, words, k;
    int32_t *row; /* [V]: the word's row of `id`; -1: it has no neighbours */
    int32_t *id;  /* [words, k], the nearest first */
};

/* Whether the piece at t is a whole word of letters, of the n pieces of an example. */
static inline int pare_is_whole_word(const struct pare_pieces *pieces, const int32_t *ids,
                                     size_t n, size_t t)
{
    return pieces->kind[ids[t]] == PARE_PIECE_LETTERS &&
           (t + 1 == n || pieces->kind[ids[t + 1]] != PARE_PIECE_CONTINUES);
}

/* PARE_ERR_INPUT naming the first example with an id that is no piece. */
enum pare_status pare_pieces_check(const struct pare_pieces *pieces,
                                   const struct pare_examples *examples,
                                   struct pare_error *err) PARE_CHECKED;

/* The k neighbours, or as many as there are other words, of every whole word of the
 * examples. `embeddings`: [rows, C], rows at least pieces->V. The caller frees *out with
 * pare_neighbours_free; after a failure it is empty. */
enum pare_status pare_neighbours_find(const struct pare_weight *embeddings,
                                      const struct pare_pieces *pieces,
                                      const struct pare_examples *examples, size_t k,
                                      const struct pare_progress *progress,
                                      struct pare_neighbours *out,
                                      struct pare_error *err) PARE_CHECKED;
void pare_neighbours_free(struct pare_neighbours *neighbours);

#ifdef __cplusplus
}
#endif
#endif
