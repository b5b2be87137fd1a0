/* Compression-aware training: a compressor (runtime/model/compressor.h) applied to
 * parameters under training. libdistill knows no grid and no mask.
 */
#ifndef PARE_DISTILL_COMPRESS_H
#define PARE_DISTILL_COMPRESS_H

#include "libdistill/params.h"
#include "runtime/model/compressor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Applies a compressor to parameters under training. */
struct pare_compressed {
    struct pare_compressor *compressor; /* NULL: nothing is compressed */
    struct pare_params *params;
    float *weights; /* [total]: own memory, or params->value */
};

/* Makes params->weights what a model bound to the parameters reads, and rounds its inputs
 * as the compressor says. The compressor's extras are the last of params' extras. */
enum pare_status pare_compressed_init(struct pare_compressed *c,
                                      struct pare_params *params,
                                      struct pare_compressor *compressor,
                                      struct pare_error *err) PARE_CHECKED;
void pare_compressed_free(
    struct pare_compressed *c); /* weights become the values again */

/* Brings the weights up to date with the values: of all but the token embedding; of the
 * rows of these tokens; of all of it. */
enum pare_status pare_compressed_refresh(struct pare_compressed *c,
                                         struct pare_error *err) PARE_CHECKED;
enum pare_status pare_compressed_tokens(struct pare_compressed *c, const int32_t *ids,
                                        size_t n, struct pare_error *err) PARE_CHECKED;
enum pare_status pare_compressed_all(struct pare_compressed *c,
                                     struct pare_error *err) PARE_CHECKED;

/* The gradients of the weights, in params->grad, become those of the values. */
enum pare_status pare_compressed_backward(struct pare_compressed *c,
                                          struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
