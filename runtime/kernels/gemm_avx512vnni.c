/* INT8 matrix kernel for AVX-512 with the dot-product instructions (VNNI): tiles of up to
 * 14 x 32, in the manner of gemm_avx512.c.
 */
#if !defined(__AVX512F__) || !defined(__AVX512VNNI__)
#error "this file needs -mavx512f -mavx512vnni"
#endif

#include <immintrin.h>
#include <string.h>

#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 14
#define NR 32

static void pack_a_avx512vnni(void *out, const uint8_t *rows, size_t stride, int m,
                              size_t groups)
{
    pare_pack_avx512(out, (size_t)m, rows, stride, (size_t)m, groups);
}

ALWAYS_INLINE void u8s8_tile(const int m, size_t groups, const uint8_t *a,
                             const int8_t *b, int32_t *acc, size_t ldacc,
                             struct pare_ahead ahead)
{
    __m512i sum[MR][2];
    UNROLL
    for (int i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_si512();
    AHEAD_START(ahead);
    for (size_t g = 0; g < groups; g++, a += 4 * m, b += 4 * NR) {
        AHEAD_STEP(ahead);
        const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
        UNROLL
        for (int i = 0; i < m; i++) {
            int32_t four;
            memcpy(&four, a + 4 * i, sizeof four);
            const __m512i ai = _mm512_set1_epi32(four);
            sum[i][0] = _mm512_dpbusd_epi32(sum[i][0], ai, b0);
            sum[i][1] = _mm512_dpbusd_epi32(sum[i][1], ai, b1);
        }
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        _mm512_storeu_si512(acc + (size_t)i * ldacc, sum[i][0]);
        _mm512_storeu_si512(acc + (size_t)i * ldacc + 16, sum[i][1]);
    }
}

static void gemm_u8s8_14x32_avx512vnni(size_t groups, const void *a, const int8_t *b,
                                       int32_t *acc, size_t ldacc, int m,
                                       struct pare_ahead ahead)
{
#define CALL(m) u8s8_tile(m, groups, a, b, acc, ldacc, ahead)
    FOR_HEIGHT_UP_TO_14(m, CALL)
#undef CALL
}

const struct pare_gemm_u8s8 pare_gemm_u8s8_avx512vnni = {.name = "u8s8_14x32_avx512vnni",
                                                         .mr = MR,
                                                         .nr = NR,
                                                         .a_bytes = 1,
                                                         .a_offset = 0,
                                                         .pack_a = pack_a_avx512vnni,
                                                         .run =
                                                             gemm_u8s8_14x32_avx512vnni};
