/* Files that appear whole or not at all.
 *
 * The bytes go to a temporary `.NAME.PID.RANDOM.tmp` in the destination's folder; commit
 * synchronises it, renames it over the destination and synchronises the folder, so a
 * reader (or a machine that lost power) sees the old file or the new one. While a writer
 * lives it holds flock on NAME.lock. Under that lock no other writer of NAME exists, so
 * every temporary of that name is left from a killed one and is removed.
 *
 * The lock file itself is removed by its holder. A waiter may have opened it just before;
 * therefore a lock counts only if the locked file is still the one with that name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/file.h"

#define BUFFER_BYTES ((size_t)256 * 1024)

struct pare_output {
    char *path;      /* destination, symbolic links resolved */
    char *name;      /* its last component, inside `path` */
    char *temp_path; /* for messages and for reading back */
    char *temp_name; /* last component, inside temp_path */
    char *lock_name;
    int folder, fd, lock; /* descriptors, -1 when not open */
    int temp_exists;
    uint64_t written; /* bytes handed to the system */
    uint8_t *buffer;
    size_t buffered;
};

static enum pare_status fail_io(struct pare_error *err, const char *path,
                                const char *action)
{
    return pare_fail(err, PARE_ERR_IO, "%s: %s: %s", path, action, strerror(errno));
}

/* Path and its last component. A symbolic link stands for the file it points to: that
 * file is replaced, the link stays. */
static enum pare_status set_path(struct pare_output *out, const char *path,
                                 struct pare_error *err)
{
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode)) {
        char *target = realpath(path, NULL);
        if (!target)
            return fail_io(err, path, "cannot follow the link");
        enum pare_status status = pare_strndup(&out->path, target, strlen(target), err);
        free(target);
        PARE_TRY(status);
    } else {
        PARE_TRY(pare_strndup(&out->path, path, strlen(path), err));
    }
    char *slash = strrchr(out->path, '/');
    out->name = slash ? slash + 1 : out->path;
    if (!*out->name || !strcmp(out->name, ".") || !strcmp(out->name, ".."))
        return pare_fail(err, PARE_ERR_USAGE, "%s: expected the name of a file", path);
    if (stat(out->path, &info) == 0 && !S_ISREG(info.st_mode))
        return pare_fail(err, PARE_ERR_USAGE,
                         "%s: the output exists and is %s; choose another name", path,
                         S_ISDIR(info.st_mode) ? "a folder" : "a device, pipe or socket");
    return PARE_OK;
}

static enum pare_status open_folder(struct pare_output *out, struct pare_error *err)
{
    char *folder;
    size_t length = (size_t)(out->name - out->path);
    if (length)
        PARE_TRY(pare_strndup(&folder, out->path, length, err));
    else
        PARE_TRY(pare_strndup(&folder, ".", 1, err));
    do
        out->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (out->folder < 0 && errno == EINTR);
    enum pare_status status = PARE_OK;
    if (out->folder < 0)
        status = fail_io(err, folder, "cannot open the output's folder");
    pare_free(folder);
    return status;
}

static enum pare_status allocate_names(struct pare_output *out, struct pare_error *err)
{
    size_t folder = (size_t)(out->name - out->path), name = strlen(out->name);
    size_t room = folder + name + 64;
    PARE_TRY(pare_alloc(&out->lock_name, name + 8, 1, err));
    snprintf(out->lock_name, name + 8, "%s.lock", out->name);
    PARE_TRY(pare_alloc(&out->temp_path, room, 1, err));
    memcpy(out->temp_path, out->path, folder);
    out->temp_name = out->temp_path + folder;
    return PARE_OK;
}

/* One attempt: *held tells whether the lock is ours and its file still has its name. */
static enum pare_status try_lock(struct pare_output *out, int *held,
                                 struct pare_error *err)
{
    *held = 0;
    out->lock = openat(out->folder, out->lock_name,
                       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (out->lock < 0)
        return errno == EINTR ? PARE_OK
                              : fail_io(err, out->path, "cannot create its .lock file");
    if (flock(out->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return pare_fail(err, PARE_ERR_LOCKED,
                             "%s: another process is writing this file (it holds "
                             "%s)",
                             out->path, out->lock_name);
        if (errno != EINTR)
            return fail_io(err, out->path, "cannot lock its .lock file");
    } else {
        struct stat mine, named;
        if (fstat(out->lock, &mine) != 0)
            return fail_io(err, out->path, "cannot examine its .lock file");
        *held = fstatat(out->folder, out->lock_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
    }
    if (!*held) {
        close(out->lock);
        out->lock = -1;
    }
    return PARE_OK;
}

static enum pare_status take_lock(struct pare_output *out, struct pare_error *err)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        int held;
        enum pare_status status = try_lock(out, &held, err);
        if (status != PARE_OK) {
            if (out->lock >= 0)
                close(out->lock);
            out->lock = -1;
            return status;
        }
        if (held)
            return PARE_OK;
    }
    return pare_fail(err, PARE_ERR_LOCKED,
                     "%s: its .lock file changes hands all the time", out->path);
}

/* Whether `name` is `.NAME.<digits>.<hexadecimal>.tmp`. */
static int is_temporary(const char *name, const char *of)
{
    size_t length = strlen(of);
    if (name[0] != '.' || strncmp(name + 1, of, length) != 0 || name[1 + length] != '.')
        return 0;
    const char *rest = name + length + 2;
    size_t digits = strspn(rest, "0123456789");
    if (!digits || rest[digits] != '.')
        return 0;
    rest += digits + 1;
    size_t hex = strspn(rest, "0123456789abcdef");
    return hex == 16 && strcmp(rest + hex, ".tmp") == 0;
}

/* What cannot be removed does no harm: a failure here is not an error. */
static void remove_stale(struct pare_output *out)
{
    int fd = openat(out->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));)
        if (is_temporary(entry->d_name, out->name))
            unlinkat(out->folder, entry->d_name, 0);
    closedir(folder);
}

/* Only to keep names apart; O_EXCL is what guarantees it. */
static uint64_t random_bits(void)
{
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits)
        return bits;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((uint64_t)now.tv_sec << 32 ^ (uint64_t)now.tv_nsec) * 0x9E3779B97F4A7C15u;
}

/* A replaced file keeps its permission bits. */
static enum pare_status create_temporary(struct pare_output *out, struct pare_error *err)
{
    struct stat old;
    int replaces = fstatat(out->folder, out->name, &old, 0) == 0;
    mode_t mode = replaces ? old.st_mode & 0777 : 0666;
    for (int attempt = 0; attempt < 100; attempt++) {
        snprintf(out->temp_name, strlen(out->name) + 64, ".%s.%ld.%016llx.tmp", out->name,
                 (long)getpid(), (unsigned long long)random_bits());
        out->fd = openat(out->folder, out->temp_name,
                         O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (out->fd >= 0) {
            out->temp_exists = 1;
            /* The umask took bits away; a file system without modes may refuse. */
            int ignored = replaces ? fchmod(out->fd, mode) : 0;
            (void)ignored;
            return PARE_OK;
        }
        if (errno != EEXIST && errno != EINTR)
            break;
    }
    return fail_io(err, out->path, "cannot create a temporary file beside it");
}

enum pare_status pare_output_open(const char *path, struct pare_output **result,
                                  struct pare_error *err)
{
    *result = NULL;
    struct pare_output *out;
    PARE_TRY(pare_alloc(&out, 1, sizeof *out, err));
    out->folder = out->fd = out->lock = -1;
    enum pare_status status;
    PARE_TRY_OUT(set_path(out, path, err));
    PARE_TRY_OUT(open_folder(out, err));
    PARE_TRY_OUT(allocate_names(out, err));
    PARE_TRY_OUT(pare_alloc_raw(&out->buffer, BUFFER_BYTES, 1, err));
    PARE_TRY_OUT(take_lock(out, err));
    remove_stale(out);
    PARE_TRY_OUT(create_temporary(out, err));
    *result = out;
    return PARE_OK;
out:
    pare_output_abort(out);
    return status;
}

/* Writes all of `data` at `offset`, however often the system stops in between. */
static enum pare_status write_at(struct pare_output *out, const uint8_t *data,
                                 size_t bytes, uint64_t offset, struct pare_error *err)
{
    while (bytes) {
        ssize_t n = pwrite(out->fd, data, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC; /* a device that takes nothing and says nothing */
            return fail_io(err, out->path, "cannot write");
        }
        data += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return PARE_OK;
}

static enum pare_status drain(struct pare_output *out, struct pare_error *err)
{
    PARE_TRY(write_at(out, out->buffer, out->buffered, out->written, err));
    out->written += out->buffered;
    out->buffered = 0;
    return PARE_OK;
}

enum pare_status pare_output_write(struct pare_output *out, const void *data,
                                   size_t bytes, struct pare_error *err)
{
    if (bytes > BUFFER_BYTES - out->buffered)
        PARE_TRY(drain(out, err));
    if (bytes >= BUFFER_BYTES) { /* large pieces need no copy */
        PARE_TRY(write_at(out, data, bytes, out->written, err));
        out->written += bytes;
    } else if (bytes) {
        memcpy(out->buffer + out->buffered, data, bytes);
        out->buffered += bytes;
    }
    return PARE_OK;
}

uint64_t pare_output_size(const struct pare_output *out)
{
    return out->written + out->buffered;
}

enum pare_status pare_output_patch(struct pare_output *out, uint64_t offset,
                                   const void *data, size_t bytes, struct pare_error *err)
{
    uint64_t end;
    if (__builtin_add_overflow(offset, bytes, &end) || end > pare_output_size(out))
        return pare_fail(err, PARE_ERR_INTERNAL,
                         "%s: a patch of %zu bytes at %llu is beyond what was written",
                         out->path, bytes, (unsigned long long)offset);
    PARE_TRY(drain(out, err));
    return write_at(out, data, bytes, offset, err);
}

enum pare_status pare_output_flush(struct pare_output *out, const char **path,
                                   struct pare_error *err)
{
    PARE_TRY(drain(out, err));
    *path = out->temp_path;
    return PARE_OK;
}

static int sync_retrying(int fd)
{
    int result;
    do /* an interrupted fsync has not failed; a failed one must never be repeated */
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result;
}

/* Everything up to the rename: the destination does not change if this fails. */
static enum pare_status finish_temporary(struct pare_output *out, struct pare_error *err)
{
    PARE_TRY(drain(out, err));
    struct stat info;
    if (fstat(out->fd, &info) != 0)
        return fail_io(err, out->path, "cannot examine the temporary file");
    if ((uint64_t)info.st_size != out->written)
        return pare_fail(err, PARE_ERR_IO,
                         "%s: %llu bytes were written, the system kept %llu", out->path,
                         (unsigned long long)out->written,
                         (unsigned long long)info.st_size);
    if (sync_retrying(out->fd) != 0)
        return fail_io(err, out->path, "cannot synchronise to disk");
    int closed = close(out->fd);
    out->fd = -1;
    if (closed != 0 && errno != EINTR)
        return fail_io(err, out->path, "cannot close the temporary file");
    if (renameat(out->folder, out->temp_name, out->folder, out->name) != 0)
        return fail_io(err, out->path, "cannot rename the temporary file");
    out->temp_exists = 0;
    return PARE_OK;
}

enum pare_status pare_output_commit(struct pare_output *out, struct pare_error *err)
{
    enum pare_status status = finish_temporary(out, err);
    /* File systems that cannot synchronise a folder say EINVAL. */
    if (status == PARE_OK && sync_retrying(out->folder) != 0 && errno != EINVAL)
        status = pare_fail(err, PARE_ERR_IO,
                           "%s: the file is complete, but its folder could not be "
                           "synchronised (%s): it may be lost if the power fails now",
                           out->path, strerror(errno));
    pare_output_abort(out);
    return status;
}

void pare_output_abort(struct pare_output *out)
{
    if (!out)
        return;
    if (out->fd >= 0)
        close(out->fd);
    if (out->temp_exists)
        unlinkat(out->folder, out->temp_name, 0);
    if (out->lock >= 0) {
        unlinkat(out->folder, out->lock_name, 0); /* before the lock goes */
        close(out->lock);
    }
    if (out->folder >= 0)
        close(out->folder);
    pare_free(out->path);
    pare_free(out->temp_path);
    pare_free(out->lock_name);
    pare_free(out->buffer);
    pare_free(out);
}

enum pare_status pare_write_file(const char *path, const void *data, size_t bytes,
                                 struct pare_error *err)
{
    struct pare_output *out;
    PARE_TRY(pare_output_open(path, &out, err));
    enum pare_status status = pare_output_write(out, data, bytes, err);
    if (status == PARE_OK)
        return pare_output_commit(out, err);
    pare_output_abort(out);
    return status;
}
