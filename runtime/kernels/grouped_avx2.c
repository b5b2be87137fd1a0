/* Codes in groups for AVX2: tiles of up to 6 x 8.
 *
 * VPMADDUBSW adds two products of bytes in 16 bits, which saturates: products with codes
 * of at most 4 bits do not get there, not even four such sums (4 * 2 * 255 * 15). Wider
 * codes are their low half and 16 times their high half.
 */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "this file needs -mavx2 -mfma"
#endif

#include <immintrin.h>

#include "runtime/kernels/grouped_pack.h"
#include "runtime/kernels/grouped_run.h"
#include "runtime/kernels/tiers.h"

#define MR 6
#define NR 8

static void pack_avx2(const struct pare_grouped *shape, void *out, const uint8_t *codes,
                      size_t stride, const float *scale, const uint8_t *zero, int n)
{
    pack_group(shape, NR, out, codes, stride, scale, zero, (size_t)n);
}

static void pack_a_avx2(const struct pare_grouped *shape, void *out, uint8_t *rows,
                        const float *scale, const int32_t *zero, int m)
{
    pack_rows_of_groups(shape, out, rows, scale, zero, (size_t)m, 0, pare_pack_avx2);
}

ALWAYS_INLINE __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

ALWAYS_INLINE __m256i four_of(const uint8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm256_set1_epi32(four);
}

/* Bits shift .. shift + width of every byte. */
ALWAYS_INLINE __m256i bits_of(__m256i bytes, const int shift, const int width)
{
    return _mm256_and_si256(shift ? _mm256_srli_epi16(bytes, shift) : bytes,
                            _mm256_set1_epi8((char)((1 << width) - 1)));
}

/* Four quads of a row times codes of at most 4 bits, as eight sums of `weight` times
 * these. */
ALWAYS_INLINE __m256i four_quads(const int m, const uint8_t *a, const __m256i w[4],
                                 const int weight)
{
    __m256i sum = _mm256_maddubs_epi16(four_of(a), w[0]);
    UNROLL
    for (int quad = 1; quad < 4; quad++)
        sum = _mm256_add_epi16(sum,
                               _mm256_maddubs_epi16(four_of(a + 4 * m * quad), w[quad]));
    return _mm256_madd_epi16(sum, _mm256_set1_epi16((short)weight));
}

/* One step of 16 inputs: half 0 is all of narrow codes or the low half of wide ones. */
ALWAYS_INLINE void add_step(const int m, const int width, const int half,
                            const uint8_t *a, const uint8_t *b, __m256i *sum)
{
    __m256i w[4];
    UNROLL
    for (int quad = 0; quad < 4; quad++) {
        const int per = 8 / width;
        const __m256i bytes = load(b + quad / per * 4 * NR);
        w[quad] = bits_of(bytes, width == 8 ? 4 * half : quad % per * width,
                          width == 8 ? 4 : width);
    }
    UNROLL
    for (int i = 0; i < m; i++)
        sum[i] = _mm256_add_epi32(sum[i], four_quads(m, a + 4 * i, w, half ? 16 : 1));
}

ALWAYS_INLINE void finish_group(const int m, size_t chunks, __m256i *sum,
                                const uint8_t *a, const uint8_t *b, float *y, size_t ldy)
{
    for (size_t c = 0; c < chunks; c++, a += 4 * m, b += 4 * NR) {
        const __m256i pairs = load(b);
        UNROLL
        for (int i = 0; i < m; i++)
            sum[i] =
                _mm256_add_epi32(sum[i], _mm256_madd_epi16(four_of(a + 4 * i), pairs));
    }
    const __m256 scales = _mm256_castsi256_ps(load(b));
    UNROLL
    for (int i = 0; i < m; i++) {
        float *to = y + (size_t)i * ldy;
        const __m256 si = _mm256_castsi256_ps(four_of(a + 4 * i));
        _mm256_storeu_ps(to,
                         _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[i]),
                                         _mm256_mul_ps(si, scales), _mm256_loadu_ps(to)));
    }
}

ALWAYS_INLINE void grouped_tile(const int m, const int width,
                                const struct pare_grouped *shape, const uint8_t *a,
                                const uint8_t *b, float *y, size_t ldy,
                                struct pare_ahead ahead)
{
    const size_t quads = pare_grouped_quads(shape), chunks = pare_grouped_chunks(shape);
    UNROLL
    for (int i = 0; i < m; i++)
        _mm256_storeu_ps(y + (size_t)i * ldy, _mm256_setzero_ps());
    AHEAD_START(ahead);
    for (size_t g = 0; g < shape->groups; g++) {
        __m256i sum[MR];
        UNROLL
        for (int i = 0; i < m; i++)
            sum[i] = _mm256_setzero_si256();
        for (size_t step = 0; step < quads; step += 4, b += 2 * NR * width, a += 16 * m) {
            AHEAD_STEP(ahead);
            add_step(m, width, 0, a, b, sum);
            if (width == 8)
                add_step(m, width, 1, a, b, sum);
        }
        finish_group(m, chunks, sum, a, b, y, ldy);
        a += 4 * (chunks + 1) * (size_t)m;
        b += 4 * (chunks + 1) * NR;
    }
}

DEFINE_GROUPED_RUN(grouped_6x8_avx2, FOR_HEIGHT_UP_TO_6)

const struct pare_gemm_grouped pare_gemm_grouped_avx2 = {.name = "grouped_6x8_avx2",
                                                         .mr = MR,
                                                         .nr = NR,
                                                         .pack = pack_avx2,
                                                         .pack_a = pack_a_avx2,
                                                         .run = grouped_6x8_avx2};
