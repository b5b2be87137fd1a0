/* Streams of codes and what they mean: see codes.h. */
#include "runtime/tensor/codes.h"

#include "runtime/base/bytes.h"
#include "runtime/tensor/tensor.h"

#define CHUNK 256 /* codes unpacked at a time; a multiple of 8 */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum pare_status pare_groups_check(int bits, size_t size, size_t K,
                                   struct pare_error *err)
{
    if (bits < 2 || bits > 8)
        return pare_fail(err, PARE_ERR_USAGE,
                         "codes of %d bits are not stored (2 to 8 are)", bits);
    if (K % 8 * (size_t)bits % 8)
        return pare_fail(err, PARE_ERR_USAGE,
                         "a row of %zu codes of %d bits is not a whole number of bytes",
                         K, bits);
    if (!size || K % size || (size % 32 && size != K))
        return pare_fail(
            err, PARE_ERR_USAGE,
            "groups of %zu do not fit rows of %zu: expected a multiple of 32 "
            "that divides the row, or the whole row",
            size, K);
    if (size > PARE_GROUP_MOST)
        return pare_fail(err, PARE_ERR_USAGE,
                         "groups of %zu are too long, at most %d are possible", size,
                         PARE_GROUP_MOST);
    return PARE_OK;
}

/* Eight codes lie in `bits` bytes, which fit a word. */
void pare_codes_unpack(int bits, const unsigned char *stream, uint8_t *codes, size_t n)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    for (size_t i = 0; i < n; i += 8, stream += bits) {
        const size_t count = smaller(8, n - i), bytes = pare_codes_bytes(bits, count);
        uint64_t word = 0;
        for (size_t j = 0; j < bytes; j++)
            word |= (uint64_t)stream[j] << 8 * j;
        for (size_t j = 0; j < count; j++, word >>= bits)
            codes[i + j] = (uint8_t)(word & mask);
    }
}

void pare_codes_pack(int bits, const uint8_t *codes, unsigned char *stream, size_t n)
{
    for (size_t i = 0; i < n; i += 8, stream += bits) {
        const size_t count = smaller(8, n - i), bytes = pare_codes_bytes(bits, count);
        uint64_t word = 0;
        for (size_t j = 0; j < count; j++)
            word |= (uint64_t)codes[i + j] << (size_t)bits * j;
        for (size_t j = 0; j < bytes; j++, word >>= 8)
            stream[j] = (unsigned char)word;
    }
}

float pare_group_scale(const struct pare_groups *groups, size_t at)
{
    return pare_f16_to_f32(pare_load_u16(groups->scale + 2 * at));
}

void pare_groups_decode(const struct pare_groups *groups, const unsigned char *codes,
                        size_t row, size_t K, size_t k, size_t n, float *out)
{
    const size_t size = groups->size, per_row = K / size, end = k + n;
    const unsigned char *stream = codes + row * pare_codes_bytes(groups->bits, K);
    uint8_t chunk[CHUNK];
    while (k < end) {
        const size_t g = k / size, at = row * per_row + g;
        const size_t count = smaller(CHUNK, smaller((g + 1) * size, end) - k);
        const float scale = pare_group_scale(groups, at);
        const int zero = pare_group_zero(groups, at);
        pare_codes_unpack(groups->bits, stream + k / 8 * (size_t)groups->bits, chunk,
                          count);
        for (size_t i = 0; i < count; i++)
            out[i] = scale * (float)((int)chunk[i] - zero);
        out += count;
        k += count;
    }
}
