/* Counted random numbers: number i of a stream is a pure function of (seed, stream, i),
 * so any of them can be had again, in any order, on any machine, and a resumed run
 * continues exactly where it was by storing one counter.
 */
#ifndef PARE_BASE_RNG_H
#define PARE_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pare_rng {
    uint64_t seed;
    uint64_t
        stream; /* separates uses: initialisation, shuffling, each dropout site ... */
    uint64_t counter; /* how many numbers were drawn */
};

/* Number `index` of the stream; 64 uniformly distributed bits. */
uint64_t pare_rng_at(uint64_t seed, uint64_t stream, uint64_t index);

/* The same in two steps, for many numbers of one stream: pare_rng_at(seed, stream, index)
 * is pare_rng_keyed(pare_rng_key(seed, stream), index). */
uint64_t pare_rng_key(uint64_t seed, uint64_t stream);

#define PARE_RNG_GOLDEN 0x9E3779B97F4A7C15u
#define PARE_RNG_MIX1 0xBF58476D1CE4E5B9u
#define PARE_RNG_MIX2 0x94D049BB133111EBu

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t pare_rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * PARE_RNG_MIX1;
    z = (z ^ (z >> 27)) * PARE_RNG_MIX2;
    return z ^ (z >> 31);
}

static inline uint64_t pare_rng_keyed(uint64_t key, uint64_t index)
{
    return pare_rng_mix(key + (index + 1) * PARE_RNG_GOLDEN);
}

uint64_t pare_rng_next(struct pare_rng *rng);
/* Uniform in [0, n), unbiased enough for n < 2^32; n > 0. */
uint64_t pare_rng_below(struct pare_rng *rng, uint64_t n);
/* Uniform in [0, 1) with 24 bits. */
float pare_rng_uniform(struct pare_rng *rng);
/* Mean 0, variance 1, within [-6, 6]: the sum of twelve uniforms less six. No libm, so
 * the same bits everywhere. */
float pare_rng_normal(struct pare_rng *rng);
/* Fisher-Yates over n indices. */
void pare_rng_shuffle(struct pare_rng *rng, uint32_t *items, size_t n);

#ifdef __cplusplus
}
#endif
#endif
