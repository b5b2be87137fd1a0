/* More text for a teacher to label, from text that is there: token ids in, token ids out.
 *
 * The procedure of Tang et al., "Distilling Task-Specific Knowledge from BERT into Simple
 * Neural Networks" (2019), section 3.2. For every word w_i of an example draw X_i uniform
 * in [0, 1):
 *
 *   X_i < p_mask                         w_i becomes one [MASK]
 *   p_mask <= X_i < p_mask + p_replace   w_i becomes another word
 *
 * and with probability p_ngram the example is cut to n words in a row, n uniform in
 * 1 .. 5, the place uniform. This makes one variant; K are made of each example, and one
 * that equals the example or an earlier variant of it is dropped. Where Tang et al. look
 * for a word of the same part of speech, this draws one of the word's k neighbours in the
 * teacher's embedding space (neighbours.h), and as Jiao et al. leaves words of more than
 * one piece and other words without neighbours as they are.
 *
 * A word is a piece with those that continue it. Special tokens stay where they are.
 * Variants are never longer than their example. They have no label: the teacher says
 * what they are.
 */
#ifndef PARE_DISTILL_AUGMENT_H
#define PARE_DISTILL_AUGMENT_H

#include "libdistill/neighbours.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_MAX_VARIANTS ((size_t)1 << 20)

struct pare_augment_options {
    uint64_t seed;
    size_t variants;             /* K */
    double mask, replace, ngram; /* probabilities; mask + replace at most 1 */
    int leave_out_originals;
};

/* No variants; p_mask 0.1 and p_ngram 0.25 as Tang et al., p_replace 0.2: between their
 * 0.1 and the 0.4 of Jiao et al. */
struct pare_augment_options pare_augment_options_default(void);

struct pare_augmented { /* all zero: nothing */
    /* The originals, if they are not left out, each with its number and its label; then
     * the variants, those of the first example first. */
    struct pare_examples examples;
    size_t originals; /* of examples.count */
    size_t dropped;   /* variants that were nothing new */
    uint64_t *starts; /* what `examples` points to */
    int32_t *ids, *labels;
};

/* `neighbours` may be NULL when options->replace is 0. Variant v of example i depends on
 * the seed, i, v and the probabilities, not on K nor on threads. PARE_ERR_USAGE for
 * options out of range and for a mask where there is no [MASK]; PARE_ERR_INPUT for an id
 * that is no piece. The caller frees *out with pare_augmented_free; after a failure it is
 * empty. */
enum pare_status pare_augment(const struct pare_examples *from,
                              const struct pare_pieces *pieces,
                              const struct pare_neighbours *neighbours,
                              const struct pare_augment_options *options,
                              struct pare_augmented *out,
                              struct pare_error *err) PARE_CHECKED;
void pare_augmented_free(struct pare_augmented *augmented);

#ifdef __cplusplus
}
#endif
#endif
