/* Synthetic layers of any size, the same on every machine: all values are small integers
 * times a power of two, and sums of products stay below 2^24, so that float holds them
 * exactly in any order.
 *
 *     mix(seed, i)   number i of SplitMix64 from the state `seed`
 *     pc(seed, i)    popcount(mix(seed, i)) - 32: about normal, variance 16
 *     A[i, j]        65536 div (16 + i) * pc(1000 + K, i K + j) * gain_j: a decaying
 *                    spectrum, and outliers: gain_j = 4 if 97 divides mix(2000 + K, j),
 *                    else 1
 *     X[t, j]        2^-18 sum over i of pc(3000 + K, t K + i) A[i, j]
 *     W[o, k]        2^-24 (sum of the four 16-bit parts of mix(4000 + K + N, o K + k)
 *                    - 131070) * (4 + o mod 5) * t, t = 3 if 64 divides
 *                    mix(5000 + K + N, o K + k), else 1
 */
#ifndef PARE_TESTS_LAYERS_H
#define PARE_TESTS_LAYERS_H

#include <stdint.h>

#include "runtime/base/rng.h"
#include "runtime/tensor/gemm.h"

static inline int layer_pc(uint64_t seed, uint64_t i)
{
    return __builtin_popcountll(pare_rng_keyed(seed, i)) - 32;
}

/* W [N, K] */
static inline void layer_weights(size_t N, size_t K, float *W)
{
    for (size_t i = 0; i < N * K; i++) {
        const uint64_t z = pare_rng_keyed(4000 + K + N, i);
        int64_t sum = (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) +
                                (z >> 48)) -
                      131070;
        if (pare_rng_keyed(5000 + K + N, i) % 64 == 0)
            sum *= 3;
        W[i] = (float)((double)(sum * (int64_t)(4 + i / K % 5)) * 0x1p-24);
    }
}

/* A [K, K] times 2^-18 */
static inline void layer_spectrum(size_t K, float *A)
{
    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < K; j++) {
            const int gain = pare_rng_keyed(2000 + K, j) % 97 == 0 ? 4 : 1;
            A[i * K + j] =
                (float)(65536 / (16 + (int)i) * gain * layer_pc(1000 + K, i * K + j)) *
                0x1p-18f;
        }
}

/* Rows first .. first + rows of X [rows, K]; Z: room for as many floats. */
static inline enum pare_status layer_inputs(size_t K, size_t first, size_t rows,
                                            const float *A, float *Z, float *X,
                                            struct pare_arena *scratch,
                                            struct pare_error *err)
{
    for (size_t i = 0; i < rows * K; i++)
        Z[i] = (float)layer_pc(3000 + K, first * K + i);
    return pare_gemm(rows, K, K, pare_rows(Z, K), pare_rows(A, K), X, K, 0, scratch, err);
}

#endif
