/* Codes in groups for 64-bit ARM in tiles of up to 6 x 16: what the tiers share that
 * multiply four or eight bytes at a time.
 *
 * The including file defines QUADS (how many quads it adds at once: 1 or 2) and
 * add_quads, which adds those from number `quad` of four to the sums, and to_columns,
 * which puts the sums of row i, columns 4 v to 4 v + 3, into sum[i][v].
 */
#ifndef PARE_KERNELS_GROUPED_NEON16_H
#define PARE_KERNELS_GROUPED_NEON16_H

#include <arm_neon.h>

#include "runtime/kernels/grouped_neon_bits.h"
#include "runtime/kernels/grouped_pack.h"
#include "runtime/kernels/grouped_run.h"
#include "runtime/kernels/tiers.h"

#define MR 6
#define NR 16

static void pack_columns(const struct pare_grouped *shape, void *out,
                         const uint8_t *codes, size_t stride, const float *scale,
                         const uint8_t *zero, int n)
{
    pack_group(shape, NR, out, codes, stride, scale, zero, (size_t)n);
}

static void expand_columns(const struct pare_grouped *shape, void *out, const void *panel)
{
    if (shape->width == 4)
        expand_panel(&(struct pare_grouped){shape->groups, shape->size, 4}, NR, out,
                     panel);
    else
        expand_panel(&(struct pare_grouped){shape->groups, shape->size, 2}, NR, out,
                     panel);
}

static void pack_rows(const struct pare_grouped *shape, void *out, uint8_t *rows,
                      const float *scale, const int32_t *zero, int m)
{
    pack_rows_of_groups(shape, out, rows, scale, zero, (size_t)m, 0, pare_pack_neon);
}

/* Codes of quad number `quad` of four, columns 4 v to 4 v + 3. */
ALWAYS_INLINE uint8x16_t unpacked(const int width, const uint8_t *b, const int quad,
                                  const int v)
{
    const int per = 8 / width, shift = quad % per * width;
    const uint8x16_t bytes = vld1q_u8(b + quad / per * 4 * NR + 16 * v);
    return bits_of(bytes, shift, width);
}

ALWAYS_INLINE void add_quads(const int m, const int width, const uint8_t *a,
                             const uint8_t *b, const int quad, uint32x4_t (*sum)[4]);
ALWAYS_INLINE void to_columns(const int m, uint32x4_t (*sum)[4]);

ALWAYS_INLINE void finish_group(const int m, size_t chunks, uint32x4_t (*sum)[4],
                                const uint8_t *a, const uint8_t *b, float *y, size_t ldy)
{
    for (size_t c = 0; c < chunks; c++, a += 4 * m, b += 4 * NR) {
        UNROLL
        for (int v = 0; v < 4; v++) {
            const int16x4x2_t w = vld2_s16((const int16_t *)(const void *)(b + 16 * v));
            UNROLL
            for (int i = 0; i < m; i++) {
                int16_t x[2];
                memcpy(x, a + 4 * i, sizeof x);
                int32x4_t s = vreinterpretq_s32_u32(sum[i][v]);
                s = vmlal_n_s16(vmlal_n_s16(s, w.val[0], x[0]), w.val[1], x[1]);
                sum[i][v] = vreinterpretq_u32_s32(s);
            }
        }
    }
    UNROLL
    for (int v = 0; v < 4; v++) {
        const float32x4_t scales = vld1q_f32((const float *)(const void *)(b + 16 * v));
        UNROLL
        for (int i = 0; i < m; i++) {
            float *to = y + (size_t)i * ldy + 4 * v, si;
            memcpy(&si, a + 4 * i, sizeof si);
            const float32x4_t exact = vcvtq_f32_s32(vreinterpretq_s32_u32(sum[i][v]));
            vst1q_f32(to, vfmaq_f32(vld1q_f32(to), exact, vmulq_n_f32(scales, si)));
        }
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
        memset(y + (size_t)i * ldy, 0, NR * sizeof *y);
    AHEAD_START(ahead);
    for (size_t g = 0; g < shape->groups; g++) {
        uint32x4_t sum[MR][4];
        UNROLL
        for (int i = 0; i < (m + 1) / 2 * 2; i++) {
            UNROLL
            for (int v = 0; v < 4; v++)
                sum[i][v] = vdupq_n_u32(0);
        }
        for (size_t step = 0; step < quads; step += 4, b += 2 * NR * width) {
            AHEAD_STEP(ahead);
            UNROLL
            for (int quad = 0; quad < 4; quad += QUADS, a += 4 * QUADS * m) {
                LOAD_BARRIER;
                add_quads(m, width, a, b, quad, sum);
            }
        }
        to_columns(m, sum);
        finish_group(m, chunks, sum, a, b, y, ldy);
        a += 4 * (chunks + 1) * (size_t)m;
        b += 4 * (chunks + 1) * NR;
    }
}

#endif
