/* What errors of a layer's weights cost at its outputs. */
#ifndef PARE_LIBQUANT_LOSS_H
#define PARE_LIBQUANT_LOSS_H

#include "runtime/tensor/gram.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adds the sum over the rows e of E[N, K] of e H e^T to *loss: the squared change of the
 * layer's outputs over all inputs that H was summed over. In parallel; the same bits for
 * any number of threads. */
enum pare_status pare_quant_loss(const struct pare_gram *H, const float *E, size_t N,
                                 double *loss, struct pare_arena *scratch,
                                 struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
