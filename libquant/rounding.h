/* Rounding to whole numbers and to stored scales, for the solvers of this folder. */
#ifndef PARE_LIBQUANT_ROUNDING_H
#define PARE_LIBQUANT_ROUNDING_H

#include <math.h>

#include "runtime/tensor/tensor.h"

/* The nearest whole number, of halves the even one; |value| below 2^22. */
static inline float pare_round_even(float value)
{
    const float magic = 0x1.8p23f;
    return value + magic - magic;
}

/* A scale as half precision has it, or, with bf16, half precision and bfloat16; NaN when
 * it is beyond them. (A multiple of 2^-24 of 8 bits is exact in both.) */
static inline float pare_round_scale(float value, int bf16, uint16_t *half)
{
    if (bf16)
        value = pare_bf16_to_f32(pare_f32_to_bf16(value));
    *half = pare_f32_to_f16(value);
    const float rounded = pare_f16_to_f32(*half);
    return isfinite(rounded) ? rounded : NAN;
}

#endif
