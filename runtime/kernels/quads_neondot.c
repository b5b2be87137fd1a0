/* INT8 with zero quads for 64-bit ARM with the dot-product instructions: up to 32 rows,
 * four in a vector. SDOT multiplies signed by signed bytes: the activations are packed as
 * a - 128. */
#if !defined(__ARM_FEATURE_DOTPROD)
#error "this file needs -march=armv8.2-a+dotprod"
#endif

#include <arm_neon.h>

#include "runtime/kernels/quads_neon.h"
#include "runtime/kernels/tiers.h"

/* One output, four `vectors` rows. */
ALWAYS_INLINE void sums_of(const int vectors, const int8_t *a, const uint16_t *place,
                           const int8_t *w, size_t count, int32_t *acc)
{
    int32x4_t sum[MR / 4];
    UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = vdupq_n_s32(0);
    for (; count; count--, w += 4, place++) {
        const int8_t *from = a + (size_t)*place * 16 * (size_t)vectors;
        const int8x16_t four = four_of(w);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v] = vdotq_s32(sum[v], vld1q_s8(from + 16 * v), four);
    }
    UNROLL
    for (int v = 0; v < vectors; v++)
        vst1q_s32(acc + 4 * v, sum[v]);
}

DEFINE_QUADS_RUN(quads_32_neondot)

const struct pare_gemm_quads pare_gemm_quads_neondot = {.name = "quads_32_neondot",
                                                        .mr = MR,
                                                        .a_bytes = 1,
                                                        .a_offset = 128,
                                                        .pack_a = pack_a_signed,
                                                        .run = quads_32_neondot};
