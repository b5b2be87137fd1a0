/* Panels of bits and what is not 0 (kernels/masked.h) to those of the dense integer
 * kernels, for more rows than the kernels of such panels take. */
#include <string.h>

#include "runtime/tensor/linear_run.h"

#define COLUMNS PARE_MASKED_COLUMNS
#define QUADS (PARE_CHUNK / 4)

/* Where columns from .. end of a panel of 16 go among dense panels of nr. */
struct target {
    unsigned char *panels;
    size_t nr, panel_bytes;
    size_t column; /* of the first one */
    size_t from, end;
};

/* Four bytes of each column, to number `at` of [..][nr][4] bytes in a dense panel. */
static void put_lanes(const struct target *to, size_t offset, size_t at, const void *four)
{
    if (to->nr % COLUMNS == 0 && to->end - to->from == COLUMNS) { /* as is usual */
        memcpy(to->panels + to->column / to->nr * to->panel_bytes + offset +
                   4 * (at * to->nr + to->column % to->nr),
               four, 4 * COLUMNS);
        return;
    }
    for (size_t j = to->from, n; j < to->end; j += n) {
        const size_t column = to->column + j - to->from, lane = column % to->nr;
        n = to->nr - lane < to->end - j ? to->nr - lane : to->end - j;
        memcpy(to->panels + column / to->nr * to->panel_bytes + offset +
                   4 * (at * to->nr + lane),
               (const unsigned char *)four + 4 * j, 4 * n);
    }
}

/* The codes of a chunk of 8 bits, [quads][16][4]; returns where the next one begins. */
static const uint8_t *expand_quads(const struct pare_kernels *kernels, size_t quads,
                                   const uint8_t *at, uint8_t (*codes)[4 * COLUMNS])
{
    const uint8_t *from = at + pare_masked_head(quads, 8);
    for (size_t i = 0; i < quads; i++, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        kernels->expand_u8(codes[i], from, at, 0x80, 64);
        from += __builtin_popcountll(word);
    }
    return from;
}

/* The same of 4 bits. */
static const uint8_t *expand_pairs(const struct pare_kernels *kernels, size_t quads,
                                   const uint8_t *at, uint8_t (*codes)[4 * COLUMNS])
{
    const uint8_t *from = at + pare_masked_head(quads, 4);
    const uint8_t *pairs = at + 8 * pare_masked_words(quads, 4);
    for (size_t i = 0; i < quads / 2; i++, at += 8) {
        uint8_t *first = codes[pairs[i] & 15],
                *second = codes[quads / 2 + (pairs[i] >> 4)];
        uint64_t low, high;
        memcpy(&low, at, sizeof low);
        kernels->expand_u8(first, from, at, 0x88, 64);
        if (i >= pare_masked_shared(quads))
            at += 8;
        memcpy(&high, at, sizeof high);
        kernels->expand_u8(second, from, at, 0x88, 64);
        for (size_t j = 0; j < 64; j++) {
            first[j] &= 15;
            second[j] >>= 4;
        }
        const size_t a = (size_t)__builtin_popcountll(low);
        const size_t b = (size_t)__builtin_popcountll(high);
        from += a > b ? a : b;
    }
    return from;
}

/* A pair (-S, -z) of each column. */
static void put_sums(const struct target *to, size_t offset, size_t chunk,
                     const uint8_t *sums, int width)
{
    int16_t pairs[2 * COLUMNS], minus[COLUMNS];
    memcpy(minus, sums, sizeof minus);
    for (size_t j = 0; j < COLUMNS; j++) {
        pairs[2 * j] = minus[j];
        pairs[2 * j + 1] = (int16_t)-pare_masked_zero(width);
    }
    put_lanes(to, offset, chunk, pairs);
}

static void put_scales(const struct pare_kernels *kernels, const struct target *to,
                       size_t offset, const uint8_t *halves)
{
    float scales[COLUMNS];
    kernels->decode_f16(scales, halves, COLUMNS);
    put_lanes(to, offset, 0, scales);
}

/* One panel of codes in groups to the form of width 8. */
static void unmask_codes(const struct pare_kernels *kernels,
                         const struct pare_grouped *shape, const uint8_t *at,
                         const struct target *to)
{
    const size_t quads = pare_grouped_quads(shape), chunks = pare_grouped_chunks(shape);
    size_t offset = 0;
    for (size_t g = 0; g < shape->groups; g++) {
        for (size_t quad = 0; quad < quads; quad += QUADS) {
            uint8_t codes[QUADS][4 * COLUMNS];
            const size_t count = quads - quad < QUADS ? quads - quad : QUADS;
            put_sums(to, offset + 4 * quads * to->nr, quad / QUADS,
                     at + pare_masked_head(count, shape->width) - 2 * COLUMNS,
                     shape->width);
            at = shape->width == 4 ? expand_pairs(kernels, count, at, codes)
                                   : expand_quads(kernels, count, at, codes);
            for (size_t i = 0; i < count; i++)
                put_lanes(to, offset, quad + i, codes[i]);
        }
        put_scales(kernels, to, offset + 4 * (quads + chunks) * to->nr, at);
        at += 2 * COLUMNS;
        offset += 4 * (quads + chunks + 1) * to->nr;
    }
}

/* One panel of I8, K inputs. */
static void unmask_bytes(const struct pare_kernels *kernels, size_t K, const uint8_t *at,
                         const struct target *to)
{
    const size_t all = (K + 15) / 16 * 4;
    for (size_t quad = 0; quad < all; quad += QUADS) {
        uint8_t codes[QUADS][4 * COLUMNS];
        const size_t count = all - quad < QUADS ? all - quad : QUADS;
        at = expand_quads(kernels, count, at, codes);
        for (size_t i = 0; i < count && 4 * (quad + i) < K; i++) {
            const size_t left = K - 4 * (quad + i);
            for (size_t j = 0; j < 4 * COLUMNS; j++)
                codes[i][j] ^= 0x80;
            for (size_t j = 0; left < 4 && j < 4 * COLUMNS; j++)
                codes[i][j] = j % 4 < left ? codes[i][j] : 0;
            put_lanes(to, 0, quad + i, codes[i]);
        }
    }
}

void pare_linear_unmask(const struct pare_kernels *kernels,
                        const struct pare_linear_part *part, size_t column, size_t n,
                        size_t nr, size_t panel_bytes, void *panels)
{
    const struct pare_grouped shape = pare_masked_shape(&part->weight);
    const size_t end = column + (n + nr - 1) / nr * nr; /* whole dense panels */
    memset(panels, 0, n % nr ? (n / nr + 1) * panel_bytes : 0);
    for (size_t j = column / COLUMNS * COLUMNS; j < end && j < part->weight.N;
         j += COLUMNS) {
        const size_t from = column > j ? column - j : 0;
        const struct target to = {panels,      nr,
                                  panel_bytes, j + from - column,
                                  from,        end - j < COLUMNS ? end - j : COLUMNS};
        const uint8_t *at = part->masked + part->masked_start[j / COLUMNS];
        if (part->weight.groups.bits)
            unmask_codes(kernels, &shape, at, &to);
        else
            unmask_bytes(kernels, part->weight.K, at, &to);
    }
}
