/* Weights under bits for AVX-512 with VBMI2 and the dot-product instructions: VPEXPANDB
 * puts the bytes of a slot where its bits are, over the code that means 0.
 *
 * On a Zen 4, in cycles: a word of one row of 4 bits takes about 3.5, of which a mask and
 * an expansion are 2.6, and its bytes from memory about as many. A pair that shares a
 * word needs fewer of the first and more of the second; three pairs of four do.
 */
#if !defined(__AVX512VBMI2__) || !defined(__AVX512VNNI__)
#error "this file needs -mavx512vbmi2 -mavx512vnni"
#endif

#include <immintrin.h>

#include "runtime/kernels/grouped_pack.h"
#include "runtime/kernels/masked.h"
#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 4
#define AHEAD 16384 /* bytes of a panel, and of those behind it, that are asked for */
#define COLUMNS PARE_MASKED_COLUMNS
#define CHAINS                                                                           \
    2 /* sums of slots in turn, so that no addition waits for the one before             \
       */

static void pack_a_avx512vbmi2(const struct pare_grouped *shape, void *out, uint8_t *rows,
                               const float *scale, const int32_t *zero, int m)
{
    pack_rows_of_groups(shape, out, rows, scale, zero, (size_t)m, 128, pare_pack_avx512);
}

ALWAYS_INLINE __m512i four_of(const uint8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm512_set1_epi32(four);
}

ALWAYS_INLINE __m256i halves_of(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* As intrinsics gcc keeps copies of the sums. */
#define DOT_BYTES(sum, codes, a)                                                         \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(a))
#define DOT_PAIRS(sum, a, b) __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))

/* The sums of a row: of whole bytes or their low halves, and 16 times of high halves. */
struct sums {
    __m512i low[CHAINS], high[CHAINS];
};

ALWAYS_INLINE uint64_t word_at(const uint8_t *words)
{
    uint64_t word;
    memcpy(&word, words, sizeof word);
    return word;
}

/* sum += quads of m rows at a times codes. */
ALWAYS_INLINE void add_codes(const int m, __m512i codes, const uint8_t *a,
                             struct sums *sum, const int high, const int chain)
{
    UNROLL
    for (int r = 0; r < m; r++) {
        if (high)
            DOT_BYTES(sum[r].high[chain], codes, four_of(a + 4 * r));
        else
            DOT_BYTES(sum[r].low[chain], codes, four_of(a + 4 * r));
    }
}

/* One chunk of m rows: at and a are its own; returns where the next one begins. */
ALWAYS_INLINE const uint8_t *add_quads(const int m, size_t quads, const uint8_t *a,
                                       const uint8_t *at, struct sums *sum)
{
    const __m512i fill = _mm512_set1_epi8((char)0x80);
    const uint8_t *from = at + pare_masked_head(quads, 8), *ahead = at + AHEAD;
    for (size_t i = 0; i < quads; i += CHAINS) {
        UNROLL
        for (int c = 0; c < CHAINS; c++, at += 8, a += 4 * m) {
            const uint64_t word = word_at(at);
            __builtin_prefetch(ahead, 0, 2);
            ahead += 48;
            add_codes(m, _mm512_mask_expandloadu_epi8(fill, word, from), a, sum, 0, c);
            from += __builtin_popcountll(word);
        }
    }
    return from;
}

/* Pair number i: codes of its quads in the low and in the high halves of bytes. */
ALWAYS_INLINE void add_pair(const int m, __m512i low, __m512i high, const uint8_t *a,
                            const uint8_t *second, int pair, struct sums *sum,
                            const int chain)
{
    const __m512i first = _mm512_and_si512(low, _mm512_set1_epi8(15));
    const __m512i rest = _mm512_and_si512(high, _mm512_set1_epi8((char)0xf0));
    add_codes(m, first, a + 4 * m * (pair & 15), sum, 0, chain);
    add_codes(m, rest, second + 4 * m * (pair >> 4), sum, 1, chain);
}

ALWAYS_INLINE const uint8_t *add_pairs(const int m, size_t quads, const uint8_t *a,
                                       const uint8_t *at, struct sums *sum)
{
    const __m512i fill = _mm512_set1_epi8((char)0x88);
    const uint8_t *from = at + pare_masked_head(quads, 4), *ahead = at + AHEAD;
    const uint8_t *pair = at + 8 * pare_masked_words(quads, 4);
    const uint8_t *second = a + 4 * (size_t)m * (quads / 2);
    const size_t shared = pare_masked_shared(quads);
    UNROLL
    for (size_t i = 0; i < shared; i += CHAINS) {
        UNROLL
        for (int c = 0; c < CHAINS; c++, at += 8) {
            const uint64_t word = word_at(at);
            __builtin_prefetch(ahead, 0, 2);
            ahead += 64;
            const __m512i codes = _mm512_mask_expandloadu_epi8(fill, word, from);
            add_pair(m, codes, codes, a, second, *pair++, sum, c);
            from += __builtin_popcountll(word);
        }
    }
    UNROLL
    for (size_t i = shared; i < quads / 2; i += CHAINS) {
        UNROLL
        for (int c = 0; c < CHAINS; c++, at += 16) {
            const uint64_t low = word_at(at), high = word_at(at + 8);
            __builtin_prefetch(ahead, 0, 2);
            ahead += 64;
            add_pair(m, _mm512_mask_expandloadu_epi8(fill, low, from),
                     _mm512_mask_expandloadu_epi8(fill, high, from), a, second, *pair++,
                     sum, c);
            const int64_t first = __builtin_popcountll(low);
            const int64_t rest = __builtin_popcountll(high);
            from += first > rest ? first : rest;
        }
    }
    return from;
}

/* One group: *at moves to its scales; acc: m sums. */
ALWAYS_INLINE void add_group(const int m, const int width,
                             const struct pare_grouped *shape, const uint8_t *a,
                             const uint8_t **at, __m512i *acc)
{
    const size_t quads = pare_grouped_quads(shape), row = 4 * (size_t)m;
    const uint8_t *pairs = a + quads * row;
    struct sums sum[MR];
    UNROLL
    for (int r = 0; r < m; r++) {
        UNROLL
        for (int c = 0; c < CHAINS; c++)
            sum[r].low[c] = sum[r].high[c] = _mm512_setzero_si512();
    }
    for (size_t quad = 0; quad < quads; quad += PARE_CHUNK / 4, pairs += row) {
        const size_t count = smaller_of(PARE_CHUNK / 4, quads - quad);
        const __m512i minus =
            _mm512_or_si512(_mm512_cvtepu16_epi32(halves_of(
                                *at + pare_masked_head(count, width) - 2 * COLUMNS)),
                            _mm512_set1_epi32((int)(0u - (1u << (width + 15)))));
        UNROLL
        for (int r = 0; r < m; r++)
            DOT_PAIRS(sum[r].low[0], four_of(pairs + 4 * r), minus);
        if (width == 8)
            *at = add_quads(m, count, a + quad * row, *at, sum);
        else if (count == PARE_CHUNK / 4) /* a constant, so that loops are unrolled */
            *at = add_pairs(m, PARE_CHUNK / 4, a + quad * row, *at, sum);
        else
            *at = add_pairs(m, count, a + quad * row, *at, sum);
    }
    UNROLL
    for (int r = 0; r < m; r++) {
        const __m512i high = _mm512_add_epi32(sum[r].high[0], sum[r].high[1]);
        acc[r] = _mm512_add_epi32(_mm512_add_epi32(sum[r].low[0], sum[r].low[1]),
                                  _mm512_srai_epi32(high, 4));
    }
}

ALWAYS_INLINE void masked_rows(const int m, const int width,
                               const struct pare_grouped *shape, const uint8_t *a,
                               const uint8_t *at, float *y, size_t ldy)
{
    __m512 sum[MR];
    UNROLL
    for (int r = 0; r < m; r++)
        sum[r] = _mm512_setzero_ps();
    const size_t scales = (pare_grouped_a_bytes(shape) - 4) * (size_t)m;
    for (size_t g = 0; g < shape->groups; g++, a += 4 * m, at += 2 * COLUMNS) {
        __m512i acc[MR];
        add_group(m, width, shape, a, &at, acc);
        a += scales;
        const __m512 scale = _mm512_cvtph_ps(halves_of(at));
        UNROLL
        for (int r = 0; r < m; r++)
            sum[r] = _mm512_fmadd_ps(
                _mm512_cvtepi32_ps(acc[r]),
                _mm512_mul_ps(_mm512_castsi512_ps(four_of(a + 4 * r)), scale), sum[r]);
    }
    UNROLL
    for (int r = 0; r < m; r++)
        _mm512_storeu_ps(y + (size_t)r * ldy, sum[r]);
}

static void masked_4x16_avx512vbmi2(const struct pare_grouped *shape, const void *a,
                                    const void *panel, float *y, size_t ldy, int m)
{
#define CALL(m) masked_rows(m, 4, shape, a, panel, y, ldy)
    if (shape->width == 4) {
        FOR_HEIGHT_UP_TO_4(m, CALL)
        return;
    }
#undef CALL
#define CALL(m) masked_rows(m, 8, shape, a, panel, y, ldy)
    FOR_HEIGHT_UP_TO_4(m, CALL)
#undef CALL
}

ALWAYS_INLINE void masked_sums(const int m, const int width,
                               const struct pare_grouped *shape, const uint8_t *a,
                               const uint8_t *at, int32_t *to, size_t ldacc)
{
    __m512i acc[MR];
    add_group(m, width, shape, a, &at, acc);
    UNROLL
    for (int r = 0; r < m; r++)
        _mm512_storeu_si512(to + (size_t)r * ldacc, acc[r]);
}

static void masked_4x16_avx512vbmi2_sums(const struct pare_grouped *shape, const void *a,
                                         const void *panel, int32_t *acc, size_t ldacc,
                                         int m)
{
#define CALL(m) masked_sums(m, 8, shape, a, panel, acc, ldacc)
    FOR_HEIGHT_UP_TO_4(m, CALL)
#undef CALL
}

const struct pare_gemm_masked pare_gemm_masked_avx512vbmi2 = {
    .name = "masked_4x16_avx512vbmi2",
    .mr = MR,
    .pays = 1,
    .pack_a = pack_a_avx512vbmi2,
    .run = masked_4x16_avx512vbmi2,
    .run_sums = masked_4x16_avx512vbmi2_sums};
