/* Every malformed checkpoint is refused with its message, every valid one beside it
 * opens; in bounded time and, without sanitizers, in the memory that promise P1 allows.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "runtime/checkpoint/reader.h"
#include "tests/support/corpus.h"
#include "tests/support/folder.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int n_valid, n_malformed;

/* The copy ends where a page that nobody may touch begins: reading behind the file is a
 * crash with or without sanitizers. */
static uint8_t *guarded(const struct corpus_case *c, size_t *mapped)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *mapped = (c->size / page + 2) * page;
    uint8_t *area =
        mmap(NULL, *mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(area, MAP_FAILED);
    cr_assert_eq(mprotect(area + *mapped - page, page, PROT_NONE), 0);
    uint8_t *copy = area + *mapped - page - c->size;
    if (c->size)
        memcpy(copy, c->data, c->size);
    return copy;
}

static void check(void *context, const struct corpus_case *c)
{
    (void)context;
    struct pare_error err = {""};
    struct pare_ckpt *ckpt;
    size_t mapped;
    uint8_t *copy = guarded(c, &mapped);
    double start = now();
    enum pare_status status = pare_ckpt_open_memory(c->name, copy, c->size, &ckpt, &err);
    double seconds = now() - start;
    cr_expect_eq(status, c->status, "%s: %s", c->id, err.message);
    cr_expect_lt(seconds, 10 + 1e-5 * (double)c->size, "%s", c->id);
    if (status == PARE_OK) {
        n_valid++;
        uint64_t sum = 0; /* every byte a tensor claims can be read */
        for (size_t i = 0; i < ckpt->n_tensors; i++)
            for (uint64_t j = 0; j < ckpt->tensors[i].bytes; j++)
                sum += ((const uint8_t *)ckpt->tensors[i].data)[j];
        cr_expect_lt(sum, UINT64_MAX);
    } else {
        n_malformed++;
        size_t path = strlen(c->name);
        cr_expect_null(ckpt);
        cr_expect(strncmp(err.message, c->name, path) == 0 && err.message[path] == ':',
                  "%s: %s", c->id, err.message);
        cr_expect(c->phrase && strstr(err.message, c->phrase), "%s gave: %s", c->id,
                  err.message);
    }
    pare_ckpt_close(ckpt);
    munmap(copy + c->size - (mapped - (size_t)sysconf(_SC_PAGESIZE)), mapped);
}

Test(malformed, safetensors_are_refused_by_name, .timeout = 250)
{
    corpus_safetensors(check, NULL, 0);
    cr_log_info("%d valid, %d malformed", n_valid, n_malformed);
    cr_assert(n_valid >= 8 && n_malformed >= 80);
}

Test(malformed, gguf_files_are_refused_by_name, .timeout = 250)
{
    corpus_gguf(check, NULL, 0);
    cr_log_info("%d valid, %d malformed", n_valid, n_malformed);
    cr_assert(n_valid >= 8 && n_malformed >= 300);
}

Test(malformed, torch_files_are_refused_by_name, .timeout = 250)
{
    corpus_torch(check, NULL, 0);
    cr_log_info("%d valid, %d malformed", n_valid, n_malformed);
    cr_assert(n_valid >= 8 && n_malformed >= 300);
}

/* --- memory --- */

static uint64_t address_space(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%llu", &pages), 1);
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The same with the address space limited to what P1 promises: a reader that asks for
 * more fails with another status than the expected one. */
static void check_within_limit(void *context, const struct corpus_case *c)
{
    struct rlimit old, limit;
    cr_assert_eq(getrlimit(RLIMIT_AS, &old), 0);
    limit = old;
    /* The checker's own copy and its guard page are not the reader's. */
    limit.rlim_cur = address_space() + ((uint64_t)64 << 20) + 5 * c->size + (64 << 10);
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    check(context, c);
    cr_assert_eq(setrlimit(RLIMIT_AS, &old), 0);
}

Test(malformed, memory_stays_within_64_mib_and_four_times_the_file, .timeout = 600)
{
    if (SANITIZED)
        cr_skip_test("a sanitizer's own memory would be counted");
    corpus_safetensors(check_within_limit, NULL, 1);
    corpus_gguf(check_within_limit, NULL, 1);
    corpus_torch(check_within_limit, NULL, 1);
}

/* --- indexes of shards --- */

static struct folder folder;

static void set_up(void)
{
    folder = folder_make();
}

static void tear_down(void)
{
    folder_remove(&folder);
}

TestSuite(shards, .init = set_up, .fini = tear_down);

/* A safetensors file with one tensor of one byte. */
static void put_shard(const char *file, const char *tensor)
{
    struct buffer b = {0};
    put_u64(&b, 0);
    put_string(&b, "{\"");
    put_string(&b, tensor);
    put_string(&b, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
    set_u64(&b, 0, b.size - 8);
    put_u8(&b, (uint8_t)tensor[0]);
    put_file(folder_path(&folder, file), b.data, b.size);
    buffer_free(&b);
}

static enum pare_status open_index(const char *text, struct pare_ckpt **ckpt,
                                   struct pare_error *err)
{
    const char *path = folder_path(&folder, "model.safetensors.index.json");
    put_file(path, text, strlen(text));
    return pare_ckpt_open(path, ckpt, err);
}

Test(shards, an_index_finds_its_tensors_in_the_order_of_the_files)
{
    struct pare_ckpt *ckpt;
    struct pare_error err;
    put_shard("2.safetensors", "a");
    put_shard("1.safetensors", "b");
    cr_assert_eq(open_index(" {\"metadata\":{\"total_size\":2},\"weight_map\":"
                            "{\"a\":\"2.safetensors\",\"\\u0062\":\"1.safetensors\"}}",
                            &ckpt, &err),
                 PARE_OK, "%s", err.message);
    cr_assert_eq(ckpt->n_files, 2);
    cr_assert_eq(ckpt->n_tensors, 2);
    cr_assert_str_eq(ckpt->tensors[0].name, "b");
    cr_assert_eq(*(const char *)pare_ckpt_find(ckpt, "a")->data, 'a');
    pare_ckpt_close(ckpt);
    cr_assert_eq(pare_ckpt_open(folder.path, &ckpt, &err), PARE_OK, "%s", err.message);
    pare_ckpt_close(ckpt);
}

Test(shards, an_index_that_lies_or_leads_outside_is_refused)
{
    static const struct {
        const char *text, *phrase;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"../x\"}}", "beside the index, found \"../x\""},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "beside the index"},
        {"{\"weight_map\":{\"a\":\"sub/a.safetensors\"}}", "beside the index"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "beside the index"},
        {"{\"weight_map\":{\"a\":\"\"}}", "beside the index"},
        {"{\"weight_map\":{\"a\":\"a\\nb\"}}", "beside the index"},
        {"{\"weight_map\":{\"a\":1}}", "the name of a file"},
        {"{\"weight_map\":[]}", "not an object"},
        {"{\"weight_map\":{}}", "expected an index"},
        {"{\"a\":\"1.safetensors\"}", "expected an index"},
        {"{\"weight_map\":{\"a\":\"none.safetensors\"}}", "none.safetensors, which the"},
        {"{\"weight_map\":{\"c\":\"1.safetensors\"}}", "tensor c is not in"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"1.safetensors\"}}",
         "tensor b is not in"},
        {"{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"}}",
         "is not in"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"2.safetensors\"}}",
         "occurs twice"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"3.safetensors\"}}",
         "tensor a occurs twice"},
        {"{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}", "known format"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\"}", "ends too early"},
    };
    put_shard("1.safetensors", "a");
    put_shard("2.safetensors", "b");
    put_shard("3.safetensors", "a");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pare_ckpt *ckpt;
        struct pare_error err = {""};
        cr_expect_eq(open_index(cases[i].text, &ckpt, &err), PARE_ERR_INPUT, "%s",
                     cases[i].text);
        cr_expect_null(ckpt);
        cr_expect_not_null(strstr(err.message, cases[i].phrase), "%s gave %s",
                           cases[i].text, err.message);
        cr_expect_eq(strncmp(err.message, folder.path, strlen(folder.path)), 0, "%s",
                     err.message);
    }
}

Test(shards, folders_are_searched_and_empty_ones_refused)
{
    struct pare_ckpt *ckpt;
    struct pare_error err;
    cr_assert_eq(pare_ckpt_open(folder.path, &ckpt, &err), PARE_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "has no model.safetensors"));
    cr_assert_eq(pare_ckpt_open(folder_path(&folder, "none"), &ckpt, &err), PARE_ERR_IO);
    put_file(folder_path(&folder, "a.gguf"), "GGUF", 4);
    cr_assert_eq(pare_ckpt_open(folder.path, &ckpt, &err), PARE_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "a.gguf: byte 4"), "%s", err.message);
    put_file(folder_path(&folder, "b.gguf"), "GGUF", 4);
    cr_assert_eq(pare_ckpt_open(folder.path, &ckpt, &err), PARE_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "several .gguf files"));
    put_shard("model.safetensors", "a");
    cr_assert_eq(pare_ckpt_open(folder.path, &ckpt, &err), PARE_OK);
    cr_assert_eq(ckpt->format, PARE_FORMAT_SAFETENSORS);
    pare_ckpt_close(ckpt);
}
