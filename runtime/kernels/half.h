/* Numbers of half precision in plain C. */
#ifndef PARE_KERNELS_HALF_H
#define PARE_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

/* One IEEE half to float; the arithmetic is exact. */
static inline float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, body = h & 0x7fff;
    uint32_t bits;
    if (body >= 0x7c00) { /* infinity; a NaN becomes a quiet one */
        bits = 0x7f800000 | (body & 0x3ff) << 13;
        if (body > 0x7c00)
            bits |= 0x400000;
    } else if (body >= 0x400) {
        bits = (body << 13) + ((uint32_t)112 << 23);
    } else { /* zero or subnormal: body * 2^-24 */
        float value = (float)body * 0x1p-24f;
        memcpy(&bits, &value, sizeof bits);
    }
    bits |= sign;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

#endif
