/* Which form each matrix gets when all together may take so many bytes: the multiple-
 * choice knapsack problem
 *
 *     minimise sum_i loss_i(c_i)   over one choice c_i for each i,
 *     with     sum_i bytes_i(c_i) <= budget
 *
 * for losses that add up: predicted changes of the outputs, measured one matrix at a time
 * (as in Dong et al. 2020, "HAWQ-V2", arXiv:1911.03852, section 3.2).
 *
 * The choices of an item that lie on the lower convex hull of (bytes, loss) make steps
 * from a smaller to a larger one; taking steps of all items by loss saved for a byte
 * gives the trade-off curve, each of whose points is the best for its size (Everett 1963:
 * these are the Lagrangian's minima). Between two points a search with bounds from the
 * same steps (Dyer 1984, Zemel 1984) finds the best choice there is.
 */
#ifndef PARE_LIBQUANT_ALLOCATE_H
#define PARE_LIBQUANT_ALLOCATE_H

#include "runtime/base/arena.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pare_choice {
    uint64_t bytes;
    double loss; /* finite, not negative */
};

struct pare_choices { /* of one item */
    const struct pare_choice *of;
    size_t count; /* at least 1 */
};

struct pare_allocation {
    uint64_t bytes;
    double loss;
    uint32_t *chosen; /* [n]: number of the choice of each item */
    int exact;        /* no better one exists; else the search was ended */
};

/* Fills `out`, whose `chosen` the caller gives. Ties go to the smaller sum of bytes.
 * PARE_ERR_USAGE when not even the smallest choices fit. */
enum pare_status pare_allocate(const struct pare_choices *items, size_t n,
                               uint64_t budget, struct pare_allocation *out,
                               struct pare_arena *scratch,
                               struct pare_error *err) PARE_CHECKED;

struct pare_curve {
    struct pare_choice *points; /* bytes ascending, losses descending */
    size_t count;
};

/* The trade-off curve, from the smallest choices on; from the arena. Every point is what
 * pare_allocate finds for its bytes. */
enum pare_status pare_allocate_curve(const struct pare_choices *items, size_t n,
                                     struct pare_curve *out, struct pare_arena *arena,
                                     struct pare_error *err) PARE_CHECKED;

#ifdef __cplusplus
}
#endif
#endif
