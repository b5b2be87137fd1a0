/* What the files of pare_kernels.expand_u8 share. */
#ifndef PARE_KERNELS_EXPAND_H
#define PARE_KERNELS_EXPAND_H

#include <string.h>

#include "runtime/kernels/tiers.h"

/* The bits of eight places, bit j in byte j: 0 or 1. */
static inline uint64_t expand_places(uint8_t bits)
{
    const uint64_t picked = bits * UINT64_C(0x0101010101010101);
    const uint64_t one_each = picked & UINT64_C(0x8040201008040201);
    return (one_each + UINT64_C(0x7F7F7F7F7F7F7F7F)) >> 7 & UINT64_C(0x0101010101010101);
}

/* The places one after the other: n at most 8. */
static inline const uint8_t *expand_few(uint8_t *out, const uint8_t *values, uint8_t bits,
                                        uint8_t gap, size_t n)
{
    for (size_t j = 0; j < n; j++)
        out[j] = bits >> j & 1 ? *values++ : gap;
    return values;
}

#endif
