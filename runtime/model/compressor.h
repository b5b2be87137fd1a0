/* What a compression makes of the matrices of a model, as an interface: libquant fills it
 * with grids, libprune with masks, and training (libdistill/compress.h) asks it, so that
 * none of them needs to know the others.
 *
 * With w = C(v) what a matrix of values v becomes, the forward sees w while the optimiser
 * moves v; the gradient dL/dw is taken for dL/dv (the straight-through estimator: Bengio,
 * Leonard, Courville 2013) unless the compressor says otherwise.
 */
#ifndef PARE_MODEL_COMPRESSOR_H
#define PARE_MODEL_COMPRESSOR_H

#include "runtime/model/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters of a compressor that are trained along, such as scales. */
struct pare_compressor_extra {
    char name[PARE_NAME_SIZE]; /* begins with "train." */
    size_t slot;               /* the matrix it belongs to */
    uint64_t rows, columns;
    const float *start;  /* [rows, columns] values to begin with */
    float *value, *grad; /* where they are while a run trains them; set by the run */
};

struct pare_compressor {
    void *context;
    const uint8_t *covers;     /* [plan.count] matrices it compresses */
    const size_t *input_group; /* [plan.count] see pare_weight.input_group; NULL: none */
    /* Before update `update` of `updates` (counted from 0), for schedules; or NULL.
     * values + start[slot] is a slot's matrix; of the token embedding, rows may be late.
     */
    enum pare_status (*begin)(void *context, const float *values, const size_t *start,
                              uint64_t update, uint64_t updates, struct pare_error *err);
    /* What C has to know of whole matrices: called whenever values changed, with those
     * that `apply` gets next; or NULL. */
    void (*measure)(void *context, const float *values, const size_t *start);
    int measures_tokens; /* it reads the token embedding: no row of it may be late */
    /* w = C(v) for rows [first, first + n) of a matrix it covers; v and w point at the
     * first of them. A row's result depends on that row, the extras, `begin` and
     * `measure` alone. */
    enum pare_status (*apply)(void *context, size_t slot, size_t first, size_t n,
                              const float *v, float *w, struct pare_error *err);
    /* Turns dL/dw of those rows into dL/dv in place, and adds to the gradients of the
     * extras, which were zeroed; or NULL. */
    enum pare_status (*backward)(void *context, size_t slot, size_t first, size_t n,
                                 const float *v, float *grad, struct pare_error *err);
    /* Called when a run has placed the extras (value and grad are set); or NULL. */
    void (*placed)(void *context);
    struct pare_compressor_extra *extras;
    size_t n_extras;
    /* `begin` changes something last in this share of a run's updates
     * (pare_compressor_last_change): what was trained before is not worth keeping. */
    double settled;
    /* What `begin` remembers between updates, for the resume file: count floats. */
    float *state;
    size_t state_count;
};

/* The update, counted from 0, that a share of n >= 1 updates reaches. */
uint64_t pare_compressor_last_change(double share, uint64_t n);

#ifdef __cplusplus
}
#endif
#endif
