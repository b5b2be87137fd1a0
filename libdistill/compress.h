/* Compression-aware training: the forward sees what a later compression will make of the
 * values, the optimiser moves the values.
 *
 * libdistill knows no grid and no mask: a compressor is an interface that libquant and
 * libprune fill. With w = C(v) what a matrix of values v becomes, the gradient dL/dw of
 * the backward pass is taken for dL/dv (the straight-through estimator: Bengio, Leonard,
 * Courville 2013) unless the compressor says otherwise.
 */
#ifndef PARE_DISTILL_COMPRESS_H
#define PARE_DISTILL_COMPRESS_H

#include "libdistill/params.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_compressor {
    void *context;
    const char *identity;  /* what it does: a run with another one is not resumed */
    const uint8_t *covers; /* [plan.count] matrices it compresses */
    /* Before update `update` of `updates` (counted from 0), for schedules; or NULL. */
    enum pare_status (*begin)(void *context, const struct pare_params *params,
                              uint64_t update, uint64_t updates, struct pare_error *err);
    /* w = C(v) for rows [first, first + n) of a matrix it covers; v and w point at the
     * first of them. A row's result depends on that row and on `begin` alone. */
    enum pare_status (*apply)(void *context, const struct pare_params *params,
                              size_t slot, size_t first, size_t n, const float *v,
                              float *w, struct pare_error *err);
    /* Turns rows of params->grad from dL/dw into dL/dv in place, and adds to the
     * gradients of extra parameters, which are zero; or NULL. */
    enum pare_status (*backward)(void *context, struct pare_params *params, size_t slot,
                                 size_t first, size_t n, struct pare_error *err);
    /* What `begin` remembers between updates, for the resume file: count floats. */
    float *state;
    size_t state_count;
};

/* Applies a compressor to parameters under training. */
struct pare_compressed {
    const struct pare_compressor *compressor; /* NULL: nothing is compressed */
    struct pare_params *params;
    float *weights; /* [total]: own memory, or params->value */
};

/* Makes params->weights what a model bound to the parameters reads. */
enum pare_status pare_compressed_init(struct pare_compressed *c,
                                      struct pare_params *params,
                                      const struct pare_compressor *compressor,
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
