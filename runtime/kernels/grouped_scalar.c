/* Codes in groups in plain C: the reference of the other tiers. */
#include <math.h>

#include "runtime/kernels/grouped_pack.h"
#include "runtime/kernels/tiers.h"

#define MR 4
#define NR 16

static void pack_scalar(const struct pare_grouped *shape, void *out, const uint8_t *codes,
                        size_t stride, const float *scale, const uint8_t *zero, int n)
{
    pack_group(shape, NR, out, codes, stride, scale, zero, (size_t)n);
}

static void pack_a_scalar(const struct pare_grouped *shape, void *out, uint8_t *rows,
                          const float *scale, const int32_t *zero, int m)
{
    pack_rows_of_groups(shape, out, rows, scale, zero, (size_t)m, 0, pare_pack_scalar);
}

/* Sum of a q of one row and column over a group. */
static int32_t codes_product(const struct pare_grouped *shape, const uint8_t *a, size_t m,
                             const uint8_t *b)
{
    const size_t quads = pare_grouped_quads(shape), per = 8 / (size_t)shape->width;
    const int mask = (1 << shape->width) - 1;
    int32_t sum = 0;
    for (size_t quad = 0; quad < quads; quad++)
        for (size_t k = 0; k < 4; k++)
            sum +=
                a[4 * quad * m + k] *
                (b[quad / per * 4 * NR + k] >> (int)(quad % per) * shape->width & mask);
    return sum;
}

static int32_t pair_product(const uint8_t *a, const uint8_t *b)
{
    int16_t x[2], w[2];
    memcpy(x, a, sizeof x);
    memcpy(w, b, sizeof w);
    return x[0] * w[0] + x[1] * w[1];
}

static float load_float(const uint8_t *p)
{
    float value;
    memcpy(&value, p, sizeof value);
    return value;
}

/* a and b: the row and the column within one group. */
static float add_group(const struct pare_grouped *shape, const uint8_t *a, size_t m,
                       const uint8_t *b, float y)
{
    const size_t quads = pare_grouped_quads(shape), chunks = pare_grouped_chunks(shape);
    const uint8_t *a_pairs = a + 4 * quads * m;
    const uint8_t *b_pairs = b + quads * (size_t)shape->width / 2 * NR;
    /* Partial sums may pass the ends of an int32, the whole does not. */
    uint32_t sum = (uint32_t)codes_product(shape, a, m, b);
    for (size_t c = 0; c < chunks; c++)
        sum += (uint32_t)pair_product(a_pairs + 4 * c * m, b_pairs + 4 * c * NR);
    const float scale =
        load_float(a_pairs + 4 * chunks * m) * load_float(b_pairs + 4 * chunks * NR);
    return fmaf((float)(int32_t)sum, scale, y);
}

static void grouped_4x16_scalar(const struct pare_grouped *shape, const void *a,
                                const void *b, float *y, size_t ldy, int m,
                                struct pare_ahead ahead)
{
    (void)ahead;
    const size_t a_bytes = pare_grouped_a_bytes(shape) * (size_t)m;
    const size_t b_bytes = pare_grouped_b_bytes(shape) * NR;
    for (size_t i = 0; i < (size_t)m; i++)
        for (size_t j = 0; j < NR; j++) {
            float sum = 0;
            for (size_t g = 0; g < shape->groups; g++)
                sum = add_group(shape, (const uint8_t *)a + g * a_bytes + 4 * i,
                                (size_t)m, (const uint8_t *)b + g * b_bytes + 4 * j, sum);
            y[i * ldy + j] = sum;
        }
}

const struct pare_gemm_grouped pare_gemm_grouped_scalar = {.name = "grouped_4x16_scalar",
                                                           .mr = MR,
                                                           .nr = NR,
                                                           .pack = pack_scalar,
                                                           .pack_a = pack_a_scalar,
                                                           .run = grouped_4x16_scalar};
