/* Codes in groups for 64-bit ARM without the dot-product instructions: tiles of up to
 * 6 x 4.
 *
 * Products of bytes are added in 16 bits without sign, where four of codes of at most 4
 * bits have room (4 * 255 * 15); those of wider codes are added in pairs at once.
 */
#include <arm_neon.h>

#include "runtime/kernels/grouped_neon_bits.h"
#include "runtime/kernels/grouped_pack.h"
#include "runtime/kernels/grouped_run.h"
#include "runtime/kernels/tiers.h"

#define MR 6
#define NR 4

static void pack_neon(const struct pare_grouped *shape, void *out, const uint8_t *codes,
                      size_t stride, const float *scale, const uint8_t *zero, int n)
{
    pack_group(shape, NR, out, codes, stride, scale, zero, (size_t)n);
}

static void pack_a_neon(const struct pare_grouped *shape, void *out, uint8_t *rows,
                        const float *scale, const int32_t *zero, int m)
{
    pack_rows_of_groups(shape, out, rows, scale, zero, (size_t)m, 0, pare_pack_neon);
}

ALWAYS_INLINE uint8x16_t unpacked(const int width, const uint8_t *b, const int quad)
{
    const int per = 8 / width, shift = quad % per * width;
    const uint8x16_t bytes = vld1q_u8(b + quad / per * 4 * NR);
    return bits_of(bytes, shift, width);
}

ALWAYS_INLINE uint8x16_t four_of(const uint8_t *a)
{
    return vreinterpretq_u8_u32(vdupq_n_u32(load_four(a)));
}

/* One step of 16 inputs. sum[i][0] holds two partial sums each of columns 0 and 1,
 * sum[i][1] those of columns 2 and 3. */
ALWAYS_INLINE void add_step(const int m, const int width, const uint8_t *a,
                            const uint8_t *b, uint32x4_t (*sum)[2])
{
    uint8x16_t w[4];
    UNROLL
    for (int quad = 0; quad < 4; quad++)
        w[quad] = unpacked(width, b, quad);
    UNROLL
    for (int i = 0; i < m; i++) {
        uint16x8_t low = vdupq_n_u16(0), high = low;
        UNROLL
        for (int quad = 0; quad < 4; quad++) {
            const uint8x16_t ai = four_of(a + 4 * (m * quad + i));
            low = vmlal_u8(low, vget_low_u8(w[quad]), vget_low_u8(ai));
            high = vmlal_high_u8(high, w[quad], ai);
            if (width < 8 && quad < 3)
                continue;
            sum[i][0] = vpadalq_u16(sum[i][0], low);
            sum[i][1] = vpadalq_u16(sum[i][1], high);
            low = high = vdupq_n_u16(0);
        }
    }
}

ALWAYS_INLINE void finish_group(const int m, size_t chunks, uint32x4_t (*sum)[2],
                                const uint8_t *a, const uint8_t *b, float *y, size_t ldy)
{
    int32x4_t whole[MR];
    UNROLL
    for (int i = 0; i < m; i++)
        whole[i] = vreinterpretq_s32_u32(vpaddq_u32(sum[i][0], sum[i][1]));
    for (size_t c = 0; c < chunks; c++, a += 4 * m, b += 4 * NR) {
        const int16x4x2_t w = vld2_s16((const int16_t *)(const void *)b);
        UNROLL
        for (int i = 0; i < m; i++) {
            int16_t x[2];
            memcpy(x, a + 4 * i, sizeof x);
            whole[i] = vmlal_n_s16(vmlal_n_s16(whole[i], w.val[0], x[0]), w.val[1], x[1]);
        }
    }
    const float32x4_t scales = vld1q_f32((const float *)(const void *)b);
    UNROLL
    for (int i = 0; i < m; i++) {
        float *to = y + (size_t)i * ldy, si;
        memcpy(&si, a + 4 * i, sizeof si);
        vst1q_f32(to, vfmaq_f32(vld1q_f32(to), vcvtq_f32_s32(whole[i]),
                                vmulq_n_f32(scales, si)));
    }
}

ALWAYS_INLINE void grouped_tile(const int m, const int width,
                                const struct pare_grouped *shape, const uint8_t *a,
                                const uint8_t *b, float *y, size_t ldy,
                                struct pare_ahead ahead)
{
    const size_t quads = pare_grouped_quads(shape), chunks = pare_grouped_chunks(shape);
    UNROLL
    for (int i = 0; i < m; i++)
        vst1q_f32(y + (size_t)i * ldy, vdupq_n_f32(0));
    AHEAD_START(ahead);
    for (size_t g = 0; g < shape->groups; g++) {
        uint32x4_t sum[MR][2];
        UNROLL
        for (int i = 0; i < m; i++)
            sum[i][0] = sum[i][1] = vdupq_n_u32(0);
        for (size_t step = 0; step < quads; step += 4, b += 2 * NR * width, a += 16 * m) {
            AHEAD_STEP(ahead);
            add_step(m, width, a, b, sum);
        }
        finish_group(m, chunks, sum, a, b, y, ldy);
        a += 4 * (chunks + 1) * (size_t)m;
        b += 4 * (chunks + 1) * NR;
    }
}

DEFINE_GROUPED_RUN(grouped_6x4_neon, FOR_HEIGHT_UP_TO_6)

const struct pare_gemm_grouped pare_gemm_grouped_neon = {.name = "grouped_6x4_neon",
                                                         .mr = MR,
                                                         .nr = NR,
                                                         .pack = pack_neon,
                                                         .pack_a = pack_a_neon,
                                                         .run = grouped_6x4_neon};
