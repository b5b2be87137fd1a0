/* Float matrix kernel and packing for AVX-512 (F, BW, DQ, VL): tiles of up to 14 x 32.
 *
 * 28 accumulators, two vectors of b and one broadcast of a fill the 32 registers. Each
 * height has its own instance with everything unrolled but k. A panel of b and a tile
 * lie in the second cache level; they are asked for a few steps ahead.
 */
#if !defined(__AVX512F__) || !defined(__AVX512DQ__)
#error "this file needs -mavx512f -mavx512dq"
#endif

#include <immintrin.h>

#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 14
#define NR 32
#define B_AHEAD 8 /* steps of k */
#define A_AHEAD 16

ALWAYS_INLINE void f32_tile(const int m, size_t kc, const float *a, const float *b,
                            float *c, size_t ldc, int n, int accumulate,
                            struct pare_ahead ahead)
{
    const uint32_t columns = n >= NR ? 0xffffffffu : (1u << n) - 1;
    const __mmask16 left = (__mmask16)columns, right = (__mmask16)(columns >> 16);
    __m512 sum[MR][2];
    UNROLL
    for (int i = 0; i < m; i++) {
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
        if (accumulate) {
            sum[i][0] = _mm512_maskz_loadu_ps(left, c + (size_t)i * ldc);
            sum[i][1] = _mm512_maskz_loadu_ps(right, c + (size_t)i * ldc + 16);
        }
    }
    AHEAD_START(ahead);
    for (size_t k = 0; k < kc; k++, a += m, b += NR) {
        AHEAD_STEP(ahead);
        __builtin_prefetch(a + A_AHEAD * m);
        __builtin_prefetch(b + B_AHEAD * NR);
        __builtin_prefetch(b + B_AHEAD * NR + 16);
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
        UNROLL
        for (int i = 0; i < m; i++) {
            const __m512 ai = _mm512_set1_ps(a[i]);
            sum[i][0] = _mm512_fmadd_ps(ai, b0, sum[i][0]);
            sum[i][1] = _mm512_fmadd_ps(ai, b1, sum[i][1]);
        }
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        _mm512_mask_storeu_ps(c + (size_t)i * ldc, left, sum[i][0]);
        _mm512_mask_storeu_ps(c + (size_t)i * ldc + 16, right, sum[i][1]);
    }
}

static void gemm_f32_14x32_avx512(size_t kc, const float *a, const float *b, float *c,
                                  size_t ldc, int m, int n, int accumulate,
                                  struct pare_ahead ahead)
{
#define CALL(m) f32_tile(m, kc, a, b, c, ldc, n, accumulate, ahead)
    FOR_HEIGHT_UP_TO_14(m, CALL)
#undef CALL
}

const struct pare_gemm_f32 pare_gemm_f32_avx512 = {
    .name = "f32_14x32_avx512", .mr = MR, .nr = NR, .run = gemm_f32_14x32_avx512};

/* Four words of row r in each quarter of the result: quarter q holds those of row
 * r + 4 q. */
ALWAYS_INLINE __m512 quarters(const unsigned char *from, const size_t row[16], int r)
{
#define FOUR(r) _mm_loadu_ps((const float *)(const void *)(from + row[r]))
    __m512 v = _mm512_castps128_ps512(FOUR(r));
    v = _mm512_mask_broadcast_f32x4(v, 0x00f0, FOUR(r + 4));
    v = _mm512_mask_broadcast_f32x4(v, 0x0f00, FOUR(r + 8));
    return _mm512_mask_broadcast_f32x4(v, 0xf000, FOUR(r + 12));
#undef FOUR
}

/* Four words of 16 rows, transposed; the columns of `mask` are stored. */
ALWAYS_INLINE void transpose_four(float *out, size_t width, const unsigned char *from,
                                  const size_t row[16], __mmask16 mask)
{
    const __m512 r0 = quarters(from, row, 0), r1 = quarters(from, row, 1);
    const __m512 r2 = quarters(from, row, 2), r3 = quarters(from, row, 3);
    const __m512 low01 = _mm512_unpacklo_ps(r0, r1), high01 = _mm512_unpackhi_ps(r0, r1);
    const __m512 low23 = _mm512_unpacklo_ps(r2, r3), high23 = _mm512_unpackhi_ps(r2, r3);
    const __m512 k0 = _mm512_shuffle_ps(low01, low23, 0x44);
    const __m512 k1 = _mm512_shuffle_ps(low01, low23, 0xee);
    const __m512 k2 = _mm512_shuffle_ps(high01, high23, 0x44);
    const __m512 k3 = _mm512_shuffle_ps(high01, high23, 0xee);
    _mm512_mask_storeu_ps(out, mask, k0);
    _mm512_mask_storeu_ps(out + width, mask, k1);
    _mm512_mask_storeu_ps(out + 2 * width, mask, k2);
    _mm512_mask_storeu_ps(out + 3 * width, mask, k3);
}

void pare_pack_avx512(void *out, size_t width, const void *in, size_t stride, size_t rows,
                      size_t n)
{
    float *to = out;
    const unsigned char *from = in;
    for (; rows; to += 16) {
        const size_t some = rows < 16 ? rows : 16;
        const __mmask16 mask = (__mmask16)((1u << some) - 1);
        size_t row[16], k = 0; /* a row that does not exist is read as the last one */
        for (size_t r = 0; r < 16; r++)
            row[r] = (r < some ? r : some - 1) * stride;
        for (; k + 4 <= n; k += 4)
            transpose_four(to + k * width, width, from + 4 * k, row, mask);
        pare_pack_scalar(to + k * width, width, from + 4 * k, stride, some, n - k);
        from += some * stride;
        rows -= some;
    }
}

void pare_pack_copy_avx512(void *out, size_t width, const void *in, size_t stride,
                           size_t columns, size_t n)
{
    float *to = out;
    const unsigned char *from = in;
    for (; columns; to += 16) {
        const size_t some = columns < 16 ? columns : 16;
        const __mmask16 mask = (__mmask16)((1u << some) - 1);
        for (size_t k = 0; k < n; k++)
            _mm512_mask_storeu_ps(to + k * width, mask,
                                  _mm512_maskz_loadu_ps(mask, from + k * stride));
        from += some * sizeof(float);
        columns -= some;
    }
}
