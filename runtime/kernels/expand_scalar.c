/* Values to their places, one by one. */
#include "runtime/kernels/expand.h"

void pare_expand_u8_scalar(uint8_t *out, const uint8_t *values, const uint8_t *bits,
                           uint8_t gap, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        values = expand_few(out + i, values, bits[i / 8], gap, n - i < 8 ? n - i : 8);
}
