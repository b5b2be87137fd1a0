/* Weights under bits for AVX2. */
#define EXPAND pare_expand_u8_avx2
#include "runtime/kernels/masked_run.h"

static void pack_a_avx2(const struct pare_grouped *shape, void *out, uint8_t *rows,
                        const float *scale, const int32_t *zero, int m)
{
    pack_rows_of_groups(shape, out, rows, scale, zero, (size_t)m, 0, pare_pack_avx2);
}

DEFINE_MASKED_RUN(masked_4x16_avx2)

const struct pare_gemm_masked pare_gemm_masked_avx2 = {.name = "masked_4x16_avx2",
                                                       .mr = MR,
                                                       .pack_a = pack_a_avx2,
                                                       .run = masked_4x16_avx2,
                                                       .run_sums = masked_4x16_avx2_sums};
