/* Containers that say something of their layers' inputs: what is read, and refused. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/model/container.h"
#include "runtime/model/model.h"
#include "runtime/model/stored.h"
#include "tests/support/folder.h"

/* tiny-distilbert: hidden 32, feed-forward 48. The matrix that is stored as I8: */
#define WEIGHT "blk.0.attn_output.weight"
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

/* Two more tensors; i8: WEIGHT is I8. */
struct extra {
    const char *name;
    enum pare_dtype type;
    int n_dims;
    uint64_t shape[2];
    float values[64];
};

static void put(struct pare_gguf_writer *writer, int pass, const char *name,
                enum pare_dtype type, int n_dims, const uint64_t *shape, const void *data)
{
    uint64_t bytes;
    struct pare_error err = {""};
    cr_assert_eq(pare_tensor_size(type, n_dims, shape, &bytes, NULL), PARE_OK);
    cr_assert_eq(pass ? pare_gguf_writer_data(writer, data, bytes, &err)
                      : pare_gguf_writer_plan(writer, name, type, n_dims, shape, &err),
                 PARE_OK, "%s", err.message);
}

static const char *write_with(const struct extra *extras, int count, int i8)
{
    static int8_t codes[K * K];
    static float scale[K];
    const char *path = folder_path(&folder, "m.gguf");
    struct pare_gguf_writer *writer;
    struct pare_meta meta = {0};
    for (int i = 0; i < K * K; i++)
        codes[i] = (int8_t)(i * 37);
    for (int i = 0; i < K; i++)
        scale[i] = 0.001f * (float)(i + 1);
    cr_assert_eq(pare_config_to_meta(&from.config, &meta, NULL), PARE_OK);
    cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, NULL), PARE_OK);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < from.plan.count; i++) {
            const struct pare_slot *slot = &from.plan.slots[i];
            const int is_i8 = i8 && !strcmp(slot->name, WEIGHT);
            put(writer, pass, slot->name, is_i8 ? PARE_I8 : from.tensors[i]->type,
                slot->n_dims, slot->shape, is_i8 ? codes : from.tensors[i]->data);
            if (is_i8)
                put(writer, pass, WEIGHT "_scale", PARE_F32, 1, slot->shape, scale);
        }
        for (int i = 0; i < count; i++)
            put(writer, pass, extras[i].name, extras[i].type, extras[i].n_dims,
                extras[i].shape, extras[i].values);
    }
    cr_assert_eq(pare_gguf_writer_commit(writer, NULL), PARE_OK);
    pare_meta_free(&meta);
    return path;
}

static struct extra good_scale(const char *name, uint64_t count)
{
    struct extra e = {name, PARE_F32, 1, {count}, {0}};
    for (int i = 0; i < 64; i++)
        e.values[i] = 0.5f + 0.01f * (float)i;
    return e;
}

static struct extra good_range(float low, float high)
{
    return (struct extra){"blk.0.attn_output.input_range", PARE_F32, 1, {2}, {low, high}};
}

static size_t slot_of(const struct pare_stored *stored, const char *name)
{
    size_t i = 0;
    while (strcmp(stored->plan.slots[i].name, name) != 0)
        i++;
    return i;
}

Test(stored_inputs, factors_and_ranges_belong_to_the_matrices_that_read_the_inputs)
{
    begin();
    struct pare_stored stored;
    struct pare_error err = {""};
    struct pare_model *model;
    const struct extra extras[] = {
        good_scale("blk.0.attn_qkv.input_scale", K),
        good_scale("blk.0.ffn_down.input_scale", 48), good_scale("cls.input_scale", K),
        good_scale("blk.0.attn_output.input_scale", K), good_range(-2, 3)};
    const char *path = write_with(extras, 5, 1);
    cr_assert_eq(pare_stored_open(path, NULL, &stored, &err), PARE_OK, "%s", err.message);
    static const struct {
        const char *slot;
        int scale, range;
    } expected[] = {{"blk.0.attn_q.weight", 1, 0},   {"blk.0.attn_k.weight", 1, 0},
                    {"blk.0.attn_v.weight", 1, 0},   {"blk.0.attn_output.weight", 1, 1},
                    {"blk.0.ffn_down.weight", 1, 0}, {"cls.weight", 1, 0},
                    {"cls.output.weight", 0, 0},     {"token_embd.weight", 0, 0},
                    {"blk.0.attn_output.bias", 0, 0}};
    const float *shared =
        pare_stored_weight(&stored, slot_of(&stored, "blk.0.attn_k.weight")).input_scale;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct pare_weight w =
            pare_stored_weight(&stored, slot_of(&stored, expected[i].slot));
        cr_expect_eq(w.input_scale != NULL, expected[i].scale, "%s", expected[i].slot);
        cr_expect_eq(w.input_range != NULL, expected[i].range, "%s", expected[i].slot);
        if (i < 3)
            cr_expect_eq(w.input_scale, shared, "%s", expected[i].slot);
    }
    cr_expect_float_eq(shared[1], 0.51f, 1e-7);
    pare_stored_close(&stored);
    cr_assert_eq(pare_model_open(path, PARE_PRECISION_FP32, &model, &err), PARE_OK, "%s",
                 err.message);
    cr_expect_float_eq(model->blocks[0].attn_out.input_grid.scale, 5 / 255.0, 1e-7);
    pare_model_free(model);
    end();
}

static void refused(const struct extra *extra, int i8, const char *phrase)
{
    struct pare_stored stored;
    struct pare_error err = {""};
    cr_expect_eq(pare_stored_open(write_with(extra, 1, i8), NULL, &stored, &err),
                 PARE_ERR_INPUT);
    cr_expect(strstr(err.message, phrase), "%s, expected '%s'", err.message, phrase);
}

Test(stored_inputs, factors_that_fit_no_matrix_or_are_no_factors_are_refused)
{
    begin();
    struct extra e = good_scale("blk.0.attn_qkv.input_scale", K - 1);
    refused(
        &e, 0,
        "tensor blk.0.attn_qkv.input_scale has shape [31], expected [32] by the config");
    e = good_scale("blk.0.attn_qkv.input_scale", K);
    e.n_dims = 2;
    e.shape[1] = 1;
    refused(&e, 0, "tensor blk.0.attn_qkv.input_scale has shape [32, 1]");
    e = good_scale("blk.0.attn_qkv.input_scale", K);
    e.type = PARE_F16;
    refused(&e, 0, "tensor blk.0.attn_qkv.input_scale is F16, expected F32");
    static const struct {
        float value;
        const char *text;
    } bad[] = {{0, "0"}, {-1, "-1"}, {NAN, "nan"}, {INFINITY, "inf"}};
    for (int i = 0; i < 4; i++) {
        char message[200];
        e = good_scale("blk.0.ffn_down.input_scale", 48);
        e.values[47] = bad[i].value;
        snprintf(
            message, sizeof message,
            "tensor blk.0.ffn_down.input_scale: factor 47 is %s, expected one above 0",
            bad[i].text);
        refused(&e, 0, message);
    }
    e = good_scale("blk.0.attn_q.input_scale", K); /* it is attn_qkv's */
    refused(&e, 0, "tensor blk.0.attn_q.input_scale does not belong to a distilbert");
    e = good_scale("token_embd.input_scale", K);
    refused(&e, 0, "tensor token_embd.input_scale does not belong");
    e = good_scale("blk.2.ffn_down.input_scale", 48);
    refused(&e, 0, "tensor blk.2.ffn_down.input_scale does not belong");
    end();
}

Test(stored_inputs, ranges_that_are_none_and_matrices_without_bytes_are_refused)
{
    begin();
    static const float bad[][2] = {{0, 0},          {1, 2},    {-2, -1},
                                   {NAN, 1},        {-1, NAN}, {-INFINITY, 1},
                                   {-3e38f, 3e38f}, {3, -3},   {0, 1e-31f}};
    struct extra e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = good_range(bad[i][0], bad[i][1]);
        refused(&e, 1, "expected a finite one that holds 0");
    }
    e = good_range(-1, 1);
    refused(&e, 0,
            "tensor blk.0.attn_output.input_range is the range of inputs in bytes, "
            "but blk.0.attn_output.weight is not I8 with one scale a row");
    e.shape[0] = 1;
    refused(&e, 1, "tensor blk.0.attn_output.input_range has shape [1], expected [2]");
    end();
}
