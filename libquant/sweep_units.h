/* The units of a sweep: about 128 columns that are worked on at a time, cut so that
 * groups and blocks of the filling are whole. Private to sweep.c.
 */
#ifndef PARE_LIBQUANT_SWEEP_UNITS_H
#define PARE_LIBQUANT_SWEEP_UNITS_H

#include "libquant/sweep.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pare_sweep_unit {
    size_t column, columns; /* a .. b, in the factor's order */
    float *inverse;         /* R_aa^-1, [columns, columns] */
    float *T;               /* diag(R_aa) R_aa^-1, the same */
    float *M;               /* R_aa R_aa^T, the same; NULL when there are no passes */
};

struct pare_sweep_units {
    struct pare_sweep_unit *unit;
    size_t count, most; /* most: columns of the largest */
};

/* Columns of the largest unit that K columns are cut into. */
size_t pare_sweep_units_most(const struct pare_sweep_filling *filling, size_t K);

/* Cuts K columns; memory from `arena`. */
enum pare_status pare_sweep_units_cut(struct pare_sweep_units *units,
                                      const struct pare_sweep_filling *filling, size_t K,
                                      struct pare_arena *arena,
                                      struct pare_error *err) PARE_CHECKED;

/* Fills in a unit's matrices from R[K, K] (struct pare_factor), whose lower triangle is
 * not used. `scratch` holds pare_sweep_unit_scratch floats for the largest unit, aligned
 * to PARE_ALIGNMENT. */
size_t pare_sweep_unit_scratch(size_t most);
void pare_sweep_unit_invert(const struct pare_sweep_unit *unit, const float *R, size_t K,
                            float *scratch);

#ifdef __cplusplus
}
#endif
#endif
