/* Panels of stored weights that are decoded when they are multiplied. */
#ifndef PARE_TENSOR_DECODE_PANEL_H
#define PARE_TENSOR_DECODE_PANEL_H

#include "runtime/tensor/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows [column, column + n) of a weight of F16 (also sparse), BF16, blocks or
 * super-blocks, inputs
 * k .. k + kc (both whole blocks, kc to the end of the row otherwise), as the panel
 * [kc][nr] of floats with zeros behind column n. The values are those of
 * pare_weight_row. */
void pare_decode_panel(const struct pare_kernels *kernels,
                       const struct pare_weight *weight, size_t nr, float *panel,
                       size_t column, size_t n, size_t k, size_t kc);

#ifdef __cplusplus
}
#endif
#endif
