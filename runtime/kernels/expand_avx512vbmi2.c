/* Values to their places, 64 at a time. */
#include <immintrin.h>

#include "runtime/kernels/expand.h"

void pare_expand_u8_avx512vbmi2(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                                uint8_t gap, size_t n)
{
    const __m512i gaps = _mm512_set1_epi8((char)gap);
    for (size_t i = 0; i < n; i += 64) {
        const size_t some = n - i < 64 ? n - i : 64;
        const __mmask64 all = some < 64 ? ((__mmask64)1 << some) - 1 : ~(__mmask64)0;
        uint64_t mask = 0;
        memcpy(&mask, bits + i / 8, (some + 7) / 8);
        _mm512_mask_storeu_epi8(
            out + i, all,
            _mm512_mask_expand_epi8(gaps, mask & all, _mm512_loadu_si512(values)));
        values += __builtin_popcountll(mask);
    }
}
