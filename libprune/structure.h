/* Removing inputs of a linear layer for good, in groups of neighbours: a neuron is one
 * input of the layer behind it (ffn_down), an attention head D inputs of attn_output.
 * What produced them goes too, so that the matrices become smaller and stay dense.
 *
 * With W[N, K], a group of inputs g and H the damped second moments of all inputs, the
 * error of the layer's outputs without g, when all others make up for it as well as they
 * can, and the weights that do so, are (ZipLM: Kurtic et al. 2023, arXiv:2302.04089,
 * equations 1 and 2, after Hassibi, Stork and Wolff 1993, "Optimal Brain Surgeon")
 *
 *     cost = tr(W_g ((H^-1)_gg)^-1 W_g^T)
 *     W   <- W - W_g ((H^-1)_gg)^-1 (H^-1)_g,:
 *     H^-1 <- H^-1 - (H^-1)_:,g ((H^-1)_gg)^-1 (H^-1)_g,:
 *
 * The group that costs least goes, one after the other. With u = (H^-1)_p,: / sqrt(h),
 * v = W_:,p / sqrt(h) and h = (H^-1)_pp, removing column p is W -= v u^T, H^-1 -= u u^T
 * at the cost |v|^2, and removing a group is removing its columns one after the other.
 * These products are put off until there are enough for a matrix product; what the choice
 * needs of the columns meanwhile, H^-1's diagonal and the norms, is kept up to date.
 *
 * The weights in the end come from H itself, without what the steps have rounded:
 *
 *     V_k = W_k + W_r H_rk (H_kk)^-1      k: inputs that stay, r: those that went
 *
 * which is the least-squares solution of  |X W^T - X_k V_k^T|^2 + damping |W_k - V_k|^2.
 *
 * A layer with a bias makes up for the means of what went by it, so H is of inputs about
 * their means then (pare_structure_center), and the bias what pare_correct_bias
 * (libquant/bias.h) makes of W and V.
 *
 * The channels of the hidden state are not for this: a layer norm between two blocks
 * takes mean and variance over all of them, so that none can go exactly or be made up for
 * by one matrix. A narrower hidden state is a student (libdistill/student.h).
 */
#ifndef PARE_LIBPRUNE_STRUCTURE_H
#define PARE_LIBPRUNE_STRUCTURE_H

#include "libquant/factor.h"
#include "runtime/tensor/cross.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Second moments about the means of the inputs, whose sums are sum[K]. */
void pare_structure_center(struct pare_gram *gram, const double *sum);
/* The same for pare_quant_correct (libquant/correct.h): all of C, of what the original
 * inputs are more than those now, and these; sums over the rows of both. */
void pare_structure_center_cross(struct pare_cross *cross, const double *original,
                                 const double *now, size_t rows);

struct pare_structure {
    const struct pare_factor *factor; /* of the inputs, in natural order; or a fallback */
    const float *W;                   /* [N, K] */
    size_t N, K;
    size_t width; /* columns of a group; divides K */
    size_t keep;  /* groups that stay, at least 1 */
};

/* kept[keep]: the groups that stay, ascending. *loss: what the others cost, in the
 * factor's scale and with its damping. A factor that is a fallback leaves the groups with
 * the largest weights. In parallel; the same choice for any number of threads. */
enum pare_status pare_structure_choose(const struct pare_structure *structure,
                                       uint32_t *kept, double *loss,
                                       struct pare_arena *scratch,
                                       struct pare_error *err) PARE_CHECKED;

/* out[N, K] (not W): V of these groups, and zeros where they went; what was W with a
 * fallback. */
enum pare_status pare_structure_compensate(const struct pare_structure *structure,
                                           const uint32_t *kept, float *out,
                                           struct pare_arena *scratch,
                                           struct pare_error *err) PARE_CHECKED;

/* out[N, K]: W without the other groups, nothing made up for. */
void pare_structure_drop(const struct pare_structure *structure, const uint32_t *kept,
                         float *out);

#ifdef __cplusplus
}
#endif
#endif
