/* Products of operands in bfloat16 for 64-bit ARM. */
#include "runtime/kernels/vec_neon.h"

#define BF16_KERNEL pare_gemm_bf16_neon
#define BF16_NAME "bf16_4x16_neon"
#include "runtime/kernels/bf16.h"
