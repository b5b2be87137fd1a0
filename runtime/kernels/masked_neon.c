/* Weights under bits for 64-bit ARM. */
#define EXPAND pare_expand_u8_neon
#include "runtime/kernels/masked_run.h"

static void pack_a_neon(const struct pare_grouped *shape, void *out, uint8_t *rows,
                        const float *scale, const int32_t *zero, int m)
{
    pack_rows_of_groups(shape, out, rows, scale, zero, (size_t)m, 0, pare_pack_neon);
}

DEFINE_MASKED_RUN(masked_4x16_neon)

const struct pare_gemm_masked pare_gemm_masked_neon = {.name = "masked_4x16_neon",
                                                       .mr = MR,
                                                       .pack_a = pack_a_neon,
                                                       .run = masked_4x16_neon,
                                                       .run_sums = masked_4x16_neon_sums};
