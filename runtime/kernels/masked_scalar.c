/* Weights under bits in plain C: the reference of the other tiers. */
#define EXPAND pare_expand_u8_scalar
#include "runtime/kernels/masked_run.h"

static void pack_a_scalar(const struct pare_grouped *shape, void *out, uint8_t *rows,
                          const float *scale, const int32_t *zero, int m)
{
    pack_rows_of_groups(shape, out, rows, scale, zero, (size_t)m, 0, pare_pack_scalar);
}

DEFINE_MASKED_RUN(masked_4x16_scalar)

const struct pare_gemm_masked pare_gemm_masked_scalar = {.name = "masked_4x16_scalar",
                                                         .mr = MR,
                                                         .pack_a = pack_a_scalar,
                                                         .run = masked_4x16_scalar,
                                                         .run_sums =
                                                             masked_4x16_scalar_sums};
