/* Rounding to whole numbers, for the solvers of this folder. */
#ifndef PARE_LIBQUANT_ROUNDING_H
#define PARE_LIBQUANT_ROUNDING_H

/* The nearest whole number, of halves the even one; |value| below 2^22. */
static inline float pare_round_even(float value)
{
    const float magic = 0x1.8p23f;
    return value + magic - magic;
}

#endif
