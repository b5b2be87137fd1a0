/* The row functions for 64-bit ARM. */
#include "runtime/kernels/vec_neon.h"

#define ROWS_TABLE pare_rows_neon
#include "runtime/kernels/rows.h"
