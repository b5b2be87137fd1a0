/* Reads and writes that the system cuts short or interrupts: the bytes come out the same.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"
#include "tests/support/folder.h"

static int meddling, calls;

/* Stand in front of the C library's: every third call is interrupted, the others move at
 * most 777 bytes. */
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    if (meddling && calls++ % 3 == 2) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, meddling && bytes > 777 ? 777 : bytes, offset);
}

ssize_t read(int fd, void *data, size_t bytes)
{
    if (meddling && calls++ % 3 == 2) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_read, fd, data, meddling && bytes > 777 ? 777 : bytes);
}

Test(short_io, pieces_of_any_size_arrive_whole)
{
    enum { SIZE = 600001 };
    struct folder folder = folder_make();
    const char *path = folder_path(&folder, "out");
    struct pare_error err;
    struct pare_output *out;
    unsigned char *data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 11);
    meddling = 1;
    enum pare_status status = pare_output_open(path, &out, &err);
    for (size_t at = 0, piece = 1; status == PARE_OK && at < SIZE;
         piece = piece * 5 + 3) {
        size_t n = SIZE - at < piece ? SIZE - at : piece;
        status = pare_output_write(out, data + at, n, &err);
        at += n;
    }
    cr_assert_eq(status, PARE_OK);
    memcpy(data + 1000, data + 5000, 3000);
    cr_assert_eq(pare_output_patch(out, 1000, data + 5000, 3000, &err), PARE_OK);
    cr_assert_eq(pare_output_commit(out, &err), PARE_OK);
    char *back;
    size_t length;
    calls = 0;
    cr_assert_eq(pare_read_file(path, SIZE, &back, &length, &err), PARE_OK);
    meddling = 0;
    cr_assert_gt(calls, 3); /* the stand-ins were used */
    cr_assert_eq(length, SIZE);
    cr_assert_eq(memcmp(back, data, SIZE), 0);
    cr_assert(file_is(path, data, SIZE));
    pare_free(back);
    free(data);
    folder_remove(&folder);
}
