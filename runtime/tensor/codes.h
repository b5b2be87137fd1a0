/* Weights of few bits in groups: what a stored matrix of codes means.
 *
 * A row of K weights is cut into groups of `size`; each group has a scale s (half
 * precision) and a code z that means 0. A weight is one code q of `bits` bits:
 *
 *     w[n, k] = s[n, k / size] (q[n, k] - z[n, k / size])
 *
 * which float holds exactly: 11 bits times 9. Without zero points z is 2^(bits - 1).
 * The codes of a row are one stream of bits, least significant first: code k is bits
 * k bits .. k bits + bits - 1 of it, and bit i of the stream is bit i mod 8 of byte
 * i / 8. So eight codes are `bits` bytes, whatever `bits` is.
 */
#ifndef PARE_TENSOR_CODES_H
#define PARE_TENSOR_CODES_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Longest group: the exact sums of the integer kernels stay below 2^31. */
#define PARE_GROUP_MOST 32768

struct pare_groups {
    int bits;                   /* 2 to 8; 0: these weights have no groups */
    size_t size;                /* weights of a group */
    const unsigned char *scale; /* F16 [N, K / size], unaligned */
    const uint8_t *zero;        /* [N, K / size], or NULL: 2^(bits - 1) */
};

/* PARE_OK when rows of K weights can be stored so: bits is 2 to 8, a row of codes
 * is whole bytes, and size divides K and is a multiple of 32, or is K. Else
 * PARE_ERR_USAGE saying what does not fit. */
enum pare_status pare_groups_check(int bits, size_t size, size_t K,
                                   struct pare_error *err) PARE_CHECKED;

/* n codes from, or to, the stream that begins at a byte. Codes to be packed are below
 * 2^bits; unused bits of the last byte become 0. */
void pare_codes_unpack(int bits, const unsigned char *stream, uint8_t *codes, size_t n);
void pare_codes_pack(int bits, const uint8_t *codes, unsigned char *stream, size_t n);
/* Bytes of the stream of n codes. */
static inline size_t pare_codes_bytes(int bits, size_t n)
{
    return (n * (size_t)bits + 7) / 8;
}

/* Scale and zero point number `at` of [N, K / size]. */
float pare_group_scale(const struct pare_groups *groups, size_t at);
static inline uint8_t pare_group_zero(const struct pare_groups *groups, size_t at)
{
    return groups->zero ? groups->zero[at] : (uint8_t)(1 << (groups->bits - 1));
}

/* Inputs k .. k + n (k a multiple of 32) of row `row` of codes [rows, K], as floats. */
void pare_groups_decode(const struct pare_groups *groups, const unsigned char *codes,
                        size_t row, size_t K, size_t k, size_t n, float *out);

#ifdef __cplusplus
}
#endif
#endif
