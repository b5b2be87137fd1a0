/* The smallest of some scores: exact, the first of equal ones, in an order that depends
 * on nothing but the scores.
 */
#ifndef PARE_LIBPRUNE_CHOOSE_H
#define PARE_LIBPRUNE_CHOOSE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The k-th smallest of n magnitudes (k from 1 to n): exact, in a few passes. */
float pare_magnitude_rank(const float *v, size_t n, size_t k);

/* gone[n]: 1 for the `count` smallest of n scores, which are not negative, else 0. */
void pare_choose_smallest(const float *scores, size_t n, size_t count, uint8_t *gone);

/* Of a few scores, whether number k is among the `count` smallest. */
int pare_choose_is_smallest(const float *scores, size_t n, size_t k, size_t count);

#ifdef __cplusplus
}
#endif
#endif
