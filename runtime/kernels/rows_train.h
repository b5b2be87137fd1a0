/* The row functions that only training needs: a part of rows.h, which includes it. */
#include "runtime/base/rng.h"

/* Phi(x) + x phi(x) */
static inline vf gelu_slope(vf x)
{
    vf density = v_exp_negative(vf_mul(vf_mul(x, x), vf_set(-0.5f)), EXP_LOWEST);
    density = vf_mul(density, vf_set(INV_SQRT_2PI));
    return vf_fma(x, density, v_normal_cdf(x));
}

/* x s(v) with v = 2 u: s + x s (1 - s) v' */
static inline vf gelu_tanh_slope(vf x)
{
    vf s = v_sigmoid(gelu_tanh_argument(x));
    vf x2 = vf_mul(x, x);
    vf dv = vf_fma(x2, vf_set(6.0f * GELU_C3), vf_set(2.0f * GELU_C1));
    vf spread = vf_mul(s, vf_sub(vf_set(1.0f), s));
    return vf_fma(vf_mul(x, dv), spread, s);
}

static inline vf silu_slope(vf x)
{
    vf s = v_sigmoid(x);
    return vf_fma(x, vf_mul(s, vf_sub(vf_set(1.0f), s)), s);
}

static inline vf relu_slope(vf x)
{
    return vf_select(vf_less(vf_set(0.0f), x), vf_set(1.0f), vf_set(0.0f));
}

static inline vf tanh_slope(vf x)
{
    vf t = v_tanh(x);
    return vf_fnma(t, t, vf_set(1.0f));
}

#define SLOPE(slope) EACH_VECTOR(n, PUT(dx, vf_mul(GET(dy), slope(GET(x)))))

static void activate_backward(enum pare_activation act, float *dx, const float *dy,
                              const float *x, size_t n)
{
    switch (act) {
    case PARE_ACT_NONE:
        if (dx != dy && n)
            memmove(dx, dy, n * sizeof *dx);
        break;
    case PARE_ACT_GELU: SLOPE(gelu_slope); break;
    case PARE_ACT_GELU_TANH: SLOPE(gelu_tanh_slope); break;
    case PARE_ACT_RELU: SLOPE(relu_slope); break;
    case PARE_ACT_TANH: SLOPE(tanh_slope); break;
    case PARE_ACT_SILU: SLOPE(silu_slope); break;
    }
}

static void softmax_backward(float *dp, const float *p, float a, size_t n)
{
    vf s = vf_set(dot(p, dp, n)), va = vf_set(a);
    EACH_VECTOR(n, PUT(dp, vf_mul(vf_mul(va, GET(p)), vf_sub(GET(dp), s))));
}

/* With g = gamma dy and h = (x - mean) rstd:
 * dx = rstd (g - mean(g) - h mean(g h)). */
static void layer_norm_backward(float *dx, const float *dy, const float *x,
                                const float *gamma, float mean, float rstd, size_t n)
{
    vf vmean = vf_set(mean), vrstd = vf_set(rstd);
    vf sum_g = vf_set(0.0f), sum_gh = vf_set(0.0f);
    EACH_VECTOR(n, {
        vf g = vf_mul(GET(gamma), GET(dy));
        vf h = vf_mul(vf_sub(GET(x), vmean), vrstd);
        sum_g = vf_add(sum_g, g);
        sum_gh = vf_fma(g, h, sum_gh);
    });
    vf mean_g = vf_set(vf_reduce_add(sum_g) / (float)n);
    vf mean_gh = vf_set(vf_reduce_add(sum_gh) / (float)n);
    EACH_VECTOR(n, {
        vf g = vf_mul(GET(gamma), GET(dy));
        vf h = vf_mul(vf_sub(GET(x), vmean), vrstd);
        PUT(dx, vf_mul(vrstd, vf_fnma(h, mean_gh, vf_sub(g, mean_g))));
    });
}

/* A moment without gradients shrinks for hundreds of steps, ends below the normal numbers
 * and stays there: such operands take about twenty times as long. */
#define TINY_MOMENT 0x1p-100f

static inline vf flush_tiny(vf x)
{
    return vf_select(vf_less(v_abs(x), vf_set(TINY_MOMENT)), vf_set(0.0f), x);
}

/* Memory of arrays that are walked through once: asked for earlier than CPUs do. */
#define STREAM_AHEAD 512 /* floats */
#define STREAM(p) __builtin_prefetch((p) + i + STREAM_AHEAD)

static void adamw(float *p, float *m, float *v, const float *g, size_t n,
                  const struct pare_adamw *step)
{
    vf beta1 = vf_set(step->beta1), rest1 = vf_set(1.0f - step->beta1);
    vf beta2 = vf_set(step->beta2), rest2 = vf_set(1.0f - step->beta2);
    vf grad_scale = vf_set(step->grad_scale), eps = vf_set(step->eps);
    vf keep = vf_set(1.0f - step->lr * step->weight_decay);
    vf rate = vf_set(step->lr / step->bias_correction1);
    vf inverse2 = vf_set(1.0f / step->bias_correction2);
    EACH_VECTOR(n, {
        STREAM(g);
        STREAM(m);
        STREAM(v);
        STREAM(p);
        vf vg = vf_mul(grad_scale, GET(g));
        vf new_m = flush_tiny(vf_fma(beta1, GET(m), vf_mul(rest1, vg)));
        vf new_v = flush_tiny(vf_fma(beta2, GET(v), vf_mul(rest2, vf_mul(vg, vg))));
        PUT(m, new_m);
        PUT(v, new_v);
        vf root = vf_add(vf_sqrt(vf_mul(new_v, inverse2)), eps);
        PUT(p, vf_fnma(rate, vf_div(new_m, root), vf_mul(keep, GET(p))));
    });
}

static float dropout_one(float y, uint64_t word, uint64_t element, uint32_t dropped,
                         float scale)
{
    return (uint32_t)(word >> element % 4 * 16 & 0xffff) < dropped ? 0.0f : y * scale;
}

static void dropout(float *y, size_t n, uint64_t key, uint64_t element, uint32_t dropped,
                    float scale)
{
    const vf below = vf_set((float)dropped), factor = vf_set(scale), none = vf_set(0.0f);
    for (; n && element % 4; n--, y++, element++)
        *y = dropout_one(*y, pare_rng_keyed(key, element / 4), element, dropped, scale);
    for (; n >= 2 * LANES; n -= 2 * LANES, y += 2 * LANES, element += 2 * LANES) {
        vi drawn[2];
        vi_random_u16(drawn, key + (element / 4 + 1) * PARE_RNG_GOLDEN);
        for (size_t i = 0; i < 2; i++) {
            const vf kept = vf_mul(vf_load(y + i * LANES), factor);
            vf_store(y + i * LANES,
                     vf_select(vf_less(vi_to_float(drawn[i]), below), none, kept));
        }
    }
    for (; n; n--, y++, element++)
        *y = dropout_one(*y, pare_rng_keyed(key, element / 4), element, dropped, scale);
}

static double sum_squares(const float *x, size_t n)
{
    vd sum = vd_zero();
    EACH_VECTOR(n, {
        STREAM(x);
        sum = vd_add_square(sum, GET(x));
    });
    return vd_reduce_add(sum);
}
