/* The row functions for AVX-512. */
#include "runtime/kernels/vec_avx512.h"

#define ROWS_TABLE pare_rows_avx512
#define ROWS_PACK pare_pack_avx512
#include "runtime/kernels/rows.h"
