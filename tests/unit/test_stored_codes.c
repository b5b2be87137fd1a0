/* Containers with weights in groups: what is read, and what is refused. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/rng.h"
#include "tests/support/stored_parts.h"

/* tiny-distilbert: hidden 32, feed-forward 48. The matrix that is stored as codes: */
#define WEIGHT "blk.0.attn_q.weight"
#define N 32
#define K 32

static struct folder folder;
static struct pare_stored from; /* the checkpoint as it is */

static void begin(void)
{
    char path[1024];
    struct pare_error err = {""};
    snprintf(path, sizeof path, "%s/tiny-distilbert", getenv("PARE_TEST_DATA"));
    folder = folder_make();
    cr_assert_eq(pare_stored_open(path, NULL, &from, &err), PARE_OK, "%s", err.message);
}

static void end(void)
{
    pare_stored_close(&from);
    folder_remove(&folder);
}

/* A container in which WEIGHT is left out and these stand instead. */
#define MOST 4
struct parts {
    int count, keep; /* keep: WEIGHT is there too */
    struct pare_tensor tensor[MOST];
    unsigned char data[MOST][4096];
};

static struct pare_tensor *add(struct parts *parts, const char *name,
                               enum pare_dtype type, uint64_t rows, uint64_t columns)
{
    struct pare_tensor *tensor = &parts->tensor[parts->count];
    *tensor = (struct pare_tensor){.name = name,
                                   .type = type,
                                   .n_dims = 2,
                                   .shape = {rows, columns},
                                   .data = parts->data[parts->count]};
    cr_assert_eq(pare_tensor_size(type, 2, tensor->shape, &tensor->bytes, NULL), PARE_OK);
    parts->count++;
    return tensor;
}

/* Random codes of 4 bits, one scale a row, and zero points. */
static void make_good(struct parts *parts)
{
    struct pare_rng rng = {.seed = 4};
    *parts = (struct parts){0};
    add(parts, WEIGHT "_codes", PARE_I8, N, K / 2);
    add(parts, WEIGHT "_scale", PARE_F16, N, 1);
    add(parts, WEIGHT "_zero", PARE_I8, N, 1);
    for (size_t i = 0; i < N * K / 2; i++)
        parts->data[0][i] = (unsigned char)pare_rng_next(&rng);
    for (size_t n = 0; n < N; n++) {
        pare_store_u16(parts->data[1] + 2 * n, pare_f32_to_f16(0.01f * (float)n - 0.1f));
        parts->data[2][n] = (unsigned char)(n % 16);
    }
}

static const char *write_parts(const struct parts *parts)
{
    const char *path = folder_path(&folder, "m.gguf");
    stored_write(&from, parts->keep ? NULL : WEIGHT, parts->tensor, parts->count, path);
    return path;
}

Test(stored_codes, codes_scales_and_zero_points_are_the_weights_they_stand_for)
{
    begin();
    struct parts parts;
    struct pare_stored stored;
    struct pare_error err = {""};
    char form[PARE_FORM_SIZE];
    make_good(&parts);
    cr_assert_eq(pare_stored_open(write_parts(&parts), NULL, &stored, &err), PARE_OK,
                 "%s", err.message);
    const size_t i = stored_slot(&stored, WEIGHT);
    const struct pare_weight weight = pare_stored_weight(&stored, i);
    cr_assert_eq(weight.groups.bits, 4);
    cr_assert_eq(weight.groups.size, K);
    cr_assert_str_eq(pare_weight_form(&weight, form), "int4/32z");
    cr_assert_eq(pare_weight_bytes(&weight), N * (K / 2 + 3));
    cr_assert_str_eq(stored.tensors[i]->name, WEIGHT "_codes");
    cr_assert_eq(pare_codes_slot(stored.ckpt, &stored.plan, stored.tensors[i], form),
                 &stored.plan.slots[i]);
    cr_assert_null(pare_codes_slot(stored.ckpt, &stored.plan, stored.scales[i], form));
    for (size_t n = 0; n < N; n++) {
        float row[K];
        pare_weight_row(&weight, n, row);
        const float s = pare_f16_to_f32(pare_load_u16(parts.data[1] + 2 * n));
        for (size_t k = 0; k < K; k++) {
            const int byte = parts.data[0][n * K / 2 + k / 2];
            const int q = k % 2 ? byte >> 4 : byte & 15;
            cr_assert_eq(row[k], s * (float)(q - (int)(n % 16)));
        }
    }
    pare_stored_close(&stored);

    /* Without zero points 8 means 0; and the model opens. */
    parts.count = 2;
    cr_assert_eq(pare_stored_open(write_parts(&parts), NULL, &stored, &err), PARE_OK,
                 "%s", err.message);
    const struct pare_weight even = pare_stored_weight(&stored, i);
    float row[K];
    pare_weight_row(&even, 3, row);
    cr_assert_eq(row[0], pare_f16_to_f32(pare_load_u16(parts.data[1] + 6)) *
                             (float)((parts.data[0][3 * K / 2] & 15) - 8));
    cr_assert_str_eq(pare_weight_form(&even, form), "int4/32");
    pare_stored_close(&stored);
    struct pare_model *model;
    cr_assert_eq(pare_model_open(folder_path(&folder, "m.gguf"), PARE_PRECISION_FP32,
                                 &model, &err),
                 PARE_OK, "%s", err.message);
    pare_model_free(model);
    end();
}

static void refused(const struct parts *parts, const char *message)
{
    stored_refused(write_parts(parts), message);
}

Test(stored_codes, tensors_that_do_not_fit_together_are_refused)
{
    begin();
    struct parts parts;
    make_good(&parts);
    parts.keep = 1;
    refused(&parts,
            "tensors " WEIGHT " and " WEIGHT "_codes are one weight in two forms");
    make_good(&parts);
    parts.count = 1;
    refused(&parts, "tensor " WEIGHT "_codes has codes, but its scales " WEIGHT
                    "_scale are missing");
    make_good(&parts);
    parts.keep = 1;
    parts.tensor[0] = parts.tensor[2];
    parts.count = 1;
    refused(&parts,
            "tensor " WEIGHT "_zero does not belong to a distilbert of this config");
    make_good(&parts);
    add(&parts, "blk.0.attn_q.bias_codes", PARE_I8, 1, 32);
    refused(&parts, "tensor blk.0.attn_q.bias_codes does not belong to a distilbert of "
                    "this config");
    make_good(&parts);
    parts.tensor[0].type = PARE_F16, parts.tensor[0].shape[1] = 8;
    refused(&parts, "tensor " WEIGHT "_codes is F16, expected I8");
    make_good(&parts);
    parts.tensor[1].type = PARE_F32, parts.tensor[1].bytes *= 2;
    refused(&parts, "tensor " WEIGHT "_scale is F32, expected F16");
    make_good(&parts);
    parts.tensor[2].type = PARE_I16, parts.tensor[2].bytes *= 2;
    refused(&parts, "tensor " WEIGHT "_zero is I16, expected I8");
    end();
}

/* Another shape for one of the good parts. */
static void reshaped(int which, int n_dims, uint64_t rows, uint64_t columns,
                     const char *message)
{
    struct parts parts;
    make_good(&parts);
    struct pare_tensor *tensor = &parts.tensor[which];
    tensor->n_dims = n_dims;
    tensor->shape[0] = rows, tensor->shape[1] = columns, tensor->shape[2] = 1;
    tensor->bytes = pare_tensor_elements(tensor) * (which == 1 ? 2 : 1);
    refused(&parts, message);
}

#define DO_NOT_MAKE " do not make rows of 32 weights: "

Test(stored_codes, shapes_that_make_no_rows_are_refused)
{
    begin();
    reshaped(0, 2, 31, 16,
             "tensor " WEIGHT
             "_codes has shape [31, 16], expected 32 rows by the config");
    reshaped(0, 1, 512, 1,
             "tensor " WEIGHT "_codes has shape [512], expected 32 rows by the config");
    reshaped(1, 3, 32, 1,
             "tensor " WEIGHT
             "_scale has shape [32, 1, 1], expected 32 rows by the config");
    reshaped(2, 2, 33, 1,
             "tensor " WEIGHT "_zero has shape [33, 1], expected 32 rows by the config");
    reshaped(2, 2, 32, 2,
             "tensor " WEIGHT "_zero has 2 columns, its scales have shape [32, 1]");
    static const struct {
        uint64_t columns;
        const char *shape, *why;
    } codes[] = {{4, "4", "codes of 1 bits"},
                 {17, "17", "codes of 0 bits"},
                 {36, "36", "codes of 0 bits"},
                 {64, "64", "codes of 0 bits"}};
    for (int i = 0; i < 4; i++) {
        char message[300];
        snprintf(message, sizeof message,
                 "tensors " WEIGHT "_codes [32, %s] and " WEIGHT
                 "_scale [32, 1]" DO_NOT_MAKE "%s are not stored (2 to 8 are)",
                 codes[i].shape, codes[i].why);
        reshaped(0, 2, 32, codes[i].columns, message);
    }
    static const struct {
        uint64_t columns;
        int group;
    } scales[] = {{2, 16}, {32, 1}, {3, 0}, {33, 0}};
    for (int i = 0; i < 4; i++) {
        char message[300];
        snprintf(message, sizeof message,
                 "tensors " WEIGHT "_codes [32, 16] and " WEIGHT
                 "_scale [32, %d]" DO_NOT_MAKE
                 "groups of %d do not fit rows of 32: expected a multiple of "
                 "32 that divides the row, or the whole row",
                 (int)scales[i].columns, scales[i].group);
        reshaped(1, 2, 32, scales[i].columns, message);
    }
    end();
}

Test(stored_codes, scales_that_are_not_finite_and_zero_points_out_of_range_are_refused)
{
    begin();
    static const uint16_t halves[] = {0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFFFF};
    struct parts parts;
    for (int i = 0; i < 5; i++) {
        make_good(&parts);
        pare_store_u16(parts.data[1] + 2 * 31, halves[i]);
        refused(&parts, "tensor " WEIGHT "_scale: scale 31 is not finite");
    }
    static const int bits[] = {2, 3, 4, 5, 6, 7};
    for (int i = 0; i < 6; i++) {
        char message[200];
        make_good(&parts);
        parts.tensor[0].shape[1] = (uint64_t)(K * bits[i] / 8);
        parts.tensor[0].bytes = N * parts.tensor[0].shape[1];
        memset(parts.data[2], (1 << bits[i]) - 1, N);
        struct pare_stored stored;
        cr_assert_eq(pare_stored_open(write_parts(&parts), NULL, &stored, NULL), PARE_OK);
        pare_stored_close(&stored);
        parts.data[2][31]++;
        snprintf(message, sizeof message,
                 "tensor " WEIGHT "_zero: zero point 31 is %d, no code of %d bits",
                 1 << bits[i], bits[i]);
        refused(&parts, message);
    }
    end();
}
