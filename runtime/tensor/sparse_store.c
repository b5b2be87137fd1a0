/* Storing what is kept of a strip of rows. */
#include <string.h>

#include "runtime/tensor/codes.h"
#include "runtime/tensor/sparse.h"

#define CHUNK 256 /* codes packed at a time; a multiple of 8 */

/* Values in the order they are stored in. */
struct sink {
    int value_bits;
    unsigned char *begin, *out;
    uint8_t codes[CHUNK];
    size_t n;
};

static void flush(struct sink *sink)
{
    pare_codes_pack(sink->value_bits, sink->codes, sink->out, sink->n);
    sink->out += pare_codes_bytes(sink->value_bits, sink->n);
    sink->n = 0;
}

static void put(struct sink *sink, const void *elements, size_t at, size_t n)
{
    if (sink->value_bits == 16) {
        memcpy(sink->out, (const unsigned char *)elements + 2 * at, 2 * n);
        sink->out += 2 * n;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        sink->codes[sink->n++] = ((const uint8_t *)elements)[at + i];
        if (sink->n == CHUNK)
            flush(sink);
    }
}

size_t pare_sparse_store_strip(const struct pare_sparse *sparse, size_t K,
                               const uint8_t *bits, const void *elements, int value_bits,
                               uint8_t *kept, unsigned char *values)
{
    struct sink sink = {.value_bits = value_bits, .begin = values, .out = values};
    const size_t columns = sparse->columns;
    pare_sparse_store_bits(sparse, K, bits, kept);
    for (size_t b = 0; b < K / columns; b++)
        if (bits[b / 8] >> b % 8 & 1)
            for (size_t row = 0; row < sparse->rows; row++)
                put(&sink, elements, row * K + b * columns, columns);
    if (sink.n)
        flush(&sink);
    return (size_t)(sink.out - sink.begin);
}
