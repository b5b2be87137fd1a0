/* Products of operands in bfloat16 on the tile registers of AMX: tiles of 32 x 32, four
 * registers of sums, two of each operand.
 *
 * TDPBF16PS multiplies 16 rows of 32 k by 32 k of 16 columns. Packed, a tile of A is
 * [group][2][16 rows][32 k] and a tile of B [group][2][16 pairs of k][16 columns][2]. So
 * the unit of packing is a vector of 16 pairs (k, k + 1): of one row it is a row of A, of
 * 16 rows it is a row of B; the two are each other's transpose.
 */
#if !defined(__AVX512BF16__) || !(defined(__AMX_BF16__) || defined(__AMXBF16__))
#error "this file needs -mavx512bf16 -mamx-bf16"
#endif

#include <immintrin.h>

#include "runtime/kernels/amx.h"
#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define GROUP PARE_BF16_GROUP
#define SIDE AMX_SIDE
#define MR (2 * SIDE)
#define NR (2 * SIDE)
#define REGISTER_BYTES 1024
#define GROUP_BYTES (2 * REGISTER_BYTES) /* of one tile */

static __mmask16 first_lanes(size_t n)
{
    return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
}

/* Zero below 2^-56; a NaN stays. */
ALWAYS_INLINE __m512 flushed(__m512 x)
{
    const __mmask16 kept =
        _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(0x1p-56f), _CMP_NLT_UQ);
    return _mm512_maskz_mov_ps(kept, x);
}

/* Pairs of k from one row whose k are neighbours; `n` of them exist. */
ALWAYS_INLINE __m512i pairs_along(const float *x, size_t n)
{
    const __m512 low = _mm512_maskz_loadu_ps(first_lanes(n), x);
    const __m512 high = _mm512_maskz_loadu_ps(first_lanes(n > 16 ? n - 16 : 0), x + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(flushed(high), flushed(low));
}

/* One pair of k from up to 16 rows that are neighbours: k at x, k + 1 at x + column, if
 * it exists. */
ALWAYS_INLINE __m512i pairs_across(const float *x, size_t column, __mmask16 rows,
                                   int has_second)
{
    const __m512i interleave =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                         7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512 first = _mm512_maskz_loadu_ps(rows, x);
    const __m512 second = _mm512_maskz_loadu_ps(has_second ? rows : 0, x + column);
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(flushed(second), flushed(first));
    return _mm512_permutexvar_epi16(interleave, both);
}

/* Transposes 16 x 16 words in place. */
ALWAYS_INLINE void transpose(__m512i r[SIDE])
{
    __m512i t[SIDE];
    UNROLL
    for (int i = 0; i < SIDE; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    UNROLL
    for (int i = 0; i < SIDE; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    /* Now quarter q of r[4 a + b] is words 4 a .. 4 a + 3 of column 4 q + b. */
    UNROLL
    for (int b = 0; b < 4; b++) {
        t[b] = _mm512_shuffle_i32x4(r[b], r[4 + b], 0x88);
        t[4 + b] = _mm512_shuffle_i32x4(r[b], r[4 + b], 0xdd);
        t[8 + b] = _mm512_shuffle_i32x4(r[8 + b], r[12 + b], 0x88);
        t[12 + b] = _mm512_shuffle_i32x4(r[8 + b], r[12 + b], 0xdd);
    }
    UNROLL
    for (int b = 0; b < 4; b++) {
        r[b] = _mm512_shuffle_i32x4(t[b], t[8 + b], 0x88);
        r[8 + b] = _mm512_shuffle_i32x4(t[b], t[8 + b], 0xdd);
        r[4 + b] = _mm512_shuffle_i32x4(t[4 + b], t[12 + b], 0x88);
        r[12 + b] = _mm512_shuffle_i32x4(t[4 + b], t[12 + b], 0xdd);
    }
}

ALWAYS_INLINE void store(void *out, const __m512i r[SIDE])
{
    UNROLL
    for (int i = 0; i < SIDE; i++)
        _mm512_storeu_si512((char *)out + 64 * i, r[i]);
}

/* The register of one group for up to 16 rows; `n` of its k exist. by_row: vectors of one
 * row each, else of one pair of k each. */
ALWAYS_INLINE void pack_register(void *out, const float *x, size_t row, size_t column,
                                 size_t rows, size_t n, int by_row)
{
    __m512i r[SIDE];
    if (column == 1) {
        UNROLL
        for (size_t i = 0; i < SIDE; i++)
            r[i] = i < rows ? pairs_along(x + i * row, n) : _mm512_setzero_si512();
        if (!by_row)
            transpose(r);
    } else if (row == 1) {
        UNROLL
        for (size_t p = 0; p < SIDE; p++)
            r[p] = 2 * p < n ? pairs_across(x + 2 * p * column, column, first_lanes(rows),
                                            2 * p + 1 < n)
                             : _mm512_setzero_si512();
        if (by_row)
            transpose(r);
    } else {
        float copy[SIDE][GROUP];
        for (size_t i = 0; i < rows; i++)
            for (size_t k = 0; k < n; k++)
                copy[i][k] = x[i * row + k * column];
        for (size_t i = 0; i < SIDE; i++)
            r[i] = i < rows ? pairs_along(copy[i], n) : _mm512_setzero_si512();
        if (!by_row)
            transpose(r);
    }
    store(out, r);
}

ALWAYS_INLINE void pack(char *out, const float *x, size_t row, size_t column, size_t rows,
                        size_t kc, int by_row)
{
    const size_t groups = (kc + GROUP - 1) / GROUP;
    for (size_t i = 0; i < rows; i += SIDE) {
        const size_t some = rows - i < SIDE ? rows - i : SIDE;
        char *to = out + i / MR * groups * GROUP_BYTES + i / SIDE % 2 * REGISTER_BYTES;
        for (size_t k = 0; k < kc; k += GROUP, to += GROUP_BYTES) {
            const size_t n = kc - k < GROUP ? kc - k : GROUP;
            const float *from = x + i * row + k * column;
            if (some == SIDE && n == GROUP)
                pack_register(to, from, row, column, SIDE, GROUP, by_row);
            else
                pack_register(to, from, row, column, some, n, by_row);
        }
    }
}

static void pack_a(void *out, const float *x, size_t row, size_t column, size_t m,
                   size_t kc)
{
    pack(out, x, row, column, m, kc, 1);
}

static void pack_b(void *out, const float *x, size_t row, size_t column, size_t n,
                   size_t kc)
{
    pack(out, x, row, column, n, kc, 0);
}

static const struct amx_shapes shapes = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

/* Registers 0 to 3: the sums, row by row; 4 and 5: A; 6 and 7: B. */
static void both_halves(size_t groups, const char *a, const char *b)
{
    for (size_t g = 0; g < groups; g++, a += GROUP_BYTES, b += GROUP_BYTES) {
        TILE_LOAD(4, a, 64);
        TILE_LOAD(6, b, 64);
        TILE_LOAD(7, b + REGISTER_BYTES, 64);
        TILE_LOAD(5, a + REGISTER_BYTES, 64);
        TILE_PRODUCT(bf16ps, 0, 4, 6);
        TILE_PRODUCT(bf16ps, 1, 4, 7);
        TILE_PRODUCT(bf16ps, 2, 5, 6);
        TILE_PRODUCT(bf16ps, 3, 5, 7);
    }
}

/* At most 16 rows: the second register of A was not packed. */
static void upper_half(size_t groups, const char *a, const char *b)
{
    for (size_t g = 0; g < groups; g++, a += GROUP_BYTES, b += GROUP_BYTES) {
        TILE_LOAD(4, a, 64);
        TILE_LOAD(6, b, 64);
        TILE_LOAD(7, b + REGISTER_BYTES, 64);
        TILE_PRODUCT(bf16ps, 0, 4, 6);
        TILE_PRODUCT(bf16ps, 1, 4, 7);
    }
}

static void store_sums(float *to, size_t stride)
{
    TILE_STORE(0, to, stride * sizeof *to);
    TILE_STORE(1, to + SIDE, stride * sizeof *to);
    TILE_STORE(2, to + SIDE * stride, stride * sizeof *to);
    TILE_STORE(3, to + SIDE * stride + SIDE, stride * sizeof *to);
}

static void run_tile(size_t groups, const char *a, const char *b, float *c, size_t ldc,
                     size_t m, size_t n, int accumulate)
{
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    if (m > SIDE)
        both_halves(groups, a, b);
    else
        upper_half(groups, a, b);
    if (m == MR && n == NR && !accumulate) {
        store_sums(c, ldc);
        return;
    }
    float sums[MR][NR] __attribute__((aligned(64)));
    store_sums(sums[0], NR);
    const __mmask16 left = first_lanes(n), right = first_lanes(n > 16 ? n - 16 : 0);
    for (size_t i = 0; i < m; i++, c += ldc) {
        __m512 s0 = _mm512_load_ps(sums[i]), s1 = _mm512_load_ps(sums[i] + 16);
        if (accumulate) {
            s0 = _mm512_add_ps(_mm512_maskz_loadu_ps(left, c), s0);
            s1 = _mm512_add_ps(_mm512_maskz_loadu_ps(right, c + 16), s1);
        }
        _mm512_mask_storeu_ps(c, left, s0);
        _mm512_mask_storeu_ps(c + 16, right, s1);
    }
}

static void run(size_t kc, const void *a, const void *b, float *c, size_t ldc, size_t m,
                size_t n, int accumulate)
{
    const size_t groups = (kc + GROUP - 1) / GROUP;
    const char *tile = a;
    AMX_SHAPES(shapes);
    for (size_t i = 0; i < m; i += MR, tile += groups * GROUP_BYTES)
        run_tile(groups, tile, b, c + i * ldc, ldc, m - i < MR ? m - i : MR, n,
                 accumulate);
    AMX_RELEASE();
}

const struct pare_gemm_bf16 pare_gemm_bf16_amx = {.name = "bf16_32x32_amx",
                                                  .mr = MR,
                                                  .nr = NR,
                                                  .element = 2,
                                                  .pack_a = pack_a,
                                                  .pack_b = pack_b,
                                                  .run = run};
