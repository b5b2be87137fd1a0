/* Codes in groups for 64-bit ARM with the matrix instructions on bytes: tiles of up to 6
 * x 16.
 *
 * UMMLA multiplies two rows of eight bytes by two columns of eight. While a group is
 * added, sum[i][v] and sum[i + 1][v] (i even) hold rows i and i + 1 of columns 4 v and
 * 4 v + 1, and of the two columns behind them.
 */
#if !defined(__ARM_FEATURE_MATMUL_INT8)
#error "this file needs -march=armv8.2-a+dotprod+i8mm"
#endif

#define QUADS 2
#include "runtime/kernels/grouped_neon16.h"

/* Both quads of row i, then of row i + 1, which is zeros when there is none. */
ALWAYS_INLINE uint8x16_t two_rows(const int m, const uint8_t *a, const int i)
{
    uint32x4_t first = vdupq_n_u32(0), second = first;
    if (i + 1 < m) {
        first = vreinterpretq_u32_u8(vcombine_u8(vld1_u8(a + 4 * i), vdup_n_u8(0)));
        second =
            vreinterpretq_u32_u8(vcombine_u8(vld1_u8(a + 4 * (m + i)), vdup_n_u8(0)));
    } else {
        first = vsetq_lane_u32(load_four(a + 4 * i), first, 0);
        second = vsetq_lane_u32(load_four(a + 4 * (m + i)), second, 0);
    }
    return vreinterpretq_u8_u32(vzip1q_u32(first, second));
}

ALWAYS_INLINE void add_quads(const int m, const int width, const uint8_t *a,
                             const uint8_t *b, const int quad, uint32x4_t (*sum)[4])
{
    uint8x16_t rows[MR / 2];
    UNROLL
    for (int i = 0; i < m; i += 2)
        rows[i / 2] = two_rows(m, a, i);
    UNROLL
    for (int v = 0; v < 4; v++) {
        const uint32x4_t first = vreinterpretq_u32_u8(unpacked(width, b, quad, v));
        const uint32x4_t second = vreinterpretq_u32_u8(unpacked(width, b, quad + 1, v));
        const uint8x16_t left = vreinterpretq_u8_u32(vzip1q_u32(first, second));
        const uint8x16_t right = vreinterpretq_u8_u32(vzip2q_u32(first, second));
        UNROLL
        for (int i = 0; i < m; i += 2) {
            sum[i][v] = vmmlaq_u32(sum[i][v], rows[i / 2], left);
            sum[i + 1][v] = vmmlaq_u32(sum[i + 1][v], rows[i / 2], right);
        }
    }
}

ALWAYS_INLINE void to_columns(const int m, uint32x4_t (*sum)[4])
{
    UNROLL
    for (int i = 0; i < m; i += 2) {
        UNROLL
        for (int v = 0; v < 4; v++) {
            const uint64x2_t left = vreinterpretq_u64_u32(sum[i][v]);
            const uint64x2_t right = vreinterpretq_u64_u32(sum[i + 1][v]);
            sum[i][v] = vreinterpretq_u32_u64(vzip1q_u64(left, right));
            sum[i + 1][v] = vreinterpretq_u32_u64(vzip2q_u64(left, right));
        }
    }
}

DEFINE_GROUPED_RUN(grouped_6x16_neoni8mm, FOR_HEIGHT_UP_TO_6)

const struct pare_gemm_grouped pare_gemm_grouped_neoni8mm = {
    .name = "grouped_6x16_neoni8mm",
    .mr = MR,
    .nr = NR,
    .pack = pack_columns,
    .expand = expand_columns,
    .pack_a = pack_rows,
    .run = grouped_6x16_neoni8mm};
