/* Checkpoints that others wrote. Set PARE_DATA to the folder of test data. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/gguf_writer.h"
#include "tests/support/corpus_zip.h"
#include "tests/support/folder.h"

static struct pare_error err;
static const char *data_folder;

static void need_data(void)
{
    data_folder = getenv("PARE_DATA");
    if (!data_folder)
        cr_skip_test("PARE_DATA is not set");
}

TestSuite(checkpoint, .init = need_data);

static const char *data_path(const char *name)
{
    static char paths[4][1024];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/models/%s", data_folder, name);
    return path;
}

static struct pare_ckpt *open_data(const char *name)
{
    struct pare_ckpt *ckpt;
    cr_assert_eq(pare_ckpt_open(data_path(name), &ckpt, &err), PARE_OK, "%s",
                 err.message);
    return ckpt;
}

static int n_opened, n_refused;

static int open_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)ftw;
    const char *ending = strrchr(path, '.');
    if (type != FTW_F || !ending ||
        (strcmp(ending, ".safetensors") && strcmp(ending, ".bin") &&
         strcmp(ending, ".gguf") && !strstr(path, ".index.json")))
        return 0;
    struct pare_ckpt *ckpt;
    enum pare_status status = pare_ckpt_open(path, &ckpt, &err);
    if (strstr(path, "stories260K/")) { /* llama2.c's own format */
        cr_expect_eq(status, PARE_ERR_INPUT);
        cr_expect_not_null(strstr(err.message, "known format"), "%s", err.message);
        n_refused++;
        return 0;
    }
    cr_expect_eq(status, PARE_OK, "%s", err.message);
    if (status != PARE_OK)
        return 0;
    n_opened++;
    cr_expect_gt(ckpt->n_tensors, 0);
    uint64_t bytes = 0;
    for (size_t i = 0; i < ckpt->n_tensors; i++) {
        cr_expect_eq(pare_ckpt_find(ckpt, ckpt->tensors[i].name), &ckpt->tensors[i]);
        bytes += ckpt->tensors[i].bytes;
    }
    cr_expect_leq(bytes, ckpt->bytes);
    pare_ckpt_close(ckpt);
    return 0;
}

Test(checkpoint, every_file_of_the_test_data_opens)
{
    nftw(data_path(""), open_one, 16, FTW_PHYS);
    cr_log_info("%d opened, %d refused as expected", n_opened, n_refused);
    cr_assert_gt(n_opened, 20);
}

/* Same names, types, shapes and bytes, in any order. */
static void expect_equal(const struct pare_ckpt *a, const struct pare_ckpt *b)
{
    cr_expect_eq(a->n_tensors, b->n_tensors);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const struct pare_tensor *x = &a->tensors[i], *y = pare_ckpt_find(b, x->name);
        cr_assert_not_null(y, "%s", x->name);
        cr_assert_eq(x->type, y->type, "%s: %s, %s", x->name, pare_dtype_name(x->type),
                     pare_dtype_name(y->type));
        cr_assert_eq(x->n_dims, y->n_dims);
        cr_assert_eq(memcmp(x->shape, y->shape, (size_t)x->n_dims * 8), 0, "%s", x->name);
        cr_assert_eq(x->bytes, y->bytes);
        cr_assert_eq(memcmp(x->data, y->data, x->bytes), 0, "%s", x->name);
    }
}

Test(checkpoint, sharded_safetensors_equal_the_single_file)
{
    struct pare_ckpt *shards =
        open_data("tiny-oracles/tiny_llama.safetensors.index.json");
    struct pare_ckpt *single = open_data("tiny-oracles/tiny_llama.safetensors");
    cr_assert_eq(shards->n_files, 2);
    expect_equal(shards, single);
    pare_ckpt_close(shards);
    pare_ckpt_close(single);
}

Test(checkpoint, sharded_torch_files_equal_the_single_file_and_its_safetensors)
{
    struct pare_ckpt *shards = open_data("tiny-oracles/tiny_gpt2.bin.index.json");
    struct pare_ckpt *single = open_data("tiny-oracles/tiny_gpt2.bin");
    cr_assert_eq(shards->format, PARE_FORMAT_TORCH);
    expect_equal(shards, single);
    pare_ckpt_close(shards);
    pare_ckpt_close(single);
}

Test(checkpoint, a_torch_file_equals_its_safetensors)
{
    struct pare_ckpt *torch = open_data("tiny-oracles/tiny_torch_state.bin");
    struct pare_ckpt *safe = open_data("tiny-oracles/tiny_torch_state.safetensors");
    expect_equal(torch, safe);
    expect_equal(safe, torch);
    pare_ckpt_close(torch);
    pare_ckpt_close(safe);
}

/* tests/data/torch_views.*, made by tests/golden/torch_views.py with PyTorch. */
Test(checkpoint_golden, views_parameters_and_every_dtype_of_torch_are_read)
{
    struct pare_ckpt *torch, *safe;
    char path[1024];
    const char *folder = getenv("PARE_TEST_DATA");
    snprintf(path, sizeof path, "%s/torch_views.pt", folder ? folder : "tests/data");
    cr_assert_eq(pare_ckpt_open(path, &torch, &err), PARE_OK, "%s", err.message);
    snprintf(path, sizeof path, "%s/torch_views.safetensors",
             folder ? folder : "tests/data");
    cr_assert_eq(pare_ckpt_open(path, &safe, &err), PARE_OK, "%s", err.message);
    expect_equal(safe, torch);
    expect_equal(torch, safe);
    cr_assert_str_eq(torch->tensors[0].name, "dense"); /* the order of the dict */
    struct pare_text format;
    cr_assert_eq(pare_meta_get_string(&safe->meta, "format", &format, &err), PARE_OK);
    cr_assert(format.length == 2 && memcmp(format.data, "pt", 2) == 0);
    pare_ckpt_close(torch);
    pare_ckpt_close(safe);
}

/* Converts to GGUF with the writer and compares: the round trip is exact. */
Test(checkpoint, a_safetensors_file_survives_the_way_through_gguf)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "x.gguf");
    struct pare_ckpt *from = open_data("tiny-oracles/tiny_bert.safetensors"), *to;
    struct pare_gguf_writer *writer;
    cr_assert_eq(pare_gguf_writer_open(path, &from->meta, &writer, &err), PARE_OK);
    for (size_t i = 0; i < from->n_tensors; i++) {
        const struct pare_tensor *t = &from->tensors[i];
        cr_assert_eq(
            pare_gguf_writer_plan(writer, t->name, t->type, t->n_dims, t->shape, &err),
            PARE_OK, "%s", err.message);
    }
    for (size_t i = 0; i < from->n_tensors; i++)
        cr_assert_eq(pare_gguf_writer_data(writer, from->tensors[i].data,
                                           from->tensors[i].bytes, &err),
                     PARE_OK);
    cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(pare_ckpt_open(path, &to, &err), PARE_OK, "%s", err.message);
    expect_equal(from, to);
    pare_ckpt_close(from);
    pare_ckpt_close(to);
    folder_remove(&folder);
}

Test(checkpoint, the_gguf_reading_of_a_model_agrees_with_its_safetensors)
{
    struct pare_ckpt *gguf = open_data("tiny-oracles/tiny_llama_f32.gguf");
    struct pare_ckpt *hf = open_data("tiny-oracles/tiny_llama.safetensors");
    const struct pare_tensor *a = pare_ckpt_find(gguf, "token_embd.weight");
    const struct pare_tensor *b = pare_ckpt_find(hf, "model.embed_tokens.weight");
    cr_assert(a && b && a->bytes == b->bytes);
    cr_assert(a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1]);
    cr_assert_eq(memcmp(a->data, b->data, a->bytes), 0);
    pare_ckpt_close(gguf);
    pare_ckpt_close(hf);
}

/* --- sizes beyond 32 bits, in files that take no space on disk --- */

#define HUGE_BYTES (((uint64_t)5 << 30) + 3)

/* `front`, then zeros up to HUGE_BYTES of data, a 7 as the last of these, then `back`. */
static void put_huge(const char *path, const struct buffer *front,
                     const struct buffer *back)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    cr_assert_geq(fd, 0);
    off_t last = (off_t)(front->size + HUGE_BYTES - 1);
    cr_assert_eq(write(fd, front->data, front->size), (ssize_t)front->size);
    cr_assert_eq(pwrite(fd, "\7", 1, last), 1);
    if (back->size)
        cr_assert_eq(pwrite(fd, back->data, back->size, last + 1), (ssize_t)back->size);
    close(fd);
}

static void check_huge(const char *path)
{
    struct pare_ckpt *ckpt;
    cr_assert_eq(pare_ckpt_open(path, &ckpt, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(ckpt->n_tensors, 1);
    cr_assert_eq(ckpt->tensors[0].bytes, HUGE_BYTES);
    cr_assert_eq(pare_tensor_elements(&ckpt->tensors[0]), HUGE_BYTES);
    cr_assert_eq(((const uint8_t *)ckpt->tensors[0].data)[HUGE_BYTES - 1], 7);
    pare_ckpt_close(ckpt);
    cr_assert_eq(truncate(path, (off_t)HUGE_BYTES), 0);
    cr_assert_eq(pare_ckpt_open(path, &ckpt, &err), PARE_ERR_INPUT);
    cr_assert_eq(unlink(path), 0);
}

Test(checkpoint_golden, five_gibibytes_are_addressed)
{
    struct folder folder = folder_make();
    struct buffer front = {0}, back = {0};
    char header[200];
    int n = snprintf(header, sizeof header,
                     "{\"a\":{\"dtype\":\"I8\",\"shape\":[%llu],"
                     "\"data_offsets\":[0,%llu]}}",
                     (unsigned long long)HUGE_BYTES, (unsigned long long)HUGE_BYTES);
    put_u64(&front, (uint64_t)n);
    put_string(&front, header);
    put_huge(folder_path(&folder, "a.safetensors"), &front, &back);
    check_huge(folder_path(&folder, "a.safetensors"));

    front.size = 0;
    put_string(&front, "GGUF");
    put_u32(&front, 3);
    put_u64(&front, 1);
    put_u64(&front, 0);
    put_u64(&front, 1);
    put_string(&front, "a");
    put_u32(&front, 1);
    put_u64(&front, HUGE_BYTES);
    put_u32(&front, PARE_I8);
    put_u64(&front, 0);
    put_repeated(&front, 0, -front.size & 31);
    put_huge(folder_path(&folder, "a.gguf"), &front, &back);
    check_huge(folder_path(&folder, "a.gguf"));
    buffer_free(&front);

    /* The storage in front, so that what follows lies beyond 4 GiB. */
    struct archive archive = {0};
    struct archive_entry storage = {.name = "m/data/0", .name_length = 8, .flags = 8};
    const int64_t sizes[] = {(int64_t)HUGE_BYTES}, strides[] = {1};
    struct pickle_tensor tensor = {.class = "CharStorage",
                                   .key = "0",
                                   .device = "cpu",
                                   .numel = HUGE_BYTES,
                                   .n_dims = 1,
                                   .sizes = sizes,
                                   .strides = strides};
    struct buffer pickle = pickle_of(&tensor);
    archive_add_entry(&archive, &storage, "");
    size_t cut = archive.out.size - 16; /* the descriptor belongs behind the data */
    archive_add(&archive, "m/data.pkl", pickle.data, pickle.size);
    archive.entries[0].packed = archive.entries[0].size = HUGE_BYTES;
    archive.entries[0].wide = 7;
    archive.entries[1].header += HUGE_BYTES;
    archive.entries[1].wide = 4;
    archive.base = HUGE_BYTES;
    archive_finish(&archive, 1);
    front = (struct buffer){archive.out.data, cut, 0};
    back = (struct buffer){archive.out.data + cut, archive.out.size - cut, 0};
    put_huge(folder_path(&folder, "a.pt"), &front, &back);
    check_huge(folder_path(&folder, "a.pt"));
    buffer_free(&archive.out);
    buffer_free(&pickle);
    folder_remove(&folder);
}
