/* INT8 with whole fours of weights that are zero: blocks of 1 x 4, and of any other form
 * whose columns are a multiple of four.
 *
 * What is kept of an output is a list of quads, four neighbouring inputs each. The lanes
 * of a vector are rows of the activations: a quad's four weights are broadcast once and
 * multiply the same four inputs of many rows. So the product takes as many steps as quads
 * are kept, and nothing is ever expanded; sums are exact, as those of pare_gemm_u8s8.
 */
#ifndef PARE_KERNELS_QUADS_H
#define PARE_KERNELS_QUADS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Outputs behind each other: what is kept of output j is number start[j] .. start[j + 1]
 * - 1, quad place[i] with the weights value[4 i] .. value[4 i + 3], places ascending. */
struct pare_quads {
    const uint32_t *start;
    const uint16_t *place;
    const int8_t *value;
};

/* Rows that m rows of activations are packed as: with the rows between lanes are filled,
 * and what is in them does not matter. */
static inline size_t pare_quads_width(size_t m)
{
    return m <= 4 ? 4 : m <= 8 ? 8 : (m + 15) / 16 * 16;
}

struct pare_gemm_quads {
    const char *name;
    int mr;
    /* Rows of a product up to which it is quicker than expanding the weights for the
     * dense kernel; 0: however many. */
    size_t most;
    int a_bytes; /* of one packed activation */
    /* As in pare_gemm_u8s8: what is multiplied is a - a_offset. */
    int32_t a_offset;
    /* m rows of `quads` * 4 quantised activations each, `stride` bytes apart, to
     * [quads][width][4] activations. */
    void (*pack_a)(void *out, const uint8_t *rows, size_t stride, int m, size_t quads);
    /* acc[j][i] for output first + j, j below n, and row i below the width of m. */
    void (*run)(const struct pare_quads *weights, size_t first, size_t n, const void *a,
                int m, int32_t *acc);
};

#ifdef __cplusplus
}
#endif
#endif
