/* Files without a name: see spill.h. */
#include "runtime/base/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"

struct pare_spill {
    char *beside; /* for messages */
    int fd;
};

static enum pare_status fail_io(const struct pare_spill *spill, const char *action,
                                struct pare_error *err)
{
    return pare_fail(err, PARE_ERR_IO, "%s: %s a temporary file beside it: %s",
                     spill->beside, action, strerror(errno));
}

/* A file system without nameless files gets one whose name goes at once. */
static enum pare_status create(struct pare_spill *spill, struct pare_error *err)
{
    const char *slash = strrchr(spill->beside, '/');
    const int folder = slash ? (int)(slash - spill->beside) + 1 : 0;
    const size_t size = strlen(spill->beside) + 32;
    char *path;
    PARE_TRY(pare_alloc_raw(&path, size, 1, err));
    snprintf(path, size, "%.*s", folder, folder ? spill->beside : "");
#ifdef O_TMPFILE
    spill->fd = open(folder ? path : ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
#endif
    if (spill->fd < 0) {
        snprintf(path, size, "%.*s.pare-spill-XXXXXX", folder, spill->beside);
        spill->fd = mkstemp(path);
        if (spill->fd >= 0)
            unlink(path);
    }
    pare_free(path);
    return spill->fd < 0 ? fail_io(spill, "cannot create", err) : PARE_OK;
}

enum pare_status pare_spill_open(const char *beside, struct pare_spill **out,
                                 struct pare_error *err)
{
    struct pare_spill *spill;
    enum pare_status status;
    *out = NULL;
    PARE_TRY(pare_alloc(&spill, 1, sizeof *spill, err));
    spill->fd = -1;
    PARE_TRY_OUT(pare_strndup(&spill->beside, beside, strlen(beside), err));
    PARE_TRY_OUT(create(spill, err));
    *out = spill;
    return PARE_OK;
out:
    pare_spill_close(spill);
    return status;
}

enum pare_status pare_spill_write(struct pare_spill *spill, uint64_t offset,
                                  const void *data, size_t bytes, struct pare_error *err)
{
    for (const char *at = data; bytes;) {
        const ssize_t n = pwrite(spill->fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            return fail_io(spill, "cannot write", err);
        }
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return PARE_OK;
}

enum pare_status pare_spill_read(struct pare_spill *spill, uint64_t offset, void *data,
                                 size_t bytes, struct pare_error *err)
{
    for (char *at = data; bytes;) {
        const ssize_t n = pread(spill->fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EIO;
            return fail_io(spill, "cannot read", err);
        }
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return PARE_OK;
}

void pare_spill_close(struct pare_spill *spill)
{
    if (!spill)
        return;
    if (spill->fd >= 0)
        close(spill->fd);
    pare_free(spill->beside);
    pare_free(spill);
}
