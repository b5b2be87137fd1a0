/* The `run` of the tiers that have four rows in a vector, and up to eight vectors. */
#ifndef PARE_KERNELS_QUADS_RUN_H
#define PARE_KERNELS_QUADS_RUN_H

#include "runtime/kernels/quads.h"
#include "runtime/kernels/tile.h"

#define MR 32

/* Of a tier's sums_of, with the number of vectors as a constant. */
#define DEFINE_QUADS_RUN(name)                                                           \
    static void name(const struct pare_quads *weights, size_t first, size_t n,           \
                     const void *a, int m, int32_t *acc)                                 \
    {                                                                                    \
        const size_t width = pare_quads_width((size_t)m);                                \
        for (size_t j = first; j < first + n; j++, acc += width) {                       \
            const size_t begin = weights->start[j],                                      \
                         count = weights->start[j + 1] - begin;                          \
            const uint16_t *place = weights->place + begin;                              \
            const int8_t *w = weights->value + 4 * begin;                                \
            switch (width) {                                                             \
            case 4: sums_of(1, a, place, w, count, acc); break;                          \
            case 8: sums_of(2, a, place, w, count, acc); break;                          \
            case 16: sums_of(4, a, place, w, count, acc); break;                         \
            default: sums_of(8, a, place, w, count, acc); break;                         \
            }                                                                            \
        }                                                                                \
    }

#endif
