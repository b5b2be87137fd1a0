/* Values to their places, 64 at a time. */
#include <immintrin.h>

#include "runtime/kernels/expand.h"

void pare_expand_u8_avx512vbmi2(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                                uint8_t gap, size_t n)
{
    const __m512i gaps = _mm512_set1_epi8((char)gap);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) { /* a store under a mask is slow on some CPUs */
        uint64_t mask;
        memcpy(&mask, bits + i / 8, sizeof mask);
        _mm512_storeu_si512(
            out + i, _mm512_mask_expand_epi8(gaps, mask, _mm512_loadu_si512(values)));
        values += __builtin_popcountll(mask);
    }
    if (i < n) {
        const __mmask64 all = ((__mmask64)1 << (n - i)) - 1;
        uint64_t mask = 0;
        memcpy(&mask, bits + i / 8, (n - i + 7) / 8);
        _mm512_mask_storeu_epi8(
            out + i, all,
            _mm512_mask_expand_epi8(gaps, mask & all, _mm512_loadu_si512(values)));
    }
}
