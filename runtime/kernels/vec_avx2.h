/* Sixteen lanes in two AVX2 registers; meaning of the operations: vec_scalar.h. */
#ifndef PARE_KERNELS_VEC_AVX2_H
#define PARE_KERNELS_VEC_AVX2_H

#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "this file needs -mavx2 -mfma -mf16c"
#endif

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/base/rng.h"
#include "runtime/kernels/kernels.h"

#define LANES PARE_LANES

typedef struct {
    __m256 low, high;
} vf;
typedef struct {
    __m256i low, high;
} vi;
typedef struct {
    __m256 low, high; /* all bits of a lane, or none */
} vm;
typedef struct {
    __m256d v[4];
} vd;

/* The same intrinsic on both halves. */
#define BOTH1(type, op, a) ((type){op((a).low), op((a).high)})
#define BOTH2(type, op, a, b) ((type){op((a).low, (b).low), op((a).high, (b).high)})
#define BOTH3(type, op, a, b, c)                                                         \
    ((type){op((a).low, (b).low, (c).low), op((a).high, (b).high, (c).high)})

static inline vf vf_set(float a)
{
    return (vf){_mm256_set1_ps(a), _mm256_set1_ps(a)};
}

static inline vi vi_set(int32_t a)
{
    return (vi){_mm256_set1_epi32(a), _mm256_set1_epi32(a)};
}

/* All bits set in the first n lanes. */
static inline vi first_lanes(size_t n)
{
    __m256i count = _mm256_set1_epi32((int)n);
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (vi){
        _mm256_cmpgt_epi32(count, lane),
        _mm256_cmpgt_epi32(count, _mm256_add_epi32(lane, _mm256_set1_epi32(8))),
    };
}

static inline vm vm_first(size_t n)
{
    vi m = first_lanes(n);
    return BOTH1(vm, _mm256_castsi256_ps, m);
}

static inline vf vf_load(const float *p)
{
    return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

static inline void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}

static inline vf vf_load_n(const float *p, size_t n)
{
    if (n == LANES)
        return vf_load(p);
    vi m = first_lanes(n);
    return (vf){_mm256_maskload_ps(p, m.low), _mm256_maskload_ps(p + 8, m.high)};
}

static inline void vf_store_n(float *p, vf a, size_t n)
{
    if (n == LANES) {
        vf_store(p, a);
        return;
    }
    vi m = first_lanes(n);
    _mm256_maskstore_ps(p, m.low, a.low);
    _mm256_maskstore_ps(p + 8, m.high, a.high);
}

static inline vf vf_add(vf a, vf b)
{
    return BOTH2(vf, _mm256_add_ps, a, b);
}

static inline vf vf_sub(vf a, vf b)
{
    return BOTH2(vf, _mm256_sub_ps, a, b);
}

static inline vf vf_mul(vf a, vf b)
{
    return BOTH2(vf, _mm256_mul_ps, a, b);
}

static inline vf vf_div(vf a, vf b)
{
    return BOTH2(vf, _mm256_div_ps, a, b);
}

static inline vf vf_sqrt(vf a)
{
    return BOTH1(vf, _mm256_sqrt_ps, a);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return BOTH3(vf, _mm256_fmadd_ps, a, b, c);
}

static inline vf vf_fnma(vf a, vf b, vf c)
{
    return BOTH3(vf, _mm256_fnmadd_ps, a, b, c);
}

static inline vf vf_max(vf a, vf b)
{
    return BOTH2(vf, _mm256_max_ps, a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return BOTH2(vf, _mm256_min_ps, a, b);
}

static inline vm vf_less(vf a, vf b)
{
    return (vm){_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ),
                _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
}

static inline vf vf_select(vm m, vf a, vf b)
{
    return (vf){_mm256_blendv_ps(b.low, a.low, m.low),
                _mm256_blendv_ps(b.high, a.high, m.high)};
}

static inline vf vf_zero_if_less(vf a, vf x, vf y)
{
    vm less = vf_less(x, y);
    return (vf){_mm256_andnot_ps(less.low, a.low), _mm256_andnot_ps(less.high, a.high)};
}

static inline float vf_reduce_add(vf a)
{
    __m256 x = _mm256_add_ps(a.low, a.high);
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

static inline float vf_reduce_max(vf a)
{
    __m256 x = _mm256_max_ps(a.low, a.high);
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

static inline vi vi_load_n(const int32_t *p, size_t n)
{
    if (n == LANES)
        return (vi){_mm256_loadu_si256((const __m256i *)p),
                    _mm256_loadu_si256((const __m256i *)(p + 8))};
    vi m = first_lanes(n);
    return (vi){_mm256_maskload_epi32(p, m.low), _mm256_maskload_epi32(p + 8, m.high)};
}

static inline vi vi_load_i8(const int8_t *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    return (vi){_mm256_cvtepi8_epi32(bytes),
                _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}

static inline vi vi_load_u8(const uint8_t *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    return (vi){_mm256_cvtepu8_epi32(bytes),
                _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}

static inline vi vi_load_u16(const void *p)
{
    const __m128i *words = p;
    return (vi){_mm256_cvtepu16_epi32(_mm_loadu_si128(words)),
                _mm256_cvtepu16_epi32(_mm_loadu_si128(words + 1))};
}

static inline void vi_store_u8_n(uint8_t *p, vi a, size_t n)
{
    /* The packs work within 128-bit halves: put the four quarters back in order. */
    __m256i words = _mm256_packus_epi32(a.low, a.high);
    words = _mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0));
    __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words),
                                     _mm256_extracti128_si256(words, 1));
    if (n == LANES) {
        _mm_storeu_si128((__m128i *)p, bytes);
        return;
    }
    uint8_t all[LANES];
    _mm_storeu_si128((__m128i *)all, bytes);
    memcpy(p, all, n);
}

static inline void vf_store_u8(uint8_t *p, vf a, vf b)
{
    /* The packs work within halves: four bytes of each quarter of a, then of b. */
    const __m256i order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
    const __m256i words_a =
        _mm256_packs_epi32(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high));
    const __m256i words_b =
        _mm256_packs_epi32(_mm256_cvtps_epi32(b.low), _mm256_cvtps_epi32(b.high));
    const __m256i bytes = _mm256_packus_epi16(words_a, words_b);
    _mm256_storeu_si256((__m256i *)p, _mm256_permutevar8x32_epi32(bytes, order));
}

static inline vi vi_add(vi a, vi b)
{
    return BOTH2(vi, _mm256_add_epi32, a, b);
}

static inline vi vi_sub(vi a, vi b)
{
    return BOTH2(vi, _mm256_sub_epi32, a, b);
}

static inline vi vi_sum_pairs(vi a, vi b)
{
    return BOTH2(vi, _mm256_madd_epi16, a, b);
}

static inline vi vi_and(vi a, vi b)
{
    return BOTH2(vi, _mm256_and_si256, a, b);
}

static inline vi vi_or(vi a, vi b)
{
    return BOTH2(vi, _mm256_or_si256, a, b);
}

static inline vi vi_xor(vi a, vi b)
{
    return BOTH2(vi, _mm256_xor_si256, a, b);
}

static inline vi vi_shift_left(vi a, int bits)
{
    return (vi){_mm256_slli_epi32(a.low, bits), _mm256_slli_epi32(a.high, bits)};
}

static inline vi vi_shift_right(vi a, int bits)
{
    return (vi){_mm256_srai_epi32(a.low, bits), _mm256_srai_epi32(a.high, bits)};
}

static inline vf vi_to_float(vi a)
{
    return BOTH1(vf, _mm256_cvtepi32_ps, a);
}

static inline vf vi_as_float(vi a)
{
    return BOTH1(vf, _mm256_castsi256_ps, a);
}

static inline vi vf_as_int(vf a)
{
    return BOTH1(vi, _mm256_castps_si256, a);
}

/* a b mod 2^64, from products of the 32-bit halves */
static inline __m256i product64(__m256i a, uint64_t b)
{
    const __m256i vb = _mm256_set1_epi64x((long long)b);
    const __m256i cross =
        _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), vb),
                         _mm256_mul_epu32(a, _mm256_set1_epi64x((long long)(b >> 32))));
    return _mm256_add_epi64(_mm256_mul_epu32(a, vb), _mm256_slli_epi64(cross, 32));
}

/* pare_rng_mix of four numbers */
static inline __m256i mixed(__m256i z)
{
    z = _mm256_xor_si256(z, _mm256_srli_epi64(z, 30));
    z = product64(z, PARE_RNG_MIX1);
    z = _mm256_xor_si256(z, _mm256_srli_epi64(z, 27));
    z = product64(z, PARE_RNG_MIX2);
    return _mm256_xor_si256(z, _mm256_srli_epi64(z, 31));
}

static inline void vi_random_u16(vi out[2], uint64_t start)
{
    const uint64_t golden = PARE_RNG_GOLDEN;
    for (int i = 0; i < 2; i++, start += 4 * golden) {
        const __m256i words = mixed(_mm256_setr_epi64x(
            (long long)start, (long long)(start + golden),
            (long long)(start + 2 * golden), (long long)(start + 3 * golden)));
        out[i] = (vi){_mm256_cvtepu16_epi32(_mm256_castsi256_si128(words)),
                      _mm256_cvtepu16_epi32(_mm256_extracti128_si256(words, 1))};
    }
}

static inline vd vd_zero(void)
{
    __m256d zero = _mm256_setzero_pd();
    return (vd){{zero, zero, zero, zero}};
}

static inline __m256d add_square(__m256d sum, __m128 a)
{
    __m256d wide = _mm256_cvtps_pd(a);
    return _mm256_add_pd(sum, _mm256_mul_pd(wide, wide));
}

static inline vd vd_add_square(vd s, vf a)
{
    s.v[0] = add_square(s.v[0], _mm256_castps256_ps128(a.low));
    s.v[1] = add_square(s.v[1], _mm256_extractf128_ps(a.low, 1));
    s.v[2] = add_square(s.v[2], _mm256_castps256_ps128(a.high));
    s.v[3] = add_square(s.v[3], _mm256_extractf128_ps(a.high, 1));
    return s;
}

static inline double vd_reduce_add(vd s)
{
    __m256d x =
        _mm256_add_pd(_mm256_add_pd(s.v[0], s.v[2]), _mm256_add_pd(s.v[1], s.v[3]));
    __m128d y = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(y, _mm_unpackhi_pd(y, y)));
}

static inline vf vf_load_f16(const void *p)
{
    const __m128i *halves = p;
    return (vf){_mm256_cvtph_ps(_mm_loadu_si128(halves)),
                _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}

static inline vf vf_from_half(vi a)
{
    const __m256i mask = _mm256_set1_epi32(0xffff);
    __m256i halves = _mm256_packus_epi32(_mm256_and_si256(a.low, mask),
                                         _mm256_and_si256(a.high, mask));
    halves = _mm256_permute4x64_epi64(halves, _MM_SHUFFLE(3, 1, 2, 0));
    return (vf){_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
                _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}

#endif
