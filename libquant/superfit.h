/* Grids of super-blocks: groups whose scales are whole multiples of one scale d, and
 * whose offsets are those of another, dmin (target.h), for the rows of a tile at once.
 *
 *     Q = (d s_j) (q - zero) - dmin m_j       of group j, least <= s_j <= most, 0 <= m_j
 *
 * Each group is first fitted on its own: the grid of its range and shrunk copies of it
 * (fit.h), each also as the least squares for the codes it leads to have it. d and dmin
 * are such that the largest scale and offset are their largest multiples. With them
 * given, each group takes the s_j and m_j it likes best, among those next to the same
 * candidates and then the neighbours of the best; and d and dmin become the least squares
 * for these s_j, m_j and codes, as long as that costs less. The fit that cost least is
 * kept.
 */
#ifndef PARE_LIBQUANT_SUPERFIT_H
#define PARE_LIBQUANT_SUPERFIT_H

#include "libquant/fit.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of PARE_SWEEP_ROWS super-blocks. NaN when beyond half precision. */
struct pare_super_lanes {
    float d[PARE_SWEEP_ROWS], dmin[PARE_SWEEP_ROWS];
};

/* d, dmin and the grids of all groups of one super-block, which is the tile's columns:
 * out[super / group]. SWEEP counts as COST. */
void pare_superfit_tile(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                        size_t group, struct pare_super_lanes *super,
                        struct pare_fit_lanes *out);

/* The grids of one group, all the tile's columns, given d and dmin. scratch: as in
 * pare_fit_tile. */
void pare_superfit_group(const struct pare_fit *fit, const struct pare_sweep_tile *tile,
                         const struct pare_super_lanes *super, struct pare_fit_lanes *out,
                         float *scratch);

#ifdef __cplusplus
}
#endif
#endif
