/* Round to nearest: bounds that must hold for any matrix, and exact small cases. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "libquant/rtn.h"
#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"

#define N 37
#define K 2080 /* more than one chunk, a multiple of 32 */

struct matrix {
    float *W;
    unsigned char *data;
    float scale[N];
    struct pare_quant_error error;
};

/* Rows of very different sizes; row 3 is zero, row 5 subnormal, row 7 has one outlier. */
static struct matrix make_matrix(void)
{
    struct matrix m = {0};
    cr_assert_eq(pare_alloc(&m.W, N * K, sizeof(float), NULL), PARE_OK);
    cr_assert_eq(pare_alloc(&m.data, N * K, sizeof(float), NULL), PARE_OK);
    struct pare_rng rng = {.seed = 5};
    for (size_t n = 0; n < N; n++)
        for (size_t k = 0; k < K; k++) {
            float size = n == 3 ? 0 : n == 5 ? 1e-42f : ldexpf(1, (int)n - 26);
            m.W[n * K + k] = size * pare_rng_normal(&rng);
        }
    m.W[7 * K + 100] = 50;
    return m;
}

static void free_matrix(struct matrix *m)
{
    pare_free(m->W);
    pare_free(m->data);
}

static void quantize(struct matrix *m, enum pare_dtype type)
{
    struct pare_error err = {""};
    memset(&m->error, 0, sizeof m->error);
    cr_assert_eq(pare_rtn_quantize(type, &(struct pare_quant_rows){m->W, N, K, 0},
                                   m->data, type == PARE_I8 ? m->scale : NULL, &m->error,
                                   &err),
                 PARE_OK, "%s", err.message);
}

Test(rtn, int8_is_within_half_a_step_of_every_weight)
{
    struct matrix m = make_matrix();
    quantize(&m, PARE_I8);
    const int8_t *codes = (const int8_t *)m.data;
    for (size_t n = 0; n < N; n++)
        for (size_t k = 0; k < K; k++) {
            double w = m.W[n * K + k], s = m.scale[n];
            double difference = fabs(w - codes[n * K + k] * s);
            /* The scale's own rounding moves the ends of the range by a little. */
            cr_assert(difference <= s / 2 * (1 + 1e-5) + 127e-45, "row %zu: %g of %g", n,
                      difference, s);
        }
    free_matrix(&m);
}

Test(rtn, int8_scale_is_the_largest_magnitude_over_127_and_its_code_is_127)
{
    struct matrix m = make_matrix();
    quantize(&m, PARE_I8);
    const int8_t *codes = (const int8_t *)m.data;
    for (size_t n = 0; n < N; n++) {
        float largest = 0;
        int code = 0, top = 0;
        for (size_t k = 0; k < K; k++) {
            if (fabsf(m.W[n * K + k]) > largest) {
                largest = fabsf(m.W[n * K + k]);
                code = codes[n * K + k];
            }
            if (codes[n * K + k] == -128)
                top++;
        }
        cr_assert_eq(m.scale[n], largest / 127.0f);
        cr_assert_eq(top, 0);
        if (largest > 1e-37f)
            cr_assert_eq(abs(code), 127);
    }
    free_matrix(&m);
}

Test(rtn, int8_of_zeros_is_zero_with_scale_zero)
{
    struct matrix m = make_matrix();
    memset(m.data, 77, N * K);
    quantize(&m, PARE_I8);
    cr_assert_eq(m.scale[3], 0.0f);
    for (size_t k = 0; k < K; k++)
        cr_assert_eq(((int8_t *)m.data)[3 * K + k], 0);
    free_matrix(&m);
}

Test(rtn, int8_rounds_ties_to_even)
{
    const float W[] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f};
    const int8_t expected[] = {127, 0, 2, 2, 0, -2, -2, 126};
    int8_t codes[8];
    float scale;
    struct pare_quant_error error = {0};
    cr_assert_eq(pare_rtn_quantize(PARE_I8, &(struct pare_quant_rows){W, 1, 8, 0}, codes,
                                   &scale, &error, NULL),
                 PARE_OK);
    cr_assert_eq(scale, 1.0f);
    cr_assert_arr_eq(codes, expected, 8);
    cr_assert_eq(error.squared_error, 7 * 0.25);
    cr_assert_eq(error.largest, 0.5);
}

Test(rtn, the_error_figure_is_that_of_the_decoded_weights)
{
    const enum pare_dtype types[] = {PARE_Q8_0, PARE_Q4_0, PARE_Q4_1,
                                     PARE_F16,  PARE_BF16, PARE_F32};
    struct matrix m = make_matrix();
    float *decoded;
    cr_assert_eq(pare_alloc(&decoded, N * K, sizeof(float), NULL), PARE_OK);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        quantize(&m, types[t]);
        pare_row_decode(types[t], m.data, decoded, N * K);
        double squared = 0, weight = 0, largest = 0;
        for (size_t i = 0; i < N * K; i++) {
            double difference = fabs((double)m.W[i] - (double)decoded[i]);
            squared += difference * difference;
            weight += (double)m.W[i] * m.W[i];
            largest = difference > largest ? difference : largest;
        }
        cr_assert_float_eq(m.error.squared_error, squared, 1e-9 * squared + 1e-300);
        cr_assert_float_eq(m.error.squared_weight, weight, 1e-9 * weight);
        cr_assert_eq(m.error.largest, largest);
        cr_assert_float_eq(pare_quant_error_relative(&m.error), sqrt(squared / weight),
                           1e-9);
    }
    pare_free(decoded);
    free_matrix(&m);
}

Test(rtn, fewer_bits_make_a_larger_error)
{
    const enum pare_dtype types[] = {PARE_F32,  PARE_F16,  PARE_BF16,
                                     PARE_Q8_0, PARE_Q4_1, PARE_Q4_0};
    float W[8 * 512];
    unsigned char data[sizeof W];
    struct pare_rng rng = {.seed = 9};
    for (size_t i = 0; i < 8 * 512; i++)
        W[i] = 0.05f * pare_rng_normal(&rng);
    double last = -1;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        struct pare_quant_error error = {0};
        cr_assert_eq(pare_rtn_quantize(types[t], &(struct pare_quant_rows){W, 8, 512, 0},
                                       data, NULL, &error, NULL),
                     PARE_OK);
        double relative = pare_quant_error_relative(&error);
        cr_assert_gt(relative, last, "%s: %g after %g", pare_dtype_name(types[t]),
                     relative, last);
        last = relative;
    }
    cr_assert_lt(last, 0.12); /* 4 bits on a normal distribution */
}

Test(rtn, threads_and_slices_change_no_bit)
{
    const enum pare_dtype types[] = {PARE_I8, PARE_Q4_0};
    for (size_t t = 0; t < 2; t++) {
        struct matrix one = make_matrix(), many = make_matrix();
        const size_t row =
            K * pare_dtype_info(types[t])->block_bytes / pare_dtype_info(types[t])->block;
        pare_set_threads(1);
        quantize(&one, types[t]);
        pare_set_threads(5);
        size_t begin = 0;
        const size_t ends[] = {1, 16, 20, N};
        for (size_t s = 0; s < 4; begin = ends[s++])
            cr_assert_eq(
                pare_rtn_quantize(types[t],
                                  &(struct pare_quant_rows){many.W + begin * K,
                                                            ends[s] - begin, K, begin},
                                  many.data + begin * row, t ? NULL : many.scale + begin,
                                  &many.error, NULL),
                PARE_OK);
        cr_assert_arr_eq(one.data, many.data, N * row);
        cr_assert_arr_eq(one.scale, many.scale, sizeof one.scale);
        cr_assert_arr_eq(&one.error, &many.error, sizeof one.error);
        free_matrix(&one);
        free_matrix(&many);
    }
}

Test(rtn, a_weight_that_is_not_finite_is_named)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const enum pare_dtype types[] = {PARE_I8, PARE_Q8_0, PARE_Q4_1, PARE_F16};
    for (int b = 0; b < 3; b++)
        for (int t = 0; t < 4; t++) {
            struct matrix m = make_matrix();
            struct pare_error err = {""};
            m.W[20 * K + 9] = bad[b];
            cr_assert_eq(pare_rtn_quantize(types[t],
                                           &(struct pare_quant_rows){m.W, N, K, 1000},
                                           m.data, m.scale, &m.error, &err),
                         PARE_ERR_INPUT);
            cr_assert_str_eq(err.message, "row 1020, column 9 is not finite");
            free_matrix(&m);
        }
}

Test(rtn, what_is_beyond_f16_is_an_error_not_an_infinity)
{
    float W[64];
    unsigned char data[256];
    struct pare_quant_error error = {0};
    struct pare_error err = {""};
    for (int i = 0; i < 64; i++)
        W[i] = 1e5f;
    cr_assert_eq(pare_rtn_quantize(PARE_F16, &(struct pare_quant_rows){W, 2, 32, 0}, data,
                                   NULL, &error, &err),
                 PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "row 0 has values beyond the range of F16");
    W[40] = 1e8f; /* as a Q8_0 scale: 787401 */
    cr_assert_eq(pare_rtn_quantize(PARE_Q8_0, &(struct pare_quant_rows){W, 2, 32, 0},
                                   data, NULL, &error, &err),
                 PARE_ERR_INPUT);
    cr_assert_str_eq(err.message, "row 1 has values beyond the range of Q8_0");
}

Test(rtn, rows_that_do_not_fit_the_blocks_are_refused)
{
    float W[40] = {0};
    unsigned char data[160];
    struct pare_quant_error error = {0};
    cr_assert_eq(pare_rtn_quantize(PARE_Q4_0, &(struct pare_quant_rows){W, 1, 40, 0},
                                   data, NULL, &error, NULL),
                 PARE_ERR_USAGE);
    cr_assert_eq(pare_rtn_quantize(PARE_I32, &(struct pare_quant_rows){W, 1, 40, 0}, data,
                                   NULL, &error, NULL),
                 PARE_ERR_USAGE);
}
