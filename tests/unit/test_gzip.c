/* Checkpoints inside gzip (runtime/checkpoint/gzip.h), against zlib's own file functions.
 */
#include <criterion/criterion.h>
#include <zlib.h>

#include "runtime/base/bytes.h"
#include "runtime/checkpoint/gguf_writer.h"
#include "runtime/checkpoint/reader.h"
#include "tests/support/folder.h"

static struct folder folder;
static struct pare_error err;
static struct pare_meta meta;

static void set_up(void)
{
    folder = folder_make();
}

static void tear_down(void)
{
    pare_meta_free(&meta);
    folder_remove(&folder);
}

TestSuite(gzip, .init = set_up, .fini = tear_down);

enum { VALUES = 70000 };

static void write_model(const char *path, size_t n)
{
    static float values[VALUES];
    struct pare_gguf_writer *writer;
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(i * 7919 % 1000) / 8;
    cr_assert_eq(pare_meta_set_string(&meta, "general.name", "x", 1, &err), 0);
    cr_assert_eq(pare_gguf_writer_open(path, &meta, &writer, &err), PARE_OK, "%s",
                 err.message);
    cr_assert_eq(pare_gguf_writer_plan(writer, "w", PARE_F32, 1, (uint64_t[]){n}, &err),
                 PARE_OK);
    for (size_t i = 0; i < n; i += 1000)
        cr_assert_eq(pare_gguf_writer_data(writer, values + i,
                                           (n - i < 1000 ? n - i : 1000) * 4, &err),
                     PARE_OK);
    cr_assert_eq(pare_gguf_writer_commit(writer, &err), PARE_OK, "%s", err.message);
}

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file);
    unsigned char *data = malloc(1 << 20);
    *size = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

Test(gzip, what_is_inside_is_the_file_without_gzip)
{
    const char *plain = folder_path(&folder, "m.gguf");
    const char *packed = folder_path(&folder, "m.gguf.gz");
    size_t size, packed_size;
    struct pare_ckpt *ckpt;
    write_model(plain, VALUES);
    write_model(packed, VALUES);
    unsigned char *expected = read_file(plain, &size);
    unsigned char *found = malloc(size + 1);
    free(read_file(packed, &packed_size));
    cr_assert(packed_size < size / 2);
    gzFile file = gzopen(packed, "rb");
    cr_assert_eq((size_t)gzread(file, found, (unsigned)size + 1), size);
    gzclose(file);
    cr_assert_eq(memcmp(expected, found, size), 0);
    cr_assert_eq(pare_ckpt_open(packed, &ckpt, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(ckpt->bytes, packed_size);
    cr_assert_eq(ckpt->tensors[0].bytes, VALUES * 4);
    cr_assert_eq(memcmp(ckpt->tensors[0].data, expected + (size - VALUES * 4) / 32 * 32,
                        VALUES * 4),
                 0);
    cr_assert_eq(pare_ckpt_refuse_output(ckpt, packed, &err), PARE_ERR_USAGE);
    pare_ckpt_close(ckpt);
    free(expected);
    free(found);
}

Test(gzip, the_header_has_no_time_and_no_name)
{
    const char *packed = folder_path(&folder, "m.gguf.gz");
    size_t size;
    write_model(packed, 100);
    unsigned char *data = read_file(packed, &size);
    static const unsigned char expected[10] = {0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255};
    cr_assert_eq(memcmp(data, expected, sizeof expected), 0);
    free(data);
}

static enum pare_status open_bytes(const unsigned char *data, size_t size)
{
    struct pare_ckpt *ckpt;
    const enum pare_status status =
        pare_ckpt_open_memory("m.gguf.gz", data, size, &ckpt, &err);
    pare_ckpt_close(ckpt);
    return status;
}

static void refused(const unsigned char *data, size_t size, const char *phrase)
{
    cr_expect_eq(open_bytes(data, size), PARE_ERR_INPUT, "expected: %s", phrase);
    cr_expect(strstr(err.message, phrase), "%s; expected: %s", err.message, phrase);
}

/* A bit of the header, or of a code that does not occur, may say nothing. */
static void check_same_or_refused(const unsigned char *data, size_t size)
{
    struct pare_ckpt *ckpt;
    const enum pare_status status =
        pare_ckpt_open_memory("m.gguf.gz", data, size, &ckpt, &err);
    cr_assert(status == PARE_OK || status == PARE_ERR_INPUT);
    for (size_t i = 0; status == PARE_OK && i < 300; i++)
        cr_assert_eq(pare_load_f32((const unsigned char *)ckpt->tensors[0].data + 4 * i),
                     (float)(i * 7919 % 1000) / 8);
    pare_ckpt_close(ckpt);
}

Test(gzip, damage_is_refused)
{
    const char *packed = folder_path(&folder, "m.gguf.gz");
    size_t size;
    write_model(packed, 300);
    unsigned char *data = read_file(packed, &size);
    cr_assert_eq(open_bytes(data, size), PARE_OK, "%s", err.message);
    for (size_t n = 2; n < size; n++) { /* cut off everywhere */
        unsigned char *part = malloc(n);
        memcpy(part, data, n);
        cr_assert_eq(open_bytes(part, n), PARE_ERR_INPUT, "%zu bytes", n);
        free(part);
    }
    for (size_t i = 0; i < 8 * size; i++) { /* each bit wrong once */
        data[i / 8] ^= (unsigned char)(1 << i % 8);
        check_same_or_refused(data, size);
        data[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    data[size - 8] ^= 1;
    refused(data, size, "checksum or size is wrong");
    data[size - 8] ^= 1;
    data[size] = 0;
    pare_store_u32(data + size - 3, pare_load_u32(data + size - 4));
    refused(data, size + 1, "the gzip stream");
    free(data);
}

Test(gzip, more_than_one_stream_is_refused)
{
    const char *packed = folder_path(&folder, "m.gguf.gz");
    size_t size;
    write_model(packed, 300);
    unsigned char *data = read_file(packed, &size);
    unsigned char *twice = malloc(2 * size);
    memcpy(twice, data, size);
    memcpy(twice + size, data, size);
    refused(twice, 2 * size, "bytes behind the gzip stream belong to nothing");
    free(twice);
    free(data);
}

/* 128 MiB of zeros are 128 KiB of gzip. */
Test(gzip, a_bomb_is_refused_before_it_is_unpacked)
{
    const char *path = folder_path(&folder, "bomb.gz");
    static unsigned char zeros[1 << 20];
    gzFile file = gzopen(path, "wb9");
    for (int i = 0; i < 128; i++)
        gzwrite(file, zeros, sizeof zeros);
    gzclose(file);
    size_t size;
    unsigned char *data = read_file(path, &size);
    refused(data, size, "the gzip stream says that it holds 134217728 bytes");
    pare_store_u32(data + size - 4, 1000); /* a lie does not help it */
    refused(data, size, "holds more than the 1000 bytes that its end says");
    free(data);
}

Test(gzip, what_is_no_checkpoint_inside_is_refused)
{
    const char *path = folder_path(&folder, "text.gz");
    gzFile file = gzopen(path, "wb");
    gzputs(file, "hello");
    gzclose(file);
    size_t size;
    unsigned char *data = read_file(path, &size);
    refused(data, size, "not a checkpoint in a known format");
    free(data);
}

Test(gzip, a_download_is_counted_as_it_would_be_written)
{
    const char *plain = folder_path(&folder, "m.gguf");
    const char *packed = folder_path(&folder, "m.gguf.gz");
    struct pare_ckpt *ckpt;
    uint64_t counted, own;
    size_t size;
    write_model(plain, VALUES);
    write_model(packed, VALUES);
    cr_assert_eq(pare_ckpt_open(plain, &ckpt, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(pare_ckpt_download(ckpt, NULL, &counted, &err), PARE_OK);
    pare_ckpt_close(ckpt);
    cr_assert_eq(pare_ckpt_open(packed, &ckpt, &err), PARE_OK, "%s", err.message);
    cr_assert_eq(pare_ckpt_download(ckpt, NULL, &own, &err), PARE_OK);
    pare_ckpt_close(ckpt);
    free(read_file(packed, &size));
    cr_assert_eq(counted, size);
    cr_assert_eq(own, size);
}
