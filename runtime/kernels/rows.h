/* The row functions of the table, over sixteen lanes: one text for every tier.
 *
 * A tier's file includes its vec_*.h, defines ROWS_TABLE and ROWS_PACK, its
 * pare_kernels.pack, and includes this. All tiers
 * then do the same operations in the same order, which is why their bits are equal.
 */
#include <float.h>

#include "runtime/kernels/tiers.h"
#include "runtime/kernels/tile.h"
#include "runtime/kernels/vec_math.h"

/* Runs `step` for each vector of n elements with `i` its first element and `k` how many
 * there are: a constant 16, which makes the partial loads and stores plain ones, then
 * what is left. */
#define EACH_VECTOR(n, step)                                                             \
    do {                                                                                 \
        size_t i = 0;                                                                    \
        for (; i + LANES <= (n); i += LANES) {                                           \
            enum { k = LANES };                                                          \
            step;                                                                        \
        }                                                                                \
        if (i < (n)) {                                                                   \
            size_t k = (n)-i;                                                            \
            step;                                                                        \
        }                                                                                \
    } while (0)

#define GET(p) vf_load_n((p) + i, k)
#define PUT(p, value) vf_store_n((p) + i, value, k)
/* Elements behind the end become `fill` instead of 0. */
#define FILL(value, fill) vf_select(vm_first(k), value, fill)

/* sqrt(2/pi) and sqrt(2/pi) 0.044715, of the tanh approximation of GELU. */
#define GELU_C1 0x1.988454p-1f
#define GELU_C3 0x1.2444f2p-5f
#define INV_SQRT_2PI 0x1.988454p-2f

static inline vf relu(vf x)
{
    return vf_max(vf_set(0.0f), x);
}

static inline vf gelu(vf x)
{
    return vf_mul(x, v_normal_cdf(x));
}

/* 2 u of x/2 (1 + tanh u), u = c1 x + c3 x^3 */
static inline vf gelu_tanh_argument(vf x)
{
    vf x2 = vf_mul(x, x);
    vf u = vf_mul(x, vf_fma(x2, vf_set(GELU_C3), vf_set(GELU_C1)));
    return vf_add(u, u);
}

static inline vf gelu_tanh(vf x)
{
    return vf_mul(x, v_sigmoid(gelu_tanh_argument(x)));
}

static inline vf silu(vf x)
{
    return vf_mul(x, v_sigmoid(x));
}

/* y = f(x), four vectors at a time, so that their long chains overlap. */
#define MAP(f)                                                                           \
    do {                                                                                 \
        size_t first = 0;                                                                \
        for (; first + 4 * LANES <= n; first += 4 * LANES) {                             \
            const float *from = x + first;                                               \
            const vf v0 = f(vf_load(from)), v1 = f(vf_load(from + LANES));               \
            const vf v2 = f(vf_load(from + 2 * LANES)),                                  \
                     v3 = f(vf_load(from + 3 * LANES));                                  \
            vf_store(y + first, v0);                                                     \
            vf_store(y + first + LANES, v1);                                             \
            vf_store(y + first + 2 * LANES, v2);                                         \
            vf_store(y + first + 3 * LANES, v3);                                         \
        }                                                                                \
        EACH_VECTOR(n - first, PUT(y + first, f(GET(x + first))));                       \
    } while (0)

static void activate(enum pare_activation act, float *y, const float *x, size_t n)
{
    switch (act) {
    case PARE_ACT_NONE:
        if (y != x && n)
            memmove(y, x, n * sizeof *y);
        break;
    case PARE_ACT_GELU: MAP(gelu); break;
    case PARE_ACT_GELU_TANH: MAP(gelu_tanh); break;
    case PARE_ACT_RELU: MAP(relu); break;
    case PARE_ACT_TANH: MAP(v_tanh); break;
    case PARE_ACT_SILU: MAP(silu); break;
    }
}

static void add(float *y, const float *x, size_t n)
{
    EACH_VECTOR(n, PUT(y, vf_add(GET(y), GET(x))));
}

static void add_to(float *y, const float *a, const float *b, size_t n)
{
    EACH_VECTOR(n, PUT(y, vf_add(GET(a), GET(b))));
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    vf va = vf_set(a);
    EACH_VECTOR(n, PUT(y, vf_fma(va, GET(x), GET(y))));
}

static void scale(float *y, float a, size_t n)
{
    vf va = vf_set(a);
    EACH_VECTOR(n, PUT(y, vf_mul(va, GET(y))));
}

static float dot(const float *x, const float *y, size_t n)
{
    vf sum = vf_set(0.0f);
    EACH_VECTOR(n, sum = vf_fma(GET(x), GET(y), sum));
    return vf_reduce_add(sum);
}

static float sum_row(const float *x, size_t n)
{
    vf sum = vf_set(0.0f);
    EACH_VECTOR(n, sum = vf_add(sum, GET(x)));
    return vf_reduce_add(sum);
}

/* The new value stands first: a NaN is dropped, the maximum of the numbers remains. */
static float max_row(const float *x, size_t n)
{
    vf low = vf_set(-INFINITY), max = low;
    EACH_VECTOR(n, max = vf_max(FILL(GET(x), low), max));
    return vf_reduce_max(max);
}

/* Terms below 2^-64 of the largest are zeros: they do not reach the sum, and the products
 * with them would end in subnormal numbers. */
#define SOFTMAX_LOWEST -44.4f

/* x <- a x; returns the largest. */
static inline float scale_and_max(float *x, vf a, size_t n)
{
    const vf low = vf_set(-INFINITY);
    vf max = low;
    EACH_VECTOR(n, {
        vf t = vf_mul(a, GET(x));
        PUT(x, t);
        max = vf_max(FILL(t, low), max);
    });
    return vf_reduce_max(max);
}

/* x <- e^(x - top); returns the sum. */
static inline float exp_and_sum(float *x, float top, size_t n)
{
    const vf vtop = vf_set(top);
    const size_t pairs = n / (2 * LANES) * (2 * LANES);
    vf sum = vf_set(0.0f);
    for (size_t i = 0; i < pairs; i += 2 * LANES) {
        const vf e0 = v_exp_negative(vf_sub(vf_load(x + i), vtop), SOFTMAX_LOWEST);
        const vf e1 =
            v_exp_negative(vf_sub(vf_load(x + i + LANES), vtop), SOFTMAX_LOWEST);
        vf_store(x + i, e0);
        vf_store(x + i + LANES, e1);
        sum = vf_add(vf_add(sum, e0), e1);
    }
    float *rest = x + pairs;
    EACH_VECTOR(n - pairs, {
        const vf e = v_exp_negative(vf_sub(GET(rest), vtop), SOFTMAX_LOWEST);
        PUT(rest, e);
        sum = vf_add(sum, FILL(e, vf_set(0.0f)));
    });
    return vf_reduce_add(sum);
}

/* Step by step for a few rows, so that a row does not wait for its own maximum and sum.
 */
#define SOFTMAX_ROWS 8

static void softmax_rows(float *x, float a, size_t rows, size_t n)
{
    const vf va = vf_set(a);
    for (size_t some; rows; rows -= some, x += some * n) {
        float of[SOFTMAX_ROWS];
        some = rows < SOFTMAX_ROWS ? rows : SOFTMAX_ROWS;
        for (size_t r = 0; r < some; r++)
            of[r] = scale_and_max(x + r * n, va, n);
        for (size_t r = 0; r < some; r++)
            of[r] = exp_and_sum(x + r * n, of[r], n);
        for (size_t r = 0; r < some; r++)
            scale(x + r * n, 1.0f / of[r], n);
    }
}

static void softmax(float *x, float a, size_t n)
{
    softmax_rows(x, a, 1, n);
}

static float logsumexp(const float *x, size_t n)
{
    float max = max_row(x, n);
    vf top = vf_set(max), sum = vf_set(0.0f);
    if (max == INFINITY)
        return max;
    if (max == -INFINITY) { /* nothing, infinities, or only NaN */
        float all = sum_row(x, n);
        return all != all ? all : max;
    }
    EACH_VECTOR(n, sum = vf_add(sum, FILL(v_exp_negative(vf_sub(GET(x), top), EXP_LOWEST),
                                          vf_set(0.0f))));
    float total = vf_reduce_add(sum);
    if (!(total < INFINITY)) /* a NaN */
        return total;
    float log_total[LANES];
    vf_store(log_total, v_log(vf_set(total)));
    return max + log_total[0];
}

static void layer_norm(float *y, const float *x, const float *gamma, const float *beta,
                       float eps, size_t n, float *mean_out, float *rstd_out)
{
    float mean = sum_row(x, n) / (float)n;
    vf vmean = vf_set(mean), sum = vf_set(0.0f);
    EACH_VECTOR(n, {
        vf d = FILL(vf_sub(GET(x), vmean), vf_set(0.0f));
        sum = vf_fma(d, d, sum);
    });
    float rstd = 1.0f / sqrtf(vf_reduce_add(sum) / (float)n + eps);
    vf vrstd = vf_set(rstd);
    EACH_VECTOR(n, {
        vf xhat = vf_mul(vf_sub(GET(x), vmean), vrstd);
        PUT(y, vf_fma(xhat, GET(gamma), GET(beta)));
    });
    if (mean_out)
        *mean_out = mean;
    if (rstd_out)
        *rstd_out = rstd;
}

/* Smallest and largest element so far, and a sum that is NaN as soon as one element is
 * not finite: neither depends on the order, so two of these share a row to hide
 * latencies. */
struct range {
    vf min, max, bad;
};

static inline struct range widened(struct range range, vf v)
{
    vf none = vf_set(0.0f);
    return (struct range){vf_min(v, range.min), vf_max(v, range.max),
                          vf_fma(v, none, range.bad)};
}

/* Element i of a row of inputs, times that of `by` when there is one. */
#define INPUT(x, by) ((by) ? vf_mul(GET(x), GET(by)) : GET(x))

ALWAYS_INLINE vf input_at(const float *x, const float *by, size_t i)
{
    return by ? vf_mul(vf_load(x + i), vf_load(by + i)) : vf_load(x + i);
}

ALWAYS_INLINE struct range range_from(const float *x, const float *by, size_t n)
{
    vf none = vf_set(0.0f);
    struct range range1 = {none, none, none}, range2 = range1;
    const size_t pairs = n / (2 * LANES) * (2 * LANES);
    for (size_t i = 0; i < pairs; i += 2 * LANES) {
        range1 = widened(range1, input_at(x, by, i));
        range2 = widened(range2, input_at(x, by, i + LANES));
    }
    const float *rest = x + pairs, *rest_by = by ? by + pairs : NULL;
    EACH_VECTOR(n - pairs, range1 = widened(range1, INPUT(rest, rest_by)));
    return (struct range){vf_min(range1.min, range2.min), vf_max(range1.max, range2.max),
                          vf_add(range1.bad, range2.bad)};
}

/* The range of n elements and 0, and whether all are finite: bad is 0 then. */
static inline struct range range_of(const float *x, const float *by, size_t n)
{
    return by ? range_from(x, by, n) : range_from(x, NULL, n);
}

/* Bytes of n inputs: x inverse + zero, rounded and cut to 0 .. 255. With `check` the
 * result is NaN as soon as one input is not finite; else all are within the grid. */
ALWAYS_INLINE vf quantize_from(uint8_t *q, const float *x, const float *by, size_t n,
                               float inverse, float zero, const int check)
{
    const vf vinverse = vf_set(inverse), vzero = vf_set(zero), vtop = vf_set(255.0f);
    const vf none = vf_set(0.0f), magic = vf_set(ROUND_MAGIC);
    vf bad = none, bad_b = none;
    const size_t pairs = n / (2 * LANES) * (2 * LANES);
    for (size_t i = 0; i < pairs; i += 2 * LANES) {
        vf a = input_at(x, by, i), b = input_at(x, by, i + LANES);
        if (check) {
            bad = vf_fma(a, none, bad);
            bad_b = vf_fma(b, none, bad_b);
        }
        a = vf_fma(a, vinverse, vzero);
        b = vf_fma(b, vinverse, vzero);
        if (check) {
            a = vf_min(a, vtop);
            b = vf_min(b, vtop);
        }
        vf_store_u8(q + i, a, b);
    }
    const float *rest = x + pairs, *rest_by = by ? by + pairs : NULL;
    EACH_VECTOR(n - pairs, {
        const vf input = INPUT(rest, rest_by);
        if (check)
            bad = vf_fma(input, none, bad);
        vf t = vf_min(vf_max(vf_fma(input, vinverse, vzero), none), vtop);
        t = vf_add(t, magic);
        vi_store_u8_n(q + pairs + i, vi_sub(vf_as_int(t), vf_as_int(magic)), k);
    });
    return vf_add(bad, bad_b);
}

/* One row, with its scale's inverse and its zero point; all elements are finite. */
static inline void quantize_row(uint8_t *q, const float *x, const float *by, size_t n,
                                float inverse, float zero)
{
    if (by)
        (void)quantize_from(q, x, by, n, inverse, zero, 0);
    else
        (void)quantize_from(q, x, NULL, n, inverse, zero, 0);
}

static void quantize_u8(uint8_t *q, const float *x, const float *by, size_t n,
                        float *scale_out, int32_t *zero_out)
{
    vf none = vf_set(0.0f);
    struct range all = range_of(x, by, n);
    float high = vf_reduce_max(all.max);
    float low = vf_reduce_max(vf_sub(none, all.min)); /* minus the minimum */
    float range = high + low;
    int finite = vf_reduce_add(all.bad) == 0.0f && range < INFINITY;
    if (!finite || range < 1e-30f) {
        if (n)
            memset(q, 0, n);
        *scale_out = finite ? 1.0f : NAN;
        *zero_out = 0;
        return;
    }
    float step = range / 255.0f, inverse = 1.0f / step;
    float shifted = low * inverse + ROUND_MAGIC; /* rounded to an integer */
    float zero = shifted - ROUND_MAGIC;
    quantize_row(q, x, by, n, inverse, zero);
    *scale_out = step;
    *zero_out = (int32_t)zero;
}

static int quantize_u8_fixed(uint8_t *q, const float *x, const float *by, size_t n,
                             float inverse, int32_t zero)
{
    const float from = (float)zero;
    vf bad = by ? quantize_from(q, x, by, n, inverse, from, 1)
                : quantize_from(q, x, NULL, n, inverse, from, 1);
    const int finite = vf_reduce_add(bad) == 0.0f;
    if (!finite && n)
        memset(q, 0, n);
    return finite;
}

#define BATCH 64 /* groups whose scales are computed together */

/* Scales and zero points of n groups, as quantize_u8 computes those of a row; false when
 * an element is not finite or a range overflows. */
static inline int fit_groups(const float *x, const float *by, size_t n, size_t size,
                             float *scale, float *inverse, float *zero)
{
    float *high = scale, *low = zero;
    vf none = vf_set(0.0f), bad = none, magic = vf_set(ROUND_MAGIC);
    for (size_t g = 0; g < n; g++) {
        struct range all = range_of(x + g * size, by ? by + g * size : NULL, size);
        bad = vf_add(bad, all.bad);
        high[g] = vf_reduce_max(all.max);
        low[g] = vf_reduce_max(vf_sub(none, all.min));
    }
    EACH_VECTOR(n, {
        vf least = GET(low);
        vf range = vf_add(GET(high), least);
        vf step = vf_div(range, vf_set(255.0f));
        vf per = vf_div(vf_set(1.0f), step);
        vf shifted = vf_sub(vf_add(vf_mul(least, per), magic), magic);
        vm tiny = vf_less(range, vf_set(1e-30f));
        bad = vf_fma(range, none, bad);
        PUT(scale, vf_select(tiny, vf_set(1.0f), step));
        PUT(inverse, vf_select(tiny, none, per));
        PUT(zero, vf_select(tiny, none, shifted));
    });
    return vf_reduce_add(bad) == 0.0f;
}

static void quantize_u8_groups(uint8_t *q, size_t stride, const float *x, const float *by,
                               size_t groups, size_t size, float *scale_out,
                               int32_t *zero_out)
{
    float inverse[BATCH], zero[BATCH];
    for (size_t begin = 0; begin < groups; begin += BATCH) {
        size_t n = groups - begin < BATCH ? groups - begin : BATCH;
        int finite = fit_groups(x + begin * size, by ? by + begin * size : NULL, n, size,
                                scale_out + begin, inverse, zero);
        for (size_t g = 0; g < n; g++) {
            size_t at = begin + g;
            const float *factor = by ? by + at * size : NULL;
            zero_out[at] = finite ? (int32_t)zero[g] : 0;
            if (finite)
                quantize_row(q + at * stride, x + at * size, factor, size, inverse[g],
                             zero[g]);
            else
                quantize_u8(q + at * stride, x + at * size, factor, size, scale_out + at,
                            zero_out + at);
        }
    }
}

static void group_range(float *min, float *max, const float *x, size_t groups,
                        size_t size)
{
    for (size_t g = 0; g < groups; g++, x += size) {
        struct range range = range_of(x, NULL, size);
        float bad = vf_reduce_add(range.bad); /* 0 or NaN */
        max[g] = vf_reduce_max(range.max) + bad;
        min[g] = bad - vf_reduce_max(vf_sub(vf_set(0.0f), range.min));
    }
}

static void group_magnitude(float *sum, const float *x, size_t groups, size_t size)
{
    for (size_t g = 0; g < groups; g++, x += size) {
        vf total = vf_set(0.0f);
        EACH_VECTOR(size, total = vf_add(total, v_abs(GET(x))));
        sum[g] = vf_reduce_add(total);
    }
}

static void group_round(float *y, uint8_t *q, const float *x, size_t groups, size_t size,
                        const float *scale_of, const float *zero_of, float low,
                        float high)
{
    vf vlow = vf_set(low), vhigh = vf_set(high), magic = vf_set(ROUND_MAGIC);
    for (size_t g = 0; g < groups; g++, x += size) {
        float s = scale_of[g];
        vf inverse = vf_set(s != 0.0f ? 1.0f / s : 0.0f), zero = vf_set(zero_of[g]);
        vf vscale = vf_set(s);
        EACH_VECTOR(size, {
            vf t = vf_fma(GET(x), inverse, zero);
            t = vf_add(vf_max(vf_min(t, vhigh), vlow), magic);
            if (q)
                vi_store_u8_n(q + i, vi_sub(vf_as_int(t), vf_as_int(magic)), k);
            if (y)
                PUT(y, vf_mul(vscale, vf_sub(vf_sub(t, magic), zero)));
        });
        q = q ? q + size : NULL;
        y = y ? y + size : NULL;
    }
}

static void round_affine(float *y, uint8_t *q, const float *x,
                         const struct pare_lane_grid *grid, size_t n)
{
    vf low = vf_set(grid->low), high = vf_set(grid->high), magic = vf_set(ROUND_MAGIC);
    EACH_VECTOR(n, {
        vf t = vf_fma(GET(x), GET(grid->inverse), GET(grid->shift));
        t = vf_add(vf_max(vf_min(t, high), low), magic);
        if (q)
            vi_store_u8_n(q + i, vi_sub(vf_as_int(t), vf_as_int(magic)), k);
        t = vf_sub(t, magic);
        PUT(y, vf_fma(GET(grid->scale), t, GET(grid->offset)));
    });
}

static void deviate(float *e, float *loss, const float *x, const float *y, float a,
                    size_t n)
{
    vf va = vf_set(a);
    EACH_VECTOR(n, {
        vf d = vf_sub(GET(x), GET(y));
        PUT(loss, vf_fma(vf_mul(va, d), d, GET(loss)));
        if (e)
            PUT(e, d);
    });
}

static void deviate_power(float *loss, const float *x, const float *y, float a, float p,
                          size_t n)
{
    vf va = vf_set(a), vp = vf_set(p), tiny = vf_set(FLT_MIN), none = vf_set(0.0f);
    EACH_VECTOR(n, {
        vf d = v_abs(vf_sub(GET(x), GET(y)));
        vf power = v_exp(vf_mul(vp, v_log(vf_max(tiny, d))));
        power = vf_select(vf_less(d, tiny), none, power);
        PUT(loss, vf_fma(va, power, GET(loss)));
    });
}

static void rank_one(float *C, size_t ldc, const float *a, const float *b, size_t m,
                     size_t n)
{
    EACH_VECTOR(n, {
        vf vb = GET(b);
        for (size_t r = 0; r < m; r++) {
            float *c = C + r * ldc;
            PUT(c, vf_fnma(vf_set(a[r]), vb, GET(c)));
        }
    });
}

static void dequantize_acc(float *y, const int32_t *acc, int32_t zero, float scale_x,
                           const int32_t *weight_sum, const float *weight_scale,
                           const float *bias, size_t n)
{
    vi vzero = vi_set((int32_t)((uint32_t)zero << 23 | ((uint32_t)zero & 0xffff)));
    vf vscale = vf_set(scale_x);
#define PRODUCT(i)                                                                       \
    vi_to_float(vi_sub(vi_load_n(acc + (i), k),                                          \
                       vi_sum_pairs(vzero, vi_load_n(weight_sum + (i), k))))
    if (bias)
        EACH_VECTOR(
            n, PUT(y, vf_fma(PRODUCT(i), vf_mul(vscale, GET(weight_scale)), GET(bias))));
    else
        EACH_VECTOR(n, PUT(y, vf_mul(PRODUCT(i), vf_mul(vscale, GET(weight_scale)))));
#undef PRODUCT
}

static void decode_f16(float *y, const void *x, size_t n)
{
    const unsigned char *from = x;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(y + i, vf_load_f16(from + 2 * i));
    if (i < n) {
        unsigned char rest[2 * LANES] = {0};
        memcpy(rest, from + 2 * i, 2 * (n - i));
        vf_store_n(y + i, vf_load_f16(rest), n - i);
    }
}

static inline vf load_bf16(const void *p)
{
    return vi_as_float(vi_shift_left(vi_load_u16(p), 16));
}

static void decode_bf16(float *y, const void *x, size_t n)
{
    const unsigned char *from = x;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(y + i, load_bf16(from + 2 * i));
    if (i < n) {
        unsigned char rest[2 * LANES] = {0};
        memcpy(rest, from + 2 * i, 2 * (n - i));
        vf_store_n(y + i, load_bf16(rest), n - i);
    }
}

/* The half at p in every lane. */
static inline vf half_at(const unsigned char *p)
{
    unsigned char one[2 * LANES] = {p[0], p[1]};
    float value[LANES];
    vf_store(value, vf_load_f16(one));
    return vf_set(value[0]);
}

/* Block of 32: half d, 32 int8; y = d q. */
static void decode_q8_0(float *y, const void *x, size_t n)
{
    const unsigned char *block = x;
    for (size_t i = 0; i < n; i += 32, block += 34) {
        vf d = half_at(block);
        const int8_t *q = (const int8_t *)(block + 2);
        vf_store(y + i, vf_mul(d, vi_to_float(vi_load_i8(q))));
        vf_store(y + i + 16, vf_mul(d, vi_to_float(vi_load_i8(q + 16))));
    }
}

/* Block of 32: half d, 16 bytes, low nibbles first; y = d (q - 8). */
static void decode_q4_0(float *y, const void *x, size_t n)
{
    const unsigned char *block = x;
    vi mask = vi_set(15), eight = vi_set(8);
    for (size_t i = 0; i < n; i += 32, block += 18) {
        vf d = half_at(block);
        vi both = vi_load_u8(block + 2);
        vi low = vi_sub(vi_and(both, mask), eight);
        vi high = vi_sub(vi_shift_right(both, 4), eight);
        vf_store(y + i, vf_mul(d, vi_to_float(low)));
        vf_store(y + i + 16, vf_mul(d, vi_to_float(high)));
    }
}

/* Block of 32: half d, half m, 16 bytes, low nibbles first; y = d q + m (d q is exact).
 */
static void decode_q4_1(float *y, const void *x, size_t n)
{
    const unsigned char *block = x;
    vi mask = vi_set(15);
    for (size_t i = 0; i < n; i += 32, block += 20) {
        vf d = half_at(block), m = half_at(block + 2);
        vi both = vi_load_u8(block + 4);
        vi low = vi_and(both, mask), high = vi_shift_right(both, 4);
        vf_store(y + i, vf_fma(d, vi_to_float(low), m));
        vf_store(y + i + 16, vf_fma(d, vi_to_float(high), m));
    }
}

#include "runtime/kernels/rows_panels.h"
#include "runtime/kernels/rows_train.h"

const struct pare_kernels ROWS_TABLE = {
    .activate = activate,
    .activate_backward = activate_backward,
    .add = add,
    .add_to = add_to,
    .axpy = axpy,
    .scale = scale,
    .dot = dot,
    .sum = sum_row,
    .max = max_row,
    .softmax = softmax,
    .softmax_rows = softmax_rows,
    .softmax_backward = softmax_backward,
    .logsumexp = logsumexp,
    .layer_norm = layer_norm,
    .layer_norm_backward = layer_norm_backward,
    .quantize_u8 = quantize_u8,
    .quantize_u8_fixed = quantize_u8_fixed,
    .quantize_u8_groups = quantize_u8_groups,
    .group_range = group_range,
    .group_magnitude = group_magnitude,
    .group_round = group_round,
    .round_affine = round_affine,
    .deviate = deviate,
    .deviate_power = deviate_power,
    .rank_one = rank_one,
    .dequantize_acc = dequantize_acc,
    .adamw = adamw,
    .dropout = dropout,
    .sum_squares = sum_squares,
    .decode_f16 = decode_f16,
    .decode_bf16 = decode_bf16,
    .decode_q8_0 = decode_q8_0,
    .decode_q4_0 = decode_q4_0,
    .decode_q4_1 = decode_q4_1,
    .panel_f16 = panel_f16,
    .panel_bf16 = panel_bf16,
    .panel_q8_0 = panel_q8_0,
    .panel_q4_0 = panel_q4_0,
    .panel_q4_1 = panel_q4_1,
    .panel_codes = panel_codes,
};
