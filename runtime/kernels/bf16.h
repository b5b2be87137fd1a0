/* Products of operands in bfloat16, on CPUs without instructions for them: operands are
 * packed as rounded floats, and the arithmetic of kernels.h is written out over 16 lanes.
 * One text for every tier: a tier's file includes its vec_*.h, defines BF16_KERNEL and
 * BF16_NAME, and includes this.
 */
#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"

#define MR 4
#define NR LANES
#define GROUP PARE_BF16_GROUP

#define TWO_TO_MINUS_56_BITS 0x23800000u
#define INFINITY_BITS 0x7f800000u

static inline float rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude < TWO_TO_MINUS_56_BITS)
        return 0.0f;
    if (magnitude > INFINITY_BITS)
        return NAN;
    bits += 0x7fff + (bits >> 16 & 1);
    bits &= 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static size_t whole_groups(size_t kc)
{
    return (kc + GROUP - 1) / GROUP * GROUP;
}

/* Tiles [whole_groups(kc)][width], zeros behind the last row and k. */
static void pack(float *out, size_t width, const float *x, size_t row, size_t column,
                 size_t rows, size_t kc)
{
    const size_t whole = whole_groups(kc);
    for (size_t first = 0; first < rows; first += width, out += whole * width)
        for (size_t k = 0; k < whole; k++)
            for (size_t i = 0; i < width; i++)
                out[k * width + i] = k < kc && first + i < rows
                                         ? rounded(x[(first + i) * row + k * column])
                                         : 0.0f;
}

static void pack_a(void *out, const float *x, size_t row, size_t column, size_t m,
                   size_t kc)
{
    pack(out, MR, x, row, column, m, kc);
}

static void pack_b(void *out, const float *x, size_t row, size_t column, size_t n,
                   size_t kc)
{
    pack(out, NR, x, row, column, n, kc);
}

/* sum[i] = chain over k = 0, 2 .. GROUP - 2 */
ALWAYS_INLINE void chain(vf sum[MR], const float *a, const float *b)
{
    UNROLL
    for (int i = 0; i < MR; i++)
        sum[i] = vf_set(0.0f);
    for (size_t k = 0; k < GROUP; k += 2) {
        const vf bk = vf_load(b + k * NR);
        UNROLL
        for (int i = 0; i < MR; i++)
            sum[i] = vf_fma(vf_set(a[k * MR + (size_t)i]), bk, sum[i]);
    }
}

static void run_tile(size_t kc, const float *a, const float *b, float *c, size_t ldc,
                     size_t m, size_t n, int accumulate)
{
    vf sum[MR], even[MR], odd[MR];
    for (int i = 0; i < MR; i++)
        sum[i] = vf_set(0.0f);
    for (size_t k = 0; k < kc; k += GROUP) {
        chain(even, a + k * MR, b + k * NR);
        chain(odd, a + (k + 1) * MR, b + (k + 1) * NR);
        for (int i = 0; i < MR; i++)
            sum[i] = vf_add(sum[i], vf_add(even[i], odd[i]));
    }
    for (size_t i = 0; i < m; i++) {
        float *ci = c + i * ldc;
        vf_store_n(ci, accumulate ? vf_add(vf_load_n(ci, n), sum[i]) : sum[i], n);
    }
}

static void run(size_t kc, const void *a, const void *b, float *c, size_t ldc, size_t m,
                size_t n, int accumulate)
{
    const float *tile = a;
    for (size_t i = 0; i < m; i += MR, tile += whole_groups(kc) * MR)
        run_tile(kc, tile, b, c + i * ldc, ldc, m - i < MR ? m - i : MR, n, accumulate);
}

const struct pare_gemm_bf16 BF16_KERNEL = {.name = BF16_NAME,
                                           .mr = MR,
                                           .nr = NR,
                                           .element = sizeof(float),
                                           .pack_a = pack_a,
                                           .pack_b = pack_b,
                                           .run = run};
