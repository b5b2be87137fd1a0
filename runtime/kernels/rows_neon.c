/* The row functions for 64-bit ARM. */
#include "runtime/kernels/vec_neon.h"

#define ROWS_TABLE pare_rows_neon
#define ROWS_PACK pare_pack_neon
#include "runtime/kernels/rows.h"
