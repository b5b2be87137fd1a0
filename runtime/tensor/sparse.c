/* Which weights of a sparse matrix are kept: see sparse.h. */
#include "runtime/tensor/sparse.h"

#include <string.h>

#define BYTE 256 /* values of one */

static int bit(const uint8_t *bits, size_t i)
{
    return bits[i / 8] >> i % 8 & 1;
}

/* Sets of n out of m, m at most 32; BYTE + 1 when they are more than BYTE. */
static size_t combinations(size_t n, size_t m)
{
    size_t count = 1;
    n = m - n < n ? m - n : n;
    for (size_t i = 0; i < n && count <= BYTE; i++)
        count = count * (m - i) / (i + 1);
    return count <= BYTE ? count : BYTE + 1;
}

size_t pare_sparse_digits(size_t n, size_t m)
{
    const size_t base = combinations(n, m);
    size_t digits = 0;
    for (size_t power = base; power <= BYTE; power *= base)
        digits++;
    return digits;
}

size_t pare_sparse_kept_bytes(const struct pare_sparse *sparse, size_t K)
{
    const size_t a_byte = sparse->m ? pare_sparse_digits(sparse->n, sparse->m) : 8;
    const size_t units = K / (sparse->m ? sparse->m : sparse->columns);
    return units / a_byte + (units % a_byte != 0);
}

static int is_block_side(size_t n)
{
    return n && n <= PARE_SPARSE_MOST && !(n & (n - 1));
}

enum pare_status pare_sparse_check(const struct pare_sparse *sparse, size_t N, size_t K,
                                   struct pare_error *err)
{
    const size_t rows = sparse->rows, columns = sparse->columns;
    const size_t n = sparse->n, m = sparse->m;
    if (!is_block_side(rows) || !is_block_side(columns))
        return pare_fail(err, PARE_ERR_USAGE,
                         "blocks of %zux%zu: expected sides of 1, 2, 4, 8, 16 or 32",
                         rows, columns);
    if (N % rows || K % columns)
        return pare_fail(err, PARE_ERR_USAGE,
                         "blocks of %zux%zu do not divide a matrix of %zux%zu", rows,
                         columns, N, K);
    if (!m && !n)
        return PARE_OK;
    if (!n || n >= m || m > PARE_SPARSE_MOST || rows * columns > 1 ||
        !pare_sparse_digits(n, m))
        return pare_fail(err, PARE_ERR_USAGE,
                         "%zu of %zu weights cannot be kept by rank: expected fewer of "
                         "them, no blocks, and at most %d ways to choose",
                         n, m, BYTE);
    return K % m ? pare_fail(err, PARE_ERR_USAGE,
                             "%zu:%zu does not go with rows of %zu: %zu does not divide "
                             "them",
                             n, m, K, m)
                 : PARE_OK;
}

/* --- Ranks ------------------------------------------------------------------------ */

/* Bit j: place j is in set number `rank` of n out of m. At each place the sets that have
 * it come first. */
static uint32_t set_of(size_t rank, size_t n, size_t m)
{
    uint32_t set = 0;
    for (size_t j = 0; n; j++) {
        const size_t with = combinations(n - 1, m - j - 1);
        if (rank < with) {
            set |= (uint32_t)1 << j;
            n--;
        } else {
            rank -= with;
        }
    }
    return set;
}

static size_t rank_of(uint32_t set, size_t n, size_t m)
{
    size_t rank = 0;
    for (size_t j = 0; n; j++) {
        if (set >> j & 1)
            n--;
        else
            rank += combinations(n - 1, m - j - 1);
    }
    return rank;
}

void pare_sparse_list_sets(size_t n, size_t m, uint32_t sets[256])
{
    const size_t base = combinations(n, m), digits = pare_sparse_digits(n, m);
    size_t limit = 1;
    for (size_t d = 0; d < digits; d++)
        limit *= base;
    for (size_t value = 0; value < BYTE; value++) {
        sets[value] = 0;
        for (size_t d = 0, rest = value; value < limit && d < digits; d++, rest /= base)
            sets[value] |= set_of(rest % base, n, m) << d * m;
    }
}

static void ranks_to_bits(const struct pare_sparse *sparse, size_t K,
                          const uint8_t *ranks, uint8_t *bits)
{
    const size_t width = pare_sparse_digits(sparse->n, sparse->m) * sparse->m;
    uint32_t sets[BYTE];
    pare_sparse_list_sets(sparse->n, sparse->m, sets);
    memset(bits, 0, (K + 7) / 8);
    for (size_t k = 0; k < K; k++)
        bits[k / 8] |= (uint8_t)((sets[ranks[k / width]] >> k % width & 1) << k % 8);
}

static void bits_to_ranks(const struct pare_sparse *sparse, size_t K, const uint8_t *bits,
                          uint8_t *ranks)
{
    const size_t m = sparse->m, base = combinations(sparse->n, m);
    const size_t digits = pare_sparse_digits(sparse->n, m);
    for (size_t g = 0; g < K / m; ranks++) {
        size_t value = 0;
        for (size_t digit = 0, power = 1; digit < digits && g < K / m; digit++, g++) {
            uint32_t set = 0;
            for (size_t j = 0; j < m; j++)
                set |= (uint32_t)bit(bits, g * m + j) << j;
            value += rank_of(set, sparse->n, m) * power;
            power *= base;
        }
        *ranks = (uint8_t)value;
    }
}

/* --- Strips ----------------------------------------------------------------------- */

static size_t count_bits(const uint8_t *bits, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += (size_t)__builtin_popcount(bits[i]);
    return count;
}

size_t pare_sparse_bits(const struct pare_sparse *sparse, size_t strip, size_t K,
                        uint8_t *bits)
{
    const size_t bytes = pare_sparse_kept_bytes(sparse, K);
    const uint8_t *kept = sparse->kept + strip * bytes;
    if (sparse->m) {
        ranks_to_bits(sparse, K, kept, bits);
        return K / sparse->m * sparse->n;
    }
    memcpy(bits, kept, bytes);
    return count_bits(bits, bytes);
}

void pare_sparse_store_bits(const struct pare_sparse *sparse, size_t K,
                            const uint8_t *bits, uint8_t *kept)
{
    if (sparse->m)
        bits_to_ranks(sparse, K, bits, kept);
    else
        memcpy(kept, bits, pare_sparse_kept_bytes(sparse, K));
}

size_t pare_sparse_value_bytes(const struct pare_sparse *sparse, size_t blocks,
                               int value_bits)
{
    const size_t values = blocks * sparse->rows * sparse->columns;
    return (values * (size_t)value_bits + 7) / 8;
}

/* The bytes of a strip's ranks are numbers of sets, in the last one with zeros behind. */
static enum pare_status check_ranks(const struct pare_sparse *sparse, size_t strip,
                                    size_t K, struct pare_error *err)
{
    const size_t bytes = pare_sparse_kept_bytes(sparse, K), groups = K / sparse->m;
    const size_t base = combinations(sparse->n, sparse->m);
    const size_t digits = pare_sparse_digits(sparse->n, sparse->m);
    const uint8_t *ranks = sparse->kept + strip * bytes;
    for (size_t i = 0; i < bytes; i++) {
        size_t limit = 1;
        for (size_t d = 0; d < digits && i * digits + d < groups; d++)
            limit *= base;
        if (ranks[i] >= limit)
            return pare_fail(err, PARE_ERR_INPUT,
                             "byte %zu of row %zu is %d, which is no ranks of %zu:%zu "
                             "(below %zu)",
                             i, strip, ranks[i], sparse->n, sparse->m, limit);
    }
    return PARE_OK;
}

/* No bit behind the last block. */
static enum pare_status check_bits(const struct pare_sparse *sparse, size_t strip,
                                   size_t K, struct pare_error *err)
{
    const size_t blocks = K / sparse->columns;
    const size_t bytes = pare_sparse_kept_bytes(sparse, K);
    if (blocks % 8 && sparse->kept[strip * bytes + bytes - 1] >> blocks % 8)
        return pare_fail(err, PARE_ERR_INPUT,
                         "the bits of row %zu go on behind its last block, number %zu",
                         strip, blocks - 1);
    return PARE_OK;
}

enum pare_status pare_sparse_index(const struct pare_sparse *sparse, size_t N, size_t K,
                                   int value_bits, uint64_t *start,
                                   struct pare_error *err)
{
    const size_t bytes = pare_sparse_kept_bytes(sparse, K);
    start[0] = 0;
    for (size_t strip = 0; strip < N / sparse->rows; strip++) {
        PARE_TRY(sparse->m ? check_ranks(sparse, strip, K, err)
                           : check_bits(sparse, strip, K, err));
        const size_t blocks = sparse->m ? K / sparse->m * sparse->n
                                        : count_bits(sparse->kept + strip * bytes, bytes);
        start[strip + 1] =
            start[strip] + pare_sparse_value_bytes(sparse, blocks, value_bits);
    }
    return PARE_OK;
}

uint64_t pare_sparse_stored_bytes(const struct pare_sparse *sparse, size_t N,
                                  int value_bits)
{
    const uint64_t bytes = sparse->start[N / sparse->rows];
    return bytes ? bytes : ((uint64_t)value_bits + 7) / 8;
}

uint64_t pare_sparse_index_bytes(const struct pare_sparse *sparse, size_t N)
{
    if (!sparse->rows)
        return 0;
    return (N / sparse->rows + 1) * sizeof *sparse->start +
           (sparse->sets ? BYTE * sizeof *sparse->sets : 0);
}
