/* Matrix kernels for AVX2 with FMA: tiles of up to 6 x 16 floats, 4 x 8 bytes.
 *
 * Floats: twelve sums, two vectors of b and one broadcast of a in 16 registers. Bytes
 * need registers for the products too. Each height has its own instance with everything
 * unrolled but k.
 */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "this file needs -mavx2 -mfma"
#endif

#include <immintrin.h>
#include <string.h>

#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 6
#define NR 16
#define MR_U8S8 4
#define NR_U8S8 8

/* All bits set in the first n of eight lanes. */
ALWAYS_INLINE __m256i first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

ALWAYS_INLINE void f32_tile(const int m, size_t kc, const float *a, const float *b,
                            float *c, size_t ldc, int n, int accumulate,
                            struct pare_ahead ahead)
{
    const __m256i left = first_lanes(n), right = first_lanes(n - 8);
    __m256 sum[MR][2];
    UNROLL
    for (int i = 0; i < m; i++) {
        sum[i][0] = sum[i][1] = _mm256_setzero_ps();
        if (accumulate) {
            sum[i][0] = _mm256_maskload_ps(c + (size_t)i * ldc, left);
            sum[i][1] = _mm256_maskload_ps(c + (size_t)i * ldc + 8, right);
        }
    }
    AHEAD_START(ahead);
    for (size_t k = 0; k < kc; k++, a += m, b += NR) {
        AHEAD_STEP(ahead);
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
        UNROLL
        for (int i = 0; i < m; i++) {
            const __m256 ai = _mm256_broadcast_ss(a + i);
            sum[i][0] = _mm256_fmadd_ps(ai, b0, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(ai, b1, sum[i][1]);
        }
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        float *ci = c + (size_t)i * ldc;
        if (n == NR) {
            _mm256_storeu_ps(ci, sum[i][0]);
            _mm256_storeu_ps(ci + 8, sum[i][1]);
        } else {
            _mm256_maskstore_ps(ci, left, sum[i][0]);
            _mm256_maskstore_ps(ci + 8, right, sum[i][1]);
        }
    }
}

static void gemm_f32_6x16_avx2(size_t kc, const float *a, const float *b, float *c,
                               size_t ldc, int m, int n, int accumulate,
                               struct pare_ahead ahead)
{
#define CALL(m) f32_tile(m, kc, a, b, c, ldc, n, accumulate, ahead)
    FOR_HEIGHT_UP_TO_6(m, CALL)
#undef CALL
}

const struct pare_gemm_f32 pare_gemm_f32_avx2 = {
    .name = "f32_6x16_avx2", .mr = MR, .nr = NR, .run = gemm_f32_6x16_avx2};

/* [groups][m][4] of 16 bits. The byte product _mm256_maddubs_epi16 would saturate; on 16
 * bits _mm256_madd_epi16 is exact. */
static void pack_a_avx2(void *out, const uint8_t *rows, size_t stride, int m,
                        size_t groups)
{
    unsigned char *to = out;
    for (size_t g = 0; g < groups; g++)
        for (int i = 0; i < m; i++, to += 8) {
            int32_t four;
            memcpy(&four, rows + (size_t)i * stride + 4 * g, sizeof four);
            __m128i wide = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(four));
            _mm_storel_epi64((__m128i *)(void *)to, wide);
        }
}

/* A sum vector holds two partial sums (k, k + 1 and k + 2, k + 3) of four columns. */
ALWAYS_INLINE void u8s8_tile(const int m, size_t groups, const unsigned char *a,
                             const int8_t *b, int32_t *acc, size_t ldacc,
                             struct pare_ahead ahead)
{
    __m256i sum[MR_U8S8][2];
    UNROLL
    for (int i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = _mm256_setzero_si256();
    AHEAD_START(ahead);
    for (size_t g = 0; g < groups; g++, a += 8 * m, b += 4 * NR_U8S8) {
        AHEAD_STEP(ahead);
        const __m128i *bytes = (const __m128i *)(const void *)b;
        const __m256i b0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes));
        const __m256i b1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes + 1));
        UNROLL
        for (int i = 0; i < m; i++) {
            double four; /* a 64-bit broadcast from memory, whatever the bits mean */
            memcpy(&four, a + 8 * i, sizeof four);
            const __m256i ai = _mm256_castpd_si256(_mm256_set1_pd(four));
            sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(ai, b0));
            sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(ai, b1));
        }
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        __m256i whole = _mm256_hadd_epi32(sum[i][0], sum[i][1]);
        whole = _mm256_permute4x64_epi64(whole, _MM_SHUFFLE(3, 1, 2, 0));
        _mm256_storeu_si256((__m256i *)(void *)(acc + (size_t)i * ldacc), whole);
    }
}

static void gemm_u8s8_4x8_avx2(size_t groups, const void *a, const int8_t *b,
                               int32_t *acc, size_t ldacc, int m, struct pare_ahead ahead)
{
#define CALL(m) u8s8_tile(m, groups, a, b, acc, ldacc, ahead)
    FOR_HEIGHT_UP_TO_4(m, CALL)
#undef CALL
}

const struct pare_gemm_u8s8 pare_gemm_u8s8_avx2 = {.name = "u8s8_4x8_avx2",
                                                   .mr = MR_U8S8,
                                                   .nr = NR_U8S8,
                                                   .a_bytes = 2,
                                                   .a_offset = 0,
                                                   .pack_a = pack_a_avx2,
                                                   .run = gemm_u8s8_4x8_avx2};

/* Words k .. k + 3 of row r in the low half, of row r + 4 in the high half; zeros for
 * rows that do not exist. */
ALWAYS_INLINE __m256 halves(const unsigned char *from, size_t stride, size_t r,
                            size_t rows)
{
    __m128 low = _mm_setzero_ps(), high = low;
    if (r < rows)
        low = _mm_loadu_ps((const float *)(const void *)(from + r * stride));
    if (r + 4 < rows)
        high = _mm_loadu_ps((const float *)(const void *)(from + (r + 4) * stride));
    return _mm256_set_m128(high, low);
}

ALWAYS_INLINE void put(float *out, __m256i mask, __m256 v, size_t rows)
{
    if (rows == 8)
        _mm256_storeu_ps(out, v);
    else
        _mm256_maskstore_ps(out, mask, v);
}

/* Four words of up to 8 rows, transposed. */
ALWAYS_INLINE void transpose_four(float *out, size_t width, const unsigned char *from,
                                  size_t stride, size_t rows)
{
    const __m256i mask = first_lanes((int)rows);
    const __m256 r0 = halves(from, stride, 0, rows), r1 = halves(from, stride, 1, rows);
    const __m256 r2 = halves(from, stride, 2, rows), r3 = halves(from, stride, 3, rows);
    const __m256 low01 = _mm256_unpacklo_ps(r0, r1), high01 = _mm256_unpackhi_ps(r0, r1);
    const __m256 low23 = _mm256_unpacklo_ps(r2, r3), high23 = _mm256_unpackhi_ps(r2, r3);
    put(out, mask, _mm256_shuffle_ps(low01, low23, 0x44), rows);
    put(out + width, mask, _mm256_shuffle_ps(low01, low23, 0xee), rows);
    put(out + 2 * width, mask, _mm256_shuffle_ps(high01, high23, 0x44), rows);
    put(out + 3 * width, mask, _mm256_shuffle_ps(high01, high23, 0xee), rows);
}

void pare_pack_avx2(void *out, size_t width, const void *in, size_t stride, size_t rows,
                    size_t n)
{
    float *to = out;
    const unsigned char *from = in;
    for (; rows; to += 8) {
        const size_t some = rows < 8 ? rows : 8;
        size_t k = 0;
        if (some == 8)
            for (; k + 4 <= n; k += 4)
                transpose_four(to + k * width, width, from + 4 * k, stride, 8);
        else if (some == 6)
            for (; k + 4 <= n; k += 4)
                transpose_four(to + k * width, width, from + 4 * k, stride, 6);
        else
            for (; k + 4 <= n; k += 4)
                transpose_four(to + k * width, width, from + 4 * k, stride, some);
        pare_pack_scalar(to + k * width, width, from + 4 * k, stride, some, n - k);
        from += some * stride;
        rows -= some;
    }
}

void pare_pack_copy_avx2(void *out, size_t width, const void *in, size_t stride,
                         size_t columns, size_t n)
{
    float *to = out;
    const unsigned char *from = in;
    for (; columns; to += 8) {
        const size_t some = columns < 8 ? columns : 8;
        const __m256i mask = first_lanes((int)some);
        for (size_t k = 0; k < n; k++) {
            const float *row = (const float *)(const void *)(from + k * stride);
            if (some == 8)
                _mm256_storeu_ps(to + k * width, _mm256_loadu_ps(row));
            else
                _mm256_maskstore_ps(to + k * width, mask, _mm256_maskload_ps(row, mask));
        }
        from += some * sizeof(float);
        columns -= some;
    }
}
