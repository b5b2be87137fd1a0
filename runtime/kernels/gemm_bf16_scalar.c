/* Products of operands in bfloat16 in plain C. */
#include "runtime/kernels/vec_scalar.h"

#define BF16_KERNEL pare_gemm_bf16_scalar
#define BF16_NAME "bf16_4x16_scalar"
#include "runtime/kernels/bf16.h"
