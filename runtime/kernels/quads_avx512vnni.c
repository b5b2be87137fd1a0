/* INT8 with zero quads for AVX-512 with the dot-product instructions: up to 64 rows, 16
 * in a vector (of few rows 8 or 4). Each vector of sums is there twice or four times, so
 * that no addition waits for the one before.
 */
#if !defined(__AVX512F__) || !defined(__AVX512VNNI__)
#error "this file needs -mavx512f -mavx512vnni"
#endif

#include <immintrin.h>

#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 64
#define MOST 4 /* vectors of a row block */

static void pack_a_avx512vnni(void *out, const uint8_t *rows, size_t stride, int m,
                              size_t quads)
{
    pare_pack_avx512(out, pare_quads_width((size_t)m), rows, stride, (size_t)m, quads);
}

ALWAYS_INLINE int32_t four_of(const int8_t *w)
{
    int32_t four;
    memcpy(&four, w, sizeof four);
    return four;
}

/* As an intrinsic gcc keeps copies of the sums, more than there are registers. */
#define DOT(sum, a, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w))

/* One output, 16 `vectors` rows: quads i, i + chains, ... go to sums number i. */
ALWAYS_INLINE void sums_of(const int vectors, const int chains, const uint8_t *a,
                           const uint16_t *place, const int8_t *w, size_t count,
                           int32_t *acc)
{
    __m512i sum[4][MOST];
    UNROLL
    for (int c = 0; c < chains; c++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[c][v] = _mm512_setzero_si512();
    }
    for (; count >= (size_t)chains; count -= (size_t)chains) {
        UNROLL
        for (int c = 0; c < chains; c++, w += 4, place++) {
            const uint8_t *from = a + (size_t)*place * 64 * (size_t)vectors;
            const __m512i four = _mm512_set1_epi32(four_of(w));
            UNROLL
            for (int v = 0; v < vectors; v++)
                DOT(sum[c][v], _mm512_loadu_si512(from + 64 * v), four);
        }
    }
    for (; count; count--, w += 4, place++) {
        const uint8_t *from = a + (size_t)*place * 64 * (size_t)vectors;
        const __m512i four = _mm512_set1_epi32(four_of(w));
        UNROLL
        for (int v = 0; v < vectors; v++)
            DOT(sum[0][v], _mm512_loadu_si512(from + 64 * v), four);
    }
    UNROLL
    for (int v = 0; v < vectors; v++) {
        UNROLL
        for (int c = 1; c < chains; c++)
            sum[0][v] = _mm512_add_epi32(sum[0][v], sum[c][v]);
        _mm512_storeu_si512(acc + 16 * v, sum[0][v]);
    }
}

/* The inputs of 8 or of 4 rows. */
ALWAYS_INLINE __m256i few(const int rows, const uint8_t *a)
{
    return rows == 8 ? _mm256_loadu_si256((const __m256i *)(const void *)a)
                     : _mm256_zextsi128_si256(
                           _mm_loadu_si128((const __m128i *)(const void *)a));
}

ALWAYS_INLINE void sums_of_few(const int rows, const uint8_t *a, const uint16_t *place,
                               const int8_t *w, size_t count, int32_t *acc)
{
    __m256i sum[4];
    UNROLL
    for (int c = 0; c < 4; c++)
        sum[c] = _mm256_setzero_si256();
    for (; count >= 4; count -= 4, w += 16, place += 4) {
        UNROLL
        for (int c = 0; c < 4; c++)
            DOT(sum[c], few(rows, a + 4 * (size_t)(rows * place[c])),
                _mm256_set1_epi32(four_of(w + 4 * c)));
    }
    for (; count; count--, w += 4, place++)
        DOT(sum[0], few(rows, a + 4 * (size_t)(rows * *place)),
            _mm256_set1_epi32(four_of(w)));
    sum[0] = _mm256_add_epi32(_mm256_add_epi32(sum[0], sum[1]),
                              _mm256_add_epi32(sum[2], sum[3]));
    if (rows == 8)
        _mm256_storeu_si256((__m256i *)(void *)acc, sum[0]);
    else
        _mm_storeu_si128((__m128i *)(void *)acc, _mm256_castsi256_si128(sum[0]));
}

static void quads_64_avx512vnni(const struct pare_quads *weights, size_t first, size_t n,
                                const void *a, int m, int32_t *acc)
{
    const size_t width = pare_quads_width((size_t)m);
    for (size_t j = first; j < first + n; j++, acc += width) {
        const size_t begin = weights->start[j], count = weights->start[j + 1] - begin;
        const uint16_t *place = weights->place + begin;
        const int8_t *w = weights->value + 4 * begin;
        switch (width) {
        case 4: sums_of_few(4, a, place, w, count, acc); break;
        case 8: sums_of_few(8, a, place, w, count, acc); break;
        case 16: sums_of(1, 4, a, place, w, count, acc); break;
        case 32: sums_of(2, 4, a, place, w, count, acc); break;
        case 48: sums_of(3, 2, a, place, w, count, acc); break;
        default: sums_of(4, 2, a, place, w, count, acc); break;
        }
    }
}

const struct pare_gemm_quads pare_gemm_quads_avx512vnni = {.name = "quads_64_avx512vnni",
                                                           .mr = MR,
                                                           .a_bytes = 1,
                                                           .a_offset = 0,
                                                           .pack_a = pack_a_avx512vnni,
                                                           .run = quads_64_avx512vnni};
