/* Students: smaller encoders that begin with what their teacher's weights allow.
 *
 * A student may have fewer blocks, narrower feed-forward layers and a narrower hidden
 * state than its teacher, alone or together, and be of either family.
 *   - Blocks are copied from chosen blocks of the teacher (Sanh et al. 2019, section 3).
 *   - Of the feed-forward neurons those with the largest |w_up| |w_down| stay.
 *   - A narrower hidden state is x' = P x, the rows of P the leading right singular
 *     vectors of the token embedding (the best subspace for it: Eckart and Young 1936);
 *     matrices become P W P^T, norms' weights diag(P diag(gamma) P^T). Attention keeps
 *     the heads with the largest |w_v| |w_out|, so the head width must stay. What a norm
 *     does between two projections is not linear: this is a start, not an equivalence.
 *   - A DistilBERT has no token types: row 0 of the teacher's is added to all positions,
 *     which is exact for texts of one segment. Its layer before the classifier ends in a
 *     ReLU where BERT's has a tanh; no weights make one the other, so across families
 *     this layer starts from the teacher's values and has to be trained.
 * Whatever else the student has in the teacher's shape is a copy.
 */
#ifndef PARE_DISTILL_STUDENT_H
#define PARE_DISTILL_STUDENT_H

#include "libdistill/params.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_student_options { /* zeros: as the teacher */
    enum pare_family family;
    uint32_t layers, hidden, heads, ffn;
    const uint32_t *from; /* [n_from] block of the teacher for each block; NULL: evenly */
    size_t n_from;
    int draw; /* all weights random */
};

/* The student's config. PARE_ERR_USAGE when it would be larger than the teacher in
 * anything but with `draw` (more blocks `from` may ask for, by naming some twice), when
 * `from` does not fit, when the head width changes, or the numbers make no model. */
enum pare_status pare_student_config(const struct pare_student_options *options,
                                     const struct pare_config *teacher,
                                     struct pare_config *student,
                                     struct pare_error *err) PARE_CHECKED;

/* Fills student->value (made for pare_student_config's result) from the teacher's. What
 * the teacher has no tensor for (a head it lacks) is drawn with `seed`. */
enum pare_status pare_student_start(const struct pare_student_options *options,
                                    const struct pare_params *teacher,
                                    struct pare_params *student, uint64_t seed,
                                    struct pare_error *err) PARE_CHECKED;

/* Block of a teacher of Lt blocks that block s of Ls starts from by default: evenly
 * spread, the first one always and the last one when Ls > 1. */
uint32_t pare_student_block(uint32_t s, uint32_t Ls, uint32_t Lt);

#ifdef __cplusplus
}
#endif
#endif
