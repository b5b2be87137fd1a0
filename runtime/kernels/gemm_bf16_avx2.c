/* Products of operands in bfloat16 for AVX2 with FMA. */
#include "runtime/kernels/vec_avx2.h"

#define BF16_KERNEL pare_gemm_bf16_avx2
#define BF16_NAME "bf16_4x16_avx2"
#include "runtime/kernels/bf16.h"
