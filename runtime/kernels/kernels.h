/* The kernels: leaf functions without allocation, input/output or threads.
 *
 * One table of function pointers, one complete scalar table, and tiers that overlay it
 * (dispatch.c shows on one screen what each tier replaces). Every tier gives the same
 * bits:
 *   - integer accumulators are exact;
 *   - a matrix product has one accumulator an output, k ascending, fused multiply-add
 *     (of operands in bfloat16: see struct pare_gemm_bf16);
 *   - a float reduction over a row uses PARE_LANES partial results, lane j taking the
 *     elements i = j (mod PARE_LANES) in ascending order (a missing element of the tail
 *     counts as the neutral one), then combined as a tree: lane j += lane j + 8, then
 *     + 4, + 2, + 1;
 *   - exp, tanh, erf and log are ours (polynomials in fused multiply-adds), so no libm.
 * A NaN is a NaN in every tier, but which bits it has is not promised.
 */
#ifndef PARE_KERNELS_KERNELS_H
#define PARE_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/kernels/grouped.h"
#include "runtime/kernels/masked.h"
#include "runtime/kernels/quads.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_LANES 16

enum pare_activation {
    PARE_ACT_NONE = 0,
    PARE_ACT_GELU,      /* x/2 (1 + erf(x/sqrt 2)) */
    PARE_ACT_GELU_TANH, /* the tanh approximation ("gelu_new") */
    PARE_ACT_RELU,
    PARE_ACT_TANH,
    PARE_ACT_SILU,
};

/* Constants of one AdamW step (Loshchilov & Hutter 2019, algorithm 2). */
struct pare_adamw {
    float beta1, beta2, eps;
    float lr;                                 /* of this step */
    float weight_decay;                       /* 0 for norms and biases */
    float bias_correction1, bias_correction2; /* 1 - beta^step */
    float grad_scale; /* multiplies the gradient first (clipping, averaging) */
};

/* One grid a lane of a row: value = scale q + offset for the codes q from low to high. */
struct pare_lane_grid {
    const float *scale, *offset;  /* [n] */
    const float *inverse, *shift; /* [n]: about 1 / scale and -offset / scale */
    float low, high;              /* within 0 .. 255 */
};

/* Memory the caller will need next: while it walks along k, a kernel asks for the cache
 * lines at `next`, `step` bytes further with each k (with each group of four k in INT8,
 * each 16 k of codes in groups). */
struct pare_ahead {
    const void *next;
    size_t step;
};

/* A GEMM kernel, its tile and its packing in one record, so that they cannot mismatch.
 * run computes an m x n tile: c[i][j] (+)= sum over k of a[k][i] * b[k][j]. */
struct pare_gemm_f32 {
    const char *name;
    int mr, nr;
    /* a: [kc][m] packed, b: [kc][nr] packed, c: m x n (1 <= m <= mr, 1 <= n <= nr) with
     * row stride ldc; accumulate: c is the start value of the sums, else 0. */
    void (*run)(size_t kc, const float *a, const float *b, float *c, size_t ldc, int m,
                int n, int accumulate, struct pare_ahead ahead);
};

/* INT8: u8 activations with a zero point, s8 weights, exact int32 sums. */
struct pare_gemm_u8s8 {
    const char *name;
    int mr, nr;
    int a_bytes; /* of one packed activation */
    /* Instructions that want signed activations get a - a_offset: the caller's zero point
     * moves with it, so that the dequantised product is the same. */
    int32_t a_offset;
    /* m rows of `groups` * 4 quantised activations each, `stride` bytes apart, to the
     * form run wants: m * groups * 4 * a_bytes bytes. NULL: that form is the rows behind
     * each other. */
    void (*pack_a)(void *out, const uint8_t *rows, size_t stride, int m, size_t groups);
    /* a: from pack_a, b: [groups][nr][4] packed (zero behind the last k and the last
     * column), acc: m x nr int32 with row stride ldacc, overwritten. */
    void (*run)(size_t groups, const void *a, const int8_t *b, int32_t *acc, size_t ldacc,
                int m, struct pare_ahead ahead);
};

/* BF16: operands are rounded to bfloat16, products and sums are in float.
 *
 * Rounding: to nearest, ties to even; a magnitude below 2^-56 becomes 0. So products are
 * multiples of 2^-126 and no sum of them is subnormal: whether a CPU flushes subnormal
 * numbers does not show.
 *
 * Sums, in the order of Intel's TDPBF16PS: for each group of PARE_BF16_GROUP k,
 * ascending, the products of even k go through one chain of fused multiply-adds from 0,
 * those of odd k through another, and s = s + (even + odd), s starting from 0. */
#define PARE_BF16_GROUP 32

struct pare_gemm_bf16 {
    const char *name;
    int mr, nr;
    size_t element; /* bytes of a packed operand */
    /* Packs m (n) rows of kc floats, element k of row i at x[i * row + k * column], in
     * tiles of mr (nr) rows behind each other. A tile takes mr (nr) times kc elements, kc
     * rounded up to whole groups. */
    void (*pack_a)(void *out, const float *x, size_t row, size_t column, size_t m,
                   size_t kc);
    void (*pack_b)(void *out, const float *x, size_t row, size_t column, size_t n,
                   size_t kc);
    /* c[i][j] = s or, with accumulate, c[i][j] + s, for m x n of c with row stride ldc;
     * n <= nr, m is any number of rows. */
    void (*run)(size_t kc, const void *a, const void *b, float *c, size_t ldc, size_t m,
                size_t n, int accumulate);
};

/* See pare_kernels.panel_q8_0. */
typedef void pare_panel_fn(float *out, size_t width, const void *in, size_t stride,
                           size_t rows, size_t n);

/* A sum of weights in -2^22 .. 2^22 - 1 as two numbers of 16 bits, 128 high + low: CPUs
 * that multiply such pairs in one step take two for a product of 32 bits. */
static inline int32_t pare_split_sum(int32_t sum)
{
    const int32_t low = sum & 127, high = (sum - low) / 128;
    return (int32_t)((uint32_t)high << 16 | (uint32_t)low);
}

struct pare_kernels {
    /* "scalar", "avx2", "avx512", "amx", "neon", "neondot", "neoni8mm" */
    const char *tier;
    struct pare_gemm_f32 gemm_f32;
    struct pare_gemm_u8s8 gemm_u8s8;
    struct pare_gemm_bf16 gemm_bf16;
    struct pare_gemm_grouped gemm_grouped;
    struct pare_gemm_quads gemm_quads;
    struct pare_gemm_masked gemm_masked;
    /* Transposes n 32-bit words (floats, or groups of four bytes) of each of `rows` rows,
     * which start `stride` bytes apart: out[k * width + i] = word k of row i. Columns
     * between `rows` and `width` are not touched. */
    void (*pack)(void *out, size_t width, const void *in, size_t stride, size_t rows,
                 size_t n);
    /* Copies: out[k * width + i] = word i of row k, for `columns` words of n rows. */
    void (*pack_copy)(void *out, size_t width, const void *in, size_t stride,
                      size_t columns, size_t n);

    /* Rows. n elements, any alignment; y may be x unless said otherwise. */
    void (*activate)(enum pare_activation act, float *y, const float *x, size_t n);
    /* dx = dy * act'(x); dx may be dy. x is the activation's input for every act. */
    void (*activate_backward)(enum pare_activation act, float *dx, const float *dy,
                              const float *x, size_t n);
    /* y += x;  y = a + b;  y = a x + y;  y *= a */
    void (*add)(float *y, const float *x, size_t n);
    void (*add_to)(float *y, const float *a, const float *b, size_t n);
    void (*axpy)(float *y, float a, const float *x, size_t n);
    void (*scale)(float *y, float a, size_t n);
    float (*dot)(const float *x, const float *y, size_t n);
    float (*sum)(const float *x, size_t n);
    float (*max)(const float *x, size_t n); /* of the numbers; -inf when there are none */
    /* x <- softmax(a x): subtract the maximum, exp (0 below -44.4), multiply by 1 / sum.
     */
    void (*softmax)(float *x, float a, size_t n);
    /* Of `rows` rows of n behind each other. */
    void (*softmax_rows)(float *x, float a, size_t rows, size_t n);
    /* dp <- a * p * (dp - sum(p dp)): gradient of softmax(a s) with respect to s. */
    void (*softmax_backward)(float *dp, const float *p, float a, size_t n);
    /* log(sum(exp(x))) */
    float (*logsumexp)(const float *x, size_t n);
    /* y = gamma (x - mean) rstd + beta; writes mean and rstd = 1/sqrt(var + eps) when
     * the pointers are not NULL. (Ba, Kiros, Hinton 2016) */
    void (*layer_norm)(float *y, const float *x, const float *gamma, const float *beta,
                       float eps, size_t n, float *mean, float *rstd);
    /* dx of layer_norm from dy and the saved mean and rstd; dx may be dy. */
    void (*layer_norm_backward)(float *dx, const float *dy, const float *x,
                                const float *gamma, float mean, float rstd, size_t n);
    /* Dynamic activation quantisation, asymmetric, one scale and zero point a row. With
     * x' = x, or x * by element by element when `by` is not NULL:
     * scale = (max - min) / 255 with the range of x' widened to hold 0,
     * zero = round_half_even(-min * (1 / scale)),
     * q = clamp(round_half_even(x' * (1 / scale) + zero), 0, 255).
     * A row whose range is below 1e-30 counts as zeros: scale 1, zero 0, q 0. A row that
     * holds a NaN or an infinity gets scale NaN, zero 0, q 0: its products are NaN. */
    void (*quantize_u8)(uint8_t *q, const float *x, const float *by, size_t n,
                        float *scale, int32_t *zero);
    /* The same with a scale (its inverse) and zero point that are given, in one pass.
     * Returns 0, and q is 0, when an x' is not finite. */
    int (*quantize_u8_fixed)(uint8_t *q, const float *x, const float *by, size_t n,
                             float inverse, int32_t zero);
    /* quantize_u8 of each of `groups` groups of `size` elements, on its own; the bytes of
     * group g begin at q + g * stride, its factors at by + g * size. */
    void (*quantize_u8_groups)(uint8_t *q, size_t stride, const float *x, const float *by,
                               size_t groups, size_t size, float *scale, int32_t *zero);
    /* Of each of `groups` groups of `size` elements: the smallest and the largest of them
     * and 0; both are NaN when one is not finite. */
    void (*group_range)(float *min, float *max, const float *x, size_t groups,
                        size_t size);
    /* Of each group: the sum of the magnitudes. */
    void (*group_magnitude)(float *sum, const float *x, size_t groups, size_t size);
    /* Rounds each group to the grid of its scale (one that is not 0) and of the code that
     * means 0: q = round_half_even(clamp(x * (1 / scale) + zero, low, high)), product and
     * sum in one rounding; y = scale * (q - zero). Scale 0: 0 instead of 1 / scale. A
     * scale of NaN makes y NaN. q or y may be NULL, y may be x. */
    void (*group_round)(float *y, uint8_t *q, const float *x, size_t groups, size_t size,
                        const float *scale, const float *zero, float low, float high);
    /* Rounds element j to grid j: q = round_half_even(clamp(x * inverse + shift, low,
     * high)), y = scale * q + offset, each product and sum in one rounding. q may be
     * NULL. A NaN becomes the code `high`. */
    void (*round_affine)(float *y, uint8_t *q, const float *x,
                         const struct pare_lane_grid *grid, size_t n);
    /* e = x - y, loss += (a e) e in one rounding; e may be NULL, or x or y */
    void (*deviate)(float *e, float *loss, const float *x, const float *y, float a,
                    size_t n);
    /* loss += a |x - y|^p in one rounding, p > 0: e^(p log |x - y|) of below 2^-126 is 0
     */
    void (*deviate_power)(float *loss, const float *x, const float *y, float a, float p,
                          size_t n);
    /* C[i][j] -= a[i] b[j] in one rounding, for m rows of n, which begin ldc apart */
    void (*rank_one)(float *C, size_t ldc, const float *a, const float *b, size_t m,
                     size_t n);
    /* y[j] = (float)(acc[j] - zero * sum[j]) * (scale * weight_scale[j]) +
     * bias[j], product and sum in one rounding (bias may be NULL: just the product);
     * weight_sum[j] is pare_split_sum(sum[j]), zero -128 .. 255 */
    void (*dequantize_acc)(float *y, const int32_t *acc, int32_t zero, float scale,
                           const int32_t *weight_sum, const float *weight_scale,
                           const float *bias, size_t n);
    /* g' = grad_scale g;  m = beta1 m + (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2;
     * p = p (1 - lr weight_decay) - lr / bias_correction1 * m
     *                               / (sqrt(v / bias_correction2) + eps)
     * where an m or v below 2^-100 in magnitude becomes 0. */
    void (*adamw)(float *p, float *m, float *v, const float *g, size_t n,
                  const struct pare_adamw *step);
    /* Dropout of elements element .. element + n - 1 of a stream of random numbers (key:
     * pare_rng_key). Number i of the stream has 16 bits for each of the elements 4 i ..
     * 4 i + 3, the lowest first: below `dropped` the element becomes 0, else it is
     * multiplied by scale. */
    void (*dropout)(float *y, size_t n, uint64_t key, uint64_t element, uint32_t dropped,
                    float scale);
    /* sum of squares in double, for gradient norms */
    double (*sum_squares)(const float *x, size_t n);
    /* Decoding of stored rows to float (n a multiple of 32 for the blocks). */
    void (*decode_f16)(float *y, const void *x, size_t n);
    void (*decode_bf16)(float *y, const void *x, size_t n);
    void (*decode_q8_0)(float *y, const void *x, size_t n);
    void (*decode_q4_0)(float *y, const void *x, size_t n);
    void (*decode_q4_1)(float *y, const void *x, size_t n);
    /* The same for `rows` stored rows, which start `stride` bytes apart, transposed:
     * out[k * width + i] = value k of row i. Columns between `rows` and `width` are not
     * touched. */
    pare_panel_fn *panel_f16, *panel_bf16, *panel_q8_0, *panel_q4_0, *panel_q4_1;
    /* out[i] = the next of `values` where bit i of `bits` is set (bit i mod 8 of byte i /
     * 8), else gap. 64 bytes from the next value on may be read. */
    void (*expand_u8)(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                      uint8_t gap, size_t n);
    /* n codes, a multiple of 4, of each row, one in a byte, as scale[i] (q - zero) -
     * offset[i] of row i; both products are exact in float. */
    void (*panel_codes)(float *out, size_t width, const uint8_t *codes, size_t stride,
                        size_t rows, size_t n, const float *scale, int zero,
                        const float *offset);
};

/* The table in use. Chosen once: what pare_cpu_select asked for, else the environment
 * variable PARE_CPU, else the best this CPU has. */
const struct pare_kernels *pare_kernels(void);

/* Forces a tier by name; "auto" for the best; NULL for PARE_CPU, else the best.
 * PARE_ERR_USAGE when the name is unknown or this CPU does not have it (never a silent
 * fallback). Programs call it before anything else, which reports a bad PARE_CPU. Not to
 * be called while other threads compute. */
enum pare_status pare_cpu_select(const char *tier, struct pare_error *err) PARE_CHECKED;

/* Tier number i this CPU can run, worst first ("scalar"), NULL behind the last. */
const char *pare_cpu_tier(int i);
/* The table of one tier, NULL when this CPU does not have it: for tests and benchmarks.
 */
const struct pare_kernels *pare_kernels_of(const char *tier);

#ifdef __cplusplus
}
#endif
#endif
