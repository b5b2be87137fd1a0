/* Files without a name, and sizes that people write. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/memory.h"
#include "runtime/base/spill.h"
#include "tests/support/folder.h"
#include "tools/sizes.h"

static struct pare_error err;

Test(spill, pieces_come_back_and_no_name_is_left)
{
    struct folder folder = folder_make();
    struct pare_spill *spill;
    char text[8] = "";
    cr_assert_eq(pare_spill_open(folder_path(&folder, "out"), &spill, &err), PARE_OK,
                 "%s", err.message);
    cr_assert_eq(folder_count(&folder), 0);
    cr_assert_eq(pare_spill_write(spill, 5000, "later", 5, &err), PARE_OK);
    cr_assert_eq(pare_spill_write(spill, 3, "first", 5, &err), PARE_OK);
    cr_assert_eq(pare_spill_write(spill, 4, "IRS", 3, &err), PARE_OK);
    cr_assert_eq(pare_spill_read(spill, 3, text, 5, &err), PARE_OK);
    cr_assert_str_eq(text, "fIRSt");
    cr_assert_eq(pare_spill_read(spill, 5000, text, 5, &err), PARE_OK);
    cr_assert_str_eq(text, "later");
    cr_assert_eq(pare_spill_read(spill, 5001, text, 5, &err), PARE_ERR_IO);
    pare_spill_close(spill);
    pare_spill_close(NULL);
    folder_remove(&folder);
}

Test(spill, two_do_not_meet_and_a_bare_name_means_this_folder)
{
    struct folder folder = folder_make();
    struct pare_spill *a, *b;
    char text[2] = "";
    cr_assert_eq(chdir(folder.path), 0);
    cr_assert_eq(pare_spill_open("out", &a, &err), PARE_OK);
    cr_assert_eq(pare_spill_open("out", &b, &err), PARE_OK);
    cr_assert_eq(pare_spill_write(a, 0, "a", 1, &err), PARE_OK);
    cr_assert_eq(pare_spill_write(b, 0, "b", 1, &err), PARE_OK);
    cr_assert_eq(pare_spill_read(a, 0, text, 1, &err), PARE_OK);
    cr_assert_str_eq(text, "a");
    cr_assert_eq(folder_count(&folder), 0);
    pare_spill_close(a);
    pare_spill_close(b);
    cr_assert_eq(chdir("/"), 0);
    folder_remove(&folder);
}

Test(sizes, units_are_powers_of_1000_or_1024)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"1500", 1500},         {"1.5kB", 1500},  {"512MB", 512000000},
                {"2GB", 2000000000},    {"64KiB", 65536}, {"0.5 gib", 1u << 29},
                {"1TB", 1000000000000}, {"3b", 3},        {"20mb", 20000000}};
    static const char *const bad[] = {"",     "MB",   "0",          "-1",  "1e3",
                                      "0x10", "1..5", "inf",        "2 X", "1MBB",
                                      "nan",  ".",    "99999999TB", "+5"};
    uint64_t bytes;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert_eq(parse_size("max-ram", good[i].text, &bytes, &err), PARE_OK, "%s",
                     good[i].text);
        cr_assert_eq(bytes, good[i].bytes, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(parse_size("max-ram", bad[i], &bytes, &err), PARE_ERR_USAGE, "%s",
                     bad[i]);
        cr_assert(strstr(err.message, "--max-ram") != NULL);
    }
}

Test(peak, the_most_memory_grows_with_what_is_touched)
{
    const uint64_t before = pare_peak_memory();
    const size_t size = 64 << 20;
    char *block = malloc(size);
    memset(block, 1, size);
    cr_assert_gt(before, 0);
    cr_assert_eq(block[size / 2], 1);
    free(block);
    cr_assert_geq(pare_peak_memory(), before + size / 2);
}
