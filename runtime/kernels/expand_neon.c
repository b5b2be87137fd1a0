/* Values to their places, eight at a time: how many come before a place is where in the
 * next bytes its value lies. */
#include <arm_neon.h>

#include "runtime/kernels/expand.h"

void pare_expand_u8_neon(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                         uint8_t gap, size_t n)
{
    const uint8x8_t gaps = vdup_n_u8(gap);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint64_t places = expand_places(bits[i / 8]);
        const uint64_t upto = places * UINT64_C(0x0101010101010101);
        const uint8x8_t kept = vcreate_u8(places * 0xFF);
        const uint8x8_t from = vsub_u8(vcreate_u8(upto), vdup_n_u8(1));
        vst1_u8(out + i, vbsl_u8(kept, vtbl1_u8(vld1_u8(values), from), gaps));
        values += upto >> 56;
    }
    if (i < n)
        expand_few(out + i, values, bits[i / 8], gap, n - i);
}
