#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/parallel.h"
#include "runtime/tensor/tensor.h"

static struct pare_error err;

static uint32_t bits(float value)
{
    uint32_t result;
    memcpy(&result, &value, sizeof result);
    return result;
}

/* tests/data/blocks.bin, made by tests/golden/blocks.py with the gguf package. */
Test(blocks, encode_and_decode_as_the_gguf_package_does)
{
    char path[512];
    const char *data = getenv("PARE_TEST_DATA");
    snprintf(path, sizeof path, "%s/blocks.bin", data ? data : "tests/data");
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    unsigned char head[4];
    cr_assert_eq(fread(head, 1, 4, file), 4);
    size_t n = 32 * (size_t)pare_load_u32(head);
    float *x = malloc(4 * n), *decoded = malloc(4 * n), *expected = malloc(4 * n);
    unsigned char *encoded = malloc(4 * n), *golden = malloc(4 * n);
    cr_assert_eq(fread(x, 4, n, file), n);
    const enum pare_dtype types[] = {PARE_Q8_0, PARE_Q4_0, PARE_Q4_1, PARE_F16,
                                     PARE_BF16};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const struct pare_dtype_info *info = pare_dtype_info(types[t]);
        size_t bytes = n / info->block * info->block_bytes;
        cr_assert_eq(fread(golden, 1, bytes, file), bytes);
        cr_assert_eq(fread(expected, 4, n, file), n);
        pare_row_encode(types[t], x, encoded, n);
        for (size_t i = 0; i < bytes; i++)
            cr_assert_eq(encoded[i], golden[i], "%s byte %zu of block %zu: %d, not %d",
                         info->name, i % info->block_bytes, i / info->block_bytes,
                         encoded[i], golden[i]);
        pare_row_decode(types[t], golden, decoded, n);
        for (size_t i = 0; i < n; i++)
            cr_assert(bits(decoded[i]) == bits(expected[i]) ||
                          (decoded[i] == 0 && expected[i] == 0),
                      "%s value %zu: %.9g, not %.9g", info->name, i, (double)decoded[i],
                      (double)expected[i]);
    }
    cr_assert_eq(fread(head, 1, 1, file), 0);
    fclose(file);
    free(x);
    free(decoded);
    free(expected);
    free(encoded);
    free(golden);
}

Test(blocks, every_half_survives_a_round_trip_and_rounding_is_to_nearest_even)
{
    for (uint32_t h = 0; h < 0x7C00; h++) { /* the non-negative finite halves */
        float value = pare_f16_to_f32((uint16_t)h);
        int exponent = (int)(h >> 10);
        double exact =
            exponent ? ldexp(1024 + (h & 1023), exponent - 25) : ldexp(h & 1023, -24);
        cr_assert(value == exact);
        cr_assert_eq(pare_f32_to_f16(value), h);
        cr_assert_eq(pare_f32_to_f16(-value), h | 0x8000);
        cr_assert_eq(bits(pare_f16_to_f32((uint16_t)(h | 0x8000))), bits(-value));
        float next = h == 0x7BFF ? 65536.0f : pare_f16_to_f32((uint16_t)(h + 1));
        float middle = (value + next) / 2; /* exact */
        cr_assert_eq(pare_f32_to_f16(middle), h + (h & 1));
        cr_assert_eq(pare_f32_to_f16(nextafterf(middle, 0)), h);
        cr_assert_eq(pare_f32_to_f16(nextafterf(middle, 1e9f)), h + 1);
    }
    cr_assert_eq(pare_f32_to_f16(1e30f), 0x7C00);
    cr_assert_eq(pare_f32_to_f16(-INFINITY), 0xFC00);
    cr_assert(isnan(pare_f16_to_f32(pare_f32_to_f16(NAN))));
    cr_assert_eq(pare_f16_to_f32(0x7C00), INFINITY);
}

Test(blocks, every_half_decodes_the_same_alone_and_in_a_row)
{
    static uint16_t halves[65536];
    static float row[65536];
    for (uint32_t i = 0; i < 65536; i++)
        pare_store_u16(&halves[i], (uint16_t)i);
    pare_row_decode(PARE_F16, halves, row, 65536);
    for (uint32_t i = 0; i < 65536; i++)
        cr_assert_eq(bits(row[i]), bits(pare_f16_to_f32((uint16_t)i)), "%x", i);
    pare_row_decode(PARE_BF16, halves, row, 65536);
    for (uint32_t i = 0; i < 65536; i++)
        cr_assert_eq(bits(row[i]), bits(pare_bf16_to_f32((uint16_t)i)), "%x", i);
}

Test(blocks, bf16_rounds_to_nearest_even_and_keeps_nan)
{
    cr_assert_eq(pare_f32_to_bf16(1.0f), 0x3F80);
    uint32_t cases[][2] = {{0x3F808000, 0x3F80}, {0x3F818000, 0x3F82},
                           {0x3F808001, 0x3F81}, {0x3F807FFF, 0x3F80},
                           {0x7F7FFFFF, 0x7F80}, {0x7F800001, 0x7FC0},
                           {0xFF800000, 0xFF80}, {0x80000001, 0x8000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float value;
        memcpy(&value, &cases[i][0], 4);
        cr_expect_eq(pare_f32_to_bf16(value), cases[i][1], "%x", cases[i][0]);
    }
    for (uint32_t i = 0; i < 65536; i++)
        if (!isnan(pare_bf16_to_f32((uint16_t)i)))
            cr_assert_eq(pare_f32_to_bf16(pare_bf16_to_f32((uint16_t)i)), i);
}

Test(blocks, values_that_are_not_finite_do_no_harm)
{
    float x[32] = {NAN, INFINITY, -INFINITY, 1e38f, -1e38f, 1e-45f};
    unsigned char out[64];
    float back[32];
    const enum pare_dtype types[] = {PARE_Q8_0, PARE_Q4_0, PARE_Q4_1};
    for (size_t t = 0; t < 3; t++)
        for (int shift = 0; shift < 6; shift++) {
            for (int i = shift; i < 6; i++)
                x[i - shift] = x[i];
            pare_row_encode(types[t], x, out, 32);
            pare_row_decode(types[t], out, back, 32);
        }
}

Test(blocks, error_of_a_block_is_at_most_half_a_step)
{
    float x[32 * 50], back[32 * 50];
    unsigned char out[34 * 50];
    for (int i = 0; i < 32 * 50; i++)
        x[i] = (float)((i * 7919) % 2003 - 1001) / 137.0f;
    pare_row_encode(PARE_Q8_0, x, out, 32 * 50);
    pare_row_decode(PARE_Q8_0, out, back, 32 * 50);
    for (int b = 0; b < 50; b++) {
        float step = pare_f16_to_f32(pare_load_u16(out + 34 * b));
        for (int i = 0; i < 32; i++) {
            float scale_error = 127 * step * 0x1p-11f;
            cr_assert_leq(fabsf(back[32 * b + i] - x[32 * b + i]),
                          step / 2 + scale_error);
        }
    }
}

Test(blocks, a_tensor_decodes_alike_with_any_number_of_threads)
{
    size_t n = 32 * 20001;
    float *x = malloc(4 * n), *one = malloc(4 * n), *three = malloc(4 * n);
    unsigned char *q = malloc(n / 32 * 18);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i * 2654435761u % 1000) - 500.0f;
    pare_row_encode(PARE_Q4_0, x, q, n);
    struct pare_tensor tensor = {"w", PARE_Q4_0, 2, {20001, 32}, n / 32 * 18, q};
    pare_set_threads(1);
    cr_assert_eq(pare_tensor_decode(&tensor, one, &err), PARE_OK);
    pare_set_threads(3);
    cr_assert_eq(pare_tensor_decode(&tensor, three, &err), PARE_OK);
    cr_assert_eq(memcmp(one, three, 4 * n), 0);
    tensor.type = PARE_I64;
    cr_assert_eq(pare_tensor_decode(&tensor, one, &err), PARE_ERR_INPUT);
    cr_assert_str_eq(err.message,
                     "tensor w: values of type I64 cannot be read as numbers here");
    free(x);
    free(one);
    free(three);
    free(q);
}

Test(blocks, f64_is_rounded_and_f32_is_copied)
{
    double x[3] = {0.1, -1e300, 1e-60};
    unsigned char stored[24];
    float y[3];
    for (int i = 0; i < 3; i++)
        pare_store_f64(stored + 8 * i, x[i]);
    pare_row_decode(PARE_F64, stored, y, 3);
    cr_assert(y[0] == 0.1f && y[1] == -INFINITY && y[2] == 0.0f);
    pare_row_encode(PARE_F64, y, stored, 3);
    cr_assert_eq(pare_load_f64(stored), (double)0.1f);
    pare_row_encode(PARE_F32, y, stored + 1, 3);
    pare_row_decode(PARE_F32, stored + 1, y, 3);
    cr_assert_eq(y[0], 0.1f);
}

Test(blocks, types_are_found_by_number_and_by_name)
{
    cr_assert_str_eq(pare_dtype_name(PARE_BF16), "BF16");
    cr_assert_eq(pare_dtype_by_name("q8_0")->type, PARE_Q8_0);
    cr_assert_null(pare_dtype_by_name("q8"));
    cr_assert_null(pare_dtype_info((enum pare_dtype)4));
    cr_assert_null(pare_dtype_info((enum pare_dtype) - 1));
    cr_assert_str_eq(pare_dtype_name((enum pare_dtype)5), "unknown type");
}

Test(blocks, sizes_are_checked_for_overflow_and_whole_blocks)
{
    uint64_t bytes, big = (uint64_t)1 << 62;
    cr_assert_eq(pare_tensor_size(PARE_F32, 0, NULL, &bytes, &err), PARE_OK);
    cr_assert_eq(bytes, 4);
    cr_assert_eq(pare_tensor_size(PARE_Q4_0, 2, (uint64_t[]){3, 64}, &bytes, &err),
                 PARE_OK);
    cr_assert_eq(bytes, 108);
    cr_assert_eq(pare_tensor_size(PARE_F32, 2, (uint64_t[]){0, 5}, &bytes, &err),
                 PARE_OK);
    cr_assert_eq(bytes, 0);
    cr_assert_eq(pare_tensor_size(PARE_Q4_0, 1, (uint64_t[]){40}, &bytes, &err),
                 PARE_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "[40]: the last dimension"));
    uint64_t shapes[][3] = {
        {big, 4, 1}, {big, big, big}, {1, 1, big}, {0, big, big}, {2, UINT64_MAX - 1, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        cr_expect_eq(pare_tensor_size(PARE_F32, 3, shapes[i], &bytes, &err),
                     PARE_ERR_INPUT, "%zu", i);
    cr_assert_eq(pare_tensor_size((enum pare_dtype)4, 0, NULL, &bytes, &err),
                 PARE_ERR_INPUT);
    cr_assert_eq(pare_tensor_size(PARE_F32, 9, (uint64_t[9]){0}, &bytes, &err),
                 PARE_ERR_INPUT);
}

Test(blocks, shapes_are_printed_and_cut)
{
    char text[32];
    cr_assert_str_eq(pare_shape_text(2, (uint64_t[]){30522, 768}, text, sizeof text),
                     "[30522, 768]");
    cr_assert_str_eq(pare_shape_text(0, NULL, text, sizeof text), "[]");
    pare_shape_text(8, (uint64_t[8]){UINT64_MAX, UINT64_MAX}, text, 16);
    cr_assert_lt(strlen(text), 16);
    struct pare_tensor t = {"t", PARE_F32, 3, {2, 3, 4}, 96, NULL};
    cr_assert_eq(pare_tensor_elements(&t), 24);
    cr_assert_eq(pare_tensor_row(&t), 4);
    cr_assert_eq(pare_tensor_rows(&t), 6);
    t.n_dims = 0;
    cr_assert_eq(pare_tensor_row(&t), 1);
    cr_assert_eq(pare_tensor_rows(&t), 1);
}
