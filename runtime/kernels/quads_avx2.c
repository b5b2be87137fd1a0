/* INT8 with zero quads for AVX2: up to 32 rows, four in a vector.
 *
 * VPMADDUBSW would saturate; the activations are packed as 16 bits, in which
 * VPMADDWD is exact, as in gemm_avx2.c.
 */
#if !defined(__AVX2__)
#error "this file needs -mavx2"
#endif

#include <immintrin.h>

#include "runtime/kernels/quads_run.h"
#include "runtime/kernels/tiers.h"

static void pack_a_avx2(void *out, const uint8_t *rows, size_t stride, int m,
                        size_t quads)
{
    const size_t width = pare_quads_width((size_t)m);
    for (size_t q = 0; q < quads; q++)
        for (size_t i = 0; i < (size_t)m; i++) {
            int32_t four;
            memcpy(&four, rows + i * stride + 4 * q, sizeof four);
            const __m128i wide = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(four));
            _mm_storel_epi64(
                (__m128i *)(void *)((unsigned char *)out + 8 * (q * width + i)), wide);
        }
}

/* The four weights, four times. */
ALWAYS_INLINE __m256i four_of(const int8_t *w)
{
    int32_t four;
    memcpy(&four, w, sizeof four);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
}

/* One output, four `vectors` rows. A sum vector holds two partial sums of each row. */
ALWAYS_INLINE void sums_of(const int vectors, const unsigned char *a,
                           const uint16_t *place, const int8_t *w, size_t count,
                           int32_t *acc)
{
    __m256i sum[MR / 4];
    UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = _mm256_setzero_si256();
    for (; count; count--, w += 4, place++) {
        const unsigned char *from = a + (size_t)*place * 32 * (size_t)vectors;
        const __m256i four = four_of(w);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v] = _mm256_add_epi32(
                sum[v],
                _mm256_madd_epi16(
                    _mm256_loadu_si256((const __m256i *)(const void *)(from + 32 * v)),
                    four));
    }
    UNROLL
    for (int v = 0; v < vectors; v += 2) {
        const __m256i second = vectors > 1 ? sum[v + 1] : sum[v];
        const __m256i whole = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum[v], second),
                                                       _MM_SHUFFLE(3, 1, 2, 0));
        if (vectors > 1)
            _mm256_storeu_si256((__m256i *)(void *)(acc + 4 * v), whole);
        else
            _mm_storeu_si128((__m128i *)(void *)acc, _mm256_castsi256_si128(whole));
    }
}

DEFINE_QUADS_RUN(quads_32_avx2)

const struct pare_gemm_quads pare_gemm_quads_avx2 = {.name = "quads_32_avx2",
                                                     .mr = MR,
                                                     .a_bytes = 2,
                                                     .a_offset = 0,
                                                     .pack_a = pack_a_avx2,
                                                     .run = quads_32_avx2};
