/* INT8 with zero quads in plain C: the reference of the other tiers. */
#include "runtime/kernels/tiers.h"

#define MR 16

static void pack_a_scalar(void *out, const uint8_t *rows, size_t stride, int m,
                          size_t quads)
{
    pare_pack_scalar(out, pare_quads_width((size_t)m), rows, stride, (size_t)m, quads);
}

static void quads_16_scalar(const struct pare_quads *weights, size_t first, size_t n,
                            const void *a, int m, int32_t *acc)
{
    const size_t width = pare_quads_width((size_t)m);
    for (size_t j = first; j < first + n; j++, acc += width) {
        memset(acc, 0, width * sizeof *acc);
        for (size_t i = weights->start[j]; i < weights->start[j + 1]; i++) {
            const uint8_t *four = (const uint8_t *)a + 4 * width * weights->place[i];
            const int8_t *w = weights->value + 4 * i;
            for (size_t row = 0; row < (size_t)m; row++)
                for (size_t k = 0; k < 4; k++)
                    acc[row] += four[4 * row + k] * w[k];
        }
    }
}

const struct pare_gemm_quads pare_gemm_quads_scalar = {.name = "quads_16_scalar",
                                                       .mr = MR,
                                                       .a_bytes = 1,
                                                       .a_offset = 0,
                                                       .pack_a = pack_a_scalar,
                                                       .run = quads_16_scalar};
