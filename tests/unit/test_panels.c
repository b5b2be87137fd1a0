/* Panels of stored rows: the values of decode_ of the same type, transposed. */
#include <criterion/criterion.h>

#include "runtime/tensor/decode_panel.h"
#include "tests/support/kernel_cases.h"

typedef void decode_fn(float *y, const void *x, size_t n);

struct form {
    const char *name;
    pare_panel_fn *panel;
    decode_fn *decode;
    size_t block, bytes;
};

/* Of a tier, beside the decoding of the scalar one. */
#define FORMS 5
static void forms_of(const struct pare_kernels *k, struct form out[FORMS])
{
    const struct pare_kernels *plain = pare_kernels_of("scalar");
    const struct form forms[FORMS] = {
        {"F16", k->panel_f16, plain->decode_f16, 1, 2},
        {"BF16", k->panel_bf16, plain->decode_bf16, 1, 2},
        {"Q8_0", k->panel_q8_0, plain->decode_q8_0, 32, 34},
        {"Q4_0", k->panel_q4_0, plain->decode_q4_0, 32, 18},
        {"Q4_1", k->panel_q4_1, plain->decode_q4_1, 32, 20},
    };
    memcpy(out, forms, sizeof forms);
}

static int same(float a, float b)
{
    return !memcmp(&a, &b, sizeof a) || (a != a && b != b);
}

/* Rows of n values, of random bytes, so with scales that are not finite too; one column
 * more than there are rows, which stays as it is. */
static void check(const struct form *form, size_t rows, size_t n, const char *tier)
{
    const size_t bytes = n / form->block * form->bytes, stride = bytes + rows % 4;
    const size_t width = rows + 1;
    uint64_t seed = rows * n;
    struct guarded from = case_bytes(&seed, (rows - 1) * stride + bytes);
    struct guarded to = guarded_new(n * width * sizeof(float));
    float *panel = to.data, *row = malloc(n * sizeof *row);
    for (size_t k = 0; k < n; k++)
        panel[k * width + rows] = (float)k;
    form->panel(panel, width, from.data, stride, rows, n);
    for (size_t i = 0; i < rows; i++) {
        form->decode(row, (const unsigned char *)from.data + i * stride, n);
        for (size_t k = 0; k < n; k++)
            cr_assert(same(panel[k * width + i], row[k]),
                      "%s %s, %zu rows of %zu: value %zu of row %zu is %g, expected %g",
                      tier, form->name, rows, n, k, i, (double)panel[k * width + i],
                      (double)row[k]);
    }
    for (size_t k = 0; k < n; k++)
        cr_assert_eq(panel[k * width + rows], (float)k, "%s %s: %zu rows", tier,
                     form->name, rows);
    free(row);
    guarded_free(from);
    guarded_free(to);
}

Test(panels, hold_the_decoded_values_of_every_row_and_touch_no_other_column)
{
    static const size_t heights[] = {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 50};
    static const size_t lengths[] = {1, 2, 31, 33, 63, 32, 64, 96, 256, 288, 544};
    struct form forms[FORMS];
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        forms_of(pare_kernels_of(pare_cpu_tier(tier)), forms);
        for (size_t f = 0; f < FORMS; f++)
            for (size_t h = 0; h < sizeof heights / sizeof *heights; h++)
                for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
                    if (lengths[l] % forms[f].block == 0)
                        check(&forms[f], heights[h], lengths[l], pare_cpu_tier(tier));
    }
}

Test(panels, every_half_is_the_same_number_in_either_half_of_a_word)
{
    enum { COUNT = 65536 };
    static unsigned char rows[2][2 * (COUNT + 1)];
    static float panel[(COUNT + 1) * 2], expected[COUNT];
    struct form forms[FORMS];
    for (size_t i = 0; i < COUNT; i++)
        for (size_t r = 0; r < 2; r++) {
            rows[r][2 * (i + r)] = (unsigned char)i;
            rows[r][2 * (i + r) + 1] = (unsigned char)(i >> 8);
        }
    for (int tier = 0; pare_cpu_tier(tier); tier++) {
        forms_of(pare_kernels_of(pare_cpu_tier(tier)), forms);
        for (size_t f = 0; f < 2; f++) {
            forms[f].decode(expected, rows[0], COUNT);
            forms[f].panel(panel, 2, rows, sizeof rows[0], 2, COUNT + 1);
            for (size_t i = 0; i < COUNT; i++)
                cr_assert(same(panel[2 * i], expected[i]) &&
                              same(panel[2 * (i + 1) + 1], expected[i]),
                          "%s %s: %zx", pare_cpu_tier(tier), forms[f].name, i);
        }
    }
}

Test(panels, of_codes_hold_scale_times_code_less_offset)
{
    enum { ROWS = 37, COUNT = 76, STRIDE = 90 };
    uint64_t seed = 11;
    struct guarded codes = case_bytes(&seed, (ROWS - 1) * STRIDE + COUNT);
    struct guarded scale = case_floats(&seed, ROWS, CASE_PLAIN);
    struct guarded offset = case_floats(&seed, ROWS, CASE_PLAIN);
    const uint8_t *q = codes.data;
    const float *s = scale.data, *o = offset.data;
    static float panel[COUNT * (ROWS + 1)];
    for (int tier = 0; pare_cpu_tier(tier); tier++)
        for (size_t rows = 1; rows <= ROWS; rows++) {
            const size_t width = rows + 1;
            const int zero = (int)rows % 33;
            memset(panel, 0, sizeof panel);
            /* the last rows, so that what lies behind them is out of bounds */
            const size_t first = ROWS - rows;
            pare_kernels_of(pare_cpu_tier(tier))
                ->panel_codes(panel, width, q + first * STRIDE, STRIDE, rows, COUNT,
                              s + first, zero, o + first);
            for (size_t i = 0; i <= rows; i++)
                for (size_t k = 0; k < COUNT; k++) {
                    float expected = 0;
                    if (i < rows) {
                        const float product =
                            s[first + i] * (float)(q[(first + i) * STRIDE + k] - zero);
                        expected = product - o[first + i];
                    }
                    cr_assert_eq(panel[k * width + i], expected, "%s: row %zu of %zu",
                                 pare_cpu_tier(tier), i, rows);
                }
        }
    guarded_free(codes);
    guarded_free(scale);
    guarded_free(offset);
}

Test(panels, of_a_weight_are_its_rows)
{
    static const enum pare_dtype types[] = {PARE_F16,  PARE_BF16, PARE_Q8_0,  PARE_Q4_0,
                                            PARE_Q4_1, PARE_Q2_K, PARE_Q3_K,  PARE_Q4_K,
                                            PARE_Q5_K, PARE_Q6_K, PARE_TQ1_0, PARE_TQ2_0};
    enum { N = 41, K = 768, AT = 256, KC = 512 };
    static float panel[KC * 64], row[K];
    for (int tier = 0; pare_cpu_tier(tier); tier++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            const struct pare_dtype_info *info = pare_dtype_info(types[t]);
            const struct pare_kernels *k = pare_kernels_of(pare_cpu_tier(tier));
            const size_t nr = (size_t)k->gemm_f32.nr;
            uint64_t seed = t;
            struct guarded data =
                case_bytes(&seed, N * K / info->block * info->block_bytes);
            const struct pare_weight weight = {
                .type = types[t], .N = N, .K = K, .data = data.data};
            for (size_t column = 0; column < N; column += nr) {
                const size_t n = N - column < nr ? N - column : nr;
                memset(panel, 0xff, sizeof panel);
                pare_decode_panel(k, &weight, nr, panel, column, n, AT, KC);
                for (size_t j = 0; j < nr; j++) {
                    memset(row, 0, sizeof row);
                    if (j < n)
                        pare_weight_row(&weight, column + j, row);
                    for (size_t i = 0; i < KC; i++)
                        cr_assert(same(panel[i * nr + j], row[AT + i]),
                                  "%s %s: value %zu of row %zu is %g, expected %g",
                                  k->tier, info->name, AT + i, column + j,
                                  (double)panel[i * nr + j], (double)row[AT + i]);
                }
            }
            guarded_free(data);
        }
}
