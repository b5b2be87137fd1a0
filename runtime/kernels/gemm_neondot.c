/* INT8 matrix kernel for 64-bit ARM with the dot-product instructions (ARMv8.2 and later,
 * asked for at run time): tiles of up to 6 x 16.
 *
 * SDOT multiplies signed by signed bytes: the activations are packed as a - 128.
 */
#if !defined(__ARM_FEATURE_DOTPROD)
#error "this file needs -march=armv8.2-a+dotprod"
#endif

#include <arm_neon.h>
#include <string.h>

#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 6
#define NR 16

static void pack_a_neondot(void *out, const uint8_t *rows, size_t stride, int m,
                           size_t groups)
{
    unsigned char *to = out;
    for (size_t g = 0; g < groups; g++)
        for (int i = 0; i < m; i++, to += 4) {
            uint32_t four;
            memcpy(&four, rows + (size_t)i * stride + 4 * g, sizeof four);
            four ^= 0x80808080u; /* a - 128, as a signed byte */
            memcpy(to, &four, sizeof four);
        }
}

ALWAYS_INLINE void u8s8_tile(const int m, size_t groups, const unsigned char *a,
                             const int8_t *b, int32_t *acc, size_t ldacc,
                             struct pare_ahead ahead)
{
    int32x4_t sum[MR][4];
    UNROLL
    for (int i = 0; i < m; i++) {
        UNROLL
        for (int j = 0; j < 4; j++)
            sum[i][j] = vdupq_n_s32(0);
    }
    AHEAD_START(ahead);
    for (size_t g = 0; g < groups; g++, a += 4 * m, b += 4 * NR) {
        AHEAD_STEP(ahead);
        const int8x16_t b0 = vld1q_s8(b), b1 = vld1q_s8(b + 16);
        const int8x16_t b2 = vld1q_s8(b + 32), b3 = vld1q_s8(b + 48);
        UNROLL
        for (int i = 0; i < m; i++) {
            int32_t four;
            memcpy(&four, a + 4 * i, sizeof four);
            const int8x16_t ai = vreinterpretq_s8_s32(vdupq_n_s32(four));
            sum[i][0] = vdotq_s32(sum[i][0], b0, ai);
            sum[i][1] = vdotq_s32(sum[i][1], b1, ai);
            sum[i][2] = vdotq_s32(sum[i][2], b2, ai);
            sum[i][3] = vdotq_s32(sum[i][3], b3, ai);
        }
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        UNROLL
        for (int j = 0; j < 4; j++)
            vst1q_s32(acc + (size_t)i * ldacc + 4 * j, sum[i][j]);
    }
}

static void gemm_u8s8_6x16_neondot(size_t groups, const void *a, const int8_t *b,
                                   int32_t *acc, size_t ldacc, int m,
                                   struct pare_ahead ahead)
{
#define CALL(m) u8s8_tile(m, groups, a, b, acc, ldacc, ahead)
    FOR_HEIGHT_UP_TO_6(m, CALL)
#undef CALL
}

const struct pare_gemm_u8s8 pare_gemm_u8s8_neondot = {.name = "u8s8_6x16_neondot",
                                                      .mr = MR,
                                                      .nr = NR,
                                                      .a_bytes = 1,
                                                      .a_offset = 128,
                                                      .pack_a = pack_a_neondot,
                                                      .run = gemm_u8s8_6x16_neondot};
