/* Codes of 2, 4 or 8 bits out of bytes, for the NEON kernels of codes in groups. */
#ifndef PARE_KERNELS_GROUPED_NEON_BITS_H
#define PARE_KERNELS_GROUPED_NEON_BITS_H

#include <arm_neon.h>

#include "runtime/kernels/tile.h"

/* Bits shift .. shift + width of every byte; the shift is an immediate operand. */
ALWAYS_INLINE uint8x16_t bits_of(uint8x16_t bytes, const int shift, const int width)
{
    const uint8x16_t mask = vdupq_n_u8((uint8_t)((1 << width) - 1));
    switch (shift) {
    case 2: return vandq_u8(vshrq_n_u8(bytes, 2), mask);
    case 4:
        return width == 4 ? vshrq_n_u8(bytes, 4) : vandq_u8(vshrq_n_u8(bytes, 4), mask);
    case 6: return vshrq_n_u8(bytes, 6);
    default: return width == 8 ? bytes : vandq_u8(bytes, mask);
    }
}

#endif
