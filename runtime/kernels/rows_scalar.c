/* The row functions in plain C. */
#include "runtime/kernels/vec_scalar.h"

#define ROWS_TABLE pare_rows_scalar
#define ROWS_PACK pare_pack_scalar
#include "runtime/kernels/rows.h"
