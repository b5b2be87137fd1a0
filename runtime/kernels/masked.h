/* Few rows times weights many of which are zero, wherever they are: a bit a weight says
 * which are not, and only these lie in memory. With few rows a product takes as long as
 * its weights take to arrive, so fewer bytes are more speed.
 *
 * Weights are codes in groups as in grouped.h, packed in 4 or 8 bits with the zero point
 * 8 or 128; so every weight that is not stored is that code. The sums are those of
 * pare_gemm_grouped, bit for bit. I8 with one scale a row is one group of 8 bits.
 *
 * A panel has 16 columns. A word of 64 bits is what an instruction can expand: bit 4 c +
 * i is input i of column c in a quad, and there is a byte for each bit that is set. Codes
 * of 8 bits have a word a quad. Codes of 4 bits lie in the low halves of bytes for a quad
 * of the chunk's first half, and in the high halves for one of its second half: such a
 * pair of quads has either one word for both, whose bits are what either needs, or one
 * for each, and as many bytes as the one that needs more. The first is fewer instructions
 * and the second fewer bytes, and about half of the pairs are either; which quads are
 * paired is chosen so that little is stored in vain.
 *
 * The panel is one stream, chunk after chunk (PARE_CHUNK inputs):
 *
 *     words   first of the pairs that share one, then two a pair; or one a quad
 *     pairs   of 4 bits only, a byte a pair: its first quad, and 16 times its second
 *     sums    int16 [16]: minus the sum of (code - zero point)
 *     bytes   word by word, or pair by pair
 *     scales  half precision [16], behind a group's last chunk
 */
#ifndef PARE_KERNELS_MASKED_H
#define PARE_KERNELS_MASKED_H

#include "runtime/kernels/grouped.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_MASKED_COLUMNS 16

/* The code of `width` bits that means 0. */
static inline uint8_t pare_masked_zero(int width)
{
    return (uint8_t)(1 << (width - 1));
}

/* Pairs of a chunk of so many quads of 4 bits that share a word. */
static inline size_t pare_masked_shared(size_t quads)
{
    return quads * 3 / 16 * 2;
}

static inline size_t pare_masked_words(size_t quads, int width)
{
    return width == 4 ? quads - pare_masked_shared(quads) : quads;
}

/* Bytes in front of a chunk's bytes: words, pairs, sums. */
static inline size_t pare_masked_head(size_t quads, int width)
{
    return 8 * pare_masked_words(quads, width) + (width == 4 ? quads / 2 : 0) +
           2 * PARE_MASKED_COLUMNS;
}

/* Bytes that a panel can have. */
size_t pare_masked_most(const struct pare_grouped *shape);

/* Packs n columns to out, which has room for pare_masked_most, and returns the bytes of
 * that panel. codes: of each column, `stride` bytes apart, groups behind each other, each
 * of whole quads (pare_grouped_quads) with zeros behind its last one. scale: in half
 * precision, of each column [groups] behind each other. */
size_t pare_masked_pack(const struct pare_grouped *shape, void *out, const uint8_t *codes,
                        size_t stride, const uint16_t *scale, int n);

struct pare_gemm_masked {
    const char *name;
    int mr;
    int pays; /* whether it is quicker than the dense kernel, with half of the weights */
    /* As in pare_gemm_grouped, for m rows of at most mr. */
    void (*pack_a)(const struct pare_grouped *shape, void *out, uint8_t *rows,
                   const float *scale, const int32_t *zero, int m);
    /* y: m x 16 with row stride ldy, overwritten. */
    void (*run)(const struct pare_grouped *shape, const void *a, const void *panel,
                float *y, size_t ldy, int m);
    /* Of one group of 8 bits, its sums themselves: over (a - z_x) (q - z). */
    void (*run_sums)(const struct pare_grouped *shape, const void *a, const void *panel,
                     int32_t *acc, size_t ldacc, int m);
};

#ifdef __cplusplus
}
#endif
#endif
