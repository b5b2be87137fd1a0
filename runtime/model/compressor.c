/* When a compressor settles: see compressor.h. */
#include "runtime/model/compressor.h"

#include <math.h>

uint64_t pare_compressor_last_change(double share, uint64_t n)
{
    const uint64_t update = (uint64_t)ceil(share * (double)n);
    return update < n ? update : n - 1;
}
