/* Weights of which many are zero: which are kept, and where their values lie.
 *
 * A matrix W[N, K] is cut into blocks of `rows` x `columns` weights that are kept or zero
 * together; 1 x 1 is unstructured. The blocks of `rows` rows beside each other are a
 * strip. What is kept of a strip is said by bits or by ranks:
 *
 *   bits    one a block: bit j of the strip is bit j mod 8 of byte j / 8
 *   ranks   N:M, blocks of 1 x 1: of every m neighbours n are kept; the sets of n out of
 *           m are numbered in lexicographic order of their ascending places (2:4 has six:
 *           01, 02, 03, 12, 13, 23), and d numbers r_0 .. r_(d-1) of neighbouring groups
 *           are one byte, sum of r_i B^i, where B = m! / n! (m - n)! is at most 256 and
 *           d the most digits for which B^d is
 *
 * Values of what is kept lie behind each other: strip by strip, in a strip block by
 * block, in a block row by row. Each strip begins with a whole byte. A value is F16; or
 * I8, with a float a row; or a code of the row's and group's grid (codes.h), whose group
 * is that of its place among all K, so that a scale means the same as in a dense matrix.
 * A code is never that of another weight: what is not kept is 0, whatever the grid.
 */
#ifndef PARE_TENSOR_SPARSE_H
#define PARE_TENSOR_SPARSE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_SPARSE_MOST 32 /* rows, columns and m are no larger */

struct pare_sparse {
    size_t rows, columns;  /* of a block; rows 0: the weights are dense */
    size_t n, m;           /* N:M; m 0: bits say what is kept */
    const uint8_t *kept;   /* [N / rows, pare_sparse_kept_bytes]: bits or ranks */
    const uint64_t *start; /* [N / rows + 1]: first byte of each strip's values */
    const uint32_t
        *sets; /* [256] of N:M: what a byte of ranks keeps, d m bits; or NULL */
};

/* Fills sets[256] for n of m; what is no byte of ranks keeps nothing. */
void pare_sparse_list_sets(size_t n, size_t m, uint32_t sets[256]);

/* Numbers in a byte of ranks; 0 when n of m has none (B above 256). */
size_t pare_sparse_digits(size_t n, size_t m);

/* Bytes of bits or ranks of a strip of rows of K. */
size_t pare_sparse_kept_bytes(const struct pare_sparse *sparse, size_t K);

/* PARE_ERR_USAGE saying why W[N, K] cannot be cut so. */
enum pare_status pare_sparse_check(const struct pare_sparse *sparse, size_t N, size_t K,
                                   struct pare_error *err) PARE_CHECKED;

/* One bit a block of the strip, [K / columns] of them in bytes as above, whichever way
 * they are stored; returns how many are kept. */
size_t pare_sparse_bits(const struct pare_sparse *sparse, size_t strip, size_t K,
                        uint8_t *bits);

/* The other way: bits to what is stored of a strip, [pare_sparse_kept_bytes]. Of N:M each
 * m must have n bits. */
void pare_sparse_store_bits(const struct pare_sparse *sparse, size_t K,
                            const uint8_t *bits, uint8_t *kept);

/* Bytes of the values of a strip with so many kept blocks, `value_bits` each: 16, 8 or a
 * code's. */
size_t pare_sparse_value_bytes(const struct pare_sparse *sparse, size_t blocks,
                               int value_bits);

/* Fills start[N / rows + 1]; the last one is the bytes of all values. PARE_ERR_INPUT
 * saying where when ranks are none, or bits behind a row's end are set. */
enum pare_status pare_sparse_index(const struct pare_sparse *sparse, size_t N, size_t K,
                                   int value_bits, uint64_t *start,
                                   struct pare_error *err) PARE_CHECKED;

/* Bytes of values in a container: all that `start` counts, but never none, since a tensor
 * has elements; one value of 0 stands for none. */
uint64_t pare_sparse_stored_bytes(const struct pare_sparse *sparse, size_t N,
                                  int value_bits);

/* Bytes of memory of `start` and `sets`, which are not stored; 0 when it is dense. */
uint64_t pare_sparse_index_bytes(const struct pare_sparse *sparse, size_t N);

/* --- Storing --- */

/* Stores a strip: of elements[rows, K] (bytes of codes or with a sign, or halves when
 * value_bits is 16) what `bits` keep. kept[pare_sparse_kept_bytes] and values get what is
 * stored; returns the bytes of values. */
size_t pare_sparse_store_strip(const struct pare_sparse *sparse, size_t K,
                               const uint8_t *bits, const void *elements, int value_bits,
                               uint8_t *kept, unsigned char *values);

/* --- Rows as if they were dense --- */

/* Inputs k .. k + n of a row, k a multiple of 32: what is kept is its value in a
 * byte, the rest `gap`. `values`: those of the whole matrix, codes
 * of value_bits. start, and
 * sets of N:M, are there. */
void pare_sparse_row_u8(const struct pare_sparse *sparse, const unsigned char *values,
                        int value_bits, size_t row, size_t K, size_t k, size_t n,
                        uint8_t gap, uint8_t *out);
/* The same of F16, +0 where nothing is kept. */
void pare_sparse_row_f16(const struct pare_sparse *sparse, const unsigned char *values,
                         size_t row, size_t K, size_t k, size_t n, uint16_t *out);

#ifdef __cplusplus
}
#endif
#endif
