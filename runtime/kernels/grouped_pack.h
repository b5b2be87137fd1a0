/* Packing for the kernels of codes in groups: the layout is that of grouped.h for every
 * tier, which gives its number of columns, what it subtracts from activations, and how it
 * transposes.
 */
#ifndef PARE_KERNELS_GROUPED_PACK_H
#define PARE_KERNELS_GROUPED_PACK_H

#include "runtime/kernels/grouped.h"

static inline uint32_t load_four(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    return four;
}

static inline size_t smaller_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The codes of a column: `per` quads share four bytes. */
static inline void pack_codes(unsigned char *out, size_t nr, const uint8_t *codes,
                              size_t quads, int width)
{
    const size_t per = 8 / (size_t)width;
    for (size_t quad = 0; quad < quads; quad += per, out += 4 * nr) {
        uint32_t four = 0;
        for (size_t i = 0; i < per; i++)
            four |= load_four(codes + 4 * (quad + i)) << i * (size_t)width;
        memcpy(out, &four, sizeof four);
    }
}

static inline int32_t sum_bytes(const uint8_t *p, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i];
    return sum;
}

static inline void put_pair(void *out, int32_t first, int32_t second)
{
    const int16_t pair[2] = {(int16_t)first, (int16_t)second};
    memcpy(out, pair, sizeof pair);
}

/* codes: [n] columns `stride` apart, zeros behind the group's last one. */
static inline void pack_group(const struct pare_grouped *shape, size_t nr,
                              unsigned char *out, const uint8_t *codes, size_t stride,
                              const float *scale, const uint8_t *zero, size_t n)
{
    const size_t quads = pare_grouped_quads(shape);
    unsigned char *pairs = out + quads * (size_t)shape->width / 2 * nr;
    unsigned char *scales = pairs + 4 * pare_grouped_chunks(shape) * nr;
    if (n < nr)
        memset(out, 0, pare_grouped_b_bytes(shape) * nr);
    for (size_t j = 0; j < n; j++, codes += stride) {
        pack_codes(out + 4 * j, nr, codes, quads, shape->width);
        for (size_t k = 0, c = 0; k < shape->size; k += PARE_CHUNK, c++) {
            const size_t count = smaller_of(PARE_CHUNK, shape->size - k);
            const int32_t z = zero[j],
                          S = sum_bytes(codes + k, count) - (int32_t)count * z;
            put_pair(pairs + 4 * (c * nr + j), -S, -z);
        }
        memcpy(scales + 4 * j, &scale[j], sizeof(float));
    }
}

/* The bytes of four columns' codes of quad after quad, of codes that share bytes. */
static inline void expand_codes(unsigned char *out, const unsigned char *packed,
                                size_t nr, size_t quads, int width)
{
    const size_t per = 8 / (size_t)width;
    const uint32_t mask = ((1u << width) - 1) * 0x01010101u;
    for (size_t quad = 0; quad < quads; quad += per, packed += 4 * nr)
        for (size_t i = 0; i < per; i++, out += 4 * nr)
            for (size_t j = 0; j < nr; j++) {
                uint32_t four = load_four(packed + 4 * j) >> i * (size_t)width & mask;
                memcpy(out + 4 * j, &four, sizeof four);
            }
}

static inline void expand_panel(const struct pare_grouped *shape, size_t nr,
                                unsigned char *out, const unsigned char *panel)
{
    const size_t quads = pare_grouped_quads(shape);
    const size_t packed = quads * (size_t)shape->width / 2 * nr;
    const size_t rest = 4 * (pare_grouped_chunks(shape) + 1) * nr;
    for (size_t g = 0; g < shape->groups; g++) {
        expand_codes(out, panel, nr, quads, shape->width);
        memcpy(out + 4 * quads * nr, panel + packed, rest);
        out += 4 * quads * nr + rest;
        panel += packed + rest;
    }
}

/* A tier's transposition of 32-bit words: pare_kernels.pack. */
typedef void transpose_fn(void *out, size_t width, const void *in, size_t stride,
                          size_t rows, size_t n);

/* offset: 0, or 128 for instructions that want signed activations: a - 128 and z - 128
 * take the places of a and z. */
static inline void pack_rows_of_groups(const struct pare_grouped *shape,
                                       unsigned char *out, uint8_t *rows,
                                       const float *scale, const int32_t *zero, size_t m,
                                       int32_t offset, transpose_fn *transpose)
{
    const size_t quads = pare_grouped_quads(shape), chunks = pare_grouped_chunks(shape);
    const size_t stride = shape->groups * 4 * quads;
    for (size_t g = 0; g < shape->groups; g++, rows += 4 * quads) {
        unsigned char *pairs = out + 4 * quads * m, *scales = pairs + 4 * chunks * m;
        for (size_t i = 0; i < m; i++) {
            uint8_t *row = rows + i * stride;
            const size_t at = i * shape->groups + g;
            for (size_t k = 0, c = 0; k < shape->size; k += PARE_CHUNK, c++) {
                const size_t count = smaller_of(PARE_CHUNK, shape->size - k);
                const int32_t A = sum_bytes(row + k, count) - offset * (int32_t)count;
                put_pair(pairs + 4 * (c * m + i), zero[at] - offset, A);
            }
            for (size_t k = 0; offset && k < 4 * quads; k++)
                row[k] ^= 0x80;
            memcpy(scales + 4 * i, &scale[at], sizeof(float));
        }
        transpose(out, m, rows, stride, m, quads);
        out += pare_grouped_a_bytes(shape) * m;
    }
}

#endif
