/* Packing for the kernels of masked.h: the same for every tier. */
#include "runtime/kernels/masked.h"

#define COLUMNS PARE_MASKED_COLUMNS
#define QUADS (PARE_CHUNK / 4)
#define PAIRS (QUADS / 2)

static void put_half(unsigned char *out, uint16_t half)
{
    memcpy(out, &half, sizeof half);
}

static void put_word(unsigned char *out, uint64_t word)
{
    memcpy(out, &word, sizeof word);
}

/* One chunk of the columns. */
struct chunk {
    const uint8_t *codes;
    size_t stride;
    int n, width;
    size_t quads, inputs; /* inputs: without what fills the last quads */
    uint64_t bits[QUADS]; /* of each quad: what is not 0 */
    uint8_t first[PAIRS]; /* of each pair: its quads */
    uint8_t second[PAIRS];
};

static uint8_t code_at(const struct chunk *c, size_t quad, int bit)
{
    return bit / 4 < c->n
               ? c->codes[(size_t)(bit / 4) * c->stride + 4 * quad + (size_t)(bit % 4)]
               : pare_masked_zero(c->width);
}

static void find_bits(struct chunk *c)
{
    const uint8_t zero = pare_masked_zero(c->width);
    for (size_t quad = 0; quad < c->quads; quad++) {
        c->bits[quad] = 0;
        for (int bit = 0; bit < 4 * c->n; bit++)
            c->bits[quad] |= (uint64_t)(code_at(c, quad, bit) != zero) << bit;
    }
}

/* Bytes that both quads need when they share a word. */
static int cost(const struct chunk *c, uint8_t first, uint8_t second)
{
    return __builtin_popcountll(c->bits[first] | c->bits[second]);
}

static void exchange(uint8_t *a, uint8_t *b)
{
    const uint8_t kept = *a;
    *a = *b;
    *b = kept;
}

/* Pair number i becomes the cheapest of those that are left. */
static void choose_pair(struct chunk *c, size_t i)
{
    const size_t pairs = c->quads / 2;
    size_t first = i, second = i;
    int least = 65;
    for (size_t a = i; a < pairs; a++)
        for (size_t b = i; b < pairs; b++)
            if (cost(c, c->first[a], c->second[b]) < least) {
                least = cost(c, c->first[a], c->second[b]);
                first = a;
                second = b;
            }
    exchange(&c->first[i], &c->first[first]);
    exchange(&c->second[i], &c->second[second]);
}

/* Two of the first `shared` pairs exchange their partners as long as that is cheaper. */
static void improve_pairs(struct chunk *c, size_t shared)
{
    uint8_t *first = c->first, *second = c->second;
    for (int better = 1; better;) {
        better = 0;
        for (size_t i = 0; i < shared; i++)
            for (size_t j = i + 1; j < shared; j++) {
                if (cost(c, first[i], second[j]) + cost(c, first[j], second[i]) >=
                    cost(c, first[i], second[i]) + cost(c, first[j], second[j]))
                    continue;
                exchange(&second[i], &second[j]);
                better = 1;
            }
    }
}

/* Quads in the order of how many bytes they need. */
static void sort_quads(const struct chunk *c, uint8_t *quads, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j && __builtin_popcountll(c->bits[quads[j]]) <
                                    __builtin_popcountll(c->bits[quads[j - 1]]);
             j--)
            exchange(&quads[j], &quads[j - 1]);
}

static void find_pairs(struct chunk *c)
{
    const size_t pairs = c->quads / 2, shared = pare_masked_shared(c->quads);
    for (size_t i = 0; i < pairs; i++) {
        c->first[i] = (uint8_t)i;
        c->second[i] = (uint8_t)(pairs + i);
    }
    for (size_t i = 0; i < shared; i++)
        choose_pair(c, i);
    improve_pairs(c, shared);
    sort_quads(c, c->first + shared, pairs - shared);
    sort_quads(c, c->second + shared, pairs - shared);
}

/* Adds the codes of a quad to out, a byte for each bit. Returns how many there are. */
static size_t put_codes(unsigned char *out, const struct chunk *c, uint64_t bits,
                        size_t quad, int shift)
{
    for (int bit = 0; bit < 4 * c->n; bit++)
        if (bits >> bit & 1)
            *out++ |= (unsigned char)(code_at(c, quad, bit) << shift);
    return (size_t)__builtin_popcountll(bits);
}

/* The words and bytes of a chunk of 8 bits; returns the bytes. `bytes` are zeros. */
static size_t put_quads(unsigned char *words, unsigned char *bytes, const struct chunk *c)
{
    size_t count = 0;
    for (size_t quad = 0; quad < c->quads; quad++) {
        put_word(words + 8 * quad, c->bits[quad]);
        count += put_codes(bytes + count, c, c->bits[quad], quad, 0);
    }
    return count;
}

/* The same of 4 bits. */
static size_t put_pairs(unsigned char *words, unsigned char *bytes, const struct chunk *c)
{
    const size_t shared = pare_masked_shared(c->quads);
    unsigned char *pairs = words + 8 * pare_masked_words(c->quads, 4);
    size_t count = 0;
    for (size_t i = 0; i < c->quads / 2; i++) {
        uint64_t low = c->bits[c->first[i]], high = c->bits[c->second[i]];
        if (i < shared)
            low = high = low | high;
        pairs[i] = (unsigned char)(c->first[i] | (c->second[i] - c->quads / 2) << 4);
        put_word(words, low);
        words += 8;
        if (i >= shared) {
            put_word(words, high);
            words += 8;
        }
        const size_t first = put_codes(bytes + count, c, low, c->first[i], 0);
        const size_t second = put_codes(bytes + count, c, high, c->second[i], 4);
        count += first > second ? first : second;
    }
    return count;
}

static void put_sums(unsigned char *out, const struct chunk *c)
{
    for (int j = 0; j < COLUMNS; j++) {
        int sum = 0;
        for (size_t k = 0; j < c->n && k < c->inputs; k++)
            sum += c->codes[(size_t)j * c->stride + k] - pare_masked_zero(c->width);
        put_half(out + 2 * j, (uint16_t)-sum);
    }
}

/* Returns the bytes of the chunk. */
static size_t put_chunk(unsigned char *out, struct chunk *c)
{
    const size_t head = pare_masked_head(c->quads, c->width);
    memset(out, 0, head + 64 * c->quads);
    find_bits(c);
    put_sums(out + head - 2 * COLUMNS, c);
    if (c->width == 8)
        return head + put_quads(out, out + head, c);
    find_pairs(c);
    return head + put_pairs(out, out + head, c);
}

size_t pare_masked_most(const struct pare_grouped *shape)
{
    const size_t quads = pare_grouped_quads(shape);
    size_t bytes = 2 * COLUMNS;
    for (size_t quad = 0; quad < quads; quad += QUADS)
        bytes += pare_masked_head(QUADS, shape->width) + 64 * QUADS;
    return shape->groups * bytes;
}

size_t pare_masked_pack(const struct pare_grouped *shape, void *out, const uint8_t *codes,
                        size_t stride, const uint16_t *scale, int n)
{
    const size_t quads = pare_grouped_quads(shape);
    unsigned char *to = out;
    for (size_t g = 0; g < shape->groups; g++) {
        for (size_t quad = 0; quad < quads; quad += QUADS) {
            const size_t left = shape->size - 4 * quad;
            struct chunk c = {.codes = codes + 4 * (g * quads + quad),
                              .stride = stride,
                              .n = n,
                              .width = shape->width,
                              .quads = quads - quad < QUADS ? quads - quad : QUADS,
                              .inputs = left < PARE_CHUNK ? left : PARE_CHUNK};
            to += put_chunk(to, &c);
        }
        for (int j = 0; j < COLUMNS; j++, to += 2)
            put_half(to, j < n ? scale[(size_t)j * shape->groups + g] : 0);
    }
    return (size_t)(to - (unsigned char *)out);
}
