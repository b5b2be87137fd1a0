/* Counted dropout: see forward.h. One random word serves four elements, 16 bits each. */
#include <string.h>

#include "runtime/base/rng.h"
#include "runtime/model/forward.h"

/* Elements of one word: [from, to) of its four, y being element `from`. */
static void apply_word(uint64_t word, uint32_t dropped, float scale, float *y,
                       unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        const float kept = y[i - from] * scale;
        uint32_t bits, drawn = (uint32_t)(word >> (16 * i)) & 0xFFFF;
        memcpy(&bits, &kept, sizeof bits);
        bits &= -(uint32_t)(drawn >= dropped); /* no branch: nobody could predict it */
        memcpy(&y[i - from], &bits, sizeof bits);
    }
}

void pare_dropout_apply(const struct pare_dropout *dropout, uint64_t site, float rate,
                        float *y, size_t n, uint64_t offset)
{
    if (!dropout || rate <= 0)
        return;
    const uint32_t dropped = (uint32_t)(rate * 65536.0f + 0.5f); /* of 65536 */
    const float scale = 65536.0f / (float)(65536 - dropped);
    const uint64_t key = pare_rng_key(dropout->seed, dropout->step * 4096 + site);
    size_t i = 0;
    while (i < n) {
        const uint64_t element = offset + i;
        const unsigned from = (unsigned)(element % 4);
        const unsigned to = n - i < 4 - from ? from + (unsigned)(n - i) : 4;
        const uint64_t word = pare_rng_keyed(key, element / 4);
        if (from == 0 && to == 4)
            apply_word(word, dropped, scale, y + i, 0, 4);
        else
            apply_word(word, dropped, scale, y + i, from, to);
        i += to - from;
    }
}
