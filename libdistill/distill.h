/* What a student learns from: labels, and whatever the teacher says about an example.
 *
 * The loss of a sequence of n tokens, with student and teacher logits z and z', hidden
 * states h [n, C] and h' [n, C'], and p = h W^T the student's state in the teacher's
 * width (p = h when there is no projection W):
 *
 *   hard      CE(softmax z, label); nothing for an example without a label
 *   soft      T^2 KL(softmax(z'/T) || softmax(z/T))        Hinton et al. 2015, section 2
 *   cosine    mean over tokens of 1 - cos(p_t, h'_t)       DistilBERT, Sanh et al. 2019
 *   mse       ||p - h'||^2 / (n C')                        TinyBERT, Jiao 2020, (8)
 *   first     ||p_0/||p_0|| - h'_0/||h'_0|| ||^2           PKD, Sun et al. 2019, (7)
 *   relation  over x in q, k, v: mean over heads and rows of
 *             KL(softmax(x'x'^T/sqrt d') || softmax(xx^T/sqrt d))
 *                                                          MiniLMv2, Wang et al. 2021
 *   attention the same with q k^T                          MiniLM, Wang et al. 2020, (3)
 *
 * cosine, mse and first are means over the pairs of the layer map. relation and attention
 * split the states into as many relation heads on both sides, of widths d and d', so the
 * numbers of attention heads may differ.
 */
#ifndef PARE_DISTILL_DISTILL_H
#define PARE_DISTILL_DISTILL_H

#include "libdistill/teacher.h"

#include "libdistill/loss.h"
#include "libdistill/params.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_MAX_PAIRS 64

struct pare_layer_pair { /* hidden states: 0 is the embedding's output */
    uint32_t student, teacher;
};

struct pare_distill_options { /* weights of the terms, 0: not used */
    double hard, soft, cosine, mse, first, relation, attention;
    double temperature;                         /* T, above 0 */
    struct pare_layer_pair map[PARE_MAX_PAIRS]; /* for cosine, mse and first */
    size_t n_map;
    int project; /* a learned W for every pair; needed when the widths differ */
    uint32_t relation_student, relation_teacher; /* blocks, counted from 0 */
    uint32_t relation_heads;                     /* divides both widths */
};

/* Half hard, half soft at temperature 2; no other term. */
struct pare_distill_options pare_distill_options_default(void);

/* Pairs for all hidden states of a student of Ls blocks, evenly spread over those of Lt:
 * s with round(s Lt / Ls). The relation blocks become the last ones. */
void pare_distill_map_evenly(struct pare_distill_options *options, uint32_t Ls,
                             uint32_t Lt);

/* PARE_ERR_USAGE naming the option when a weight is negative or none is positive, a state
 * does not exist, widths differ without a projection, the heads do not divide, or student
 * and teacher have other numbers of labels. */
enum pare_status pare_distill_check(const struct pare_distill_options *options,
                                    const struct pare_config *student,
                                    const struct pare_config *teacher,
                                    struct pare_error *err) PARE_CHECKED;

/* The projections the options ask for, to be trained along with the student: writes their
 * descriptions (names included, in `extras`, PARE_MAX_PAIRS of them) and returns how
 * many.
 */
size_t pare_distill_extras(const struct pare_distill_options *options,
                           const struct pare_config *student,
                           const struct pare_config *teacher, struct pare_extra *extras);
/* Starts them: the identity between equal widths, else normal with 1/sqrt(C). */
void pare_distill_draw(const struct pare_distill_options *options,
                       const struct pare_config *teacher, struct pare_params *student,
                       uint64_t seed);

struct pare_distiller;

/* What of the teacher the options need; the arrays live as long as the distiller. */
enum pare_status pare_distiller_new(const struct pare_distill_options *options,
                                    const struct pare_config *student,
                                    const struct pare_config *teacher,
                                    struct pare_distiller **out,
                                    struct pare_error *err) PARE_CHECKED;
void pare_distiller_free(struct pare_distiller *distiller); /* NULL allowed */

struct pare_teacher_wants pare_distiller_wants(const struct pare_distiller *distiller);

/* The loss for pare_train; its parts are the terms that have a weight. Teacher and
 * parameters are borrowed and must outlive it; the examples of the run are those of the
 * teacher. */
struct pare_loss pare_distiller_loss(struct pare_distiller *distiller,
                                     const struct pare_teacher *teacher,
                                     struct pare_params *student);

#ifdef __cplusplus
}
#endif
#endif
