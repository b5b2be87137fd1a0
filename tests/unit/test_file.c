#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "tests/support/folder.h"

static struct folder folder;
static struct pare_error err;

static void set_up(void)
{
    folder = folder_make();
}

static void tear_down(void)
{
    folder_remove(&folder);
}

TestSuite(file, .init = set_up, .fini = tear_down);

/* Of this process, now. */
static uint64_t resident_bytes(void)
{
    char line[128];
    uint64_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "VmRSS:", 6))
            kib = strtoull(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kib * 1024;
}

Test(file, a_mapping_shows_the_bytes_and_an_empty_file_maps_to_nothing)
{
    put_file(folder_path(&folder, "a"), "hello", 5);
    put_file(folder_path(&folder, "empty"), "", 0);
    struct pare_map map;
    cr_assert_eq(pare_map_open(folder_path(&folder, "a"), &map, &err), PARE_OK);
    cr_assert_eq(map.size, 5);
    cr_assert_eq(memcmp(map.data, "hello", 5), 0);
    pare_map_close(&map);
    pare_map_close(&map);
    cr_assert_eq(pare_map_open(folder_path(&folder, "empty"), &map, &err), PARE_OK);
    cr_assert_eq(map.size, 0);
    cr_assert_null(map.data);
    pare_map_close(&map);
}

/* The data are there again after their memory went, also at the edges of the file. */
Test(file, released_pages_are_read_again)
{
    static unsigned char bytes[300001];
    struct pare_map map, other;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 4096);
    put_file(folder_path(&folder, "a"), (const char *)bytes, sizeof bytes);
    cr_assert_eq(pare_map_open(folder_path(&folder, "a"), &map, &err), PARE_OK);
    cr_assert_eq(pare_map_open(folder_path(&folder, "a"), &other, &err), PARE_OK);
    static const size_t pieces[][2] = {
        {0, sizeof bytes}, {1, 5000}, {4096, 4096}, {299000, 1001}, {100, UINT32_MAX}};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        cr_assert_eq(memcmp(map.data, bytes, sizeof bytes), 0);
        pare_map_release(&map, map.data + pieces[i][0], pieces[i][1]);
    }
    pare_map_release(&map, bytes, sizeof bytes); /* nothing of the mapping's */
    pare_map_release(&map, other.data, other.size);
    cr_assert_eq(memcmp(map.data, bytes, sizeof bytes), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        cr_assert_eq(bytes[i], (unsigned char)(i * 7 + i / 4096));
    pare_map_close(&map);
    pare_map_release(&map, bytes, sizeof bytes);
    pare_map_close(&other);
}

Test(file, a_released_page_takes_no_memory)
{
    const size_t size = 4 << 20;
    char *data = calloc(1, size);
    struct pare_map map;
    put_file(folder_path(&folder, "a"), data, size);
    free(data);
    cr_assert_eq(pare_map_open(folder_path(&folder, "a"), &map, &err), PARE_OK);
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i += 512)
        sum += map.data[i];
    cr_assert_eq(sum, 0);
    const uint64_t before = resident_bytes();
    pare_map_release(&map, map.data, map.size);
    cr_assert_gt(before, resident_bytes() + size / 2);
    pare_map_close(&map);
}

Test(file, a_missing_file_a_folder_a_pipe_and_a_device_cannot_be_mapped)
{
    struct pare_map map;
    cr_assert_eq(mkfifo(folder_path(&folder, "pipe"), 0600), 0);
    const char *paths[] = {folder_path(&folder, "none"), folder.path,
                           folder_path(&folder, "pipe"), "/dev/zero"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        cr_expect_eq(pare_map_open(paths[i], &map, &err), PARE_ERR_IO, "%s", paths[i]);
        cr_expect_eq(strncmp(err.message, paths[i], strlen(paths[i])), 0, "%s",
                     err.message);
        cr_expect_null(map.data);
    }
}

Test(file, reading_adds_a_nul_and_keeps_to_its_limit)
{
    char *text;
    size_t length;
    put_file(folder_path(&folder, "a"), "ab\0cd", 5);
    cr_assert_eq(pare_read_file(folder_path(&folder, "a"), 5, &text, &length, &err),
                 PARE_OK);
    cr_assert_eq(length, 5);
    cr_assert_eq(memcmp(text, "ab\0cd\0", 6), 0);
    pare_free(text);
    cr_assert_eq(pare_read_file(folder_path(&folder, "a"), 4, &text, &length, &err),
                 PARE_ERR_INPUT);
    cr_assert_null(text);
    cr_assert_not_null(strstr(err.message, "5 bytes, at most 4"));
}

Test(file, an_output_appears_only_at_commit_and_leaves_nothing_else)
{
    const char *path = folder_path(&folder, "out");
    put_file(path, "old", 3);
    struct pare_output *out;
    cr_assert_eq(pare_output_open(path, &out, &err), PARE_OK);
    cr_assert_eq(pare_output_write(out, "new text", 8, &err), PARE_OK);
    cr_assert_eq(pare_output_size(out), 8);
    cr_assert(file_is(path, "old", 3));
    const char *temporary;
    cr_assert_eq(pare_output_flush(out, &temporary, &err), PARE_OK);
    cr_assert(file_is(temporary, "new text", 8));
    cr_assert(file_is(path, "old", 3));
    cr_assert_eq(pare_output_commit(out, &err), PARE_OK);
    cr_assert(file_is(path, "new text", 8));
    cr_assert_eq(folder_count(&folder), 1);
}

Test(file, an_aborted_output_leaves_the_old_file_alone)
{
    const char *path = folder_path(&folder, "out");
    put_file(path, "old", 3);
    struct pare_output *out;
    cr_assert_eq(pare_output_open(path, &out, &err), PARE_OK);
    cr_assert_eq(pare_output_write(out, "new", 3, &err), PARE_OK);
    pare_output_abort(out);
    cr_assert(file_is(path, "old", 3));
    cr_assert_eq(folder_count(&folder), 1);
    pare_output_abort(NULL);
}

Test(file, pieces_of_every_size_arrive_in_order_and_patches_keep_the_position)
{
    enum { LARGEST = 700000 };
    const char *path = folder_path(&folder, "out");
    unsigned char *expected = malloc(4 * LARGEST);
    size_t total = 0, sizes[] = {1, 0, 262143, 262144, 262145, 5, LARGEST, 7};
    struct pare_output *out;
    cr_assert_eq(pare_output_open(path, &out, &err), PARE_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t j = 0; j < sizes[i]; j++)
            expected[total + j] = (unsigned char)((total + j) * 2654435761u >> 13);
        cr_assert_eq(pare_output_write(out, expected + total, sizes[i], &err), PARE_OK);
        total += sizes[i];
        if (i % 2) {
            memcpy(expected + total / 2, "patch", 5 < total ? 5 : 0);
            cr_assert_eq(pare_output_patch(out, total / 2, expected + total / 2,
                                           5 < total ? 5 : 0, &err),
                         PARE_OK);
        }
    }
    cr_assert_eq(pare_output_patch(out, total - 1, "xx", 2, &err), PARE_ERR_INTERNAL);
    cr_assert_eq(pare_output_patch(out, UINT64_MAX, "xx", 2, &err), PARE_ERR_INTERNAL);
    cr_assert_eq(pare_output_commit(out, &err), PARE_OK);
    cr_assert(file_is(path, expected, total));
    free(expected);
}

Test(file, a_second_writer_is_refused_until_the_first_is_done)
{
    const char *path = folder_path(&folder, "out");
    struct pare_output *first, *second;
    cr_assert_eq(pare_output_open(path, &first, &err), PARE_OK);
    cr_assert_eq(pare_output_open(path, &second, &err), PARE_ERR_LOCKED);
    cr_assert_null(second);
    cr_assert_not_null(strstr(err.message, "out: another process"), "%s", err.message);
    cr_assert_eq(pare_output_write(first, "1", 1, &err), PARE_OK);
    cr_assert_eq(pare_output_commit(first, &err), PARE_OK);
    cr_assert_eq(pare_output_open(path, &second, &err), PARE_OK);
    pare_output_abort(second);
    cr_assert(file_is(path, "1", 1));
}

Test(file, temporaries_of_killed_writers_are_removed_and_other_files_stay)
{
    const char *path = folder_path(&folder, "out");
    put_file(folder_path(&folder, ".out.123.0123456789abcdef.tmp"), "x", 1);
    put_file(folder_path(&folder, "out.lock"), "", 0); /* no process holds it */
    const char *others[] = {".out2.123.0123456789abcdef.tmp",
                            ".out.123.tmp",
                            "out.tmp",
                            ".out.x.0123456789abcdef.tmp",
                            ".out.123.0123456789abcdef.tmp2",
                            ".out.5.123.0123456789abcdef.tmp"};
    int n_others = (int)(sizeof others / sizeof *others);
    for (int i = 0; i < n_others; i++)
        put_file(folder_path(&folder, others[i]), "x", 1);
    cr_assert_eq(pare_write_file(path, "new", 3, &err), PARE_OK);
    cr_assert_eq(folder_count(&folder), 1 + n_others);
    for (int i = 0; i < n_others; i++)
        cr_expect(pare_path_exists(folder_path(&folder, others[i])), "%s", others[i]);
}

Test(file, a_link_keeps_pointing_to_the_replaced_file_and_permissions_stay)
{
    const char *path = folder_path(&folder, "real"), *link = folder_path(&folder, "link");
    put_file(path, "old", 3);
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_eq(symlink("real", link), 0);
    cr_assert_eq(pare_write_file(link, "new", 3, &err), PARE_OK);
    struct stat info;
    cr_assert_eq(lstat(link, &info), 0);
    cr_assert(S_ISLNK(info.st_mode));
    cr_assert(file_is(path, "new", 3));
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0640);
}

Test(file, outputs_that_cannot_be_files_are_refused)
{
    struct pare_output *out;
    cr_assert_eq(mkfifo(folder_path(&folder, "pipe"), 0600), 0);
    struct {
        const char *path;
        enum pare_status status;
    } cases[] = {{folder.path, PARE_ERR_USAGE},
                 {"/dev/null", PARE_ERR_USAGE},
                 {folder_path(&folder, "pipe"), PARE_ERR_USAGE},
                 {folder_path(&folder, ""), PARE_ERR_USAGE},
                 {folder_path(&folder, "no/such"), PARE_ERR_IO},
                 {"", PARE_ERR_USAGE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(pare_output_open(cases[i].path, &out, &err), cases[i].status,
                     "%s: %s", cases[i].path, err.message);
        cr_expect_null(out);
    }
    cr_assert_eq(folder_count(&folder), 1);
}

Test(file, a_full_disk_leaves_the_old_file_and_no_temporary)
{
    const char *path = folder_path(&folder, "out");
    put_file(path, "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {100000, 100000};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    char *data = calloc(1, 400000);
    cr_assert_eq(pare_write_file(path, data, 400000, &err), PARE_ERR_IO);
    free(data);
    cr_assert_not_null(strstr(err.message, "cannot write"), "%s", err.message);
    cr_assert(file_is(path, "old", 3));
    cr_assert_eq(folder_count(&folder), 1);
}

Test(file, bytes_that_vanish_before_the_commit_are_noticed)
{
    const char *path = folder_path(&folder, "out"), *temporary;
    put_file(path, "old", 3);
    struct pare_output *out;
    cr_assert_eq(pare_output_open(path, &out, &err), PARE_OK);
    cr_assert_eq(pare_output_write(out, "12345", 5, &err), PARE_OK);
    cr_assert_eq(pare_output_flush(out, &temporary, &err), PARE_OK);
    cr_assert_eq(truncate(temporary, 3), 0);
    cr_assert_eq(pare_output_commit(out, &err), PARE_ERR_IO);
    cr_assert_not_null(strstr(err.message, "5 bytes were written"), "%s", err.message);
    cr_assert(file_is(path, "old", 3));
    cr_assert_eq(folder_count(&folder), 1);
}

Test(file, the_same_file_under_two_names_is_recognised)
{
    const char *a = folder_path(&folder, "a"), *b = folder_path(&folder, "b");
    put_file(a, "x", 1);
    cr_assert_eq(pare_refuse_same_file(a, b, &err), PARE_OK);
    cr_assert_eq(pare_refuse_same_file(a, a, &err), PARE_ERR_USAGE);
    cr_assert_eq(symlink("a", b), 0);
    cr_assert_eq(pare_refuse_same_file(a, b, &err), PARE_ERR_USAGE);
    cr_assert_eq(unlink(b), 0);
    cr_assert_eq(link(a, b), 0);
    cr_assert_eq(pare_refuse_same_file(a, b, &err), PARE_ERR_USAGE);
    cr_assert_eq(unlink(b), 0);
    put_file(b, "x", 1);
    cr_assert_eq(pare_refuse_same_file(a, b, &err), PARE_OK);
}

Test(file, paths_to_one_file_that_is_not_there_yet_are_recognised)
{
    char path[4096], other[4096];
    const char *a = folder_path(&folder, "a");
    const char *name = strrchr(a, '/') + 1;
    snprintf(path, sizeof path, "%.*s./%s", (int)(name - a), a, name);
    snprintf(other, sizeof other, "%.*s./b", (int)(name - a), a);
    cr_assert(pare_path_is_same(a, a));
    cr_assert(pare_path_is_same(a, path));
    cr_assert_not(pare_path_is_same(a, other));
    cr_assert(pare_path_is_same("none-such", "./none-such"));
    cr_assert_not(pare_path_is_same("none-such/a", "other-such/a"));
    put_file(a, "x", 1);
    cr_assert(pare_path_is_same(a, path));
    cr_assert_not(pare_path_is_same(a, other));
}

Test(file, paths_are_joined_and_too_long_ones_refused)
{
    char path[8];
    cr_assert_eq(pare_path_join(path, sizeof path, "ab", "cd", &err), PARE_OK);
    cr_assert_str_eq(path, "ab/cd");
    cr_assert_eq(pare_path_join(path, sizeof path, "ab/", "cd", &err), PARE_OK);
    cr_assert_str_eq(path, "ab/cd");
    cr_assert_eq(pare_path_join(path, sizeof path, "abcd", "efg", &err), PARE_ERR_USAGE);
    cr_assert(pare_path_is_folder(folder.path));
    cr_assert(!pare_path_is_folder("/dev/null"));
    cr_assert(pare_path_exists("/dev/null"));
}

/* Eight processes replace one file as fast as they can; each writes a block of its own
 * letter. Whatever a reader sees is whole, and at the end nothing else is left. */
static void writer(const char *path, char letter)
{
    char block[50000];
    memset(block, letter, sizeof block);
    int done = 0;
    for (int i = 0; i < 2000 && done < 10; i++) {
        struct pare_error inner;
        enum pare_status status = pare_write_file(path, block, sizeof block, &inner);
        if (status == PARE_OK)
            done++;
        else if (status != PARE_ERR_LOCKED)
            _exit(1);
    }
    _exit(0);
}

Test(file, racing_writers_never_produce_a_mixture)
{
    const char *path = folder_path(&folder, "out");
    char block[50001];
    memset(block, 'a', sizeof block);
    put_file(path, block, 50000);
    pid_t children[8];
    for (int i = 0; i < 8; i++)
        if ((children[i] = fork()) == 0)
            writer(path, (char)('a' + i));
    for (int i = 0; i < 300; i++) {
        FILE *file = fopen(path, "rb");
        cr_assert_not_null(file);
        size_t n = fread(block, 1, sizeof block, file);
        fclose(file);
        cr_assert_eq(n, 50000);
        for (size_t j = 1; j < n; j++)
            cr_assert(block[j] == block[0]);
    }
    for (int i = 0; i < 8; i++) {
        int status;
        cr_assert_eq(waitpid(children[i], &status, 0), children[i]);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "writer %d", i);
    }
    cr_assert_eq(folder_count(&folder), 1);
}

/* A writer killed at any moment leaves the old or the new file, and the next writer
 * cleans up behind it. */
Test(file, a_writer_killed_at_any_time_leaves_old_or_new)
{
    enum { SIZE = 3000000 };
    const char *path = folder_path(&folder, "out");
    char *old = malloc(SIZE), *new = malloc(SIZE);
    memset(old, 'o', SIZE);
    memset(new, 'n', SIZE);
    int seen_new = 0, seen_old = 0;
    for (int i = 0; i < 60; i++) {
        put_file(path, old, SIZE);
        pid_t child = fork();
        if (child == 0)
            _exit(pare_write_file(path, new, SIZE, NULL) != PARE_OK);
        usleep((useconds_t)(i * 97));
        kill(child, SIGKILL);
        cr_assert_eq(waitpid(child, NULL, 0), child);
        int is_new = file_is(path, new, SIZE);
        cr_assert(is_new || file_is(path, old, SIZE), "neither old nor new at %d", i);
        seen_new += is_new;
        seen_old += !is_new;
    }
    cr_log_info("old %d, new %d", seen_old, seen_new);
    cr_assert_eq(pare_write_file(path, "end", 3, &err), PARE_OK);
    cr_assert(file_is(path, "end", 3));
    cr_assert_eq(folder_count(&folder), 1);
    free(old);
    free(new);
}
