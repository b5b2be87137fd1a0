/* Sixteen lanes in four NEON registers; meaning of the operations: vec_scalar.h. */
#ifndef PARE_KERNELS_VEC_NEON_H
#define PARE_KERNELS_VEC_NEON_H

#if !defined(__aarch64__)
#error "this file is for 64-bit ARM"
#endif

#include <arm_neon.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/base/rng.h"
#include "runtime/kernels/kernels.h"

#define LANES PARE_LANES

typedef struct {
    float32x4_t v[4];
} vf;
typedef struct {
    int32x4_t v[4];
} vi;
typedef struct {
    uint32x4_t v[4]; /* all bits of a lane, or none */
} vm;
typedef struct {
    float64x2_t v[8];
} vd;

/* The same intrinsic on all quarters. */
#define ALL1(type, op, a)                                                                \
    ((type){{op((a).v[0]), op((a).v[1]), op((a).v[2]), op((a).v[3])}})
#define ALL2(type, op, a, b)                                                             \
    ((type){{op((a).v[0], (b).v[0]), op((a).v[1], (b).v[1]), op((a).v[2], (b).v[2]),     \
             op((a).v[3], (b).v[3])}})
#define ALL3(type, op, a, b, c)                                                          \
    ((type){{op((a).v[0], (b).v[0], (c).v[0]), op((a).v[1], (b).v[1], (c).v[1]),         \
             op((a).v[2], (b).v[2], (c).v[2]), op((a).v[3], (b).v[3], (c).v[3])}})

static inline vf vf_set(float a)
{
    float32x4_t v = vdupq_n_f32(a);
    return (vf){{v, v, v, v}};
}

static inline vi vi_set(int32_t a)
{
    int32x4_t v = vdupq_n_s32(a);
    return (vi){{v, v, v, v}};
}

static inline vm vm_first(size_t n)
{
    static const uint32_t lane[LANES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                         8, 9, 10, 11, 12, 13, 14, 15};
    uint32x4_t count = vdupq_n_u32((uint32_t)n);
    return (vm){{vcltq_u32(vld1q_u32(lane), count), vcltq_u32(vld1q_u32(lane + 4), count),
                 vcltq_u32(vld1q_u32(lane + 8), count),
                 vcltq_u32(vld1q_u32(lane + 12), count)}};
}

static inline vf vf_load(const float *p)
{
    return (vf){{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
}

static inline void vf_store(float *p, vf a)
{
    vst1q_f32(p, a.v[0]);
    vst1q_f32(p + 4, a.v[1]);
    vst1q_f32(p + 8, a.v[2]);
    vst1q_f32(p + 12, a.v[3]);
}

static inline vf vf_load_n(const float *p, size_t n)
{
    if (n == LANES)
        return vf_load(p);
    float all[LANES] = {0};
    memcpy(all, p, n * sizeof *p);
    return vf_load(all);
}

static inline void vf_store_n(float *p, vf a, size_t n)
{
    if (n == LANES) {
        vf_store(p, a);
        return;
    }
    float all[LANES];
    vf_store(all, a);
    memcpy(p, all, n * sizeof *p);
}

static inline vf vf_add(vf a, vf b)
{
    return ALL2(vf, vaddq_f32, a, b);
}

static inline vf vf_sub(vf a, vf b)
{
    return ALL2(vf, vsubq_f32, a, b);
}

static inline vf vf_mul(vf a, vf b)
{
    return ALL2(vf, vmulq_f32, a, b);
}

static inline vf vf_div(vf a, vf b)
{
    return ALL2(vf, vdivq_f32, a, b);
}

static inline vf vf_sqrt(vf a)
{
    return ALL1(vf, vsqrtq_f32, a);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return ALL3(vf, vfmaq_f32, c, a, b);
}

static inline vf vf_fnma(vf a, vf b, vf c)
{
    return ALL3(vf, vfmsq_f32, c, a, b);
}

static inline float32x4_t larger(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline float32x4_t smaller(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline vf vf_max(vf a, vf b)
{
    return ALL2(vf, larger, a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return ALL2(vf, smaller, a, b);
}

static inline vm vf_less(vf a, vf b)
{
    return ALL2(vm, vcltq_f32, a, b);
}

static inline vf vf_select(vm m, vf a, vf b)
{
    return ALL3(vf, vbslq_f32, m, a, b);
}

static inline float32x4_t zero_if_less(float32x4_t a, float32x4_t x, float32x4_t y)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), vcltq_f32(x, y)));
}

static inline vf vf_zero_if_less(vf a, vf x, vf y)
{
    return ALL3(vf, zero_if_less, a, x, y);
}

static inline float vf_reduce_add(vf a)
{
    float32x4_t x = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(y, 0) + vget_lane_f32(y, 1);
}

static inline float vf_reduce_max(vf a)
{
    float32x4_t x = larger(larger(a.v[0], a.v[2]), larger(a.v[1], a.v[3]));
    float32x4_t y = larger(x, vextq_f32(x, x, 2));
    y = larger(y, vextq_f32(y, y, 1));
    return vgetq_lane_f32(y, 0);
}

static inline vi vi_load_n(const int32_t *p, size_t n)
{
    int32_t all[LANES] = {0};
    if (n < LANES) {
        memcpy(all, p, n * sizeof *p);
        p = all;
    }
    return (vi){{vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)}};
}

static inline vi vi_load_i8(const int8_t *p)
{
    int8x16_t bytes = vld1q_s8(p);
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    return (vi){{vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low),
                 vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)}};
}

static inline vi wide_u16(uint16x8_t low, uint16x8_t high)
{
    return (vi){{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
                 vreinterpretq_s32_u32(vmovl_high_u16(low)),
                 vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
                 vreinterpretq_s32_u32(vmovl_high_u16(high))}};
}

static inline vi vi_load_u8(const uint8_t *p)
{
    uint8x16_t bytes = vld1q_u8(p);
    return wide_u16(vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
}

static inline vi vi_load_u16(const void *p)
{
    const uint8_t *bytes = p;
    return wide_u16(vreinterpretq_u16_u8(vld1q_u8(bytes)),
                    vreinterpretq_u16_u8(vld1q_u8(bytes + 16)));
}

static inline void vi_random_u16(vi out[2], uint64_t start)
{
    for (int i = 0; i < 2; i++) {
        uint64_t words[4];
        for (int w = 0; w < 4; w++, start += PARE_RNG_GOLDEN)
            words[w] = pare_rng_mix(start);
        out[i] = vi_load_u16(words);
    }
}

static inline void vi_store_u8_n(uint8_t *p, vi a, size_t n)
{
    int16x8_t low = vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1]));
    int16x8_t high = vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3]));
    int8x16_t bytes = vcombine_s8(vmovn_s16(low), vmovn_s16(high));
    if (n == LANES) {
        vst1q_u8(p, vreinterpretq_u8_s8(bytes));
        return;
    }
    uint8_t all[LANES];
    vst1q_u8(all, vreinterpretq_u8_s8(bytes));
    memcpy(p, all, n);
}

static inline uint8x16_t bytes_of(vf a)
{
    const int16x8_t low =
        vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(a.v[0])), vcvtnq_s32_f32(a.v[1]));
    const int16x8_t high =
        vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(a.v[2])), vcvtnq_s32_f32(a.v[3]));
    return vqmovun_high_s16(vqmovun_s16(low), high);
}

static inline void vf_store_u8(uint8_t *p, vf a, vf b)
{
    vst1q_u8(p, bytes_of(a));
    vst1q_u8(p + LANES, bytes_of(b));
}

static inline vi vi_add(vi a, vi b)
{
    return ALL2(vi, vaddq_s32, a, b);
}

static inline vi vi_sub(vi a, vi b)
{
    return ALL2(vi, vsubq_s32, a, b);
}

static inline int32x4_t sum_pairs(int32x4_t a, int32x4_t b)
{
    const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
}

static inline vi vi_sum_pairs(vi a, vi b)
{
    return ALL2(vi, sum_pairs, a, b);
}

static inline vi vi_and(vi a, vi b)
{
    return ALL2(vi, vandq_s32, a, b);
}

static inline vi vi_or(vi a, vi b)
{
    return ALL2(vi, vorrq_s32, a, b);
}

static inline vi vi_xor(vi a, vi b)
{
    return ALL2(vi, veorq_s32, a, b);
}

/* The shifts need constants, which a function's argument is not. */
#define vi_shift_left(a, bits)                                                           \
    ((vi){{vshlq_n_s32((a).v[0], bits), vshlq_n_s32((a).v[1], bits),                     \
           vshlq_n_s32((a).v[2], bits), vshlq_n_s32((a).v[3], bits)}})
#define vi_shift_right(a, bits)                                                          \
    ((vi){{SHIFTED((a).v[0], bits), SHIFTED((a).v[1], bits), SHIFTED((a).v[2], bits),    \
           SHIFTED((a).v[3], bits)}})
/* The instruction has no shift by 0. */
#define SHIFTED(a, bits) ((bits) ? vshrq_n_s32(a, (bits) ? (bits) : 1) : (a))

static inline vf vi_to_float(vi a)
{
    return ALL1(vf, vcvtq_f32_s32, a);
}

static inline vf vi_as_float(vi a)
{
    return ALL1(vf, vreinterpretq_f32_s32, a);
}

static inline vi vf_as_int(vf a)
{
    return ALL1(vi, vreinterpretq_s32_f32, a);
}

static inline vd vd_zero(void)
{
    float64x2_t zero = vdupq_n_f64(0);
    return (vd){{zero, zero, zero, zero, zero, zero, zero, zero}};
}

static inline float64x2_t add_square(float64x2_t sum, float64x2_t a)
{
    return vaddq_f64(sum, vmulq_f64(a, a));
}

static inline vd vd_add_square(vd s, vf a)
{
    for (int q = 0; q < 4; q++) {
        s.v[2 * q] = add_square(s.v[2 * q], vcvt_f64_f32(vget_low_f32(a.v[q])));
        s.v[2 * q + 1] = add_square(s.v[2 * q + 1], vcvt_high_f64_f32(a.v[q]));
    }
    return s;
}

static inline double vd_reduce_add(vd s)
{
    float64x2_t x[4], y[2];
    for (int i = 0; i < 4; i++)
        x[i] = vaddq_f64(s.v[i], s.v[i + 4]);
    for (int i = 0; i < 2; i++)
        y[i] = vaddq_f64(x[i], x[i + 2]);
    float64x2_t z = vaddq_f64(y[0], y[1]);
    return vgetq_lane_f64(z, 0) + vgetq_lane_f64(z, 1);
}

static inline vf vf_load_f16(const void *p)
{
    const uint8_t *bytes = p;
    float16x8_t low = vreinterpretq_f16_u8(vld1q_u8(bytes));
    float16x8_t high = vreinterpretq_f16_u8(vld1q_u8(bytes + 16));
    return (vf){{vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low),
                 vcvt_f32_f16(vget_low_f16(high)), vcvt_high_f32_f16(high)}};
}

static inline float32x4_t quarter_from_half(int32x4_t a)
{
    return vcvt_f32_f16(vreinterpret_f16_s16(vmovn_s32(a)));
}

static inline vf vf_from_half(vi a)
{
    return ALL1(vf, quarter_from_half, a);
}

#endif
