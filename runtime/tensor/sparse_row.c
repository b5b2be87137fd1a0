/* Rows of a sparse matrix as if they were dense, a chunk at a time: bits of the chunk's
 * weights, then the values of those that are kept, then each to its place.
 */
#include <string.h>

#include "runtime/kernels/kernels.h"
#include "runtime/tensor/codes.h"
#include "runtime/tensor/sparse.h"

#define CHUNK 256              /* weights; a multiple of every block */
#define SPACE (CHUNK + 64 + 8) /* of values: what expand_u8 may read, and unpacking */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A row while it is gone through. */
struct walk {
    const struct pare_sparse *sparse;
    const uint8_t *kept;         /* of the row's strip */
    const unsigned char *values; /* the same */
    int value_bits;
    size_t row;   /* of the strip */
    size_t next;  /* kept weights of the row that lie before the chunk */
    size_t width; /* weights of a byte of ranks; 0: bits */
};

/* --- Bits ------------------------------------------------------------------------- */

static uint64_t load_bits(const uint8_t *from, size_t bytes)
{
    uint64_t word = 0;
    for (size_t i = 0; i < bytes; i++)
        word |= (uint64_t)from[i] << 8 * i;
    return word;
}

static void store_bits(uint8_t *to, uint64_t word, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(word >> 8 * i);
}

/* Each of the low 64 / columns bits of `blocks` `columns` times. */
static uint64_t widened(uint64_t blocks, size_t columns)
{
    const uint64_t one = columns < 64 ? ((uint64_t)1 << columns) - 1 : UINT64_MAX;
    uint64_t word = 0;
    for (size_t i = 0; i < 64 / columns; i++)
        if (blocks >> i & 1)
            word |= one << i * columns;
    return word;
}

/* Of weights k .. k + 64, k a multiple of 8; what is behind n may be anything. */
static uint64_t word_of_bits(const struct walk *w, size_t k, size_t n)
{
    const size_t columns = w->sparse->columns, first = k / columns;
    const size_t blocks = (smaller(n, 64) + columns - 1) / columns;
    const size_t bytes = (first % 8 + blocks + 7) / 8;
    if (columns == 1)
        return load_bits(w->kept + k / 8, smaller((n + 7) / 8, 8));
    return widened(load_bits(w->kept + first / 8, bytes) >> first % 8, columns);
}

static uint64_t word_of_ranks(const struct walk *w, size_t k, size_t n)
{
    const size_t count = smaller(n, 64);
    size_t byte = k / w->width, skip = k % w->width;
    uint64_t word = (uint64_t)w->sparse->sets[w->kept[byte]] >> skip;
    for (size_t at = w->width - skip; at < count; at += w->width)
        word |= (uint64_t)w->sparse->sets[w->kept[++byte]] << at;
    return word;
}

/* Bits of weights k .. k + n, no more than a chunk; returns how many are kept. */
static size_t chunk_bits(const struct walk *w, size_t k, size_t n, uint8_t *bits)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i += 64) {
        uint64_t word =
            w->width ? word_of_ranks(w, k + i, n - i) : word_of_bits(w, k + i, n - i);
        if (n - i < 64)
            word &= ((uint64_t)1 << (n - i)) - 1;
        count += (size_t)__builtin_popcountll(word);
        store_bits(bits + i / 8, word, 8);
    }
    return count;
}

/* Kept weights of the row before weight k. */
static size_t count_before(const struct walk *w, size_t k)
{
    uint8_t bits[CHUNK / 8];
    size_t count = 0;
    if (w->width) {
        const size_t groups = k / w->sparse->m;
        count = groups * w->sparse->n;
        for (size_t i = groups * w->sparse->m; i < k; i++)
            count += w->sparse->sets[w->kept[i / w->width]] >> i % w->width & 1;
        return count;
    }
    for (size_t i = 0; i < k; i += CHUNK)
        count += chunk_bits(w, i, smaller(CHUNK, k - i), bits);
    return count;
}

/* --- Values ----------------------------------------------------------------------- */

/* Where kept weight `number` of the row lies among the strip's values. */
static size_t place_of(const struct walk *w, size_t number)
{
    const size_t rows = w->sparse->rows, columns = w->sparse->columns;
    return (number / columns * rows + w->row) * columns + number % columns;
}

static uint8_t code_at(const unsigned char *stream, int bits, size_t i)
{
    const size_t bit = i * (size_t)bits, shift = bit % 8;
    uint32_t word = stream[bit / 8];
    if (shift + (size_t)bits > 8)
        word |= (uint32_t)stream[bit / 8 + 1] << 8;
    return (uint8_t)(word >> shift & ((1u << bits) - 1));
}

/* `count` codes from w->next on, at most a chunk. Eight are whole bytes, so that they can
 * be unpacked from the eight on in which the first one lies. */
static const uint8_t *next_codes(struct walk *w, size_t count, uint8_t space[SPACE])
{
    const size_t first = w->next;
    w->next += count;
    if (w->sparse->rows > 1) {
        for (size_t i = 0; i < count; i++)
            space[i] = code_at(w->values, w->value_bits, place_of(w, first + i));
        return space;
    }
    if (w->value_bits == 8) {
        memcpy(space, w->values + first, count);
        return space;
    }
    pare_codes_unpack(w->value_bits, w->values + first / 8 * (size_t)w->value_bits, space,
                      first % 8 + count);
    return space + first % 8;
}

static void next_halves(struct walk *w, size_t count, uint16_t space[CHUNK])
{
    for (size_t i = 0; i < count; i += w->sparse->columns)
        memcpy(space + i, w->values + 2 * place_of(w, w->next + i),
               2 * smaller(w->sparse->columns, count - i));
    w->next += count;
}

/* --- Rows ------------------------------------------------------------------------- */

static struct walk walk_of(const struct pare_sparse *sparse, const unsigned char *values,
                           int value_bits, size_t row, size_t K, size_t k)
{
    const size_t strip = row / sparse->rows;
    struct walk w = {.sparse = sparse,
                     .kept = sparse->kept + strip * pare_sparse_kept_bytes(sparse, K),
                     .values = values + sparse->start[strip],
                     .value_bits = value_bits,
                     .row = row % sparse->rows};
    if (sparse->m)
        w.width = pare_sparse_digits(sparse->n, sparse->m) * sparse->m;
    w.next = count_before(&w, k);
    return w;
}

void pare_sparse_row_u8(const struct pare_sparse *sparse, const unsigned char *values,
                        int value_bits, size_t row, size_t K, size_t k, size_t n,
                        uint8_t gap, uint8_t *out)
{
    const struct pare_kernels *kernels = pare_kernels();
    struct walk w = walk_of(sparse, values, value_bits, row, K, k);
    uint8_t bits[CHUNK / 8], codes[SPACE];
    for (size_t i = 0; i < n; i += CHUNK) {
        const size_t some = smaller(CHUNK, n - i);
        const size_t count = chunk_bits(&w, k + i, some, bits);
        kernels->expand_u8(out + i, next_codes(&w, count, codes), bits, gap, some);
    }
}

void pare_sparse_row_f16(const struct pare_sparse *sparse, const unsigned char *values,
                         size_t row, size_t K, size_t k, size_t n, uint16_t *out)
{
    struct walk w = walk_of(sparse, values, 16, row, K, k);
    uint8_t bits[CHUNK / 8];
    uint16_t halves[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        const size_t some = smaller(CHUNK, n - i);
        next_halves(&w, chunk_bits(&w, k + i, some, bits), halves);
        for (size_t j = 0, next = 0; j < some; j++)
            out[i + j] = bits[j / 8] >> j % 8 & 1 ? halves[next++] : 0;
    }
}
