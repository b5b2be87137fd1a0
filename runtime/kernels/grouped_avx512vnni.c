/* Codes in groups for AVX-512 with the dot-product instructions: tiles of up to 12 x 32.
 *
 * VPDPBUSD takes the codes as its bytes without sign and the activations, less 128, as
 * those with one; VPDPWSSD adds the pairs. With few rows several sums stand in for one,
 * so that no addition waits for the one before: integers may be added in any order.
 */
#if !defined(__AVX512F__) || !defined(__AVX512VNNI__)
#error "this file needs -mavx512f -mavx512vnni"
#endif

#include <immintrin.h>

#include "runtime/kernels/grouped_pack.h"
#include "runtime/kernels/grouped_run.h"
#include "runtime/kernels/tiers.h"

#define MR 12
#define NR 32

static void pack_avx512vnni(const struct pare_grouped *shape, void *out,
                            const uint8_t *codes, size_t stride, const float *scale,
                            const uint8_t *zero, int n)
{
    pack_group(shape, NR, out, codes, stride, scale, zero, (size_t)n);
}

static void expand_avx512vnni(const struct pare_grouped *shape, void *out,
                              const void *panel)
{
    if (shape->width == 4)
        expand_panel(&(struct pare_grouped){shape->groups, shape->size, 4}, NR, out,
                     panel);
    else
        expand_panel(&(struct pare_grouped){shape->groups, shape->size, 2}, NR, out,
                     panel);
}

static void pack_a_avx512vnni(const struct pare_grouped *shape, void *out, uint8_t *rows,
                              const float *scale, const int32_t *zero, int m)
{
    pack_rows_of_groups(shape, out, rows, scale, zero, (size_t)m, 128, pare_pack_avx512);
}

/* Codes of quad number `quad` of four, 16 columns from `column` on. */
ALWAYS_INLINE __m512i unpacked(const int width, const uint8_t *b, const int quad,
                               const int column)
{
    const int per = 8 / width, shift = quad % per * width;
    const __m512i bytes = _mm512_loadu_si512(b + quad / per * 4 * NR + 4 * column);
    if (width == 8)
        return bytes;
    return _mm512_and_si512(shift ? _mm512_srli_epi16(bytes, (unsigned)shift) : bytes,
                            _mm512_set1_epi8((char)((1 << width) - 1)));
}

ALWAYS_INLINE __m512i four_of(const uint8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm512_set1_epi32(four);
}

ALWAYS_INLINE __m512 scale_of(const uint8_t *a)
{
    float scale;
    memcpy(&scale, a, sizeof scale);
    return _mm512_set1_ps(scale);
}

/* As intrinsics gcc keeps copies of the sums, more than there are registers. */
#define DOT_BYTES(sum, codes, a)                                                         \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(a))
#define DOT_PAIRS(sum, a, b) __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))

/* y += float(sum) scale: rows of one group, whose pairs and scales begin at a and b. */
ALWAYS_INLINE void finish_group(const int m, size_t chunks, __m512i (*sum)[2],
                                const uint8_t *a, const uint8_t *b, float *y, size_t ldy)
{
    for (size_t c = 0; c < chunks; c++, a += 4 * m, b += 4 * NR) {
        const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
        UNROLL
        for (int i = 0; i < m; i++) {
            const __m512i ai = four_of(a + 4 * i);
            DOT_PAIRS(sum[i][0], ai, b0);
            DOT_PAIRS(sum[i][1], ai, b1);
        }
    }
    const __m512 s0 = _mm512_loadu_ps(b), s1 = _mm512_loadu_ps(b + 64);
    UNROLL
    for (int i = 0; i < m; i++) {
        float *to = y + (size_t)i * ldy;
        const __m512 si = scale_of(a + 4 * i);
        _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[i][0]),
                                             _mm512_mul_ps(si, s0), _mm512_loadu_ps(to)));
        _mm512_storeu_ps(to + 16, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[i][1]),
                                                  _mm512_mul_ps(si, s1),
                                                  _mm512_loadu_ps(to + 16)));
    }
}

ALWAYS_INLINE void grouped_tile(const int m, const int width,
                                const struct pare_grouped *shape, const uint8_t *a,
                                const uint8_t *b, float *y, size_t ldy,
                                struct pare_ahead ahead)
{
    enum { MOST = 4 };
    const int chains = m <= 2 ? 4 : m <= 4 ? 2 : 1;
    const size_t quads = pare_grouped_quads(shape), chunks = pare_grouped_chunks(shape);
    UNROLL
    for (int i = 0; i < m; i++) {
        _mm512_storeu_ps(y + (size_t)i * ldy, _mm512_setzero_ps());
        _mm512_storeu_ps(y + (size_t)i * ldy + 16, _mm512_setzero_ps());
    }
    AHEAD_START(ahead);
    for (size_t g = 0; g < shape->groups; g++) {
        __m512i sum[MOST][MR][2];
        UNROLL
        for (int c = 0; c < chains; c++) {
            UNROLL
            for (int i = 0; i < m; i++)
                sum[c][i][0] = sum[c][i][1] = _mm512_setzero_si512();
        }
        for (size_t step = 0; step < quads; step += 4, b += 2 * NR * width) {
            AHEAD_STEP(ahead);
            UNROLL
            for (int quad = 0; quad < 4; quad++, a += 4 * m) {
                const __m512i b0 = unpacked(width, b, quad, 0);
                const __m512i b1 = unpacked(width, b, quad, 16);
                const int c = quad % chains;
                UNROLL
                for (int i = 0; i < m; i++) {
                    const __m512i ai = four_of(a + 4 * i);
                    DOT_BYTES(sum[c][i][0], b0, ai);
                    DOT_BYTES(sum[c][i][1], b1, ai);
                }
            }
        }
        UNROLL
        for (int c = 1; c < chains; c++) {
            UNROLL
            for (int i = 0; i < m; i++) {
                sum[0][i][0] = _mm512_add_epi32(sum[0][i][0], sum[c][i][0]);
                sum[0][i][1] = _mm512_add_epi32(sum[0][i][1], sum[c][i][1]);
            }
        }
        finish_group(m, chunks, sum[0], a, b, y, ldy);
        a += 4 * (chunks + 1) * (size_t)m;
        b += 4 * (chunks + 1) * NR;
    }
}

DEFINE_GROUPED_RUN(grouped_12x32_avx512vnni, FOR_HEIGHT_UP_TO_12)

const struct pare_gemm_grouped pare_gemm_grouped_avx512vnni = {
    .name = "grouped_12x32_avx512vnni",
    .mr = MR,
    .nr = NR,
    .pack = pack_avx512vnni,
    .expand = expand_avx512vnni,
    .pack_a = pack_a_avx512vnni,
    .run = grouped_12x32_avx512vnni};
