/* Super-blocks of GGUF: see superblocks.h. */
#include "runtime/tensor/superblocks.h"

#include <string.h>

#include "runtime/base/bytes.h"

static const struct pare_superblock_layout layouts[] = {
    {PARE_Q2_K, 16, 3, 0, 0, 15, 1},       {PARE_Q3_K, 16, 7, 4, -32, 31, 0},
    {PARE_Q4_K, 32, 15, 0, 0, 63, 1},      {PARE_Q5_K, 32, 31, 0, 0, 63, 1},
    {PARE_Q6_K, 16, 63, 32, -128, 127, 0}, {PARE_TQ1_0, 256, 2, 1, 1, 1, 0},
    {PARE_TQ2_0, 256, 2, 1, 1, 1, 0},
};

const struct pare_superblock_layout *pare_superblock_layout(enum pare_dtype type)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].type == type)
            return &layouts[i];
    return NULL;
}

static float load_half(const uint8_t *p)
{
    return pare_f16_to_f32(pare_load_u16(p));
}

static void store_half(uint8_t *p, float value)
{
    pare_store_u16(p, pare_f32_to_f16(value));
}

/* --- Codes ------------------------------------------------------------------------ */

/* Every `period` weights, `width` bytes hold `bits` of each: byte l those of the weights
 * l, l + width, ... of the period, the first in its lowest bits. They are put at bit
 * `at` of the codes. */
struct plane {
    int bits, width, at;
};

static void read_plane(const struct plane *plane, const uint8_t *from, uint8_t *codes)
{
    const int n = 8 / plane->bits;
    const uint64_t mask = ((1u << plane->bits) - 1) * UINT64_C(0x0101010101010101);
    for (int k = 0; k < PARE_SUPERBLOCK; k += plane->width * n, from += plane->width)
        for (int i = 0; i < n; i++)
            for (int l = 0; l < plane->width; l += 8) { /* bytes of a word */
                uint64_t word, eight;
                memcpy(&word, from + l, sizeof word);
                memcpy(&eight, codes + k + i * plane->width + l, sizeof eight);
                eight |= (word >> (i * plane->bits) & mask) << plane->at;
                memcpy(codes + k + i * plane->width + l, &eight, sizeof eight);
            }
}

static void write_plane(const struct plane *plane, const uint8_t *codes, uint8_t *to)
{
    const int mask = (1 << plane->bits) - 1, n = 8 / plane->bits;
    for (int k = 0; k < PARE_SUPERBLOCK; k += plane->width * n, to += plane->width)
        for (int l = 0; l < plane->width; l++) {
            int byte = 0;
            for (int i = 0; i < n; i++)
                byte |= (codes[k + i * plane->width + l] >> plane->at & mask)
                        << (i * plane->bits);
            to[l] = (uint8_t)byte;
        }
}

static const struct plane twos = {2, 32, 0}, fours = {4, 32, 0}, sixes = {4, 64, 0},
                          third_bits = {1, 32, 2}, fifth_bits = {1, 32, 4},
                          upper_twos = {2, 32, 4};

/* --- Ternary codes, five in a byte ------------------------------------------------ */

/* A number of n digits of base 3, the first the highest, is kept as a fraction of 1 in
 * 8 bits, rounded up: then each product with 3 pushes the next digit out. */
#define DIGITS 5

struct ternary_piece { /* `bytes` bytes hold n bytes of weights each */
    int bytes, n;
};
static const struct ternary_piece ternary_pieces[] = {{32, 5}, {16, 5}, {4, 4}};

static void read_ternary(const uint8_t *from, uint8_t *codes)
{
    for (int p = 0; p < 3; p++) {
        const struct ternary_piece *piece = &ternary_pieces[p];
        for (int l = 0; l < piece->bytes; l++) {
            uint8_t fraction = from[l];
            for (int i = 0; i < piece->n; i++) {
                codes[i * piece->bytes + l] = (uint8_t)(fraction * 3 >> 8);
                fraction = (uint8_t)(fraction * 3);
            }
        }
        from += piece->bytes;
        codes += piece->bytes * piece->n;
    }
}

static void write_ternary(const uint8_t *codes, uint8_t *to)
{
    for (int p = 0; p < 3; p++) {
        const struct ternary_piece *piece = &ternary_pieces[p];
        for (int l = 0; l < piece->bytes; l++) {
            int number = 0;
            for (int i = 0; i < DIGITS; i++)
                number = 3 * number + (i < piece->n ? codes[i * piece->bytes + l] : 0);
            to[l] = (uint8_t)((number * 256 + 242) / 243);
        }
        to += piece->bytes;
        codes += piece->bytes * piece->n;
    }
}

/* --- Scales of sub-blocks --------------------------------------------------------- */

/* Eight scales and eight minima of 6 bits in 12 bytes. */
static void read_scales_and_minima(const uint8_t *s, struct pare_superblock *out)
{
    for (int j = 0; j < 4; j++) {
        out->scale[j] = (int8_t)(s[j] & 63);
        out->minimum[j] = s[j + 4] & 63;
        out->scale[j + 4] = (int8_t)((s[j + 8] & 15) | s[j] >> 6 << 4);
        out->minimum[j + 4] = (uint8_t)(s[j + 8] >> 4 | s[j + 4] >> 6 << 4);
    }
}

static void write_scales_and_minima(const struct pare_superblock *from, uint8_t *s)
{
    for (int j = 0; j < 4; j++) {
        const int scale = from->scale[j + 4], minimum = from->minimum[j + 4];
        s[j] = (uint8_t)(from->scale[j] | scale >> 4 << 6);
        s[j + 4] = (uint8_t)(from->minimum[j] | minimum >> 4 << 6);
        s[j + 8] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
    }
}

/* Sixteen scales of 6 bits, 32 more than they mean, in 12 bytes: the lower four bits of
 * j and j + 8 in byte j, the upper two of j, j + 4, j + 8, j + 12 in byte 8 + j. */
static void read_scales(const uint8_t *s, struct pare_superblock *out)
{
    for (int j = 0; j < 16; j++) {
        const int low = s[j % 8] >> (j / 8 * 4) & 15;
        const int high = s[8 + j % 4] >> (j / 4 * 2) & 3;
        out->scale[j] = (int8_t)((low | high << 4) - 32);
    }
}

static void write_scales(const struct pare_superblock *from, uint8_t *s)
{
    memset(s, 0, 12);
    for (int j = 0; j < 16; j++) {
        const int scale = from->scale[j] + 32;
        s[j % 8] |= (uint8_t)((scale & 15) << (j / 8 * 4));
        s[8 + j % 4] |= (uint8_t)(scale >> 4 << (j / 4 * 2));
    }
}

/* --- Blocks ----------------------------------------------------------------------- */

static void read_q2_k(const uint8_t *b, struct pare_superblock *out)
{
    for (int j = 0; j < 16; j++) {
        out->scale[j] = (int8_t)(b[j] & 15);
        out->minimum[j] = b[j] >> 4;
    }
    read_plane(&twos, b + 16, out->codes);
    out->d = load_half(b + 80);
    out->dmin = load_half(b + 82);
}

static void write_q2_k(const struct pare_superblock *from, uint8_t *b)
{
    for (int j = 0; j < 16; j++)
        b[j] = (uint8_t)(from->scale[j] | from->minimum[j] << 4);
    write_plane(&twos, from->codes, b + 16);
    store_half(b + 80, from->d);
    store_half(b + 82, from->dmin);
}

static void read_q3_k(const uint8_t *b, struct pare_superblock *out)
{
    read_plane(&third_bits, b, out->codes);
    read_plane(&twos, b + 32, out->codes);
    read_scales(b + 96, out);
    out->d = load_half(b + 108);
}

static void write_q3_k(const struct pare_superblock *from, uint8_t *b)
{
    write_plane(&third_bits, from->codes, b);
    write_plane(&twos, from->codes, b + 32);
    write_scales(from, b + 96);
    store_half(b + 108, from->d);
}

static void read_q45_k(const uint8_t *b, int five, struct pare_superblock *out)
{
    out->d = load_half(b);
    out->dmin = load_half(b + 2);
    read_scales_and_minima(b + 4, out);
    if (five)
        read_plane(&fifth_bits, b + 16, out->codes);
    read_plane(&fours, b + (five ? 48 : 16), out->codes);
}

static void write_q45_k(const struct pare_superblock *from, int five, uint8_t *b)
{
    store_half(b, from->d);
    store_half(b + 2, from->dmin);
    write_scales_and_minima(from, b + 4);
    if (five)
        write_plane(&fifth_bits, from->codes, b + 16);
    write_plane(&fours, from->codes, b + (five ? 48 : 16));
}

static void read_q6_k(const uint8_t *b, struct pare_superblock *out)
{
    read_plane(&sixes, b, out->codes);
    read_plane(&upper_twos, b + 128, out->codes);
    memcpy(out->scale, b + 192, 16);
    out->d = load_half(b + 208);
}

static void write_q6_k(const struct pare_superblock *from, uint8_t *b)
{
    write_plane(&sixes, from->codes, b);
    write_plane(&upper_twos, from->codes, b + 128);
    memcpy(b + 192, from->scale, 16);
    store_half(b + 208, from->d);
}

void pare_superblock_read(enum pare_dtype type, const void *block,
                          struct pare_superblock *out)
{
    const uint8_t *b = block;
    memset(out, 0, sizeof *out);
    switch (type) {
    case PARE_Q2_K: read_q2_k(b, out); break;
    case PARE_Q3_K: read_q3_k(b, out); break;
    case PARE_Q4_K: read_q45_k(b, 0, out); break;
    case PARE_Q5_K: read_q45_k(b, 1, out); break;
    case PARE_Q6_K: read_q6_k(b, out); break;
    case PARE_TQ1_0:
        out->scale[0] = 1;
        read_ternary(b, out->codes);
        out->d = load_half(b + 52);
        break;
    default:
        out->scale[0] = 1;
        read_plane(&twos, b, out->codes);
        out->d = load_half(b + 64);
    }
}

void pare_superblock_write(enum pare_dtype type, const struct pare_superblock *from,
                           void *block)
{
    uint8_t *b = block;
    switch (type) {
    case PARE_Q2_K: write_q2_k(from, b); break;
    case PARE_Q3_K: write_q3_k(from, b); break;
    case PARE_Q4_K: write_q45_k(from, 0, b); break;
    case PARE_Q5_K: write_q45_k(from, 1, b); break;
    case PARE_Q6_K: write_q6_k(from, b); break;
    case PARE_TQ1_0:
        write_ternary(from->codes, b);
        store_half(b + 52, from->d);
        break;
    default: write_plane(&twos, from->codes, b); store_half(b + 64, from->d);
    }
}

void pare_superblock_decode(enum pare_dtype type, const void *source, float *out,
                            size_t n)
{
    const struct pare_superblock_layout *layout = pare_superblock_layout(type);
    const size_t bytes = pare_dtype_info(type)->block_bytes, sub = (size_t)layout->sub;
    const uint8_t *from = source;
    for (size_t k = 0; k < n; k += PARE_SUPERBLOCK, from += bytes) {
        struct pare_superblock block;
        pare_superblock_read(type, from, &block);
        for (size_t i = 0; i < PARE_SUPERBLOCK; i += sub) {
            const float scale = block.d * (float)block.scale[i / sub];
            const float offset = block.dmin * (float)block.minimum[i / sub];
            for (size_t l = i; l < i + sub; l++)
                out[k + l] = scale * (float)(block.codes[l] - layout->zero) - offset;
        }
    }
}
