/* Containers with sparse weights: what is read, and what is refused. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/model/forward.h"
#include "tests/support/sparse_parts.h"
#include "tests/support/stored_parts.h"

/* tiny-distilbert: hidden 32, feed-forward 48. The matrix that is stored sparsely: */
#define WEIGHT "blk.0.ffn_down.weight"
#define SQUARE "blk.0.attn_q.weight"
#define ROWS 32

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

static void make(struct sparse_parts *parts, const char *name,
                 const struct sparse_form *form, int nothing)
{
    const struct pare_tensor *tensor = from.tensors[stored_slot(&from, name)];
    sparse_parts_make(parts, name, form, tensor->data, (size_t)tensor->shape[0],
                      (size_t)tensor->shape[1], nothing);
}

static const char *write_parts(const char *name, const struct sparse_parts *parts)
{
    const char *path = folder_path(&folder, "m.gguf");
    stored_write(&from, name, parts->tensor, parts->n, path);
    return path;
}

/* Rows, sizes and the name of `name` in the container are those of the parts. */
static void check_weight(const char *path, const char *name,
                         const struct sparse_parts *parts, const char *expected)
{
    struct pare_stored stored;
    struct pare_error err = {""};
    const struct pare_tensor *held[PARE_STORED_PARTS];
    char form[PARE_FORM_SIZE];
    cr_assert_eq(pare_stored_open(path, NULL, &stored, &err), PARE_OK, "%s", err.message);
    const size_t i = stored_slot(&stored, name);
    const struct pare_weight weight = pare_stored_weight(&stored, i);
    const size_t n_held = pare_stored_parts(&stored, i, held);
    uint64_t bytes = 0;
    cr_assert_eq(n_held, (size_t)parts->n);
    for (size_t p = 0; p < n_held; p++) {
        bytes += held[p]->bytes;
        cr_assert_str_eq(held[p]->name, parts->names[p]);
    }
    cr_assert_eq(pare_weight_bytes(&weight), bytes);
    cr_assert_str_eq(pare_weight_form(&weight, form), expected);
    cr_assert_eq(pare_codes_slot(stored.ckpt, &stored.plan, stored.tensors[i], form),
                 &stored.plan.slots[i]);
    cr_assert_str_eq(form, expected);
    float *row = malloc(weight.K * sizeof *row);
    for (size_t n = 0; n < weight.N; n++) {
        pare_weight_row(&weight, n, row);
        for (size_t k = 0; k < weight.K; k++)
            cr_assert_eq(row[k], parts->dense[n * weight.K + k], "%s %zu %zu", expected,
                         n, k);
    }
    free(row);
    pare_stored_close(&stored);
}

Test(stored_sparse, kept_weights_are_where_the_pattern_says)
{
    begin();
    for (int f = 0; f < SPARSE_FORMS; f++) {
        struct sparse_parts parts;
        make(&parts, SQUARE, &sparse_forms[f], 0);
        check_weight(write_parts(SQUARE, &parts), SQUARE, &parts, sparse_forms[f].name);
        sparse_parts_free(&parts);
    }
    end();
}

Test(stored_sparse, a_weight_of_which_nothing_is_kept_has_one_value)
{
    begin();
    for (int f = 0; f < SPARSE_FORMS; f++) {
        struct sparse_parts parts;
        if (sparse_forms[f].m)
            continue;
        make(&parts, SQUARE, &sparse_forms[f], 1);
        cr_assert_eq(parts.tensor[2].shape[0], 1u);
        check_weight(write_parts(SQUARE, &parts), SQUARE, &parts, sparse_forms[f].name);
        sparse_parts_free(&parts);
    }
    end();
}

/* --- Running ------------------------------------------------------------------------ */

/* What the model computes for a few tokens. */
static void run(const char *path, enum pare_precision precision, float *out)
{
    static const int32_t ids[] = {2, 5, 6, 9, 3};
    static const uint32_t starts[] = {0, 5};
    const struct pare_batch batch = {
        .n_seq = 1, .n_tokens = 5, .ids = ids, .starts = starts};
    struct pare_error err = {""};
    struct pare_model *model;
    struct pare_acts acts = {0};
    cr_assert_eq(pare_model_open(path, precision, &model, &err), PARE_OK, "%s",
                 err.message);
    cr_assert_eq(pare_forward(model, &batch, NULL, &acts, &err), PARE_OK, "%s",
                 err.message);
    memcpy(out, acts.blocks[0].output, 5 * ROWS * sizeof *out);
    pare_acts_free(&acts);
    pare_model_free(model);
}

/* The same weight in the dense form of its values; halves as floats. */
static const char *write_dense(const struct sparse_parts *parts,
                               const struct sparse_form *form, size_t K)
{
    unsigned char packed[ROWS * 48];
    struct pare_tensor tensors[2] = {{.name = WEIGHT,
                                      .type = PARE_F32,
                                      .n_dims = 2,
                                      .shape = {ROWS, K},
                                      .bytes = ROWS * K * 4,
                                      .data = parts->dense},
                                     parts->tensor[3]};
    const char *path = folder_path(&folder, "dense.gguf");
    if (form->bits == 16) {
        stored_write(&from, WEIGHT, tensors, 1, path);
        return path;
    }
    const int bits = form->coded ? form->bits : 8;
    tensors[0].type = PARE_I8;
    tensors[0].name = form->coded ? WEIGHT "_codes" : WEIGHT;
    tensors[0].shape[1] = pare_codes_bytes(bits, K);
    tensors[0].bytes = ROWS * tensors[0].shape[1];
    tensors[0].data = packed;
    for (size_t n = 0; n < ROWS; n++)
        pare_codes_pack(bits, parts->codes + n * K, packed + n * tensors[0].shape[1], K);
    stored_write(&from, WEIGHT, tensors, 2, path);
    return path;
}

Test(stored_sparse, a_model_computes_what_it_does_with_the_dense_weight)
{
    begin();
    for (int f = 0; f < SPARSE_FORMS; f++) {
        struct sparse_parts parts;
        float dense[5 * ROWS], sparse[5 * ROWS];
        make(&parts, WEIGHT, &sparse_forms[f], 0);
        for (int p = 0; p < 2; p++) {
            const enum pare_precision precision =
                p ? PARE_PRECISION_BF16 : PARE_PRECISION_FP32;
            run(write_dense(&parts, &sparse_forms[f], 48), precision, dense);
            run(write_parts(WEIGHT, &parts), precision, sparse);
            cr_assert_eq(memcmp(dense, sparse, sizeof dense), 0, "%s %d",
                         sparse_forms[f].name, p);
        }
        sparse_parts_free(&parts);
    }
    end();
}

Test(stored_sparse, a_model_knows_what_it_holds)
{
    begin();
    struct sparse_parts parts;
    struct pare_model *dense, *sparse;
    make(&parts, WEIGHT, &sparse_forms[1], 0);
    cr_assert_eq(pare_model_open(write_dense(&parts, &sparse_forms[1], 48),
                                 PARE_PRECISION_FP32, &dense, NULL),
                 PARE_OK);
    cr_assert_eq(
        pare_model_open(write_parts(WEIGHT, &parts), PARE_PRECISION_FP32, &sparse, NULL),
        PARE_OK);
    /* Ranks, halves, numbers; where each row begins, and what each byte keeps. */
    const uint64_t now = ROWS * 4 + ROWS * 24 * 2 + 16 + (ROWS + 1) * 8 + 256 * 4;
    cr_assert_eq(dense->memory_bytes - sparse->memory_bytes, ROWS * 48 * 4 - now);
    pare_model_free(dense);
    pare_model_free(sparse);
    sparse_parts_free(&parts);
    end();
}

/* --- Refused ------------------------------------------------------------------------ */

enum { MASK, RANKS, BYTES, CODES };

/* Parts of WEIGHT: F16/mask, F16/2:4, I8/1:4, int4/48/mask. */
static void good(struct sparse_parts *parts, int kind)
{
    static const int forms[] = {0, 1, 2, 5};
    make(parts, WEIGHT, &sparse_forms[forms[kind]], 0);
}

static void refused(struct sparse_parts *parts, const char *message)
{
    stored_refused(write_parts(WEIGHT, parts), message);
    sparse_parts_free(parts);
}

static void drop(struct sparse_parts *parts, int which)
{
    parts->n--;
    for (int i = which; i < parts->n; i++)
        parts->tensor[i] = parts->tensor[i + 1];
}

Test(stored_sparse, tensors_that_do_not_fit_together_are_refused)
{
    begin();
    struct sparse_parts parts;
    good(&parts, MASK);
    stored_write(&from, NULL, parts.tensor, parts.n, folder_path(&folder, "m.gguf"));
    stored_refused(folder_path(&folder, "m.gguf"), "tensors " WEIGHT " and " WEIGHT
                                                   "_sparse are one weight in two forms");
    drop(&parts, 0);
    refused(&parts, "tensor " WEIGHT " is missing, expected [32, 48] by the config");
    static const char *const missing[] = {"_mask", "_values", "_ranks", "_scale"};
    for (int i = 0; i < 4; i++) {
        char message[200];
        good(&parts, i < 2 ? MASK : BYTES);
        drop(&parts, i < 3 ? 1 + i % 2 * (i < 2) : 3);
        snprintf(message, sizeof message,
                 "tensor " WEIGHT "%s is missing, which a sparse weight has", missing[i]);
        refused(&parts, message);
    }
    good(&parts, RANKS); /* with a mask too */
    parts.tensor[3] = parts.tensor[1];
    parts.tensor[3].name = WEIGHT "_mask";
    parts.n = 4;
    refused(&parts,
            "tensor " WEIGHT "_mask does not belong to a distilbert of this config");
    good(&parts, BYTES); /* halves have no scales */
    parts.tensor[2].type = PARE_F16;
    parts.tensor[2].shape[0] = ROWS * 12;
    parts.tensor[2].bytes = ROWS * 12 * 2;
    memset(parts.data[2], 0, ROWS * 12 * 2);
    refused(&parts,
            "tensor " WEIGHT "_scale does not belong to a distilbert of this config");
    good(&parts, CODES);
    parts.tensor[2].type = PARE_F16;
    parts.tensor[2].shape[0] /= 2;
    parts.tensor[2].bytes = parts.tensor[2].shape[0] * 2;
    refused(&parts, "tensor " WEIGHT "_values is F16, but " WEIGHT
                    "_sparse says that its values are codes");
    end();
}

Test(stored_sparse, only_matrices_of_layers_are_sparse)
{
    begin();
    struct sparse_parts parts;
    make(&parts, "token_embd.weight", &sparse_forms[0], 0);
    stored_refused(write_parts("token_embd.weight", &parts),
                   "tensor token_embd.weight_sparse: only matrices that are multiplied "
                   "can be sparse");
    sparse_parts_free(&parts);
    good(&parts, MASK);
    parts.tensor[0].name = "blk.0.attn_q.bias_sparse";
    parts.n = 1;
    stored_write(&from, NULL, parts.tensor, 1, folder_path(&folder, "m.gguf"));
    stored_refused(folder_path(&folder, "m.gguf"),
                   "tensor blk.0.attn_q.bias_sparse does not belong to a distilbert of "
                   "this config");
    sparse_parts_free(&parts);
    end();
}

Test(stored_sparse, patterns_that_cut_no_matrix_are_refused)
{
    begin();
    static const struct {
        int kind;
        uint32_t numbers[5];
        const char *message;
    } bad[] = {
        {MASK, {0, 1, 0, 0}, "blocks of 0x1: expected sides of 1, 2, 4, 8, 16 or 32"},
        {MASK, {1, 64, 0, 0}, "blocks of 1x64: expected sides of 1, 2, 4, 8, 16 or 32"},
        {MASK,
         {UINT32_MAX, 1, 0, 0},
         "blocks of 4294967295x1: expected sides of 1, 2, 4, 8, 16 or 32"},
        {MASK, {1, 32, 0, 0}, "blocks of 1x32 do not divide a matrix of 32x48"},
        {RANKS,
         {1, 1, 5, 0},
         "5 of 0 weights cannot be kept by rank: expected fewer of them, no blocks, and "
         "at most 256 ways to choose"},
        {RANKS,
         {1, 1, 4, 4},
         "4 of 4 weights cannot be kept by rank: expected fewer of them, no blocks, and "
         "at most 256 ways to choose"},
        {RANKS,
         {1, 4, 2, 4},
         "2 of 4 weights cannot be kept by rank: expected fewer of them, no blocks, and "
         "at most 256 ways to choose"},
        {RANKS,
         {1, 1, 8, 16},
         "8 of 16 weights cannot be kept by rank: expected fewer of them, no blocks, and "
         "at most 256 ways to choose"},
        {RANKS, {1, 1, 2, 5}, "2:5 does not go with rows of 48: 5 does not divide them"},
    };
    struct sparse_parts parts;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char message[300];
        good(&parts, bad[i].kind);
        for (int j = 0; j < 4; j++)
            pare_store_u32(parts.data[0] + 4 * j, bad[i].numbers[j]);
        snprintf(message, sizeof message, "tensor " WEIGHT "_sparse: %s", bad[i].message);
        refused(&parts, message);
    }
    for (int i = 0; i < 3; i++) {
        good(&parts, MASK);
        if (i == 0)
            parts.tensor[0].type = PARE_F32;
        else if (i == 1)
            parts.tensor[0].shape[0] = 3, parts.tensor[0].bytes = 12;
        else
            parts.tensor[0].n_dims = 2;
        refused(&parts, "tensor " WEIGHT "_sparse: expected 4 numbers of type I32, or 5");
    }
    end();
}

/* Another number of bits of codes, or of scales. */
Test(stored_sparse, codes_that_are_none_are_refused)
{
    begin();
    static const struct {
        uint32_t bits, columns;
        const char *why;
    } bad[] = {{1, 1, "codes of 1 bits are not stored (2 to 8 are)"},
               {9, 1, "codes of 9 bits are not stored (2 to 8 are)"},
               {0x80000004, 1, "codes of -2147483644 bits are not stored (2 to 8 are)"},
               {4, 2,
                "groups of 24 do not fit rows of 48: expected a multiple of 32 that "
                "divides the row, or the whole row"},
               {4, 5,
                "groups of 0 do not fit rows of 48: expected a multiple of 32 that "
                "divides the row, or the whole row"}};
    struct sparse_parts parts;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char message[300];
        good(&parts, CODES);
        pare_store_u32(parts.data[0] + 16, bad[i].bits);
        parts.tensor[3].shape[1] = bad[i].columns;
        parts.tensor[3].bytes = ROWS * 2 * bad[i].columns;
        snprintf(message, sizeof message,
                 "tensors " WEIGHT "_sparse and " WEIGHT
                 "_scale do not make rows of 48 weights: %s",
                 bad[i].why);
        refused(&parts, message);
    }
    good(&parts, CODES); /* more values than codes of 3 bits are */
    pare_store_u32(parts.data[0] + 16, 3);
    const struct pare_tensor *values = &parts.tensor[2];
    char message[300];
    unsigned kept = 0, bytes = 0;
    for (int n = 0; n < ROWS; n++, bytes += (kept * 3 + 7) / 8, kept = 0)
        for (int i = 0; i < 6; i++)
            kept += (unsigned)__builtin_popcount(parts.data[1][6 * n + i]);
    snprintf(message, sizeof message,
             "tensor " WEIGHT "_values has %u bytes, " WEIGHT "_mask asks for %u",
             (unsigned)values->bytes, bytes);
    refused(&parts, message);
    end();
}

/* Another type or shape for one of the good parts. */
static void reshaped(int kind, int which, enum pare_dtype type, int n_dims, uint64_t rows,
                     uint64_t columns, const char *message)
{
    struct sparse_parts parts;
    char text[300];
    good(&parts, kind);
    struct pare_tensor *tensor = &parts.tensor[which];
    tensor->type = type;
    tensor->n_dims = n_dims;
    tensor->shape[0] = rows, tensor->shape[1] = columns;
    cr_assert_eq(pare_tensor_size(type, n_dims, tensor->shape, &tensor->bytes, NULL),
                 PARE_OK);
    snprintf(text, sizeof text, "tensor " WEIGHT "%s", message);
    refused(&parts, text);
}

Test(stored_sparse, types_and_shapes_that_do_not_fit_are_refused)
{
    begin();
    reshaped(MASK, 1, PARE_F16, 2, 32, 6, "_mask is F16, expected I8");
    reshaped(MASK, 1, PARE_I8, 2, 32, 7,
             "_mask has shape [32, 7], expected [32, 6] by the config");
    reshaped(MASK, 1, PARE_I8, 1, 192, 1,
             "_mask has shape [192], expected [32, 6] by the config");
    reshaped(RANKS, 1, PARE_I8, 2, 16, 4,
             "_ranks has shape [16, 4], expected [32, 4] by the config");
    reshaped(RANKS, 1, PARE_I32, 2, 32, 4, "_ranks is I32, expected I8");
    reshaped(RANKS, 2, PARE_F16, 1, 767, 1,
             "_values has 1534 bytes, " WEIGHT "_ranks asks for 1536");
    reshaped(RANKS, 2, PARE_F16, 1, 769, 1,
             "_values has 1538 bytes, " WEIGHT "_ranks asks for 1536");
    reshaped(RANKS, 2, PARE_F32, 1, 768, 1,
             "_values is F32 of 1 dimensions, expected F16 or I8 of one");
    reshaped(RANKS, 2, PARE_F16, 2, 32, 24,
             "_values is F16 of 2 dimensions, expected F16 or I8 of one");
    reshaped(BYTES, 3, PARE_F16, 1, 32, 1, "_scale is F16, expected F32");
    reshaped(BYTES, 3, PARE_F32, 1, 31, 1,
             "_scale has shape [31], expected [32] by the config");
    reshaped(CODES, 3, PARE_F32, 2, 32, 1, "_scale is F32, expected F16");
    reshaped(CODES, 3, PARE_F16, 2, 31, 1,
             "_scale has shape [31, 1], expected 32 rows by the config");
    end();
}

Test(stored_sparse, ranks_bits_and_values_that_cannot_be_are_refused)
{
    begin();
    struct sparse_parts parts;
    good(&parts, RANKS); /* three ranks of six ways a byte */
    parts.data[1][4 * 9 + 2] = 216;
    refused(&parts, "tensor " WEIGHT "_ranks: byte 2 of row 9 is 216, which is no ranks "
                    "of 2:4 (below 216)");
    make(&parts, SQUARE, &sparse_forms[1], 0); /* eight groups: two in the last byte */
    parts.data[1][3 * 31 + 2] = 36;
    stored_refused(write_parts(SQUARE, &parts),
                   "tensor " SQUARE "_ranks: byte 2 of row 31 is 36, which is no ranks "
                   "of 2:4 (below 36)");
    sparse_parts_free(&parts);
    make(&parts, WEIGHT, &sparse_forms[4], 0); /* 4x4: twelve bits a strip */
    parts.data[1][2 * 3 + 1] |= 0x10;
    refused(&parts, "tensor " WEIGHT
                    "_mask: the bits of row 3 go on behind its last block, number 11");
    good(&parts, MASK); /* a bit more than there are values */
    parts.data[1][3 * 6] |= 1;
    char message[200];
    snprintf(message, sizeof message,
             "tensor " WEIGHT "_values has %u bytes, " WEIGHT "_mask asks for %u",
             (unsigned)parts.tensor[2].bytes, (unsigned)parts.tensor[2].bytes + 2);
    refused(&parts, message);
    static const uint16_t halves[] = {0x7C00, 0xFC00, 0x7E00, 0xFFFF};
    for (int i = 0; i < 4; i++) {
        good(&parts, MASK);
        pare_store_u16(parts.data[2] + 2 * 7, halves[i]);
        refused(&parts, "tensor " WEIGHT "_values: value 7 is not finite");
        good(&parts, CODES);
        pare_store_u16(parts.data[3] + 2 * 7, halves[i]);
        refused(&parts, "tensor " WEIGHT "_scale: scale 7 is not finite");
    }
    good(&parts, BYTES);
    pare_store_u32(parts.data[3] + 4 * 7, 0x7F800000);
    struct pare_model *model;
    struct pare_error err = {""};
    cr_assert_eq(
        pare_model_open(write_parts(WEIGHT, &parts), PARE_PRECISION_FP32, &model, &err),
        PARE_ERR_INPUT);
    cr_assert(strstr(err.message,
                     "tensor " WEIGHT "_scale has 1 non-finite values, the first at 7"));
    sparse_parts_free(&parts);
    end();
}
