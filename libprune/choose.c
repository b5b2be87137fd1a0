/* The smallest of some scores: see choose.h. */
#include "libprune/choose.h"

#include <string.h>

static uint32_t magnitude_bits(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits & 0x7FFFFFFF;
}

/* Floats without their sign are ordered like their bits: the digits of the answer are
 * found from the most significant on, by counting. */
float pare_magnitude_rank(const float *v, size_t n, size_t k)
{
    static const int shifts[] = {20, 10, 0};
    uint32_t found = 0, known = 0; /* bits of the answer, and which they are */
    for (int pass = 0; pass < 3; pass++) {
        const uint32_t digit = pass ? 0x3FF : 0x7FF;
        size_t count[0x800] = {0};
        for (size_t i = 0; i < n; i++) {
            const uint32_t bits = magnitude_bits(v[i]);
            count[bits >> shifts[pass] & digit] += (bits & known) == found;
        }
        uint32_t d = 0;
        while (count[d] < k)
            k -= count[d++];
        found |= d << shifts[pass];
        known |= digit << shifts[pass];
    }
    float rank;
    memcpy(&rank, &found, sizeof rank);
    return rank;
}

void pare_choose_smallest(const float *scores, size_t n, size_t count, uint8_t *gone)
{
    memset(gone, 0, n);
    if (!count)
        return;
    const float rank = pare_magnitude_rank(scores, n, count);
    size_t equal = count;
    for (size_t i = 0; i < n; i++) {
        gone[i] = scores[i] < rank;
        equal -= gone[i];
    }
    for (size_t i = 0; i < n && equal; i++)
        if (!gone[i] && !(scores[i] > rank)) {
            gone[i] = 1;
            equal--;
        }
}

int pare_choose_is_smallest(const float *scores, size_t n, size_t k, size_t count)
{
    size_t smaller = 0;
    for (size_t j = 0; j < n; j++)
        smaller += scores[j] < scores[k] || (j < k && !(scores[j] > scores[k]));
    return smaller < count;
}
