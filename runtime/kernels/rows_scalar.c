/* The row functions in plain C. */
#include "runtime/kernels/vec_scalar.h"

#define ROWS_TABLE pare_rows_scalar
#include "runtime/kernels/rows.h"
