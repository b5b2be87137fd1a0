/* Which weights of a sparse matrix are kept (runtime/tensor/sparse.h). */
#include <criterion/criterion.h>
#include <string.h>

#include "runtime/kernels/kernels.h"
#include "runtime/tensor/sparse.h"
#include "tests/support/kernel_cases.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct pare_error error_ = {""};                                                 \
        struct pare_error *err = &error_;                                                \
        cr_assert_eq((call), PARE_OK, "%s: %s", #call, error_.message);                  \
    } while (0)

/* Pascal's triangle: sets of n out of m. */
static uint64_t choose(size_t n, size_t m)
{
    uint64_t row[PARE_SPARSE_MOST + 1] = {1};
    for (size_t i = 1; i <= m; i++)
        for (size_t j = i; j > 0; j--)
            row[j] += row[j - 1];
    return row[n];
}

/* The set behind `set` in lexicographic order of ascending places; 0 behind the last. */
static uint32_t next_set(uint32_t set, size_t n, size_t m)
{
    size_t places[PARE_SPARSE_MOST], count = 0;
    for (size_t j = 0; j < m; j++)
        if (set >> j & 1)
            places[count++] = j;
    for (size_t i = n; i-- > 0;) {
        if (places[i] == m - n + i)
            continue;
        places[i]++;
        for (size_t j = i + 1; j < n; j++)
            places[j] = places[j - 1] + 1;
        set = 0;
        for (size_t j = 0; j < n; j++)
            set |= (uint32_t)1 << places[j];
        return set;
    }
    return 0;
}

static void put_bits(uint8_t *bits, size_t at, uint32_t set, size_t m)
{
    for (size_t j = 0; j < m; j++)
        if (set >> j & 1)
            bits[(at + j) / 8] |= (uint8_t)(1 << (at + j) % 8);
}

/* All sets behind each other are one row, whose ranks are 0, 1, 2 ... */
static void check_ranks(size_t n, size_t m)
{
    const size_t base = (size_t)choose(n, m), K = base * m;
    uint8_t bits[256 * PARE_SPARSE_MOST / 8] = {0}, kept[256], back[sizeof bits];
    struct pare_sparse sparse = {.rows = 1, .columns = 1, .n = n, .m = m, .kept = kept};
    uint32_t set = (uint32_t)(((uint64_t)1 << n) - 1);
    uint64_t start[2];
    for (size_t g = 0; g < base; g++, set = next_set(set, n, m))
        put_bits(bits, g * m, set, m);
    cr_assert_eq(set, 0);
    const size_t digits = pare_sparse_digits(n, m);
    cr_assert_eq(pare_sparse_kept_bytes(&sparse, K), (base + digits - 1) / digits);
    pare_sparse_store_bits(&sparse, K, bits, kept);
    for (size_t g = 0; g < base; g++) {
        size_t value = kept[g / digits];
        for (size_t d = 0; d < g % digits; d++)
            value /= base;
        cr_assert_eq(value % base, g, "%zu:%zu, set %zu", n, m, g);
    }
    OK(pare_sparse_check(&sparse, 1, K, err));
    OK(pare_sparse_index(&sparse, 1, K, 4, start, err));
    cr_assert_eq(start[1], (base * n * 4 + 7) / 8);
    cr_assert_eq(pare_sparse_bits(&sparse, 0, K, back), base * n);
    cr_assert_eq(memcmp(bits, back, (K + 7) / 8), 0);
}

Test(sparse, sets_of_every_pattern_are_numbered_in_order)
{
    size_t patterns = 0;
    for (size_t m = 2; m <= PARE_SPARSE_MOST; m++)
        for (size_t n = 1; n < m; n++) {
            const uint64_t base = choose(n, m);
            size_t digits = 0;
            for (uint64_t power = base; power <= 256; power *= base)
                digits++;
            cr_assert_eq(pare_sparse_digits(n, m), digits, "%zu:%zu", n, m);
            if (!digits)
                continue;
            check_ranks(n, m);
            patterns++;
        }
    cr_assert(patterns > 40);
    cr_assert_eq(pare_sparse_digits(2, 4), 3);
}

Test(sparse, what_is_no_rank_is_refused)
{
    uint8_t kept[2] = {215, 35}; /* five groups of 2:4: three digits, two digits */
    const struct pare_sparse sparse = {
        .rows = 1, .columns = 1, .n = 2, .m = 4, .kept = kept};
    uint64_t start[2];
    struct pare_error found;
    OK(pare_sparse_index(&sparse, 1, 20, 8, start, err));
    kept[1] = 36;
    cr_assert_eq(pare_sparse_index(&sparse, 1, 20, 8, start, &found), PARE_ERR_INPUT);
    cr_assert(strstr(found.message, "byte 1 of row 0 is 36"), "%s", found.message);
    kept[1] = 0;
    kept[0] = 216;
    cr_assert_eq(pare_sparse_index(&sparse, 1, 20, 8, start, &found), PARE_ERR_INPUT);
    cr_assert(strstr(found.message, "below 216"), "%s", found.message);
}

Test(sparse, bits_behind_a_row_are_refused)
{
    uint8_t kept[4] = {0xFF, 0x0F, 0xFF, 0x1F}; /* two rows of twelve blocks */
    const struct pare_sparse sparse = {.rows = 1, .columns = 4, .kept = kept};
    uint64_t start[3];
    struct pare_error found;
    cr_assert_eq(pare_sparse_index(&sparse, 2, 48, 8, start, &found), PARE_ERR_INPUT);
    cr_assert(strstr(found.message, "row 1"), "%s", found.message);
    kept[3] = 0;
    OK(pare_sparse_index(&sparse, 2, 48, 3, start, err));
    cr_assert_eq(start[1], 12 * 4 * 3 / 8);
    cr_assert_eq(start[2], (12 + 8) * 4 * 3 / 8);
}

Test(sparse, strips_begin_with_a_byte)
{
    const uint8_t kept[3] = {1, 0, 7};
    const struct pare_sparse sparse = {.rows = 1, .columns = 1, .kept = kept};
    uint64_t start[4];
    OK(pare_sparse_index(&sparse, 3, 8, 3, start, err));
    cr_assert_eq(start[1], 1);
    cr_assert_eq(start[2], 1);
    cr_assert_eq(start[3], 3);
}

Test(sparse, what_cannot_be_is_refused)
{
    static const struct {
        struct pare_sparse sparse;
        size_t N, K;
        const char *phrase;
    } cases[] = {
        {{.rows = 0, .columns = 1}, 8, 8, "sides of"},
        {{.rows = 1, .columns = 3}, 8, 9, "sides of"},
        {{.rows = 64, .columns = 1}, 64, 8, "sides of"},
        {{.rows = 4, .columns = 1}, 6, 8, "do not divide"},
        {{.rows = 1, .columns = 16}, 6, 8, "do not divide"},
        {{.rows = 1, .columns = 1, .n = 0, .m = 4}, 8, 8, "by rank"},
        {{.rows = 1, .columns = 1, .n = 4, .m = 4}, 8, 8, "by rank"},
        {{.rows = 1, .columns = 1, .n = 2}, 8, 8, "by rank"},
        {{.rows = 1, .columns = 1, .n = 8, .m = 16}, 8, 16, "at most 256 ways"},
        {{.rows = 1, .columns = 1, .n = 1, .m = 33}, 8, 33, "by rank"},
        {{.rows = 1, .columns = 2, .n = 2, .m = 4}, 8, 8, "no blocks"},
        {{.rows = 1, .columns = 1, .n = 2, .m = 4}, 8, 6, "does not go with rows of 6"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pare_error err = {""};
        cr_expect_eq(pare_sparse_check(&cases[i].sparse, cases[i].N, cases[i].K, &err),
                     PARE_ERR_USAGE, "case %zu", i);
        cr_expect(strstr(err.message, cases[i].phrase), "case %zu: %s", i, err.message);
    }
}

/* With the 64 bytes behind the last value that may be read, and a guard behind them. */
Test(sparse, values_go_to_their_places_on_every_tier)
{
    uint64_t seed = 9;
    for (size_t n = 0; n <= 300; n++) {
        struct guarded bits = case_bytes(&seed, (n + 7) / 8);
        struct guarded values = case_bytes(&seed, n + 64);
        struct guarded out = guarded_new(n);
        const uint8_t *next = values.data, gap = (uint8_t)(n * 37), *mask = bits.data;
        uint8_t expected[300];
        size_t used = 0;
        for (size_t i = 0; i < n; i++)
            used += mask[i / 8] >> i % 8 & 1;
        next += n - used; /* so that the guard is right behind what may be read */
        for (size_t i = 0, at = 0; i < n; i++)
            expected[i] = mask[i / 8] >> i % 8 & 1 ? next[at++] : gap;
        for (int t = 0; pare_cpu_tier(t); t++) {
            memset(out.data, 0x55, n);
            pare_kernels_of(pare_cpu_tier(t))->expand_u8(out.data, next, mask, gap, n);
            cr_assert_eq(memcmp(out.data, expected, n), 0, "%s, %zu places",
                         pare_cpu_tier(t), n);
        }
        guarded_free(bits);
        guarded_free(values);
        guarded_free(out);
    }
}

/* --- Random bytes ------------------------------------------------------------------- */

/* A pattern of a matrix [N, 8 to 520]; in a third of the cases it may be none. */
static struct pare_sparse draw_pattern(uint64_t *seed, size_t *N, size_t *K)
{
    struct pare_sparse p = {.rows = 1, .columns = 1};
    *N = 1 + case_random(seed) % 4;
    *K = 8 * (1 + case_random(seed) % 65);
    switch (case_random(seed) % 3) {
    case 0:
        p.rows = (size_t)1 << case_random(seed) % 6;
        p.columns = (size_t)1 << case_random(seed) % 6;
        *N *= p.rows;
        break;
    case 1:
        p.m = (size_t)2 << case_random(seed) % 3;
        p.n = 1 + case_random(seed) % p.m;
        break;
    default:
        p.rows = case_random(seed) % 3;
        p.columns = case_random(seed) % 3;
        p.n = case_random(seed) % 34;
        p.m = case_random(seed) % 34;
    }
    return p;
}

/* Rows whose places and values, and nothing behind them, may be read. */
static void read_all(struct pare_sparse *p, size_t N, size_t K, int bits, uint64_t *seed)
{
    const uint64_t bytes = p->start[N / p->rows];
    struct guarded values = case_bytes(seed, bytes);
    struct guarded row = guarded_new(2 * K);
    uint32_t sets[256];
    if (p->m)
        pare_sparse_list_sets(p->n, p->m, sets);
    p->sets = p->m ? sets : NULL;
    for (size_t n = 0; n < N; n++) {
        const size_t k = 32 * (case_random(seed) % (K / 32 + 1));
        unsigned char *out = row.data;
        if (bits == 16)
            pare_sparse_row_f16(p, values.data, n, K, k, K - k,
                                (uint16_t *)(void *)(out + 2 * k));
        else
            pare_sparse_row_u8(p, values.data, bits, n, K, k, K - k, 3, out + K + k);
    }
    guarded_free(values);
    guarded_free(row);
}

Test(sparse, whatever_is_taken_can_be_read)
{
    uint64_t seed = 77;
    size_t refused = 0, taken = 0;
    for (int i = 0; i < 6000; i++) {
        static const int widths[] = {2, 3, 4, 5, 6, 7, 8, 16};
        const int bits = widths[case_random(&seed) % 8];
        size_t N, K;
        uint64_t start[129];
        struct pare_sparse p = draw_pattern(&seed, &N, &K);
        if (pare_sparse_check(&p, N, K, NULL) != PARE_OK) {
            refused++;
            continue;
        }
        struct guarded kept =
            case_bytes(&seed, N / p.rows * pare_sparse_kept_bytes(&p, K));
        p.kept = kept.data;
        p.start = start;
        if (pare_sparse_index(&p, N, K, bits, start, NULL) == PARE_OK) {
            taken++;
            read_all(&p, N, K, bits, &seed);
        }
        guarded_free(kept);
    }
    cr_assert(refused > 500);
    cr_assert(taken > 500, "%zu", taken);
}
