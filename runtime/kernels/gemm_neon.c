/* Matrix kernels for 64-bit ARM: tiles of up to 6 x 16 floats, 6 x 4 bytes (for CPUs
 * without the dot-product instructions; with them: gemm_neondot.c).
 */
#if !defined(__aarch64__)
#error "this file is for 64-bit ARM"
#endif

#include <arm_neon.h>
#include <string.h>

#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 6
#define NR 16
#define NR_U8S8 4

/* c: m rows of NR floats (a buffer when the real tile is narrower). */
ALWAYS_INLINE void f32_tile(const int m, size_t kc, const float *a, const float *b,
                            float *c, size_t ldc, int accumulate, struct pare_ahead ahead)
{
    float32x4_t sum[MR][4];
    UNROLL
    for (int i = 0; i < m; i++) {
        UNROLL
        for (int j = 0; j < 4; j++) {
            sum[i][j] = vdupq_n_f32(0);
            if (accumulate)
                sum[i][j] = vld1q_f32(c + (size_t)i * ldc + 4 * j);
        }
    }
    AHEAD_START(ahead);
    for (size_t k = 0; k < kc; k++, a += m, b += NR) {
        AHEAD_STEP(ahead);
        const float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4);
        const float32x4_t b2 = vld1q_f32(b + 8), b3 = vld1q_f32(b + 12);
        UNROLL
        for (int i = 0; i < m; i++) {
            const float32x4_t ai = vld1q_dup_f32(a + i);
            sum[i][0] = vfmaq_f32(sum[i][0], ai, b0);
            sum[i][1] = vfmaq_f32(sum[i][1], ai, b1);
            sum[i][2] = vfmaq_f32(sum[i][2], ai, b2);
            sum[i][3] = vfmaq_f32(sum[i][3], ai, b3);
        }
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        UNROLL
        for (int j = 0; j < 4; j++)
            vst1q_f32(c + (size_t)i * ldc + 4 * j, sum[i][j]);
    }
}

static void gemm_f32_6x16_neon(size_t kc, const float *a, const float *b, float *c,
                               size_t ldc, int m, int n, int accumulate,
                               struct pare_ahead ahead)
{
    float whole[MR * NR];
    float *to = c;
    size_t ld = ldc;
    if (n < NR) {
        to = whole;
        ld = NR;
        for (int i = 0; i < m; i++) {
            memset(whole + i * NR, 0, NR * sizeof(float));
            if (accumulate)
                memcpy(whole + i * NR, c + (size_t)i * ldc, (size_t)n * sizeof(float));
        }
    }
#define CALL(m) f32_tile(m, kc, a, b, to, ld, accumulate, ahead)
    FOR_HEIGHT_UP_TO_6(m, CALL)
#undef CALL
    for (int i = 0; i < m && n < NR; i++)
        memcpy(c + (size_t)i * ldc, whole + i * NR, (size_t)n * sizeof(float));
}

const struct pare_gemm_f32 pare_gemm_f32_neon = {
    .name = "f32_6x16_neon", .mr = MR, .nr = NR, .run = gemm_f32_6x16_neon};

/* [groups][m][4] of 16 bits. */
static void pack_a_neon(void *out, const uint8_t *rows, size_t stride, int m,
                        size_t groups)
{
    uint16_t *to = out;
    for (size_t g = 0; g < groups; g++)
        for (int i = 0; i < m; i++, to += 4)
            for (int k = 0; k < 4; k++)
                to[k] = rows[(size_t)i * stride + 4 * g + (size_t)k];
}

/* A sum vector holds one output's four partial sums, by k mod 4. */
ALWAYS_INLINE void u8s8_tile(const int m, size_t groups, const int16_t *a,
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
    for (size_t g = 0; g < groups; g++, a += 4 * m, b += 4 * NR_U8S8) {
        AHEAD_STEP(ahead);
        const int8x16_t bytes = vld1q_s8(b);
        const int16x8_t b01 = vmovl_s8(vget_low_s8(bytes)), b23 = vmovl_high_s8(bytes);
        UNROLL
        for (int i = 0; i < m; i++) {
            const int16x4_t ai = vld1_s16(a + 4 * i);
            const int16x8_t twice = vcombine_s16(ai, ai);
            sum[i][0] = vmlal_s16(sum[i][0], ai, vget_low_s16(b01));
            sum[i][1] = vmlal_high_s16(sum[i][1], twice, b01);
            sum[i][2] = vmlal_s16(sum[i][2], ai, vget_low_s16(b23));
            sum[i][3] = vmlal_high_s16(sum[i][3], twice, b23);
        }
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        const int32x4_t left = vpaddq_s32(sum[i][0], sum[i][1]);
        const int32x4_t right = vpaddq_s32(sum[i][2], sum[i][3]);
        vst1q_s32(acc + (size_t)i * ldacc, vpaddq_s32(left, right));
    }
}

static void gemm_u8s8_6x4_neon(size_t groups, const void *a, const int8_t *b,
                               int32_t *acc, size_t ldacc, int m, struct pare_ahead ahead)
{
#define CALL(m) u8s8_tile(m, groups, a, b, acc, ldacc, ahead)
    FOR_HEIGHT_UP_TO_6(m, CALL)
#undef CALL
}

const struct pare_gemm_u8s8 pare_gemm_u8s8_neon = {.name = "u8s8_6x4_neon",
                                                   .mr = MR,
                                                   .nr = NR_U8S8,
                                                   .a_bytes = 2,
                                                   .a_offset = 0,
                                                   .pack_a = pack_a_neon,
                                                   .run = gemm_u8s8_6x4_neon};

/* Four words of four rows, transposed. */
ALWAYS_INLINE void transpose_four(uint32_t *out, size_t width, const unsigned char *from,
                                  size_t stride)
{
    const uint32x4_t r0 = vreinterpretq_u32_u8(vld1q_u8(from));
    const uint32x4_t r1 = vreinterpretq_u32_u8(vld1q_u8(from + stride));
    const uint32x4_t r2 = vreinterpretq_u32_u8(vld1q_u8(from + 2 * stride));
    const uint32x4_t r3 = vreinterpretq_u32_u8(vld1q_u8(from + 3 * stride));
    const uint64x2_t even01 = vreinterpretq_u64_u32(vtrn1q_u32(r0, r1));
    const uint64x2_t odd01 = vreinterpretq_u64_u32(vtrn2q_u32(r0, r1));
    const uint64x2_t even23 = vreinterpretq_u64_u32(vtrn1q_u32(r2, r3));
    const uint64x2_t odd23 = vreinterpretq_u64_u32(vtrn2q_u32(r2, r3));
    vst1q_u32(out, vreinterpretq_u32_u64(vtrn1q_u64(even01, even23)));
    vst1q_u32(out + width, vreinterpretq_u32_u64(vtrn1q_u64(odd01, odd23)));
    vst1q_u32(out + 2 * width, vreinterpretq_u32_u64(vtrn2q_u64(even01, even23)));
    vst1q_u32(out + 3 * width, vreinterpretq_u32_u64(vtrn2q_u64(odd01, odd23)));
}

void pare_pack_neon(void *out, size_t width, const void *in, size_t stride, size_t rows,
                    size_t n)
{
    uint32_t *to = out;
    const unsigned char *from = in;
    for (; rows >= 4; rows -= 4, to += 4, from += 4 * stride) {
        size_t k = 0;
        for (; k + 4 <= n; k += 4)
            transpose_four(to + k * width, width, from + 4 * k, stride);
        pare_pack_scalar(to + k * width, width, from + 4 * k, stride, 4, n - k);
    }
    pare_pack_scalar(to, width, from, stride, rows, n);
}
