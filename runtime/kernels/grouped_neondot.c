/* Codes in groups for 64-bit ARM with the dot-product instructions: tiles of up to 6
 * x 16.
 */
#if !defined(__ARM_FEATURE_DOTPROD)
#error "this file needs -march=armv8.2-a+dotprod"
#endif

#define QUADS 1
#include "runtime/kernels/grouped_neon16.h"

ALWAYS_INLINE void add_quads(const int m, const int width, const uint8_t *a,
                             const uint8_t *b, const int quad, uint32x4_t (*sum)[4])
{
    uint8x16_t w[4];
    UNROLL
    for (int v = 0; v < 4; v++)
        w[v] = unpacked(width, b, quad, v);
    UNROLL
    for (int i = 0; i < m; i++) {
        const uint8x16_t ai = vreinterpretq_u8_u32(vdupq_n_u32(load_four(a + 4 * i)));
        UNROLL
        for (int v = 0; v < 4; v++)
            sum[i][v] = vdotq_u32(sum[i][v], w[v], ai);
    }
}

ALWAYS_INLINE void to_columns(const int m, uint32x4_t (*sum)[4])
{
    (void)m;
    (void)sum;
}

DEFINE_GROUPED_RUN(grouped_6x16_neondot, FOR_HEIGHT_UP_TO_6)

const struct pare_gemm_grouped pare_gemm_grouped_neondot = {.name =
                                                                "grouped_6x16_neondot",
                                                            .mr = MR,
                                                            .nr = NR,
                                                            .pack = pack_columns,
                                                            .expand = expand_columns,
                                                            .pack_a = pack_rows,
                                                            .run = grouped_6x16_neondot};
