/* How far a model's outputs for one row are from those of another model. */
#ifndef PARE_TOOLS_OUTPUT_CHANGE_H
#define PARE_TOOLS_OUTPUT_CHANGE_H

#include "runtime/model/forward.h"

/* What is compared, of the batch that was run: logits [B, labels] of a classifier, else
 * hidden states [T, C]. */
const float *output_rows(const struct pare_config *config, const struct pare_batch *batch,
                         const struct pare_acts *acts, size_t *rows, size_t *width);

/* Of one row of n: KL(softmax(a) || softmax(b)) of a classifier's, else the squared
 * change from a to b, of the square. scratch[n]. */
double output_change(const struct pare_config *config, const float *a, const float *b,
                     size_t n, float *scratch);

#endif
