/* Which grid a group of weights gets, for the rows of a tile at once.
 *
 * The grid of the weights' range (target.h) and shrunk copies of it, by p = 1, 1 - step,
 * 1 - 2 step ..., are tried; each row takes the one it likes best:
 *
 *   RANGE     p = 1
 *   SQUARES   least sum of (w - Q)^2
 *   NORM      least sum of |w - Q|^2.4 (the published GPTQ's "mse")
 *   COST      least sum of R_kk^2 (w - Q)^2: what errors of this size cost in the sweep
 *             when nothing is known of their signs
 *   SWEEP     least cost of the sweep over this group itself; since the cost of a sweep
 *             is a sum over columns, and what later groups will cost hardly depends on
 *             this one, it is what the grid is wanted for
 *
 * Grids whose codes are not symmetric around 0 are tried in both directions. Scales of
 * ternary weights are tried from 1.8 times the mean magnitude down to the mean; for
 * SQUARES and COST each then becomes the least squares for its codes.
 */
#ifndef PARE_LIBQUANT_FIT_H
#define PARE_LIBQUANT_FIT_H

#include "libquant/sweep.h"
#include "libquant/target.h"
#include "runtime/kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pare_search {
    PARE_SEARCH_RANGE,
    PARE_SEARCH_SQUARES,
    PARE_SEARCH_NORM,
    PARE_SEARCH_COST,
    PARE_SEARCH_SWEEP,
};

struct pare_fit {
    struct pare_lattice lattice;
    enum pare_search search;
    int candidates;
    float step;
};

/* Grids of PARE_SWEEP_ROWS lanes. */
struct pare_fit_lanes {
    float scale[PARE_SWEEP_ROWS], offset[PARE_SWEEP_ROWS];
    float inverse[PARE_SWEEP_ROWS], shift[PARE_SWEEP_ROWS];
};

/* Adds to loss[lane] what the search would have least of, for the tile's columns rounded
 * to these grids. scratch: see below. */
void pare_fit_cost(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                   const struct pare_fit_lanes *lanes, float *loss, float *scratch);

/* The grids of the tile's rows, all its columns being one group. A scale is NaN when it
 * is beyond half precision where it has to be half. scratch: [columns, PARE_SWEEP_ROWS],
 * for SWEEP, which is COST without tile->T. */
void pare_fit_tile(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                   struct pare_fit_lanes *out, float *scratch);

#ifdef __cplusplus
}
#endif
#endif
