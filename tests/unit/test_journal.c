/* A journal: what of it counts after whatever happened to the file. */
#include "tests/support/folder.h"

#include "runtime/base/journal.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct pare_error err = {""};                                                    \
        cr_assert_eq((call), PARE_OK, "%s", err.message);                                \
    } while (0)

#define HEADER 84
#define RECORDS 3
static const size_t lengths[RECORDS] = {5, 70000, 1}; /* also longer than a piece */
static const char mine[65] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char other[65] =
    "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* Where record r ends: a length, the bytes, a checksum. */
static size_t end_of(int r)
{
    size_t end = HEADER;
    for (int i = 0; i <= r; i++)
        end += 12 + lengths[i];
    return end;
}

static unsigned char byte_of(int r, size_t i)
{
    return (unsigned char)(i * 7 + (size_t)r);
}

static void put_record(struct pare_journal *journal, int r)
{
    unsigned char *bytes = malloc(lengths[r]);
    for (size_t i = 0; i < lengths[r]; i++)
        bytes[i] = byte_of(r, i);
    OK(pare_journal_begin(journal, lengths[r], &err));
    OK(pare_journal_put(journal, bytes, lengths[r] / 2, &err));
    OK(pare_journal_put(journal, bytes + lengths[r] / 2, lengths[r] - lengths[r] / 2,
                        &err));
    free(bytes);
}

static struct pare_journal *open_mine(const char *path, uint64_t records, int changed)
{
    struct pare_journal *journal;
    struct pare_journal_found found;
    OK(pare_journal_open(path, mine, &journal, &found, &err));
    cr_assert_eq(found.records, records);
    cr_assert_eq(found.damaged, changed);
    cr_assert_eq(found.other, 0);
    return journal;
}

/* Reads that many records, and finds nothing behind them. */
static void expect_records(struct pare_journal *journal, int n)
{
    struct pare_error late = {""};
    unsigned char byte;
    for (int r = 0; r < n; r++) {
        unsigned char *bytes = malloc(lengths[r]);
        OK(pare_journal_get(journal, bytes, lengths[r], &err));
        for (size_t i = 0; i < lengths[r]; i++)
            cr_assert_eq(bytes[i], byte_of(r, i), "record %d, byte %zu", r, i);
        free(bytes);
    }
    cr_assert_eq(pare_journal_get(journal, &byte, 1, &late), PARE_ERR_INPUT);
    cr_assert_not_null(strstr(late.message, "it ends too early"));
}

static void make(const char *path)
{
    struct pare_journal *journal = open_mine(path, 0, 0);
    for (int r = 0; r < RECORDS; r++)
        put_record(journal, r);
    pare_journal_close(journal, 0);
    struct stat info;
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq((size_t)info.st_size, end_of(RECORDS - 1));
}

Test(journal, records_come_back)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "j");
    make(path);
    struct pare_journal *journal = open_mine(path, RECORDS, 0);
    expect_records(journal, RECORDS);
    pare_journal_close(journal, 1);
    cr_assert_eq(folder_count(&folder), 0);
    folder_remove(&folder);
}

/* Wherever the file was cut off: whole records count, and others go on behind them. */
Test(journal, a_torn_tail_is_cut_away)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "j");
    const size_t cuts[] = {HEADER,        HEADER + 1,    HEADER + 8,    HEADER + 12,
                           end_of(0) - 1, end_of(0),     end_of(0) + 3, end_of(0) + 9,
                           end_of(1) - 4, end_of(1) - 1, end_of(1),     end_of(1) + 11,
                           end_of(2) - 1};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        make(path);
        cr_assert_eq(truncate(path, (off_t)cuts[c]), 0);
        const int whole = (cuts[c] >= end_of(0)) + (cuts[c] >= end_of(1));
        struct pare_journal *journal = open_mine(path, (uint64_t)whole, 0);
        expect_records(journal, whole);
        for (int r = whole; r < RECORDS; r++)
            put_record(journal, r);
        pare_journal_close(journal, 0);
        journal = open_mine(path, RECORDS, 0);
        expect_records(journal, RECORDS);
        pare_journal_close(journal, 1);
    }
    folder_remove(&folder);
}

/* A record that was begun and not finished, as a killed process leaves it. */
Test(journal, half_a_record_does_not_count)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "j");
    struct pare_journal *journal = open_mine(path, 0, 0);
    put_record(journal, 0);
    OK(pare_journal_begin(journal, 100, &err));
    OK(pare_journal_put(journal, mine, 64, &err));
    pare_journal_close(journal, 0);
    journal = open_mine(path, 1, 0);
    expect_records(journal, 1);
    pare_journal_close(journal, 0);
    folder_remove(&folder);
}

Test(journal, what_is_behind_a_changed_byte_is_gone)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "j");
    const size_t places[] = {HEADER + 8, end_of(0) + 10, end_of(1) - 2};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        make(path);
        FILE *file = fopen(path, "r+b");
        fseek(file, (long)places[p], SEEK_SET);
        const int byte = fgetc(file);
        fseek(file, (long)places[p], SEEK_SET);
        fputc(byte ^ 16, file);
        fclose(file);
        const int whole = places[p] > end_of(0);
        struct pare_journal *journal = open_mine(path, (uint64_t)whole, 1);
        expect_records(journal, whole);
        pare_journal_close(journal, 1);
    }
    folder_remove(&folder);
}

/* Also one whose header was cut off or changed, or that is not written yet. */
Test(journal, of_another_run_nothing_is_left)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "j");
    const off_t cuts[] = {-1, HEADER - 1, 20, 8, 3, 0};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        struct pare_journal *journal;
        struct pare_journal_found found;
        make(path);
        if (cuts[c] >= 0)
            cr_assert_eq(truncate(path, cuts[c]), 0);
        OK(pare_journal_open(path, other, &journal, &found, &err));
        cr_assert_eq(found.records, 0);
        cr_assert_eq(found.other, cuts[c] < 0);
        expect_records(journal, 0);
        pare_journal_close(journal, 1);
    }
    folder_remove(&folder);
}

Test(journal, one_at_a_time_has_it_open)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "j");
    struct pare_journal *first = open_mine(path, 0, 0), *second;
    struct pare_journal_found found;
    struct pare_error err = {""};
    put_record(first, 0);
    cr_assert_eq(pare_journal_open(path, mine, &second, &found, &err), PARE_ERR_LOCKED);
    cr_assert_not_null(strstr(err.message, "another process has this file open"));
    cr_assert_null(second);
    put_record(first, 1); /* the other did nothing to it */
    pare_journal_close(first, 0);
    first = open_mine(path, 2, 0);
    expect_records(first, 2);
    pare_journal_close(first, 1);
    folder_remove(&folder);
}

Test(journal, what_is_no_journal_stays_as_it_is)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "j"), *link = folder_path(&folder, "l");
    struct pare_journal *journal;
    struct pare_journal_found found;
    struct pare_error err = {""};
    put_file(path, "my letters", 10);
    cr_assert_eq(pare_journal_open(path, mine, &journal, &found, &err), PARE_ERR_USAGE);
    cr_assert_not_null(strstr(err.message, "in the way"));
    cr_assert(file_is(path, "my letters", 10));
    cr_assert_eq(symlink("j", link), 0);
    cr_assert_eq(pare_journal_open(link, mine, &journal, &found, &err), PARE_ERR_IO);
    cr_assert(file_is(path, "my letters", 10));
    folder_remove(&folder);
}

Test(journal, a_folder_that_cannot_be_written_is_an_error)
{
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "j");
    struct pare_journal *journal;
    struct pare_journal_found found;
    struct pare_error err = {""};
    cr_assert_eq(chmod(folder.path, 0555), 0);
    if (geteuid() == 0) /* who may write everywhere */
        cr_assert_eq(seteuid(65534), 0);
    cr_assert_eq(pare_journal_open(path, mine, &journal, &found, &err), PARE_ERR_IO);
    cr_assert_not_null(strstr(err.message, path));
    cr_assert_null(journal);
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(folder_count(&folder), 0);
    folder_remove(&folder);
}

Test(journal, a_record_has_the_length_it_was_begun_with)
{
    struct folder folder = folder_make();
    struct pare_journal *journal = open_mine(folder_path(&folder, "j"), 0, 0);
    struct pare_error much = {""};
    OK(pare_journal_begin(journal, 10, &err));
    cr_assert_eq(pare_journal_put(journal, mine, 11, &much), PARE_ERR_INTERNAL);
    pare_journal_close(journal, 1);
    folder_remove(&folder);
}
