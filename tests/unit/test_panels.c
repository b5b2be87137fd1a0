/* Panels of stored rows: the values of decode_ of the same type, transposed. */
#include <criterion/criterion.h>

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
