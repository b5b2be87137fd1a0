/* SHA-256 (FIPS 180-4), for provenance and verification. */
#ifndef PARE_BASE_SHA256_H
#define PARE_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pare_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes hashed so far */
    uint8_t block[64];
};

void pare_sha256_init(struct pare_sha256 *sha);
void pare_sha256_update(struct pare_sha256 *sha, const void *data, size_t bytes);
/* 64 lower-case hexadecimal digits and a NUL. */
void pare_sha256_hex(struct pare_sha256 *sha, char out[65]);
/* One call for data that is in memory. */
void pare_sha256_of(const void *data, size_t bytes, char out[65]);

#ifdef __cplusplus
}
#endif
#endif
