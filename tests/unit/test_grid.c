/* Grids of few bits in groups: against numpy, and what must hold for any matrix. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libquant/grid.h"
#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"
#include "runtime/kernels/kernels.h"
#include "runtime/tensor/linear.h"

/* Room for the stored form of a matrix, and what was made of it. */
struct made {
    size_t N, K, groups;
    float *values;
    struct pare_grid_codes codes;
    struct pare_quant_error error;
};

static struct made made_new(const struct pare_grid *grid, size_t N, size_t K)
{
    struct made m = {.N = N, .K = K, .groups = N * (K / pare_grid_group(grid, K))};
    m.values = malloc(N * K * sizeof(float));
    m.codes.codes = malloc(N * K);
    m.codes.scale = malloc(2 * m.groups);
    m.codes.zero = grid->asymmetric ? malloc(m.groups) : NULL;
    return m;
}

static void made_free(struct made *m)
{
    free(m->values);
    free(m->codes.codes);
    free(m->codes.scale);
    free(m->codes.zero);
}

static struct made make(const struct pare_grid *grid, const float *W, size_t N, size_t K)
{
    struct made m = made_new(grid, N, K);
    struct pare_error err = {""};
    pare_grid_round(grid, W, N, K, m.values);
    cr_assert_eq(pare_grid_store(grid, &(struct pare_quant_rows){W, N, K, 0}, &m.codes,
                                 &m.error, &err),
                 PARE_OK, "%s", err.message);
    return m;
}

static float *random_matrix(size_t N, size_t K)
{
    float *W = malloc(N * K * sizeof *W);
    struct pare_rng rng = {.seed = 7};
    for (size_t i = 0; i < N * K; i++)
        W[i] = ldexpf(pare_rng_normal(&rng), (int)(i / K % 23) - 11);
    return W;
}

/* --- Against numpy --- */

static FILE *open_golden(uint32_t head[3])
{
    char path[512];
    unsigned char bytes[12];
    snprintf(path, sizeof path, "%s/grid.bin", getenv("PARE_TEST_DATA"));
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fread(bytes, 1, 12, file), 12);
    for (int i = 0; i < 3; i++)
        head[i] = pare_load_u32(bytes + 4 * i);
    return file;
}

static struct pare_grid read_grid(FILE *file)
{
    unsigned char bytes[16];
    cr_assert_eq(fread(bytes, 1, 16, file), 16);
    return (struct pare_grid){.bits = (int)pare_load_u32(bytes),
                              .group = pare_load_u32(bytes + 4),
                              .asymmetric = (int)pare_load_u32(bytes + 8),
                              .ternary = (int)pare_load_u32(bytes + 12)};
}

/* The next bytes of the golden file are those. */
static void same_bytes(FILE *file, const void *found, size_t bytes, const char *what,
                       const struct pare_grid *grid)
{
    unsigned char *expected = malloc(bytes);
    cr_assert_eq(fread(expected, 1, bytes, file), bytes);
    for (size_t i = 0; i < bytes; i++)
        cr_assert_eq(((const unsigned char *)found)[i], expected[i],
                     "%s, %d bits, group %zu, asymmetric %d, ternary %d: byte %zu", what,
                     grid->bits, grid->group, grid->asymmetric, grid->ternary, i);
    free(expected);
}

/* tests/data/grid.bin, made by tests/golden/grid.py. */
Test(grid, values_codes_and_scales_are_those_of_numpy_on_every_tier)
{
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        uint32_t head[3];
        FILE *file = open_golden(head);
        const size_t N = head[0], K = head[1];
        float *W = malloc(N * K * sizeof *W);
        cr_assert_eq(fread(W, sizeof *W, N * K, file), N * K);
        cr_assert_eq(pare_cpu_select(pare_cpu_tier(tier), NULL), PARE_OK);
        for (uint32_t g = 0; g < head[2]; g++) {
            const struct pare_grid grid = read_grid(file);
            struct made m = make(&grid, W, N, K);
            same_bytes(file, m.values, N * K * sizeof(float), "values", &grid);
            same_bytes(file, m.codes.codes, N * pare_codes_bytes(grid.bits, K), "codes",
                       &grid);
            same_bytes(file, m.codes.scale, 2 * m.groups, "scales", &grid);
            if (grid.asymmetric)
                same_bytes(file, m.codes.zero, m.groups, "zero points", &grid);
            made_free(&m);
        }
        cr_assert_eq(fgetc(file), EOF);
        fclose(file);
        free(W);
    }
}

/* --- What is stored is what was rounded --- */

static const struct pare_grid grids[] = {
    {.bits = 2, .group = 32},
    {.bits = 3, .group = 64, .asymmetric = 1},
    {.bits = 4, .group = 32},
    {.bits = 4, .group = 160, .asymmetric = 1},
    {.bits = 5},
    {.bits = 6, .group = 1120},
    {.bits = 7, .group = 64},
    {.bits = 8, .group = 32, .asymmetric = 1},
    {.bits = 8},
    {.bits = 2, .ternary = 1},
    {.bits = 2, .group = 32, .ternary = 1},
};
#define GRIDS (sizeof grids / sizeof *grids)

#define ROWS 53
#define WIDTH 2240 /* more than one piece; 32 * 70 */

static struct pare_weight weight_of(const struct pare_grid *grid, const struct made *m)
{
    return (struct pare_weight){.type = PARE_I8,
                                .N = m->N,
                                .K = m->K,
                                .data = m->codes.codes,
                                .groups = {grid->bits, pare_grid_group(grid, m->K),
                                           m->codes.scale, m->codes.zero}};
}

Test(grid, a_stored_row_decodes_to_the_rounded_values_bit_for_bit)
{
    float *W = random_matrix(ROWS, WIDTH), row[WIDTH];
    for (size_t g = 0; g < GRIDS; g++) {
        struct made m = make(&grids[g], W, ROWS, WIDTH);
        const struct pare_weight weight = weight_of(&grids[g], &m);
        double squared = 0;
        for (size_t n = 0; n < ROWS; n++) {
            pare_weight_row(&weight, n, row);
            cr_assert_eq(memcmp(row, m.values + n * WIDTH, sizeof row), 0, "grid %zu", g);
            for (size_t k = 0; k < WIDTH; k++)
                squared += pow((double)W[n * WIDTH + k] - (double)row[k], 2);
        }
        cr_assert_float_eq(m.error.squared_error, squared, 1e-9 * squared);
        made_free(&m);
    }
    free(W);
}

Test(grid, codes_of_any_length_survive_their_stream)
{
    static const int bits[] = {2, 3, 4, 5, 6, 7, 8};
    uint8_t codes[81], back[81];
    unsigned char stream[82];
    struct pare_rng rng = {.seed = 3};
    for (int b = 0; b < 7; b++)
        for (size_t n = 0; n <= 80; n++) {
            for (size_t i = 0; i < n; i++)
                codes[i] = (uint8_t)pare_rng_below(&rng, (uint64_t)1 << bits[b]);
            const size_t bytes = pare_codes_bytes(bits[b], n);
            memset(stream, 0xA5, sizeof stream);
            pare_codes_pack(bits[b], codes, stream, n);
            cr_assert_eq(stream[bytes], 0xA5, "%d bits: a byte too many", bits[b]);
            for (size_t i = 0; i < n * (size_t)bits[b]; i++) /* the definition */
                cr_assert_eq(stream[i / 8] >> i % 8 & 1,
                             codes[i / (size_t)bits[b]] >> i % (size_t)bits[b] & 1);
            memset(back, 0xA5, sizeof back);
            pare_codes_unpack(bits[b], stream, back, n);
            cr_assert_eq(memcmp(codes, back, n), 0);
            cr_assert_eq(back[n], 0xA5);
        }
}

/* --- Properties --- */

Test(grid, rounding_a_symmetric_grid_again_changes_no_bit)
{
    float *W = random_matrix(ROWS, WIDTH);
    for (size_t g = 0; g < GRIDS; g++) {
        if (grids[g].ternary || grids[g].asymmetric)
            continue;
        struct made m = make(&grids[g], W, ROWS, WIDTH);
        float *again = malloc(ROWS * WIDTH * sizeof *again);
        pare_grid_round(&grids[g], m.values, ROWS, WIDTH, again);
        for (size_t i = 0; i < ROWS * WIDTH; i++) /* the sign of a zero may change */
            cr_assert_eq(again[i], m.values[i], "grid %zu: %g, then %g", g,
                         (double)m.values[i], (double)again[i]);
        made_free(&m);
        free(again);
    }
    free(W);
}

Test(grid, every_weight_is_within_half_a_step_unless_it_is_beyond_the_end)
{
    float *W = random_matrix(ROWS, WIDTH);
    for (size_t g = 0; g < GRIDS; g++) {
        const struct pare_grid *grid = &grids[g];
        struct made m = make(grid, W, ROWS, WIDTH);
        const size_t group = pare_grid_group(grid, WIDTH);
        const int top = (1 << grid->bits) - 1;
        for (size_t i = 0; i < ROWS * WIDTH; i++) {
            const size_t at = i / group;
            double s = pare_f16_to_f32(pare_load_u16(m.codes.scale + 2 * at));
            int zero = m.codes.zero ? m.codes.zero[at] : 1 << (grid->bits - 1);
            double low = s * (grid->ternary - zero), high = s * (top - zero);
            double w = fmin(fmax(W[i], fmin(low, high)), fmax(low, high));
            cr_assert_leq(fabs(w - (double)m.values[i]), fabs(s) * 0.50001,
                          "grid %zu: %g became %g, a step is %g", g, (double)W[i],
                          (double)m.values[i], s);
        }
        made_free(&m);
    }
    free(W);
}

Test(grid, more_bits_and_smaller_groups_make_a_smaller_error)
{
    float *W = malloc(64 * 1024 * sizeof *W);
    struct pare_rng rng = {.seed = 9};
    for (size_t i = 0; i < 64 * 1024; i++)
        W[i] = 0.05f * pare_rng_normal(&rng);
    static const int bits[] = {2, 3, 4, 5, 6, 7, 8};
    static const size_t groups[] = {0, 128, 32};
    for (int asymmetric = 0; asymmetric < 2; asymmetric++) {
        double last[3] = {1, 1, 1};
        for (int b = 0; b < 7; b++)
            for (int g = 0; g < 3; g++) {
                const struct pare_grid grid = {
                    .bits = bits[b], .group = groups[g], .asymmetric = asymmetric};
                struct made m = make(&grid, W, 64, 1024);
                double error = pare_quant_error_relative(&m.error);
                cr_assert_lt(error, last[g], "%d bits", bits[b]);
                cr_assert(!g || error < last[g - 1], "%d bits, group %zu", bits[b],
                          groups[g]);
                last[g] = error;
                made_free(&m);
            }
    }
    free(W);
}

Test(grid, ternary_is_the_mean_magnitude_of_the_whole_matrix_in_any_slices)
{
    float *W = random_matrix(ROWS, WIDTH);
    const struct pare_grid grid = {.bits = 2, .ternary = 1};
    double sum = 0, plain = 0;
    for (size_t n = 0; n < ROWS; n += 10)
        pare_grid_magnitude(W + n * WIDTH, ROWS - n < 10 ? ROWS - n : 10, WIDTH, &sum);
    for (size_t i = 0; i < ROWS * WIDTH; i++)
        plain += fabs((double)W[i]);
    cr_assert_float_eq(sum, plain, 1e-6 * plain);
    struct pare_grid given = grid;
    given.mean = (float)(sum / (ROWS * WIDTH));
    struct made whole = make(&grid, W, ROWS, WIDTH),
                slices = made_new(&grid, ROWS, WIDTH);
    for (size_t n = 0; n < ROWS; n += 10)
        pare_grid_round(&given, W + n * WIDTH, ROWS - n < 10 ? ROWS - n : 10, WIDTH,
                        slices.values + n * WIDTH);
    cr_assert_eq(memcmp(whole.values, slices.values, ROWS * WIDTH * sizeof(float)), 0);
    const float s = pare_f16_to_f32(pare_f32_to_f16(given.mean));
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        const float t = rintf(fminf(fmaxf(W[i] / s, -1), 1)); /* equation 2 */
        cr_assert(whole.values[i] == s * t || fabsf(fabsf(W[i] / s) - 0.5f) < 1e-6f);
    }
    made_free(&whole);
    made_free(&slices);
    free(W);
}

Test(grid, threads_change_no_bit_and_a_matrix_may_be_rounded_in_place)
{
    static const int threads[] = {1, 2, 3, 7};
    float *W = random_matrix(ROWS, WIDTH), *copy = malloc(ROWS * WIDTH * sizeof *copy);
    for (size_t g = 0; g < GRIDS; g++) {
        pare_set_threads(1);
        struct made one = make(&grids[g], W, ROWS, WIDTH);
        for (int t = 1; t < 4; t++) {
            pare_set_threads(threads[t]);
            struct made many = make(&grids[g], W, ROWS, WIDTH);
            cr_assert_eq(memcmp(one.values, many.values, ROWS * WIDTH * sizeof(float)),
                         0);
            cr_assert_eq(memcmp(one.codes.codes, many.codes.codes,
                                ROWS * pare_codes_bytes(grids[g].bits, WIDTH)),
                         0);
            cr_assert_eq(memcmp(&one.error, &many.error, sizeof one.error), 0);
            made_free(&many);
        }
        memcpy(copy, W, ROWS * WIDTH * sizeof *copy);
        pare_grid_round(&grids[g], copy, ROWS, WIDTH, copy);
        cr_assert_eq(memcmp(one.values, copy, ROWS * WIDTH * sizeof(float)), 0);
        made_free(&one);
    }
    free(W);
    free(copy);
}

/* --- What has no place on a grid --- */

Test(grid, what_is_not_finite_is_named_when_stored_and_nan_when_rounded)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct pare_error err;
    for (int b = 0; b < 3; b++)
        for (size_t g = 0; g < GRIDS; g++) {
            float *W = random_matrix(ROWS, WIDTH);
            struct made m = made_new(&grids[g], ROWS, WIDTH);
            W[20 * WIDTH + 9] = bad[b];
            const struct pare_quant_rows rows = {W, ROWS, WIDTH, 1000};
            cr_assert_eq(pare_grid_store(&grids[g], &rows, &m.codes, &m.error, &err),
                         PARE_ERR_INPUT);
            if (!grids[g].ternary || grids[g].group) /* else all rows are spoilt */
                cr_assert_str_eq(err.message, "row 1020, column 9 is not finite");
            pare_grid_round(&grids[g], W, ROWS, WIDTH, m.values);
            const size_t group = pare_grid_group(&grids[g], WIDTH);
            for (size_t k = 0; k < group; k++)
                cr_assert(isnan(m.values[20 * WIDTH + k]), "grid %zu", g);
            cr_assert(!!isnan(m.values[0]) == (grids[g].ternary && !grids[g].group));
            made_free(&m);
            free(W);
        }
}

Test(grid, a_scale_beyond_half_precision_is_an_error_not_an_infinity)
{
    float W[2 * 32] = {[40] = 1e6f}, out[2 * 32];
    static const struct pare_grid some[] = {
        {.bits = 4}, {.bits = 3, .asymmetric = 1}, {.bits = 2, .group = 32}};
    struct pare_error err;
    for (int g = 0; g < 3; g++) {
        struct made m = made_new(&some[g], 2, 32);
        const struct pare_quant_rows rows = {W, 2, 32, 0};
        cr_assert_eq(pare_grid_store(&some[g], &rows, &m.codes, &m.error, &err),
                     PARE_ERR_INPUT);
        cr_assert_str_eq(err.message,
                         "row 1 has values beyond the range of a half-precision scale");
        pare_grid_round(&some[g], W, 2, 32, out);
        cr_assert(out[31] == 0 && isnan(out[32]) && isnan(out[63]));
        made_free(&m);
    }
}

static void refused(struct pare_grid grid, size_t columns, const char *phrase)
{
    struct pare_error err = {""};
    cr_assert_eq(pare_grid_check(&grid, columns, &err), PARE_ERR_USAGE);
    cr_assert(strstr(err.message, phrase), "%s", err.message);
}

Test(grid, grids_that_do_not_exist_are_refused)
{
    refused((struct pare_grid){.bits = 1}, 64, "codes of 1 bits");
    refused((struct pare_grid){.bits = 9}, 64, "codes of 9 bits");
    refused((struct pare_grid){.bits = 4, .group = 48}, 96, "groups of 48");
    refused((struct pare_grid){.bits = 4, .group = 64}, 96, "groups of 64");
    refused((struct pare_grid){.bits = 3}, 9, "a row of 9 codes of 3 bits");
    refused((struct pare_grid){.bits = 4}, 65536, "at most 32768");
    refused((struct pare_grid){.bits = 4, .ternary = 1}, 64, "ternary");
    refused((struct pare_grid){.bits = 2, .asymmetric = 1, .ternary = 1}, 64, "ternary");
    cr_assert_eq(pare_grid_check(&(struct pare_grid){.bits = 3}, 24, NULL), PARE_OK);
}
