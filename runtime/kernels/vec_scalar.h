/* Sixteen lanes in plain C: the reference the other vec_*.h must equal bit for bit, and
 * the list of operations each of them has to provide.
 *
 *   vf 16 floats, vi 16 int32, vm 16 truth values, vd 16 doubles.
 *   *_n: the first n lanes only (1 <= n <= 16); loads fill the others with zero.
 */
#ifndef PARE_KERNELS_VEC_SCALAR_H
#define PARE_KERNELS_VEC_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/base/rng.h"
#include "runtime/kernels/half.h"
#include "runtime/kernels/kernels.h"

#define LANES PARE_LANES
#define EACH_LANE for (int j = 0; j < LANES; j++)

typedef struct {
    float v[LANES];
} vf;
typedef struct {
    int32_t v[LANES];
} vi;
typedef struct {
    unsigned char v[LANES];
} vm;
typedef struct {
    double v[LANES];
} vd;

static inline vf vf_set(float a)
{
    vf r;
    EACH_LANE r.v[j] = a;
    return r;
}

static inline vf vf_load_n(const float *p, size_t n)
{
    vf r = vf_set(0);
    memcpy(r.v, p, n * sizeof *p);
    return r;
}

static inline vf vf_load(const float *p)
{
    return vf_load_n(p, LANES);
}

static inline void vf_store_n(float *p, vf a, size_t n)
{
    memcpy(p, a.v, n * sizeof *p);
}

static inline void vf_store(float *p, vf a)
{
    vf_store_n(p, a, LANES);
}

static inline vf vf_add(vf a, vf b)
{
    EACH_LANE a.v[j] += b.v[j];
    return a;
}

static inline vf vf_sub(vf a, vf b)
{
    EACH_LANE a.v[j] -= b.v[j];
    return a;
}

static inline vf vf_mul(vf a, vf b)
{
    EACH_LANE a.v[j] *= b.v[j];
    return a;
}

static inline vf vf_div(vf a, vf b)
{
    EACH_LANE a.v[j] /= b.v[j];
    return a;
}

static inline vf vf_sqrt(vf a)
{
    EACH_LANE a.v[j] = sqrtf(a.v[j]);
    return a;
}

/* a b + c */
static inline vf vf_fma(vf a, vf b, vf c)
{
    EACH_LANE a.v[j] = fmaf(a.v[j], b.v[j], c.v[j]);
    return a;
}

/* c - a b */
static inline vf vf_fnma(vf a, vf b, vf c)
{
    EACH_LANE a.v[j] = fmaf(-a.v[j], b.v[j], c.v[j]);
    return a;
}

/* a > b ? a : b: the second operand when either is a NaN or both are zeros. */
static inline vf vf_max(vf a, vf b)
{
    EACH_LANE a.v[j] = a.v[j] > b.v[j] ? a.v[j] : b.v[j];
    return a;
}

/* a < b ? a : b */
static inline vf vf_min(vf a, vf b)
{
    EACH_LANE a.v[j] = a.v[j] < b.v[j] ? a.v[j] : b.v[j];
    return a;
}

/* a < b; false for NaN */
static inline vm vf_less(vf a, vf b)
{
    vm r;
    EACH_LANE r.v[j] = a.v[j] < b.v[j];
    return r;
}

/* m ? a : b */
static inline vf vf_select(vm m, vf a, vf b)
{
    EACH_LANE a.v[j] = m.v[j] ? a.v[j] : b.v[j];
    return a;
}

/* x < y ? 0 : a */
static inline vf vf_zero_if_less(vf a, vf x, vf y)
{
    EACH_LANE a.v[j] = x.v[j] < y.v[j] ? 0.0f : a.v[j];
    return a;
}

/* True in the first n lanes. */
static inline vm vm_first(size_t n)
{
    vm r;
    EACH_LANE r.v[j] = (size_t)j < n;
    return r;
}

static inline float vf_reduce_add(vf a)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int j = 0; j < half; j++)
            a.v[j] += a.v[j + half];
    return a.v[0];
}

static inline float vf_reduce_max(vf a)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int j = 0; j < half; j++)
            a.v[j] = a.v[j] > a.v[j + half] ? a.v[j] : a.v[j + half];
    return a.v[0];
}

static inline vi vi_set(int32_t a)
{
    vi r;
    EACH_LANE r.v[j] = a;
    return r;
}

static inline vi vi_load_n(const int32_t *p, size_t n)
{
    vi r = vi_set(0);
    memcpy(r.v, p, n * sizeof *p);
    return r;
}

static inline vi vi_load_i8(const int8_t *p)
{
    vi r;
    EACH_LANE r.v[j] = p[j];
    return r;
}

static inline vi vi_load_u8(const uint8_t *p)
{
    vi r;
    EACH_LANE r.v[j] = p[j];
    return r;
}

static inline vi vi_load_u16(const void *p)
{
    uint16_t h[LANES];
    memcpy(h, p, sizeof h);
    vi r;
    EACH_LANE r.v[j] = h[j];
    return r;
}

/* The low bytes of values in 0 .. 255. */
static inline void vi_store_u8_n(uint8_t *p, vi a, size_t n)
{
    for (size_t j = 0; j < n; j++)
        p[j] = (uint8_t)a.v[j];
}

/* a and b behind it as bytes: rounded to the nearest integer, ties to even, and cut to
 * 0 .. 255. Any byte for a NaN and for what is 2^31 or more. */
static inline void vf_store_u8(uint8_t *p, vf a, vf b)
{
    const float magic = 12582912.0f; /* 2^23 + 2^22: no fraction is left behind the sum */
    EACH_LANE
    {
        const float x = a.v[j] > 0 ? a.v[j] : 0, y = b.v[j] > 0 ? b.v[j] : 0;
        p[j] = (uint8_t)((x < 255 ? x : 255) + magic - magic);
        p[j + LANES] = (uint8_t)((y < 255 ? y : 255) + magic - magic);
    }
}

/* Sum, difference and product wrap. */
static inline vi vi_add(vi a, vi b)
{
    EACH_LANE a.v[j] = (int32_t)((uint32_t)a.v[j] + (uint32_t)b.v[j]);
    return a;
}

static inline vi vi_sub(vi a, vi b)
{
    EACH_LANE a.v[j] = (int32_t)((uint32_t)a.v[j] - (uint32_t)b.v[j]);
    return a;
}

/* Each lane as two numbers of 16 bits: the product of the low ones and that of the high
 * ones, added. */
static inline vi vi_sum_pairs(vi a, vi b)
{
    EACH_LANE a.v[j] = (int16_t)a.v[j] * (int16_t)b.v[j] +
                       (int16_t)(a.v[j] >> 16) * (int16_t)(b.v[j] >> 16);
    return a;
}

static inline vi vi_and(vi a, vi b)
{
    EACH_LANE a.v[j] &= b.v[j];
    return a;
}

static inline vi vi_or(vi a, vi b)
{
    EACH_LANE a.v[j] |= b.v[j];
    return a;
}

static inline vi vi_xor(vi a, vi b)
{
    EACH_LANE a.v[j] ^= b.v[j];
    return a;
}

#define vi_shift_left(a, bits) vi_shift_left_by(a, bits)
static inline vi vi_shift_left_by(vi a, int bits)
{
    EACH_LANE a.v[j] = (int32_t)((uint32_t)a.v[j] << bits);
    return a;
}

/* Arithmetic: the sign is kept. */
#define vi_shift_right(a, bits) vi_shift_right_by(a, bits)
static inline vi vi_shift_right_by(vi a, int bits)
{
    EACH_LANE a.v[j] = a.v[j] >> bits;
    return a;
}

static inline vi vi_max(vi a, vi b)
{
    EACH_LANE a.v[j] = a.v[j] > b.v[j] ? a.v[j] : b.v[j];
    return a;
}

static inline vi vi_min(vi a, vi b)
{
    EACH_LANE a.v[j] = a.v[j] < b.v[j] ? a.v[j] : b.v[j];
    return a;
}

/* Value conversion, to nearest even. */
static inline vf vi_to_float(vi a)
{
    vf r;
    EACH_LANE r.v[j] = (float)a.v[j];
    return r;
}

/* The same bits under the other type. */
static inline vf vi_as_float(vi a)
{
    vf r;
    memcpy(r.v, a.v, sizeof r.v);
    return r;
}

static inline vi vf_as_int(vf a)
{
    vi r;
    memcpy(r.v, a.v, sizeof r.v);
    return r;
}

static inline vd vd_zero(void)
{
    vd r;
    EACH_LANE r.v[j] = 0;
    return r;
}

/* s + a a, in double (the square is exact there) */
static inline vd vd_add_square(vd s, vf a)
{
    EACH_LANE s.v[j] += (double)a.v[j] * a.v[j];
    return s;
}

static inline double vd_reduce_add(vd a)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int j = 0; j < half; j++)
            a.v[j] += a.v[j + half];
    return a.v[0];
}

/* The 16-bit parts, lowest first, of pare_rng_mix(start + w golden) for w = 0 .. 7. */
static inline void vi_random_u16(vi out[2], uint64_t start)
{
    for (int i = 0; i < 2 * LANES; i += 4, start += PARE_RNG_GOLDEN) {
        const uint64_t word = pare_rng_mix(start);
        for (int part = 0; part < 4; part++)
            out[i / LANES].v[i % LANES + part] = (int32_t)(word >> (16 * part) & 0xffff);
    }
}

static inline vf vf_load_f16(const void *p)
{
    uint16_t h[LANES];
    memcpy(h, p, sizeof h);
    vf r;
    EACH_LANE r.v[j] = half_to_float(h[j]);
    return r;
}

/* The half in the low 16 bits of each lane. */
static inline vf vf_from_half(vi a)
{
    vf r;
    EACH_LANE r.v[j] = half_to_float((uint16_t)a.v[j]);
    return r;
}

#endif
