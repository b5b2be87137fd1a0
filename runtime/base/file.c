/* Reading: whole files and read-only mappings. Writing is in output.c. */
#include "runtime/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"

static enum pare_status fail_io(struct pare_error *err, const char *path,
                                const char *action)
{
    return pare_fail(err, PARE_ERR_IO, "%s: %s: %s", path, action, strerror(errno));
}

/* Opens a regular file. O_NONBLOCK: a FIFO in the file's place must not make us wait. */
static enum pare_status open_regular(const char *path, int *fd, struct stat *info,
                                     struct pare_error *err)
{
    do
        *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0)
        return fail_io(err, path, "cannot open");
    if (fstat(*fd, info) != 0) {
        enum pare_status status = fail_io(err, path, "cannot get the size");
        close(*fd);
        return status;
    }
    if (S_ISREG(info->st_mode))
        return PARE_OK;
    close(*fd);
    return pare_fail(err, PARE_ERR_IO, "%s: expected a regular file, found %s", path,
                     S_ISDIR(info->st_mode) ? "a folder" : "a device, pipe or socket");
}

enum pare_status pare_map_open(const char *path, struct pare_map *map,
                               struct pare_error *err)
{
    memset(map, 0, sizeof *map);
    int fd;
    struct stat info;
    PARE_TRY(open_regular(path, &fd, &info, err));
    enum pare_status status = PARE_OK;
    if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = fail_io(err, path, "cannot map into memory");
        else
            map->data = data;
    }
    close(fd);
    if (status == PARE_OK) {
        map->size = (uint64_t)info.st_size;
        map->device = (uint64_t)info.st_dev;
        map->inode = (uint64_t)info.st_ino;
    }
    return status;
}

void pare_map_close(struct pare_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, (size_t)map->size);
    memset(map, 0, sizeof *map);
}

void pare_map_release(const struct pare_map *map, const void *data, uint64_t bytes)
{
    const long page = sysconf(_SC_PAGESIZE);
    const uintptr_t first = (uintptr_t)map->data, at = (uintptr_t)data;
    if (!map->data || page <= 0 || at < first || at - first >= map->size)
        return;
    const uintptr_t size = (uintptr_t)page, rest = first + (uintptr_t)map->size - at;
    const uintptr_t begin = (at + size - 1) / size * size;
    const uintptr_t end = (at + (bytes < rest ? (uintptr_t)bytes : rest)) / size * size;
    /* Where the system does not do it, nothing is lost but memory. */
    int ignored = end > begin ? madvise((void *)begin, end - begin, MADV_DONTNEED) : 0;
    (void)ignored;
}

/* Reads up to `wanted` bytes; *got is less only at the end of the file. */
static enum pare_status read_fully(int fd, const char *path, char *buffer, size_t wanted,
                                   size_t *got, struct pare_error *err)
{
    for (*got = 0; *got < wanted;) {
        ssize_t n = read(fd, buffer + *got, wanted - *got);
        if (n == 0)
            break;
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR)
            return fail_io(err, path, "cannot read");
    }
    return PARE_OK;
}

enum pare_status pare_read_file(const char *path, uint64_t limit, char **text,
                                size_t *length, struct pare_error *err)
{
    *text = NULL;
    *length = 0;
    int fd;
    struct stat info;
    PARE_TRY(open_regular(path, &fd, &info, err));
    enum pare_status status = PARE_OK;
    uint64_t size = (uint64_t)info.st_size;
    if (size > limit || size >= SIZE_MAX) {
        status = pare_fail(err, PARE_ERR_INPUT,
                           "%s: the file has %llu bytes, at most %llu are allowed here",
                           path, (unsigned long long)size, (unsigned long long)limit);
        goto out;
    }
    PARE_TRY_OUT(pare_alloc_raw(text, (size_t)size + 1, 1, err));
    PARE_TRY_OUT(read_fully(fd, path, *text, (size_t)size, length, err));
    if (*length < size)
        status =
            pare_fail(err, PARE_ERR_IO, "%s: the file became shorter while read", path);
    else
        (*text)[*length] = '\0';
out:
    if (status != PARE_OK) {
        pare_free(*text);
        *text = NULL;
        *length = 0;
    }
    close(fd);
    return status;
}

/* The folder of a path without a file behind it; 0 when there is none. */
static int stat_folder(const char *path, const char *name, struct stat *out)
{
    const size_t n = name > path ? (size_t)(name - path) : 0;
    struct pare_error no;
    char *folder;
    if (pare_alloc(&folder, n + 2, 1, &no) != PARE_OK)
        return 0;
    memcpy(folder, n ? path : ".", n ? n : 1);
    const int found = stat(folder, out) == 0;
    pare_free(folder);
    return found;
}

static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int pare_path_is_same(const char *a, const char *b)
{
    struct stat one, other;
    const int exists = stat(a, &one) == 0;
    if (exists != (stat(b, &other) == 0))
        return 0;
    if (!exists &&
        (strcmp(name_in(a), name_in(b)) != 0 || !stat_folder(a, name_in(a), &one) ||
         !stat_folder(b, name_in(b), &other)))
        return 0;
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

enum pare_status pare_refuse_same_file(const char *input, const char *output,
                                       struct pare_error *err)
{
    if (!pare_path_is_same(input, output))
        return PARE_OK; /* whoever opens a missing one reports it */
    return pare_fail(err, PARE_ERR_USAGE,
                     "%s: the output is the same file as the input %s; choose another "
                     "output name",
                     output, input);
}

enum pare_status pare_path_join(char *out, size_t size, const char *folder,
                                const char *name, struct pare_error *err)
{
    size_t length = strlen(folder);
    const char *separator = length && folder[length - 1] != '/' ? "/" : "";
    int n = snprintf(out, size, "%s%s%s", folder, separator, name);
    if (n < 0 || (size_t)n >= size)
        return pare_fail(err, PARE_ERR_USAGE,
                         "the path of \"%.60s\" in \"%.200s\" is longer than %zu bytes",
                         name, folder, size ? size - 1 : 0);
    return PARE_OK;
}

int pare_path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int pare_path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}
