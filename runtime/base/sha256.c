/* SHA-256 after FIPS 180-4, sections 4.1.2, 5.1.1 and 6.2. */
#include "runtime/base/sha256.h"

#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/sha256_blocks.h"

/* First 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const uint32_t pare_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
    0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
    0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
    0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
    0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
};

static uint32_t rotated(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One round; the caller rotates the names of the eight variables instead of their values.
 */
static inline void round_of(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e,
                            uint32_t f, uint32_t g, uint32_t *h, uint32_t k_plus_w)
{
    uint32_t sum1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
    uint32_t choice = g ^ (e & (f ^ g));
    uint32_t t1 = *h + sum1 + choice + k_plus_w;
    uint32_t sum0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
    uint32_t majority = (a & b) | (c & (a | b));
    *d += t1;
    *h = t1 + sum0 + majority;
}

static void one_block(uint32_t state[8], const uint8_t *data)
{
    uint32_t w[64];
    for (int t = 0; t < 16; t++)
        w[t] = big_endian(data + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t x = w[t - 15], y = w[t - 2];
        uint32_t sigma0 = rotated(x, 7) ^ rotated(x, 18) ^ x >> 3;
        uint32_t sigma1 = rotated(y, 17) ^ rotated(y, 19) ^ y >> 10;
        w[t] = sigma1 + w[t - 7] + sigma0 + w[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t += 8) {
        const uint32_t *k = pare_sha256_constants + t;
        round_of(a, b, c, &d, e, f, g, &h, k[0] + w[t]);
        round_of(h, a, b, &c, d, e, f, &g, k[1] + w[t + 1]);
        round_of(g, h, a, &b, c, d, e, &f, k[2] + w[t + 2]);
        round_of(f, g, h, &a, b, c, d, &e, k[3] + w[t + 3]);
        round_of(e, f, g, &h, a, b, c, &d, k[4] + w[t + 4]);
        round_of(d, e, f, &g, h, a, b, &c, k[5] + w[t + 5]);
        round_of(c, d, e, &f, g, h, a, &b, k[6] + w[t + 6]);
        round_of(b, c, d, &e, f, g, h, &a, k[7] + w[t + 7]);
    }
    const uint32_t after[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        state[i] += after[i];
}

void pare_sha256_blocks_portable(uint32_t state[8], const uint8_t *data, size_t count)
{
    for (; count; count--, data += 64)
        one_block(state, data);
}

pare_sha256_blocks *pare_sha256_best(void)
{
#if defined(__x86_64__)
    if (pare_sha256_has_x86())
        return pare_sha256_blocks_x86;
#endif
    return pare_sha256_blocks_portable;
}

void pare_sha256_init(struct pare_sha256 *sha)
{
    /* Fractional parts of the square roots of the first 8 primes. */
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, start, sizeof start);
    sha->length = 0;
}

void pare_sha256_update(struct pare_sha256 *sha, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    size_t held = (size_t)(sha->length % 64);
    sha->length += bytes;
    if (held) {
        size_t take = 64 - held < bytes ? 64 - held : bytes;
        memcpy(sha->block + held, at, take);
        at += take;
        bytes -= take;
        if (held + take < 64)
            return;
        pare_sha256_best()(sha->state, sha->block, 1);
    }
    if (bytes >= 64)
        pare_sha256_best()(sha->state, at, bytes / 64);
    if (bytes % 64)
        memcpy(sha->block, at + bytes / 64 * 64, bytes % 64);
}

void pare_sha256_hex(struct pare_sha256 *sha, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    static const uint8_t padding[64] = {0x80};
    uint64_t bits = sha->length * 8;
    size_t held = (size_t)(sha->length % 64);
    pare_sha256_update(sha, padding, held < 56 ? 56 - held : 120 - held);
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    pare_sha256_update(sha, length, 8);
    for (int i = 0; i < 64; i++) {
        uint32_t word = sha->state[i / 8];
        out[i] = digits[word >> (28 - 4 * (i % 8)) & 15];
    }
    out[64] = '\0';
}

void pare_sha256_of(const void *data, size_t bytes, char out[65])
{
    struct pare_sha256 sha;
    pare_sha256_init(&sha);
    pare_sha256_update(&sha, data, bytes);
    pare_sha256_hex(&sha, out);
}
