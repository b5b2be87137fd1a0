/* Values to their places, eight at a time: PDEP puts the next bytes where a mask has
 * bytes of ones. */
#include <immintrin.h>

#include "runtime/kernels/expand.h"

void pare_expand_u8_avx2(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                         uint8_t gap, size_t n)
{
    const uint64_t gaps = gap * UINT64_C(0x0101010101010101);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint64_t mask = _pdep_u64(bits[i / 8], UINT64_C(0x0101010101010101)) * 0xFF;
        uint64_t next;
        memcpy(&next, values, sizeof next);
        next = _pdep_u64(next, mask) | (gaps & ~mask);
        memcpy(out + i, &next, sizeof next);
        values += __builtin_popcount(bits[i / 8]);
    }
    if (i < n)
        expand_few(out + i, values, bits[i / 8], gap, n - i);
}
