/* Codes in groups times quantised activations: the shape, the packed forms and the record
 * of the kernels that multiply them.
 *
 * Weights are codes q without sign with a scale s and a zero point z for each group of
 * `size` inputs (tensor/codes.h), activations bytes a with the same of their own. An
 * output is, over its groups g ascending,
 *
 *     y = fma(float(sum over k in g of (a[k] - z_x[g]) (q[k] - z[g])), s_x[g] s[g], y)
 *
 * starting from 0, with exact integer sums. They are taken apart as
 *
 *     sum a q  -  z_x S  -  z A      S = sum (q - z), A = sum a
 *
 * where sum a q runs on the codes as they are, and the rest is one product of two pairs
 * of 16-bit numbers, (z_x, A) and (-S, -z), for each chunk of at most 128 inputs.
 */
#ifndef PARE_KERNELS_GROUPED_H
#define PARE_KERNELS_GROUPED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pare_ahead;

struct pare_grouped {
    size_t groups; /* of a row */
    size_t size;   /* inputs of a group: a multiple of 16, or there is one group */
    int width;     /* bits of a packed code: 2, 4 or 8 */
};

#define PARE_CHUNK 128 /* inputs of a chunk; the last one of a group may be shorter */

/* Fours of inputs a group is packed with: whole 16s, zeros behind the last one. */
static inline size_t pare_grouped_quads(const struct pare_grouped *shape)
{
    return (shape->size + 15) / 16 * 4;
}

static inline size_t pare_grouped_chunks(const struct pare_grouped *shape)
{
    return (shape->size + PARE_CHUNK - 1) / PARE_CHUNK;
}

/* Bytes of a group of packed weights, for each column: the codes
 * [quads width / 32][nr][4], the pairs [chunks][nr][2] of int16, the scales [nr] of
 * float. A byte of 4-bit codes holds those of two quads, the first in its low bits; one
 * of 2-bit codes those of four. */
static inline size_t pare_grouped_b_bytes(const struct pare_grouped *shape)
{
    return pare_grouped_quads(shape) * (size_t)shape->width / 2 +
           4 * pare_grouped_chunks(shape) + 4;
}

/* Of a group of packed activations, for each row: bytes [quads][m][4], pairs
 * [chunks][m][2], scales [m]. */
static inline size_t pare_grouped_a_bytes(const struct pare_grouped *shape)
{
    return 4 * (pare_grouped_quads(shape) + pare_grouped_chunks(shape) + 1);
}

struct pare_gemm_grouped {
    const char *name;
    int mr, nr;
    /* n columns of one group, of `nr`: codes lie `stride` bytes apart, one in a byte. */
    void (*pack)(const struct pare_grouped *shape, void *out, const uint8_t *codes,
                 size_t stride, const float *scale, const uint8_t *zero, int n);
    /* A packed panel, all groups, to the form of width 8, for many rows; NULL where that
     * form is not faster. `shape` is that of `panel`. */
    void (*expand)(const struct pare_grouped *shape, void *out, const void *panel);
    /* m rows of all groups. rows: [m][groups][4 quads] bytes, zeros behind each group's
     * last input, changed on the way; scale and zero: [m][groups]. */
    void (*pack_a)(const struct pare_grouped *shape, void *out, uint8_t *rows,
                   const float *scale, const int32_t *zero, int m);
    /* a and b: from these, all groups; y: m x nr with row stride ldy, overwritten. */
    void (*run)(const struct pare_grouped *shape, const void *a, const void *b, float *y,
                size_t ldy, int m, struct pare_ahead ahead);
};

#ifdef __cplusplus
}
#endif
#endif
