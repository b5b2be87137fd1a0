#include "runtime/base/rng.h"

/* SplitMix64's finaliser applied to a keyed counter: each of the three inputs passes
 * through the mixer before the next is added. */
uint64_t pare_rng_key(uint64_t seed, uint64_t stream)
{
    return pare_rng_mix(pare_rng_mix(seed + PARE_RNG_GOLDEN) + stream + PARE_RNG_GOLDEN);
}

uint64_t pare_rng_at(uint64_t seed, uint64_t stream, uint64_t index)
{
    return pare_rng_keyed(pare_rng_key(seed, stream), index);
}

uint64_t pare_rng_next(struct pare_rng *rng)
{
    return pare_rng_at(rng->seed, rng->stream, rng->counter++);
}

uint64_t pare_rng_below(struct pare_rng *rng, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)pare_rng_next(rng) * n) >> 64);
}

float pare_rng_uniform(struct pare_rng *rng)
{
    return (float)(pare_rng_next(rng) >> 40) * 0x1p-24f;
}

float pare_rng_normal(struct pare_rng *rng)
{
    uint64_t sum = 0; /* twelve 21-bit uniforms: exact in integers and in the division */
    for (int i = 0; i < 4; i++) {
        uint64_t bits = pare_rng_next(rng);
        sum += (bits & 0x1FFFFF) + ((bits >> 21) & 0x1FFFFF) + ((bits >> 42) & 0x1FFFFF);
    }
    return (float)((double)sum * 0x1p-21 - 6.0);
}

void pare_rng_shuffle(struct pare_rng *rng, uint32_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)pare_rng_below(rng, i);
        uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}
