/* The row functions for AVX2 with FMA and F16C. */
#include "runtime/kernels/vec_avx2.h"

#define ROWS_TABLE pare_rows_avx2
#define ROWS_PACK pare_pack_avx2
#include "runtime/kernels/rows.h"
