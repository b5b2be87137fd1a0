/* Inputs of a linear layer before its product: times their factors; in training, rounded
 * to the grid of the integer kernels. */
#include <stdint.h>

#include "runtime/base/parallel.h"
#include "runtime/tensor/linear.h"

#define ROW_TILE 4
#define ROUND_MAGIC 0x1.8p23f /* added and taken away: rounded, ties to even */

struct rounding {
    const float *x;
    float *out;
    size_t K, group;
};

/* The codes lie in the last quarter of the group's own output and are decoded in
 * ascending order: element k, bytes 4k to 4k + 3, is written behind the last read of
 * them, since 4k + 3 < 3n + k + 1 for all k < n. */
static void round_group(const float *x, float *out, size_t n)
{
    uint8_t *codes = (uint8_t *)(out + n) - n;
    float scale;
    int32_t zero;
    pare_kernels()->quantize_u8(codes, x, NULL, n, &scale, &zero);
    for (size_t k = 0; k < n; k++)
        out[k] = (float)((int32_t)codes[k] - zero) * scale;
}

static void round_rows(void *context, size_t begin, size_t end)
{
    const struct rounding *r = context;
    for (size_t row = begin; row < end; row++)
        for (size_t k = 0; k < r->K; k += r->group)
            round_group(r->x + row * r->K + k, r->out + row * r->K + k, r->group);
}

struct scaling {
    const float *x, *by;
    float *out;
    size_t K;
};

static void scale_rows(void *context, size_t begin, size_t end)
{
    const struct scaling *s = context;
    for (size_t i = begin * s->K; i < end * s->K; i += s->K)
        for (size_t k = 0; k < s->K; k++)
            s->out[i + k] = s->x[i + k] * s->by[k];
}

void pare_scale_inputs(const float *x, const float *by, size_t M, size_t K, float *out)
{
    struct scaling scaling = {x, by, out, K};
    pare_parallel_for(M, ROW_TILE, scale_rows, &scaling);
}

struct pare_input_grid pare_input_grid_of(float low, float high)
{
    struct pare_input_grid grid = {.scale = (high - low) / 255.0f};
    grid.inverse = 1.0f / grid.scale;
    const float shifted = -low * grid.inverse + ROUND_MAGIC;
    grid.zero = (int32_t)(shifted - ROUND_MAGIC);
    return grid;
}

void pare_round_inputs(const float *x, size_t M, size_t K, size_t group, float *out)
{
    struct rounding rounding = {x, out, K, group};
    pare_parallel_for(M, ROW_TILE, round_rows, &rounding);
}
