/* INT8 matrix kernel for 64-bit ARM with the matrix instructions on bytes (i8mm, asked
 * for at run time): tiles of up to 6 x 16.
 *
 * USMMLA multiplies two rows of eight unsigned bytes by two columns of eight signed ones:
 * two groups of four at a time, whose columns are put beside each other on the way.
 */
#if !defined(__ARM_FEATURE_MATMUL_INT8)
#error "this file needs -march=armv8.2-a+dotprod+i8mm"
#endif

#include <arm_neon.h>
#include <string.h>

#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 6
#define NR 16

/* Eight bytes of each row, then the next eight; four of each behind the last ones when
 * the number of groups is odd. */
static void pack_a_neoni8mm(void *out, const uint8_t *rows, size_t stride, int m,
                            size_t groups)
{
    unsigned char *to = out;
    for (size_t g = 0; g < groups; g += 2) {
        const size_t bytes = groups - g < 2 ? 4 : 8;
        for (int i = 0; i < m; i++, to += bytes)
            memcpy(to, rows + (size_t)i * stride + 4 * g, bytes);
    }
}

/* Eight bytes of row i and of row i + 1, which is zeros when there is none. */
ALWAYS_INLINE uint8x16_t two_rows(const int m, const unsigned char *a, const int i)
{
    return i + 1 < m ? vld1q_u8(a + 8 * i)
                     : vcombine_u8(vld1_u8(a + 8 * i), vdup_n_u8(0));
}

/* The same of rows that have four bytes left. */
ALWAYS_INLINE uint8x16_t two_ends(const int m, const unsigned char *a, const int i)
{
    uint32_t four[4] = {0};
    memcpy(&four[0], a + 4 * i, 4);
    if (i + 1 < m)
        memcpy(&four[2], a + 4 * (i + 1), 4);
    return vreinterpretq_u8_u32(vld1q_u32(four));
}

/* sum[i][j] (i even): rows i and i + 1 of columns 4 j and 4 j + 1, sum[i + 1][j]: of the
 * two columns behind them. two: b has a second group, else it is zeros. */
ALWAYS_INLINE void multiply(const int m, const uint8x16_t rows[MR / 2], const int8_t *b,
                            const int two, int32x4_t (*sum)[4])
{
    UNROLL
    for (int j = 0; j < 4; j++) {
        const int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(b + 16 * j));
        const int32x4_t second =
            two ? vreinterpretq_s32_s8(vld1q_s8(b + 4 * NR + 16 * j)) : vdupq_n_s32(0);
        const int8x16_t left = vreinterpretq_s8_s32(vzip1q_s32(first, second));
        const int8x16_t right = vreinterpretq_s8_s32(vzip2q_s32(first, second));
        UNROLL
        for (int i = 0; i < m; i += 2) {
            sum[i][j] = vusmmlaq_s32(sum[i][j], rows[i / 2], left);
            sum[i + 1][j] = vusmmlaq_s32(sum[i + 1][j], rows[i / 2], right);
        }
    }
}

ALWAYS_INLINE void store_sums(const int m, int32x4_t (*sum)[4], int32_t *acc,
                              size_t ldacc)
{
    UNROLL
    for (int i = 0; i < m; i += 2) {
        UNROLL
        for (int j = 0; j < 4; j++) {
            const int64x2_t left = vreinterpretq_s64_s32(sum[i][j]);
            const int64x2_t right = vreinterpretq_s64_s32(sum[i + 1][j]);
            int32_t *to = acc + (size_t)i * ldacc + 4 * j;
            vst1q_s32(to, vreinterpretq_s32_s64(vzip1q_s64(left, right)));
            if (i + 1 < m)
                vst1q_s32(to + ldacc, vreinterpretq_s32_s64(vzip2q_s64(left, right)));
        }
    }
}

ALWAYS_INLINE void u8s8_tile(const int m, size_t groups, const unsigned char *a,
                             const int8_t *b, int32_t *acc, size_t ldacc,
                             struct pare_ahead ahead)
{
    int32x4_t sum[MR][4];
    uint8x16_t rows[MR / 2];
    UNROLL
    for (int i = 0; i < (m + 1) / 2 * 2; i++) {
        UNROLL
        for (int j = 0; j < 4; j++)
            sum[i][j] = vdupq_n_s32(0);
    }
    AHEAD_START(ahead);
    size_t g = 0;
    for (; g + 2 <= groups; g += 2, a += 8 * m, b += 8 * NR) {
        AHEAD_STEP(ahead);
        AHEAD_STEP(ahead);
        UNROLL
        for (int i = 0; i < m; i += 2)
            rows[i / 2] = two_rows(m, a, i);
        multiply(m, rows, b, 1, sum);
    }
    if (g < groups) {
        UNROLL
        for (int i = 0; i < m; i += 2)
            rows[i / 2] = two_ends(m, a, i);
        multiply(m, rows, b, 0, sum);
    }
    store_sums(m, sum, acc, ldacc);
}

static void gemm_u8s8_6x16_neoni8mm(size_t groups, const void *a, const int8_t *b,
                                    int32_t *acc, size_t ldacc, int m,
                                    struct pare_ahead ahead)
{
#define CALL(m) u8s8_tile(m, groups, a, b, acc, ldacc, ahead)
    FOR_HEIGHT_UP_TO_6(m, CALL)
#undef CALL
}

const struct pare_gemm_u8s8 pare_gemm_u8s8_neoni8mm = {.name = "u8s8_6x16_neoni8mm",
                                                       .mr = MR,
                                                       .nr = NR,
                                                       .a_bytes = 1,
                                                       .a_offset = 0,
                                                       .pack_a = pack_a_neoni8mm,
                                                       .run = gemm_u8s8_6x16_neoni8mm};
