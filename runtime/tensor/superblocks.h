/* Super-blocks of GGUF: 256 weights along a row with one scale in half precision, cut
 * into sub-blocks whose own scales (and minima) are small whole numbers.
 *
 *     value = (d scale[j]) (q - zero) - dmin minimum[j]     of sub-block j, code q
 *
 * Both products are exact in single precision, so that a value is rounded once, and the
 * same whether the difference is fused or not. docs/FORMAT.md has the bits.
 */
#ifndef PARE_TENSOR_SUPERBLOCKS_H
#define PARE_TENSOR_SUPERBLOCKS_H

#include "runtime/tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARE_SUPERBLOCK 256
#define PARE_SUBBLOCKS 16 /* of a super-block, at most */

struct pare_superblock_layout {
    enum pare_dtype type;
    int sub;                   /* weights of a sub-block; 256 for ternary types */
    int top, zero;             /* codes are 0 .. top; `zero` is the one that means 0 */
    int scale_low, scale_high; /* of sub-blocks; 1 and 1 where there are none */
    int has_minima;            /* 0 .. scale_high as well */
};

struct pare_superblock {
    float d, dmin; /* exact in half precision; 0 where there are no minima */
    int8_t scale[PARE_SUBBLOCKS];
    uint8_t minimum[PARE_SUBBLOCKS];
    uint8_t codes[PARE_SUPERBLOCK];
};

/* NULL for a type without super-blocks. */
const struct pare_superblock_layout *pare_superblock_layout(enum pare_dtype type);

/* The type has a layout. `block` is that type's block in a file. Codes and scales that
 * are written are within the layout's ranges. */
void pare_superblock_read(enum pare_dtype type, const void *block,
                          struct pare_superblock *out);
void pare_superblock_write(enum pare_dtype type, const struct pare_superblock *from,
                           void *block);

/* n values, a multiple of 256. */
void pare_superblock_decode(enum pare_dtype type, const void *source, float *out,
                            size_t n);

#ifdef __cplusplus
}
#endif
#endif
