/* exp, log, tanh and the normal distribution over 16 lanes, in fused multiply-adds only,
 * so that every tier and every machine gives the same bits. Include after a vec_*.h.
 *
 * The polynomials are minimax fits of our own (Remez exchange, weighted by the function's
 * error measure, coefficients then rounded to float). Measured against double over all
 * or a dense set of arguments (tests/unit/test_kernels.c):
 *   exp   1.02 ulp for -87.3 <= x <= 88.37, 0 below, infinity above
 *   tanh  1.4 ulp
 *   log   0.9 ulp for x >= 1
 *   x Phi(x), GELU: absolute error 1e-7 * max(1, |x|)
 */
#ifndef PARE_KERNELS_VEC_MATH_H
#define PARE_KERNELS_VEC_MATH_H

/* 2^23 + 2^22: adding it rounds a float below 2^22 to an integer (nearest even) and
 * leaves that integer in the low bits. */
#define ROUND_MAGIC 12582912.0f
#define ROUND_MAGIC_BITS 0x4b400000

/* 2^n from n + ROUND_MAGIC, n in -126 .. 128 (128: infinity). */
static inline vf v_power_of_two(vf shifted)
{
    vi biased = vi_sub(vf_as_int(shifted), vi_set(ROUND_MAGIC_BITS - 127));
    return vi_as_float(vi_shift_left(biased, 23));
}

/* a 2^n for a whole n in -126 .. 127; shifted: n + ROUND_MAGIC. */
static inline vf v_times_power(vf a, vf n, vf shifted)
{
#ifdef VEC_HAS_SCALE
    (void)shifted;
    return vf_scale(a, n);
#else
    (void)n;
    return vf_mul(a, v_power_of_two(shifted));
#endif
}

#define EXP_LOWEST -87.3f

/* x = n ln 2 + r with |r| <= ln(2)/2: e^r = 1 + r + r^2 q(r), n and n + ROUND_MAGIC. */
static inline vf v_exp_of_rest(vf x, vf *n, vf *shifted)
{
    *shifted = vf_fma(x, vf_set(0x1.715476p0f), vf_set(ROUND_MAGIC));
    *n = vf_sub(*shifted, vf_set(ROUND_MAGIC));
    vf r = vf_fnma(*n, vf_set(0x1.62e43p-1f), x); /* ln 2, high part */
    r = vf_fnma(*n, vf_set(-0x1.05c61p-29f), r);  /* low part */
    vf q = vf_set(0x1.6a2354p-10f);
    q = vf_fma(q, r, vf_set(0x1.123a6cp-7f));
    q = vf_fma(q, r, vf_set(0x1.5558f4p-5f));
    q = vf_fma(q, r, vf_set(0x1.555490p-3f));
    q = vf_fma(q, r, vf_set(0x1.fffffcp-2f));
    vf p = vf_fma(vf_mul(r, r), q, r);
    return vf_add(p, vf_set(1.0f));
}

/* e^x; 0 below EXP_LOWEST (subnormal results cost a hundred cycles each on some CPUs),
 * infinity above 88.37. A NaN stays one. */
static inline vf v_exp(vf x)
{
    vf n, shifted;
    vf within = vf_max(vf_set(EXP_LOWEST), x);
    /* n = 128: the factor 2^n has the bits of infinity */
    within = vf_min(vf_set(88.5f), within);
    vf p = v_exp_of_rest(within, &n, &shifted);
    p = vf_mul(p, v_power_of_two(shifted));
    return vf_zero_if_less(p, x, vf_set(EXP_LOWEST));
}

/* The same for x <= 0, and 0 below `lowest`, which is at least EXP_LOWEST. */
static inline vf v_exp_negative(vf x, float lowest)
{
    vf n, shifted;
    vf p = v_exp_of_rest(vf_max(vf_set(lowest), x), &n, &shifted);
    return vf_zero_if_less(v_times_power(p, n, shifted), x, vf_set(lowest));
}

/* log x for normal x > 0. x = m 2^e with m in [sqrt 1/2, sqrt 2), t = m - 1,
 * log m = t - t^2/2 + t^3 q(t). */
static inline vf v_log(vf x)
{
    vi bits = vf_as_int(x);
    vi shifted = vi_sub(bits, vi_set(0x3f3504f3)); /* sqrt 1/2 */
    vi e = vi_shift_right(shifted, 23);
    vf m = vi_as_float(vi_sub(bits, vi_shift_left(e, 23)));
    vf t = vf_sub(m, vf_set(1.0f));
    vf q = vf_set(0x1.1457b6p-4f);
    q = vf_fma(q, t, vf_set(-0x1.de3c1ap-4f));
    q = vf_fma(q, t, vf_set(0x1.e6f066p-4f));
    q = vf_fma(q, t, vf_set(-0x1.fc2206p-4f));
    q = vf_fma(q, t, vf_set(0x1.233768p-3f));
    q = vf_fma(q, t, vf_set(-0x1.555c4ep-3f));
    q = vf_fma(q, t, vf_set(0x1.99a4b6p-3f));
    q = vf_fma(q, t, vf_set(-0x1.000006p-2f));
    q = vf_fma(q, t, vf_set(0x1.555548p-2f));
    vf t2 = vf_mul(t, t);
    vf n = vi_to_float(e);
    vf low = vf_mul(vf_mul(t2, t), q);
    low = vf_fma(n, vf_set(-0x1.05c61p-29f), low);
    low = vf_fma(t2, vf_set(-0.5f), low);
    return vf_fma(n, vf_set(0x1.62e43p-1f), vf_add(t, low));
}

static inline vf v_abs(vf x)
{
    return vi_as_float(vi_and(vf_as_int(x), vi_set(0x7fffffff)));
}

/* tanh x: x + x^3 q(x^2) below 5/8, else 1 - 2 / (e^2|x| + 1) with the sign of x. */
static inline vf v_tanh(vf x)
{
    vf a = v_abs(x);
    vf e = v_exp(vf_add(a, a));
    vf big = vf_sub(vf_set(1.0f), vf_div(vf_set(2.0f), vf_add(e, vf_set(1.0f))));
    vi sign = vi_and(vf_as_int(x), vi_set(INT32_MIN));
    big = vi_as_float(vi_or(vf_as_int(big), sign));
    vf t = vf_mul(x, x);
    vf q = vf_set(-0x1.7363e6p-8f);
    q = vf_fma(q, t, vf_set(0x1.519c8ap-6f));
    q = vf_fma(q, t, vf_set(-0x1.b827fep-5f));
    q = vf_fma(q, t, vf_set(0x1.110692p-3f));
    q = vf_fma(q, t, vf_set(-0x1.555530p-2f));
    vf small = vf_fma(vf_mul(t, x), q, x);
    return vf_select(vf_less(a, vf_set(0.625f)), small, big);
}

/* 1 / (1 + e^-x) */
static inline vf v_sigmoid(vf x)
{
    vf e = v_exp(vf_sub(vf_set(0.0f), x));
    return vf_div(vf_set(1.0f), vf_add(vf_set(1.0f), e));
}

/* Phi(x) = (1 + erf(x / sqrt 2)) / 2. With t = |x|: Phi(-t) = 2^p(t), where p is fitted
 * to log2 Phi(-t) on [0, 6] and goes on as a straight line (Phi(-6) = 1e-9); 2^r = 1 + r
 * q(r) for |r| <= 1/2. */
static inline vf v_normal_cdf(vf x)
{
    vf a = v_abs(x);
    vf t = vf_min(vf_set(6.0f), a);
    vf p = vf_set(0x1.69ac36p-22f);
    p = vf_fma(p, t, vf_set(-0x1.dd94e0p-18f));
    p = vf_fma(p, t, vf_set(0x1.00b952p-14f));
    p = vf_fma(p, t, vf_set(-0x1.ff0f1ep-13f));
    p = vf_fma(p, t, vf_set(-0x1.bbc218p-15f));
    p = vf_fma(p, t, vf_set(0x1.ca763ep-8f));
    p = vf_fma(p, t, vf_set(-0x1.add146p-5f));
    p = vf_fma(p, t, vf_set(-0x1.d63bfcp-2f));
    p = vf_fma(p, t, vf_set(-0x1.26aed2p+0f));
    p = vf_fma(p, t, vf_set(-1.0f));
    p = vf_fma(vf_sub(a, t), vf_set(-8.9f), p);
    vf within = vf_max(vf_set(-126.0f), p);
    vf shifted = vf_add(within, vf_set(ROUND_MAGIC));
    vf n = vf_sub(shifted, vf_set(ROUND_MAGIC));
    vf r = vf_sub(within, n);
    vf q = vf_set(0x1.41fb2cp-13f);
    q = vf_fma(q, r, vf_set(0x1.5f3f30p-10f));
    q = vf_fma(q, r, vf_set(0x1.3b2d50p-7f));
    q = vf_fma(q, r, vf_set(0x1.c6aee6p-5f));
    q = vf_fma(q, r, vf_set(0x1.ebfbdcp-3f));
    q = vf_fma(q, r, vf_set(0x1.62e430p-1f));
    vf tail = v_times_power(vf_fma(r, q, vf_set(1.0f)), n, shifted);
    tail = vf_zero_if_less(tail, p, vf_set(-126.0f));
    /* Phi(0) is 1/2 either way. */
    return vf_select(vf_less(vf_set(0.0f), x), vf_sub(vf_set(1.0f), tail), tail);
}

#endif
