/* Tensors streamed into another float type, and what their numbers look like. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/parallel.h"
#include "runtime/base/rng.h"
#include "runtime/model/container.h"
#include "runtime/model/transcode.h"
#include "runtime/tensor/stats.h"
#include "tests/support/folder.h"

/* More than one piece of pare_transcode, not a multiple of anything. */
#define N 600011

static struct folder folder;
static float *values;

static void set_up(void)
{
    folder = folder_make();
    cr_assert_eq(pare_alloc(&values, N, sizeof *values, NULL), PARE_OK);
    struct pare_rng rng = {.seed = 8};
    for (size_t i = 0; i < N; i++)
        values[i] = ldexpf(pare_rng_normal(&rng), (int)(i % 30) - 20);
}

static void tear_down(void)
{
    pare_free(values);
    folder_remove(&folder);
}

TestSuite(transcode, .init = set_up, .fini = tear_down);
TestSuite(stats, .init = set_up, .fini = tear_down);

static struct pare_tensor as_f32(void)
{
    return (struct pare_tensor){.name = "t",
                                .type = PARE_F32,
                                .n_dims = 1,
                                .shape = {N},
                                .bytes = N * sizeof(float),
                                .data = values};
}

/* Writes a container with the tensor in the type; the status is that of transcoding. */
static enum pare_status write_as(const char *path, const struct pare_tensor *tensor,
                                 enum pare_dtype type, enum pare_nonfinite rule,
                                 uint64_t *nonfinite, struct pare_error *err)
{
    struct pare_meta meta = {0};
    struct pare_gguf_writer *writer;
    cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_plan(writer, "t", type, 1, tensor->shape, err),
                 PARE_OK);
    enum pare_status status = pare_transcode(tensor, type, rule, writer, nonfinite, err);
    if (status == PARE_OK)
        cr_assert_eq(pare_gguf_writer_commit(writer, err), PARE_OK, "%s", err->message);
    else
        pare_gguf_writer_abort(writer);
    return status;
}

Test(transcode, every_element_is_rounded_once_whatever_the_threads)
{
    const enum pare_dtype types[] = {PARE_F32, PARE_F16, PARE_BF16};
    const struct pare_tensor tensor = as_f32();
    struct pare_error err = {""};
    uint64_t nonfinite;
    for (int t = 0; t < 3; t++)
        for (int threads = 1; threads <= 7; threads += 3) {
            const char *path = folder_path(&folder, "m.gguf");
            pare_set_threads(threads);
            cr_assert_eq(
                write_as(path, &tensor, types[t], PARE_NONFINITE_ERROR, &nonfinite, &err),
                PARE_OK, "%s", err.message);
            struct pare_ckpt *ckpt;
            cr_assert_eq(pare_ckpt_open(path, &ckpt, &err), PARE_OK);
            const unsigned char *data = ckpt->tensors[0].data;
            for (size_t i = 0; i < N; i++) {
                const uint16_t half = types[t] == PARE_F16 ? pare_f32_to_f16(values[i])
                                                           : pare_f32_to_bf16(values[i]);
                const int same = types[t] == PARE_F32
                                     ? !memcmp(data + 4 * i, &values[i], 4)
                                     : !memcmp(data + 2 * i, &half, 2);
                cr_assert(same, "type %d, element %zu", t, i);
            }
            pare_ckpt_close(ckpt);
        }
}

Test(transcode, what_is_not_finite_is_an_error_kept_or_zeroed)
{
    const struct pare_tensor tensor = as_f32();
    struct pare_error err = {""};
    uint64_t nonfinite;
    values[555555] = INFINITY;
    values[300001] = NAN;
    values[300002] = -INFINITY;
    const char *path = folder_path(&folder, "m.gguf");
    cr_assert_eq(
        write_as(path, &tensor, PARE_F32, PARE_NONFINITE_ERROR, &nonfinite, &err),
        PARE_ERR_INPUT);
    cr_assert_str_eq(err.message,
                     "tensor t has 3 values that are not finite, the first is "
                     "element 300001");
    cr_assert_eq(folder_count(&folder), 0);
    for (int zero = 0; zero < 2; zero++) {
        cr_assert_eq(write_as(path, &tensor, PARE_F16,
                              zero ? PARE_NONFINITE_ZERO : PARE_NONFINITE_KEEP,
                              &nonfinite, &err),
                     PARE_OK, "%s", err.message);
        cr_assert_eq(nonfinite, 3);
        struct pare_ckpt *ckpt;
        uint64_t first;
        cr_assert_eq(pare_ckpt_open(path, &ckpt, &err), PARE_OK);
        cr_assert_eq(pare_tensor_nonfinite(&ckpt->tensors[0], &first), zero ? 0 : 3);
        pare_ckpt_close(ckpt);
    }
}

Test(transcode, what_f16_cannot_hold_is_an_error_in_every_mode)
{
    const struct pare_tensor tensor = as_f32();
    struct pare_error err = {""};
    uint64_t nonfinite;
    const char *path = folder_path(&folder, "m.gguf");
    values[400000] = -65519.996f; /* the last that rounds to 65504 */
    cr_assert_eq(write_as(path, &tensor, PARE_F16, PARE_NONFINITE_KEEP, &nonfinite, &err),
                 PARE_OK, "%s", err.message);
    values[400000] = -65520.0f;
    for (int rule = PARE_NONFINITE_ERROR; rule <= PARE_NONFINITE_ZERO; rule++) {
        cr_assert_eq(write_as(path, &tensor, PARE_F16, (enum pare_nonfinite)rule,
                              &nonfinite, &err),
                     PARE_ERR_INPUT);
        cr_assert_str_eq(err.message,
                         "tensor t: element 400000 is -65520, beyond the range "
                         "of F16; use bf16 or f32");
    }
    cr_assert_eq(
        write_as(path, &tensor, PARE_BF16, PARE_NONFINITE_ERROR, &nonfinite, &err),
        PARE_OK);
}

Test(stats, are_those_of_the_elements_whatever_the_threads)
{
    const struct pare_tensor tensor = as_f32();
    values[70000] = NAN;
    values[70001] = 0;
    double min = 0, max = 0, sum = 0;
    for (size_t i = 0; i < N; i++) {
        if (i == 70000)
            continue;
        min = values[i] < min ? values[i] : min;
        max = values[i] > max ? values[i] : max;
        sum += values[i];
    }
    struct pare_stats one, many;
    pare_set_threads(1);
    cr_assert_eq(pare_tensor_stats(&tensor, &one, NULL), PARE_OK);
    pare_set_threads(5);
    cr_assert_eq(pare_tensor_stats(&tensor, &many, NULL), PARE_OK);
    cr_assert_eq(memcmp(&one, &many, sizeof one), 0);
    cr_assert_eq(one.min, min);
    cr_assert_eq(one.max, max);
    cr_assert_float_eq(one.mean, sum / (N - 1), 1e-9);
    cr_assert_eq(one.zeros, 1);
    cr_assert_eq(one.nonfinite, 1);
    cr_assert_eq(one.first_nonfinite, 70000);
}

Test(stats, know_integers_and_wide_floats)
{
    const int8_t i8[] = {-128, 0, 127};
    const int16_t i16[] = {-300, 0, 300};
    const int32_t i32[] = {-70000, 0, 5};
    const int64_t i64[] = {-5000000000, 0, 5000000000};
    const uint8_t u8[] = {255, 0, 1};
    const double f64[] = {-1e300, 0, 1e300};
    const struct {
        enum pare_dtype type;
        const void *data;
        size_t size;
        double min, max;
    } cases[] = {{PARE_I8, i8, 1, -128, 127},      {PARE_I16, i16, 2, -300, 300},
                 {PARE_I32, i32, 4, -70000, 5},    {PARE_I64, i64, 8, -5e9, 5e9},
                 {PARE_U8, u8, 1, 0, 255},         {PARE_BOOL, u8, 1, 0, 255},
                 {PARE_F64, f64, 8, -1e300, 1e300}};
    struct pare_stats stats;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct pare_tensor tensor = {.type = cases[i].type,
                                           .n_dims = 1,
                                           .shape = {3},
                                           .bytes = 3 * cases[i].size,
                                           .data = cases[i].data};
        cr_assert_eq(pare_tensor_stats(&tensor, &stats, NULL), PARE_OK);
        cr_assert_eq(stats.min, cases[i].min);
        cr_assert_eq(stats.max, cases[i].max);
        cr_assert_eq(stats.zeros, 1);
        cr_assert_eq(stats.nonfinite, 0);
    }
    const struct pare_tensor coded = {
        .type = PARE_IQ2_XXS, .n_dims = 1, .shape = {256}, .bytes = 66, .data = values};
    cr_assert_eq(pare_tensor_stats(&coded, &stats, NULL), PARE_OK);
    cr_assert(!stats.known);
    const struct pare_tensor empty = {.type = PARE_F32, .n_dims = 1, .shape = {0}};
    cr_assert_eq(pare_tensor_stats(&empty, &stats, NULL), PARE_OK);
    cr_assert_eq(stats.min, 0);
    cr_assert_eq(stats.mean, 0);
}
