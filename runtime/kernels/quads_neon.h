/* What the two kernels of quads for 64-bit ARM share. */
#ifndef PARE_KERNELS_QUADS_NEON_H
#define PARE_KERNELS_QUADS_NEON_H

#include <arm_neon.h>

#include "runtime/kernels/quads_run.h"
#include "runtime/kernels/tiers.h"

/* The four weights, four times. */
ALWAYS_INLINE int8x16_t four_of(const int8_t *w)
{
    int32_t four;
    memcpy(&four, w, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* Activations less 128, as signed bytes. */
static void pack_a_signed(void *out, const uint8_t *rows, size_t stride, int m,
                          size_t quads)
{
    const size_t width = pare_quads_width((size_t)m);
    unsigned char *to = out;
    for (size_t q = 0; q < quads; q++)
        for (size_t i = 0; i < (size_t)m; i++) {
            uint32_t four;
            memcpy(&four, rows + i * stride + 4 * q, sizeof four);
            four ^= 0x80808080u;
            memcpy(to + 4 * (q * width + i), &four, sizeof four);
        }
}

#endif
