/* Sixteen lanes in one AVX-512 register; meaning of the operations: vec_scalar.h. */
#ifndef PARE_KERNELS_VEC_AVX512_H
#define PARE_KERNELS_VEC_AVX512_H

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) ||         \
    !defined(__AVX512VL__)
#error "this file needs -mavx512f -mavx512bw -mavx512dq -mavx512vl"
#endif

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/base/rng.h"
#include "runtime/kernels/kernels.h"

#define LANES PARE_LANES

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;
typedef struct {
    __m512d low, high;
} vd;

static inline vm vm_first(size_t n)
{
    return (vm)((1u << n) - 1);
}

static inline vf vf_set(float a)
{
    return _mm512_set1_ps(a);
}

static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}

static inline vf vf_load_n(const float *p, size_t n)
{
    return n == LANES ? vf_load(p) : _mm512_maskz_loadu_ps(vm_first(n), p);
}

static inline void vf_store_n(float *p, vf a, size_t n)
{
    if (n == LANES)
        vf_store(p, a);
    else
        _mm512_mask_storeu_ps(p, vm_first(n), a);
}

static inline vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

static inline vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

static inline vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

static inline vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

static inline vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

/* a 2^n for a whole n: an operation of this file alone, which vec_math.h asks for. */
#define VEC_HAS_SCALE
static inline vf vf_scale(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}

static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

static inline vm vf_less(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

static inline vf vf_select(vm m, vf a, vf b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

static inline vf vf_zero_if_less(vf a, vf x, vf y)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, y, _CMP_NLT_UQ), a);
}

static inline float vf_reduce_add(vf a)
{
    __m256 x = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

static inline float vf_reduce_max(vf a)
{
    __m256 x = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

static inline vi vi_set(int32_t a)
{
    return _mm512_set1_epi32(a);
}

static inline vi vi_load_n(const int32_t *p, size_t n)
{
    return n == LANES ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi32(vm_first(n), p);
}

static inline vi vi_load_i8(const int8_t *p)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
}

static inline vi vi_load_u8(const uint8_t *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}

static inline vi vi_load_u16(const void *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
}

static inline void vi_store_u8_n(uint8_t *p, vi a, size_t n)
{
    __m128i bytes = _mm512_cvtepi32_epi8(a);
    if (n == LANES)
        _mm_storeu_si128((__m128i *)p, bytes);
    else
        _mm_mask_storeu_epi8(p, vm_first(n), bytes);
}

static inline void vf_store_u8(uint8_t *p, vf a, vf b)
{
    /* The packs work within quarters: each has four bytes of a, then four of b. */
    const __m512i order =
        _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __m512i words =
        _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
    const __m512i bytes = _mm512_packus_epi16(words, words);
    _mm256_storeu_si256((__m256i *)p,
                        _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, bytes)));
}

static inline vi vi_add(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}

static inline vi vi_sub(vi a, vi b)
{
    return _mm512_sub_epi32(a, b);
}

static inline vi vi_sum_pairs(vi a, vi b)
{
    return _mm512_madd_epi16(a, b);
}

static inline vi vi_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}

static inline vi vi_or(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}

static inline vi vi_xor(vi a, vi b)
{
    return _mm512_xor_si512(a, b);
}

#define vi_shift_left(a, bits) _mm512_slli_epi32(a, bits)
#define vi_shift_right(a, bits) _mm512_srai_epi32(a, bits)

static inline vf vi_to_float(vi a)
{
    return _mm512_cvtepi32_ps(a);
}

static inline vf vi_as_float(vi a)
{
    return _mm512_castsi512_ps(a);
}

static inline vi vf_as_int(vf a)
{
    return _mm512_castps_si512(a);
}

/* pare_rng_mix of eight numbers */
static inline __m512i mixed(__m512i z)
{
    z = _mm512_xor_si512(z, _mm512_srli_epi64(z, 30));
    z = _mm512_mullo_epi64(z, _mm512_set1_epi64((long long)PARE_RNG_MIX1));
    z = _mm512_xor_si512(z, _mm512_srli_epi64(z, 27));
    z = _mm512_mullo_epi64(z, _mm512_set1_epi64((long long)PARE_RNG_MIX2));
    return _mm512_xor_si512(z, _mm512_srli_epi64(z, 31));
}

static inline void vi_random_u16(vi out[2], uint64_t start)
{
    const __m512i lane =
        _mm512_mullo_epi64(_mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0),
                           _mm512_set1_epi64((long long)PARE_RNG_GOLDEN));
    const __m512i words =
        mixed(_mm512_add_epi64(_mm512_set1_epi64((long long)start), lane));
    out[0] = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(words));
    out[1] = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(words, 1));
}

static inline vd vd_zero(void)
{
    return (vd){_mm512_setzero_pd(), _mm512_setzero_pd()};
}

static inline vd vd_add_square(vd s, vf a)
{
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    s.low = _mm512_add_pd(s.low, _mm512_mul_pd(low, low));
    s.high = _mm512_add_pd(s.high, _mm512_mul_pd(high, high));
    return s;
}

static inline double vd_reduce_add(vd s)
{
    __m512d a = _mm512_add_pd(s.low, s.high);
    __m256d x = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    __m128d y = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(y, _mm_unpackhi_pd(y, y)));
}

static inline vf vf_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

static inline vf vf_from_half(vi a)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a));
}

#endif
