/* The compression function of SHA-256, once portable and once with the x86 instructions.
 * Private to sha256.c and its test. */
#ifndef PARE_BASE_SHA256_BLOCKS_H
#define PARE_BASE_SHA256_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

extern const uint32_t pare_sha256_constants[64];

/* Folds `count` blocks of 64 bytes into the state. */
typedef void pare_sha256_blocks(uint32_t state[8], const uint8_t *data, size_t count);

pare_sha256_blocks pare_sha256_blocks_portable;

/* The fastest one this CPU has. */
pare_sha256_blocks *pare_sha256_best(void);

#if defined(__x86_64__)
int pare_sha256_has_x86(void);
pare_sha256_blocks pare_sha256_blocks_x86;
#endif

#endif
