#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/gguf_writer.h"
#include "tests/support/folder.h"

static struct folder folder;
static struct pare_error err;
static struct pare_meta meta;
static struct pare_gguf_writer *writer;
static struct pare_ckpt *ckpt;

static void set_up(void)
{
    folder = folder_make();
}

static void tear_down(void)
{
    pare_ckpt_close(ckpt);
    pare_meta_free(&meta);
    folder_remove(&folder);
}

TestSuite(gguf, .init = set_up, .fini = tear_down);

static void make_meta(void)
{
    struct pare_text words[2] = {{"[PAD]", 5}, {"", 0}};
    float scores[3] = {0.5f, -1, 0};
    cr_assert_eq(pare_meta_set_string(&meta, "general.architecture", "bert", 4, &err), 0);
    cr_assert_eq(pare_meta_set_u32(&meta, "bert.block_count", 6, &err), 0);
    cr_assert_eq(pare_meta_set_u64(&meta, "big", UINT64_MAX, &err), 0);
    cr_assert_eq(pare_meta_set_f32(&meta, "eps", 1e-12f, &err), 0);
    cr_assert_eq(pare_meta_set_bool(&meta, "causal", 0, &err), 0);
    cr_assert_eq(pare_meta_set_strings(&meta, "tokens", words, 2, &err), 0);
    cr_assert_eq(pare_meta_set_numbers(&meta, "scores", PARE_META_F32, scores, 3, &err),
                 0);
}

Test(gguf, what_was_written_is_read)
{
    const char *path = folder_path(&folder, "model.gguf");
    float values[7] = {1, 2, 3, 4, 5, 6, 7};
    unsigned char blocks[36];
    for (size_t i = 0; i < sizeof blocks; i++)
        blocks[i] = (unsigned char)(i * 5);
    make_meta();
    cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, &err), PARE_OK);
    cr_assert_eq(
        pare_gguf_writer_plan(writer, "bias", PARE_F32, 1, (uint64_t[]){7}, &err),
        PARE_OK);
    cr_assert_eq(
        pare_gguf_writer_plan(writer, "weight", PARE_Q4_0, 2, (uint64_t[]){2, 32}, &err),
        PARE_OK);
    cr_assert_eq(pare_gguf_writer_data(writer, values, 9, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_data(writer, (char *)values + 9, 0, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_data(writer, (char *)values + 9, 19, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_data(writer, blocks, 36, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(folder_count(&folder), 1);

    cr_assert_eq(pare_ckpt_open(folder.path, &ckpt, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(ckpt->format, PARE_FORMAT_GGUF);
    cr_assert_eq(ckpt->version, 3);
    cr_assert_eq(ckpt->n_tensors, 2);
    cr_assert_eq(ckpt->bytes % 32, 0);
    cr_assert_str_eq(ckpt->tensors[0].name, "bias");
    cr_assert_eq(memcmp(ckpt->tensors[0].data, values, sizeof values), 0);
    const struct pare_tensor *weight = pare_ckpt_find(ckpt, "weight");
    cr_assert_eq(weight, &ckpt->tensors[1]);
    cr_assert_null(pare_ckpt_find(ckpt, "none"));
    cr_assert_eq(weight->type, PARE_Q4_0);
    cr_assert_eq(weight->n_dims, 2);
    cr_assert(weight->shape[0] == 2 && weight->shape[1] == 32);
    cr_assert_eq(memcmp(weight->data, blocks, 36), 0);
    cr_assert_eq((uintptr_t)weight->data % 32, 0);
    cr_assert_eq(ckpt->meta.count, meta.count);
    for (size_t i = 0; i < meta.count; i++)
        cr_assert_str_eq(ckpt->meta.values[i].key, meta.values[i].key);
    uint32_t layers;
    cr_assert_eq(pare_meta_get_u32(&ckpt->meta, "bert.block_count", 0, 9, &layers, &err),
                 PARE_OK);
    cr_assert_eq(layers, 6);
    cr_assert_eq(pare_meta_number(pare_meta_find(&ckpt->meta, "scores"), 1), -1);
}

Test(gguf, the_same_input_gives_the_same_bytes)
{
    char *files[2];
    long sizes[2];
    make_meta();
    for (int i = 0; i < 2; i++) {
        const char *path = folder_path(&folder, "model.gguf");
        cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, &err), PARE_OK);
        cr_assert_eq(
            pare_gguf_writer_plan(writer, "x", PARE_I8, 1, (uint64_t[]){3}, &err),
            PARE_OK);
        cr_assert_eq(pare_gguf_writer_data(writer, "abc", 3, &err), PARE_OK);
        cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_OK);
        FILE *file = fopen(path, "rb");
        fseek(file, 0, SEEK_END);
        sizes[i] = ftell(file);
        rewind(file);
        files[i] = malloc((size_t)sizes[i]);
        cr_assert_eq(fread(files[i], 1, (size_t)sizes[i], file), (size_t)sizes[i]);
        fclose(file);
    }
    cr_assert_eq(sizes[0], sizes[1]);
    cr_assert_eq(memcmp(files[0], files[1], (size_t)sizes[0]), 0);
    free(files[0]);
    free(files[1]);
}

Test(gguf, a_file_without_tensors_is_a_vocabulary)
{
    const char *path = folder_path(&folder, "vocab.gguf");
    make_meta();
    cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(pare_ckpt_open(path, &ckpt, &err), PARE_OK);
    cr_assert_eq(ckpt->n_tensors, 0);
    cr_assert_eq(ckpt->meta.count, 7);
}

Test(gguf, another_alignment_is_obeyed)
{
    const char *path = folder_path(&folder, "model.gguf");
    cr_assert_eq(pare_meta_set_u32(&meta, "general.alignment", 256, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, &err), PARE_OK);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pare_gguf_writer_plan(writer, i ? "b" : "a", PARE_I8, 1,
                                           (uint64_t[]){1}, &err),
                     PARE_OK);
    cr_assert_eq(pare_gguf_writer_data(writer, "x", 1, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_data(writer, "y", 1, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(pare_ckpt_open(path, &ckpt, &err), PARE_OK);
    cr_assert_eq(ckpt->bytes % 256, 0);
    cr_assert_eq(*(const char *)ckpt->tensors[1].data, 'y');
    cr_assert_eq(
        (const char *)ckpt->tensors[1].data - (const char *)ckpt->tensors[0].data, 256);
}

Test(gguf, plans_that_gguf_cannot_hold_are_refused)
{
    const char *path = folder_path(&folder, "model.gguf");
    char long_name[65];
    memset(long_name, 'n', 64);
    long_name[64] = '\0';
    cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, &err), PARE_OK);
    uint64_t shape[5] = {2, 2, 2, 2, 2}, empty[2] = {0, 4}, ragged[1] = {33};
    uint64_t huge[2] = {(uint64_t)1 << 62, 4};
    cr_assert_eq(pare_gguf_writer_plan(writer, "a", PARE_F32, 1, shape, &err), PARE_OK);
    struct {
        const char *name;
        enum pare_dtype type;
        int n_dims;
        const uint64_t *shape;
    } cases[] = {{"a", PARE_F32, 1, shape},           {"", PARE_F32, 1, shape},
                 {long_name, PARE_F32, 1, shape},     {"b", PARE_U8, 1, shape},
                 {"b", (enum pare_dtype)4, 1, shape}, {"b", PARE_F32, 0, shape},
                 {"b", PARE_F32, 5, shape},           {"b", PARE_F32, 2, empty},
                 {"b", PARE_Q8_0, 1, ragged},         {"b", PARE_F32, 2, huge}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(pare_gguf_writer_plan(writer, cases[i].name, cases[i].type,
                                           cases[i].n_dims, cases[i].shape, &err),
                     PARE_ERR_USAGE, "%zu", i);
        cr_expect_not_null(strstr(err.message, "model.gguf: "), "%s", err.message);
    }
    cr_assert_eq(pare_gguf_writer_data(writer, "12345678", 8, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_plan(writer, "c", PARE_F32, 1, shape, &err),
                 PARE_ERR_INTERNAL);
    cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_OK);
}

Test(gguf, missing_or_surplus_data_leave_no_file)
{
    const char *path = folder_path(&folder, "model.gguf");
    cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_plan(writer, "a", PARE_F32, 1, (uint64_t[]){2}, &err),
                 PARE_OK);
    cr_assert_eq(pare_gguf_writer_data(writer, "123456789", 9, &err), PARE_ERR_INTERNAL);
    cr_assert_eq(pare_gguf_writer_data(writer, "1234567", 7, &err), PARE_OK);
    cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_ERR_INTERNAL);
    cr_assert_not_null(strstr(err.message, "7 of 8 bytes"), "%s", err.message);
    cr_assert_eq(folder_count(&folder), 0);
}

Test(gguf, a_key_that_cannot_be_read_back_is_refused_before_data_are_written)
{
    const char *keys[] = {"", "a\nb", "\xc3\xa4"};
    for (size_t i = 0; i < 3; i++) {
        struct pare_meta bad = {0};
        cr_assert_eq(pare_meta_set_u32(&bad, keys[i], 1, &err), PARE_OK);
        cr_assert_eq(
            pare_gguf_writer_open(folder_path(&folder, "m.gguf"), &bad, &writer, &err),
            PARE_OK);
        cr_expect_eq(pare_gguf_writer_commit(writer, &err), PARE_ERR_USAGE);
        pare_meta_free(&bad);
    }
    cr_assert_eq(folder_count(&folder), 0);
}

/* A disk that loses what was written is found out before the old file is replaced. */
Test(gguf, damage_between_writing_and_commit_is_found)
{
    const char *path = folder_path(&folder, "model.gguf");
    put_file(path, "old", 3);
    for (long place = 0; place < 3; place++) {
        cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, &err), PARE_OK);
        cr_assert_eq(
            pare_gguf_writer_plan(writer, "a", PARE_I8, 1, (uint64_t[]){1000000}, &err),
            PARE_OK);
        char *data = calloc(1, 1000000);
        cr_assert_eq(pare_gguf_writer_data(writer, data, 1000000, &err), PARE_OK);
        free(data);
        DIR *listing = opendir(folder.path);
        for (struct dirent *entry; (entry = readdir(listing));)
            if (strstr(entry->d_name, ".tmp")) {
                FILE *file = fopen(folder_path(&folder, entry->d_name), "r+b");
                fseek(file, (long[]){32, 500000, 999999}[place], SEEK_SET);
                fputc(place ? 1 : 'b', file); /* the first is the tensor's name */
                fclose(file);
            }
        closedir(listing);
        cr_expect_eq(pare_gguf_writer_commit(writer, &err), PARE_ERR_IO, "%ld: %s", place,
                     err.message);
        cr_expect_not_null(strstr(err.message, "does not read back"), "%s", err.message);
        cr_expect(file_is(path, "old", 3));
        cr_expect_eq(folder_count(&folder), 1);
    }
}
