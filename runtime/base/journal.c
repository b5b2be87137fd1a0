/* Work that is done, piece by piece: see journal.h. */
#include "runtime/base/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"

#define MAGIC "PAREJRNL"
#define MAGIC_BYTES 8
#define VERSION 1
#define IDENTITY_AT 16
#define HEADER_BYTES 84
#define PIECE 65536
#define ATTEMPTS 100 /* to lock it, 10 ms apart */

struct pare_journal {
    char *path;
    int fd;
    uint64_t read_at, read_left; /* the next byte of a record, and how many follow */
    uint64_t end;                /* of the last whole record */
    uint64_t at, left;           /* of the record that is being written */
    uLong crc;
};

static enum pare_status fail_io(const struct pare_journal *journal, const char *action,
                                struct pare_error *err)
{
    return pare_fail(err, PARE_ERR_IO, "%s: cannot %s: %s", journal->path, action,
                     strerror(errno));
}

/* Up to `bytes` from `offset` on; less only at the end of the file. */
static enum pare_status read_at(const struct pare_journal *journal, uint64_t offset,
                                void *data, size_t bytes, size_t *got,
                                struct pare_error *err)
{
    for (*got = 0; *got < bytes;) {
        const ssize_t n =
            pread(journal->fd, (char *)data + *got, bytes - *got, (off_t)(offset + *got));
        if (n == 0)
            break;
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR)
            return fail_io(journal, "read", err);
    }
    return PARE_OK;
}

static enum pare_status write_at(const struct pare_journal *journal, uint64_t offset,
                                 const void *data, size_t bytes, struct pare_error *err)
{
    for (const char *at = data; bytes;) {
        const ssize_t n = pwrite(journal->fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            return fail_io(journal, "write", err);
        }
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return PARE_OK;
}

static enum pare_status sync_file(const struct pare_journal *journal,
                                  struct pare_error *err)
{
    int result;
    do
        result = fsync(journal->fd);
    while (result != 0 && errno == EINTR);
    return result ? fail_io(journal, "synchronise", err) : PARE_OK;
}

/* --- Opening ---------------------------------------------------------------------- */

static void make_header(const char identity[65], uint8_t header[HEADER_BYTES])
{
    memset(header, 0, HEADER_BYTES);
    memcpy(header, MAGIC, MAGIC_BYTES);
    pare_store_u32(header + MAGIC_BYTES, VERSION);
    memcpy(header + IDENTITY_AT, identity, 64);
    pare_store_u32(header + HEADER_BYTES - 4,
                   (uint32_t)crc32_z(crc32_z(0, NULL, 0), header, HEADER_BYTES - 4));
}

/* Starts anew with the identity. */
static enum pare_status start(struct pare_journal *journal,
                              const uint8_t header[HEADER_BYTES], struct pare_error *err)
{
    if (ftruncate(journal->fd, 0))
        return fail_io(journal, "empty", err);
    PARE_TRY(write_at(journal, 0, header, HEADER_BYTES, err));
    journal->end = journal->read_at = HEADER_BYTES;
    return sync_file(journal, err);
}

/* The record at `offset`: *whole says whether all of it is there, *damaged whether it is
 * but has changed. */
static enum pare_status check_record(const struct pare_journal *journal, uint64_t offset,
                                     uint64_t size, uint64_t *next, int *whole,
                                     int *damaged, struct pare_error *err)
{
    uint8_t piece[PIECE];
    size_t got;
    *whole = *damaged = 0;
    if (size - offset < 12)
        return PARE_OK;
    PARE_TRY(read_at(journal, offset, piece, 8, &got, err));
    const uint64_t length = pare_load_u64(piece);
    if (length > size - offset - 12)
        return PARE_OK;
    uLong crc = crc32_z(crc32_z(0, NULL, 0), piece, 8);
    for (uint64_t at = 0; at < length; at += got) {
        const uint64_t rest = length - at;
        PARE_TRY(read_at(journal, offset + 8 + at, piece,
                         rest < PIECE ? (size_t)rest : PIECE, &got, err));
        if (!got)
            return PARE_OK;
        crc = crc32_z(crc, piece, got);
    }
    PARE_TRY(read_at(journal, offset + 8 + length, piece, 4, &got, err));
    *whole = got == 4 && pare_load_u32(piece) == (uint32_t)crc;
    *damaged = !*whole;
    *next = offset + 12 + length;
    return PARE_OK;
}

static enum pare_status check_records(struct pare_journal *journal, uint64_t size,
                                      struct pare_journal_found *found,
                                      struct pare_error *err)
{
    int whole = 1;
    uint64_t next = 0;
    journal->end = HEADER_BYTES;
    while (whole && journal->end < size) {
        PARE_TRY(check_record(journal, journal->end, size, &next, &whole, &found->damaged,
                              err));
        if (whole) {
            journal->end = next;
            found->records++;
        }
    }
    journal->read_at = HEADER_BYTES;
    return ftruncate(journal->fd, (off_t)journal->end) ? fail_io(journal, "cut", err)
                                                       : PARE_OK;
}

static enum pare_status look(struct pare_journal *journal, const char identity[65],
                             struct pare_journal_found *found, struct pare_error *err)
{
    uint8_t expected[HEADER_BYTES], header[HEADER_BYTES];
    struct stat info;
    size_t got;
    make_header(identity, expected);
    if (fstat(journal->fd, &info))
        return fail_io(journal, "examine", err);
    PARE_TRY(read_at(journal, 0, header, sizeof header, &got, err));
    const size_t n = got < MAGIC_BYTES ? got : MAGIC_BYTES;
    if (memcmp(header, MAGIC, n) != 0 || !S_ISREG(info.st_mode))
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s: this file is in the way of what is to be kept of an "
                         "unfinished run; remove it, or choose another output",
                         journal->path);
    if (got == HEADER_BYTES && !memcmp(header, expected, HEADER_BYTES))
        return check_records(journal, (uint64_t)info.st_size, found, err);
    found->other = got == HEADER_BYTES;
    return start(journal, expected, err);
}

/* *held: it is locked, and still the file with that name. */
static enum pare_status try_open(struct pare_journal *journal, int *held,
                                 struct pare_error *err)
{
    struct stat mine, named;
    do
        journal->fd = open(journal->path,
                           O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0666);
    while (journal->fd < 0 && errno == EINTR);
    if (journal->fd < 0)
        return fail_io(journal, "open", err);
    *held = flock(journal->fd, LOCK_EX | LOCK_NB) == 0;
    if (!*held && errno != EWOULDBLOCK && errno != EINTR)
        return fail_io(journal, "lock", err);
    if (*held && fstat(journal->fd, &mine))
        return fail_io(journal, "examine", err);
    *held = *held && lstat(journal->path, &named) == 0 && mine.st_dev == named.st_dev &&
            mine.st_ino == named.st_ino;
    if (!*held) {
        close(journal->fd);
        journal->fd = -1;
    }
    return PARE_OK;
}

/* Who is done with one removes it before the lock goes: soon there is another file. */
static enum pare_status open_locked(struct pare_journal *journal, struct pare_error *err)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int held;
        PARE_TRY(try_open(journal, &held, err));
        if (held)
            return PARE_OK;
        nanosleep(&moment, NULL);
    }
    return pare_fail(err, PARE_ERR_LOCKED, "%s: another process has this file open",
                     journal->path);
}

enum pare_status pare_journal_open(const char *path, const char identity[65],
                                   struct pare_journal **out,
                                   struct pare_journal_found *found,
                                   struct pare_error *err)
{
    struct pare_journal *journal;
    enum pare_status status;
    *out = NULL;
    *found = (struct pare_journal_found){0};
    PARE_TRY(pare_alloc(&journal, 1, sizeof *journal, err));
    journal->fd = -1;
    PARE_TRY_OUT(pare_strndup(&journal->path, path, strlen(path), err));
    PARE_TRY_OUT(open_locked(journal, err));
    PARE_TRY_OUT(look(journal, identity, found, err));
    *out = journal;
    return PARE_OK;
out:
    pare_journal_close(journal, 0);
    return status;
}

/* --- Reading and writing ---------------------------------------------------------- */

enum pare_status pare_journal_get(struct pare_journal *journal, void *data, size_t bytes,
                                  struct pare_error *err)
{
    uint8_t length[8];
    size_t got;
    for (char *to = data; bytes;) {
        if (!journal->read_left && journal->read_at < journal->end) {
            PARE_TRY(read_at(journal, journal->read_at, length, 8, &got, err));
            journal->read_left = pare_load_u64(length);
            journal->read_at += 8;
        }
        const size_t n = bytes < journal->read_left ? bytes : (size_t)journal->read_left;
        PARE_TRY(read_at(journal, journal->read_at, to, n, &got, err));
        if (!n || got < n)
            return pare_fail(err, PARE_ERR_INPUT,
                             "%s: it ends too early; remove it to begin anew",
                             journal->path);
        to += n;
        bytes -= n;
        journal->read_at += n;
        journal->read_left -= n;
        if (!journal->read_left)
            journal->read_at += 4;
    }
    return PARE_OK;
}

enum pare_status pare_journal_begin(struct pare_journal *journal, uint64_t bytes,
                                    struct pare_error *err)
{
    uint8_t length[8];
    pare_store_u64(length, bytes);
    journal->left = bytes;
    journal->at = journal->end + 8;
    journal->crc = crc32_z(crc32_z(0, NULL, 0), length, 8);
    return write_at(journal, journal->end, length, 8, err);
}

enum pare_status pare_journal_put(struct pare_journal *journal, const void *data,
                                  size_t bytes, struct pare_error *err)
{
    uint8_t crc[4];
    if (bytes > journal->left)
        return pare_fail(err, PARE_ERR_INTERNAL,
                         "%s: %zu bytes are too many for a record", journal->path, bytes);
    PARE_TRY(write_at(journal, journal->at, data, bytes, err));
    journal->crc = crc32_z(journal->crc, data, bytes);
    journal->at += bytes;
    journal->left -= bytes;
    if (journal->left)
        return PARE_OK;
    pare_store_u32(crc, (uint32_t)journal->crc);
    PARE_TRY(write_at(journal, journal->at, crc, 4, err));
    PARE_TRY(sync_file(journal, err));
    journal->end = journal->at + 4;
    return PARE_OK;
}

void pare_journal_close(struct pare_journal *journal, int remove)
{
    if (!journal)
        return;
    if (remove)
        unlink(journal->path); /* before the lock goes */
    if (journal->fd >= 0)
        close(journal->fd);
    pare_free(journal->path);
    pare_free(journal);
}
