/* Counted dropout: see forward.h. One random word serves four elements, 16 bits each. */
#include "runtime/base/rng.h"
#include "runtime/kernels/kernels.h"
#include "runtime/model/forward.h"

void pare_dropout_apply(const struct pare_dropout *dropout, uint64_t site, float rate,
                        float *y, size_t n, uint64_t offset)
{
    if (!dropout || rate <= 0)
        return;
    const uint32_t dropped = (uint32_t)(rate * 65536.0f + 0.5f); /* of 65536 */
    const float scale = 65536.0f / (float)(65536 - dropped);
    const uint64_t key = pare_rng_key(dropout->seed, dropout->step * 4096 + site);
    pare_kernels()->dropout(y, n, key, offset, dropped, scale);
}
