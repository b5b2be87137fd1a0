/* INT8 with zero quads for 64-bit ARM without the dot-product instructions: up to 32
 * rows, four in two vectors of sums. The activations are packed as a - 128, so that
 * products of bytes fit 16 bits with a sign. */
#if !defined(__aarch64__)
#error "this file is for 64-bit ARM"
#endif

#include <arm_neon.h>

#include "runtime/kernels/quads_neon.h"
#include "runtime/kernels/tiers.h"

/* One output, four `vectors` rows; each vector of sums holds two partial sums of two. */
ALWAYS_INLINE void sums_of(const int vectors, const int8_t *a, const uint16_t *place,
                           const int8_t *w, size_t count, int32_t *acc)
{
    int32x4_t sum[MR / 4][2];
    UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v][0] = sum[v][1] = vdupq_n_s32(0);
    for (; count; count--, w += 4, place++) {
        const int8_t *from = a + (size_t)*place * 16 * (size_t)vectors;
        const int8x16_t four = four_of(w);
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const int8x16_t av = vld1q_s8(from + 16 * v);
            sum[v][0] =
                vpadalq_s16(sum[v][0], vmull_s8(vget_low_s8(av), vget_low_s8(four)));
            sum[v][1] = vpadalq_s16(sum[v][1], vmull_high_s8(av, four));
        }
    }
    UNROLL
    for (int v = 0; v < vectors; v++)
        vst1q_s32(acc + 4 * v, vpaddq_s32(sum[v][0], sum[v][1]));
}

DEFINE_QUADS_RUN(quads_32_neon)

const struct pare_gemm_quads pare_gemm_quads_neon = {.name = "quads_32_neon",
                                                     .mr = MR,
                                                     .a_bytes = 1,
                                                     .a_offset = 128,
                                                     .pack_a = pack_a_signed,
                                                     .run = quads_32_neon};
