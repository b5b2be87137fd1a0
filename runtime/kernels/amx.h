/* Instructions of AMX and the shapes of its tile registers, of which there are eight of
 * up to 16 rows of 64 bytes. Written out because compilers' own functions do not say that
 * they read memory.
 */
#ifndef PARE_KERNELS_AMX_H
#define PARE_KERNELS_AMX_H

#include <stddef.h>
#include <stdint.h>

#define AMX_SIDE 16 /* rows of a register; 32-bit words of a row */

#define TILE_LOAD(tile, from, stride)                                                    \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from),                     \
                     "r"((size_t)(stride))                                               \
                     : "memory")
#define TILE_STORE(tile, to, stride)                                                     \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to),                   \
                     "r"((size_t)(stride))                                               \
                     : "memory")
#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::: "memory")
/* sum += a b; `kind`: bf16ps, busd (unsigned a, signed b) */
#define TILE_PRODUCT(kind, sum, a, b)                                                    \
    __asm__ volatile("tdp" #kind " %%tmm" #b ", %%tmm" #a ", %%tmm" #sum ::: "memory")

struct amx_shapes {
    unsigned char palette, start, reserved[14];
    uint16_t row_bytes[16];
    unsigned char rows[16];
};

/* Clears all registers. */
#define AMX_SHAPES(shapes) __asm__ volatile("ldtilecfg %0" ::"m"(shapes) : "memory")
#define AMX_RELEASE() __asm__ volatile("tilerelease" ::: "memory")

#endif
