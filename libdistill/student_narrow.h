/* What a narrower student keeps of its teacher; private to libdistill. */
#ifndef PARE_DISTILL_STUDENT_NARROW_H
#define PARE_DISTILL_STUDENT_NARROW_H

#include "libdistill/params.h"

/* The n indices of the largest of `count` scores, ascending; of equals the first. */
enum pare_status pare_pick_largest(const double *score, size_t count, size_t n,
                                   uint32_t *picked, struct pare_arena *scratch,
                                   struct pare_error *err) PARE_CHECKED;

/* P [n, C] with orthonormal rows that span nearly the leading right singular subspace of
 * E [V, C]: orthogonal iteration on E^T E (Golub and Van Loan, algorithm 8.2.8). */
enum pare_status pare_leading_subspace(const float *E, size_t V, size_t C, size_t n,
                                       uint64_t seed, float *P,
                                       struct pare_arena *scratch,
                                       struct pare_error *err) PARE_CHECKED;

#endif
