/* Masks in training: a compressor (runtime/model/compressor.h) that sets weights to zero
 * and keeps them there.
 *
 *   kept    every weight that is zero at the start stays zero: fine-tuning of a model
 *           that was pruned
 *   grown   the smallest magnitudes of each matrix (blocks: sums of magnitudes) are set
 *           to zero, more and more of them until a share s_f is, by the cubic schedule of
 *           Zhu and Gupta 2017, "To prune, or not to prune", equation 1:
 *               s_t = s_f (1 - (1 - (t - t_0) / (t_1 - t_0))^3)
 *           Before t_0 nothing is, from t_1 on the mask stays. Of N:M the zeros of every
 *           m are as many as s_t makes of them, rounded.
 *
 * Both may be asked for together. A weight that is masked has no gradient; it may come
 * back when the mask is drawn again, never otherwise. Matrices inside the blocks are
 * covered, embeddings and head are not.
 */
#ifndef PARE_LIBPRUNE_MASKS_H
#define PARE_LIBPRUNE_MASKS_H

#include "libprune/pattern.h"
#include "runtime/base/arena.h"
#include "runtime/model/compressor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_masks_options {
    int keep_zeros;
    struct pare_pattern pattern; /* s_f is its sparsity; 0: nothing grows */
    double begin, end;           /* t_0 and t_1 as shares of the updates */
    uint64_t every;              /* updates between two drawings of the mask */
};

/* Nothing kept, nothing grown; from a tenth to two thirds of a run, every 50 updates. */
struct pare_masks_options pare_masks_options_default(void);

struct pare_masks;

/* The plan is borrowed. PARE_ERR_USAGE for options out of range, and naming the matrix
 * that cannot have the pattern. Free with pare_masks_free (NULL allowed). */
enum pare_status pare_masks_new(const struct pare_plan *plan,
                                const struct pare_masks_options *options,
                                struct pare_masks **out,
                                struct pare_error *err) PARE_CHECKED;
void pare_masks_free(struct pare_masks *masks);

/* Notes which weights are zero: values + start[i] is the matrix of slot i that training
 * begins with. Before the first use, also of a run to be resumed. */
void pare_masks_start(struct pare_masks *masks, const float *values, const size_t *start);

/* The interface; it lives as long as `masks`. */
struct pare_compressor *pare_masks_compressor(struct pare_masks *masks);

/* s_t of the equation above at update t of n, counted from 0. */
double pare_masks_schedule(const struct pare_masks_options *options, uint64_t t,
                           uint64_t n);

#ifdef __cplusplus
}
#endif
#endif
