/* The kernels of masked.h in plain C, around a tier's pare_kernels.expand_u8, which
 * EXPAND names. It reads no more behind a panel's bytes than the scales there.
 *
 * Activations are packed as by the kernels of grouped.h without an offset.
 */
#ifndef PARE_KERNELS_MASKED_RUN_H
#define PARE_KERNELS_MASKED_RUN_H

#include <math.h>

#include "runtime/kernels/grouped_pack.h"
#include "runtime/kernels/half.h"
#include "runtime/kernels/masked.h"
#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 4
#define COLUMNS PARE_MASKED_COLUMNS

/* sum += a q of one row, quads of 16 columns. */
ALWAYS_INLINE void add_quad(int32_t *sum, const uint8_t *a, const uint8_t *q)
{
    for (int j = 0; j < COLUMNS; j++)
        sum[j] += a[0] * q[4 * j] + a[1] * q[4 * j + 1] + a[2] * q[4 * j + 2] +
                  a[3] * q[4 * j + 3];
}

ALWAYS_INLINE uint64_t word_at(const uint8_t *words, size_t i)
{
    uint64_t word;
    memcpy(&word, words + 8 * i, sizeof word);
    return word;
}

/* The quad that lies at `from` under the word, in bits shift .. shift + width of its
 * bytes, times that of the rows at a. */
ALWAYS_INLINE void add_word(const int width, const int shift, uint64_t word,
                            const uint8_t *from, const uint8_t *a, int m,
                            int32_t (*sum)[COLUMNS])
{
    uint8_t bytes[64];
    EXPAND(bytes, from, (const uint8_t *)&word, width == 4 ? 0x88 : 0x80, sizeof bytes);
    for (int j = 0; j < 64; j++)
        bytes[j] = bytes[j] >> shift & ((1 << width) - 1);
    for (int r = 0; r < m; r++)
        add_quad(sum[r], a + 4 * r, bytes);
}

/* Sums of the rows over one chunk; returns where the next one begins. a: the chunk's
 * quads, [quads][m][4]. */
ALWAYS_INLINE const uint8_t *add_quads(size_t quads, const uint8_t *a, const uint8_t *at,
                                       int m, int32_t (*sum)[COLUMNS])
{
    const uint8_t *from = at + pare_masked_head(quads, 8);
    for (size_t i = 0; i < quads; i++, a += 4 * m) {
        const uint64_t word = word_at(at, i);
        add_word(8, 0, word, from, a, m, sum);
        from += __builtin_popcountll(word);
    }
    return from;
}

ALWAYS_INLINE const uint8_t *add_pairs(size_t quads, const uint8_t *a, const uint8_t *at,
                                       int m, int32_t (*sum)[COLUMNS])
{
    const size_t row = 4 * (size_t)m, shared = pare_masked_shared(quads);
    const uint8_t *from = at + pare_masked_head(quads, 4);
    const uint8_t *pairs = at + 8 * pare_masked_words(quads, 4);
    const uint8_t *second = a + row * quads / 2;
    for (size_t i = 0; i < quads / 2; i++, at += 8) {
        const uint64_t low = word_at(at, 0);
        if (i >= shared)
            at += 8;
        const uint64_t high = word_at(at, 0);
        add_word(4, 0, low, from, a + row * (pairs[i] & 15), m, sum);
        add_word(4, 4, high, from, second + row * (pairs[i] >> 4), m, sum);
        const size_t first = (size_t)__builtin_popcountll(low);
        from += first > (size_t)__builtin_popcountll(high)
                    ? first
                    : (size_t)__builtin_popcountll(high);
    }
    return from;
}

/* sum += (z_x, A) (-S, -z): pairs of a chunk, of which `sums` are minus S. */
ALWAYS_INLINE void add_rest(const int width, const uint8_t *pairs, const uint8_t *sums,
                            int m, int32_t (*sum)[COLUMNS])
{
    for (int r = 0; r < m; r++) {
        int16_t x[2], s[COLUMNS];
        memcpy(x, pairs + 4 * r, sizeof x);
        memcpy(s, sums, sizeof s);
        for (int j = 0; j < COLUMNS; j++)
            sum[r][j] += x[0] * s[j] - x[1] * pare_masked_zero(width);
    }
}

/* Sums of one group; returns where its scales lie. */
ALWAYS_INLINE const uint8_t *add_group(const int width, const struct pare_grouped *shape,
                                       const uint8_t *a, const uint8_t *at, int m,
                                       int32_t (*sum)[COLUMNS])
{
    const size_t quads = pare_grouped_quads(shape), row = 4 * (size_t)m;
    const uint8_t *pairs = a + quads * row;
    for (size_t quad = 0; quad < quads; quad += PARE_CHUNK / 4, pairs += row) {
        const size_t count = smaller_of(PARE_CHUNK / 4, quads - quad);
        const size_t head = pare_masked_head(count, width);
        add_rest(width, pairs, at + head - 2 * COLUMNS, m, sum);
        at = width == 4 ? add_pairs(count, a + quad * row, at, m, sum)
                        : add_quads(count, a + quad * row, at, m, sum);
    }
    return at;
}

ALWAYS_INLINE void masked_rows(const int width, const struct pare_grouped *shape,
                               const uint8_t *a, const uint8_t *at, float *y, size_t ldy,
                               int m)
{
    for (int r = 0; r < m; r++)
        memset(y + (size_t)r * ldy, 0, COLUMNS * sizeof *y);
    for (size_t g = 0; g < shape->groups; g++, at += 2 * COLUMNS) {
        int32_t sum[MR][COLUMNS] = {{0}};
        at = add_group(width, shape, a, at, m, sum);
        a += (pare_grouped_a_bytes(shape) - 4) * (size_t)m;
        for (int r = 0; r < m; r++, a += 4) {
            float *to = y + (size_t)r * ldy, x_scale;
            memcpy(&x_scale, a, sizeof x_scale);
            for (int j = 0; j < COLUMNS; j++) {
                uint16_t half;
                memcpy(&half, at + 2 * j, sizeof half);
                to[j] = fmaf((float)sum[r][j], x_scale * half_to_float(half), to[j]);
            }
        }
    }
}

ALWAYS_INLINE void masked_sums(const int width, const struct pare_grouped *shape,
                               const uint8_t *a, const uint8_t *panel, int32_t *acc,
                               size_t ldacc, int m)
{
    int32_t sum[MR][COLUMNS] = {{0}};
    add_group(width, shape, a, panel, m, sum);
    for (int r = 0; r < m; r++)
        memcpy(acc + (size_t)r * ldacc, sum[r], sizeof sum[r]);
}

/* The `run` and `run_sums` of a tier. */
#define DEFINE_MASKED_RUN(name)                                                          \
    static void name(const struct pare_grouped *shape, const void *a, const void *panel, \
                     float *y, size_t ldy, int m)                                        \
    {                                                                                    \
        if (shape->width == 4)                                                           \
            masked_rows(4, shape, a, panel, y, ldy, m);                                  \
        else                                                                             \
            masked_rows(8, shape, a, panel, y, ldy, m);                                  \
    }                                                                                    \
    static void name##_sums(const struct pare_grouped *shape, const void *a,             \
                            const void *panel, int32_t *acc, size_t ldacc, int m)        \
    {                                                                                    \
        masked_sums(8, shape, a, panel, acc, ldacc, m);                                  \
    }

#endif
